"""filter: good rows stay, every other row is stored with its reason, and a continued step decides as an undisturbed one."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts, shards
from hala.data.conversations import Turns
from hala.data.stream import Translator
from hala.engines.scripted import ScriptedEngine
from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Filter, Languages, Translate
from hala.records import KEPT, Completion, Message, Row, rejected
from hala.verbs import Context, judging
from hala.verbs import filter as verb
from hala.verbs.filter import run
from hala.verbs.translators import Work, make_plan, open_router


def pair(number: int, source: str, target: str) -> Row:
    """A sentence pair."""
    return Row(f"p/{number}", (Message("text", target),), "ar", original=(Message("text", source),))


def context(out: Path, **inputs: Path) -> Context:
    """A step over given earlier steps."""
    return Context("step", out, out.parent, Languages(), inputs, Progress(quiet=True))


def step(folder: Path, rows: list[Row]) -> Path:
    """A finished data step."""
    shards.write_rows(folder / "rows/000000.parquet", [(row, KEPT) for row in rows])
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
    kept = [row.id for row in shards.read_rows(tmp_path / "out")]
    reasons = {row.id: verdict.reason for row, verdict in shards.read_rejected(tmp_path / "out")}
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
        assert [verdict.reason for _, verdict in shards.read_rejected(out)] == ([reason] if reason else [])


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
    assert [row.id for row in shards.read_rows(tmp_path / "out")] == ["fine"]


def test_no_rows_is_an_error(tmp_path: Path) -> None:
    """An empty step in, a clear error out."""
    source = step(tmp_path / "in", [])
    with pytest.raises(InputError, match="found no rows to filter"):
        run(Filter(data="$in"), context(tmp_path / "out", **{"in": source}))


# The judge ------------------------------------------------------------------------------------------------------------

MANY = [pair(number, f"Sentence number {number % 5}.", f"جملة رقم {number % 5}.") for number in range(12)]


def judged(out: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The outcome of a filter whose judge fails on every request."""
    monkeypatch.setattr(judging, "open_engine", lambda *_, **__: ScriptedEngine({}))
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


@pytest.mark.parametrize(("target", "said"), [("fr", "French (fr): the gates"), ("ar", "")])
def test_gates_that_are_off_are_said(tmp_path: Path, target: str, said: str) -> None:
    """Of a language that nothing is known of, it is said once which gates are off and how to teach it."""
    lines = io.StringIO()
    place = Context(
        "step", tmp_path / "out", tmp_path, Languages(target=target), {"in": step(tmp_path / "in", ROWS)}, Progress(lines)
    )
    run(Filter(data="$in"), place)
    assert lines.getvalue().count("nothing but its name") == bool(said) and said in lines.getvalue()


# Rounds through translate ----------------------------------------------------------------------------------------------

ARABIC = {
    "What does the word '⟦1⟧' mean?": "ما معنى كلمة '⟦1⟧'؟",
    "'⟦1⟧' means short.": "تعني '⟦1⟧' أن الكلام قصير.",
    "Correct the grammar: ⟦1⟧": "صحح القواعد: ⟦1⟧",
    "See [the old house]⟦1⟧ by the river.": "انظر [البيت القديم]⟦1⟧ عند النهر.",
    "Where is the cat?": "أين القطة؟",
    "The cat is in the house.": "القطة في البيت.",
    "Answer in short sentences please.": "أجب بجمل قصيرة من فضلك.",
}


def turns(*contents: tuple[str, str]) -> tuple[Message, ...]:
    """A conversation of roles and contents."""
    return tuple(Message(role, content) for role, content in contents)


def translated_and_filtered(folder: Path, chat: tuple[Message, ...], **settings: Any) -> tuple[Row, list[str]]:
    """What `translate` makes of a conversation, through an engine that knows a few sentences, and what `filter` says of that."""
    section = Translate(data="x", engine="server", model="m", url="http://x/v1", **settings)
    plan = make_plan(section, "", "en", "ar")
    engine = ScriptedEngine(lambda request: ARABIC.get(request.messages[-1].content.partition("\n\n")[2], "?"))
    chosen = Turns(section.system, section.tool, section.thinking)
    work = Work(Translator(engine, plan), chosen, open_router("en", None), "step")
    [(_, [(row, verdict)])] = work.judge([[Row("r/0", chat)]])
    assert verdict.kept, verdict
    source = step(folder / "in", [row])
    run(Filter(data="$in"), context(folder / "out", **{"in": source}))
    return row, [f"{verdict.reason}: {verdict.detail}" for _, verdict in shards.read_rejected(folder / "out")]


CALL = ("assistant", '<tool_call>\n{"name": "find", "arguments": {"what": "the cat in the house"}}\n</tool_call>')
LOOKUP = ("user", "Where is the cat?"), ("assistant", "The cat is in the house.")


@pytest.mark.parametrize(
    ("chat", "settings"),
    [
        ([LOOKUP[0], CALL, ("tool", "The cat sleeps in the old house by the river."), LOOKUP[1]], {}),
        ([("system", "Answer in short sentences please."), *LOOKUP], {"system": "keep"}),
        ([LOOKUP[0], ("assistant", f"<think>\nThe user wants a cat.\n</think>\n\n{LOOKUP[1][1]}")], {"thinking": "keep"}),
        ([("user", "Correct the grammar: He go to the old house."), ("assistant", "He goes to the old house.")], {}),
        ([("user", "What does the word 'terse' mean?"), ("assistant", "'Terse' means short.")], {}),
        ([LOOKUP[0], ("assistant", "See [the old house] by the river.\n\n[the old house]: a.md\n")], {}),
        ([("user", "```\nthe cat is in the house\n```"), ("assistant", "```\nthe cat is in the house\n```")], {}),
    ],
    ids=["tool", "system", "thinking", "adapted", "word", "reference", "kept"],
)
def test_what_translate_kept_passes(tmp_path: Path, chat: list[tuple[str, str]], settings: dict[str, Any]) -> None:
    """Nothing that stayed in the source language on purpose is a copy, another language or another script."""
    row, rejections = translated_and_filtered(tmp_path, turns(*chat), **settings)
    assert not rejections and ({"kept", "route"} & set(row.notes) or "[البيت القديم][the old house]" in row.text)


def test_the_judge_is_not_asked_about_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is asked whether a turn that stayed in its language is a good translation."""
    engine = ScriptedEngine(lambda request: "yes")
    monkeypatch.setattr(judging, "open_engine", lambda *_, **__: engine)
    before = turns(("system", "Answer in short sentences please."), LOOKUP[0], ("tool", "31"), LOOKUP[1])
    after = turns(("system", before[0].content), ("user", "أين القطة؟"), ("tool", "31"), ("assistant", "القطة في البيت."))
    rows = [Row("r", after, "ar", original=before, notes={"kept": "0 2"}), Row("k", before, "en", notes={"route": "keep: x"})]
    section = Filter(data="$in", judge={"model": "m", "engine": "server", "url": "http://x/v1"})
    outcome = run(section, context(tmp_path / "out", **{"in": step(tmp_path / "in", rows)}))
    assert outcome.counts["kept"] == 2 == engine.calls


def test_the_rest_of_a_kept_row_is_looked_at(tmp_path: Path) -> None:
    """What was kept hides no copy beside it."""
    chat = turns(("system", "Answer in short sentences please."), *LOOKUP)
    copied = Row("r", chat, "ar", original=chat, notes={"kept": "0"})
    run(Filter(data="$in"), context(tmp_path / "out", **{"in": step(tmp_path / "in", [copied])}))
    assert [verdict.reason for _, verdict in shards.read_rejected(tmp_path / "out")] == ["copy"]


def test_near_duplicates_are_the_same_after_a_restart(tmp_path: Path) -> None:
    """Exact and near duplicates are told apart, and a step that goes on in the middle decides as one that never stopped."""
    words = [f"word{number}" for number in range(80)]
    texts = [[f"{number % 4}x{word}" for word in words] for number in range(40)]
    for number, text in enumerate(texts):
        text[number % 80] = f"other{number % 12}"
    rows = [pair(number, f"Source {number}.", " ".join(text)) for number, text in enumerate(texts)]
    source = step(tmp_path / "in", rows)
    section = Filter(data="$in", gates="none", near=0.8, shard_rows=5)
    counts = run(section, context(tmp_path / "a", **{"in": source})).counts
    assert counts["kept"] == 4 and counts["rejected/near_duplicate"] == 36
    run(section, context(tmp_path / "b", **{"in": source}))
    for part in ("rows", "rejected"):
        for number in (1, 3, 6, 7):
            (tmp_path / f"b/{part}/{number:06d}.parquet").unlink()
    run(section, context(tmp_path / "b", **{"in": source}))
    assert artifacts.list_files(tmp_path / "a") == artifacts.list_files(tmp_path / "b")


def test_shard_killed_between_its_files_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected rows without their kept ones, or the other way round, are no finished shard: its rows do not meet themselves."""
    source = step(tmp_path / "in", MANY)
    for name, part in (("a", "rows"), ("b", "rejected")):
        judged(tmp_path / name, source, monkeypatch)
        before = artifacts.list_files(tmp_path / name)
        (tmp_path / f"{name}/{part}/000000.parquet").unlink()
        section = Filter(data="$in", gates="none", shard_rows=3)
        [seen] = verb._duplicates(section, context(tmp_path / name, **{"in": source}))
        assert seen.check(MANY[0]).kept
        judged(tmp_path / name, source, monkeypatch)
        assert artifacts.list_files(tmp_path / name) == before


def test_rows_with_code_can_be_left_out(tmp_path: Path) -> None:
    """Fences and bare statements are code, on either side of a row; a name in a sentence is none."""
    texts = ["Run it:\n\n```\nls\n```", "x = compute(3)\nprint(x)", "Call print(x) with care.", "No code here."]
    rows = [Row(f"r/{n}", (Message("user", "Please help."), Message("assistant", text))) for n, text in enumerate(texts)]
    rows.append(pair(4, "```\na\n```", "نص"))
    outcome = run(Filter(data="$in", gates="none", code="drop"), context(tmp_path / "out", **{"in": step(tmp_path / "in", rows)}))
    assert [row.id for row in shards.read_rows(tmp_path / "out")] == ["r/2", "r/3"] and outcome.counts["rejected/code"] == 3


def test_questions_of_every_file_count(tmp_path: Path) -> None:
    """Questions with the same ids, in two files and within one, are all looked for."""
    files = []
    for part in ("one", "two"):
        lines = [
            {"id": "q", "question": f"Which river runs through the old town {part} {word}?", "options": ["a", "b"], "answer": 0}
            for word in ("north", "south")
        ]
        path = tmp_path / part / "q.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        files.append((path, [line["question"] for line in lines]))
    rows = [Row(f"r/{i}", (Message("user", str(q)),)) for i, q in enumerate(q for _, each in files for q in each)]
    source = step(tmp_path / "in", rows)
    section = Filter(data="$in", gates="none", questions=[str(path) for path, _ in files])
    outcome = run(section, context(tmp_path / "out", **{"in": source}))
    assert outcome.counts["rejected/contaminated"] == 4 and outcome.counts["kept"] == 0


def test_malformed_benchmark_questions_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark row that gives no question to look for is counted, not passed over."""
    from hala.evals import benchmarks

    sums = benchmarks.Benchmark("sums", "own/sums.jsonl", ("",), "test", "arbmmlu_ht", benchmarks.LATIN_LETTERS)
    monkeypatch.setattr(benchmarks, "find_suite", lambda _: (sums,))
    read = []

    def records(name: str, config: str | None, split: str, revision: str | None) -> list[dict[str, Any]]:
        read.append(revision)
        return [{"question": "?"}, {"question": "1 + 1?", "choices": [1, 2], "answer": 1}]

    monkeypatch.setattr("hala.data.sources.hub_records", records)
    source = step(tmp_path / "in", ROWS)
    at = replace(context(tmp_path / "out", **{"in": source}), commits={"own/sums.jsonl@main": "a" * 40})
    outcome = run(Filter(data="$in", gates="none", decontaminate="sums"), at)
    assert read == ["a" * 40]
    assert outcome.counts["malformed"] == 1 and "sums.jsonl" in (tmp_path / "out/malformed.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "lang", "reason"),
    [
        ("هذه جملة عربية سليمة عن البيت والمدينة.", "ar", ""),
        ("استخدم الأمر:\n\n```html\n<div>{</div>\n```\n\nثم اقرأ الملف.", "ar", ""),
        ("This is no Arabic at all, and nobody said so.", "ar", "script"),
        ("This is no Arabic at all, and nobody said so.", "en", ""),
        ("This is no Arabic at all, and nobody said so.", "", ""),
        ("قال إن البيت كبير " * 12, "ar", "repetition"),
        ("He said that again. " * 12, "", "repetition"),
        ("هذا نص<|im_end|> عربي سليم.", "ar", "html"),
        ("هذا نص {عربي سليم.", "ar", "latex"),
    ],
)
def test_gates_of_rows_without_original(tmp_path: Path, text: str, lang: str, reason: str) -> None:
    """A text alone meets the gates that need no source; those of the script only where it says that it is the target language."""
    source = step(tmp_path / "in", [Row("a", (Message("user", text),), lang)])
    run(Filter(data="$in"), context(tmp_path / "out", **{"in": source}))
    found = [verdict.reason for _, verdict in shards.read_rejected(tmp_path / "out")]
    assert found == ([reason] if reason else [])
    run(Filter(data="$in", gates="none"), context(tmp_path / "free", **{"in": source}))
    assert not list(shards.read_rejected(tmp_path / "free"))


def test_uneven_rows_are_rejected_before_the_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row with more messages than originals is set aside first of all, not an error of the judge."""
    uneven = Row("u", (Message("user", ""), Message("assistant", "ب")), "ar", original=(Message("user", "a"),))
    outcome = judged(tmp_path / "out", step(tmp_path / "in", [uneven, *MANY[:1]]), monkeypatch)
    assert outcome.counts["rejected/not_a_pair"] == 1 and outcome.counts["rejected/judge_error"] == 1


def test_rows_of_one_id_have_their_own_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sources may share ids; the judge's yes to one row is no yes to the other. And the judge is closed, come what may."""
    closed: list[int] = []

    class Judge:
        def complete(self, requests: Any, sampling: Any) -> Any:
            for request in requests:
                yield Completion(request.id, "yes" if "good" in request.messages[-1].content else "no", "stop")

        def close(self) -> None:
            closed.append(1)

    monkeypatch.setattr(judging, "open_engine", lambda *_, **__: Judge())
    rows = [pair(0, "A bad one.", "سيئ."), pair(0, "A good one.", "جيد.")]
    section = Filter(data="$in", gates="none", judge={"model": "m"})
    run(section, context(tmp_path / "out", **{"in": step(tmp_path / "in", rows)}))
    assert [row.original for row in shards.read_rows(tmp_path / "out")] == [rows[1].original] and closed == [1]

    def fail(*_: object) -> None:
        raise InputError("stop", "now")

    monkeypatch.setattr(shards, "run_shards", fail)
    with pytest.raises(InputError, match="stop"):
        run(section, context(tmp_path / "out2", **{"in": tmp_path / "in"}))
    assert closed == [1, 1]


def test_rows_of_another_language_are_pointed_out(tmp_path: Path) -> None:
    """Rows that say they are in another language than the target do not pass without a word."""
    out = io.StringIO()
    rows = [Row(f"r/{n}", (Message("user", "Good morning."),), "en") for n in range(3)]
    told = Context("step", tmp_path / "out", tmp_path, Languages(), {"in": step(tmp_path / "in", rows)}, Progress(stream=out))
    run(Filter(data="$in", dedup=False), told)
    assert "3 rows say that they are English, not Arabic" in out.getvalue()
