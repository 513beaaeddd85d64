"""Near duplicates: estimates that agree with exact sets, decisions that depend on the order of the rows alone."""

from __future__ import annotations

import hashlib
import random
import tracemalloc

import numpy as np
import pytest

from hala.data import near
from hala.data.near import HASHES, RUN, Hasher, Near
from hala.records import Message, Row

RNG = random.Random(0)
WORDS = ["".join(RNG.choices("abcdefghijklmnopqrstuvwxyz", k=RNG.randint(3, 9))) for _ in range(5000)]


def text(seed: int, count: int = 60) -> list[str]:
    """Words by chance."""
    return random.Random(seed).choices(WORDS, k=count)


def row(name: str, target: list[str], source: list[str] | None = None) -> Row:
    """A sentence pair, or a running text."""
    original = None if source is None else (Message("text", " ".join(source)),)
    return Row(name, (Message("text", " ".join(target)),), original=original)


def changed(words: list[str], places: int, seed: int = 0) -> list[str]:
    """The words with some replaced."""
    rng, result = random.Random(seed), list(words)
    for place in rng.sample(range(len(words)), places):
        result[place] = f"other{seed}"
    return result


def rejected_of(rows: list[Row], threshold: float = 0.8) -> dict[str, str]:
    """Details of the rejected rows by id."""
    found = Near(rows, threshold)
    return {each.id: verdict.detail for each in rows if not (verdict := found.check(each)).kept}


def jaccard(a: list[str], b: list[str]) -> float:
    """What the signatures estimate, counted."""
    one, other = ({tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)} for words in (a, b))
    return len(one & other) / len(one | other)


def test_estimates_agree_with_the_sets() -> None:
    """The share of equal hashes is the share of common runs of words: no bias, and the spread of 128 hashes."""
    errors = []
    for seed in range(200):
        a = text(seed, 80)
        b = changed(a, seed % 20, seed)
        one, other = Hasher().signatures([" ".join(a), " ".join(b)])[0]
        errors.append(float(np.mean(one == other)) - jaccard(a, b))
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 1.2 * 0.5 / HASHES**0.5


def test_signatures_are_pinned() -> None:
    """Another version of rensa, or of our hashing, would silently decide otherwise about the same rows."""
    made = Hasher().signatures([" ".join(f"word{i}" for i in range(30)), " ".join(f"كلمة{i}" for i in range(30))])
    assert hashlib.sha256(made[0].astype("<u2").tobytes()).hexdigest()[:16] == "4597990a7b331996"
    assert made[1].hex()[:16] == "9897f9d76d92b99e"


def test_near_ones_are_found_and_others_are_not() -> None:
    """Of texts with one word in sixty changed nearly all are found; unlike ones never."""
    rows = [row(f"a{seed}", text(seed)) for seed in range(300)] + [row(f"b{seed}", changed(text(seed), 1)) for seed in range(300)]
    found = rejected_of(rows)
    assert len(found) > 290
    assert all(name[0] == "b" and detail.split()[-1] == f"a{name[1:]}" for name, detail in found.items())


def test_both_sides_count() -> None:
    """The same instruction translated in another way, and two instructions with one translation, are duplicates each."""
    rows = [row("first", text(1), text(2)), row("same source", text(3), changed(text(2), 1))]
    rows += [row("same target", text(1), text(4))]
    found = rejected_of(rows)
    assert {name: detail.split()[0] for name, detail in found.items()} == {"same source": "source", "same target": "target"}


def test_sides_are_never_compared_with_each_other() -> None:
    """An original that reads like the translation of another row is no duplicate of it, however the clusters are numbered."""
    rows = [row("x", text(1)), row("y", text(2)), row("a", text(3)), row("b", changed(text(3), 1))]
    rows += [row("c", text(4), changed(text(3), 1, 1)), row("d", text(5), changed(text(3), 1, 2))]
    assert {name: detail.split()[-1] for name, detail in rejected_of(rows).items()} == {"b": "a", "d": "c"}


def test_short_texts_are_left_alone() -> None:
    """In a short question one other number is another question."""
    rows = [row(str(i), f"How much is {i} plus 2 when you count in tens".split()) for i in range(9)]
    assert rejected_of(rows, 0.1) == {}


def test_only_kept_rows_count() -> None:
    """What is like a rejected row alone stays: a chain of small changes is not one cluster."""
    first = text(5, 200)
    second = changed(first, 5, 1)
    third = changed(second, 5, 2)
    rows = [row("first", first), row("second", second), row("third", third)]
    assert jaccard(first, third) < 0.76 < 0.8 < min(jaccard(first, second), jaccard(second, third))
    assert rejected_of(rows).keys() == {"second"}


@pytest.mark.parametrize(("batch", "block"), [(1, 3), (7, 5), (1000, 16), (10, 60)])
def test_batches_do_not_matter(batch: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many texts are hashed at a time, and how many signatures are held together, changes no decision."""
    rows = [row(str(i), changed(text(i % 20), i % 3, i)) for i in range(60)]
    expected = rejected_of(rows)
    monkeypatch.setattr(near, "BATCH", batch)
    monkeypatch.setattr(near, "BLOCK", block)
    assert rejected_of(rows) == expected and expected


def test_order_in_which_kept_rows_are_heard_does_not_matter() -> None:
    """A continued step hears of rows that a judge rejected after those that it kept, and says the same of the next."""
    base = text(9, 200)
    rows = [row("b", changed(base, 8, 1)), row("a", changed(base, 8, 2)), row("c", base)]
    assert jaccard(rows[0].text.split(), rows[1].text.split()) < 0.8
    told = []
    for order in ((0, 1), (1, 0)):
        found = Near(rows, 0.8)
        assert all(found.check(rows[place]).kept for place in order)
        told.append(found.check(rows[2]).detail)
    assert told[0] == told[1] != ""


def test_no_rows_at_all() -> None:
    """Nothing is like nothing."""
    assert rejected_of([]) == {} == rejected_of([row("a", ["x"])])


def test_a_large_cluster_decides_as_one_by_one() -> None:
    """Many rows from one template, with exact copies among them: every decision is that of comparing with each kept row."""
    base = text(11, 150)
    rows = [row(str(i), changed(base, i % 7, i % 90)) for i in range(300)]
    found = Near(rows, 0.85)
    signatures = {each.id: Hasher().signatures([each.text])[0][0] for each in rows}
    kept: list[str] = []
    for each in rows:
        alike = [(-float(np.mean(signatures[other] == signatures[each.id])), other) for other in kept]
        likest = min(alike, default=(0.0, ""))
        detail = f"target {-likest[0]:.2f} like {likest[1]}" if -likest[0] >= 0.85 else ""
        assert found.check(each).detail == detail
        if not detail:
            kept.append(each.id)
    assert 20 < len(kept) < 90


def test_a_clustered_text_takes_little_memory() -> None:
    """What is held for a text that is like another is its signature and some bytes, in arrays."""
    base = text(12, 150)
    rows = [row(str(i), changed(base, 1, i)) for i in range(3000)]
    Near(rows[:20], 0.8)  # imports
    tracemalloc.start()
    found = Near(rows, 0.8)
    held = tracemalloc.get_traced_memory()[0] / len(rows)
    tracemalloc.stop()
    assert not found.check(rows[0]).detail and found.check(rows[1]).detail
    assert held < 2 * HASHES + 150
