"""Languages are data that checks can rely on."""

from __future__ import annotations

import unicodedata

import pytest

from hala.data.prompts import render
from hala.errors import InputError
from hala.languages import LANGUAGES, find_code, fold_digits, language, letters, script_letters, script_share, unknown
from hala.recipe import Languages


def test_region_and_case_do_not_matter() -> None:
    """A code with a region or in capitals finds the same language."""
    assert language("ar") is language("AR_eg") is language(" ar-SA ")


def test_unknown_code_is_generic() -> None:
    """An unknown code is usable and says that nothing is known about it."""
    other = language("xh")
    assert other.generic and other.script == "" and script_share("anything", other) == 1.0
    assert not any(each.generic for each in LANGUAGES.values())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        *((said, "ar") for said in ("ar", "AR", " ar_EG ", "ar-SA", "arb", "Arabic", "arabic", "العربية")),
        ("English", "en"), ("हिन्दी", "hi"), ("vie", "vi"), ("Swahili", "sw"),
        ("fr", "fr"), ("FR", "fr"), ("French", "fr"), ("fra", "fr"), ("pt-BR", "pt-BR"), ("ckb", "ckb"),
    ],
)  # fmt: skip
def test_languages_go_by_many_names(said: str, code: str) -> None:
    """Codes of both lengths, with a region or not, English and native names mean one language, in every command."""
    assert find_code(said) == code
    source = "ar" if code == "en" else "en"
    assert Languages(source=source, target=said).target == code


@pytest.mark.parametrize(("said", "meant"), [("zz zz", ""), ("Arabik", "Arabic"), ("", ""), ("Frensh", "French"), ("a", "")])
def test_what_is_no_language_is_refused(said: str, meant: str) -> None:
    """Nonsense names the nearest language there is."""
    with pytest.raises(InputError, match="is no language") as caught:
        find_code(said)
    assert not meant or f"Did you mean '{meant}'?" in str(caught.value)


@pytest.mark.parametrize("pair", [("en", "en"), ("Arabic", "ar"), ("en", "eng")])
def test_a_language_is_not_translated_into_itself(pair: tuple[str, str]) -> None:
    """Equal source and target are refused, however they are written."""
    with pytest.raises(ValueError, match="source and target are both"):
        Languages(source=pair[0], target=pair[1])


def test_an_unknown_language_has_its_english_name() -> None:
    """Prompts say French, not fr, and what is not known of it is said with the way out; of known ones there is nothing to say."""
    assert [language(code).name for code in ("fr", "pt-BR", "ckb")] == ["French", "Portuguese (pt-BR)", "ckb"]
    assert render("default", "Hello", "fr")[0].content.startswith("Translate everything that follows into French:")
    assert "script and wrong_language are off" in unknown(language("fr")) and "hala new-language fr" in unknown(language("fr"))
    assert unknown(language("ar")) == ""


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_digits_are_ten_in_order(code: str) -> None:
    """Native digits stand for 0 to 9 in order."""
    assert [unicodedata.digit(digit) for digit in LANGUAGES[code].digits] == list(range(10))


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_native_name_is_in_its_script(code: str) -> None:
    """The script ranges hold the letters of the language's own name and frequent words."""
    known = LANGUAGES[code]
    assert script_share(known.native, known) == 1.0
    assert script_share(" ".join(known.frequent), known) == 1.0


def test_share_counts_letters_only() -> None:
    """Digits, marks and punctuation do not move the share."""
    arabic = language("ar")
    assert script_share("مرحبًا، 123!", arabic) == 1.0
    assert script_share("abcd مرحب", arabic) == 0.5
    assert script_share("123", arabic) == 1.0


def test_script_ranges_hold_letters_only() -> None:
    """Every character that counts for a script is a letter, so that a share never exceeds one."""
    for script in ("Latin", "Arabic", "Devanagari"):
        for point in range(0x11000):
            if script_letters(chr(point), script) and unicodedata.category(chr(point)) != "Cn":
                assert letters(chr(point)) == 1, (script, hex(point))


def test_foreign_letters_share_the_script_only() -> None:
    """No frequent word of a language uses a letter declared foreign to it."""
    for known in LANGUAGES.values():
        assert not set(known.foreign) & set("".join(known.frequent))


def test_fold_digits() -> None:
    """Digits of any script become ASCII digits and nothing else changes."""
    assert fold_digits("٢٠٢٥ / २०२५ / x²") == "2025 / 2025 / x²"


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_both_names_of_a_script_agree(code: str) -> None:
    """The ISO 15924 code and the Unicode name of a language's script are of one script, as the scores know it."""
    from hala.evals.translation import SCRIPTS

    assert SCRIPTS[LANGUAGES[code].iso] == LANGUAGES[code].script.upper()


def test_digits_of_every_script_are_folded() -> None:
    """Each decimal digit that Unicode knows up to U+10FFF becomes its ASCII digit, and nothing else changes."""
    every = "".join(chr(point) for point in range(0x11000) if not 0xD800 <= point < 0xE000)
    wanted = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in every)
    assert fold_digits(every) == wanted
