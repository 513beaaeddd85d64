"""Pieces of tensors on their way to the disk: each in its place, digested as they come, and not kept in memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from hala.digests import digest_file, take
from hala.weights import disk
from hala.weights.disk import Shard, Wake
from hala.weights.layout import Output, Unit


def unit(name: str, count: int, dtype: str = "U8") -> Unit:
    """A unit of one vector."""
    return Unit(name, (Output(name, dtype, (count,)),))


def write(shard: Shard, name: str, start: int, values: np.ndarray) -> int:
    """Writes with a descriptor of its own, as a thread does."""
    with shard.opened() as descriptor:
        return shard.write(descriptor, name, start, values)


@pytest.mark.parametrize(("start", "values"), [(2, np.ones(3, np.float32)), (0, np.ones(4)), (-1, np.ones(1, np.float32))])
def test_a_piece_that_was_not_planned_is_refused(tmp_path: Path, start: int, values: np.ndarray) -> None:
    """A wrong dtype or place would corrupt a neighbour silently."""
    shard = Shard(tmp_path / "shard", [unit("t", 4, "F32")], Wake())
    with pytest.raises(ValueError, match="planned F32"):
        write(shard, "t", start, values)


def test_pieces_in_any_order_make_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letting go of what is written loses nothing, also where pieces share a page."""
    monkeypatch.setattr(disk, "MOST", 20_000)
    values = {name: np.random.default_rng(seed).random(23_331, np.float32) for seed, name in enumerate("ab")}
    shard = Shard(tmp_path / "shard", [unit(name, 23_331, "F32") for name in values], Wake())
    places = [(name, first) for name in values for first in range(0, 23_331, 1_111)]
    np.random.default_rng(0).shuffle(places)
    for name, first in places:
        assert write(shard, name, first, values[name][first : first + 1_111]) == 4_444
    read = load_file(tmp_path / "shard")
    assert all(np.array_equal(read[name], array) for name, array in values.items())


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_the_digest_is_that_of_the_file(tmp_path_factory: pytest.TempPathFactory, order: list[int], before: set[int]) -> None:
    """Whatever order units are finished in, and whichever an earlier call has made: never more is digested than is there."""
    file, units = tmp_path_factory.mktemp("shards") / "shard", [unit(f"t{n}", 100 * n, "U8") for n in range(5)]
    shard = Shard(file, units, Wake())
    for n in before:
        write(shard, f"t{n}", 0, np.full(100 * n, n, np.uint8))
    shard = Shard(file, units, Wake(), [units[n].key for n in before])
    for n in order:
        if n not in before:
            write(shard, f"t{n}", 0, np.full(100 * n, n, np.uint8))
            shard.finished(units[n])
        shard.follow(Event())
        assert all(shard.digest.done <= shard.places[name][0] for name in shard.missing)
    assert take(file) == digest_file(file) == shard.digest.hexdigest()
    assert take(file) is None  # taken once


def test_the_last_to_follow_waits_for_others(tmp_path: Path) -> None:
    """While one thread digests, another need not; but at the end nobody goes on before the digest is there."""
    shard = Shard(tmp_path / "shard", [unit("t", 0)], Wake())
    shard.finished(unit("t", 0))
    shard.reading.acquire()
    shard.follow(Event())
    assert not shard.digest.done
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(shard.follow, Event(), last=True)
        shard.reading.release()
        last.result()
    assert shard.digest.done == shard.size


def test_a_file_that_is_cut_off_or_stopped_has_no_digest(tmp_path: Path) -> None:
    """No digest is left for less than the whole file, and following one that was damaged ends."""
    shard = Shard(tmp_path / "shard", [unit("t", 10_000)], Wake())
    write(shard, "t", 0, np.zeros(10_000, np.uint8))
    shard.finished(unit("t", 10_000))
    stop = Event()
    stop.set()
    shard.follow(stop)
    assert take(tmp_path / "shard") is None
    os.truncate(tmp_path / "shard", 5_000)
    shard.follow(Event())
    assert take(tmp_path / "shard") is None


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
@pytest.mark.parametrize("digested", [False, True])
def test_what_was_written_long_ago_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digested: bool) -> None:
    """Every byte goes to the disk at once; memory is left to the source soon where the digest has passed, and late elsewhere."""
    advised: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, size, __: advised.append(start + size))
    monkeypatch.setattr(disk, "LEAST", 25_000)
    monkeypatch.setattr(disk, "MOST", 45_000)
    units = [unit(f"t{n}", 10_000) for n in range(9)]
    shard = Shard(tmp_path / "shard", units, Wake())
    ends = [shard.places[f"t{n}"][0] + 10_000 for n in range(9)]
    for n in range(9):
        write(shard, f"t{n}", 0, np.zeros(10_000, np.uint8))
        if digested:
            shard.finished(units[n])
            shard.follow(Event())
    twice = [end for end in ends if advised.count(end) == 2]
    assert sorted(set(advised)) == ends
    assert twice == ends[: 7 if digested else 5]
