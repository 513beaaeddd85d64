"""Whether checkpoints can be merged, and how each tensor will be, from their headers and tokenizers alone: before any work.

recipes, warnings = preflight([open_checkpoint(path) for path in ("LFM2-350M", "tuned")], Mix())
"""

from __future__ import annotations

import filecmp
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hala.errors import InputError, RecipeError, nearest, printable
from hala.weights.checkpoint import Checkpoint, complete_config
from hala.weights.groups import values_for
from hala.weights.methods import METHODS, MODES, SPARSE, TWO_ENDS, Mix, Recipe
from hala.weights.safety import read_tokenizer

OUT_DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
FLOATS = ("BF16", "F16", "F32", "F64")
ROUNDINGS = ("nearest", "stochastic")
# What weights mean: with another of these the same numbers are another function.
MEANING = re.compile(
    "model_type|num_attention_heads|num_key_value_heads|head_dim|layer_types|sliding_window_pattern|tie_word_embeddings"
    "|rope_theta|rope_scaling.*|rope_parameters|partial_rotary_factor"
)
UNSCALED = ("rope_theta", "partial_rotary_factor")  # transformers 4 keeps these beside `rope_scaling`, 5 among `rope_parameters`
# What says nothing of the weights, what shapes say already, and other spellings of what is compared.
HARMLESS = {"_name_or_path", "dtype", "initializer_range", "torch_dtype", "transformers_version", "use_cache"}
HARMLESS |= {"block_auto_adjust_ff_dim", "block_dim", "block_ff_dim", "conv_dim", "conv_dim_out", "intermediate_size"}
HARMLESS |= {"full_attn_idxs", "num_heads", "tie_embedding"}
LISTED = 8  # keys in a warning


def preflight(ends: Sequence[Checkpoint], mix: Mix) -> tuple[dict[str, Recipe], tuple[str, ...]]:
    """How each tensor will be merged, and warnings, from headers and settings alone. Raises: InputError, RecipeError."""
    check_choices(mix)
    weights = mix.weights or (1.0,) * (len(ends) - 1)
    if mix.method in TWO_ENDS and len(ends) != 2:
        raise RecipeError(f"{mix.method} goes between two checkpoints, not {len(ends)}.", "Use soup, task_arithmetic or ties.")
    if not all(map(math.isfinite, weights)):
        raise RecipeError(f"the weights {', '.join(map(str, weights))} are not all finite numbers.")
    if len(weights) != len(ends) - 1 or (mix.method == "soup" and sum(weights) <= 0):
        raise RecipeError(
            f"there are {len(weights)} weights for {len(ends) - 1} tuned models.", "Give one positive weight for each."
        )
    if mix.method in SPARSE and not 0 < mix.density <= 1:
        raise RecipeError(f"density is {mix.density}, outside 0..1.", "It is the share of each change that is kept.")
    warnings: list[str] = []
    for other in ends[1:]:
        check_pair(ends[0], other)
        warnings += compare_configs(ends[0], other)
        warnings += compare_tokenizers(ends[0].path, other.path)
    places = values_for(ends[1].tensors, mix.t)
    if mix.method in TWO_ENDS and (wrong := next((name for name, t in places.items() if not 0 <= t <= 1), None)):
        raise RecipeError(f"t is {places[wrong]} for {wrong}, outside 0..1.", "t = 0 is the base model, t = 1 the tuned one.")
    recipes = {name: Recipe(mix.method, t, tuple(weights), mix.density, mix.seed, mix.mode) for name, t in places.items()}
    return recipes, tuple(warnings)


def check_choices(mix: Mix) -> None:
    """Nothing, or RecipeError for a word that is not known, or that means nothing beside another."""
    named = ((mix.method, METHODS, "method"), (mix.rounding, ROUNDINGS, "rounding"), (mix.mode, MODES, "mode"))
    for value, known, what in (*named, (mix.dtype or "float32", OUT_DTYPES, "dtype")):
        if value not in known:
            raise RecipeError(f"unknown {what} {value!r}.{nearest(value, known)}", f"Choose one of: {', '.join(known)}.")
    if mix.mode == "exact" and (mix.method != "slerp" or mix.rounding != "nearest"):
        raise RecipeError("mode: exact is for slerp, rounded to nearest.", "Leave mode out; nothing else is added up so.")


def check_pair(base: Checkpoint, tuned: Checkpoint) -> None:
    """Nothing, or InputError saying why these two cannot be merged, naming the tensor and the two files."""
    for end in (base, tuned):
        if "quantization_config" in end.config:
            raise InputError(f"{end.path} is quantised.", "Merge the unquantised checkpoints, then compress the result.")
    kinds = base.config.get("model_type"), tuned.config.get("model_type")
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{base.path} is a {kinds[0]} model, {tuned.path} a {kinds[1]} model.", "They must be of one architecture."
        )
    if alone := sorted(base.tensors.keys() ^ tuned.tensors.keys()):
        has, lacks = (base, tuned) if alone[0] in base.tensors else (tuned, base)
        more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        tied = " One ties its head to the embeddings and the other does not." if alone[0].startswith("lm_head") else ""
        raise InputError(
            f"tensor {alone[0]} is in {has.tensors[alone[0]].file} and missing in {lacks.path}{more}.",
            f"Both checkpoints must hold the same tensors.{tied}",
        )
    for name, info in base.tensors.items():
        other = tuned.tensors[name]
        if info.shape != other.shape:
            what = "vocabularies" if "embed_tokens" in name or "lm_head" in name else "models"
            fix = f"The {what} differ in size; only a model and its own fine-tune can be merged."
            raise InputError(f"tensor {name} is {list(info.shape)} in {info.file} and {list(other.shape)} in {other.file}.", fix)
        if (info.dtype in FLOATS) != (other.dtype in FLOATS):
            raise InputError(
                f"tensor {name} is {info.dtype} in {info.file} and {other.dtype} in {other.file}.", "Both must be unquantised."
            )


def compare_configs(base: Checkpoint, tuned: Checkpoint) -> list[str]:
    """A warning that lists the settings that differ. Raises: InputError for one that changes what the weights mean.

    A key that only one file spells out is taken for the default of the other; transformers 5 writes more keys than 4 did.
    """
    mine, theirs = comparable(base.config), comparable(tuned.config)
    differ = [key for key in sorted(mine.keys() & theirs.keys()) if mine[key] != theirs[key]]
    files = base.path / "config.json", tuned.path / "config.json"
    if key := next((key for key in differ if MEANING.fullmatch(key)), None):
        raise InputError(
            f"{key} is {brief(mine[key], 200)} in {files[0]} and {brief(theirs[key], 200)} in {files[1]}.",
            "The same weights would mean something else; only a model and its own fine-tune can be merged.",
        )
    if not differ:
        return []
    listed = ", ".join(f"{brief(key)} ({brief(mine[key])}, {brief(theirs[key])})" for key in differ[:LISTED])
    more = f" and {len(differ) - LISTED} more" if len(differ) > LISTED else ""
    return [f"{files[0]} and {files[1]} differ in {listed}{more}; the first tuned model's are kept."]


def comparable(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a config that bear on a merge, each in one spelling: transformers 4 and 5 write rotary settings and kinds
    of layers differently, and some models keep those of their text in a part of its own.
    """
    config = complete_config(config)
    config |= config.pop("text_config", None) or {}
    found = {key: value for key, value in config.items() if value is not None and key not in HARMLESS}
    scaling = found.pop("rope_scaling", None)
    found |= rotary(found.pop("rope_parameters", None) or scaling or {})
    if "tie_embedding" in config:
        found.setdefault("tie_word_embeddings", config["tie_embedding"])
    attention, layers = config.get("full_attn_idxs"), config.get("num_hidden_layers")
    if isinstance(attention, list) and isinstance(layers, int):
        found.setdefault("layer_types", ["full_attention" if layer in attention else "conv" for layer in range(layers)])
    if isinstance(names := found.get("architectures"), list):
        found["architectures"] = sorted(map(str, names))
    return found


def rotary(settings: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings one by one; together where each kind of layer has its own."""
    if settings and all(isinstance(value, dict) for value in settings.values()):
        return {"rope_parameters": {kind: rotary(value) for kind, value in settings.items()}}
    named = {"rope_type": "default"} | {"rope_type" if key == "type" else key: value for key, value in settings.items()}
    return {key if key in UNSCALED else f"rope_scaling.{key}": value for key, value in named.items()}


def brief(value: Any, length: int = 40) -> str:
    """A value as JSON, cut off where it is long."""
    text = printable(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    return text if len(text) <= length else f"{text[:length]}..."


def compare_tokenizers(base: Path, tuned: Path) -> list[str]:
    """Warnings about what differs harmlessly. Raises: InputError when one id means two tokens, whose embeddings would mix."""
    one, other = (end / "tokenizer.json" for end in (base, tuned))
    if not (one.is_file() and other.is_file()) or filecmp.cmp(one, other, shallow=False):
        return []
    mine, theirs = tokens_by_id(one), tokens_by_id(other)
    clash = next((i for i in sorted(mine.keys() & theirs.keys()) if mine[i] != theirs[i]), None)
    if clash is not None:
        raise InputError(
            f"token {clash} is {mine[clash]!r} in {one} and {theirs[clash]!r} in {other}.",
            "Mixed embeddings would mean neither; merge only models that share their vocabulary.",
        )
    extra = len(mine.keys() ^ theirs.keys())
    return [f"{extra} tokens are in only one of {base} and {tuned}; the tuned model's tokenizer is kept."] if extra else []


def tokens_by_id(file: Path) -> dict[int, str]:
    """The token of each id in a tokenizer.json; added tokens replace those of the vocabulary."""
    content = read_tokenizer(file)
    vocabulary = content["model"].get("vocab")
    pieces = vocabulary.items() if isinstance(vocabulary, dict) else ((each[0], i) for i, each in enumerate(vocabulary or []))
    added = ((token["content"], token["id"]) for token in content.get("added_tokens") or [])
    return {index: token for token, index in [*pieces, *added]}
