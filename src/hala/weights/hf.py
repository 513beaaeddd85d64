"""Export to a plain Hugging Face folder, which transformers 4 and 5, vLLM and converters read without help.

Tensors stay as they are; with `dtype` they are rounded to it, and 8-bit ones multiplied out first. What transformers would miss
or find in another shape is told before anything is written. A killed export continues; the folder is absent or complete.

    report = export_folder(Path("merged-fp8"), Path("merged-bf16"), dtype="bfloat16")
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hala.errors import InputError, RecipeError, nearest
from hala.weights.checkpoint import Array, Checkpoint, fingerprint, numpy_dtype, open_checkpoint
from hala.weights.headers import DTYPES, TensorInfo
from hala.weights.hf_settings import config_for_all, write_side_files
from hala.weights.layout import SHARD_BYTES, Output
from hala.weights.loading import causal_class, third_party
from hala.weights.making import Making, Piece, Write, in_spans
from hala.weights.numerics import BLOCK
from hala.weights.quantised import SCALE, quantised_names, stored_scheme
from hala.weights.schemes import Scheme
from hala.weights.writer import Job, Progress, build

CODES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
FLOATS = ("F64", *CODES.values())
CONVERTED = (*FLOATS, "F8_E4M3", "I8")
CHECKED = ("lfm2", "llama", "gemma", "gemma2", "cohere", "cohere2", "mistral", "qwen2", "qwen3")
"""Architectures whose files name tensors as transformers does in memory."""


@dataclass(frozen=True, slots=True)
class FolderReport:
    """The finished folder: bytes and tensors by the number format they are stored in, and how many were 8-bit before."""

    folder: Path
    bytes: int
    stored: dict[str, int]
    unpacked: int


def export_folder(
    src: str | Path,
    dst: str | Path,
    dtype: str | None = None,
    *,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
    threads: int | None = None,
) -> FolderReport:
    """The report of the folder written to `dst`; an interrupted call continues and ends with the same bytes.

    `dtype` (float32, bfloat16, float16) is what float tensors are rounded to; None keeps every tensor as it is, 8-bit ones too.
    Raises: InputError for NaN, Inf, values beyond float16 or tensors that are not the architecture's, DriftError, DiskError.
    """
    if dtype is not None and dtype not in CODES:
        raise RecipeError(f"unknown dtype {dtype!r}.{nearest(dtype, CODES)}", f"Choose one of: {', '.join(CODES)}.")
    source = open_checkpoint(src)
    packed = "quantization_config" in source.config
    scheme = stored_scheme(source) if packed and dtype else None
    coded = set(quantised_names(source)) if scheme else set()
    scales = {name + SCALE for name in coded}
    outputs = tuple(output_of(info, dtype) for info in source.tensors.values() if info.name not in scales)
    config = config_for_all(source, dtype or stored_dtype(source))
    if scheme:
        config.pop("quantization_config")
    check_fit(source, config, outputs)
    settings = {"format": "hf", "dtype": dtype, "shard_bytes": shard_bytes, "source": fingerprint(source)}

    def make(name: str) -> Making:
        return convert(source, source.tensors[name], dtype, scheme if name in coded else None)

    with tempfile.TemporaryDirectory() as side:
        write_side_files(source, config, Path(side))
        job = Job(settings, outputs, config, Path(side), "export.json", shard_bytes)
        notes = build(Path(dst), job, make, progress, threads)
    stored = Counter(output.dtype for output in outputs)
    return FolderReport(Path(dst), sum(output.size for output in outputs), dict(stored), sum(note["unpacked"] for note in notes))


def stored_dtype(source: Checkpoint) -> str:
    """What the config says the numbers are, or what most of the float tensors are."""
    told = source.config.get("dtype") or source.config.get("torch_dtype")
    if isinstance(told, str):
        return told.removeprefix("torch.")
    found = Counter(info.dtype for info in source.tensors.values() if info.dtype in FLOATS)
    return DTYPES[found.most_common(1)[0][0]][0] if found else "float32"


def output_of(info: TensorInfo, dtype: str | None) -> Output:
    """What is written for a tensor: itself, or its values in another number format."""
    return Output(info.name, CODES[dtype] if dtype and info.dtype in CONVERTED else info.dtype, info.shape)


def convert(source: Checkpoint, info: TensorInfo, dtype: str | None, scheme: Scheme | None) -> Making:
    """Makes one tensor and says whether it was 8-bit; with `scheme` it is codes times scales."""
    columns = info.shape[-1] if scheme else 1  # of tensors as they are, rows do not matter
    scales = source.read(info.name + SCALE).astype(np.float32) if scheme else None

    def some(first: int, count: int, write: Write) -> None:
        values = source.read_part(info.name, first * columns, count * columns)
        if scheme and scales is not None:
            values = values.reshape(count, columns).astype(np.float32)
            values *= spread(scales, scheme.side, first, values.shape)
        write(first * columns, rounded(source, info, values, dtype))

    step = max(1, 4 * BLOCK // max(1, columns))
    spans = in_spans(info.count // max(1, columns), step)
    yield [Piece(first * columns, count * columns, partial(some, first, count)) for first, count in spans]
    return {"name": info.name, "unpacked": int(scheme is not None)}


def spread(scales: Array, side: int, first: int, shape: tuple[int, ...]) -> Array:
    """The scales of the weights of some rows, from row `first` on."""
    rows, columns = shape
    wide = np.repeat(scales, side, 1)[:, :columns] if side else scales.reshape(-1, 1)
    return np.asarray(wide[np.arange(first, first + rows) // (side or 1)])


def rounded(source: Checkpoint, info: TensorInfo, values: Array, dtype: str | None) -> Array:
    """The values in `dtype`. Raises: InputError for what is not finite before or after."""
    if info.dtype in FLOATS and not np.isfinite(values.astype(np.float32, copy=False)).all():
        raise InputError(f"tensor {info.name} of {source.path} has NaN or Inf values.", "It is damaged or its training diverged.")
    if not dtype or info.dtype not in CONVERTED:
        return values
    with np.errstate(over="ignore"):
        values = values.astype(numpy_dtype(CODES[dtype]))
    if not np.isfinite(values.astype(np.float32, copy=False)).all():
        raise InputError(f"tensor {info.name} of {source.path} has values beyond {dtype}.", "Choose bfloat16 or float32.")
    return values


def check_fit(source: Checkpoint, config: dict[str, Any], outputs: Sequence[Output]) -> None:
    """Nothing, or InputError for a tensor that transformers would miss, not know or expect in another shape."""
    if config.get("model_type") not in CHECKED:
        return
    import torch
    from transformers import CONFIG_MAPPING

    with third_party(source.path), torch.device("meta"):
        settings = CONFIG_MAPPING[config["model_type"]].from_dict({**config, "quantization_config": None})
        model = causal_class(settings, source.path)(settings)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {output.name: output.shape for output in outputs if not output.name.endswith(SCALE)}
    if settings.tie_word_embeddings:
        given.setdefault("lm_head.weight", given.get("model.embed_tokens.weight", ()))
    for name in sorted(wanted):
        if given.get(name) != wanted[name]:
            found = list(given[name]) if name in given else "missing"
            fix = "Its config is not that of its weights, or it is incomplete."
            raise InputError(f"tensor {name} of {source.path} is {found}; transformers wants {list(wanted[name])}.", fix)
    if extra := sorted(name for name in given if name not in wanted and not name.endswith("rotary_emb.inv_freq")):
        raise InputError(
            f"tensor {extra[0]} of {source.path} is unknown to transformers.", "Its config is not that of its weights."
        )
