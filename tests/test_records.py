"""The nouns: frozen plain data, and what a row's text is."""

from __future__ import annotations

import dataclasses

import pytest

from hala import records
from hala.records import KEPT, Message, Row, rejected


def test_text_joins_all_messages() -> None:
    """Length, language and duplicate checks look at every message, in order."""
    assert Row("a", (Message("user", "Hi"), Message("assistant", "Hello"))).text == "Hi\nHello"


def test_rows_cannot_be_changed() -> None:
    """A row that flows between rooms is never altered in place."""
    row = Row("a", ())
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.lang = "ar"  # type: ignore[misc]


def test_every_noun_is_frozen_and_slotted() -> None:
    """No noun grows an undeclared attribute on the way."""
    nouns = [value for value in vars(records).values() if dataclasses.is_dataclass(value) and isinstance(value, type)]
    assert len(nouns) == 8
    assert all(noun.__dataclass_params__.frozen and hasattr(noun, "__slots__") for noun in nouns)


def test_verdicts() -> None:
    """Kept is the verdict without a reason; a rejection carries its slug and its detail."""
    assert KEPT.kept and not KEPT.reason
    assert rejected("empty", "nothing") == records.Verdict(False, "empty", "nothing")


def test_notes_are_not_shared() -> None:
    """Two rows never share one dictionary of notes."""
    assert Row("a", ()).notes is not Row("b", ()).notes
