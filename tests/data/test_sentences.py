"""Sentences and clauses joined are the text, and protected spans stay whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.sentences import cut, is_short_or_pronominal, split_clauses, split_sentences
from hala.data.spans import find_spans

PIECES = [
    "Hello there. ", "Dr. Smith left. ", "`a. b` ", "http://x.org/a.b ", "\n", "\n\n", "\r\n", "  ", "؟ ", "। ", "。", "! ", "; ",
    ", ",    ": ", "— ",
    "$x. y$ ", "e.g. ", '"He said so." ', "مرحبا. ", "\u2028", "\ud800", "\x00", "...", "{a. b}", "word ", "3.5 ",
]  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
languages = st.sampled_from(["en", "ar", "hi", "zh", "pt-BR", "xx"])


@settings(max_examples=400, deadline=None)
@given(texts, languages, st.integers(5, 60))
def test_pieces_joined_are_the_text(text: str, language: str, size: int) -> None:
    """No cut loses, adds or moves a character, and none goes through a protected span."""
    spans = find_spans(text)
    for pieces in (split_sentences(text, language), split_clauses(text), cut(text, size, language)):
        assert "".join(pieces) == text and (all(pieces) or not text)
        ends = {len("".join(pieces[:count])) for count in range(1, len(pieces))}
        assert not any(start < end < stop for end in ends for start, stop in spans)


def test_sentences() -> None:
    """Abbreviations end no sentence, other scripts' marks do."""
    assert split_sentences("Dr. Smith came. He left.", "en") == ["Dr. Smith came. ", "He left."]
    assert split_sentences("هل وصلت؟ نعم وصلت.", "ar") == ["هل وصلت؟ ", "نعم وصلت."]


def test_clauses_are_cut_near_the_middle() -> None:
    """A semicolon near the middle is preferred, then a comma; without a mark the sentence stays whole."""
    assert split_clauses("When the rain came, the river rose; then, after all, it fell.")[0].endswith("rose; ")
    assert split_clauses("When the rain came down, the river rose by far.") == [
        "When the rain came down, ",
        "the river rose by far.",
    ]
    assert split_clauses("A sentence without any mark inside.") == ["A sentence without any mark inside."]


def test_long_text_is_cut_to_size() -> None:
    """Sentences are put together up to the limit; one that is longer is cut at its clauses."""
    assert cut("One. Two. Three four five.", 10) == ["One. Two. ", "Three four five."]
    assert max(map(len, cut("a longer clause, " * 40, 100))) <= 101


@pytest.mark.parametrize("text", ["word " * 12_000, "كلمة " * 12_000, "one `two three` " * 4_000])
def test_a_line_without_any_mark_is_cut_between_words(text: str) -> None:
    """What has no sentence and no clause is cut at spaces, so that no request is as long as the text; its words stay whole."""
    pieces = cut(text, 1200)
    assert "".join(pieces) == text and max(len(piece.rstrip()) for piece in pieces) <= 1200
    assert len(pieces) < 1.1 * len(text) / 1200 + 1 and all(piece.endswith(" ") for piece in pieces)
    assert not any(piece.count("`") % 2 for piece in pieces)
    assert cut("x" * 3000, 1200) == ["x" * 3000] and cut(" " + "x" * 3000 + " y", 1200) == [" " + "x" * 3000 + " ", "y"]


@pytest.mark.parametrize(
    ("segment", "expected"), [("Yes, it is", True), ("It was late in the evening.", True), ("Two words", True)]
)
def test_needs_context(segment: str, expected: bool) -> None:
    """Short segments and those that begin with a pronoun want the segment before them."""
    assert is_short_or_pronominal(segment) is expected
    assert not is_short_or_pronominal("The captain wrote to the master.") and not is_short_or_pronominal("It was so late.", "xx")
