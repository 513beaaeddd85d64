"""Data-free compression to 8 bits (W8A8): static weight scales, activations rounded per token when the model runs.

Rows are read, quantised and written a block at a time on every core, so memory does not grow with the model and a laptop can
compress a 111B teacher. The result is a compressed-tensors checkpoint that vLLM and transformers read.

    report = compress(Path("LFM2-350M"), Path("LFM2-350M-FP8"))
    print(report.worst.name, report.worst.rel_error)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hala.errors import InputError, RecipeError, nearest
from hala.weights.accelerated import on_device, pick_device
from hala.weights.checkpoint import Checkpoint, complete_config, fingerprint, numpy_dtype, open_checkpoint, read_into
from hala.weights.headers import TensorInfo
from hala.weights.layout import SHARD_BYTES, Output
from hala.weights.making import Making, Piece, Write, in_spans
from hala.weights.numerics import BF16, BLOCK, scratch, widen
from hala.weights.schemes import MODES, SCHEMES, Mode, Quantised, Scheme, quantise, rows_at_once, scale_dtype, scales_of
from hala.weights.selection import FLOATS, IGNORE, quantization_config, reasons
from hala.weights.writer import Job, Progress, build

CODES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64", np.dtype(np.float16): "F16", BF16: "BF16"}
# Measuring the error takes longer than all else: of more than ALL_BLOCKS blocks of rows, every SAMPLE-th stands for the rest.
ALL_BLOCKS, SAMPLE = 4, 8


@dataclass(frozen=True, slots=True)
class TensorReport:
    """What became of one tensor: `kind` is the dtype of the codes (`F8_E4M3`, `I8`) or `kept`, and then `why` says the reason.

    `rel_error` is ||w - q s|| / ||w||, of large matrices measured on an eighth of the rows; `zero_rows` counts all-zero rows.
    """

    name: str
    kind: str
    rel_error: float
    bytes_before: int
    bytes_after: int
    zero_rows: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class CompressReport:
    """All tensors in name order, and how they were made."""

    scheme: str
    mode: str
    ignore: tuple[str, ...]
    keep: tuple[str, ...]
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
    keep: Sequence[str] = (),
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
    threads: int | None = None,
    extra: dict[str, Any] | None = None,
    device: str = "auto",
) -> CompressReport:
    """The report of the 8-bit checkpoint written to `dst`; an interrupted call continues and ends with the same bytes.

    `ignore` and `keep` hold module names or `re:` patterns (matched from the start) that stay as they are: `ignore` replaces the
    default, `keep` adds to it. Embeddings, norms and everything that is not a matrix stay in any case, and what engines fuse
    stays together. Kept tensors keep their dtype, float32 masters included. `extra` goes into compress.json. `device` is `cpu`,
    `cuda`, or `auto`: a GPU when there is one and the checkpoint is large enough to gain from it. The bytes are the same.
    Raises: InputError naming a tensor with NaN or Inf, RecipeError for an unknown scheme, mode or module, DriftError, DiskError.
    """
    how = find_scheme(scheme, mode)
    source = open_source(src)
    why = choose(source, ignore, keep)
    place = pick_device(device, sum(info.size for info in source.tensors.values()))
    names = {name for name, reason in why.items() if not reason}
    patterns = tuple(IGNORE if ignore is None else ignore)
    settings = {"scheme": scheme, "mode": mode, "ignore": list(patterns), "keep": list(keep), "shard_bytes": shard_bytes}
    config = quantization_config(source.tensors, names, how)
    planned = [outputs_of(info, how if info.name in names else None, mode) for info in source.tensors.values()]
    job = Job(
        settings={**settings, "source": fingerprint(source)},
        outputs=tuple(output for each in planned for output in each),
        config={**complete_config(source.config), "quantization_config": config},
        side=source.path,
        report="compress.json",
        shard_bytes=shard_bytes,
        summary=lambda _: extra or {},
    )
    owners = {f"{name}_scale": name for name in names}

    def make(name: str) -> Making:
        if name in owners:
            return make_scales(source.tensors[owners[name]], how, mode)
        info = source.tensors[name]
        return make_codes(info, how, mode, place) if name in names else make_copy(info, why[name])

    notes = build(Path(dst), job, make, progress, threads)
    return CompressReport(scheme, mode, patterns, tuple(keep), tuple(TensorReport(**note) for note in notes))


def find_scheme(scheme: str, mode: str) -> Scheme:
    """The scheme of that name. Raises: RecipeError for an unknown scheme or mode, with the nearest known one."""
    for value, known, what in ((scheme, SCHEMES, "scheme"), (mode, MODES, "mode")):
        if value not in known:
            raise RecipeError(f"unknown {what} {value!r}.{nearest(value, known)}", f"Choose one of: {', '.join(known)}.")
    return SCHEMES[scheme]


def open_source(src: str | Path) -> Checkpoint:
    """The checkpoint to compress. Raises: InputError when it is quantised already."""
    source = open_checkpoint(src)
    if "quantization_config" in source.config:
        raise InputError(f"{src} is already quantised.", "Give the original checkpoint in BF16 or float32.")
    return source


def choose(source: Checkpoint, ignore: Sequence[str] | None = None, keep: Sequence[str] = ()) -> dict[str, str]:
    """Why each tensor stays as it is, "" for those to quantise. Raises: InputError when there are none of these."""
    why = reasons(source.tensors, IGNORE if ignore is None else ignore, keep)
    if all(why.values()):
        raise InputError(f"{source.path} has no matrix to quantise.", "Every weight is ignored, fixed or not a 2-D float tensor.")
    return why


def planned_bytes(
    source: Checkpoint, scheme: str, mode: Mode, ignore: Sequence[str] | None = None, keep: Sequence[str] = ()
) -> int:
    """Size of all tensors of the 8-bit checkpoint, known before anything is read."""
    how, why = find_scheme(scheme, mode), choose(source, ignore, keep)
    return sum(planned_size(info, None if why[name] else how, mode) for name, info in source.tensors.items())


def planned_size(info: TensorInfo, scheme: Scheme | None, mode: Mode) -> int:
    """Bytes that are written for a tensor."""
    return sum(output.size for output in outputs_of(info, scheme, mode))


def outputs_of(info: TensorInfo, scheme: Scheme | None, mode: Mode) -> tuple[Output, ...]:
    """What is written for a tensor: itself, or codes and scales."""
    if scheme is None:
        return (Output(info.name, info.dtype, info.shape),)
    dtype = CODES[scale_dtype(numpy_dtype(info.dtype), mode)]
    scales = Output(f"{info.name}_scale", dtype, scheme.scale_shape(info.shape))
    return Output(info.name, scheme.dtype, info.shape), scales


def make_scales(info: TensorInfo, scheme: Scheme, mode: Mode) -> Making:
    """The scales of a matrix. They lie before all codes of their file, so they are made from a reading of their own."""
    rows, columns = info.shape
    height, width = (scheme.side, math.ceil(columns / scheme.side)) if scheme.side else (1, 1)

    def some(first: int, count: int, write: Write) -> None:
        weight = scratch().take("weight", (count, columns), numpy_dtype(info.dtype))
        read_into(info, first * columns, weight)
        scales = scales_of(weight, scheme, mode, scratch())
        if scales is None:
            refuse_infinite(info)
        write(first // height * width, scales)

    yield [
        Piece(first // height * width, math.ceil(count / height) * width, partial(some, first, count))
        for first, count in in_spans(rows, 4 * rows_at_once(scheme, columns))
    ]
    return {}


def make_codes(info: TensorInfo, scheme: Scheme, mode: Mode, device: str) -> Making:
    """The codes of a matrix, and its report."""
    rows, columns = info.shape
    step = rows_at_once(scheme, columns)

    def some(first: int, count: int, write: Write) -> tuple[float, float, int]:
        error, norm, zero_rows = 0.0, 0.0, 0
        for start, size, measure in pieces(first, count, rows, step, device):
            part = quantise_rows(info, scheme, mode, start, size, measure, device)
            write(start * columns, part.codes)
            error, norm, zero_rows = error + part.error, norm + part.norm, zero_rows + part.zero_rows
        return error, norm, zero_rows

    spans = in_spans(rows, SAMPLE * step)
    error, norm, zero_rows = 0.0, 0.0, 0
    for part in (yield [Piece(first * columns, count * columns, partial(some, first, count)) for first, count in spans]):
        error, norm, zero_rows = error + part[0], norm + part[1], zero_rows + part[2]
    after = planned_size(info, scheme, mode)
    return asdict(TensorReport(info.name, scheme.dtype, (error / norm) ** 0.5 if norm else 0.0, info.size, after, zero_rows))


def quantise_rows(info: TensorInfo, scheme: Scheme, mode: Mode, first: int, count: int, measure: bool, device: str) -> Quantised:
    """Some rows in 8 bits; those whose error is measured are always done on the CPU."""
    weight = scratch().take("weight", (count, info.shape[1]), numpy_dtype(info.dtype))
    read_into(info, first * info.shape[1], weight)
    part = None if measure else on_device(device)(weight, scheme, mode, scratch())
    part = part or quantise(weight, scheme, mode, scratch(), measure=measure)
    if not part.finite:
        refuse_infinite(info)
    return part


def pieces(first: int, count: int, rows: int, step: int, device: str) -> Iterator[tuple[int, int, bool]]:
    """First row, number of rows, and whether the error is measured, of each block; some others in a row are one.

    A CPU works best on what fits into its cache, a GPU on a lot at once.
    """
    joined = 2 if device == "cpu" else SAMPLE - 1
    end = first + count
    while first < end:
        number = first // step
        measure = is_measured(number, rows, step)
        blocks = 1 if measure else min(joined, SAMPLE - number % SAMPLE)
        count = min(blocks * step, end - first)
        yield first, count, measure
        first += count


def is_measured(number: int, rows: int, step: int) -> bool:
    """Whether the error of block `number`, of `step` rows each, is measured: of large matrices every eighth is."""
    return rows <= ALL_BLOCKS * step or number % SAMPLE == 0


def make_copy(info: TensorInfo, why: str) -> Making:
    """A tensor as it is. Raises: InputError when it has NaN or Inf."""

    def some(first: int, count: int, write: Write) -> None:
        part = scratch().take("part", (count,), numpy_dtype(info.dtype))
        read_into(info, first, part)
        if info.dtype in FLOATS and not is_finite(part):
            refuse_infinite(info)
        write(first, part)

    yield [Piece(first, count, partial(some, first, count)) for first, count in in_spans(info.count, 4 * BLOCK)]
    return asdict(TensorReport(info.name, "kept", 0.0, info.size, info.size, why=why))


def is_finite(values: np.ndarray[Any, Any]) -> bool:
    """Whether no value is NaN or Inf: both have all exponent bits set, which integers see faster than floats."""
    size = values.dtype.itemsize
    if values.dtype == BF16 or values.dtype == np.float16:
        exponent = 0x7F80 if values.dtype == BF16 else 0x7C00
        bits = values.view(np.uint16)
        return not values.size or int(np.bitwise_and(bits, 0x7FFF).max()) < exponent
    return bool(np.isfinite(values).all()) if size else True


def refuse_infinite(info: TensorInfo) -> NoReturn:
    """Raises InputError naming the tensor and how many of its values are NaN or Inf."""
    bad = 0
    for first in range(0, info.count, BLOCK):
        part, values = np.empty(count := min(BLOCK, info.count - first), numpy_dtype(info.dtype)), np.empty(count)
        read_into(info, first, part)
        widen(part, values)
        bad += int((~np.isfinite(values)).sum())
    raise InputError(
        f"tensor {info.name} of {info.file.parent} has {bad} NaN or Inf values.", "It is damaged or its training diverged."
    )
