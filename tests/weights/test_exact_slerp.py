"""`mode: exact` against mergekit's own slerp, byte by byte: dtypes, shapes, chunks, thread counts and degenerate pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hala.weights.checkpoint import Array, numpy_dtype
from hala.weights.headers import read_header
from hala.weights.layout import Output
from hala.weights.making import Making, Piece, Task
from hala.weights.merge import MergedTensor, Recipe, merge_tensor
from hala.weights.numerics import Scratch
from hala.weights.stack import Stack

kit = pytest.importorskip("mergekit.merge_methods.slerp", reason="mergekit is not installed: pip install mergekit")

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
SHAPES = {
    "one value": (1,),
    "scalar": (),
    "empty": (0, 8),
    "row": (70_001,),
    "matrix": (300, 517),
    "convolution": (512, 1, 3),
    "embedding of two chunks": (4_099, 300),
    "three chunks and a bit": (3, 1_048_583),
}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Torch on one and on two threads, which add up in different orders."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def merged(folder: Path, base: torch.Tensor, tuned: torch.Tensor, t: float, out: str, mode: str = "exact") -> tuple[bytes, str]:
    """The bytes that hala makes of two tensors, and the branch."""
    infos = []
    for name, tensor in (("base", base), ("tuned", tuned)):
        save_file({"w": tensor}, folder / f"{name}.safetensors")
        infos.append(read_header(folder / f"{name}.safetensors")["w"])
    values = np.zeros(base.numel(), numpy_dtype(out))
    recipe = Recipe("slerp", t, (1.0,), mode=mode)
    note = drive(merge_tensor(Stack(infos, Scratch()), Output("w", out, tuple(base.shape)), recipe, "nearest"), values)  # type: ignore[arg-type]
    return values.tobytes(), note.branch


def drive(steps: Making, values: Array) -> MergedTensor:
    """Runs all tasks of a making, here and now; its pieces go into `values`."""
    results: list[Any] | None = None
    try:
        while True:
            results = [run(task, values) for task in steps.send(results)]  # type: ignore[arg-type]
    except StopIteration as end:
        note: MergedTensor = end.value
        return note


def run(task: Piece | Task, values: Array) -> Any:
    """The result of a task."""

    def write(start: int, made: Array) -> None:
        values[start : start + made.size] = made

    return task.task(write) if isinstance(task, Piece) else task()


def theirs(base: torch.Tensor, tuned: torch.Tensor, t: float, out: str) -> bytes:
    """The bytes that mergekit makes of them, called as its executor calls it: a batch of one, in float32."""
    from mergekit.merge_methods.base import TensorGroup

    group = TensorGroup.from_tensors([base, tuned], base_index=0)
    options = {"dtype": torch.float32, "out_dtype": DTYPES[out]}
    (result,) = kit.slerp_merge_method((group,), parameters={"t": t}, **options)
    return bytes(result.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def pair(shape: tuple[int, ...], move: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of usual size, and the same with noise of `move` times their size."""
    generator = torch.Generator().manual_seed(seed)
    base, noise = (0.02 * torch.randn(shape, generator=generator) for _ in range(2))
    return base, base + move * noise


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_has_mergekits_bytes(shape: tuple[int, ...], threads: int, tmp_path: Path) -> None:
    """BF16 weights at a right angle and at 35 degrees, below and above the chunk that mergekit sums at once."""
    for number, move in enumerate((0.7, 60.0)):
        base, tuned = (tensor.bfloat16() for tensor in pair(shape, move, number))
        for out in ("BF16", "F32"):
            ours, _ = merged(tmp_path, base, tuned, 0.3, out)
            assert ours == theirs(base, tuned, 0.3, out)


@pytest.mark.parametrize("tuned", DTYPES)
@pytest.mark.parametrize("base", DTYPES)
def test_every_dtype_has_mergekits_bytes(base: str, tuned: str, tmp_path: Path) -> None:
    """Checkpoints of any two dtypes, results of any third, at ordinary and at odd places, the ends among them."""
    one, other = pair((1_100, 1_000), 0.5)
    one, other = one.to(DTYPES[base]), other.to(DTYPES[tuned])
    for t, out in ((0.5, "BF16"), (0.9, "F32"), (1 / 3, "F16"), (0.0, "BF16"), (1.0, "F32"), (1e-3, "F32")):
        ours, branch = merged(tmp_path, one, other, t, out)
        assert branch == "slerp"
        assert ours == theirs(one, other, t, out)


def degenerate() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Pairs that have no angle, none to speak of, or one of 180 degrees; and values that have two zeros."""
    base, tuned = pair((40_000,), 0.3)
    zero, near = torch.zeros(40_000), pair((40_000,), 0.001)[1]
    signs = torch.where(base > 0, base, -0.0 * base.abs())
    return {
        "base is zero": (zero, tuned),
        "tuned is zero": (base, zero),
        "both are zero": (zero, zero),
        "too small for a norm": (base * 1e-10, tuned * 1e-10),
        "equal": (base, base),
        "nearly parallel": (base, near),
        "antipodal": (base, -base),
        "nearly antipodal": (base, -near),
        "zeros of both signs": (signs, -signs + torch.where(base > 0, tuned, 0.0)),
    }


@pytest.mark.parametrize("name", degenerate())
def test_degenerate_pairs_have_mergekits_bytes(name: str, threads: int, tmp_path: Path) -> None:
    """Where nothing can be divided by, or the great circle is a line or undefined, the way out is mergekit's too."""
    base, tuned = degenerate()[name]
    for t in (0.0, 0.3, 0.9, 1.0):
        ours, _ = merged(tmp_path, base, tuned, t, "F32")
        assert ours == theirs(base, tuned, t, "F32"), t


def test_the_border_between_line_and_sphere_is_mergekits(tmp_path: Path) -> None:
    """Cosines within a few float32 steps of 0.9995 go the same way in both."""
    base, noise = pair((5_000,), 1.0)
    noise = noise - base
    noise -= base * (noise @ base) / (base @ base)
    noise *= base.norm() / noise.norm()
    slope = (1 / 0.9995**2 - 1) ** 0.5
    branches = set()
    for step in range(-24, 25):
        tuned = base + noise * slope * (1 + 2e-5 * step / 8)
        ours, branch = merged(tmp_path, base, tuned, 0.5, "F32")
        assert ours == theirs(base, tuned, 0.5, "F32")
        branches.add(branch)
    assert branches == {"linear", "slerp"}


def test_the_default_is_nearer_to_the_formula(tmp_path: Path) -> None:
    """What `mode: exact` costs: float32 sums of a million squares are off by 4e-5, which moves more BF16 values."""
    base, tuned = (tensor.bfloat16() for tensor in pair((2_000, 1_500), 2.0))
    a, b = (tensor.double().flatten() for tensor in (base, tuned))
    angle = torch.acos((a @ b) / (a.norm() * b.norm()))
    formula = ((torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)).bfloat16()
    apart = {}
    for mode in ("exact", "float64-sums"):
        made, _ = merged(tmp_path, base, tuned, 0.3, "BF16", mode)
        apart[mode] = int((torch.frombuffer(bytearray(made), dtype=torch.bfloat16) != formula).sum())
    assert apart["float64-sums"] * 10 < apart["exact"] < 0.01 * base.numel()
