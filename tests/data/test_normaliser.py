"""Texts that are written in two ways are compared as one, by what each language's file says of its writing."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala import languages
from hala.data.normaliser import normalise, words
from hala.errors import InputError

LETTERS = st.text(st.characters(codec="utf-8") | st.sampled_from("اأإآىيةهؤوئَّـ\u200f٣3ंँ़कoàòáuyỳ"), max_size=30)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The  Café ", "the café"),
        ("مُحَمَّدٌ", "محمد"),
        ("كتـــاب", "كتاب"),
        ("\u200fنص\ufeff", "نص"),
        ("ﬁne", "fine"),
        ("cafe\u0301", "café"),
        ("إلى الأمّة", "الي الامه"),
        ("ﻻ", "لا"),
        ("ينة ٢٠٢٥", "ينه 2025"),
        ("क़लम", "कलम"),
        ("हँसना", "हंसना"),
        ("hoà bình, thuỷ", "hòa bình, thủy"),
        ("HOÀ", "hòa"),
    ],
)
def test_same_text(one: str, other: str) -> None:
    """Case, spaces, compatibility forms, digits, optional marks and alike spellings make no difference."""
    assert normalise(one) == normalise(other)


def test_different_text() -> None:
    """Letters, and punctuation outside words, make a difference; a tone mark that changes a word does too."""
    assert len({normalise(text) for text in ("a b", "ab", "a-b", "a b?", "علم", "عالم", "hòa", "hóa", "hoa")}) == 9
    assert words("الأُمّة، ٢٠٢٥!") == ["الامه", "2025"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("भारत की राजधानी क्या है?", ["भारत", "की", "राजधानी", "क्या", "है"]),
        ("বাংলাদেশের রাজধানী কী?", ["বাংলাদেশের", "রাজধানী", "কী"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("क्\u200dष, क्\u200cष", ["क्ष", "क्ष"]),
        ("ọ́rọ̀ ❤\ufe0f ok", ["ọ́rọ̀", "ok"]),
        ("可以・吗?", ["可", "以", "吗"]),
        ("ที่นี่ ok2", ["ที่", "นี่", "ok2"]),
        ("", []),
    ],
)
def test_words_are_whole(text: str, expected: list[str]) -> None:
    """Vowel signs and other marks belong to their words in every script; where words stand without spaces, each letter is one."""
    assert words(text) == [unicodedata.normalize("NFKC", each) for each in expected]


CLUSTERS = st.from_regex(r"\A([bxकमत][\u0303\u0330]?|[क-ह][ा-ौ]?्?|[ক-ন][া-ী]?)+[ab1]\Z")


@given(st.lists(CLUSTERS, max_size=6), st.sampled_from([" ", ", ", "। ", "/", " (?) "]))
def test_no_mark_is_lost(written: list[str], between: str) -> None:
    """What is written together is one word, with everything in it."""
    assert words(between.join(written)) == [normalise(word) for word in written]


def test_words_that_vowel_signs_tell_apart() -> None:
    """Consonants alone are not the word."""
    assert words("रहते") != words("रहता") and words("किताब") != words("कोतब")


@pytest.mark.parametrize("other", ["می\u200cخواهم", "می\u200c\u200cخواهم", "می \u200cخواهم"])
def test_persian_parts_of_words(other: str) -> None:
    """What a zero-width non-joiner keeps apart in Arabic script is often written with a space."""
    assert normalise(other) == normalise("می خواهم")
    assert normalise("कर\u200cना") == normalise("करना")


@given(LETTERS)
def test_normal_is_normal(text: str) -> None:
    """What is normalised does not change when it is normalised again."""
    assert normalise(normalise(text)) == normalise(text)


def test_a_language_that_is_added_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new language's file says of its writing is used from then on."""
    monkeypatch.setattr(languages, "LANGUAGES", known := dict(languages.LANGUAGES))
    monkeypatch.setattr("hala.data.normaliser.LANGUAGES", known)
    monkeypatch.setattr(languages, "FILES", {})
    assert normalise("straße") == "strasse" and normalise("Müller") != normalise("Mueller")
    file = tmp_path / "de.toml"
    file.write_text('code = "de"\nname = "German"\nnative = "Deutsch"\nalike = ["ue ü", "oe ö"]\n', encoding="utf-8")
    languages.add_language(file)
    assert normalise("Müller") == normalise("Mueller")


@pytest.mark.parametrize(
    ("line", "said"), [('optional = "z-a"', "no list of marks"), ('alike = ["ab"]', "no group of spellings")]
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, line: str, said: str) -> None:
    """A list of marks that is none, and a group of one spelling, are errors of the file."""
    file = tmp_path / "de.toml"
    file.write_text(f'code = "de"\nname = "German"\nnative = "Deutsch"\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match=said):
        languages.read_language(file)
