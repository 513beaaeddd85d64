"""Our reading of a GGUF header agrees with the gguf package's, and damage is told."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from hala.errors import CorruptError
from hala.weights.gguf import export
from hala.weights.gguf_header import read_gguf


@pytest.fixture
def file(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A GGUF file."""
    return export(folders["lfm2"], tmp_path / "model.gguf", "q8_0").file


def test_the_official_reader_agrees(file: Path) -> None:
    """Numbers, texts and lists of numbers; names, shapes, types and places of tensors."""
    theirs, (keys, tensors) = gguf.GGUFReader(file), read_gguf(file)
    for key, field in theirs.fields.items():
        if not key.startswith("GGUF.") and keys[key] is not None:
            assert keys[key] == field.contents(), key
    assert {key for key, value in keys.items() if value is None} == {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"}
    assert list(tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        mine = tensors[tensor.name]
        assert (mine.shape, mine.type) == (tuple(int(n) for n in reversed(tensor.shape)), tensor.tensor_type.name)
        assert (mine.start, mine.size) == (tensor.data_offset, tensor.n_bytes)


@pytest.mark.parametrize(("keep", "message"), [(0, "header"), (20, "header"), (3000, "header"), (-40, "inside tensor")])
def test_a_cut_file_is_told(keep: int, message: str, file: Path) -> None:
    """Cut off in the header or among the weights, the file is named."""
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CorruptError, match=message):
        read_gguf(file)


def test_another_format_is_told(file: Path) -> None:
    """A file of another format is no GGUF file."""
    file.write_bytes(b"x" * 100)
    with pytest.raises(CorruptError, match="no GGUF file"):
        read_gguf(file)
