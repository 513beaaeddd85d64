"""ROUGE-L: how much of a reference's words a translation says in their order, for any script.

The well-known package `rouge_score` drops every character but a-z and 0-9, so two equal Arabic sentences score 0 with it, and a
published ROUGE-L of Arabic text measures the Latin words and the digits in it. Both are here, each under its own name.

>>> from hala.evals.rouge import latin_words, rouge_l, unicode_words
>>> rouge_l(unicode_words("ذهب الولد."), unicode_words("ذهب الولد!")), rouge_l(latin_words("ذهب"), latin_words("ذهب"))
(1.0, 0.0)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_LATIN = re.compile("[a-z0-9]+")


class _Separators(dict[int, "int | str | None"]):
    """For `str.translate`: letters, marks and numbers stay, invisible format characters go, anything else is a space."""

    def __missing__(self, point: int) -> int | str | None:
        category = unicodedata.category(chr(point))
        self[point] = point if category[0] in "LMN" else None if category == "Cf" else " "
        return self[point]


_SEPARATORS = _Separators()


def unicode_words(text: str) -> list[str]:
    """Runs of letters, marks and numbers of any script, in NFC and lower case; vowel marks stay parts of their words."""
    return unicodedata.normalize("NFC", text).lower().translate(_SEPARATORS).split()


def latin_words(text: str) -> list[str]:
    """Runs of a-z and 0-9 in lower case: the default tokens of the package `rouge_score` (0.1.2, no stemmer)."""
    return _LATIN.findall(text.lower())


def rouge_l(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    """F1 (0 to 1) of the longest common subsequence of two token lists; 0 where either is empty. Source: Lin 2004."""
    if not hypothesis or not reference:
        return 0.0
    return 2 * lcs(hypothesis, reference) / (len(hypothesis) + len(reference))


def lcs(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one step of big integers for each token of `second`.

    Source: Hyyrö 2004, Bit-parallel LCS-length computation revisited.
    """
    places: dict[str, int] = {}
    for place, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        matched = row & places.get(token, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(first) - row.bit_count()
