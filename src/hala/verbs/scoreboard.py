"""The tables of a comparison, long as those of lm-eval and lighteval: a line for each set, metric and model, and stars.

>>> from hala.verbs.scoreboard import mark
>>> mark({"p": 0.004, "p_holm": 0.03}), mark({"p": 0.04, "p_holm": 0.2}), mark({"p": None})
('*', '', '')
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hala.languages import language
from hala.verbs.results import Cell, Table, directed, falls, metric_name, scores_of
from hala.verbs.sheet import CLEAN
from hala.verbs.status import Stage

HEADER = ("Tasks", "Lang", "n", "Metric", "", "Model", "Value", "95% interval", "Delta", "p (Holm)", "")
LEGEND = (
    "Delta: paired, to {base}. p: corrected for all tests of the metric (Holm); * below 0.05, ** 0.01, *** 0.001. "
    "Arrow: what is better."
)


def comparison_tables(stage: Stage) -> list[Table]:
    """All that a comparison shows on the terminal: the board, subsets and positions; a table without rows is left out."""
    return [table for table in (board(stage), tasks_table(stage, tasks_of(stage)), positions_table(stage)) if table.rows]


def tasks_of(stage: Stage) -> list[dict[str, Any]]:
    """The scores of subsets that the step left; none where no set has several."""
    path = stage.folder / "tasks.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def board(stage: Stage) -> Table:
    """Every score of an `evaluate` step but the rates of failures, by set and metric; models in the order of the recipe."""
    scores = [score for score in scores_of(stage) if score.get("value") is not None]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for score in scores:
        if not str(score["signature"]).startswith("failure:"):
            groups.setdefault((str(score["set"]), str(score["metric"])), []).append(score)
    rows, shown = [], ""
    for (name, metric), members in groups.items():
        for at, score in enumerate(members):
            lead = (
                Cell(name if name != shown else ""),
                Cell(language(score["lang"]).name if score.get("lang") and at == 0 else ""),
                Cell(f"{score.get('n') or 0:,}" if at == 0 else ""),
                Cell(metric_name(metric) if at == 0 else ""),
                Cell(("↓" if falls(score) else "↑") if at == 0 and directed(score) else ""),
            )
            shown = name
            rows.append((*lead, *_measured(score)))
    return Table(f"Scores of {stage.name}", HEADER, tuple(rows), LEGEND.format(base=stage.facts.get("baseline", "the first")))


def _measured(score: Mapping[str, Any]) -> tuple[Cell, ...]:
    low, high, delta = score.get("low"), score.get("high"), score.get("delta")
    p = score["p_holm"] if score.get("p_holm") is not None else score.get("p")
    return (
        Cell(str(score["model"])),
        Cell(f"{score['value']:.2f}"),
        Cell("" if low is None or high is None else f"{low:.2f} to {high:.2f}"),
        Cell("" if delta is None else f"{delta:+.2f}"),
        Cell("" if p is None else f"{p:.3g}"),
        Cell(mark(score)),
    )


def mark(score: Mapping[str, Any]) -> str:
    """Stars for a difference that counts after correction for many tests; none where nothing was tested."""
    p = score["p_holm"] if score.get("p_holm") is not None else score.get("p")
    return "" if p is None else "*" * sum(p < level for level in (0.05, 0.01, 0.001))


def tasks_table(stage: Stage, tasks: list[dict[str, Any]], most: int = 5) -> Table:
    """Of each compared model and set the subsets that gained and lost most: what a mean hides."""
    rows = []
    for model, name in dict.fromkeys((task["model"], task["set"]) for task in tasks if task.get("delta") is not None):
        here = sorted((t for t in tasks if (t["model"], t["set"]) == (model, name)), key=lambda task: -task["delta"])
        better, worse = sum(task["delta"] > 0 for task in here), sum(task["delta"] < 0 for task in here)
        rows.append((Cell(name), Cell(model), Cell(f"all {len(here)}"), Cell(""), Cell(f"{better} up, {worse} down"), Cell("")))
        for task in here if len(here) <= 2 * most else here[:most] + here[-most:]:
            values = (Cell(f"{task['n']:,}"), Cell(f"{task['delta']:+.1f}"), Cell(mark(task)))
            rows.append((Cell(""), Cell(""), Cell(str(task["subset"])), *values))
    note = f"Differences in points to {stage.facts.get('baseline', 'the first')}; stars: p after Holm over the set's subsets."
    return Table("Subsets, largest gains and losses", ("set", "model", "subset", "n", "delta", ""), tuple(rows), note)


def positions_table(stage: Stage) -> Table:
    """Where each model likes to answer, how many ties decided, and what moving the options does."""
    rows = []
    for score in scores_of(stage):
        places = score.get("positions")
        if places and not str(score["set"]).endswith(CLEAN):
            moved = score.get("shuffled")
            rows.append((
                Cell(str(score["set"])), Cell(str(score["model"])), Cell(" ".join(map(str, places["chosen"]))),
                Cell(" ".join(map(str, places["right"]))), Cell(f"{places['p']:.3g}"), Cell(f"{score.get('ties', 0):,}"),
                Cell(f"{moved['stay']:.1f}%" if moved else ""), Cell(f"{moved['accuracy']:.1f}" if moved else ""),
            ))  # fmt: skip
    header = ("set", "model", "chosen", "answer key", "p (no favourite)", "ties", "stay", "accuracy, moved")
    note = "Counts of first, second, ... option. Stay: same answer with the options in another order (shuffle_options)."
    return Table("Positions of answers", header, tuple(rows), note)
