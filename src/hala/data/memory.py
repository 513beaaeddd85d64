"""The translation memory: what models have answered before, by content, in one SQLite file that several runs may share.

It holds completions, not verdicts: other gates look at the same answers again, and nothing is asked twice for that.

>>> from hala.data.memory import Memory
>>> from hala.records import Completion
>>> memory = Memory(None)
>>> memory.add(b"key", Completion("1", "مرحبا", "stop", 3), 256)
>>> memory.find([b"key"], 256)[b"key"].text
'مرحبا'
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from hala.artifacts import make_folder
from hala.errors import CorruptError, DiskError
from hala.records import Completion

COMMIT_EVERY = 16  # answers that a kill may cost, beside those under way
AT_ONCE = 500  # keys in one query
WAIT_SECONDS = 60.0  # for another process that writes to the same memory
_CREATE = (
    "CREATE TABLE IF NOT EXISTS completions (key BLOB PRIMARY KEY, text BLOB, finish TEXT, tokens INTEGER,"
    " confidence REAL, max_tokens INTEGER) WITHOUT ROWID"
)


def default_place() -> Path:
    """`memory.sqlite` in the folder that HALA_HOME names, else in `~/.cache/hala`."""
    home = os.environ.get("HALA_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "hala") / "memory.sqlite"


def open_memory(place: str) -> Memory:
    """The memory in the file `place`, or the one that all runs share for `auto`."""
    return Memory(default_place() if place == "auto" else Path(place).expanduser())


class Memory:
    """Completions by key. `file` None keeps them in RAM, for as long as the object lives.

    Committed every few answers: what a killed process had been told before is not asked again. Damage raises CorruptError.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.pending = 0
        if file is not None:
            make_folder(file.parent)
        with self._errors():
            self.base = sqlite3.connect(file or ":memory:", timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            # A write-ahead log needs no wait for the disk at each commit: a power cut costs answers, never the file.
            self.base.execute("PRAGMA journal_mode=WAL")
            self.base.execute("PRAGMA synchronous=NORMAL")
            self.base.execute("PRAGMA cache_size=-32000")  # KiB
            self.base.execute(_CREATE)

    def find(self, keys: Sequence[bytes], max_tokens: int, confidence: bool = False) -> dict[bytes, Completion]:
        """The remembered completions among `keys`, each with an empty id.

        Left out is what was cut off by a lower limit than `max_tokens`, and, when `confidence` is asked for, what has none.
        """
        found: dict[bytes, Completion] = {}
        with self._errors():
            for some in _chunks(keys, AT_ONCE):
                marks = ",".join("?" * len(some))
                query = f"SELECT key, text, finish, tokens, confidence, max_tokens FROM completions WHERE key IN ({marks})"
                for key, text, finish, tokens, sureness, limit in self.base.execute(query, some):
                    if (finish == "length" and limit < max_tokens) or (confidence and sureness is None):
                        continue
                    found[key] = Completion("", text.decode("utf-8", "surrogatepass"), finish, tokens, confidence=sureness)
        return found

    def add(self, key: bytes, completion: Completion, max_tokens: int) -> None:
        """Remember a completion; one that failed is not remembered."""
        if completion.finish == "error":
            return
        with self._errors():
            if not self.pending:
                self.base.execute("BEGIN")
            text = completion.text.encode("utf-8", "surrogatepass")
            values = (key, text, completion.finish, completion.tokens, completion.confidence, max_tokens)
            self.base.execute("INSERT OR REPLACE INTO completions VALUES (?, ?, ?, ?, ?, ?)", values)
        self.pending += 1
        if self.pending >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """What was added is safe from a kill."""
        if self.pending:
            with self._errors():
                self.base.execute("COMMIT")
            self.pending = 0

    def __len__(self) -> int:
        with self._errors():
            [[count]] = self.base.execute("SELECT COUNT(*) FROM completions")
        return int(count)

    def close(self) -> None:
        """Commit and close; the object cannot be used afterwards."""
        try:
            self.commit()
        finally:
            self.base.close()

    def _errors(self) -> _Errors:
        return _Errors(self.file)


class _Errors:
    """SQLite's errors in our words: a full disk, a damaged file, another process that does not let go."""

    def __init__(self, file: Path | None) -> None:
        self.file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        name = getattr(error, "sqlite_errorname", "")
        if name in ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_BUSY", "SQLITE_LOCKED"):
            raise DiskError(
                f"the translation memory {self.file} cannot be used: {error}.",
                "Make room, or choose another file with `memory: FILE` (`memory: none` for none).",
            ) from error
        raise CorruptError(
            f"the translation memory {self.file} is damaged: {error}.", "Delete it; what it held is asked again."
        ) from error


def _chunks(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    rest = iter(keys)
    while some := list(islice(rest, size)):
        yield some
