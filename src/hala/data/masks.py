"""Spans of a segment that must come through a translation unchanged, replaced by numbered sentinels ⟦1⟧ ⟦2⟧ ...

Every occurrence gets its own number, equal texts too: "each number exactly once, in any order" is then the whole rule
for what a translator may do with them. A literal ⟦ or ⟧ in the text is itself a span, so no text can be mistaken for a sentinel.

>>> from hala.data.masks import mask, unmask
>>> masked = mask("Run `ls -l` in {folder}.")
>>> masked.text, masked.spans
('Run ⟦1⟧ in ⟦2⟧.', ('`ls -l`', '{folder}'))
>>> unmask("نفّذ ⟦1⟧ في ⟦2⟧.", masked.spans)
'نفّذ `ls -l` في {folder}.'
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from hala.data.spans import find_spans
from hala.records import Verdict, record, rejected

__all__ = ["SENTINEL", "Masked", "emoji", "find_spans", "has_letters", "mask", "mask_pair", "plain", "sentinel_problem", "unmask"]

SENTINEL = re.compile(r"⟦[ \u200e\u200f]?(\d{1,6})[ \u200e\u200f]?⟧")
_TAG = re.compile(r"<(?P<closing>/?)(?P<name>[A-Za-z][\w:.-]*)[^<>]*(?<!/)>")
_LINKED = re.compile(r"\[[^\[\]]*\]\(⟦[ \u200e\u200f]?(\d{1,6})[ \u200e\u200f]?⟧")
_LETTER = re.compile(r"[^\W\d_]")
_PICTURE = (
    "[\u231a\u231b\u23e9-\u23fa\u2600-\u26ff\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747"
    "\u274c\u274e\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff](?:\ufe0f|[\U0001f3fb-\U0001f3ff])?"
)
_EMOJI = re.compile(f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_PICTURE}(?:\u200d{_PICTURE})*")


@record
class Masked:
    """A segment as an engine sees it, and the texts behind ⟦1⟧, ⟦2⟧, ... in that order."""

    text: str
    spans: tuple[str, ...]


@lru_cache(maxsize=4096)  # splitting, asking and judging all want the same segment masked, one soon after the other
def mask(segment: str) -> Masked:
    """The segment with its protected spans replaced by ⟦1⟧, ⟦2⟧, ...; `unmask(mask(x).text, mask(x).spans) == x` for every x."""
    found = find_spans(segment)
    if not found:
        return Masked(segment, ())
    pieces: list[str] = []
    spans: list[str] = []
    position = 0
    for start, end in found:
        spans.append(segment[start:end])
        pieces += (segment[position:start], f"⟦{len(spans)}⟧")
        position = end
    pieces.append(segment[position:])
    return Masked("".join(pieces), tuple(spans))


def unmask(text: str, spans: tuple[str, ...]) -> str | Verdict:
    """The text with every sentinel replaced by its span, or a rejection `placeholders` naming what is missing or doubled.

    Sentinels may stand in any order; a space or direction mark inside the brackets and native digits are forgiven.
    """
    if not spans and "⟦" not in text and "⟧" not in text:
        return text
    problem = sentinel_problem(text, len(spans))
    if problem:
        return rejected("placeholders", problem)
    return SENTINEL.sub(lambda match: spans[int(match[1]) - 1], text)


def fill(text: str, spans: tuple[str, ...]) -> str:
    """The text with those sentinels replaced that are some span's; the others stay what they are."""
    return SENTINEL.sub(lambda match: spans[int(match[1]) - 1] if 0 < int(match[1]) <= len(spans) else match[0], text)


def misplaced(text: str, source: Masked) -> str:
    """What is wrong with the places of sentinels that are all there: tags that no longer nest, an address without its link."""
    order = [int(match[1]) - 1 for match in SENTINEL.finditer(text)]
    tags = [tag for span in source.spans if (tag := _TAG.fullmatch(span))]
    if len(tags) > 1 and _nests(tags):
        moved = [tag for place in order if (tag := _TAG.fullmatch(source.spans[place]))]
        if not _nests(moved):
            return f"tags in the order {' '.join(tag[0] for tag in moved)}"[:120]
    if "](⟦" in source.text:
        links = sorted(match[1] for match in _LINKED.finditer(source.text))
        if links != sorted(match[1] for match in _LINKED.finditer(text)):
            return "an address that is no link any more"
    return ""


def _nests(tags: Sequence[re.Match[str]]) -> bool:
    """Whether every tag that closes follows on the one that it closes."""
    opened: list[str] = []
    for tag in tags:
        if not tag["closing"]:
            opened.append(tag["name"].lower())
        elif tag["name"].lower() in opened:
            while opened.pop() != tag["name"].lower():  # what was never closed, such as <br>
                pass
        else:
            return False
    return True


def sentinel_problem(text: str, count: int) -> str:
    """What is wrong with the sentinels of `text` when each of 1..`count` must stand exactly once; empty when nothing is."""
    numbers = [int(number) for number in SENTINEL.findall(text)]
    if text.count("⟦") == len(numbers) == text.count("⟧") and sorted(numbers) == list(range(1, count + 1)):
        return ""
    seen = Counter(numbers)
    wrong = [f"⟦{number}⟧ missing" for number in range(1, count + 1) if not seen[number]]
    wrong += [f"⟦{number}⟧ {times} times" for number, times in sorted(seen.items()) if times > 1 and 1 <= number <= count]
    wrong += [f"⟦{number}⟧ invented" for number in sorted(seen) if not 1 <= number <= count]
    if not wrong and re.search("[⟦⟧]", SENTINEL.sub("", text)):
        wrong.append("a damaged sentinel")
    return ", ".join(wrong[:5])


def mask_pair(source: str, target: str) -> tuple[str, str] | None:
    """Both sides of a human translation with matching sentinels; None when they do not protect the same spans.

    The target carries the source's numbers, so the pair shows a translator what to do with sentinels.
    """
    left, right = mask(source), mask(target)
    if Counter(left.spans) != Counter(right.spans):
        return None
    free: dict[str, list[int]] = {}
    for number, span in enumerate(left.spans, 1):
        free.setdefault(span, []).append(number)
    numbers = [free[span].pop(0) for span in right.spans]
    return left.text, SENTINEL.sub(lambda match: f"⟦{numbers[int(match[1]) - 1]}⟧", right.text)


def plain(text: str) -> str:
    """The text without sentinels and protected spans: what is left is natural language."""
    masked = mask(SENTINEL.sub(" ", text) if "⟦" in text else text)
    return SENTINEL.sub(" ", masked.text) if masked.spans else masked.text


def has_letters(text: str) -> bool:
    """Whether anything outside the protected spans can be translated at all."""
    return _LETTER.search(mask(text).text) is not None


def emoji(text: str) -> Counter[str]:
    """How often each emoji stands in the text. Emoji are no spans, for a translator may place them: a gate compares the counts.

    Skin tones, flags, keycaps and joined sequences count as one; the selector of a coloured form (U+FE0F) does not matter.
    """
    if text.isascii():
        return Counter()
    return Counter(found.replace("\ufe0f", "") for found in _EMOJI.findall(text))
