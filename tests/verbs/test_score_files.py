"""Exported scores, read back by the libraries whose formats they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results
from ruamel.yaml import YAML

from hala.verbs.score_files import eval_results, lighteval_results, lm_eval_results, model_index, write_exports

COMMIT = "0123456789" * 4


def score(name: str, metric: str, value: float, **more: Any) -> dict[str, Any]:
    """One score as `evaluate` stores it; the interval stands for a standard error of 2."""
    basis = {"model": "org/a b", "set": name, "metric": metric, "value": value, "low": value - 3.92, "high": value + 3.92}
    return {**basis, "n": 100, "signature": "profile:oall-v2|norm:char|shots:0", **more}


HUB = {"dataset": {"id": "MBZUAI/ArabicMMLU", "split": "test", "revision": COMMIT}}
SCORES = [
    score("arabic_mmlu", "accuracy", 50.0, **HUB),
    score("arabic_mmlu (clean)", "accuracy", 48.0, **HUB),
    score("own.jsonl", "accuracy", 40.0, signature="profile:strict|norm:none|shots:0"),
    score("oall-v2 (mean)", "accuracy", 45.0),
    score("flores", "bleu-13a", 33.7, signature="nrefs:1"),
    score("flores", "ter", 52.0, signature="nrefs:1"),
    score("probes ar", "repeats", 10.0, signature="probes:ar|metric:repeats"),
    score("flores", "empty", 1.0, signature="failure:empty|ci:wilson"),
]
TASKS = [{**SCORES[0], "subset": subset, "value": value} for subset, value in (("Law", 60.0), ("Math", 40.0))]
OWN = SCORES[:-1]


def read(path: Path) -> Any:
    """YAML as other programs read it."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def test_lm_eval_results() -> None:
    """Accuracies are fractions with their standard errors under `metric,filter`; TER is marked as better when lower."""
    content = lm_eval_results("m", OWN, TASKS)
    mmlu = content["results"]["arabic_mmlu"]
    assert mmlu["acc_norm,none"] == 0.5 and mmlu["acc_norm_stderr,none"] == pytest.approx(0.02, rel=1e-3)
    assert content["results"]["own.jsonl"]["acc,none"] == 0.4  # no length norm: plain accuracy
    assert content["results"]["flores"]["bleu-13a,none"] == 33.7 and content["results"]["arabic_mmlu/Law"]["acc_norm,none"] == 0.6
    assert content["higher_is_better"]["flores"] == {"bleu-13a": True, "ter": False}
    assert content["group_subtasks"] == {"arabic_mmlu": ["arabic_mmlu/Law", "arabic_mmlu/Math"]}
    assert content["n-samples"]["flores"] == {"original": 100, "effective": 100}
    tasks = content["results"].keys()
    assert content["versions"].keys() == content["n-shot"].keys() == content["higher_is_better"].keys() == tasks


def test_lighteval_results() -> None:
    """Tasks end with their number of shots, subsets stand after a colon, and each metric has its `_stderr`."""
    content = lighteval_results("m", OWN, TASKS)
    assert content["results"]["arabic_mmlu:Law|0"]["acc_norm"] == 0.6
    assert content["results"]["flores|0"].keys() == {"bleu-13a", "bleu-13a_stderr", "ter", "ter_stderr"}
    assert content["versions"].keys() == content["results"].keys() and content["config_general"]["model_name"] == "m"


def test_model_index_is_read_by_the_hub_library(tmp_path: Path) -> None:
    """A card's reader gets each set with its data set, metric and value; scores without leaks and means are no data sets."""
    write_exports(tmp_path, [{"name": "org/a b"}], SCORES, TASKS)
    content = read(tmp_path / "model-index/org_a_b.yaml")
    name, results = model_index_to_eval_results(content["model-index"])
    assert name == "org/a b"
    told = [(each.dataset_type, each.dataset_revision, each.task_type, each.metric_type, each.metric_value) for each in results]
    assert told == [
        ("MBZUAI/ArabicMMLU", COMMIT, "multiple-choice", "accuracy", 50.0),
        ("own.jsonl", None, "multiple-choice", "accuracy", 40.0),
        ("flores", None, "translation", "bleu", 33.7),
        ("flores", None, "translation", "ter", 52.0),
        ("probes ar", None, "text-generation", "repeats", 10.0),
    ]


def test_eval_results_are_read_by_the_hub_library(tmp_path: Path) -> None:
    """The hub's own parser reads the entries and would write the same; only data sets on the hub are named."""
    write_exports(tmp_path, [{"name": "org/a b"}], SCORES, TASKS)
    content = read(tmp_path / "eval_results/org_a_b.yaml")
    entries = parse_eval_result_entries(content)
    notes = SCORES[0]["signature"]
    assert entries == [
        EvalResultEntry("MBZUAI/ArabicMMLU", task, value, dataset_revision=COMMIT, notes=notes)
        for task, value in (("Law", 60.0), ("Math", 40.0))
    ]
    assert eval_result_entries_to_yaml(entries) == content == list(eval_results(OWN, TASKS))


def test_branch_names_are_no_commits() -> None:
    """The format wants a commit; `main` is left out. A data set without subsets has the task `default`."""
    [entry] = eval_results([score("x", "accuracy", 1.0, dataset={"id": "a/b", "split": "test", "revision": "main"})], [])
    assert entry["dataset"] == {"id": "a/b", "task_id": "default"}


def test_nothing_on_the_hub_gives_empty_files(tmp_path: Path) -> None:
    """Own files alone: an empty list is still YAML that parses."""
    write_exports(tmp_path, [{"name": "org/a b"}], [SCORES[2]], [])
    assert read(tmp_path / "eval_results/org_a_b.yaml") == [] and model_index("m", []) == []


def test_same_scores_make_the_same_bytes(tmp_path: Path) -> None:
    """No time of day is written; lighteval's and lm-eval's folders are where they look."""
    for folder in ("a", "b"):
        write_exports(tmp_path / folder, [{"name": "org/a b"}], SCORES, TASKS)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*") if path.is_file())
    assert [path.parts[0] for path in files] == ["eval_results", "lighteval", "lm-eval", "model-index"]
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)
    assert json.loads((tmp_path / "a" / files[1]).read_text())["config_general"]["start_time"] == 0
