"""What must be carried over is, and what must not come in does not, in all four languages."""

from __future__ import annotations

import pytest

from hala.data.gates import check
from hala.languages import language


def reason(source: str, target: str, code: str = "ar") -> str:
    return check(source, target, "stop", language(code)).reason


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("Run `ls -l` in {folder} now.", "شغّل الآن `ls -l` في {folder}.", "ar"),
        ("Write to help@site.org or see www.site.org.", "www.site.org देखें या help@site.org पर लिखें।", "hi"),
        ("Good morning! 😀🎉", "Chào buổi sáng! 🎉😀", "vi"),
        ("Which one is it?\nA) A cat\nB) A dog", "Ni ipi?\nA) Paka\nB) Mbwa", "sw"),
        ("The answer is B.", "الإجابة هي B.", "ar"),
        ("Plan B is to wait for him.", "الخطة ب هي أن ننتظره.", "ar"),
        ('{"title": "A house", "rooms": 3}', '{"title": "بيت", "rooms": 3}', "ar"),
        ("He said ... nothing at all.", "قال ... لا شيء على الإطلاق.", "ar"),
        ("Let \\foo{x} be here.", "Hãy để \\foo{x} ở đây.", "vi"),
        ("- one dog\n- two cats", "- एक कुत्ता\n- दो बिल्लियाँ", "hi"),
        ("Wait — really?!", "انتظر — حقا؟!", "ar"),
        ("This is **very** important, see [here](⟦1⟧).", "هذا **جدا** مهم، انظر [هنا](⟦1⟧).", "ar"),
        ("# One\n\n> Two, he said.", "# एक\n\n> उसने कहा, दो।", "hi"),
        ("It is x > 3 and #1.", "Ni x > 3 na #1.", "sw"),
    ],
)
def test_form_that_is_kept_passes(source: str, target: str, code: str) -> None:
    """Spans, emoji, option letters, JSON, ellipses and lists may move, but stay."""
    assert reason(source, target, code) == ""


@pytest.mark.parametrize(
    ("source", "target", "code", "expected"),
    [
        ("Run `ls -l` now.", "अभी `सूची` चलाएँ।", "hi", "placeholders"),
        ("Hello {name}, welcome!", "Xin chào {tên}, chào mừng!", "vi", "placeholders"),
        ("Hello {name}, welcome!", "Karibu, habari yako!", "sw", "placeholders"),
        ("Open ⟦1⟧ now.", "افتح ⟦1 الآن.", "ar", "placeholders"),
        ("Open ⟦1⟧ now.", "افتح ⟦1⟧ `الآن`.", "ar", "placeholders"),
        ("Good morning! 😀", "صباح الخير!", "ar", "emoji"),
        ("Good morning!", "Habari za asubuhi! 🎉", "sw", "emoji"),
        ("Good morning! 👍", "Chào buổi sáng! 👎", "vi", "emoji"),
        ("Which one?\nA) A cat\nB) A dog", "أيهما؟\nأ) قط\nب) كلب", "ar", "options"),
        ("Which one?\nA) A cat\nB) A dog", "कौन सा?\nB) बिल्ली\nA) कुत्ता", "hi", "options"),
        ("The answer is (B).", "Đáp án là (C).", "vi", "options"),
        ("Read the notes first.", "Soma \ufffd\ufffd maelezo kwanza.", "sw", "garbage"),
        ("Read the book first.", "اقرأ الكتاب أولا. . . . . . . . . .", "ar", "garbage"),
        ("Read the book first.", "पहले किताब पढ़ें□□□□□□□□□□", "hi", "garbage"),
        ("Read the book first.", "Đọc sách trước !?!?!?!?!?!?", "vi", "garbage"),
        ("Read the book first.", "اقرأ الكتاب أولا</div>", "ar", "html"),
        ("Read the book first.", "Soma kitabu kwanza [/INST]", "sw", "html"),
        ("Read the book first.", "पहले किताब पढ़ें\\n", "hi", "literal_newline"),
        ("So {this holds} now.", "Vậy {điều này đúng bây giờ.", "vi", "latex"),
        ("- one dog\n- two cats", "- mbwa mmoja na paka wawili", "sw", "lines"),
        ("This is **very** important.", "هذا مهم جدا.", "ar", "markup"),
        ("This is very important.", "यह **बहुत** महत्वपूर्ण है।", "hi", "markup"),
        ("A great title of a page", "# Tiêu đề lớn của một trang", "vi", "markup"),
        ("> He said so himself.", "Alisema hivyo mwenyewe.", "sw", "markup"),
        ("Read [the guide](⟦1⟧) first.", "اقرأ الدليل ⟦1⟧ أولا.", "ar", "markup"),
        ("One line of text", "एक पंक्ति\nदूसरी पंक्ति", "hi", "lines"),
        ("Then:\n~~~\ncode\n~~~\nThe end.", "ثم:\n~~~\ncode\n~~~\n~~~\nالنهاية.", "ar", "lines"),
    ],
)
def test_form_that_is_broken_is_named(source: str, target: str, code: str, expected: str) -> None:
    """Each way to break the form is found by the gate that names it."""
    assert reason(source, target, code) == expected


@pytest.mark.parametrize(
    "target",
    [
        '{"العنوان": "بيت", "rooms": 3}',
        '{"title": "بيت"}',
        '{"title": "بيت", "rooms": 3',
        '{"title": "بيت", "rooms": "ثلاثة"}',
        "بيت من ثلاث غرف",
    ],
)
def test_json_stays_json(target: str) -> None:
    """Translated keys, lost keys, lost brackets and changed types are rejected."""
    assert reason('{"title": "A house", "rooms": 3}', target) != ""


def test_fences_are_counted() -> None:
    """A fence that is not closed, or closed on the line of the code, is rejected."""
    source = "Do this:\n```\nx = 1\n```\nand that."
    assert reason(source, "افعل هذا:\n```\nx = 1\n```\nوذاك.") == ""
    assert reason(source, "افعل هذا:\n```\nx = 1\nوذاك.") != ""
    assert reason(source, "افعل هذا:\n```\nx = 1```\nوذاك.") != ""
