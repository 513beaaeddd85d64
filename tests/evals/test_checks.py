"""Checks of instructions: each kind passes an answer that follows it and fails one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.evals.checks import KINDS, folded, items, met, read_value, sentences, words
from hala.languages import language

AR, EN = language("ar"), language("en")
THREE = "البحر واسع. أمواجه عالية! فهل نسبح؟"
LIST = "- تمر\n- عنب\n- تين"

CASES: list[tuple[str, Any, str, str]] = [
    ("words", [1, 1], "طوكيو.", "عاصمة اليابان طوكيو."),
    ("words", [2, 4], "في رأيي نعم", "نعم"),
    ("sentences", [3, 3], THREE, "البحر واسع. أمواجه عالية!"),
    ("sentences", [1, 2], "جاء د. أحمد إلى المكتب.", THREE),
    ("lines", [3, 3], LIST, LIST + "\n\nهذه هي القائمة."),
    ("items", [3, 3], LIST, "تمر وعنب وتين"),
    ("items", [2, 2], "١. الماء\n٢. الهواء", "١. الماء\n٢. الهواء\n٣. النار"),
    ("contains", "كلوروفيل", "فيه مادة الكُلوروفيل الخضراء.", "فيه مادة خضراء."),
    ("contains", ["السبت", "مجانا"], "ندعوكم يوم السبت، والدخول مجانًا.", "ندعوكم يوم السبت."),
    ("contains", "366", "عددها ٣٦٦ يومًا.", "عددها ٣٦٥ يومًا."),
    ("lacks", "أزرق", "البحر واسع.", "البحر ازرق."),
    ("starts", "في رأيي", "«في رأيي» أن البيت أفضل.", "المكتب أفضل في رأيي."),
    ("starts", "لا", "**لا**، ليس من الأسماك.", "لأن الحوت ليس سمكة."),
    ("ends", "مع خالص التحية", "أرجو حل المشكلة.\n\nمع خالص التحية،\n", "مع خالص التحية،\nأحمد"),
    ("ends", "حية", "هي حية.", "مع التحية."),
    ("json", ["name", "age"], '{"name": "ليلى", "age": 20}', '{"name": "ليلى"}'),
    ("json", True, '```json\n["أحمر", "أخضر"]\n```', 'إليك القائمة: ["أحمر", "أخضر"]'),
    ("json", True, '{"a": [1, 2]}', '{"a": [1, 2'),
    ("no_letters", "Latin", "الحمض النووي 100%", "الحمض النووي DNA"),
    ("language", "sw", "Maktaba ilifunga milango yake saa moja iliyopita.", "The library closed its doors an hour ago."),
    ("language", "ar", "أغلقت المكتبة أبوابها قبل ساعة.", "کتابخانه یک ساعت پیش درهای خود را بست."),
    ("language", "en", "The door is open.", "مفتوح."),
    ("language", "en", "The library closed an hour ago.", "أغلقت المكتبة (library) أبوابها."),
]


@pytest.mark.parametrize(("kind", "value", "good", "bad"), CASES)
def test_a_check_passes_and_fails(kind: str, value: object, good: str, bad: str) -> None:
    """What follows the instruction is met, what does not is not."""
    wanted = read_value(kind, value)
    assert met(kind, wanted, good, AR) and not met(kind, wanted, bad, AR)


def test_every_kind_has_a_case() -> None:
    """No kind is without an answer that passes and one that fails."""
    assert {case[0] for case in CASES} == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ["", " \n\t "])
def test_an_empty_answer_meets_nothing(kind: str, answer: str) -> None:
    """Silence follows no instruction, not even one to leave a word out."""
    value = {"bounds": [0, 9], "words": "x", "phrase": "x", "keys": True, "script": "Latin", "language": "en"}[KINDS[kind].value]
    assert not met(kind, read_value(kind, value), answer, AR)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("words", [3, 1], "two whole numbers"),
        ("words", 5, "two whole numbers"),
        ("lines", [True, 2], "two whole numbers"),
        ("contains", [], "a word"),
        ("contains", [""], "a word"),
        ("ends", "...", "a text"),
        ("ends", ["x"], "a text"),
        ("json", False, "true, or the keys"),
        ("no_letters", "Klingon", "name of a script"),
        ("language", "tlh", "whose script is known"),
    ],
)
def test_a_wrong_value_says_what_is_wanted(kind: str, value: object, said: str) -> None:
    """A value that would make a check pass or fail for ever is refused with the form it should have."""
    with pytest.raises(ValueError, match=said):
        read_value(kind, value)


def test_sentences_end_where_the_language_says() -> None:
    """Marks of the language, ends of lines; not an initial, a decimal, the number of a list, or a mark without a space."""
    assert sentences("قرأ أ. محمود 3.5 كتاب من site.com اليوم.", AR) == 1
    assert sentences("1. الأول\n2. الثاني\n", AR) == 2
    assert sentences("Wait... what?! Yes (really).", EN) == 3
    assert sentences("एक। दो। तीन।", language("hi")) == 3
    assert sentences("!!! 123.", AR) == 0


def test_items_are_no_emphasis_and_no_numbers_in_a_text() -> None:
    """A bold line, a rule or a decimal at the start of a line is no item of a list."""
    assert items("**عنوان**\n---\n3.5 كيلومتر\n-5 درجات\n- - -") == 0
    assert items("* واحد\n• اثنان\n3) ثلاثة\n-أربعة\n(5) خمسة\n- **ستة**: نص\n7-سبعة") == 7


@given(st.text())
def test_any_answer_can_be_checked(answer: str) -> None:
    """No answer of a model breaks a check, and folding once is folding for good."""
    for kind, value, _, _ in CASES:
        assert met(kind, read_value(kind, value), answer, AR) in (True, False)
    assert folded(folded(answer, AR), AR) == folded(answer, AR)
    assert len(words(answer)) <= len(answer)
