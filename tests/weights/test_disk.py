"""Pieces of tensors on their way to the disk: each in its place, and not kept in memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hala.weights import disk
from hala.weights.disk import Shard
from hala.weights.layout import Output, Unit

VECTOR = (Unit("t", (Output("t", "F32", (4,)),)),)


@pytest.mark.parametrize(("start", "values"), [(2, np.ones(3, np.float32)), (0, np.ones(4)), (-1, np.ones(1, np.float32))])
def test_a_piece_that_was_not_planned_is_refused(tmp_path: Path, start: int, values: np.ndarray) -> None:
    """A wrong dtype or place would corrupt a neighbour silently."""
    shard = Shard(tmp_path / "shard", VECTOR)
    with shard.opened() as descriptor, pytest.raises(ValueError, match="planned F32"):
        shard.write(descriptor, "t", start, values)


def test_pieces_in_any_order_make_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letting go of what is written loses nothing, also where pieces share a page."""
    monkeypatch.setattr(disk, "BEHIND", 20_000)
    values = {name: np.random.default_rng(seed).random((3, 7_777), np.float32) for seed, name in enumerate("ab")}
    shard = Shard(tmp_path / "shard", [Unit(name, (Output(name, "F32", array.shape),)) for name, array in values.items()])
    places = [(name, first) for name in values for first in range(0, 23_331, 1_111)]
    np.random.default_rng(0).shuffle(places)
    for name, first in places:
        with shard.opened() as descriptor:
            assert shard.write(descriptor, name, first, values[name].reshape(-1)[first : first + 1_111]) == 4_444
    read = load_file(tmp_path / "shard")
    assert all(np.array_equal(read[name], array) for name, array in values.items())


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_what_was_written_long_ago_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte is handed to the disk at once, and let go when `BEHIND` bytes came after it: memory is left to the source."""
    advised: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, size, __: advised.append((start, size)))
    monkeypatch.setattr(disk, "BEHIND", 30_000)
    shard = Shard(tmp_path / "shard", [Unit("t", (Output("t", "U8", (100_000,)),))])
    begin = shard.places["t"][0]
    with shard.opened() as descriptor:
        for first in range(0, 100_000, 10_000):
            shard.write(descriptor, "t", first, np.zeros(10_000, np.uint8))
    given = [(begin + first, 10_000) for first in range(0, 100_000, 10_000)]
    assert [each for each in advised if each in given] == given
    freed = [each for each in advised if each not in given]
    ends = [start + size for start, size in freed]
    assert ends == [start + size for start, size in given[:7]]
    assert all(start % disk.PAGE == 0 and start <= planned for (start, _), (planned, _) in zip(freed, given, strict=False))
