"""Training on a GPU as `hala tune` does it: tokens a second, share of the GPU's arithmetic (MFU), memory.

Used by benchmarks/gpu.py.

MFU counts 6 products a parameter and token, and attention within each document; nothing for what is computed twice.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gpu_models import ATTENTION

from hala.training.examples import Example

# hidden, feed-forward, heads, key-value heads; 16 layers of which six are attention, a vocabulary of 65,536.
SHAPES = {"350m": (1024, 4608, 16, 8), "700m": (1536, 6912, 24, 8), "1.2b": (2048, 8192, 32, 8)}
TINY = (64, 96, 4, 2)
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense BF16 products a second, by NVIDIA's data sheets
WARM, TIMED = 3, 8  # updates


def documents(tokens: int, longest: int, vocabulary: int) -> list[Example]:
    """Random documents of the lengths of conversations (lognormal, a median of 300 tokens), two thirds of each learned."""
    rng = np.random.default_rng(0)
    found: list[Example] = []
    while tokens > 0:
        length = int(np.clip(rng.lognormal(np.log(min(300, longest / 2)), 0.8), 16, longest))
        ids = rng.integers(3, vocabulary, length).astype(np.int32)
        found.append(Example(str(len(found)), ids, np.where(np.arange(length) < length // 3, -100, ids).astype(np.int32)))
        tokens -= length
    return found


def operations(model: Any, shape: tuple[int, ...], lengths: list[int]) -> float:
    """Floating-point operations of one pass forward and back over these documents."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    layers = sum(kind == "full_attention" for kind in model.config.layer_types)
    attention = sum(12 * shape[0] * layers * length * length / 2 for length in lengths)
    return 6.0 * parameters * sum(lengths) + attention


def rows(device: str, quick: bool, left: Any) -> Iterator[dict[str, Any]]:
    """One row for each size and way of training, until the time is over."""
    length, batch = (64, 256) if quick else (4096, 65_536)
    for name, shape in SHAPES.items():
        for way in ({}, {"gradient_checkpointing": True}, {"compile": True}):
            if left() > 0:
                yield {"model": name, **one(device, TINY if quick else shape, 384 if quick else 65_536, length, batch, way)}


def one(device: str, shape: tuple[int, ...], vocabulary: int, length: int, batch: int, way: dict[str, bool]) -> dict[str, Any]:
    """Tokens a second of some updates after others that warm up, all in one training."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    from hala.training.trainer import TrainSettings, train

    hidden, ff, heads, kv_heads = shape
    kinds = ["full_attention" if layer in ATTENTION else "conv" for layer in range(16)]
    config = Lfm2Config(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=ff, num_hidden_layers=16, num_attention_heads=heads,
        num_key_value_heads=kv_heads, layer_types=kinds, block_auto_adjust_ff_dim=False, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = Lfm2ForCausalLM(config)
    examples = documents(batch * (WARM + TIMED + 1), length, vocabulary)
    cuda = device.startswith("cuda")
    times: list[float] = []

    def clock(*_: Any) -> None:
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    if cuda:
        torch.cuda.reset_peak_memory_stats()
    micro = {1024: 4, 1536: 2, 2048: 2}.get(hidden, 1) * length
    settings = TrainSettings(
        row_length=length, batch_tokens=batch, micro_tokens=micro, max_steps=WARM + TIMED, save_steps=10**6, log_steps=10**6,
        **way,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        result = train(model, SimpleNamespace(pad_token_id=0), examples, settings, Path(folder), clock)  # type: ignore[arg-type]
    steps = np.diff(times)[WARM - 1 :]
    per_update = result.tokens / result.steps
    rate = per_update / float(np.median(steps))
    share = operations(model, shape, [len(each) for each in examples]) / sum(map(len, examples))
    peak = next((value for card, value in PEAK.items() if cuda and card in torch.cuda.get_device_name()), None)
    return {
        "way": "+".join(way) or "plain", "precision": result.precision, "row_length": length, "batch_tokens": batch,
        "micro_tokens": micro, "tokens_per_second": round(rate), "tflops": round(rate * share / 1e12, 3),
        "mfu": round(rate * share / peak, 4) if peak else None,
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None,
        "fill": round(result.packing.fill, 4), "seconds": [round(float(each), 4) for each in steps],
    }  # fmt: skip
