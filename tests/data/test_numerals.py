"""Numbers are compared across scripts, separators and words."""

from __future__ import annotations

import pytest

from hala.data.numerals import changed_numbers, number_words, numbers


def test_digits_and_separators_do_not_matter() -> None:
    """Native digits, thousands separators and leading zeros give the same numbers."""
    assert numbers("1,234,567 and 05") == numbers("١٬٢٣٤٬٥٦٧ و ٥") == numbers("1.234.567, 5")
    assert numbers("3.50") == numbers("٣٫٥٠")


@pytest.mark.parametrize(
    ("source", "target", "lost", "made"),
    [
        ("in 2019", "في 2019", [], []),
        ("in 2019", "في 2018", ["2019"], ["2018"]),
        ("300,000 people", "300 ألف", [], []),
        ("1950-53", "1950-1953", [], []),
        ("at 1200 GMT", "12:00", [], []),
        ("the 1980s", "الثمانينيات", [], []),
        ("five of 9", "5 من تسعة", [], []),
        ("twenty-five", "25", [], []),
        ("we met", "التقينا 47 مرة و 380", [], ["380", "47"]),
        ("log 247", "سجل 24", ["247"], ["24"]),
    ],
)
def test_changes_are_found(source: str, target: str, lost: list[str], made: list[str]) -> None:
    """Another writing of a number is no change; another number is."""
    assert changed_numbers(source, target, "en", "ar") == (lost, made)


def test_words_of_unknown_languages_are_not_guessed() -> None:
    """Without knowledge of a language no number is read from its words."""
    assert number_words("two", "xx") == frozenset() and 200 in number_words("two hundred", "en")
