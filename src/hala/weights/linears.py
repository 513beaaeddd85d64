"""Linear layers in 8 bits: inputs rounded as 8-bit kernels round them, and layers on the machine's own 8-bit products.

| scheme | where | layer |
|---|---|---|
| int8-dynamic | a CPU with VNNI or AMX | `Int8Linear`, on oneDNN's product of bytes |
| fp8-dynamic | a GPU of compute capability 8.9 or more, model in BF16 | `Fp8Linear`, on `torch._scaled_mm` |
| any | anywhere else | weights multiplied out on load, inputs rounded by a hook |

All three compute the same function; they differ in the order in which floats are added.

    install(model, checkpoint, scheme, native_layer(scheme, torch.float32, "cpu"))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hala.errors import InputError
from hala.hardware import native_fp8, native_int8
from hala.weights.checkpoint import Checkpoint
from hala.weights.quantised import quantised_names
from hala.weights.schemes import FP8_MAX, SCHEMES, Scheme
from hala.weights.unpacking import dequantise, read_coded

Encode = Callable[[Tensor, Scheme], tuple[Tensor, Tensor]]
FP8 = SCHEMES["fp8-dynamic"]
INT8_MAX = 127.0  # kernels leave -128 out for activations
ROWS = 512  # tokens multiplied at once on a CPU: with more, float32 results leave the cache before they are scaled
TO_INTEGER = 1.5 * 2**23  # added to a small float32, it leaves the nearest integer, halves to even, in the lowest bits


@torch.no_grad()
def code_tokens(hidden: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """`hidden` `(..., features)` as 8-bit codes of the same shape, and their float32 scales `(..., 1)` or `(..., groups)`.

    One scale a token, or for each `side` features of a token (the last group may be smaller): max(|x|) / 448 or / 127. The
    same values give the same codes on every device and in every batch; a token with NaN or Inf gets a scale of NaN or Inf.
    """
    parts = grouped(hidden, scheme.side)
    largest = magnitudes(parts)
    # A tensor and no number as divisor: CUDA multiplies by the reciprocal of a number, which is off by a bit.
    limit = largest.new_full((), INT8_MAX if scheme.dtype == "I8" else FP8_MAX)
    scale = (largest / limit).clamp(min=torch.finfo(torch.float32).tiny)
    if scheme.dtype == "I8":
        codes = (parts / scale).add_(TO_INTEGER).view(torch.int32).to(torch.int8)
    else:  # divided in float32 and rounded once, in one pass on a GPU
        codes = torch.div(parts, scale, out=torch.empty_like(parts, dtype=torch.float8_e4m3fn))
    return (codes.flatten(-2)[..., : hidden.shape[-1]], scale.squeeze(-1)) if scheme.side else (codes, scale)


def magnitudes(parts: Tensor) -> Tensor:
    """The largest |x| along the last axis, kept as 1, in float32."""
    if not parts.is_cuda:
        return parts.abs().amax(-1, keepdim=True).float()
    # One pass; on a CPU it would take ten times as long.
    largest: Tensor = torch.linalg.vector_norm(parts, torch.inf, -1, keepdim=True, dtype=torch.float32)
    return largest


def grouped(hidden: Tensor, side: int) -> Tensor:
    """`(..., features)` as it is, or as `(..., groups, side)` with zeros at the end when `side` is not 0."""
    if not side:
        return hidden
    return functional.pad(hidden, (0, -hidden.shape[-1] % side)).reshape(*hidden.shape[:-1], -(-hidden.shape[-1] // side), side)


def round_tokens(hidden: Tensor, scheme: Scheme) -> Tensor:
    """`hidden` `(..., features)` after a round trip through 8 bits, in its own dtype; gradients pass as if nothing were rounded.

    This is what a W8A8 kernel does to the input of a linear layer, so that numbers measured on a CPU are the 8-bit model's.
    """
    codes, scale = code_tokens(hidden, scheme)
    values = grouped(codes.float(), scheme.side) * (scale[..., None] if scheme.side else scale)
    rounded = (values.flatten(-2)[..., : hidden.shape[-1]] if scheme.side else values).to(hidden.dtype)
    return hidden + (rounded - hidden).detach() if hidden.requires_grad and torch.is_grad_enabled() else rounded


def rounding(scheme: Scheme) -> Callable[[Any, Any], Any]:
    """A forward pre-hook that rounds the input of a linear layer as the scheme's kernels do."""

    def round_input(_: Any, inputs: Any) -> Any:
        return (round_tokens(inputs[0], scheme), *inputs[1:])

    return round_input


class Int8Linear(nn.Module):
    """A linear layer of int8 codes `[out, in]` and scales `[out, 1]` that rounds its input to int8, one scale a token.

    Bytes are multiplied and added up as integers, so a token's result is the same in every batch; only then come the scales.
    """

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None, scheme: Scheme) -> None:
        super().__init__()
        self.scheme, self.bias = scheme, frozen(bias)
        self.out_features, self.in_features = codes.shape
        self.scales = scales.reshape(-1).float().contiguous()
        self.zeros = torch.zeros(self.out_features, dtype=torch.int32)
        self.packed = frozen(torch.ops.onednn.qlinear_prepack(codes.contiguous(), None))

    def forward(self, hidden: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)` in the dtype of `hidden`."""
        rows = hidden.reshape(-1, self.in_features)
        out = hidden.new_empty(len(rows), self.out_features)
        for first in range(0, len(rows), ROWS):
            out[first : first + ROWS] = self.product(rows[first : first + ROWS])
        return out.reshape(*hidden.shape[:-1], self.out_features)

    def product(self, rows: Tensor) -> Tensor:
        """`(tokens, in)` to `(tokens, out)` in float32."""
        codes, scale = code_tokens(rows, self.scheme)
        # Unsigned with a zero point of 128, which is what these processors multiply: signed bytes run 600 times slower.
        unsigned = codes.view(torch.uint8).bitwise_xor_(128)
        # After the inputs: bias, scale and zero point of the output, its dtype, and nothing to follow.
        last: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
        out: Tensor = torch.ops.onednn.qlinear_pointwise(unsigned, 1.0, 128, self.packed, self.scales, self.zeros, *last)
        return out.mul_(scale) if self.bias is None else torch.addcmul(self.bias, out, scale)


class Fp8Linear(nn.Module):
    """A linear layer of FP8 codes `[out, in]` and scales `[out, 1]` that rounds its input to FP8, one scale a token.

    Both sizes must be multiples of 16, and results are BF16: so wants it the kernel.
    """

    scales: Tensor

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None, scheme: Scheme) -> None:
        super().__init__()
        self.scheme, self.bias = scheme, frozen(bias)
        self.out_features, self.in_features = codes.shape
        self.codes = nn.Parameter(codes.contiguous(), requires_grad=False)
        self.register_buffer("scales", scales.reshape(1, -1).float().contiguous())

    def forward(self, hidden: Tensor) -> Tensor:
        """`(..., in)` to `(..., out)` in the dtype of `hidden`."""
        rows = hidden.reshape(-1, self.in_features)
        if not len(rows):
            return hidden.new_empty(*hidden.shape[:-1], self.out_features)
        codes, scale = (fused_kernel(rows.device) or code_tokens)(rows, self.scheme)
        fast = rows.is_cuda
        out = torch._scaled_mm(codes, self.codes.t(), scale, self.scales, out_dtype=torch.bfloat16, use_fast_accum=fast)
        out = out if self.bias is None else out + self.bias
        return out.to(hidden.dtype).reshape(*hidden.shape[:-1], self.out_features)


def frozen(tensor: Tensor | None) -> nn.Parameter | None:
    """A tensor that counts as a parameter of its layer, and is not trained."""
    return None if tensor is None else nn.Parameter(tensor, requires_grad=False)


Layer = type[Int8Linear] | type[Fp8Linear]


def native_layer(scheme: Scheme, dtype: torch.dtype, device: str) -> Layer | None:
    """The layer that runs a scheme on the device's own 8-bit products, None where there is none or floats are as fast."""
    if scheme.name == "int8-dynamic" and native_int8(device) and dtype in (torch.float32, torch.bfloat16):
        return Int8Linear
    if scheme.name == "fp8-dynamic" and native_fp8(device) and dtype == torch.bfloat16 and fp8_works(device):
        return Fp8Linear
    return None


@cache
def fp8_works(device: str) -> bool:
    """Whether this build of torch multiplies FP8 with a scale a row on `device`: small products are tried and compared."""
    values = sample(device)[:32]
    codes, scales = code_tokens(values, FP8)
    weight = codes.float() * scales
    try:
        layer = Fp8Linear(codes, scales, None, FP8)
        found = [layer(values[:tokens]).float() for tokens in (1, 17, 32)]
    except RuntimeError:
        return False
    return all(torch.allclose(out, weight[: len(out)] @ weight.t(), rtol=0.01, atol=0.01) for out in found)


@cache
def fused_kernel(device: torch.device) -> Encode | None:
    """`code_tokens` for FP8 in one pass, None where there is no such kernel or it gives other bits."""
    if device.type != "cuda":
        return None
    try:
        from hala.weights.fused import code_rows

        return code_rows if same_codes(code_rows, sample(device)) else None
    except Exception:  # no Triton, an old one, no compiler: the slower way is always there
        return None


def same_codes(encode: Encode, values: Tensor) -> bool:
    """Whether `encode` gives the bits of `code_tokens`, and shows a NaN when it is given one."""
    pairs = zip(encode(values, FP8), code_tokens(values, FP8), strict=True)
    same = all(torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8)) for ours, theirs in pairs)
    spoiled = values[:1].clone()
    spoiled[0, 3] = torch.nan
    codes, scale = encode(spoiled, FP8)
    return same and bool((codes.float() * scale).isnan().any())


def sample(device: str | torch.device) -> Tensor:
    """BF16 values `(256, 64)` of all sizes on a device, the last token all zeros, to try kernels on."""
    places = torch.arange(256 * 64, device=device)
    values = (places * 0.618034).frac().sub(0.5) * torch.exp2(-(places // 64 % 24).float())
    return (values.reshape(256, 64) * (places < 255 * 64).reshape(256, 64)).bfloat16()


def fits(layer: Layer, shape: tuple[int, ...]) -> bool:
    """Whether a matrix `[out, in]` is one that the layer can run."""
    return layer is Int8Linear or all(size % 16 == 0 for size in shape)


def install(model: Any, checkpoint: Checkpoint, scheme: Scheme, layer: Layer | None) -> None:
    """Makes the 8-bit linear layers of `model` round their inputs, and run on `layer` where their shapes fit it.

    With a `layer`, the weights in `model` may be stand-ins: they are read here again, as codes. `model` is changed in place.
    """
    for name in quantised_names(checkpoint):
        module = name.removesuffix(".weight")
        try:
            linear = model.get_submodule(module)
        except AttributeError as error:
            raise InputError(f"{checkpoint.path} has no layer {module} to run in 8 bits.", "Check the folder.") from error
        if layer and fits(layer, checkpoint.tensors[name].shape):
            model.set_submodule(module, layer(*read_coded(checkpoint, name, scheme), linear.bias, scheme))
            continue
        if layer:
            linear.weight.data = dequantise(*read_coded(checkpoint, name, scheme), scheme, linear.weight.dtype)
        linear.register_forward_pre_hook(rounding(scheme))
