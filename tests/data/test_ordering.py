"""Rows come back in the order of their places, whole, and an order that was not finished is begun again."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from hala.data import ordering
from hala.data.ordering import Ordered
from hala.records import Message, Row

ODD = Row(
    "صف/١ \ud800",
    (Message("user", "a\x00b\n\u2028 \ud800"), Message("assistant", "")),
    "ar",
    "demo",
    "MIT",
    (Message("user", "ف"), Message("assistant", "{}")),
    {"kept": "0 2"},
)


def test_rows_come_back_in_order_and_whole(tmp_path: Path) -> None:
    """Places decide, then the number of the row, then that of the copy; every field survives, lone surrogates too."""
    rows = [(random.Random(i).choice([0.0, 1e-17, 0.25, 0.5, 1.0]), i // 2, i % 2, i % 3) for i in range(500)]
    shuffled = random.Random(0).sample(rows, len(rows))
    with Ordered(tmp_path / "order") as ordered:
        for start in range(0, 500, 90):
            ordered.add((*each, Row(str(each), ())) for each in shuffled[start : start + 90])
        ordered.add([(2.0, 0, 0, 7, ODD)])
        ordered.finish()
        *found, last = ordered
    assert [row.id for _, row in found] == [str(each) for each in sorted(rows)] and last == (7, ODD)
    with Ordered(tmp_path / "order") as ordered:
        assert ordered.finished and len(list(ordered)) == 501


def test_files_stay_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows come, no more than some hundred files are open while they are merged."""
    monkeypatch.setattr(ordering, "WRITE_BUFFER", 64 << 10)
    monkeypatch.setattr(ordering, "MOST_RUNS", 8)
    chance, text = random.Random(0), "".join(chr(97 + number * number % 26) for number in range(2000))
    with Ordered(tmp_path / "order") as ordered:
        for start in range(0, 4000, 100):
            texts = {number: Row(f"{number}", (Message("user", text),)) for number in range(start, start + 100)}
            ordered.add((chance.random(), number, 0, 0, row) for number, row in texts.items())
        ordered.finish()
        rows = iter(ordered)
        next(rows)
        opened = [os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink() and file.exists()]
        assert sum(name.endswith(".sst") for name in opened) <= 20
        assert len({row.id for _, row in rows}) == 3999


def test_what_was_not_finished_is_begun_again(tmp_path: Path) -> None:
    """Rows of an attempt that never ended are gone."""
    with Ordered(tmp_path / "order") as ordered:
        ordered.add([(0.5, 0, 0, 0, ODD)])
    with Ordered(tmp_path / "order") as ordered:
        assert not ordered.finished and not list(ordered)
