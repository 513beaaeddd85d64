"""Every knob of a training, and what follows from the knobs alone: the learning rate of a step, the precision of a machine.

>>> from hala.training.settings import TrainSettings, lr_scale
>>> lr_scale(0, 100, TrainSettings(warmup=0.1))
0.1
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from hala.hardware import trains_in_bfloat16
from hala.recipe_models import Lora


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Every knob of a training. Lengths and batches count tokens, fractions are of all steps."""

    epochs: float = 1.0
    max_steps: int = 0
    """Updates in all; 0 lets `epochs` decide."""
    row_length: int = 512
    """Tokens a packed row holds; no example may be longer."""
    packing: bool = True
    """Examples share rows; else each has one of its own, padded to the longest of its pass."""
    batch_tokens: int = 8192
    """Tokens an update sees, over all devices."""
    micro_tokens: int = 4096
    """Tokens of one forward pass on one device: memory, not results."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-5
    muon_learning_rate: float = 0.02
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    warmup: float = 0.03
    decay: float = 0.2
    """The last fraction, over which `wsd` falls."""
    min_lr: float = 0.1
    """The final learning rate as a fraction of the highest."""
    weight_decay: float = 0.01
    beta2: float = 0.95
    max_grad_norm: float = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; weights, sums and the loss stay float32."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: memory, not results."""
    compile: bool = False
    """Compile each layer with torch.compile; on a CPU it needs a C++ compiler."""
    shard: bool = False
    """Split weights, gradients and optimizer over the processes (FSDP2): memory, not results."""
    seed: int = 0
    order: Literal["shuffled", "given"] = "shuffled"
    """Of the examples: another one each epoch, or as they came."""
    on_bad_step: Literal["stop", "skip", "rollback"] = "stop"
    """What to do with an update whose loss or gradient is not finite or a spike."""
    max_bad_steps: int = 5
    """So many of them in a row stop the training."""
    spike: float = 0.0
    """How many robust deviations above the median of the last `spike_window` updates are a spike; 0 looks for none."""
    spike_window: int = 64
    average: Literal["none", "ema", "last"] = "none"
    """Of the weights, which is what is evaluated and kept."""
    average_decay: float = 0.999
    average_last: int = 100
    """Updates at the end whose weights `average: last` averages."""
    patience: int = 0
    """Stop after so many evaluations without a lower loss and keep the best weights; 0 trains to the end."""
    samples: int = 0
    """How many evaluation examples are answered at each evaluation, into `samples.jsonl`."""
    sample_tokens: int = 64
    lora: Lora | None = None
    """Adapters in place of all weights; none trains what requires a gradient."""
    log_steps: int = 10
    """Updates between two records of the learning curve."""
    eval_steps: int = 0
    """0 evaluates at the end only."""
    save_steps: int = 200
    """Updates between two checkpoints at most; a shorter training is saved eight times."""


def knobs(settings: TrainSettings) -> dict[str, Any]:
    """All of them as plain data."""
    return asdict(settings) | {"lora": settings.lora.model_dump() if settings.lora else None}


def lr_scale(step: int, total: int, settings: TrainSettings) -> float:
    """The learning rate at `step` of `total` as a fraction of the highest, in (0, 1]."""
    warm = max(1, round(settings.warmup * total))
    if step < warm:
        return (step + 1) / warm
    floor = settings.min_lr
    through = min(1.0, (step - warm) / max(1, total - warm))
    if settings.schedule == "cosine":
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * through))
    if settings.schedule == "wsd":
        start = 1 - settings.decay
        return 1.0 if through < start else floor + (1 - floor) * (1 - through) / max(settings.decay, 1e-9)
    return 1.0


def choose_precision(wanted: str, device: torch.device) -> str:
    """`bfloat16` only where training gains from it, else `float32`, which is exacter."""
    if wanted != "auto":
        return wanted
    return "bfloat16" if trains_in_bfloat16(device.type) else "float32"


def autocast(precision: str, device: str) -> torch.autocast:
    """A context in which matrix products run in `precision`."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")
