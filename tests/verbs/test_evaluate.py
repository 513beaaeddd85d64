"""evaluate as a step: every model on every set, intervals and paired differences, and no result replaces another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hala import artifacts, shards
from hala.errors import InputError, RecipeError
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.records import KEPT, Message, Row
from hala.verbs import Context, Outcome
from hala.verbs.evaluate import run
from hala.verbs.testsets import unique

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


def test_scores_are_a_file_too(tmp_path: Path, tiny: Path, questions_file: Path) -> None:
    """The step's digest covers the scores; of a score over items the bootstrap interval stands beside Wilson's."""
    outcome = evaluate(tmp_path / "out", {"m": tiny}, models="$m", questions=str(questions_file))
    stored = json.loads((tmp_path / "out/scores.json").read_text(encoding="utf-8"))
    assert stored == outcome.facts["scores"] and "scores.json" in artifacts.list_files(tmp_path / "out")
    [entry] = stored
    assert entry["bootstrap_low"] <= entry["value"] <= entry["bootstrap_high"] and "ci:wilson" in entry["signature"]


def test_a_suite_has_a_mean(tmp_path: Path, tiny: Path, tiny_child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of a suite's benchmarks is one score a model, and a mean over subsets gets no interval of pooled items."""
    from hala.evals import benchmarks

    members = tuple(
        benchmarks.Benchmark(name, name, ("x", "y"), "test", "arbmmlu_ht", benchmarks.LATIN_LETTERS, "macro", lang="en")
        for name in ("first", "second")
    )
    records = [{"question": f"What is {n} plus one?", "choices": [str(n + k) for k in range(4)], "answer": 1} for n in range(4)]
    monkeypatch.setattr(benchmarks, "find_suite", lambda _: members)
    monkeypatch.setattr("hala.data.sources.hub_records", lambda *_: records)
    outcome = evaluate(tmp_path / "out", {"a": tiny, "b": tiny_child}, models=["$a", "$b"], suite="both", profile="cloze")
    scores = {(each["model"], each["set"]): each for each in outcome.facts["scores"]}
    assert list(scores) == [(model, name) for model in "ab" for name in ("first", "second", "both (mean)")]
    for model in "ab":
        first, second, mean = (scores[model, name] for name in ("first", "second", "both (mean)"))
        assert mean["value"] == pytest.approx((first["value"] + second["value"]) / 2) and mean["n"] == 16
        assert mean["low"] <= mean["value"] <= mean["high"] and mean["lang"] == "en"
        assert "bootstrap_low" not in first and "avg:macro" in first["signature"]
    gain = scores["b", "both (mean)"]
    assert gain["delta"] == pytest.approx(gain["value"] - scores["a", "both (mean)"]["value"]) and gain["p"] is None
    assert scores["a", "both (mean)"]["delta"] is None


def test_rows_that_are_no_pairs_do_not_use_up_the_limit(tmp_path: Path, tiny: Path) -> None:
    """`limit` counts sentence pairs; what is none is counted and stored."""
    rows = [Row("plain", (Message("text", "x"),))] * 3
    rows += [Row(f"p/{n}", (Message("text", "نص"),), "ar", original=(Message("text", "A text."),)) for n in range(4)]
    rows.insert(4, Row("odd", (Message("user", "x"), Message("assistant", "y")), original=(Message("user", "x"),)))
    shards.write_rows(tmp_path / "in/rows/000000.parquet", [(row, KEPT) for row in rows])
    outcome = evaluate(tmp_path / "out", {"m": tiny, "in": tmp_path / "in"}, models="$m", pairs="$in", limit=3)
    assert {each["n"] for each in outcome.facts["scores"]} == {3} and outcome.counts["malformed"] == 4
    stored = [json.loads(line) for line in (tmp_path / "out/malformed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["position"] for each in stored] == [0, 1, 2, 4] and stored[0]["reason"] == "not_a_pair"


def test_chosen_metrics_raw_and_normalised(tmp_path: Path, tiny: Path, tiny_child: Path, pairs_file: Path) -> None:
    """The recipe's metrics, each for each normaliser, with paired differences; the headline table shows the raw ones."""
    from hala.verbs.results import translation_tables
    from hala.verbs.status import Stage

    wanted = {"metrics": ["ter", "rouge-l", "rouge-l-latin"], "normalise": ["none", "arabic-light"], "paired": "randomisation"}
    outcome = evaluate(tmp_path / "out", {"a": tiny, "b": tiny_child}, models=["$a", "$b"], pairs=str(pairs_file), **wanted)
    scores = {each["metric"]: each for each in outcome.facts["scores"] if each["model"] == "b"}
    names = [f"{name}{how}" for name in wanted["metrics"] for how in ("", " (arabic-light)")]
    assert [*scores][:6] == names
    assert all(scores[name]["p"] is not None and "normalise:" in scores[name]["signature"] for name in names)
    manifest = artifacts.Manifest("step", "evaluate", "scores", {}, {}, "", outcome.counts, outcome.facts)
    [table] = translation_tables(Stage("step", "evaluate", tmp_path, "finished", manifest))
    assert table.header[2:5] == ("TER", "ROUGE-L", "ROUGE-L (Latin words)")


def test_what_cannot_be_measured_is_said_before_a_model_loads(tmp_path: Path, pairs_file: Path) -> None:
    """A misspelt metric, and spBLEU without its model, stop before the checkpoint is even looked for."""
    with pytest.raises(RecipeError, match="Did you mean 'chrf"):
        evaluate(tmp_path / "out", {}, models="no-such-model", pairs=str(pairs_file), metrics="chrf+")
    spbleu = {"metrics": "bleu-flores200", "flores200": str(tmp_path / "none.model")}
    with pytest.raises(InputError, match="none"):
        evaluate(tmp_path / "out", {}, models="no-such-model", pairs=str(pairs_file), **spbleu)


def test_documents_of_pairs(tmp_path: Path, tiny: Path) -> None:
    """A note can name each pair's document, which the signature tells; a pair without it is an error with its name."""
    lines = [{"en": f"Text {n}.", "ar": f"نص {n}.", "doc": f"d{n // 2}"} for n in range(4)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    data = {"path": str(path), "columns": {"source": "en", "target": "ar"}, "keep": ["doc"]}
    outcome = evaluate(tmp_path / "out", {"m": tiny}, models="$m", pairs=data, documents="doc")
    assert outcome.facts["scores"][0]["signature"].endswith("|documents:2")
    with pytest.raises(InputError, match="'page'"):
        evaluate(tmp_path / "again", {"m": tiny}, models="$m", pairs=data, documents="page")
