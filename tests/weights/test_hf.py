"""A plain folder: the same model for every reader, absent or complete, 8-bit tensors unpacked exactly."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.errors import DriftError, InputError, RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.hf import export_folder
from hala.weights.loading import load_model
from hala.weights.quantised import stored_scheme
from hala.weights.schemes import SCHEMES
from hala.weights.unpacking import unpacked

from .conftest import read_all


@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2", "cohere2"])
def test_the_same_model_for_transformers(kind: str, folders: dict[str, Path], tmp_path: Path, ids: torch.Tensor) -> None:
    """Every tensor stays bit for bit, and transformers computes the same logits from the folder."""
    report = export_folder(folders[kind], tmp_path / "out")
    before, after = load_file(folders[kind] / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    (a, _), (b, _) = (load_model(folder, "float32", "cpu") for folder in (folders[kind], tmp_path / "out"))
    with torch.no_grad():
        assert torch.equal(a(ids).logits, b(ids).logits)
    assert (report.stored, report.unpacked) == ({"BF16": len(before)}, 0)


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("kind", ["lfm2", "llama"])
def test_eight_bits_are_unpacked_exactly(scheme: str, kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """With a dtype, codes become codes times scales as the loader has them; without one, they stay codes."""
    compress(folders[kind], tmp_path / "packed", scheme)
    report = export_folder(tmp_path / "packed", tmp_path / "plain", "bfloat16")
    source, plain = open_checkpoint(tmp_path / "packed"), load_file(tmp_path / "plain" / "model.safetensors")
    expected = unpacked(source, torch.bfloat16, stored_scheme(source))
    assert plain.keys() == expected.keys() and all(torch.equal(plain[name], expected[name]) for name in plain)
    assert report.unpacked > 10 and "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    export_folder(tmp_path / "packed", tmp_path / "kept")
    assert (tmp_path / "kept" / "model.safetensors").read_bytes() == (tmp_path / "packed" / "model.safetensors").read_bytes()
    settings = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("kept", "packed")]
    assert settings[0]["quantization_config"] == settings[1]["quantization_config"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_dtype_is_for_all_floats(dtype: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Every tensor is rounded to the dtype, and the config says so in both spellings."""
    export_folder(folders["lfm2"], tmp_path / "out", dtype)
    before, after = load_file(folders["lfm2"] / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(after[name], before[name].to(getattr(torch, dtype))) for name in before)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["dtype"], config["torch_dtype"]) == (dtype, dtype)


def test_the_same_bytes_in_shards_and_again(folders: dict[str, Path], tmp_path: Path) -> None:
    """Two exports are equal byte for byte, one after another does nothing, other settings are refused."""
    for name in ("a", "b"):
        export_folder(folders["lfm2"], tmp_path / name, shard_bytes=60_000)
    assert read_all(tmp_path / "a") == read_all(tmp_path / "b")
    assert len(list((tmp_path / "a").glob("*.safetensors"))) > 3
    export_folder(folders["lfm2"], tmp_path / "a", shard_bytes=60_000)
    with pytest.raises(DriftError, match="dtype"):
        export_folder(folders["lfm2"], tmp_path / "a", "float32", shard_bytes=60_000)


def test_what_transformers_would_miss_is_told_first(folders: dict[str, Path], tmp_path: Path) -> None:
    """A missing, misshapen or unknown tensor is named with what is wanted, and nothing is written."""
    copy = Path(shutil.copytree(folders["lfm2"], tmp_path / "model"))
    whole, norm = load_file(copy / "model.safetensors"), "model.layers.1.ffn_norm.weight"
    changes = {
        "missing": {},
        r"\[5\]; transformers wants \[64\]": {norm: torch.ones(5)},
        "unknown": {norm: whole[norm], "x": torch.ones(5)},
    }
    for message, change in changes.items():
        save_file({name: tensor for name, tensor in whole.items() if name != norm} | change, copy / "model.safetensors")
        with pytest.raises(InputError, match=message):
            export_folder(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_values_that_cannot_be_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """NaN, values beyond float16, an unknown dtype and foreign quantisation each have their message."""
    copy = Path(shutil.copytree(folders["lfm2"], tmp_path / "model"))
    tensors = load_file(copy / "model.safetensors")
    for value, dtype, message in ((1e6, "float16", "embed_tokens.* beyond float16"), (float("nan"), None, "embed_tokens.* NaN")):
        tensors["model.embed_tokens.weight"][0, 0] = value
        save_file(tensors, copy / "model.safetensors")
        with pytest.raises(InputError, match=message):
            export_folder(copy, tmp_path / f"out-{dtype}", dtype)
        assert not (tmp_path / f"out-{dtype}").exists()
    with pytest.raises(RecipeError, match="Did you mean 'bfloat16'"):
        export_folder(copy, tmp_path / "out", "bf16")
    config = json.loads((copy / "config.json").read_text()) | {"quantization_config": {"quant_method": "gptq"}}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="gptq"):
        export_folder(copy, tmp_path / "out", "bfloat16")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_leaves_no_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    """The place is named, the folder has no name yet, and with room the same command ends with the same bytes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    code = "import sys; from hala.weights.hf import export_folder; export_folder(*sys.argv[1:])"
    words = [sys.executable, "-c", code, str(folders["lfm2"]), str(tmp_path / "out")]
    done = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert f"DiskError: cannot write below {tmp_path}" in done.stderr.replace("hala.errors.", "")
    assert not (tmp_path / "out").exists()
    export_folder(folders["lfm2"], tmp_path / "out")
    export_folder(folders["lfm2"], tmp_path / "again")
    assert read_all(tmp_path / "out") == read_all(tmp_path / "again")


def test_blocks_of_any_size_unpack_the_same(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scales of blocks of rows meet their rows wherever the reader divides the matrix."""
    compress(folders["lfm2"], tmp_path / "packed", "fp8-block")
    export_folder(tmp_path / "packed", tmp_path / "a", "float32")
    monkeypatch.setattr("hala.weights.hf.BLOCK", 100)
    export_folder(tmp_path / "packed", tmp_path / "b", "float32")
    a, b = (open_checkpoint(tmp_path / name) for name in ("a", "b"))
    assert all(np.array_equal(a.read(name), b.read(name)) for name in a.tensors)
