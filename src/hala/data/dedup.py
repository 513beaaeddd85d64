"""Exact duplicates after normalisation, found in one pass: the first of equal texts is kept.

>>> from hala.data.dedup import normalise
>>> normalise("  The  CAFÉ ") == normalise("the café"), normalise("مُحَمَّدٌ") == normalise("محمد")
(True, True)
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from hala.records import KEPT, Row, Verdict, rejected

# Short vowels, shadda, sukun, Quranic marks, superscript alef and tatweel: optional in Arabic writing.
_ARABIC_MARKS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def normalise(text: str) -> str:
    """The text as duplicates are compared: NFKC, case-folded, without Arabic vowel marks and tatweel, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", _ARABIC_MARKS.sub("", folded)))
    return " ".join(folded.split())


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
