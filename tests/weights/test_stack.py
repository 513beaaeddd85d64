"""One tensor of several checkpoints side by side: the same blocks whether they are kept or read again."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from hala.errors import InputError
from hala.weights import stack
from hala.weights.headers import TensorInfo, read_header
from hala.weights.methods import geometry, measure
from hala.weights.numerics import Scratch
from hala.weights.stack import Stack

KINDS = (np.float32, ml_dtypes.bfloat16, np.float16)


@pytest.fixture
def infos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[TensorInfo]:
    """A tensor of 1,000 elements in three files and dtypes, seen in blocks of 300."""
    monkeypatch.setattr(stack, "BLOCK", 300)
    found = []
    for seed, kind in enumerate(KINDS):
        save_file({"w": np.random.default_rng(seed).standard_normal(1_000).astype(kind)}, tmp_path / f"{seed}.safetensors")
        found.append(read_header(tmp_path / f"{seed}.safetensors")["w"])
    return found


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_blocks_are_those_of_the_files(held: int, infos: list[TensorInfo], monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept in memory or not, once or again, all or a part: the values are those stored, in float32."""
    monkeypatch.setattr(stack, "HELD_BYTES", held)
    made = Stack(infos, Scratch())
    expected = [np.random.default_rng(seed).standard_normal(1_000).astype(kind) for seed, kind in enumerate(KINDS)]
    for ends, first, count in ((2, 300, 600), (None, 0, None), (None, 0, 1_000), (3, 900, 100)):
        starts = []
        for start, values in made.blocks(ends, first, count):
            starts.append(start)
            for value, whole in zip(values, expected, strict=False):
                assert np.array_equal(value, whole[start : start + len(value)].astype(np.float32))
                value[:] = 0  # the next step may overwrite them
        assert starts == list(range(first, first + (1_000 if count is None else count), 300))
    for start, raw in made.stored(1):
        assert raw.tobytes() == expected[1][start : start + 300].tobytes()


def test_sums_of_parts_are_the_geometry(infos: list[TensorInfo]) -> None:
    """Measured in parts by several threads, a pair has the very geometry of one pass."""
    made = Stack(infos, Scratch())
    parts = [block for first in (0, 600) for block in made.sums(first, min(600, 1_000 - first))]
    assert geometry(parts) == measure(lambda: made.blocks(2))


def test_a_damaged_checkpoint_is_named(infos: list[TensorInfo], tmp_path: Path) -> None:
    """NaN or Inf is an error with the file, be it in the first two or in a further one."""
    for number in (1, 2):
        values = np.zeros(1_000, np.float32)
        values[950] = np.nan
        save_file({"w": values}, tmp_path / "bad.safetensors")
        made = Stack([*infos[:number], read_header(tmp_path / "bad.safetensors")["w"]], Scratch())
        found = made.first_damaged()
        assert found is not None and found.file.name == "bad.safetensors"
    with pytest.raises(InputError, match=r"w has NaN or Inf values in .*bad\.safetensors"):
        list(made.blocks())
