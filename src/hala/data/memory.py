"""The translation memory: what models have answered before, by content, in one RocksDB folder that runs share one after another.

It holds completions, not verdicts: other gates look at the same answers again, and nothing is asked twice for that. An answer is
there, a SIGKILL notwithstanding, when the next `flush` is over; RAM in use does not grow with what is remembered.

>>> from hala.data.memory import Memory
>>> from hala.records import Completion
>>> memory = Memory(folder)                                             # doctest: +SKIP
>>> memory.add(b"key", Completion("1", "مرحبا", "stop", 3), 256)        # doctest: +SKIP
>>> memory.find([b"key"], 256)[b"key"].text                             # doctest: +SKIP
'مرحبا'
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hala.artifacts import OS_ERROR
from hala.errors import CorruptError, DiskError, HalaError, LockedError
from hala.records import Completion, Finish

# In front of the text: finish (0 stop, 1 length), tokens, the limit that they were made under, confidence (NaN for none).
_HEAD = struct.Struct("<BIId")
_FINISHES: tuple[Finish, ...] = ("stop", "length")
WRITE_BUFFER = 16 << 20  # bytes of answers in RAM, beside the log on disk
CACHE = 32 << 20  # bytes of blocks read
WRITES = 300  # a second, as long as answers come; up to so many are saved up while none does
MOST_PENDING = 64  # answers that wait for a write at most: when they come faster, one write for many costs half as much
ELSEWHERE = "or choose another place: memory: FOLDER (or none) in a recipe, --set memory=FOLDER on the command line."


def default_place() -> Path:
    """The folder `memory` in the one that HALA_HOME names, else in `~/.cache/hala`."""
    home = os.environ.get("HALA_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "hala") / "memory"


def open_memory(place: str, spare: Path | None, say: Callable[[str], None]) -> Memory | None:
    """The memory in the folder `place`; for `auto` the one that all runs share or, while another process has that, `spare`.

    None when there is no spare one either: then nothing is remembered.
    """
    if place != "auto":
        return Memory(Path(place).expanduser())
    try:
        return Memory(default_place())
    except LockedError:
        instead = "this step uses one of its own" if spare else "nothing is remembered of this"
        say(f"    another process has the translation memory {default_place()}; {instead}")
        return Memory(spare) if spare else None


class Memory:
    """Completions by key, in `folder`. Raises LockedError while another process has it open, CorruptError for damage."""

    def __init__(self, folder: Path) -> None:
        import rocksdict

        self.folder = folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.base: Any = rocksdict.Rdict(str(folder), _options(rocksdict))
        except Exception as error:
            raise self._said(error) from None
        self.batch = rocksdict.WriteBatch
        self.pending: list[tuple[bytes, bytes]] = []
        self.writes, self.seen = float(WRITES), time.monotonic()  # that may be made at once, as of that time

    def find(self, keys: Sequence[bytes], max_tokens: int, confidence: bool = False) -> dict[bytes, Completion]:
        """The remembered completions among `keys`, each with an empty id.

        Left out is what was cut off by a lower limit than `max_tokens`, and, when `confidence` is asked for, what has none.
        """
        found: dict[bytes, Completion] = {}
        self.flush()
        try:
            values = self.base.get(list(keys))
        except Exception as error:
            raise self._said(error) from None
        for key, value in zip(keys, values, strict=True):
            if value is None:
                continue
            finish, tokens, limit, sureness = _HEAD.unpack_from(value)
            if (finish == 1 and limit < max_tokens) or (confidence and sureness != sureness):
                continue
            text = value[_HEAD.size :].decode("utf-8", "surrogatepass")
            found[key] = Completion("", text, _FINISHES[finish], tokens, "", None if sureness != sureness else sureness)
        return found

    def add(self, key: bytes, completion: Completion, max_tokens: int) -> None:
        """Remember a completion, on disk from the next `flush` on; one that failed is not remembered.

        Up to `WRITES` a second are written at once, so that only an engine that is faster has answers that wait.
        """
        if completion.finish == "error":
            return
        sureness = float("nan") if completion.confidence is None else completion.confidence
        head = _HEAD.pack(_FINISHES.index(completion.finish), completion.tokens, max_tokens, sureness)
        self.pending.append((key, head + completion.text.encode("utf-8", "surrogatepass")))
        now = time.monotonic()
        self.writes = min(self.writes + WRITES * (now - self.seen), WRITES)
        self.seen = now
        if self.writes >= 1 or len(self.pending) >= MOST_PENDING:
            self.writes = max(self.writes - 1, 0.0)
            self.flush()

    def flush(self) -> None:
        """Write what was added. Done before more is asked of an engine, so that a kill costs no more than what was under way."""
        if not self.pending:
            return
        batch = self.batch(raw_mode=True)
        for key, value in self.pending:
            batch.put(key, value)
        self.pending.clear()
        try:
            self.base.write(batch)
        except Exception as error:
            raise self._said(error) from None

    def __len__(self) -> int:
        return sum(1 for _ in self.base.keys())  # noqa: SIM118 - it is no dict

    def close(self) -> None:
        """Write everything out and let go of the folder; the object cannot be used afterwards."""
        try:
            self.flush()
        finally:
            try:
                self.base.close()
            except Exception as error:
                raise self._said(error) from None

    def _said(self, error: Exception) -> HalaError:
        """RocksDB's errors in our words: another process, a full disk, damage."""
        told = str(error)
        number = getattr(error, "errno", None) or (int(found[1]) if (found := OS_ERROR.search(told)) else None)
        if number or any(words in told for words in ("Permission denied", "Read-only")):
            why = os.strerror(number) if number else told
            return DiskError(
                f"the translation memory cannot be written to {self.folder}: {why}.", f"Mend its permissions, {ELSEWHERE}"
            )
        if "lock file" in told or "lock hold" in told:
            return LockedError(
                f"the translation memory {self.folder} is in use by another process.",
                "Wait for it, or use another one: memory: FOLDER (or none).",
            )
        if "No space" in told or ("IO error" in told and "No such file" not in told):
            return DiskError(f"the translation memory {self.folder} cannot be used: {told}.", f"Make room there, {ELSEWHERE}")
        return CorruptError(
            f"the translation memory {self.folder} is damaged: {told}.", "Delete the folder; what it held is asked again."
        )


def _options(rocksdict: Any) -> Any:
    """Bytes to bytes, bounded RAM, few files, filters that spare looking for what is not there."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(1)
    options.set_max_log_file_size(1 << 20)
    blocks = rocksdict.BlockBasedOptions()
    blocks.set_bloom_filter(10, False)
    blocks.set_block_cache(rocksdict.Cache(CACHE))
    options.set_block_based_table_factory(blocks)
    return options
