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


def schedule_error(t: float | Sequence[float] | Mapping[str, float | Sequence[float]]) -> str:
    """What is wrong with a value of t whatever the model; empty when nothing is."""
    for key, knots in t.items() if isinstance(t, Mapping) else [("t", t)]:
        if key.startswith("re:"):
            try:
                re.compile(key[3:])
            except (re.error, OverflowError, RecursionError) as error:
                return f"{key!r} is no regular expression: {error}"
        numbers = knots if isinstance(knots, list | tuple) else (knots,)
        if not numbers:
            return f"the list of {key!r} is empty"
        for number in numbers:
            if not isinstance(number, int | float) or not math.isfinite(number):
                return f"{key!r} is {number!r}, which is no finite number"
    return ""
