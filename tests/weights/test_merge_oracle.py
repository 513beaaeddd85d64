"""Merging against mergekit, run as its users run it, on tiny checkpoints of four architectures.

Half of each model's tensors move far (26 degrees, the sphere) and half a little (under 1.8 degrees, the line). Where both tools
do the same arithmetic the bits are equal; on the sphere each rounds its own sums, and ours must be within a step of float64.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.weights.checkpoint import Array
from hala.weights.merge import MergeReport, Mix, merge

pytest.importorskip("mergekit.merge", reason="mergekit is not installed: pip install mergekit")

KINDS = ("lfm2", "llama", "gemma2", "cohere2")
ULP = 2.0**-23
Tensors = dict[str, torch.Tensor]
Family = dict[str, Path]


def tune(source: Path, out: Path, dtype: torch.dtype, seed: int | None) -> Path:
    """A copy of the checkpoint after a tuning that moved every second tensor a hundred times as far as the others."""
    shutil.copytree(source, out)
    generator, tensors = torch.Generator().manual_seed(seed or 0), load_file(source / "model.safetensors")
    for number, name in enumerate(sorted(tensors)):
        noise = torch.randn(tensors[name].shape, generator=generator) * (0.05 if number % 2 else 0.0005)
        tensors[name] = (tensors[name].float() + (noise if seed else 0)).to(dtype)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


@pytest.fixture(scope="module")
def families(folders: Family, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Family]:
    """A base and two tuned checkpoints by architecture and dtype."""
    made = {}
    for kind, dtype in [(kind, "bfloat16") for kind in KINDS] + [("lfm2", "float32")]:
        root, as_torch = tmp_path_factory.mktemp(f"{kind}-{dtype}"), getattr(torch, dtype)
        ends = {"base": None, "one": 7, "two": 8}
        made[kind, dtype] = {name: tune(folders[kind], root / name, as_torch, seed) for name, seed in ends.items()}
    return made


def mergekit(
    method: str,
    models: dict[Path, dict[str, float]],
    out: Path,
    base: Path | None = None,
    dtypes: tuple[str, str | None] = ("float32", None),
    **parameters: Any,
) -> Tensors:
    """What mergekit makes of the models, read and written in `dtypes`."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    content: dict[str, Any] = {"merge_method": method, "parameters": parameters}
    content |= {"dtype": dtypes[0], "out_dtype": dtypes[1]}
    content["models"] = [{"model": str(model), "parameters": own} for model, own in models.items()]
    content |= {"base_model": str(base)} if base else {}
    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True, random_seed=0)
    run_merge(MergeConfiguration.model_validate(content), str(out), options)
    return load_file(out / "model.safetensors")


def hala(base: Path, tuned: Path | list[Path], out: Path, mix: Mix) -> tuple[Tensors, MergeReport]:
    """What hala makes of the same."""
    report = merge(base, tuned, out, mix)
    return load_file(out / "model.safetensors"), report


def numbers(tensor: torch.Tensor) -> Array:
    """The values in float64."""
    return np.asarray(tensor.double().numpy())


@pytest.mark.parametrize("t", [0.5, 0.3, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_slerp_is_mergekits(kind: str, t: float, families: dict[tuple[str, str], Family], tmp_path: Path) -> None:
    """The line gives equal bits. On the sphere ours is within a float32 step of the exact value and theirs within a few; both
    round to the same BF16, but for rare values in the middle between two."""
    family = families[kind, "bfloat16"]
    theirs = mergekit("slerp", {family["base"]: {}, family["one"]: {}}, tmp_path / "kit", family["base"], t=t)
    ours, report = hala(family["base"], family["one"], tmp_path / "wide", Mix(t=t, dtype="float32"))
    rounded, _ = hala(family["base"], family["one"], tmp_path / "narrow", Mix(t=t))
    assert ours.keys() == theirs.keys()
    assert {"linear", "slerp"} <= report.branches.keys()
    base, tuned = (load_file(family[name] / "model.safetensors") for name in ("base", "one"))
    apart = 0
    for tensor in report.tensors:
        name = tensor.name
        if tensor.branch != "slerp":
            assert torch.equal(ours[name], theirs[name]), name
            assert torch.equal(rounded[name], theirs[name].bfloat16()), name
            continue
        a, b = numbers(base[name]), numbers(tuned[name])
        angle = math.acos((a * b).sum() / (math.sqrt((a * a).sum() * (b * b).sum()) or 1.0))  # Gemma's new norms are all zero
        exact = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
        step = ULP * (np.abs(a) + np.abs(b))
        assert (np.abs(numbers(ours[name]) - exact) <= step).all(), name
        assert (np.abs(numbers(ours[name]) - numbers(theirs[name])) <= 16 * step).all(), name
        low, high = numbers(rounded[name]), numbers(theirs[name].bfloat16())
        assert (np.abs(exact - (low + high) / 2)[low != high] <= (16 * step)[low != high]).all(), name
        apart += int((low != high).sum())
    assert apart <= 2e-4 * sum(tensor.numel() for tensor in ours.values())


@pytest.mark.parametrize("dtypes", [("bfloat16", None), ("float32", None), ("float32", "float16")])
@pytest.mark.parametrize("kind", ["lfm2", "llama"])
def test_exact_slerp_is_mergekits_in_every_byte(
    kind: str, dtypes: tuple[str, str | None], families: dict[tuple[str, str], Family], tmp_path: Path
) -> None:
    """`mode: exact` makes mergekit's file, sphere and line, on several threads, at one t and with t along the layers."""
    family = families[kind, "bfloat16"]
    outside = {"lm_head": 0.9, "embed_tokens": 0.9, "model.norm": 0.9, "model.embedding_norm": 0.9}  # of the layers
    knots = [0.1, 0.45, 0.7]
    patterns: dict[str, Any] = {"re:(lm_head|model.(embed_tokens|norm|embedding_norm))": 0.9, "default": tuple(knots)}
    filters = [*({"filter": key, "value": value} for key, value in outside.items()), {"value": knots}]
    for name, ours_t, their_t in (("number", 0.9, 0.9), ("gradient", patterns, filters)):
        models: dict[Path, dict[str, float]] = {family["base"]: {}, family["one"]: {}}
        theirs = mergekit("slerp", models, tmp_path / f"kit-{name}", family["base"], dtypes, t=their_t)
        mix = Mix(t=ours_t, dtype=dtypes[1] or dtypes[0], mode="exact")
        ours, report = hala(family["base"], family["one"], tmp_path / name, mix)
        assert ours.keys() == theirs.keys()
        assert {"linear", "slerp"} <= report.branches.keys()
        for key in ours:
            assert ours[key].dtype == theirs[key].dtype, key
            assert torch.equal(ours[key].view(torch.uint8), theirs[key].contiguous().view(torch.uint8)), (name, key)


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_means_and_added_changes_are_mergekits(
    kind: str, families: dict[tuple[str, str], Family], tmp_path: Path
) -> None:
    """`linear`, `soup` and `task_arithmetic` give the same bits in float32."""
    base, one, two = families[kind, "bfloat16"].values()
    theirs = mergekit("linear", {base: {"weight": 0.75}, one: {"weight": 0.25}}, tmp_path / "kit-linear")
    ours, _ = hala(base, one, tmp_path / "linear", Mix("linear", t=0.25, dtype="float32"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    theirs = mergekit("linear", {one: {"weight": 1.0}, two: {"weight": 3.0}}, tmp_path / "kit-soup")
    ours, _ = hala(base, [one, two], tmp_path / "soup", Mix("soup", weights=(1.0, 3.0), dtype="float32"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    models = {one: {"weight": 0.7}, two: {"weight": 0.5}}
    theirs = mergekit("task_arithmetic", models, tmp_path / "kit-task", base, **{"lambda": 0.8})
    ours, _ = hala(base, [one, two], tmp_path / "task", Mix("task_arithmetic", t=0.8, weights=(0.7, 0.5), dtype="float32"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def ties(family: Family, tmp_path: Path, density: float) -> tuple[Tensors, Tensors]:
    """Two changes of different weight merged by TIES: theirs and ours."""
    base, one, two = family.values()
    models = {one: {"weight": 0.7, "density": density}, two: {"weight": 0.5, "density": density}}
    theirs = mergekit("ties", models, tmp_path / "kit", base, **{"lambda": 0.8})
    mix = Mix("ties", t=0.8, weights=(0.7, 0.5), density=density, dtype="float32")
    return theirs, hala(base, [one, two], tmp_path / "ours", mix)[0]


def test_ties_is_mergekits(families: dict[tuple[str, str], Family], tmp_path: Path) -> None:
    """Trimming, elected signs and the mean of those that agree give the same bits where no two changes are equally large."""
    theirs, ours = ties(families["lfm2", "float32"], tmp_path, 0.4)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_ties_differs_only_where_equal_changes_compete(families: dict[tuple[str, str], Family], tmp_path: Path) -> None:
    """BF16 has many changes of one size. We keep all as large as the last that fits, mergekit as many as fit, whichever."""
    family, density = families["lfm2", "bfloat16"], 0.4
    theirs, ours = ties(family, tmp_path, density)
    base, one, two = (load_file(folder / "model.safetensors") for folder in family.values())
    apart = 0
    for name in theirs:
        on_the_edge = torch.zeros(base[name].shape, dtype=torch.bool)
        for tuned in (one, two):
            size = (tuned[name].float() - base[name].float()).abs()
            on_the_edge |= size == size.flatten().sort(descending=True).values[max(1, int(density * size.numel())) - 1]
        differ = ours[name] != theirs[name]
        assert not (differ & ~on_the_edge).any(), name
        apart += int(differ.sum())
    assert apart


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_keeps_the_change_on_average(method: str, families: dict[tuple[str, str], Family], tmp_path: Path) -> None:
    """What is dropped is random in both tools, the law is one: the asked share stays, and the change keeps its size."""
    base, one, _ = families["lfm2", "float32"].values()
    theirs = mergekit(method, {one: {"weight": 1.0, "density": 0.3}}, tmp_path / "kit", base)
    ours, _ = hala(base, one, tmp_path / "ours", Mix(method, t=1.0, density=0.3))
    start, end = (load_file(folder / "model.safetensors") for folder in (base, one))
    for made in (theirs, ours):
        change = torch.cat([(end[name] - start[name]).flatten() for name in end]).double()
        kept = torch.cat([(made[name] - start[name]).flatten() for name in end]).double()
        assert float((kept != 0).double().mean()) == pytest.approx(0.3, abs=0.02)
        assert float(kept @ change / (change @ change)) == pytest.approx(1.0, abs=0.02)
