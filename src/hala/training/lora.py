"""Low-rank adapters (LoRA) in place of all weights: little to train, little to keep, and one plain checkpoint at the end.

The one idea: peft puts its layers into the model itself, which otherwise stays what it was, so packing, loss and checkpoints need
not know of them: they train and keep what requires a gradient. At the end the adapters are written as peft reads them, then
added to the weights that they stand beside. Source: Hu et al., arXiv 2106.09685.

>>> from hala.training.lora import attach, merge
>>> attach(model, Lora(rank=16), seed=0)   # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from hala.errors import InputError, RecipeError, nearest
from hala.recipe_models import Lora

ADAPTER = "default"  # what peft calls the only adapter of a model
MISSING = 'Install it: pip install "hala[lora]"'


def attach(model: Any, settings: Lora, seed: int) -> None:
    """Put adapters (float32, B zero, so that nothing changes yet) on the targets and freeze everything else, in place.

    The same seed gives the same adapters. Raises: RecipeError for targets that name no layer, InputError when peft is missing.
    """
    require()
    from peft import LoraConfig, get_peft_model

    names = targets(model, settings.targets)
    for parameter in model.parameters():  # not `model.to`, which would round the angles of the positions too
        parameter.data = parameter.data.to(torch.bfloat16 if settings.base_dtype == "bfloat16" else torch.float32)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=names,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        get_peft_model(model, config)


def require() -> None:
    """Nothing, or InputError in words when peft is not installed."""
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise InputError(f"LoRA needs the package peft ({error}).", MISSING) from error


def linears(model: Any) -> list[str]:
    """Full names of all linear layers in the decoder's blocks, in the model's order; the head and the embedding are none."""
    layers = getattr(model.get_decoder(), "layers", None)
    if layers is None:
        raise InputError(f"{type(model).__name__} has no list of layers to adapt.", "Train it without `lora`.")
    blocks = {id(module) for layer in layers for module in layer.modules()}
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and id(module) in blocks]


def targets(model: Any, wanted: tuple[str, ...]) -> list[str]:
    """What peft is told to adapt: the linear layers of the blocks whose names end in one of `wanted`, all when it is empty.

    Shortened to last names (`q_proj`) where these mean the same layers. Raises: RecipeError for a name that matches nothing.
    """
    known = linears(model)
    short = list(dict.fromkeys(name.rpartition(".")[2] for name in known))
    for each in wanted:
        if not any(_ends(name, each) for name in known):
            raise RecipeError(
                f"No linear layer of the model's blocks is called {each!r}.{nearest(each, short)}",
                f"Choose `targets` from: {', '.join(short)}.",
            )
    chosen = [name for name in known if not wanted or any(_ends(name, each) for each in wanted)]
    last = sorted({name.rpartition(".")[2] for name in chosen})
    same = [name for name, _ in model.named_modules() if any(_ends(name, each) for each in last)]
    return last if same == chosen else chosen


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith("." + end)


def is_adapted(model: nn.Module) -> bool:
    """Whether adapters stand in the model."""
    return bool(adapted(model))


def adapted(model: nn.Module) -> dict[str, Any]:
    """The adapted layers by full name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A") and hasattr(module, "base_layer")}


def save_adapter(model: Any, folder: Path, base: str | None = None) -> None:
    """Write the adapters as peft reads them: `adapter_model.safetensors` (float32) and `adapter_config.json`.

    `base` is a hub id or folder for the config. The same adapters give the same bytes.
    """
    from hala.artifacts import write_json

    config = model.peft_config[ADAPTER].to_dict()
    settings = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    settings |= {"base_model_name_or_path": base, "inference_mode": True, "peft_type": "LORA"}
    tensors = {
        f"base_model.model.{name}".replace(f".{ADAPTER}.", "."): parameter.detach().float().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if ".lora_A." in name or ".lora_B." in name
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", settings)


@torch.no_grad()
def merge(model: Any) -> None:
    """Add every adapter to its layer in float32, in place, and leave the plain model in float32."""
    model.float()
    for name, layer in adapted(model).items():
        plain = layer.base_layer
        plain.weight += layer.get_delta_weight(ADAPTER).to(plain.weight.dtype)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, plain)
    del model.peft_config
    model.requires_grad_(True)
