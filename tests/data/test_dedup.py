"""Equal texts are found whatever their spelling, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

from hala.data.dedup import Seen, row_key
from hala.records import Message, Row

ROW = Row("a/0", (Message("user", "Hello  World"), Message("assistant", "Hi")))


def key(text: str) -> bytes:
    """The key of a row of one message."""
    return row_key(Row("", (Message("text", text),)))


def test_same_text() -> None:
    """Texts that are written in two ways are one: the normaliser decides (test_normaliser)."""
    assert key("The  Café ") == key("the café") and key("مُحَمَّدٌ") == key("محمد") and key("إلى ٢٠٢٥") == key("الي 2025")


def test_different_text() -> None:
    """Punctuation and letters make a difference."""
    assert len({key(text) for text in ("a b", "ab", "a-b", "a b?", "علم", "عالم")}) == 6


def test_first_is_kept_and_order_stays() -> None:
    """The first of equal rows is kept, later ones name it, even the very same object."""
    later = replace(ROW, id="a/1", messages=(Message("user", "hello world"), Message("assistant", "hi")))
    seen = Seen()
    verdicts = [seen.check(row) for row in (ROW, later, ROW)]
    assert [verdict.kept for verdict in verdicts] == [True, False, False]
    assert verdicts[1].reason == "duplicate" and "a/0" in verdicts[1].detail
    assert len(seen) == 1


def test_roles_borders_and_originals_count() -> None:
    """Rows that differ in a role, in where a message ends or in their original are different."""
    rows = [
        ROW,
        replace(ROW, messages=(Message("user", "Hello World Hi"),)),
        replace(ROW, messages=(Message("system", "Hello World"), Message("assistant", "Hi"))),
        replace(ROW, original=(Message("user", "x"), Message("assistant", "y"))),
    ]
    assert len({row_key(row) for row in rows}) == 4
