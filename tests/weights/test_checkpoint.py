"""Reading checkpoints: what is read is what was written, and nothing hostile, cut off or pickled gets through."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hala.errors import InputError
from hala.weights.checkpoint import complete_config, copy_side_files, fingerprint, open_checkpoint, read_header


def put_file(file: Path, header: Any, data: bytes = b"") -> Path:
    """A safetensors file with any header, sound or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return file


def entry(shape: list[Any], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the lfm2 checkpoint to damage."""
    return Path(shutil.copytree(folders["lfm2"], tmp_path / "copy"))


def test_reads_the_same_tensors_as_the_library(folders: dict[str, Path]) -> None:
    """Our reader and the official one agree on every tensor, dtype and bit."""
    checkpoint, official = open_checkpoint(folders["llama"]), load_file(folders["llama"] / "model.safetensors")
    assert list(checkpoint.tensors) == sorted(official)
    assert all(torch.equal(checkpoint.read(name), official[name]) for name in official)
    assert all(checkpoint.read(name).dtype == official[name].dtype for name in official)


def test_reads_scalars_empty_tensors_and_every_dtype(tmp_path: Path) -> None:
    """Zero-dimensional, empty and 8-bit tensors survive, so unusual checkpoints are not refused."""
    kinds = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float64]
    tensors = {f"t{i}": torch.ones(3).to(kind) for i, kind in enumerate(kinds)}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    for name, tensor in tensors.items():
        assert checkpoint.read(name).dtype == tensor.dtype
        assert torch.equal(checkpoint.read(name).float(), tensor.float())


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


def test_a_truncated_file_names_file_and_tensor(copy: Path) -> None:
    """Someone whose download broke off learns which file and which tensor."""
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors is cut off: tensor model\."):
        open_checkpoint(copy)


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", "x\0.safetensors", "x.safetensors\n"]
)
def test_an_index_cannot_point_elsewhere(copy: Path, name: str) -> None:
    """Shard names of an index are plain names in its own folder."""
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(InputError, match="plain"):
        open_checkpoint(copy)


def test_an_index_must_be_kept(copy: Path) -> None:
    """A listed tensor that its shard lacks, and a missing shard, are errors with the name."""
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"ghost": "model-00001-of-00001.safetensors"}}))
    with pytest.raises(InputError, match="promises tensor ghost"):
        open_checkpoint(copy)
    index.write_text(json.dumps({"weight_map": {"ghost": "model-00002-of-00002.safetensors"}}))
    with pytest.raises(InputError, match="which is missing"):
        open_checkpoint(copy)


def test_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    """A named pipe in place of a file is refused at once."""
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError):
        open_checkpoint(tmp_path)


def test_pickled_weights_are_refused(copy: Path) -> None:
    """A folder with only .bin weights is never opened and says what to do."""
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="Convert it elsewhere"):
        open_checkpoint(copy)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "anything.json"])
@pytest.mark.parametrize("bad", [{"auto_map": {}}, {"deep": [{"trust_remote_code": True}]}])
def test_settings_that_run_code_are_refused(copy: Path, file: str, bad: dict[str, Any]) -> None:
    """auto_map and its like are found in every settings file at any depth."""
    old = json.loads((copy / file).read_text()) if (copy / file).exists() else {}
    (copy / file).write_text(json.dumps(old | bad))
    with pytest.raises(InputError, match="code of its own"):
        open_checkpoint(copy)


def test_python_files_are_refused(copy: Path) -> None:
    """Code beside the weights is refused before any library can import it."""
    (copy / "modeling_x.py").write_text("")
    with pytest.raises(InputError, match=r"modeling_x\.py"):
        open_checkpoint(copy)


def test_side_files_follow_a_list(copy: Path, tmp_path: Path) -> None:
    """Tokenizer, template and licence travel; an unknown file stays behind."""
    (copy / "LICENSE.md").write_text("terms")
    (copy / "secret.env").write_text("key")
    copied = copy_side_files(copy, tmp_path, skip=("config.json",))
    assert {"LICENSE.md", "tokenizer.json", "chat_template.jinja", "hala.json"} <= set(copied)
    assert not (tmp_path / "secret.env").exists()
    assert not (tmp_path / "config.json").exists()


def test_fingerprint_sees_changed_weights(folders: dict[str, Path]) -> None:
    """Two fine-tunes of one model, alike in every header, are told apart, so a resume never mixes them."""
    assert fingerprint(open_checkpoint(folders["lfm2"])) != fingerprint(open_checkpoint(folders["tuned"]))


def test_config_of_lfm2_is_completed() -> None:
    """vLLM's conv_dim is added to LFM2 configs, and nothing is added to others or overwritten."""
    assert complete_config({"model_type": "lfm2", "hidden_size": 8})["conv_dim"] == 8
    assert complete_config({"model_type": "lfm2", "hidden_size": 8, "conv_dim": 9})["conv_dim"] == 9
    assert complete_config({"model_type": "llama", "hidden_size": 8}) == {"model_type": "llama", "hidden_size": 8}
