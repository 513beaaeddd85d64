"""The tensors of a checkpoint in torch; 8-bit ones multiplied out.

state = unpacked(checkpoint, torch.float32, stored_scheme(checkpoint))
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from hala.weights.checkpoint import Array, Checkpoint
from hala.weights.quantised import SCALE, quantised_names
from hala.weights.schemes import Scheme

BLOCK = 262_144  # elements worked on at once


def to_torch(values: Array) -> Tensor:
    """The same bytes as a torch tensor; torch cannot take BF16 and FP8 from numpy by itself."""
    name = values.dtype.name
    if values.dtype.type in (np.bool_, np.uint16, np.uint32, np.uint64) or not hasattr(ml_dtypes, name):
        return torch.from_numpy(values)
    return torch.from_numpy(values.reshape(-1).view(np.uint8)).view(getattr(torch, name)).reshape(values.shape)


def unpacked(checkpoint: Checkpoint, dtype: torch.dtype, scheme: Scheme, *, coded: bool = True) -> dict[str, Tensor]:
    """The tensors of an 8-bit checkpoint by name, every code multiplied by its scale and rounded to `dtype`.

    Without `coded`, a single zero stands in for each coded matrix, in its shape: enough for a model that gets other layers there.
    """
    state, names = {}, set(quantised_names(checkpoint))
    for name, info in checkpoint.tensors.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in names:
            continue
        if name not in names:
            state[name] = to_torch(checkpoint.read(name))
        elif coded:
            state[name] = dequantise(*read_coded(checkpoint, name, scheme), scheme, dtype)
        else:
            state[name] = torch.zeros((), dtype=dtype).expand(info.shape)
    return state


def read_coded(checkpoint: Checkpoint, name: str, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Codes `[out, in]` and float32 scales of a matrix: `[out, 1]`, or one for each block."""
    codes, scales = to_torch(checkpoint.read(name)), to_torch(checkpoint.read(name + SCALE)).float()
    return codes, scales if scheme.side else scales.reshape(-1, 1).expand(len(codes), 1)


def dequantise(codes: Tensor, scales: Tensor, scheme: Scheme, dtype: torch.dtype) -> Tensor:
    """The weight `[out, in]` that codes and scales stand for: multiplied in float32, then rounded to `dtype`."""
    wide = scales.repeat_interleave(scheme.side, 1)[:, : codes.shape[1]] if scheme.side else scales
    place = torch.arange(len(codes)) // (scheme.side or 1)  # the row of `wide` that each row of codes belongs to
    weight = torch.empty(codes.shape, dtype=dtype)
    for part in row_blocks(codes):
        weight[part] = codes[part].float() * wide[place[part]]
    return weight


def row_blocks(matrix: Tensor) -> list[slice]:
    """Slices over the rows, so that one block has about `BLOCK` elements."""
    step = max(1, BLOCK // max(1, matrix[0].numel() if len(matrix) else 1))
    return [slice(start, start + step) for start in range(0, len(matrix), step)]
