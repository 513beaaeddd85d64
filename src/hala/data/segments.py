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

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from hala.data.codelines import code_lines
from hala.data.lines import (
    body_of,
    html_body_of,
    is_atom,
    is_table_rule,
    kind_of,
    may_run_on,
    runs_on,
    table_rows,
    unwrapped,
    wraps,
)
from hala.data.markdown import SENTENCE_LINE, Block, blocks, lines_of
from hala.data.masks import find_spans, has_letters
from hala.data.payloads import Stretch, decoded, encoded, manner, stretches, value_spans
from hala.data.routing_keeps import restore
from hala.data.sentences import cut, split_clauses, split_sentences
from hala.records import record


@record
class Part:
    """A stretch of the document: a segment when `translate`, else skeleton."""

    text: str
    translate: bool
    kind: str = ""
    """What a segment is: paragraph, heading, item, quote, cell or value."""
    source: str = ""
    """What an engine is asked when that is not `text` itself: a wrapped paragraph on one line, a cell or JSON decoded."""
    form: str = ""
    """How a JSON string is written: json, with a when letters beyond ASCII are escaped and / when slashes are; else empty."""

    @property
    def asked(self) -> str:
        """The segment as an engine is asked for it."""
        return self.source or self.text


@record
class Document:
    """A text cut into parts, whose texts joined are the text. `open_block` names a block that is never closed: fence, formula.

    `kept` are marks that stand in the parts for what is kept inside lines (`routing_keeps.protect`); `join` puts it back.
    """

    parts: tuple[Part, ...]
    open_block: str = ""
    kept: tuple[tuple[str, str], ...] = ()

    @property
    def segments(self) -> tuple[str, ...]:
        """The natural text, in order: exactly what an engine is asked to translate."""
        return tuple([part.source or part.text for part in self.parts if part.translate])


_PIPE = re.compile(r"(?<!\\)\|")
_DEFINITION = re.compile(r"[ ]{0,3}\[[^\]^][^\]]*\]:[ \t]*\S+")
_LABELLED = re.compile(r"^[ >]*\[([^\]\[^][^\]\[]{0,200})\]:[ \t]*\S", re.MULTILINE)
_REFERENCE = re.compile(r"(?<![\]\\])\[([^\[\]\n]{1,200})\](?:\[\]|(?![(\[:]))")
_CLOSING_FENCE = re.compile(r"[ \t>]*(?:`{3,}|~{3,})[ \t]*\r?\n?\Z")


def split(text: str, max_chars: int = 2000, values: tuple[str, ...] = (), language: str = "en") -> Document:
    """The document of `text`, written in `language`; a segment longer than `max_chars` is cut at sentence ends where it can be.

    A segment is a line without its prefix and padding, a hard-wrapped paragraph, a table cell, or a JSON string under one of the
    keys in `values`. Code, formulas, other JSON, tags and lines without letters are skeleton.
    """
    return _Splitter(text, max_chars, values, language).document()


def join(document: Document, translations: Sequence[str]) -> str:
    """The document's text with its segments replaced, in order. Raises ValueError unless there is one translation per segment."""
    count = sum([part.translate for part in document.parts])
    if len(translations) != count:
        raise ValueError(f"{len(translations)} translations for a document of {count} segments")
    rest = iter(translations)
    text = "".join(
        [
            part.text if not part.translate else _written(part, next(rest)) if part.source or part.kind == "cell" else next(rest)
            for part in document.parts
        ]
    )
    return restore(text, document.kept) if document.kept else text


def _written(part: Part, translation: str) -> str:
    """A translation as it stands in the document: an unchanged one is the text itself, letter for letter."""
    if part.source and translation == part.source:
        return part.text
    if part.form:
        return encoded(translation, "a" in part.form[4:], "/" in part.form)
    if part.kind == "cell" and "|" in translation and not _PIPE.search(part.text):
        return _PIPE.sub(r"\\|", translation)
    return translation


def pieces(segment: str, language: str = "en") -> list[Part]:
    """A segment cut into smaller ones: its sentences, or a single sentence at a clause mark; whole when it has neither.

    The texts of all parts joined are the segment; the space between them is skeleton. Protected spans are never cut.
    """
    found = split_sentences(segment, language)
    return [part for piece in (found if len(found) > 1 else split_clauses(segment)) for part in _padded(piece, "paragraph")]


def _padded(piece: str, kind: str) -> list[Part]:
    """A piece of a segment without the space around it; skeleton when it holds no letters."""
    body = piece.strip()
    if not body or not has_letters(body):
        return [Part(piece, False)]
    start = piece.find(body)
    parts = (Part(piece[:start], False), Part(body, True, kind), Part(piece[start + len(body) :], False))
    return [part for part in parts if part.text]


class _Splitter:
    """Walks through a text from block to line to segment; what is not found to be a segment is skeleton."""

    def __init__(self, text: str, max_chars: int, values: tuple[str, ...], language: str) -> None:
        self.text = text
        self.max_chars = max_chars
        self.values = values
        self.language = language
        self.labels = labels_of(text)
        self.parts: list[Part] = []
        self.position = 0
        self.open_block = ""

    def document(self) -> Document:
        """All of the text. What follows an open fence is looked at anew, and after twenty of them kept."""
        start, passes = 0, 0
        while start < len(self.text) and passes < 20:
            start, passes = self._until_open_fence(start), passes + 1
        if self.position < len(self.text):
            self.parts.append(Part(self.text[self.position :], False))
        return Document(tuple(self.parts), self.open_block)

    def _add(self, start: int, text: str, kind: str, source: str = "", form: str = "") -> None:
        """The segment that stands at `start`, after the skeleton before it; segments come in order."""
        if start > self.position:
            self.parts.append(Part(self.text[self.position : start], False))
        self.parts.append(Part(text, True, kind, source, form))
        self.position = start + len(text)

    def _until_open_fence(self, start: int) -> int:
        """Blocks, and the running text between them; returns where text goes on after a fence that is never closed."""
        lines = lines_of(self.text[start:])
        found = blocks(lines)
        if not found:
            self._running(lines, start, [])
            return len(self.text)
        starts = list(accumulate(map(len, lines), initial=start))
        position = 0
        indented: list[tuple[int, int]] = []
        for block in (*found, Block("end", len(lines), len(lines))):
            if block.kind == "indented":
                indented.append((block.start - position, block.end - position))
                continue
            if position < block.start:
                self._running(lines[position : block.start], starts[position], indented)
            position, indented = block.end, []
            if block.kind == "fence" and not block.closed:
                self.open_block = "fence"
                return starts[block.start + _meant_end(lines[block.start :])]
            self._block(lines[block.start : block.end], starts[block.start], block)
        return len(self.text)

    def _block(self, lines: list[str], start: int, block: Block) -> None:
        if block.kind == "fence" and self.values:
            self._payload(start, start + sum(map(len, lines)))
        elif block.kind == "table":
            for line in lines:
                self._cells(line, start)
                start += len(line)
        elif block.kind == "html":
            self._running(lines, start, [], html=True)
        elif block.kind == "raw" and block.closed:
            # Text may follow on the line that closes it.
            rest = lines[-1].rpartition(">")[2]
            self._text(rest, start + sum(map(len, lines)) - len(rest))

    def _running(self, lines: list[str], start: int, indented: list[tuple[int, int]], html: bool = False) -> None:
        """Running text, or HTML around it: first the stretches of several lines in it, then what is left line by line."""
        text = "".join(lines)
        found = stretches(text)
        if not found:
            self._html(lines, start) if html else self._lines(lines, start, indented)
            return
        starts = list(accumulate(map(len, lines), initial=0))
        position = 0
        for stretch in (*found, Stretch(len(text), len(text), "")):
            if position < stretch.start:
                between = lines_of(text[position : stretch.start])
                if html:
                    self._html(between, start + position)
                else:
                    self._lines(between, start + position, _shifted(indented, starts, position, stretch.start))
            if stretch.kind == "json" and self.values:
                self._payload(start + stretch.start, start + stretch.end)
            if not stretch.closed:
                self.open_block = stretch.kind
            position = stretch.end

    def _payload(self, start: int, end: int) -> None:
        """Machine text: the strings under the listed keys are documents of their own."""
        escaped, slashes = manner(self.text[start:end])
        form = "json" + "a" * escaped + "/" * slashes
        for low, high in value_spans(self.text, start, end, self.values):
            text, offsets = decoded(self.text[low:high])
            if any("\ud800" <= character <= "\udfff" for character in text):
                continue
            position = 0
            for part in split(text, self.max_chars, (), self.language).parts:
                after = position + len(part.text)
                if part.translate:
                    written = self.text[low + offsets[position] : low + offsets[after]]
                    self._add(low + offsets[position], written, "value", part.asked, form)
                position = after

    def _lines(self, lines: list[str], start: int, indented: list[tuple[int, int]]) -> None:
        """Lines of running text: code is kept, a line is a segment, lines wrapped by hand are one."""
        code = code_lines(lines, indented)
        rows = table_rows(lines) if "|" in self.text and any(["|" in line for line in lines]) else ()
        edges = {edge for block in indented for edge in block}
        last, count = 0, len(lines)
        spread = count > 1 and may_run_on(self.text)
        while last < count:
            line = text = lines[last]
            index, last = last, last + 1
            if index in rows and not code[index]:
                self._cells(line, start)
            elif not (code[index] or line.isspace() or (line[0] in " [" and _DEFINITION.match(line))):
                while last < count and ((len(line) > 49 and wraps(line, lines[last])) or (spread and runs_on(text, lines, last))):
                    if code[last] or last in rows or last in edges:
                        break
                    line = lines[last]
                    text += line
                    last += 1
                self._text(text, start)
            start += len(text)

    def _cells(self, line: str, start: int) -> None:
        """The cells of a table row; a pipe inside a protected span or after a backslash separates nothing."""
        if is_table_rule(line):
            return
        protected = find_spans(line)
        position = 0
        for match in _PIPE.finditer(line):
            if not any(low < match.start() < high for low, high in protected):
                self._text(line[position : match.start()], start + position, "cell")
                position = match.end()
        self._text(line[position:], start + position, "cell")

    def _html(self, lines: list[str], start: int) -> None:
        """An HTML block: the words between its tags, line by line; a tag may run over several."""
        inside = False
        for line in lines:
            low, high, inside = html_body_of(line, inside)
            self._text(line[low:high], start + low)
            start += len(line)

    def _text(self, text: str, offset: int, kind: str = "") -> None:
        """One line, cell or wrapped paragraph: the body as one segment, or several where it is longer than `max_chars`."""
        start, end = body_of(text)
        body = text[start:end]
        if not has_letters(body) or is_atom(body):
            return
        kind = kind or (kind_of(text[:start]) if start else "paragraph")
        offset += start
        if len(body) <= self.max_chars:
            source = _without_escapes(body) if kind == "cell" else unwrapped(body)
            self._add(offset, body, kind, self._linked(body, source) if self.labels else source)
            return
        for piece in cut(body, self.max_chars, self.language):
            for part in _padded(piece, kind):
                if part.translate:
                    self._add(offset, part.text, kind, self._linked(part.text, unwrapped(part.text)))
                offset += len(part.text)

    def _linked(self, body: str, source: str) -> str:
        """What is asked: words are translated, the labels of links stay."""
        linked = with_labels(source or body, self.labels)
        return source if linked == (source or body) else linked


def labels_of(text: str) -> frozenset[str]:
    """The labels of the link definitions in a text."""
    return frozenset(_label(match[1]) for match in _LABELLED.finditer(text)) if "]:" in text else frozenset()


def with_labels(text: str, labels: frozenset[str]) -> str:
    """The text with the label behind each reference whose words are its label: `[a]` and `[a][]` as `[a][a]`."""
    if not labels or "[" not in text:
        return text
    protected = find_spans(text)

    def labelled(match: re.Match[str]) -> str:
        if _label(match[1]) not in labels or any(low <= match.start() < high for low, high in protected):
            return match[0]
        return f"[{match[1]}][{match[1]}]"

    return _REFERENCE.sub(labelled, text)


def _label(words: str) -> str:
    """A label as readers compare it: without regard to case and space."""
    return " ".join(words.split()).casefold()


def _meant_end(lines: list[str]) -> int:
    """Where a fence that is never closed was meant to end: after a line that nearly closes it, or before a sentence."""
    for number, line in enumerate(lines[1:], 1):
        if _CLOSING_FENCE.match(line):
            return number + 1
        if not lines[number - 1].strip() and SENTENCE_LINE.match(line):
            return number
    return len(lines)


def _without_escapes(body: str) -> str:
    """The words of a cell with its escaped pipes plain; empty when there are none, or plain ones beside them."""
    return body.replace("\\|", "|") if "\\|" in body and not _PIPE.search(body) else ""


def _shifted(indented: list[tuple[int, int]], starts: list[int], start: int, end: int) -> list[tuple[int, int]]:
    """The ranges of lines within the offsets `start` to `end`, counted from there; `starts` are the offsets of all lines."""
    first, last = bisect_right(starts, start) - 1, bisect_left(starts, end)
    return [(max(low, first) - first, min(high, last) - first) for low, high in indented if low < last and high > first]
