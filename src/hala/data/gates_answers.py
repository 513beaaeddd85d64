"""Gates on answers: no refusal, no announcement, no note, and no answer to a text that was only to be translated.

Each gate answers what is wrong with a pair, or an empty string. Limits: an instruction that is obeyed in about as many words as it
has, with its verb and its nouns in the answer, passes; that takes a model that reads both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from hala.data.features import Pair
from hala.data.phrases import ASSENTS, INTERJECTIONS, INTERROGATIVES, NOTES, OPENINGS, REFUSALS, Phrases

_SENTENCE_END = re.compile(r"[.!?؟।…]+[\"'”’»)]*(?=\s|$)")
_FIRST_WORD = re.compile(
    r"[\W_]*(?:please |kindly |now |then |first |next |briefly |shortly )*([A-Z]?[a-z]+)(?![A-Za-z-]| off\b)"
)
_ANY_QUESTION = re.compile("[?؟;⁇]")


def refusal(pair: Pair) -> str:
    """No refusal or talk about being a model unless the source has it too."""
    text = pair.target.text
    head = text if len(text) <= 300 else text[:300]
    lower = head.lower()
    for phrases in _spoken(REFUSALS, pair.language.code, pair.target.latin):
        found = phrases.find(head, lower)
        if found and not _source_says(pair):
            return found[:60]
    return ""


def preamble(pair: Pair) -> str:
    """No announcement before the translation and no note after it."""
    text = pair.target.text
    for code in (pair.language.code, "en"):
        opening = OPENINGS.get(code)
        found = opening.match(text) if opening is not None and (code != "en" or pair.target.latin) else None
        if found and not _expected(pair):
            return found.group().strip()[:60]
    lower = text.lower()
    for phrases in _spoken(NOTES, pair.language.code, pair.target.latin):
        note = phrases.find(text, lower)
        if note and not _expected(pair):
            return note[:60]
    return ""


def _spoken(table: Mapping[str, Phrases], code: str, latin: bool) -> list[Phrases]:
    """The phrases of the target language, and the English ones where there is any Latin letter."""
    return _phrases(table is REFUSALS, code, latin)


@lru_cache(maxsize=64)
def _phrases(refusals: bool, code: str, latin: bool) -> list[Phrases]:
    table = REFUSALS if refusals else NOTES
    codes = dict.fromkeys((code, "en") if latin else (code,))
    return [table[each] for each in codes if each in table]


def _source_says(pair: Pair) -> bool:
    text = pair.source.text
    return any(code in REFUSALS and REFUSALS[code].find(text) for code in (pair.source.language.code, "en", pair.language.code))


def _expected(pair: Pair) -> bool:
    """Whether the source itself has an interjection, an announcement or a note."""
    text = pair.source.text
    if INTERJECTIONS.search(text):
        return True
    codes = (pair.source.language.code, "en", pair.language.code)
    return any((code in OPENINGS and OPENINGS[code].match(text)) or (code in NOTES and NOTES[code].find(text)) for code in codes)


def question(pair: Pair) -> str:
    """A text that ends in a question still asks: an answer in its place is no translation."""
    text = pair.source.text.rstrip(" \t\n\"'”’)*_")
    if not text.endswith("?") or not pair.language.question or _ANY_QUESTION.search(pair.target.text):
        return ""
    if not pair.target.lettered:
        return ""
    lone = len(_SENTENCE_END.findall(text)) == 1
    opens = INTERROGATIVES.get(pair.language.code, frozenset()).intersection(pair.target.tokens[:3] if lone else ())
    return "" if opens else pair.target.text[-40:]


def answered(pair: Pair) -> str:
    """No yes or no before the translation, and the verb of an instruction is translated: nobody answered or obeyed the text."""
    assent = ASSENTS.get(pair.language.code)
    found = assent.match(pair.target.text) if assent is not None else None
    if found and not _assents(pair):
        return f"opens with {found.group().strip()}"
    return _obeyed(pair)


def _assents(pair: Pair) -> bool:
    source = ASSENTS.get(pair.source.language.code)
    if source is None:
        return True
    return source.match(pair.source.text) is not None or INTERJECTIONS.search(pair.source.text) is not None


def _obeyed(pair: Pair) -> str:
    """The verb of an instruction that opens the source, when the translation has none of its renderings."""
    words = pair.lexicon
    if words is None:
        return ""
    match = _FIRST_WORD.match(pair.source.natural)
    stems = words.requests.get(match[1].lower()) if match else None
    return f"nothing for {match[1].lower()}" if match and stems and not pair.holds(stems) else ""
