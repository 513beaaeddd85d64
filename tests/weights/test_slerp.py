"""Merging: the ends, the formula, the branches, and that unlike checkpoints are refused by name."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hala.errors import InputError, RecipeError
from hala.weights.loading import load_model
from hala.weights.slerp import coefficients, compare, merge


def slerp(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The merge of two tensors in float64."""
    w0, w1, _ = coefficients(compare(a, b)[0], "slerp", t)
    return w0 * a.double() + w1 * b.double()


def vectors(seed: int, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two unit vectors in 64 dimensions with `angle` (radians) between them."""
    q, _ = torch.linalg.qr(torch.randn(64, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return q[:, 0], math.cos(angle) * q[:, 0] + math.sin(angle) * q[:, 1]


SEEDS, ANGLES, PLACES = st.integers(0, 10**6), st.floats(0.04, 3.0), st.floats(0, 1)


@given(SEEDS, ANGLES, PLACES)
def test_slerp_of_unit_vectors_stays_on_the_sphere(seed: int, angle: float, t: float) -> None:
    """The result has norm 1 and lies at the angle t * angle from the base: that is what spherical means."""
    a, b = vectors(seed, angle)
    out = slerp(a, b, t)
    assert float(out.norm()) == pytest.approx(1, abs=1e-9)
    assert math.acos(min(1.0, float(out @ a))) == pytest.approx(t * angle, abs=1e-6)


@given(SEEDS, st.floats(0, 3.1), PLACES)
def test_slerp_is_symmetric(seed: int, angle: float, t: float) -> None:
    """Swapping the ends and t gives the same point."""
    a, b = vectors(seed, angle)
    assert torch.allclose(slerp(a, b, t), slerp(b, a, 1 - t), atol=1e-9)


@given(SEEDS, st.floats(0, math.pi), PLACES)
def test_coefficients_follow_mergekit(seed: int, angle: float, t: float) -> None:
    """The published formula, written again in NumPy, gives the same tensor, scale of the ends included."""
    a, b = vectors(seed, angle)
    a, b = 3 * a, 0.5 * b
    v0, v1 = a.numpy(), b.numpy()
    dot = float(np.clip(np.sum(v0 / np.linalg.norm(v0) * v1 / np.linalg.norm(v1)), -1, 1))
    if abs(dot) > 0.9995:
        expected = (1 - t) * v0 + t * v1
    else:
        theta = np.arccos(dot)
        expected = np.sin(theta - theta * t) / np.sin(theta) * v0 + np.sin(theta * t) / np.sin(theta) * v1
    assert np.allclose(slerp(a, b, t).numpy(), expected, atol=1e-6)


def test_parallel_opposite_and_zero_tensors_give_numbers() -> None:
    """Clipping keeps NaN out of the cases where float32 sums leave [-1, 1] or a norm is zero."""
    a = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for b in (a, 3 * a, -a, torch.zeros(1000)):
        assert torch.isfinite(slerp(a, b, 0.3)).all()
        assert math.isfinite(compare(a, b)[0])


@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_the_ends_are_exact(method: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """t = 0 and t = 1 give the bytes of the base and of the tuned weights, and the tuned tokenizer and task in both."""
    for t, end in ((0.0, "lfm2"), (1.0, "tuned")):
        out = tmp_path / f"{t}"
        report = merge(folders["lfm2"], folders["tuned"], out, method, t)
        assert (out / "model.safetensors").read_bytes() == (folders[end] / "model.safetensors").read_bytes()
        assert json.loads((out / "hala.json").read_text())["task"] == "translation"
        assert set(report.branches) <= {"base", "tuned", "same"}
    model, tokenizer = load_model(tmp_path / "1.0", "float32", "cpu")
    assert model.config.conv_dim == 64
    assert len(tokenizer) == 300


def test_branches_and_angles_are_reported(folders: dict[str, Path], tmp_path: Path) -> None:
    """Tensors that moved little go straight, those that moved a lot go round, and the report says which and how far."""
    report = merge(folders["lfm2"], folders["tuned"], tmp_path / "out", t=0.5)
    lines = {tensor.name: tensor for tensor in report.tensors}
    assert lines["model.layers.0.feed_forward.w1.weight"].branch == "linear"
    moved = lines["model.layers.1.feed_forward.w1.weight"]
    assert moved.branch == "slerp"
    a = load_file(folders["lfm2"] / "model.safetensors")[moved.name].float()
    b = load_file(folders["tuned"] / "model.safetensors")[moved.name].float()
    assert moved.change == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-5)
    assert moved.angle == pytest.approx(math.degrees(math.acos(float((a * b).sum() / a.norm() / b.norm()))), rel=1e-4)
    merged = load_file(tmp_path / "out" / "model.safetensors")[moved.name]
    assert torch.equal(merged, slerp(a, b, 0.5).bfloat16())
    assert sum(report.branches.values()) == len(lines)


def test_identical_checkpoints_merge_to_themselves(folders: dict[str, Path], tmp_path: Path) -> None:
    """Merging a model with itself changes no byte at any t."""
    merge(folders["lfm2"], folders["lfm2"], tmp_path / "out", t=0.3)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (folders["lfm2"] / "model.safetensors").read_bytes()


def test_float32_masters_stay_float32(folders: dict[str, Path], tmp_path: Path) -> None:
    """A tuned float32 master merges in float32 with a BF16 base, and `dtype` rounds once at the end."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = {name: tensor.float() + 1e-6 for name, tensor in load_file(tuned / "model.safetensors").items()}
    save_file(tensors, tuned / "model.safetensors")
    merge(folders["lfm2"], tuned, tmp_path / "f32", "linear", 0.5)
    merge(folders["lfm2"], tuned, tmp_path / "bf16", "linear", 0.5, dtype="bfloat16")
    wide, narrow = (load_file(tmp_path / name / "model.safetensors") for name in ("f32", "bf16"))
    assert {tensor.dtype for tensor in wide.values()} == {torch.float32}
    assert all(torch.equal(narrow[name], wide[name].bfloat16()) for name in wide)
    assert json.loads((tmp_path / "bf16" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.layers.0.conv.in_proj.weight"), "model.layers.0.conv.in_proj.weight is missing"),
        (lambda t: t.update(extra=torch.ones(1)), "extra is missing"),
        (lambda t: t.update({"model.embed_tokens.weight": torch.ones(390, 64)}), "embed_tokens.weight is .*vocabularies"),
        (lambda t: t.update({"model.embedding_norm.weight": torch.ones(65)}), "embedding_norm.weight is .*models differ"),
        (lambda t: t["model.embedding_norm.weight"].fill_(math.nan), "embedding_norm.weight has NaN"),
    ],
)
def test_unlike_checkpoints_are_refused_by_name(change: object, message: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """A missing tensor, another vocabulary, another size or NaN is an InputError that names the tensor."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = load_file(tuned / "model.safetensors")
    change(tensors)  # type: ignore[operator]
    save_file(tensors, tuned / "model.safetensors")
    with pytest.raises(InputError, match=message):
        merge(folders["lfm2"], tuned, tmp_path / "out")


def test_impossible_requests_are_explained(folders: dict[str, Path], tmp_path: Path) -> None:
    """An unknown method, a t outside 0..1 and two architectures are refused with the reason."""
    with pytest.raises(RecipeError, match="Did you mean 'slerp'"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", "slrp")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match=r"outside 0\.\.1"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", t=1.5)
    with pytest.raises(InputError, match="a llama model"):
        merge(folders["lfm2"], folders["llama"], tmp_path / "x")
