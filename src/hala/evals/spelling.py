"""Spellings that a comparison may overlook, by the names that signatures give them. Nothing is ever overlooked unasked.

>>> from hala.evals.spelling import respell
>>> respell("كَتَبَ", "arabic-light"), respell("أحمد ١٢", "arabic-fold"), respell("كَتَبَ", "none") == "كَتَبَ"
('كتب', 'احمد 12', True)
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from hala.errors import RecipeError, nearest
from hala.languages import fold_digits

Normaliser = Literal["none", "arabic-light", "arabic-fold"]
NORMALISERS: tuple[Normaliser, ...] = ("none", "arabic-light", "arabic-fold")

_MARKS = re.compile("[\u064b-\u0652\u0670\u0640]")
_PRESENTATION = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]")
_ALIKE = str.maketrans("أإآٱىة", "اااايه")


def respell(text: str, normaliser: str) -> str:
    """The text as `normaliser` writes it.

    `arabic-light` leaves out vowel marks and tatweel and writes presentation forms as plain letters: differences of style only.
    `arabic-fold` also takes alefs for one, and ya and ta marbuta for what they are mistaken for, with ASCII digits: it hides
    errors of spelling. Raises RecipeError for another name.
    """
    if normaliser == "none":
        return text
    if normaliser not in NORMALISERS:
        raise RecipeError(
            f"unknown normaliser '{normaliser}'.{nearest(normaliser, NORMALISERS)}", f"Known: {', '.join(NORMALISERS)}."
        )
    light = _MARKS.sub("", _PRESENTATION.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text))
    return light if normaliser == "arabic-light" else fold_digits(light.translate(_ALIKE))
