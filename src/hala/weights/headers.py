"""The header of a safetensors file, checked before a byte of it is believed, and JSON files read with the same distrust.

A header is parsed here and not by a library, so that a hostile or cut-off file is refused, with the names of the file and the
tensor, before anything is allocated. Sizes are Python integers, so no product can wrap around.
"""

from __future__ import annotations

import gc
import json
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hala.errors import InputError

# In the order of the reference writer, which sorts tensors by it. code -> (name in torch and numpy, bytes per item)
DTYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
    "I16": ("int16", 2),
    "U16": ("uint16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I32": ("int32", 4),
    "U32": ("uint32", 4),
    "F32": ("float32", 4),
    "C64": ("complex64", 8),
    "F64": ("float64", 8),
    "I64": ("int64", 8),
    "U64": ("uint64", 8),
}
MAX_HEADER = 16_000_000  # bytes; the reference reader allows 100 MB, the largest shards in the wild need less than one
MAX_TENSORS = 50_000  # in one file; the largest mixtures of experts have 200,000 in dozens of files
MAX_JSON = 36_000_000  # bytes; one letter beyond the usual makes Python keep four bytes for each, in the file and in its texts
MAX_WORK = 3_600_000  # of a JSON file, see `work_of`; the largest vocabularies need 3,400,000
SMALL_WORK = 1_500_000  # of a header or of settings
AGAIN = "Download or write it again."
SPLIT = "Write it again in several shards."
READABLE = "Check the path and your rights to it."


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies: `start` is the offset in bytes from the beginning of `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int

    @property
    def count(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.count * DTYPES[self.dtype][1]


def read_header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of one safetensors file, by name. Sizes are Python integers, so no product can wrap around.

    Raises: InputError naming the file and the tensor. Source: the safetensors format, https://github.com/huggingface/safetensors.
    """
    total = regular_size(file)
    length = int.from_bytes(read_bytes(file, 0, 8), "little")
    if total < 8 or length > total - 8:
        raise InputError(f"{file} is not a safetensors file or is cut off inside its header.", AGAIN)
    if length > MAX_HEADER:
        raise InputError(f"{file} has a header of {length} bytes, more than {MAX_HEADER}.", SPLIT)
    raw = read_bytes(file, 8, length)
    if raw[:1] != b"{":
        raise InputError(f"{file} is not a safetensors file: its header does not begin with a brace.", AGAIN)
    entries = parse_json(raw, file, SMALL_WORK)
    check_metadata(file, entries.pop("__metadata__", {}))
    if not 0 < len(entries) <= MAX_TENSORS:
        raise InputError(f"{file} has {len(entries)} tensors, not 1 to {MAX_TENSORS}.", SPLIT if entries else AGAIN)
    spans = [parse_entry(file, name, entry) for name, entry in entries.items()]
    check_spans(file, spans, total - 8 - length)
    return {name: TensorInfo(name, dtype, shape, file, 8 + length + begin) for name, dtype, shape, begin, _ in spans}


Span = tuple[str, str, tuple[int, ...], int, int]  # name, dtype, shape, begin, end


def parse_entry(file: Path, name: str, entry: Any) -> Span:
    """One checked header entry; offsets count from the end of the header."""
    if not name or len(name) > 512 or not name.isprintable() or "/" in name or "\\" in name:
        raise InputError(f"{file} has a tensor by the name {shown(name)}.", "No reader can be trusted with it; rename it.")
    where = f"tensor {name} in {file}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where}: its header entry is malformed.", AGAIN)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{where}: unknown dtype {shown(dtype)}.", f"Known: {', '.join(DTYPES)}.")
    if not is_counts(offsets, 2) or len(offsets) != 2 or not is_counts(shape, 16):
        raise InputError(f"{where}: shape or offsets are not short lists of whole numbers that fit a file.", AGAIN)
    if math.prod(size or 1 for size in shape) >= 2**48:
        raise InputError(f"{where}: its shape {shape} is larger than any file.", AGAIN)
    size = math.prod(shape) * DTYPES[dtype][1]
    if offsets[1] - offsets[0] != size:
        raise InputError(f"{where}: shape and dtype need {size} bytes, its offsets span {offsets[1] - offsets[0]}.", AGAIN)
    return name, dtype, tuple(shape), offsets[0], offsets[1]


def check_metadata(file: Path, metadata: Any) -> None:
    """Nothing, or InputError for `__metadata__` that is not a mapping from text to text, as the format wants it."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(f"{file} has __metadata__ that is not text by name.", AGAIN)


def is_counts(value: Any, most: int) -> bool:
    """Whether `value` is a list of at most `most` non-negative integers that fit a file; bool is not an integer here."""
    return isinstance(value, list) and len(value) <= most and all(type(item) is int and 0 <= item < 2**48 for item in value)


def check_spans(file: Path, spans: list[Span], available: int) -> None:
    """Nothing, or InputError for the first hole, overlap, cut-off tensor or trailing bytes."""
    cursor = 0
    for name, _, _, begin, end in sorted(spans, key=lambda span: span[3:]):
        if end > available:
            raise InputError(f"{file} is cut off: tensor {name} ends at byte {end} of {available}.", AGAIN)
        if begin != cursor:
            raise InputError(f"{file}: tensor {name} begins at byte {begin}, not at {cursor}: a hole or an overlap.", AGAIN)
        cursor = end
    if cursor != available:
        raise InputError(f"{file} has {available - cursor} bytes that belong to no tensor.", AGAIN)


def read_json(file: Path, most: int = MAX_WORK) -> dict[str, Any]:
    """The JSON object in `file`. Raises: InputError when it is missing, too large, malformed or has a key twice."""
    if (size := regular_size(file)) > MAX_JSON:
        raise InputError(f"{file} has {size} bytes, too many for a settings file.", AGAIN)
    return parse_json(read_bytes(file, 0, size), file, most)


def parse_json(raw: bytes, file: Path, most: int = MAX_WORK) -> dict[str, Any]:
    """The JSON object in `raw`, which is more work than `most` to read only if it is hostile; `file` is named in errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a key is there twice")
        return result

    def refuse(name: str) -> float:
        if name == "NaN":  # the infinities are in configs of real models
            raise ValueError("NaN is no value")
        return float(name)

    if work_of(raw) > most:
        raise InputError(f"{file} has more entries than any real one.", AGAIN)
    try:
        text = raw.decode("utf-8")
        del raw  # a large file is kept once
        with uncollected():
            value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON: {str(error)[:200]}.", AGAIN) from error
    if not isinstance(value, dict):
        raise InputError(f"{file} is not a JSON object.", AGAIN)
    return value


def work_of(raw: bytes) -> int:
    """What it takes to parse JSON, before it is parsed: an item of a list counts one, a list one more, a key five more."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") + 5 * raw.count(b":")


@contextmanager
def uncollected() -> Iterator[None]:
    """A block that makes many objects and no cycles: looking for cycles would take ten times as long as making them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def regular_size(file: Path) -> int:
    """Bytes of a regular file; pipes and devices, which would hang a reader, are refused."""
    try:
        status = file.stat()
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.", READABLE) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{file} is not a regular file.", "Put a file in its place.")
    return status.st_size


def read_bytes(file: Path, start: int, count: int) -> bytes:
    """At most `count` bytes from `start` on. Raises: InputError when the file cannot be read."""
    try:
        with file.open("rb") as handle:
            handle.seek(start)
            return handle.read(count)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", READABLE) from error


def shown(value: Any) -> str:
    """An untrusted value as a message may hold it: short, and with nothing that moves the cursor."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value[:100]) if isinstance(value, str) else str(value)[:100]
    return text if len(str(value)) <= 100 else f"{text}..."
