"""Arithmetic on bit patterns: the same bits as the libraries', and rounding at random that keeps the mean."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hala.weights.checkpoint import Array
from hala.weights.numerics import BF16, Scratch, bf16_bits, finite, generator, narrow, narrow_at_random, widen

DTYPES = [np.dtype(kind) for kind in (ml_dtypes.bfloat16, "float16", "float32", "float64")]
PATTERNS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)


def floats(patterns: list[int]) -> Array:
    """float32 values of those bits, without NaN."""
    values = np.array(patterns, np.uint32).view(np.float32)
    return np.where(np.isnan(values), np.float32(0), values)


@given(PATTERNS)
def test_bfloat16_rounds_like_torch(patterns: list[int]) -> None:
    """Halves to even, subnormals, zeros of both signs, overflow to Inf: every bit pattern rounds as the library rounds it."""
    values = floats(patterns)
    expected = torch.from_numpy(values.copy()).bfloat16().view(torch.int16).numpy().view(np.uint16)
    before = values.tobytes()
    assert np.array_equal(bf16_bits(values, Scratch()), expected)
    assert values.tobytes() == before


def test_every_bfloat16_widens_exactly() -> None:
    """All 65,536 values come back as themselves, into float32 by shifting and into float64 by casting, without a warning."""
    patterns = np.arange(65_536, dtype=np.uint16)
    for wide in (np.float32, np.float64):
        out = np.empty(65_536, wide)
        widen(patterns.view(BF16), out)
        with np.errstate(invalid="ignore"):
            assert np.array_equal(out, patterns.view(BF16).astype(wide), equal_nan=True)
    finite = out[np.isfinite(out)].astype(np.float32)
    assert np.array_equal(narrow(finite, BF16, Scratch()).astype(np.float64), finite)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(patterns=PATTERNS)
def test_narrowing_is_a_cast(dtype: np.dtype[Any], patterns: list[int]) -> None:
    """Whatever the target, values are those of an ordinary cast."""
    values = np.clip(floats(patterns), -6e4, 6e4)
    assert narrow(values, dtype, Scratch()).tobytes() == values.astype(dtype).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(patterns=PATTERNS)
def test_what_leaves_the_dtype_is_seen(dtype: np.dtype[Any], patterns: list[int]) -> None:
    """Overflow in narrowing, Inf and NaN make a block not finite, for every bit pattern and without a warning of numpy."""
    values = np.array(patterns, np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        wanted = bool(np.isfinite(values.astype(dtype).astype(np.float64)).all())
    quiet = np.where(np.isnan(values), np.float32(np.nan), values)
    assert finite(narrow(quiet, dtype, Scratch()), Scratch()) == wanted
    assert finite(np.empty(0, dtype), Scratch())


@given(patterns=PATTERNS, seed=st.integers(0, 100))
def test_rounding_at_random_picks_a_neighbour(patterns: list[int], seed: int) -> None:
    """Up or down to one of the two nearest, and what BF16 holds already stays."""
    values = np.clip(floats(patterns), -1e38, 1e38)
    found = narrow_at_random(values, BF16, Scratch(), generator(seed, "w", 0)).view(np.uint16).astype(np.int64)
    down = (values.view(np.uint32) >> 16).astype(np.int64)
    exact = (values.view(np.uint32) & 0xFFFF) == 0
    assert ((found == down) | ((found == down + 1) & ~exact)).all()


def test_rounding_at_random_keeps_small_changes() -> None:
    """A change of a tenth of a step is lost in rounding to nearest and kept on average here; other dtypes round to nearest."""
    values = np.full(200_000, 1 + 0.1 * 2**-7, np.float32)
    found = narrow_at_random(values, BF16, Scratch(), generator(0, "w", 0)).astype(np.float64)
    assert abs(found.mean() - values[0]) < 0.01 * 2**-7
    assert narrow(values, BF16, Scratch()).astype(np.float64).mean() == 1
    half = narrow_at_random(values[:10], np.dtype(np.float16), Scratch(), generator(0, "w", 0))
    assert half.tobytes() == values[:10].astype(np.float16).tobytes()


@given(st.integers(0, 2**70), st.text(min_size=1, max_size=20), st.integers(0, 2**40))
def test_random_numbers_belong_to_their_place(seed: int, name: str, start: int) -> None:
    """Seed, tensor and place decide, never what was drawn before: threads and order cannot change a merge."""
    one = generator(seed, name, start).integers(0, 2**32, 8)
    generator(seed + 1, name, start).integers(0, 2**32, 8)
    assert np.array_equal(generator(seed, name, start).integers(0, 2**32, 8), one)
    for other in (generator(seed + 1, name, start), generator(seed, name + "x", start), generator(seed, name, start + 1)):
        assert not np.array_equal(other.integers(0, 2**32, 8), one)


def test_scratch_is_used_again() -> None:
    """The same name gives the same memory, in the shape asked for; more is made only when there is too little."""
    scratch = Scratch()
    first = scratch.take("a", (4, 6), BF16)
    assert (first.shape, first.dtype) == ((4, 6), BF16)
    assert np.shares_memory(first, scratch.take("a", (3, 5), BF16))
    assert not np.shares_memory(first, scratch.take("b", (4, 6), BF16))
    assert scratch.take("a", (40, 6), BF16).shape == (40, 6)
    assert scratch.take("a", (4, 6), np.dtype(np.float32)).dtype == np.float32
