"""slerp with every rounding of mergekit 0.1.5, for merges that equal its own in all bits (`mode: exact`).

mergekit sums a tensor in float32, chunk by chunk: the norms of the chunks, from these the norms of both tensors, then the dot
product of each two chunks, divided by their norms before. Here torch sums the same chunks, read one by one; it is imported by
this mode alone. Its sums hang on its release, its number of threads and the processor's instructions.

    low, high, branch = yield from coefficients(stack, 0.5)   # inside a making
    result = methods.two_ends(values, low, high)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from hala.weights.making import Steps, in_spans
from hala.weights.methods import LINEAR_ABOVE, NO_DIRECTION
from hala.weights.stack import Stack

CHUNK = 1 << 20  # elements that mergekit sums at once
Pair = tuple[float, float]  # of base and tuned, each a float32


def conditions() -> dict[str, Any]:
    """What the bits hang on besides weights and settings."""
    import torch

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def coefficients(stack: Stack, t: float) -> Steps[tuple[float, float, str]]:
    """The weights of base and tuned, and the branch taken, of the stack's first two tensors."""
    if not stack.count:
        return 1 - t, t, "linear"
    spans = list(in_spans(stack.count, CHUNK))
    parts = yield [partial(chunk_norms, stack, *span) for span in spans]
    base, tuned = (join_norms(norms) for norms in zip(*parts, strict=True))
    dots = yield [partial(chunk_dot, stack, (base, tuned), *span) for span in spans]
    return from_dots(dots, t)


def chunk_norms(stack: Stack, first: int, count: int) -> Pair:
    """The norms of `count` elements of each tensor from `first` on."""
    import torch

    base, tuned = (torch.from_numpy(values).unsqueeze(0) for values in stack.piece(first, count))
    return float(torch.linalg.vector_norm(base, dim=1, keepdim=True)), float(torch.linalg.vector_norm(tuned, dim=1, keepdim=True))


def join_norms(parts: Sequence[float]) -> float:
    """The norm of a tensor from those of its chunks; 1 in place of one that is too small to divide by."""
    import torch

    norm = torch.linalg.vector_norm(torch.tensor(parts, dtype=torch.float32).reshape(-1, 1, 1), dim=0)
    return float(torch.where(norm > NO_DIRECTION, norm, 1))


def chunk_dot(stack: Stack, norms: Pair, first: int, count: int) -> float:
    """The dot product of a chunk of both tensors, each divided by its norm."""
    import torch

    base, tuned = stack.piece(first, count)  # only sums differ between libraries; a quotient or product is rounded alike in all
    base /= np.float32(norms[0])
    tuned /= np.float32(norms[1])
    base *= tuned
    return float(torch.from_numpy(base).unsqueeze(0).sum(dim=1, keepdim=True))


def from_dots(parts: Sequence[float], t: float) -> tuple[float, float, str]:
    """The weights of both ends and the branch, from the dot products of the chunks."""
    import torch

    place = torch.tensor([[t]], dtype=torch.float32)
    dot = torch.tensor(parts, dtype=torch.float32).reshape(-1, 1, 1).sum(dim=0).clamp(-1, 1)
    if bool(dot.abs() > LINEAR_ABOVE):
        return float(1 - place), float(place), "linear"
    angle = torch.acos(dot)
    low, high = torch.sin((1 - place) * angle) / torch.sin(angle), torch.sin(place * angle) / torch.sin(angle)
    return float(low), float(high), "slerp"
