"""Ways to merge tensors, on float32 blocks: what is measured over a whole tensor first, and what is then done to each block.

`slerp` and `linear` go from a base to one tuned model; `soup` is the weighted mean of any number; `task_arithmetic`, `ties` and
the two `dare` methods add what several models changed. Sources: mergekit 0.1.5 (formulas), TIES arXiv 2306.01708, DARE arXiv
2311.03099, task arithmetic arXiv 2212.04089, model soups arXiv 2203.05482.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hala.weights.checkpoint import Array
from hala.weights.groups import Schedule
from hala.weights.numerics import generator

Block = tuple[int, list[Array]]  # first element; float32 values of base and tuned models, which may be overwritten
Blocks = Callable[[], Iterator[Block]]
Sums = tuple[float, float, float]
LINEAR_ABOVE = 0.9995  # |cos| from which the great circle is a straight line, arccos = 1.812 degrees
NO_DIRECTION = 1e-8  # a norm up to this is not divided by
TWO_ENDS = ("slerp", "linear")
MODES = ("float64-sums", "exact")  # of slerp
METHODS = ("slerp", "linear", "soup", "task_arithmetic", "ties", "dare_linear", "dare_ties")
SPARSE = ("ties", "dare_linear", "dare_ties")


@dataclass(frozen=True, slots=True)
class Mix:
    """What to do: method, `t` (see `groups.values_for`), weights of the tuned models, density of sparse methods, rounding, and
    whether slerp sums as precisely as it can or exactly as mergekit does.
    """

    method: str = "slerp"
    t: Schedule = 0.5
    weights: tuple[float, ...] = ()
    density: float = 0.5
    dtype: str | None = None
    rounding: str = "nearest"
    seed: int = 0
    mode: str = "float64-sums"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one tensor is merged: `t` (where changes are added: a factor on their sum), weights of the tuned models, the share of
    each change that is kept (`density`), and the seed of what is dropped at random.
    """

    method: str
    t: float
    weights: tuple[float, ...]
    density: float = 1.0
    seed: int = 0
    mode: str = "float64-sums"


@dataclass(frozen=True, slots=True)
class Geometry:
    """A base and its tuned tensor seen as vectors: cosine and angle (degrees) between them, and ||tuned - base|| / ||base||."""

    cosine: float
    angle: float
    change: float


def measure(blocks: Blocks) -> Geometry:
    """The geometry of the first two tensors."""
    return geometry([sums(base, tuned) for _, (base, tuned, *_) in blocks()])


def sums(base: Array, tuned: Array) -> Sums:
    """What `geometry` needs of one block: |base|^2, |tuned - base|^2 and base.(tuned - base); `tuned` is used up."""
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and Inf come out as such
        aa = float(np.dot(base, base))
        np.subtract(tuned, base, out=tuned)
        return aa, float(np.dot(tuned, tuned)), float(np.dot(base, tuned))


def geometry(blocks: Sequence[Sums]) -> Geometry:
    """The geometry of two tensors from the sums of their blocks, which stay accurate for the smallest angles.

    With d = tuned - base: |base|^2, |d|^2 and base.d give the rest; sin^2 = (|base|^2 |d|^2 - (base.d)^2) / (|base| |tuned|)^2.
    Blocks are summed in float32, their sums in float64.
    """
    aa = dd = ad = 0.0
    for block in blocks:
        aa, dd, ad = aa + block[0], dd + block[1], ad + block[2]
    if not dd:
        return Geometry(1.0, 0.0, 0.0) if math.isfinite(aa) else Geometry(math.nan, math.nan, math.nan)
    bb, ab = max(aa + 2 * ad + dd, 0.0), aa + ad
    norms = [math.sqrt(square) if math.sqrt(square) > NO_DIRECTION else 1.0 for square in (aa, bb)]
    change = math.sqrt(dd) / norms[0]
    if not math.isfinite(change):
        return Geometry(math.nan, math.nan, change)
    cosine = max(-1.0, min(1.0, ab / (norms[0] * norms[1])))
    return Geometry(cosine, math.degrees(math.atan2(math.sqrt(max(aa * dd - ad * ad, 0.0)), ab)), change)


def coefficients(cosine: float, method: str, t: float) -> tuple[float, float, str]:
    """The weights of both ends and the branch taken.

    Source: mergekit 0.1.5 `slerp`: sin((1-t) angle) / sin(angle) and sin(t angle) / sin(angle), one angle for the whole tensor,
    applied to the tensors as they are (not normalised); a straight line where |cos| > 0.9995.
    """
    if method == "linear":
        return 1 - t, t, "linear"
    if abs(cosine) > LINEAR_ABOVE:
        place = np.float32(t)  # mergekit subtracts in float32, which matters above 0.5
        return float(np.float32(1) - place), float(place), "linear"
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle), "slerp"


def two_ends(values: Sequence[Array], low: float, high: float) -> Array:
    """low * base + high * tuned."""
    base, tuned = values
    base *= np.float32(low)
    tuned *= np.float32(high)
    base += tuned
    return base


def soup(values: Sequence[Array], weights: Sequence[float]) -> Array:
    """The weighted mean of the tuned models; the base only says how large everything is."""
    total = sum(weights)
    result = values[1] * np.float32(weights[0] / total)
    for tensor, weight in zip(values[2:], weights[1:], strict=True):
        result += tensor * np.float32(weight / total)
    return np.asarray(result)


def thresholds(blocks: Blocks, count: int, density: float, models: int) -> list[float]:
    """For each tuned model, the smallest |change| that belongs to the `density` share of largest ones; at least one is kept.

    Found in two rounds of counting the upper, then the lower 16 bits of the magnitudes, so memory does not grow with the tensor.
    """
    keep = max(1, int(density * count))
    uppers = counts(blocks, models, lambda bits, _: bits >> 16)
    places = [cut(row, keep) for row in uppers]
    lowers = counts(blocks, models, lambda bits, model: bits[bits >> 16 == places[model][0]] & 0xFFFF)
    return [
        float(np.uint32(upper << 16 | cut(row, rest)[0]).view(np.float32))
        for (upper, rest), row in zip(places, lowers, strict=True)
    ]


def counts(blocks: Blocks, models: int, bins: Callable[[Array, int], Array]) -> list[Array]:
    """For each tuned model, how many changes fall into each of 65,536 bins of their magnitude's bits."""
    found = [np.zeros(65_536, np.int64) for _ in range(models)]
    for _, (base, *tuned) in blocks():
        for model, tensor in enumerate(tuned):
            bits = np.abs(tensor - base).view(np.uint32)
            found[model] += np.bincount(bins(bits, model), minlength=65_536)
    return found


def cut(row: Array, keep: int) -> tuple[int, int]:
    """The bin in which the `keep`-th largest value lies, and the how-manieth largest of that bin it is."""
    above = np.cumsum(row[::-1])
    place = int(np.searchsorted(above, keep))
    return 65_535 - place, keep - int(above[place - 1] if place else 0)


def add_changes(recipe: Recipe, limits: Sequence[float], name: str, start: int, values: Sequence[Array]) -> Array:
    """base + t * the combined changes of the tuned models.

    Sparse methods keep a share of each change: the largest (`ties`) or a random one scaled up to the same mean (`dare_*`). With
    signs elected (`ties`, `dare_ties`), a change counts where it agrees with the sign of the weighted sum, and the sum is divided
    by the weights that counted.
    """
    base, *tuned = values
    total, weight_sum = np.zeros_like(base), np.zeros_like(base)
    changes = [sparsify(recipe, limits, name, start, model, tensor - base) for model, tensor in enumerate(tuned)]
    elected = None
    if recipe.method in ("ties", "dare_ties"):
        for change, weight in zip(changes, recipe.weights, strict=True):
            total += change * np.float32(weight)
        elected = np.where(total >= 0, np.float32(1), np.float32(-1))
        total[:] = 0
    for change, weight in zip(changes, recipe.weights, strict=True):
        counted = change * np.float32(weight)
        if elected is not None:
            agrees = np.sign(counted) == elected
            counted *= agrees
            weight_sum += np.float32(weight) * agrees
        total += counted
    if recipe.method == "ties":
        total /= np.where(np.abs(weight_sum) < 1e-8, np.float32(1), weight_sum)
    base += np.float32(recipe.t) * total
    return base


def sparsify(recipe: Recipe, limits: Sequence[float], name: str, start: int, model: int, change: Array) -> Array:
    """The part of one model's change that is kept."""
    if recipe.density >= 1 or recipe.method not in SPARSE:
        return change
    if recipe.method == "ties":
        change *= np.abs(change) >= np.float32(limits[model])
        return change
    kept = generator(recipe.seed + model, name, start).random(change.shape, dtype=np.float32) < recipe.density
    change *= kept
    change /= np.float32(recipe.density)
    return change
