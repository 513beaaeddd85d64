"""Names are known again in another script by their consonants."""

from __future__ import annotations

import pytest

from hala.data.names import consonants, written_in


@pytest.mark.parametrize(
    ("name", "text", "script"),
    [
        ("Michael", "قال مايكل إنه سيأتي.", "Arabic"),
        ("Berlin", "سافر إلى برلين أمس.", "Arabic"),
        ("Charles", "كان تشارلز ملكا.", "Arabic"),
        ("Mandela", "मंडेला ने कहा", "Devanagari"),
        ("Robert", "रॉबर्ट घर गया।", "Devanagari"),
        ("Philip", "فيليب", "Arabic"),
    ],
)
def test_transliterated_names_are_found(name: str, text: str, script: str) -> None:
    """Vowels and voicing do not matter."""
    assert written_in(name, text, script)


@pytest.mark.parametrize(
    ("name", "text", "script"), [("Margaret", "سافر إلى برلين أمس.", "Arabic"), ("Robert", "मंडेला ने कहा", "Devanagari")]
)
def test_other_names_are_not(name: str, text: str, script: str) -> None:
    """Another name in its place is not taken for it."""
    assert not written_in(name, text, script)


def test_short_names_prove_nothing() -> None:
    """A name with one consonant is always there, and an unknown script never judged."""
    assert written_in("Eva", "نص", "Arabic") and written_in("Robert", "文", "Han")
    assert consonants("Eva", "Latin") == "F"
