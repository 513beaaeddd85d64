"""The chunked loss is cross-entropy, in value and gradient, for every kind of head."""

import pytest
import torch

from hala.training import loss as module
from hala.training.loss import ChunkedCrossEntropy


@pytest.mark.parametrize(("cap", "scale"), [(0.0, 1.0), (2.0, 1.0), (0.0, 0.25), (3.0, 0.5)])
def test_values_and_gradients_are_those_of_cross_entropy(monkeypatch, cap, scale):
    """Protects the loss: over several chunks, with squashed and scaled logits, it equals the plain formula."""
    monkeypatch.setattr(module, "LOGITS", (40, 40))
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(75, 8, generator=generator, requires_grad=True)
    weight = torch.randn(20, 8, generator=generator, requires_grad=True)
    goals = torch.randint(0, 20, (75,), generator=generator)
    got = ChunkedCrossEntropy.apply(hidden, weight, goals, cap, scale, True)
    logits = hidden @ weight.T * scale
    if cap:
        logits = cap * torch.tanh(logits / cap)
    expected = torch.nn.functional.cross_entropy(logits, goals, reduction="sum")
    assert torch.allclose(got, expected, rtol=1e-5)
    ours = torch.autograd.grad(got * 3, (hidden, weight))
    theirs = torch.autograd.grad(expected * 3, (hidden, weight))
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(ours, theirs, strict=True))


def test_nothing_learned_is_zero():
    """Protects batches without a label: the loss is zero and so is its gradient."""
    hidden = torch.zeros(0, 8, requires_grad=True)
    weight = torch.ones(20, 8, requires_grad=True)
    loss = ChunkedCrossEntropy.apply(hidden, weight, torch.zeros(0, dtype=torch.long), 0.0, 1.0, True)
    loss.backward()
    assert loss == 0 and weight.grad is not None and weight.grad.abs().sum() == 0
