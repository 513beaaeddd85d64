"""Gates on answers: no refusal, no announcement, no note, and no answer to a text that was only to be translated.

Each gate answers what is wrong with a pair, or an empty string. Limits: an instruction that is obeyed in about as many words as
it has, with its verb and its nouns in the answer, passes; that takes a model that reads both.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from hala.data.features import Pair, Side
from hala.data.phrases import ASSENTS, FIRST_WORDS, HINTS, INTERJECTIONS, INTERROGATIVES, NOTES, OPENINGS, REFUSALS

_SENTENCE_END = re.compile(r"[.!?؟।…]+[\"'”’»)]*(?=\s|$)")
_BEFORE_VERBS = frozenset(["please", "kindly", "now", "then", "first", "next", "briefly"])
# A word, mostly alone, and a mark behind it.
_ASSENT = re.compile(r"\W*(?:जी |si )?[^\W\d_]\S*?(?: vậy| rồi)?\s?[،,.!।]")
_ANY_QUESTION = re.compile("[?؟;⁇]")


class _Said(NamedTuple):
    """What models say beside a translation: first words of announcements, phrases of refusals and notes by their first word."""

    openers: frozenset[str]
    hints: frozenset[str]
    phrases: dict[str, tuple[str, ...]]


def outspoken(pair: Pair) -> bool:
    """Whether there is any word of a refusal, an announcement or a note: else these gates have nothing to object to."""
    said = _said(pair.language.code, pair.target.latin)
    return _opens(pair.target, said) or (not pair.target.lower.isdisjoint(said.hints) and _hinted(pair.target, said))


def _opens(target: Side, said: _Said) -> bool:
    """Whether the first word can open an announcement."""
    return not target.tokens or target.tokens[0] in said.openers


def _hinted(target: Side, said: _Said) -> bool:
    """Whether any phrase of a refusal or a note is there."""
    return any(phrase in target.spaced for word in said.hints & target.lower for phrase in said.phrases[word])


@lru_cache(maxsize=64)
def _said(code: str, latin: bool) -> _Said:
    """What models say in a language, and in English too where there are Latin letters."""
    codes = tuple(dict.fromkeys((code, "en") if latin else (code,)))
    phrases: dict[str, tuple[str, ...]] = {}
    for phrase in " ".join(HINTS.get(each, "") for each in codes).split():
        words = phrase.split("_")
        phrases[words[0]] = (*phrases.get(words[0], ()), f" {' '.join(words)} ")
    openers = frozenset(" ".join(FIRST_WORDS.get(each, "") for each in codes).split())
    return _Said(openers, frozenset(phrases), phrases)


def refusal(pair: Pair) -> str:
    """No refusal or talk about being a model unless the source has it too."""
    text = pair.target.text[:300]
    for code in _codes(pair):
        found = REFUSALS[code].search(text) if code in REFUSALS and _hinted(pair.target, _said(code, False)) else None
        if found and not any(REFUSALS[each].search(pair.source.text) for each in _source_codes(pair) if each in REFUSALS):
            return found.group().strip()[:60]
    return ""


def preamble(pair: Pair) -> str:
    """No announcement before the translation and no note after it."""
    text = pair.target.text
    for code in _codes(pair):
        if code not in OPENINGS:
            continue
        said = _said(code, False)
        opening = OPENINGS[code].match(text) if _opens(pair.target, said) else None
        found = opening or (NOTES[code].search(text) if _hinted(pair.target, said) else None)
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
    place, verb = 0, words[0].lower()
    if verb in _BEFORE_VERBS and len(words) > 1:
        place, verb = 1, words[1].lower()
    stems = lexicon.requests.get(verb)
    if stems is None or pair.holds(stems) or words[place].isupper() or words[place + 1 : place + 2] == ["off"]:
        return ""
    joined = f"{words[place]}-" in pair.source.text  # a write-off
    return "" if joined else f"nothing for {verb}"
