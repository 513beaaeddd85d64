"""Merging checkpoints of one architecture, block by block: memory does not grow with the model, all cores work.

Weights that moved little (an angle under 1.8 degrees, which covers most fine-tunes) are mixed on a straight line by slerp too,
because there the two agree to within a BF16 rounding. Give float32 masters when there are any: at 0.1-0.3 % change, merging BF16
files loses as much as the merge gains. The report says for every tensor which way it went.

    report = merge(Path("LFM2-350M"), Path("tuned"), Path("merged"), t=0.5)
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hala.errors import InputError, RecipeError
from hala.weights import methods
from hala.weights.checkpoint import Array, complete_config, fingerprint, numpy_dtype, open_checkpoint, read_into
from hala.weights.groups import Schedule
from hala.weights.headers import TensorInfo
from hala.weights.layout import SHARD_BYTES, Output, Unit
from hala.weights.methods import TWO_ENDS, Blocks, Recipe
from hala.weights.methods import Mix as Mix
from hala.weights.numerics import BLOCK, Scratch, finite, generator, narrow, narrow_at_random, widen
from hala.weights.preflight import FLOATS, OUT_DTYPES, preflight
from hala.weights.writer import Job, Progress, Write, build

HELD_BYTES = 1 << 26  # tensors up to this size, of all checkpoints together, stay in memory between the two passes
HALFWAY = Mix()  # slerp at t = 0.5
LOCAL = threading.local()  # one Scratch for each thread


@dataclass(frozen=True, slots=True)
class MergedTensor:
    """One merged tensor: its `t`, cosine and `angle` (degrees) of base and first tuned, `change` = ||tuned - base|| / ||base||.

    `branch` is `slerp`, `linear`, or `same` when both ends are equal (and `base`/`tuned` at t = 0 and 1); for methods with
    several models it is the method.
    """

    name: str
    branch: str
    t: float
    cosine: float
    angle: float
    change: float


@dataclass(frozen=True, slots=True)
class MergeReport:
    """All tensors in name order, how they were merged, and what the user should know."""

    method: str
    tensors: tuple[MergedTensor, ...]
    warnings: tuple[str, ...] = ()

    @property
    def branches(self) -> dict[str, int]:
        """How many tensors went each way."""
        names = sorted({tensor.branch for tensor in self.tensors})
        return {name: sum(tensor.branch == name for tensor in self.tensors) for name in names}

    @property
    def summary(self) -> str:
        """One sentence about what the method did to this pair."""
        lines, moved = self.branches.get("linear", 0), sum(tensor.branch != "same" for tensor in self.tensors)
        if self.method != "slerp" or not lines:
            return ", ".join(f"{count} {branch}" for branch, count in self.branches.items())
        return (
            f"slerp was a straight line in {lines} of {moved} tensors that differ: tuning moved them by under 1.8 degrees, "
            "where sphere and line agree"
        )


def merge(
    base: str | Path,
    tuned: str | Path | Sequence[str | Path],
    dst: str | Path,
    mix: Mix = HALFWAY,
    *,
    t: Schedule | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
    threads: int | None = None,
) -> MergeReport:
    """The report of the merge written to `dst`; slerp and linear give `base` at t = 0 and `tuned` at t = 1, exactly.

    `mix.dtype` (`float32`, `bfloat16`, `float16`) is that of the float tensors; by default each keeps the tuned checkpoint's.
    Tokenizer, template, config and hala.json come from the first tuned model. An interrupted call continues, with the same bytes.
    Raises: InputError naming a missing or differently shaped tensor, RecipeError for a wrong setting, DriftError, DiskError.
    """
    mix = mix if t is None else replace(mix, t=t)
    ends = [open_checkpoint(path) for path in (base, *([tuned] if isinstance(tuned, str | Path) else tuned))]
    recipes, warnings = preflight(ends, mix)
    ours = ends[1].tensors
    job = Job(
        settings={
            **json.loads(json.dumps(asdict(mix))),
            "shard_bytes": shard_bytes,
            "models": [fingerprint(end) for end in ends],
        },
        units=tuple(plan_unit(info, mix.dtype) for info in ours.values()),
        config=merged_config(ends[1].config, mix.dtype),
        side=ends[1].path,
        report="merge.json",
        shard_bytes=shard_bytes,
    )
    outputs = {unit.key: unit.outputs[0] for unit in job.units}

    def make(name: str, write: Write) -> dict[str, Any]:
        return asdict(merge_tensor([end.tensors[name] for end in ends], outputs[name], recipes[name], mix.rounding, write))

    notes = build(Path(dst), job, make, progress, threads)
    return MergeReport(mix.method, tuple(MergedTensor(**note) for note in notes), warnings)


def plan_unit(info: TensorInfo, dtype: str | None) -> Unit:
    """The one output of a tensor; only floats change dtype."""
    kind = OUT_DTYPES[dtype] if dtype and info.dtype in FLOATS else info.dtype
    return Unit(info.name, (Output(info.name, kind, info.shape),))


def merged_config(config: dict[str, Any], dtype: str | None) -> dict[str, Any]:
    """The tuned model's config with the dtype of the merge."""
    config = complete_config(config)
    if dtype:
        config = {key: value for key, value in config.items() if key != "torch_dtype"} | {"dtype": dtype}
    return config


class Stack:
    """One tensor of every checkpoint, side by side. Small ones are kept in memory after one reading, for a merge goes over its
    tensors twice; larger ones are read block by block each time.
    """

    def __init__(self, infos: Sequence[TensorInfo], scratch: Scratch) -> None:
        self.infos, self.scratch = infos, scratch
        self.held: list[Array] = []
        if sum(info.size for info in infos) <= HELD_BYTES:
            self.held = [self.read(f"held {number}", info, 0, info.count) for number, info in enumerate(infos)]

    def read(self, name: str, info: TensorInfo, first: int, count: int) -> Array:
        """Elements of a tensor as they are stored, in the buffer of that name."""
        raw = self.scratch.take(name, (count,), numpy_dtype(info.dtype))
        read_into(info, first, raw)
        return raw

    def stored(self, number: int) -> Iterator[tuple[int, Array]]:
        """The blocks of one checkpoint's tensor as they are stored."""
        info = self.infos[number]
        for first in range(0, info.count, BLOCK):
            count = min(BLOCK, info.count - first)
            if self.held:
                yield first, self.held[number][first : first + count]
            else:
                yield first, self.read(f"raw {number}", info, first, count)

    def blocks(self, count: int | None = None) -> Iterator[methods.Block]:
        """The first `count` tensors in float32 blocks that the next step overwrites; None means all."""
        for parts in zip(*(self.stored(number) for number in range(len(self.infos))[:count]), strict=True):
            values = [self.scratch.take(f"values {n}", raw.shape, np.dtype(np.float32)) for n, (_, raw) in enumerate(parts)]
            for (_, raw), wide in zip(parts, values, strict=True):
                widen(raw, wide)
            for info, wide in zip(self.infos[2:], values[2:], strict=False):  # `measure` sees the first two
                if not np.isfinite(wide).all():
                    raise damaged(info)
            yield parts[0][0], values

    def first_damaged(self) -> TensorInfo | None:
        """The first of the tensors with a NaN or Inf, in float32."""
        for number, info in enumerate(self.infos):
            for _, raw in self.stored(number):
                wide = self.scratch.take("wide", raw.shape, np.dtype(np.float32))
                widen(raw, wide)
                if not np.isfinite(wide).all():
                    return info
        return None


def damaged(info: TensorInfo) -> InputError:
    """The error for a tensor that holds what is no number."""
    what = f"tensor {info.name} has NaN or Inf values in {info.file}."
    return InputError(what, "This checkpoint is damaged or diverged; make or download it again.")


def merge_tensor(infos: Sequence[TensorInfo], output: Output, recipe: Recipe, rounding: str, write: Write) -> MergedTensor:
    """Writes the merged tensor; `infos` are base and tuned. Raises: InputError, RecipeError when it does not fit."""
    scratch = LOCAL.__dict__.setdefault("scratch", Scratch())
    stack = Stack(infos, scratch)
    if output.dtype not in FLOATS:
        return copy_equal(stack, output, recipe.t, write)
    geometry = methods.measure(lambda: stack.blocks(2))
    if not math.isfinite(geometry.change):
        if info := stack.first_damaged():
            raise damaged(info)
        where = f"tensor {output.name} of {infos[0].file} or {infos[1].file} has values too large for sums of squares in float32."
        raise InputError(where, "Weights are a million million times smaller; one of the checkpoints diverged.")
    branch, combine = choose(infos, recipe, geometry, stack.blocks)
    end = {"same": int(recipe.t > 0), "tuned": 1, "base": 0}.get(branch)
    dtype = numpy_dtype(output.dtype)
    if end is not None and numpy_dtype(infos[end].dtype) == dtype:
        for first, raw in stack.stored(end):
            write(output.name, first, raw)
    else:
        for first, values in stack.blocks():
            with np.errstate(over="ignore", invalid="ignore"):  # seen in the result
                merged: Array = values[end] if end is not None else combine(first, values)
            if rounding == "stochastic":
                rounded = narrow_at_random(merged, dtype, scratch, generator(recipe.seed, output.name, first))
            else:
                rounded = narrow(merged, dtype, scratch)
            if not finite(rounded, scratch):
                raise too_large(output)
            write(output.name, first, rounded)
    return MergedTensor(output.name, branch, recipe.t, geometry.cosine, geometry.angle, geometry.change)


def too_large(output: Output) -> RecipeError:
    """The error for a result that its dtype cannot hold."""
    kind = next((name for name, code in OUT_DTYPES.items() if code == output.dtype), "float64")
    wider = {"float16": "Choose dtype: bfloat16 or float32.", "bfloat16": "Choose dtype: float32, or a smaller t."}
    return RecipeError(
        f"the merge gives values beyond {kind} in tensor {output.name}.",
        wider.get(kind, "Choose a smaller t or smaller weights."),
    )


def choose(infos: Sequence[TensorInfo], recipe: Recipe, geometry: methods.Geometry, blocks: Blocks) -> tuple[str, Any]:
    """The branch, and the function that merges a block."""
    if recipe.method in TWO_ENDS:
        low, high, branch = methods.coefficients(geometry.cosine, recipe.method, recipe.t)
        if not geometry.change or recipe.t in (0, 1):
            branch = "same" if not geometry.change else "base" if recipe.t == 0 else "tuned"
        return branch, lambda _, values: methods.two_ends(values, low, high)
    if recipe.method == "soup":
        return "soup", lambda _, values: methods.soup(values, recipe.weights)
    count, limits = infos[0].count, [0.0] * (len(infos) - 1)
    if recipe.method == "ties" and recipe.density < 1 and count:
        limits = methods.thresholds(blocks, count, recipe.density, len(infos) - 1)
    name = infos[0].name
    return recipe.method, lambda first, values: methods.add_changes(recipe, limits, name, first, values)


def copy_equal(stack: Stack, output: Output, t: float, write: Write) -> MergedTensor:
    """Writes a tensor of whole numbers. Raises: InputError when the checkpoints do not agree on it."""
    base = stack.infos[0]
    for (first, raw), *others in zip(*(stack.stored(number) for number in range(len(stack.infos))), strict=True):
        for (_, other), info in zip(others, stack.infos[1:], strict=True):
            if other.tobytes() != raw.tobytes():
                where = f"tensor {output.name} is {output.dtype} and differs between {base.file} and {info.file}."
                raise InputError(where, "Only float tensors can be merged.")
        write(output.name, first, raw)
    return MergedTensor(output.name, "same", t, 1.0, 0.0, 0.0)
