"""Exact duplicates after normalisation, found in one pass: the first of equal texts is kept.

>>> from hala.data.dedup import row_key
>>> from hala.records import Message, Row
>>> row_key(Row("1", (Message("text", "The  CAFÉ"),))) == row_key(Row("2", (Message("text", "the café "),)))
True
"""

from __future__ import annotations

import hashlib

from hala.data.normaliser import normalise
from hala.records import KEPT, Row, Verdict, rejected


def row_key(row: Row) -> bytes:
    """128-bit hash of the row's roles and normalised messages, the original included: a pair is equal when both sides are.

    Any two of a billion different rows collide with a chance below 1e-20.
    """
    digest = hashlib.blake2b(digest_size=16)
    for message in (*row.messages, *(row.original or ())):
        for part in (message.role, normalise(message.content)):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


class Seen:
    """The keys met so far: about 250 bytes of memory a row, so 5 million rows take 1.3 GB."""

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._first)

    def check(self, row: Row) -> Verdict:
        """Kept the first time a key is met, else `duplicate` with the id of the first row; feed rows in a fixed order."""
        mark = row_key(row)
        first = self._first.get(mark)
        if first is None:
            self._first[mark] = row.id
            return KEPT
        return rejected("duplicate", f"same as {first}")
