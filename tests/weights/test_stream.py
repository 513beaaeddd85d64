"""A file on its way to the disk: the bytes and the digest are right however they come and whichever way they are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.digests import digest_file, take
from hala.weights import stream
from hala.weights.checkpoint import Array
from hala.weights.stream import Stream, Window

SLOT = 4096
DATA = np.random.default_rng(0).integers(0, 256, 50_000, np.uint8)


@pytest.fixture(autouse=True)
def small_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots of a page."""
    monkeypatch.setattr(stream, "SLOT", SLOT)


@pytest.fixture(scope="module")
def disk() -> Iterator[Executor]:
    """Threads that write."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def fill(made: Stream, data: Array, ends: list[int]) -> None:
    """Places the parts between the ends, the second of each two first, wherever they fit."""
    spans = list(zip([made.complete, *ends], [*ends, data.size], strict=True))
    for pair in zip(spans[::2], [*spans[1::2], None], strict=False):
        for start, end in reversed([span for span in pair if span]):
            while not made.fits(end):
                made.settle(wait=True)
            made.place(start, data[start:end])
        made.advance(max(span[1] for span in pair if span))


@given(st.sets(st.integers(1, DATA.size - 1), max_size=40), st.integers(0, DATA.size - 1), st.integers(0, DATA.size))
def test_parts_in_any_order_make_the_file(
    tmp_path_factory: pytest.TempPathFactory, disk: Executor, cuts: set[int], begin: int, size: int
) -> None:
    """Parts of any size, begun anew or continued anywhere, are the file in the end, and its digest is left when all was seen."""
    file, begin = tmp_path_factory.mktemp("streams") / "file", min(begin, size)
    file.write_bytes(DATA[:begin].tobytes())
    made = Stream(file, size, Window(40), disk, begin)
    fill(made, DATA[:size], sorted(cut for cut in cuts if begin < cut < size))
    made.finish()
    made.close()
    assert file.read_bytes() == DATA[:size].tobytes()
    assert take(file) == (None if begin else digest_file(file))


@pytest.mark.parametrize("way", ["direct", "no flag", "refused", "refused later", "small"])
def test_every_way_to_the_disk_ends_with_the_same_bytes(
    way: str, tmp_path: Path, disk: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systems and file systems without direct writing, or with other ideas of alignment, get the same file."""
    flag, real_open, real_put, used = os.O_DIRECT, os.open, stream.put, []

    def refuse(path: str, flags: int, *more: int) -> int:
        if flags & flag:
            raise OSError(errno.EINVAL, "no direct writing here")
        return real_open(path, flags, *more)

    def put(descriptor: int, position: int, data: Array) -> None:
        used.append(descriptor == made.direct)
        if used[-1] and way == "refused later":
            raise OSError(errno.EINVAL, "other alignment")
        real_put(descriptor, position, data)

    if way == "no flag":
        monkeypatch.delattr(os, "O_DIRECT")
    if way == "refused":
        monkeypatch.setattr(os, "open", refuse)
    made = Stream(tmp_path / "file", DATA.size, Window(2), disk, large=way != "small")
    monkeypatch.setattr(stream, "put", put)
    made.append(DATA.tobytes())
    made.finish()
    made.close()
    assert (tmp_path / "file").read_bytes() == DATA.tobytes()
    assert any(used) == (way in ("direct", "refused later"))
    assert used.count(False) == (DATA.size // SLOT + 1 if way != "direct" else 1)  # the last part is no whole page


def test_errors_of_the_disk_reach_the_caller(tmp_path: Path, disk: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is noticed, no digest is left, and nothing hangs."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stream, "put", full)
    made = Stream(tmp_path / "file", DATA.size, Window(2), disk)
    with pytest.raises(OSError, match="No space left"):
        made.append(DATA.tobytes())
    made.close()
    assert take(tmp_path / "file") is None


def test_a_window_grows_and_loses_nothing(tmp_path: Path, disk: Executor) -> None:
    """What is larger than the window is made room for; what was placed before stays."""
    made = Stream(tmp_path / "file", DATA.size, Window(2), disk)
    made.append(DATA[:5_000].tobytes())
    made.place(6_000, DATA[6_000:7_000])
    while made.writes:
        made.settle(wait=True)
    assert not made.fits(30_000)
    made.grow(30_000)
    assert made.fits(30_000)
    made.place(7_000, DATA[7_000:30_000])
    made.place(5_000, DATA[5_000:6_000])
    made.advance(30_000)
    made.append(DATA[30_000:].tobytes())
    made.finish()
    made.close()
    assert (tmp_path / "file").read_bytes() == DATA.tobytes()
    assert take(tmp_path / "file") == digest_file(tmp_path / "file")


def test_nothing_is_written_before_all_before_it_is_there(tmp_path: Path, disk: Executor) -> None:
    """What counts as written is on the disk: a journal may believe it after a kill."""
    made = Stream(tmp_path / "file", DATA.size, Window(40), disk)
    made.place(SLOT, DATA[SLOT : 3 * SLOT])
    made.settle()
    assert made.written == 0
    made.place(0, DATA[:SLOT])
    made.advance(3 * SLOT - 1)
    while made.writes:
        made.settle(wait=True)
    assert made.written == 2 * SLOT
    assert (tmp_path / "file").read_bytes()[: 2 * SLOT] == DATA[: 2 * SLOT].tobytes()
    made.close()
