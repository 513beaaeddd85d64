"""The formulas of merging: geometry, the sphere, signs and thresholds, against their definitions in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.weights.checkpoint import Array
from hala.weights.methods import Block, Geometry, Recipe, add_changes, coefficients, measure, soup, thresholds, two_ends

SEEDS, PLACES = st.integers(0, 10**6), st.floats(0, 1)


def stream(*tensors: Array, size: int = 17) -> Iterator[Block]:
    """The tensors side by side in small float32 blocks of their own."""
    for start in range(0, tensors[0].size, size):
        yield start, [tensor[start : start + size].astype(np.float32) for tensor in tensors]


def geometry(a: Array, b: Array) -> Geometry:
    """What `measure` says of two vectors."""
    return measure(lambda: stream(a, b))


def pair(seed: int, angle: float) -> tuple[Array, Array]:
    """Two unit vectors in 64 dimensions with `angle` (radians) between them."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((64, 2)))
    return q[:, 0], math.cos(angle) * q[:, 0] + math.sin(angle) * q[:, 1]


def slerp(a: Array, b: Array, t: float) -> Array:
    """The merge of two vectors in float64, with the measured angle."""
    low, high, _ = coefficients(geometry(a, b).cosine, "slerp", t)
    return low * a + high * b


@given(SEEDS, st.floats(1e-3, 3.1))
def test_angle_and_change_are_measured_at_any_size(seed: int, angle: float) -> None:
    """From a hundredth of a degree to nearly opposite: an arccos of a float32 cosine would see nothing under 0.02 degrees."""
    a, b = pair(seed, angle)
    found = geometry(a, 1.001 * b)
    assert math.radians(found.angle) == pytest.approx(angle, rel=2e-3)
    assert found.cosine == pytest.approx(math.cos(angle), abs=1e-6)
    assert found.change == pytest.approx(float(np.linalg.norm(1.001 * b - a)), rel=1e-4)


@given(SEEDS, st.floats(0.04, 3.0), PLACES)
def test_slerp_of_unit_vectors_stays_on_the_sphere(seed: int, angle: float, t: float) -> None:
    """The result has norm 1 and lies at the angle t * angle from the base: that is what spherical means."""
    a, b = pair(seed, angle)
    out = slerp(a, b, t)
    assert float(np.linalg.norm(out)) == pytest.approx(1, abs=2e-5)
    assert math.acos(max(-1.0, min(1.0, float(out @ a)))) == pytest.approx(t * angle, abs=1e-2)


@given(SEEDS, st.floats(0, 3.1), PLACES)
def test_slerp_is_symmetric(seed: int, angle: float, t: float) -> None:
    """Swapping the ends and t gives the same point."""
    a, b = pair(seed, angle)
    assert np.allclose(slerp(a, b, t), slerp(b, a, 1 - t), atol=1e-4)


def test_parallel_opposite_and_zero_tensors_give_numbers() -> None:
    """No NaN where sums leave [-1, 1], a norm is zero or a tensor is its own opposite."""
    a = np.random.default_rng(0).standard_normal(1000)
    for b in (a, 3 * a, -a, 0 * a):
        assert np.isfinite(slerp(a, b, 0.3)).all()
    assert geometry(a, a) == Geometry(1.0, 0.0, 0.0)
    assert geometry(a, -a).angle == pytest.approx(180)
    assert not math.isfinite(geometry(np.array([1.0, math.nan]), np.array([1.0, 2.0])).change)
    assert not math.isfinite(geometry(np.array([1.0, math.inf]), np.array([1.0, math.inf])).change)


def test_two_ends_and_soup() -> None:
    """Linear mixes and weighted means are what their names say."""
    a, b, c = (np.arange(4, dtype=np.float32) * factor for factor in (1, 3, 5))
    assert two_ends([a.copy(), b.copy()], 0.25, 0.75).tolist() == (0.25 * a + 0.75 * b).tolist()
    assert np.allclose(soup([a, b, c], (1, 3)), (b + 3 * c) / 4)


@given(SEEDS, st.floats(0.01, 0.99), st.integers(1, 3))
def test_thresholds_keep_the_asked_share(seed: int, density: float, models: int) -> None:
    """The limit is exactly the k-th largest magnitude, found without sorting the whole tensor."""
    rng = np.random.default_rng(seed)
    base, tuned = (rng.standard_normal((n, 200)).astype(np.float32) for n in (1, models))
    limits = thresholds(lambda: stream(base[0], *tuned), 200, density, models)
    for limit, other in zip(limits, tuned, strict=True):
        ordered = np.sort(np.abs(other - base[0]))[::-1]
        assert limit == ordered[max(1, int(density * 200)) - 1]


def combine(method: str, base: Array, *tuned: Array, density: float = 1.0, t: float = 1.0) -> Array:
    """The whole vectors merged in blocks of 17."""
    recipe = Recipe(method, t, tuple(float(i + 1) for i in range(len(tuned))), density, seed=3)
    limits = thresholds(lambda: stream(base, *tuned), base.size, density, len(tuned)) if density < 1 else [0.0] * len(tuned)
    return np.concatenate([add_changes(recipe, limits, "w", start, values) for start, values in stream(base, *tuned)])


def test_task_arithmetic_adds_weighted_changes() -> None:
    """base + t * sum of weight * change."""
    base, one, two = np.random.default_rng(1).standard_normal((3, 50)).astype(np.float32)
    expected = base + 0.5 * ((one - base) + 2 * (two - base))
    assert np.allclose(combine("task_arithmetic", base, one, two, t=0.5), expected, atol=1e-6)


def test_ties_lets_the_larger_side_win() -> None:
    """A change against the elected sign does not count, and the mean is over the weights that do."""
    base = np.zeros(3, np.float32)
    one, two = np.array([3.0, -1.0, 1.0], np.float32), np.array([-1.0, -2.0, 1.0], np.float32)
    assert combine("ties", base, one, two).tolist() == [3.0, pytest.approx(-5 / 3), 1.0]
    assert combine("ties", base, np.array([3.0, -1.0, 0.1], np.float32), density=0.34).tolist() == [3.0, 0.0, 0.0]


def test_dare_keeps_the_mean_and_depends_on_the_place_alone() -> None:
    """A share of each change survives, scaled up so that the sum stays; the same seed drops the same elements."""
    base, tuned = np.zeros(40_000, np.float32), np.ones(40_000, np.float32)
    merged = add_changes(Recipe("dare_linear", 1.0, (1.0,), 0.25, 7), [0.0], "w", 0, [base.copy(), tuned])
    assert set(np.unique(merged)) == {0.0, 4.0}
    assert merged.mean() == pytest.approx(1.0, abs=0.05)
    again = add_changes(Recipe("dare_linear", 1.0, (1.0,), 0.25, 7), [0.0], "w", 0, [base.copy(), tuned])
    other = add_changes(Recipe("dare_linear", 1.0, (1.0,), 0.25, 7), [0.0], "v", 0, [base.copy(), tuned])
    assert (again == merged).all()
    assert (other != merged).any()
