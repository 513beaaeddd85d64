"""Batches: like lengths together, under the budget, nothing lost."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hala.engines.batches import plan_batches


@dataclass(frozen=True)
class Piece:
    """The least that a batch is made of."""

    name: str
    prompt: list[int]
    limit: int = 50


def test_batches_stay_within_the_budget() -> None:
    """Every job is in exactly one batch, longest first, and no batch of several rows exceeds its tokens."""
    jobs = [Piece(str(n), [1] * random.Random(n).randint(1, 90)) for n in range(200)]
    batches = plan_batches(jobs, 1000)
    assert sorted(job.name for batch in batches for job in batch) == sorted(job.name for job in jobs)
    for batch in batches:
        width = max(len(job.prompt) + min(job.limit, len(job.prompt) + 16) for job in batch)
        assert len(batch) == 1 or len(batch) * width <= 1000
    lengths = [len(job.prompt) for batch in batches for job in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_batches_have_no_more_rows_than_asked() -> None:
    """A bound on rows holds whatever the budget, and is met by all batches but the last."""
    batches = plan_batches([Piece(str(n), [1] * (n % 7 + 1)) for n in range(50)], 1 << 20, 8)
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
