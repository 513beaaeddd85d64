"""Which rows make a mix, and where each stands in it: shares in tokens, caps, short rows, curricula.

The one idea: a hash of its id gives each row a number u in [0, 1), and its copies the numbers u, u + 1, u + 2, ... A part gives
the copies with the smallest numbers, as many as its tokens allow. So what a part gives is one limit, the same inputs give the
same rows, and a larger mix holds the rows of a smaller one. The mix is as large as asked, or smaller: no part gives more than
it has, `repeat` times, and the shares stay true.

>>> import numpy as np
>>> pile = Pile(hashed([f"row {i}" for i in range(100)]), np.full(100, 10, np.uint32), np.zeros(100, bool))
>>> cut = pile.cut(255)
>>> pile.tokens_of(cut), int(pile.copies(cut).sum())
(250, 25)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]

STRONGEST = 80.0  # log2 of a preference that puts every short row before all others
_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Wish:
    """What one part is to give: its share of the tokens (none: what it has, beside the others), and its limits."""

    share: Fraction | None = None
    repeat: int = 1
    max_tokens: int | None = None


@dataclass(frozen=True)
class Cut:
    """The copies that a part gives: those of short and of other rows whose number is below a limit."""

    short: float
    other: float


@dataclass(frozen=True)
class Choice:
    """What each part gives. `targets` are its tokens as its share says; what it gives is less by less than one row.

    `scarce` are the parts that have no more than their share of `bound` tokens, which is why the mix is no larger; `size` is less
    than `bound` where short rows are so rare that the mix gets smaller still. `favour` is how many times earlier than others
    short rows come.
    """

    shares: tuple[Fraction, ...]
    targets: tuple[int, ...]
    cuts: tuple[Cut, ...]
    size: int
    bound: int
    scarce: tuple[int, ...]
    favour: float


class Pile:
    """The rows of one part, ready to be cut: `hashes`, `tokens` and `short` of each; `repeat` is how often each comes at most.

    Rows without a token never come. Memory is 16 bytes a row more than the arrays given.
    """

    def __init__(self, hashes: Hashes, tokens: NDArray[np.uint32], short: NDArray[np.bool_], repeat: int = 1) -> None:
        self.hashes, self.tokens, self.short, self.repeat = apart(hashes), tokens, short, repeat
        full = tokens > 0
        self.sides = tuple(_Side(self.hashes[side], tokens[side]) for side in (full & short, full & ~short))
        self.total = sum(side.total for side in self.sides)

    def cut(self, tokens: int, favour: float = 1.0) -> Cut:
        """The copies in the order of their numbers, those of short rows divided by `favour`, up to so many tokens."""
        low, high = Cut(0.0, 0.0), self._at(float(self.repeat), favour)
        if self.tokens_of(high) <= tokens:
            return high
        below, above = 0.0, float(self.repeat)
        while below < (middle := (below + above) / 2) < above:
            found = self._at(middle, favour)
            if self.tokens_of(found) <= tokens:
                below, low = middle, found
            else:
                above = middle
        return low

    def _at(self, limit: float, favour: float) -> Cut:
        return Cut(min(limit * favour, float(self.repeat)), limit)

    def tokens_of(self, cut: Cut) -> int:
        """Tokens of the copies below the limits."""
        return self.sides[0].below(cut.short)[1] + self.sides[1].below(cut.other)[1]

    def rows_of(self, cut: Cut) -> tuple[int, int]:
        """Copies of short rows, and all copies."""
        short, other = self.sides[0].below(cut.short)[0], self.sides[1].below(cut.other)[0]
        return short, short + other

    def copies(self, cut: Cut) -> NDArray[np.uint8]:
        """How often each row comes."""
        found = np.empty(len(self.hashes), np.uint8)
        for short, limit in ((True, cut.short), (False, cut.other)):
            side = self.short == short
            found[side] = int(limit) + (unit(self.hashes[side]) < limit - int(limit))
        found[self.tokens == 0] = 0
        return found


class _Side:
    """Numbers of the short or of the other rows in order, and the tokens up to each."""

    def __init__(self, hashes: Hashes, tokens: NDArray[np.uint32]) -> None:
        order = np.argsort(hashes, kind="stable")
        self.units, self.sums = unit(hashes[order]), np.cumsum(tokens[order], dtype=np.int64)
        self.total = int(self.sums[-1]) if len(order) else 0

    def below(self, limit: float) -> tuple[int, int]:
        """(copies, tokens) of the copies whose number is below the limit."""
        whole = int(limit)
        more = int(np.searchsorted(self.units, limit - whole, side="left"))
        return whole * len(self.units) + more, whole * self.total + (int(self.sums[more - 1]) if more else 0)


def choose(
    piles: Sequence[Pile], wishes: Sequence[Wish], tokens: int | None = None, short_share: Fraction = Fraction(0)
) -> Choice:
    """What each part gives to a mix of `tokens` (none: as many as the parts allow), of whose rows `short_share` are short.

    When chance alone would give fewer short rows, they are preferred in all parts alike, by the least factor that is enough;
    where none is enough, the mix gets smaller. A mix without rows is the answer where nothing fits.
    """
    most = [_most(pile.total, wish) for pile, wish in zip(piles, wishes, strict=True)]
    shares = _shares(wishes, most)
    bounds = [Fraction(limit) / share for limit, share in zip(most, shares, strict=True)]
    size = min(bounds) if tokens is None else min(*bounds, Fraction(tokens))
    scarce = tuple(number for number, bound in enumerate(bounds) if bound == size and bound != tokens)
    targets = [int(share * size) for share in shares]
    bound, favour = int(size), _favour(piles, targets, short_share)
    if favour is None:
        size, favour = Fraction(_held(piles, shares, bound, short_share)), 2.0**STRONGEST
        targets = [int(share * size) for share in shares]
    cuts = tuple(pile.cut(target, favour) for pile, target in zip(piles, targets, strict=True))
    return Choice(tuple(shares), tuple(targets), cuts, int(size), bound, scarce, favour)


def _most(total: int, wish: Wish) -> int:
    """The tokens that a part can give."""
    return min(total * wish.repeat, total * wish.repeat if wish.max_tokens is None else wish.max_tokens)


def _shares(wishes: Sequence[Wish], most: Sequence[int]) -> list[Fraction]:
    """The share of each part, 1 in sum: as asked; parts that ask for none divide the rest by what they can give."""
    asked = sum((wish.share for wish in wishes if wish.share is not None), Fraction(0))
    free = sum(limit for wish, limit in zip(wishes, most, strict=True) if wish.share is None)
    scale = 1 if free else asked  # 0.33 + 0.33 + 0.33 is meant to be everything
    return [
        (1 - asked) * Fraction(limit, free) if wish.share is None else wish.share / scale
        for wish, limit in zip(wishes, most, strict=True)
    ]


def _enough(piles: Sequence[Pile], targets: Sequence[int], favour: float, share: Fraction) -> bool:
    """Whether so large a share of the rows is short."""
    found = [pile.rows_of(pile.cut(target, favour)) for pile, target in zip(piles, targets, strict=True)]
    return sum(short for short, _ in found) >= share * sum(rows for _, rows in found)


def _favour(piles: Sequence[Pile], targets: Sequence[int], share: Fraction) -> float | None:
    """The least preference of short rows that makes them so large a share of the rows; None when none does."""
    low, high = 0.0, STRONGEST
    if _enough(piles, targets, 1.0, share):
        return 1.0
    if not _enough(piles, targets, 2.0**high, share):
        return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _enough(piles, targets, 2.0**middle, share) else (middle, high)
    return float(2.0**high)


def _held(piles: Sequence[Pile], shares: Sequence[Fraction], size: int, short_share: Fraction) -> int:
    """The size at which short rows, all of them before any other, just make up their share."""
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        fits = _enough(piles, [int(share * middle) for share in shares], 2.0**STRONGEST, short_share)
        low, high = (middle, high) if fits else (low, middle)
    return low


def hashed(ids: Sequence[str], seed: int = 0) -> Hashes:
    """64 bits for each id: the same in every process."""
    each = (xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"), seed=seed) for name in ids)
    return np.fromiter(each, np.uint64, len(ids))


def apart(hashes: Hashes) -> Hashes:
    """The hashes, those of rows with one id made different by their order."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    if not len(again):
        return hashes
    starts = np.concatenate([[True], np.diff(again) > 1])
    first = np.maximum.accumulate(np.where(starts, again, 0))
    different = hashes.copy()
    different[order[again]] = _mixed(ordered[again] + (again - first + 1).astype(np.uint64) * _GOLDEN)
    return different


def unit(hashes: Hashes) -> Floats:
    """Numbers in [0, 1), with 53 bits of each hash."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def places(hashes: Hashes, copy: int, start: float, end: float) -> Floats:
    """Where copy `copy` (from 0) of each row stands: anywhere from `start` to `end`, by another hash than that of choosing."""
    return start + (end - start) * unit(_mixed(hashes + np.uint64((copy + 1) * 0xD1B54A32D192ED03 % 2**64)))


def _mixed(values: Any) -> Hashes:
    """Every bit of the result depends on every bit of the value. Source: Steele, Lea and Flood (2014), SplitMix."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    found: Hashes = values ^ (values >> np.uint64(31))
    return found
