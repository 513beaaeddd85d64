"""How sure a number is: intervals, paired tests and averages that carry their standard error.

Everything here works on fractions (0 to 1) and plain sequences; nothing reads files or models.

>>> from hala.evals.statistics import wilson
>>> low, high = wilson(8, 10)
>>> round(low, 3), round(high, 3)
(0.49, 0.943)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hala.errors import InputError

Z95 = 1.959963984540054  # the normal quantile of 0.975
SAMPLES = 1000
SEED = 12345


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fraction with its standard error `se` and 95% interval over `n` items."""

    value: float
    se: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better a system is than its base on the same `n` items: `value` = system - base, with 95% interval.

    `p` is two-sided. `wins`, `losses` and `ties` count items. The unit is that of the compared scores.
    """

    name: str
    value: float
    low: float
    high: float
    p: float
    n: int
    wins: int
    losses: int
    ties: int
    signature: str


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion, sound for small `n` and at 0 or 1. Source: Wilson 1927, JASA 22(158)."""
    if not 0 <= hits <= n or n == 0:
        raise InputError(f"cannot make an interval from {hits} hits in {n} items.", "Score at least one item.")
    p = hits / n
    shrink = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding may leave the bound a hair inside p when p is 0 or 1.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def accuracy(correct: Sequence[bool]) -> Estimate:
    """Share of right answers, its sample standard error (n - 1) and its Wilson interval."""
    n = len(correct)
    hits = sum(map(bool, correct))
    low, high = wilson(hits, n)
    p = hits / n
    return Estimate(p, math.sqrt(p * (1 - p) / (n - 1)) if n > 1 else 0.0, n, low, high)


def macro(parts: Sequence[Estimate]) -> Estimate:
    """Unweighted mean over independent parts; SE = sqrt(sum SE_k^2) / K, interval by the normal law within [0, 1].

    One part is its own mean and keeps its interval. A suite is a macro of macros. Source: Miller 2024, arXiv 2411.00640.
    """
    if not parts:
        raise InputError("cannot average nothing.", "Score at least one subset.")
    if len(parts) == 1:
        return parts[0]
    k = len(parts)
    value = math.fsum(part.value for part in parts) / k
    se = math.sqrt(math.fsum(part.se**2 for part in parts)) / k
    n = sum(part.n for part in parts)
    return Estimate(value, se, n, max(0.0, value - Z95 * se), min(1.0, value + Z95 * se))


def bootstrap_accuracy(correct: Sequence[bool], samples: int = SAMPLES, seed: int = SEED) -> tuple[float, float]:
    """Percentile bootstrap interval (95%) of an accuracy.

    Resampling n yes/no items with replacement is one binomial draw, so no item is ever copied.
    """
    import numpy as np

    n = len(correct)
    if n == 0:
        raise InputError("cannot resample nothing.", "Score at least one item.")
    p = sum(map(bool, correct)) / n
    low, high = np.percentile(np.random.default_rng(seed).binomial(n, p, size=samples) / n, [2.5, 97.5])
    return min(float(low), p), max(float(high), p)


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p of McNemar's test: how surprising is this split of the discordant pairs under a fair coin?

    Source: McNemar 1947, Psychometrika 12(2); exact binomial form. Integers throughout, so large counts stay exact.
    """
    n = wins + losses
    if n == 0:
        return 1.0
    term, total = 1, 0
    for k in range(min(wins, losses) + 1):
        total += term
        term = term * (n - k) // (k + 1)
    return min(1.0, float(2 * total / (1 << n)))


def paired_difference(
    base: Sequence[bool], system: Sequence[bool], strata: Sequence[str] | None = None, samples: int = SAMPLES, seed: int = SEED
) -> Difference:
    """Accuracy of `system` minus that of `base` on the same items, as a fraction.

    With `strata` (one label per item) the value is the unweighted mean of the strata's differences and each stratum is
    resampled by itself. The interval is a percentile bootstrap over pairs; `p` is McNemar's over all pairs.
    Raises InputError when the lengths differ or nothing is given.
    """
    import numpy as np

    labels = [""] * len(base) if strata is None else list(strata)
    if not base or not len(base) == len(system) == len(labels):
        raise InputError(
            f"a paired comparison needs the same items: {len(base)} base, {len(system)} system, {len(labels)} strata.",
            "Score both models on the same benchmark.",
        )
    counts: dict[str, list[int]] = {}
    for label, before, after in zip(labels, base, system, strict=True):
        counts.setdefault(label, [0, 0, 0])[1 + bool(after) - bool(before)] += 1
    rng = np.random.default_rng(seed)
    values, draws = [], np.zeros(samples)
    for label in sorted(counts):
        lost, same, won = counts[label]
        n = lost + same + won
        values.append((won - lost) / n)
        drawn = rng.multinomial(n, [lost / n, same / n, won / n], size=samples)
        draws += (drawn[:, 2] - drawn[:, 0]) / n / len(counts)
    value = math.fsum(values) / len(values)
    low, high = np.percentile(draws, [2.5, 97.5])
    losses, ties, wins = (sum(column) for column in zip(*counts.values(), strict=True))
    kind = "micro" if strata is None else "macro"
    return Difference(
        "accuracy", value, min(float(low), value), max(float(high), value), mcnemar(wins, losses), len(base), wins, losses, ties,
        f"avg:{kind}|ci:paired-bootstrap|bs:{samples}|seed:{seed}|p:mcnemar-exact",
    )  # fmt: skip
