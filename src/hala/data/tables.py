"""Tables of text (.csv, .tsv) as records: which line names the columns, which rows are none, and whose encoding it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hala.data.shapes import language_pair, plain_names
from hala.data.text_files import MAX_LINE, UNREADABLE, BadRow, Records, Reject, encoding_error, open_bytes, without_mark

_HEAD = 1 << 16  # bytes that tell the encoding

# A table whose first line holds one of these has a header.
_HEADER_WORDS = frozenset([
    "id", "text", "source", "target", "src", "tgt", "en", "ar", "hi", "vi", "sw", "question", "answer", "query",
    "prompt", "response", "completion", "instruction", "input", "output", "context", "messages", "conversations",
    "system", "category", "title", "label",
])  # fmt: skip


def _is_header(cells: list[str], wanted: Collection[str]) -> bool:
    """Whether a first line names columns: it holds all that are wanted by name, or a word that headers are made of."""
    found = {cell.strip() for cell in cells}
    named = any(not name.isdigit() for name in wanted) and found.issuperset(wanted)
    if named or any(cell.lower() in _HEADER_WORDS for cell in found):
        return True
    if wanted and all(name.isdigit() for name in wanted):  # whoever numbers the columns sees no names there
        return False
    words = plain_names(tuple(cells)) or tuple(found)
    return not _HEADER_WORDS.isdisjoint(words) or (len(words) == 2 and language_pair(words) is not None)


def _is_foreign(head: bytes) -> bool:
    """Whether the beginning of a table is in another encoding: most of its lines are no UTF-8, and none but ASCII ones are."""
    bad = total = 0
    for line in head.splitlines():
        try:
            if not line.decode("utf-8").isascii():
                return False
        except UnicodeDecodeError:
            bad += 1
        total += 1
    return bad > 1 and bad > total / 2


def read_table(path: Path, separator: str, reject: Reject, header: bool | None, wanted: Collection[str]) -> Records:
    """Rows by column name, or by column number ("0", "1", ...) when there is no header; tab files know no quotes."""
    csv.field_size_limit(MAX_LINE)
    with open_bytes(path) as raw:
        head = raw.read(_HEAD)
        without_mark(head[:64], path)
        if _is_foreign(head):
            raise encoding_error(path)
        raw.seek(0)
        # Bytes that are no UTF-8 become lone surrogates, which the row check reports one row at a time.
        file = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
        reader = csv.reader(file, delimiter=separator, quoting=quoting, strict=True)
        names: list[str] = []
        start = 0
        for place, cells in _cells(reader):
            if isinstance(cells, _Unread):
                reject(BadRow(str(path), max(0, place - start), cells.reason, cells.excerpt))
                continue
            if not names:
                is_header = _is_header(cells, wanted) if header is None else header
                names = [cell.strip() for cell in cells] if is_header else [str(number) for number in range(len(cells))]
                start = int(is_header)
                if is_header:
                    continue
            if len(cells) == len(names):
                yield place - start, dict(zip(names, cells, strict=True))
            else:
                reject(
                    BadRow(
                        str(path), place - start, "column_count", f"{len(cells)} of {len(names)}: {separator.join(cells)[:80]}"
                    )
                )


@dataclass(frozen=True, slots=True)
class _Unread:
    """A line of a table that is no row."""

    reason: str
    excerpt: str


def _cells(reader: Any) -> Iterator[tuple[int, list[str] | _Unread]]:
    """Position and cells of every row that is not empty, or why the csv module cannot read it.

    A quote that is not closed takes all lines to the end of the file with it, or to the largest size of a cell: each of them is
    one that cannot be read, as is each line of a row in which something else is wrong.
    """
    position = 0
    while True:
        before = reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            open_quote = "end of data" in str(error) or "field limit" in str(error)
            reason = "open_quote" if open_quote else "bad_csv"
            for _ in range(reader.line_num - before):
                yield position, _Unread(reason, f"line {before + 1}: {error}")
                position += 1
            continue
        except UNREADABLE as error:
            yield position, _Unread("torn_file", str(error)[:200])
            return
        if cells is None:
            return
        if cells:
            yield position, cells
            position += 1
