"""Benchmark questions as sentence pairs: a translated benchmark beside its original, to measure translators on questions.

>>> from hala.verbs.question_pairs import question_pairs
>>> rows = question_pairs("mmmlu_ar", False, print)   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hala.errors import InputError, RecipeError
from hala.records import Message, Row
from hala.verbs.testsets import NO_COMMITS, at_commit, benchmark_rows

NO_TWIN, OTHER_ORDER = "has another answer in the original, or is not there", "its subject is in another order"
AGREE = 0.9
"""A subject of which fewer twins have the same right answer is not in the original's order."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The questions of a subject by their place after its first usable row, before which so many rows of it may be `lost`."""

    items: dict[int, Any]
    lost: int


def question_pairs(name: str, options: bool, bad: Any, commits: Mapping[str, str] = NO_COMMITS) -> list[Row]:
    """The questions of a benchmark with those of its original, in the benchmark's order; each with its `options` or alone.

    They belong together by subject and place within it, where either side may lack its first rows. A question without a twin, or
    whose twin has another right answer, is no pair and goes to `bad`, and so does a subject that is in another order.
    Raises: RecipeError for an unknown benchmark and for one without an original, InputError when nothing fits together.
    """
    from hala.data.readers import BadRow
    from hala.evals.benchmarks import find_suite, read

    found, *others = find_suite(name)
    benchmark = at_commit(found, commits)
    if others or benchmark.original is None:
        raise RecipeError(f"'{name}' has no original that its questions were translated from.", "For example: mmmlu_ar.")

    def refuse(item: Any, reason: str) -> None:
        index = int(item.question.id.rpartition("/")[2])
        bad(BadRow(f"{benchmark.source}/{item.subset}", index, reason, item.question.question[:120]))

    sides = [read(each, benchmark_rows) for each in (benchmark, benchmark.original)]
    for reading, where in zip(sides, (benchmark, benchmark.original), strict=True):
        for problem in reading.malformed:
            bad(BadRow(f"{where.source}/{problem.subset}", problem.index, problem.reason))
    there = _by_subject(sides[1])
    where = f"{benchmark.source}@{benchmark.revision}" + (" with options" if options else "")
    rows = []
    for title, subject in _by_subject(sides[0]).items():
        twins = _twins(subject, there.get(title, Subject({}, 0)))
        ordered = _agree(twins)
        for item, twin in twins:
            if ordered and _alike(item, twin):
                rows.append(_row(item, twin, options, where))
            else:
                refuse(item, NO_TWIN if ordered else OTHER_ORDER)
    if not rows:
        raise InputError(f"'{name}' and '{benchmark.original.name}' have no question in common.", "Both must be in one order.")
    return rows


def _twins(subject: Subject, original: Subject) -> list[tuple[Any, Any]]:
    """(question, the original's at the same place); where a side may lack its first rows, at the shift by which they agree."""
    shifts = sorted(range(-original.lost, subject.lost + 1), key=abs)
    found = [[(item, original.items.get(place + shift)) for place, item in subject.items.items()] for shift in shifts]
    return next((twins for twins in found if _agree(twins)), found[0])


def _agree(twins: Sequence[tuple[Any, Any]]) -> bool:
    return sum(_alike(*pair) for pair in twins) >= AGREE * len(twins)


def _alike(item: Any, twin: Any) -> bool:
    return twin is not None and bool(twin.question.answer == item.question.answer)


def _by_subject(reading: Any) -> dict[str, Subject]:
    """The subjects of a benchmark; rows that could not be used leave gaps."""
    bad = {(problem.subset, problem.index) for problem in reading.malformed}
    rows: dict[str, list[tuple[int, Any]]] = {}
    for item in reading.items:
        name = (item.question.topic or item.subset).casefold().replace(" ", "_")
        rows.setdefault(name, []).append((int(item.question.id.rpartition("/")[2]), item))
    found = {}
    for name, numbered in rows.items():
        first = lost = 0  # a subset that is one subject counts its rows itself
        if numbered[0][1].question.topic:
            first = numbered[0][0]
            while (numbered[0][1].subset, first - lost - 1) in bad:
                lost += 1
        found[name] = Subject({index - first: item for index, item in numbered}, lost)
    return found


def _row(item: Any, twin: Any, options: bool, where: str) -> Row:
    target, source = (Message("text", _written(each, options)) for each in (item, twin))
    return Row(item.question.id, (target,), item.question.lang, source=where, original=(source,))


def _written(item: Any, options: bool) -> str:
    shown = [f"{label}. {option}" for label, option in zip(item.labels, item.question.options, strict=True)] if options else []
    return "\n".join([item.question.question, *shown])
