"""Intervals, tests and averages against closed forms and brute force."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import InputError
from hala.evals.statistics import accuracy, bootstrap_accuracy, macro, mcnemar, paired_difference, wilson

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


def test_paired_difference_refuses_other_items():
    """Unequal lengths mean that the pairs are not pairs."""
    with pytest.raises(InputError, match="same items"):
        paired_difference([True], [True, False])
