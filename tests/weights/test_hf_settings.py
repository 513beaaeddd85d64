"""Settings in every spelling: the same value under raw and normalised names, tokenizers that old and new readers load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoTokenizer

from hala.weights.checkpoint import open_checkpoint
from hala.weights.hf_settings import config_for_all, write_side_files

LFM2_RAW = {  # as the published config.json has it, before transformers read it
    "architectures": ["Lfm2ForCausalLM"],
    "block_auto_adjust_ff_dim": True,
    "block_dim": 64,
    "block_ff_dim": 144,
    "block_ffn_dim_multiplier": 1.0,
    "block_multiple_of": 32,
    "block_norm_eps": 1e-5,
    "bos_token_id": 1,
    "conv_L_cache": 3,
    "conv_bias": False,
    "conv_dim": 64,
    "conv_dim_out": 64,
    "eos_token_id": 3,
    "full_attn_idxs": [1, 3],
    "hidden_size": 64,
    "max_position_embeddings": 128,
    "model_type": "lfm2",
    "norm_eps": 1e-5,
    "num_attention_heads": 4,
    "num_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rope_theta": 1e6,
    "torch_dtype": "bfloat16",
    "vocab_size": 384,
}


def with_config(folder: Path, tmp_path: Path, config: dict[str, Any]) -> Path:
    """A copy of a checkpoint with this config."""
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def test_a_raw_config_gets_the_normalised_names(folders: dict[str, Path], tmp_path: Path) -> None:
    """What Liquid publishes gains transformers' own keys, and the feed-forward width is that of the tensors in both spellings."""
    config = config_for_all(open_checkpoint(with_config(folders["lfm2"], tmp_path, LFM2_RAW)), "bfloat16")
    assert (config["block_ff_dim"], config["intermediate_size"], config["block_auto_adjust_ff_dim"]) == (96, 96, False)
    assert (config["rope_theta"], config["rope_parameters"]["rope_theta"]) == (1e6, 1e6)
    assert config["layer_types"] == ["conv", "full_attention"] * 2 and config["full_attn_idxs"] == [1, 3]
    assert (config["dtype"], config["torch_dtype"]) == ("bfloat16", "bfloat16")
    assert (config["tie_word_embeddings"], config["tie_embedding"]) == (True, True)
    assert set(LFM2_RAW) <= set(config)


def test_a_normalised_config_gets_the_raw_names(folders: dict[str, Path]) -> None:
    """What transformers 5 saves gains the keys of vLLM, converters and transformers 4."""
    config = config_for_all(open_checkpoint(folders["lfm2"]), "bfloat16")
    assert {"block_dim", "conv_dim", "conv_dim_out", "block_norm_eps", "num_heads", "torch_dtype", "rope_theta"} <= set(config)
    assert "transformers_version" not in config


@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2", "cohere2"])
def test_transformers_reads_the_same_model(kind: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """The additional keys change nothing for the reader that has its own."""
    copy = with_config(folders[kind], tmp_path, config_for_all(open_checkpoint(folders[kind]), "bfloat16"))
    ours, theirs = (AutoConfig.from_pretrained(folder).to_dict() for folder in (copy, folders[kind]))
    own = type(AutoConfig.from_pretrained(copy)).__annotations__
    assert {key: ours[key] for key in own} == {key: theirs[key] for key in own}
    assert ("hidden_act" in ours) == ("hidden_act" in theirs or kind == "gemma2")
    assert ("conv_dim" in ours) == (kind == "lfm2")


def test_scaled_rotary_positions_in_both_spellings(folders: dict[str, Path], tmp_path: Path) -> None:
    """Llama 3's scaling is found by readers of `rope_scaling` and of `rope_parameters`, and means the same to transformers."""
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 64
    old = json.loads((folders["llama"] / "config.json").read_text()) | {"rope_scaling": scaling, "rope_theta": 5e5}
    del old["rope_parameters"]
    copy = with_config(folders["llama"], tmp_path, old)
    config = config_for_all(open_checkpoint(copy), "float32")
    assert config["rope_scaling"] == scaling
    assert config["rope_parameters"] == {**scaling, "rope_theta": 5e5}
    (copy / "config.json").write_text(json.dumps(config))
    assert AutoConfig.from_pretrained(copy).rope_parameters == config["rope_parameters"]


def test_an_unknown_architecture_keeps_its_keys(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model that transformers does not know is left as it is, but for the names of its number format."""
    raw = {"model_type": "of_tomorrow", "hidden_size": 64, "strange": [1]}
    config = config_for_all(open_checkpoint(with_config(folders["llama"], tmp_path, raw)), "float16")
    assert config == {**raw, "dtype": "float16", "torch_dtype": "float16"}


def test_tokenizers_load_in_old_and_new_readers(folders: dict[str, Path], tmp_path: Path) -> None:
    """The class has the name that transformers 4 knows too, special tokens its key, and the template stands in both places."""
    write_side_files(open_checkpoint(folders["lfm2"]), {"eos_token_id": 3}, tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["chat_template"] == (tmp_path / "chat_template.jinja").read_text()
    assert not isinstance(settings.get("extra_special_tokens"), list)
    ours, theirs = AutoTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(folders["lfm2"])
    text = "<|im_start|>user\nقرأت the cat<|im_end|>"
    assert ours(text).input_ids == theirs(text).input_ids
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert json.loads((tmp_path / "hala.json").read_text())["task"] == "chat"


def test_missing_files_are_made(folders: dict[str, Path], tmp_path: Path) -> None:
    """Without generation settings or a template file, both come from what the other files say."""
    copy = Path(shutil.copytree(folders["lfm2"], tmp_path / "model"))
    (copy / "generation_config.json").unlink(missing_ok=True)
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    settings["chat_template"] = (copy / "chat_template.jinja").read_text()
    settings["extra_special_tokens"] = ["<|im_start|>"]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    (copy / "chat_template.jinja").unlink()
    (tmp_path / "out").mkdir()
    write_side_files(open_checkpoint(copy), {"eos_token_id": [3, 5], "pad_token_id": None}, tmp_path / "out")
    made = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert made["chat_template.jinja"] == settings["chat_template"]
    assert json.loads(made["generation_config.json"]) == {"_from_model_config": True, "eos_token_id": [3, 5]}
    assert json.loads(made["tokenizer_config.json"])["additional_special_tokens"] == ["<|im_start|>"]
