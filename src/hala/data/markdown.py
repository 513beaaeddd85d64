"""Where the blocks of a Markdown text lie that are no running text: fences, indented code, HTML, tables, link definitions.

markdown-it-py says so; only its block phase runs, and only when the text holds a sign that needs it. Instruction data is mostly
paragraphs and flat lists, and fences at the margin are found by one search, with the same result (a test compares the two).

>>> from hala.data.markdown import blocks, lines_of
>>> blocks(lines_of("Run this:\\n```\\nls\\n```\\n\\n    and this\\n"))
[Block(kind='fence', start=1, end=4, closed=True), Block(kind='indented', start=5, end=6, closed=True)]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


class Block(NamedTuple):
    """Lines `start` to `end` (exclusive). Kinds: fence, indented, raw (HTML kept whole), html, table, definition, front."""

    kind: str
    start: int
    end: int
    closed: bool = True


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_RETURN = re.compile(r"\r\n?")
_KEY = r"""(?:[\w.-]+|"[^"\n]*"|'[^'\n]*')[ \t]*"""
_TOML_LINE = r"(?!\+\+\+)[^\n]*\n"
_FRONT = re.compile(
    rf"\A\ufeff?(?:---[ \t]*\n(?=[^\n])(?:(?:{_KEY}:(?=[ \t\n])|[ \t#]|- )[^\n]*\n|\n)+(?:---|\.\.\.)"
    rf"|\+\+\+[ \t]*\n(?:{_TOML_LINE})*?{_KEY}=[^\n]*\n(?:{_TOML_LINE})*\+\+\+)[ \t]*(?:\n|\Z)"
)
# Marks of direction and byte order before a block's first character: no reader sees them, the parser would.
_MARKS = re.compile("^[\ufeff\u200b-\u200f\u202a-\u202e\u2066-\u2069]+", re.MULTILINE)
_MARK = re.compile("[\ufeff\u200b-\u200f\u202a-\u202e\u2066-\u2069]")

_CONTAINER = re.compile(r"\n[ \t]*(?:[-*+](?=[ \t\n])|\d{1,9}[.)](?=[ \t\n])|>)")
_MARKER = re.compile(r"[-*+]|\d[.)]")
_TAG = re.compile(r"<[A-Za-z/!?]")
_BEFORE_TAG = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*")
_LABEL = re.compile(r"\n(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*\[")
_RULE = re.compile(r"\n[ \t>]*[|:-][-:| \t]*(?=\n|\Z)")
_QUOTED_CODE = re.compile(r"> *(?:\t| {5})")
_FENCE = re.compile(r"\n {0,3}(`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})[^\n]*")
_NESTED_FENCE = re.compile(r"\n(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])+(?:```|~~~)")
_INDENTED = re.compile(r"\n(?: {4}| {0,3}\t)[ \t]*[^ \t\n]")
# Lines after which, unlike after a line of a paragraph, indentation makes code: blank ones, headings, rules.
_BEFORE_INDENTED = re.compile(
    r"\n(?:[ \t]*| {0,3}(?:#{1,6}(?:[ \t][^\n]*)?|(?:-[ \t]*)+|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}))"
    r"(?=\n(?: {4}| {0,3}\t)[ \t]*[^ \t\n])"
)
_INDENTED_RUN = re.compile(r"(?:\n(?: {4}| {0,3}\t)[^\n]*|\n[ \t]*(?=\n|\Z))+")
# The same under items and quotations: indentation that follows a line of a paragraph there makes no code.
_BEFORE_NESTED = re.compile(
    r"\n(?:[ \t>]|(?:[-*+]|\d{1,9}[.)])(?=[ \t\n]))*"
    r"(?:#{1,6}(?:[ \t][^\n]*)?|=+[ \t]*|(?:-[ \t]*)+|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})?"
    r"(?=\n(?: {4}| {0,3}\t)[ \t]*[^ \t\n])"
)
_UNDERLINED = re.compile(r"\n {0,3}=+[ \t]*\n(?: {4}| {0,3}\t)")
_RAW = re.compile(r"[ \t>]*<(?:(!--)|(\?)|(!\[CDATA\[)|(![A-Za-z])|(pre|script|style|textarea)\b)", re.IGNORECASE)
# A page, a script, a picture: kept whole from the line of its first tag to that of its last, whatever blank lines lie between.
_WHOLE = re.compile(
    r"\n[ \t]*<(?:(!doctype html|html)\b|(\?php)|\?xml\b[^>]*>\s*<([\w:.-]+)|(script|style|svg|code(?=[^<>\n]*>[ \t]*\n))\b)",
    re.IGNORECASE,
)
SENTENCE_LINE = re.compile(r"[^\W\d_][\w'’,;:()\-\"“”% ]{30,}[.!?:]?\s*\Z")
"""A line that is a sentence, however much code stands before it."""
_RAW_ENDS = ("-->", "?>", "]]>", ">", None)
_DEFINITION = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*\[[^\]^]")


def lines_of(text: str) -> list[str]:
    """The lines of a text with their ends; a line ends with \\n, \\r\\n or \\r and nothing else."""
    if "\r" in text:
        return _LINE.findall(text)
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def blocks(lines: Sequence[str]) -> list[Block]:
    """The blocks that are no running text, in order. Line numbers are those of `lines` whatever the text holds."""
    if len(lines) == 1 and lines[0][0].isalpha():
        return []
    source = "\n" + "".join(lines)
    if "\r" in source:
        source = _RETURN.sub("\n", source)
    front: list[Block] = []
    if source.startswith(("\n---", "\n+++", "\n\ufeff---", "\n\ufeff+++")) and (match := _FRONT.match(source[1:])):
        front = [Block("front", 0, match[0].count("\n") or len(lines))]
        source = "\n" * (1 + front[0].end) + source.split("\n", 1 + front[0].end)[-1]
    if not source.isascii() and _MARK.search(source):
        source = "\n" + _MARKS.sub("", source[1:])
    found = _flat(source) if _is_flat(source) else parsed(source[1:], len(lines))
    if "<" in source and _WHOLE.search(source):
        found = _with_whole(source, found, lines)
    return front + found


def _with_whole(source: str, found: list[Block], lines: Sequence[str]) -> list[Block]:
    """The blocks with pages, scripts and the like outside of fences as one each, in place of what lies inside them."""
    fences = [block for block in found if block.kind == "fence"]
    starts = [match.start() + 1 for match in re.finditer("\n", source)]
    whole: list[Block] = []
    position = 0
    while match := _WHOLE.search(source, position):
        position = match.end()
        start = source.count("\n", 0, match.start())
        if any(block.start <= start < block.end for block in fences):
            continue
        limit = min([block.start for block in fences if block.start > start], default=len(lines))
        end, closed = _whole_end(source, match, lines, start, limit, starts)
        if end > start:
            whole.append(Block("raw", start, end, closed))
            position = starts[end] - 1 if end < len(starts) else len(source)
    return sorted([*_without(found, whole, source, starts), *whole], key=lambda block: block.start)


def _without(found: list[Block], whole: list[Block], source: str, starts: list[int]) -> Iterator[Block]:
    """What the blocks cover outside of `whole`; what an HTML block holds behind a page in it is looked at anew."""
    for block in found:
        start = block.start
        for each in whole:
            if each.end > start and each.start < block.end:
                if each.start > start:
                    yield block._replace(start=start, end=each.start)
                start = each.end
        if start == block.start:
            yield block
        elif start < block.end:
            rest = parsed(source[starts[start] : starts[block.end] if block.end < len(starts) else None], block.end - start)
            yield from (each._replace(start=each.start + start, end=each.end + start) for each in rest)


def _whole_end(
    source: str, match: re.Match[str], lines: Sequence[str], start: int, limit: int, starts: list[int]
) -> tuple[int, bool]:
    """The line after a page, script or picture, at most `limit`, and whether it is closed; `start` if it is no such thing."""
    page, php, root, tag = match.groups()
    closer = "</html>" if page else "?>" if php else f"</{root or tag}>"
    end = starts[limit] if limit < len(starts) else len(source)
    found = re.compile(re.escape(closer), re.IGNORECASE).search(source, match.end(), end)
    if found:
        return source.count("\n", 0, found.start()), True
    if not (page or php) or SENTENCE_LINE.search(lines[start].partition(">")[2].strip()):
        return start, False
    for number in range(start + 1, limit):
        if not lines[number - 1].strip() and SENTENCE_LINE.match(lines[number]):
            return number, False
    return limit, False


def _is_flat(source: str) -> bool:
    """Whether no container, HTML, table or definition can matter: then fences and indentation are all there is."""
    if (
        ("<" in source and _has_html(source))
        or ("]:" in source and _LABEL.search(source))
        or ("|" in source and _RULE.search(source))
    ):
        return False
    if ">" in source and _QUOTED_CODE.search(source):
        return False
    fenced = "```" in source or "~~~" in source
    indented = _INDENTED.search(source) is not None
    if indented and _UNDERLINED.search(source):
        return False
    if not (fenced or indented) or not _CONTAINER.search(source):
        return True
    return not (fenced and _NESTED_FENCE.search(source)) and not _nested_code(source)


def _has_html(source: str) -> bool:
    """Whether a tag stands first in a line, or in an item or quotation."""
    for tag in _TAG.finditer(source):
        start = tag.start()
        if _BEFORE_TAG.fullmatch(source, source.rfind("\n", 0, start) + 1, start):
            return True
    return False


def _nested_code(source: str) -> bool:
    """Whether, between the fences at the margin, an item or quotation may hold indented code."""
    rest: list[str] = []
    position = 0
    for start, end, _ in _fences(source):
        rest.append(source[position:start])
        position = end
    outside = "\n".join((*rest, source[position:]))
    return _BEFORE_NESTED.search(outside) is not None and _CONTAINER.search(outside) is not None


def _fences(source: str) -> list[tuple[int, int, bool]]:
    """Offsets of the fences at the margin, each from the newline before it to the newline after it, and whether it is closed."""
    found: list[tuple[int, int, bool]] = []
    opener = _FENCE.search(source) if "```" in source or "~~~" in source else None
    while opener:
        mark = opener[1]
        closer = re.compile(rf"\n {{0,3}}{mark[0]}{{{len(mark)},}}[ \t]*(?=\n|\Z)").search(source, opener.end())
        end = closer.end() if closer else len(source.rstrip(" \t").removesuffix("\n"))
        # Set in too far, the last line closes nothing by the letter; nor does anything follow that it could hide.
        closed = closer or re.compile(rf"\n[ \t>]*{mark[0]}{{{len(mark)},}}[ \t]*\Z").search(source, opener.end(), end)
        found.append((opener.start(), end, closed is not None))
        opener = _FENCE.search(source, end)
    return found


def _flat(source: str) -> list[Block]:
    """Fences at the margin and indented code of a text without containers."""
    found: list[Block] = []
    position = line = 0
    for start, end, closed in _fences(source):
        found += _indented(source[position:start], line) if start > position else []
        line += source.count("\n", position, start)
        after = line + source.count("\n", start, end)
        found.append(Block("fence", line, after, closed))
        position, line = end, after
    return found + _indented(source[position:], line)


def _indented(source: str, first: int) -> list[Block]:
    """Indented code in text without fences, whose lines are counted from `first`: it cannot begin inside a paragraph."""
    found: list[Block] = []
    if not _INDENTED.search(source):
        return found
    counted, line = 0, first
    start = 0 if _INDENTED.match(source) else _next_indented(source, 0)
    while start >= 0:
        run = _INDENTED_RUN.match(source, start)
        end = start + len(run[0].rstrip(" \t\n")) if run else start
        line += source.count("\n", counted, start)
        found.append(Block("indented", line, line + source.count("\n", start, end)))
        counted = start
        start = _next_indented(source, end)
    return found


def _next_indented(source: str, position: int) -> int:
    match = _BEFORE_INDENTED.search(source, position)
    return match.end() if match else -1


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def parsed(source: str, count: int) -> list[Block]:
    """The same by markdown-it, for a text whose `count` lines end with \\n."""
    parser = _parser()
    tokens: list[Token] = []
    parser.block.parse(source.replace("\0", "\ufffd"), parser, {}, tokens)
    lines = source.split("\n")
    found: list[Block] = []
    covered = 0
    for token in tokens:
        if token.map is None or token.type.endswith(("list_open", "item_open", "blockquote_open")):
            continue
        start, end = token.map
        if start > covered:
            found += _definitions(lines, covered, start)
        covered = max(covered, end)
        if token.type == "fence":
            found.append(Block("fence", start, end, _closes(lines, start, end, token.markup)))
        elif token.type == "code_block":
            # "-     word" is code to the letter of the standard, and an item to whoever wrote it.
            first = lines[start].rstrip()
            before = first[: len(first) - len(token.content.split("\n", 1)[0].strip())]
            if not _MARKER.search(before):
                found.append(Block("indented", start, _filled_end(lines, end)))
        elif token.type == "html_block":
            found.append(Block("raw" if _is_raw(token.content) else "html", start, end))
        elif token.type == "table_open":
            found.append(Block("table", start, end))
    return found + _definitions(lines, covered, count)


def _filled_end(lines: list[str], end: int) -> int:
    while end > 1 and not lines[end - 1].strip():
        end -= 1
    return end


def _closes(lines: list[str], start: int, end: int, mark: str) -> bool:
    """Whether a fence is closed, by its last line or by the end of the item or quote that holds it."""
    last = lines[end - 1].lstrip(" \t>").rstrip(" \t")
    return (end - start > 1 and len(last) >= len(mark) and not last.strip(mark[0])) or any([line.strip() for line in lines[end:]])


def _is_raw(content: str) -> bool:
    """Whether an HTML block is kept whole: a comment, script or the like that is closed."""
    match = _RAW.match(content)
    if match is None:
        return False
    closer = _RAW_ENDS[match.lastindex - 1] if match.lastindex else None
    return (closer or f"</{match[5].lower()}>") in content.lower()


def _definitions(lines: list[str], start: int, end: int) -> list[Block]:
    """Lines that the parser took without making a block of them: link reference definitions, if they look so."""
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return [Block("definition", start, end)] if start < end and _DEFINITION.match(lines[start]) else []
