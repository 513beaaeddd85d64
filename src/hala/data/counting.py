"""Rows counted in tokens, in blocks on disk, so that a count that was stopped goes on where it was.

>>> from hala.data.counting import count_rows
>>> words = lambda texts: [len(text.split()) for text in texts]
>>> counted = count_rows(rows, words, folder, short_words=30, seed=0)   # doctest: +SKIP
>>> counted["tokens"].sum()                                             # doctest: +SKIP
1234567
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hala.artifacts import atomic_file
from hala.data.mixing import hashed
from hala.records import Row

RECORD = np.dtype([("hash", "<u8"), ("tokens", "<u4"), ("short", "?")])
BLOCK = 20_000  # rows in one file: what a kill costs at most
BATCH_ROWS, BATCH_CHARS = 1000, 2_000_000  # whichever is reached first: long rows are few at a time

Lengths = Callable[[Sequence[str]], Sequence[int]]


def count_rows(
    rows: Iterable[Row],
    lengths: Lengths,
    folder: Path,
    short_words: int,
    seed: int,
    after: Callable[[int], None] = lambda _: None,
) -> NDArray[Any]:
    """One RECORD a row, in order: the hash of its id, the tokens of its messages, and whether these have few words.

    `lengths(texts)` counts tokens; `after(rows so far)` is called now and then. A block that lies in `folder` is not counted
    again.
    """
    source, done = iter(rows), 0
    for number in count():
        file, block = folder / f"{number:06d}.bin", islice(source, BLOCK)
        if file.exists():
            found = sum(1 for _ in block)
        else:
            records = []
            for batch in batches(block):
                records.append(_records(batch, lengths, short_words, seed))
                after(done + sum(map(len, records)))
            found = sum(map(len, records))
            if found:
                with atomic_file(file) as temporary:
                    np.concatenate(records).tofile(temporary)
        done += found
        after(done)
        if found < BLOCK:
            return counted(folder)
    raise AssertionError("count() has no end")


def counted(folder: Path) -> NDArray[Any]:
    """The records of a count that is finished."""
    blocks = [np.fromfile(file, RECORD) for file in sorted(folder.glob("*.bin"))]
    return np.concatenate(blocks) if blocks else np.empty(0, RECORD)


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in order, a bounded number of rows and characters at a time."""
    batch: list[Row] = []
    chars = 0
    for row in rows:
        batch.append(row)
        chars += sum(len(message.content) for message in row.messages)
        if len(batch) == BATCH_ROWS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _records(rows: Sequence[Row], lengths: Lengths, short_words: int, seed: int) -> NDArray[Any]:
    texts = [message.content for row in rows for message in row.messages]
    tokens = iter(lengths(texts))
    found = np.empty(len(rows), RECORD)
    found["hash"] = hashed([row.id for row in rows], seed)
    found["tokens"] = [sum(islice(tokens, len(row.messages))) for row in rows]
    found["short"] = [_is_short(row, short_words) for row in rows]
    return found


def _is_short(row: Row, most: int) -> bool:
    """Whether all messages together have at most so many words between spaces."""
    left = most
    for message in row.messages:
        left -= len(message.content.split(None, left + 1))  # a long text is not split to its end
        if left < 0:
            return False
    return True
