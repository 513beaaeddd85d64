"""Outputs made on all cores: in order, with results in order, and nothing but what was planned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.weights import stream
from hala.weights.layout import Output
from hala.weights.making import Line, Making, Piece, Write, in_spans
from hala.weights.stream import Stream, Window


@pytest.fixture(autouse=True)
def small_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that is smaller than the file."""
    monkeypatch.setattr(stream, "SLOT", 4096)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Threads that make and write."""
    with ThreadPoolExecutor(3) as made:
        yield made


def run(outputs: list[Output], make: Callable[[str], Making], file: Path, pool: Executor, slots: int = 2) -> list[Any]:
    """Makes a file of outputs that lie one after the other; gives the notes in the order in which they came."""
    ends = np.cumsum([output.size for output in outputs]).tolist()
    places = {output.name: end - output.size for output, end in zip(outputs, ends, strict=True)}
    made, notes = Stream(file, ends[-1], Window(slots), pool), []
    try:
        Line(made, places, make, pool, 6).run(outputs, lambda output, note: notes.append((output.name, note)), lambda: None)
        made.finish()
    finally:
        made.close()
    return notes


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(400, 3_000), st.integers(0, 2)), min_size=1, max_size=12))
def test_every_output_is_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, pool: Executor, plan: list[tuple[int, int, int]]
) -> None:
    """Whatever the sizes, pieces and rounds before, the file is the outputs in order, and each note has its own results."""
    outputs = [Output(f"t{n:02d}", "U16", (count,)) for n, (count, _, _) in enumerate(plan)]
    file = tmp_path_factory.mktemp("made") / "file"

    def make(name: str) -> Making:
        number = int(name[1:])
        count, step, rounds = plan[number]
        total = 0
        for _ in range(rounds):
            total += sum((yield [partial(int, first) for first, _ in in_spans(count, step)]))

        def some(first: int, size: int, write: Write) -> int:
            if first % 3 == 0:
                time.sleep(0.0005)  # late ones must not change places
            write(first, np.arange(first, first + size, dtype=np.uint16) + np.uint16(number))
            return first

        firsts = yield [Piece(first, size, partial(some, first, size)) for first, size in in_spans(count, step)]
        return {"total": total, "firsts": firsts}

    notes = run(outputs, make, file, pool)
    expected = [np.arange(count, dtype=np.uint16) + np.uint16(n) for n, (count, _, _) in enumerate(plan)]
    assert file.read_bytes() == b"".join(values.tobytes() for values in expected)
    for (name, note), output, (count, step, rounds) in zip(notes, outputs, plan, strict=True):
        firsts = list(range(0, count, step))
        assert (name, note) == (output.name, {"total": rounds * sum(firsts), "firsts": firsts})


def test_a_piece_larger_than_the_window_is_made_room_for(tmp_path: Path, pool: Executor) -> None:
    """A single huge row needs memory, not another program."""
    values = np.arange(100_000, dtype=np.uint8)

    def make(name: str) -> Making:
        yield [Piece(0, 100_000, lambda write: write(0, values))]
        return {}

    run([Output(name, "U8", (100_000,)) for name in "abc"], make, tmp_path / "file", pool)
    assert (tmp_path / "file").read_bytes() == 3 * values.tobytes()


GOOD = np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([Piece(0, 4, lambda write: write(2, GOOD))], "planned F32 0 to 4"),
        ([Piece(0, 4, lambda write: write(0, GOOD.astype(np.float64)))], "planned F32 0 to 4"),
        ([Piece(0, 4, lambda write: write(-1, GOOD[:1]))], "planned F32 0 to 4"),
        ([Piece(0, 4, lambda write: write(0, GOOD[:3]))], "made 3 of 4"),
        ([Piece(0, 3, lambda write: write(0, GOOD[:3]))], "made 3 of 4"),
        ([Piece(0, 2, lambda write: write(0, GOOD[:2])), Piece(3, 1, lambda write: write(3, GOOD[:1]))], "3 follows on 2"),
    ],
)
def test_what_was_not_planned_is_refused(tmp_path: Path, pool: Executor, pieces: list[Piece], message: str) -> None:
    """A wrong dtype, place or number of elements would corrupt a neighbour or leave a hole, silently."""

    def make(_: str) -> Making:
        yield pieces
        return {}

    with pytest.raises(ValueError, match=message):
        run([Output("t", "F32", (4,))], make, tmp_path / "file", pool)


def test_an_error_comes_after_all_before_it(tmp_path: Path, pool: Executor) -> None:
    """The first damaged tensor in the order of the file is the one that is named, on any machine."""

    def make(name: str) -> Making:
        def fail(_: Write) -> None:
            time.sleep(0.02 if name == "b" else 0)
            raise RuntimeError(name)

        yield [Piece(0, 1, fail if name in "bcd" else lambda write: write(0, np.zeros(1, np.uint8)))]
        return {}

    with pytest.raises(RuntimeError, match="b"):
        run([Output(name, "U8", (1,)) for name in "abcd"], make, tmp_path / "file", pool)


def test_errors_between_rounds_keep_the_order_too(tmp_path: Path, pool: Executor) -> None:
    """What is found wrong after measuring waits for its turn, and so do errors in measuring."""

    def make(name: str) -> Making:
        yield [partial(time.sleep, 0.03 if name == "b" else 0)]
        if name in "bd":
            raise RuntimeError(name)
        yield [partial(int, "x" if name == "c" else "1")]
        yield [Piece(0, 1, lambda write: write(0, np.zeros(1, np.uint8)))]
        return {}

    with pytest.raises(RuntimeError, match="b"):
        run([Output(name, "U8", (1,)) for name in "abcd"], make, tmp_path / "file", pool)
    with pytest.raises(ValueError, match="invalid literal"):
        run([Output(name, "U8", (1,)) for name in "acd"], make, tmp_path / "file", pool)


def test_only_what_fits_into_the_window_is_begun(tmp_path: Path, pool: Executor) -> None:
    """However slow the disk or the first output, what later ones hold in memory is bounded by the window."""
    begun: list[str] = []

    def slow(write: Write) -> None:
        time.sleep(0.05)
        assert len(begun) <= 4  # two slots of 4096 bytes hold the beginnings of four
        write(0, np.zeros(2_500, np.uint8))

    def make(name: str) -> Making:
        begun.append(name)
        yield [Piece(0, 2_500, slow if name == "t0" else lambda write: write(0, np.zeros(2_500, np.uint8)))]
        return {}

    run([Output(f"t{n}", "U8", (2_500,)) for n in range(9)], make, tmp_path / "file", pool)
    assert len(begun) == 9
