"""Gates on form: what a translation must carry over as it is, and what it must not bring in.

Each gate answers what is wrong with a pair, or an empty string.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hala.data.features import Pair
from hala.data.masks import SENTINEL, emoji
from hala.data.segments import split
from hala.languages import fold_digits

_LIST_MARKER = re.compile(r"^[ \t>]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]{0,15})(?:\s[^<>]*)?/?>|<\|[^<>|]{1,40}\|>|〘|〙|\[/?INST\]|</?s>")
_LITERAL_NEWLINE = re.compile(r"\\[nr](?![A-Za-z])|(?<!\\)\\n(?=[A-Z])")
_COMMAND = re.compile(r"(?<![A-Za-z])\\[a-z]+|\\[()\[\]]")
_LOCALE = re.compile(r"/[a-z]{2}-[a-z]{2}(?=/|$)")
_BLOCK_MARK = re.compile(r"^[ \t]*(#{1,6}[ \t]|>(?!\S*>))", re.MULTILINE)
_FENCE = re.compile(r"^[ \t>]*(?:```|~~~)", re.MULTILINE)
# A letter that names an option: at the start of a line, in brackets, or after a word for option or answer.
_OPTION = re.compile(
    r"^[ \t>*-]*\(?([A-H])[.):](?=\s)|(?<!\w)\(([A-H])\)(?!\w)|(?:option|answer|choice)s?(?: is)?:? \(?([A-H])\b(?!['’])",
    re.MULTILINE,
)
_LONE_CAPITAL = re.compile(r"(?<![A-Za-z0-9])[A-H](?![A-Za-z0-9])")
_GARBAGE = re.compile(
    r"[\ufffd\u0000-\u0008\u000b\u000c\u000e-\u001f\ue000-\uf8ff]"
    r"|(?:[^\w\s⟦⟧\u0300-\u036f\u064b-\u0652\u0900-\u0903\u093a-\u094f][ \t]?){7,}"
    r"|[ØÙÃÂ][\u0080-\u00bf][ØÙÃÂ]|(?:à[¤¥]){2}"
)


def formed(pair: Pair) -> bool:
    """Whether there is anything but running text: else no gate on form has anything to object to."""
    return not (pair.source.plain and pair.target.plain) or _SIGNS in pair.target.spaced or _lettered(pair.source.text)


_SIGNS = " " * 7
"""What a run of signs looks like in a text with spaces for punctuation."""


def _lettered(source: str) -> bool:
    """Whether letters in the source may name options, as far as that is cheap to see."""
    return "B" in source and (
        ") " in source or "B." in source or "B:" in source or "swer" in source or "ption" in source or "oice" in source
    )


def placeholders(pair: Pair) -> str:
    """Every sentinel, or in unmasked text every protected span, is there as often as in the source, in any order."""
    source, target = pair.source.text, pair.target.text
    if "⟦" not in source and "⟦" not in target and "⟧" not in target:
        if not pair.source.spans and not pair.target.spans:
            return ""
        before, after = _span_keys(pair.source.spans), _span_keys(pair.target.spans)
        return "" if before == after else _difference(before, after)
    numbers, found = SENTINEL.findall(source), SENTINEL.findall(target)
    if numbers != found and (wanted := Counter(map(int, numbers))) != (got := Counter(map(int, found))):
        return _difference(wanted, got)
    damaged = target.count("⟦") > len(found) or target.count("⟧") > len(found)
    if "⟦" not in source or (damaged and source.count("⟧") == len(numbers)):
        return "a damaged sentinel"
    # Code that a model puts into a segment that was masked.
    return "" if "`" not in target or "`" in source else "extra `"


def _span_keys(spans: tuple[str, ...]) -> Counter[str]:
    return Counter(map(_span_key, spans))


def _span_key(span: str) -> str:
    """What must stay of a span: all but the locale in an address; of JSON its keys and types, for values are translated."""
    if span[0] in "{[" and '"' in span and (shape := _shape(span)) is not None:
        return shape
    # Documentation sites are localised by swapping the locale in the address; that is a good translation.
    return fold_digits(_LOCALE.sub("", span.casefold()))


def _difference(before: Counter[Any], after: Counter[Any]) -> str:
    return f"missing {list(before - after)[:3]}, extra {list(after - before)[:3]}"


def lines(pair: Pair) -> str:
    """As many lines and list items as in the source; a paragraph wrapped by hand may come back as one line."""
    source, target = pair.source.text, pair.target.text
    if "\n" in source or "\n" in target or "\r" in target:
        before, after = (sum(1 for line in text.splitlines() if line.strip()) for text in (source, target))
        if after > before or (after < before and len(split(source).segments) > 1):
            return f"{before} lines became {after}"
    elif source[:1].isalpha() and target[:1].isalpha():
        return ""
    before, after = len(_LIST_MARKER.findall(source)), len(_LIST_MARKER.findall(target))
    return "" if before == after else f"{before} list items became {after}"


def literal_newline(pair: Pair) -> str:
    """No written-out line break escapes that the source does not have."""
    if "\\" not in pair.target.text:
        return ""
    before, after = (len(_LITERAL_NEWLINE.findall(side.text)) for side in (pair.source, pair.target))
    return "" if after <= before else f"{after} escapes, {before} in the source"


def html(pair: Pair) -> str:
    """No tags, chat marks or answer wrappers that the source does not have."""
    target = pair.target.text
    if "<" not in target and "〘" not in target and "〙" not in target and "INST]" not in target:
        return ""
    extra = Counter(match.group().casefold() for match in _TAG.finditer(target))
    extra -= Counter(match.group().casefold() for match in _TAG.finditer(pair.source.text))
    return " ".join(sorted(extra))[:80]


def latex(pair: Pair) -> str:
    """Braces and dollars stay balanced and LaTeX commands stay the same, in any order."""
    source, target = pair.source.text, pair.target.text
    if "{" in target or "}" in target or "{" in source:
        opening, closing = target.count("{"), target.count("}")
        if opening != closing and source.count("{") == source.count("}"):
            return f"{opening} opening and {closing} closing braces"
    if "\\" in source:
        before, after = Counter(_COMMAND.findall(source)), Counter(_COMMAND.findall(target))
        if before != after:
            return _difference(before, after)
    if "$$" in source and source.count("$$") != target.count("$$"):
        return f"{source.count('$$')} $$ became {target.count('$$')}"
    return ""


def markup(pair: Pair) -> str:
    """As much emphasis, as many headings, quotations and links as in the source."""
    source, target = pair.source.text, pair.target.text
    for mark in ("**", "__", "~~", "]("):
        if (mark in source or mark in target) and source.count(mark) != target.count(mark):
            return f"{source.count(mark)} {mark} became {target.count(mark)}"
    if "#" in source or "#" in target or ">" in source or ">" in target:
        before, after = (Counter(match[1][0] for match in _BLOCK_MARK.finditer(text)) for text in (source, target))
        if before != after:
            return _difference(before, after)
    return ""


def code(pair: Pair) -> str:
    """Fences open and close as in the source, and JSON is JSON again with the same keys."""
    source, target = pair.source.text, pair.target.text
    if "```" in source or "```" in target or "~~~" in source:
        before, after = len(_FENCE.findall(source)), len(_FENCE.findall(target))
        if before != after:
            return f"{before} fences became {after}"
    opening = source.lstrip()[:1]
    if opening and opening in "{[" and (shape := _shape(source)) is not None:
        found = _shape(target)
        if found != shape:
            return "no JSON any more" if found is None else f"another JSON: {found[:60]} for {shape[:60]}"
    return ""


def _shape(text: str) -> str | None:
    """The keys and types of a JSON document in order; None when the text is no JSON, or JSON without keys."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return " ".join(_keys(value)) if isinstance(value, dict | list) else None


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for key, item in value.items():
            yield str(key)
            yield from _keys(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _keys(item)
        yield "]"
    else:
        yield "text" if isinstance(value, str) else json.dumps(value)


def options(pair: Pair) -> str:
    """The letters of multiple-choice options stay what they are: A) does not become أ)."""
    source = pair.source.text
    before = [next(filter(None, match)) for match in _OPTION.findall(source)] if _lettered(source) else []
    if not before:
        return ""
    found = [next(filter(None, match)) for match in _OPTION.findall(pair.target.text)]
    if before == found:
        return ""
    lone = Counter(_LONE_CAPITAL.findall(pair.target.text))
    missing = Counter(before) - lone
    if missing:
        return f"missing {' '.join(sorted(missing))}"
    order = [letter for letter in _LONE_CAPITAL.findall(pair.target.text) if letter in before]
    starts = len(re.findall(r"^[ \t>*-]*\(?[A-H][.):](?=\s)", source, re.MULTILINE)) == len(before) > 1
    return f"order {' '.join(before)} became {' '.join(order)}" if starts and order[: len(before)] != before else ""


def emoji_kept(pair: Pair) -> str:
    """Every emoji is there as often as in the source, and none is added."""
    if not pair.target.foreign and (pair.source.text.isascii() or not pair.source.foreign):
        return ""
    before, after = emoji(pair.source.text), emoji(pair.target.text)
    return "" if before == after else _difference(before, after)


def garbage(pair: Pair) -> str:
    """No broken characters, and no runs of dots or signs, that the source does not have."""
    target = pair.target.text
    suspicious = pair.target.foreign or _SIGNS in pair.target.spaced or "Ø" in target or "Ã" in target or "à¤" in target
    found = _GARBAGE.search(target) if suspicious else None
    if found is None:
        return ""
    known = _GARBAGE.search(pair.source.text)
    if known is not None and len(found.group()) <= 2 * len(known.group()):
        return ""
    return f"{found.group()[:20]!r}"
