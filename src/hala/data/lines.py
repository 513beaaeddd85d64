"""One line of running text: what stands around its words, whether the next line goes on with it, which lines make a table.

>>> from hala.data.lines import body_of, kind_of
>>> line = "  1. **Bold words**  \\n"
>>> start, end = body_of(line)
>>> line[start:end], kind_of(line[:start])
('Bold words', 'item')
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hala.data.spans import MACHINE_ELEMENTS, find_spans

_EDGE = "\\s\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069\u0000-\u001f"
_MARKER = r"(?:[-*+•‣◦▪●·–—]|\(?\d{1,9}[.):](?!\d)|\(?[A-Za-z][.)]|[ivxIVX]{1,5}[.)]|#{1,6}|\[[ xX]\]|\[\^[^\]\s]+\]:)(?=[ \t])"
_PREFIX = re.compile(rf"[{_EDGE}]*(?:(?:>(?!>)|{_MARKER})[{_EDGE}]*)*")
_PADDING = "".join(filter(re.compile(f"[{_EDGE}]").match, map(chr, range(0x10000))))
_CLOSING_HASHES = re.compile(r"[ \t]#+\Z")
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|__|\*|_)(?=\S)((?:(?!\1).)+)(?<=\S)\1", re.DOTALL)
_OPENING = re.compile("[\u202a\u202b\u202d\u202e\u2066-\u2068]")
_CLOSING = re.compile("[\u202c\u2069]")
_ATOM = re.compile(r"\(?[A-J][.):]?\)?")
_BREAK = re.compile(r"(?:(?<=\w)-)?[ \t]*(?:\r\n|\r|\n)[ \t>]*")
MOST_RUN_ON = 6  # lines on which the end of a span is looked for
LONGEST_RUN_ON = 4_000  # characters before them
_NEW_BLOCK = re.compile(  # or somebody else who speaks
    r"[ \t]*(?:(?:[-*+•]|\d{1,9}[.)]|#{1,6}|[A-Z]\w{0,20}:)[ \t]|\||`{3}|~{3}|(?:=+|-+)[ \t\r]*$|(?:[*_-][ \t\r]*){3,}$)"
)
_NEW_LINE = re.compile(r"(?:[a-z]|[ivx]{1,5})[.)][ \t]|\w+ ?[-=+*/<>^(\[]")  # an item, or an equation
# Not those of elements whose content is no words: they are protected as a whole.
_WORDY = rf"(?!/?(?i:{MACHINE_ELEMENTS})\b)"
_TAGS_BEFORE = re.compile(rf"(?:\s*<{_WORDY}/?[A-Za-z!?][^<>]*(?:>|(?=<)))*\s*")
_TAGS_AFTER = re.compile(rf"(?:\s*<{_WORDY}/?[A-Za-z!][^<>]*>)*\s*\Z")
_OPEN_TAG = re.compile(r"\s*</?[A-Za-z!?][^<>]*\Z")
_TABLE_RULE = re.compile(r"[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*(?:\r\n?|\n)?\Z")


def body_of(text: str) -> tuple[int, int]:
    """Where the words of a line, cell or wrapped paragraph begin and end: within markers, padding and emphasis of all of them."""
    prefix = _PREFIX.match(text)
    start = prefix.end() if prefix else 0
    end = max(start, len(text.rstrip(_PADDING)))
    if text.endswith("#", start, end) and (hashes := _CLOSING_HASHES.search(text, max(start, end - 8), end)):
        end = max(start, len(text[: hashes.start()].rstrip(_PADDING)))
    while end > start and text[start] in "*_" and (emphasis := _EMPHASIS.fullmatch(text, start, end)):
        start, end = emphasis.span(2)
    return (start, end) if text.isascii() else _with_isolates(text, start, end)


def _with_isolates(text: str, start: int, end: int) -> tuple[int, int]:
    """The same with the marks of direction at the edges that are closed, or opened, within: both belong to the words."""
    opened, closed = len(_OPENING.findall(text, start, end)), len(_CLOSING.findall(text, start, end))
    if closed > opened and (before := _OPENING.search(text, 0, start)):
        start = before.start()
    if opened > closed and (after := _CLOSING.search(text, end)):
        end = after.end()
    return start, end


def html_body_of(line: str, inside: bool) -> tuple[int, int, bool]:
    """The same for a line of an HTML block, where tags at the edges are no words; and whether the line ends inside a tag.

    `inside`: whether it begins inside one.
    """
    if inside:
        begin = line.find(">") + 1
        if not begin:
            return len(line), len(line), True
    else:
        prefix = _PREFIX.match(line)
        begin = prefix.end() if prefix else 0
    before = _TAGS_BEFORE.match(line, begin)
    start = before.end() if before else begin
    unfinished = _OPEN_TAG.search(line, start)
    after = _TAGS_AFTER.search(line, start, unfinished.start() if unfinished else len(line))
    return start, after.start() if after else len(line), unfinished is not None


def kind_of(prefix: str) -> str:
    """What a line is by the marks before its words: paragraph, heading, quote or item."""
    marks = prefix.strip(_PADDING)
    if not marks:
        return "paragraph"
    return "heading" if marks[-1] == "#" else "quote" if marks[-1] == ">" else "item"


def is_atom(body: str) -> bool:
    """Whether the words of a line are but the letter of an option, which is never translated."""
    return len(body) < 5 and _ATOM.fullmatch(body) is not None


def wraps(line: str, following: str) -> bool:
    """Whether a sentence runs on from a full line into the next, as in a paragraph wrapped by hand."""
    body = line.rstrip("\r\n")
    if len(body) < 49 or body.endswith(("  ", "\\")) or body[0] == "#":
        return False
    if not body[-1].isalnum() and body[-1] not in ",-)":
        return False
    start = following
    if line[0] in " \t>-*+0123456789":  # under an item or a quote the next line is set in
        start = following.lstrip(" \t>")
        if ">" in following and following[: -len(start)].count(">") > line[: len(line) - len(line.lstrip(" \t>"))].count(">"):
            return False
    return start[:1].islower() and not _NEW_LINE.match(start)


def may_run_on(text: str) -> bool:
    """Whether a text holds what may begin a span that goes over a line end."""
    return "`" in text or "<" in text or "$" in text or "{" in text or "\\(" in text  # faster than a pattern


def runs_on(text: str, lines: Sequence[str], place: int) -> bool:
    """Whether code, a formula, a tag or a placeholder begins in `text` and ends on one of the `lines` from `place` on."""
    formula = text.count("$") % 2 == 1 or text.rfind("\\(") > text.rfind("\\)")
    tag = text.rfind("<") > text.rfind(">") or text.rfind("<%") > text.rfind("%>")
    if not (formula or tag or text.count("{") > text.count("}") or _opens_code(text)):
        return False
    if len(text) > LONGEST_RUN_ON or text.count("\n") > MOST_RUN_ON:  # what is looked at for each line is bounded
        return False
    edge = len(_BREAK.sub(" ", text.rstrip()))
    quoted = text.lstrip().startswith(">")
    following = lines[place : place + MOST_RUN_ON]
    for number, line in enumerate(following, 1):
        if not line.strip(" \t\r\n>") or (line.lstrip()[:1] == ">") > quoted or (_NEW_BLOCK.match(line) and not formula):
            return False
        whole = _BREAK.sub(" ", text + "".join(following[:number]))
        if any(start < edge < end for start, end in find_spans(whole)):
            return True
    return False


def _opens_code(text: str) -> bool:
    """Whether the last backtick may begin code: none that closes `quoted' words, or stands for feet behind a number."""
    if text.count("`") % 2 == 0:
        return False
    last = text.rfind("`")
    return "'" not in text[last:] and not text[last - 1 : last].isalnum()


def unwrapped(body: str) -> str:
    """A body of several lines on one line; empty when it stands on one line anyway."""
    if "\n" not in body and "\r" not in body:
        return ""
    return _BREAK.sub(lambda match: "-" if match[0].startswith("-") else " ", body)


def is_table_rule(line: str) -> bool:
    """Whether a line is the row of dashes under the head of a table."""
    return _TABLE_RULE.match(line) is not None


def table_rows(lines: Sequence[str]) -> set[int]:
    """Which lines are rows of a table, even if its columns do not fit: lines between pipes, and those beside a rule of dashes."""
    rows = {index for index, line in enumerate(lines) if line.count("|") > 1 and line.strip().startswith("|")}
    for index, line in enumerate(lines):
        if index and "|" in line and "|" in lines[index - 1] and is_table_rule(line):
            last = index
            while last < len(lines) and "|" in lines[last]:
                last += 1
            rows.update(range(index - 1, last))
    return rows
