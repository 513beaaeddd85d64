"""translate: every input row ends kept or rejected with a reason, whatever the engine does."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hala import shards
from hala.data.conversations import Turns
from hala.data.prompts import extract
from hala.data.stream import Translator
from hala.data.translating import Plan
from hala.engines.scripted import Faults, ScriptedEngine
from hala.errors import EngineError, InputError, RecipeError
from hala.progress import Progress
from hala.recipe import Languages, Translate
from hala.records import Completion, Message, Row, Verdict
from hala.verbs import Context, meter
from hala.verbs.documents import translate_document
from hala.verbs.translate import run
from hala.verbs.translators import Work, make_plan

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(["Hello there.", "Run `ls` now."])
CHATS = st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=9)
SHARE = st.floats(0.0, 0.4)
FAULTS = st.builds(
    Faults,
    seed=st.integers(0, 99),
    error=SHARE,
    empty=SHARE,
    looping=SHARE,
    too_long=SHARE,
    duplicated=SHARE,
    late=st.floats(0.0, 1.0),
    shuffled=st.integers(1, 6),
)


def plan(**changes: Any) -> Any:
    """A plan of the recipe's defaults with the scripted engine's identity."""
    return make_plan(Translate(data="x", **{"engine": "echo", **changes}), "", "en", "ar")


def translate_rows(rows: list[Row], engine: Any, chosen: Plan) -> list[tuple[Row, Verdict]]:
    """Each row with its verdict."""
    return [judged for _, batch in Work(Translator(engine, chosen), Turns(), None, "step").judge([rows]) for judged in batch]


def rows_of(chats: list[list[str]]) -> list[Row]:
    """A row for each list of contents."""
    roles = ("user", "assistant")
    return [
        Row(f"r/{index}", tuple(Message(roles[i % 2], text) for i, text in enumerate(texts)), "en")
        for index, texts in enumerate(chats)
    ]


def silent(engine: ScriptedEngine, every: int) -> ScriptedEngine:
    """The engine with each `every`-th completion lost and the one after it given twice."""
    real = engine.complete

    def complete(requests: Any, sampling: Any) -> Any:
        for number, completion in enumerate(real(requests, sampling)):
            if number % every == 0:
                continue
            yield completion
            if number % every == 1:
                yield completion

    engine.complete = complete  # type: ignore[method-assign]
    return engine


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHATS, FAULTS, st.sampled_from(["none", "default"]), st.integers(1, 4), st.sampled_from([0, 2, 3]))
def test_rows_in_are_kept_plus_rejected_whatever_the_engine_does(
    chats: list[list[str]], faults: Faults, gates: str, shard_rows: int, lost: int
) -> None:
    """Late, shuffled, failing, empty, looping, too long, doubled or silent: each row ends once, whole or with a reason."""
    rows = rows_of(chats)
    engine = ScriptedEngine(extract, faults)
    if lost:
        engine = silent(engine, lost)
    chosen = plan(gates=gates, engine="local" if gates == "default" else "echo", model="m")

    def process(batch: list[Row]) -> list[tuple[Row, Verdict]]:
        return translate_rows(batch, engine, chosen)

    with tempfile.TemporaryDirectory() as folder:
        counts: Counter[str] = shards.run_shards(Path(folder), iter(rows), shard_rows, process, lambda done, counts: None)
        kept, refused = list(shards.read_rows(folder)), list(shards.read_rejected(folder))
    reasons = Counter(f"rejected/{verdict.reason}" for _, verdict in refused)
    assert counts["rows"] == len(rows) == counts["kept"] + reasons.total()
    assert counts == Counter({"rows": len(rows), "kept": len(kept)}) + reasons
    assert sorted([row.id for row in kept] + [row.id for row, _ in refused]) == sorted(row.id for row in rows)
    by_id = {row.id: row for row in rows}
    for row in kept:
        source = by_id[row.id]
        assert row.original == source.messages and row.lang == "ar"
        assert [message.role for message in row.messages] == [message.role for message in source.messages]
    for row, verdict in refused:
        assert replace(row, notes={}) == by_id[row.id] and verdict.reason
        assert row.notes.keys() <= {"tried"}


@settings(max_examples=30, deadline=None)
@given(CHATS, FAULTS)
def test_shards_and_order_of_answers_do_not_change_the_rows(chats: list[list[str]], faults: Faults) -> None:
    """The same faults give the same rows for any shard size: nothing depends on what is in flight together."""
    found = []
    for size in (1, 4, 100):
        rows, judged = rows_of(chats), []
        for start in range(0, len(rows), size):
            judged += translate_rows(rows[start : start + size], ScriptedEngine(extract, faults), plan())
        found.append(judged)
    assert found[0] == found[1] == found[2]


@settings(max_examples=30, deadline=None)
@given(CHATS, FAULTS, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_change_them(chats: list[list[str]], faults: Faults, random: Random) -> None:
    """In whatever order rows come, each becomes the same row, kept or rejected for the same reason."""
    rows = rows_of(chats)
    shuffled = random.sample(rows, len(rows))
    found = [translate_rows(each, ScriptedEngine(extract, faults), plan()) for each in (rows, shuffled)]
    assert sorted(found[0], key=lambda judged: judged[0].id) == sorted(found[1], key=lambda judged: judged[0].id)


def context(out: Path) -> Context:
    """A step without earlier steps."""
    return Context("step", out, out.parent, Languages(), {}, Progress(quiet=True))


def test_dataset_with_malformed_lines(tmp_path: Path, chats_file: Path) -> None:
    """Broken lines are counted and stored beside the rows, with file, position and reason."""
    good = chats_file.read_text(encoding="utf-8").splitlines()
    lines = [good[0], "{broken", good[1], "[1, 2]", '{"unknown": 1}', good[2]]
    chats_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = run(Translate(data=str(chats_file), engine="echo"), context(tmp_path / "out"))
    assert (outcome.counts["rows"], outcome.counts["kept"], outcome.counts["malformed"]) == (3, 3, 3)
    stored = [json.loads(line) for line in (tmp_path / "out/malformed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(each["position"], each["reason"]) for each in stored] == [
        (1, "bad_json"),
        (3, "not_an_object"),
        (4, "unknown_shape"),
    ]
    assert all(each["file"] == str(chats_file) for each in stored)


def test_no_rows_at_all_is_an_error(tmp_path: Path, chats_file: Path) -> None:
    """A step without input says so."""
    with pytest.raises(InputError, match="no records"):
        run(Translate(data={"path": str(chats_file), "skip": 99}, engine="echo"), context(tmp_path / "out"))


def test_dead_engine_keeps_finished_shards(tmp_path: Path, chats_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the engine dies, what was finished is kept, and a new engine continues behind it."""
    from hala.verbs import translators as verb

    engines = [ScriptedEngine(extract, Faults(dies_after=9)), ScriptedEngine(extract)]
    monkeypatch.setattr(verb, "open_engine", lambda *_, **__: engines[0] if not engines[0].closed else engines[1])
    section = Translate(data=str(chats_file), engine="echo", shard_rows=2)
    with pytest.raises(EngineError):
        run(section, context(tmp_path / "out"))
    before = len(list((tmp_path / "out/rows").glob("*.parquet")))
    assert before == 2 and engines[0].closed
    assert run(section, context(tmp_path / "out")).counts["kept"] == 8
    assert engines[1].calls < engines[0].calls + 4 and engines[1].closed


def test_too_many_rejections_stop_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chats_file: Path) -> None:
    """`stop_above` ends a hopeless step early and names the worst reason."""
    from hala.verbs import translators as verb

    monkeypatch.setattr(meter, "MIN_ROWS_TO_STOP", 4)
    monkeypatch.setattr(verb, "open_engine", lambda *_, **__: ScriptedEngine({}))
    section = Translate(data=str(chats_file), engine="echo", shard_rows=2, stop_above=0.5)
    with pytest.raises(InputError, match=r"4 of 4 rows were rejected.*rejected/engine_error"):
        run(section, context(tmp_path / "out"))


def many(path: Path, number: int) -> str:
    """A file of so many one-message texts."""
    path.write_text("".join(json.dumps({"text": f"Text {index}."}) + "\n" for index in range(number)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("failing", "stops"), [(20, True), (19, False)])
def test_failing_engine_stops_before_the_shard_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, stops: bool
) -> None:
    """An outage does not become thousands of rejected rows: resume tries them again; a few failures are the rows' own."""
    from hala.verbs import translators as verb

    class Broken(ScriptedEngine):
        def complete(self, requests: Any, sampling: Any) -> Any:
            for number, request in enumerate(requests):
                bad = number < failing
                yield Completion(request.id, "" if bad else extract(request), "error" if bad else "stop", 1, "status 400" * bad)

    engines = [Broken(extract), ScriptedEngine(extract)]
    monkeypatch.setattr(verb, "open_engine", lambda *_, **__: engines.pop(0))
    section = Translate(data=many(tmp_path / "x.jsonl", 60), engine="echo", shard_rows=60, retries=0)
    if not stops:
        assert run(section, context(tmp_path / "out")).counts["rejected/engine_error"] == failing
        return
    with pytest.raises(EngineError, match=r"20 of 60 rows of a shard; last: status 400 \| segment: Text 19\."):
        run(section, context(tmp_path / "out"))
    assert not list(tmp_path.rglob("*.parquet"))
    assert run(section, context(tmp_path / "out")).counts["kept"] == 60


def test_progress_moves_inside_a_shard_and_leaves_out_earlier_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One large shard is not silent, and shards of an earlier session are no speed."""

    class Seen(Progress):
        def __init__(self) -> None:
            super().__init__(quiet=True)
            self.places: list[float] = []
            self.skipped: list[float] = []

        def update(self, done: float, *rest: Any, **more: Any) -> None:
            self.places.append(done)

        def skip(self, done: float) -> None:
            self.skipped.append(done)

    monkeypatch.setattr(meter, "PAUSE", 0.0)
    shown = [Seen(), Seen()]
    section = Translate(data=many(tmp_path / "x.jsonl", 8), engine="echo", shard_rows=4)
    for seen in shown:
        run(section, Context("step", tmp_path / "out", tmp_path, Languages(), {}, seen))
        (tmp_path / "out/rows/000001.parquet").unlink()
    assert shown[0].places == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8] and shown[0].skipped == []
    assert shown[1].places == [4, 5, 6, 7, 8, 8] and shown[1].skipped == [4]


def test_line_never_says_that_nothing_is_kept_before_it_is_known() -> None:
    """Before the first shard is finished the line tells how many requests were answered, then how many rows are kept."""
    lines: list[str] = []

    class Seen(Progress):
        def update(self, done: float, total: float | None, unit: str, note: str = "", rate: float | None = None) -> None:
            lines.append(note)

    there = Context("step", Path(), Path(), Languages(), {}, Seen(quiet=True))
    shown = meter.Meter(Translate(data="x", engine="echo"), there, Counter())
    shown.taken_in(500)
    shown.within(100, 1000)
    shown.after(500, Counter(kept=499))
    assert lines[0].startswith("100 of 1,000 requests answered") and lines[1].startswith("499 kept")


def test_translated_rows_are_not_translated_again() -> None:
    """A row with an original, or in the target language already, is set aside unsent: nothing of it would be true."""
    message = (Message("user", "Hello there."),)
    rows = [Row("a", message, "hi", original=message), Row("b", message, "ar"), Row("c", message, "en"), Row("d", message)]
    sent: list[str] = []
    engine = ScriptedEngine(lambda text: sent.append(text) or extract(text))  # type: ignore[arg-type, func-returns-value]
    judged = translate_rows(rows, engine, plan())
    assert [(row.id, verdict.reason) for row, verdict in judged] == [
        ("a", "already_translated"), ("b", "already_translated"), ("c", ""), ("d", ""),
    ]  # fmt: skip
    assert len(sent) == 1 and judged[0][0] == rows[0] and judged[2][0].lang == "ar"


def test_document_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that cannot be translated is an error with the segment, never half a text."""
    from hala.verbs import translators as verb

    monkeypatch.setattr(verb, "open_engine", lambda *_, **__: ScriptedEngine({}))
    with pytest.raises(InputError, match="engine_error"):
        translate_document("Hello there.", {"engine": "echo"}, "en", "ar")


def test_document_that_fails_names_all_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is told from the document itself: it may have more segments than are remembered."""
    from hala.verbs import translators as verb

    monkeypatch.setattr("hala.data.stream.SETTLED", 2)
    text = "".join(f"Sentence number {number}.\n\n" for number in range(20))
    answer = lambda request: "" if "number 3" in extract(request) or "number 5" in extract(request) else "جملة."  # noqa: E731
    monkeypatch.setattr(verb, "open_engine", lambda *_, **__: ScriptedEngine(answer))
    with pytest.raises(InputError, match="2 of its 20 distinct segments failed") as error:
        translate_document(text, {"engine": "echo", "gates": "none"}, "en", "ar")
    assert "Sentence number 3." in str(error.value) and "Sentence number 5." in str(error.value)


@pytest.mark.parametrize(
    ("answer", "given", "reason", "helps", "useless"),
    [
        ("the same", {"gates": "copy"}, "copy", ["gates=none", "retries=5"], []),
        (
            "a word",
            {"gates": "none"},
            "placeholders: ⟦1⟧ missing | answer: كلمة | segment: Run `ls` now",
            ["spans of that segment", "retries=5"],
            ["gates=none"],
        ),
        ("a word", {"gates": "placeholders"}, "placeholders", ["spans of that segment", "another model"], ["gates=none"]),
        ("a word", {"gates": "none", "retries": 5}, "placeholders", ["another model."], ["gates=none", "retries"]),
        ("an error", {"gates": "none"}, "engine_error", ["same command again"], ["gates=none", "another model"]),
    ],
)
def test_advice_after_a_failed_document_can_help(
    monkeypatch: pytest.MonkeyPatch, answer: str, given: dict[str, Any], reason: str, helps: list[str], useless: list[str]
) -> None:
    """Nobody is told to switch off gates that are off, or that did not object, or to try as often as they did."""
    from hala.verbs import translators as verb

    answers = {"the same": extract, "a word": lambda request: "كلمة", "an error": {}}
    monkeypatch.setattr(verb, "open_engine", lambda *_, **__: ScriptedEngine(answers[answer]))
    with pytest.raises(InputError, match=re.escape(reason)) as error:
        translate_document("Run `ls` now, my friend.", {"engine": "echo", **given}, "en", "ar")
    assert all(word in error.value.fix for word in helps) and not any(word in error.value.fix for word in useless), error.value


def test_checkpoint_knows_its_languages_and_prompt(tmp_path: Path) -> None:
    """A translator's own prompt is used; other languages than it learnt are refused; a damaged hala.json is named."""
    about: Callable[[Any], None] = lambda value: (tmp_path / "hala.json").write_text(json.dumps(value))  # noqa: E731
    about({"task": "translation", "prompt": "Say: {text}", "source": "en", "target": "ar"})
    section = Translate(data="x", model=str(tmp_path))
    assert make_plan(section, str(tmp_path), "en", "ar").prompt == "Say: {text}"
    with pytest.raises(RecipeError, match="en -> ar, not en -> hi"):
        make_plan(section, str(tmp_path), "en", "hi")
    about({"task": "translation", "target": "ar"})
    with pytest.raises(RecipeError, match="not en -> hi"):
        make_plan(section, str(tmp_path), "en", "hi")
    about({"task": "chat", "prompt": "{text}", "target": "ar"})
    assert make_plan(section, str(tmp_path), "en", "hi").prompt == "default"
    for damaged in ("{", "[]"):
        (tmp_path / "hala.json").write_text(damaged)
        with pytest.raises(InputError, match=r"hala\.json"):
            make_plan(section, str(tmp_path), "en", "ar")


def test_further_tries_are_sampled_as_suits_the_model(tmp_path: Path) -> None:
    """The first try is greedy whatever the model; a further one follows its card, unless the recipe says how warm it is."""
    (tmp_path / "config.json").write_text('{"model_type": "lfm2"}')
    section = Translate(data="x", model=str(tmp_path), engine="local")
    plan = make_plan(section, str(tmp_path), "en", "ar")
    assert (plan.sampling.temperature, plan.retry_temperature) == (0.0, 0.3)
    assert (plan.sampling.min_p, plan.sampling.repetition_penalty) == (0.15, 1.05)
    told = section.model_copy(update={"retry_temperature": 0.8})
    assert make_plan(told, str(tmp_path), "en", "ar").retry_temperature == 0.8
    assert make_plan(section.model_copy(update={"engine": "server"}), "served-name", "en", "ar").sampling.min_p == 0.0


def test_real_model_end_to_end(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """A tiny real model translates through the local engine, and its nonsense is rejected by the gates, not kept."""
    section = Translate(data={"path": str(chats_file), "take": 3}, model=str(tiny), max_tokens=6, retries=0, dtype="float32")
    outcome = run(section, context(tmp_path / "out"))
    assert outcome.counts["rows"] == 3 == sum(value for key, value in outcome.counts.items() if key == "kept" or "/" in key)
    assert outcome.counts["kept"] == 0 and outcome.facts["prompt"] == "{text}"
