"""What a search found, as tables and lines: the right rows under the right names, differences with the right sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hala.artifacts import Manifest
from hala.verbs.search_results import curve_lines, place, search_tables, searches
from hala.verbs.status import Stage, State

PICK = {"default": 0.5, "conv": 1.0}


def half(ar: float, en: float) -> dict[str, Any]:
    """The scores of two sets and their mean, with intervals of two points to each side."""

    def score(value: float) -> dict[str, Any]:
        return {"value": value, "low": value - 2, "high": value + 2, "n": 20}

    return score((ar + en) / 2) | {"sets": {"ar": score(ar) | {"metric": "accuracy"}, "en": score(en) | {"metric": "chrF++"}}}


def point(t: Any, ar: float, allowed: bool = True) -> dict[str, Any]:
    """A measured t, ten points better on the half that chose."""
    return {"t": t, "allowed": allowed, "validation": half(ar + 10, 60), "test": half(ar, 50)}


FOUND = {
    "rule": "highest score on ar",
    "sets": [
        {"name": "ar", "metric": "accuracy", "validation": 21, "test": 20},
        {"name": "en", "metric": "chrF++", "validation": 11, "test": 10},
    ],
    "points": [point(0.0, 10), point(1.0, 40, allowed=False), point(0.5, 30), point(PICK, 35)],
    "pick": PICK,
    "references": {"base": 0.0, "t = 0.5": 0.5, "t = 1": 1.0},
    "gains": [
        {"set": "ar", "against": against, "delta": delta, "delta_low": delta - 1, "delta_high": delta + 2, "p": 0.01, "n": 20}
        for against, delta in (("base", 25.0), ("t = 0.5", 5.0), ("t = 1", -5.0))
    ],
}


def stage(verb: str = "merge", state: State = "finished", **facts: Any) -> Stage:
    """A step with a result."""
    manifest = Manifest("best", verb, "checkpoint", {}, {}, "", facts=facts)
    return Stage("best", verb, Path("best"), state, manifest)


def test_only_finished_searches_have_tables() -> None:
    """A merge at a given t, another verb and an unfinished step are none."""
    one = stage(search=FOUND)
    assert searches([stage(), one, stage("evaluate", search=FOUND), stage(state="running", search=FOUND)]) == [one]
    assert not list(search_tables(stage()))


def test_both_halves_have_their_rows() -> None:
    """The curve in the order of trying with the pick marked and the rule under it; then pick and references by their names."""
    curve, test = search_tables(stage(search=FOUND))
    assert curve.header == ("t", "mean", "ar (accuracy)", "en (chrF++)") and test.header == ("model", *curve.header)
    assert [(row[0].text, row[0].best) for row in curve.rows] == [
        ("0", False), ("1", False), ("0.5", False), ("0.5, conv 1", True)
    ]  # fmt: skip
    assert "highest score on ar. Picked: t = 0.5, conv 1. Not allowed: 1. Items: 21 (ar), 11 (en)." in curve.note
    assert [(row[0].text, row[1].text) for row in test.rows] == [
        ("pick", "0.5, conv 1"), ("base", "0"), ("t = 0.5", "0.5"), ("t = 1", "1")
    ]  # fmt: skip
    assert "20 (ar), 10 (en)" in test.note


def test_differences_of_references_are_to_the_pick() -> None:
    """What the pick gained is what the base lacks: sign and ends of the interval change sides; the pick's own row has none."""
    _, test = search_tables(stage(search=FOUND))
    assert [row[3].text for row in test.rows] == ["35.0", "10.0", "30.0", "40.0"]
    assert [row[3].delta for row in test.rows] == ["", "-25.0 (-27.0 to -24.0)", "-5.0 (-7.0 to -4.0)", "+5.0 (+3.0 to +6.0)"]
    assert [row[3].verdict for row in test.rows] == ["", "worse", "worse", "better"]


@pytest.mark.parametrize("sets", [1, 2])
def test_lines_ascend_over_the_numbers(sets: int) -> None:
    """Schedules by group have no place on the axis; the mean is drawn where there are several sets."""
    lines = dict(curve_lines(FOUND | {"sets": FOUND["sets"][:sets]}))
    assert list(lines) == (["ar"] if sets == 1 else ["mean", "ar", "en"])
    assert [(t, score["value"]) for t, score in lines["ar"]] == [(0.0, 20), (0.5, 40), (1.0, 50)]


def test_a_place_is_written_shortly() -> None:
    """Numbers without needless zeros, the default first."""
    assert [place(t) for t in (1.0, 0.125, {"conv": 0.25, "default": 0.5})] == ["1", "0.125", "0.5, conv 0.25"]


def test_search_without_named_references_is_shown() -> None:
    """A search finished before it named its references has the three that all had, and a reference not tried is left out."""
    old = {key: value for key, value in FOUND.items() if key != "references"}
    _, test = search_tables(stage(search=old))
    assert [row[0].text for row in test.rows] == ["pick", "base", "t = 0.5", "tuned"]
    few = old | {"points": [point for point in FOUND["points"] if point["t"] != 1.0]}
    _, test = search_tables(stage(search=few))
    assert [row[0].text for row in test.rows] == ["pick", "base", "t = 0.5"]
