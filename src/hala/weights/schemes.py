"""Weights in 8 bits: what each scheme stores for a matrix, in numpy, row block by row block.

| scheme | codes | one scale for each | activations when it runs |
|---|---|---|---|
| `fp8-dynamic` | FP8 E4M3 | output channel | FP8, one scale a token |
| `fp8-block` | FP8 E4M3 | block of 128 x 128 | FP8, one scale for 128 values of a token |
| `int8-dynamic` | int8 | output channel | int8, one scale a token |

Mode `exact` repeats llm-compressor bit by bit, which rounds the scale and the quotient to the weight's own dtype before it rounds
to 8 bits; `float32-scale` divides once in float32. weight ~ codes * scale in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np

from hala.weights.checkpoint import Array
from hala.weights.numerics import BF16, BLOCK, Scratch, bf16_bits, upper_half, widen

Mode = Literal["float32-scale", "exact"]
MODES = ("float32-scale", "exact")
FP8_MAX = 448.0  # largest finite float8_e4m3fn
# The BF16 bits of 2**-6, under which FP8 E4M3 is subnormal, and the difference of the two formats' exponents.
SMALLEST_NORMAL, REBIAS = 0x3C80, 120 << 3


@dataclass(frozen=True, slots=True)
class Scheme:
    """How matrices are stored: `dtype` of the codes, the value that the largest weight becomes, and rows and columns of a block.

    `side` 0 means one scale a row (`[out, 1]`); else `[ceil(out / side), ceil(in / side)]`.
    """

    name: str
    dtype: str
    limit: float
    side: int = 0

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """The shape of the scales of a matrix."""
        return (math.ceil(shape[0] / self.side), math.ceil(shape[1] / self.side)) if self.side else (shape[0], 1)


SCHEMES = {
    "fp8-dynamic": Scheme("fp8-dynamic", "F8_E4M3", FP8_MAX),
    "fp8-block": Scheme("fp8-block", "F8_E4M3", FP8_MAX, side=128),
    "int8-dynamic": Scheme("int8-dynamic", "I8", 127.5),  # half of 127 - (-128), as compressed-tensors counts
}


@dataclass(frozen=True, slots=True)
class Quantised:
    """Codes `[rows, in]` and scales of some rows of a matrix; sums of squares of their error and of the weights themselves."""

    codes: Array
    scales: Array
    error: float
    norm: float
    zero_rows: int
    finite: bool


def scale_dtype(source: np.dtype[Any], mode: Mode) -> np.dtype[Any]:
    """The dtype of the scales: the weight's own in mode `exact`."""
    return np.dtype(np.float32) if mode == "float32-scale" else source


def working_dtype(source: np.dtype[Any], mode: Mode) -> np.dtype[Any]:
    """The dtype in which weights are divided by their scales."""
    return np.dtype(np.float64 if scale_dtype(source, mode) == np.float64 else np.float32)


def find_scales(largest: Array, scheme: Scheme, source: np.dtype[Any], mode: Mode) -> Array:
    """The scales of rows or blocks with these largest magnitudes, in the dtype that is stored."""
    work = scale_dtype(source, mode)
    scales = (largest / largest.dtype.type(scheme.limit)).astype(work)
    if not scales.all():
        scales[scales == 0] = float(ml_dtypes.finfo(work).eps)  # type: ignore[no-untyped-call]
    return np.asarray(scales)


def scales_of(weight: Array, scheme: Scheme, mode: Mode, scratch: Scratch) -> Array | None:
    """The scales that `quantise` gives some rows, in a tenth of its time; None where a value is NaN or Inf."""
    if weight.dtype == BF16:
        values: Array = scratch.take("bits", weight.shape, np.dtype(np.uint16))
        np.bitwise_and(weight.view(np.uint16), 0x7FFF, out=values)  # ordered like the magnitudes themselves
    else:
        values = np.abs(weight.astype(working_dtype(weight.dtype, mode)))
    largest = blockwise(values, scheme.side) if scheme.side else values.max(axis=1)[:, None]
    if weight.dtype == BF16:
        largest = (largest.astype(np.uint32) << 16).view(np.float32)
    return find_scales(largest, scheme, weight.dtype, mode) if np.isfinite(largest).all() else None


def quantise(weight: Array, scheme: Scheme, mode: Mode, scratch: Scratch | None = None, *, measure: bool = True) -> Quantised:
    """Some rows `[rows, in]` of a matrix in 8 bits; with blocks, `rows` must be a multiple of their side, but for the last.

    scale = max(|w|) / limit, and the dtype's eps where that is zero, so nothing is divided by zero. Where a value is NaN or Inf,
    `finite` is False and the rest means nothing. The codes lie in `scratch`, so they must be used before its next call.
    Without `measure`, `error` and `norm` are 0, which saves a fifth of the time.
    Source: llm-compressor's memoryless min-max observer, symmetric.
    """
    scratch = scratch or Scratch()
    work = scale_dtype(weight.dtype, mode)
    values = scratch.take("values", weight.shape, working_dtype(weight.dtype, mode))
    widen(weight, values)
    largest = row_maxima(weight, values, scratch)
    if not np.isfinite(largest).all():
        return Quantised(np.empty(0), np.empty(0), 0.0, 0.0, 0, False)
    groups = blockwise(np.abs(values), scheme.side) if scheme.side else largest[:, None]
    scales = find_scales(groups, scheme, weight.dtype, mode)
    spread = expand(scales.astype(values.dtype), scheme.side, weight.shape)
    values /= spread
    quotients = values
    if float(scales.min()) < float(ml_dtypes.finfo(work).smallest_normal):  # type: ignore[no-untyped-call]
        quotients = np.clip(values, -scheme.limit, scheme.limit)  # a subnormal scale is too coarse to keep them within
    codes, stands_for = (to_int8 if scheme.dtype == "I8" else to_fp8)(quotients, work, scratch)
    zero_rows = int((largest == 0).sum())
    if not measure:
        return Quantised(codes, scales, 0.0, 0.0, zero_rows, True)
    rounded = stands_for()
    rounded -= values
    if scheme.side:
        rounded *= spread
        values *= spread
    error, norm = row_squares(rounded, scales, scheme.side), row_squares(values, scales, scheme.side)
    return Quantised(codes, scales, error, norm, zero_rows, True)


def row_maxima(weight: Array, values: Array, scratch: Scratch) -> Array:
    """The largest magnitude of each row of `weight`, whose values in float32 are `values`; NaN or Inf when the row has one."""
    if weight.dtype != BF16:
        return np.asarray(np.maximum(values.max(axis=1), -values.min(axis=1)))
    magnitudes = scratch.take("bits", weight.shape, np.dtype(np.uint16))
    np.bitwise_and(weight.view(np.uint16), 0x7FFF, out=magnitudes)  # ordered like the values themselves
    return np.asarray((magnitudes.max(axis=1).astype(np.uint32) << 16).view(np.float32))


def blockwise(magnitudes: Array, side: int) -> Array:
    """The largest value of each block of `side` x `side`; the last ones may be smaller."""
    by_rows: Array = np.maximum.reduceat(magnitudes, np.arange(0, magnitudes.shape[0], side), axis=0)
    return np.asarray(np.maximum.reduceat(by_rows, np.arange(0, magnitudes.shape[1], side), axis=1))


def expand(scales: Array, side: int, shape: tuple[int, ...]) -> Array:
    """The scales, repeated for each weight of a block; one a row broadcasts by itself."""
    return scales.repeat(side, axis=0)[: shape[0]].repeat(side, axis=1)[:, : shape[1]] if side else scales


def row_squares(values: Array, scales: Array, side: int) -> float:
    """The sum of squares of weights given as quotients (one scale a row), or as they are (blocks)."""
    squares = np.vecdot(values, values).astype(np.float64)
    return float(squares.sum() if side else squares @ scales[:, 0].astype(np.float64) ** 2)


Coded = tuple[Array, Callable[[], Array]]  # codes, and a function that gives what they stand for


def to_int8(quotients: Array, work: np.dtype[Any], scratch: Scratch) -> Coded:
    """int8 codes of quotients rounded to `work` first; halves go to the even neighbour."""
    rounded = scratch.take("rounded", quotients.shape, quotients.dtype)
    np.copyto(rounded, quotients if work == quotients.dtype else quotients.astype(work), casting="unsafe")
    np.clip(rounded, -128, 127, out=rounded)
    np.rint(rounded, out=rounded)
    codes = scratch.take("codes", quotients.shape, np.dtype(np.int8))
    np.copyto(codes, rounded, casting="unsafe")
    return codes, lambda: rounded


def to_fp8(quotients: Array, work: np.dtype[Any], scratch: Scratch) -> Coded:
    """FP8 E4M3 codes of quotients rounded to `work` first.

    Works on BF16 bit patterns, 32 at once: sign, 8 bits of exponent, 7 of mantissa, of which FP8 keeps 3, halves to even. No
    quotient is far enough above 448 to round to more, since the scale is off by a rounding of `work` at most (see `quantise`).
    """
    bits = sixteen_bits(quotients, work, scratch)
    top = scratch.take("top", quotients.shape, np.dtype(np.uint16))
    np.right_shift(bits, 4, out=top)
    np.bitwise_and(top, 1, out=top)
    top += bits
    top += 7
    np.right_shift(top, 4, out=top)  # sign, exponent, 3 bits of mantissa
    code = scratch.take("code", quotients.shape, np.dtype(np.uint16))
    np.subtract(top, REBIAS, out=code)
    code &= 0x7F
    np.bitwise_and(bits, 0x7FFF, out=bits)
    small = np.flatnonzero(np.less(bits, SMALLEST_NORMAL, out=scratch.take("small", bits.shape, np.dtype(bool))))
    tiny, negative = bits.ravel()[small], top.ravel()[small] & 0x800
    if len(small):  # rare: these are under 1/28,672 of the largest weight
        code.ravel()[small] = SUBNORMAL_CODES[tiny]
    np.right_shift(top, 4, out=bits)
    bits &= 0x80
    code |= bits
    codes = scratch.take("codes", quotients.shape, np.dtype(np.uint8))
    np.copyto(codes, code, casting="unsafe")

    def stands_for() -> Array:
        np.left_shift(top, 4, out=top)
        if len(small):
            top.ravel()[small] = SUBNORMAL_BITS[tiny] | (negative << 4)
        rounded = scratch.take("rounded", quotients.shape, quotients.dtype)
        widen(top.view(BF16), rounded)
        return rounded

    return codes.view(ml_dtypes.float8_e4m3fn), stands_for


def sixteen_bits(quotients: Array, work: np.dtype[Any], scratch: Scratch) -> Array:
    """The bits of quotients as BF16, rounded to nearest when `work` is BF16 and to odd otherwise.

    Rounding to odd keeps all that is cut off as one sticky last bit: rounding again, to fewer bits, then gives what rounding the
    full quotient once would.
    """
    if work == BF16:
        return bf16_bits(quotients, scratch)
    single = quotients.astype(work, copy=False).astype(np.float32, copy=False).view(np.uint32)
    wide = scratch.take("wide", quotients.shape, np.dtype(np.uint32))
    np.bitwise_and(single, 0xFFFF, out=wide)
    wide += 0xFFFF  # carries into bit 16 when any lower bit is set
    wide |= single
    return upper_half(wide, scratch)


def subnormal_tables() -> tuple[Array, Array]:
    """For every BF16 magnitude under 2**-6, its FP8 code (a multiple of 2**-9, halves to even) and the BF16 bits of that."""
    values = (np.arange(SMALLEST_NORMAL, dtype=np.uint32) << 16).view(np.float32)
    codes = np.rint(values * 512)
    return codes.astype(np.uint16), (codes / 512).astype(BF16).view(np.uint16)


SUBNORMAL_CODES, SUBNORMAL_BITS = subnormal_tables()


FP8_VALUES = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)


def decode(codes: Array, scales: Array, scheme: Scheme) -> Array:
    """The weights `[rows, in]` in float32 that codes and scales of some rows stand for."""
    values = FP8_VALUES[codes.view(np.uint8)] if scheme.dtype == "F8_E4M3" else codes.astype(np.float32)
    values *= expand(scales.astype(np.float32), scheme.side, codes.shape)
    return values


def rows_at_once(scheme: Scheme, columns: int) -> int:
    """How many rows to read and quantise in one go, about `BLOCK` elements and whole blocks."""
    rows = max(1, BLOCK // max(1, columns))
    return max(1, rows // scheme.side) * scheme.side if scheme.side else rows
