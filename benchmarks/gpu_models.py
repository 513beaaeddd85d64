"""Random models of real shapes, made on the device itself; their linear layers in FP8; and honest clocks.

Used by benchmarks/gpu.py. The shapes are those of LFM2-1.2B, of Gemma 2 9B (which Fanar-1-9B-Instruct has too) and of a 32B
Cohere model, with the real vocabularies.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hala.weights.linears import Fp8Linear, code_tokens, fits
from hala.weights.schemes import SCHEMES

FP8 = SCHEMES["fp8-dynamic"]
SHAPES: dict[str, dict[str, int]] = {
    "lfm2-1.2b": {"hidden": 2048, "ff": 8192, "layers": 16, "heads": 32, "kv": 8, "head": 64, "vocab": 65_536},
    "gemma2-9b": {"hidden": 3584, "ff": 14_336, "layers": 42, "heads": 16, "kv": 8, "head": 256, "vocab": 256_000},
    "cohere2-32b": {"hidden": 8192, "ff": 24_576, "layers": 40, "heads": 64, "kv": 8, "head": 128, "vocab": 256_000},
}
TINY = {"hidden": 64, "ff": 96, "layers": 4, "heads": 4, "kv": 2, "head": 16, "vocab": 384}
ATTENTION = (2, 5, 8, 10, 12, 14)  # layers of LFM2-1.2B with attention, the others are convolutions


def make_config(name: str, shape: dict[str, int]) -> Any:
    """The transformers config of a family in a shape."""
    from transformers import Cohere2Config, Gemma2Config, Lfm2Config

    common: dict[str, Any] = {"vocab_size": shape["vocab"], "hidden_size": shape["hidden"], "intermediate_size": shape["ff"]}
    common |= {"num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"]}
    common |= {"num_key_value_heads": shape["kv"], "max_position_embeddings": 4096}
    common |= {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0, "tie_word_embeddings": True}
    if name.startswith("lfm2"):
        kinds = ["full_attention" if layer in ATTENTION else "conv" for layer in range(shape["layers"])]
        return Lfm2Config(**common, layer_types=kinds, block_auto_adjust_ff_dim=False)
    if name.startswith("gemma2"):
        return Gemma2Config(**common, head_dim=shape["head"], query_pre_attn_scalar=shape["head"])
    return Cohere2Config(**common, head_dim=shape["head"])


def make_model(name: str, shape: dict[str, int], device: str) -> Any:
    """A random model in BF16, in evaluation mode; nothing of it is ever on the CPU when `device` is a GPU."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    config = make_config(name, shape)
    with torch.device(device):
        model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]._from_config(config, dtype=torch.bfloat16)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.02, generator=generator)
    return model.eval().requires_grad_(False)


def to_fp8(model: Any) -> int:
    """Replaces the linear layers but the head by FP8 ones, one at a time, as a checkpoint of `hala compress` would load.

    Returns how many parameters are FP8 now.
    """
    changed = 0
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name != "lm_head" and fits(Fp8Linear, tuple(module.weight.shape)):
            changed += module.weight.numel()
            model.set_submodule(name, to_fp8_layer(module))
    return changed


def to_fp8_layer(linear: nn.Linear) -> Fp8Linear:
    """The layer in FP8: scales a row in float32, which is what rounding the rows like tokens gives."""
    return Fp8Linear(*code_tokens(linear.weight, FP8), linear.bias, FP8)


def layers_that_fit(shape: dict[str, int], device: str) -> int:
    """How many of the model's layers the free memory holds in BF16, with room to work."""
    if not device.startswith("cuda"):
        return shape["layers"]
    attention = shape["hidden"] * shape["head"] * (2 * shape["heads"] + 2 * shape["kv"])
    layer = 2 * (attention + 3 * shape["hidden"] * shape["ff"])
    free = torch.cuda.mem_get_info(device)[0] - 2 * shape["vocab"] * shape["hidden"] - 12_000_000_000
    return max(1, min(shape["layers"], int(free // layer)))


@dataclass(frozen=True, slots=True)
class Clock:
    """Median seconds of a call, measured on the device that does the work."""

    device: str
    rounds: int

    def wait(self) -> None:
        """Returns when the device has done all that it was given."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], Any], repeats: int = 1) -> float:
        """Median over the rounds of `repeats` calls in a row, divided by `repeats`; one more round warms up.

        What takes seconds is run once after the warm-up: its first kernels matter little.
        """
        times: list[float] = []
        while len(times) <= (self.rounds if not times or times[0] < 2 else 1):
            self.wait()
            began = time.perf_counter()
            for _ in range(repeats):
                call()
            self.wait()
            times.append(time.perf_counter() - began)
        return statistics.median(times[1:]) / repeats

    def contest(self, calls: dict[str, Callable[[], Any]], repeats: int = 1) -> dict[str, float]:
        """Medians of several calls that take turns."""
        single = Clock(self.device, 1)
        runs = [{name: single.seconds(call, repeats) for name, call in calls.items()} for _ in range(self.rounds)]
        return {name: statistics.median(run[name] for run in runs) for name in calls}


def graphed(call: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The same work launched as one CUDA graph: without the time that Python takes to launch kernels one by one.

    On a CPU, the call itself.
    """
    if not device.startswith("cuda"):
        return call
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def one_layer(name: str, shape: dict[str, int], device: str) -> list[nn.Linear]:
    """The linear layers of one block as engines run them: q, k and v joined, gate and up joined."""
    hidden, heads = shape["hidden"], shape["heads"] * shape["head"]
    sizes = [(hidden, heads + 2 * shape["kv"] * shape["head"]), (heads, hidden)]
    if name.startswith("lfm2"):  # most of its blocks: the short convolution
        sizes = [(hidden, 3 * hidden), (hidden, hidden)]
    sizes += [(hidden, 2 * shape["ff"]), (shape["ff"], hidden)]
    layers = [nn.Linear(*size, bias=False, device=device, dtype=torch.bfloat16).requires_grad_(False) for size in sizes]
    for linear in layers:
        linear.weight.normal_(0, 0.02)
    return layers


def run_all(layers: list[Any], inputs: dict[int, Tensor]) -> None:
    """One pass of every layer over the input of its width."""
    for layer in layers:
        layer(inputs[layer.in_features])
