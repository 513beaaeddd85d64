"""Benchmark questions in training data: the list of those found, rows that stay on purpose, and scores without them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts, shards
from hala.errors import InputError
from hala.evals import benchmarks
from hala.pipeline import run_verb
from hala.progress import Progress
from hala.recipe import Evaluate, Filter, Languages
from hala.records import KEPT, Message, Question, Row
from hala.verbs import Context, evaluate
from hala.verbs import filter as verb
from hala.verbs.leaks import FILE, key, leaked

QUESTIONS = [
    {
        "question": f"Which river runs through the {name} valley of the old northern kingdom?",
        "options": ["Ob", "Po", "Aa"],
        "answer": 1,
    }
    for name in ("green", "white", "narrow", "long")
]


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Four questions as a file."""
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS), encoding="utf-8")
    return path


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """Five rows, of which three hold two of the questions."""
    texts = [
        QUESTIONS[0]["question"],
        "Nothing of the kind.",
        f"Tell me: {QUESTIONS[2]['question']}",
        QUESTIONS[0]["question"],
        "No.",
    ]
    rows = [Row(f"r/{n}", (Message("user", str(text)), Message("assistant", "Po.")), "en") for n, text in enumerate(texts)]
    shards.write_rows(tmp_path / "in/rows/000000.parquet", [(row, KEPT) for row in rows])
    return tmp_path / "in"


def context(out: Path, **inputs: Path) -> Context:
    """A step over given earlier steps."""
    return Context("step", out, out.parent, Languages(), inputs, Progress(quiet=True))


def filtered(step: Path, out: Path, **settings: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The outcome of a filter without other checks, and its list of leaks."""
    section = Filter(data="$in", gates="none", dedup=False, **settings)
    outcome = verb.run(section, context(out, **{"in": step}))
    return outcome, [json.loads(line) for line in (out / FILE).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("leaks", ["drop", "keep"])
def test_every_question_found_is_listed(leaks: str, tmp_path: Path, step: Path, asked: Path) -> None:
    """Whether its rows are dropped or kept with a note, a leaked question is listed once, with its rows counted."""
    outcome, found = filtered(step, tmp_path / "out", questions=str(asked), leaks=leaks)
    assert [(each["question"][:24], each["rows"], each["row"]) for each in found] == [
        ("Which river runs through", 2, "r/0"),
        ("Which river runs through", 1, "r/2"),
    ]
    assert outcome.facts["leaks"] == {str(asked): 2}
    kept = {row.id: row.notes.get("leak", "") for row in shards.read_rows(tmp_path / "out")}
    if leaks == "drop":
        assert kept == {"r/1": "", "r/4": ""} and outcome.counts["rejected/contaminated"] == 3
    else:
        assert len(kept) == 5 and [name for name, note in kept.items() if note] == ["r/0", "r/2", "r/3"]


@pytest.mark.parametrize("leaks", ["drop", "keep"])
def test_the_end_of_a_filter_says_what_was_found(leaks: str, tmp_path: Path, step: Path, asked: Path) -> None:
    """Whether the rows stay or go, the terminal says how many questions were found and where their list is."""
    said = io.StringIO()
    about = Context("step", tmp_path / "out", tmp_path, Languages(), {"in": step}, Progress(said))
    verb.run(Filter(data="$in", gates="none", dedup=False, questions=str(asked), leaks=leaks), about)
    fate = "noted in 3 rows" if leaks == "keep" else "in 3 rows, left out"
    assert f"2 of 4 questions were found, {fate}; {tmp_path / 'out/leaks.jsonl'} lists them" in said.getvalue()


@pytest.mark.parametrize("leaks", ["drop", "keep"])
def test_every_question_of_a_row_is_listed(leaks: str, tmp_path: Path) -> None:
    """A row may hold several questions, one of them asked with other options too, and its original others: all are listed."""
    rings, river = "How many planets of the outer system have visible rings?", "Which river runs through the old town of Adra?"
    arabic = "كم عدد كواكب المجموعة الخارجية التي لها حلقات واضحة؟"
    asked = [
        (rings, ["3", "4"]),
        (river, ["Ob", "Po"]),
        (river, ["Aa", "Ob"]),
        (arabic, ["3", "4"]),
        (river + " Say it.", ["x", "y"]),
    ]
    lines = (json.dumps({"id": "1", "question": question, "options": options, "answer": 0}) for question, options in asked)
    (tmp_path / "asked.jsonl").write_text("\n".join(lines), encoding="utf-8")
    row = Row("r/0", (Message("user", arabic), Message("assistant", river)), "ar", original=(Message("user", rings),) * 2)
    shards.write_rows(tmp_path / "in/rows/000000.parquet", [(row, KEPT), (Row("r/1", (Message("user", rings),)), KEPT)])
    outcome, found = filtered(tmp_path / "in", tmp_path / "out", questions=str(tmp_path / "asked.jsonl"), leaks=leaks)
    assert sorted((each["question"], each["rows"]) for each in found) == [(rings, 2), (river, 1), (river, 1), (arabic, 1)]
    assert outcome.facts["leaks"] == {str(tmp_path / "asked.jsonl"): 4}
    if leaks == "keep":
        notes = [json.loads(each.notes["leak"]) for each in shards.read_rows(tmp_path / "out")]
        assert [len(note) for note in notes] == [4, 1] and all("(whole)" in each for note in notes for each in note)


def test_a_kept_leak_is_no_gap_in_the_law(tmp_path: Path, step: Path, asked: Path) -> None:
    """A row with a note meets every other check like any row, and a question in a row that another check drops is listed too."""
    outcome, found = filtered(step, tmp_path / "out", questions=str(asked), leaks="keep", max_chars=80)
    assert outcome.counts["kept"] + outcome.counts["rejected/too_long"] == outcome.counts["rows"] == 5
    assert len(found) == 2


def test_scores_without_the_leaked_questions(tmp_path: Path, tiny: Path, step: Path, asked: Path) -> None:
    """A set of which some questions were found gets a second score over the others, whichever file and order they come in."""
    filtered(step, tmp_path / "found", questions=str(asked))
    other = tmp_path / "shuffled.jsonl"
    other.write_text(
        "".join(json.dumps(each | {"options": each["options"][::-1]}) + "\n" for each in QUESTIONS[::-1]), encoding="utf-8"
    )  # type: ignore[index]
    section = Evaluate(models="$m", questions=str(other), leaks="$found", dtype="float32", resamples=100)
    outcome = evaluate.run(section, context(tmp_path / "out", m=tiny, found=tmp_path / "found"))
    assert [(each["set"], each["n"]) for each in outcome.facts["scores"]] == [
        ("shuffled.jsonl", 4),
        ("shuffled.jsonl (clean)", 2),
    ]
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["leaked"] for record in records] == [False, True, False, True]


def test_a_repeated_id_marks_nobody_else(tmp_path: Path, tiny: Path, asked: Path, step: Path) -> None:
    """Of two questions with one id only the leaked one is left out, and every answer has its own record."""
    twice = tmp_path / "twice.jsonl"
    twice.write_text("".join(json.dumps(each | {"id": "1"}) + "\n" for each in QUESTIONS), encoding="utf-8")
    filtered(step, tmp_path / "found", questions=str(asked))
    section = Evaluate(models="$m", questions=str(twice), leaks="$found", dtype="float32", resamples=100, shuffle_options=1)
    outcome = evaluate.run(section, context(tmp_path / "out", m=tiny, found=tmp_path / "found"))
    assert [each["n"] for each in outcome.facts["scores"]] == [4, 2]
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["leaked"] for record in records] == [True, False, True, False]
    assert len({record["id"] for record in records}) == 4


def test_what_leaks_say_of_each_set_is_told(tmp_path: Path, tiny: Path, asked: Path, step: Path) -> None:
    """A set that the filter did not look for, and one of which every question was found, are named, and so is a clean one."""
    data = {"questions": [{"path": str(asked)}], "gates": "none", "data": {"path": str(tmp_path / "rows.jsonl")}}
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": QUESTIONS[0]["question"]}), encoding="utf-8")
    run_verb("filter", data, tmp_path / "found", Progress(quiet=True))
    for name, question in (
        ("all", QUESTIONS[0]),
        ("none", QUESTIONS[1] | {"question": "Who painted the old wall of the hall?"}),
    ):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(question) + "\n", encoding="utf-8")
    files = [{"path": str(path)} for path in (asked, tmp_path / "all.jsonl", tmp_path / "none.jsonl")]
    said = io.StringIO()
    section = {
        "models": [str(tiny)],
        "questions": files,
        "leaks": [str(tmp_path / "found")],
        "dtype": "float32",
        "resamples": 100,
    }
    run_verb("evaluate", section, tmp_path / "out", Progress(said))
    assert "none.jsonl: nobody looked for its questions" in said.getvalue()
    assert "all.jsonl: every question was found in training data" in said.getvalue()
    assert "asked.jsonl: 1 of 4 questions were found in training data" in said.getvalue()
    manifest = artifacts.read_manifest(tmp_path / "out")
    assert manifest is not None and manifest.facts["leaks"] == {
        "asked.jsonl": {"questions": 4, "found": 1, "looked_for": True},
        "all.jsonl": {"questions": 1, "found": 1, "looked_for": True},
        "none.jsonl": {"questions": 1, "found": 0, "looked_for": False},
    }


def test_a_step_that_did_not_look_is_named(tmp_path: Path, step: Path) -> None:
    """No list is not the same as an empty list."""
    with pytest.raises(InputError, match="did not look for benchmark questions"):
        leaked([step])


def test_the_key_stands_for_the_question() -> None:
    """Marks, punctuation and the order of options do not change it; another option does."""
    first = Question("1", "ما عاصمة مصر؟", ("القاهرة", "أسوان"), 0, "ar", "")
    assert key(first) == key(Question("x", "مَا عاصمةُ مصر", ("أسوان", "القاهرة"), 1, "ar", "t"))
    assert key(first) != key(Question("1", "ما عاصمة مصر؟", ("القاهرة", "طنطا"), 0, "ar", ""))


def test_originals_are_looked_for_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A translated benchmark brings what it was translated from, so that an English leak is found before it is Arabic."""
    question = "Which planet of the solar system has the largest number of known moons in this list?"
    english = {"question": question, "choices": ["Mars", "Venus"], "answer": 0, "subject": "astronomy"}
    arabic = {
        "question": "أي كوكب في المجموعة الشمسية له أكبر عدد من الأقمار في هذه القائمة؟",
        "choices": ["المريخ", "الزهرة"],
        "answer": 0,
    }
    seen: list[str] = []

    def records(source: str, *_: Any) -> list[dict[str, Any]]:
        seen.append(source)
        return [english if source == "cais/mmlu" else arabic]

    monkeypatch.setattr("hala.data.sources.hub_records", records)
    rows = [Row("r/0", (Message("text", "سؤال مترجم"),), "ar", original=(Message("text", question),))]
    shards.write_rows(tmp_path / "in/rows/000000.parquet", [(row, KEPT) for row in rows])
    outcome, found = filtered(tmp_path / "in", tmp_path / "out", decontaminate="arbmmlu_ht")
    assert {"cais/mmlu", benchmarks.ARBMMLU_HT.source} == set(seen)
    assert outcome.counts["rejected/contaminated"] == 1 and [each["set"] for each in found] == ["mmlu"]


def test_the_originals_are_read_as_they_are_published() -> None:
    """Belebele's rows become items: passage, four answers and the number of the right one."""
    record = {"flores_passage": "A text.", "question": "Who?", "correct_answer_num": "2"} | {
        f"mc_answer{n}": str(n) for n in range(1, 5)
    }
    [item] = benchmarks.read(benchmarks.BELEBELE, lambda *_: [record]).items
    assert (item.context, item.question.options, item.question.answer) == ("A text.", ("1", "2", "3", "4"), 1)
