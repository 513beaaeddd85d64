"""Rows with an `original` as training pairs for a translator, in the very form in which `translate` will ask for them.

>>> from hala.data.pairs import training_pairs
>>> from hala.records import Message, Row
>>> row = Row("a", (Message("text", "نفّذ `ls`."),), original=(Message("text", "Run `ls`."),))
>>> [(pair.original[0].content, pair.messages[0].content) for pair, verdict in training_pairs(row)]
[('Run ⟦1⟧.', 'نفّذ ⟦1⟧.')]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b

from hala.data.masks import mask_pair
from hala.data.segments import split
from hala.records import KEPT, Message, Row, Verdict, rejected


def training_pairs(row: Row, mask: bool = True, max_chars: int = 1200) -> Iterator[tuple[Row, Verdict]]:
    """One pair a segment where both sides have the same segments, else one a message; with the verdict of each.

    Protected spans become sentinels on both sides; a pair whose sides protect different spans is rejected.
    """
    if row.original is None or len(row.original) != len(row.messages):
        yield row, rejected("not_a_pair", "the row has no original of the same length")
        return
    for number, (source, target) in enumerate(zip(row.original, row.messages, strict=True)):
        for index, (left, right) in enumerate(_aligned(source.content, target.content, max_chars)):
            name = f"{row.id}/{number}/{index}"
            both: tuple[str, str] | None = (left, right)
            if mask:
                both = mask_pair(left, right)
            if both is None:
                yield replace(row, id=name), rejected("spans_differ", "code, links or placeholders differ between the sides")
            elif not both[0].strip() or not both[1].strip():
                yield replace(row, id=name), rejected("empty", "one side is empty")
            else:
                pair = replace(row, id=name, messages=(Message("text", both[1]),), original=(Message("text", both[0]),))
                yield pair, KEPT


def turned(row: Row, source: str) -> Row:
    """The row the other way round, in the language `source`: what was translated becomes the translation (`.../back`)."""
    if row.original is None:
        return row
    return replace(row, id=f"{row.id}/back", messages=row.original, original=row.messages, lang=source)


def in_share(name: str, forward: float, backward: float) -> tuple[bool, bool]:
    """Whether the pair of this id is learned forward, and whether backward: each way that share of all pairs.

    A hash of the id decides, and where the shares add up to one every pair goes exactly one way.
    """
    place = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
    return place < forward, place >= 1 - backward


def _aligned(source: str, target: str, max_chars: int) -> list[tuple[str, str]]:
    left, right = split(source, max_chars).segments, split(target, max_chars).segments
    if len(left) == len(right) and left:
        return list(zip(left, right, strict=True))
    return [(source, target)]
