"""Averages of weights beside the training: exponential, or the mean of the last updates.

The one idea: the average is float32, of what is trained only, and never touches the training; it changes places with the weights
while something is measured, and at the end. Sources: Polyak and Juditsky (1992); Izmailov et al., arXiv 1803.05407.

>>> from hala.training.average import Average
>>> Average("ema", decay=0.999, last=0).started
False
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hala.training import devices
from hala.training.checkpoints import Tensors, model_tensors


def snapshot(model: Any) -> Tensors:
    """A copy of every trained tensor, where it is."""
    return {name: tensor.detach().clone() for name, tensor in model_tensors(model).items()}


@torch.no_grad()
def put(model: Any, tensors: Tensors) -> None:
    """Copy a snapshot, or one that was read from a file, into the model."""
    for name, tensor in model_tensors(model).items():
        value = tensors[name]
        tensor.copy_(value if devices.is_split(value) else devices.like(value, tensor))


class Average:
    """The mean of a model's trained tensors over its updates.

    `ema` moves by `1 - decay` of the difference an update, faster at first: the decay of update n is at most (1 + n) / (10 + n).
    `last` is the plain mean of the weights after each of the last `last` updates, and does not exist before these.
    """

    def __init__(self, kind: str, decay: float, last: int) -> None:
        self.kind, self.decay, self.last = kind, decay, last
        self.tensors: Tensors = {}
        self.count = 0

    @property
    def started(self) -> bool:
        """Whether there is an average yet."""
        return bool(self.tensors)

    def begin(self, model: Any) -> None:
        """The exponential average starts at the weights before the first update."""
        if self.kind == "ema" and not self.tensors:
            self.tensors = snapshot(model)

    @torch.no_grad()
    def update(self, model: Any, left: int) -> None:
        """Take in the weights after an update; `left` updates are still to come."""
        if self.kind == "none" or (self.kind == "last" and left >= self.last):
            return
        self.count += 1
        if not self.tensors:
            self.tensors = snapshot(model)
            return
        weight = 1 / self.count if self.kind == "last" else 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        for name, tensor in model_tensors(model).items():
            mean, value = devices.local(self.tensors[name]), devices.local(tensor)
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    @contextmanager
    def in_place(self, model: Any) -> Iterator[None]:
        """While it lasts, the model has the average, if there is one, in place of its own weights."""
        if not self.started:
            yield
            return
        own = snapshot(model)
        put(model, self.tensors)
        try:
            yield
        finally:
            put(model, own)

    def restore(self, model: Any, tensors: Tensors, count: int) -> None:
        """What a checkpoint held."""
        own = model_tensors(model)
        self.tensors = {name: devices.like(tensor, own[name]).clone() for name, tensor in tensors.items()}
        self.count = count
