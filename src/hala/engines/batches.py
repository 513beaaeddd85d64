"""Batches of like length under a token budget, for every engine that runs a model in this process.

Padding is what batches of mixed length are spent on: of segments in the order of their file most of a batch is padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar


class Sized(Protocol):
    """What a batch is made of: a tokenised prompt, and the most tokens that its answer may have."""

    @property
    def prompt(self) -> Sequence[Any]: ...

    @property
    def limit(self) -> int: ...


Item = TypeVar("Item", bound=Sized)


def plan_batches(jobs: Sequence[Item], batch_tokens: int, most_rows: float = math.inf) -> list[list[Item]]:
    """Batches of jobs of like length, longest first: rows x (prompt + expected answer) stays within `batch_tokens`.

    An answer is expected to be as long as its prompt and 16 tokens, or its limit if that is less. A job that is
    longer than the budget gets a batch of its own.
    """
    order = sorted(range(len(jobs)), key=lambda place: (-len(jobs[place].prompt), -jobs[place].limit, place))
    batches: list[list[Item]] = []
    longest = 0
    for job in (jobs[place] for place in order):
        size = len(job.prompt) + min(job.limit, len(job.prompt) + 16)
        rows = len(batches[-1]) + 1 if batches else math.inf
        longest = max(longest, size)
        if rows * longest > batch_tokens or rows > most_rows:
            batches.append([])
            longest = size
        batches[-1].append(job)
    return batches
