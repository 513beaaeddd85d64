"""Lexicons are data that checks can rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hala import languages
from hala.data.lexicon import (
    DAYS,
    MONTHS,
    _file,
    english_units,
    english_words,
    kept_words,
    lexicon,
    mistakes,
    simplified,
    spaced,
)
from hala.errors import InputError
from hala.recipe import Languages

CODES = ("ar", "hi", "vi", "sw")


@pytest.mark.parametrize("code", CODES)
def test_every_concept_is_english(code: str) -> None:
    """No line of a lexicon is lost to a misspelt concept: each has English forms that lead to it."""
    words = lexicon(code)
    assert words is not None
    lines = (line for line in _section(code, "words"))
    names = {line.partition(":")[0].lstrip("~") for line in lines}
    assert names <= set(english_words().values())
    assert len(words.concepts) > 1000


@pytest.mark.parametrize("code", CODES)
def test_tables_are_whole(code: str) -> None:
    """Twelve months, seven days, the units of the English file, and number words from 0 to 10."""
    words = lexicon(code)
    assert words is not None
    assert sorted(words.months) == list(range(1, 13)) and sorted(words.weekdays) == list(range(1, 8))
    assert set(words.units) <= set(english_units().values())
    assert set(range(11)) <= set(words.numbers)
    assert all(
        stem.strip()
        for table in (words.months, words.weekdays, words.numbers, words.units)
        for stems in table.values()
        for stem in stems
    )


@pytest.mark.parametrize("code", CODES)
def test_no_month_is_another(code: str) -> None:
    """The first name of each month and day stands for it alone, longer names first."""
    words = lexicon(code)
    assert words is not None
    for table in (words.months, words.weekdays):
        first = [stems[0] for stems in table.values()]
        assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    ("code", "text", "english", "there"),
    [
        ("ar", "ذهبنا إلى المُستشفى.", "hospital", True),
        ("ar", "ذهبنا إلى المدرسة.", "hospital", False),
        ("hi", "(अस्पताल) में", "hospitals", True),
        ("vi", "Bệnh viện, trường học", "hospital", True),
        ("vi", "bệnh nhân", "hospital", False),
        ("sw", "Hospitalini kuna watu.", "hospital", True),
        ("sw", "Tulisoma vitabu.", "books", True),
    ],
)
def test_words_are_found(code: str, text: str, english: str, there: bool) -> None:
    """Inflected, marked and punctuated forms of a word are found, others are not."""
    words = lexicon(code)
    assert words is not None
    assert words.holds(words.concepts[english].stems, words.searchable(text)) == there


def test_english_forms() -> None:
    """Regular endings lead to their word, listed forms go before them, and names want their capital."""
    forms = english_words()
    assert forms["cities"] == forms["city"] and forms["stopped"] == "stop" and forms["making"] if "making" in forms else True
    assert forms["news"] == "news" and "germany" not in forms and forms["Germany"] == "German"


def test_months_and_days_are_concepts() -> None:
    """A month or a day of the source is looked for like any other word."""
    words = lexicon("sw")
    assert words is not None
    assert all(name in words.concepts for name in (*MONTHS, *DAYS))


def test_missing_lexicon() -> None:
    """A language without a file has none, and keeps the words that all languages keep."""
    assert lexicon("xh") is None and lexicon("en") is None
    assert "km" in kept_words("xh") and "menu" in kept_words("vi") and "menu" not in kept_words("ar")


def test_spelling() -> None:
    """Hamza, diacritics and nukta do not matter; punctuation becomes a space."""
    assert simplified("أُسْرَة", "ar") == "اسرة"
    assert simplified("ज़मीन", "hi") == simplified("जमीन", "hi")
    assert spaced("Xin chào, «Việt Nam»!").split() == ["xin", "chào", "việt", "nam"]


def _section(code: str, name: str) -> list[str]:
    from hala.data import lexicon as module

    text = (module._FOLDER / f"{code}.txt").read_text(encoding="utf-8")
    body = text.split(f"[{name}]\n")[1].split("\n[")[0]
    return [line for line in body.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("code", ["ar", "hi", "vi", "sw"])
def test_lexicons_that_ship_have_no_mistakes(code: str) -> None:
    """Every line of a lexicon says something: its concept, month, number and unit exist."""
    assert list(mistakes(_file(code))) == []


def test_mistakes_of_a_lexicon_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped concept, a line without a colon, a thirteenth month and an unknown section are errors with their line."""
    path = tmp_path / "fa.txt"
    lines = [
        "match inside",
        "mis 1.5",
        "[words]",
        "wuter: آب",
        "house خانه",
        "water: آب",
        "[months]",
        "13: x",
        "[numbers]",
        "two: دو",
    ]
    lines.append("[wordz]")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = list(mistakes(path))
    assert [each.partition(":")[0] for each in found] == ["line 2", "line 4", "line 5", "line 8", "line 10", "line 11"]
    assert "Did you mean 'water'" in found[1] and "no colon" in found[2]
    (tmp_path / "fa.toml").write_text('code = "fa"\nname = "Persian"\nnative = "فارسی"\nscript = "Arabic"\n', encoding="utf-8")
    monkeypatch.setattr(languages, "LANGUAGES", dict(languages.LANGUAGES))
    monkeypatch.setattr(languages, "FILES", {})
    languages.add_language(tmp_path / "fa.toml")
    lexicon.cache_clear()
    with pytest.raises(InputError, match=r"fa.txt: line 2.*and 1 more"):
        lexicon("fa")
    lexicon.cache_clear()


def test_a_changed_lexicon_is_another_language(tmp_path: Path) -> None:
    """What stands beside a language's file is part of each step's identity, as the file is."""
    toml = tmp_path / "fa.toml"
    toml.write_text('code = "fa"\nname = "Persian"\nnative = "فارسی"\nscript = "Arabic"\n', encoding="utf-8")
    before = Languages(target=str(toml)).files
    (tmp_path / "fa.txt").write_text("[words]\nwater: آب\n", encoding="utf-8")
    assert Languages(target=str(toml)).files != before
    languages.LANGUAGES.pop("fa")
    languages.FILES.pop("fa")
