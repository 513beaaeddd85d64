"""Records of any common form as rows: which form a record has, and why a record cannot be used.

>>> from hala.data.shapes import detect, parse
>>> detect({"instruction": "Add 1 and 2.", "response": "3"})
'instruction'
>>> parse({"question": "1+2?", "answer": "3"}, "question", {})[0][1].content
'3'
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from hala.languages import LANGUAGES
from hala.records import Message, Row

Record = Mapping[str, Any]
Parsed = tuple[tuple[Message, ...], tuple[Message, ...] | None]

# Per shape and field, the names it goes by; the first that a record holds is taken. `?` marks a field that may be absent.
SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "messages": {"messages": ("messages", "conversation")},
    "conversations": {"conversations": ("conversations", "conversation", "dialogue")},
    "instruction": {
        "instruction": ("instruction",),
        "output": ("output", "response", "answer", "completion"),
        "input?": ("input", "context"),
        "system?": ("system", "system_prompt"),
    },
    "prompt": {
        "prompt": ("prompt",),
        "response": ("response", "completion", "chosen", "answer", "output"),
        "system?": ("system", "system_prompt"),
    },
    "question": {
        "question": ("question", "query"),
        "answer": ("answer", "response", "output"),
        "system?": ("system", "system_prompt"),
    },
    "pair": {"source": ("source", "src"), "target": ("target", "tgt")},
    "text": {"text": ("text", "content")},
}
_ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant",
    "model": "assistant", "chatgpt": "assistant", "bot": "assistant", "tool": "tool", "function": "tool", "observation": "tool",
    "function_call": "assistant", "tool_call": "assistant", "tool_response": "tool", "function_response": "tool",
}  # fmt: skip


class RecordError(ValueError):
    """A record that cannot become a row; `reason` is a slug that is counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def detect(record: Record, target: str = "") -> str:
    """The shape of a record by its field names; empty when it has none. `target` is the language of pairs like {en, ar}."""
    if "translation" in record and isinstance(record["translation"], dict):
        return "pair"
    shape = _shape_of(tuple(record), target)
    if shape in ("messages", "conversations"):
        first = record[next(name for name in SHAPES[shape][shape] if name in record)]
        if isinstance(first, list) and first and isinstance(first[0], dict):
            return "conversations" if "value" in first[0] else "messages"
    return shape


@lru_cache(maxsize=256)
def _shape_of(names: tuple[str, ...], target: str) -> str:
    """The shape that goes by these field names alone."""
    if language_pair(names, target):
        return "pair"
    for shape, fields in SHAPES.items():
        if all(any(name in names for name in known) for field, known in fields.items() if not field.endswith("?")):
            return shape
    return ""


def language_pair(record: Iterable[str], target: str = "") -> tuple[str, str] | None:
    """Source and target field of a record whose fields are language codes; the source is English where it can be."""
    codes = [name for name in record if name in LANGUAGES or (name == target and target)]
    if len(codes) != 2:
        return None
    goal = target if target in codes else next((code for code in codes if code != "en"), codes[1])
    return next(code for code in codes if code != goal), goal


def parse(record: Record, shape: str, columns: Mapping[str, str], target: str = "") -> Parsed:
    """Messages and original of a record. `columns` maps a shape's field to the record's name for it. Raises RecordError."""
    if shape in ("messages", "conversations"):
        names = (*SHAPES[shape][shape], *SHAPES["messages"]["messages"], *SHAPES["conversations"]["conversations"])
        return _conversation(_get(record, shape, names, columns)), None
    if shape == "pair":
        return _pair(record, columns, target)
    found = {field.rstrip("?"): _field(record, field, names, columns) for field, names in SHAPES[shape].items()}
    if shape == "text":
        return (Message("text", found["text"]),), None
    system = (Message("system", found["system"]),) if found.get("system") else ()
    asked, answered = (found[name] for name in list(SHAPES[shape])[:2])
    if found.get("input"):
        asked = f"{asked}\n\n{found['input']}"
    return (*system, Message("user", asked), Message("assistant", answered)), None


def _pair(record: Record, columns: Mapping[str, str], target: str) -> Parsed:
    if isinstance(record.get("translation"), dict) and columns.get("source") not in record:
        record = record["translation"]
    codes = language_pair(record, target)
    names = {"source": columns.get("source", ""), "target": columns.get("target", "")}
    if codes and not names["source"]:
        names = dict(zip(("source", "target"), codes, strict=True))
    before, after = (_field(record, field, SHAPES["pair"][field], names) for field in ("source", "target"))
    return (Message("text", after),), (Message("text", before),)


def _get(record: Record, field: str, names: tuple[str, ...], columns: Mapping[str, str]) -> Any:
    wanted = (columns[field],) if columns.get(field) else names
    for name in wanted:
        if name in record:
            return record[name]
    raise RecordError("missing_field", f"no {' or '.join(dict.fromkeys(wanted))}")


def _field(record: Record, field: str, names: tuple[str, ...], columns: Mapping[str, str]) -> str:
    """The text of a field; an optional one (`name?`) is empty when absent or null."""
    name = field.rstrip("?")
    if not field.endswith("?"):
        text = clean(_get(record, name, names, columns), name)
        if not text or text.isspace():
            raise RecordError("empty_field", name)
        return text
    wanted = (columns[name],) if columns.get(name) else names
    value = next((record[each] for each in wanted if each in record), None)
    return "" if value is None or value == "" else clean(value, name)


def clean(value: Any, name: str) -> str:
    """The value as text that every later stage can hold. Raises RecordError for another type, NUL or a lone surrogate."""
    if not isinstance(value, str):
        raise RecordError("missing_field" if value is None else "wrong_type", f"{name} is {type(value).__name__}")
    if "\0" in value:
        raise RecordError("nul", name)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        # Bytes that are no UTF-8 arrive as U+DC80..DCFF, everything else is half of a pair from a \\u escape.
        code = ord(value[error.start])
        raise RecordError("invalid_utf8" if 0xDC80 <= code <= 0xDCFF else "lone_surrogate", name) from None
    return value


def _conversation(turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list):
        raise RecordError("wrong_type", f"turns are {type(turns).__name__}")
    messages = tuple(_turn(turn) for turn in turns)
    if not messages:
        raise RecordError("empty_field", "no turns")
    if not any(message.role == "user" for message in messages) or not any(message.role == "assistant" for message in messages):
        raise RecordError("incomplete_conversation", "no user or no assistant turn")
    return messages


def _turn(turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise RecordError("wrong_type", f"a turn is {type(turn).__name__}")
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str):
        raise RecordError("missing_field", "role")
    if role.lower() not in _ROLES:
        raise RecordError("unknown_role", role[:40])
    return Message(_ROLES[role.lower()], _content(turn, role.lower()))


def _content(turn: Mapping[str, Any], role: str) -> str:
    """The text of a turn; calls of tools stand in it as Hermes models write them: JSON between <tool_call> and </tool_call>."""
    said = turn.get("content", turn.get("value"))
    calls = _calls(turn)
    if isinstance(said, list):
        said = "\n".join(_text_part(part) for part in said)
    text = "" if said is None and calls else clean(said, "content")
    if role in ("function_call", "tool_call") and "<tool_call>" not in text:
        text = f"<tool_call>\n{text.strip()}\n</tool_call>"
    text = "\n".join(([text] if text.strip() else []) + calls) if calls else text
    if not text.strip() and role != "system":
        raise RecordError("empty_field", "content")
    return text


def _text_part(part: Any) -> str:
    """The text of one of the parts that a content is given in."""
    if isinstance(part, dict):
        if part.get("type", "text") not in ("text", "input_text", "output_text"):
            raise RecordError("not_text", f"a part of a content is {part['type']}"[:60])
        part = part.get("text", 0)
    return clean(part, "a part of a content")


def tools_of(record: Record) -> str:
    """The tools that a conversation may call, which stand beside its turns, as compact JSON; empty when there are none."""
    tools = record.get("tools")
    if isinstance(tools, str):
        # What does not parse stays the string that it is.
        with suppress(ValueError, RecursionError):
            tools = json.loads(tools)
    return clean(json.dumps(tools, ensure_ascii=False, separators=(",", ":"), default=str), "tools") if tools else ""


def _calls(turn: Mapping[str, Any]) -> list[str]:
    """The calls of tools in an OpenAI-style turn (`tool_calls`, or the older `function_call`) as text."""
    calls = turn.get("tool_calls") or []
    if isinstance(turn.get("function_call"), dict):
        calls = [*calls, turn["function_call"]] if isinstance(calls, list) else calls
    if not isinstance(calls, list):
        raise RecordError("wrong_type", f"tool_calls is {type(calls).__name__}")
    return [f"<tool_call>\n{_call(call)}\n</tool_call>" for call in calls]


def _call(call: Any) -> str:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RecordError("wrong_type", "a tool call without a name")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        # Arguments are JSON in a string; what does not parse stays the string that it is.
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return clean(json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False), "tool_calls")


def is_own(record: Record) -> bool:
    """Whether the record is a row that hala wrote."""
    return record.keys() >= {"id", "messages", "lang", "source", "licence", "original", "notes"}


def own_row(record: Record) -> Row:
    """A row that hala wrote, with its id and everything else unchanged."""
    original = None if record["original"] is None else _messages(record["original"])
    lang, source, licence = (record[name] or "" for name in ("lang", "source", "licence"))
    return Row(
        clean(record["id"], "id"), _messages(record["messages"]), lang, source, licence, original, dict(record["notes"] or {})
    )


def _messages(turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RecordError("wrong_type", "messages")
    return tuple(Message(clean(turn.get("role"), "role"), clean(turn.get("content"), "content")) for turn in turns)
