"""How sure a number is: intervals, paired tests and averages that carry their standard error.

Everything here works on fractions (0 to 1) and plain sequences; nothing reads files or models.

>>> from hala.evals.statistics import wilson
>>> low, high = wilson(8, 10)
>>> round(low, 3), round(high, 3)
(0.49, 0.943)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hala.errors import InputError

Z95 = 1.959963984540054  # the normal quantile of 0.975
SAMPLES = 1000
TRIALS = 10_000
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
    return _wilson(hits / n, n, z)


def _wilson(p: float, n: float, z: float = Z95) -> tuple[float, float]:
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

    One part is its own mean and keeps its interval. A suite is a macro of macros. A part of one answer, or whose answers are all
    right or all wrong, has the standard error of Agresti and Coull instead of none. Source: Miller 2024, arXiv 2411.00640.
    """
    if not parts:
        raise InputError("cannot average nothing.", "Score at least one subset.")
    if len(parts) == 1:
        return parts[0]
    k = len(parts)
    value = math.fsum(part.value for part in parts) / k
    se = math.sqrt(math.fsum((part.se or _agresti_coull(part)) ** 2 for part in parts)) / k
    n = sum(part.n for part in parts)
    return Estimate(value, se, n, max(0.0, value - Z95 * se), min(1.0, value + Z95 * se))


def _agresti_coull(part: Estimate) -> float:
    """The standard error after two right and two wrong answers more. Source: Agresti and Coull 1998, Am. Stat. 52(2)."""
    p = (part.value * part.n + 2) / (part.n + 4)
    return math.sqrt(p * (1 - p) / (part.n + 4))


def clustered_accuracy(correct: Sequence[bool], clusters: Sequence[str]) -> Estimate:
    """Share of right answers where the items of a cluster (the questions on one passage) are no independent draws.

    The standard error is cluster-robust: that of independent items plus what the items of a cluster have in common (Miller 2024,
    arXiv 2411.00640, section 2.2). The interval is Wilson's with as many items as independent ones would give that error, never
    more than there are; where all answers are equal, that is the number of clusters. Clusters of one give `accuracy`.
    """
    plain, groups = accuracy(correct), _by_cluster(correct, clusters)
    n, p = plain.n, plain.value
    if len(groups) == n:
        return plain
    together = math.fsum((sum(group) - len(group) * p) ** 2 - sum((one - p) ** 2 for one in group) for group in groups)
    se = math.sqrt(max(0.0, plain.se**2 + together / n**2))
    effective = min(float(n), p * (1 - p) / se**2 + 1) if se > 0 and 0 < p < 1 else float(len(groups))
    low, high = _wilson(p, max(effective, 1.0))
    return Estimate(p, se, n, low, high)


def _by_cluster(values: Sequence[bool], clusters: Sequence[str]) -> list[list[bool]]:
    if len(values) != len(clusters):
        raise InputError(f"{len(values)} answers in {len(clusters)} clusters.", "Give one cluster label per answer.")
    groups: dict[str, list[bool]] = {}
    for value, label in zip(values, clusters, strict=True):
        groups.setdefault(label, []).append(bool(value))
    return list(groups.values())


def bootstrap_accuracy(
    correct: Sequence[bool], samples: int = SAMPLES, seed: int = SEED, clusters: Sequence[str] | None = None
) -> tuple[float, float]:
    """Percentile bootstrap interval (95%) of an accuracy; with `clusters` (one label an item) whole clusters are drawn.

    Resampling n yes/no items with replacement is one binomial draw, so no item is ever copied.
    """
    import numpy as np

    n = len(correct)
    if n == 0:
        raise InputError("cannot resample nothing.", "Score at least one item.")
    p, rng = sum(map(bool, correct)) / n, np.random.default_rng(seed)
    if clusters is None:
        drawn = rng.binomial(n, p, size=samples) / n
    else:
        groups = _by_cluster(correct, clusters)
        sums = np.array([(sum(group), len(group)) for group in groups], dtype=float)  # (cluster, [right, items])
        picks = (np.bincount(rng.integers(len(groups), size=len(groups)), minlength=len(groups)) @ sums for _ in range(samples))
        drawn = np.array([right / items for right, items in picks])
    low, high = np.percentile(drawn, [2.5, 97.5])
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
    base: Sequence[bool], system: Sequence[bool], strata: Sequence[str] | None = None, samples: int = SAMPLES, seed: int = SEED,
    *, clusters: Sequence[str] | None = None, weights: Mapping[str, float] | None = None,
) -> Difference:  # fmt: skip
    """Accuracy of `system` minus that of `base` on the same items, as a fraction.

    With `strata` (one label per item) the value is the mean of the strata's differences and each stratum is resampled by itself;
    `weights` (summing to 1, equal by default) says how much each counts. The interval is a percentile bootstrap over pairs, or
    over `clusters` of pairs (one label an item, within a stratum). `p` is McNemar's over all pairs; where items are clustered or
    weighted, it is that of swapping the two models' answers at random, cluster by cluster, see `_swap_p`.
    Raises InputError when the lengths differ or nothing is given.
    """
    import numpy as np

    labels = [""] * len(base) if strata is None else list(strata)
    groups: Sequence[Any] = range(len(base)) if clusters is None else clusters
    if not base or not len(base) == len(system) == len(labels) == len(groups):
        raise InputError(
            f"a paired comparison needs the same items: {len(base)} base, {len(system)} system, {len(labels)} strata.",
            "Score both models on the same benchmark.",
        )
    gains = [bool(after) - bool(before) for before, after in zip(base, system, strict=True)]
    wins, losses = gains.count(1), gains.count(-1)
    sums: dict[str, dict[Any, list[int]]] = {}  # stratum -> cluster -> [gains, items]
    for label, group, gain in zip(labels, groups, gains, strict=True):
        cell = sums.setdefault(label, {}).setdefault(group, [0, 0])
        cell[0] += gain
        cell[1] += 1
    shares = weights or dict.fromkeys(sums, 1 / len(sums))
    rng = np.random.default_rng(seed)
    values, parts, draws = [], [], np.zeros(samples)
    for label in sorted(sums):
        cells = np.array(list(sums[label].values()), dtype=float)
        values.append(shares[label] * cells[:, 0].sum() / cells[:, 1].sum())
        parts.append(shares[label] * cells[:, 0] / cells[:, 1].sum())
        draws += shares[label] * _drawn_mean(rng, cells, samples)
    value = math.fsum(values)
    low, high = np.percentile(draws, [2.5, 97.5])
    lone = all(cell[1] == 1 for cells in sums.values() for cell in cells.values())
    plain = lone and len(sums) == 1  # else items count differently, and the tested number must be the printed one
    p = mcnemar(wins, losses) if plain else _swap_p(np.concatenate(parts), np.random.default_rng(seed))
    kind = "micro" if strata is None else "macro" if weights is None else "weighted"
    drawn = "" if lone else f"|clusters:{sum(map(len, sums.values()))}"
    return Difference(
        "accuracy", value, min(float(low), value), max(float(high), value), p, len(base), wins, losses, len(base) - wins - losses,
        f"avg:{kind}|ci:paired-bootstrap|bs:{samples}|seed:{seed}{drawn}|p:"
        + ("mcnemar-exact" if plain else f"swap|trials:{TRIALS}"),
    )  # fmt: skip


def _drawn_mean(rng: Any, cells: Any, samples: int) -> Any:
    """Means (samples,) of one stratum whose clusters [gains, items] are drawn with replacement."""
    import numpy as np

    n = len(cells)
    if (cells[:, 1] == 1).all():  # single items: how often each of the three outcomes was drawn says it all
        shares = [float((cells[:, 0] == outcome).mean()) for outcome in (-1, 0, 1)]
        counts = rng.multinomial(n, shares, size=samples)
        return (counts[:, 2] - counts[:, 0]) / n
    picks = (np.bincount(rng.integers(n, size=n), minlength=n) @ cells for _ in range(samples))
    return np.array([gain / items for gain, items in picks])


def _swap_p(parts: Any, rng: Any) -> float:
    """Two-sided p of a sum of `parts` whose signs would be random if the models were alike: (c + 1) / (trials + 1).

    Source: Noreen 1989, approximate randomisation; a part is what one cluster adds to the difference.
    """
    import numpy as np

    parts = parts[parts != 0]
    if not len(parts):
        return 1.0
    hits, step, observed = 0, max(1, (1 << 22) // len(parts)), abs(float(parts.sum()))
    for begin in range(0, TRIALS, step):
        signs = rng.integers(2, size=(min(step, TRIALS - begin), len(parts))) * 2.0 - 1
        hits += int((np.abs(signs @ parts) >= observed - 1e-12).sum())
    return (hits + 1) / (TRIALS + 1)


def bootstrap_mean(values: Sequence[float], samples: int = SAMPLES, seed: int = SEED) -> tuple[float, float]:
    """Percentile bootstrap interval (95%) of a mean, widened to hold the mean itself."""
    import numpy as np

    if not len(values):
        raise InputError("cannot resample nothing.", "Score at least one item.")
    drawn = _drawn_means(np.asarray(values, dtype=float), samples, seed)
    mean = math.fsum(values) / len(values)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return min(float(low), mean), max(float(high), mean)


def _drawn_means(values: Any, samples: int, seed: int) -> Any:
    """Means (samples,) of items drawn with replacement."""
    import numpy as np

    n, rng = len(values), np.random.default_rng(seed)
    return np.array([np.bincount(rng.integers(n, size=n), minlength=n) @ values for _ in range(samples)]) / n


def paired_means(
    name: str, base: Sequence[float], system: Sequence[float], samples: int = SAMPLES, seed: int = SEED
) -> Difference:
    """Mean of `system` minus mean of `base` over the same items, in their unit: a paired bootstrap interval, and the p of
    swapping the two systems' values at random, item by item (`_swap_p`). Raises InputError when the numbers of items differ."""
    import numpy as np

    if not len(base) or len(base) != len(system):
        raise InputError(
            f"a paired comparison needs the same items: {len(base)} base, {len(system)} system.", "Score both on the same items."
        )
    gains = np.asarray(system, dtype=float) - np.asarray(base, dtype=float)
    value, (low, high) = math.fsum(gains) / len(gains), bootstrap_mean(gains, samples, seed)
    p = _swap_p(gains, np.random.default_rng(seed))
    wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
    signature = f"ci:paired-bootstrap|bs:{samples}|seed:{seed}|p:swap|trials:{TRIALS}"
    return Difference(name, value, low, high, p, len(gains), wins, losses, len(gains) - wins - losses, signature)


def holm(ps: Sequence[float]) -> list[float]:
    """The p values adjusted for being several, in their order: below 0.05 if Holm's procedure at 5% calls them significant.

    Whatever depends on whatever, the chance of one false call among all is at most 5%. Source: Holm 1979, Scand. J. Stat. 6(2).
    """
    order = sorted(range(len(ps)), key=lambda at: ps[at])
    adjusted, floor = [0.0] * len(ps), 0.0
    for rank, at in enumerate(order):
        floor = max(floor, min(1.0, (len(ps) - rank) * ps[at]))
        adjusted[at] = floor
    return adjusted


def marginal_homogeneity(chosen: Sequence[int], right: Sequence[int]) -> float:
    """p that a model chooses each position as often as the position is right, given on the same items.

    Stuart and Maxwell's test: McNemar's for more than two positions, a chi-square of the differences of the marginals. It looks
    only at items where the two differ, so a good model needs no correction for being right. 1.0 where nothing differs.
    Source: Stuart 1955, Biometrika 42(3); Maxwell 1970, Br. J. Psychiatry 116.
    """
    import numpy as np

    if len(chosen) != len(right):
        raise InputError(f"{len(chosen)} choices for {len(right)} right answers.", "Give one of each per item.")
    k = max([*chosen, *right], default=0) + 1
    table = np.zeros((k, k))
    np.add.at(table, (list(chosen), list(right)), 1)
    differences = table.sum(1) - table.sum(0)
    spread = np.diag(table.sum(1) + table.sum(0)) - table - table.T
    rank = int(np.linalg.matrix_rank(spread))
    if rank == 0:
        return 1.0
    return chi_square_p(float(differences @ np.linalg.pinv(spread) @ differences), rank)


def chi_square_p(value: float, freedom: int) -> float:
    """Chance that a chi-square variable of `freedom` degrees exceeds `value`: the incomplete gamma function in closed form."""
    x = value / 2
    if x <= 0:
        return 1.0
    half = freedom % 2 / 2
    total = math.erfc(math.sqrt(x)) if half else math.exp(-x)
    a = half or 1.0
    while a < freedom / 2:
        total += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return min(1.0, total)
