"""Calls of tools become text that a chat template of the Hermes kind would have written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hala.data.shapes import SHAPES, RecordError, parse

ASK = {"role": "user", "content": "Weather in Cairo?"}


def messages(*turns: dict[str, Any]) -> list[tuple[str, str]]:
    """Role and content of the conversation that begins with the question."""
    return [(message.role, message.content) for message in parse({"messages": [ASK, *turns]}, "messages", {})[0]]


def test_openai_calls_become_text() -> None:
    """A turn without content whose calls carry JSON in a string is kept, its arguments as JSON."""
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "القاهرة"}'}}
    turns = messages({"role": "assistant", "content": None, "tool_calls": [call, call]}, {"role": "tool", "content": "31"})
    text = '<tool_call>\n{"name": "weather", "arguments": {"city": "القاهرة"}}\n</tool_call>'
    assert turns[1:] == [("assistant", f"{text}\n{text}"), ("tool", "31")]


def test_words_before_a_call_are_kept() -> None:
    """Content beside the calls comes first; the older form of a call counts as well, and arguments that do not parse stay."""
    call = {"name": "weather", "arguments": "{city"}
    [_, (_, text)] = messages({"role": "assistant", "content": "Let me look.", "function_call": call})
    said, _, rest = text.partition("\n")
    assert said == "Let me look."
    assert json.loads(rest.removeprefix("<tool_call>").removesuffix("</tool_call>")) == call


def test_sharegpt_calls() -> None:
    """A turn `from` function_call is the assistant's, and an observation the tool's."""
    turns = [
        {"from": "human", "value": "Hi"},
        {"from": "function_call", "value": '{"name": "f"}'},
        {"from": "observation", "value": "1"},
    ]
    found = parse({"conversations": [*turns, {"from": "gpt", "value": "One."}]}, "conversations", {})[0]
    assert [message.role for message in found] == ["user", "assistant", "tool", "assistant"]
    assert found[1].content == '<tool_call>\n{"name": "f"}\n</tool_call>'


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"role": "assistant", "content": None}, "missing_field"),
        ({"role": "assistant", "content": None, "tool_calls": []}, "missing_field"),
        ({"role": "assistant", "content": None, "tool_calls": [{"function": {}}]}, "wrong_type"),
        ({"role": "assistant", "content": None, "tool_calls": "f()"}, "wrong_type"),
        ({"role": "assistant", "content": "", "tool_calls": None}, "empty_field"),
        ({"role": "assistant", "content": None, "tool_calls": [{"name": "\ud800"}]}, "lone_surrogate"),
    ],
)
def test_broken_calls_are_named(turn: dict[str, Any], reason: str) -> None:
    """What holds neither words nor a call is malformed, with the reason."""
    with pytest.raises(RecordError) as caught:
        messages(turn)
    assert caught.value.reason == reason


def test_a_developer_is_the_system() -> None:
    """The newer name of the system's role means the same."""
    said, *_ = messages({"role": "assistant", "content": "Hi"}, {"role": "developer", "content": "Be brief."})[2:]
    assert said == ("system", "Be brief.")


def test_content_in_parts_is_joined() -> None:
    """Parts of text are one content; a part that is no text has no place in a row, and says so."""
    parts = [{"type": "text", "text": "See"}, "this", {"text": "and that"}]
    assert messages({"role": "assistant", "content": parts})[1:] == [("assistant", "See\nthis\nand that")]
    for part, reason in (({"type": "image_url"}, "not_text"), (3, "wrong_type"), ({"type": "text"}, "wrong_type")):
        with pytest.raises(RecordError) as caught:
            messages({"role": "assistant", "content": [part]})
        assert caught.value.reason == reason


def test_the_page_names_every_field_and_reason() -> None:
    """Whoever must map columns, or finds a reason in malformed.jsonl, can look it up."""
    root = Path(__file__).parents[2]
    page = (root / "docs/data.md").read_text(encoding="utf-8")
    for shape, fields in SHAPES.items():
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{shape}` |")]
        assert all(name in line for names in fields.values() for name in names), shape
    rooms = ("shapes", "sources", "readers", "tables", "text_files", "exchange_files")
    code = "".join((root / f"src/hala/data/{room}.py").read_text(encoding="utf-8") for room in rooms)
    calls = re.findall(r"(?:RecordError\(|BadRow\(|_Unread\(|broken\(|reason = )([^\n]+)", code)
    reasons = {reason for call in calls for reason in re.findall(r'"([a-z]\w+_\w+|nul|entities)[":]', call)}
    assert len(reasons) >= 15 and not {reason for reason in reasons if f"`{reason}`" not in page}
