"""The arithmetic of 8 bits: the formulas bit by bit, error bounds, and every dtype and size of weights."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hala.weights.checkpoint import Array
from hala.weights.numerics import BF16, Scratch
from hala.weights.schemes import FP8_VALUES, MODES, SCHEMES, Mode, Scheme, decode, expand, quantise, rows_at_once, scales_of
from hala.weights.unpacking import to_torch

DTYPES = [np.dtype(kind) for kind in (ml_dtypes.bfloat16, "float16", "float32", "float64")]
FORMATS = [(scheme, mode) for scheme in SCHEMES for mode in MODES]


def make(seed: int, rows: int, columns: int, spread: float, size: float) -> Array:
    """A matrix in float32 with rows of mixed magnitudes, a few of them zero, small enough for float16."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, columns)) * np.exp(spread * rng.standard_normal((rows, 1))) * 2.0**size
    matrix[rng.random(rows) < 0.1] = 0
    return np.clip(matrix, -6e4, 6e4).astype(np.float32)


def matrices(rows: int = 9, columns: int = 40) -> st.SearchStrategy[Array]:
    """Matrices of up to that shape."""
    shape = (st.integers(1, rows), st.integers(1, columns))
    return st.builds(make, st.integers(0, 10**6), *shape, st.floats(0, 6), st.floats(-30, 10))


def scale_of(weight: torch.Tensor, scheme: Scheme) -> torch.Tensor:
    """The reference formula for the scales, spread over the weights: min-max, division and eps in the weight's own dtype."""
    side, (rows, columns) = scheme.side, weight.shape
    zero, scales = torch.zeros((), dtype=weight.dtype), torch.empty_like(weight)
    height, width = (side, side) if side else (1, columns)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            block = weight[top : top + height, left : left + width]
            largest = torch.maximum(torch.minimum(block.min(), zero).abs(), torch.maximum(block.max(), zero).abs())
            scale = largest / torch.tensor(scheme.limit, dtype=weight.dtype)
            scales[top : top + height, left : left + width] = scale if scale else torch.finfo(weight.dtype).eps
    return scales


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
@given(matrices())
def test_exact_mode_is_the_naive_formula(scheme: str, dtype: np.dtype[np.generic], matrix: Array) -> None:
    """`exact` repeats min-max, scale, division, clamp and rounding in the weight's own dtype, bit by bit, as torch does."""
    how, weight = SCHEMES[scheme], matrix.astype(dtype)
    found, values = quantise(weight, how, "exact"), to_torch(weight)
    scales = scale_of(values, how)
    assert found.scales.dtype == dtype
    spread = np.broadcast_to(expand(found.scales, how.side, weight.shape), weight.shape).copy()
    assert torch.equal(to_torch(spread), scales)
    if how.dtype == "I8":
        expected = torch.round(torch.clamp(values / scales, -128, 127)).to(torch.int8).numpy()
    else:
        expected = torch.clamp(values / scales, -448, 448).to(torch.float8_e4m3fn).view(torch.uint8).numpy()
    assert np.array_equal(found.codes.view(expected.dtype), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
@given(matrices())
def test_float32_scale_divides_and_rounds_once(scheme: str, dtype: np.dtype[np.generic], matrix: Array) -> None:
    """The default mode is one float32 division and one rounding to 8 bits, of numpy's and ml_dtypes' own making."""
    how, weight = SCHEMES[scheme], matrix.astype(dtype)
    found, values = quantise(weight, how, "float32-scale"), matrix.astype(dtype).astype(np.float32)
    assert found.scales.dtype == np.float32
    scales = expand(found.scales, how.side, weight.shape)
    largest = scale_of(torch.from_numpy(values), how).numpy()
    assert np.array_equal(np.broadcast_to(scales, weight.shape), largest)
    quotients = np.clip(values / scales, -128 if how.dtype == "I8" else -448, 127 if how.dtype == "I8" else 448)
    expected = np.rint(quotients).astype(np.int8) if how.dtype == "I8" else quotients.astype(ml_dtypes.float8_e4m3fn)
    assert found.codes.tobytes() == expected.tobytes()


@pytest.mark.parametrize("scheme", SCHEMES)
@given(matrices())
def test_error_is_within_half_a_code(scheme: str, weight: Array) -> None:
    """FP8: |w - q s| <= |w| / 16 or s / 1024, half of a 3-bit mantissa step or of the smallest subnormal; int8: s / 2."""
    how = SCHEMES[scheme]
    found = quantise(weight, how, "float32-scale")
    error = np.abs(weight - decode(found.codes, found.scales, how))
    scales = expand(found.scales, how.side, weight.shape)
    bound = scales / 2 if how.dtype == "I8" else np.maximum(np.abs(weight) / 16, scales / 1024)
    assert (error <= bound * (1 + 1e-4)).all()


@pytest.mark.parametrize("scheme", ["fp8-dynamic", "fp8-block"])
@given(matrices())
def test_quantising_twice_changes_nothing(scheme: str, weight: Array) -> None:
    """The values that FP8 can hold are left where they are, so compressing a dequantised model is harmless.

    Not so for int8, whose scale counts 127.5 steps and whose codes end at 127.
    """
    how = SCHEMES[scheme]
    once = quantise(weight, how, "float32-scale")
    values = decode(once.codes, once.scales, how)
    twice = quantise(values, how, "float32-scale")
    assert np.allclose(values, decode(twice.codes, twice.scales, how), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@given(matrix=matrices(), dtype=st.sampled_from(DTYPES))
def test_error_norm_and_zero_rows_are_those_of_the_result(
    scheme: str, mode: Mode, matrix: Array, dtype: np.dtype[np.generic]
) -> None:
    """The sums that reports are made of equal those computed from codes and scales in float64, for every size of weights."""
    how, weight = SCHEMES[scheme], matrix.astype(dtype)
    found = quantise(weight, how, mode)
    exact = weight.astype(np.float64)
    codes = FP8_VALUES[found.codes.view(np.uint8)] if how.dtype == "F8_E4M3" else found.codes
    stands_for = codes.astype(np.float64) * expand(found.scales.astype(np.float64), how.side, weight.shape)
    assert found.norm == pytest.approx(float((exact**2).sum()), rel=1e-5)
    assert found.error**0.5 == pytest.approx(float(np.linalg.norm(stands_for - exact)), rel=1e-4, abs=1e-6 * found.norm**0.5)
    assert found.zero_rows == int((~weight.any(axis=1)).sum())
    unmeasured = quantise(weight, how, mode, measure=False)
    assert (unmeasured.error, unmeasured.norm) == (0.0, 0.0)
    assert unmeasured.codes.tobytes() == found.codes.tobytes()


@pytest.mark.parametrize("largest", [1e-8, 6e-8, 3e-7, 2e-6, 5e-6, 4e-5, 3e-4])
@pytest.mark.parametrize("scheme", ["fp8-dynamic", "fp8-block"])
def test_the_smallest_float16_weights_do_not_overflow(scheme: str, largest: float) -> None:
    """Where the scale is subnormal in float16 it is off by up to a half, so quotients beyond 448 must become 448, not NaN."""
    weight = (np.linspace(-1, 1, 64, dtype=np.float32) * largest).astype(np.float16)[None, :]
    found = quantise(weight, SCHEMES[scheme], "exact")
    quotients = np.clip(weight.astype(np.float32) / found.scales.astype(np.float32), -448, 448).astype(np.float16)
    assert found.codes.tobytes() == quotients.astype(ml_dtypes.float8_e4m3fn).tobytes()


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@pytest.mark.parametrize("power", range(-133, -110))
def test_the_smallest_bfloat16_weights_are_those_of_torch(scheme: str, mode: Mode, power: int) -> None:
    """The same at the lower end of BF16 and float32, where scales are subnormal: torch's arithmetic is repeated."""
    how = SCHEMES[scheme]
    weight = (np.linspace(-1, 1, 64, dtype=np.float64) * 2.0**power).astype(BF16)[None, :]
    found, values = quantise(weight, how, mode), to_torch(weight).to(torch.bfloat16 if mode == "exact" else torch.float32)
    quotients = torch.clamp(
        values / scale_of(values, how), -128 if how.dtype == "I8" else -448, 127 if how.dtype == "I8" else 448
    )
    if how.dtype == "I8":
        assert np.array_equal(found.codes, torch.round(quotients).to(torch.int8).numpy())
    else:
        assert np.array_equal(found.codes.view(np.uint8), quotients.to(torch.float8_e4m3fn).view(torch.uint8).numpy())


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_seen(scheme: str, mode: Mode, dtype: np.dtype[np.generic], value: float) -> None:
    """One NaN or Inf anywhere in a block of rows is reported, whatever the dtype, and raises no warning on the way."""
    weight = np.ones((5, 130), dtype)
    assert quantise(weight, SCHEMES[scheme], mode).finite
    weight[3, 129] = value
    assert not quantise(weight, SCHEMES[scheme], mode).finite


def test_one_division_beats_two_roundings() -> None:
    """`float32-scale` has the smaller error and clips no row maximum; this is why it is the default."""
    weight = (0.02 * np.random.default_rng(0).standard_normal((512, 512))).astype(BF16)
    errors = {mode: quantise(weight, SCHEMES["fp8-dynamic"], mode).error ** 0.5 for mode in MODES}
    assert errors["float32-scale"] < errors["exact"] * 0.998


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_blocks_of_rows_do_not_change_the_result(scheme: str, mode: Mode) -> None:
    """Working in blocks of rows, in memory used again, gives the bits of working at once."""
    how, scratch = SCHEMES[scheme], Scratch()
    weight = make(0, 300, 150, 1.0, -5.0).astype(BF16)
    whole, step = quantise(weight, how, mode), how.side or 7
    codes, scales = b"", b""
    for first in range(0, 300, step):
        part = quantise(weight[first : first + step], how, mode, scratch)
        codes, scales = codes + part.codes.tobytes(), scales + part.scales.tobytes()
    assert codes == whole.codes.tobytes()
    assert scales == whole.scales.tobytes()
    assert whole.scales.shape == how.scale_shape(weight.shape)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(columns=st.integers(1, 2_000_000))
def test_rows_at_once_are_whole_blocks(scheme: str, columns: int) -> None:
    """However wide a matrix is, some rows are worked on, and never a part of a block."""
    rows = rows_at_once(SCHEMES[scheme], columns)
    assert rows >= 1
    assert not SCHEMES[scheme].side or rows % SCHEMES[scheme].side == 0


def test_int8_counts_half_steps() -> None:
    """The largest weight of a row is 127.5 steps and becomes 127 or -128; halves go to the even neighbour."""
    weight = np.array([[127.5, 2.5, 3.5, -2.5, 0.0], [-127.5, 1.0, 0.5, -0.5, -0.0]], np.float32)
    found = quantise(weight, SCHEMES["int8-dynamic"], "float32-scale")
    assert found.scales.tolist() == [[1.0], [1.0]]
    assert found.codes.tolist() == [[127, 2, 4, -2, 0], [-128, 1, 0, 0, 0]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@given(matrices(rows=260, columns=140), st.sampled_from([0.0, float("nan"), float("inf"), float("-inf")]))
def test_scales_alone_are_those_of_the_codes(
    scheme: str, mode: Mode, dtype: np.dtype[np.generic], matrix: Array, bad: float
) -> None:
    """Scales are written before the codes that belong to them: both must come from one formula, and refuse the same weights."""
    weight = (matrix.astype(np.float64) / 3).astype(dtype)
    weight[-1, -1] += dtype.type(bad)
    found, scales = quantise(weight, SCHEMES[scheme], mode), scales_of(weight, SCHEMES[scheme], mode, Scratch())
    assert (scales is not None) == found.finite == (bad == 0)
    assert scales is None or (scales.dtype == found.scales.dtype and scales.tobytes() == found.scales.tobytes())
