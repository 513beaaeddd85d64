"""Scores as files that other tools read: results of lighteval and of lm-eval, a card's model-index, and the hub's eval results.

Nothing is uploaded. The files carry no time of day, so that the same scores make the same bytes; a format that wants one gets 0.

>>> from hala.verbs.score_files import error_of
>>> round(error_of({"low": 48.04, "high": 51.96}), 2)
1.0
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.verbs.card import front_matter
from hala.verbs.results import falls
from hala.verbs.sheet import CLEAN, MEAN

Z95 = 1.959963984540054
STAMP = "1970-01-01T00-00-00.000000"
TYPES = {"bleu": "bleu", "chrf": "chrf", "rouge": "rouge", "ter": "ter"}  # what the hub calls the metrics
Scores = Sequence[Mapping[str, Any]]


def write_exports(folder: Path, models: Scores, scores: Scores, tasks: Scores) -> None:
    """All four kinds below `folder`, each in a folder of its own, for each model."""
    for model in models:
        name = str(model["name"])
        own = [score for score in scores if score["model"] == name and not str(score["signature"]).startswith("failure:")]
        parts = [task for task in tasks if task["model"] == name]
        file = re.sub(r"[^\w.=-]+", "_", name)
        lighteval = folder / "lighteval" / "results" / file / f"results_{STAMP}.json"
        lm_eval = folder / "lm-eval" / file / f"results_{STAMP}.json"
        for path, content in ((lighteval, lighteval_results(name, own, parts)), (lm_eval, lm_eval_results(name, own, parts))):
            path.parent.mkdir(parents=True, exist_ok=True)
            artifacts.write_json(path, content)
        _write_yaml(folder / "model-index" / f"{file}.yaml", front_matter({"model-index": model_index(name, own)}))
        entries = (front_matter(each).replace("\n", "\n  ") for each in eval_results(own, parts))
        _write_yaml(folder / "eval_results" / f"{file}.yaml", "\n".join(f"- {each}" for each in entries) or "[]")


def _write_yaml(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with artifacts.atomic_file(path) as temporary:
        temporary.write_text(content + "\n", encoding="utf-8")


def error_of(score: Mapping[str, Any]) -> float:
    """The standard error that an interval stands for: its width over 2 x 1.96, in the unit of the score."""
    return float(score["high"] - score["low"]) / (2 * Z95)


def _unit(score: Mapping[str, Any]) -> float:
    """Both tools give accuracies as fractions, and sacrebleu's metrics as they are."""
    return 0.01 if score.get("metric", "accuracy") == "accuracy" else 1.0


def _key(score: Mapping[str, Any], norm: bool) -> str:
    metric = str(score.get("metric", "accuracy"))
    return ("acc_norm" if norm else "acc") if metric == "accuracy" else metric


def _norms(own: Scores) -> dict[str, bool]:
    """For each set whether its options' log-probabilities were divided by a length: `acc_norm` in both tools."""
    return {str(score["set"]): not re.search(r"\|norm:none\b", str(score["signature"])) for score in own}


def _lines(own: Scores, parts: Scores, naming: Callable[[str, str], str]) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """(task, score, normed) of each set and subset; sets without leaks and means of suites are tasks of their own."""
    norms = _norms(own)
    for score in own:
        yield naming(str(score["set"]), ""), score, norms[str(score["set"])]
    for part in parts:
        yield naming(str(part["set"]), str(part["subset"])), part, norms[str(part["set"])]


def lighteval_results(model: str, own: Scores, parts: Scores) -> dict[str, Any]:
    """The content of `results_*.json` as lighteval 0.13 writes it: `results` by task with `metric` and `metric_stderr`."""
    results: dict[str, dict[str, float]] = {}
    for task, score, norm in _lines(own, parts, lambda name, subset: f"{name}:{subset}|0" if subset else f"{name}|0"):
        key, unit = _key(score, norm), _unit(score)
        results.setdefault(task, {}).update({key: unit * score["value"], f"{key}_stderr": unit * error_of(score)})
    return {
        "config_general": {
            "lighteval_sha": "?",
            "num_fewshot_seeds": 1,
            "max_samples": None,
            "job_id": 0,
            "start_time": 0.0,
            "end_time": 0.0,
            "total_evaluation_time_secondes": "0",
            "model_config": {"model_name": model},
            "model_name": model,
        },
        "results": results,
        "versions": dict.fromkeys(results, 0),
        "config_tasks": {f"{score['set']}|0": {"name": score["set"], "signature": score["signature"]} for score in own},
        "summary_tasks": {},
        "summary_general": {},
    }


def lm_eval_results(model: str, own: Scores, parts: Scores) -> dict[str, Any]:
    """The content of `results_*.json` as lm-eval 0.4 writes it: `metric,none` and `metric_stderr,none` by task."""
    results: dict[str, dict[str, Any]] = {}
    higher: dict[str, dict[str, bool]] = {}
    samples: dict[str, dict[str, int]] = {}
    groups: dict[str, list[str]] = {}
    for task, score, norm in _lines(own, parts, lambda name, subset: f"{name}/{subset}" if subset else name):
        key, unit = _key(score, norm), _unit(score)
        mine = results.setdefault(task, {"name": task, "alias": task, "sample_len": int(score["n"])})
        mine |= {f"{key},none": unit * score["value"], f"{key}_stderr,none": unit * error_of(score)}
        higher.setdefault(task, {})[key] = not falls(score)
        samples[task] = {"original": int(score["n"]), "effective": int(score["n"])}
        if "subset" in score:
            groups.setdefault(str(score["set"]), []).append(task)
    return {
        "results": results,
        "group_subtasks": groups,
        "configs": {str(score["set"]): {"task": score["set"], "metadata": {"signature": score["signature"]}} for score in own},
        "versions": dict.fromkeys(results, 0),
        "n-shot": dict.fromkeys(results, 0),
        "higher_is_better": higher,
        "n-samples": samples,
        "config": {"model": "hala", "model_args": {"pretrained": model}},
        "model_source": "hala",
        "model_name": model,
        "model_name_sanitized": re.sub(r"[^\w.=-]+", "_", model),
        "date": 0.0,
        "task_hashes": {},
    }


def model_index(model: str, own: Scores) -> list[dict[str, Any]]:
    """The `model-index` of a card: an entry for each set, with what it was measured on; the key itself goes around it."""
    results = []
    for name in dict.fromkeys(str(score["set"]) for score in own if not str(score["set"]).endswith((CLEAN, MEAN))):
        here = [score for score in own if score["set"] == name]
        about = dict(next((score["dataset"] for score in here if score.get("dataset")), {}))
        task = "multiple-choice" if any(score["metric"] == "accuracy" for score in here) else "translation"
        task = "text-generation" if str(here[0]["signature"]).startswith("probes:") else task
        dataset = {"name": name, "type": about.pop("id", name), **about}
        metrics = [
            {
                "type": next((kind for start, kind in TYPES.items() if score["metric"].startswith(start)), score["metric"]),
                "name": str(score["metric"]),
                "value": round(float(score["value"]), 2),
            }
            for score in here
        ]
        results.append({"task": {"type": task}, "dataset": dataset, "metrics": metrics})
    return [{"name": model, "results": results}] if results else []


def eval_results(own: Scores, parts: Scores) -> Iterator[dict[str, Any]]:
    """Entries for a file in `.eval_results/` of a model's repository: one for each subset of a data set on the hub, else one.

    The hub shows those whose data set is registered as a benchmark, and takes `task_id` from that data set's eval.yaml; here it
    is the name of the subset, or `default`. `revision` is given where it is a commit.
    """
    for score in own:
        about = score.get("dataset")
        if not about or str(score["set"]).endswith((CLEAN, MEAN)):
            continue
        commit = {"revision": about["revision"]} if re.fullmatch("[0-9a-f]{40}", str(about.get("revision", ""))) else {}
        for part in [task for task in parts if task["set"] == score["set"]] or [score]:
            dataset = {"id": about["id"], "task_id": str(part.get("subset") or "default"), **commit}
            yield {"dataset": dataset, "value": round(float(part["value"]), 2), "notes": str(score["signature"])}
