"""8-bit linear layers: every way to run one computes the same function, whatever the batch and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hala.errors import InputError
from hala.hardware import native_int8
from hala.weights import linears
from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.linears import Fp8Linear, Int8Linear, code_tokens, install, native_layer, round_tokens
from hala.weights.loading import load_model
from hala.weights.quantised import stored_scheme
from hala.weights.schemes import SCHEMES, quantise
from hala.weights.unpacking import dequantise, to_torch

INT8, FP8, BLOCK = (SCHEMES[name] for name in ("int8-dynamic", "fp8-dynamic", "fp8-block"))
needs_int8 = pytest.mark.skipif(not native_int8("cpu"), reason="this processor does not multiply bytes")
LAYERS = [pytest.param(Int8Linear, INT8, marks=needs_int8, id="int8"), pytest.param(Fp8Linear, FP8, id="fp8")]


def values(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Normal numbers with a few outliers, as the inputs of linear layers have."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    return (x * (1 + 20 * (torch.rand(shape, generator=generator) > 0.98))).to(dtype)


def make(layer: Any, scheme: Any, rows: int, columns: int, bias: bool = False) -> tuple[Any, torch.Tensor, torch.Tensor | None]:
    """A layer, the weight in float32 that it stands for, and its bias."""
    part = quantise(values(rows, columns, seed=1).numpy() * np.float32(0.05), scheme, "float32-scale")
    codes, scales = to_torch(part.codes.copy()), to_torch(part.scales)
    added = values(rows, seed=2) if bias else None
    return layer(codes, scales, added, scheme), dequantise(codes, scales, scheme, torch.float32), added


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(
    rows=st.integers(0, 4), columns=st.integers(1, 300), size=st.sampled_from([1e-30, 1e-3, 1.0, 3e4]), seed=st.integers(0, 99)
)
def test_rounded_values_are_the_nearest_that_eight_bits_hold(
    scheme: Any, rows: int, columns: int, size: float, seed: int
) -> None:
    """Each value moves to the nearest code of its group, computed here value by value in another way."""
    x = values(rows, columns, seed=seed) * size
    rounded = round_tokens(x, scheme)
    for row, out in zip(x.numpy(), rounded.numpy(), strict=True):
        for first in range(0, columns, scheme.side or columns):
            group, found = (part[first : first + (scheme.side or columns)] for part in (row, out))
            scale = np.abs(group).max() / np.float32(127 if scheme is INT8 else 448)
            quotients = group / scale
            codes = np.rint(quotients) if scheme is INT8 else quotients.astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
            assert np.array_equal(found, codes * scale)


def test_zeros_stay_and_a_bad_value_spoils_its_token_alone() -> None:
    """A token of zeros is no division by zero; NaN or Inf never becomes a number, and no other token sees it."""
    x = torch.zeros(4, 256)
    x[1], x[2, 3], x[3, 200] = 1.0, torch.nan, torch.inf
    for scheme in SCHEMES.values():
        out = round_tokens(x, scheme)
        assert torch.equal(out[:2], x[:2])
        assert not out[2, :128].isfinite().any()
        assert not out[3, 128:].isfinite().any()


def test_gradients_pass_the_rounding() -> None:
    """A model that is trained on rounded inputs gets the gradient of the product itself, not zeros."""
    for scheme in SCHEMES.values():
        x = values(3, 256).requires_grad_()
        rounded = round_tokens(x, scheme)
        torch.testing.assert_close(rounded, round_tokens(x.detach(), scheme))
        (rounded * torch.arange(256)).sum().backward()
        assert x.grad is not None and torch.equal(x.grad, torch.arange(256.0).expand(3, 256))


@pytest.mark.parametrize(("layer", "scheme"), LAYERS)
@pytest.mark.parametrize("shape", [(48, 64), (16, 336), (144, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_native_layers_equal_the_reference(layer: Any, scheme: Any, shape: tuple[int, int], dtype: Any, bias: bool) -> None:
    """The native product is the multiplied-out weight times the rounded input, with one token, many, or none."""
    linear, weight, added = make(layer, scheme, *shape, bias)
    for lead in [(1,), (2, 3), (0,), (2, 0), (40,), (2, 300)]:
        x = values(*lead, shape[1], dtype=dtype)
        out = linear(x)
        expected = functional.linear(round_tokens(x.float(), scheme), weight, added)
        assert out.shape == expected.shape and out.dtype == dtype
        product = expected if added is None else expected - added
        # BF16 results are rounded before and after the bias; float32 sums differ by the order of their terms.
        narrow = dtype == torch.bfloat16 or layer is Fp8Linear
        allowed = 2**-7 * (product.abs() + expected.abs()) if narrow else 1e-6 * functional.linear(x.float().abs(), weight.abs())
        assert ((out.float() - expected).abs() <= allowed + 1e-5).all()


@pytest.mark.parametrize("shape", [(30, 20), (7, 5), (1, 1)])
@needs_int8
def test_int8_takes_any_shape(shape: tuple[int, int]) -> None:
    """Bytes need no multiple of 16."""
    linear, weight, _ = make(Int8Linear, INT8, *shape)
    x = values(9, shape[1])
    torch.testing.assert_close(linear(x), functional.linear(round_tokens(x, INT8), weight), rtol=1e-5, atol=1e-5)


@needs_int8
def test_extreme_codes_never_overflow() -> None:
    """Sums of the largest products are exact: processors that add pairs of them in 16 bits would be off by half."""
    codes = torch.full((16, 8192), -128, dtype=torch.int8)
    linear = Int8Linear(codes, torch.ones(16, 1), None, INT8)
    for sign in (1, -1):
        assert torch.equal(linear(torch.full((2, 8192), 127.0 * sign)), torch.full((2, 16), -128.0 * 127 * 8192 * sign))


@pytest.mark.parametrize(("layer", "scheme"), LAYERS)
def test_a_token_has_one_result_in_every_batch(layer: Any, scheme: Any) -> None:
    """Alone or among others, to the last bit: a dynamic scale for a whole batch would change answers with their neighbours."""
    linear, _, _ = make(layer, scheme, 64, 96)
    x = values(33, 96)
    together = linear(x)
    assert torch.equal(together, torch.cat([linear(row[None]) for row in x]))
    assert torch.equal(together[5:12], linear(x[5:12]))


@pytest.mark.parametrize(
    ("name", "device", "dtype", "can", "layer"),
    [
        ("int8-dynamic", "cpu", torch.float32, True, Int8Linear),
        ("int8-dynamic", "cpu", torch.bfloat16, True, Int8Linear),
        ("int8-dynamic", "cpu", torch.float32, False, None),
        ("fp8-dynamic", "cpu", torch.bfloat16, True, None),
        ("fp8-dynamic", "cuda:0", torch.bfloat16, True, Fp8Linear),
        ("fp8-dynamic", "cuda", torch.float32, True, None),
        ("fp8-dynamic", "cuda", torch.bfloat16, False, None),
        ("fp8-block", "cuda", torch.bfloat16, True, None),
        ("int8-dynamic", "cuda", torch.bfloat16, True, None),
    ],
)
def test_the_machine_decides(
    name: str, device: str, dtype: torch.dtype, can: bool, layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A native layer is chosen where the hardware has the product and the dtype loses nothing, and nowhere else."""
    monkeypatch.setattr(linears, "native_int8", lambda where: can and where == "cpu")
    monkeypatch.setattr(linears, "native_fp8", lambda where: can and where.startswith("cuda"))
    monkeypatch.setattr(linears, "fp8_works", lambda where: True)
    assert native_layer(SCHEMES[name], dtype, device) is layer


def test_a_kernel_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The FP8 product is tried once: where it raises or is wrong, weights are multiplied out instead."""
    linears.fp8_works.cache_clear()
    assert linears.fp8_works("cpu")
    genuine = torch._scaled_mm

    def broken(*_: Any, **__: Any) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    for wrong in (broken, lambda *args, **options: 2 * genuine(*args, **options)):
        linears.fp8_works.cache_clear()
        monkeypatch.setattr(torch, "_scaled_mm", wrong)
        assert not linears.fp8_works("cpu")
    linears.fp8_works.cache_clear()


def test_a_fused_kernel_must_give_the_same_bits() -> None:
    """A kernel that differs in one code, or hides a NaN, is not trusted."""
    x = linears.sample("cpu")
    assert linears.same_codes(code_tokens, x)

    def off(rows: torch.Tensor, scheme: Any) -> Any:
        codes, scale = code_tokens(rows, scheme)
        codes.view(torch.uint8)[0, 7] ^= 1
        return codes, scale

    assert not linears.same_codes(off, x)
    assert not linears.same_codes(lambda rows, scheme: code_tokens(rows.nan_to_num(), scheme), x)
    assert linears.fused_kernel(torch.device("cpu")) is None


@pytest.mark.parametrize("kind", ["lfm2", "llama"])
@needs_int8
def test_a_model_runs_on_bytes(kind: str, folders: dict[str, Path], tmp_path: Path, ids: torch.Tensor) -> None:
    """A loaded int8 model gives the logits of the multiplied-out one, with no float copy of its matrices."""
    compress(folders[kind], tmp_path / "int8", "int8-dynamic")
    native, _ = load_model(tmp_path / "int8", "float32", "cpu", native=True)
    plain, _ = load_model(tmp_path / "int8", "float32", "cpu")
    with torch.no_grad():
        torch.testing.assert_close(native(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-4)
    assert sum(p.numel() for p in native.parameters()) == sum(p.numel() for p in plain.parameters())
    bytewise = [module for module in native.modules() if isinstance(module, Int8Linear)]
    assert len(bytewise) == sum(info.dtype == "I8" for info in open_checkpoint(tmp_path / "int8").tensors.values())
    assert {module.weight.dim() for module in native.modules() if isinstance(module, torch.nn.Linear)} == {2}


def test_shapes_that_the_kernel_cannot_run_are_multiplied_out(folders: dict[str, Path], tmp_path: Path) -> None:
    """With `Fp8Linear` in some places and hooks in others, every layer gives what the multiplied-out one gives."""
    compress(folders["llama"], tmp_path / "fp8")
    plain, _ = load_model(tmp_path / "fp8", "float32", "cpu")
    mixed, _ = load_model(tmp_path / "fp8", "float32", "cpu", round_activations=False)
    checkpoint = open_checkpoint(tmp_path / "fp8")
    genuine = linears.fits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linears, "fits", lambda layer, shape: genuine(layer, shape) and shape[0] != 96)
        install(mixed, checkpoint, stored_scheme(checkpoint), Fp8Linear)
    assert isinstance(mixed.model.layers[1].mlp.down_proj, Fp8Linear)
    assert isinstance(mixed.model.layers[1].mlp.up_proj, torch.nn.Linear)
    for name, linear in plain.named_modules():
        if isinstance(linear, torch.nn.Linear):
            x = values(5, linear.in_features)
            torch.testing.assert_close(mixed.get_submodule(name)(x), linear(x), rtol=2**-7, atol=0.02)
    assert not linears.fits(Fp8Linear, (64, 40))
    assert linears.fits(Int8Linear, (7, 40))


def test_codes_for_a_layer_that_is_not_there_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """Codes that belong to no module of the architecture are an error that names them."""
    compress(folders["llama"], tmp_path / "fp8")
    model, _ = load_model(tmp_path / "fp8", "float32", "cpu", round_activations=False)
    del model.model.layers[1].self_attn.q_proj
    checkpoint = open_checkpoint(tmp_path / "fp8")
    with pytest.raises(InputError, match=r"no layer model\.layers\.1\.self_attn\.q_proj"):
        install(model, checkpoint, stored_scheme(checkpoint), None)


def test_codes_are_the_same_in_bfloat16_and_float32() -> None:
    """A BF16 input is widened before it is divided, so nothing is rounded twice."""
    x = values(5, 256, dtype=torch.bfloat16)
    for scheme in (INT8, FP8, BLOCK):
        for narrow, wide in zip(code_tokens(x, scheme), code_tokens(x.float(), scheme), strict=True):
            assert torch.equal(narrow.view(torch.uint8), wide.view(torch.uint8))
