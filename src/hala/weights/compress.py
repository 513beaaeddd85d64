"""Data-free compression to 8 bits (W8A8): static weight scales, activations rounded per token when the model runs.

Rows are read, quantised and written a block at a time on every core, so memory does not grow with the model and a laptop can
compress a 111B teacher. The result is a compressed-tensors checkpoint that vLLM and transformers read.

    report = compress(Path("LFM2-350M"), Path("LFM2-350M-FP8"))
    print(report.worst.name, report.worst.rel_error)
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hala.errors import InputError, RecipeError, nearest
from hala.weights.checkpoint import Checkpoint, complete_config, fingerprint, numpy_dtype, open_checkpoint, read_into
from hala.weights.headers import TensorInfo
from hala.weights.numerics import BF16, BLOCK, Scratch
from hala.weights.schemes import MODES, SCHEMES, Mode, Scheme, quantise, rows_at_once, scale_dtype
from hala.weights.tables import look_up
from hala.weights.writer import SHARD_BYTES, Job, Output, Progress, Unit, Write, build

FLOATS = ("BF16", "F16", "F32", "F64")
CODES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64", np.dtype(np.float16): "F16", BF16: "BF16"}
# Left out by default: the head and the routers of mixtures of experts lose the most and weigh the least.
IGNORE = ("lm_head", r"re:.*\.(gate|router|shared_expert_gate)$")
# Never quantised, because no engine can run them so: tables that are looked up, norms, convolutions.
CONVOLUTIONS = r"re:.*\.conv\.conv$"  # LFM2's, three-dimensional
FIXED = re.compile(r"(^|.*\.)(\w*embed\w*|wte|wpe|\w*norm\w*|ln_\w+)$")
# Measuring the error takes longer than all else: of more than ALL_BLOCKS blocks of rows, every SAMPLE-th stands for the rest.
ALL_BLOCKS, SAMPLE = 4, 8
LOCAL = threading.local()  # one Scratch for each thread


@dataclass(frozen=True, slots=True)
class TensorReport:
    """What became of one tensor: `kind` is the dtype of the codes (`F8_E4M3`, `I8`) or `kept`, `rel_error` is ||w - q s|| / ||w||
    (of large matrices measured on a quarter of the rows), `zero_rows` counts its all-zero rows.
    """

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
    def quantised(self) -> tuple[TensorReport, ...]:
        """The tensors that were stored in 8 bits."""
        return tuple(tensor for tensor in self.tensors if tensor.kind != "kept")

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
    threads: int | None = None,
) -> CompressReport:
    """The report of the 8-bit checkpoint written to `dst`; an interrupted call continues and ends with the same bytes.

    `ignore` holds module names or `re:` patterns (matched from the start) and replaces the default; embeddings, norms and
    everything that is not a matrix are kept in any case. Tensors that are kept keep their dtype, float32 masters included.
    Raises: InputError naming a tensor with NaN or Inf, RecipeError for an unknown scheme or mode, DriftError, DiskError.
    """
    for value, known, what in ((scheme, SCHEMES, "scheme"), (mode, MODES, "mode")):
        if value not in known:
            raise RecipeError(f"unknown {what} {value!r}.{nearest(value, known)}", f"Choose one of: {', '.join(known)}.")
    source = open_source(src)
    patterns = tuple(IGNORE if ignore is None else ignore)
    chosen = choose(source, patterns)
    how, names = SCHEMES[scheme], {info.name for info in chosen}
    settings = {"scheme": scheme, "mode": mode, "ignore": list(patterns), "shard_bytes": shard_bytes}
    job = Job(
        settings={**settings, "source": fingerprint(source)},
        units=tuple(plan_unit(info, how if info.name in names else None, mode) for info in source.tensors.values()),
        config={**complete_config(source.config), "quantization_config": quantization_config(source, names, patterns, how)},
        side=source.path,
        report="compress.json",
        shard_bytes=shard_bytes,
    )

    def make(name: str, write: Write) -> dict[str, Any]:
        info = source.tensors[name]
        return asdict(quantise_tensor(info, how, mode, write) if name in names else copy_tensor(info, write))

    notes = build(Path(dst), job, make, progress, threads)
    return CompressReport(scheme, mode, patterns, tuple(TensorReport(**note) for note in notes))


def open_source(src: str | Path) -> Checkpoint:
    """The checkpoint to compress. Raises: InputError when it is quantised already."""
    source = open_checkpoint(src)
    if "quantization_config" in source.config:
        raise InputError(f"{src} is already quantised.", "Give the original checkpoint in BF16 or float32.")
    return source


def choose(source: Checkpoint, ignore: Sequence[str]) -> list[TensorInfo]:
    """The tensors to quantise, by name. Raises: InputError when there are none, RecipeError for a name that is no module."""
    modules = {name.rpartition(".")[0] for name in source.tensors}
    for pattern in ignore:
        if not pattern.startswith("re:") and pattern not in modules and pattern != "lm_head":
            raise RecipeError(f"ignore names {pattern}, which {source.path} does not have.{nearest(pattern, modules)}")
    chosen = [info for info in source.tensors.values() if is_quantised(info, ignore)]
    if not chosen:
        raise InputError(f"{source.path} has no matrix to quantise.", "Every weight is ignored, fixed or not a 2-D float tensor.")
    return chosen


def is_quantised(info: TensorInfo, ignore: Sequence[str]) -> bool:
    """Whether this tensor is a matrix of a linear layer that nothing excludes."""
    module, _, kind = info.name.rpartition(".")
    if kind != "weight" or len(info.shape) != 2 or info.dtype not in FLOATS or 0 in info.shape:
        return False
    return not FIXED.fullmatch(module) and not any(matches(module, pattern) for pattern in ignore)


def matches(module: str, pattern: str) -> bool:
    """compressed-tensors' rule: `re:` patterns match from the start, others are exact names."""
    return bool(re.match(pattern[3:], module)) if pattern.startswith("re:") else module == pattern


def plan_unit(info: TensorInfo, scheme: Scheme | None, mode: Mode) -> Unit:
    """What is written for a tensor: itself, or codes and scales."""
    if scheme is None:
        return Unit(info.name, (Output(info.name, info.dtype, info.shape),))
    codes = Output(info.name, scheme.dtype, info.shape)
    dtype = CODES[scale_dtype(numpy_dtype(info.dtype), mode)]
    return Unit(info.name, (codes, Output(f"{info.name}_scale", dtype, scheme.scale_shape(info.shape))))


def quantise_tensor(info: TensorInfo, scheme: Scheme, mode: Mode, write: Write) -> TensorReport:
    """Writes codes and scales of a matrix, some rows at a time."""
    scratch = LOCAL.__dict__.setdefault("scratch", Scratch())
    rows, columns = info.shape
    step, dtype = rows_at_once(scheme, columns), numpy_dtype(info.dtype)
    error = norm = 0.0
    zero_rows, scales = 0, []
    for number, first in enumerate(range(0, rows, step)):
        weight = scratch.take("weight", (min(step, rows - first), columns), dtype)
        read_into(info, first * columns, weight)
        measure = rows <= ALL_BLOCKS * step or number % SAMPLE == 0
        part = None if measure else look_up(weight, scheme, mode, scratch)
        part = part or quantise(weight, scheme, mode, scratch, measure=measure)
        if not part.finite:
            refuse_infinite(info)
        write(info.name, first * columns, part.codes)
        scales.append(part.scales)
        error, norm, zero_rows = error + part.error, norm + part.norm, zero_rows + part.zero_rows
    every = np.concatenate(scales)
    write(f"{info.name}_scale", 0, every)
    size = info.count + every.nbytes
    return TensorReport(info.name, scheme.dtype, (error / norm) ** 0.5 if norm else 0.0, info.size, size, zero_rows)


def copy_tensor(info: TensorInfo, write: Write) -> TensorReport:
    """Writes a tensor as it is. Raises: InputError when it has NaN or Inf."""
    scratch, dtype = LOCAL.__dict__.setdefault("scratch", Scratch()), numpy_dtype(info.dtype)
    for first in range(0, info.count, 8 * BLOCK):
        part = scratch.take("part", (min(8 * BLOCK, info.count - first),), dtype)
        read_into(info, first, part)
        if info.dtype in FLOATS and not is_finite(part):
            refuse_infinite(info)
        write(info.name, first, part)
    return TensorReport(info.name, "kept", 0.0, info.size, info.size)


def is_finite(values: np.ndarray[Any, Any]) -> bool:
    """Whether no value is NaN or Inf: both have all exponent bits set, which integers see faster than floats."""
    size = values.dtype.itemsize
    if values.dtype == BF16 or values.dtype == np.float16:
        exponent = 0x7F80 if values.dtype == BF16 else 0x7C00
        bits = values.view(np.uint16)
        return not values.size or int(np.bitwise_and(bits, 0x7FFF).max()) < exponent
    return bool(np.isfinite(values).all()) if size else True


def refuse_infinite(info: TensorInfo) -> None:
    """Raises InputError naming the tensor and how many of its values are NaN or Inf."""
    bad = 0
    for first in range(0, info.count, BLOCK):
        part = np.empty(min(BLOCK, info.count - first), numpy_dtype(info.dtype))
        read_into(info, first, part)
        bad += int((~np.isfinite(part.astype(np.float64))).sum())
    raise InputError(
        f"tensor {info.name} of {info.file.parent} has {bad} NaN or Inf values.", "It is damaged or its training diverged."
    )


def quantization_config(source: Checkpoint, names: set[str], patterns: Sequence[str], scheme: Scheme) -> dict[str, Any]:
    """The `quantization_config` that vLLM and transformers read; `ignore` names every module that stays as it was.

    Source: compressed-tensors 0.19, formats `float-quantized` and `int-quantized`.
    """
    tidy = [*(pattern for pattern in patterns if pattern.startswith("re:")), CONVOLUTIONS]
    ignore = set() if "lm_head.weight" in names else {"lm_head"}  # a tied head is not on disk, yet it is a module
    for name, info in source.tensors.items():
        if len(info.shape) > 1 and name not in names:
            module = name.rpartition(".")[0]
            ignore.add(next((pattern for pattern in tidy if matches(module, pattern)), module))
    kind, layout = ("int", "int-quantized") if scheme.dtype == "I8" else ("float", "float-quantized")
    side = [scheme.side, scheme.side] if scheme.side else None
    common: dict[str, Any] = {"actorder": None, "num_bits": 8, "observer_kwargs": {}, "scale_dtype": None, "symmetric": True}
    common |= {"type": kind, "zp_dtype": None}
    weights = {**common, "block_structure": side, "dynamic": False, "group_size": None, "observer": "memoryless_minmax"}
    weights["strategy"] = "block" if scheme.side else "channel"
    activations = {**common, "block_structure": None, "dynamic": True, "group_size": scheme.side or None, "observer": None}
    activations["strategy"] = "group" if scheme.side else "token"
    group = {"format": layout, "input_activations": activations, "output_activations": None}
    return {
        "config_groups": {"group_0": {**group, "targets": ["Linear"], "weights": weights}},
        "format": layout,
        "global_compression_ratio": None,
        "ignore": sorted(ignore),
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.19.0",
    }
