"""Quantising BF16 matrices by looking up: the same bytes as `schemes.quantise` in half of the time.

A row's scale follows from its largest weight. As quotients, weight and largest weight meet only through their 7 bits of mantissa
and the difference of their exponents, so one table for each of the 128 mantissas holds the codes of every 16-bit weight, sign
included. The tables are made by `schemes.quantise` itself, in milliseconds.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hala.weights.checkpoint import Array, numpy_dtype
from hala.weights.numerics import BF16, Scratch
from hala.weights.schemes import Mode, Quantised, Scheme, find_scales, quantise

WIDTH = 98_304  # 16-bit patterns, moved down by up to 255 exponents
MIDDLE = 32_768
WINDOW = 20  # exponents below the largest weight's; what is smaller becomes zero in every scheme
ONE = 127 << 7  # the bits of 1.0
LEAST = 40  # exponents (biased) of the largest weight below which its scale would be near the subnormals


@lru_cache(maxsize=2)
def table(scheme: Scheme, mode: Mode) -> Array:
    """Codes `[128 * WIDTH]` as bytes: at mantissa * WIDTH + MIDDLE + bits - exponent * 128 of the row's largest weight."""
    window = np.arange(ONE - WINDOW * 128, ONE + 128, dtype=np.uint16)
    largest = (ONE + np.arange(128, dtype=np.uint16))[:, None]
    positive = np.minimum(window[None, :], largest)  # no weight is larger than the largest
    rows = np.concatenate([positive, positive | 0x8000, largest], axis=1).view(BF16)
    codes = quantise(rows, scheme, mode).codes.view(np.uint8)
    minus_zero = quantise(np.array([[1.0, -1e-30]], BF16), scheme, mode).codes.view(np.uint8)[0, 1]
    found = np.zeros((128, WIDTH), np.uint8)
    first, count = MIDDLE - WINDOW * 128, len(window)
    found[:, first : first + count] = codes[:, :count]
    found[:, MIDDLE + 128 : MIDDLE + 0x8000] = minus_zero  # negative and tiny; nothing else lies there
    found[:, first + 0x8000 : first + 0x8000 + count] = codes[:, count:-1]
    return found.ravel()


def look_up(weight: Array, scheme: Scheme, mode: Mode, scratch: Scratch) -> Quantised | None:
    """Some rows `[rows, in]` of a BF16 matrix in 8 bits; error and norm are not measured.

    None where the arithmetic must be done: for other dtypes, for blocks, and when a row is zero, very small or not finite.
    """
    if weight.dtype != BF16 or scheme.side:
        return None
    bits = weight.view(np.uint16)
    magnitudes = scratch.take("magnitudes", weight.shape, np.dtype(np.uint16))
    largest = np.bitwise_and(bits, 0x7FFF, out=magnitudes).max(axis=1)
    if int(largest.min()) < LEAST << 7 or int(largest.max()) >= 0x7F80:
        return None
    scales = find_scales((largest.astype(np.uint32) << 16).view(np.float32)[:, None], scheme, BF16, mode)
    place = (largest & 0x7F).astype(np.intp) * WIDTH + MIDDLE - (largest & 0x7F80).astype(np.intp)
    index = scratch.take("index", weight.shape, np.dtype(np.intp))
    np.copyto(index, bits)  # adding both kinds of integers at once would go through buffers
    index += place[:, None]
    codes = scratch.take("looked up", weight.shape, np.dtype(np.uint8))
    np.take(table(scheme, mode), index, out=codes, mode="clip")
    return Quantised(codes.view(numpy_dtype(scheme.dtype)), scales, 0.0, 0.0, 0, True)
