"""Text cut into sentences and clauses whose concatenation is the text exactly; protected spans are never cut.

>>> from hala.data.sentences import split_sentences
>>> split_sentences("Open `a. b` first. Then close it.", "en")
['Open `a. b` first. ', 'Then close it.']
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from itertools import pairwise

from hala.data.spans import find_spans

_SENTENCE_END = re.compile(r"[.!?؟।…][\"'”»)\]]*[ \t]+(?=\S)|[。！？][\"'”»）」』]*(?=\S)|(?:\r\n|\r|\n)+(?=\S)")
_CLAUSE_END = re.compile(r"[;؛]\s+(?=\S)|:\s+(?=\S)|\s[—–-]\s(?=\S)|—(?=\S)|[,،]\s+(?=\S)|[，；：、](?=\S)")
_SPACE = re.compile(r"\s+(?=\S)")
_STRONG = ";؛:—–"
# Words that begin a segment whose meaning, and gender, lies in the segment before.
_PRONOUNS = {
    "en": "he she it they this that these those him her them his hers its their theirs one ones both neither either such here"
    " there then yes no so also same",
    "ar": "هو هي هم هن هما هذا هذه ذلك تلك هؤلاء أولئك كلاهما كلتاهما نعم لا كذلك أيضا",
    "hi": "यह वह ये वे इस उस इन उन इसके उसके हाँ नहीं वही",
    "vi": "nó họ đó này kia anh cô chúng vâng không",
    "sw": "huyu huyo yule hawa hao wale hii hiyo hizi hizo yeye wao ndiyo hapana",
}
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def split_sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of a text in `language` (a BCP 47 code), each with the space behind it."""
    return _joined_over_spans(text, _sentences(text, language)) if text else []


def _sentences(text: str, language: str) -> list[str]:
    try:
        found = list(_segmenter()(language.partition("-")[0].lower(), text))
    except (UnicodeError, ValueError, RuntimeError):
        found = []
    if "".join(found) != text:
        found = _at(text, (match.end() for match in _SENTENCE_END.finditer(text)))
    return found


@lru_cache(maxsize=1)
def _segmenter() -> Callable[[str, str], list[str]]:
    segment: Callable[[str, str], list[str]] = import_module("sentencex").segment  # the library has no type information
    return segment


def _at(text: str, cuts: Iterable[int]) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)]) if end > start]


def _joined_over_spans(text: str, pieces: list[str]) -> list[str]:
    """The pieces, joined where a protected span would be cut or a piece would be nothing but space."""
    if len(pieces) < 2:
        return pieces
    spans = find_spans(text)
    cuts: list[int] = []
    position = 0
    for piece in pieces[:-1]:
        position += len(piece)
        if not any(start < position < end for start, end in spans) and not text[position - 1 : position + 1].isspace():
            cuts.append(position)
    return _at(text, cuts)


def split_clauses(text: str) -> list[str]:
    """A sentence in two at the clause mark nearest its middle, semicolons and colons before commas; whole where there is none."""
    if len(text) < 20:
        return [text]
    spans = find_spans(text)
    marks = [match for match in _CLAUSE_END.finditer(text) if not any(start < match.end() <= end for start, end in spans)]
    fifth = len(text) // 5
    inner = [match for match in marks if fifth <= match.end() <= len(text) - fifth]
    strong = [match for match in inner if any(mark in match[0] for mark in _STRONG)]
    middle = len(text) / 2
    best = min(strong or inner or marks, key=lambda match: abs(match.end() - middle), default=None)
    return _at(text, [best.end()] if best else [])


def cut(text: str, max_chars: int, language: str = "en") -> list[str]:
    """The text in pieces of at most `max_chars`, cut at sentence ends, else at clause marks.

    A piece without either may be twice as long, for half a sentence translates badly; a longer one is cut between words.
    """
    if len(text) <= max_chars:
        return [text]
    pieces: list[str] = []
    for sentence in split_sentences(text, language):
        if pieces and len(pieces[-1]) + len(sentence.rstrip()) <= max_chars:
            pieces[-1] += sentence
        else:
            pieces += _halved(sentence, max_chars)
    return pieces


def _halved(sentence: str, max_chars: int) -> list[str]:
    if len(sentence.rstrip()) <= max_chars:
        return [sentence]
    halves = split_clauses(sentence)
    if len(halves) < 2:
        if len(sentence) <= 2 * max_chars:
            return halves
        return _between_words(sentence, max_chars)
    return [piece for half in halves for piece in _halved(half, max_chars)]


def _between_words(text: str, max_chars: int) -> list[str]:
    """The text in pieces as long as `max_chars` allows, each with the space behind it."""
    spans = find_spans(text)
    starts = [start for start, _ in spans]
    cuts: list[int] = []
    start = last = 0  # of the piece, and where it could end so far
    for space in _SPACE.finditer(text):
        if last > start and space.start() - start > max_chars:
            cuts.append(last)
            start = last
        place = bisect_left(starts, space.end()) - 1
        if space.start() > start and (place < 0 or spans[place][1] <= space.end()):
            last = space.end()
    if last > start and len(text.rstrip()) - start > max_chars:
        cuts.append(last)
    return _at(text, cuts)


@lru_cache(maxsize=32)
def _pronouns(language: str) -> frozenset[str]:
    return frozenset(_PRONOUNS.get(language.partition("-")[0].lower(), "").split())


def is_short_or_pronominal(segment: str, language: str = "en") -> bool:
    """Whether a segment may need the one before it to be understood: at most three words, or it begins with a pronoun."""
    words = _WORD.findall(segment[:80])
    return len(words) <= 3 or words[0].casefold() in _pronouns(language)
