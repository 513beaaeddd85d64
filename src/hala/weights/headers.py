"""The header of a safetensors file, checked before a byte of it is believed, and JSON files read with the same distrust.

A header is parsed here and not by a library, so that a hostile or cut-off file is refused, with the names of the file and the
tensor, before anything is allocated. Sizes are Python integers, so no product can wrap around.
"""

from __future__ import annotations

import json
import math
import stat
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
MAX_HEADER = 100_000_000  # bytes, the limit of the reference reader
MAX_JSON = 64_000_000  # bytes; the largest tokenizer.json in the wild is about 35 MB
MAX_TENSORS = 200_000
AGAIN = "Download or write it again."


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
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if total < 8 or length > min(MAX_HEADER, total - 8):
            raise InputError(f"{file} is not a safetensors file or is cut off inside its header.", AGAIN)
        raw = handle.read(length)
    if raw.count(b'"data_offsets"') > MAX_TENSORS:
        raise InputError(f"{file} claims more than {MAX_TENSORS} tensors.")
    entries = parse_json(raw, file)
    entries.pop("__metadata__", None)
    spans = [parse_entry(file, name, entry) for name, entry in entries.items()]
    check_spans(file, spans, total - 8 - length)
    return {name: TensorInfo(name, dtype, shape, file, 8 + length + begin) for name, dtype, shape, begin, _ in spans}


Span = tuple[str, str, tuple[int, ...], int, int]  # name, dtype, shape, begin, end


def parse_entry(file: Path, name: str, entry: Any) -> Span:
    """One checked header entry; offsets count from the end of the header."""
    where = f"tensor {name[:512]!r} in {file}"
    if not name or len(name) > 512 or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise InputError(f"{where}: not a usable tensor name.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where}: its header entry is malformed.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{where}: unknown dtype {dtype!r}.", f"Known: {', '.join(DTYPES)}.")
    if not is_counts(shape) or not is_counts(offsets) or len(offsets) != 2 or len(shape) > 16:
        raise InputError(f"{where}: shape or offsets are not lists of non-negative integers.")
    size = math.prod(shape) * DTYPES[dtype][1]
    if offsets[1] - offsets[0] != size:
        raise InputError(f"{where}: shape and dtype need {size} bytes, its offsets span {offsets[1] - offsets[0]}.")
    return name, dtype, tuple(shape), offsets[0], offsets[1]


def is_counts(value: Any) -> bool:
    """Whether `value` is a list of non-negative integers that fit a file; bool is not an integer here."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)


def check_spans(file: Path, spans: list[Span], available: int) -> None:
    """Nothing, or InputError for the first hole, overlap, cut-off tensor or trailing bytes."""
    cursor = 0
    for name, _, _, begin, end in sorted(spans, key=lambda span: span[3:]):
        if end > available:
            raise InputError(f"{file} is cut off: tensor {name} ends at byte {end} of {available}.", AGAIN)
        if begin != cursor:
            raise InputError(f"{file}: tensor {name} begins at byte {begin}, not at {cursor}: a hole or an overlap.")
        cursor = end
    if cursor != available:
        raise InputError(f"{file} has {available - cursor} bytes that belong to no tensor.", AGAIN)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises: InputError when it is missing, too large, malformed or has a key twice."""
    if regular_size(file) > MAX_JSON:
        raise InputError(f"{file} is larger than {MAX_JSON} bytes, too large for a settings file.")
    return parse_json(file.read_bytes(), file)


def parse_json(raw: bytes, file: Path) -> dict[str, Any]:
    """The JSON object in `raw`; `file` is named in errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a key is there twice")
        return result

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON: {str(error)[:200]}.", AGAIN) from error
    if not isinstance(value, dict):
        raise InputError(f"{file} is not a JSON object.", AGAIN)
    return value


def regular_size(file: Path) -> int:
    """Bytes of a regular file; pipes and devices, which would hang a reader, are refused."""
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{file} is not a regular file.")
    return status.st_size
