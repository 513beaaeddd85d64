"""The nouns: plain data that nobody changes, and what a row's text is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mypy import api as mypy

from hala import records
from hala.records import KEPT, Message, Row, rejected


def test_text_joins_all_messages() -> None:
    """Length, language and duplicate checks look at every message, in order."""
    assert Row("a", (Message("user", "Hi"), Message("assistant", "Hello"))).text == "Hi\nHello"


def test_rows_cannot_be_changed(tmp_path: Path) -> None:
    """A row that flows between rooms is never altered in place: the type checker, which sees all of hala, refuses it."""
    file = tmp_path / "changes.py"
    file.write_text("from hala.records import Row\n\nrow = Row('a', ())\nrow.lang = 'ar'\nrow.lang = row.id\n", encoding="utf-8")
    said, _, code = mypy.run(["--strict", "--cache-dir", str(tmp_path), str(file)])
    assert code == 1 and [line.split(":")[1] for line in said.splitlines() if "read-only" in line] == ["4", "5"], said


def test_every_noun_is_slotted_and_hashable() -> None:
    """No noun grows an undeclared attribute on the way, and equal ones count as one in a set."""
    nouns = [value for value in vars(records).values() if dataclasses.is_dataclass(value) and isinstance(value, type)]
    assert len(nouns) == 8
    assert all(hasattr(noun, "__slots__") for noun in nouns)
    assert len({Message("user", "Hi"), Message("user", "Hi"), Message("user", "Hello")}) == 2


def test_verdicts() -> None:
    """Kept is the verdict without a reason; a rejection carries its slug and its detail."""
    assert KEPT.kept and not KEPT.reason
    assert rejected("empty", "nothing") == records.Verdict(False, "empty", "nothing")


def test_notes_are_not_shared() -> None:
    """Two rows never share one dictionary of notes."""
    assert Row("a", ()).notes is not Row("b", ()).notes
