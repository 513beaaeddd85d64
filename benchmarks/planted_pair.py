"""A human translation, what a plant of an error makes of it, and how to look at its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple


class Good(NamedTuple):
    """A human translation. `half` is 0 for setting limits and 1 for the report; `sides` has the same text in other languages."""

    id: str
    half: int
    source: str
    target: str
    code: str
    sides: dict[str, str]


Spoilt = tuple[str, str, str]
Plant = Callable[[Random, Sequence[Good], int], Spoilt | None]


def words_of(text: str) -> list[str]:
    """Words with the punctuation that hangs on them, as spaces part them."""
    return text.split(" ")


def inside(rng: Random, text: str, extra: str) -> str:
    """The text with something between two of its words."""
    words = words_of(text)
    words.insert(rng.randrange(1, len(words) + 1), extra)
    return " ".join(words)


def some_word(rng: Random, text: str) -> str:
    """A word of the text at random."""
    words = [word for word in re.findall(r"[^\W\d_]{3,}", text)]
    return rng.choice(words) if words else "كلمة"
