"""Text as it is compared, never as it is kept: what writers leave out is left out, what they use for one another is one.

Each language says which marks are optional in its writing and which spellings are alike (`optional` and `alike` in its file); the
languages that are known apply together, since a text seldom says which it is in and their letters are not in each other's way.

>>> from hala.data.normaliser import normalise
>>> normalise("  The  CAFÉ ") == normalise("the café"), normalise("إلى مُحَمَّدٌ") == normalise("الى محمد")
(True, True)
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from hala.languages import LANGUAGES, fold_digits

_INVISIBLE = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_ASCII_WORD = re.compile(r"\w+")
# What a non-joiner keeps apart within a word of Persian, Urdu or Kurdish, others write with a space.
_APART = re.compile("(?<=[\u0600-\u06ff])\u200c+(?=[\u0600-\u06ff])")
# Scripts that put no space between words (Thai and Lao, Burmese, Khmer, Kana, Han): there each letter counts as one.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTER = re.compile(f"[{_UNSPACED}]")


def normalise(text: str) -> str:
    """The text in NFKC and lower case, with ASCII digits, one spelling of what is alike, no optional marks, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        left_out, alike = _folding(_known())
        if "\u200c" in folded:
            folded = _APART.sub(" ", folded)
        folded = unicodedata.normalize("NFKC", left_out.sub("", folded))
        for other, first in alike:
            if other in folded:
                folded = folded.replace(other, first)
        folded = fold_digits(folded)
    return " ".join(folded.split())


def words(text: str) -> list[str]:
    """The words of the normalised text, in order: letters and digits with the marks that follow them; no punctuation."""
    folded = normalise(text)
    if folded.isascii():
        return _ASCII_WORD.findall(folded)
    spaced, unspaced = _words()
    return (unspaced if _LETTER.search(folded) else spaced).findall(folded)


@lru_cache(maxsize=1)
def _words() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A word of scripts with spaces, and of any script. `\\w` alone would tear Hindi or Bengali words at their vowel signs."""
    marks = "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code))[0] == "M")
    either = rf"[^\W{_UNSPACED}]+(?:[{marks}]+[^\W{_UNSPACED}]*)*|(?=\w)[{_UNSPACED}][{marks}]*"
    return re.compile(rf"\w+(?:[{marks}]+\w*)*"), re.compile(either)


Known = tuple[tuple[str, tuple[str, ...]], ...]


def _known() -> Known:
    return tuple([(each.optional, each.alike) for each in LANGUAGES.values() if each.optional or each.alike])


@lru_cache(maxsize=8)
def _folding(known: Known) -> tuple[re.Pattern[str], tuple[tuple[str, str], ...]]:
    """What is left out, and spellings with what they become, long ones first."""
    left_out = re.compile("[" + _INVISIBLE + "".join(optional for optional, _ in known) + "]+")
    groups = [[unicodedata.normalize("NFKC", each).casefold() for each in group.split()] for _, alike in known for group in alike]
    pairs = {other: first for first, *others in groups for other in others if other != first}
    return left_out, tuple(sorted(pairs.items(), key=lambda pair: (-len(pair[0]), pair)))
