"""The beginning of a GGUF file read back: its numbers by key, and where each tensor lies. Lists of texts are skipped.

Source: the format's description, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    keys, tensors = read_gguf(Path("model.gguf"))
    tensors["token_embd.weight"].type      # "Q8_0"
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hala.errors import CorruptError

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9
ALIGNMENT = 32  # of tensors, unless a key says otherwise


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies: `shape` with rows first, `type` by ggml's name, `start` and `size` in bytes."""

    name: str
    shape: tuple[int, ...]
    type: str
    start: int
    size: int


def read_gguf(file: Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """Keys and tensors of a file. Raises: CorruptError when it is none, or is cut off."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    total = file.stat().st_size
    try:
        with file.open("rb") as stream:
            magic, _, tensors, keys = struct.unpack("<4sIQQ", stream.read(24))
            if magic != b"GGUF":
                raise CorruptError(f"{file} is no GGUF file.")
            found = dict(read_pair(stream) for _ in range(keys))
            infos = [read_info(stream) for _ in range(tensors)]
            alignment = found.get("general.alignment", ALIGNMENT)
            data = -(-stream.tell() // alignment) * alignment
    except (struct.error, UnicodeDecodeError):
        raise CorruptError(f"{file} is cut off inside its header.") from None
    stored = {}
    for name, shape, number, offset in infos:
        kind = GGMLQuantizationType(number)
        block, item = GGML_QUANT_SIZES[kind]
        size = math.prod(shape) // block * item
        if data + offset + size > total:
            raise CorruptError(f"{file} is cut off inside tensor {name}.")
        stored[name] = StoredTensor(name, shape, kind.name, data + offset, size)
    return found, stored


def number(stream: BinaryIO, code: str) -> Any:
    """The next number."""
    return struct.unpack(f"<{code}", stream.read(struct.calcsize(f"<{code}")))[0]


def text(stream: BinaryIO) -> str:
    """The next text."""
    return stream.read(number(stream, "Q")).decode()


def read_pair(stream: BinaryIO) -> tuple[str, Any]:
    """The next key and its value; None for a list of texts."""
    return text(stream), value(stream, number(stream, "I"))


def value(stream: BinaryIO, kind: int) -> Any:
    """The next value of this kind."""
    if kind == TEXT:
        return text(stream)
    if kind != LIST:
        return number(stream, NUMBERS[kind])
    kind, count = number(stream, "I"), number(stream, "Q")
    if kind in NUMBERS:
        code = f"{count}{NUMBERS[kind]}"
        return list(struct.unpack(f"<{code}", stream.read(struct.calcsize(f"<{code}"))))
    for _ in range(count):
        value(stream, kind)
    return None


def read_info(stream: BinaryIO) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset of the next tensor."""
    name = text(stream)
    dimensions = number(stream, "I")
    shape = struct.unpack(f"<{dimensions}Q", stream.read(8 * dimensions))
    return name, tuple(reversed(shape)), number(stream, "I"), number(stream, "Q")
