"""How much each layer suffers from 8 bits, and which to keep in their own precision under a budget of bytes.

A layer is what engines run as one matrix product (q, k and v; gate and up): its parts are kept or quantised together.

Two measures of harm, larger is worse:
- From weights alone: the mean squared error of one output of the layer, sum over j of (w - q s)_ij^2 g_j^2, averaged over the
  outputs i. Inputs count as independent with variance 1, times the gains g of the norm before the layer, where there is one.
  The relative error ||w - q s|| / ||w|| would be the plainer choice, but 8-bit floats round everything by 2.6% and it is the same
  for every layer; a sum over all weights would only find the largest matrix.
- From a few prompts: the Kullback-Leibler divergence of the next-token distributions, full model against the model with only
  this layer quantised, inputs included. It sees what the weights cannot: which outputs matter, and outliers in the inputs.

    layers = weigh(open_checkpoint(folder), "fp8-dynamic")
    kept = [layer.name for layer in choose_layers(layers, budget=50_000_000) if layer.kept]
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hala.errors import InputError
from hala.hardware import workers
from hala.weights.checkpoint import Array, Checkpoint, numpy_dtype, read_into
from hala.weights.compress import choose, find_scheme, is_measured, open_source, planned_size
from hala.weights.headers import TensorInfo
from hala.weights.numerics import Scratch, widen
from hala.weights.schemes import Mode, Scheme, decode, quantise, rows_at_once
from hala.weights.selection import layer_of, module_of

if TYPE_CHECKING:
    import torch

BLOCK_OF = re.compile(r"(.*\.layers\.\d+)\.")
# The norm whose output a module reads: the first that its block has. Cohere2's only norm feeds both halves of a block.
BEFORE_MIXER = ("input_layernorm", "operator_norm")
BEFORE_FEED_FORWARD = ("pre_feedforward_layernorm", "ffn_norm", "post_attention_layernorm", "input_layernorm")
NORM_BEFORE: dict[str, tuple[str, ...]] = {name: BEFORE_MIXER for name in ("q_proj", "k_proj", "v_proj", "in_proj")}
NORM_BEFORE |= {name: BEFORE_FEED_FORWARD for name in ("gate_proj", "up_proj", "w1", "w3")}
CHUNK = 512  # tokens whose reference distributions are held at once


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer loses in 8 bits (`harm`, see above), its relative weight error, and the bytes that keeping it adds."""

    name: str
    modules: tuple[str, ...]
    harm: float
    rel_error: float
    cost: int
    kept: bool = False


def weigh(
    source: Checkpoint,
    scheme: str,
    mode: Mode = "float32-scale",
    *,
    ignore: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    threads: int | None = None,
) -> list[Layer]:
    """Every layer that would be quantised, by name, with its harm from weights alone. An eighth of large matrices is read."""
    how = find_scheme(scheme, mode)
    names = [name for name, why in choose(source, ignore, keep).items() if not why]
    with ThreadPoolExecutor(threads or workers()) as pool:
        errors = dict(zip(names, pool.map(lambda name: weight_error(source, name, how, mode), names), strict=True))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(layer_of(module_of(name)), []).append(name)
    layers = []
    for layer, parts in sorted(groups.items()):
        sums = np.sum([errors[name] for name in parts], axis=0)
        outputs, error, norm, harm = (float(value) for value in sums)
        cost = sum(source.tensors[name].size - planned_size(source.tensors[name], how, mode) for name in parts)
        relative = (error / norm) ** 0.5 if norm else 0.0
        layers.append(Layer(layer, tuple(module_of(name) for name in parts), harm / outputs, relative, cost))
    return layers


def weight_error(source: Checkpoint, name: str, scheme: Scheme, mode: Mode) -> Array:
    """Outputs measured, squared error, squared weights, and squared error weighed by the gains of the norm before."""
    info, scratch = source.tensors[name], Scratch()
    rows, columns = info.shape
    step, gains = rows_at_once(scheme, columns), gains_before(source, info)
    total = np.zeros(4)
    for number, first in enumerate(range(0, rows, step)):
        if not is_measured(number, rows, step):
            continue
        weight = scratch.take("part", (min(step, rows - first), columns), numpy_dtype(info.dtype))
        read_into(info, first * columns, weight)
        part = quantise(weight, scheme, mode, scratch, measure=False)
        if not part.finite:
            raise InputError(f"tensor {name} of {source.path} has NaN or Inf values.", "It is damaged or its training diverged.")
        values = scratch.take("kept", weight.shape, np.dtype(np.float32))
        widen(weight, values)
        error = decode(part.codes, part.scales, scheme)
        error -= values
        by_column = np.einsum("ij,ij->j", error, error, dtype=np.float64)
        total += (len(weight), by_column.sum(), np.vecdot(values, values).sum(dtype=np.float64), by_column @ gains)
    return total


def gains_before(source: Checkpoint, info: TensorInfo) -> Array:
    """Squared gains of the norm that the inputs of a module come from, in float64; ones where no norm stands before it."""
    columns, block = info.shape[1], BLOCK_OF.match(info.name)
    for norm in NORM_BEFORE.get(module_of(info.name).rpartition(".")[2], ()) if block else ():
        name = f"{block[1]}.{norm}.weight" if block else ""
        if name in source.tensors and source.tensors[name].shape == (columns,):
            gains = source.read(name).astype(np.float64)
            return np.asarray((gains + str(source.config.get("model_type")).startswith("gemma")) ** 2)  # Gemma stores g - 1
    return np.ones(columns)


def choose_layers(layers: Sequence[Layer], budget: int) -> list[Layer]:
    """All layers, those with the most harm for each byte first; `kept` are those that fit into `budget` bytes, taken in order."""
    chosen, left = [], budget
    for layer in sorted(layers, key=lambda layer: (-layer.harm / max(1, layer.cost), layer.name)):
        kept = layer.harm > 0 and layer.cost <= left
        left -= layer.cost if kept else 0
        chosen.append(replace(layer, kept=kept))
    return chosen


def divergences(
    path: str | Path,
    layers: Mapping[str, Sequence[str]],
    scheme: str,
    mode: Mode,
    prompts: Sequence[Sequence[int]],
    progress: Callable[[int, int], None] = lambda done, total: None,
    dtype: str = "float32",
) -> dict[str, float]:
    """For each layer (its modules) the mean divergence in nats a token, over token sequences, when it alone runs in 8 bits.

    The model is loaded whole, in float32 unless told otherwise: rounding everything to BF16 would hide what is looked for.
    """
    from hala.weights.loading import load_model

    how, source = find_scheme(scheme, mode), open_source(path)
    model, _ = load_model(path, dtype)
    chunks = chunked(prompts)
    total = dict.fromkeys(layers, 0.0)
    for number, chunk in enumerate(chunks):
        reference = log_probabilities(model, chunk)
        for place, (layer, modules) in enumerate(layers.items()):
            with quantised(model, source, modules, how, mode):
                total[layer] += divergence(reference, log_probabilities(model, chunk))
            progress(number * len(layers) + place + 1, len(chunks) * len(layers))
    tokens = sum(map(len, prompts))
    return {layer: min(value, sys.float_info.max) / tokens for layer, value in total.items()}


def chunked(prompts: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """Prompts in groups of about `CHUNK` tokens. Raises: InputError when there are none."""
    chunks: list[list[Sequence[int]]] = []
    size = CHUNK
    for prompt in filter(len, prompts):
        if size >= CHUNK:
            chunks.append([])
            size = 0
        chunks[-1].append(prompt)
        size += len(prompt)
    if not chunks:
        raise InputError("the prompts hold no text.", "Give a file with a few texts, pairs or chats.")
    return chunks


def log_probabilities(model: Any, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Natural-log next-token probabilities at every position, `[tokens, vocabulary]` in float32."""
    import torch

    device = model.get_input_embeddings().weight.device
    with torch.no_grad():
        logits = [model(torch.tensor([list(prompt)], device=device)).logits[0].float() for prompt in prompts]
        return torch.cat([torch.log_softmax(part, -1) for part in logits])


def divergence(reference: torch.Tensor, other: torch.Tensor) -> float:
    """The Kullback-Leibler divergence of two tables of log-probabilities, summed over the tokens, never below 0.

    Where the other model says no finite number, it is the largest number there is: nothing is worse.
    """
    total = float((reference.exp() * (reference - other)).sum(-1).double().sum())
    return max(0.0, total) if math.isfinite(total) else sys.float_info.max


@contextmanager
def quantised(model: Any, source: Checkpoint, modules: Sequence[str], scheme: Scheme, mode: Mode) -> Iterator[None]:
    """A block in which some linear modules of a model have 8-bit weights and inputs; afterwards they are as before."""
    import torch

    from hala.weights.linears import rounding

    linears = {name: model.get_submodule(name) for name in modules}
    before = {name: linear.weight.data for name, linear in linears.items()}
    hooks = []
    try:
        for name, linear in linears.items():
            part = quantise(source.read(f"{name}.weight"), scheme, mode)
            weight = torch.from_numpy(decode(part.codes, part.scales, scheme))
            linear.weight.data = weight.to(linear.weight.device, linear.weight.dtype)
            hooks.append(linear.register_forward_pre_hook(rounding(scheme)))
        yield
    finally:
        for name, linear in linears.items():
            linear.weight.data = before[name]
        for hook in hooks:
            hook.remove()
