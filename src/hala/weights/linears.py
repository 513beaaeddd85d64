"""8-bit checkpoints in torch: unpacked weights, and linear layers that round their input as the real kernels do.

state = unpacked(open_checkpoint(path), torch.float32)
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from hala.weights.checkpoint import Array
from hala.weights.schemes import FP8_MAX

BLOCK = 262_144  # elements worked on at once


def to_torch(values: Array) -> torch.Tensor:
    """The same bytes as a torch tensor; torch cannot take BF16 and FP8 from numpy by itself."""
    name = values.dtype.name
    if values.dtype.type in (np.bool_, np.uint16, np.uint32, np.uint64) or not hasattr(ml_dtypes, name):
        return torch.from_numpy(values)
    return torch.from_numpy(values.reshape(-1).view(np.uint8)).view(getattr(torch, name)).reshape(values.shape)


def dequantise(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The weight that the codes stand for, in the scale's dtype, as compressed-tensors computes it."""
    weight = torch.empty(codes.shape, dtype=scale.dtype)
    for rows in row_blocks(codes):
        weight[rows] = codes[rows].to(scale.dtype) * scale[rows]
    return weight


def round_tokens(hidden: torch.Tensor) -> torch.Tensor:
    """`hidden` `(..., features)` after a round trip through FP8 with one float32 scale per token, in its own dtype.

    This is what a W8A8 kernel does to the input of a linear layer, so that numbers measured on a CPU are those of the FP8 model.
    """
    work = hidden.float()
    scale = (work.abs().amax(dim=-1, keepdim=True) / FP8_MAX).clamp(min=torch.finfo(torch.float32).tiny)
    codes = (work / scale).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    return (codes.float() * scale).to(hidden.dtype)


def row_blocks(matrix: torch.Tensor) -> list[slice]:
    """Slices over the rows, so that one block has about `BLOCK` elements."""
    step = max(1, BLOCK // max(1, matrix[0].numel() if len(matrix) else 1))
    return [slice(start, start + step) for start in range(0, len(matrix), step)]
