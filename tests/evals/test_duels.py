"""Verdicts of a referee: nothing but one of three words counts, and only what both orders agree on is a win."""

from __future__ import annotations

from itertools import product

import pytest

from hala.evals.duels import Said, outcome, parse, requests
from hala.records import Completion

ALL: tuple[Said | None, ...] = ("A", "B", "tie", None)


@pytest.mark.parametrize(("text", "said"), [("A", "A"), (" b. ", "B"), ("**Tie**", "tie"), ("Answer A", "A"), ("[[B]]", "B")])
def test_a_verdict_is_one_word(text: str, said: str) -> None:
    """Marks around the word are forgiven."""
    assert parse(text) == said


@pytest.mark.parametrize("text", ["", "A is better", "A or B", "Both", "أ", "AB", "I think A"])
def test_anything_else_is_none(text: str) -> None:
    """A verdict is never guessed out of a sentence, and a failed call says nothing."""
    assert parse(text) is None
    assert parse(Completion("1", "A", "error", error="down")) is None


def test_only_agreement_wins() -> None:
    """Of all sixteen pairs of verdicts one is a win, one a loss, one a tie; the same letter twice is a contradiction."""
    found = {pair: outcome(*pair) for pair in product(ALL, ALL)}
    assert [pair for pair, what in found.items() if what == "win"] == [("B", "A")]
    assert [pair for pair, what in found.items() if what == "loss"] == [("A", "B")]
    assert [pair for pair, what in found.items() if what == "tie"] == [("tie", "tie")]
    assert found["A", "A"] == found["B", "B"] == found["A", "tie"] == "inconsistent"
    assert sum(what == "unparsed" for what in found.values()) == 7


def test_both_orders_are_asked() -> None:
    """The second request shows the same answers swapped, and braces in answers stay what they are."""
    one, two = requests("7", "ما {first}؟", "ar", "القديم {second}", "الجديد")
    assert (one.id, two.id) == ("7/1", "7/2")
    first, second = (each.messages[1].content for each in (one, two))
    assert first.index("القديم {second}") < first.index("الجديد") and second.index("الجديد") < second.index("القديم {second}")
    assert "ما {first}؟" in first and "Arabic" in first
