"""evaluate as a step: every model on every set, intervals and paired differences, and no result replaces another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.verbs import Context, Outcome
from hala.verbs.evaluate import run, unique

QUICK = {"dtype": "float32", "resamples": 100, "max_tokens": 6}


def evaluate(out: Path, inputs: dict[str, Path], **settings: object) -> Outcome:
    """The outcome of a small evaluation."""
    section = Evaluate(**{**QUICK, **settings})
    return run(section, Context("step", out, out.parent, Languages(), inputs, Progress(quiet=True)))


@pytest.fixture
def questions_file(tmp_path: Path) -> Path:
    """Four-option questions as JSON lines."""
    lines = [{"question": f"What is {n} plus one?", "options": [str(n + k) for k in range(4)], "answer": 1} for n in range(6)]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_questions_and_pairs_for_two_models(
    tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path, pairs_file: Path
) -> None:
    """Each score has its interval and signature, the second model a paired difference, and each answer is recorded."""
    inputs = {"base": tiny, "child": tiny_child}
    outcome = evaluate(tmp_path / "out", inputs, models=["$base", "$child"], questions=str(questions_file), pairs=str(pairs_file))
    scores = {(each["model"], each["metric"]): each for each in outcome.facts["scores"]}
    assert {("base", "accuracy"), ("child", "accuracy")} <= scores.keys() and ("child", "chrf++") in scores
    for each in scores.values():
        assert each["low"] <= each["value"] <= each["high"] and each["signature"] and each["n"] in (6, 8)
    assert scores["base", "accuracy"]["delta"] is None
    gain = scores["child", "accuracy"]
    assert (
        gain["delta"] == pytest.approx(gain["value"] - scores["base", "accuracy"]["value"])
        and gain["delta_low"] <= gain["delta_high"]
    )
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(records) == 2 * (6 + 8)


def test_models_of_one_name_are_told_apart(tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path) -> None:
    """Two folders called `model` are two models, not one compared with itself."""
    for name, source in (("a", tiny), ("b", tiny_child)):
        shutil.copytree(source, tmp_path / name / "model")
    models = [str(tmp_path / name / "model") for name in "ab"]
    outcome = evaluate(tmp_path / "out", {}, models=models, questions=str(questions_file))
    assert [each["name"] for each in outcome.facts["models"]] == ["model", "model (2)"]
    assert [each["model"] for each in outcome.facts["scores"]] == ["model", "model (2)"]


def test_sets_of_one_name_are_all_measured(tmp_path: Path, tiny: Path, pairs_file: Path) -> None:
    """Two parts of one file are two sets."""
    sets = [{"path": str(pairs_file), "take": 3}, {"path": str(pairs_file), "skip": 3, "take": 2}]
    outcome = evaluate(tmp_path / "out", {"m": tiny}, models="$m", pairs=sets)
    assert {(each["set"], each["n"]) for each in outcome.facts["scores"]} == {("pairs.jsonl", 3), ("pairs.jsonl (2)", 2)}


def test_unique_names() -> None:
    """First come keeps the name."""
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_nothing_to_evaluate_on(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """No set, or a set without pairs, is an error before scores are made up."""
    with pytest.raises(InputError, match="nothing to evaluate on"):
        evaluate(tmp_path / "out", {"m": tiny}, models="$m")
    with pytest.raises(InputError, match="no sentence pairs"):
        evaluate(tmp_path / "out", {"m": tiny}, models="$m", pairs=str(chats_file))
