"""Files as bytes and lines, whatever is wrong with them: unpacked, bounded, UTF-8 or refused; and two of them side by side.

A position counts broken lines too.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from hala.errors import InputError

MAX_LINE = 16 * 2**20
UNREADABLE = (EOFError, OSError, zlib.error)
"""What unpacking raises where an archive is torn."""
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that could not be read: where it stands (0-based position in the file), why, and how it begins."""

    file: str
    position: int
    reason: str
    excerpt: str = ""


Reject = Callable[[BadRow], None]
Records = Iterator[tuple[int, dict[str, Any]]]


def refusing_torn(reject: Reject) -> Reject:
    """The same, but a torn file raises InputError: what follows is missing, however much it is."""

    def refuse(bad: BadRow) -> None:
        if bad.reason == "torn_file":
            lost, fix = "nothing can be read", "Check how it was made, or download it again."
            if bad.position:
                lost = f"what follows record {bad.position - 1} is missing"
                fix = "Download or make it again; to use the part that is there, unpack it into a new file."
            raise InputError(f"{bad.file} is not whole (torn_file: {lost}; {bad.excerpt}).", fix)
        reject(bad)

    return refuse


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
            except UNREADABLE as error:
                reject(BadRow(str(path), position, "torn_file", str(error)[:200]))
                return
            if not line and not too_long:
                return
            if too_long:
                reject(BadRow(str(path), position, "line_too_long", start.decode("utf-8", "replace")))
            else:
                # Files that were joined have a mark in front of each part.
                line = line.rstrip(b"\r\n")
                yield position, (line.removeprefix(_MARK) if position else without_mark(line, path))
            position += 1


def without_mark(line: bytes, path: Path) -> bytes:
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
                raise encoding_error(path) from error
            continue
        good += not text.isascii() or bad == 0
        yield position, text


def encoding_error(path: Path) -> InputError:
    return InputError(
        f"{path} is not UTF-8.",
        f"Find its encoding (windows-1256 for old Arabic files) and convert it: iconv -f ENCODING -t UTF-8 '{path}' > new file.",
    )


def parallel(source: Path, target: Path, reject: Reject) -> Records:
    """Line by line pairs of two text files; a position that is bad on either side is one bad record.

    Raises InputError when they differ in length, since pairing by number would be wrong, and when one is torn.
    """
    counts = [_count_lines(path) for path in (source, target)]
    if counts[0] != counts[1]:
        raise InputError(
            f"{source} has {counts[0]} lines and {target} has {counts[1]}.", "Give two files that are aligned line by line."
        )
    for position, (left, right) in enumerate(zip(_every_line(source), _every_line(target), strict=True)):
        if isinstance(left, str) and isinstance(right, str):
            yield position, {"source": left, "target": right}
        else:
            reject(next(each for each in (left, right) if isinstance(each, BadRow)))


def _every_line(path: Path) -> Iterator[str | BadRow]:
    """The text of every line, or why it has none."""
    bad: list[BadRow] = []
    for _, text in text_lines(path, refusing_torn(bad.append)):
        yield from bad
        bad.clear()
        yield text
    yield from bad


def _count_lines(path: Path) -> int:
    """Lines of a text, the last one with or without its end. Raises InputError when the file is torn."""
    count, last = 0, b"\n"
    try:
        with open_bytes(path) as file:
            while piece := file.read(1 << 20):
                count, last = count + piece.count(b"\n"), piece[-1:]
    except UNREADABLE as error:
        refusing_torn(lambda bad: None)(BadRow(str(path), count, "torn_file", str(error)[:200]))
    return count + (last != b"\n")
