"""Arithmetic on blocks of tensors in numpy: buffers used again, BF16 in and out, rounding to nearest or at random.

Integer operations stand where numpy's casts of BF16 would do, since those hold the interpreter and nothing runs beside them.
"""

from __future__ import annotations

import math
import threading
import zlib
from typing import Any

import ml_dtypes
import numpy as np

from hala.weights.checkpoint import Array

BF16 = np.dtype(ml_dtypes.bfloat16)
INFINITE = {BF16: 0x7F80, np.dtype(np.float16): 0x7C00}  # the bits of Inf, above which lies NaN
BLOCK = 262_144  # elements worked on at once
LOCAL = threading.local()


class Scratch:
    """Arrays that are used again for every block: fresh memory would cost more than the arithmetic. One for each thread."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array of that shape with anything in it, valid until the same name is taken again."""
        count = math.prod(shape)
        held = self.arrays.get(name)
        if held is None or held.dtype != dtype or held.size < count:
            held = self.arrays[name] = np.empty(count, dtype)
        return held[:count].reshape(shape)


def scratch() -> Scratch:
    """This thread's own."""
    found: Scratch = LOCAL.__dict__.setdefault("scratch", Scratch())
    return found


def widen(narrow: Array, out: Array) -> None:
    """Fills `out` with the same values; BF16 is the upper half of float32."""
    if narrow.dtype == BF16 and out.dtype == np.float32:
        bits = out.view(np.uint32)
        np.copyto(bits, narrow.view(np.uint16))
        np.left_shift(bits, 16, out=bits)
    else:
        with np.errstate(invalid="ignore", over="ignore"):  # numpy warns of some NaN; callers look for all of them
            np.copyto(out, narrow, casting="unsafe")


def bf16_bits(values: Array, scratch: Scratch) -> Array:
    """The bits of float32 values as BF16, halves to even. NaN is not kept apart from Inf: look before."""
    single = values.view(np.uint32)
    wide = scratch.take("wide", values.shape, np.dtype(np.uint32))
    np.right_shift(single, 16, out=wide)
    wide &= 1
    wide += 0x7FFF
    wide += single
    return upper_half(wide, scratch)


def upper_half(wide: Array, scratch: Scratch) -> Array:
    """The upper 16 of 32 bits; `wide` is used up."""
    wide >>= 16
    bits = scratch.take("bits", wide.shape, np.dtype(np.uint16))
    np.copyto(bits, wide, casting="unsafe")
    return bits


def narrow(values: Array, dtype: np.dtype[Any], scratch: Scratch) -> Array:
    """Float32 (or float64) values in `dtype`, rounded to nearest, Inf beyond it; valid until the next call with this scratch."""
    if dtype == values.dtype:
        return values
    if dtype == BF16 and values.dtype == np.float32:
        return bf16_bits(values, scratch).view(BF16)
    out = scratch.take("narrow", values.shape, dtype)
    with np.errstate(invalid="ignore", over="ignore"):  # callers look with `finite`
        np.copyto(out, values, casting="unsafe")
    return out


def finite(values: Array, scratch: Scratch) -> bool:
    """Whether no value is NaN or Inf; those of 16 bits are compared as whole numbers, ten times as fast as numpy's own."""
    if values.dtype not in INFINITE:
        return bool(np.isfinite(values).all())
    size = scratch.take("size", values.shape, np.dtype(np.uint16))
    np.bitwise_and(values.view(np.uint16), 0x7FFF, out=size)
    return not values.size or int(size.max()) < INFINITE[values.dtype]


def narrow_at_random(values: Array, dtype: np.dtype[Any], scratch: Scratch, rng: np.random.Generator) -> Array:
    """Float32 values in BF16, up or down with the probabilities that keep the mean; other dtypes are rounded to nearest.

    A change smaller than half a step is lost in rounding to nearest, and kept on average here.
    """
    if dtype != BF16 or values.dtype != np.float32:
        return narrow(values, dtype, scratch)
    wide = scratch.take("wide", values.shape, np.dtype(np.uint32))
    np.copyto(wide, rng.integers(0, 1 << 16, values.shape, dtype=np.uint16))
    wide += values.view(np.uint32)
    return upper_half(wide, scratch).view(BF16)


def generator(seed: int, name: str, start: int) -> np.random.Generator:
    """Random numbers that depend on the seed, the tensor and the place in it, never on threads or order."""
    key = np.array([seed % 2**64, zlib.crc32(name.encode())], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, start, 0, 0], np.uint64)))
