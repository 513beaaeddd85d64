"""What is asked: each multiple-choice benchmark as frozen data, and its raw rows as items.

A benchmark never fetches anything. `read` gets rows from a function that the caller passes in, so the same code reads the
hub, a local file or a test's list. A row that cannot be used is listed with its reason, never skipped in silence.

>>> from hala.evals.benchmarks import ARATRUST, read
>>> rows = [{"Question": "2 + 2?", "A": "3", "B": "4", "C": "5", "Answer": "ب"}, {"Question": "?"}]
>>> reading = read(ARATRUST, lambda benchmark, subset: rows if subset == "Ethics" else [])
>>> len(reading.items), [bad.reason for bad in reading.malformed]
(1, ["'Answer' is None, which is none of أ ب ج"])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hala.errors import InputError, RecipeError, nearest
from hala.evals.forms import FORMS, MOST_OPTIONS, Columns, Form, read_form
from hala.records import Question

# Own questions, which data/questions.py reads, come as items already.
_HUB_SET = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
ARABIC_LETTERS, LATIN_LETTERS = FORMS["own_ar"].labels, FORMS["own"].labels


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where a benchmark lives and how its rows are read. `source` is a hub id or a path; subsets ("",) means unnamed.

    `average` says which number is the headline: the mean over subsets (macro) or over items (micro).
    """

    name: str
    source: str
    subsets: tuple[str, ...]
    split: str
    schema: str
    """The form (`hala.evals.forms`) that says which column holds what and how it is asked; `jsonl` for own questions."""
    labels: tuple[str, ...]
    average: Literal["macro", "micro"] = "macro"
    revision: str = "main"
    lang: str = "ar"
    original: Benchmark | None = None
    """What it was translated from, in part at least: looked for in training data too."""

    @property
    def on_hub(self) -> bool:
        """Whether the rows are those of a data set of the hub, and not files here."""
        return _HUB_SET.fullmatch(self.source) is not None and not Path(self.source).exists()


@dataclass(frozen=True, slots=True)
class Item:
    """A question as a benchmark asks it: `labels[i]` is shown beside `question.options[i]`.

    `context` is the passage that comes with the question, `None` when the row has no such cell.
    """

    question: Question
    benchmark: str
    subset: str
    schema: str
    labels: tuple[str, ...]
    context: str | None = None
    cluster: str = ""
    """What it shares with others that are no independent draws, where that is not the context."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that could not become an item: the `index` counts from 0 within the subset."""

    subset: str
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All of a benchmark. Law: rows = len(items) + len(malformed)."""

    items: tuple[Item, ...]
    malformed: tuple[Malformed, ...]
    rows: int


LoadRows = Callable[[Benchmark, str], Iterable[Mapping[str, Any]]]


def read(benchmark: Benchmark, load_rows: LoadRows) -> Reading:
    """Items of every subset in order; `load_rows(benchmark, subset)` gives the raw rows.

    Raises InputError when no row at all could be used, since a score over nothing would look like a score.
    """
    items: list[Item] = []
    malformed: list[Malformed] = []
    for subset in benchmark.subsets:
        for index, row in enumerate(load_rows(benchmark, subset)):
            try:
                items.append(_item(benchmark, subset, index, row))
            except InputError as problem:
                malformed.append(Malformed(subset, index, problem.message))
    if not items:
        first = f" The first problem: {malformed[0].reason}." if malformed else ""
        raise InputError(
            f"benchmark '{benchmark.name}' ({benchmark.source}) has no usable row among {len(malformed)}.{first}",
            f"Check that the columns are those of the '{benchmark.schema}' format.",
        )
    return Reading(tuple(items), tuple(malformed), len(items) + len(malformed))


def find_suite(name: str) -> tuple[Benchmark, ...]:
    """The benchmarks of a suite, the one benchmark of that name, or the one in a file (`mine.toml`).

    Raises RecipeError with the nearest known name.
    """
    if name.endswith(".toml"):
        form = read_form(Path(name))
        if form.columns is None:
            raise RecipeError(f"{name} has no [columns].", "docs/evaluate.md shows a benchmark's file.")
        _own(form, name)
        if form.original.endswith(".toml"):  # beside the file
            other = replace(read_form(Path(name).parent / form.original), original="")
            if other.name == form.name:
                raise RecipeError(f"{name} and its original {form.original} have one name.", "Rename one of the files.")
            _own(other, form.original)
            form = replace(form, original=other.name)
        elif form.original and form.original not in BENCHMARKS:
            hint = nearest(form.original, BENCHMARKS)
            raise RecipeError(f"{name}: unknown original '{form.original}'.{hint}", f"Known: {', '.join(sorted(BENCHMARKS))}.")
        return (_benchmark(form),)
    if name in SUITES:
        return SUITES[name]
    if name in BENCHMARKS:
        return (BENCHMARKS[name],)
    choices = sorted([*SUITES, *BENCHMARKS])
    raise RecipeError(f"unknown suite '{name}'.{nearest(name, choices)}", f"Known: {', '.join(choices)}, or a file (mine.toml).")


def find_with_originals(name: str) -> tuple[Benchmark, ...]:
    """The benchmarks that `find_suite` finds, each once, and behind them what they were translated from."""
    named = find_suite(name)
    return tuple(dict.fromkeys([*named, *(each.original for each in named if each.original is not None)]))


def said_of(benchmark: Benchmark) -> dict[str, Any]:
    """All that a benchmark's file says, as JSON can hold it; without the place of its rows where they are files."""
    form = FORMS[benchmark.schema]
    return asdict(replace(form, source="") if Path(form.source).exists() else form)


def _own(form: Form, place: str) -> None:
    """Makes a user's own benchmark known, under a name that is nobody else's."""
    if form.name in BENCHMARKS:
        raise RecipeError(f"{place} is named like a benchmark that ships ({form.name}).", "Rename the file.")
    FORMS[form.name] = form


def _item(benchmark: Benchmark, subset: str, index: int, row: Mapping[str, Any]) -> Item:
    columns = FORMS[benchmark.schema].columns
    assert columns is not None
    places, options = _options(row, columns)
    answer = _answer(row, columns, places, options)
    context = row.get(columns.context) if columns.context else None
    topic = _text(row, columns.topic) if columns.needs_topic else str(row.get(columns.topic) or "") if columns.topic else ""
    place = f"{benchmark.name}/{subset}/{index}" if subset else f"{benchmark.name}/{index}"
    question = Question(place, _text(row, columns.question), options, answer, benchmark.lang, topic)
    start = question.question[: FORMS[benchmark.schema].passages]
    cluster = f"{subset}: {start}" if len(start) < len(question.question) and start else ""
    if places[-1] >= len(benchmark.labels):
        raise InputError(f"option {places[-1] + 1} has no label; there are {len(benchmark.labels)}")
    labels = tuple(benchmark.labels[each] for each in places)
    return Item(question, benchmark.name, subset, benchmark.schema, labels, None if context is None else str(context), cluster)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"column '{column}' is missing, empty or no text")
    return value


def _options(row: Mapping[str, Any], columns: Columns) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The options that are there, and their places among all."""
    if columns.listed:
        cells = row.get(columns.options[0])
        sized = isinstance(cells, (list, tuple)) and 2 <= len(cells) <= MOST_OPTIONS
        if not sized or not all(isinstance(cell, (str, int, float)) for cell in cells or ()):
            raise InputError(f"'{columns.options[0]}' must be a list of 2 to {MOST_OPTIONS} texts")
        return tuple(range(len(cells or ()))), tuple(str(cell) for cell in cells or ())
    there = [(place, name) for place, name in enumerate(columns.options) if columns.absent == "refuse" or name in row]
    if columns.empty == "drop":
        there = [(place, name) for place, name in there if row.get(name) not in (None, "")]
    if len(there) < 2:
        state = "exist" if columns.absent == "drop" else "are filled"
        raise InputError(f"fewer than two of the columns '{columns.options[0]}' to '{columns.options[-1]}' {state}")
    texts = tuple(str(row.get(name)) if columns.empty != "refuse" else _text(row, name) for _, name in there)
    return tuple(place for place, _ in there), texts


def _answer(row: Mapping[str, Any], columns: Columns, places: tuple[int, ...], options: tuple[str, ...]) -> int:
    """The right option among those that are there, from 0."""
    value = row.get(columns.answer)
    if columns.answers == ("text",):
        wanted = value.strip() if isinstance(value, str) else None
        if [option.strip() for option in options].count(wanted or "") != 1:
            raise InputError(f"'{columns.answer}' is {value!r}, which is not one of the options")
        return [option.strip() for option in options].index(wanted or "")
    if columns.answers:
        keys = columns.answers if columns.empty == "drop" else tuple(columns.answers[place] for place in places)
        said = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else None
        if said not in keys:
            raise InputError(f"'{columns.answer}' is {value!r}, which is none of {' '.join(keys)}")
        number = columns.answers.index(said or "")
        if number not in places:
            raise InputError(f"'{columns.answer}' is {said}, but that option is empty")
        return places.index(number)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"'{columns.answer}' is {value!r}, but a 0-based index is needed")
    if not 0 <= value < len(options):
        raise InputError(f"the answer {value} is none of the {len(options)} options")
    return value


def _benchmark(form: Form) -> Benchmark:
    original = _benchmark(FORMS[form.original]) if form.original else None
    place = (form.source, form.subsets, form.split)
    return Benchmark(form.name, *place, form.name, form.labels, form.average, form.revision, form.lang, original)


BENCHMARKS: dict[str, Benchmark] = {name: _benchmark(form) for name, form in FORMS.items() if form.columns is not None}
ALGHAFA, ARABIC_MMLU, EXAMS = (BENCHMARKS[name] for name in ("alghafa", "arabic_mmlu", "exams"))
MADINAH_QA, ARATRUST, ARBMMLU_HT = (BENCHMARKS[name] for name in ("madinah_qa", "aratrust", "arbmmlu_ht"))
BELEBELE, MMLU = BENCHMARKS["belebele"], BENCHMARKS["mmlu"]

SUITES: dict[str, tuple[Benchmark, ...]] = {
    "oall-v2": (ALGHAFA, ARABIC_MMLU, EXAMS, MADINAH_QA, ARATRUST, ARBMMLU_HT),
}
