"""The two optimizers, with every group of parameters stated once.

AdamW for continued training. Muon for tiny models from scratch: hidden matrices take orthogonalised momentum, everything
else (embedding, norms, convolution taps) AdamW. Newton-Schulz runs in float32 on the CPU, where bfloat16 is emulated, and
treats equal shapes as one batch.

>>> from hala.training.optimizers import MuonAdamW
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic Newton-Schulz; source: K. Jordan et al., Muon (2024)."""


def parameter_groups(model: Any, settings: Any) -> list[dict[str, Any]]:
    """Groups with `lr weight_decay muon maps`: matrices decay, vectors and convolution taps do not.

    `settings` has `optimizer learning_rate muon_learning_rate weight_decay`; `maps` is how many maps a matrix stacks.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = model.get_output_embeddings()
    if head is not None:
        embeddings.add(id(head.weight))
    muon = settings.optimizer == "muon"
    groups: dict[str, list[nn.Parameter]] = {"hidden": [], "stacked": [], "embedding": [], "rest": []}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if id(p) in embeddings:
            groups["embedding"].append(p)
        elif p.ndim != 2:
            groups["rest"].append(p)
        else:
            groups["stacked" if name.endswith("conv.in_proj.weight") else "hidden"].append(p)
    return [
        {
            "params": params,
            "muon": muon and kind in ("hidden", "stacked"),
            "maps": 3 if kind == "stacked" else 1,
            "lr": settings.muon_learning_rate if muon and kind in ("hidden", "stacked") else settings.learning_rate,
            "weight_decay": 0.0 if kind == "rest" else settings.weight_decay,
        }
        for kind, params in groups.items()
        if params
    ]


class MuonAdamW(torch.optim.AdamW):
    """AdamW in which the groups marked `muon` take Muon's update; a group's `lr` is that of its own kind.

    The update of an (out, in) matrix has spectral norm near 1 and is scaled by `sqrt(max(1, out / in))`.
    Source: Jordan et al. 2024; Bernstein and Newhouse, arXiv 2409.20325.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all groups."""
        for group in self.param_groups:
            if group.get("muon"):
                self._orthogonal(group)
        result: float | None = super().step(closure)  # parameters without a gradient, as Muon leaves them, are passed over
        return result

    def _orthogonal(self, group: dict[str, Any]) -> None:
        shapes: dict[tuple[int, ...], list[torch.Tensor]] = {}
        for p in group["params"]:
            if p.grad is not None:
                shapes.setdefault(tuple(p.shape), []).append(p)
        for (rows, columns), params in sorted(shapes.items()):
            directions = torch.stack([self._momentum(p) for p in params])
            maps = group["maps"]  # the three maps of a convolution's input are orthogonalised one by one
            blocks = directions.view(len(params) * maps, rows // maps, columns)
            updates = orthogonalise(blocks).view(len(params), rows, columns)
            scale = max(1.0, rows / maps / columns) ** 0.5
            for p, update in zip(params, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.to(p.dtype), alpha=-group["lr"] * scale)
                p.grad = None

    def _momentum(self, p: torch.Tensor, beta: float = 0.95) -> torch.Tensor:
        """Nesterov momentum of the gradient."""
        assert p.grad is not None
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        momentum: torch.Tensor = state["momentum"].lerp_(p.grad, 1 - beta)
        return p.grad.lerp(momentum, beta)


def orthogonalise(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearly orthogonal matrices with the row and column spaces of `matrices` (n, rows, columns); singular values in 0.7-1.2."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT.contiguous()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: torch.Tensor = x.mT if tall else x
    return result
