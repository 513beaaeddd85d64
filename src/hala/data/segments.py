"""A document as a skeleton that is kept byte for byte and segments of natural text that go to an engine.

Law: with a translator that changes nothing, every document comes back byte-identical: `join(d, d.segments) == text`
for `d = split(text)`, whatever the text holds.

>>> from hala.data.segments import join, split
>>> document = split("# Title\\n\\n```\\ncode\\n```\\n- one item\\n")
>>> document.segments
('Title', 'one item')
>>> join(document, ("عنوان", "عنصر"))
'# عنوان\\n\\n```\\ncode\\n```\\n- عنصر\\n'
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hala.data.codelines import code_lines
from hala.data.masks import find_spans, has_letters


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the document: a segment when `translate`, else skeleton."""

    text: str
    translate: bool


@dataclass(frozen=True, slots=True)
class Document:
    """A text cut into parts, whose texts joined are the text. `open_block` names a block that is never closed."""

    parts: tuple[Part, ...]
    open_block: str = ""

    @property
    def segments(self) -> tuple[str, ...]:
        """The natural text, in order: exactly what an engine is asked to translate."""
        return tuple(part.text for part in self.parts if part.translate)


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_EDGE = "\\s\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069\u0000-\u001f"
_MARKER = r"(?:[-*+•‣◦▪●·–—]|\(?\d{1,9}[.):](?!\d)|\(?[A-Za-z][.)]|[ivxIVX]{1,5}[.)]|#{1,6}|\[[ xX]\]|\[\^[^\]\s]+\]:)(?=[ \t])"
_PREFIX = re.compile(rf"[{_EDGE}]*(?:(?:>(?!>)|{_MARKER})[{_EDGE}]*)*")
_PADDING = "".join(filter(re.compile(f"[{_EDGE}]").match, map(chr, range(0x10000))))
_CLOSING_HASHES = re.compile(r"[ \t]#+\Z")
_WRAPPED = re.compile(r"(\*\*\*|\*\*|__|\*|_)(?=\S)((?:(?!\1).)+)(?<=\S)\1", re.DOTALL)
_TABLE_RULE = re.compile(r"[ \t>]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*\r?\n?\Z")
_DEFINITION = re.compile(r"[ ]{0,3}\[[^\]^][^\]]*\]:[ \t]*\S+")
_ATOM = re.compile(r"\(?[A-J][.):]?\)?")  # the letter of an option: never translated
_OPENER = re.compile(
    r"^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})|(?<!\\)\$\$|\\\["
    r"|\\begin\{(?P<env>[A-Za-z]+\*?)\}"
    r"|<!--|<(?P<tag>pre|script|style)\b",
    re.MULTILINE,
)
_FORMULAS = frozenset([
    "equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "matrix", "pmatrix", "bmatrix",
    "vmatrix", "cases", "array", "split", "aligned", "gathered", "alignat", "verbatim", "lstlisting", "minted",
    "tikzpicture", "tabular", "algorithm", "algorithmic",
])  # fmt: skip
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?:(?:[\w-]+:|[ \t]|- )[^\r\n]*\r?\n)+---[ \t]*(?:\r?\n|\Z)")
_LINE_END = re.compile(r"[ \t]*,?[ \t]*(?:\r|\n|\Z)")
_SENTENCE = re.compile(r"[.!?؟।…][\"'”»)\]]*([ \t]+)(?=\S)")


def split(text: str, max_chars: int = 2000) -> Document:
    """The document of `text`; a segment longer than `max_chars` is cut between sentences where it can be.

    A segment is a line without its prefix and padding, or a hard-wrapped paragraph. Code, formulas, JSON, tags and lines
    without letters are skeleton.
    """
    pieces: list[Part] = []
    position, open_block = 0, ""
    for start, end, unclosed in _blocks(text):
        pieces += _lines(text[position:start], max_chars)
        pieces.append(Part(text[start:end], False))
        position, open_block = end, unclosed or open_block
    pieces += _lines(text[position:], max_chars)
    return Document(tuple(_merged(pieces)), open_block)


def join(document: Document, translations: Sequence[str]) -> str:
    """The document's text with its segments replaced, in order. Raises ValueError unless there is one translation per segment."""
    rest = iter(translations)
    count = len(document.segments)
    if len(translations) != count:
        raise ValueError(f"{len(translations)} translations for a document of {count} segments")
    return "".join(next(rest) if part.translate else part.text for part in document.parts)


def _merged(parts: list[Part]) -> Iterator[Part]:
    """Neighbouring skeleton parts as one, empty parts left out."""
    pending = ""
    for part in parts:
        if not part.translate:
            pending += part.text
            continue
        if pending:
            yield Part(pending, False)
            pending = ""
        yield part
    if pending:
        yield Part(pending, False)


def _blocks(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and, when it is never closed, the kind of every block of several lines that is skeleton as a whole."""
    front = _FRONT_MATTER.match(text)
    position = front.end() if front else 0
    if front:
        yield 0, position, ""
    absent: set[str] = set()
    values = iter(list(_json_values(text, position)))
    value = next(values, None)
    while True:
        opener = _OPENER.search(text, position)
        while value and value[0] < position:
            value = next(values, None)
        if value and (opener is None or value[0] <= opener.start()):
            yield *value, ""
            position = value[1]
        elif opener is None:
            return
        else:
            end, unclosed = _block_end(text, opener, absent)
            if end:
                start = opener.start("fence") if opener["fence"] else opener.start()
                yield start, end, unclosed
            position = end or opener.end()


def _block_end(text: str, opener: re.Match[str], absent: set[str]) -> tuple[int, str]:
    """Where the block ends and what was left open; 0 when the opener opens nothing. `absent` keeps the search linear."""
    if fence := opener["fence"]:
        closing = re.compile(rf"^[ \t>]*{fence[0]}{{{len(fence)},}}[ \t]*\r?$", re.MULTILINE)
        after = text.find("\n", opener.end())
        match = closing.search(text, after + 1) if after >= 0 else None
        return (match.end(), "") if match else (len(text), "fence")
    if opener["env"] and opener["env"].rstrip("*") not in _FORMULAS:
        return 0, ""
    closer = _closer(opener)
    if closer in absent:
        return 0, ""
    end = text.find(closer, opener.end())
    if end < 0:
        absent.add(closer)
        return 0, ""
    end += len(closer)
    inside = text[opener.start() : end]
    is_paragraph = closer in ("$$", "\\]") and re.search(r"\n[ \t]*\r?\n", inside.strip("$\\[] \t\r\n"))
    return (end, "") if "\n" in inside and not is_paragraph else (0, "")


def _closer(opener: re.Match[str]) -> str:
    if opener["env"]:
        return f"\\end{{{opener['env']}}}"
    if opener["tag"]:
        return f"</{opener['tag']}>"
    return {"$$": "$$", "\\[": "\\]", "<!--": "-->"}[opener.group()]


def _json_values(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Start and end of JSON values that begin a line and end one; gives up after 50 lines that only look like JSON."""
    failures = 0
    decoder = json.JSONDecoder()
    for match in re.finditer(r"^[ \t\ufeff]*(?=[{\[])", text[position:], re.MULTILINE):
        start = position + match.end()
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            failures += 1
            if failures == 50:
                return
            continue
        if _LINE_END.match(text, end):
            yield start, end


def _lines(text: str, max_chars: int) -> list[Part]:
    """The parts of text that holds no block of several lines."""
    lines = _LINE.findall(text)
    code = code_lines(lines)
    tables = _table_lines(lines)
    parts: list[Part] = []
    index = 0
    while index < len(lines):
        last = index + 1
        if code[index] or _DEFINITION.match(lines[index]):
            parts.append(Part(lines[index], False))
        elif tables[index]:
            parts += _cells(lines[index], max_chars)
        else:
            while last < len(lines) and not (code[last] or tables[last]) and _wraps(lines[last - 1], lines[last]):
                last += 1
            parts += _text("".join(lines[index:last]), max_chars)
        index = last
    return parts


def _wraps(line: str, following: str) -> bool:
    """Whether a sentence runs on from a full line into the next, as in a paragraph wrapped by hand."""
    last = line.rstrip()[-1:]
    return len(line) >= 50 and following[:1].islower() and (last.isalnum() or last in (",", "-", ")"))


def _table_lines(lines: list[str]) -> list[bool]:
    """Which lines are rows of a table: those between pipes, and those next to a rule of dashes."""
    table = [line.strip().startswith("|") and line.count("|") >= 2 for line in lines]
    for index, line in enumerate(lines):
        if "|" in line and "-" in line and _TABLE_RULE.match(line):
            table[index] = True
            if index:
                table[index - 1] = "|" in lines[index - 1]
            after = index + 1
            while after < len(lines) and "|" in lines[after]:
                table[after] = True
                after += 1
    return table


def _cells(line: str, max_chars: int) -> list[Part]:
    """The cells of a table row; a pipe inside a protected span or after a backslash separates nothing."""
    protected = find_spans(line)
    parts: list[Part] = []
    position = 0
    for match in re.finditer(r"(?<!\\)\|", line):
        if any(start < match.start() < end for start, end in protected):
            continue
        parts += _text(line[position : match.start()], max_chars)
        parts.append(Part("|", False))
        position = match.end()
    return parts + _text(line[position:], max_chars)


def _text(text: str, max_chars: int) -> list[Part]:
    """Prefix, natural text and padding of one line, cell or wrapped paragraph."""
    prefix = _PREFIX.match(text)
    start = prefix.end() if prefix else 0
    end = max(start, len(text.rstrip(_PADDING)))
    if text.endswith("#", start, end) and (hashes := _CLOSING_HASHES.search(text, max(start, end - 8), end)):
        end = max(start, len(text[: hashes.start()].rstrip(_PADDING)))
    while (wrapped := _WRAPPED.fullmatch(text, start, end)) and end > start:
        start, end = wrapped.span(2)
    body = text[start:end]
    if not has_letters(body) or _ATOM.fullmatch(body):
        return [Part(text, False)]
    return [Part(text[:start], False), *_sentences(body, max_chars), Part(text[end:], False)]


def _sentences(body: str, max_chars: int) -> list[Part]:
    """The body as one segment, or cut between sentences into segments of at most `max_chars` where sentence ends allow."""
    if len(body) <= max_chars:
        return [Part(body, True)]
    protected = find_spans(body)
    parts: list[Part] = []
    start = 0
    last: re.Match[str] | None = None
    for match in [*_SENTENCE.finditer(body), None]:
        limit = match.start(1) if match else len(body)
        if limit - start > max_chars and last is not None:
            parts += [*_piece(body[start : last.start(1)]), Part(last.group(1), False)]
            start, last = last.end(), None
        if match and not any(low < match.end() <= high for low, high in protected):
            last = match
    return parts + _piece(body[start:])


def _piece(text: str) -> list[Part]:
    return [Part(text, has_letters(text))]
