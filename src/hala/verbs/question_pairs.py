"""Benchmark questions as sentence pairs: a translated benchmark beside its original, to measure translators on questions.

>>> from hala.verbs.question_pairs import question_pairs
>>> rows = question_pairs("mmmlu_ar", False, print)   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hala.errors import InputError, RecipeError
from hala.records import Message, Row
from hala.verbs.testsets import NO_COMMITS, at_commit, benchmark_rows

NO_TWIN, OTHER_ORDER = "has another answer in the original, or is not there", "its subject is in another order"
AGREE = 0.9
"""A subject of which fewer twins have the same right answer is not in the original's order."""


def question_pairs(name: str, options: bool, bad: Any, commits: Mapping[str, str] = NO_COMMITS) -> list[Row]:
    """The questions of a benchmark with those of its original, in the benchmark's order; each with its `options` or alone.

    They belong together by subject and place within it. A question without a twin, or whose twin has another right answer, is no
    pair and goes to `bad`, and so does a subject that is in another order.
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
    originals = {place: item for _, subject in _by_subject(sides[1].items) for place, item in subject}
    rows = []
    for _, subject in _by_subject(sides[0].items):
        twins = [(item, originals.get(place)) for place, item in subject]
        same = [twin is not None and twin.question.answer == item.question.answer for item, twin in twins]
        ordered = sum(same) >= AGREE * len(same)
        for (item, twin), fits in zip(twins, same, strict=True):
            if fits and ordered:
                rows.append(_row(item, twin, options))
            else:
                refuse(item, NO_TWIN if ordered else OTHER_ORDER)
    if not rows:
        raise InputError(f"'{name}' and '{benchmark.original.name}' have no question in common.", "Both must be in one order.")
    return rows


def _by_subject(items: Sequence[Any]) -> Iterator[tuple[str, list[tuple[tuple[str, int], Any]]]]:
    """(subject, [((subject, number of the row within it), item), ...]); rows that could not be used leave gaps."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for item in items:
        subject = (item.question.topic or item.subset).casefold().replace(" ", "_")
        found.setdefault(subject, []).append((int(item.question.id.rpartition("/")[2]), item))
    for subject, rows in found.items():
        first = rows[0][0] if rows[0][1].question.topic else 0  # a subset that is one subject counts its rows itself
        yield subject, [((subject, index - first), item) for index, item in rows]


def _row(item: Any, twin: Any, options: bool) -> Row:
    target, source = (Message("text", _written(each, options)) for each in (item, twin))
    return Row(item.question.id, (target,), item.question.lang, original=(source,))


def _written(item: Any, options: bool) -> str:
    shown = [f"{label}. {option}" for label, option in zip(item.labels, item.question.options, strict=True)] if options else []
    return "\n".join([item.question.question, *shown])
