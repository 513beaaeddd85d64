"""Conversations as texts to translate, and back: which turns are translated, which stay, and how a row becomes whole again.

All turns that are translated come back or the row is rejected: never half a conversation. Roles and their order are kept.

>>> from hala.data.conversations import Turns, prepare
>>> from hala.records import Message, Row
>>> row = Row("r", (Message("user", "Hello"), Message("tool", '{"ok": true}'), Message("assistant", "Hi")), "en")
>>> [text.text for text in prepare(row, "ar", Turns()).texts]
['Hello', 'Hi']
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from hala.data.payloads import thinking_span
from hala.data.segments import labels_of, with_labels
from hala.data.translating import Text, Translated
from hala.languages import language, script_share
from hala.records import KEPT, Message, Row, Verdict, record, rejected

if TYPE_CHECKING:
    from hala.data.routing import Route

Range = tuple[int, int]
FEWEST_OWN = 2  # frequent words of the target that a row in it has
Policy = Literal["translate", "keep", "drop"]
KEPT_SPAN = "{_}"
"""Stands for what was kept when both sides of a row are compared: a placeholder, which no gate takes for language."""
_CALL = re.compile(r"<\|?(?:tool|function)_calls?\|?>|\[TOOL_CALLS\]")
_NOTED = re.compile(r"(?<!\S)(\d+)(?::(\d+)-(\d+))?(?!\S)")


@dataclass(frozen=True, slots=True)
class Turns:
    """What happens to system turns, to what tools answered, and to a model's thinking (between tags such as <think>)."""

    system: Policy = "translate"
    tool: Policy = "keep"
    thinking: Policy = "translate"


@record
class Prepared:
    """A row with the texts to translate and the turn that each belongs to; `verdict` is set when nothing is to be asked."""

    row: Row
    texts: tuple[Text, ...] = ()
    places: tuple[int, ...] = ()
    verdict: Verdict | None = None


def prepare(row: Row, target: str, turns: Turns, route: Route | None = None) -> Prepared:
    """What of a row is translated into `target`. A row that is translated already, or must not be, is decided here."""
    if route is not None and route.rule and row.original is None and row.lang != target:
        row = replace(row, notes={**row.notes, "route": route.note})
    if verdict := _decided(row, target, route):
        return Prepared(row, verdict=verdict)
    ranges: dict[int, list[Range]] = {}
    for each in route.keep if route else ():
        ranges.setdefault(each.message, []).append((each.start, each.end))
    before, (row, ranges) = row, _without_dropped(row, turns, ranges)
    if row is not before and (wrong := _broken(before, row)):
        return Prepared(before, verdict=rejected("turns", wrong))
    texts, places = [], []
    for place, message in enumerate(row.messages):
        if _policy(message.role, turns) == "keep":
            continue
        keep = ranges.get(place, [])
        if turns.thinking == "keep" and message.role == "assistant":
            thoughts = thinking_span(message.content)
            keep = [*keep, thoughts] if thoughts else keep
        texts.append(Text(message.content, _joined(keep)))
        places.append(place)
    return Prepared(row, tuple(texts), tuple(places))


def _decided(row: Row, target: str, route: Route | None) -> Verdict | None:
    """The verdict on a row of which nothing is translated; None for all others."""
    if row.original is not None:
        return rejected("already_translated", "the row has an original")
    if row.lang == target:
        return rejected("already_translated", f"the row is in {target}")
    if _reads_as(row, target):
        return rejected("already_translated", f"the row reads as {language(target).name}")
    if route is not None and route.action == "drop":
        return rejected("untranslatable", route.note)
    return KEPT if route is not None and route.action == "keep" else None


def _reads_as(row: Row, target: str) -> bool:
    """Whether all that users and assistants say is in the target's script, which the row's language does not have."""
    if row.messages[-1].content.isascii():
        return False
    spoken = [message.content for message in row.messages if message.role in ("user", "assistant")]
    to = language(target)
    if to.script in ("", "Latin", language(row.lang).script) or any(script_share(text, to) < 0.5 for text in spoken):
        return False
    if sum(text.count(letter) for text in spoken for letter in to.foreign) > 1:  # another language of that script
        return False
    words = {word for text in spoken for word in text.split()}
    return len(words & to.frequent) >= FEWEST_OWN if to.frequent else True


def assemble(prepared: Prepared, results: Sequence[Translated], target: str) -> tuple[Row, Verdict]:
    """The translated row, or the row as it was with the first reason.

    `notes["ladder"]` says which further tries helped, `notes["tried"]` which were in vain, `notes["kept"]` what was not to be
    translated: `0 3:7-12` is turn 0 and the characters 7 to 12 of the original of turn 3.
    """
    row = prepared.row
    if prepared.verdict is not None:
        return row, prepared.verdict
    failed = next((result for result in results if not result.verdict.kept), None)
    notes, used = row.notes, {result.rung for result in results}
    if used - {"first"}:
        tried = "+".join(rung for rung in ("again", "split", "other") if rung in used)
        notes = {**notes, "tried" if failed else "ladder": tried}
    if failed is not None:
        return replace(row, notes=notes), failed.verdict
    messages = list(row.messages)
    for place, result in zip(prepared.places, results, strict=True):
        messages[place] = Message(row.messages[place].role, result.text)
    if kept := _kept(prepared):
        notes = {**notes, "kept": kept}
    return Row(row.id, tuple(messages), target, row.source, row.licence, row.messages, notes), KEPT


def _kept(prepared: Prepared) -> str:
    """The turns of a row that stayed, and the ranges of characters that did, in one line."""
    texts = dict(zip(prepared.places, prepared.texts, strict=True))
    found = []
    for place in range(len(prepared.row.messages)):
        ranges = texts[place].keep if place in texts else None
        found += [str(place)] if ranges is None else [f"{place}:{start}-{end}" for start, end in ranges]
    return " ".join(found)


def compared(row: Row) -> list[tuple[str, str]]:
    """The original and the translation of each message, as far as it was to be translated; none for a row without an original.

    Left out are turns that stayed on purpose: by `notes["kept"]`, and what systems and tools said where it is the original letter
    for letter. Kept ranges and unchanged thinking stand as KEPT_SPAN on both sides, and references have their labels.
    """
    spans = [(int(place), start, end) for place, start, end in _NOTED.findall(row.notes.get("kept", ""))]
    whole = {place for place, _, end in spans if not end}
    found = []
    for number, (before, after) in enumerate(zip(row.original or (), row.messages, strict=row.original is not None)):
        source, target = before.content, after.content
        if source == target and (number in whole or before.role in ("system", "tool")):
            continue
        ranges = [(int(start), int(end)) for place, start, end in spans if place == number and end]
        thoughts = thinking_span(source) if before.role == "assistant" else None
        if thoughts and target.startswith(source[: thoughts[1]].rstrip()):
            ranges.append(thoughts)
        if ranges:
            source, target = _without_kept(source, target, _joined(ranges))
        if labels := labels_of(source):
            source, target = with_labels(source, labels), with_labels(target, labels)
        found.append((source, target))
    return found


def _without_kept(source: str, target: str, ranges: Sequence[Range]) -> tuple[str, str]:
    """Both texts with KEPT_SPAN for every range of the source that the target holds too."""
    marked = []
    # Long ones first, so that a word never takes the place of a sentence that holds it.
    for start, end in sorted(ranges, key=lambda span: (span[0] - span[1], span)):
        kept = source[start:end].strip()
        match = re.search(rf"(?<!\w){re.escape(kept)}(?!\w)", target) or re.search(re.escape(kept), target)
        if kept and match:
            target = f"{target[: match.start()]}{KEPT_SPAN}{target[match.end() :]}"
            start += source[start:end].index(kept)
            marked.append((start, start + len(kept)))
    for start, end in sorted(marked, reverse=True):
        source = f"{source[:start]}{KEPT_SPAN}{source[end:]}"
    return source, target


def _policy(role: str, turns: Turns) -> Policy:
    return turns.system if role == "system" else turns.tool if role == "tool" else "translate"


def _without_dropped(row: Row, turns: Turns, ranges: dict[int, list[Range]]) -> tuple[Row, dict[int, list[Range]]]:
    """The row without the turns and the thinking that the policy drops; ranges follow. Calls go with what tools said."""
    if turns.thinking == "drop" and any(thinking_span(m.content) for m in row.messages if m.role == "assistant"):
        row = replace(row, messages=tuple(_without_thinking(message) for message in row.messages))
        ranges = {place: spans for place, spans in ranges.items() if row.messages[place].role != "assistant"}
    left = [place for place, message in enumerate(row.messages) if _policy(message.role, turns) != "drop"]
    if turns.tool == "drop":
        left = [place for place in left if not _calls_a_tool(row.messages, place)]
    if len(left) == len(row.messages):
        return row, ranges
    row = replace(row, messages=tuple(row.messages[place] for place in left))
    return row, {new: ranges[old] for new, old in enumerate(left) if old in ranges}


def _calls_a_tool(messages: Sequence[Message], place: int) -> bool:
    """Whether a turn of the assistant calls a tool, as its text shows or because a tool answers."""
    following = messages[place + 1].role if place + 1 < len(messages) else ""
    return messages[place].role == "assistant" and (following == "tool" or _CALL.search(messages[place].content) is not None)


def _broken(before: Row, after: Row) -> str:
    """What is wrong with the turns that are left: an empty one, none that answers, two of a kind in a row; else empty."""
    emptied = sum(not message.content.strip() for message in after.messages)
    if emptied > sum(not message.content.strip() for message in before.messages):
        return "without its thinking an answer is empty"
    roles = [[message.role for message in row.messages if message.role != "system"] for row in (before, after)]
    if len(roles[0]) == len(roles[1]):
        return ""
    if not roles[1] or (roles[1][-1] != "assistant" and roles[0][-1] in ("assistant", "tool")):
        return "without its tools the conversation has no answer at its end"
    doubled = [sum(a == b != "tool" for a, b in pairwise(each)) for each in roles]
    return "without its tools the conversation has two turns of one role in a row" if doubled[1] > doubled[0] else ""


def _without_thinking(message: Message) -> Message:
    thoughts = thinking_span(message.content) if message.role == "assistant" else None
    return Message(message.role, message.content[thoughts[1] :]) if thoughts else message


def _joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Sorted, overlapping ones as one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)
