"""What a mix takes from its parts: shares, caps and repeats hold to the token, and a larger mix holds the smaller one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.mixing import Pile, Wish, apart, choose, hashed, places, unit

TOKENS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=30).filter(
    lambda rows: any(t for t, _ in rows)
)


def pile(rows: list[tuple[int, bool]], repeat: int = 1, name: str = "row") -> Pile:
    """A part of rows of (tokens, short)."""
    hashes = hashed([f"{name} {number}" for number in range(len(rows))])
    return Pile(hashes, np.array([t for t, _ in rows], np.uint32), np.array([s for _, s in rows]), repeat)


@st.composite
def mixes(draw: Any) -> tuple[list[Pile], list[Wish]]:
    """Parts with and without shares and caps; the shares can all be true."""
    parts = draw(st.lists(st.tuples(TOKENS, st.integers(1, 3), st.none() | st.integers(30, 400)), min_size=1, max_size=4))
    weights = draw(st.lists(st.integers(1, 9), min_size=len(parts), max_size=len(parts)))
    shared = draw(st.integers(0, len(parts)))
    total = sum(weights[:shared]) + (0 if shared == len(parts) else 1)
    shares = [Fraction(weight, total) if number < shared else None for number, weight in enumerate(weights)]
    piles = [pile(rows, repeat, f"part {number}") for number, (rows, repeat, _) in enumerate(parts)]
    return piles, [Wish(share, repeat, cap) for share, (_, repeat, cap) in zip(shares, parts, strict=True)]


@settings(deadline=None)
@given(TOKENS, st.integers(1, 3), st.integers(0, 3000), st.floats(1, 1e6))
def test_a_cut_is_the_longest_beginning_that_fits(rows: list[tuple[int, bool]], repeat: int, limit: int, favour: float) -> None:
    """Compared with all copies written out, sorted and added up one by one."""
    heap = pile(rows, repeat)
    units = unit(heap.hashes)
    copies = [
        ((units[i] + k) / (favour if short else 1.0), tokens, i)
        for i, (tokens, short) in enumerate(rows)
        for k in range(repeat)
        if tokens
    ]
    expected, spent = np.zeros(len(rows), int), 0
    for _, tokens, index in sorted(copies):
        if spent + tokens > limit:
            break
        spent += tokens
        expected[index] += 1
    cut = heap.cut(limit, favour)
    assert heap.copies(cut).tolist() == expected.tolist() and heap.tokens_of(cut) == spent
    assert heap.rows_of(cut) == (int(expected[heap.short].sum()), int(expected.sum()))


@settings(deadline=None)
@given(mixes(), st.none() | st.integers(1, 2000))
def test_shares_hold_and_nobody_gives_more_than_it_has(mix: tuple[list[Pile], list[Wish]], tokens: int | None) -> None:
    """Every part gives its share of the size to within one row, under its cap and repeats; the size is as large as it can be."""
    piles, wishes = mix
    choice = choose(piles, wishes, tokens)
    assert sum(choice.shares) == 1
    for heap, wish, share, target, cut in zip(piles, wishes, choice.shares, choice.targets, choice.cuts, strict=True):
        most = heap.total * wish.repeat if wish.max_tokens is None else min(heap.total * wish.repeat, wish.max_tokens)
        copies, got = heap.copies(cut), heap.tokens_of(cut)
        assert wish.share is None or share == wish.share
        assert got == int((copies * heap.tokens.astype(int)).sum()) <= target <= most and copies.max() <= wish.repeat
        assert target - got < heap.tokens.max() and abs(target - share * choice.size) <= 1
    at_limit = [int(share * choice.size) + 1 >= min(h.total * w.repeat, w.max_tokens or 10**9)
                for share, h, w in zip(choice.shares, piles, wishes, strict=True)]  # fmt: skip
    assert choice.size == tokens or (any(at_limit) and choice.scarce)


@settings(deadline=None)
@given(mixes(), st.integers(1, 1000), st.integers(0, 1000))
def test_a_larger_mix_holds_the_smaller_one(mix: tuple[list[Pile], list[Wish]], tokens: int, more: int) -> None:
    """No copy that was in is out when the mix may be larger, or when no size is asked."""
    piles, wishes = mix
    small, large, largest = (choose(piles, wishes, size) for size in (tokens, tokens + more, None))
    for heap, *cuts in zip(piles, small.cuts, large.cuts, largest.cuts, strict=True):
        one, two, three = (heap.copies(cut) for cut in cuts)
        assert (one <= two).all() and (two <= three).all()


@settings(deadline=None)
@given(TOKENS, st.integers(1, 500), st.integers(0, 500))
def test_a_higher_cap_never_gives_less(rows: list[tuple[int, bool]], cap: int, more: int) -> None:
    """Caps only cut off: a part with a higher one gives the same copies, and perhaps further ones."""
    heap = pile(rows, 2)
    low, high = (choose([heap], [Wish(None, 2, limit)]).cuts[0] for limit in (cap, cap + more))
    assert heap.tokens_of(low) <= cap and (heap.copies(low) <= heap.copies(high)).all()


@settings(deadline=None)
@given(mixes(), st.none() | st.integers(1, 2000), st.integers(1, 99))
def test_short_rows_are_at_least_their_share(mix: tuple[list[Pile], list[Wish]], tokens: int | None, percent: int) -> None:
    """So many of the rows are short, by preference or by a smaller mix; where chance is enough, nothing changes."""
    piles, wishes = mix
    share = Fraction(percent, 100)
    plain, choice = choose(piles, wishes, tokens), choose(piles, wishes, tokens, share)
    found = [heap.rows_of(cut) for heap, cut in zip(piles, choice.cuts, strict=True)]
    short, rows = sum(s for s, _ in found), sum(r for _, r in found)
    assert short >= share * rows
    before = [heap.rows_of(cut) for heap, cut in zip(piles, plain.cuts, strict=True)]
    if sum(s for s, _ in before) >= share * sum(r for _, r in before):
        assert choice == plain
    else:
        assert choice.favour > 1 and choice.bound == plain.size >= choice.size


def test_short_rows_cost_no_more_than_needed() -> None:
    """Of 20,000 rows of which 5% are short, a mix of 2M tokens has 15% short rows, not many more, and keeps its size."""
    rng = np.random.default_rng(1)
    rows = [(int(t), False) for t in rng.integers(100, 900, 19_000)] + [(20, True)] * 1000
    heap = pile(rows)
    choice = choose([heap], [Wish()], 2_000_000, Fraction(3, 20))
    short, number = heap.rows_of(choice.cuts[0])
    assert 0.15 <= short / number < 0.1505 and choice.size == 2_000_000
    assert choice.targets[0] - heap.tokens_of(choice.cuts[0]) < 900
    assert 3 < choice.favour < 4


def test_parts_without_a_share_divide_the_rest() -> None:
    """By what they can give: a part that may come twice counts twice, a capped one as its cap."""
    heaps = [pile([(10, False)] * 100, name="a"), pile([(10, False)] * 50, 2, name="b"), pile([(10, False)] * 100, name="c")]
    choice = choose(heaps, [Wish(Fraction(1, 2)), Wish(None, 2), Wish(None, 1, 500)])
    assert choice.shares == (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6))
    assert choice.size == 2000 and choice.targets == (1000, 666, 333) and choice.scarce == (0,)


def test_shares_that_are_nearly_everything_are_everything() -> None:
    """0.33 three times leaves nothing out."""
    heaps = [pile([(10, False)] * 30, name=name) for name in "abc"]
    assert choose(heaps, [Wish(Fraction(33, 100))] * 3).targets == (300, 300, 300)


def test_rows_of_one_id_are_told_apart_by_their_order() -> None:
    """A row that is there three times has three different numbers, the first of them that of a row that is there once."""
    once, thrice = hashed(["a", "b"]), hashed(["a", "b", "a", "a", "b"])
    different = apart(thrice)
    assert len(set(different.tolist())) == 5 and different[:2].tolist() == once.tolist()
    assert apart(once) is once and different.tolist() == apart(hashed(["a", "b", "a", "a", "b"])).tolist()


def test_numbers_are_the_same_for_ever() -> None:
    """Hashes and places never change between versions and machines: a mix made again is the same mix."""
    hashes = hashed(["r/0", "ص/١"], seed=7)
    assert hashes.tolist() == [5097886782424512543, 16708325852851562543]
    assert [f"{p:.12f}" for k in (0, 1) for p in places(hashes, k, 0.2, 0.6)] == [
        "0.482543507308",
        "0.560209171893",
        "0.452311323409",
        "0.552543470848",
    ]


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.4, 0.5)])
def test_places_are_even_and_know_nothing_of_the_choice(start: float, end: float) -> None:
    """Copies stand anywhere in their span, evenly, and no earlier for being chosen earlier or for being another copy."""
    hashes = hashed([str(number) for number in range(20_000)])
    first, second = places(hashes, 0, start, end), places(hashes, 1, start, end)
    for found in (first, second):
        assert start <= found.min() and found.max() < end
        counts, _ = np.histogram(found, 10, (start, end))
        assert abs(counts - 2000).max() < 200
    assert abs(np.corrcoef([unit(hashes), first, second])[np.triu_indices(3, 1)]).max() < 0.03
