"""The training loss of packed rows, with the head applied only where something is learned.

The one idea: half of all positions have no label, and a row of logits is fifty times as wide as a hidden state. So hidden
states are gathered first, and cross-entropy walks over them in chunks, making the gradient of a chunk's logits right away:
no more than one chunk of logits ever exists.

>>> from hala.training.loss import packed_loss
>>> total, count = packed_loss(model, batch)  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from hala.errors import InputError
from hala.training.examples import IGNORED, Example
from hala.training.packing import attention_masks, collate
from hala.training.settings import autocast
from hala.training.short_conv import leak_free

LOGITS = (1 << 22, 1 << 26)
"""How many logits exist at once, without and with CUDA: 16 MB stay in a CPU's cache, 268 MB keep a GPU busy."""


class ChunkedCrossEntropy(torch.autograd.Function):
    """The summed cross-entropy of `hidden` (n, d) against `targets` (n,) under a head `weight` (vocabulary, d), in float32.

    `cap` squashes logits as `cap * tanh(logits / cap)` (Gemma 2) and `scale` multiplies them (Cohere); 0 and 1 do nothing.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, cap: float, scale: float, learn: bool
    ) -> torch.Tensor:
        w = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden) if learn else None
        grad_weight = torch.zeros_like(weight) if learn and ctx.needs_input_grad[1] else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        step = max(32, LOGITS[hidden.is_cuda] // len(weight))
        for start in range(0, len(targets), step):
            part = slice(start, start + step)
            h, goal = hidden[part], targets[part, None]
            logits = (h @ w.T).float()
            if scale != 1.0:
                logits *= scale
            if cap:
                logits = torch.tanh(logits / cap) * cap
            top, wanted = logits.amax(dim=-1, keepdim=True), logits.gather(1, goal)
            slope = (1 - (logits / cap) ** 2) * scale if cap and learn else scale
            grad = logits.sub_(top).exp_()  # becomes the softmax, in place of the logits: one pass of exp is enough
            norm = grad.sum(dim=-1, keepdim=True)
            total += (norm.log() + top - wanted).sum()
            if grad_hidden is None:
                continue
            grad /= norm
            grad.scatter_add_(1, goal, torch.full_like(norm, -1.0))
            if cap or scale != 1.0:
                grad *= slope
            grad = grad.to(h.dtype)
            grad_hidden[part] = grad @ w
            if grad_weight is None:  # a frozen head
                continue
            if weight.dtype == grad.dtype:
                grad_weight.addmm_(grad.T, h)
            else:
                grad_weight += grad.T @ h
        if grad_hidden is not None:
            ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        (factor,) = gradients
        to_weight = None if grad_weight is None else grad_weight.mul_(factor)
        return grad_hidden.mul_(factor.to(grad_hidden.dtype)), to_weight, None, None, None, None


def packed_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(summed float32 loss, number of learned tokens) of a collated batch; run it inside `short_conv.leak_free(model)`."""
    hidden = hidden_states(model, batch)
    goals = batch["labels"][:, 1:]
    learned = goals != IGNORED
    return head_loss(model, hidden[:, :-1][learned], goals[learned]), learned.sum()


def check_known(model: Any) -> None:
    """Nothing, or InputError for a base whose packed loss is not the loss of its own forward pass, on two short documents.

    Heads with a bias, scaled logits and masks of their own are found here, before they cost a training.
    """
    vocabulary, was_training = model.get_input_embeddings().num_embeddings, model.training
    ids = [np.arange(3 + length, 3 + 2 * length, dtype=np.int32) % vocabulary for length in (7, 5)]
    documents = [Example("", each, np.where(np.arange(len(each)) < 2, IGNORED, each)) for each in ids]
    device = model.get_input_embeddings().weight.device
    model.eval()
    try:
        with torch.no_grad(), leak_free(model):
            batch = {name: tensor.to(device) for name, tensor in collate([documents], 16, 0).items()}
            packed = float(packed_loss(model, batch)[0])
            own = 0.0
            for each in documents:
                logits = model(input_ids=torch.from_numpy(each.input_ids).long()[None].to(device), use_cache=False).logits[0]
                labels = torch.from_numpy(each.labels).long().to(device)
                own += float(nn.functional.cross_entropy(logits[:-1].float(), labels[1:], ignore_index=IGNORED, reduction="sum"))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{type(model).__name__} cannot be trained here: {error}", "Use another base.") from error
    finally:
        model.train(was_training)
    exact = next(model.parameters()).dtype == torch.float32
    if not math.isclose(packed, own, rel_tol=1e-3 if exact else 3e-2):
        raise InputError(
            f"{type(model).__name__} makes its loss in a way that is not known here: {packed:.3f} packed, {own:.3f} alone.",
            "Use another base.",
        )


@contextmanager
def loss_as_forward(model: Any, precision: str) -> Iterator[None]:
    """While it lasts, calling the model returns the summed loss: so wrappers (DDP, FSDP) see one ordinary forward."""

    def forward(**batch: torch.Tensor) -> torch.Tensor:
        with autocast(precision, batch["input_ids"].device.type):
            return packed_loss(model, batch)[0]

    before = model.__dict__.get("forward")
    model.forward = forward
    try:
        yield
    finally:
        del model.forward
        if before is not None:  # contexts may nest
            model.forward = before


def hidden_states(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The decoder's last hidden states of a collated batch: (batch, length, hidden)."""
    extra = {"seq_idx": batch["seq_idx"]} if "conv" in (getattr(model.config, "layer_types", None) or ()) else {}
    output = model.get_decoder()(
        input_ids=batch["input_ids"],
        attention_mask=attention_masks(model, batch["position_ids"], batch["seq_idx"]),
        position_ids=batch["position_ids"],
        use_cache=False,
        **extra,
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden


def head_loss(model: Any, hidden: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """The summed loss of gathered hidden states (n, d); autocast decides the dtype of the products, the sums are float32."""
    head = model.get_output_embeddings()
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    cap = float(getattr(model.config, "final_logit_softcapping", None) or 0.0)
    scale = float(getattr(model.config, "logit_scale", None) or 1.0)
    with torch.autocast(device, enabled=False):
        learn = torch.is_grad_enabled()
        total: torch.Tensor = ChunkedCrossEntropy.apply(hidden, head.weight, goals, cap, scale, learn)  # type: ignore[no-untyped-call]
    return total
