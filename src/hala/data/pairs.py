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


def directed(pair: Row, forward: float, backward: float, source: str) -> Iterator[Row]:
    """The pair, and the pair the other way round (`.../back`, in the language `source`), each for that share of all pairs.

    A hash of the id decides, and where the shares add up to one every pair goes exactly one way.
    """
    place = int.from_bytes(blake2b(pair.id.encode(), digest_size=8).digest(), "big") / 2**64
    if place < forward:
        yield pair
    if place >= 1 - backward:
        assert pair.original is not None
        yield replace(pair, id=f"{pair.id}/back", messages=pair.original, original=pair.messages, lang=source)


def _aligned(source: str, target: str, max_chars: int) -> list[tuple[str, str]]:
    left, right = split(source, max_chars).segments, split(target, max_chars).segments
    if len(left) == len(right) and left:
        return list(zip(left, right, strict=True))
    return [(source, target)]
