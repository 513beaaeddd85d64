"""GGUF: another reader rebuilds the same model, the file is whole or absent, and the same checkpoint gives the same bytes."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from hala.errors import CorruptError, DiskError, InputError, RecipeError
from hala.weights import gguf as ours
from hala.weights.gguf import export
from hala.weights.loading import load_model, new_lfm2, save_model

from .gguf_models import make_gemma, make_spaced_tokenizer


@pytest.fixture(scope="module")
def models(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each architecture that GGUF export knows."""
    tokenizer = make_spaced_tokenizer()
    gemma = tmp_path_factory.mktemp("models") / "gemma2"
    save_model(make_gemma(len(tokenizer)), tokenizer, gemma, "float32")
    return {"lfm2": folders["lfm2"], "llama": folders["llama"], "gemma2": gemma}


@pytest.mark.parametrize(("quant", "tolerance"), [("f32", 1e-6), ("f16", 2e-3), ("bf16", 0.02), ("q8_0", 0.06)])
@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2"])
def test_transformers_rebuilds_the_model(
    kind: str, quant: str, tolerance: float, models: dict[str, Path], tmp_path: Path, ids: torch.Tensor
) -> None:
    """transformers' own GGUF reader gets a model with the same logits: names, shapes, row order and widths are right."""
    report = export(models[kind], tmp_path / "model.gguf", quant)  # type: ignore[arg-type]
    # With SDPA transformers leaves the cap of Gemma 2's scores out; hala never does.
    kernel = "eager" if kind == "gemma2" else None
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="model.gguf", dtype=torch.float32, attn_implementation=kernel
    )
    model, _ = load_model(models[kind], "float32", "cpu")
    theirs.config.query_pre_attn_scalar = 16  # not in the file; it follows from the size of a head
    for layer in theirs.model.layers if kind == "gemma2" else ():
        layer.self_attn.scaling = 16**-0.5
    with torch.no_grad():
        a, b = model(ids).logits, theirs(ids).logits
    assert (a - b).norm() <= tolerance * a.norm()
    assert report.widths["feed_forward_length"] == 96
    assert report.worst.rel_error <= {"f32": 0, "f16": 2**-11, "bf16": 2**-8, "q8_0": 0.005}[quant]
    assert not report.warnings


def test_keys_follow_the_tensors(folders: dict[str, Path], tmp_path: Path) -> None:
    """llama.cpp finds per-layer key-value heads, the cache length, the tokenizer, the chat template and the licence."""
    export(folders["lfm2"], tmp_path / "model.gguf")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    value = {key: field.contents() for key, field in fields.items()}
    assert value["general.architecture"] == "lfm2"
    assert value["general.name"] == "lfm2"
    assert value["general.license"] == "apache-2.0"
    assert value["lfm2.attention.head_count_kv"] == [0, 2, 0, 2]
    assert value["lfm2.shortconv.l_cache"] == 3
    assert value["tokenizer.ggml.model"] == "gpt2"
    assert value["tokenizer.ggml.pre"] == "gpt-2"
    assert len(value["tokenizer.ggml.tokens"]) == 384
    assert value["tokenizer.ggml.token_type"][:5] == [3, 3, 3, 3, 1]
    assert (value["tokenizer.ggml.bos_token_id"], value["tokenizer.ggml.eos_token_id"]) == (1, 3)
    assert value["tokenizer.ggml.add_bos_token"] is False
    assert "im_start" in value["tokenizer.chat_template"]


def test_the_hub_cache_names_the_model(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model in the hub's cache, whose folder is called by its commit, keeps its own name."""
    folder = tmp_path / "models--LiquidAI--LFM2-350M" / "snapshots" / ("0123456789" * 4)
    shutil.copytree(folders["lfm2"], folder)
    export(folder, tmp_path / "model.gguf")
    assert gguf.GGUFReader(tmp_path / "model.gguf").fields["general.name"].contents() == "LFM2-350M"


def test_the_same_checkpoint_gives_the_same_bytes(models: dict[str, Path], tmp_path: Path) -> None:
    """Nothing of the clock, of hashing or of the place enters the file; blocks of any size give it."""
    for kind, folder in models.items():
        export(folder, tmp_path / f"{kind}-a.gguf", "q8_0")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hala.weights.gguf_network.ROWS_BYTES", 3000)
            export(folder, tmp_path / "other" / f"{kind}-b.gguf", "q8_0")
        assert (tmp_path / f"{kind}-a.gguf").read_bytes() == (tmp_path / "other" / f"{kind}-b.gguf").read_bytes()


def test_rows_that_do_not_fill_a_block_fall_back(folders: dict[str, Path], tmp_path: Path) -> None:
    """q8_0 needs rows of 32; other matrices become f16 and the report says so."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["lfm2"])
    model = new_lfm2(vocab_size=300, hidden_size=48, num_layers=2, ff_size=64, num_heads=4, kv_heads=2, eos=3)
    save_model(model, tokenizer, tmp_path / "odd")
    types = {tensor.name: tensor.type for tensor in export(tmp_path / "odd", tmp_path / "odd.gguf", "q8_0").tensors}
    assert types["blk.0.ffn_gate.weight"] == "F16"
    assert types["blk.0.ffn_down.weight"] == "Q8_0"
    assert types["blk.0.shortconv.conv.weight"] == "F32"


def test_a_wrong_file_never_gets_its_name(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The read-back check is real: a writer that spoils values is caught and leaves nothing behind."""
    monkeypatch.setattr(gguf, "quantize", lambda values, kind: values.astype("float32") * 1.01)
    with pytest.raises(CorruptError, match="reads back with an error"):
        export(folders["lfm2"], tmp_path / "model.gguf", "f32")
    assert not list(tmp_path.iterdir())


def test_values_beyond_the_format_and_unknown_types_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """A value that f16 cannot hold and NaN are told with their tensor; a misspelt type gets a suggestion; nothing is left."""
    with pytest.raises(RecipeError, match="Did you mean 'q8_0'"):
        export(folders["lfm2"], tmp_path / "x.gguf", "q80")  # type: ignore[arg-type]
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    for value, quant, message in ((1e5, "f16", r"embed_tokens.* beyond 65504"), (float("nan"), "f32", "embed_tokens.* NaN")):
        tensors["model.embed_tokens.weight"][0, 0] = value
        save_file(tensors, source / "model.safetensors")
        with pytest.raises(InputError, match=message):
            export(source, tmp_path / "x.gguf", quant)  # type: ignore[arg-type]
    assert [file.name for file in tmp_path.iterdir()] == ["source"]


def test_a_missing_package_is_told(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gguf package is optional: without it the command says what to install."""
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match="pip install"):
        export(folders["lfm2"], tmp_path / "x.gguf")


def test_too_little_room_is_told_before_anything_is_written(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot fit costs no time: the place, what is free and what is needed are said."""
    monkeypatch.setattr(ours.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(DiskError, match=f"{tmp_path} has 0.00 GB free"):
        export(folders["lfm2"], tmp_path / "x.gguf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room", [0, 5_000, 150_000])
def test_a_disk_that_fills_up_leaves_nothing(room: int, folders: dict[str, Path], tmp_path: Path) -> None:
    """Wherever writing fails, in the header or among the weights, the place is named and no half file stays."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    code = "import sys; from hala.weights.gguf import export; export(*sys.argv[1:])"
    words = [sys.executable, "-c", code, str(folders["lfm2"]), str(tmp_path / "x.gguf")]
    done = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert f"DiskError: cannot write below {tmp_path}" in done.stderr.replace("hala.errors.", "")
    assert not list(tmp_path.iterdir())


def test_the_real_width_wins_over_the_config(folders: dict[str, Path], tmp_path: Path) -> None:
    """feed_forward_length is the width of the tensors even when the config names the width before LFM2's adjustment."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    config = json.loads((source / "config.json").read_text()) | {"intermediate_size": 144, "block_ff_dim": 144}
    (source / "config.json").write_text(json.dumps(config))
    assert export(source, tmp_path / "model.gguf").widths["feed_forward_length"] == 96
