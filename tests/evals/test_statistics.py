"""Intervals, tests and averages against closed forms and brute force."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.errors import InputError
from hala.evals.statistics import (
    accuracy,
    bootstrap_accuracy,
    bootstrap_mean,
    chi_square_p,
    clustered_accuracy,
    holm,
    macro,
    marginal_homogeneity,
    mcnemar,
    paired_difference,
    paired_means,
    wilson,
)

BOOLS = st.lists(st.booleans(), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_published_values(hits, n, low, high):
    """Newcombe 1998 prints these intervals (method 3) to four places."""
    assert wilson(hits, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 5000), st.data())
def test_wilson_holds_its_value_and_stays_in_range(n, data):
    """An interval that leaves out its own proportion or leaves 0..1 would be printed as nonsense."""
    hits = data.draw(st.integers(0, n))
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


def test_wilson_of_nothing_is_refused():
    """A score over no items must not exist."""
    with pytest.raises(InputError):
        wilson(0, 0)


@given(BOOLS)
def test_bootstrap_interval_holds_the_accuracy(correct):
    """The resampled interval always surrounds what was measured."""
    low, high = bootstrap_accuracy(correct)
    assert 0 <= low <= sum(correct) / len(correct) <= high <= 1


def test_bootstrap_matches_resampling_items_one_by_one():
    """The binomial shortcut must have the spread of the plain item bootstrap."""
    import numpy as np

    correct = np.array([True] * 70 + [False] * 130)
    rng = np.random.default_rng(0)
    plain = np.percentile(correct[rng.integers(200, size=(4000, 200))].mean(1), [2.5, 97.5])
    assert bootstrap_accuracy(list(correct), samples=4000) == pytest.approx(tuple(plain), abs=0.011)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (10, 0, 2 / 1024), (8, 2, 2 * 56 / 1024)]
)
def test_mcnemar_is_the_exact_binomial(wins, losses, p):
    """Small discordant counts are where the chi-square form is wrong, so the values are counted by hand."""
    assert mcnemar(wins, losses) == pytest.approx(p)
    assert mcnemar(losses, wins) == mcnemar(wins, losses)


def test_mcnemar_stays_exact_for_large_counts():
    """Thousands of discordant pairs must neither overflow nor round to zero."""
    assert 0 < mcnemar(3000, 3200) < 0.02
    assert mcnemar(6000, 6001) == pytest.approx(1.0, abs=0.01)


def test_macro_carries_standard_errors_in_quadrature():
    """SE of a mean of K parts is sqrt(sum SE^2) / K, not the mean of the SEs, which overstates it."""
    parts = [accuracy([True] * 30 + [False] * 30), accuracy([True] * 10 + [False] * 90)]
    whole = macro(parts)
    assert whole.value == pytest.approx(0.3)
    assert whole.se == pytest.approx(math.hypot(parts[0].se, parts[1].se) / 2)
    assert whole.n == 160
    assert whole.low < 0.3 < whole.high


def test_macro_se_agrees_with_a_brute_force_bootstrap():
    """The formula must describe what resampling each subset by itself gives."""
    import numpy as np

    rng = np.random.default_rng(3)
    subsets = [rng.random(n) < p for n, p in ((75, 0.5), (600, 0.3), (150, 0.8))]
    means = np.mean([[s[rng.integers(len(s), size=len(s))].mean() for s in subsets] for _ in range(2000)], axis=1)
    assert macro([accuracy(list(s)) for s in subsets]).se == pytest.approx(means.std(), rel=0.06)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=50))
def test_paired_difference_is_antisymmetric_in_value_and_p(rows):
    """Swapping the models flips the sign and nothing else; the interval holds the value."""
    base, system, strata = zip(*rows, strict=True)
    forward, back = paired_difference(base, system, strata, 200), paired_difference(system, base, strata, 200)
    assert forward.value == pytest.approx(-back.value)
    assert forward.p == back.p
    assert forward.low <= forward.value <= forward.high
    assert forward.wins + forward.losses + forward.ties == forward.n == len(rows)


def test_paired_difference_weighs_strata_equally():
    """A tiny subset counts as much as a huge one in the macro difference."""
    base, system = [False] * 100 + [False] * 2, [False] * 100 + [True] * 2
    strata = ["big"] * 100 + ["small"] * 2
    assert paired_difference(base, system, strata).value == pytest.approx(0.5)
    assert paired_difference(base, system).value == pytest.approx(2 / 102)


def test_a_macro_difference_is_tested_as_it_is_weighed():
    """Protects against stars from opposite evidence: more items lost than won, but the mean of subsets gains; p is the mean's."""
    base = [True] * 40 + [False] * 5 + [True] * 55 + [False] * 5
    system = [False] * 40 + [False] * 5 + [True] * 55 + [True] * 5
    strata = ["big"] * 100 + ["small"] * 5
    gain = paired_difference(base, system, strata)
    assert gain.value > 0 and gain.losses > gain.wins and gain.p > 1e-6 and "p:swap" in gain.signature
    assert "p:mcnemar" in paired_difference(base, system).signature


def test_a_mean_over_subsets_that_are_all_right_is_not_certain():
    """Protects against intervals of no width: ten of ten, twice, may be less than all; so may one of one."""
    for parts in ([[True] * 10, [True] * 10], [[True], [False], [True]]):
        found = macro([accuracy(part) for part in parts])
        assert found.low < found.value - 0.05 and found.se > 0


def test_paired_difference_refuses_other_items():
    """Unequal lengths mean that the pairs are not pairs."""
    with pytest.raises(InputError, match="same items"):
        paired_difference([True], [True, False])


def test_clusters_of_one_change_nothing():
    """Independent items have the standard error and interval that they have without clusters."""
    correct = [True] * 30 + [False] * 70
    assert clustered_accuracy(correct, [str(at) for at in range(100)]) == accuracy(correct)


def test_clustered_error_is_that_of_miller_by_hand():
    """Two right pairs and one wrong pair: p = 2/3, SE_CLT^2 = (2/9)/5, and the pairs add 2 (4/9 + 1/9 + 1/9) / 36."""
    found = clustered_accuracy([True, True, True, True, False, False], ["a", "a", "b", "b", "c", "c"])
    assert found.se == pytest.approx(math.sqrt(2 / 45 + 2 * (1 / 9 + 1 / 9 + 4 / 9) / 36))


def test_copied_items_say_nothing_more():
    """Five copies of each item in its cluster widen the interval back to about that of the items alone."""
    items = [True] * 60 + [False] * 40
    alone, copied = accuracy(items), clustered_accuracy(items * 5, [str(at) for at in range(100)] * 5)
    assert copied.se == pytest.approx(alone.se, rel=0.02)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert accuracy(items * 5).se < 0.5 * copied.se


def test_clustered_error_agrees_with_drawing_clusters():
    """The formula and the cluster bootstrap describe the same spread; passages of four questions that share their difficulty."""
    import numpy as np

    rng = np.random.default_rng(4)
    ease = rng.random(300)
    correct = [bool(rng.random() < ease[at // 4]) for at in range(1200)]
    clusters = [str(at // 4) for at in range(1200)]
    found, (low, high) = clustered_accuracy(correct, clusters), bootstrap_accuracy(correct, 4000, clusters=clusters)
    assert (high - low) / (2 * 1.96) == pytest.approx(found.se, rel=0.06) and found.se > 1.2 * accuracy(correct).se
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcde")), min_size=1, max_size=40))
def test_clustered_interval_holds_its_value(rows):
    """All right, all wrong, one cluster: the interval stays in 0..1, holds the value and is not narrower than Wilson's."""
    correct, clusters = zip(*rows, strict=True)
    found = clustered_accuracy(correct, clusters)
    low, high = wilson(sum(correct), len(correct))
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low >= high - low - 1e-12
    drawn = bootstrap_accuracy(correct, 50, clusters=clusters)
    assert 0 <= drawn[0] <= found.value <= drawn[1] <= 1


def test_paired_difference_draws_clusters_together():
    """Copies of a difference in one cluster are one difference: five all-gain clusters give p = 2 / 2^5, not 2 / 2^50."""
    base, system = [False] * 50, [True] * 50
    clusters = [str(at // 10) for at in range(50)]
    assert paired_difference(base, system, clusters=clusters).p == pytest.approx(1 / 16, abs=0.01)
    assert paired_difference(base, system).p == pytest.approx(2 / 2**50)
    mixed = [at // 10 % 2 == 0 for at in range(50)]
    wide, narrow = paired_difference(base, mixed, clusters=clusters), paired_difference(base, mixed)
    assert wide.value == narrow.value == pytest.approx(0.6) and wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert "clusters:5|p:swap" in wide.signature and narrow.signature.endswith("p:mcnemar-exact")


def test_paired_difference_takes_weights():
    """A suite's mean: each stratum counts as its weight says, and the test is of that very mean."""
    base, system, strata = [False] * 6, [True, False, True, True, False, False], ["a", "a", "b", "b", "b", "b"]
    found = paired_difference(base, system, strata, weights={"a": 0.75, "b": 0.25})
    assert found.value == pytest.approx(0.75 * 1 / 2 + 0.25 * 2 / 4)
    # Signs of gains 3/8, 1/16 and 1/16: of 8 sums only the two extreme ones are as far as 1/2.
    assert found.p == pytest.approx(2 / 8, abs=0.015)


def test_holm_by_hand():
    """Holm's own procedure: p (m - rank) with the largest before it, at most 1, in the order given."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([0.2]) == [0.2] and holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_between_nothing_and_bonferroni(ps):
    """An adjusted p never undercuts the raw one nor exceeds Bonferroni's, and the order stays."""
    adjusted = holm(ps)
    assert all(p <= q <= min(1, p * len(ps)) + 1e-12 for p, q in zip(ps, adjusted, strict=True))
    assert [q for _, q in sorted(zip(ps, adjusted, strict=True))] == sorted(adjusted)


@pytest.mark.parametrize(("value", "freedom", "p"), [(3.841, 1, 0.05), (5.991, 2, 0.05), (11.345, 3, 0.01), (18.307, 10, 0.05)])
def test_chi_square_gives_the_printed_table(value, freedom, p):
    """Every textbook prints these quantiles."""
    assert chi_square_p(value, freedom) == pytest.approx(p, rel=2e-3)


@settings(deadline=None)  # the first import of scipy takes its time
@given(st.floats(0, 200), st.integers(1, 30))
def test_chi_square_is_that_of_scipy(value, freedom):
    """Where scipy is installed, it agrees."""
    stats = pytest.importorskip("scipy.stats")
    assert chi_square_p(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-9, abs=1e-300)


def test_position_bias_of_two_options_is_mcnemar():
    """With two positions the test is McNemar's without continuity correction: (12 - 4)^2 / 16 = 4."""
    chosen, right = [0] * 12 + [1] * 4 + [0] * 20 + [1] * 20, [1] * 12 + [0] * 4 + [0] * 20 + [1] * 20
    assert marginal_homogeneity(chosen, right) == pytest.approx(chi_square_p(4, 1))


def test_position_bias_of_three_options_by_hand():
    """Cycles leave the marginals equal, and a model that always says A does not."""
    assert marginal_homogeneity([0, 1, 2] * 10, [1, 2, 0] * 10) == 1
    assert marginal_homogeneity([0] * 30, [0, 1, 2] * 10) < 1e-4
    assert marginal_homogeneity([0, 1, 2], [0, 1, 2]) == 1
    # Positions 0 and 1 only, though a third exists: one degree of freedom, 6 against 0.
    assert marginal_homogeneity([0] * 6 + [2], [1] * 6 + [2]) == pytest.approx(chi_square_p(6, 1))


def test_position_bias_is_calibrated():
    """A model without bias is called biased at 5% about once in twenty times."""
    import numpy as np

    rng = np.random.default_rng(6)
    ps = [marginal_homogeneity(rng.integers(4, size=300).tolist(), rng.integers(4, size=300).tolist()) for _ in range(400)]
    assert 0.02 < sum(p < 0.05 for p in ps) / len(ps) < 0.09


def test_lists_of_unequal_length_are_refused():
    """Labels must fit their items."""
    with pytest.raises(InputError, match="clusters"):
        clustered_accuracy([True], ["a", "b"])
    with pytest.raises(InputError, match="same items"):
        paired_difference([True], [True], clusters=[])
    with pytest.raises(InputError, match="choices"):
        marginal_homogeneity([0], [])


def test_clustered_intervals_cover_as_often_as_they_say():
    """Twenty passages of four questions of like difficulty: 95% intervals hold the truth about so often, Wilson's do not."""
    import numpy as np

    rng, hits = np.random.default_rng(8), [0, 0]
    clusters = [str(at // 4) for at in range(80)]
    for _ in range(300):
        ease = np.repeat(rng.beta(0.8, 1.2, size=20), 4)  # 0.4 on average
        correct = (rng.random(80) < ease).tolist()
        for at, found in enumerate((clustered_accuracy(correct, clusters), accuracy(correct))):
            hits[at] += found.low <= 0.4 <= found.high
    assert hits[0] / 300 > 0.92 > 0.88 > hits[1] / 300


def test_swapping_passages_is_calibrated():
    """Models that are alike but differ passage by passage are called different at 5% about so often; McNemar's test is fooled."""
    import numpy as np

    rng, calls = np.random.default_rng(9), [0, 0]
    clusters = [str(at // 6) for at in range(120)]
    for _ in range(60):
        lean = np.repeat(rng.choice([-1, 1], size=20), 6) * (rng.random(120) < 0.6)  # who is right where they differ
        base, system = (lean < 0).tolist(), (lean > 0).tolist()
        calls[0] += paired_difference(base, system, clusters=clusters, samples=20).p < 0.05
        calls[1] += paired_difference(base, system, samples=20).p < 0.05
    assert calls[0] <= 7 < 9 <= calls[1]


def test_the_interval_of_a_mean_is_the_normal_one_for_many_items() -> None:
    """With a thousand draws of a thousand items, the percentile bootstrap lies close to mean ± 1.96 standard errors."""
    values = [float(k % 10) for k in range(1000)]
    mean, se = 4.5, math.sqrt(8.25 / 1000)
    assert bootstrap_mean(values, 4000) == pytest.approx((mean - 1.96 * se, mean + 1.96 * se), abs=0.02)
    assert bootstrap_mean([3.0] * 5) == (3.0, 3.0)
    with pytest.raises(InputError, match="nothing"):
        bootstrap_mean([])


def test_paired_means_see_what_unpaired_ones_cannot() -> None:
    """A small gain on every item is certain although the items differ widely; no gain has p = 1, and order changes the sign."""
    base = [float(k * k) for k in range(40)]
    gain = paired_means("words", base, [each + 1 for each in base])
    assert (gain.value, gain.low, gain.high) == (1.0, 1.0, 1.0) and gain.p < 0.001 and (gain.wins, gain.losses) == (40, 0)
    assert paired_means("words", base, base).p == 1.0
    back = paired_means("words", [each + 1 for each in base], base)
    assert (back.value, back.p) == (-gain.value, gain.p)
    with pytest.raises(InputError, match="the same items"):
        paired_means("words", base, base[1:])


def test_swapping_means_is_the_exact_sign_test_where_all_gains_are_alike() -> None:
    """Of 2^8 ways to swap eight equal gains, two are as far out: p = 1/128, but for the draws."""
    assert paired_means("words", [0.0] * 8, [2.0] * 8).p == pytest.approx(1 / 128, abs=0.003)
