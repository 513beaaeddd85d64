"""What stands around the words of a line is told from the words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.data.lines import body_of, html_body_of, kind_of, table_rows, unwrapped, wraps

FULL = "This line is long enough to have been wrapped by hand"


@pytest.mark.parametrize(
    ("text", "body", "kind"),
    [
        ("## Title ##\n", "Title", "heading"),
        ("  - [x] **Done**\n", "Done", "item"),
        ("iv) fourth", "fourth", "item"),
        ("> > words", "words", "quote"),
        ("Plain words. \n", "Plain words.", "paragraph"),
        ("\u200f\u2067نص\u2069 بعد", "\u2067نص\u2069 بعد", "paragraph"),
        ("\u2067نص\u2069", "نص", "paragraph"),
        ("**a** and **b**", "**a** and **b**", "paragraph"),
    ],
)
def test_body(text: str, body: str, kind: str) -> None:
    """Markers, padding and emphasis of the whole line are no words; marks of direction stay with what they enclose."""
    start, end = body_of(text)
    assert text[start:end] == body and kind_of(text[:start]) == kind


@given(st.text())
def test_a_body_lies_within_its_line(text: str) -> None:
    """Whatever a line holds, its parts joined are the line."""
    for start, end in (body_of(text), html_body_of(text, False)[:2], html_body_of(text, True)[:2]):
        assert 0 <= start <= end <= len(text)


def test_html_body() -> None:
    """Tags at the edges are no words, tags between words are left to the mask, and a tag may go on in the next line."""
    line = '<li class="a">Some <b>bold</b> words</li>\n'
    start, end, inside = html_body_of(line, False)
    assert line[start:end] == "Some <b>bold</b> words" and not inside
    assert html_body_of('<li data-id="7"\n', False)[2]
    assert html_body_of('  class="b">Words</li>', True)[:2] == (12, 17)


@pytest.mark.parametrize(
    ("following", "expected"),
    [("and goes on", True), ("And starts anew", False), ("b) next", False), ("x = 15", False), ("> and goes on", False)],
)
def test_wraps(following: str, expected: bool) -> None:
    """A full line goes on in a line that begins in lower case, unless that is an item, an equation or a quotation."""
    assert wraps(FULL + "\n", following) is expected
    assert not wraps("A short line\n", following) and not wraps(FULL + "  \n", following)


def test_wrapped_quotes() -> None:
    """In a quotation and under an item the next line is set in."""
    assert wraps(f"> {FULL}\n", "> and goes on") and wraps(f"- {FULL}\n", "  and goes on") and not wraps(FULL, "  and goes on")


def test_unwrapped() -> None:
    """Lines are joined by a space, a word cut at a hyphen keeps it, and a single line says so."""
    assert unwrapped("a b\n> c") == "a b c" and unwrapped("well-\r\nknown") == "well-known" and unwrapped("one line") == ""


def test_table_rows() -> None:
    """Rows are found where the parser sees no table because columns do not fit."""
    assert table_rows(["a | b\n", "---|---|---\n", "c | d\n", "e\n", "| f | g |\n", "h | i\n"]) == {0, 1, 2, 4}
