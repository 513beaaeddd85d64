"""The judge of every update before it is made: numbers that are not finite, and spikes.

The one idea: loss and gradient norm of an update are known before the weights change, so a bad update can be left out whole. The
verdict is a function of the training alone, and the judge's memory lies in every checkpoint, so a killed training leaves out the
same updates.

>>> from hala.training.guard import Guard
>>> Guard().wrong(float("nan"), 1.0)
'loss is nan'
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Any

FEWEST = 16
"""Updates that must be known before one is called a spike."""
SMALLEST = 0.02
"""The deviation of a flat curve counts as this share of its median: noise there is no spike."""


class Guard:
    """Judges updates against the last `window` good ones; `limit` 0 looks for numbers that are not finite only.

    A spike is a loss or gradient norm above `median + limit * deviation` of the last good updates, where the deviation is 1.4826
    times the median absolute deviation (what a normal distribution calls sigma), at least 2% of the median.
    Source: Leys et al. (2013), Journal of Experimental Social Psychology 49.
    """

    def __init__(self, limit: float = 0.0, window: int = 64) -> None:
        self.limit = limit
        self.past: dict[str, deque[float]] = {"loss": deque(maxlen=window), "gradient norm": deque(maxlen=window)}
        self.in_a_row = 0
        self.left_out = 0
        self.events: list[dict[str, Any]] = []

    def wrong(self, loss: float, norm: float) -> str | None:
        """What is wrong with an update of this loss and gradient norm; None for a good one, which is remembered."""
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                return f"{name} is {value}"
            if value > (most := self.most(name)):
                return f"{name} is {value:.4g}, a spike above {most:.4g}"
        self.past["loss"].append(loss)
        self.past["gradient norm"].append(norm)
        self.in_a_row = 0
        return None

    def most(self, name: str) -> float:
        """The largest value that is no spike now; infinity where none is looked for, or too few updates are known."""
        past = self.past[name]
        if not self.limit or len(past) < FEWEST:
            return math.inf
        middle = median(past)
        deviation = max(1.4826 * median(abs(value - middle) for value in past), SMALLEST * abs(middle))
        return middle + self.limit * deviation

    def leave_out(self, step: int, why: str, back_to: int | None) -> int:
        """Count a bad update, with those since `back_to` that were undone; how many are left out by it."""
        undone = max(back_to, self.events[-1]["step"] if self.events else 0) if back_to is not None else step - 1
        number = step - undone  # what an earlier rollback undid is counted already
        self.in_a_row += 1
        self.left_out += number
        self.events.append({"step": step, "why": why} | ({"back_to": back_to} if back_to is not None else {}))
        return number

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs to judge alike, as JSON."""
        past = {name: list(values) for name, values in self.past.items()}
        return {"past": past, "in_a_row": self.in_a_row, "left_out": self.left_out, "events": self.events}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        for name, values in state["past"].items():
            self.past[name].extend(values)
        self.in_a_row, self.left_out, self.events = state["in_a_row"], state["left_out"], list(state["events"])
