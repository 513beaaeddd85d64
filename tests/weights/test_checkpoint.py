"""Reading checkpoints: what is read is what was written, and nothing hostile, cut off or pickled gets through."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.artifacts import Manifest, write_json
from hala.errors import InputError
from hala.weights.checkpoint import complete_config, copy_side_files, fingerprint, open_checkpoint
from hala.weights.unpacking import to_torch


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the lfm2 checkpoint to damage."""
    return Path(shutil.copytree(folders["lfm2"], tmp_path / "copy"))


def test_reads_the_same_tensors_as_the_library(folders: dict[str, Path]) -> None:
    """Our reader and the official one agree on every tensor, dtype and bit."""
    checkpoint, official = open_checkpoint(folders["llama"]), load_file(folders["llama"] / "model.safetensors")
    assert list(checkpoint.tensors) == sorted(official)
    for name, expected in official.items():
        found = to_torch(checkpoint.read(name))
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected), name


def test_a_step_in_place_of_a_checkpoint_is_told_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    """An unfinished step, a merge of several t, rows and a damaged step each get their own way out, not another download."""
    step = tmp_path / "between"
    step.mkdir()
    with pytest.raises(InputError, match="download the model again"):
        open_checkpoint(step)
    (step / "started.json").write_text("{}")
    with pytest.raises(InputError, match="This step is not finished; run its recipe again"):
        open_checkpoint(step)
    shutil.copytree(folders["lfm2"], step / "t-0.25")
    shutil.copytree(folders["lfm2"], step / "t-0.5")
    with pytest.raises(InputError, match="not finished"):
        open_checkpoint(step)
    (step / "started.json").unlink()
    with pytest.raises(InputError, match=r"It holds several; choose one: .*/between/t-0\.25, .*/between/t-0\.5\.$"):
        open_checkpoint(step)
    for kind, says in (("rows", "made rows; give one that made a checkpoint"), ("checkpoint", "damaged; run `hala repair")):
        write_json(tmp_path / kind / "manifest.json", asdict(Manifest("s", "v", kind, {}, {}, "")))
        with pytest.raises(InputError, match=says):
            open_checkpoint(tmp_path / kind)


def test_reads_scalars_empty_tensors_and_every_dtype(tmp_path: Path) -> None:
    """Zero-dimensional, empty and 8-bit tensors survive, so unusual checkpoints are not refused."""
    kinds = [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.complex64]
    kinds += [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu, torch.uint16, torch.uint32, torch.uint64]
    tensors = {f"{kind}": torch.tensor([1, 2, 4]).to(kind) for kind in kinds}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    for name, tensor in tensors.items():
        found = checkpoint.read(name)
        assert f"torch.{found.dtype.name}" == str(tensor.dtype)
        assert found.shape == tuple(tensor.shape)
        assert found.tobytes() == tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        assert np.array_equal(found.astype(np.complex64), tensor.to(torch.complex64).numpy())


def test_parts_are_those_of_the_whole(folders: dict[str, Path]) -> None:
    """Any stretch of a tensor read by itself has the bytes that it has in the whole; beyond the end is an error."""
    checkpoint = open_checkpoint(folders["lfm2"])
    name = "model.layers.0.feed_forward.w1.weight"
    whole = checkpoint.read(name).reshape(-1)
    for start, count in ((0, 1), (5, 700), (whole.size - 3, 3), (9, 0)):
        assert checkpoint.read_part(name, start, count).tobytes() == whole[start : start + count].tobytes()
    last = max(checkpoint.tensors.values(), key=lambda info: info.start)
    with pytest.raises(InputError, match=f"cut off inside tensor {last.name}"):
        checkpoint.read_part(last.name, 1, last.count)


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
    (copy / "additional_chat_templates").mkdir()
    legal = ("LICENSE.md", "License.txt", "LICENCE", "COPYING", "USE_POLICY.md", "Notice", "additional_chat_templates/rag.jinja")
    for name in (*legal, "secret.env"):
        (copy / name).write_text("terms")
    copied = copy_side_files(copy, tmp_path, skip=("config.json",))
    assert {*legal, "tokenizer.json", "chat_template.jinja", "hala.json"} <= set(copied)
    assert all((tmp_path / name).is_file() for name in copied)
    assert not (tmp_path / "secret.env").exists()
    assert not (tmp_path / "config.json").exists()


def test_fingerprint_sees_changed_weights(folders: dict[str, Path]) -> None:
    """Two fine-tunes of one model, alike in every header, are told apart, so a resume never mixes them."""
    assert fingerprint(open_checkpoint(folders["lfm2"])) != fingerprint(open_checkpoint(folders["tuned"]))


def test_config_of_lfm2_is_completed() -> None:
    """vLLM's conv_dim and block_dim are added to LFM2 configs, and nothing is added to others or overwritten."""
    completed = complete_config({"model_type": "lfm2", "hidden_size": 8})
    assert (completed["conv_dim"], completed["block_dim"]) == (8, 8)
    assert complete_config({"model_type": "lfm2", "hidden_size": 8, "conv_dim": 9})["conv_dim"] == 9
    assert complete_config({"model_type": "llama", "hidden_size": 8}) == {"model_type": "llama", "hidden_size": 8}
