"""Files as streams of records, whatever is wrong with them: a broken record is reported, a broken file says what to do.

Every reader yields `(position, record)`, with a 0-based position that counts broken records too, so that ids never shift.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from hala.data.exchange_files import read_pairs
from hala.errors import InputError

MAX_LINE = 16 * 2**20
_MARK = b"\xef\xbb\xbf"
FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet",
    ".txt": "txt", ".md": "document", ".tmx": "tmx", ".xlf": "xliff", ".xliff": "xliff",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that could not be read: where it stands (0-based position in the file), why, and how it begins."""

    file: str
    position: int
    reason: str
    excerpt: str = ""


Reject = Callable[[BadRow], None]
Records = Iterator[tuple[int, dict[str, Any]]]


def format_of(path: Path) -> str:
    """The format by the file's name without .gz or .zst. Raises InputError for an unknown one."""
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        raise InputError(f"cannot tell the format of {path}.", f"Give it one of the endings {' '.join(FORMATS)}, or set format:.")
    return FORMATS[suffix]


def suffix_of(path: Path) -> str:
    """The file's ending in lower case, without .gz or .zst."""
    return Path(path.name.lower().removesuffix(".gz").removesuffix(".zst")).suffix


def read_records(path: Path, form: str, reject: Reject, header: bool | None = None, names: Collection[str] = ()) -> Records:
    """The records of one file of a known format. `names` are columns that a header, if there is one, must hold."""
    if not path.is_file():
        raise InputError(f"no file {path}.", "Check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", "Check how it was made; an empty download is the usual cause.")
    if form == "jsonl":
        return _jsonl(path, reject)
    if form == "json":
        return _json(path, reject)
    if form in ("csv", "tsv"):
        return _table(path, "\t" if form == "tsv" else ",", reject, header, names)
    if form == "parquet":
        return _parquet(path)
    if form in ("tmx", "xliff"):
        return _pairs(path, reject)
    if form == "txt":
        return ((position, {"text": line}) for position, line in text_lines(path, reject) if line.strip())
    if form == "document":
        return iter([(0, {"text": "\n".join(line for _, line in text_lines(path, reject))})])
    raise InputError(f"unknown format '{form}' for {path}.", f"Use one of {', '.join(sorted(set(FORMATS.values())))}.")


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked when its name ends in .gz or .zst."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def byte_lines(path: Path, reject: Reject) -> Iterator[tuple[int, bytes]]:
    """Position and bytes of every line, without its end; over-long lines and a torn archive are reported."""
    position = 0
    with open_bytes(path) as file:
        while True:
            try:
                line = file.readline(MAX_LINE + 2)
                too_long = len(line) > MAX_LINE and not line.endswith(b"\n")
                start = line[:80]
                while too_long and line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE)
            except (EOFError, OSError, zlib.error) as error:
                reject(BadRow(str(path), position, "torn_file", str(error)[:200]))
                return
            if not line and not too_long:
                return
            if too_long:
                reject(BadRow(str(path), position, "line_too_long", start.decode("utf-8", "replace")))
            else:
                # Files that were joined have a mark in front of each part.
                line = line.rstrip(b"\r\n")
                yield position, (line.removeprefix(_MARK) if position else _without_mark(line, path))
            position += 1


def _without_mark(line: bytes, path: Path) -> bytes:
    """The first line without a UTF-8 byte order mark; UTF-16 and UTF-32 end here, with the way out."""
    if line.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")) or (
        b"\0" in line[:64] and line[1::2].count(0) > len(line) // 3
    ):
        raise InputError(f"{path} is UTF-16 or UTF-32, not UTF-8.", f"Convert it: iconv -f UTF-16 -t UTF-8 '{path}' > new file.")
    return line.removeprefix(_MARK)


def text_lines(path: Path, reject: Reject) -> Iterator[tuple[int, str]]:
    """Position and text of every line that is UTF-8. Raises InputError when none of the first lines is: another encoding."""
    good = bad = 0
    for position, line in byte_lines(path, reject):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            reject(BadRow(str(path), position, "invalid_utf8", line[:80].decode("utf-8", "replace") + f" (byte {error.start})"))
            bad += 1
            if bad == 20 and not good:
                raise _encoding_error(path) from error
            continue
        good += not text.isascii() or bad == 0
        yield position, text


def _encoding_error(path: Path) -> InputError:
    return InputError(
        f"{path} is not UTF-8.",
        f"Find its encoding (windows-1256 for old Arabic files) and convert it: iconv -f ENCODING -t UTF-8 '{path}' > new file.",
    )


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("duplicate key")
    return record


def _parse_json(text: str) -> Any:
    """The value, or the reason why not as a ValueError; deep nesting counts as one."""
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _jsonl(path: Path, reject: Reject) -> Records:
    for position, text in text_lines(path, reject):
        if not text.strip():
            continue
        try:
            record = _parse_json(text)
        except ValueError as error:
            reject(BadRow(str(path), position, "bad_json", f"{error}: {text[:80]}"))
            continue
        if isinstance(record, dict):
            yield position, record
        else:
            reject(BadRow(str(path), position, "not_an_object", text[:80]))


def _json(path: Path, reject: Reject) -> Records:
    """A list of objects, an object with one list of them, or after all one object a line."""
    try:
        with open_bytes(path) as file:
            data = file.read()
        text = _without_mark(data, path).decode("utf-8")
    except UnicodeDecodeError:
        raise _encoding_error(path) from None
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked: {error}.", "Download it again.") from error
    try:
        value = _parse_json(text)
    except ValueError as error:
        if text.lstrip().startswith("{") and "\n" in text.strip():
            yield from _jsonl(path, reject)
            return
        raise InputError(f"{path} is not JSON: {error}.", "Repair it, or give one object a line in a .jsonl file.") from error
    if isinstance(value, dict):
        value = next((each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict)), [value])
    if not isinstance(value, list) or not value:
        raise InputError(
            f"{path} holds no list of objects.", "Give a JSON list of objects, or one object a line in a .jsonl file."
        )
    for position, record in enumerate(value):
        if isinstance(record, dict):
            yield position, record
        else:
            reject(BadRow(str(path), position, "not_an_object", str(record)[:80]))


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
    return named or any(cell.lower() in _HEADER_WORDS for cell in found)


def _table(path: Path, separator: str, reject: Reject, header: bool | None, wanted: Collection[str]) -> Records:
    """Rows by column name, or by column number ("0", "1", ...) when there is no header; tab files know no quotes."""
    csv.field_size_limit(MAX_LINE)
    with open_bytes(path) as raw:
        _without_mark(raw.read(64), path)
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

    A quote that is never closed takes all lines to the end of the file with it: each of them is one that cannot be read.
    """
    position = 0
    while True:
        before = reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            lost = reader.line_num - before if "end of data" in str(error) else 1
            reason = "open_quote" if "end of data" in str(error) else "bad_csv"
            for _ in range(lost):
                yield position, _Unread(reason, f"line {before + 1}: {error}")
                position += 1
            continue
        except (EOFError, OSError, zlib.error) as error:
            yield position, _Unread("torn_file", str(error)[:200])
            return
        if cells is None:
            return
        if cells:
            yield position, cells
            position += 1


def _parquet(path: Path) -> Records:
    import pyarrow
    import pyarrow.parquet as parquet

    position = 0
    try:
        file = parquet.ParquetFile(path)
        for batch in file.iter_batches(batch_size=1000):
            for record in batch.to_pylist():
                yield position, record
                position += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not a readable Parquet file: {error}", "Download or write it again; its end is usually what is missing."
        ) from error


def _pairs(path: Path, reject: Reject) -> Records:
    """The pairs of a TMX or XLIFF file."""

    def broken(position: int, reason: str) -> None:
        slug, _, detail = reason.partition(": ")
        reject(BadRow(str(path), position, slug, detail))

    with open_bytes(path) as file:
        yield from read_pairs(file, path, broken)


def parallel(source: Path, target: Path, reject: Reject) -> Records:
    """Line by line pairs of two text files. Raises InputError when they differ in length: pairing by number would be wrong."""
    left, right = (dict(text_lines(path, reject)) for path in (source, target))
    counts = [max(side, default=-1) + 1 for side in (left, right)]
    if counts[0] != counts[1]:
        raise InputError(
            f"{source} has {counts[0]} lines and {target} has {counts[1]}.", "Give two files that are aligned line by line."
        )
    for position in sorted(left.keys() & right.keys()):
        yield position, {"source": left[position], "target": right[position]}
