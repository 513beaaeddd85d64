"""filter: good rows stay, every other row is stored with its reason, and a continued step decides as an undisturbed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hala import artifacts
from hala.engines.scripted import ScriptedEngine
from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Filter, Languages
from hala.records import KEPT, Message, Row, rejected
from hala.verbs import Context
from hala.verbs import filter as verb
from hala.verbs.filter import run


def pair(number: int, source: str, target: str) -> Row:
    """A sentence pair."""
    return Row(f"p/{number}", (Message("text", target),), "ar", original=(Message("text", source),))


def context(out: Path, **inputs: Path) -> Context:
    """A step over given earlier steps."""
    return Context("step", out, out.parent, Languages(), inputs, Progress(quiet=True))


def step(folder: Path, rows: list[Row]) -> Path:
    """A finished data step."""
    artifacts.write_rows(folder / "rows/000000.parquet", [(row, KEPT) for row in rows])
    return folder


ROWS = [
    pair(0, "The cat is in the house.", "القطة في البيت."),
    pair(1, "The cat is in the house.", "القطة في البيت."),
    pair(2, "My father works in the city.", "My father works in the city."),
    pair(3, "Open `file.txt` first.", "افتح الملف أولا."),
    pair(4, "My father works in the city.", "أبي يعمل في المدينة."),
    pair(5, "Hello.", " "),
]


def test_each_row_has_one_verdict(tmp_path: Path) -> None:
    """Duplicates, untranslated and empty rows are out with a reason, the rest is in, and the counts add up."""
    source = step(tmp_path / "in", ROWS)
    outcome = run(Filter(data="$in", shard_rows=2), context(tmp_path / "out", **{"in": source}))
    kept = [row.id for row in artifacts.read_rows(tmp_path / "out")]
    reasons = {row.id: verdict.reason for row, verdict in artifacts.read_rejected(tmp_path / "out")}
    assert {"p/0", "p/4"} <= set(kept) and reasons["p/1"] == "duplicate" and reasons["p/5"] == "too_short"
    assert reasons["p/2"] and len(kept) + len(reasons) == 6 == outcome.counts["rows"]
    assert sum(value for key, value in outcome.counts.items() if key.startswith("rejected/")) == len(reasons)


def test_gates_and_duplicates_can_be_left_out(tmp_path: Path) -> None:
    """With everything off, every row stays."""
    source = step(tmp_path / "in", ROWS)
    section = Filter(data="$in", gates="none", dedup=False, min_chars=0)
    assert run(section, context(tmp_path / "out", **{"in": source})).counts["kept"] == 6


def test_lengths(tmp_path: Path) -> None:
    """The shortest message and the whole row are measured in characters."""
    source = step(tmp_path / "in", [Row("a", (Message("user", "xxxx"), Message("assistant", "x" * 30)))])
    for settings, reason in (
        ({"min_chars": 5}, "too_short"),
        ({"max_chars": 34}, "too_long"),
        ({"min_chars": 4, "max_chars": 35}, ""),
    ):
        out = tmp_path / f"out{reason}"
        run(Filter(data="$in", gates="none", **settings), context(out, **{"in": source}))  # type: ignore[arg-type]
        assert [verdict.reason for _, verdict in artifacts.read_rejected(out)] == ([reason] if reason else [])


def test_questions_of_the_world_do_not_leak(tmp_path: Path) -> None:
    """A row that holds a held-out question is out."""
    from hala.data import world

    question = next(world.questions("heldout", "ar", 1))
    rows = [
        Row("leak", (Message("user", question.question), Message("assistant", "نعم"))),
        Row("fine", (Message("user", "شيء آخر تماما"),)),
    ]
    source = step(tmp_path / "in", rows)
    section = Filter(data="$in", gates="none", questions={"world": "questions", "split": "heldout", "lang": "ar"})
    run(section, context(tmp_path / "out", **{"in": source}))
    assert [row.id for row in artifacts.read_rows(tmp_path / "out")] == ["fine"]


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    """An empty step in, a clear error out."""
    source = step(tmp_path / "in", [])
    with pytest.raises(InputError, match="found no rows to filter"):
        run(Filter(data="$in"), context(tmp_path / "out", **{"in": source}))


# The judge ------------------------------------------------------------------------------------------------------------

MANY = [pair(number, f"Sentence number {number % 5}.", f"جملة رقم {number % 5}.") for number in range(12)]


def judged(out: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The outcome of a filter whose judge fails on every request."""
    monkeypatch.setattr(verb, "open_engine", lambda *_: ScriptedEngine({}))
    section = Filter(data="$in", gates="none", judge={"model": "m", "engine": "server", "url": "http://x/v1"}, shard_rows=3)
    return run(section, context(out, **{"in": source}))


def test_judge_that_fails_rejects_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the judge could not judge is never kept in silence."""
    source = step(tmp_path / "in", MANY)
    outcome = judged(tmp_path / "out", source, monkeypatch)
    assert outcome.counts["kept"] == 0 and outcome.counts["rejected/duplicate"] == 7
    assert outcome.counts["rejected/judge_error"] == 5


@pytest.mark.parametrize("shard", [1, 2, 3])
def test_half_a_shard_does_not_meet_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: int) -> None:
    """A kill between the rejected and the kept file of a shard changes no verdict when the step is continued."""
    source = step(tmp_path / "in", MANY)
    judged(tmp_path / "calm", source, monkeypatch)
    judged(tmp_path / "wild", source, monkeypatch)
    for number in range(shard, 4):
        (tmp_path / f"wild/rows/{number:06d}.parquet").unlink()
        if number > shard:
            (tmp_path / f"wild/rejected/{number:06d}.parquet").unlink()
    judged(tmp_path / "wild", source, monkeypatch)
    assert artifacts.list_files(tmp_path / "wild") == artifacts.list_files(tmp_path / "calm")


def test_continued_filter_remembers_what_it_has_seen(tmp_path: Path) -> None:
    """A duplicate of a row in a finished shard is still a duplicate after a restart."""
    source = step(tmp_path / "in", MANY)
    section = Filter(data="$in", gates="none", shard_rows=3)
    run(section, context(tmp_path / "a", **{"in": source}))
    run(section, context(tmp_path / "b", **{"in": source}))
    for part in ("rows", "rejected"):
        for number in (2, 3):
            (tmp_path / f"b/{part}/{number:06d}.parquet").unlink()
    run(section, context(tmp_path / "b", **{"in": source}))
    assert artifacts.list_files(tmp_path / "a") == artifacts.list_files(tmp_path / "b")
    assert verb._first_of([KEPT, rejected("a"), rejected("b")]).reason == "a"
