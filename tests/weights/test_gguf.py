"""GGUF: another reader rebuilds the same model, widths are the real ones, and what cannot be exported is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from hala.errors import CorruptError, InputError, RecipeError
from hala.weights.gguf import export
from hala.weights.gguf_network import rope_factors
from hala.weights.loading import load_model, new_lfm2, save_model


@pytest.mark.parametrize(("quant", "tolerance"), [("f32", 1e-6), ("f16", 1e-5), ("q8_0", 0.06)])
@pytest.mark.parametrize("kind", ["lfm2", "llama"])
def test_transformers_rebuilds_the_model(
    kind: str, quant: str, tolerance: float, folders: dict[str, Path], tmp_path: Path, ids: torch.Tensor
) -> None:
    """transformers' own GGUF reader gets a model with the same logits: names, shapes, row order and widths are right."""
    report = export(folders[kind], tmp_path / "model.gguf", quant)  # type: ignore[arg-type]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    ours, _ = load_model(folders[kind], "float32", "cpu")
    with torch.no_grad():
        a, b = ours(ids).logits, theirs(ids).logits
    assert (a - b).norm() <= tolerance * a.norm()
    assert report.widths["feed_forward_length"] == 96
    assert report.worst.rel_error <= {"f32": 0, "f16": 2**-11, "q8_0": 0.005}[quant]


def test_keys_follow_the_tensors(folders: dict[str, Path], tmp_path: Path) -> None:
    """llama.cpp finds per-layer key-value heads, the cache length, the tokenizer and the chat template."""
    export(folders["lfm2"], tmp_path / "model.gguf")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    value = {key: field.contents() for key, field in fields.items()}
    assert value["lfm2.attention.head_count_kv"] == [0, 2, 0, 2]
    assert value["lfm2.shortconv.l_cache"] == 3
    assert value["tokenizer.ggml.model"] == "gpt2"
    assert value["tokenizer.ggml.pre"] == "gpt-2"
    assert len(value["tokenizer.ggml.tokens"]) == 384
    assert value["tokenizer.ggml.token_type"][:5] == [3, 3, 3, 3, 1]
    assert (value["tokenizer.ggml.bos_token_id"], value["tokenizer.ggml.eos_token_id"]) == (1, 3)
    assert value["tokenizer.ggml.add_bos_token"] is False
    assert "im_start" in value["tokenizer.chat_template"]


def test_the_real_width_wins_over_the_config(folders: dict[str, Path], tmp_path: Path) -> None:
    """feed_forward_length is the width of the tensors even when the config names the width before LFM2's adjustment."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    config = json.loads((source / "config.json").read_text()) | {"intermediate_size": 144, "block_ff_dim": 144}
    (source / "config.json").write_text(json.dumps(config))
    assert export(source, tmp_path / "model.gguf").widths["feed_forward_length"] == 96


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


def test_what_cannot_be_exported_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """Other architectures, unknown types, foreign tokenizers and values beyond f16 are refused with the reason."""
    with pytest.raises(InputError, match="a gemma2 model"):
        export(folders["gemma2"], tmp_path / "x.gguf")
    with pytest.raises(RecipeError, match="Did you mean 'q8_0'"):
        export(folders["lfm2"], tmp_path / "x.gguf", "q80")  # type: ignore[arg-type]
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    tensors["model.embed_tokens.weight"][0, 0] = 1e5
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(InputError, match="beyond 65504"):
        export(source, tmp_path / "x.gguf", "f16")
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False}
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="Name it with `splitter`"):
        export(source, tmp_path / "x.gguf", "f32")
    export(source, tmp_path / "x.gguf", "f32", splitter="llama-bpe")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+", "lfm2"),
        (r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+", "qwen2"),
        (r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+", "qwen35"),
    ],
)
def test_splitting_rules_are_named(pattern: str, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """The published splitting rules, LFM2's among them, are recognised, so llama.cpp cuts text as the tokenizer does."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    rule = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?" + pattern + r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    parts = [
        {"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]
    content = json.loads((source / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}
    (source / "tokenizer.json").write_text(json.dumps(content))
    export(source, tmp_path / "x.gguf")
    assert gguf.GGUFReader(tmp_path / "x.gguf").fields["tokenizer.ggml.pre"].contents() == name


def test_llama3_rotary_factors() -> None:
    """The frequency factors of Llama 3.1 are those that transformers applies."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    config = LlamaConfig(hidden_size=256, num_attention_heads=4, max_position_embeddings=131072, rope_parameters=scaling)
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1 / 5e5 ** (torch.arange(0, 64, 2) / 64)
    assert torch.allclose(plain / torch.tensor(rope_factors(config.to_dict())), frequencies, rtol=1e-5)
