"""Values of t in a merge: what can be said of them before any model is open, for recipes and for the merge itself.

>>> from hala.schedules import schedule_error
>>> schedule_error({"attention": [0.1, 0.9], "default": 0.5})
''
>>> schedule_error({"gradient": []})
"the list of 'gradient' is empty"
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from hala.errors import nearest

GROUPS = ("embeddings", "attention", "conv", "feed_forward", "norms", "head")
DEFAULT = "default"
GRADIENT = "gradient"


def schedule_error(t: float | Sequence[float] | Mapping[str, float | Sequence[float]]) -> str:
    """What is wrong with a value of t whatever the model; empty when nothing is."""
    for key, knots in t.items() if isinstance(t, Mapping) else [("t", t)]:
        if key.startswith("re:"):
            try:
                re.compile(key[3:])
            except (re.error, OverflowError, RecursionError) as error:
                return f"{key!r} is no regular expression: {error}"
        elif isinstance(t, Mapping) and key not in (*GROUPS, DEFAULT, GRADIENT):
            hint = nearest(key, (*GROUPS, DEFAULT, GRADIENT)).strip() or f"The groups are {', '.join(GROUPS)}."
            return f"unknown group {key!r} ({hint})"
        numbers = knots if isinstance(knots, list | tuple) else (knots,)
        if not numbers:
            return f"the list of {key!r} is empty"
        for number in numbers:
            if not isinstance(number, int | float) or not math.isfinite(number):
                return f"{key!r} is {number!r}, which is no finite number"
    return ""


def spelling_error(t: object) -> str:
    """What is wrong with how a value of t was written, before it is read; numbers may still be text. Empty when nothing is."""
    if not isinstance(t, Mapping):
        fine = t == "search" or _is_number(t)
        return "" if fine else f"t wants a number from 0 to 1, `search`, a gradient or values by group, found {t!r}"
    for key, knots in t.items():
        for value in knots if isinstance(knots, list | tuple) else (knots,):
            if not _is_number(value):
                return f"{key!r} wants a number or a list of numbers, found {value!r}"
    return ""


def _is_number(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, int | float)
    try:
        float(value)
    except ValueError:
        return False
    return True
