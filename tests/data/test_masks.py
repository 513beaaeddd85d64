"""Protected spans come through, and whatever an engine does to their sentinels is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.masks import emoji, fill, has_letters, mask, mask_pair, misplaced, plain, unmask
from hala.records import Verdict

PIECES = [
    "`a`", "``b ` c``", "$x^2$", "\\(y\\)", "http://x.org/a(b).", "a@b.org", "{x}", "{{y}}", "%s", "<b>",
    "[NAME]", "⟦1⟧", "⟦", "⟧", "⟦٣⟧", "/usr/bin/env", "a_b", "f()", "word ", "كلمة ", " ", "\n", "$5 ",
    "file.py", "C:\\x\\y", "--flag", "\\frac{a}{b}", "&amp;", "<<1+1=2>>",
]  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))


@settings(max_examples=400, deadline=None)
@given(texts)
def test_unmask_undoes_mask(text: str) -> None:
    """Masking loses nothing, literal sentinel brackets included."""
    masked = mask(text)
    assert unmask(masked.text, masked.spans) == text


@settings(max_examples=100, deadline=None)
@given(texts)
def test_a_text_pairs_with_itself(text: str) -> None:
    """The same text on both sides gives the same masked text on both sides."""
    assert mask_pair(text, text) == (mask(text).text,) * 2


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Run `ls -l` now", ("`ls -l`",)),
        ("See https://example.com/a_(b)?q=1, then", ("https://example.com/a_(b)?q=1",)),
        ("Mail me@site.org.", ("me@site.org",)),
        ("زر https://example.com، ثم", ("https://example.com",)),
        ("Let $x > 0$ and \\(y\\).", ("$x > 0$", "\\(y\\)")),
        ("It costs $5 and 3$ more, or $5-$10", ()),
        ("Hi {name}, {{user}} %s %(n)d ${x} [CITY]", ("{name}", "{{user}}", "%s", "%(n)d", "${x}", "[CITY]")),
        ("100% sure and 50%discount", ()),
        ("a<br/>b <a href='x'>c</a> 1 < 2 and 3 > 2", ("<br/>", "<a href='x'>", "</a>")),
        ("[text](http://a.b/c) and ![alt](img.png)", ("http://a.b/c", "img.png")),
        ("open /etc/hosts or C:\\Users\\me and/or main.py", ("/etc/hosts", "C:\\Users\\me", "main.py")),
        ("call my_func() with --dry-run", ("my_func()", "--dry-run")),
        ("a ⟦7⟧ b ⟧", ("⟦7⟧", "⟧")),
        ("so <<48/2=24>>24 clips", ("<<48/2=24>>",)),
        ("fill ____ in", ("____",)),
        ("Plain words, e.g. these. Mr. Bean said 3.5 and U.S.A.", ()),
    ],
)
def test_spans(text: str, spans: tuple[str, ...]) -> None:
    """What must not be translated is a span, and ordinary prose, prices and abbreviations are none."""
    assert mask(text).spans == spans


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("⟦1⟧", "⟦2⟧ missing"),
        ("⟦1⟧ ⟦2⟧ ⟦2⟧", "⟦2⟧ 2 times"),
        ("⟦1⟧ ⟦2⟧ ⟦3⟧", "⟦3⟧ invented"),
        ("⟦1⟧ ⟦2⟧ ⟦", "damaged"),
        ("⟦1 ⟦2⟧", "⟦1⟧ missing"),
    ],
)
def test_broken_sentinels_are_rejected(answer: str, detail: str) -> None:
    """A missing, doubled, invented or damaged sentinel is a verdict and never a text."""
    verdict = unmask(answer, ("a", "b"))
    assert isinstance(verdict, Verdict) and verdict.reason == "placeholders" and detail in verdict.detail


def test_order_and_native_digits_are_free() -> None:
    """A translation may move sentinels and write their numbers in its own digits."""
    assert unmask("⟦٢⟧ ثم ⟦ 1⟧", ("a", "b")) == "b ثم a"


def test_pairs_share_numbers() -> None:
    """The target of a training pair carries the numbers of its source; differing spans make no pair."""
    assert mask_pair("`a` then `b`", "`b` بعد `a`") == ("⟦1⟧ then ⟦2⟧", "⟦2⟧ بعد ⟦1⟧")
    assert mask_pair("run `a`", "شغّل `b`") is None


def test_letters_outside_spans() -> None:
    """Only letters outside protected spans need a translator."""
    assert has_letters("see `x`") and not has_letters("`x` 42 $y$ ⟦1⟧") and plain("see ⟦1⟧ `x`").split() == ["see"]


def test_emoji_are_counted_not_masked() -> None:
    """An emoji stays in the text for the translator to place; joined, toned and flagged ones count as one each."""
    assert mask("Well done 😀!").spans == ()
    assert emoji("😀 👍🏽 👩‍👩‍👧 🇪🇬 ❤️ 1️⃣ 😀 → • © 5") == {"😀": 2, "👍🏽": 1, "👩‍👩‍👧": 1, "🇪🇬": 1, "❤": 1, "1⃣": 1}


@pytest.mark.parametrize(
    ("source", "answer", "wrong"),
    [
        ("See <b>this</b> now.", "انظر ⟦1⟧هذا⟦2⟧ الآن.", False),
        ("See <b>this</b> now.", "انظر ⟦2⟧هذا⟦1⟧ الآن.", True),
        ("<i>a</i> and <b>b</b>", "⟦3⟧ب⟦4⟧ و⟦1⟧أ⟦2⟧", False),
        ("<i>a</i> and <b>b</b>", "⟦1⟧أ⟦3⟧ و⟦2⟧ب⟦4⟧", True),
        ("One<br>two <b>three</b>", "واحد⟦1⟧اثنان ⟦2⟧ثلاثة⟦3⟧", False),
        ("A </b> alone <i>x</i>", "⟦1⟧ وحده ⟦3⟧س⟦2⟧", False),
        ("Read [the guide](https://a.org/x) first.", "اقرأ [الدليل](⟦1⟧) أولا.", False),
        ("Read [the guide](https://a.org/x) first.", "اقرأ الدليل ⟦1⟧ أولا.", True),
        ("Read [the guide](https://a.org/x) first.", "اقرأ الدليل](⟦1⟧) أولا.", True),
    ],
)
def test_tags_nest_and_links_stay_links(source: str, answer: str, wrong: bool) -> None:
    """Spans that are all there may still stand where they mean nothing: a closing tag first, an address beside its text."""
    masked = mask(source)
    assert not isinstance(unmask(answer, masked.spans), Verdict)
    assert bool(misplaced(answer, masked)) == wrong
    assert misplaced(masked.text, masked) == ""


def test_what_is_filled_in_is_what_is_there() -> None:
    """Protects measuring: known sentinels become their spans, twice too, and the rest stays as the model wrote it."""
    assert fill("a ⟦1⟧ ⟦1⟧ ⟦3⟧ ⟦2⟧ b", ("`x`", "`y`")) == "a `x` `x` ⟦3⟧ `y` b"
    assert fill("nothing", ("`x`",)) == "nothing"
