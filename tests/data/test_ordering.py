"""Rows come back in the order of their places, whole, and an order that was not finished is begun again."""

from __future__ import annotations

import random
from pathlib import Path

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


def test_what_was_not_finished_is_begun_again(tmp_path: Path) -> None:
    """Rows of an attempt that never ended are gone."""
    with Ordered(tmp_path / "order") as ordered:
        ordered.add([(0.5, 0, 0, 0, ODD)])
    with Ordered(tmp_path / "order") as ordered:
        assert not ordered.finished and not list(ordered)
