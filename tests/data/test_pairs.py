"""Training pairs: in the very form in which translate asks, and every pair that is left out has its reason."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.masks import mask
from hala.data.pairs import in_share, training_pairs, turned
from hala.data.segments import split
from hala.records import Message, Row

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def pair(source: str, target: str, **fields: str) -> Row:
    """A sentence pair."""
    return Row("p", (Message("text", target),), "ar", original=(Message("text", source),), **fields)


def sides(row: Row, masked: bool = True) -> list[tuple[str, str, str]]:
    """(source, target, reason) of every pair of a row."""
    return [
        ((made.original or made.messages)[0].content, made.messages[0].content, verdict.reason)
        for made, verdict in training_pairs(row, masked)
    ]


@given(st.lists(st.text(min_size=1, max_size=8), max_size=40, unique=True), st.floats(0, 1))
def test_shares_that_add_up_take_each_pair_one_way(names: list[str], share: float) -> None:
    """Protects the weights of directions: forward and 1 - forward use each pair once, and 1 and 1 both ways."""
    assert all(sum(in_share(name, share, 1 - share)) == 1 for name in names)
    assert all(in_share(name, 1.0, 1.0) == (True, True) and in_share(name, 1.0, 0.0) == (True, False) for name in names)


def test_a_share_is_that_part_of_the_pairs() -> None:
    """Protects against a share that means nothing: a quarter of many pairs is about a quarter, chosen by their ids alone."""
    chosen = [n for n in range(4000) if in_share(f"r{n}", 0.25, 0.0)[0]]
    assert 900 < len(chosen) < 1100 and chosen == [n for n in range(4000) if in_share(f"r{n}", 0.25, 0.5)[0]]


def test_a_turned_pair_is_what_translate_asks_the_other_way() -> None:
    """Protects the order of sentinels: they are numbered along the side that is read, whichever that is."""
    row = pair("Run `a` in `b`.", "في `b` نفّذ `a`.")
    assert sides(row) == [("Run ⟦1⟧ in ⟦2⟧.", "في ⟦2⟧ نفّذ ⟦1⟧.", "")]
    back = turned(row, "en")
    assert sides(back) == [("في ⟦1⟧ نفّذ ⟦2⟧.", "Run ⟦2⟧ in ⟦1⟧.", "")] and (back.lang, back.id) == ("en", "p/back")
    assert mask("في `b` نفّذ `a`.").text == "في ⟦1⟧ نفّذ ⟦2⟧."


def test_spans_become_sentinels_on_both_sides() -> None:
    """The translator learns to copy ⟦1⟧, not to spell code."""
    assert sides(pair("Run `ls`.", "نفّذ `ls`.")) == [("Run ⟦1⟧.", "نفّذ ⟦1⟧.", "")]
    assert sides(pair("Run `ls`.", "نفّذ `ls`."), masked=False) == [("Run `ls`.", "نفّذ `ls`.", "")]


def test_sides_with_other_spans_are_left_out_with_the_reason() -> None:
    """A translation that lost its link would teach to lose links."""
    assert [reason for *_, reason in sides(pair("See https://a.org now.", "انظر الآن."))] == ["spans_differ"]


def test_paragraphs_are_paired_one_by_one_where_they_match() -> None:
    """Two paragraphs on both sides are two pairs with ids of their own; different numbers stay one pair."""
    made = list(training_pairs(pair("One.\n\nTwo.", "واحد.\n\nاثنان.")))
    assert [each.id for each, _ in made] == ["p/0/0", "p/0/1"]
    assert len(sides(pair("One.\n\nTwo.", "واحد واثنان."))) == 1


def test_empty_side_and_missing_original() -> None:
    """What is no pair is counted as that."""
    assert [reason for *_, reason in sides(pair("Hello.", "  "))] == ["empty"]
    assert [reason for *_, reason in sides(Row("a", (Message("text", "x"),)))] == ["not_a_pair"]
    unequal = Row("a", (Message("text", "x"),), original=(Message("text", "x"), Message("text", "y")))
    assert [reason for *_, reason in sides(unequal)] == ["not_a_pair"]


def test_conversations_give_a_pair_for_every_turn() -> None:
    """Licence, language and source go with each pair."""
    row = Row(
        "c",
        (Message("user", "س؟"), Message("assistant", "ج.")),
        "ar",
        "s",
        "MIT",
        (Message("user", "Q?"), Message("assistant", "A.")),
    )
    made = [each for each, verdict in training_pairs(row) if verdict.kept]
    assert [each.id for each in made] == ["c/0/0", "c/1/0"]
    assert all((each.licence, each.lang, each.source) == ("MIT", "ar", "s") for each in made)


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_source_side_is_what_translate_sends(text: str) -> None:
    """Every kept pair's source is a segment as the engine would see it, so training and use never differ."""
    asked = {mask(segment).text for segment in split(text, 1200).segments} | {mask(text).text}
    for made, verdict in training_pairs(pair(text, text)):
        if verdict.kept:
            assert made.original is not None and made.original[0].content in asked


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT)
def test_any_two_texts_give_verdicts(source: str, target: str) -> None:
    """Whatever stands on the two sides, there is at least one verdict, and rejected ones have a reason."""
    made = list(training_pairs(pair(source, target)))
    assert made and all(verdict.kept != bool(verdict.reason) for _, verdict in made)
