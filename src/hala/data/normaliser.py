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
_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """The text in NFKC and lower case, with ASCII digits, one spelling of what is alike, no optional marks, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():
        left_out, alike = _folding(_known())
        folded = unicodedata.normalize("NFKC", left_out.sub("", folded))
        for other, first in alike:
            if other in folded:
                folded = folded.replace(other, first)
        folded = fold_digits(folded)
    return " ".join(folded.split())


def words(text: str) -> list[str]:
    """The words of the normalised text, in order; no punctuation."""
    return _WORD.findall(normalise(text))


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
