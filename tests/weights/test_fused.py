"""The kernel that rounds tokens on a GPU. Without a GPU it is compiled and read; without Triton there is nothing to test."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_kernel_gives_the_bits_of_code_tokens() -> None:
    """Codes and scales are the same to the last bit, for widths that are no power of two and for one token."""
    from hala.weights.fused import code_rows
    from hala.weights.linears import code_tokens, fused_kernel
    from hala.weights.schemes import SCHEMES

    assert fused_kernel(torch.device("cuda")) is code_rows
    for shape in [(1, 64), (7, 96), (300, 4608), (5, 70_000)]:
        for dtype in (torch.bfloat16, torch.float32):
            x = torch.randn(shape, device="cuda").to(dtype)
            pairs = zip(code_rows(x, SCHEMES["fp8-dynamic"]), code_tokens(x, SCHEMES["fp8-dynamic"]), strict=True)
            assert all(torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8)) for ours, theirs in pairs)


def test_the_kernel_divides_and_rounds_as_ieee_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled for Hopper: full division, and one rounding to nearest from float32 to FP8."""
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "0")
    from triton import compile as build
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from hala.weights.fused import kernel

    names = {"hidden": "*bf16", "codes": "*fp8e4nv", "scales": "*fp32", "columns": "i32", "limit": "fp32", "tiny": "fp32"}
    source = ASTSource(fn=kernel, signature=names | {"size": "constexpr"}, constexprs={"size": 4096})
    assembly = build(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
    assert "div.rn.f32" in assembly
    assert "div.full.f32" not in assembly
    assert "cvt.rn.satfinite.e4m3x2.f32" in assembly
