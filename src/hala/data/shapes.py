"""Records of any common form as rows: which form a record has, and why a record cannot be used.

>>> from hala.data.shapes import detect, parse
>>> detect({"instruction": "Add 1 and 2.", "response": "3"})
'instruction'
>>> parse({"question": "1+2?", "answer": "3"}, "question", {})[0][1].content
'3'
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from hala.languages import LANGUAGES, identified
from hala.records import Message, Row

Record = Mapping[str, Any]
Wanted = tuple[str, str]  # source and target language, "" where it is not known
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


def detect(record: Record, wanted: Wanted = ("", "")) -> str:
    """The shape of a record by its field names; empty when it has none. `wanted` are the languages of pairs like {en, ar}."""
    if "translation" in record and isinstance(record["translation"], dict):
        return "pair"
    shape = _shape_of(tuple(record), wanted)
    if shape in ("messages", "conversations"):
        first = record[next(name for name in SHAPES[shape][shape] if name in record)]
        if isinstance(first, list) and first and isinstance(first[0], dict):
            return "conversations" if "value" in first[0] else "messages"
    return shape


@lru_cache(maxsize=256)
def _shape_of(names: tuple[str, ...], wanted: Wanted) -> str:
    """The shape that goes by these field names alone; languages that nothing is known of come last, `it` may be no Italian."""
    if _two_of(names, wanted, LANGUAGES):
        return "pair"
    for shape, fields in SHAPES.items():
        if all(any(name in names for name in known) for field, known in fields.items() if not field.endswith("?")):
            return shape
    return "pair" if language_pair(names, wanted) else ""


def language_pair(names: Collection[str], wanted: Wanted = ("", "")) -> tuple[str, str] | None:
    """Source and target among fields that are named after languages: the wanted ones, else the only two that hala knows well,
    else the only two.

    Of two, the target is the wanted one, else the one beside the wanted source, else the one that is not English.
    """
    return _two_of(names, wanted, LANGUAGES) or _two_of(names, wanted, _codes())


def _two_of(names: Collection[str], wanted: Wanted, codes: Collection[str]) -> tuple[str, str] | None:
    source, target = wanted
    if source != target and source in names and target in names and source and target:
        return source, target
    found = [name for name in names if name in codes or (name and name in wanted)]
    if len(found) != 2:
        return None
    first, second = found
    if target in found:
        return (second if target == first else first), target
    if (source or "en") in found:
        return (source or "en"), (second if (source or "en") == first else first)
    return (second, first) if second == "en" else (first, second)


@lru_cache(maxsize=1)
def _codes() -> frozenset[str]:
    """Codes that are field names of pairs; `id` is Indonesian only to those who say so."""
    return frozenset(code for _, code, _ in identified()) - {"id"} | frozenset(LANGUAGES)


@lru_cache(maxsize=256)
def plain_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Field names as the shapes have them (`Instruction` is instruction, `Arabic` is ar); empty where that changes nothing."""
    known = {name.casefold(): code for name, code, _ in identified()}
    known |= {each.name.casefold(): code for code, each in LANGUAGES.items()}
    plain = tuple(known.get(word := name.strip().casefold(), word) for name in names)
    return plain if plain != names and len(set(plain)) == len(plain) else ()


def named_fields(shape: str, columns: Mapping[str, str]) -> dict[str, str] | None:
    """The column map by the shape's own names of its fields (`response` is the output of an instruction).

    None when a key is no field of the shape, or two are the same.
    """
    known = {name: field.rstrip("?") for field, names in SHAPES[shape].items() for name in (*reversed(names), field.rstrip("?"))}
    fields = {known[key]: column for key, column in columns.items() if key in known}
    return fields if len(fields) == len(columns) else None


def is_complete(shape: str, fields: Collection[str]) -> bool:
    """Whether these are all fields that a record of the shape cannot do without."""
    return all(field in fields for field in SHAPES[shape] if not field.endswith("?"))


def asks_for_label(record: Record) -> bool:
    """Whether the record is a multiple-choice question whose answer is the label of an option, such as `B` or `(2)`."""
    if not _has_options(tuple(record)):
        return False
    answer = next((record[name] for name in SHAPES["question"]["answer"] if name in record), None)
    return isinstance(answer, str) and len(answer.strip(" ().:")) == 1


@lru_cache(maxsize=256)
def _has_options(names: tuple[str, ...]) -> bool:
    plain = {name.casefold() for name in names}
    series = ("{}", "option_{}", "option{}", "choice_{}", "choice{}", "op{}", "opt_{}", "answer_{}")
    return bool(plain & {"choices", "options", "endings"}) or any({s.format(x) for x in "ab"} <= plain for s in series)


def target_language(record: Record, columns: Mapping[str, str], wanted: Wanted) -> str:
    """The language that the target column is named after; empty when its name is no language code."""
    named = columns.get("target", "")
    if named:
        return named if named in LANGUAGES or named in _codes() or (named in wanted) else ""
    pair = language_pair(record["translation"] if isinstance(record.get("translation"), dict) else record, wanted)
    return pair[1] if pair else ""


def parse(record: Record, shape: str, columns: Mapping[str, str], wanted: Wanted = ("", "")) -> Parsed:
    """Messages and original of a record. `columns` maps a shape's field to the record's name for it. Raises RecordError."""
    if shape in ("messages", "conversations"):
        names = (*SHAPES[shape][shape], *SHAPES["messages"]["messages"], *SHAPES["conversations"]["conversations"])
        return _conversation(_get(record, shape, names, columns)), None
    if shape == "pair":
        return _pair(record, columns, wanted)
    if shape == "text":
        return (Message("text", _field(record, "text", SHAPES["text"]["text"], columns)),), None
    (first, names), (second, more_names), *others = SHAPES[shape].items()
    asked, answered = _field(record, first, names, columns), _field(record, second, more_names, columns)
    found = {field: _optional(record, field[:-1], known, columns) for field, known in others}
    if more := found.get("input?"):
        asked = f"{asked}\n\n{more}"
    both = Message("user", asked), Message("assistant", answered)
    system = found.get("system?")
    return (Message("system", system), *both) if system else both, None


def _pair(record: Record, columns: Mapping[str, str], wanted: Wanted) -> Parsed:
    if isinstance(record.get("translation"), dict) and columns.get("source") not in record:
        record = record["translation"]
    codes = language_pair(record, wanted) if not columns else None
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
    """The text of a field that must be there and hold some."""
    text = clean(_get(record, field, names, columns), field)
    if not text or text.isspace():
        raise RecordError("empty_field", field)
    return text


def _optional(record: Record, field: str, names: tuple[str, ...], columns: Mapping[str, str]) -> str:
    """The text of a field that may be absent or null: then empty."""
    for name in (columns[field],) if columns.get(field) else names:
        if name in record:
            value = record[name]
            return "" if value is None or value == "" else clean(value, field)
    return ""


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
    """A row that hala wrote, with its id and everything else unchanged. Raises RecordError where something is no text."""
    original = None if record["original"] is None else _messages(record["original"])
    lang, source, licence = (clean(record[name] or "", name) for name in ("lang", "source", "licence"))
    try:
        notes = dict(record["notes"] or {})  # Parquet gives pairs
    except (TypeError, ValueError):
        raise RecordError("wrong_type", f"notes are {type(record['notes']).__name__}") from None
    for name, value in notes.items():
        clean(name, "a note's name"), clean(value, "a note")
    return Row(clean(record["id"], "id"), _messages(record["messages"]), lang, source, licence, original, notes)


def _messages(turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RecordError("wrong_type", "messages")
    return tuple(Message(clean(turn.get("role"), "role"), clean(turn.get("content"), "content")) for turn in turns)
