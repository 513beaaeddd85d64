"""Which tensors of a checkpoint become 8-bit, why the others stay as they are, and how config.json says so.

why = reasons(checkpoint.tensors, IGNORE, keep=["model.layers.0.self_attn.k_proj"])
chosen = [name for name, reason in why.items() if not reason]
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hala.errors import RecipeError, nearest
from hala.weights.headers import TensorInfo
from hala.weights.schemes import Scheme

FLOATS = ("BF16", "F16", "F32", "F64")
ROUTERS = r"re:.*\.(gate|router|shared_expert_gate)$"
# Left out by default: the head and the routers of mixtures of experts lose the most and weigh the least.
IGNORE = ("lm_head", ROUTERS)
# Never quantised, because no engine can run them so: tables that are looked up, norms, convolutions.
CONVOLUTIONS = r"re:.*\.conv\.conv$"  # LFM2's, three-dimensional
EMBEDDINGS = re.compile(r"(^|.*\.)(\w*embed\w*|wte|wpe)$")
NORMS = re.compile(r"(^|.*\.)(\w*norm\w*|ln_\w+)$")
# Engines multiply these by one matrix, so their parts must have one precision: vLLM refuses to load anything else.
FUSED = (
    (re.compile(r"(.*\.experts)\..*"), r"\1"),
    (re.compile(r"(.*\.)[qkv]_proj"), r"\1qkv_proj"),
    (re.compile(r"(.*\.)(?:gate|up)_proj"), r"\1gate_up_proj"),
    (re.compile(r"(.*\.)w[13]"), r"\1w13"),
)


def reasons(tensors: Mapping[str, TensorInfo], ignore: Sequence[str] = IGNORE, keep: Sequence[str] = ()) -> dict[str, str]:
    """Why each tensor stays as it is; an empty string for those to quantise.

    `ignore` and `keep` hold module names or `re:` patterns, matched from the start. A module that engines fuse with an excluded
    one stays too. Raises: RecipeError for a name or pattern that is in no module, or that cannot be read.
    """
    check_used(tensors, [*(pattern for pattern in ignore if pattern not in IGNORE), *keep])
    found = {name: reason_of(info, ignore, keep) for name, info in tensors.items()}
    held = {layer_of(module_of(name)): module_of(name) for name, why in found.items() if why in ("in ignore", "in keep")}
    for name, why in found.items():
        if not why and (first := held.get(layer_of(module_of(name)))):
            found[name] = f"fused with {first.rpartition('.')[2]}"
    return found


def reason_of(info: TensorInfo, ignore: Sequence[str], keep: Sequence[str]) -> str:
    """Why a tensor stays, seen by itself."""
    module = module_of(info.name)
    if NORMS.fullmatch(module):  # before embeddings: LFM2 has an embedding_norm
        return "norm"
    if EMBEDDINGS.fullmatch(module):
        return "embedding"
    if not info.name.endswith(".weight") or len(info.shape) != 2 or 0 in info.shape:
        return "no matrix"
    if info.dtype not in FLOATS:
        return f"{info.dtype} already"
    for patterns, why in ((ignore, "in ignore"), (keep, "in keep")):
        if any(matches(module, pattern) for pattern in patterns):
            return why
    return ""


def check_used(tensors: Iterable[str], patterns: Iterable[str]) -> None:
    """Nothing, or RecipeError for a pattern that no module matches: it would silently do nothing."""
    modules = {module_of(name) for name in tensors}
    for pattern in patterns:
        try:
            used = any(matches(module, pattern) for module in modules)
        except re.error as error:
            fix = r"`re:.*\.w1$` for one means all names that end in .w1."
            raise RecipeError(f"{pattern} is no regular expression ({error}).", fix) from error
        if not used:
            raise RecipeError(f"no module matches {pattern}, which is to be kept.{nearest(pattern, modules)}")


def module_of(name: str) -> str:
    """The module that a tensor belongs to."""
    return name.rpartition(".")[0]


def layer_of(module: str) -> str:
    """The name under which engines run a linear module: q, k and v are one, as are gate and up, and all experts of a layer."""
    for pattern, name in FUSED:
        if found := pattern.fullmatch(module):
            return found.expand(name)
    return module


def matches(module: str, pattern: str) -> bool:
    """compressed-tensors' rule: `re:` patterns match from the start, others are exact names."""
    return bool(re.match(pattern[3:], module)) if pattern.startswith("re:") else module == pattern


def quantization_config(tensors: Mapping[str, TensorInfo], chosen: Collection[str], scheme: Scheme) -> dict[str, Any]:
    """The `quantization_config` that vLLM and transformers read; `ignore` names every module that stayed as it was.

    Modules are named in full, but for routers and convolutions: engines that call a module otherwise (vLLM's `short_conv`)
    translate names and leave patterns alone. Source: compressed-tensors 0.19, formats `float-quantized` and `int-quantized`.
    """
    ignore = set() if "lm_head.weight" in chosen else {"lm_head"}  # a tied head is not on disk, yet it is a module
    for name, info in tensors.items():
        if len(info.shape) > 1 and name not in chosen:
            module = module_of(name)
            ignore.add(next((pattern for pattern in (ROUTERS, CONVOLUTIONS) if matches(module, pattern)), module))
    kind, layout = ("int", "int-quantized") if scheme.dtype == "I8" else ("float", "float-quantized")
    side = [scheme.side, scheme.side] if scheme.side else None
    common: dict[str, Any] = {"actorder": None, "num_bits": 8, "observer_kwargs": {}, "scale_dtype": None, "symmetric": True}
    common |= {"type": kind, "zp_dtype": None}
    weights = {**common, "block_structure": side, "dynamic": False, "group_size": None, "observer": "memoryless_minmax"}
    weights["strategy"] = "block" if scheme.side else "channel"
    activations = {**common, "block_structure": None, "dynamic": True, "group_size": scheme.side or None, "observer": None}
    activations["strategy"] = "group" if scheme.side else "token"
    group = {"format": layout, "input_activations": activations, "output_activations": None}
    return {
        "config_groups": {"group_0": {**group, "targets": ["Linear"], "weights": weights}},
        "format": layout,
        "global_compression_ratio": None,
        "ignore": sorted(ignore),
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.19.0",
    }
