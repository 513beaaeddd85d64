"""Accuracy along a merge, from the base to the tuned model: scores of an `evaluate` step over t, as data and as a table.

>>> from hala.verbs.results_curves import Curve, curve_table
>>> curve_table(Curve("between", (("Arabic", ((0.0, {"value": 32.4}), (1.0, {"value": 62.6}))),))).rows[1][1].text
'62.6'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hala.verbs.results import Cell, Score, Table, measured, ordered, question_columns, scores_of
from hala.verbs.status import Stage


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy along a merge: `lines` holds, for each set, its (t, score) in ascending t."""

    name: str
    lines: tuple[tuple[str, tuple[tuple[float, Score], ...]], ...]


def curves(found: list[Stage], stage: Stage) -> list[Curve]:
    """Accuracy over t for each merge with several t; the base is its t = 0 and the tuned model its t = 1."""
    places = {m["name"]: float(m["t"]) for m in stage.facts.get("models", []) if m.get("t") is not None and " t=" in m["name"]}
    made = []
    for group in ordered(name.rpartition(" t=")[0] for name in places):
        at = {name: t for name, t in places.items() if name.rpartition(" t=")[0] == group}
        at |= {name: t for name, t in _ends(found, stage, group) if t not in at.values()}
        lines = []
        for title, column in question_columns(stage):
            points = sorted(((at[s["model"]], s) for s in column if s["model"] in at), key=lambda point: point[0])
            lines.append((title, tuple(points)))
        if len(at) > 1 and lines:
            made.append(Curve(group, tuple(lines)))
    return made


def _ends(found: list[Stage], stage: Stage, group: str) -> Iterator[tuple[str, float]]:
    """The models that were merged, by the names that the scores use, at t = 0 and t = 1."""
    scored = {score["model"] for score in scores_of(stage)}
    merge = next((s for s in found if s.name == group and s.verb == "merge" and s.manifest), None)
    if merge is not None and merge.manifest is not None:
        config = merge.manifest.config
        tuned = config.get("tuned") or []
        only = len(tuned) == 1 and config.get("method") in ("slerp", "linear")  # else t = 1 is a merge too
        for reference, t in ((config.get("base"), 0.0), *([(tuned[0], 1.0)] if only else [])):
            name = str(reference).removeprefix("$")
            if name in scored:
                yield name, t


def curve_table(curve: Curve) -> Table:
    """The curve in numbers, one row for each t."""
    places = sorted({t for _, points in curve.lines for t, _ in points})
    rows = []
    for t in places:
        scores = [next((score for at, score in points if at == t), None) for _, points in curve.lines]
        rows.append((Cell(f"{t:g}"), *(measured(score) for score in scores)))
    note = "t = 0 is the base; of slerp and linear, t = 1 is the tuned model. Intervals are 95%."
    header = ("t", *(title for title, _ in curve.lines))
    return Table(f"Merge {curve.name}: accuracy in percent over t", header, tuple(rows), note)
