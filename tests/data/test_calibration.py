"""How far a judge can be trusted: agreement, ranking and calibration, checked by hand and by what made the labels."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.data.calibration import Scale, agreement, area, calibration_error, fit, held_out, reliability

LABELLED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def test_agreement_by_hand() -> None:
    """Cohen's own kind of table: 45 and 15 accepted of 60 good, 25 of 40 bad accepted; kappa is (0.6 - 0.54) / (1 - 0.54)."""
    said = [True] * 45 + [False] * 15 + [True] * 25 + [False] * 15
    labels = [True] * 60 + [False] * 40
    found = agreement(said, labels)
    assert (found.n, found.good, found.accepted, found.right) == (100, 60, 70, 45)
    assert found.accuracy == pytest.approx(0.60) and found.kappa == pytest.approx(0.06 / 0.46)
    assert found.precision == pytest.approx(45 / 70) and found.recall == pytest.approx(45 / 60)


def test_agreement_at_the_edges() -> None:
    """Nothing accepted, nothing good and nothing at all divide by no zero; equal verdicts of one class agree fully."""
    nothing = agreement([], [])
    assert nothing.accuracy == 0.0 and nothing.precision == 0.0 == nothing.recall
    assert agreement([True, True], [True, True]).kappa == 1.0
    assert agreement([False, False], [True, True]).kappa == 0.0 == agreement([False], [True]).precision


@given(LABELLED)
def test_area_is_the_chance_of_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    """It equals the count over all pairs of a good and a bad one, ties half."""
    probabilities, labels = [p for p, _ in pairs], [label for _, label in pairs]
    good, bad = ([p for p, label in pairs if label is which] for which in (True, False))
    expected = sum((a > b) + (a == b) / 2 for a in good for b in bad) / (len(good) * len(bad)) if good and bad else 0.5
    assert area(probabilities, labels) == pytest.approx(expected)


@given(LABELLED)
def test_scale_is_finite_and_never_turned_round(pairs: list[tuple[float, bool]]) -> None:
    """Whatever the labels, a higher probability stays at least as high, and inside 0 to 1."""
    scale = fit([p for p, _ in pairs], [label for _, label in pairs])
    assert scale.slope >= 0 and math.isfinite(scale.slope) and math.isfinite(scale.intercept)
    values = [scale(p) for p in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert values == sorted(values) and values[0] >= 0 and values[-1] <= 1


def test_scale_finds_what_made_the_labels() -> None:
    """Labels drawn from a known scale give it back, within what 20,000 draws allow, and the error of probabilities shrinks."""
    rng = random.Random(0)
    true = Scale(0.5, -1.0)
    raw = [rng.random() for _ in range(20_000)]
    labels = [rng.random() < true(p) for p in raw]
    scale = fit(raw, labels)
    assert scale.slope == pytest.approx(0.5, abs=0.05) and scale.intercept == pytest.approx(-1.0, abs=0.05)
    assert calibration_error(raw, labels) > 0.1 > 0.02 > calibration_error(held_out(raw, labels), labels)


def test_scale_is_where_the_likelihood_is_highest() -> None:
    """No small change of slope or intercept makes the (drawn in) labels likelier."""
    rng = random.Random(1)
    raw = [rng.random() for _ in range(60)]
    labels = [rng.random() < p for p in raw]
    high, low = (sum(labels) + 1) / (sum(labels) + 2), 1 / (60 - sum(labels) + 2)

    def loss(scale: Scale) -> float:
        targets = [high if label else low for label in labels]
        return -sum(t * math.log(scale(p)) + (1 - t) * math.log(1 - scale(p)) for p, t in zip(raw, targets, strict=True))

    best = fit(raw, labels)
    moved = [Scale(best.slope + a, best.intercept + b) for a in (-0.01, 0, 0.01) for b in (-0.01, 0, 0.01)]
    assert all(loss(best) <= loss(each) + 1e-12 for each in moved)


def test_held_out_uses_no_label_of_its_own() -> None:
    """Where probabilities tell nothing, a pair's own label moves its class's scale, never its own: both classes look alike."""
    raw, labels = [0.5] * 40, [index < 20 for index in range(40)]
    assert held_out(raw, labels) == pytest.approx([0.5] * 40, abs=1e-9)
    wrong = [0.95] * 20 + [0.05] * 20 + [0.95]
    assert held_out(wrong, [*labels, False])[-1] > 0.8


def test_the_order_of_labels_does_not_matter() -> None:
    """A judge that ranks every pair right is told to be right, though every fifth label is bad."""
    labels = [index % 5 > 0 for index in range(100)]
    raw = [0.9 + index / 2000 if label else 0.1 + index / 2000 for index, label in enumerate(labels)]
    assert all((p >= 0.5) == label for p, label in zip(held_out(raw, labels), labels, strict=True))


@given(LABELLED)
def test_every_pair_is_in_one_bin(pairs: list[tuple[float, bool]]) -> None:
    """The reliability table loses no pair, and its mean probability is that of the pairs."""
    probabilities, labels = [p for p, _ in pairs], [label for _, label in pairs]
    bins = reliability(probabilities, labels)
    assert sum(count for _, _, count in bins) == len(pairs)
    assert sum(mean * count for mean, _, count in bins) == pytest.approx(sum(probabilities))
    assert sum(share * count for _, share, count in bins) == pytest.approx(sum(labels))
