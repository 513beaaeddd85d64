"""Rounding tokens to FP8 in one pass on a GPU: what `linears.code_tokens` does in six kernels, with the same bits.

Six launches for each linear layer would cost a decoding step more than FP8 saves. Triton comes with torch's builds for CUDA;
import this module only there.

    codes, scales = code_rows(hidden, SCHEMES["fp8-dynamic"])      # (tokens, features) in BF16, on a GPU
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from hala.weights.linears import code_tokens
from hala.weights.schemes import FP8_MAX, Scheme

triton: Any = importlib.import_module("triton")
tl: Any = importlib.import_module("triton.language")
WIDEST = 65_536  # features that one program holds in registers


# Triton reads annotations as part of the program, so there are none but its own.
def round_row(hidden, codes, scales, columns, limit, tiny, size: tl.constexpr):  # type: ignore
    """One program for one token: its largest magnitude, its scale, its codes. Division as IEEE 754 says, not the faster one."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, size)
    inside = place < columns
    values = tl.load(hidden + row * columns + place, mask=inside, other=0.0).to(tl.float32)
    scale = tl.maximum(tl.div_rn(tl.max(tl.abs(values), axis=0), limit), tiny)
    tl.store(scales + row, scale)
    tl.store(codes + row * columns + place, tl.div_rn(values, scale).to(tl.float8e4nv, fp_downcast_rounding="rtne"), mask=inside)


kernel = triton.jit(round_row)


def code_rows(hidden: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """FP8 codes of `(tokens, features)` and float32 scales `(tokens, 1)`; a token with NaN or Inf has a NaN among its codes."""
    hidden = hidden.contiguous()
    rows, columns = hidden.shape
    if columns > WIDEST:
        return code_tokens(hidden, scheme)
    codes = torch.empty(rows, columns, dtype=torch.float8_e4m3fn, device=hidden.device)
    scales = torch.empty(rows, 1, dtype=torch.float32, device=hidden.device)
    size = triton.next_power_of_2(columns)
    tiny = torch.finfo(torch.float32).tiny
    kernel[(rows,)](hidden, codes, scales, columns, FP8_MAX, tiny, size=size, num_warps=min(16, max(1, size // 512)))
    return codes, scales
