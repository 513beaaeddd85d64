"""The tables that compare models: order, arrows, stars after correction, and what means hide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hala.artifacts import Manifest
from hala.verbs.results import measured, terminal
from hala.verbs.scoreboard import board, comparison_tables, mark
from hala.verbs.status import Stage


def score(model: str, metric: str, value: float, **more: Any) -> dict[str, Any]:
    """One score as `evaluate` stores it."""
    basis = {"model": model, "set": "flores", "metric": metric, "value": value, "low": value - 1, "high": value + 1, "n": 1012}
    return {**basis, "signature": "nrefs:1", "lang": "ar", "delta": None, "p": None, "p_holm": None, **more}


def stage(folder: Path, *scores: dict[str, Any]) -> Stage:
    """A finished evaluation of these scores."""
    facts = {"baseline": "a", "models": [{"name": "a"}, {"name": "b"}], "scores": list(scores)}
    return Stage("cmp", "evaluate", folder, "finished", Manifest("cmp", "evaluate", "scores", {}, {}, "", {}, facts))


def test_board_has_a_line_for_each_metric_and_model(tmp_path: Path) -> None:
    """Set and metric are named once, the arrow says what is better, stars are Holm's, and failures are no scores."""
    shown = board(stage(
        tmp_path,
        score("a", "ter", 50.0), score("a", "bleu-13a", 30.0), score("a", "empty", 1.0, signature="failure:empty|ci:wilson"),
        score("b", "ter", 45.0, delta=-5.0, p=0.0005, p_holm=0.004), score("b", "bleu-13a", 30.5, delta=0.5, p=0.03, p_holm=0.06),
    ))  # fmt: skip
    rows = [[cell.text for cell in row] for row in shown.rows]
    assert rows[0] == ["flores", "Arabic", "1,012", "TER", "↓", "a", "50.00", "49.00 to 51.00", "", "", ""]
    assert rows[1] == ["", "", "", "", "", "b", "45.00", "44.00 to 46.00", "-5.00", "0.004", "**"]
    assert rows[2][3:7] == ["BLEU", "↑", "a", "30.00"] and rows[3][8:] == ["+0.50", "0.06", ""]
    assert len(rows) == 4 and "paired, to a" in shown.note
    assert "flores" in terminal(shown)


def test_stars() -> None:
    """Three levels; where there is one test only, its own p."""
    assert [mark({"p": p, "p_holm": None}) for p in (0.0009, 0.009, 0.049, 0.05)] == ["***", "**", "*", ""]


def test_verdict_follows_the_corrected_p() -> None:
    """An interval that just leaves out zero is no verdict when many were tested; less TER is better."""
    base = score("b", "ter", 45.0, delta=-5.0, delta_low=-9.0, delta_high=-1.0, p=0.02)
    assert measured(base).verdict == "better" and measured({**base, "metric": "bleu-13a"}).verdict == "worse"
    assert measured({**base, "p_holm": 0.2}).verdict == ""
    assert measured({**base, "metric": "ter (arabic-light)", "p_holm": 0.01}).verdict == "better"


def test_subsets_show_what_a_mean_hides(tmp_path: Path) -> None:
    """Gains and losses are counted, the largest of each named, in their order."""
    tasks = [{"model": "a", "set": "m", "subset": f"s{n}", "n": 9, "value": 50.0} for n in range(12)]
    tasks += [{**task, "model": "b", "delta": float(n - 5), "p": 0.5, "p_holm": 1.0} for n, task in enumerate(tasks)]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    [_, table] = comparison_tables(stage(tmp_path, score("a", "accuracy", 50.0)))
    rows = [[cell.text for cell in row] for row in table.rows]
    assert rows[0] == ["m", "b", "all 12", "", "6 up, 5 down", ""]
    assert [row[4] for row in rows[1:]] == ["+6.0", "+5.0", "+4.0", "+3.0", "+2.0", "-1.0", "-2.0", "-3.0", "-4.0", "-5.0"]


def test_positions_are_shown_with_what_moving_does(tmp_path: Path) -> None:
    """Counts by position, ties and the share of answers that stay; sets without leaks are not told twice."""
    places = {"positions": {"chosen": [9, 1], "right": [5, 5], "p": 0.01}, "ties": 2}
    moved = {"shuffled": {"stay": 60.0, "accuracy": 55.0}}
    [_, table] = comparison_tables(stage(
        tmp_path, score("a", "accuracy", 50.0, **places, **moved), score("a", "accuracy", 50.0, set="flores (clean)", **places)
    ))  # fmt: skip
    assert [[cell.text for cell in row] for row in table.rows] == [["flores", "a", "9 1", "5 5", "0.01", "2", "60.0%", "55.0"]]
