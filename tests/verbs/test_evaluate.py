"""evaluate as a step: every model on every set, intervals and paired differences, and no result replaces another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts, pipeline, shards
from hala.errors import InputError, RecipeError
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.records import KEPT, Completion, Message, Request, Row, Sampling
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


def test_a_model_that_cannot_be_asked_in_chats_is_named_first(
    tmp_path: Path, tiny: Path, questions_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of several models without a chat template stops the step before the first one is loaded."""
    bare = tmp_path / "bare"
    shutil.copytree(tiny, bare)
    (bare / "chat_template.jinja").unlink()
    monkeypatch.setattr("hala.verbs.evaluate._load", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(InputError, match="model bare has no chat template, and profile cloze asks in chats"):
        evaluate(tmp_path / "out", {"base": tiny, "bare": bare}, models=["$base", "$bare"], questions=str(questions_file))


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


def test_pairs_in_both_directions(tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backward is a set of its own: sides swapped, asked for in the source language, failures judged by its script."""
    from hala.verbs import score_pairs

    asked: dict[str, tuple[str, list[str]]] = {}

    def speak_english(
        where: str, loaded: object, sources: list[str], settings: Evaluate, languages: Languages, say: object
    ) -> list[str]:
        asked[languages.target] = (languages.source, sources)
        return ["plain words"] * len(sources)

    monkeypatch.setattr(score_pairs, "translations", speak_english)
    facts = evaluate(
        tmp_path / "out", {"base": tiny}, models="$base", pairs=str(pairs_file), directions=["forward", "backward"]
    ).facts
    assert asked["ar"][0] == "en" and asked["en"][0] == "ar" and set(asked["ar"][1]).isdisjoint(asked["en"][1])
    scores = {(each["set"], each["metric"]): each for each in facts["scores"]}
    assert {name for name, _ in scores} == {"pairs.jsonl", "pairs.jsonl ar-en"}
    assert [scores[name, "wrong_script"]["value"] for name in ("pairs.jsonl", "pairs.jsonl ar-en")] == [100.0, 0.0]
    assert scores["pairs.jsonl ar-en", "chrf++"]["lang"] == "en"


def test_answers_that_are_cut_off_count_as_they_are(
    tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A translation that was cut off, or lost a span, is what the model wrote, and no empty one; the run says how many were."""

    class CutOff:
        def __init__(self, *_: object, **__: object) -> None: ...

        def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
            return (Completion(request.id, "كلام بلا", "length") for request in requests)

        def close(self) -> None: ...

    said: list[str] = []
    monkeypatch.setattr("hala.engines.local.LocalEngine", CutOff)
    monkeypatch.setattr(Progress, "say", lambda self, text: said.append(text))
    with pairs_file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"en": "Run `ls` now.", "ar": "نفّذ `ls` الآن."}) + "\n")
    out = tmp_path / "out"
    scores = evaluate(out, {"base": tiny}, models="$base", pairs=str(pairs_file)).facts["scores"]
    outputs = [json.loads(line)["output"] for line in (out / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    assert outputs == ["كلام بلا"] * 9 and {each["metric"]: each["value"] for each in scores}["empty"] == 0.0
    assert any("9 of 9 answers were cut off at max_tokens" in line for line in said)


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
    assert gain["delta"] == pytest.approx(gain["value"] - scores["a", "both (mean)"]["value"])
    assert gain["delta_low"] <= gain["delta"] <= gain["delta_high"] and 0 < gain["p"] <= 1 and gain["test"].startswith("swap")
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


def test_pairs_of_another_language_are_refused(tmp_path: Path, tiny: Path) -> None:
    """Arabic references are never scored as if they were French."""
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"en": "A house.", "ar": "بيت."}\n', encoding="utf-8")
    settings = {"models": [str(tiny)], "pairs": [str(file)]}
    with pytest.raises(InputError, match=r"pairs\.jsonl holds translations in ar, and the target here is fr"):
        pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True), {"source": "en", "target": "fr"})


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
    assert "|documents:2|prompt:" in outcome.facts["scores"][0]["signature"]
    with pytest.raises(InputError, match="'page'"):
        evaluate(tmp_path / "again", {"m": tiny}, models="$m", pairs=data, documents="page")


def write_questions(path: Path, answers: list[int]) -> Path:
    """Questions with four options each, right at the given places."""
    lines = [{"question": f"Which is {n}?", "options": list("wxyz"), "answer": right} for n, right in enumerate(answers)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def fixed(prefer: Callable[[Any], int]) -> Callable[..., tuple[Any, ...]]:
    """A stand-in for `score`: a model that prefers a place by a rule."""
    from hala.evals.scoring import Answer

    def score(_loaded: Any, items: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        made = []
        for item in items:
            place = prefer(item)
            scores = tuple(0.0 if at == place else -1.0 for at in range(len(item.question.options)))
            one = (item.question.id, item.benchmark, item.subset, item.question.answer, place, scores, scores, (1,) * len(scores))
            made.append(Answer(*one, tied=False, truncated=0))
        return tuple(made)

    return score


def test_a_model_that_always_says_the_first(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known answers: 3 of 12 right, a favourite position that shows in p, and no answer that stays when options move."""
    questions = write_questions(tmp_path / "q.jsonl", [0, 1, 2, 3] * 3)
    monkeypatch.setattr("hala.evals.scoring.score", fixed(lambda item: 0))
    outcome = evaluate(tmp_path / "out", {"m": tiny}, models="$m", questions=str(questions), shuffle_options=3)
    [score] = outcome.facts["scores"]
    assert score["value"] == 25 and score["positions"]["chosen"] == [12, 0, 0, 0] and score["positions"]["right"] == [3, 3, 3, 3]
    assert score["positions"]["p"] < 0.05
    records = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text(encoding="utf-8").splitlines()]
    moved = sum(record["shuffled"] == 0 for record in records)
    assert score["shuffled"]["stay"] == pytest.approx(100 * moved / 12) and moved < 12


def test_a_model_that_reads_the_options(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known answers: who looks for the text `x` finds it wherever it stands."""
    questions = write_questions(tmp_path / "q.jsonl", [1, 1, 1, 0])
    monkeypatch.setattr("hala.evals.scoring.score", fixed(lambda item: item.question.options.index("x")))
    outcome = evaluate(tmp_path / "out", {"m": tiny}, models="$m", questions=str(questions), shuffle_options=1)
    [score] = outcome.facts["scores"]
    assert score["value"] == 75 and score["positions"]["p"] > 0.05
    assert (score["shuffled"]["stay"], score["shuffled"]["accuracy"], score["shuffled"]["right_both_times"]) == (100, 75, 75)


def test_letters_stay_where_they_are() -> None:
    """Options in another order keep the answer's text; letters that are written in the options stay at their places."""
    from hala.evals.benchmarks import Item
    from hala.records import Question
    from hala.verbs.score_questions import order_of, shuffled

    plain_item = Item(Question("q", "?", ("one", "two", "three"), 2), "b", "", "jsonl", ("A", "B", "C"))
    moved = shuffled(plain_item, [2, 0, 1])
    assert moved.question.options == ("three", "one", "two") and moved.question.answer == 0 and moved.labels == ("A", "B", "C")
    marked = Item(Question("q", "?", ("أ) نعم", "ب) لا", "ج) ربما"), 1), "b", "", "aratrust", ("أ", "ب", "ج"))
    assert shuffled(marked, [1, 2, 0]).question.options == ("أ) لا", "ب) ربما", "ج) نعم")
    orders = [order_of(replace(plain_item, question=replace(plain_item.question, id=str(n))), 5) for n in range(30)]
    assert all(sorted(order) == [0, 1, 2] != order for order in orders) and len({tuple(order) for order in orders}) > 3


def test_questions_on_one_passage_are_one_cluster(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passages widen the interval and the signature says so; without them the interval is Wilson's."""
    from hala.evals import benchmarks
    from hala.records import Question

    right = [n // 10 % 2 for n in range(40)]  # passages that are all right or all wrong

    def read(passages: bool) -> Any:
        items = [
            benchmarks.Item(
                Question(str(n), "?", ("a", "b"), 1 - right[n]), "b", "", "jsonl", ("A", "B"), f"p{n // 10}" * passages
            )
            for n in range(40)
        ]
        return lambda *_: benchmarks.Reading(tuple(items), (), 40)

    bench = benchmarks.Benchmark("b", "b", ("",), "test", "jsonl", ("A", "B"), "micro")
    monkeypatch.setattr(benchmarks, "find_suite", lambda _: (bench,))
    monkeypatch.setattr("hala.evals.scoring.score", fixed(lambda item: 0))
    found = {}
    for passages in (True, False):
        monkeypatch.setattr(benchmarks, "read", read(passages))
        [found[passages]] = evaluate(tmp_path / f"{passages}", {"m": tiny}, models="$m", suite="b").facts["scores"]
    assert found[True]["value"] == found[False]["value"] == 50
    assert "ci:wilson-clustered|clusters:4" in found[True]["signature"] and "clustered" not in found[False]["signature"]
    assert found[True]["high"] - found[True]["low"] > 2 * (found[False]["high"] - found[False]["low"])
    assert found[True]["bootstrap_low"] < found[False]["bootstrap_low"]


def test_every_subset_has_its_difference(tmp_path: Path, tiny: Path, tiny_child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean that does not move may hide a subset that fell: the second model gains x and loses y."""
    from hala.evals import benchmarks

    bench = benchmarks.Benchmark("b", "b", ("x", "y"), "test", "arbmmlu_ht", ("1", "2"), "macro", lang="en")
    rows = [{"question": f"{n}?", "choices": ["no", "yes"], "answer": n % 2} for n in range(8)]
    monkeypatch.setattr(benchmarks, "find_suite", lambda _: (bench,))
    monkeypatch.setattr("hala.data.sources.hub_records", lambda *_: rows)
    turn = iter(
        (lambda item: item.question.answer ^ (item.subset == "x"), lambda item: item.question.answer ^ (item.subset == "y"))
    )
    monkeypatch.setattr("hala.evals.scoring.score", lambda *a, **k: fixed(next(turn))(*a, **k))
    outcome = evaluate(tmp_path / "out", {"a": tiny, "b": tiny_child}, models=["$a", "$b"], suite="b", profile="oall-v2")
    tasks = json.loads((tmp_path / "out/tasks.json").read_text(encoding="utf-8"))
    told = [(task["model"], task["subset"], task["value"], task.get("delta")) for task in tasks]
    assert told == [("a", "x", 0, None), ("a", "y", 100, None), ("b", "x", 100, 100), ("b", "y", 0, -100)]
    assert [task["p_holm"] for task in tasks[2:]] == [2 * 2 / 2**8] * 2
    gain = outcome.facts["scores"][1]
    assert gain["delta"] == 0 and gain["p"] == gain["p_holm"] == 1 and (gain["wins"], gain["losses"]) == (8, 8)


def test_holm_counts_the_tests_of_a_step() -> None:
    """Two sets and two models are four tests; scores without leaked questions and means are counted apart."""
    from hala.verbs.sheet import correct_for_many

    names = ["a", "b", "a (clean)", "all (mean)"]
    scores = [{"set": name, "metric": "accuracy", "p": p} for p in (0.01, 0.02) for name in names]
    scores.append({"set": "a", "metric": "accuracy", "p": None})
    correct_for_many(scores)
    assert [round(score["p_holm"], 4) for score in scores[:8]] == [0.04, 0.04, 0.02, 0.02, 0.04, 0.04, 0.02, 0.02]
    assert "p_holm" not in scores[8]


def test_a_suite_keeps_passages_together(tmp_path: Path, tiny: Path, tiny_child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of a suite counts passages, not questions: five passages that all gained give p = 2 / 2^5, not 2 / 2^20."""
    from hala.evals import benchmarks
    from hala.records import Question

    members = tuple(benchmarks.Benchmark(name, name, ("",), "test", "jsonl", ("A", "B"), "micro") for name in ("one", "two"))

    def read(benchmark: Any, _rows: Any) -> Any:
        name, count = benchmark.name, 16 if benchmark.name == "one" else 4
        items = [
            benchmarks.Item(Question(f"{name}/{n}", "?", ("a", "b"), 0), name, "", "jsonl", ("A", "B"), f"{name}{n // 4}")
            for n in range(count)
        ]
        return benchmarks.Reading(tuple(items), (), count)

    monkeypatch.setattr(benchmarks, "find_suite", lambda _: members)
    monkeypatch.setattr(benchmarks, "read", read)
    turn = iter([1, 1, 0, 0])
    monkeypatch.setattr("hala.evals.scoring.score", lambda *a, **k: (lambda place: fixed(lambda _: place)(*a, **k))(next(turn)))
    outcome = evaluate(tmp_path / "out", {"a": tiny, "b": tiny_child}, models=["$a", "$b"], suite="s")
    mean = next(score for score in outcome.facts["scores"] if score["set"] == "s (mean)" and score["model"] == "b")
    assert (mean["value"], mean["delta"]) == (100, 100) and mean["signature"].endswith("clusters:5")
    # The weights are 1/8 for four passages and 1/2 for one: only all signs alike give a difference of 1.
    assert mean["p"] == pytest.approx(2 / 2**5, abs=0.01) and (mean["wins"], mean["losses"]) == (20, 0)
