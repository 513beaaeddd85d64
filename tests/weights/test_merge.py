"""Merging: the ends, the formula, the branches, and that unlike checkpoints are refused by name."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.errors import DriftError, InputError, RecipeError
from hala.weights.loading import load_model
from hala.weights.merge import Mix, merge
from hala.weights.methods import coefficients

ENDS = {"slerp": 2, "linear": 2, "soup": 3, "task_arithmetic": 3, "ties": 3, "dare_linear": 3, "dare_ties": 3}
NORM, MATRIX = "model.embedding_norm.weight", "model.layers.1.feed_forward.w1.weight"


def change_weights(source: Path, out: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """A copy of the checkpoint with other weights."""
    shutil.copytree(source, out)
    tensors = load_file(out / "model.safetensors")
    change(tensors)
    save_file(tensors, out / "model.safetensors")
    return out


@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_the_ends_are_exact(method: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """t = 0 and t = 1 give the bytes of the base and of the tuned weights, and the tuned tokenizer and task in both."""
    for t, end in ((0.0, "lfm2"), (1.0, "tuned")):
        out = tmp_path / f"{t}"
        report = merge(folders["lfm2"], folders["tuned"], out, Mix(method, t))
        assert (out / "model.safetensors").read_bytes() == (folders[end] / "model.safetensors").read_bytes()
        assert json.loads((out / "hala.json").read_text())["task"] == "translation"
        assert set(report.branches) <= {"base", "tuned", "same"}
    model, tokenizer = load_model(tmp_path / "1.0", "float32", "cpu")
    assert model.config.conv_dim == 64
    assert len(tokenizer) == 300


@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_the_ends_keep_the_sign_of_zero(method: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Ends that are equal numbers in different bytes are still told apart: t = 0 gives those of the base."""
    base = change_weights(folders["lfm2"], tmp_path / "base", lambda tensors: tensors[NORM].fill_(-0.0))
    tuned = change_weights(folders["lfm2"], tmp_path / "tuned", lambda tensors: tensors[NORM].fill_(0.0))
    for t, end in ((0.0, base), (1.0, tuned)):
        merge(base, tuned, tmp_path / f"{t}", Mix(method, t))
        made, wanted = (load_file(each / "model.safetensors")[NORM] for each in (tmp_path / f"{t}", end))
        assert torch.equal(made.view(torch.int16), wanted.view(torch.int16))


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_the_ends_are_rounded_to_the_results_dtype(t: float, folders: dict[str, Path], tmp_path: Path) -> None:
    """A float32 base of a BF16 model is rounded at t = 0; the tuned weights are those of the file at t = 1."""

    def widen(tensors: dict[str, torch.Tensor]) -> None:
        tensors.update({name: tensor.float() * 1.001 for name, tensor in tensors.items()})

    base = change_weights(folders["lfm2"], tmp_path / "base", widen)
    merge(base, folders["tuned"], tmp_path / "out", Mix(t=t))
    made, wanted = (load_file(each / "model.safetensors") for each in (tmp_path / "out", folders["tuned"] if t else base))
    assert all(torch.equal(made[name], wanted[name].bfloat16()) for name in wanted)


def test_branches_and_angles_are_reported(folders: dict[str, Path], tmp_path: Path) -> None:
    """Tensors that moved little go straight, those that moved a lot go round, and the report says which and how far."""
    report = merge(folders["lfm2"], folders["tuned"], tmp_path / "out")
    lines = {tensor.name: tensor for tensor in report.tensors}
    assert lines["model.layers.0.feed_forward.w1.weight"].branch == "linear"
    moved = lines["model.layers.1.feed_forward.w1.weight"]
    assert moved.branch == "slerp"
    a = load_file(folders["lfm2"] / "model.safetensors")[moved.name].float()
    b = load_file(folders["tuned"] / "model.safetensors")[moved.name].float()
    assert moved.change == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-5)
    assert moved.angle == pytest.approx(math.degrees(math.acos(float((a * b).sum() / a.norm() / b.norm()))), rel=1e-4)
    merged = load_file(tmp_path / "out" / "model.safetensors")[moved.name]
    low, high, _ = coefficients(moved.cosine, "slerp", 0.5)
    assert torch.equal(merged, (low * a + high * b).bfloat16())
    assert "straight line in" in report.summary
    assert sum(report.branches.values()) == len(lines)


def test_identical_checkpoints_merge_to_themselves(folders: dict[str, Path], tmp_path: Path) -> None:
    """Merging a model with itself changes no byte at any t."""
    merge(folders["lfm2"], folders["lfm2"], tmp_path / "out", Mix(t=0.3))
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (folders["lfm2"] / "model.safetensors").read_bytes()


def test_float32_masters_stay_float32(folders: dict[str, Path], tmp_path: Path) -> None:
    """A tuned float32 master merges in float32 with a BF16 base, and `dtype` rounds once at the end."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = {name: tensor.float() + 1e-6 for name, tensor in load_file(tuned / "model.safetensors").items()}
    save_file(tensors, tuned / "model.safetensors")
    merge(folders["lfm2"], tuned, tmp_path / "f32", Mix("linear"))
    merge(folders["lfm2"], tuned, tmp_path / "bf16", Mix("linear", dtype="bfloat16"))
    wide, narrow = (load_file(tmp_path / name / "model.safetensors") for name in ("f32", "bf16"))
    assert {tensor.dtype for tensor in wide.values()} == {torch.float32}
    assert all(torch.equal(narrow[name], wide[name].bfloat16()) for name in wide)
    assert json.loads((tmp_path / "bf16" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("method", "number"), [(method, n) for method, count in ENDS.items() for n in range(count)])
def test_damaged_weights_are_refused_by_name(
    method: str, number: int, value: float, folders: dict[str, Path], tmp_path: Path
) -> None:
    """One NaN or Inf in any checkpoint is an InputError that names the tensor and the file, for every method."""
    ends = [folders["lfm2"], *[folders["tuned"]] * (ENDS[method] - 1)]
    ends[number] = change_weights(ends[number], tmp_path / "damaged", lambda tensors: tensors[MATRIX][-1, -1].fill_(value))
    with pytest.raises(InputError, match=rf"{MATRIX} has NaN or Inf values in .*damaged/model\.safetensors"):
        merge(ends[0], ends[1:], tmp_path / "out", Mix(method))
    assert not (tmp_path / "out").exists()


def test_weights_too_large_to_measure_are_not_called_nan(folders: dict[str, Path], tmp_path: Path) -> None:
    """Finite values whose squares leave float32 are refused as what they are."""
    huge = change_weights(folders["tuned"], tmp_path / "huge", lambda tensors: tensors[NORM].fill_(1e30))
    with pytest.raises(InputError, match=rf"{NORM} of .* too large for sums of squares"):
        merge(folders["lfm2"], huge, tmp_path / "out")


@pytest.mark.parametrize(
    ("method", "t", "dtype", "rounding", "says"),
    [
        ("linear", 0.5, "float16", "nearest", "beyond float16 in tensor {}.* bfloat16 or float32"),
        ("linear", 0.0, "float16", "nearest", "beyond float16 in tensor {}.* bfloat16 or float32"),
        ("slerp", 0.3, "float16", "stochastic", "beyond float16 in tensor {}.* bfloat16 or float32"),
        ("soup", 1.0, "float16", "nearest", "beyond float16 in tensor {}.* bfloat16 or float32"),
        ("task_arithmetic", 7.0, "float16", "nearest", "beyond float16 in tensor {}.* bfloat16 or float32"),
        ("task_arithmetic", 3.084e33, "bfloat16", "stochastic", "beyond bfloat16 in tensor {}.* float32"),
        ("task_arithmetic", 1e36, None, "nearest", "beyond bfloat16 in tensor {}.* float32"),
        ("dare_ties", 1e36, "float32", "nearest", "beyond float32 in tensor {}.* smaller t"),
        ("ties", 3e38, "float32", "nearest", "beyond float32 in tensor {}.* smaller t"),
    ],
)
def test_results_that_do_not_fit_are_refused(
    method: str, t: float, dtype: str | None, rounding: str, says: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """A result beyond its dtype is an error that names tensor and way out, never Inf in the file, and numpy says nothing."""
    name, small = "model.embedding_norm.weight", method == "linear" or dtype == "float16"
    base = change_weights(folders["lfm2"], tmp_path / "base", lambda tensors: tensors[name].fill_(1e5 if small else 0))
    tuned = change_weights(folders["lfm2"], tmp_path / "tuned", lambda tensors: tensors[name].fill_(1.1e5))
    with pytest.raises(RecipeError, match=says.format(name)):
        merge(base, tuned, tmp_path / "out", Mix(method, t, density=1.0, dtype=dtype, rounding=rounding))
    assert not (tmp_path / "out").exists()


def test_impossible_requests_are_explained(folders: dict[str, Path], tmp_path: Path) -> None:
    """An unknown method, a t outside 0..1 and two architectures are refused with the reason."""
    with pytest.raises(RecipeError, match="Did you mean 'slerp'"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", Mix("slrp"))
    with pytest.raises(RecipeError, match="unknown mode 'exactly'"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", Mix(mode="exactly"))
    with pytest.raises(RecipeError, match="exact is for slerp"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", Mix("linear", mode="exact"))
    with pytest.raises(RecipeError, match=r"outside 0\.\.1"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", Mix(t=1.5))
    with pytest.raises(InputError, match="a llama model"):
        merge(folders["lfm2"], folders["llama"], tmp_path / "x")
    with pytest.raises(RecipeError, match="between two checkpoints"):
        merge(folders["lfm2"], [folders["tuned"], folders["tuned"]], tmp_path / "x")
    with pytest.raises(RecipeError, match="2 weights for 1 tuned"):
        merge(folders["lfm2"], folders["tuned"], tmp_path / "x", Mix("soup", weights=(1.0, 2.0)))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("method", ["soup", "task_arithmetic", "ties", "dare_linear", "dare_ties"])
def test_methods_of_several_models_merge_one_with_itself(method: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Twice the same tuned model at full density is that model (at half weight where changes are added up)."""
    mix = Mix(method, t=1.0, weights=(0.5, 0.5), density=1.0, dtype="float32")
    merge(folders["lfm2"], [folders["tuned"], folders["tuned"]], tmp_path / "out", mix)
    made, wanted = load_file(tmp_path / "out" / "model.safetensors"), load_file(folders["tuned"] / "model.safetensors")
    assert all(torch.allclose(made[name], wanted[name].float(), atol=1e-6) for name in wanted)


def test_values_by_group_reach_their_tensors(folders: dict[str, Path], tmp_path: Path) -> None:
    """t = 0 for convolutions alone leaves them as in the base, byte by byte, and nothing else."""
    report = merge(folders["lfm2"], folders["tuned"], tmp_path / "out", Mix(t={"conv": 0.0, "default": 1.0}))
    assert {tensor.branch for tensor in report.tensors if ".conv." in tensor.name} == {"base"}
    made, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", folders["lfm2"]))
    assert all(torch.equal(made[name], base[name]) == (".conv." in name) for name in made if made[name].dim() > 1)


def test_stochastic_rounding_keeps_small_changes_on_average(folders: dict[str, Path], tmp_path: Path) -> None:
    """What rounding to nearest would lose survives in the mean, and one seed gives one result."""
    tuned = shutil.copytree(folders["lfm2"], tmp_path / "tuned")
    tensors = {name: tensor.float() * 1.0005 for name, tensor in load_file(tuned / "model.safetensors").items()}
    save_file(tensors, tuned / "model.safetensors")
    for name in ("one", "two"):
        mix = Mix("linear", 1.0, dtype="bfloat16", rounding="stochastic", seed=5)
        merge(folders["lfm2"], tuned, tmp_path / name, mix)
    merge(folders["lfm2"], tuned, tmp_path / "nearest", Mix("linear", 1.0, dtype="bfloat16"))
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()
    key = "model.embed_tokens.weight"
    exact = tensors[key].double()
    stochastic, nearest = (load_file(tmp_path / name / "model.safetensors")[key].double() for name in ("one", "nearest"))
    assert abs(float((stochastic / exact).mean()) - 1) < 1e-4
    assert torch.equal(nearest, load_file(folders["lfm2"] / "model.safetensors")[key].double())


def test_one_reading_and_many_give_the_same_bytes(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a tensor is kept in memory between the passes or read in blocks again changes no byte, for any method."""
    for room in ("merge", "stack"):
        monkeypatch.setattr(f"hala.weights.{room}.BLOCK", 1000)
    for method, tuned in (("slerp", [folders["tuned"]]), ("ties", [folders["tuned"], folders["lfm2"]])):
        mix = Mix(method, t=0.3, density=0.4)
        merge(folders["lfm2"], tuned, tmp_path / f"{method}-held", mix)
        with monkeypatch.context() as patch:
            patch.setattr("hala.weights.stack.HELD_BYTES", -1)
            merge(folders["lfm2"], tuned, tmp_path / f"{method}-read", mix)
        one, other = (load_file(tmp_path / f"{method}-{way}" / "model.safetensors") for way in ("held", "read"))
        assert all(torch.equal(one[name], other[name]) for name in one)


class Killed(BaseException):
    """An end that nothing catches."""


def test_exact_merges_continue_only_on_equal_terms(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed half-way, `mode: exact` ends with the same bytes; begun in another mode or on other threads it does not mix."""
    terms = {"torch": "2", "threads": 2, "instructions": "AVX2"}
    monkeypatch.setattr("hala.weights.exact_slerp.conditions", lambda: terms)

    def run(out: str, mode: str = "exact", kill_at: float = 1.0) -> None:
        def kill(done: int, total: int) -> None:
            if done > total * kill_at:
                raise Killed

        merge(folders["lfm2"], folders["tuned"], tmp_path / out, Mix(t=0.3, mode=mode), shard_bytes=40_000, progress=kill)

    run("whole")
    with pytest.raises(Killed):
        run("killed", kill_at=0.5)
    with pytest.raises(DriftError, match=r"\(conditions, mode\)"):
        run("killed", mode="float64-sums")
    terms["threads"] = 3
    with pytest.raises(DriftError, match=r"\(conditions\)"):
        run("killed")
    terms["threads"] = 2
    assert len((tmp_path / ".killed.partial" / "journal.jsonl").read_text().splitlines()) > 1
    run("killed")
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "killed" / file.name).read_bytes() == file.read_bytes(), file.name


def test_whole_numbers_must_agree(folders: dict[str, Path], tmp_path: Path) -> None:
    """A tensor of integers is copied when both have the same, and an error that names both files when not."""
    ends = {}
    for name, value in (("lfm2", 3), ("tuned", 3), ("other", 4)):
        ends[name] = shutil.copytree(folders["lfm2"], tmp_path / name)
        counts = torch.full((5,), value, dtype=torch.int64)
        save_file(load_file(ends[name] / "model.safetensors") | {"counts": counts}, ends[name] / "model.safetensors")
    merge(ends["lfm2"], ends["tuned"], tmp_path / "same")
    assert load_file(tmp_path / "same" / "model.safetensors")["counts"].tolist() == [3] * 5
    with pytest.raises(InputError, match=r"counts is I64 and differs between .*lfm2/model\.safetensors and .*other/"):
        merge(ends["lfm2"], ends["other"], tmp_path / "different")
