"""Documents come apart and together again byte for byte, and only natural text is sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.segments import join, split

PIECES = [
    "```", "~~~~", "`", "$$", "$x$", "\\[", "\\]", "\n", "\r\n", "\n\n", "\r", "\t", "    ", "- ", "1. ", "> ",
    "| a | b |", "|---|", "# ", " #", "word ", "Hello world. ", "{", "}", "[", "]", "<b>", "</b>", "⟦1⟧", "⟦",
    "⟧", "http://x.org/a ", "{x}", "\ufeff", "\u200f", "**", "_", "<!--", "-->", "\\begin{align}",
    "\\end{align}", "---", "key: v", "x = 5;", "مرحبا ", "؟ ", "\x00", '{"a": 1}', "[1,2]", "<pre>", "</pre>",
    "\u2028", "é", "def f(x):", "return x;",
]  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))


@settings(max_examples=400, deadline=None)
@given(texts, st.sampled_from([5, 40, 2000]))
def test_identity_is_byte_identical(text: str, max_chars: int) -> None:
    """A translator that changes nothing gives every document back unchanged."""
    document = split(text, max_chars)
    assert join(document, document.segments) == text
    assert all(segment == segment.strip() and segment for segment in document.segments)


@settings(max_examples=100, deadline=None)
@given(texts)
def test_skeleton_survives_any_translation(text: str) -> None:
    """Whatever comes back for the segments, the skeleton around them is untouched and in order."""
    document = split(text)
    result = join(document, ["T"] * len(document.segments))
    assert result == "".join("T" if part.translate else part.text for part in document.parts)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("# Title #\n\nText here.\n", ("Title", "Text here.")),
        ("- one item\n  * two items\n1) three\n[ ] x\n", ("one item", "two items", "three", "x")),
        ("> quoted words\n> > deeper words\n", ("quoted words", "deeper words")),
        ("| Name | Age |\n|:--|--:|\n| Bob Smith | 7 |\n", ("Name", "Age", "Bob Smith")),
        ("Name | `a|b` value\n--- | ---\nfirst | second\n", ("Name", "`a|b` value", "first", "second")),
        ("Before\n```python\nprint('x')\n```\nAfter\n", ("Before", "After")),
        ("Before\n~~~\n```\ncode\n~~~\nAfter", ("Before", "After")),
        ("````md\n```\nx\n```\nstill code\n````\nAfter", ("After",)),
        ("- item\n  ```\n  code here\n  ```\n- next one\n", ("item", "next one")),
        ("Run:\n\n    pip install x\n\nDone now.", ("Run:", "Done now.")),
        ("The area is\n$$\na = b \\text{ if } c\n$$\nas shown.", ("The area is", "as shown.")),
        ("So \\[\nx = y\n\\] holds.", ("So", "holds.")),
        ("See\n\\begin{align*}\na &= b\n\\end{align*}\nabove.", ("See", "above.")),
        ('{"name": "Bob",\n "age": 3}', ()),
        ('Input:\n{"name": "Bob"}\nOutput text', ("Input:", "Output text")),
        ("<div class='a'>\n<p>\n</div>\nWords", ("Words",)),
        ("<!-- a comment\nof two lines -->\nWords", ("Words",)),
        ("---\ntitle: Words\ntags: a\n---\nBody text", ("Body text",)),
        ("**Bold line**\n", ("Bold line",)),
        ("42\n---\n***\n3.14 %\n", ()),
        ("A\nB)\n(C) an option", ("an option",)),
        ("[1]: http://example.com title\nWords", ("Words",)),
        ("def add(a, b):\n    return a + b\n\nprint(add(1, 2))", ()),
        ("Use `ls`.", ("Use `ls`.",)),
        ("It costs $$ a lot\n\nand more $$ then", ("It costs $$ a lot", "and more $$ then")),
    ],
)
def test_only_natural_text_is_sent(text: str, segments: tuple[str, ...]) -> None:
    """Markup, code, formulas, data and numbers stay in the skeleton; words go to the engine."""
    assert split(text).segments == segments


def test_open_fence_is_skeleton_and_named() -> None:
    """After a fence that is never closed nothing is sent, and the document says so."""
    document = split("Words\n```\ncode and more\n")
    assert document.segments == ("Words",) and document.open_block == "fence"
    assert split("Words\n```\ncode\n```\n").open_block == ""


def test_wrapped_paragraph_is_one_segment() -> None:
    """A sentence wrapped by hand is not cut in the middle."""
    text = "This sentence runs over the end of the first line because\nit was wrapped by hand.\nNext line.\n"
    assert len(split(text).segments) == 2


def test_prose_and_list_ends_are_no_code() -> None:
    """Semicolons at the ends of list items and ordinary instructions do not make text code."""
    text = "- apples and pears;\n- plums;\nFor each of these, do the following:\nif it is ripe, eat it;\n"
    assert len(split(text).segments) == 4


def test_long_paragraph_is_cut_between_sentences() -> None:
    """A paragraph beyond the limit is cut after sentence ends only, in any script."""
    text = "One sentence here. Another one! ثالثة هنا؟ And `a. b` the last."
    assert split(text, max_chars=20).segments == ("One sentence here.", "Another one!", "ثالثة هنا؟", "And `a. b` the last.")
    assert split(text, max_chars=32).segments == ("One sentence here. Another one!", "ثالثة هنا؟ And `a. b` the last.")


def test_wrong_number_of_translations() -> None:
    """A translation too few or too many is an error, never a shifted document."""
    document = split("One line\nTwo lines")
    for wrong in ((), ("a",), ("a", "b", "c")):
        with pytest.raises(ValueError, match="translations"):
            join(document, wrong)


@pytest.mark.parametrize("unit", ["\\[", "$$", "`", "[[", '{"a":[', "<!--", "> ", "| ", "_ ", "\\begin{align}", "    ", "**a"])
def test_time_is_linear_enough(unit: str) -> None:
    """Hostile repetition does not hang the splitter."""
    text = unit * 4000
    document = split(text)
    assert join(document, document.segments) == text
