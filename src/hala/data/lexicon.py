"""Bilingual words as data: what English words, numbers, months and units look like in a translation.

One file a language under `lexicons/`, written by hand and read on first use; `en.txt` lists the English side. A lexicon is no
dictionary: it lists the stems that usual translations of a word contain, so that a check can ask whether any of them is there.

>>> from hala.data.lexicon import lexicon
>>> arabic = lexicon("ar")
>>> arabic.holds(arabic.concepts["hospitals"].stems, arabic.searchable("في المستشفى الكبير."))
True
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hala import languages
from hala.errors import InputError, nearest

_SECTIONS = ("words", "numbers", "fractions", "months", "weekdays", "units", "requests", "kept")
_SETTING = re.compile(r"match (?:inside|start|word)|miss \d+(?:\.\d+)?|unit first")
_FOLDER = Path(__file__).parent / "lexicons"
# Punctuation becomes a space: ASCII all at once, the rest one by one.
_SPACES = bytes(ord(" ") if chr(byte) in ".,:;()\"'/-?!|[]{}<>*_`=\\\n\t" else byte for byte in range(256))
_LOWER_SPACES = _SPACES.lower()
_BETWEEN = tuple("“”‘’«»–—…،؛؟।")
# Spellings that writers mix: alef with and without hamza, nukta and candrabindu; marks that most texts leave out.
_SIMPLE: dict[str, tuple[tuple[str, str], ...]] = {
    "ar": (("أ", "ا"), ("إ", "ا"), ("آ", "ا"), *((mark, "") for mark in "ًٌٍَُِّْـٰ")),
    "hi": (
        ("\u0958", "\u0915"), ("\u0959", "\u0916"), ("\u095a", "\u0917"), ("\u095b", "\u091c"), ("\u095c", "\u0921"),
        ("\u095d", "\u0922"), ("\u095e", "\u092b"), ("\u093c", ""), ("\u0901", "\u0902"), ("\u200d", ""),
    ),
}  # fmt: skip


MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
]  # fmt: skip
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True, slots=True, eq=False)  # compared and hashed as itself, which is cheap
class Concept:
    """An English word's `stems` in a translation; `weak` when texts hold them so often that finding one proves little."""

    name: str
    stems: tuple[str, ...]
    weak: bool = False
    calendar: bool = False
    """Whether it is a month or a day of the week."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of one target language, for English sources. Stems are matched by `holds` in a `searchable` text."""

    code: str
    match: str
    """Where a stem may stand: `inside` a word, at its `start`, or as the whole `word`."""
    miss: float
    """What a concept that is not found says against a translation, a logarithm of odds: the more complete the file, the more."""
    concepts: Mapping[str, Concept]
    """By English word form, proper names in capitals."""
    numbers: Mapping[int, tuple[str, ...]]
    fractions: Mapping[int, tuple[str, ...]]
    """By denominator: halves, thirds, quarters."""
    months: Mapping[int, tuple[str, ...]]
    weekdays: Mapping[int, tuple[str, ...]]
    units: Mapping[str, tuple[str, ...]]
    """By the unit's kind and name, such as `length mile`."""
    requests: Mapping[str, tuple[str, ...]]
    """Renderings of verbs that open an instruction, such as `write`."""
    unit_first: bool
    """Whether a unit stands before its number."""
    calendar: frozenset[Concept]
    """The concepts that are months or days of the week."""

    def searchable(self, text: str) -> str:
        """The text in lower case and simplified spelling, with spaces for punctuation and around it."""
        return self.simple(spaced(text))

    def simple(self, spaced: str) -> str:
        """A text that `spaced` gave, in simplified spelling."""
        return simplified(spaced, self.code)

    def holds(self, stems: Iterable[str], searchable: str) -> bool:
        """Whether the searchable text has any of the stems."""
        return any(stem in searchable for stem in stems)


def spaced(text: str, cased: bool = True) -> str:
    """The text in lower case, with spaces for punctuation and around it. `cased` is False where only Latin letters have case."""
    if cased and not text.isascii():
        text = text.lower()
    return f" {_apart(text, _LOWER_SPACES)} "


def between(text: str) -> str:
    """The text with spaces for punctuation."""
    return _apart(text, _SPACES)


def _apart(text: str, table: bytes) -> str:
    apart = text.encode("utf-8", "surrogatepass").translate(table).decode("utf-8", "surrogatepass")
    if not text.isascii():
        for mark in _BETWEEN:
            if mark in apart:
                apart = apart.replace(mark, " ")
    return apart


def simplified(text: str, code: str) -> str:
    """The text without the marks and letter variants that writers of the language use as they like."""
    for written, simple in _SIMPLE.get(code, ()):
        if written in text:
            text = text.replace(written, simple)
    return text


@lru_cache(maxsize=16)
def lexicon(code: str) -> Lexicon | None:
    """The lexicon of a target language; None when there is none."""
    path = _file(code)
    if code == "en" or not path.is_file():
        return None
    if code in languages.FILES and (wrong := list(mistakes(path))):  # those that ship are held to this by tests
        told = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise InputError(f"{path}: {told}.", "Correct the lines; docs/languages.md says what they hold.")
    sections = _read(path)
    settings = dict(line.split() for line in sections[""])
    match = settings.get("match", "inside")

    def stems(words: str) -> tuple[str, ...]:
        return tuple(_stem(word, match, code) for word in words.split())

    def numbered(section: str) -> dict[int, tuple[str, ...]]:
        return {int(number): stems(words) for number, words in _entries(sections.get(section, ()))}

    concepts: dict[str, Concept] = {}
    for name, words in _entries(sections.get("words", ())):
        plain = name.lstrip("~")
        concepts[plain] = Concept(plain, stems(words), name.startswith("~"))
    forms = {form: concepts[name] for form, name in english_words().items() if name in concepts}
    months, weekdays = numbered("months"), numbered("weekdays")
    for names, table in ((MONTHS, months), (DAYS, weekdays)):
        # "May" and "March" open sentences as other words.
        forms |= {
            name: Concept(name, table[number], name == "May", True) for number, name in enumerate(names, 1) if number in table
        }
    units = {name: stems(words) for name, words in _entries(sections.get("units", ()))}
    requests = {verb: stems(words) for verb, words in _entries(sections.get("requests", ()))}
    miss = float(settings.get("miss", 1.5))
    calendar = frozenset(concept for concept in forms.values() if concept.calendar)
    return Lexicon(
        code,
        match,
        miss,
        forms,
        numbered("numbers"),
        numbered("fractions"),
        months,
        weekdays,
        units,
        requests,
        settings.get("unit") == "first",
        calendar,
    )


@lru_cache(maxsize=1)
def english_words() -> dict[str, str]:
    """English word form -> concept. A form that is listed goes before one that a regular ending would give."""
    listed: dict[str, str] = {}
    derived: dict[str, str] = {}
    for name, words in _entries(_read(_FOLDER / "en.txt")["words"]):
        for word in words.split():
            listed.setdefault(word.rstrip("="), name)
            for form in () if word.endswith("=") else _inflected(word):
                derived.setdefault(form, name)
    return derived | listed


@lru_cache(maxsize=1)
def english_units() -> dict[str, str]:
    """English form of a unit -> its kind and name (`km` -> `length kilometre`)."""
    return {form: name for name, forms in _entries(_read(_FOLDER / "en.txt")["units"]) for form in forms.split()}


@lru_cache(maxsize=16)
def kept_words(code: str) -> frozenset[str]:
    """Words in Latin letters that good translations into the language keep: those of `en.txt` and of its own file."""
    paths = [_FOLDER / "en.txt", _file(code)]
    return frozenset(word for path in paths if path.is_file() for line in _read(path).get("kept", ()) for word in line.split())


def _file(code: str) -> Path:
    """Where the lexicon of a language lies, or would: beside the file of a language that was added."""
    added = languages.FILES.get(code)
    return added.with_suffix(".txt") if added else _FOLDER / f"{code}.txt"


def mistakes(path: Path) -> Iterator[str]:
    """What cannot be meant in a lexicon, with the number of the line."""
    section = ""
    allowed: dict[str, Collection[str]] = {
        "words": set(english_words().values()),
        "units": set(english_units().values()),
        "months": {str(number) for number in range(1, 13)},
        "weekdays": {str(number) for number in range(1, 8)},
    }
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("["):
            section = line.strip("[] ")
            if section not in _SECTIONS:
                yield f"line {number}: unknown section [{section}]{nearest(section, _SECTIONS)}"
        elif not line.strip() or line.startswith("#") or section == "kept":
            continue
        elif not section:
            if not _SETTING.fullmatch(line.strip()):
                yield f"line {number}: {line.strip()[:40]!r} is none of match, miss, unit"
        elif ":" not in line:
            yield f"line {number}: {line.strip()[:40]!r} has no colon between name and words"
        else:
            name = line.partition(":")[0].strip().lstrip("~")
            if section in allowed and name not in allowed[section]:
                yield f"line {number}: [{section}] has no '{name}'{nearest(name, allowed[section])}"
            elif section in ("numbers", "fractions") and not name.isdecimal():
                yield f"line {number}: '{name}' is no number"


def _inflected(word: str) -> Iterator[str]:
    """Regular forms of an English noun or verb; some do not exist, which does no harm."""
    if len(word) < 3:
        return
    yield from (word + ending for ending in ("s", "ed", "ing"))
    if word.endswith(("s", "x", "z", "h")):
        yield word + "es"
    if word.endswith("e"):
        yield from (word + "d", word[:-1] + "ing")
    if word.endswith("y"):
        yield from (word[:-1] + "ies", word[:-1] + "ied")


def _stem(word: str, match: str, code: str) -> str:
    """The text that stands for a stem in a searchable text: spaces where a word must begin or end."""
    whole, start = word.startswith("=") or match == "word", word.startswith("^") or match == "start"
    text = simplified(word.lstrip("=^").replace("_", " "), code).lower()
    text = between(text)
    return f" {text} " if whole else f" {text}" if start else text


def _read(path: Path) -> dict[str, list[str]]:
    """Lines by section, without comments; lines before the first section under ""."""
    sections: dict[str, list[str]] = {"": []}
    section = sections[""]
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[] "), [])
        elif line.strip() and not line.startswith("#"):
            section.append(line)
    return sections


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, words = line.partition(": ")
        yield name.strip(), words.strip()
