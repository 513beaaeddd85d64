"""Probes in an evaluation: what is said is measured as computed by hand, compared with the baseline, recorded and shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hala.artifacts import Manifest
from hala.errors import InputError
from hala.evals.probes import Probe
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.records import Completion
from hala.verbs import Context, Outcome, score_probes
from hala.verbs.evaluate import run
from hala.verbs.results import probe_tables
from hala.verbs.scoreboard import board
from hala.verbs.sheet import Turn
from hala.verbs.status import Stage

FILE = """
lang = "ar"
[[probe]]
id = "one"
prompt = "ما عاصمة اليابان؟ أجب بكلمة واحدة."
checks = {words = [1, 1]}
[[probe]]
id = "two"
prompt = "ما معنى RAM؟ أجب في جملة فيها كلمة «ذاكرة»."
checks = {sentences = [1, 1], contains = "ذاكرة"}
[[probe]]
id = "three"
prompt = "احك لي قصة طويلة عن قطة."
[[probe]]
id = "four"
lang = "en"
prompt = "ترجم إلى الإنجليزية: الباب مفتوح."
checks = {language = "en"}
"""
GOOD = {"one": "طوكيو.", "two": "هي ذاكرة الحاسوب RAM.", "three": "كان يا ما كان، قطة في السوق.", "four": "The door is open."}
LOOP = "قطة " * 30


def completion(name: str, text: str, finish: Any = "stop", error: str = "") -> Completion:
    """An answer of as many tokens as words."""
    return Completion(name, text, finish, len(text.split()), error)


def evaluate(out: Path, inputs: dict[str, Path], said: dict[str, dict[str, Completion]], **settings: Any) -> Outcome:
    """An evaluation whose models answer by script: `said[model][probe]`, else the good answer."""

    def answer(turn: Turn, probes: Sequence[Probe]) -> list[Completion]:
        own = said.get(turn.model.name, {})
        return [own.get(probe.id) or completion(probe.id, GOOD[probe.id]) for probe in probes]

    section = Evaluate(**{"dtype": "float32", "resamples": 200, "models": [f"${name}" for name in inputs], **settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_probes, "_ask", answer)
        return run(section, Context("step", out, out.parent, Languages(), inputs, Progress(quiet=True)))


@pytest.fixture
def probes(tmp_path: Path) -> str:
    """Four probes in a file of one's own."""
    path = tmp_path / "mine.toml"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def values(outcome: Outcome, model: str) -> dict[str, float]:
    """The value of each metric of one model."""
    return {score["metric"]: round(score["value"], 2) for score in outcome.facts["scores"] if score["model"] == model}


def test_answers_are_scored_as_by_hand(tmp_path: Path, tiny: Path, tiny_child: Path, probes: str) -> None:
    """A model that does as it is told has full marks; one that loops, switches, is silent and breaks off has what it earns."""
    bad = {
        "one": completion("one", ""),
        "two": completion("two", "هي memory الحاسوب.", "length"),
        "three": completion("three", LOOP, "length"),
        "four": completion("four", "الباب open"),
    }
    inputs = {"base": tiny, "child": tiny_child}
    outcome = evaluate(tmp_path / "out", inputs, {"child": bad}, probes=probes)
    assert values(outcome, "base") == {
        "script": round((1 + 14 / 17 + 1 + 1) / 4 * 100, 2),  # RAM counts as letters, but it is no switch
        "switches": 0.0,
        "repeats": 0.0,
        "words": round((1 + 4 + 7 + 4) / 4, 2),
        "ended": 100.0,
        "instructions": 100.0,
    }
    script = (0 + 9 / 15 + 1 + 4 / 9) / 4 * 100
    expected = {"script": round(script, 2), "switches": 50.0, "repeats": 25.0, "words": 8.75, "ended": 50.0, "instructions": 25.0}
    assert values(outcome, "child") == expected
    for score in outcome.facts["scores"]:
        assert score["low"] <= score["value"] <= score["high"] and score["signature"].startswith("probes:mine|sha256:")
        assert (score["delta"] is None) == (score["model"] == "base") == (score["p_holm"] is None)
        assert score["n"] == 4 and score["lang"] == "ar" and score["set"] == "probes mine"
    ended = next(s for s in outcome.facts["scores"] if (s["model"], s["metric"]) == ("child", "ended"))
    assert (ended["delta"], ended["wins"], ended["losses"], ended["p"], ended["test"]) == (-50.0, 0, 2, 0.5, "mcnemar-exact")


def test_each_metric_is_a_family_of_tests(tmp_path: Path, tiny: Path, tiny_child: Path, probes: str) -> None:
    """Two models are two tests of each metric, whatever the other metrics say."""
    inputs = {"base": tiny, "child": tiny_child, "third": tiny_child}
    bad = {name: completion(name, "", "length") for name in GOOD}
    outcome = evaluate(tmp_path / "out", inputs, {"child": bad}, probes=probes)
    ended = {s["model"]: s for s in outcome.facts["scores"] if s["metric"] == "ended"}
    assert (ended["child"]["p"], ended["child"]["p_holm"]) == (0.125, 0.25)
    assert ended["third"]["p_holm"] == 1.0


def test_answers_are_recorded_and_some_are_shown(tmp_path: Path, tiny: Path, probes: str) -> None:
    """Each answer stands in records.jsonl with all that was seen in it; the limit takes evenly spaced probes."""
    said = {"m": {"three": completion("three", "<think>Hmm, a cat.</think>\n" + GOOD["three"])}}
    outcome = evaluate(tmp_path / "out", {"m": tiny}, said, probes=probes)
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["id"] for record in records] == list(GOOD) and outcome.facts["probes"] == records
    assert records[1]["instructions"] == {"sentences": True, "contains": True} and records[1]["switches"] == []
    assert records[2]["output"] == GOOD["three"], "what a model thought is no part of its answer"
    few = evaluate(tmp_path / "few", {"m": tiny}, {}, probes=probes, limit=2)
    assert [record["id"] for record in few.facts["probes"]] == ["one", "three"]


def test_a_failed_answer_is_said_and_counted(tmp_path: Path, tiny: Path, probes: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A prompt that the engine refuses counts as empty and unended, and the run says so."""
    said = {"m": {"one": completion("one", "", "error", "the prompt has 9 tokens, the model holds 8")}}
    section = Evaluate(models="$m", probes=probes, dtype="float32", resamples=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            score_probes, "_ask", lambda turn, asked: [said["m"].get(p.id) or completion(p.id, GOOD[p.id]) for p in asked]
        )
        out = tmp_path / "out"
        outcome = run(section, Context("step", out, tmp_path, Languages(), {"m": tiny}, Progress()))
    assert "no answer to 1 of 4 probes mine, which count as empty: the prompt has 9 tokens" in capsys.readouterr().err
    assert values(outcome, "m")["ended"] == 75.0 and outcome.facts["probes"][0]["error"].startswith("the prompt")


@pytest.mark.parametrize("prompt", ["قطة", "؟؟؟", "لخّص: " + "ذهب الولد إلى السوق. " * 40])
def test_a_loop_is_one_whatever_was_asked(prompt: str) -> None:
    """A prompt that is long, repeats itself or holds no word at all excuses no loop, and makes none."""
    probe = Probe("x", prompt, "ar")
    assert score_probes.loop_in(probe, LOOP) and score_probes.loop_in(probe, "لشبونة" + "عل" * 40)
    assert not score_probes.loop_in(probe, "كان يا ما كان، قطة في السوق. وعادت إلى البيت.") and not score_probes.loop_in(
        probe, " "
    )


def test_an_unknown_script_is_not_scored(tmp_path: Path, tiny: Path) -> None:
    """Of a language whose script nobody knows, script and code-switching are left out, not guessed."""
    path = tmp_path / "xx.toml"
    path.write_text('lang = "xx"\n[[probe]]\nid = "one"\nprompt = "Lorem?"\n', encoding="utf-8")
    outcome = evaluate(tmp_path / "out", {"m": tiny}, {}, probes=str(path))
    assert values(outcome, "m").keys() == {"repeats", "words", "ended"}


def test_real_models_answer(tmp_path: Path, tiny: Path, tiny_child: Path, probes: str) -> None:
    """From the checkpoint to the score without a stand-in: the same twice, and answers keep the limit."""
    section = Evaluate(models=["$base", "$child"], probes=probes, probe_tokens=5, dtype="float32", resamples=100)
    inputs = {"base": tiny, "child": tiny_child}
    made = []
    for name in ("a", "b"):
        context = Context("step", tmp_path / name, tmp_path, Languages(), inputs, Progress(quiet=True))
        made.append(run(section, context).facts)
    assert made[0] == made[1] and len(made[0]["scores"]) == 12
    assert all(0 < record["tokens"] <= 5 for record in made[0]["probes"])
    assert "max_tokens:5" in made[0]["scores"][0]["signature"]


def test_a_model_without_chat_template_is_refused_at_once(tmp_path: Path, tiny: Path, probes: str) -> None:
    """Before anything is loaded or asked, with the model's name and what helps."""
    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="model bare has no chat template") as caught:
        evaluate(tmp_path / "out", {"m": tiny, "bare": bare}, {}, probes=probes)
    assert "chat_template.jinja" in caught.value.fix and not (tmp_path / "out").exists()


def test_the_tables_say_which_way_is_better(tmp_path: Path, tiny: Path, tiny_child: Path, probes: str) -> None:
    """Fewer loops are better, more words are neither; the table tells how much was asked."""
    bad = {name: completion(name, LOOP, "length") for name in GOOD}
    outcome = evaluate(tmp_path / "out", {"base": tiny, "child": tiny_child}, {"child": bad}, probes=probes)
    for score in outcome.facts["scores"]:
        score["p_holm"] = None if score["model"] == "base" else 0.001
    manifest = Manifest(
        step="step", verb="evaluate", kind="scores", config={}, inputs={}, fingerprint="", counts={}, facts=outcome.facts,
        versions={}, timings={}, files={},
    )  # fmt: skip
    stage = Stage("step", "evaluate", tmp_path, "finished", manifest)
    [table] = probe_tables(stage)
    verdicts = dict(zip(table.header, (cell.verdict for cell in table.rows[1]), strict=True))
    assert verdicts["repetition %"] == verdicts["ended its turn %"] == "worse" and verdicts["words an answer"] == ""
    assert not any(cell.best for row in table.rows for cell in row)
    assert "4 prompts, 4 instructions that a program can check" in table.note
    arrows = {row[3].text: row[4].text for row in board(stage).rows if row[3].text}
    assert arrows["repetition"] == "↓" and arrows["instructions met"] == "↑" and arrows["words an answer"] == ""
