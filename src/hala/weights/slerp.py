"""Merging two checkpoints of one architecture, tensor by tensor: slerp along the great circle, or a straight line.

Weights that moved little (an angle under 1.8 degrees, which covers most fine-tunes) are mixed on a straight line in both methods,
because there the two agree to within a BF16 rounding. Give float32 masters when there are any: at 0.1-0.3 % change, merging BF16
files loses as much as the merge gains. The report says for every tensor which way it went.

    report = merge(Path("LFM2-350M"), Path("tuned"), Path("merged"), t=0.5)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hala.errors import InputError, RecipeError, nearest
from hala.weights.checkpoint import DTYPES, Checkpoint, TensorInfo, complete_config, fingerprint, open_checkpoint
from hala.weights.writer import SHARD_BYTES, Job, Output, Progress, Unit, build

if TYPE_CHECKING:
    import torch

Method = Literal["slerp", "linear"]
METHODS = ("slerp", "linear")
OUT_DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
FLOATS = ("BF16", "F16", "F32", "F64")
LINEAR_ABOVE = 0.9995  # |cos| from which the great circle is a straight line, arccos = 1.812 degrees
NO_DIRECTION = 1e-8  # a norm up to this is not divided by
BLOCK = 250_000  # elements worked on at once; their copies stay in the processor's cache


@dataclass(frozen=True, slots=True)
class MergedTensor:
    """One merged tensor: cosine and `angle` (degrees) between the ends, `change` = ||tuned - base|| / ||base||, and its `branch`.

    `branch` is `slerp`, `linear`, or `same` when both ends are byte-equal (and `base`/`tuned` at t = 0 and 1).
    """

    name: str
    branch: str
    cosine: float
    angle: float
    change: float


@dataclass(frozen=True, slots=True)
class MergeReport:
    """All tensors in name order, and how they were merged."""

    method: str
    t: float
    tensors: tuple[MergedTensor, ...]

    @property
    def branches(self) -> dict[str, int]:
        """How many tensors went each way."""
        names = sorted({tensor.branch for tensor in self.tensors})
        return {name: sum(tensor.branch == name for tensor in self.tensors) for name in names}


def merge(
    base: str | Path,
    tuned: str | Path,
    dst: str | Path,
    method: Method = "slerp",
    t: float = 0.5,
    *,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> MergeReport:
    """The report of the merge written to `dst`; t = 0 gives the weights of `base`, t = 1 those of `tuned`, exactly.

    `dtype` (`float32`, `bfloat16`, `float16`) is that of the float tensors; by default each keeps the tuned checkpoint's.
    Tokenizer, template, config and hala.json come from `tuned`. An interrupted call continues and ends with the same bytes.
    Raises: InputError naming a missing or differently shaped tensor, RecipeError for a wrong setting, DriftError, DiskError.
    """
    if method not in METHODS:
        raise RecipeError(f"unknown method {method!r}.{nearest(method, METHODS)}", f"Choose one of: {', '.join(METHODS)}.")
    if not 0 <= t <= 1:
        raise RecipeError(f"t is {t}, outside 0..1.", "t = 0 is the base model, t = 1 the tuned one.")
    if dtype is not None and dtype not in OUT_DTYPES:
        raise RecipeError(f"unknown dtype {dtype!r}.{nearest(dtype, OUT_DTYPES)}", f"Choose one of: {', '.join(OUT_DTYPES)}.")
    ends = open_checkpoint(base), open_checkpoint(tuned)
    check_pair(*ends)
    prints = [fingerprint(end) for end in ends]
    job = Job(
        settings={"method": method, "t": t, "dtype": dtype, "shard_bytes": shard_bytes, "base": prints[0], "tuned": prints[1]},
        units=tuple(plan_unit(info, dtype) for info in ends[1].tensors.values()),
        config=merged_config(ends[1].config, dtype),
        side=ends[1].path,
        report="merge.json",
        shard_bytes=shard_bytes,
    )
    outputs = {unit.key: unit.outputs[0] for unit in job.units}
    notes = build(Path(dst), job, lambda name: make_tensor(ends, outputs[name], method, t), progress)
    return MergeReport(method, t, tuple(MergedTensor(**note) for note in notes))


def check_pair(base: Checkpoint, tuned: Checkpoint) -> None:
    """Nothing, or InputError saying why these two cannot be merged."""
    for end in (base, tuned):
        if "quantization_config" in end.config:
            raise InputError(f"{end.path} is quantised.", "Merge the unquantised checkpoints, then compress the result.")
    kinds = base.config.get("model_type"), tuned.config.get("model_type")
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{base.path} is a {kinds[0]} model, {tuned.path} a {kinds[1]} model.", "They must be of one architecture."
        )
    if alone := sorted(base.tensors.keys() ^ tuned.tensors.keys()):
        lacking = tuned.path if alone[0] in base.tensors else base.path
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        raise InputError(f"tensor {alone[0]} is missing in {lacking}{more}.", "Both checkpoints must hold the same tensors.")
    for name, info in base.tensors.items():
        other = tuned.tensors[name]
        if info.shape != other.shape:
            what = "vocabularies" if "embed_tokens" in name or "lm_head" in name else "models"
            fix = f"The {what} differ in size; only a model and its own fine-tune can be merged."
            raise InputError(f"tensor {name} is {list(info.shape)} in {base.path} and {list(other.shape)} in {tuned.path}.", fix)
        if (info.dtype in FLOATS) != (other.dtype in FLOATS):
            raise InputError(
                f"tensor {name} is {info.dtype} in {base.path} and {other.dtype} in {tuned.path}.", "Both must be unquantised."
            )


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


def make_tensor(
    ends: tuple[Checkpoint, Checkpoint], output: Output, method: str, t: float
) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """The merged tensor and its line of the report."""
    import torch

    dtype = getattr(torch, DTYPES[output.dtype][0])
    v0, v1 = (end.read(output.name) for end in ends)
    if output.dtype not in FLOATS:
        if not torch.equal(v0, v1):
            raise InputError(f"tensor {output.name} is {output.dtype} and differs.", "Only float tensors can be merged.")
        return [v1], asdict(MergedTensor(output.name, "same", 1.0, 0.0, 0.0))
    cosine, change = compare(v0, v1)
    if not math.isfinite(change):
        raise InputError(f"tensor {output.name} has NaN or Inf values.", "One of the two checkpoints is damaged or diverged.")
    w0, w1, branch = coefficients(cosine, method, t)
    if change == 0:
        branch, merged = "same", v1.to(dtype)
    elif t in (0, 1):
        branch, merged = ("base", v0.to(dtype)) if t == 0 else ("tuned", v1.to(dtype))
    else:
        merged = torch.empty(v1.shape, dtype=dtype)
        for out, a, b in zip(blocks(merged), blocks(v0), blocks(v1), strict=True):
            out.copy_(w0 * a.float() + w1 * b.float())
    angle = math.degrees(math.acos(cosine))
    return [merged], asdict(MergedTensor(output.name, branch, cosine, angle, change))


def compare(v0: torch.Tensor, v1: torch.Tensor) -> tuple[float, float]:
    """Cosine of the angle between two tensors seen as vectors, and ||v1 - v0|| / ||v0||.

    Summed in float64 and clipped to [-1, 1], where mergekit sums in float32 and does not clip: no NaN for parallel tensors.
    """
    dot = square0 = square1 = difference = 0.0
    for block0, block1 in zip(blocks(v0), blocks(v1), strict=True):
        a, b = block0.double(), block1.double()
        step = b - a
        dot += float(a @ b)
        square0 += float(a @ a)
        square1 += float(b @ b)
        difference += float(step @ step)
    norms = [math.sqrt(square) if math.sqrt(square) > NO_DIRECTION else 1.0 for square in (square0, square1)]
    cosine = max(-1.0, min(1.0, dot / (norms[0] * norms[1])))
    return cosine, math.sqrt(difference) / norms[0]


def coefficients(cosine: float, method: str, t: float) -> tuple[float, float, str]:
    """The weights of both ends and the branch taken.

    Source: mergekit 0.1.4 `slerp`: sin((1-t) angle) / sin(angle) and sin(t angle) / sin(angle), one angle for the whole tensor,
    applied to the tensors as they are (not normalised); a straight line where |cos| > 0.9995.
    """
    if method == "linear" or abs(cosine) > LINEAR_ABOVE:
        return 1 - t, t, "linear"
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle), "slerp"


def blocks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensor as flat views of at most `BLOCK` elements."""
    flat = tensor.view(-1)
    return (flat[start : start + BLOCK] for start in range(0, flat.numel(), BLOCK))
