"""Names across scripts: whether a name in Latin letters stands in an Arabic or Devanagari text, by its consonants.

Vowels, doubled letters and voicing are what transliterations disagree on, so that only classes of consonants are compared.

>>> from hala.data.names import consonants, written_in
>>> consonants("Washington", "Latin"), consonants("واشنطن", "Arabic")
('SNKTN', 'SNTN')
>>> written_in("Obama", "قال باراك أوباما", "Arabic"), written_in("Merkel", "قال باراك أوباما", "Arabic")
(True, False)
"""

from __future__ import annotations

import re
from functools import lru_cache

_CLASSES = {
    "Latin": {
        "P": "bp", "T": "td", "K": "kgqjcx", "S": "sz", "F": "fv", "L": "l", "R": "r", "M": "m", "N": "nñ",
    },
    "Arabic": {
        "P": "بپ", "T": "تطدضثذظ", "K": "كقغجخگچک", "S": "سشصز", "F": "فڤ", "L": "ل", "R": "ر", "M": "م", "N": "ن",
    },
    "Devanagari": {
        "P": "पफबभ", "T": "तथदधटठडढ", "K": "कखगघचछजझ", "S": "सशष", "F": "व", "L": "ल", "R": "र", "M": "म", "N": "नणंँङञ",
    },
}  # fmt: skip
# Two letters that stand for one sound, and c before e, i, y.
_DIGRAPHS = (("ph", "f"), ("sh", "s"), ("ch", "c"), ("th", "t"), ("ck", "k"), ("gh", "g"), ("ce", "s"), ("ci", "s"), ("cy", "s"))
_WORD = re.compile(r"[^\s\d.,;:!?()\"'«»“”‘’\-–—/،؛؟।]+")


@lru_cache(maxsize=8)
def _table(script: str) -> dict[int, str | None]:
    letters = {letter: name for name, letters in _CLASSES[script].items() for letter in letters}
    return {ord(letter): name for letter, name in letters.items()}


def consonants(word: str, script: str) -> str:
    """The classes of the word's consonants in order, equal neighbours as one; vowels and unknown letters are left out."""
    if script == "Latin":
        word = word.lower()
        for pair, single in _DIGRAPHS:
            word = word.replace(pair, single)
    table = _table(script)
    found: list[str] = []
    for character in word:
        name = table.get(ord(character))
        if name and (not found or found[-1] != name):
            found.append(name)
    return "".join(found)


def written_in(name: str, text: str, script: str) -> bool:
    """Whether some word of a text in another script can be the name; True for names of fewer than two consonants."""
    # "ch" is k in Michael and tsh in Charles.
    lower = name.lower()
    ways = {consonants(lower, "Latin"), consonants(lower.replace("ch", "tsh"), "Latin")}
    if min(map(len, ways)) < 2 or script not in _CLASSES:
        return True
    found = _skeletons(text, script)
    return any(wanted in each or (len(each) > 2 and each in wanted) for wanted in ways for each in found)


@lru_cache(maxsize=64)
def _skeletons(text: str, script: str) -> frozenset[str]:
    return frozenset(consonants(word, script) for word in _WORD.findall(text))
