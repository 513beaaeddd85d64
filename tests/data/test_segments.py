"""Documents come apart and together again byte for byte, and only natural text is sent."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hala.data.masks import mask, unmask
from hala.data.segments import Document, Part, join, pieces, split

PIECES = [
    "```", "~~~~", "``` py", "`", "$$", "$x$", "\\[", "\\]", "\\(", "\n", "\n", "\r\n", "\n\n", "\r", "\t", "    ", "  ",
    "- ", "1. ", "> ", "| a | b |\n", "|--|--|\n", "a | b\n", "# ", " #", "word ", "Hello world. ", "{", "}", "[", "]",
    "<b>", "</b>", "<div>", "</div>", '<div class="a\n', "<x y>", "<script>", "</script>", "<?php ", "?>", "<html>", "</html>",
    "⟦1⟧", "⟦", "⟧", "http://x.org/a ", "{x}", "\ufeff", "\u200f", "\u2067", "\u2069", "**", "_", "*", "<!--", "-->",
    "\\begin{align}", "\\end{align}", "---\n", "===\n", "---\ntitle: v\n---\n", "x = 5;\n", "مرحبا ", "؟ ", "\x00", "\x0b",
    "\x0c", "\x1c", "\x85", "\u2028", '{"a": 1}', '{"content": "Hello\\n**you** \\u0645"}\n', '{"content": [\n"x y"\n]}\n',
    "[1,2]", "<pre>", "</pre>", "é", "def f(x):\n", "return x;", "[a]: http://x.y 'z w'\n", "[a]:\n", "[a b]", "<tool_call>",
    "</tool_call>", "This line is longer than fifty letters, was wrapped, and goes\n", "on in the next. ",
    "Answer: A", "\\", "&amp;", "<code>", "</code>", "[a][]", "[A]", "+++\n", "a = 1\n", "...\n", "# a\n",
]  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


@settings(max_examples=600, deadline=None)
@given(texts, st.sampled_from([5, 40, 2000]), st.sampled_from([(), ("content", "a")]))
def test_identity_is_byte_identical(text: str, max_chars: int, values: tuple[str, ...]) -> None:
    """A translator that changes nothing gives every document back unchanged."""
    document = split(text, max_chars, values)
    assert join(document, document.segments) == text == "".join(part.text for part in document.parts)
    assert all(segment == segment.strip() and segment for segment in document.segments)


@settings(max_examples=100, deadline=None)
@given(texts)
def test_skeleton_survives_any_translation(text: str) -> None:
    """Whatever comes back for the segments, the skeleton around them is untouched and in order."""
    document = split(text)
    result = join(document, ["T"] * len(document.segments))
    assert result == "".join("T" if part.translate else part.text for part in document.parts)


def tokens(text: str) -> list[tuple[str, str, int, str]]:
    """The blocks of a text as markdown-it sees them: type, tag, level and mark of each token."""
    parser = MarkdownIt("commonmark").enable("table")
    found: list[Token] = []
    parser.block.parse(re.sub(r"\r\n?", "\n", text).replace("\0", "\ufffd"), parser, {}, found)
    return [(token.type, token.tag, token.level, token.markup) for token in found]


def with_other_letters(document: Document, letter: str) -> str:
    """The document with every letter of its segments outside protected spans replaced by one."""
    answers = []
    for segment in document.segments:
        masked = mask(segment)
        answer = unmask(re.sub(r"[^\W\d_]", letter, masked.text), masked.spans)
        assert isinstance(answer, str)
        answers.append(answer)
    return join(document, answers)


@settings(max_examples=400, deadline=None)
@given(texts, st.sampled_from(["Q", "ي"]))
def test_structure_survives_other_words(text: str, letter: str) -> None:
    """With all words changed, a Markdown parser still sees the same blocks in the same order."""
    assert tokens(with_other_letters(split(text), letter)) == tokens(text)


def shared_texts() -> Iterator[str]:
    """Every text of the real data sets in the folder that HALA_SHARED_DATA names: lines, CSV fields, strings of JSON records."""
    for path in sorted(Path(os.environ["HALA_SHARED_DATA"]).rglob("*")):
        opened = gzip.open if path.suffix == ".gz" else open
        kind = "".join(path.suffixes).removesuffix(".gz")
        if kind not in (".json", ".jsonl", ".csv") and ".jsonl" not in kind and "flores-dev" not in path.name:
            continue
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            if kind == ".csv":
                records: list[object] = list(csv.reader(file))
            else:
                records = (
                    json.load(file) if kind == ".json" else [json.loads(line) if "json" in kind else [line] for line in file]
                )
        for record in records:
            fields = record.values() if isinstance(record, dict) else record if isinstance(record, list) else []
            yield from (field for field in fields if isinstance(field, str))


@pytest.mark.skipif(not os.environ.get("HALA_SHARED_DATA"), reason="HALA_SHARED_DATA names no folder of data sets")
def test_real_texts() -> None:
    """Both laws hold for every text of the real data sets."""
    count = 0
    for text in shared_texts():
        document = split(text, 1200)
        assert join(document, document.segments) == text
        if "\n" in text and count % 10 == 0:
            assert tokens(with_other_letters(document, "ي")) == tokens(text)
        count += 1
    assert count > 1000


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
        ("---\n# made by hand\n'a b': Words\n\n\"c\": Words\n...\nBody text", ("Body text",)),
        ("+++\ntitle = 'Words'\n[a table]\n\n+++\nBody text", ("Body text",)),
        ("---\n\nWords: in between\n\n---\nBody text", ("Words: in between", "Body text")),
        ("<pre>all of it</pre>\n\nWords", ("Words",)),
        ("<p><code>all of it</code></p>\n<p>Words</p>", ("Words",)),
        ("Text\n\n<code>\nall of it\n\nand more\n</code>", ("Text",)),
        ("See [the  Guide] and [a].\n\n[The guide]: a.md\n", ("See [the  Guide][the  Guide] and [a].",)),
        (
            "See [the guide][], `[the guide]` and [it][the guide].\n\n[the guide]: a.md",
            ("See [the guide][the guide], `[the guide]` and [it][the guide].",),
        ),
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


def test_references_stay_linked() -> None:
    """A reference whose words are its label has the label behind it once its words are translated, and is left alone else."""
    text = "See [the guide] or [the guide][].\n\n| [the guide] | one |\n|---|---|\n\n[the guide]: a.md\n"
    document = split(text)
    assert join(document, document.segments) == text
    assert mask(document.segments[0]).text == "See [the guide]⟦1⟧ or [the guide]⟦2⟧."
    other = join(document, [each.replace("[the guide][", "[الدليل][") for each in document.segments])
    assert other == text.replace("[the guide][]", "[الدليل][the guide]").replace("[the guide] ", "[الدليل][the guide] ")


def test_open_fence_is_skeleton_and_named() -> None:
    """After a fence that is never closed nothing is sent, and the document says so."""
    document = split("Words\n```\ncode and more\n")
    assert document.segments == ("Words",) and document.open_block == "fence"
    assert split("Words\n```\ncode\n```\n").open_block == ""


def test_wrapped_paragraph_is_one_segment() -> None:
    """A sentence wrapped by hand is not cut in the middle."""
    text = "This sentence runs over the end of the first line because\nit was wrapped by hand.\nNext line.\n"
    assert len(split(text).segments) == 2


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        (
            "Please run `git log --oneline\n--graph` here.\nThen stop.\n",
            ["Please run `git log --oneline --graph` here.", "Then stop."],
        ),
        ('See <img src="a.png"\n   alt="A red car" /> there.\n', ['See <img src="a.png" alt="A red car" /> there.']),
        ("We have $a + b\n+ c$ here.\n", ["We have $a + b + c$ here."]),
        ("So \\(a\n+ b\\) holds.\r\nAnd on.", ["So \\(a + b\\) holds.", "And on."]),
        ("> Dear {{ user\n> .name }}, hello.\nBye.\n", ["Dear {{ user .name }}, hello.", "Bye."]),
        ("- one `a\n  b\n  c` more\n- two `d`\n", ["one `a b c` more", "two `d`"]),
        ("A `lone tick\n- B `other\n", ["A `lone tick", "B `other"]),
        ("A `lone tick\n\nB `other\n", ["A `lone tick", "B `other"]),
        ("If a < b\nthen c > d\n", ["If a < b", "then c > d"]),
        ("It costs $5\nand $6 each\n", ["It costs $5", "and $6 each"]),
    ],
)
def test_spans_over_a_line_end_are_not_cut(text: str, segments: list[str]) -> None:
    """Code, formulas, tags and placeholders that end on a later line of their paragraph reach the translator whole."""
    document = split(text)
    assert list(document.segments) == segments and join(document, document.segments) == text


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["word", "Two", "a,", "`", "<b", "b>", "--x", "z."]), max_size=5).map(" ".join), max_size=6
    ),
    st.sampled_from(["", "> "]),
)
def test_code_over_lines_survives_other_words(lines: list[str], mark: str) -> None:
    """Whatever stands around it, inline code that a Markdown parser sees is the same with all words changed."""
    text = "\n".join(mark + line for line in lines)

    def code(text: str) -> list[str]:
        inline = [child for token in MarkdownIt("commonmark").parse(text) for child in token.children or ()]
        return [child.content for child in inline if child.type == "code_inline"]

    assert code(with_other_letters(split(text), "Q")) == code(text)


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


VALUES = '{"name": "send", "description": "Sends \\"it\\".\\nNow.", "enum": ["Red one"], "content": ["Hello there", 5]}'


def test_listed_values_are_segments() -> None:
    """Strings under the listed keys are decoded for the engine and encoded again; names, enums and the rest never change."""
    text = f"Call this:\n\n```json\n{VALUES}\n```\n<tools>\n[{VALUES}]\n</tools>\n"
    document = split(text, values=("description", "content"))
    assert document.segments == ("Call this:", *('Sends "it".', "Now.", "Hello there") * 2)
    assert [part.kind for part in document.parts if part.translate][1] == "value"
    answers = ["نداء:", *('يرسل "x"/', "الآن.", "مرحبا") * 2]
    result = join(document, answers)
    assert json.loads(result.split("```")[1].removeprefix("json"))["description"] == 'يرسل "x"/\nالآن.'
    assert result.count('["Red one"]') == 2 and split(text).segments == ("Call this:",)


def test_values_keep_their_manner() -> None:
    """Where the source escapes letters and slashes, the translation does; where it does not, neither."""
    document = split('{"content": "caf\\u00e9 a\\/b"}', values=("content",))
    assert document.segments == ("café a/b",)
    assert join(document, ["é/"]) == '{"content": "\\u00e9\\/"}'
    assert join(split('{"content": "plain"}', values=("content",)), ["é/"]) == '{"content": "é/"}'


def test_text_after_an_open_fence() -> None:
    """After a fence that is never closed, a line meant to close it or a sentence after a blank line begins text again."""
    text = "Words\n```py\nx = 1\n    ```\nMore words\n"
    assert split(text).segments == ("Words", "More words")
    document = split("```\ncode\n\nThis is a sentence that nobody runs.\n- an item\n")
    assert document.segments == ("This is a sentence that nobody runs.", "an item") and document.open_block == "fence"


def test_pieces_of_a_segment() -> None:
    """A segment that failed is cut at its sentences, or its clauses, and joined again exactly."""
    for segment in ("One here. Two `a. b` there!  Three.", "While it rained, we waited inside", "Nothing to cut here"):
        parts = pieces(segment, "en")
        assert "".join(part.text for part in parts) == segment
        assert all(part.text == part.text.strip() for part in parts if part.translate)
    assert [part.text for part in pieces("One here. Two `a. b` there!") if part.translate] == ["One here.", "Two `a. b` there!"]
    assert pieces("Nothing to cut here") == [Part("Nothing to cut here", True, "paragraph")]


def test_kinds_of_segments() -> None:
    """Each segment says what it is."""
    parts = split("# Title\n\nWords\n\n- item\n> quoted\n\n| cell | 1 |\n|--|--|\n").parts
    assert [part.kind for part in parts if part.translate] == ["heading", "paragraph", "item", "quote", "cell"]


def test_a_pipe_in_a_cell_is_escaped() -> None:
    """A translation that brings a pipe into a table cell does not make a column of it."""
    assert "أو \\| ب" in join(split("| a word |\n|--|\n"), ["أو | ب"])


@pytest.mark.parametrize(
    "unit",
    [
        "\\[",
        "$$",
        "`",
        "[[",
        '{"a":[',
        "<!--",
        "> ",
        "| ",
        "_ ",
        "\\begin{align}",
        "    ",
        "**a",
        "``` a\n\n",
        "<?php\n\n",
        "<div\n",
        "\u2067",
        '{"content": "',
        "[a]: b\n",
    ],
)
def test_time_is_linear_enough(unit: str) -> None:
    """Hostile repetition does not hang the splitter."""
    text = unit * 4000
    document = split(text, values=("content",))
    assert join(document, document.segments) == text
