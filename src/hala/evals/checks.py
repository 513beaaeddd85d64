"""Instructions that a program can check, as a file of probes declares them: so many sentences, a word that must be there, JSON.

Each kind has a name in plain words and a value in the file. What is overlooked on purpose: case, vowel marks and other marks that
a language may leave out, letters that it takes for one another, the digits' script, and for `starts` and `ends` the punctuation
around. An empty answer meets nothing.

>>> from hala.evals.checks import met
>>> from hala.languages import language
>>> met("sentences", (1, 2), "السماء زرقاء. والبحر أزرق.", language("ar"))
True
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from hala.languages import Language, fold_digits, has_letters_of, language, letters, script_letters, script_share

MIN_SHARE = 0.7
"""Of an answer's letters that must be written in the script of the language that was asked for."""
FEWEST_WORDS, SURE = 6, 0.9
"""Of fewer words the script alone tells the language; of more, an identifier that is as sure of another one overrules it."""
_WRITTEN_ALIKE = {"Latin": "en fr es pt de it nl id tr vi sw", "Arabic": "ar fa ur", "Devanagari": "hi mr"}
# A dash, dot or number may touch its first letter, as it often does in Arabic; a star may not, or bold type would begin items.
_ITEM = re.compile(r"^[ \t]*(?:(?:[-•–▪◦ـ]|\(?\d{1,3}[.)\-])(?=[ \t]|[^\W\d_])|[*+](?=[ \t]))[ \t]*(?=.*[^\W_])", re.MULTILINE)
_FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_AROUND = " \t\r\n\"'“”‘’«»*_#`-–—.!?؟…،,:؛;()[]"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of check: what its value in the file looks like, and whether an answer in a language meets it."""

    value: Literal["bounds", "words", "phrase", "keys", "script", "language"]
    test: Callable[[str, Any, Language], bool]


def met(kind: str, wanted: Any, answer: str, target: Language) -> bool:
    """Whether an answer does what was asked; `wanted` as `read_value` gives it."""
    return bool(answer.strip()) and KINDS[kind].test(answer, wanted, target)


def read_value(kind: str, value: Any) -> Any:
    """The value of a check out of a file in the form that `met` takes. Raises ValueError that says what it should be."""
    match KINDS[kind].value:
        case "bounds":
            numbers = isinstance(value, list) and [type(each) for each in value] == [int, int]
            if not numbers or not 0 <= value[0] <= value[1]:
                raise ValueError("two whole numbers, the fewest and the most: [1, 3]")
            return tuple(value)
        case "words":
            found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
            if not found or not all(isinstance(each, str) and each.strip() for each in found):
                raise ValueError('a word or a list of words: "water" or ["water", "air"]')
            return found
        case "keys":
            keys = [] if value is True else value
            if not isinstance(keys, list) or not all(isinstance(each, str) for each in keys):
                raise ValueError('true, or the keys that the object must have: ["name", "age"]')
            return tuple(keys)
    if not isinstance(value, str) or not value.strip(_AROUND):
        raise ValueError("a text")
    if KINDS[kind].value == "script" and not has_letters_of(value):
        raise ValueError("the name of a script as Unicode spells it: Latin, Arabic, Cyrillic")
    if KINDS[kind].value == "language" and not language(value).script:
        raise ValueError("the code of a language whose script is known: ar, en, hi, vi, sw, or one that was added")
    return value


# What is counted ------------------------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """What stands between spaces and holds a letter or a digit."""
    return [word for word in text.split() if any(character.isalnum() for character in word)]


def sentences(text: str, target: Language) -> int:
    """Sentences with at least one letter: they end at a mark of the language before a space, or at the end of a line.

    A mark behind a single letter (an initial, the number of a list) ends none.
    """
    pieces = _sentence_end(target.sentence_end).split(_ITEM.sub("", text))
    return sum(1 for piece in pieces if letters(piece))


@lru_cache(maxsize=64)
def _sentence_end(marks: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\s.][^\W\d_])[{re.escape(marks)}]+[\"'”’»)*\]]*(?=\s|$)|[\r\n]+")


def items(text: str) -> int:
    """Lines that begin as an item of a list does: with a dash, a dot, a star, or a number and a mark."""
    return len(_ITEM.findall(text))


def lines(text: str) -> int:
    """Lines that hold anything."""
    return sum(1 for line in text.splitlines() if line.strip())


# What is looked for ---------------------------------------------------------------------------------------------------


def folded(text: str, target: Language) -> str:
    """The text as it is compared: without case, marks that may be left out, and differences between letters used alike."""
    marks, alike = _spelling(target.optional, target.alike)
    plain = unicodedata.normalize("NFKC", text).casefold()
    return fold_digits(" ".join(marks.sub("", plain).translate(alike).split()))


@lru_cache(maxsize=64)
def _spelling(optional: str, alike: tuple[str, ...]) -> tuple[re.Pattern[str], dict[int, str]]:
    groups = [group.split() for group in alike]
    same = {ord(each): group[0] for group in groups if len(group[0]) == 1 for each in group[1:] if len(each) == 1}
    return re.compile(f"[{optional}]" if optional else "(?!)"), same


def _contains(answer: str, wanted: tuple[str, ...], target: Language) -> bool:
    text = folded(answer, target)
    return all(folded(each, target) in text for each in wanted)


def _lacks(answer: str, wanted: tuple[str, ...], target: Language) -> bool:
    text = folded(answer, target)
    return not any(folded(each, target) in text for each in wanted)


def _starts(answer: str, wanted: str, target: Language) -> bool:
    return (
        re.match(re.escape(folded(wanted, target).strip(_AROUND)) + r"(?!\w)", folded(answer, target).lstrip(_AROUND)) is not None
    )


def _ends(answer: str, wanted: str, target: Language) -> bool:
    return (
        re.search(r"(?<!\w)" + re.escape(folded(wanted, target).strip(_AROUND)) + r"\Z", folded(answer, target).rstrip(_AROUND))
        is not None
    )


def _json(answer: str, wanted: tuple[str, ...], _: Language) -> bool:
    """Nothing but an object or a list, in a code fence or not; an object with all the keys where some are wanted."""
    fenced = _FENCED.fullmatch(answer.strip())
    try:
        value = json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(wanted) <= set(value) if wanted else isinstance(value, dict | list)


def _in_language(answer: str, wanted: str, _: Language) -> bool:
    """In the script of the language and, from a few words on, not clearly in another that is written alike."""
    if not letters(answer) or script_share(answer, language(wanted)) < MIN_SHARE:
        return False
    detector = _detector(language(wanted).code) if len(words(answer)) >= FEWEST_WORDS else None
    ranking = detector.compute_language_confidence_values(answer) if detector is not None else []
    other = ranking and ranking[0].language.iso_code_639_1.name.lower() != language(wanted).code
    return not (other and ranking[0].value >= SURE)


@lru_cache(maxsize=8)
def _detector(code: str) -> Any:
    """A trained identifier of a language among others of its script; None where it does not know the language."""
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = dict.fromkeys([code, *_WRITTEN_ALIKE.get(language(code).script, "").split()])
    known: list[Any] = [getattr(IsoCode639_1, each.upper(), None) for each in codes]
    if known[0] is None or len(known) < 2:
        return None
    # Trigrams alone: a tenth of the memory, as for translations.
    return LanguageDetectorBuilder.from_iso_codes_639_1(*known).with_low_accuracy_mode().build()


def _between(count: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= count <= bounds[1]


KINDS: dict[str, Kind] = {
    "words": Kind("bounds", lambda answer, wanted, _: _between(len(words(answer)), wanted)),
    "sentences": Kind("bounds", lambda answer, wanted, target: _between(sentences(answer, target), wanted)),
    "lines": Kind("bounds", lambda answer, wanted, _: _between(lines(answer), wanted)),
    "items": Kind("bounds", lambda answer, wanted, _: _between(items(answer), wanted)),
    "contains": Kind("words", _contains),
    "lacks": Kind("words", _lacks),
    "starts": Kind("phrase", _starts),
    "ends": Kind("phrase", _ends),
    "json": Kind("keys", _json),
    "no_letters": Kind("script", lambda answer, wanted, _: not script_letters(answer, wanted)),
    "language": Kind("language", _in_language),
}
