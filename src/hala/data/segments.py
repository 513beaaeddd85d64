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
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from hala.data.codelines import code_lines
from hala.data.lines import body_of, html_body_of, is_atom, is_table_rule, kind_of, table_rows, unwrapped, wraps
from hala.data.markdown import SENTENCE_LINE, Block, blocks, lines_of
from hala.data.masks import find_spans, has_letters
from hala.data.payloads import Stretch, decoded, encoded, manner, stretches, value_spans
from hala.data.sentences import cut, split_clauses, split_sentences


class Part(NamedTuple):
    """A stretch of the document: a segment when `translate`, else skeleton. (A tuple, for a corpus has hundreds of millions.)"""

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


@dataclass(frozen=True, slots=True)
class Document:
    """A text cut into parts, whose texts joined are the text. `open_block` names a block that is never closed: fence, formula."""

    parts: tuple[Part, ...]
    open_block: str = ""

    @property
    def segments(self) -> tuple[str, ...]:
        """The natural text, in order: exactly what an engine is asked to translate."""
        return tuple([part.source or part.text for part in self.parts if part.translate])


_PIPE = re.compile(r"(?<!\\)\|")
_DEFINITION = re.compile(r"[ ]{0,3}\[[^\]^][^\]]*\]:[ \t]*\S+")
_CLOSING_FENCE = re.compile(r"[ \t>]*(?:`{3,}|~{3,})[ \t]*\r?\n?\Z")


def split(text: str, max_chars: int = 2000, values: tuple[str, ...] = (), language: str = "en") -> Document:
    """The document of `text`, written in `language`; a segment longer than `max_chars` is cut at sentence ends where it can be.

    A segment is a line without its prefix and padding, a hard-wrapped paragraph, a table cell, or a JSON string under one of the
    keys in `values`. Code, formulas, other JSON, tags and lines without letters are skeleton.
    """
    splitter = _Splitter(max_chars, values, language)
    splitter.document(text)
    return splitter.finished()


def join(document: Document, translations: Sequence[str]) -> str:
    """The document's text with its segments replaced, in order. Raises ValueError unless there is one translation per segment."""
    count = sum([part.translate for part in document.parts])
    if len(translations) != count:
        raise ValueError(f"{len(translations)} translations for a document of {count} segments")
    rest = iter(translations)
    return "".join([_written(part, next(rest)) if part.translate else part.text for part in document.parts])


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
    """Walks through one document from block to line to segment and collects its parts."""

    def __init__(self, max_chars: int, values: tuple[str, ...], language: str) -> None:
        self.max_chars = max_chars
        self.values = values
        self.language = language
        self.parts: list[Part] = []
        self.kept: list[str] = []
        self.open_block = ""

    def finished(self) -> Document:
        """All parts so far, neighbouring skeleton as one."""
        self._flush()
        return Document(tuple(self.parts), self.open_block)

    def _flush(self) -> None:
        if self.kept:
            if kept := "".join(self.kept):
                self.parts.append(Part(kept, False))
            self.kept = []

    def document(self, text: str) -> None:
        """All of a text; what follows an open fence is a text of its own, and after twenty of them kept."""
        for _ in range(20):
            text = self._until_open_fence(text)
        self.kept.append(text)

    def _until_open_fence(self, text: str) -> str:
        """Blocks, and the running text between them; returns what follows a fence that is never closed."""
        if not text:
            return ""
        lines = lines_of(text)
        found = blocks(lines)
        position = 0
        for block in found:
            if block.kind != "indented":
                self._between(lines, position, block.start, found)
                position = block.end
                if block.kind == "fence" and not block.closed:
                    self.open_block = "fence"
                    return self._open_fence(lines[block.start :])
                self._block(lines[block.start : block.end], block)
        self._between(lines, position, len(lines), found)
        return ""

    def _between(self, lines: list[str], start: int, end: int, found: list[Block]) -> None:
        """The running text from one line to another, in which only indentation makes blocks."""
        if start < end:
            indented = [(block.start - start, block.end - start) for block in found if start <= block.start < end]
            self._running(lines[start:end], indented)

    def _block(self, lines: list[str], block: Block) -> None:
        if block.kind == "fence" and self.values:
            self._payload("".join(lines))
        elif block.kind == "table":
            for line in lines:
                self._cells(line)
        elif block.kind == "html":
            self._running(lines, [], html=True)
        elif block.kind == "raw" and block.closed:
            self._raw(lines)
        else:
            self.kept += lines

    def _open_fence(self, lines: list[str]) -> str:
        """A fence that is never closed: kept up to a line that was meant to close it, or to a paragraph after a blank line."""
        for number, line in enumerate(lines[1:], 1):
            closes = _CLOSING_FENCE.match(line) is not None
            if closes or (not lines[number - 1].strip() and SENTENCE_LINE.match(line)):
                self.kept += lines[: number + closes]
                return "".join(lines[number + closes :])
        self.kept += lines
        return ""

    def _raw(self, lines: list[str]) -> None:
        """HTML that is kept whole; text may follow on the line that closes it."""
        end = lines[-1].rfind(">") + 1
        self.kept += lines[:-1]
        self.kept.append(lines[-1][:end])
        self._text(lines[-1][end:])

    def _running(self, lines: list[str], indented: list[tuple[int, int]], html: bool = False) -> None:
        """Running text, or HTML around it: first the stretches of several lines in it, then what is left line by line."""
        text = "".join(lines)
        found = stretches(text)
        if not found:
            self._html(lines) if html else self._lines(lines, indented)
            return
        starts = list(accumulate(map(len, lines), initial=0))
        position = 0
        for stretch in (*found, Stretch(len(text), len(text), "")):
            if position < stretch.start:
                between = lines_of(text[position : stretch.start])
                self._html(between) if html else self._lines(between, _shifted(indented, starts, position, stretch.start))
            if stretch.kind == "json" and self.values:
                self._payload(text[stretch.start : stretch.end])
            else:
                self.kept.append(text[stretch.start : stretch.end])
            if not stretch.closed:
                self.open_block = stretch.kind
            position = stretch.end

    def _payload(self, text: str) -> None:
        """Machine text: the strings under the listed keys are documents of their own, all else is kept."""
        escaped, slashes = manner(text)
        form = "json" + "a" * escaped + "/" * slashes
        position = 0
        for start, end in value_spans(text, 0, len(text), self.values):
            self.kept.append(text[position:start])
            self._value(text[start:end], form)
            position = end
        self.kept.append(text[position:])

    def _value(self, raw: str, form: str) -> None:
        text, offsets = decoded(raw)
        if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
            self.kept.append(raw)
            return
        position = 0
        for part in split(text, self.max_chars, (), self.language).parts:
            written = raw[offsets[position] : offsets[position + len(part.text)]]
            position += len(part.text)
            if part.translate:
                self._flush()
                self.parts.append(Part(written, True, "value", part.source or part.text, form))
            else:
                self.kept.append(written)

    def _lines(self, lines: list[str], indented: list[tuple[int, int]]) -> None:
        """Lines of running text: code is kept, a line is a segment, lines wrapped by hand are one."""
        code = code_lines(lines, indented)
        rows = table_rows(lines) if any(["|" in line for line in lines]) else ()
        edges = {edge for block in indented for edge in block}
        index, count = 0, len(lines)
        while index < count:
            line = lines[index]
            last = index + 1
            if code[index] or line.isspace() or (line[:1] in " [" and _DEFINITION.match(line)):
                self.kept.append(line)
            elif index in rows:
                self._cells(line)
            else:
                while last < count and len(lines[last - 1]) > 49 and wraps(lines[last - 1], lines[last]):
                    if code[last] or last in rows or last in edges:
                        break
                    last += 1
                self._text("".join(lines[index:last]) if last > index + 1 else line)
            index = last

    def _cells(self, line: str) -> None:
        """The cells of a table row; a pipe inside a protected span or after a backslash separates nothing."""
        if is_table_rule(line):
            self.kept.append(line)
            return
        protected = find_spans(line)
        position = 0
        for match in _PIPE.finditer(line):
            if any(start < match.start() < end for start, end in protected):
                continue
            self._text(line[position : match.start()], "cell")
            self.kept.append("|")
            position = match.end()
        self._text(line[position:], "cell")

    def _html(self, lines: list[str]) -> None:
        """An HTML block: the words between its tags, line by line; a tag may run over several."""
        inside = False
        for line in lines:
            start, end, inside = html_body_of(line, inside)
            self.kept.append(line[:start])
            self._text(line[start:end])
            self.kept.append(line[end:])

    def _text(self, text: str, kind: str = "") -> None:
        """One line, cell or wrapped paragraph."""
        start, end = body_of(text)
        body = text[start:end]
        if not has_letters(body) or is_atom(body):
            self.kept.append(text)
            return
        self.kept.append(text[:start])
        self._segments(body, kind or (kind_of(text[:start]) if start else "paragraph"))
        self.kept.append(text[end:])

    def _segments(self, body: str, kind: str) -> None:
        """The body as one segment, or as several of at most `max_chars` where sentences and clauses allow."""
        if len(body) <= self.max_chars:
            self._flush()
            escaped = kind == "cell" and "\\|" in body and not _PIPE.search(body)
            self.parts.append(Part(body, True, kind, body.replace("\\|", "|") if escaped else unwrapped(body)))
            return
        for piece in cut(body, self.max_chars, self.language):
            for part in _padded(piece, kind):
                if part.translate:
                    self._flush()
                    self.parts.append(part._replace(source=unwrapped(part.text)))
                else:
                    self.kept.append(part.text)


def _shifted(indented: list[tuple[int, int]], starts: list[int], start: int, end: int) -> list[tuple[int, int]]:
    """The ranges of lines within the offsets `start` to `end`, counted from there; `starts` are the offsets of all lines."""
    first, last = bisect_right(starts, start) - 1, bisect_left(starts, end)
    return [(max(low, first) - first, min(high, last) - first) for low, high in indented if low < last and high > first]
