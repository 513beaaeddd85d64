"""Looking up gives the bytes of the arithmetic, or says that it cannot."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.weights.numerics import Scratch
from hala.weights.schemes import MODES, SCHEMES, Mode, quantise
from hala.weights.tables import look_up

KINDS = [(scheme, mode) for scheme in ("fp8-dynamic", "int8-dynamic") for mode in MODES]


@pytest.mark.parametrize(("scheme", "mode"), KINDS)
@given(seed=st.integers(0, 2**32), power=st.integers(1, 7), size=st.integers(-60, 60))
def test_codes_and_scales_are_those_of_the_arithmetic(scheme: str, mode: Mode, seed: int, power: int, size: int) -> None:
    """Heavy tails and all sizes of rows: wherever the tables answer, not one byte differs."""
    rng = np.random.default_rng(seed)
    weight = (rng.standard_normal((20, 96)) ** power * 2.0**size).astype(ml_dtypes.bfloat16)
    found = look_up(weight, SCHEMES[scheme], mode, Scratch())
    exact = quantise(weight, SCHEMES[scheme], mode)
    assert found is not None
    assert found.codes.dtype == exact.codes.dtype
    assert found.codes.tobytes() == exact.codes.tobytes()
    assert found.scales.tobytes() == exact.scales.tobytes()


@pytest.mark.parametrize(("scheme", "mode"), KINDS)
def test_every_pair_of_a_weight_and_a_largest_weight(scheme: str, mode: Mode) -> None:
    """All 65,536 patterns beside each of the 128 mantissas of the largest weight: the whole domain of the tables."""
    patterns = np.arange(65_536, dtype=np.uint16)
    for mantissa in range(0, 128, 9):
        largest = (130 << 7) + mantissa
        below = patterns[(patterns & 0x7FFF) <= largest]
        weight = np.append(below, np.uint16(largest)).view(ml_dtypes.bfloat16)[None, :]
        found = look_up(weight, SCHEMES[scheme], mode, Scratch())
        assert found is not None
        assert found.codes.tobytes() == quantise(weight, SCHEMES[scheme], mode).codes.tobytes()


@pytest.mark.parametrize("weight", [0.0, 1e-38, float("nan"), float("inf"), -float("inf")])
def test_what_the_tables_do_not_hold_is_left_to_the_arithmetic(weight: float) -> None:
    """Rows of zeros, near-subnormal rows, NaN and Inf are never looked up."""
    rows = np.array([[1.0, 0.5], [weight, weight]], ml_dtypes.bfloat16)
    assert look_up(rows, SCHEMES["fp8-dynamic"], "exact", Scratch()) is None
    assert look_up(np.ones((2, 2), np.float32), SCHEMES["fp8-dynamic"], "exact", Scratch()) is None
    assert look_up(np.ones((2, 2), ml_dtypes.bfloat16), SCHEMES["fp8-block"], "exact", Scratch()) is None
