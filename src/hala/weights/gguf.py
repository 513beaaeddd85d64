"""Export to GGUF, the one-file format of llama.cpp, for LFM2, Llama and Gemma 2 models.

The file is written some rows at a time, read back and compared with the source before it gets its name: it is absent or whole.
Types of less than 8 bits are made by llama.cpp's own quantiser from a file in the source's precision.

    report = export(Path("merged"), Path("merged-q8_0.gguf"), "q8_0")
    print(report.worst.name, report.worst.rel_error)
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hala.artifacts import atomic_file, disk_errors
from hala.errors import CorruptError, DiskError, InputError, RecipeError, nearest
from hala.weights import llama_quantize
from hala.weights.checkpoint import Checkpoint, open_checkpoint
from hala.weights.gguf_header import StoredTensor, read_gguf
from hala.weights.gguf_network import (
    EMBEDDING,
    Planned,
    add_architecture,
    blocks,
    check_heads,
    check_network,
    find_widths,
    plan_tensors,
)
from hala.weights.gguf_vocabulary import Vocabulary, read_optional, read_vocabulary

Quant = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]
QUANTS = get_args(Quant)
OWN = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
BUG = "This is a bug in the export; please report it."
# Largest |read back - source| / max |source| per tensor: what rounding explains for our own types (q8_0 rounds to half of 1/127
# of a block's maximum, with an f16 scale), and far below what a tensor in a wrong place would show for llama.cpp's.
TOLERANCE = {"F32": 0.0, "F16": 2.0**-11, "BF16": 2.0**-8, "Q8_0": 0.005, "Q6_K": 0.05, "Q5_K": 0.1, "Q4_K": 0.2}
TOLERANCE |= {"Q5_0": 0.1, "Q5_1": 0.1, "Q4_0": 0.2, "Q4_1": 0.2}
SPARE = 50_000_000  # bytes left free on the disk
COMMIT = re.compile("[0-9a-f]{40}")

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class ExportedTensor:
    """One tensor in the file and the `source` it came from; `rel_error` is max |read back - source| / max |source|."""

    name: str
    source: str
    type: str
    rel_error: float


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The finished file: its widths as read back, every tensor, and what llama.cpp does differently with some texts."""

    file: Path
    quant: str
    widths: dict[str, int | list[int]]
    tensors: tuple[ExportedTensor, ...]
    warnings: tuple[str, ...] = ()

    @property
    def worst(self) -> ExportedTensor:
        """The tensor with the largest error."""
        return max(self.tensors, key=lambda tensor: tensor.rel_error)


def export(
    src: str | Path,
    out_file: str | Path,
    quant: Quant = "f16",
    *,
    splitter: str | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """The report of the GGUF file written to `out_file` and read back; the same checkpoint gives the same bytes.

    `splitter` is llama.cpp's name of the tokenizer's splitting rule (`tokenizer.ggml.pre`); by default tokenizer.json tells.
    Raises: InputError for an architecture, tokenizer or value that has no place there, EngineError when llama.cpp's quantiser is
    needed and missing, DiskError, CorruptError when the file reads back wrong.
    """
    if quant not in QUANTS:
        raise RecipeError(f"unknown quant {quant!r}.{nearest(quant, QUANTS)}", f"Choose one of: {', '.join(QUANTS)}.")
    check_package()
    source, out_file = open_checkpoint(src), Path(out_file)
    check_network(source)
    check_heads(source)
    quantiser = None if quant in OWN else llama_quantize.find_quantiser()
    base = quant if quantiser is None else best_base(source)
    widths, plan = find_widths(source), plan_tensors(source, base)
    rows = source.tensors[EMBEDDING].shape[0]
    vocabulary = read_vocabulary(source.path, rows, splitter, source.config["model_type"])
    with disk_errors(out_file), atomic_file(out_file) as temporary:
        check_room(out_file, sum(size_of(planned) for planned in plan) * (1 if quantiser is None else 2))
        if quantiser is None:
            write_file(temporary, source, plan, widths, vocabulary, quant, progress)
        else:
            with atomic_scratch(out_file) as whole:
                write_file(whole, source, plan, widths, vocabulary, base, progress)
                llama_quantize.run(quantiser, whole, temporary, quant)
        tensors = verify(temporary, source, plan, widths, exact=quantiser is None)
    return ExportReport(out_file, quant, widths, tensors, vocabulary.warnings)


def check_package() -> None:
    """Nothing, or InputError when the gguf package is missing or older than LFM2."""
    try:
        from gguf import MODEL_ARCH
    except ImportError:
        MODEL_ARCH = None  # noqa: N806
    if not hasattr(MODEL_ARCH, "LFM2"):
        raise InputError("GGUF export needs the package 'gguf', 0.18 or later.", "Install it: pip install -U 'hala[gguf]'.")


def best_base(source: Checkpoint) -> str:
    """The smallest own type that holds every matrix of the source without loss."""
    dtypes = {info.dtype for info in source.tensors.values() if len(info.shape) == 2}
    return {"BF16": "bf16", "F16": "f16"}.get(dtypes.pop(), "f32") if len(dtypes) == 1 else "f32"


@contextlib.contextmanager
def atomic_scratch(out_file: Path) -> Iterator[Path]:
    """A hidden name beside the file for what the quantiser reads; it is gone afterwards."""
    scratch = out_file.with_name(f".{out_file.name}.whole.tmp")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def check_room(out_file: Path, size: int) -> None:
    """Nothing, or DiskError when the file cannot fit."""
    free = shutil.disk_usage(out_file.parent).free
    if size + SPARE > free:
        need = f"{free / 1e9:.2f} GB free, {(size + SPARE) / 1e9:.2f} GB are needed"
        raise DiskError(f"{out_file.parent} has {need}.", "Make room or choose another --out.")


def size_of(planned: Planned) -> int:
    """Bytes of a tensor in the file."""
    return math.prod(stored_shape(planned)) * (1 if planned.type in ("Q8_0", "BF16") else 4 if planned.type == "F32" else 2)


def stored_shape(planned: Planned) -> tuple[int, ...]:
    """The shape in the file's own items: bytes for quantised types."""
    import gguf

    kind = gguf.GGMLQuantizationType[planned.type]
    if planned.type in ("F32", "F16"):
        return planned.shape
    return tuple(gguf.quant_shape_to_byte_shape(planned.shape, kind))


def write_file(
    file: Path,
    source: Checkpoint,
    plan: Sequence[Planned],
    widths: dict[str, Any],
    vocabulary: Vocabulary,
    quant: str,
    progress: Progress | None,
) -> None:
    """Writes keys, the table of tensors, then one tensor after another, some rows at a time."""
    import gguf

    dtypes = {"F32": np.float32, "F16": np.float16}
    with contextlib.closing(gguf.GGUFWriter(file, source.config["model_type"])) as writer:
        writer.add_name(name_of(source))
        if isinstance(licence := read_optional(source.path / "hala.json").get("licence"), str):
            writer.add_license(licence)
        writer.add_file_type(gguf.LlamaFileType[OWN[quant]])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_architecture(writer, source.config, widths)
        add_vocabulary(writer, vocabulary)
        for planned in plan:
            dtype, kind = np.dtype(dtypes.get(planned.type, np.uint8)), gguf.GGMLQuantizationType[planned.type]
            writer.add_tensor_info(planned.name, stored_shape(planned), dtype, size_of(planned), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        stream, done, total = writer.fout[0], 0, sum(size_of(planned) for planned in plan)
        writer.write_padding(stream, stream.tell())
        for planned in plan:
            for _, rows in blocks(source, planned):
                stream.write(encode(rows, planned, source).data)
            writer.write_padding(stream, size_of(planned))
            done += size_of(planned)
            if progress:
                progress(done, total)


def name_of(source: Checkpoint) -> str:
    """The model's name: that of its folder, or, in the hub's cache, of the model."""
    if COMMIT.fullmatch(source.path.name):  # models--OWNER--NAME/snapshots/COMMIT
        return source.path.parent.parent.name.split("--")[-1]
    return source.path.resolve().name


def add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    """Writes tokens, merges or scores, special ids and the chat template."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.splitter)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.space_prefix)
    if vocabulary.merges:
        writer.add_token_merges([f"{left} {right}" for left, right in vocabulary.merges])
    for role, index in vocabulary.special.items():
        getattr(writer, f"add_{role}_token_id")(index)
    for role, adds in vocabulary.adds.items():
        getattr(writer, f"add_add_{role}_token")(adds)
    if vocabulary.template:
        writer.add_chat_template(vocabulary.template)


def encode(rows: np.ndarray[Any, Any], planned: Planned, source: Checkpoint) -> np.ndarray[Any, Any]:
    """The rows in the type of the file. Raises: InputError for values beyond f16."""
    import gguf

    if planned.type == "F16" and np.abs(rows).max(initial=0) > 65504:
        raise InputError(
            f"tensor {planned.source} of {source.path} has values beyond 65504, the limit of f16.",
            "Export with f32, bf16 or q8_0.",
        )
    encoded: np.ndarray[Any, Any] = gguf.quantize(rows, gguf.GGMLQuantizationType[planned.type])
    return np.ascontiguousarray(encoded).reshape(-1).view(np.uint8)


def verify(
    file: Path, source: Checkpoint, plan: Sequence[Planned], widths: dict[str, Any], exact: bool
) -> tuple[ExportedTensor, ...]:
    """The tensors as read back from `file`; `exact` asks for the planned types. Raises: CorruptError when something is off."""
    keys, stored = read_gguf(file)
    for key, width in widths.items():
        if (found := keys.get(f"{source.config['model_type']}.{key}")) != width:
            raise CorruptError(f"{file}: {key} reads back as {found}, not {width}.", BUG)
    if {name: tensor.shape for name, tensor in stored.items()} != {planned.name: planned.shape for planned in plan}:
        raise CorruptError(f"{file}: the tensors read back are not those written.", BUG)
    checked = []
    for planned in plan:
        tensor = stored[planned.name]
        error = compare(file, tensor, source, planned)
        if (exact and tensor.type != planned.type) or not error <= TOLERANCE.get(tensor.type, 0.0):
            raise CorruptError(f"{file}: tensor {planned.name} ({tensor.type}) reads back with an error of {error:.3g}.", BUG)
        checked.append(ExportedTensor(planned.name, planned.source, tensor.type, error))
    return tuple(checked)


def compare(file: Path, tensor: StoredTensor, source: Checkpoint, planned: Planned) -> float:
    """max |read back - source| / max |source| of one tensor, some rows at a time."""
    import gguf

    rows, _ = planned.matrix
    row_bytes, largest, error = tensor.size // rows, 0.0, 0.0
    with file.open("rb") as stream:
        for first, values in blocks(source, planned):
            stream.seek(tensor.start + first * row_bytes)
            found = np.frombuffer(stream.read(len(values) * row_bytes), dtype=np.uint8).reshape(len(values), row_bytes)
            found = gguf.dequantize(found, gguf.GGMLQuantizationType[tensor.type]).reshape(values.shape)
            largest = max(largest, float(np.abs(values).max(initial=0)))
            error = max(error, float(np.abs(found - values).max(initial=0)))
    return error / (largest or 1.0)
