"""A language as data: script, direction, digits, punctuation and how much Latin script its ordinary text may hold.

Known languages are files in `data/languages/`; any other code gets a generic language that says so (`generic=True`) and switches
the script-dependent checks off instead of guessing. `hala new-language` writes a file for another one.

>>> from hala.languages import language, script_share
>>> language("ar").name, round(script_share("مرحبا Bob", language("ar")), 2)
('Arabic', 0.62)
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from hala.errors import InputError, nearest

Ranges = tuple[tuple[str, str], ...]

# Letters only, so that shares count letters and never punctuation, digits or combining marks.
_SCRIPTS: dict[str, Ranges] = {
    "Latin": (("A", "Z"), ("a", "z"), ("À", "Ö"), ("Ø", "ö"), ("ø", "ɏ"), ("Ḁ", "ỿ"), ("Ａ", "Ｚ"), ("ａ", "ｚ")),
    "Arabic": (
        ("\u0620", "\u064a"), ("\u066e", "\u066f"), ("\u0671", "\u06d3"), ("\u06d5", "\u06d5"), ("\u06fa", "\u06fc"),
        ("\u0750", "\u077f"), ("\u08a0", "\u08c9"), ("\ufb50", "\ufbb1"), ("\ufbd3", "\ufd3d"), ("\ufd50", "\ufd8f"),
        ("\ufd92", "\ufdc7"), ("\ufdf0", "\ufdfb"), ("\ufe70", "\ufefc"),
    ),
    "Devanagari": (("\u0904", "\u0939"), ("\u093d", "\u093d"), ("\u0950", "\u0950"), ("\u0958", "\u0961"), ("\u0971", "\u097f")),
}  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Language:
    """What the pipeline knows about one language; `generic` marks a code that is in no table."""

    code: str
    """BCP 47 primary tag, lower case."""
    name: str
    """English name, as prompts say it."""
    native: str
    script: str = ""
    """Unicode script name; empty when unknown, which switches script checks off."""
    iso: str = ""
    """The script's ISO 15924 code; empty when unknown."""
    direction: str = "ltr"
    digits: str = "0123456789"
    """The ten native digits in order; ASCII digits are acceptable everywhere."""
    sentence_end: str = ".!?…"
    question: str = "?"
    latin_share: float = 1.0
    """Largest share of letters that ordinary text may hold in Latin script (names, acronyms, product words)."""
    expansion: float = 1.0
    """Median characters per character of the same text in English."""
    labels: tuple[str, ...] = ()
    """Labels of language identifiers (ISO 639-3) that count as this language, close dialects included."""
    foreign: str = ""
    """Letters of the same script that other languages use and this one does not."""
    marked: str = ""
    """Letters that set the language apart within a shared script; running text holds some."""
    frequent: frozenset[str] = frozenset()
    """Frequent short words, case-folded: running text holds some."""
    strangers: frozenset[str] = frozenset()
    """Frequent words of close languages that this one does not have."""
    telltale: tuple[str, ...] = ()
    """Letters or endings that no language of the same script shares."""
    optional: str = ""
    """Marks that writers may leave out, as in the brackets of a regular expression (`\u064b-\u065f`); not compared."""
    alike: tuple[str, ...] = ()
    """Spellings that are used for one another, those of a group between spaces (`ا أ إ`); compared as the first of them."""
    generic: bool = False


@lru_cache(maxsize=64)
def _ranges(script: str) -> Ranges:
    """Where the letters of a script lie; of one that is in no table, by the names of the characters (BMP)."""
    if script in _SCRIPTS:
        return _SCRIPTS[script]
    start = script.upper() + " "
    found = [chr(point) for point in range(0x80, 0x10000) if unicodedata.name(chr(point), "").startswith(start)]
    return tuple((each, each) for each in found if each.isalpha())


def has_letters_of(script: str) -> bool:
    """Whether Unicode names letters after the script."""
    return bool(_ranges(script))


@lru_cache(maxsize=64)
def _runs(script: str) -> re.Pattern[str]:
    return re.compile("[" + "".join(f"{low}-{high}" for low, high in _ranges(script)) + "]+")


def letters(text: str) -> int:
    """How many letters of any script `text` holds; digits, marks and punctuation do not count."""
    return sum(map(len, _LETTERS.findall(text)))


def script_letters(text: str, script: str) -> int:
    """How many letters of `script` (`Latin`, `Arabic`, `Devanagari`) `text` holds."""
    return sum(map(len, _runs(script).findall(text)))


def script_share(text: str, target: Language) -> float:
    """Share of letters in the script of `target`, 0 to 1; 1.0 when there is no letter or the script is unknown."""
    if not target.script:
        return 1.0
    total = letters(text)
    return min(1.0, script_letters(text, target.script) / total) if total else 1.0


# Written as words between spaces, kept as sets.
_WORDS = ("frequent", "strangers")
_DATA = Path(__file__).parent / "data" / "languages"


def read_language(path: Path) -> Language:
    """The language in a TOML file, whose keys are the fields of `Language`. Raises InputError that names a wrong key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "Write a new one with `hala new-language`.") from None
    known = {field.name: field for field in fields(Language) if field.name != "generic"}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{path}: unknown key '{key}'.{nearest(key, known)}", "docs/languages.md lists the keys.")
        if key in _WORDS and isinstance(value, str):
            values[key] = frozenset(value.casefold().split())
        elif isinstance(value, list) and all(isinstance(each, str) for each in value) and key in ("labels", "telltale", "alike"):
            values[key] = tuple(value)
        elif key in ("latin_share", "expansion") and isinstance(value, int | float) and not isinstance(value, bool):
            values[key] = float(value)
        elif isinstance(value, str) and known[key].type == "str":
            values[key] = value
        else:
            raise InputError(f"{path}: {key} = {value!r} is of the wrong kind.", "docs/languages.md says what it holds.")
    if missing := [key for key in ("code", "name", "native") if not values.get(key)]:
        raise InputError(f"{path} lacks {' and '.join(missing)}.", "Add what is missing.")
    read = Language(**values)
    if wrong := next(_flaws(read), ""):
        raise InputError(f"{path}: {wrong}.", "Correct it; docs/languages.md says what the key holds.")
    return read


def _flaws(read: Language) -> Iterator[str]:
    """What cannot be true of a language, in words."""
    if not re.fullmatch("[a-z]{2,3}", read.code):
        yield f"code = {read.code!r} is no primary tag of two or three lower-case letters"
    if read.direction not in ("ltr", "rtl"):
        yield f"direction = {read.direction!r} is neither 'ltr' nor 'rtl'"
    if [unicodedata.decimal(digit, -1) for digit in read.digits] != list(range(10)):
        yield f"digits = {read.digits!r} are not the ten digits in order"
    if not (0 < read.latin_share <= 1 and 0.1 < read.expansion < 10):
        yield f"latin_share = {read.latin_share} or expansion = {read.expansion} is out of range"
    if read.script:
        if not has_letters_of(read.script):
            yield f"script = {read.script!r} is no script that Unicode names letters after"
        elif read.native != read.name and script_share(read.native, read) < 1:
            yield f"native = {read.native!r} is not written in {read.script} letters"
        elif strays := [each for each in read.foreign + read.marked if letters(each) and not script_letters(each, read.script)]:
            yield f"foreign or marked holds {strays[0]!r}, which is no {read.script} letter"
    yield from _unwritable(read)
    if both := sorted(read.frequent & read.strangers):
        yield f"'{both[0]}' is among frequent and among strangers"


def _unwritable(read: Language) -> Iterator[str]:
    """What cannot be true of its writing."""
    try:
        re.compile(f"[x{read.optional}]")
    except re.error as error:
        yield f"optional = {read.optional!r} is no list of marks ({error})"
    if lonely := [group for group in read.alike if len(group.split()) < 2]:
        yield f"alike holds {lonely[0]!r}, which is no group of spellings between spaces"


# English first: where two languages are as likely, it is the one.
LANGUAGES: dict[str, Language] = {
    each.code: each for each in map(read_language, sorted(_DATA.glob("*.toml"), key=lambda file: (file.stem != "en", file.stem)))
}
FILES: dict[str, Path] = {}
"""The files of languages that were added, by code; a lexicon may lie beside each."""


def add_language(path: Path) -> Language:
    """The language in a file, known by its code from now on in this process."""
    read = read_language(path)
    LANGUAGES[read.code], FILES[read.code] = read, path.resolve()
    return read


def language(code: str) -> Language:
    """The language of a BCP 47 code (`ar`, `ar-EG`, `AR_eg`); an unknown code gives a generic one without script checks."""
    primary = re.split(r"[-_]", code.strip().lower(), maxsplit=1)[0]
    return LANGUAGES.get(primary) or _generic(primary, code.strip())


@lru_cache(maxsize=256)
def _generic(primary: str, code: str) -> Language:
    """A language of which at most the English name is known."""
    name = next((name for name, known, _ in identified() if known == primary), "") if primary else ""
    shown = name if primary == code.lower() else f"{name} ({code})"
    return Language(primary, shown if name else code, shown if name else code, generic=True)


@lru_cache(maxsize=1)
def identified() -> tuple[tuple[str, str, str], ...]:
    """English name, ISO 639-1 and ISO 639-3 code of what the language identifier tells apart."""
    from lingua import Language as Known

    found = [(each.name.title(), each.iso_code_639_1.name.lower(), each.iso_code_639_3.name.lower()) for each in Known.all()]
    return tuple(sorted(found))


def find_code(said: str) -> str:
    """The code that is meant by any code, an English or a native name: `AR`, `ar-EG`, `arb`, `Arabic`, `العربية` are ar.

    An unknown code stays, with its region and script. Raises InputError, with the nearest name, for what is no code.
    """
    word = said.strip().casefold()
    for each in LANGUAGES.values():
        if re.split("[-_]", word)[0] == each.code or word in (each.name.casefold(), each.native.casefold(), *each.labels):
            return each.code
    if code := next((code for name, code, label in identified() if word in (name.casefold(), label)), ""):
        return code
    if re.fullmatch("[a-z]{2,3}(?:[-_][a-z0-9]{2,8})*", word):
        return said.strip() if "-" in word or "_" in word else word
    names = [*(each.name for each in LANGUAGES.values()), *(name for name, _, _ in identified())]
    raise InputError(
        f"{said!r} is no language.{nearest(said.strip().title(), names)}",
        f"Give a code of two or three letters (ISO 639), or one of {', '.join(each.name for each in LANGUAGES.values())}.",
    )


def unknown(of: Language) -> str:
    """What checks cannot do for a language that nothing is known of, and what helps, in one line; empty for a known one."""
    if not of.generic:
        return ""
    told = of.name if of.name.casefold() == of.code else f"{of.name} ({of.code})"
    return (
        f"nothing but its name is known of {told}: the gates script and wrong_language are off, unrelated and omitted know none"
        f" of its words, length_ratio is wider. Teach it: hala new-language {of.code}"
    )


# Digits of the scripts that have their own, beside ASCII. They come in tens; as ranges they are found four times as fast.
_ZEROS = [point for point in range(0x80, 0x11000) if unicodedata.decimal(chr(point), -1) == 0]
_NATIVE_DIGITS = re.compile("[" + "".join(f"{chr(zero)}-{chr(zero + 9)}" for zero in _ZEROS) + "]")


def fold_digits(text: str) -> str:
    """`text` with every decimal digit of any script as its ASCII digit; the text itself when there is nothing to fold."""
    if text.isascii() or _NATIVE_DIGITS.search(text) is None:
        return text
    return _NATIVE_DIGITS.sub(lambda match: str(int(match.group())), text)
