"""Merging checkpoints of one architecture, block by block: memory does not grow with the model, all cores work.

Weights that moved little (an angle under 1.8 degrees, which covers most fine-tunes) are mixed on a straight line by slerp too,
because there the two agree to within a BF16 rounding. Give float32 masters when there are any: at 0.1-0.3 % change, merging BF16
files loses as much as the merge gains. The report says for every tensor which way it went.

    report = merge(Path("LFM2-350M"), Path("tuned"), Path("merged"), t=0.5)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hala.errors import InputError, RecipeError
from hala.weights import exact_slerp, methods
from hala.weights.checkpoint import Array, complete_config, fingerprint, numpy_dtype, open_checkpoint
from hala.weights.groups import Schedule
from hala.weights.headers import TensorInfo
from hala.weights.layout import SHARD_BYTES, Output
from hala.weights.making import Making, Piece, Steps, Write, in_spans
from hala.weights.methods import TWO_ENDS, Recipe
from hala.weights.methods import Mix as Mix
from hala.weights.numerics import Scratch, finite, generator, narrow, narrow_at_random, scratch
from hala.weights.preflight import FLOATS, OUT_DTYPES, preflight
from hala.weights.stack import BLOCK, Stack, damaged
from hala.weights.writer import Job, Progress, build

Combine = Callable[[int, Sequence[Array]], Array]  # first element and float32 values of a block, which may be overwritten

AT_ONCE = 2  # tensors that are kept in memory between their two passes: one is written while the next is measured
HALFWAY = Mix()  # slerp at t = 0.5


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
            **({"conditions": exact_slerp.conditions()} if mix.mode == "exact" else {}),
        },
        outputs=tuple(output_of(info, mix.dtype) for info in ours.values()),
        config=merged_config(ends[1].config, mix.dtype),
        side=ends[1].path,
        report="merge.json",
        shard_bytes=shard_bytes,
    )
    outputs = {output.name: output for output in job.outputs}
    spare = [Scratch() for _ in range(AT_ONCE)]

    def make(name: str) -> Making:
        memory = spare.pop() if spare else None
        try:
            stack = Stack([end.tensors[name] for end in ends], memory)
            return asdict((yield from merge_tensor(stack, outputs[name], recipes[name], mix.rounding)))
        finally:
            if memory:
                spare.append(memory)

    notes = build(Path(dst), job, make, progress, threads)
    return MergeReport(mix.method, tuple(MergedTensor(**note) for note in notes), warnings)


def output_of(info: TensorInfo, dtype: str | None) -> Output:
    """What is written for a tensor; only floats change dtype."""
    return Output(info.name, OUT_DTYPES[dtype] if dtype and info.dtype in FLOATS else info.dtype, info.shape)


def merged_config(config: dict[str, Any], dtype: str | None) -> dict[str, Any]:
    """The tuned model's config with the dtype of the merge."""
    config = complete_config(config)
    if dtype:
        config = {key: value for key, value in config.items() if key != "torch_dtype"} | {"dtype": dtype}
    return config


def merge_tensor(stack: Stack, output: Output, recipe: Recipe, rounding: str) -> Steps[MergedTensor]:
    """Makes the merged tensor; the stack has base and tuned. Raises: InputError, RecipeError when it does not fit."""
    spans = list(in_spans(output.count, 2 * BLOCK))
    if output.dtype not in FLOATS:
        yield [Piece(*span, partial(copy_equal, stack, *span)) for span in spans]
        return MergedTensor(output.name, "same", recipe.t, 1.0, 0.0, 0.0)
    parts = yield [partial(stack.sums, *span) for span in spans]
    geometry = methods.geometry([block for part in parts for block in part])
    if not math.isfinite(geometry.change):
        raise not_finite(stack)
    branch, combine = yield from choose(stack, recipe, geometry)
    end = {"same": int(recipe.t > 0), "tuned": 1, "base": 0}.get(branch)
    if end is not None and recipe.mode != "exact" and stack.infos[end].dtype == output.dtype:
        yield [Piece(*span, partial(copy_end, stack, end, *span)) for span in spans]
    else:
        seed = recipe.seed if rounding == "stochastic" else None
        yield [Piece(*span, partial(merge_blocks, stack, combine, output, seed, *span)) for span in spans]
    return MergedTensor(output.name, branch, recipe.t, geometry.cosine, geometry.angle, geometry.change)


def choose(stack: Stack, recipe: Recipe, geometry: methods.Geometry) -> Steps[tuple[str, Combine]]:
    """The branch, and the function that merges a block."""
    if recipe.mode == "exact":
        low, high, branch = yield from exact_slerp.coefficients(stack, recipe.t)
        return branch if geometry.change else "same", lambda _, values: methods.two_ends(values, low, high)
    if recipe.method in TWO_ENDS:
        low, high, branch = methods.coefficients(geometry.cosine, recipe.method, recipe.t)
        if not geometry.change or recipe.t in (0, 1):
            branch = "same" if not geometry.change else "base" if recipe.t == 0 else "tuned"
            return branch, lambda _, values: values[int(recipe.t > 0) if branch == "same" else int(recipe.t)]
        return branch, lambda _, values: methods.two_ends(values, low, high)
    if recipe.method == "soup":
        return "soup", lambda _, values: methods.soup(values, recipe.weights)
    limits = [0.0] * (len(stack.infos) - 1)
    if recipe.method == "ties" and recipe.density < 1 and stack.count:
        (limits,) = yield [partial(methods.thresholds, stack.blocks, stack.count, recipe.density, len(limits))]
    name = stack.infos[0].name
    return recipe.method, lambda first, values: methods.add_changes(recipe, limits, name, first, values)


def merge_blocks(stack: Stack, combine: Combine, output: Output, seed: int | None, first: int, count: int, write: Write) -> None:
    """Writes merged blocks, rounded to nearest, or at random with a seed. Raises: RecipeError for what is too large."""
    dtype = numpy_dtype(output.dtype)
    for start, values in stack.blocks(None, first, count):
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the result
            merged = combine(start, values)
        if seed is None:
            rounded = narrow(merged, dtype, scratch())
        else:
            rounded = narrow_at_random(merged, dtype, scratch(), generator(seed, output.name, start))
        if not finite(rounded, scratch()):
            raise too_large(output)
        write(start, rounded)


def copy_end(stack: Stack, end: int, first: int, count: int, write: Write) -> None:
    """Writes blocks of one checkpoint as they are."""
    for start, raw in stack.stored(end, first, count):
        write(start, raw)


def copy_equal(stack: Stack, first: int, count: int, write: Write) -> None:
    """Writes blocks of whole numbers. Raises: InputError when the checkpoints do not agree on them."""
    base = stack.infos[0]
    for (start, raw), *others in zip(*(stack.stored(end, first, count) for end in range(len(stack.infos))), strict=True):
        for (_, other), info in zip(others, stack.infos[1:], strict=True):
            if other.tobytes() != raw.tobytes():
                where = f"tensor {base.name} is {base.dtype} and differs between {base.file} and {info.file}."
                raise InputError(where, "Only float tensors can be merged.")
        write(start, raw)


def not_finite(stack: Stack) -> InputError:
    """The error for sums that are no numbers."""
    if info := stack.first_damaged():
        return damaged(info)
    base, tuned = stack.infos[:2]
    where = f"tensor {base.name} of {base.file} or {tuned.file} has values too large for sums of squares in float32."
    return InputError(where, "Weights are a million million times smaller; one of the checkpoints diverged.")


def too_large(output: Output) -> RecipeError:
    """The error for a result that its dtype cannot hold."""
    kind = next((name for name, code in OUT_DTYPES.items() if code == output.dtype), "float64")
    wider = {"float16": "Choose dtype: bfloat16 or float32.", "bfloat16": "Choose dtype: float32, or a smaller t."}
    return RecipeError(
        f"the merge gives values beyond {kind} in tensor {output.name}.",
        wider.get(kind, "Choose a smaller t or smaller weights."),
    )
