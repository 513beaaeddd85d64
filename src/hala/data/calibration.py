"""How far a judge can be trusted: its agreement with labels that people gave, and probabilities that mean what they say.

>>> from hala.data.calibration import agreement
>>> found = agreement([True, True, False, False], [True, False, False, False])
>>> found.accuracy, found.kappa
(0.75, 0.5)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_EDGE = 1e-6
_FOLDS = 5
_BINS = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """Verdicts beside labels. `accuracy` is the share of equal ones, `kappa` what of it chance does not explain (-1 to 1)."""

    n: int
    good: int
    """Labelled good."""
    accepted: int
    """Accepted by the judge."""
    right: int
    """Both."""
    accuracy: float
    kappa: float

    @property
    def precision(self) -> float:
        """The share of accepted pairs that are good; 0 when none is accepted."""
        return self.right / self.accepted if self.accepted else 0.0

    @property
    def recall(self) -> float:
        """The share of good pairs that are accepted; 0 when none is good."""
        return self.right / self.good if self.good else 0.0


def agreement(said: Sequence[bool], labels: Sequence[bool]) -> Agreement:
    """Verdicts against labels, in the same order. Source of kappa: Cohen 1960.

    Where chance alone would agree on everything (one class on both sides) kappa is 1 if all are equal.
    """
    n, good, accepted = len(labels), sum(labels), sum(said)
    equal = sum(a == b for a, b in zip(said, labels, strict=True))
    right = sum(a and b for a, b in zip(said, labels, strict=True))
    observed = equal / n if n else 0.0
    chance = (good * accepted + (n - good) * (n - accepted)) / n**2 if n else 0.0
    kappa = (observed - chance) / (1 - chance) if chance < 1 else 1.0
    return Agreement(n, good, accepted, right, observed, kappa)


def area(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """The chance that a good pair gets a higher probability than a bad one, ties count half: the area under the ROC curve.

    0.5 when one of the classes is empty. Source: Mann and Whitney 1947.
    """
    positive, negative = sum(labels), len(labels) - sum(labels)
    if not positive or not negative:
        return 0.5
    ranked = sorted(zip(probabilities, labels, strict=True))
    rank_sum, start = 0.0, 0
    while start < len(ranked):
        end = start
        while end < len(ranked) and ranked[end][0] == ranked[start][0]:
            end += 1
        rank_sum += (start + 1 + end) / 2 * sum(label for _, label in ranked[start:end])
        start = end
    return (rank_sum - positive * (positive + 1) / 2) / (positive * negative)


@dataclass(frozen=True, slots=True)
class Scale:
    """A line on the log-odds of a probability: what a judge calls 0.99 may be right two times in three."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probability: float) -> float:
        """The calibrated probability, 0 to 1."""
        return _sigmoid(self.slope * _log_odds(probability) + self.intercept)


def fit(probabilities: Sequence[float], labels: Sequence[bool]) -> Scale:
    """The scale under which the labels are likeliest. Targets are drawn in by one count a class, so that it stays finite.

    Never turned round: a judge that is worse than chance gets slope 0, the same probability for every pair.
    Source: Platt 1999; solved by Newton's steps with halving (Lin, Lin and Weng 2007).
    """
    positive, negative = sum(labels), len(labels) - sum(labels)
    if not positive or not negative:
        return Scale(0.0, _log_odds((positive + 1) / (len(labels) + 2)))
    high, low = (positive + 1) / (positive + 2), 1 / (negative + 2)
    points = [(_log_odds(p), high if label else low) for p, label in zip(probabilities, labels, strict=True)]
    slope, intercept = 1.0, 0.0
    for _ in range(100):
        found = _step(points, slope, intercept)
        if max(map(abs, found)) < 1e-10:
            break
        size, before = 1.0, _loss(points, slope, intercept)
        while size > 1e-10 and _loss(points, slope - size * found[0], intercept - size * found[1]) > before:
            size /= 2
        slope, intercept = slope - size * found[0], intercept - size * found[1]
    return Scale(slope, intercept) if slope > 0 else Scale(0.0, _log_odds((positive + 1) / (len(labels) + 2)))


def _step(points: Sequence[tuple[float, float]], slope: float, intercept: float) -> tuple[float, float]:
    """Newton's step of the log-likelihood in (slope, intercept)."""
    first, second = [0.0, 0.0], [1e-12, 0.0, 1e-12]
    for x, target in points:
        p = _sigmoid(slope * x + intercept)
        first[0] += (p - target) * x
        first[1] += p - target
        weight = p * (1 - p)
        second[0] += weight * x * x
        second[1] += weight * x
        second[2] += weight
    determinant = second[0] * second[2] - second[1] ** 2
    if determinant < 1e-15:  # all points are one: only the intercept can move
        return 0.0, first[1] / second[2]
    return (
        (second[2] * first[0] - second[1] * first[1]) / determinant,
        (second[0] * first[1] - second[1] * first[0]) / determinant,
    )


def _loss(points: Sequence[tuple[float, float]], slope: float, intercept: float) -> float:
    total = 0.0
    for x, target in points:
        z = slope * x + intercept
        total += max(z, 0.0) - z * target + math.log1p(math.exp(-abs(z)))
    return total


def held_out(probabilities: Sequence[float], labels: Sequence[bool]) -> list[float]:
    """Each probability calibrated by a scale that was fitted without its fifth of the labels: what a new pair would get.

    The fifths are made within each class, whatever order the labels come in.
    """
    met = {True: 0, False: 0}
    folds = []
    for label in labels:
        folds.append(met[label] % _FOLDS)
        met[label] += 1
    found = [0.0] * len(labels)
    for fold in range(_FOLDS):
        inside = [index for index, own in enumerate(folds) if own != fold]
        scale = fit([probabilities[index] for index in inside], [labels[index] for index in inside])
        for index in (index for index, own in enumerate(folds) if own == fold):
            found[index] = scale(probabilities[index])
    return found


def reliability(probabilities: Sequence[float], labels: Sequence[bool]) -> list[tuple[float, float, int]]:
    """(mean probability, share that is good, pairs) of each tenth of the range that holds any."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for p, label in zip(probabilities, labels, strict=True):
        bins[min(_BINS - 1, int(p * _BINS))].append((p, label))
    return [(sum(p for p, _ in each) / len(each), sum(good for _, good in each) / len(each), len(each)) for each in bins if each]


def calibration_error(probabilities: Sequence[float], labels: Sequence[bool]) -> float:
    """How far probabilities and shares of good pairs lie apart, weighted by pairs, 0 to 1: the expected calibration error."""
    return sum(abs(mean - share) * count for mean, share, count in reliability(probabilities, labels)) / max(1, len(labels))


def _log_odds(p: float) -> float:
    p = min(1 - _EDGE, max(_EDGE, p))
    return math.log(p / (1 - p))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
