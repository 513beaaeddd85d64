"""Gates on answers: no refusal, no announcement, no note, and no answer to a text that was only to be translated.

Each gate answers what is wrong with a pair, or an empty string. Limits: an instruction that is obeyed in about as many words as
it has, with its verb and its nouns in the answer, passes; that takes a model that reads both.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hala.data.features import Pair
from hala.data.phrases import ASSENTS, FIRST_WORDS, HINTS, INTERJECTIONS, INTERROGATIVES, NOTES, OPENINGS, REFUSALS

_SENTENCE_END = re.compile(r"[.!?؟।…]+[\"'”’»)]*(?=\s|$)")
_BEFORE_VERBS = frozenset(["please", "kindly", "now", "then", "first", "next", "briefly"])
# A word, mostly alone, and a mark behind it.
_ASSENT = re.compile(r"\W*(?:जी |si )?[^\W\d_]\S*?(?: vậy| rồi)?\s?[،,.!।]")
_ANY_QUESTION = re.compile("[?؟;⁇]")


def outspoken(pair: Pair) -> bool:
    """Whether there is any word of a refusal, an announcement or a note: else these gates have nothing to object to."""
    return _opens(pair) or _hinted(pair)


def _opens(pair: Pair, code: str = "") -> bool:
    """Whether the first word can open an announcement, in one language or in all that a model may speak in."""
    words = pair.target.tokens
    return not words or words[0] in (_said(code, False) if code else _said(pair.language.code, pair.target.latin))[0]


def _hinted(pair: Pair, code: str = "") -> bool:
    """Whether any phrase of a refusal or a note is there, in one language or in all that a model may speak in."""
    hints, text = _said(code, False)[1] if code else _said(pair.language.code, pair.target.latin)[1], pair.target.spaced
    if pair.target.lower.isdisjoint(hints):
        return False
    for word in hints.keys() & pair.target.lower:
        for phrase in hints[word]:
            if phrase in text:
                return True
    return False


@lru_cache(maxsize=64)
def _said(code: str, latin: bool) -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    """First words of announcements, and phrases of refusals and notes by their first word; English ones too where asked for."""
    codes = tuple(dict.fromkeys((code, "en") if latin else (code,)))
    hints: dict[str, tuple[str, ...]] = {}
    for phrase in " ".join(HINTS.get(each, "") for each in codes).split():
        words = phrase.split("_")
        hints[words[0]] = (*hints.get(words[0], ()), f" {' '.join(words)} ")
    return frozenset(" ".join(FIRST_WORDS.get(each, "") for each in codes).split()), hints


def refusal(pair: Pair) -> str:
    """No refusal or talk about being a model unless the source has it too."""
    text = pair.target.text[:300]
    for code in _codes(pair):
        found = REFUSALS[code].search(text) if code in REFUSALS and _hinted(pair, code) else None
        if found and not any(REFUSALS[each].search(pair.source.text) for each in _source_codes(pair) if each in REFUSALS):
            return found.group().strip()[:60]
    return ""


def preamble(pair: Pair) -> str:
    """No announcement before the translation and no note after it."""
    text = pair.target.text
    for code in _codes(pair):
        if code not in OPENINGS:
            continue
        found = (_opens(pair, code) and OPENINGS[code].match(text)) or (_hinted(pair, code) and NOTES[code].search(text))
        if found and not _expected(pair):
            return found.group().strip()[:60]
    return ""


def _codes(pair: Pair) -> tuple[str, ...]:
    """The languages that a model may speak in: the target's, and English where there is any Latin letter."""
    return (pair.language.code, "en") if pair.target.latin else (pair.language.code,)


def _source_codes(pair: Pair) -> tuple[str, ...]:
    return (pair.source.language.code, "en", pair.language.code)


def _expected(pair: Pair) -> bool:
    """Whether the source itself has an interjection, an announcement or a note."""
    text = pair.source.text
    if INTERJECTIONS.search(text):
        return True
    return any(OPENINGS[code].match(text) or NOTES[code].search(text) for code in _source_codes(pair) if code in OPENINGS)


def question(pair: Pair) -> str:
    """A text that ends in a question still asks: an answer in its place is no translation."""
    if "?" not in pair.source.text:
        return ""
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
    code, words = pair.language.code, pair.target.tokens
    if words and words[0] in ASSENTS.get(code, ()):
        found = _ASSENT.match(pair.target.text)
        source = ASSENTS.get(pair.source.language.code)
        expected = source is None or not source.isdisjoint(word.lower() for word in pair.source.words[:2])
        if found and not expected and not INTERJECTIONS.search(pair.source.text):
            return f"opens with {found.group().strip()}"
    return _obeyed(pair)


def _obeyed(pair: Pair) -> str:
    """The verb of an instruction that opens the source, when the translation has none of its renderings."""
    lexicon, words = pair.lexicon, pair.source.words
    if lexicon is None or not words:
        return ""
    place = 1 if len(words) > 1 and words[0].lower() in _BEFORE_VERBS else 0
    verb = words[place].lower()
    stems = lexicon.requests.get(verb)
    if stems is None or pair.holds(stems) or words[place].isupper() or words[place + 1 : place + 2] == ["off"]:
        return ""
    joined = f"{words[place]}-" in pair.source.text  # a write-off
    return "" if joined else f"nothing for {verb}"
