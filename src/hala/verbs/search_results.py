"""What a search for t found, as tables and lines: the curve on the validation half, the pick and its rivals on the test half.

>>> from hala.verbs.search_results import place
>>> place({"default": 0.5, "attention": 0.25})
'0.5, attention 0.25'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hala.verbs.results import Cell, Table, measured
from hala.verbs.status import Stage

Found = Mapping[str, Any]
REFERENCES = {"base": 0.0, "t = 0.5": 0.5, "tuned": 1.0}  # of searches that were finished before they said so themselves
Points = tuple[tuple[float, Mapping[str, Any]], ...]


def searches(found: Iterable[Stage]) -> list[Stage]:
    """The finished merges that searched for t."""
    return [stage for stage in found if stage.verb == "merge" and stage.state == "finished" and stage.facts.get("search")]


def search_tables(stage: Stage) -> Iterator[Table]:
    """The validation half of every point, then the test half of the pick, the base, t = 0.5 and t = 1."""
    found = stage.facts.get("search")
    if found:
        yield curve_table(stage, found)
        yield test_table(stage, found)


def place(t: Any) -> str:
    """`0.5`, or `0.5, attention 0.25`."""
    if not isinstance(t, Mapping):
        return f"{t:g}"
    return ", ".join([f"{t['default']:g}", *(f"{group} {value:g}" for group, value in t.items() if group != "default")])


def curve_table(stage: Stage, found: Found) -> Table:
    """Every point in the order in which it was tried."""
    names = [each["name"] for each in found["sets"]]
    rows = [
        (Cell(place(point["t"]), best=point["t"] == found["pick"]), *cells(point["validation"], names))
        for point in found["points"]
    ]
    refused = [place(point["t"]) for point in found["points"] if not point["allowed"]]
    note = f"Rule: {found['rule']}. Picked: t = {place(found['pick'])}."
    note += f" Not allowed: {'; '.join(refused)}." if refused else ""
    sizes = ", ".join(f"{each['validation']} ({each['name']})" for each in found["sets"])
    title = f"Search for t in {stage.name}: validation half"
    return Table(title, ("t", *headings(found)), tuple(rows), f"{note} Items: {sizes}. Intervals are 95%.")


def test_table(stage: Stage, found: Found) -> Table:
    """The pick and its rivals on the half that did not choose; the rivals' differences are to the pick."""
    names = [each["name"] for each in found["sets"]]
    by_place = {place(point["t"]): point["test"] for point in found["points"]}
    rows = [(Cell("pick", best=True), Cell(place(found["pick"])), *cells(by_place[place(found["pick"])], names))]
    for rival, t in found.get("references", REFERENCES).items():
        gains = {gain["set"]: reversed_gain(gain) for gain in found["gains"] if gain["against"] == rival}
        if t != found["pick"] and place(t) in by_place:
            rows.append((Cell(rival), Cell(place(t)), *cells(by_place[place(t)], names, gains)))
    sizes = ", ".join(f"{each['test']} ({each['name']})" for each in found["sets"])
    note = f"Items that did not choose: {sizes}. Differences are paired, to the pick. Intervals are 95%."
    return Table(f"Search for t in {stage.name}: test half", ("model", "t", *headings(found)), tuple(rows), note)


def reversed_gain(gain: Found) -> dict[str, float]:
    """The same difference seen from the other side."""
    return {"delta": 0.0 - gain["delta"], "delta_low": 0.0 - gain["delta_high"], "delta_high": 0.0 - gain["delta_low"]}


def headings(found: Found) -> list[str]:
    """The mean where there are several sets, then each set with its metric."""
    several = ["mean"] if len(found["sets"]) > 1 else []
    return several + [f"{each['name']} ({each['metric']})" for each in found["sets"]]


def cells(half: Found, names: list[str], gains: Mapping[str, Any] | None = None) -> list[Cell]:
    """One cell for each heading."""
    mean = [measured(half)] if len(names) > 1 else []
    return mean + [measured({**half["sets"][name], **((gains or {}).get(name, {}))}) for name in names]


def curve_lines(found: Found) -> Iterator[tuple[str, Points]]:
    """(name, (t, score) in ascending t) of each set and of the mean, over the points whose t is a number."""
    points = sorted((point for point in found["points"] if not isinstance(point["t"], Mapping)), key=lambda point: point["t"])
    if len(found["sets"]) > 1:
        yield "mean", tuple((point["t"], point["validation"]) for point in points)
    for each in found["sets"]:
        yield each["name"], tuple((point["t"], point["validation"]["sets"][each["name"]]) for point in points)
