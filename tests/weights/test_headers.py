"""The header of a safetensors file: sound ones are read, and nothing that lies about names, sizes or places gets through."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import InputError
from hala.weights.headers import read_header


def put_file(file: Path, header: Any, data: bytes = b"") -> Path:
    """A safetensors file with any header, sound or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return file


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


BOMBS: dict[str, tuple[Any, bytes]] = {
    "overflow": ({"w": entry([4194305, 4194305, 211106198978564], 0, 16)}, b"\0" * 16),
    "unknown dtype": ({"w": entry([4], 0, 16, "F31")}, b"\0" * 16),
    "hole": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, b"\0" * 12),
    "overlap": ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"\0" * 12),
    "trailing bytes": ({"a": entry([1], 0, 4)}, b"\0" * 9),
    "size mismatch": ({"a": entry([2], 0, 4)}, b"\0" * 4),
    "negative shape": ({"a": entry([-1, -1], 0, 4)}, b"\0" * 4),
    "boolean shape": ({"a": entry([True], 0, 4)}, b"\0" * 4),
    "control character": ({"a\0b": entry([1], 0, 4)}, b"\0" * 4),
    "duplicate key": (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b"\0" * 4,
    ),
    "not json": (b"{{{{", b""),
    "not an object": (b"[1]", b""),
    "deep nesting": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""),
    "endless number": (b'{"a":' + b"9" * 10_000 + b"}", b""),
}


@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_refuses_hostile_headers(bomb: str, tmp_path: Path) -> None:
    """A header that lies about sizes, names or offsets is an InputError naming the file, never a crash or an allocation."""
    file = put_file(tmp_path / "bomb.safetensors", *BOMBS[bomb])
    with pytest.raises(InputError, match=r"bomb\.safetensors"):
        read_header(file)


def test_refuses_a_header_length_beyond_the_file(tmp_path: Path) -> None:
    """Eight bytes that promise a huge header do not make the reader allocate it."""
    file = tmp_path / "bomb.safetensors"
    file.write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match="cut off inside its header"):
        read_header(file)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever the bytes, the reader answers with tensors or with InputError and nothing else."""
    file = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    file.write_bytes(data)
    with contextlib.suppress(InputError):
        assert isinstance(read_header(file), dict)
