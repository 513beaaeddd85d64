"""What an 8-bit checkpoint says about itself: its scheme, checked against its tensors before any of them is read.

scheme = stored_scheme(open_checkpoint("LFM2-350M-FP8"))       # Scheme(name="fp8-dynamic", ...)
"""

from __future__ import annotations

from typing import Any

from hala.errors import InputError
from hala.weights.checkpoint import Checkpoint
from hala.weights.headers import TensorInfo
from hala.weights.schemes import SCHEMES, Scheme

SCALE = "_scale"
# Tensors of formats that add or shift something when the model runs; read as if they were not there, they would change it.
FOREIGN = ("_zero_point", ".input_scale", ".k_scale", ".v_scale", "_g_idx", "_packed", "_shape")
WAY_OUT = f"Only {', '.join(SCHEMES)} of compressed-tensors are read (what `hala compress` writes); serve it with vLLM."


def stored_scheme(checkpoint: Checkpoint) -> Scheme:
    """The scheme that an 8-bit checkpoint is stored in; one FP8 scale for a whole matrix counts as one a row.

    Raises: InputError when its quantization_config says anything else, or when its tensors are not what that says.
    """
    settings = checkpoint.config["quantization_config"]
    scheme = named_scheme(settings) if isinstance(settings, dict) else None
    if scheme is None:
        method = settings.get("quant_method") if isinstance(settings, dict) else settings
        raise InputError(f"{checkpoint.path} is quantised in a way that is not read here ({method}).", WAY_OUT)
    for info in checkpoint.tensors.values():
        if complaint := complain(info, checkpoint.tensors, scheme):
            raise InputError(f"tensor {info.name} of {checkpoint.path} {complaint}.", WAY_OUT)
    return scheme


def quantised_names(checkpoint: Checkpoint) -> list[str]:
    """The weights that have a scale beside them, sorted."""
    return [name for name in checkpoint.tensors if name + SCALE in checkpoint.tensors]


def named_scheme(settings: dict[str, Any]) -> Scheme | None:
    """The scheme that a `quantization_config` means; None for all that is not read here."""
    groups = settings.get("config_groups")
    if settings.get("quant_method") != "compressed-tensors" or not isinstance(groups, dict) or not groups:
        return None
    if any(settings.get(key) for key in ("kv_cache_scheme", "sparsity_config", "transform_config")):
        return None
    found = {group_scheme(group) for group in groups.values()}
    return SCHEMES.get(found.pop()) if len(found) == 1 else None


def group_scheme(group: Any) -> str:
    """The name of the scheme of one config group, "" when it is none of ours."""
    if not isinstance(group, dict) or group.get("output_activations"):
        return ""
    weights, inputs = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, dict) or not isinstance(inputs, dict):
        return ""
    if inputs.get("dynamic") is not True or weights.get("dynamic") or weights.get("type") != inputs.get("type"):
        return ""
    if any(side.get("num_bits") != 8 or side.get("symmetric") is False for side in (weights, inputs)):
        return ""
    found = (weights.get("type"), weights.get("strategy"), inputs.get("strategy"))
    if found == ("float", "block", "group"):
        side = SCHEMES["fp8-block"].side
        same = weights.get("block_structure") == [side, side] and inputs.get("group_size") == side
        return "fp8-block" if same else ""
    if found in (("float", "channel", "token"), ("float", "tensor", "token")):
        return "fp8-dynamic"
    return "int8-dynamic" if found == ("int", "channel", "token") else ""


def complain(info: TensorInfo, tensors: dict[str, TensorInfo], scheme: Scheme) -> str:
    """What is wrong with a tensor of a checkpoint in this scheme, "" when nothing is."""
    if info.name.endswith(FOREIGN):
        return "belongs to another kind of quantisation"
    scale = tensors.get(info.name + SCALE)
    if scale is None:
        return f"is {info.dtype} and has no scale" if info.dtype in ("F8_E4M3", "I8") else ""
    if info.dtype != scheme.dtype or len(info.shape) != 2:
        return f"is {info.dtype} {list(info.shape)}, which is no matrix of {scheme.name}"
    shapes = [scheme.scale_shape(info.shape)] + ([(), (1,), (1, 1)] if scheme.name == "fp8-dynamic" else [])
    shapes += [] if scheme.side else [info.shape[:1]]
    if scale.shape not in shapes or scale.dtype not in ("F32", "BF16", "F16", "F64"):
        return f"has scales {scale.dtype} {list(scale.shape)}, not {list(shapes[0])} as {scheme.name} has"
    return ""
