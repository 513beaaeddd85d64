"""LFM2's short convolution for packed rows: exact, on any device, without a kernel.

The stock fallback drops `seq_idx`, so the first positions of a document read the last ones of its neighbour. Here a
convolution of k taps is k shifted products, and a tap is dropped where it would cross a document boundary:
`out[t] = sum_j w[k-1-j] * u[t-j] * [seq_idx[t-j] == seq_idx[t]]`, j = 0..k-1.

>>> from hala.training.short_conv import leak_free
>>> with leak_free(model):  # doctest: +SKIP
...     model(input_ids=ids, position_ids=positions, seq_idx=numbers, use_cache=False)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class MaskedShortConv(torch.autograd.Function):
    """`c * conv(b * x)` for `bcx` (batch, length, 3 * hidden), taps (hidden, k), `same` one (batch, length - j, 1) per lag."""

    @staticmethod
    def forward(ctx: Any, bcx: torch.Tensor, taps: torch.Tensor, *same: torch.Tensor) -> torch.Tensor:
        b, c, x = bcx.chunk(3, dim=-1)
        u = b * x
        y = u * taps[:, -1]
        for lag, kept in enumerate(same, start=1):
            y[:, lag:].addcmul_(u[:, :-lag] * kept, taps[:, -1 - lag])
        ctx.save_for_backward(bcx, taps, u, y, *same)
        return c * y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        bcx, taps, u, y, *same = ctx.saved_tensors
        (grad,) = gradients
        b, c, x = bcx.chunk(3, dim=-1)
        out = torch.empty_like(bcx)
        grad_b, grad_c, grad_x = out.chunk(3, dim=-1)
        torch.mul(grad, y, out=grad_c)
        grad_y = grad * c
        grad_u = grad_y * taps[:, -1]
        grad_taps = torch.zeros_like(taps)
        grad_taps[:, -1] = (grad_y * u).sum((0, 1))
        for lag, kept in enumerate(same, start=1):
            crossing = grad_y[:, lag:] * kept
            grad_u[:, :-lag].addcmul_(crossing, taps[:, -1 - lag])
            grad_taps[:, -1 - lag] = (crossing * u[:, :-lag]).sum((0, 1))
        torch.mul(grad_u, x, out=grad_b)
        torch.mul(grad_u, b, out=grad_x)
        return (out, grad_taps, *(None for _ in same))


def _mixed(bcx: torch.Tensor, taps: torch.Tensor, same: list[torch.Tensor]) -> torch.Tensor:
    """What `MaskedShortConv` computes, in plain products that autograd and the compiler know."""
    b, c, x = bcx.chunk(3, dim=-1)
    u = b * x
    y = u * taps[:, -1]
    for lag, kept in enumerate(same, start=1):
        y = y + torch.nn.functional.pad(u[:, :-lag] * kept * taps[:, -1 - lag], (0, 0, lag, 0))
    return c * y


def same_document(seq_idx: torch.Tensor, taps: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """For each lag 1..taps-1, 1.0 where position t and t - lag belong to one document: (batch, length - lag, 1)."""
    lags = range(1, min(taps, seq_idx.shape[1]))
    return [(seq_idx[:, lag:] == seq_idx[:, :-lag]).to(dtype).unsqueeze(-1) for lag in lags]


def masked_short_conv(module: Any, hidden: torch.Tensor, seq_idx: torch.Tensor) -> torch.Tensor:
    """The output of an LFM2 conv block for packed rows: (batch, length, hidden), `seq_idx` (batch, length)."""
    bcx = module.in_proj(hidden)
    taps = module.conv.weight.squeeze(1).to(bcx.dtype)  # (hidden, k)
    same = same_document(seq_idx, taps.shape[1], bcx.dtype)
    # The compiler fuses plain products, and follows no backward pass of one's own where gradients are off.
    plain = torch.compiler.is_compiling() or not torch.is_grad_enabled()
    mixed: torch.Tensor = _mixed(bcx, taps, same) if plain else MaskedShortConv.apply(bcx, taps, *same)  # type: ignore[no-untyped-call]
    if module.conv.bias is not None:  # it joins before the output gate, so the plain product rule is enough
        mixed = mixed + bcx.chunk(3, dim=-1)[1] * module.conv.bias.to(bcx.dtype)
    out: torch.Tensor = module.out_proj(mixed)
    return out


@contextmanager
def leak_free(model: nn.Module) -> Iterator[int]:
    """Patch the conv blocks of this model instance while the context lasts; yields their number (0 without such blocks).

    Only calls that pass `seq_idx` are rerouted, so generation with a cache works as before.
    """
    patched = [module for module in model.modules() if type(module).__name__ in ("Lfm2ShortConv", "Lfm2MoeShortConv")]
    before = [module.__dict__.get("forward") for module in patched]
    for module in patched:
        module.forward = _rerouted(module)
    try:
        yield len(patched)
    finally:
        for module, forward in zip(patched, before, strict=True):
            del module.forward  # the class's own method shows again
            if forward is not None:  # contexts may nest
                module.forward = forward


def _rerouted(module: nn.Module) -> Any:
    stock = module.forward

    def forward(hidden_states: torch.Tensor, *args: Any, seq_idx: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        if seq_idx is None:
            stock_out: torch.Tensor = stock(hidden_states, *args, **kwargs)
            return stock_out
        return masked_short_conv(module, hidden_states, seq_idx)

    return forward
