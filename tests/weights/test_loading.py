"""Loading and saving: one clear error for every kind of damage, deterministic files, honest FP8."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer, Lfm2Config, LlamaForCausalLM

from hala.errors import DiskError, InputError, RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.hub import at_commits, fetch, resolve_revision
from hala.weights.linears import round_tokens
from hala.weights.loading import load_model, load_tokenizer, new_lfm2, save_model
from hala.weights.schemes import MODES, SCHEMES, Mode, decode

SHAPE = {"vocab_size": 300, "hidden_size": 32, "num_layers": 3, "ff_size": 48, "num_heads": 4, "kv_heads": 2}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the lfm2 checkpoint to damage."""
    return Path(shutil.copytree(folders["lfm2"], tmp_path / "copy"))


def test_a_model_survives_the_round_trip(folders: dict[str, Path], tmp_path: Path, ids: torch.Tensor) -> None:
    """Saved and loaded again, a model gives the same logits, tokenizer, template and hala.json."""
    model, tokenizer = load_model(folders["lfm2"], "float32", "cpu")
    save_model(model, tokenizer, tmp_path / "again", extra={"task": "chat"})
    again, tokens = load_model(tmp_path / "again", "float32", "cpu")
    with torch.no_grad():
        assert torch.equal(model(ids).logits, again(ids).logits)
    assert tokens.chat_template == tokenizer.chat_template
    assert tokens("مرحبا").input_ids == tokenizer("مرحبا").input_ids
    assert json.loads((tmp_path / "again" / "hala.json").read_text()) == {"task": "chat"}
    assert "lm_head.weight" not in open_checkpoint(tmp_path / "again").tensors


def test_saving_is_deterministic_and_replaces(folders: dict[str, Path], tmp_path: Path) -> None:
    """The same model gives the same bytes, also over an older sharded checkpoint, whose shards are gone afterwards."""
    tokenizer = AutoTokenizer.from_pretrained(folders["lfm2"])
    for name in ("a", "b"):
        if name == "b":
            (tmp_path / "b").mkdir()
            (tmp_path / "b" / "model-00001-of-00002.safetensors").write_bytes(b"old")
            (tmp_path / "b" / "model.safetensors.index.json").write_text("{}")
        save_model(new_lfm2(**SHAPE, seed=5), tokenizer, tmp_path / name, dtype="bfloat16", extra={"task": "text"})
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert {info.dtype for info in open_checkpoint(tmp_path / "a").tensors.values()} == {"BF16"}
    assert json.loads((tmp_path / "a" / "config.json").read_text())["dtype"] == "bfloat16"


def test_saved_lfm2_configs_serve_every_reader(folders: dict[str, Path]) -> None:
    """vLLM and GGUF converters find their keys, and transformers reads the same model back."""
    raw = json.loads((folders["lfm2"] / "config.json").read_text())
    assert (raw["conv_dim"], raw["block_ff_dim"], raw["full_attn_idxs"], raw["rope_theta"]) == (64, 96, [1, 3], 1e6)
    config = Lfm2Config.from_pretrained(folders["lfm2"])
    assert (config.intermediate_size, config.layer_types, config.block_auto_adjust_ff_dim) == (
        96,
        ["conv", "full_attention"] * 2,
        False,
    )
    assert config.rope_parameters["rope_theta"] == 1e6


def test_new_models_follow_their_seed() -> None:
    """The same seed gives the same weights without touching the global generator; another seed gives others."""
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    a, b, c = (new_lfm2(**SHAPE, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["model.embed_tokens.weight"], c["model.embed_tokens.weight"])
    model = new_lfm2(**SHAPE, layer_types=["full_attention", "conv", "conv"])
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.layer_types == ["full_attention", "conv", "conv"]
    assert model.model.layers[0].feed_forward.w1.weight.shape == (48, 32)
    with pytest.raises(RecipeError, match="do not divide"):
        new_lfm2(**(SHAPE | {"num_heads": 5}))


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_activations_are_rounded(scheme: str, folders: dict[str, Path], tmp_path: Path, ids: torch.Tensor) -> None:
    """A loaded 8-bit model rounds what enters its linear layers, and only those; the switch turns it off."""
    compress(folders["llama"], tmp_path / "small", scheme)
    rounded, _ = load_model(tmp_path / "small", "float32", "cpu")
    plain, _ = load_model(tmp_path / "small", "float32", "cpu", round_activations=False)
    hidden = torch.randn(2, 3, 64)
    layer = plain.model.layers[0].self_attn.q_proj
    assert torch.equal(rounded.model.layers[0].self_attn.q_proj(hidden), layer(round_tokens(hidden, SCHEMES[scheme])))
    assert torch.equal(rounded.lm_head(hidden), plain.lm_head(hidden))
    with torch.no_grad():
        assert not torch.equal(rounded(ids).logits, plain(ids).logits)


@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2", "cohere2"])
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_loaded_weights_are_what_the_codes_stand_for(scheme: str, kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Every weight of a loaded 8-bit model is code times scale in float32, and what was kept is as it was."""
    report = compress(folders[kind], tmp_path / "small", scheme, "exact")
    model, _ = load_model(tmp_path / "small", "float32", "cpu")
    stored, parameters = open_checkpoint(tmp_path / "small"), dict(model.named_parameters())
    for tensor in report.tensors:
        values = stored.read(tensor.name)
        if tensor.kind != "kept":
            values = decode(values, stored.read(f"{tensor.name}_scale"), SCHEMES[scheme])
        assert np.array_equal(parameters[tensor.name].detach().numpy(), values.astype(np.float32)), tensor.name
    assert len(report.quantised) > 4


@pytest.mark.parametrize("mode", MODES)
def test_transformers_reads_the_same_weights(mode: Mode, folders: dict[str, Path], tmp_path: Path) -> None:
    """compressed-tensors, which transformers loads FP8 checkpoints with, decompresses to our weights."""
    compress(folders["llama"], tmp_path / "small", mode=mode)
    config = AutoConfig.from_pretrained(tmp_path / "small")
    config.quantization_config["run_compressed"] = False
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "small", config=config, dtype=torch.float32).state_dict()
    ours, _ = load_model(tmp_path / "small", "float32", "cpu")
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.detach(), theirs[name].float(), rtol=2**-8 if mode == "exact" else 1e-6, atol=0)


def test_auto_is_a_dtype_that_the_machine_is_fast_in(folders: dict[str, Path]) -> None:
    """`auto` loads float32 or bfloat16 as the hardware likes, and explicit names are obeyed."""
    assert load_model(folders["lfm2"], device="cpu")[0].dtype in (torch.float32, torch.bfloat16)
    assert load_model(folders["lfm2"], "bfloat16", "cpu")[0].dtype == torch.bfloat16
    with pytest.raises(RecipeError, match="Did you mean 'bfloat16'"):
        load_model(folders["lfm2"], "bfloat")


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])


def drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    save_file(tensors, folder / "model.safetensors")


def shrink_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.q_proj.weight"] = torch.ones(3, 3)
    save_file(tensors, folder / "model.safetensors")


def change_config(**change: object) -> object:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | change))

    return damage


DAMAGES = {
    "truncated": (truncate, r"model\.safetensors is cut off: tensor"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "broken config": (lambda folder: (folder / "config.json").write_text('{"a":'), r"config\.json is not valid JSON"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer"),
    "broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), r"no \*\.safetensors"),
    "missing tensor": (drop_tensor, "lacks tensor model.layers.1.self_attn.q_proj.weight"),
    "other shape": (shrink_tensor, "cannot be loaded"),
    "unknown architecture": (change_config(model_type="nonesuch"), "cannot be loaded"),
    "not a language model": (change_config(model_type="vit"), "cannot be loaded|no causal language model"),
    "remote code": (change_config(auto_map={"AutoModel": "x.Y"}), "code of its own"),
    "other quantisation": (change_config(quantization_config={"quant_method": "gptq"}), r"not read here \(gptq\)"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_every_damage_is_one_clear_error(damage: str, copy: Path) -> None:
    """Whatever is wrong with a checkpoint, the caller gets an InputError that names the place and a way out."""
    spoil, message = DAMAGES[damage]
    spoil(copy)
    with pytest.raises(InputError, match=message) as caught:
        load_model(copy, "float32", "cpu")
    assert str(copy) in caught.value.message
    assert caught.value.fix


def test_a_tokenizer_of_another_model_is_noticed(copy: Path) -> None:
    """More tokens than embeddings would be an index error in the middle of a run; it is refused at load."""
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens([f"extra{i}" for i in range(100)])
    tokenizer.save_pretrained(copy)
    with pytest.raises(InputError, match="400 tokens, the model only 384"):
        load_model(copy, "float32", "cpu")


def test_tokenizers_load_alone_and_never_run_code(copy: Path) -> None:
    """A tokenizer can be borrowed from a folder, under the same checks."""
    assert len(load_tokenizer(copy)) == 300
    (copy / "tokenizer.py").write_text("")
    with pytest.raises(InputError, match="Python code"):
        load_tokenizer(copy)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "..", "a b"])
def test_paths_that_are_no_folder_never_reach_the_hub(name: str) -> None:
    """A mistyped path is reported as such instead of being looked up on the network."""
    if name == "..":
        name = "../nonesuch"
    with pytest.raises(InputError, match="no checkpoint folder"):
        fetch(name)


@pytest.mark.parametrize("ask", [fetch, resolve_revision])
def test_being_offline_says_what_to_do(ask: Callable[[str], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub's client raises without a network is no bug of ours."""

    def offline(*_: object, **__: object) -> None:
        raise httpx.ConnectError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", offline)
    with pytest.raises(InputError, match=r"owner/name.*no route.*path of a folder"):
        ask("owner/name")


def test_models_are_read_at_the_commits_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a step a branch is the commit that its inputs name; others, and those outside of it, stay what they are."""
    asked = []

    def download(name: str, revision: str | None, **_: object) -> str:
        asked.append((name, revision))
        return "."

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with at_commits({"some/model": "a" * 40, "some/model@old": "b" * 40}):
        for revision in (None, "old", "new"):
            fetch("some/model", revision)
    fetch("some/model")
    assert [revision for _, revision in asked] == ["a" * 40, "b" * 40, "new", None]


def test_a_commit_needs_no_hub() -> None:
    """A revision of 40 hexadecimal digits is the commit itself."""
    assert resolve_revision("owner/name", "0" * 40) == "0" * 40


def test_a_full_disk_while_saving_is_a_clear_error(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed save is a DiskError and the older checkpoint in the folder is still whole."""
    model, tokenizer = load_model(folders["lfm2"], "float32", "cpu")
    save_model(model, tokenizer, tmp_path / "out")
    before = contents(tmp_path / "out")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokenizer, "save_pretrained", full)
    with pytest.raises(DiskError, match="No space left"):
        save_model(model, tokenizer, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / ".saving")
    assert contents(tmp_path / "out") == before
