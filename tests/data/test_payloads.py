"""JSON, formulas and thinking are found by their own rules, and JSON strings come back in the manner of their source."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.payloads import decoded, encoded, manner, stretches, thinking_span, value_spans

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "content", "enum", "a"]) | st.text(), inner)
    ),
    max_leaves=12,
)


def listed(value: object, under: str | None = None) -> list[str]:
    """The strings under the key `content`, by walking through the parsed value."""
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in listed(each, key)]
    if isinstance(value, list):
        return [text for each in value for text in listed(each, under)]
    return [value] if isinstance(value, str) and under == "content" else []


@settings(max_examples=300, deadline=None)
@given(values.filter(lambda value: isinstance(value, dict | list)), st.booleans(), st.sampled_from([None, 2]))
def test_listed_strings_are_those_of_the_parsed_value(value: object, ascii_only: bool, indent: int | None) -> None:
    """The offsets found in the text are exactly the strings that a parser finds under the key."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    found = [decoded(text[start:end])[0] for start, end in value_spans(text, 0, len(text), ("content",))]
    assert found == listed(value)


@settings(max_examples=300, deadline=None)
@given(st.text(), st.booleans(), st.booleans())
def test_strings_are_written_as_they_were(text: str, ascii_only: bool, slashes: bool) -> None:
    """A string decoded and encoded means the same, and each decoded character knows where it stood."""
    raw = encoded(text, ascii_only, slashes)
    back, offsets = decoded(raw)
    assert back == text == json.loads(f'"{raw}"')
    assert len(offsets) == len(text) + 1 and offsets[-1] == len(raw)
    assert "".join(decoded(raw[start:end])[0] for start, end in pairwise(offsets)) == text


def test_the_manner_of_a_text() -> None:
    """Escaped letters and slashes are noticed; an escape that every writer needs says nothing."""
    assert manner('{"a": "\\u0645\\/"}') == (True, True)
    assert manner('{"a": "م"}') == (False, False) == manner('{"a": "\\u000b"}')


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('Input:\n{"a": 1}\nOutput', ['{"a": 1}']),
        ('It was {\n "a": 1\n}\nand more', ['{\n "a": 1\n}']),
        ('The word {"a": 1} in a line', []),
        ("see x[0]\nand\n[1] A note", []),
        ("{'a': 1, 'b': None}\nwords", ["{'a': 1, 'b': None}"]),
        ("{'a': 1, broken\nwords", []),
        ("So\n$$\nx\n$$\nand", ["$$\nx\n$$"]),
        ("costs $$ a\n\nb $$ c", []),
        ("\\[\nx = 1\n\nThen come the words", ["\\[\nx = 1"]),
        ("\\begin{center}\nwords\n\\end{center}", []),
        ('<tool_call>{"a": 1}</tool_call> words', ['<tool_call>{"a": 1}</tool_call>']),
        ("<tools>\nanything\n</tools>\nwords", ["<tools>\nanything\n</tools>"]),
    ],
)
def test_stretches(text: str, kept: list[str]) -> None:
    """What is for machines is kept as a whole, and ordinary sentences with brackets are not."""
    assert [text[stretch.start : stretch.end] for stretch in stretches(text)] == kept


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", "<think>\nHm.\n</think>\n\n"),
        ("  <Reasoning>a</Reasoning>b", "  <Reasoning>a</Reasoning>"),
        ("<think>never ends", "<think>never ends"),
        ("The prompt opened it.\n</think>\nYes.", "The prompt opened it.\n</think>\n"),
        ("<|begin_of_thought|>a<|end_of_thought|> b", "<|begin_of_thought|>a<|end_of_thought|> "),
        ("Use <think> and </think> around it.", None),
        ("Plain words.", None),
    ],
)
def test_thinking(text: str, thinking: str | None) -> None:
    """A thinking block at the start of an answer is found, tags that an answer talks about are not."""
    span = thinking_span(text)
    assert (text[slice(*span)] if span else None) == thinking and (span is None or span[0] == 0)
