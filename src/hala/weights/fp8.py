"""Data-free FP8 (W8A8): 8-bit weights with one scale per output channel, activations rounded per token when the model runs.

One tensor is in memory at a time and its arithmetic runs in row blocks, so a laptop can compress a 111B teacher. The result is a
compressed-tensors checkpoint that vLLM and transformers read. `float32-scale` divides once in float32; `exact` repeats
llm-compressor bit by bit, which rounds the scale and the quotient to the weight's own dtype first.

    report = compress(Path("LFM2-350M"), Path("LFM2-350M-FP8"))
    print(report.worst.name, report.worst.rel_error)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hala.errors import InputError, RecipeError, nearest
from hala.weights.checkpoint import Checkpoint, TensorInfo, complete_config, fingerprint, open_checkpoint
from hala.weights.writer import SHARD_BYTES, Job, Output, Progress, Unit, build

if TYPE_CHECKING:
    import torch

Mode = Literal["float32-scale", "exact"]
SCHEMES = ("fp8-dynamic",)
MODES = ("float32-scale", "exact")
FP8_MAX = 448.0  # largest finite float8_e4m3fn
BLOCK = 250_000  # elements worked on at once; their float32 copies stay in the processor's cache
FLOATS = ("BF16", "F16", "F32", "F64")
# Left out by default: the head and the routers of mixtures of experts lose the most and weigh the least.
IGNORE = ("lm_head", r"re:.*\.(gate|router|shared_expert_gate)$")
# Never quantised, because no engine can run them so: tables that are looked up, norms, convolutions.
CONVOLUTIONS = r"re:.*\.conv\.conv$"  # LFM2's, three-dimensional
FIXED = re.compile(r"(^|.*\.)(\w*embed\w*|wte|wpe|\w*norm\w*|ln_\w+)$")


@dataclass(frozen=True, slots=True)
class TensorReport:
    """What became of one tensor: `kind` is `fp8` or `kept`, `rel_error` is ||w - q s|| / ||w||, `zero_rows` are all-zero rows."""

    name: str
    kind: str
    rel_error: float
    bytes_before: int
    bytes_after: int
    zero_rows: int = 0


@dataclass(frozen=True, slots=True)
class CompressReport:
    """All tensors in name order, and how they were made."""

    scheme: str
    mode: str
    ignore: tuple[str, ...]
    tensors: tuple[TensorReport, ...]

    @property
    def bytes_before(self) -> int:
        """Bytes of all source tensors."""
        return sum(tensor.bytes_before for tensor in self.tensors)

    @property
    def bytes_after(self) -> int:
        """Bytes of all written tensors, scales included."""
        return sum(tensor.bytes_after for tensor in self.tensors)

    @property
    def worst(self) -> TensorReport:
        """The tensor with the largest relative error."""
        return max(self.tensors, key=lambda tensor: tensor.rel_error)


def compress(
    src: str | Path,
    dst: str | Path,
    scheme: str = "fp8-dynamic",
    mode: Mode = "float32-scale",
    *,
    ignore: Sequence[str] | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> CompressReport:
    """The report of an FP8 checkpoint written to `dst`; an interrupted call continues and ends with the same bytes.

    `ignore` holds module names or `re:` patterns (matched from the start) and replaces the default; embeddings, norms and
    everything that is not a matrix are kept in any case. Tensors that are kept keep their dtype, float32 masters included.
    Raises: InputError naming a tensor with NaN or Inf, RecipeError for an unknown scheme or mode, DriftError, DiskError.
    """
    for value, known, what in ((scheme, SCHEMES, "scheme"), (mode, MODES, "mode")):
        if value not in known:
            raise RecipeError(f"unknown {what} {value!r}.{nearest(value, known)}", f"Choose one of: {', '.join(known)}.")
    source = open_checkpoint(src)
    if "quantization_config" in source.config:
        raise InputError(f"{src} is already quantised.", "Give the original checkpoint in BF16 or float32.")
    patterns = tuple(IGNORE if ignore is None else ignore)
    chosen = [info for info in source.tensors.values() if is_quantised(info, patterns)]
    if not chosen:
        raise InputError(f"{src} has no matrix to quantise.", "Every weight is ignored, fixed or not a 2-D float tensor.")
    names = {info.name for info in chosen}
    settings = {"scheme": scheme, "mode": mode, "ignore": list(patterns), "shard_bytes": shard_bytes}
    job = Job(
        settings={**settings, "source": fingerprint(source)},
        units=tuple(plan_unit(info, info.name in names, mode) for info in source.tensors.values()),
        config={**complete_config(source.config), "quantization_config": quantization_config(source, names, patterns)},
        side=source.path,
        report="compress.json",
        shard_bytes=shard_bytes,
    )
    notes = build(Path(dst), job, lambda name: make_tensors(source, name, mode if name in names else None), progress)
    return CompressReport(scheme, mode, patterns, tuple(TensorReport(**note) for note in notes))


def is_quantised(info: TensorInfo, ignore: Sequence[str]) -> bool:
    """Whether this tensor is a matrix of a linear layer that nothing excludes."""
    module, _, kind = info.name.rpartition(".")
    if kind != "weight" or len(info.shape) != 2 or info.dtype not in FLOATS or 0 in info.shape:
        return False
    return not FIXED.fullmatch(module) and not any(matches(module, pattern) for pattern in ignore)


def matches(module: str, pattern: str) -> bool:
    """compressed-tensors' rule: `re:` patterns match from the start, others are exact names."""
    return bool(re.match(pattern[3:], module)) if pattern.startswith("re:") else module == pattern


def plan_unit(info: TensorInfo, quantised: bool, mode: str) -> Unit:
    """The outputs of one source tensor: itself, or codes and scales."""
    if not quantised:
        return Unit(info.name, (Output(info.name, info.dtype, info.shape),))
    scale_dtype = "F32" if mode == "float32-scale" else info.dtype
    scale = Output(f"{info.name}_scale", scale_dtype, (info.shape[0], 1))
    return Unit(info.name, (Output(info.name, "F8_E4M3", info.shape), scale))


def make_tensors(source: Checkpoint, name: str, mode: str | None) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """The tensors to write for one source tensor and its line of the report; `mode` None copies it."""
    tensor = source.read(name)
    before = source.tensors[name].size
    if tensor.is_floating_point():
        check_finite(tensor, name, source.path)
    if mode is None:
        return [tensor], asdict(TensorReport(name, "kept", 0.0, before, before))
    codes, scale = quantise(tensor, mode)
    after = codes.numel() + scale.numel() * scale.element_size()
    error = relative_error(tensor, codes, scale)
    return [codes, scale], asdict(TensorReport(name, "fp8", error, before, after, count_zero_rows(codes)))


def quantise(weight: torch.Tensor, mode: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes `[out, in]` in float8_e4m3fn and scales `[out, 1]`, so that weight ~ codes * scale.

    scale = max(|row|) / 448; an all-zero row gets the dtype's eps, so nothing is divided by zero. Source: llm-compressor's
    memoryless min-max observer with compressed-tensors' channel strategy; `float32-scale` does the same in float32.
    """
    import torch

    work = torch.float32 if mode == "float32-scale" else weight.dtype
    codes = torch.empty(weight.shape, dtype=torch.float8_e4m3fn)
    scales = torch.empty((weight.shape[0], 1), dtype=work)
    for rows in row_blocks(weight):
        block = weight[rows].to(work)
        scale = block.abs().amax(dim=1, keepdim=True) / FP8_MAX
        scale = torch.where(scale == 0, torch.finfo(work).eps, scale)
        codes[rows] = (block / scale).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
        scales[rows] = scale
    return codes, scales


def dequantise(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The weight that the codes stand for, in the scale's dtype, as compressed-tensors computes it."""
    import torch

    weight = torch.empty(codes.shape, dtype=scale.dtype)
    for rows in row_blocks(codes):
        weight[rows] = codes[rows].to(scale.dtype) * scale[rows]
    return weight


def round_tokens(hidden: torch.Tensor) -> torch.Tensor:
    """`hidden` `(..., features)` after a round trip through FP8 with one float32 scale per token, in its own dtype.

    This is what a W8A8 kernel does to the input of a linear layer, so that numbers measured on a CPU are those of the FP8 model.
    """
    import torch

    work = hidden.float()
    scale = (work.abs().amax(dim=-1, keepdim=True) / FP8_MAX).clamp(min=torch.finfo(torch.float32).tiny)
    codes = (work / scale).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    return (codes.float() * scale).to(hidden.dtype)


def relative_error(weight: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor) -> float:
    """||weight - codes * scale|| / ||weight|| (Frobenius); 0 for an all-zero weight."""
    difference = norm = 0.0
    for rows in row_blocks(weight):
        exact = weight[rows].float()
        error = (exact - codes[rows].float() * scale[rows].float()).reshape(-1)
        difference += float(error @ error)
        norm += float(exact.reshape(-1) @ exact.reshape(-1))
    return float((difference / norm) ** 0.5) if norm else 0.0


def count_zero_rows(codes: torch.Tensor) -> int:
    """How many rows hold nothing but zeros."""
    import torch

    return sum(int((codes[rows].view(torch.uint8) & 0x7F).amax(dim=1).eq(0).sum()) for rows in row_blocks(codes))


def check_finite(tensor: torch.Tensor, name: str, path: Path) -> None:
    """Nothing, or InputError naming the tensor and how many of its values are NaN or Inf."""
    flat = tensor.reshape(tensor.shape[0] if tensor.dim() else 1, -1)
    # A maximum carries NaN and Inf along and is ten times faster than looking at every value.
    if all(bool(flat[rows].abs().amax().isfinite()) for rows in row_blocks(flat) if flat.numel()):
        return
    bad = sum(int((~flat[rows].isfinite()).sum()) for rows in row_blocks(flat))
    raise InputError(f"tensor {name} of {path} has {bad} NaN or Inf values.", "It is damaged or its training diverged.")


def row_blocks(matrix: torch.Tensor) -> list[slice]:
    """Slices over the rows, so that one block has about `BLOCK` elements."""
    step = max(1, BLOCK // max(1, matrix[0].numel() if len(matrix) else 1))
    return [slice(start, start + step) for start in range(0, len(matrix), step)]


def quantization_config(source: Checkpoint, names: set[str], patterns: Sequence[str]) -> dict[str, Any]:
    """The `quantization_config` that vLLM and transformers read; `ignore` names every module that stays as it was.

    Source: compressed-tensors 0.18, `float-quantized` format.
    """
    tidy = [*(pattern for pattern in patterns if pattern.startswith("re:")), CONVOLUTIONS]
    ignore = set() if "lm_head.weight" in names else {"lm_head"}  # a tied head is not on disk, yet it is a module
    for name, info in source.tensors.items():
        if len(info.shape) > 1 and name not in names:
            module = name.rpartition(".")[0]
            ignore.add(next((pattern for pattern in tidy if matches(module, pattern)), module))
    common: dict[str, Any] = {"actorder": None, "block_structure": None, "group_size": None, "num_bits": 8, "observer_kwargs": {}}
    common |= {"scale_dtype": None, "symmetric": True, "type": "float", "zp_dtype": None}
    weights = {**common, "dynamic": False, "observer": "memoryless_minmax", "strategy": "channel"}
    activations = {**common, "dynamic": True, "observer": None, "strategy": "token"}
    group = {"format": "float-quantized", "input_activations": activations, "output_activations": None}
    return {
        "config_groups": {"group_0": {**group, "targets": ["Linear"], "weights": weights}},
        "format": "float-quantized",
        "global_compression_ratio": None,
        "ignore": sorted(ignore),
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.18.0",
    }
