"""The shifted-product convolution is the library's convolution, document by document."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.training.short_conv import MaskedShortConv, leak_free, same_document


def by_definition(bcx, taps, seq_idx):
    """The formula, position by position."""
    b, c, x = bcx.chunk(3, dim=-1)
    u, k = b * x, taps.shape[1]
    rows = []
    for r in range(u.shape[0]):
        for t in range(u.shape[1]):
            lags = [j for j in range(min(k, t + 1)) if seq_idx[r, t - j] == seq_idx[r, t]]
            rows.append(sum(taps[:, k - 1 - j] * u[r, t - j] for j in lags))
    return c * torch.stack(rows).view_as(u)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.booleans(), min_size=1, max_size=7), kernel=st.integers(1, 4), seed=st.integers(0, 9))
def test_values_and_gradients_follow_the_formula(cuts, kernel, seed):
    """Protects training through the convolution: any document boundaries, any kernel length, both directions, in float64."""
    generator = torch.Generator().manual_seed(seed)
    length = len(cuts) + 1
    seq_idx = torch.tensor([[0, *torch.tensor(cuts).cumsum(0).tolist()]] * 2)
    bcx = torch.randn(2, length, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(3, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, length, 3, generator=generator, dtype=torch.float64)
    got = MaskedShortConv.apply(bcx, taps, *same_document(seq_idx, kernel, torch.float64))
    expected = by_definition(bcx, taps, seq_idx)
    assert torch.allclose(got, expected)
    ours = torch.autograd.grad((got * weight).sum(), (bcx, taps))
    theirs = torch.autograd.grad((expected * weight).sum(), (bcx, taps))
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


def test_one_document_is_the_stock_block(tiny):
    """Protects exactness: with a single document the patched block is the library's."""
    net = tiny.model("lfm2", spread=0.2)
    block, hidden = net.model.layers[0].conv, torch.randn(2, 9, 32)
    expected = block(hidden)
    with leak_free(net) as count:
        assert count == 2
        got = block(hidden, seq_idx=torch.zeros(2, 9, dtype=torch.int32))
        assert torch.equal(block(hidden), expected)  # without seq_idx nothing changes
    assert torch.allclose(got, expected, atol=1e-5)


def test_a_convolution_with_bias_is_exact_too(tiny):
    """Protects the conv_bias variant of the architecture."""
    net = tiny.model("lfm2", spread=0.2)
    block, hidden = net.model.layers[0].conv, torch.randn(1, 9, 32)
    block.conv.bias = torch.nn.Parameter(torch.randn(32))
    expected = block(hidden)
    with leak_free(net):
        assert torch.allclose(block(hidden, seq_idx=torch.zeros(1, 9, dtype=torch.int32)), expected, atol=1e-5)


def test_the_patch_is_undone_and_nests(tiny):
    """Protects everyone else who uses the model: contexts nest, and afterwards even an error leaves the class's forward."""
    net = tiny.model("lfm2")
    block = net.model.layers[0].conv
    with pytest.raises(ZeroDivisionError), leak_free(net):
        with leak_free(net):
            pass
        assert "forward" in block.__dict__
        raise ZeroDivisionError
    assert "forward" not in block.__dict__


def test_other_architectures_are_left_alone(tiny):
    """Protects models without such blocks: nothing is patched."""
    with leak_free(tiny.model("llama")) as count:
        assert count == 0
