"""One model trained by several processes: what they agree on, and who writes.

The one idea: whatever decides (the loss, the norm of the gradient, the checkpoint to continue from) is the same number in every
process, so that all of them take the same turn; and the first one alone writes.

>>> from hala.training.devices import count, first
>>> count(), first()
(1, True)
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
from torch import distributed

from hala.errors import InputError

Value = TypeVar("Value")
Tensors = dict[str, torch.Tensor]


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def first() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum of every process's `value`."""
    if count() == 1:
        return value
    value = value.detach().clone()
    distributed.all_reduce(value)
    return value


def agreed(value: Value) -> Value:
    """The first process's value, in every process."""
    if count() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def arguments(shard: bool) -> dict[str, Any]:
    """What TrainingArguments must be told: nothing for one process; the CPU where there is no GPU; FSDP2 when asked."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return {}
    found: dict[str, Any] = {"ddp_find_unused_parameters": False, "use_cpu": not torch.cuda.is_available()}
    if shard:  # a layer at a time is whole; the wrapped classes are those that the model names itself
        found |= {"fsdp": True, "fsdp_config": {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP"}}
    return found


def check_split(accelerator: Any, shard: bool) -> None:
    """Nothing, or InputError where accelerate would quietly copy the model instead of splitting it: it splits over GPUs only."""
    if shard and count() > 1 and str(accelerator.distributed_type).rpartition(".")[2] != "FSDP":
        raise InputError("`shard` splits a model over GPUs, and none is visible.", "Leave out `shard`.")


def is_split(tensor: torch.Tensor) -> bool:
    """Whether this process holds a part of the tensor only."""
    return hasattr(tensor, "full_tensor")


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of the tensor that this process holds."""
    part: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def gathered(tensors: Tensors) -> Tensors:
    """Whole tensors, on the CPU and in the first process only where they were split; all processes must call it."""
    whole = {}
    for name, tensor in tensors.items():
        value = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if first():
            whole[name] = value.cpu() if is_split(tensor) else value
    return whole


def reshard(model: Any) -> None:
    """Gives back what a forward pass without a backward one left whole."""
    for module in model.modules():
        if hasattr(module, "reshard"):
            module.reshard()


def whole(model: Any) -> Any:
    """The model itself, or where it was split, an ordinary one on the CPU of the first process; all processes must call it."""
    state = model.state_dict()
    if not any(is_split(tensor) for tensor in state.values()):
        return model
    tensors = gathered(state)
    with torch.device("meta"):
        plain = type(model)(model.config)
    if first():
        plain.load_state_dict(tensors, assign=True)
        plain.tie_weights()
    return plain


def like(value: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A whole `value` on the device of `tensor`, and split as that one is."""
    if not is_split(tensor):
        return value.to(tensor.device)
    from torch.distributed.tensor import distribute_tensor

    split: Any = tensor
    # Every process has read the whole value, so none needs to be sent any.
    return distribute_tensor(value.to(tensor.device), split.device_mesh, split.placements, src_data_rank=None)
