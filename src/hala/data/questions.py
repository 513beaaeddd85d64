"""Multiple-choice questions from files: JSON lines or comma-separated tables, letters or numbers as answers.

>>> from hala.data.questions import parse_question
>>> parse_question({"question": "1+1?", "A": "1", "B": "2", "answer": "B"}, "demo/0", "en").answer
1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hala.data.readers import BadRow, Reject, format_of, read_records
from hala.data.shapes import RecordError, clean
from hala.errors import InputError
from hala.languages import fold_digits
from hala.records import Question

_LETTERS = ("ABCDEFGHIJ", "أبجدهوزحطي")


def read_questions(path: str, reject: Reject, lang: str = "") -> Iterator[Question]:
    """The questions of a file; each record that is none is reported. Raises InputError when there is no question at all,
    and when the answers count from 1, which would make most of them wrong without a word.

    A record has `question`, an answer (0-based index, letter, or the option's text) and `options`, or one column an option:
    A to J, or choice0, choice1, ... A table without header is question, options, answer.
    """
    file = Path(path)
    made = bad = 0
    first, zero, beyond = "", False, False
    for position, record in read_records(file, format_of(file), reject):
        named = _named(record)
        said = str(named.get("answer", named.get("label"))).strip()
        zero = zero or said == "0"
        try:
            yield parse_question(named, f"{file.name.split('.')[0]}/{position}", lang)
            made += 1
        except RecordError as error:
            bad, first = bad + 1, first or f"{error.reason}: {error.detail}"
            beyond = beyond or (error.reason == "bad_answer" and said.isdigit())
            reject(BadRow(path, position, error.reason, error.detail))
    if not made:
        why = f"{bad} records are none, the first: {first}" if bad else "it is empty"
        raise InputError(f"{path} holds no questions ({why}).", 'Lines need "question", "options" and "answer".')
    if beyond and not zero:
        raise InputError(
            f"the answers of {path} seem to count from 1: none is 0, and some are as large as the number of options.",
            "Numbers count from 0. Write letters, or subtract 1.",
        )


def _named(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record of a table without header, with the usual names."""
    if "0" not in record or "question" in record:
        return record
    cells = [record[str(number)] for number in range(len(record))]
    return {"question": cells[0], "options": cells[1:-1], "answer": cells[-1]}


def parse_question(record: Mapping[str, Any], name: str, lang: str) -> Question:
    """The question of a record; `name` is its id when the record has none. Raises RecordError."""
    text = clean(record.get("question"), "question")
    options = _options(record)
    if not text.strip() or len(options) < 2:
        raise RecordError("empty_field" if not text.strip() else "missing_field", "question" if not text.strip() else "options")
    answer = _answer(record.get("answer", record.get("label")), options)
    topic = record.get("topic") or record.get("subject") or ""
    return Question(str(record.get("id") or name), text, options, answer, lang or str(record.get("lang") or ""), str(topic))


def _options(record: Mapping[str, Any]) -> tuple[str, ...]:
    given = record.get("options", record.get("choices"))
    if isinstance(given, dict):
        given = given.get("text", list(given.values()))
    if not isinstance(given, list | tuple):
        names = [letter for letter in _LETTERS[0] if letter in record] or [
            f"choice{n}" for n in range(10) if f"choice{n}" in record
        ]
        given = [record[name] for name in names]
    options = tuple(clean(str(option) if isinstance(option, int | float) else option, "options") for option in given)
    return options[: next((n for n, option in enumerate(options) if not option.strip()), len(options))]


def _answer(answer: Any, options: tuple[str, ...]) -> int:
    """The 0-based index of the right option, from an index, a letter or the option itself."""
    text = fold_digits(str(answer).strip()) if isinstance(answer, str | int) and not isinstance(answer, bool) else ""
    for letters in _LETTERS:
        if len(text) == 1 and text.upper() in letters[: len(options)]:
            return letters.index(text.upper())
    if text.isdigit() and int(text) < len(options):
        return int(text)
    if text and options.count(text) == 1:
        return options.index(text)
    raise RecordError("bad_answer", f"{str(answer)[:40]!r} is none of {len(options)} options")
