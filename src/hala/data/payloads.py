"""Stretches of a text that are meant for machines: JSON, tool calls, displayed formulas, comments; and thinking.

Such a stretch is kept whole. Of JSON, the string values under listed keys can be translated all the same: `value_spans` finds
them, `decoded` reads them, `encoded` writes them in the manner of their source.

>>> from hala.data.payloads import decoded, encoded, value_spans
>>> text = '{"name": "f", "description": "Says \\\\"hi\\\\"."}'
>>> [(text[start:end], decoded(text[start:end])[0]) for start, end in value_spans(text, 0, len(text), ("description",))]
[('Says \\\\"hi\\\\".', 'Says "hi".')]
>>> encoded('قال "x"', ascii_only=False, slashes=False)
'قال \\\\"x\\\\"'
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Stretch(NamedTuple):
    """Offsets of a stretch that is no running text; `kind` is json, formula or markup, `closed` whether its end was found."""

    start: int
    end: int
    kind: str
    closed: bool = True


_OPENER = re.compile(
    r"\$\$|\\\[|\\begin\{(?P<env>[A-Za-z]{1,20}\*?)\}|<!--"
    r"|<(?P<tag>tool_calls?|tools?|tool_responses?|tool_results?|function_calls?|functions?|function_results?"
    r"|pre|script|style|svg|math|code)\b[^<>]{0,400}>"
)
_LISTING = re.compile(r"(?:tool|function)")
FORMULAS = frozenset([
    "equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "matrix", "pmatrix", "bmatrix",
    "vmatrix", "cases", "array", "split", "aligned", "gathered", "alignat", "verbatim", "lstlisting", "minted",
    "tikzpicture", "tabular", "algorithm", "algorithmic", "smallmatrix", "flalign", "subequations", "dcases", "Bmatrix",
    "Vmatrix",
])  # fmt: skip
_BLANK = re.compile(r"\n[ \t]*\r?\n")
_RUNNING = re.compile(r"[^\W\d_]{3,} +[^\W\d_]{2,} +[^\W\d_]{2,}")
_IN_FORMULA = re.compile(r"\\(?:text|mbox|textbf|mathrm)\{[^{}]*\}")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_LINE_END = re.compile(r"[ \t]*,?[ \t]*(?:\r|\n|\Z)")
# A value on lines of its own, or an object or list that runs over several lines; "a[0]" is a subscript.
_JSON_START = re.compile(r"\{(?<![\w)\]]\{)(?=\s*[\"'}])|\[(?<![\w)\]]\[)(?=\s*[\[{\"'\d\]tfn-])")
_DECODER = json.JSONDecoder()
_BRACKET = re.compile(r"[{\[]")
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[{}\[\],:]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_THINKING = re.compile(
    r"\s*(?:<(?P<tag>think|thinking|thought|reasoning|reflection|scratchpad)>|(?P<bar><\|begin_of_thought\|>)|(?P<square>\[THINK\]))",
    re.IGNORECASE,
)
_LONE_END = re.compile(r"(?:\A|\n)[ \t]*</(?:think|thinking|reasoning)>[ \t]*(?:\r?\n\s*|\Z)", re.IGNORECASE)


def stretches(text: str) -> list[Stretch]:
    """The stretches of several lines, and JSON values on lines of their own, in order; the text holds no fences."""
    formulas = _marked(text) if "$$" in text or "\\" in text or "<" in text else []
    data = _json(text) if "{" in text or "[" in text else []
    if not formulas or not data:
        return formulas or data
    merged: list[Stretch] = []
    for stretch in sorted([*formulas, *data]):
        if not merged or stretch.start >= merged[-1].end:
            merged.append(stretch)
    return merged


def _marked(text: str) -> list[Stretch]:
    """Formulas, comments and elements of machine text between their marks."""
    found: list[Stretch] = []
    absent: set[str] = set()
    opener = _OPENER.search(text)
    while opener:
        stretch = _marked_at(text, opener, absent)
        if stretch:
            found.append(stretch)
        opener = _OPENER.search(text, stretch.end if stretch else opener.end())
    return found


def _marked_at(text: str, opener: re.Match[str], absent: set[str]) -> Stretch | None:
    """The stretch that the opener opens, None when it opens nothing; `absent` keeps the search for its end linear."""
    environment, tag = opener["env"], opener["tag"]
    if environment and environment.rstrip("*") not in FORMULAS:
        return None
    if tag == "code" and not _begins_line(text, opener.start()):  # a line break inside a sentence is no block
        return None
    closer = (
        f"\\end{{{environment}}}" if environment else f"</{tag}>" if tag else {"$$": "$$", "\\[": "\\]"}.get(opener[0], "-->")
    )
    kind = "formula" if environment or closer in ("$$", "\\]") else "json" if tag and _LISTING.match(tag) else "markup"
    end = -1 if closer in absent or text[opener.start() - 1 : opener.start()] == "\\" else text.find(closer, opener.end())
    if end < 0:
        absent.add(closer)
        return _unclosed(text, opener) if kind == "formula" else None
    end += len(closer)
    body = text[opener.end() : end - len(closer)]
    if kind == "formula" and not environment and _BLANK.search(body.strip()):
        return None
    if "\n" in body or "\r" in body or kind == "json":
        return Stretch(opener.start(), end, kind)
    return None


def _unclosed(text: str, opener: re.Match[str]) -> Stretch | None:
    """A formula that begins a line and never ends: its lines up to a blank one or to running words."""
    start = position = opener.start()
    if text[max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1 : start].strip(" \t>"):
        return None
    while position < len(text):
        line = _LINE.match(text, position)
        if line is None or not line[0].strip() or _RUNNING.search(_IN_FORMULA.sub("", line[0])):
            break
        position = line.end()
    end = start + len(text[start:position].rstrip())
    return Stretch(start, end, "formula", closed=False) if end > opener.end() else None


def _json(text: str) -> list[Stretch]:
    """JSON values that begin a line and end one, or run over several lines; gives up after 50 that only look like JSON."""
    found: list[Stretch] = []
    failures = position = 0
    while failures < 50 and (match := _JSON_START.search(text, position)):
        start = match.start()
        own_line = _begins_line(text, start)
        end = _value_end(text, start) if own_line or text[start - 1] in " \t:=" else start
        position = max(end, start + 1)
        if end < 0:
            failures += 1
        elif end > start and _LINE_END.match(text, end) and (own_line or "\n" in text[start:end]):
            found.append(Stretch(start, end, "json"))
    return found


def _begins_line(text: str, start: int) -> bool:
    return not text[max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1 : start].strip(" \t\ufeff>")


def _value_end(text: str, start: int) -> int:
    """The end of the JSON value at `start`, or of the Python literal that fills its line; -1 when there is none."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        pass
    line = _LINE.match(text, start)
    literal = line[0].rstrip().rstrip(",") if line else ""
    if "'" not in literal or literal[-1] not in "]}" or len(literal) > 5000:
        return -1
    try:
        ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return -1
    return start + len(literal)


def value_spans(text: str, start: int, end: int, names: Sequence[str]) -> list[tuple[int, int]]:
    """Offsets, within the quotes, of the string values under the listed keys in every JSON value from `start` to `end`.

    Items of a list under a listed key count, whatever lies deeper counts by its own key. Text that is no JSON holds none.
    """
    found: list[tuple[int, int]] = []
    position = start
    while match := _BRACKET.search(text, position, end):
        try:
            _, position = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            position = match.end()
            continue
        if position <= end:
            found += _listed(text, match.start(), position, frozenset(names))
    return found


def _listed(text: str, start: int, end: int, names: frozenset[str]) -> Iterator[tuple[int, int]]:
    """The same for one JSON value that is known to be right."""
    keys: list[str | None] = []  # per open container: the key that its strings stand under
    lists: list[bool] = []
    expecting_key = False
    for match in _TOKEN.finditer(text, start, end):
        token = match[0]
        if token in "{[":
            keys.append(keys[-1] if token == "[" and keys else None)
            lists.append(token == "[")
            expecting_key = token == "{"
        elif token in "}]":
            keys.pop()
            lists.pop()
        elif token == ",":
            expecting_key = not lists[-1]
        elif token == ":":
            expecting_key = False
        elif expecting_key:
            keys[-1] = json.loads(token)
        elif keys[-1] in names:
            yield match.start() + 1, match.end() - 1


def decoded(raw: str) -> tuple[str, list[int]]:
    """The string that the inside of a JSON string means, and per character (and its end) where it begins in `raw`."""
    text: list[str] = []
    offsets: list[int] = []
    position = 0
    for match in _ESCAPE.finditer(raw):
        text.append(raw[position : match.start()])
        offsets += range(position, match.start())
        character = json.loads(f'"{match[0]}"', strict=False)
        text.append(character)
        offsets += [match.start()] * len(character)
        position = match.end()
    text.append(raw[position:])
    return "".join(text), [*offsets, *range(position, len(raw) + 1)]


def manner(raw: str) -> tuple[bool, bool]:
    """How a JSON text writes its strings: whether letters beyond ASCII are escaped, and whether slashes are."""
    return raw.isascii() and re.search(r"\\u(?!00[0-7])", raw) is not None, "\\/" in raw


def encoded(text: str, ascii_only: bool, slashes: bool) -> str:
    """The inside of a JSON string that means `text`."""
    inside = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    return inside.replace("/", "\\/") if slashes else inside


def thinking_span(text: str) -> tuple[int, int] | None:
    """Where an answer thinks aloud before it speaks: from its start to after the closing mark and the space behind; or None.

    Known are <think>, <thinking>, <thought>, <reasoning>, <reflection> and <scratchpad>, <|begin_of_thought|> and [THINK]. One
    that is never closed goes to the end; a lone </think> on its line ends one whose opening mark was part of the prompt.
    """
    opener = _THINKING.match(text)
    if opener is None:
        lone = _LONE_END.search(text) if "</" in text else None
        return (0, lone.end()) if lone and not re.search(r"<(?:think|reason)", text[: lone.start()], re.IGNORECASE) else None
    closer = f"</{opener['tag']}>" if opener["tag"] else "<|end_of_thought|>" if opener["bar"] else "[/THINK]"
    match = re.compile(re.escape(closer) + r"\s*", re.IGNORECASE).search(text, opener.end())
    return (0, match.end() if match else len(text))
