"""What an adapted row keeps in the source language: spans of its messages, found by name, taken out and put back.

>>> from hala.data.routing_keeps import protect, restore
>>> text, pieces = protect("Translate 'good night' to Thai.", [(11, 21)])
>>> text
"Translate '⟦k1⟧' to Thai."
>>> restore(text, pieces)
"Translate 'good night' to Thai."
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from hala.records import Message

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True, order=True)
class Keep:
    """Characters `start` to `end` of the message with index `message`: they stay as they are."""

    message: int
    start: int
    end: int


def merged(keeps: Iterable[Keep]) -> tuple[Keep, ...]:
    """The same characters as sorted spans that neither overlap nor touch."""
    found: list[Keep] = []
    for keep in sorted(keeps):
        if found and found[-1].message == keep.message and keep.start <= found[-1].end:
            found[-1] = Keep(keep.message, found[-1].start, max(found[-1].end, keep.end))
        else:
            found.append(keep)
    return tuple(found)


def protect(text: str, ranges: Iterable[tuple[int, int]]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The text with each range replaced by a mark such as ⟦k1⟧, which masking protects, and (mark, span) for each.

    `ranges` are sorted and do not overlap; one that runs over several lines has a mark in each, so that lines stay lines, and
    space at the edges stays outside. `restore` puts the spans back.
    """
    name = "k"
    while f"⟦{name}" in text:
        name += "k"
    pieces: list[str] = []
    spans: list[tuple[str, str]] = []
    position = 0
    for match in (found for start, end in ranges for found in _LINE.finditer(text, start, end)):
        mark = f"⟦{name}{len(spans) + 1}⟧"
        pieces += (text[position : match.start()], mark)
        spans.append((mark, match[0]))
        position = match.end()
    return "".join((*pieces, text[position:])), tuple(spans)


def restore(text: str, spans: Iterable[tuple[str, str]]) -> str:
    """The text with every mark replaced by its span, in one pass."""
    known = dict(spans)
    return re.sub("|".join(map(re.escape, known)), lambda match: known[match[0]], text) if known else text


def replies(messages: Messages, index: int) -> list[int]:
    """The messages that answer turn `index`: up to the next user turn; all assistant turns for a system message."""
    found = []
    for place in range(index + 1, len(messages)):
        if messages[place].role == "user" and messages[index].role == "user":
            break
        if messages[place].role == "assistant":
            found.append(place)
    return found


_LINE = re.compile(r"\S(?:[^\r\n]*\S)?")
# An apostrophe inside a word opens and closes nothing.
QUOTED = re.compile(
    r"\"([^\"\n]{1,400})\"|“([^”\n]{1,400})”|«([^»\n]{1,400})»|`([^`\n]{1,400})`"
    r"|(?<!\w)['‘](?!\s)([^\n]{1,400}?)(?<!\s)['’](?!\w)"
)
_POINTS = re.compile(
    r"\s*(?:this|that|these|those|it|my|an?|the (?:following|sentences?|texts?|passages?|phrases?|paragraphs?|words?|above))\b",
    re.I,
)
_LEAD = re.compile(r"[^:\n]{0,80}\b(?:sentence|version|correct\w*|should|reads?|text|rewritten|phrase)\b[^:\n]{0,30}:\s*", re.I)
_WORD = re.compile(r"\w[\w'’-]*")
_RUNNING = re.compile(r"[A-Za-z]{2,},? [a-z]{2,},? [a-z]{2,}")
_SIGN = re.compile(r"[\\\[\](){}^$*+?|]")
_SMALL = frozenset(["a", "an", "and", "at", "by", "de", "for", "from", "in", "la", "of", "on", "or", "the", "to", "with", "&"])
_OPTION = re.compile(r"(?<![\w'’)])(?:\(([A-Ja-j])\)|\[([A-Ja-j])\]|([A-Ja-j])([).:]))(?=\s)")
_PICKED = re.compile(
    r"\b(?:answer|option|choice|choose)\b(?: is)?:?\s*(?P<open>[(\[])?(?P<a>[A-Ja-j])(?P<close>[)\]])?(?![\w'’])"
    r"|(?<![\w'’])(?:\([A-Ja-j]\)|\[[A-Ja-j]\])|^\s*[A-Ja-j](?:[).:](?=\s|$)|(?=\W*$))",
    re.MULTILINE,
)


def quotes(text: str) -> list[tuple[int, int]]:
    """Start and end of what stands between quotation marks, without the marks."""
    return [match.span(match.lastindex or 0) for match in QUOTED.finditer(text)]


def sentence(text: str, match: re.Match[str]) -> tuple[int, int]:
    """Start and end of the sentence or line around a match."""
    start = max(text.rfind(mark, 0, match.start()) for mark in ".?!\n") + 1
    ends = [place for mark in ".?!\n" if (place := text.find(mark, match.end())) >= 0]
    return start, min(ends, default=len(text) - 1) + 1


def payload(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The text that the task is done to: in quotation marks, after a colon, on further lines, or before the instruction."""
    text = messages[index].content
    known = quotes(text)
    end = _break(text, match.end(), known)
    first, _ = sentence(text, match)
    inside = [span for span in known if first <= span[0] and span[1] < end]
    if inside:
        return [Keep(index, *span) for span in inside]
    spans = [_trimmed(text, end + 1, len(text), known)] if end < len(text) else []
    spans = [span for span in spans if span[0] < span[1]] or known
    if not spans:
        named = [match.span(name) for name, value in match.groupdict().items() if value and not _POINTS.match(value)]
        spans = [_trimmed(text, *span, known) for span in named] or _around(text, match, known)
    return [Keep(index, *span) for span in spans if span[0] < span[1]]


def _break(text: str, start: int, known: list[tuple[int, int]]) -> int:
    """Where the instruction ends: the first colon or line break outside quotation marks; the end of the text without one."""
    for match in re.compile(r":(?=\s)|\n|\s[-–—](?=\s)").finditer(text, start):
        if not any(a <= match.start() < b for a, b in known):
            return match.end() - 1
    return len(text)


def _trimmed(text: str, start: int, end: int, known: list[tuple[int, int]]) -> tuple[int, int]:
    """The span without blanks around it and without the quotation marks that hold all of it, or its first sentence."""
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end -= len(piece) - len(piece.rstrip())
    for a, b in known:
        if a == start + 1 and (b + 1 >= end or text[b + 1] in ".?!\n"):
            return a, b
    return start, max(start, end)


def _around(text: str, match: re.Match[str], known: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The paragraphs before the instruction, or else the sentences after its own."""
    before = text.rfind("\n", 0, match.start())
    if before > 0 and text[:before].strip():
        return [_trimmed(text, 0, before, known)]
    after = re.compile(r"[.?!]\s+(?=\S)").search(text, match.end())
    return [_trimmed(text, after.end(), len(text), known)] if after else []


def answer(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The whole answer."""
    return [Keep(place, 0, len(messages[place].content)) for place in replies(messages, index) if messages[place].content]


def reply(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The whole answer, or only what it quotes when running words stand around the quotation marks."""
    found = []
    for place in replies(messages, index):
        text = messages[place].content
        spans = quotes(text)
        if spans and _RUNNING.search(QUOTED.sub(" | ", text)):
            found += [Keep(place, *span) for span in spans]
        elif text:
            found.append(Keep(place, 0, len(text)))
    return found


def echo(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """What of the answer repeats the text that the task is done to: all, what follows an announcement, or what it quotes."""
    before = payload(messages, index, match)
    words = {word.casefold() for keep in before for word in _words(messages, keep)}
    found = []
    for place in replies(messages, index):
        text = messages[place].content
        lead = _LEAD.match(text)
        start = lead.end() if lead else 0
        spans = quotes(text)
        if spans and spans[0][0] > 1 and _RUNNING.search(QUOTED.sub(" | ", text)):
            found += [Keep(place, *span) for span in spans]
            continue
        keep = Keep(place, *_trimmed(text, start, len(text), spans)) if start else Keep(place, 0, len(text))
        own = {word.casefold() for word in _words(messages, keep)}
        if own and (len(own & words) * 3 >= min(len(own), len(words)) or _alike(messages, keep, before)):
            found.append(keep)
    return found


def _alike(messages: Messages, keep: Keep, others: list[Keep]) -> bool:
    """Whether two short texts share most of their letters in order: each word may have had its fault."""
    one, *texts = (messages[each.message].content[each.start : each.end] for each in (keep, *others))
    return any(max(len(one), len(text)) <= 400 and SequenceMatcher(None, one, text).ratio() >= 0.6 for text in texts)


def _words(messages: Messages, keep: Keep) -> list[str]:
    return _WORD.findall(messages[keep.message].content, keep.start, keep.end)


def terms(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The words that the question is about, in quotation marks or named by the rule, and where the answer mentions them."""
    text = messages[index].content
    start, end = sentence(text, match)
    spans = [span for span in quotes(text) if start <= span[0] and span[1] <= end] or quotes(text)
    spans = spans or [match.span(name) for name, value in match.groupdict().items() if value]
    found = [Keep(index, *span) for span in spans]
    wanted = {text[start:end].casefold().strip(".,;:!?") for start, end in spans} - {""}
    if not wanted:
        return []
    mention = re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in sorted(wanted, key=len, reverse=True)), re.I)
    for place in replies(messages, index):
        content = messages[place].content
        quoted = [span for span in quotes(content) if mention.search(content, *span)]
        found += [Keep(place, *span) for span in quoted or [each.span() for each in mention.finditer(content)]]
    return found


def words(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The words that the question is about: as `terms`, or else what stands after a colon."""
    return terms(messages, index, match) or payload(messages, index, match)


def expansion(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The words of the answer whose initials are the acronym that was asked about."""
    found = []
    for acronym in re.findall(r"\b[A-Z][A-Za-z]*[A-Z]\b", messages[index].content):
        for place in replies(messages, index):
            tokens = [each for each in _WORD.finditer(messages[place].content) if each[0] != acronym]
            for first, token in enumerate(tokens):
                last = _spells([each[0].casefold() for each in tokens[first:]], acronym.casefold())
                if last is not None and token[0][0].casefold() == acronym[0].casefold():
                    found.append(Keep(place, token.start(), tokens[first + last].end()))
                    break
    return found


def _spells(tokens: list[str], initials: str) -> int | None:
    """How many tokens after the first it takes to spell the initials; None when they do not."""
    if not tokens or not initials:
        return None
    token = tokens[0]
    if token[0] == initials[0]:
        used = 0
        for character in token:  # HyperText gives two of HTML's letters
            used += used < len(initials) and character == initials[used]
        for count in range(1, used + 1):
            if count == len(initials):
                return 0
            rest = _spells(tokens[1:], initials[count:])
            if rest is not None:
                return rest + 1
    if token in _SMALL:
        rest = _spells(tokens[1:], initials)
        return None if rest is None else rest + 1
    return None


def letters(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The letters of the options, and those that the answer names; nothing when the answer names none."""
    text = messages[index].content
    marks = options(text)
    named = {text[start:end].strip("()[].:").upper() for start, end in marks}
    picked = []
    for place in replies(messages, index):
        for found in _PICKED.finditer(messages[place].content):
            start, end = found.span("a") if found["a"] else found.span()
            start, end = start - bool(found["open"]), end + bool(found["close"])
            piece = messages[place].content[start:end]
            if piece.strip("()[].: \n").upper() in named:
                picked.append(Keep(place, end - len(piece.lstrip()), end))
    return [Keep(index, *span) for span in marks] + picked if picked and marks else []


@lru_cache(maxsize=4)  # the question before the options is looked for as well
def options(text: str) -> tuple[tuple[int, int], ...]:
    """The marks of the longest run A, B, C ... in one style, at the starts of lines if any is; empty when there are not two."""
    marks = list(_OPTION.finditer(text))
    at_lines = [mark for mark in marks if not text[text.rfind("\n", 0, mark.start()) + 1 : mark.start()].strip()]
    for some in (at_lines, marks):
        runs: dict[str, list[tuple[int, int]]] = {}
        for mark in some:
            letter = mark[1] or mark[2] or mark[3]
            run = runs.setdefault(mark[0].replace(letter, "a" if letter.islower() else "A"), [])
            if letter in "Aa" and len(run) == 1:  # "100 A." came before the options
                run.clear()
            if letter.upper() == "ABCDEFGHIJ"[len(run) : len(run) + 1]:
                run.append(mark.span())
        best = max(runs.values(), key=len, default=[])
        if len(best) > 1:
            return tuple(best)
    return ()


def bare(messages: Messages, index: int, match: re.Match[str]) -> list[Keep]:
    """The whole answer when it is one line with the signs of an expression and no running text."""
    found = answer(messages, index, match)
    texts = [messages[each.message].content.strip() for each in found]
    return [] if any("\n" in text or not _SIGN.search(text) or _RUNNING.search(text) for text in texts) else found


Finder = Callable[[Messages, int, re.Match[str]], list[Keep]]
FINDERS: dict[str, Finder] = {
    "payload": payload,
    "answer": answer,
    "reply": reply,
    "echo": echo,
    "terms": terms,
    "words": words,
    "expansion": expansion,
    "letters": letters,
    "bare": bare,
}
