"""Blocks are those of markdown-it-py, whatever way they were found, and lie on the text's own lines."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data import markdown
from hala.data.markdown import Block, blocks, lines_of

PIECES = [
    "```", "~~~", "````", "``` py", "\n", "\n", "\n\n", "    ", "  ", "\t", "word", "two words", "# ", "- ", "1. ", "> ",
    "===\n", "---\n", "* * *", "word\n", "`", "a | b", "=", "-",
]  # fmt: skip
documents = st.lists(st.sampled_from(PIECES), max_size=16).map("".join)


@settings(max_examples=500, deadline=None)
@given(documents)
def test_the_fast_way_finds_what_the_parser_finds(text: str) -> None:
    """Where the parser is not asked, the blocks are the same as if it had been."""
    found = blocks(lines_of(text))
    if markdown._is_flat("\n" + text) and not any(block.kind == "front" for block in found):
        assert found == markdown.parsed(text, len(lines_of(text)))


@settings(max_examples=300, deadline=None)
@given(st.text() | documents)
def test_lines_make_up_the_text(text: str) -> None:
    """Lines joined are the text, and end only where a reader of Markdown ends them."""
    lines = lines_of(text)
    assert "".join(lines) == text
    assert len(lines) == len(text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")) * bool(text)


@settings(max_examples=300, deadline=None)
@given(documents, st.sampled_from(["\r\n", "\r"]))
def test_line_ends_do_not_matter(text: str, end: str) -> None:
    """The blocks of a text are on the same lines however its lines end."""
    assert blocks(lines_of(text.replace("\n", end))) == blocks(lines_of(text))


@settings(max_examples=300, deadline=None)
@given(documents)
def test_blocks_are_in_order(text: str) -> None:
    """Blocks follow each other without overlap and stay within the text."""
    position = 0
    for block in blocks(lines_of(text)):
        assert position <= block.start < block.end <= len(lines_of(text))
        position = block.end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n~~~\n```\n~~~\n", [("fence", 2, 5)]),
        ("````\n```\nx\n````\nb", [("fence", 0, 4)]),
        ("1. a\n\n       code\n\n   b", [("indented", 2, 3)]),
        ("> ```\n> x\n> ```\nb", [("fence", 0, 3)]),
        ("| a | b |\n|---|---|\n| c | d |\n\ne", [("table", 0, 3)]),
        ("[a]: http://b.c\n  'a title'\n\ntext", [("definition", 0, 2)]),
        ("---\na: b\n---\ntext", [("front", 0, 3)]),
        ("---\n# c\n'a': b\n\n...\ntext", [("front", 0, 5)]),
        ("+++\na = 'b'\n+++\ntext", [("front", 0, 3)]),
        ("<div>\nwords\n</div>\n\ntext", [("html", 0, 3)]),
        ("<!-- a\n\nb -->\ntext", [("raw", 0, 3)]),
        ("<html>\n<body>\n\nwords\n\n</body>\n</html>\ntext", [("raw", 0, 7)]),
        ("<script> tags hold programs.\n\nA word on them.", [("html", 0, 3)]),
        ("<?php\necho 1;\n\n$x = 2;\n", [("raw", 0, 4)]),
        ("<?php\necho 1;\n\nThis prints the first of the numbers.\n", [("raw", 0, 3)]),
        ("\ufeff```\nx\n```\n", [("fence", 0, 3)]),
        ("-     five spaces after the mark", []),
    ],
)
def test_kinds(text: str, expected: list[tuple[str, int, int]]) -> None:
    """Each construct is found on its lines."""
    assert [block[:3] for block in blocks(lines_of(text))] == expected


def test_what_is_never_closed_says_so() -> None:
    """A fence that runs to the end of the text is open; one that its list item ends is not, for nothing hides behind it."""
    assert blocks(lines_of("```\nx\n")) == [Block("fence", 0, 2, closed=False)]
    assert blocks(lines_of("- ```\n  x\n\ntext\n")) == [Block("fence", 0, 3)]


@pytest.mark.parametrize(
    "unit", ["> ", "- ", "```\n", "<?php\n", "<html>\n", "    x\n\n", "[a]: b\n", "| a |\n|---|\n", "<div\n"]
)
def test_hostile_repetition_ends(unit: str) -> None:
    """A construct repeated two thousand times neither hangs nor recurses too deep."""
    assert len(blocks(lines_of(unit * 2000))) <= 4000
