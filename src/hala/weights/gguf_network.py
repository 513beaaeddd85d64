"""The network of a GGUF file: which tensor goes where under which name, and the keys from which llama.cpp builds it.

Widths come from the tensors and not from the config, whose feed-forward size is not the real one in LFM2. What llama.cpp has
built in and cannot be told (activations, Gemma 2's scale of queries, tied heads) is checked against the config.

    plan, widths = plan_tensors(checkpoint, "q8_0"), find_widths(checkpoint)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hala.errors import InputError
from hala.weights.checkpoint import Array, Checkpoint

ARCHITECTURES = ("lfm2", "llama", "gemma2")
EMBEDDING = "model.embed_tokens.weight"
GATES = ("feed_forward.w1.weight", "mlp.gate_proj.weight")
THETA = {"lfm2": 1_000_000.0}  # of rotary positions when the config has none; others 10,000
ACTIVATIONS = {"lfm2": "silu", "llama": "silu", "gemma2": "gelu_pytorch_tanh"}
NEEDED = ("num_hidden_layers", "num_attention_heads", "hidden_size", "max_position_embeddings")
EPSILON = ("norm_eps", "block_norm_eps", "rms_norm_eps")
ROWS_BYTES = 32_000_000  # of float32 at once


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor to write: `heads` > 0 asks for llama.cpp's interleaved order of rotary rows, `shift` is added to every value."""

    name: str
    source: str
    shape: tuple[int, ...]
    type: str
    heads: int = 0
    shift: float = 0.0

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns; a vector is one row, that of rotary rows one column."""
        if len(self.shape) == 1:
            return (self.shape[0], 1) if self.heads else (1, self.shape[0])
        return math.prod(self.shape[:-1]), self.shape[-1]


def plan_tensors(source: Checkpoint, quant: str) -> list[Planned]:
    """What goes into the file, in the source's order; vectors and the short convolution stay float32, as llama.cpp wants them."""
    import gguf

    config, kind = source.config, source.config["model_type"]
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, kind.upper()), config["num_hidden_layers"])
    rotary = {"q_proj": config["num_attention_heads"], "k_proj": kv_heads(config)} if kind == "llama" else {}
    plan = []
    for name, info in source.tensors.items():
        if name.endswith("rotary_emb.inv_freq") or (name == "lm_head.weight" and is_tied(config)):
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        is_filter = name.endswith(".conv.conv.weight")
        misshapen = is_filter and (len(info.shape) != 3 or info.shape[1] != 1)
        if target is None or misshapen or (kind != "llama" and name.endswith(".bias")):
            raise InputError(f"tensor {name} of {source.path} has no place in a GGUF file of this architecture.")
        shape = (info.shape[0], info.shape[2]) if is_filter else info.shape
        dtype = quant.upper() if len(shape) == 2 and not is_filter else "F32"
        dtype = "F16" if dtype == "Q8_0" and shape[-1] % 32 else dtype  # a block of q8_0 is 32 values of one row
        shift = 1.0 if kind == "gemma2" and name.endswith("norm.weight") else 0.0  # stored around 0, meant around 1
        plan.append(Planned(target, name, shape, dtype, rotary.get(name.split(".")[-2], 0), shift))
    if factors := rope_factors(config):
        plan.append(Planned("rope_freqs.weight", "", (len(factors),), "F32"))
    return plan


def is_size(value: Any) -> bool:
    """Whether it is a whole number above 0."""
    return type(value) is int and value > 0


def kv_heads(config: dict[str, Any]) -> int:
    """Key-value heads of an attention layer."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def head_size(config: dict[str, Any]) -> int:
    """Values in one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def is_tied(config: dict[str, Any]) -> bool:
    """Whether the output head is the embedding matrix."""
    return bool(config.get("tie_embedding", config.get("tie_word_embeddings", config["model_type"] != "llama")))


def check_network(source: Checkpoint) -> None:
    """Nothing, or InputError for a model that llama.cpp would compute differently, or not at all."""
    config, kind, path = source.config, source.config.get("model_type"), source.path
    if kind not in ARCHITECTURES:
        raise InputError(f"{path} is a {kind} model.", f"GGUF export knows: {', '.join(ARCHITECTURES)}.")
    if config.get("quantization_config"):
        fix = (
            f"Export the checkpoint it was made from, or unpack it: hala export {path} --format hf --set dtype=bfloat16 --out DIR"
        )
        raise InputError(f"{path} is quantised.", fix)
    if missing := [key for key in NEEDED if key not in config] or [key for key in NEEDED if not is_size(config[key])]:
        raise InputError(f"{path / 'config.json'} has no usable {missing[0]}.", "Download or write it again.")
    if config["num_hidden_layers"] > len(source.tensors):
        raise InputError(
            f"{path} has {len(source.tensors)} tensors for {config['num_hidden_layers']} layers.", "It is incomplete."
        )
    if not is_tied(config) and "lm_head.weight" not in source.tensors:
        raise InputError(f"{path} has no lm_head.weight, and its config does not tie it to the embeddings.", "It is incomplete.")
    activation = config.get("hidden_activation") or config.get("hidden_act") or ACTIVATIONS[kind]
    wrong = {"activation": activation != ACTIVATIONS[kind]}
    if kind == "lfm2":
        wrong["head_dim"] = head_size(config) * config["num_attention_heads"] != config["hidden_size"]
    if kind == "gemma2":
        wide = config["num_hidden_layers"] == 46  # the 27B model, where llama.cpp scales queries in another way
        scale = config["hidden_size"] // config["num_attention_heads"] if wide else head_size(config)
        turns = [("sliding_attention", "full_attention")[i % 2] for i in range(config["num_hidden_layers"])]
        wrong["query_pre_attn_scalar"] = config.get("query_pre_attn_scalar", 256) != scale
        wrong["softcapping"] = not all(config.get(key, 1) for key in ("attn_logit_softcapping", "final_logit_softcapping"))
        wrong["layer_types"] = config.get("layer_types", turns) != turns
        wrong["untied head"] = not is_tied(config)
        wrong["bidirectional attention"] = bool(config.get("use_bidirectional_attention"))
    if found := [key for key, bad in wrong.items() if bad]:
        raise InputError(f"{path} is a {kind} model with its own {found[0]}.", "llama.cpp has that built in and would differ.")


def check_heads(source: Checkpoint) -> None:
    """Nothing, or InputError when queries or keys have other rows than the config's heads: they could not be reordered."""
    size, heads = head_size(source.config), {"q_proj": source.config["num_attention_heads"], "k_proj": kv_heads(source.config)}
    for name, info in source.tensors.items():
        count = heads.get(name.split(".")[-2] if "." in name else "")
        if count and (info.shape[:1] != (count * size,) or size % 2):
            told = f"{source.path / 'config.json'} promises {count} heads of {size}"
            raise InputError(
                f"tensor {name} of {source.path} is {list(info.shape)}, and {told}.", "It is another model's config."
            )


def find_widths(source: Checkpoint) -> dict[str, int | list[int]]:
    """The sizes as the tensors have them; `head_count_kv` is a list with 0 for the convolution layers of LFM2."""
    config, layers = source.config, source.config["num_hidden_layers"]
    names = [f"model.layers.{i}.{gate}" for i in range(layers) for gate in GATES]
    gates = [source.tensors[name].shape[0] for name in names if name in source.tensors]
    if len(gates) != layers or len(getattr(source.tensors.get(EMBEDDING), "shape", ())) != 2:
        raise InputError(
            f"{source.path} has {len(gates)} feed-forward gates for {layers} layers, or no embeddings.", "It is incomplete."
        )
    rows, hidden = source.tensors[EMBEDDING].shape
    kv = kv_heads(config)
    per_layer = [kv if f"model.layers.{i}.self_attn.k_proj.weight" in source.tensors else 0 for i in range(layers)]
    return {
        "block_count": layers,
        "vocab_size": rows,
        "embedding_length": hidden,
        "feed_forward_length": gates[0] if len(set(gates)) == 1 else gates,
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": kv if all(per_layer) else per_layer,
    }


def add_architecture(writer: Any, config: dict[str, Any], widths: dict[str, Any]) -> None:
    """Writes every key that llama.cpp needs to build the network."""
    kind, heads, size = config["model_type"], config["num_attention_heads"], head_size(config)
    writer.add_block_count(widths["block_count"])
    writer.add_vocab_size(widths["vocab_size"])
    writer.add_embedding_length(widths["embedding_length"])
    writer.add_feed_forward_length(widths["feed_forward_length"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(widths["attention.head_count_kv"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(rope(config)["rope_theta"])
    writer.add_layer_norm_rms_eps(next((config[key] for key in EPSILON if key in config), 1e-5 if kind == "lfm2" else 1e-6))
    if size * heads != config["hidden_size"] or kind == "gemma2":
        writer.add_key_length(size)
        writer.add_value_length(size)
    if kind == "lfm2":
        writer.add_shortconv_l_cache(config.get("conv_L_cache", 3))
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config.get("attn_logit_softcapping", 50.0))
        writer.add_final_logit_softcapping(config.get("final_logit_softcapping", 30.0))
        writer.add_sliding_window(config.get("sliding_window") or config["max_position_embeddings"])


def rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings, whichever of the two ways the config spells them."""
    settings = dict(config.get("rope_scaling") or {}) | dict(config.get("rope_parameters") or {})
    default = THETA.get(config["model_type"], 10_000.0)
    settings["rope_theta"] = settings.get("rope_theta") or config.get("rope_theta") or default
    settings["rope_type"] = settings.get("rope_type") or settings.get("type") or "default"
    known = ("default", "llama3") if config["model_type"] == "llama" else ("default",)
    if settings["rope_type"] not in known:
        raise InputError(f"rope_type {settings['rope_type']} cannot be exported.", f"Only {' and '.join(known)} can.")
    return settings


def rope_factors(config: dict[str, Any]) -> list[float]:
    """What each rotary frequency is divided by, empty for plain rotary positions. Source: Llama 3.1's frequency scaling."""
    settings = rope(config)
    if settings["rope_type"] == "default":
        return []
    factor, low, high = settings["factor"], settings["low_freq_factor"], settings["high_freq_factor"]
    original, size = settings["original_max_position_embeddings"], head_size(config)
    factors = []
    for i in range(0, size, 2):
        turns = original / (2 * math.pi * settings["rope_theta"] ** (i / size))  # how often it turns within the original context
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def blocks(source: Checkpoint, planned: Planned) -> Iterator[tuple[int, Array]]:
    """Row number and rows `(n, columns)` in float32, some rows at a time, in the order and shape of the file.

    Raises: InputError naming a tensor with NaN or Inf.
    """
    if not planned.source:
        yield 0, np.array([rope_factors(source.config)], dtype=np.float32)
        return
    rows, columns = planned.matrix
    head = rows // planned.heads if planned.heads else 1
    step = head * max(1, ROWS_BYTES // (4 * head * max(1, columns)))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        values = source.read_part(planned.source, first * columns, count * columns).astype(np.float32).reshape(count, columns)
        if not np.isfinite(values).all():
            raise InputError(f"tensor {planned.source} of {source.path} has NaN or Inf values.", "The checkpoint is damaged.")
        if planned.shift:
            values += np.float32(planned.shift)
        if planned.heads:  # transformers keeps the two halves of each rotary pair apart, llama.cpp side by side
            pairs = values.reshape(count // head, 2, head // 2, columns)
            values = np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(count, columns)
        yield first, values
