"""Questions of a translated benchmark become sentence pairs with those of its original, or say why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hala.errors import InputError, RecipeError
from hala.evals.benchmarks import find_suite
from hala.verbs.question_pairs import question_pairs

FORM = """\
source = "./{name}.jsonl"
lang = "{lang}"
labels = "A B C D"
{more}
[columns]
question = "question"
options = "choices"
answer = "answer"
topic = "subject"

[prompt]
body = "{{question}}\\n{{options}}"
option = "{{label}}. {{option}}\\n"
"""


def row(text: str, subject: str, answer: int) -> dict[str, Any]:
    """A question with two options."""
    return {"question": text, "choices": [f"{text} a", f"{text} b"], "answer": answer, "subject": subject}


@pytest.fixture
def two(tmp_path: Path) -> Any:
    """A function that writes a benchmark and its original and gives the first one's file."""

    def write(target: list[dict[str, Any]], source: list[dict[str, Any]]) -> str:
        for name, lang, rows, more in (("ar", "ar", target, 'original = "en.toml"'), ("en", "en", source, "")):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
            (tmp_path / f"{name}.toml").write_text(FORM.format(name=name, lang=lang, more=more), encoding="utf-8")
        return str(tmp_path / "ar.toml")

    return write


def test_questions_meet_their_originals(two: Any) -> None:
    """Pairs are found by subject and place, though subjects stand in another order; a row that is no question shifts nothing."""
    english = [*(row(f"bird {n}", "Birds", n % 2) for n in range(12)), *(row(f"sum {n}", "sums", n % 2) for n in range(12))]
    arabic = [*(row(f"جمع {n}", "sums", n % 2) for n in range(12)), *(row(f"طير {n}", "birds", n % 2) for n in range(12))]
    arabic[3]["choices"] = None
    bad: list[Any] = []
    rows = question_pairs(two(arabic, english), False, bad.append)
    pairs = {each.messages[0].content: (each.original or each.messages)[0].content for each in rows}
    expected = {f"جمع {n}": f"sum {n}" for n in range(12) if n != 3} | {f"طير {n}": f"bird {n}" for n in range(12)}
    assert pairs == expected and [each.lang for each in rows] == ["ar"] * 23
    assert [each.position for each in bad] == [3] and "list of 2" in bad[0].reason
    with_options = question_pairs(two(arabic, english), True, bad.append)
    assert with_options[0].messages[0].content == "جمع 0\nA. جمع 0 a\nB. جمع 0 b"


def test_another_answer_is_no_pair_and_another_order_no_subject(two: Any) -> None:
    """Protects against scoring a translation against another question: such are left out, each with its reason."""
    english = [*(row(f"e{n}", "one", n % 2) for n in range(20)), *(row(f"f{n}", "two", n % 2) for n in range(10))]
    arabic = [*(row(f"ع{n}", "one", n % 2) for n in range(20)), *(row(f"غ{n}", "two", 1 - n % 2) for n in range(10))]
    arabic[5]["answer"] = 0
    bad: list[Any] = []
    rows = question_pairs(two(arabic, english), False, bad.append)
    assert len(rows) + len(bad) == 30 and len(rows) == 19
    assert sorted({each.reason for each in bad}) == [
        "has another answer in the original, or is not there",
        "its subject is in another order",
    ]
    with pytest.raises(InputError, match="no question in common"):
        question_pairs(two(arabic[20:], english[20:]), False, bad.append)


def test_a_first_row_that_is_lost_shifts_its_subject(two: Any) -> None:
    """One row that cannot be used at the head of a subject does not part all others from their originals."""
    answers = [0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1]
    english = [row(f"e{subject}{n}", subject, answer) for subject in "ab" for n, answer in enumerate(answers)]
    arabic = [row(f"ع{subject}{n}", subject, answer) for subject in "ab" for n, answer in enumerate(answers)]
    english[12]["question"], arabic[0]["question"] = "", ""
    bad: list[Any] = []
    rows = question_pairs(two(arabic, english), False, bad.append)
    assert [(each.original or ())[0].content for each in rows] == [each.messages[0].content.replace("ع", "e") for each in rows]
    assert len(rows) == 22 and len(bad) == 3


def test_both_sides_are_read_at_their_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of the hub are of the commits that stand among the inputs, and their rows say so."""
    read = []

    def records(name: str, config: str | None, split: str, revision: str | None) -> list[dict[str, Any]]:
        read.append((name, revision))
        return [{"question": "1 + 1?", "choices": ["1", "2", "3", "4"], "answer": 1, "subject": "anatomy"}] * 2

    monkeypatch.setattr("hala.data.sources.hub_records", records)
    found = find_suite("arbmmlu_ht")[0]
    assert found.original is not None
    commits = {f"{found.source}@main": "a" * 40, f"{found.original.source}@main": "b" * 40}
    rows = question_pairs("arbmmlu_ht", False, print, commits)
    assert set(read) == {(found.source, "a" * 40), (found.original.source, "b" * 40)}
    assert {each.source for each in rows} == {f"{found.source}@{'a' * 40}"}


def test_a_benchmark_without_original_is_refused() -> None:
    """Questions that were translated from nothing known are no pairs."""
    with pytest.raises(RecipeError, match="has no original"):
        question_pairs("exams", False, print)
