"""The second voter tells a language from those that it is taken for."""

from __future__ import annotations

import pytest

from hala.data.identify import identify, knows


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("ذهبت إلى السوق واشتريت خبزا وحليبا للعائلة", "ar", "ar"),
        ("من دیروز به بازار رفتم و برای خانواده نان خریدم", "ar", "fa"),
        ("मैं कल बाज़ार गया और परिवार के लिए रोटी खरीदी", "hi", "hi"),
        ("मी काल बाजारात गेलो आणि कुटुंबासाठी भाकरी विकत घेतली", "hi", "mr"),
        ("Jana nilienda sokoni na kununua mkate kwa ajili ya familia", "sw", "sw"),
        ("Kemarin saya pergi ke pasar dan membeli roti untuk keluarga", "sw", "id"),
        ("Hôm qua tôi đi chợ và mua bánh mì cho gia đình", "vi", "vi"),
    ],
)
def test_close_languages(text: str, code: str, expected: str) -> None:
    """Persian is not Arabic, Marathi is not Hindi, Indonesian is not Swahili."""
    found, confidence = identify(text, code)
    assert found == expected or {found, expected} == {"id", "ms"}
    assert 0.0 <= confidence <= 1.0


def test_unknown_languages_are_not_asked_about() -> None:
    """A language without listed rivals has no second voter."""
    assert knows("hi") and not knows("xh")


def test_no_text_is_no_evidence() -> None:
    """Where nothing can be told the language is left as it is claimed."""
    assert identify("1234 ...", "sw")[1] < 0.9
