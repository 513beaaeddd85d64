"""The settings of a plain folder, in every spelling that its readers know.

transformers 4 and 5, vLLM and converters spell the same things differently (`torch_dtype` and `dtype`, `rope_theta` and
`rope_parameters`, LFM2's `block_ff_dim` and `intermediate_size`): each gets its own key, with one value.

    config = config_for_all(checkpoint, "bfloat16")
    write_side_files(checkpoint, config, Path("work"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hala.weights.checkpoint import Checkpoint, complete_config, copy_side_files
from hala.weights.gguf_network import GATES
from hala.weights.headers import read_json
from hala.weights.loading import third_party
from hala.weights.writer import to_json, write_file

# Key of transformers' own config -> other names of it
ALIASES = {
    "dtype": ("torch_dtype",),
    "intermediate_size": ("block_ff_dim",),
    "hidden_size": ("block_dim", "conv_dim", "conv_dim_out"),
    "norm_eps": ("block_norm_eps",),
    "num_attention_heads": ("num_heads",),
    "tie_word_embeddings": ("tie_embedding",),
    "hidden_activation": ("hidden_act",),
}
ONLY_LFM2 = {"block_ff_dim", "block_dim", "conv_dim", "conv_dim_out", "block_norm_eps", "num_heads", "tie_embedding"}
TRACES = ("transformers_version", "_name_or_path")  # of who wrote it; they would make equal models different
KEPT = (*TRACES, "quantization_config")  # what transformers has no say in
BACKEND = "PreTrainedTokenizerFast"  # the name that transformers 4 and 5 both know for a tokenizer.json
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def config_for_all(source: Checkpoint, dtype: str) -> dict[str, Any]:
    """config.json with the raw keys of `source`, transformers' own, and the other names of both; `dtype` is a torch name."""
    raw = {key: value for key, value in source.config.items() if key not in TRACES} | {"dtype": dtype}
    if width := real_width(source):
        raw |= {"intermediate_size": width, "block_ff_dim": width, "block_auto_adjust_ff_dim": False}
    config = {**raw, **normalised(source, raw), "dtype": dtype}
    for key, others in ALIASES.items():
        for other in others:
            if key in config and (other not in ONLY_LFM2 or config["model_type"] == "lfm2"):
                config[other] = config[key]
    return complete_config({**config, **rotary(config)})


def real_width(source: Checkpoint) -> int:
    """The feed-forward width of an LFM2 as its tensors have it, 0 for others: configs name the one before an adjustment."""
    gates = [info.shape[0] for name, info in source.tensors.items() if name.endswith(GATES[0])]
    return gates[0] if source.config.get("model_type") == "lfm2" and len(set(gates)) == 1 else 0


def normalised(source: Checkpoint, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that transformers itself would write, with its defaults spelt out; empty for a model that it does not know."""
    from transformers import CONFIG_MAPPING

    kind = raw.get("model_type")
    if kind not in CONFIG_MAPPING:
        return {}
    with third_party(source.path):
        config = CONFIG_MAPPING[kind].from_dict(dict(raw))
        own = {*type(config).__annotations__, *config.to_diff_dict()}
        return {key: value for key, value in config.to_dict().items() if key in own and key not in KEPT and value is not None}


def rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary settings in both spellings; empty when each kind of layer has its own, which has only one."""
    settings = dict(config.get("rope_parameters") or {})
    if "rope_theta" not in settings:
        return {}
    scaled = settings.get("rope_type", "default") != "default"
    scaling = {key: value for key, value in settings.items() if key != "rope_theta"}
    return {"rope_theta": settings["rope_theta"], **({"rope_scaling": scaling} if scaled else {})}


def write_side_files(source: Checkpoint, config: Mapping[str, Any], folder: Path) -> None:
    """Tokenizer, chat template, generation settings, licences and hala.json, such that old and new readers find them."""
    copy_side_files(source.path, folder, skip=("config.json",))
    generation = folder / "generation_config.json"
    if not generation.exists():
        known = {key: config[key] for key in TOKENS if config.get(key) is not None}
        write_file(generation, to_json({"_from_model_config": True, **known}))
    file = folder / "tokenizer_config.json"
    if not file.exists():
        return
    settings, template = read_json(file), folder / "chat_template.jinja"
    if settings.get("tokenizer_class") in (None, "TokenizersBackend"):
        settings["tokenizer_class"] = BACKEND
    if isinstance(settings.get("extra_special_tokens"), list):  # transformers 4 wants a mapping there
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    if template.exists():
        settings["chat_template"] = template.read_text("utf-8")
    elif isinstance(settings.get("chat_template"), str):
        write_file(template, settings["chat_template"].encode())
    write_file(file, to_json(settings))
