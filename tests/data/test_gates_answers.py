"""A model that refuses, announces, comments or answers is noticed, unless the source does so itself."""

from __future__ import annotations

import pytest

from hala.data.features import Pair
from hala.data.gates import check
from hala.data.gates_answers import outspoken
from hala.languages import language

SOURCE = "The boy went to school early in the morning."
GOOD = {
    "ar": "ذهب الولد إلى المدرسة في الصباح الباكر.",
    "hi": "लड़का सुबह जल्दी स्कूल गया।",
    "vi": "Cậu bé đi học từ sáng sớm.",
    "sw": "Mvulana alikwenda shule asubuhi na mapema.",
}
REFUSALS = {
    "ar": "أعتذر منك، لكن لا أستطيع القيام بذلك.",
    "hi": "मुझे खेद है, मैं यह अनुवाद नहीं कर सकता।",
    "vi": "Rất tiếc, tôi không thể dịch đoạn này.",
    "sw": "Samahani, siwezi kutafsiri hii.",
}
OPENINGS = {
    "ar": "إليك الترجمة المطلوبة: ",
    "hi": "यह रहा आपका अनुवाद: ",
    "vi": "Đây là bản dịch: ",
    "sw": "Hii hapa tafsiri yake: ",
}
NOTES = {
    "ar": "\n\nملاحظة: حافظت على المعنى.",
    "hi": "\n\nनोट: शैली औपचारिक है।",
    "vi": "\n\nGhi chú: văn phong trang trọng.",
    "sw": "\n\nMaelezo: lugha ni rasmi.",
}


def reason(source: str, target: str, code: str) -> str:
    return check(source, target, "stop", language(code)).reason


@pytest.mark.parametrize("code", sorted(GOOD))
def test_each_language_has_its_phrases(code: str) -> None:
    """Refusals, announcements and notes of every language, and English ones in it, are told from translations."""
    assert reason(SOURCE, GOOD[code], code) == ""
    assert reason(SOURCE, REFUSALS[code], code) == "refusal"
    assert reason(SOURCE, "I'm sorry, but I am unable to translate this.", code) == "refusal"
    assert reason(SOURCE, OPENINGS[code] + GOOD[code], code) == "preamble"
    assert reason(SOURCE, "Sure! Here is the translation:\n" + GOOD[code], code) == "preamble"
    assert reason(SOURCE, GOOD[code] + NOTES[code], code) in {"preamble", "lines"}
    assert reason(SOURCE, GOOD[code] + " (Note: the tone is formal.)", code) == "preamble"


@pytest.mark.parametrize("code", sorted(GOOD))
def test_the_cheap_look_misses_no_phrase(code: str) -> None:
    """The words that are looked for first are in every phrase that a pattern would find."""
    for text in (REFUSALS[code], OPENINGS[code] + GOOD[code], GOOD[code] + NOTES[code]):
        assert outspoken(Pair(SOURCE, text, language(code), language("en")))


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("I'm sorry, I can't help you.", "Samahani, siwezi kukusaidia.", "sw"),
        ("Sure, I will come.", "ज़रूर, मैं आऊँगा।", "hi"),
        ("Note: the shop is closed.", "Lưu ý: cửa hàng đóng cửa.", "vi"),
        ("Yes, they are my friends.", "نعم، إنهم أصدقائي.", "ar"),
        ("No, thank you.", "Hapana, asante.", "sw"),
        ("Can you swim?", "क्या तुम तैर सकते हो?", "hi"),
        ("Write a short letter to your friend.", "Viết một lá thư ngắn cho bạn của bạn.", "vi"),
        ("Write-offs by region", "عمليات الشطب حسب المنطقة", "ar"),
        ("We tried everything.", "Chúng tôi đã cố gắng hết sức.", "vi"),
        ("Ah, no, thanks.", "Không, cảm ơn.", "vi"),
        ("None of them came.", "Hapana, hakuja hata mmoja.", "sw"),
    ],
)
def test_the_source_may_say_it_first(source: str, target: str, code: str) -> None:
    """Apologies, agreement, notes, questions and instructions of the source are translated, not rejected."""
    assert reason(source, target, code) == ""


@pytest.mark.parametrize(
    ("source", "target", "code", "expected"),
    [
        ("Do fish sleep?", "نعم، تنام الأسماك.", "ar", {"question", "answered"}),
        ("Do fish sleep at night?", "Ndiyo, samaki hulala usiku. Sawa?", "sw", {"answered"}),
        ("Where is the tallest tower?", "सबसे ऊँची मीनार दुबई में है।", "hi", {"question"}),
        (
            "Write a poem about rain.",
            "Mưa rơi tí tách ngoài hiên, em ngồi bên cửa nhớ miền quê xa.",
            "vi",
            {"answered", "length_ratio"},
        ),
        ("List two colors.", "أحمر وأزرق.", "ar", {"answered"}),
        ("Explain why ice floats.", "Barafu huelea kwa sababu ni nyepesi kuliko maji.", "sw", {"answered"}),
    ],
)
def test_answers_are_no_translations(source: str, target: str, code: str, expected: set[str]) -> None:
    """Questions that are answered and instructions that are obeyed are rejected."""
    assert reason(source, target, code) in expected
