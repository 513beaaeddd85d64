"""What gates look at is computed right, whatever way is taken to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.features import Pair, Side, natural
from hala.data.gates import GATES
from hala.data.gates_answers import outspoken
from hala.data.gates_content import counted
from hala.data.gates_form import formed
from hala.languages import language

LETTERS = "abcAB .,:;!?()-'\"012٣५éễابتثلمنپकखगमरा।⟦⟧`{}<>\\😀\n"
TEXT = st.text(st.sampled_from(LETTERS), max_size=40)
FORM = ("html", "literal_newline", "placeholders", "lines", "latex", "code", "options", "emoji", "garbage")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Just a sentence, with 2 numbers (and brackets).", True),
        ("See site.org for more.", False),
        ("Use --force here.", False),
        ("Call it() now.", False),
        ("Run `x`.", False),
        ("Two\nlines", False),
        ("Nice 😀", False),
        ("- an item", False),
        ("50% more", False),
    ],
)
def test_plain(text: str, plain: bool) -> None:
    """Plain is running text and nothing else."""
    assert Side(text, language("en")).plain == plain


def test_foreign_letters_are_not_plain() -> None:
    """Letters that Arabic does not use make an Arabic text worth a look."""
    assert Side("كتاب جديد", language("ar")).plain
    assert not Side("کتاب جدید", language("ar")).plain


@settings(max_examples=300, deadline=None)
@given(TEXT, st.sampled_from(["ar", "hi", "vi", "sw", "en", "xx"]))
def test_plain_texts_are_their_own_natural_language(text: str, code: str) -> None:
    """What is known of plain text without a look agrees with a look."""
    side = Side(text, language(code))
    if side.plain:
        assert natural(text) == text
        assert side.length == len(text.strip())
        assert side.spans == () and "⟦" not in text


@settings(max_examples=500, deadline=None)
@given(TEXT, TEXT, st.sampled_from(["ar", "hi", "vi", "sw"]))
def test_gates_that_are_not_asked_have_nothing_to_say(source: str, target: str, code: str) -> None:
    """Law: where a group of gates is skipped, each gate of it would have let the pair pass."""
    pair = Pair(source, target, language(code), language("en"))
    for needed, names in ((formed, FORM), (counted, ("numbers", "units")), (outspoken, ("refusal", "preamble"))):
        if not needed(pair):
            assert [name for name in names if GATES[name](pair)] == []


def test_sources_are_kept_for_their_next_try() -> None:
    """Two tries of a segment share the source's side."""
    one, two = (Pair("A red house.", target, language("ar"), language("en")) for target in ("بيت", "بيت أحمر"))
    assert one.source is two.source and one.target is not two.target
