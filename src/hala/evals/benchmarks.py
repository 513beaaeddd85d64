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

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hala.errors import InputError, RecipeError, nearest
from hala.records import Question

# `jsonl` stands for own questions, which data/questions.py reads and which come as items already.
Schema = Literal["alghafa", "arabic_mmlu", "exams", "madinah_qa", "aratrust", "arbmmlu_ht", "belebele", "jsonl"]
ARABIC_LETTERS = ("أ", "ب", "ج", "د", "هـ", "و", "ز", "ح", "ط", "ي")
LATIN_LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where a benchmark lives and how its rows are read. `source` is a hub id or a path; subsets ("",) means unnamed.

    `average` says which number is the headline: the mean over subsets (macro) or over items (micro).
    """

    name: str
    source: str
    subsets: tuple[str, ...]
    split: str
    schema: Schema
    labels: tuple[str, ...]
    average: Literal["macro", "micro"] = "macro"
    revision: str = "main"
    lang: str = "ar"
    original: Benchmark | None = None
    """What it was translated from, in part at least: looked for in training data too."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question as a benchmark asks it: `labels[i]` is shown beside `question.options[i]`.

    `context` is the passage that comes with the question, `None` when the row has no such cell.
    """

    question: Question
    benchmark: str
    subset: str
    schema: Schema
    labels: tuple[str, ...]
    context: str | None = None


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


@dataclass(frozen=True, slots=True)
class _Fields:
    """What one schema finds in one row."""

    question: str
    options: tuple[str, ...]
    labels: tuple[str, ...]
    answer: int
    context: str | None = None
    topic: str = ""


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
    """The benchmarks of a suite, or the one benchmark of that name. Raises RecipeError with the nearest known name."""
    if name in SUITES:
        return SUITES[name]
    known = {benchmark.name: benchmark for suite in SUITES.values() for benchmark in suite}
    if name in known:
        return (known[name],)
    choices = sorted([*SUITES, *known])
    raise RecipeError(f"unknown suite '{name}'.{nearest(name, choices)}", f"Known: {', '.join(choices)}.")


def _item(benchmark: Benchmark, subset: str, index: int, row: Mapping[str, Any]) -> Item:
    fields = _SCHEMAS[benchmark.schema](row)
    if not 0 <= fields.answer < len(fields.options):
        raise InputError(f"the answer {fields.answer} is none of the {len(fields.options)} options")
    place = f"{benchmark.name}/{subset}/{index}" if subset else f"{benchmark.name}/{index}"
    question = Question(place, fields.question, fields.options, fields.answer, benchmark.lang, fields.topic)
    return Item(question, benchmark.name, subset, benchmark.schema, fields.labels, fields.context)


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"column '{column}' is missing, empty or no text")
    return value


def _index(value: Any, keys: tuple[str, ...], column: str) -> int:
    if not isinstance(value, str) or value.strip() not in keys:
        raise InputError(f"'{column}' is {value!r}, which is none of {' '.join(keys)}")
    return keys.index(value.strip())


def _numbered(row: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Options 1 to 5. An empty one is dropped, but the letters of the others keep their places."""
    cells = [row.get(f"Option {number}") for number in range(1, 6)]
    kept = [place for place, cell in enumerate(cells) if cell not in (None, "")]
    if len(kept) < 2:
        raise InputError("fewer than two of the columns 'Option 1' to 'Option 5' are filled")
    key = _index(row.get("Answer Key"), LATIN_LETTERS[:5], "Answer Key")
    if key not in kept:
        raise InputError(f"'Answer Key' is {LATIN_LETTERS[key]}, but that option is empty")
    return tuple(str(cells[place]) for place in kept), tuple(ARABIC_LETTERS[place] for place in kept), kept.index(key)


def _arabic_mmlu(row: Mapping[str, Any]) -> _Fields:
    options, labels, answer = _numbered(row)
    context = row.get("Context")
    topic = str(row.get("Subject") or "")
    return _Fields(_text(row, "Question"), options, labels, answer, None if context is None else str(context), topic)


def _lettered(row: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_text(row, column) for column in columns)


def _exams(row: Mapping[str, Any]) -> _Fields:
    answer = _index(row.get("answer"), LATIN_LETTERS[:4], "answer")
    options = _lettered(row, LATIN_LETTERS[:4])
    return _Fields(_text(row, "question"), options, ARABIC_LETTERS[:4], answer, topic=_text(row, "subject"))


def _aratrust(row: Mapping[str, Any]) -> _Fields:
    answer = _index(row.get("Answer"), ARABIC_LETTERS[:3], "Answer")
    return _Fields(_text(row, "Question"), _lettered(row, LATIN_LETTERS[:3]), ARABIC_LETTERS[:3], answer)


def _alghafa(row: Mapping[str, Any]) -> _Fields:
    """A column counts as an option when it exists, even if its cell is null (then printed `None`, as the leaderboard did)."""
    options = tuple(str(row[f"sol{number}"]) for number in range(1, 6) if f"sol{number}" in row)
    if len(options) < 2:
        raise InputError("fewer than two of the columns 'sol1' to 'sol5' exist")
    labels = tuple(str(place) for place in range(len(options)))
    return _Fields(_text(row, "query"), options, labels, _index(str(row.get("label")), labels, "label"))


def _arbmmlu_ht(row: Mapping[str, Any]) -> _Fields:
    options = _options(row, "choices")
    labels = tuple(str(place) for place in range(1, len(options) + 1))
    return _Fields(_text(row, "question"), options, labels, _whole(row, "answer"))


def _belebele(row: Mapping[str, Any]) -> _Fields:
    options = tuple(_text(row, f"mc_answer{number}") for number in range(1, 5))
    answer = _index(str(row.get("correct_answer_num")), ("1", "2", "3", "4"), "correct_answer_num")
    return _Fields(_text(row, "question"), options, LATIN_LETTERS[:4], answer, _text(row, "flores_passage"))


def _options(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
    cells = row.get(column)
    sized = isinstance(cells, (list, tuple)) and 2 <= len(cells) <= len(LATIN_LETTERS)
    if not sized or not all(isinstance(cell, (str, int, float)) for cell in cells or ()):
        raise InputError(f"'{column}' must be a list of 2 to {len(LATIN_LETTERS)} texts")
    return tuple(str(cell) for cell in cells or ())


def _whole(row: Mapping[str, Any], column: str) -> int:
    value = row.get(column)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"'{column}' is {value!r}, but a 0-based index is needed")
    return value


_SCHEMAS: dict[Schema, Callable[[Mapping[str, Any]], _Fields]] = {
    "alghafa": _alghafa,
    "arabic_mmlu": _arabic_mmlu,
    "exams": _exams,
    "madinah_qa": _arabic_mmlu,
    "aratrust": _aratrust,
    "arbmmlu_ht": _arbmmlu_ht,
    "belebele": _belebele,
}

_SCHOOL = {"P": "Primary School", "M": "Middle School", "H": "High School", "U": "University", "-": ""}


def _levels(subject: str, levels: str) -> tuple[str, ...]:
    """The subsets of one subject of ArabicMMLU, which spells the level out in brackets."""
    return tuple(f"{subject} ({_SCHOOL[level]})" if level != "-" else subject for level in levels)


_ARABIC_MMLU_SUBSETS = (
    *_levels("Islamic Studies", "-PMH"), "Driving Test", *_levels("Natural Science", "PM"), *_levels("History", "PMH"),
    *_levels("General Knowledge", "-PM"), "Law (Professional)", *_levels("Physics", "H"), *_levels("Social Science", "PM"),
    *_levels("Management", "U"), *_levels("Arabic Language", "PMH"), "Arabic Language (General)", "Arabic Language (Grammar)",
    *_levels("Political Science", "U"), *_levels("Philosophy", "H"), *_levels("Accounting", "U"),
    *_levels("Computer Science", "PMHU"), *_levels("Geography", "PMH"), *_levels("Math", "P"), *_levels("Biology", "H"),
    *_levels("Economics", "MHU"), *_levels("Civics", "MH"),
)  # fmt: skip

_MMLU_SUBSETS = (
    "abstract_algebra", "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_biology", "college_chemistry",
    "college_computer_science", "college_mathematics", "college_medicine", "college_physics", "computer_security",
    "conceptual_physics", "econometrics", "electrical_engineering", "elementary_mathematics", "formal_logic", "global_facts",
    "high_school_biology", "high_school_chemistry", "high_school_computer_science", "high_school_european_history",
    "high_school_geography", "high_school_government_and_politics", "high_school_macroeconomics", "high_school_mathematics",
    "high_school_microeconomics", "high_school_physics", "high_school_psychology", "high_school_statistics",
    "high_school_us_history", "high_school_world_history", "human_aging", "human_sexuality", "international_law",
    "jurisprudence", "logical_fallacies", "machine_learning", "management", "marketing", "medical_genetics", "miscellaneous",
    "moral_disputes", "moral_scenarios", "nutrition", "philosophy", "prehistory", "professional_accounting", "professional_law",
    "professional_medicine", "professional_psychology", "public_relations", "security_studies", "sociology",
    "us_foreign_policy", "virology", "world_religions",
)  # fmt: skip

_ALGHAFA_SUBSETS = (
    "meta_ar_dialects", "meta_ar_msa", "multiple_choice_facts_truefalse_balanced_task",
    "multiple_choice_grounded_statement_soqal_task", "multiple_choice_grounded_statement_xglue_mlqa_task",
    "multiple_choice_rating_sentiment_no_neutral_task", "multiple_choice_rating_sentiment_task",
    "multiple_choice_sentiment_task",
)  # fmt: skip

_MADINAH_SUBSETS = ("Arabic Language (General)", "Arabic Language (Grammar)")
_ARATRUST_SUBSETS = (
    "Trustfulness", "MentalHealth", "PhysicalHealth", "Offensive", "Ethics", "Privacy", "Unfairness", "Illegal",
)  # fmt: skip
_FIVE, _DIGITS = ARABIC_LETTERS[:5], ("0", "1", "2", "3", "4")

# Originals: the dialects and a part of the standard Arabic of AlGhafa are Belebele's, ArbMMLU is MMLU.
BELEBELE = Benchmark("belebele", "facebook/belebele", ("eng_Latn",), "test", "belebele", LATIN_LETTERS[:4], "micro", lang="en")
MMLU = Benchmark("mmlu", "cais/mmlu", ("all",), "test", "arbmmlu_ht", ("1", "2", "3", "4"), "micro", lang="en")

ALGHAFA = Benchmark(
    "alghafa", "OALL/AlGhafa-Arabic-LLM-Benchmark-Native", _ALGHAFA_SUBSETS, "test", "alghafa", _DIGITS, original=BELEBELE
)
ARABIC_MMLU = Benchmark("arabic_mmlu", "MBZUAI/ArabicMMLU", _ARABIC_MMLU_SUBSETS, "test", "arabic_mmlu", _FIVE)
EXAMS = Benchmark("exams", "OALL/Arabic_EXAMS", ("default",), "test", "exams", ARABIC_LETTERS[:4])
MADINAH_QA = Benchmark("madinah_qa", "MBZUAI/MadinahQA", _MADINAH_SUBSETS, "test", "madinah_qa", _FIVE)
# AraTrust's only split is called train; nothing of it is meant for training.
ARATRUST = Benchmark("aratrust", "asas-ai/AraTrust-categorized", _ARATRUST_SUBSETS, "train", "aratrust", ARABIC_LETTERS[:3])
ARBMMLU_HT = Benchmark(
    "arbmmlu_ht", "MBZUAI/human_translated_arabic_mmlu", _MMLU_SUBSETS, "test", "arbmmlu_ht", ("1", "2", "3", "4"), original=MMLU
)

SUITES: dict[str, tuple[Benchmark, ...]] = {
    "oall-v2": (ALGHAFA, ARABIC_MMLU, EXAMS, MADINAH_QA, ARATRUST, ARBMMLU_HT),
}
