"""Before a merge: what cannot be merged is refused with the tensor and both files, from headers and tokenizers alone."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING

from hala.errors import InputError, RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.methods import Mix, Recipe
from hala.weights.preflight import compare_configs, preflight

Folders = dict[str, Path]


def check(*folders: Path, mix: Mix = Mix()) -> tuple[dict[str, Recipe], tuple[str, ...]]:  # noqa: B008  frozen
    """What preflight says of these checkpoints."""
    return preflight([open_checkpoint(folder) for folder in folders], mix)


def test_no_tensor_is_read(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether two checkpoints can be merged, and how, is known from their headers: in milliseconds, whatever their size."""
    ends = [open_checkpoint(folders[name]) for name in ("lfm2", "tuned")]
    for module in ("stack", "checkpoint"):  # in this order: the first imports from the second
        monkeypatch.setattr(f"hala.weights.{module}.read_into", lambda *_: pytest.fail("a tensor was read"))
    recipes, warnings = preflight(ends, Mix(t={"gradient": (0.0, 1.0)}))
    assert recipes["model.layers.3.feed_forward.w1.weight"].t == 1.0
    assert warnings == ()


Tensors = dict[str, torch.Tensor]
NORM, EMBEDDING, INNER = (f"model.{name}.weight" for name in ("embedding_norm", "embed_tokens", "layers.0.conv.in_proj"))
FILES = r".*lfm2/model\.safetensors and .*tuned/model\.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(INNER), rf"{INNER} is in .*lfm2/model\.safetensors and missing in .*tuned\."),
        (lambda t: t.update(extra=torch.ones(1)), r"extra is in .*tuned/model\.safetensors and missing in .*lfm2\."),
        (lambda t: t.update({"lm_head.weight": torch.ones(384, 64)}), r"lm_head.weight is in .*missing in .*ties its head"),
        (lambda t: t.update({NORM: torch.ones(65)}), rf"{NORM} is \[64\] in .*lfm2/.* and \[65\] in .*tuned/.*models differ"),
        (lambda t: t.update({NORM: t[NORM].to(torch.int8)}), rf"{NORM} is BF16 in .*lfm2/.* and I8 in .*tuned/"),
    ],
)
def test_unlike_checkpoints_are_refused_by_name(
    change: Callable[[Tensors], Any], message: str, folders: Folders, tmp_path: Path
) -> None:
    """A missing tensor, a head that only one has, another shape or kind: the error names the tensor and where it is."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = load_file(tuned / "model.safetensors")
    change(tensors)
    save_file(tensors, tuned / "model.safetensors")
    with pytest.raises(InputError, match=message):
        check(folders["lfm2"], tuned)


def test_another_vocabulary_is_called_so(folders: Folders, tmp_path: Path) -> None:
    """Embeddings of different height are the commonest mistake, and are not called a difference of models."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = load_file(tuned / "model.safetensors") | {EMBEDDING: torch.ones(390, 64, dtype=torch.bfloat16)}
    save_file(tensors, tuned / "model.safetensors")
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps(config | {"vocab_size": 390}))
    with pytest.raises(InputError, match=rf"{EMBEDDING} is \[384, 64\] in .* and \[390, 64\] in .*vocabularies differ"):
        check(folders["lfm2"], tuned)


def test_other_architectures_and_quantised_checkpoints_are_refused(folders: Folders, tmp_path: Path) -> None:
    """Names that happen to agree are no reason to mix; 8-bit codes cannot be mixed at all."""
    with pytest.raises(InputError, match=r"a lfm2 model, .* a llama model"):
        check(folders["lfm2"], folders["llama"])
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "compressed-tensors"}}))
    with pytest.raises(InputError, match="tuned is quantised"):
        check(folders["lfm2"], tuned)


def with_config(source: Path, out: Path, **changes: Any) -> Path:
    """A copy of the checkpoint with other settings; None takes a key away."""
    config = json.loads((shutil.copytree(source, out) / "config.json").read_text()) | changes
    (out / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return out


YARN = {"rope_theta": 1000000.0, "rope_type": "yarn", "factor": 4.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 8}, "num_attention_heads is 4 in {} and 8 in {}"),
        ({"num_key_value_heads": 1}, "num_key_value_heads is 2 in {} and 1 in {}"),
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, r"rope_theta is 1000000\.0 in {} and 500000\.0 in {}"),
        ({"rope_parameters": None, "rope_theta": 5e5}, r"rope_theta is 1000000\.0 in {} and 500000\.0 in {}"),
        ({"rope_parameters": YARN}, r"rope_scaling\.rope_type is default in {} and yarn in {}"),
        ({"layer_types": ["conv"] * 4, "full_attn_idxs": None}, "layer_types is .* in {} and .* in {}"),
        ({"layer_types": None, "full_attn_idxs": [0, 2]}, "layer_types is .* in {} and .* in {}"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is true in {} and false in {}"),
        ({"tie_word_embeddings": None, "tie_embedding": False}, "tie_word_embeddings is true in {} and false in {}"),
    ],
)
def test_settings_that_change_the_meaning_of_weights_are_refused(
    changes: dict[str, Any], message: str, folders: Folders, tmp_path: Path
) -> None:
    """Equal shapes read in two ways are two functions: the error names the key, both values and both files."""
    tuned = with_config(folders["tuned"], tmp_path / "tuned", **changes)
    files = (r".*lfm2/config\.json", r".*tuned/config\.json")
    with pytest.raises(InputError, match=message.format(*files)):
        check(folders["lfm2"], tuned)


def test_meaning_in_other_places_is_compared(folders: Folders, tmp_path: Path) -> None:
    """The size of heads, the settings of a text part, and rotary settings of each kind of layer or of a scaling."""
    scaled = [{"rope_scaling": {"type": "linear", "factor": factor}} for factor in (2.0, 4.0)]
    by_kind = [{"rope_parameters": {"full_attention": {"rope_theta": theta}}} for theta in (1e4, 1e6)]
    inner = [{"text_config": {"num_attention_heads": heads}} for heads in (4, 8)]
    sized = [{"head_dim": size} for size in (16, 32)]
    pairs = {r"rope_scaling\.factor": scaled, "rope_parameters": by_kind, "num_attention_heads": inner, "head_dim": sized}
    for number, (key, (one, other)) in enumerate(pairs.items()):
        plain = {"rope_parameters": None, "rope_theta": None}
        ends = [
            with_config(folders["llama"], tmp_path / f"{number}-{end}", **plain | each) for end, each in enumerate((one, other))
        ]
        check(ends[0], ends[0])
        with pytest.raises(InputError, match=f"^{key} is "):
            check(*ends)


def test_other_settings_that_differ_are_one_warning(folders: Folders, tmp_path: Path) -> None:
    """The epsilon of norms, the end token and the like: one line with both values, cut off where there are many."""
    changes = {"norm_eps": 1e-6, "eos_token_id": [3, 4], "transformers_version": "4.1", "use_cache": False, "dtype": "float32"}
    _, warnings = check(folders["lfm2"], with_config(folders["tuned"], tmp_path / "tuned", **changes))
    assert len(warnings) == 1
    assert r"differ in eos_token_id (3, [3, 4]), norm_eps (1e-05, 1e-06); the first tuned" in warnings[0]
    many = [with_config(folders["lfm2"], tmp_path / f"{i}", **{f"key{n}": f"\x1b[{i}" for n in range(11)}) for i in range(2)]
    _, warnings = check(*many)
    assert "key0 (\\x1b[0, \\x1b[1)" in warnings[0] and "and 3 more" in warnings[0] and "\x1b" not in warnings[0]


LLAMA3 = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 8192}
RAW = {
    "lfm2": {"block_ff_dim": 256, "full_attn_idxs": [2], "rope_theta": 1e6, "norm_eps": 1e-5, "num_heads": 4, "conv_dim": 64},
    "llama": {"head_dim": 16, "rope_scaling": LLAMA3, "rope_theta": 500000.0, "tie_word_embeddings": True},
    "gemma2": {"head_dim": 16, "rope_theta": 10000.0, "sliding_window": 32, "hidden_act": "gelu_pytorch_tanh"},
    "cohere2": {"rope_theta": 50000, "sliding_window_pattern": 4, "rotary_pct": 1.0},
    "phi3": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5, "rope_scaling": None},
    "qwen2": {"rope_theta": 1e6, "use_sliding_window": False, "max_window_layers": 3},
}


@pytest.mark.parametrize("kind", RAW)
def test_a_config_agrees_with_itself_as_the_library_writes_it(kind: str, folders: Folders) -> None:
    """A base as it was published and its fine-tune as transformers 5 saves it say the same in other words: no complaint."""
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 4, "vocab_size": 384}
    raw = {"model_type": kind, "torch_dtype": "bfloat16", "transformers_version": "4.54.0", **sizes, **RAW[kind]}
    written = json.loads(CONFIG_MAPPING[kind].from_dict(json.loads(json.dumps(raw))).to_json_string())
    one = open_checkpoint(folders["lfm2"])
    assert compare_configs(replace(one, config=raw), replace(one, config=written)) == []
    assert compare_configs(replace(one, config=written), replace(one, config=raw)) == []


@pytest.mark.parametrize("clash", [0, 7])
def test_a_token_with_two_meanings_is_refused(clash: int, folders: Folders, tmp_path: Path) -> None:
    """Embeddings of different tokens are never mixed, id 0 included; a token that only one has is a warning."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    content = json.loads((tuned / "tokenizer.json").read_text())
    content["added_tokens"].append({**content["added_tokens"][-1], "id": 310, "content": "<|new|>"})
    (tuned / "tokenizer.json").write_text(json.dumps(content))
    assert "1 tokens are in only one" in check(folders["lfm2"], tuned)[1][0]
    content["added_tokens"][-1]["id"] = clash
    (tuned / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"token {clash} is .*lfm2/tokenizer\.json and '<\|new\|>' in .*tuned/tokenizer\.json"):
        check(folders["lfm2"], tuned)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (Mix("slrp"), "Did you mean 'slerp'"),
        (Mix(rounding="up"), "unknown rounding 'up'"),
        (Mix(dtype="bf16"), "unknown dtype 'bf16'"),
        (Mix(t=1.5), r"t is 1\.5 for .*, outside 0\.\.1"),
        (Mix(t={"conv": -0.1, "default": 0.5}), r"t is -0\.1 for .*conv.*, outside"),
        (Mix(t={"mlp": 0.5, "default": 0.5}), "unknown group 'mlp'"),
        (Mix("soup", weights=(1.0, 2.0)), "2 weights for 1 tuned"),
        (Mix("task_arithmetic", weights=(math.nan,)), "weights nan are not all finite"),
        (Mix("task_arithmetic", t=math.nan), "'t' is nan, which is no finite number"),
        (Mix("ties", density=0.0), r"density is 0\.0"),
    ],
)
def test_settings_that_cannot_be_meant_are_explained(mix: Mix, message: str, folders: Folders) -> None:
    """Each wrong setting is named, with what would be right."""
    with pytest.raises(RecipeError, match=message):
        check(folders["lfm2"], folders["tuned"], mix=mix)
