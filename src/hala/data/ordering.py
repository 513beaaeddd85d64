"""Rows brought into an order that is known of each row, on disk: memory does not grow with them.

>>> from hala.data.ordering import Ordered
>>> with Ordered(folder) as ordered:                    # doctest: +SKIP
...     ordered.add([(0.7, 0, 0, 0, second), (0.1, 1, 0, 0, first)])
...     ordered.finish()
...     [row.id for _, row in ordered]
['first', 'second']
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hala.artifacts import atomic_file
from hala.records import Message, Row

Placed = tuple[float, int, int, int, Row]
"""Where a row stands, the number of the row and of its copy (which decide where places are equal), its part, and the row."""

_KEY = struct.Struct(">dQH")  # as bytes in the order of the numbers, none of which is negative
WRITE_BUFFER = 32 << 20  # bytes of rows in one run, before they are compressed
MOST_RUNS = 64


class Ordered:
    """Rows by their places, in RocksDB below `folder`. `finished` says whether all of them are there.

    What was not finished before a kill is begun again.
    """

    def __init__(self, folder: Path) -> None:
        import rocksdict

        self._mark = folder / "complete"
        if not self._mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._rocksdict: Any = rocksdict
        self._base: Any = rocksdict.Rdict(str(folder / "rows"), _options(rocksdict))
        unlogged: Any = rocksdict.WriteOptions()
        unlogged.disable_wal = True  # nothing is read before all of it is flushed
        self._base.set_write_options(unlogged)

    @property
    def finished(self) -> bool:
        """Whether every row is there."""
        return self._mark.exists()

    def add(self, rows: Iterable[Placed]) -> None:
        """More rows, in any order."""
        batch = self._rocksdict.WriteBatch(raw_mode=True)
        for place, number, copy, part, row in rows:
            batch.put(_KEY.pack(place, number, copy), _encode(part, row))
        self._base.write(batch)

    def finish(self) -> None:
        """All rows are there, and stay."""
        self._base.flush()
        with atomic_file(self._mark) as temporary:
            temporary.write_bytes(b"")

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """(part, row) in the order of the places."""
        for _, value in self._base.items():
            yield _decode(value)

    def __enter__(self) -> Ordered:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()


def _encode(part: int, row: Row) -> bytes:
    sides = [None if side is None else [[m.role, m.content] for m in side] for side in (row.messages, row.original)]
    content = [part, row.id, *sides, row.lang, row.source, row.licence, row.notes]
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _decode(value: bytes) -> tuple[int, Row]:
    part, name, messages, original, lang, source, licence, notes = json.loads(value.decode("utf-8", "surrogatepass"))
    sides = [None if side is None else tuple(Message(*message) for message in side) for side in (messages, original)]
    return part, Row(name, sides[0] or (), lang, source, licence, sides[1], notes)


def _options(rocksdict: Any) -> Any:
    """Sorted runs, merged while they are read, and on disk only when they would be too many open files."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compaction_style(rocksdict.DBCompactionStyle.universal())
    options.set_level_zero_file_num_compaction_trigger(MOST_RUNS)
    options.set_level_zero_slowdown_writes_trigger(2 * MOST_RUNS)
    options.set_level_zero_stop_writes_trigger(4 * MOST_RUNS)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_max_write_buffer_number(2)
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    options.set_max_open_files(512)
    options.set_keep_log_file_num(1)
    options.set_max_log_file_size(1 << 20)
    return options
