"""8-bit checkpoints in torch: unpacked weights, and inputs rounded as 8-bit kernels round them.

scheme = stored_scheme(checkpoint)
weight = dequantise(to_torch(codes), to_torch(scales), scheme, torch.float32)
linear.register_forward_pre_hook(rounding(scheme))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hala.weights.checkpoint import Array
from hala.weights.schemes import FP8_MAX, Scheme

BLOCK = 262_144  # elements worked on at once
INT8_MAX = 127.0  # kernels leave -128 out for activations


def to_torch(values: Array) -> Tensor:
    """The same bytes as a torch tensor; torch cannot take BF16 and FP8 from numpy by itself."""
    name = values.dtype.name
    if values.dtype.type in (np.bool_, np.uint16, np.uint32, np.uint64) or not hasattr(ml_dtypes, name):
        return torch.from_numpy(values)
    return torch.from_numpy(values.reshape(-1).view(np.uint8)).view(getattr(torch, name)).reshape(values.shape)


def dequantise(codes: Tensor, scales: Tensor, scheme: Scheme, dtype: torch.dtype) -> Tensor:
    """The weight `[out, in]` that codes and scales stand for: multiplied in float32, then rounded to `dtype`."""
    rows, columns = codes.shape
    wide = scales.float().repeat_interleave(scheme.side, 1)[:, :columns] if scheme.side else scales.float().reshape(-1, 1)
    place = torch.arange(rows) // scheme.side if scheme.side else torch.arange(rows) % len(wide)  # the scales of each row
    weight = torch.empty(codes.shape, dtype=dtype)
    for part in row_blocks(codes):
        weight[part] = codes[part].float() * wide[place[part]]
    return weight


def row_blocks(matrix: Tensor) -> list[slice]:
    """Slices over the rows, so that one block has about `BLOCK` elements."""
    step = max(1, BLOCK // max(1, matrix[0].numel() if len(matrix) else 1))
    return [slice(start, start + step) for start in range(0, len(matrix), step)]


def code_tokens(hidden: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """`hidden` `(..., features)` as 8-bit codes of the same shape, and their float32 scales `(..., 1)` or `(..., groups)`.

    One scale a token, or for each `side` features of a token (the last group may be smaller): max(|x|) / 448 or / 127. The
    same values give the same codes on every device and in every batch.
    """
    work = hidden.float()
    parts = grouped(work, scheme.side)
    largest = parts.abs().amax(-1, keepdim=True) if hidden.numel() else parts.new_zeros(*parts.shape[:-1], 1)
    # A tensor and no number as divisor: CUDA multiplies by the reciprocal of a number, which is off by a bit.
    limit = largest.new_full((), INT8_MAX if scheme.dtype == "I8" else FP8_MAX)
    scale = (largest / limit).clamp(min=torch.finfo(torch.float32).tiny)
    quotients = parts / scale
    if scheme.dtype == "I8":
        codes = quotients.round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8)
    else:
        codes = quotients.clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    if not scheme.side:
        return codes, scale
    return codes.flatten(-2)[..., : hidden.shape[-1]], scale.squeeze(-1)


def grouped(hidden: Tensor, side: int) -> Tensor:
    """`(..., features)` as it is, or as `(..., groups, side)` with zeros at the end when `side` is not 0."""
    if not side:
        return hidden
    return functional.pad(hidden, (0, -hidden.shape[-1] % side)).reshape(*hidden.shape[:-1], -(-hidden.shape[-1] // side), side)


def round_tokens(hidden: Tensor, scheme: Scheme) -> Tensor:
    """`hidden` `(..., features)` after a round trip through 8 bits, in its own dtype.

    This is what a W8A8 kernel does to the input of a linear layer, so that numbers measured on a CPU are the 8-bit model's.
    """
    codes, scale = code_tokens(hidden, scheme)
    if not scheme.side:
        return (codes.float() * scale).to(hidden.dtype)
    values = grouped(codes.float(), scheme.side) * scale[..., None]
    return values.flatten(-2)[..., : hidden.shape[-1]].to(hidden.dtype)


def rounding(scheme: Scheme) -> Callable[[Any, Any], Any]:
    """A forward pre-hook that rounds the input of a linear layer as the scheme's kernels do."""

    def round_input(_: Any, inputs: Any) -> Any:
        return (round_tokens(inputs[0], scheme), *inputs[1:])

    return round_input
