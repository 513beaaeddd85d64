"""Questions of the common forms come out alike, and what is no question is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hala.data.questions import parse_question, read_questions
from hala.data.readers import BadRow
from hala.data.shapes import RecordError
from hala.errors import InputError


@pytest.mark.parametrize(
    "record",
    [
        {"question": "q", "options": ["x", "y", "z"], "answer": 1},
        {"question": "q", "choices": ["x", "y", "z"], "answer": "B"},
        {"question": "q", "choices": {"label": ["A", "B", "C"], "text": ["x", "y", "z"]}, "answer": "b"},
        {"question": "q", "A": "x", "B": "y", "C": "z", "answer": "y"},
        {"question": "q", "choice0": "x", "choice1": "y", "choice2": "z", "answer": "1"},
        {"question": "q", "options": ["x", "y", "z"], "answer": "ب"},
    ],
)
def test_forms(record: dict[str, Any]) -> None:
    """Letters, numbers and the option itself all name the right option."""
    question = parse_question(record, "set/0", "ar")
    assert (question.id, question.options, question.answer, question.lang) == ("set/0", ("x", "y", "z"), 1, "ar")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"question": "q", "options": ["x", "y"], "answer": 2}, "bad_answer"),
        ({"question": "q", "options": ["x", "y"], "answer": "D"}, "bad_answer"),
        ({"question": "q", "options": ["x", "x"], "answer": "x"}, "bad_answer"),
        ({"question": "q", "options": ["x", "y"]}, "bad_answer"),
        ({"question": "q", "options": ["x", "y"], "answer": True}, "bad_answer"),
        ({"question": "q", "options": ["x"], "answer": 0}, "missing_field"),
        ({"question": " ", "options": ["x", "y"], "answer": 0}, "empty_field"),
        ({"options": ["x", "y"], "answer": 0}, "missing_field"),
        ({"question": "q", "options": ["x", None], "answer": 0}, "missing_field"),
    ],
)
def test_bad_questions(record: dict[str, Any], reason: str) -> None:
    """A question without a usable answer is never guessed."""
    with pytest.raises(RecordError) as error:
        parse_question(record, "set/0", "")
    assert error.value.reason == reason


def test_table_without_header(tmp_path: Path) -> None:
    """Question, options, letter: the form of the common test tables; bad rows are reported, an unusable file is an error."""
    path = tmp_path / "set_test.csv"
    path.write_text("1 + 1?,1,2,3,4,B\nbroken?,1,2,3,4,Z\n2 + 2?,1,2,3,4,D\n", encoding="utf-8")
    bad: list[BadRow] = []
    questions = list(read_questions(str(path), bad.append))
    assert [(question.id, question.answer) for question in questions] == [("set_test/0", 1), ("set_test/2", 3)]
    assert [(each.position, each.reason) for each in bad] == [(1, "bad_answer")]
    path.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="no questions"):
        list(read_questions(str(path), bad.append))


def test_answers_that_count_from_one_are_refused(tmp_path: Path) -> None:
    """Numbers from 1 are said to be wrong instead of making most questions wrong; a file with a 0 counts from 0."""
    file = tmp_path / "q.jsonl"

    def write(*answers: int) -> None:
        rows = [{"question": f"q{n}", "options": ["a", "b", "c"], "answer": answer} for n, answer in enumerate(answers)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    write(1, 2, 3)
    with pytest.raises(InputError, match="seem to count from 1"):
        list(read_questions(str(file), print))
    write(0, 2, 3)
    assert [each.answer for each in read_questions(str(file), print)] == [0, 2]
    write(-1, -1)
    with pytest.raises(InputError, match="2 records are none, the first: bad_answer: '-1' is none of 3 options"):
        list(read_questions(str(file), print))
