"""What a recipe's results will be bound by, known before anything is downloaded or paid for.

>>> from hala.recipe_file import from_content
>>> from hala.terms import forecast
>>> steps = {"sft": {"tune": {"base": "LiquidAI/LFM2-350M", "data": [{"world": "conversations"}]}}}
>>> [(each.name, each.licence.name) for each in forecast(from_content({"name": "x", "steps": steps}, "x"))["sft"]]
[('hala world: conversations', 'cc0-1.0'), ('LiquidAI/LFM2-350M', 'lfm1.0')]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hala.artifacts import MANIFEST
from hala.inputs import outside
from hala.recipe import Data, Filter, Mix, Recipe, Section
from hala.recipe_file import references
from hala.verbs import trained_for
from hala.verbs.licences import Licence, classify, known_model, strictest
from hala.verbs.lineage import card_licence, count_licences


@dataclass(frozen=True, slots=True, order=True)
class Bound:
    """An outside model or data set, and its licence as the recipe, its card or a well-known name states it."""

    licence: Licence
    name: str


def forecast(recipe: Recipe) -> dict[str, list[Bound]]:
    """For each step that makes rows or weights, all that its result is made from, the least binding first.

    Judges and evaluated models are among them, as in the card of a release; sets that only score are not.
    """
    found: dict[str, set[Bound]] = {}
    for name, step in recipe.steps.items():
        if step.verb in ("evaluate", "report"):
            continue
        own = set(_own(step.settings))
        for _, earlier, _ in references(step.settings):
            own |= found.get(earlier, set())
        found[name] = own
    return {name: sorted(bounds) for name, bounds in found.items()}


def _own(settings: Section) -> Iterator[Bound]:
    for kind, value, _ in outside(_binding(settings)):
        if kind in ("rows", "benchmark", "suite", "set", "probes") or (kind == "model" and isinstance(settings, Mix)):
            continue  # a mix's tokenizer only counts, and questions are only looked for
        if isinstance(value, Data):
            yield from _of_data(value)
        elif kind == "name" or not Path(value).is_dir():
            yield Bound(classify(known_model(value)), value)
        else:
            yield Bound(classify(trained_for(value).get("licence", "") or card_licence(Path(value))), Path(value).name)


def _binding(settings: Section) -> Section:
    """A filter without the questions that it looks for and the pairs that its judge is tried on: nothing is made of them."""
    if not isinstance(settings, Filter):
        return settings
    judge = settings.judge and settings.judge.model_copy(update={"labelled": None})
    return settings.model_copy(update={"questions": (), "judge": judge})


def _of_data(data: Data) -> Iterator[Bound]:
    place = Path(data.path or "")
    if data.world:
        yield Bound(classify("CC0-1.0"), f"hala world: {data.world}")
    elif data.path and (place / MANIFEST).exists():  # rows that hala made say it themselves
        for licence in sorted(count_licences(place)):
            yield Bound(classify(licence), place.name)
    else:
        yield Bound(classify(data.licence), data.hub or place.name)


def forecast_text(recipe: Recipe) -> str:
    """What binds the last result that is made from anything: the strictest licence, and every input of its class."""
    made = [bounds for bounds in forecast(recipe).values() if bounds]
    if not made:
        return ""
    last = made[-1]
    worst = strictest(each.licence for each in last)
    names = ", ".join(each.name for each in last if each.licence.group == worst.group)
    if worst.group == "unknown":
        known = strictest(each.licence for each in last if each.licence.group != "unknown")
        rest = f"; of the others {known.name} ({known.group}) is the strictest" if known.group != "unknown" else ""
        advice = "Read their cards; of data, state it with `licence:`."
        return f"licence of the result: unknown, for nobody says what binds {names}{rest}. {advice}"
    return f"licence of the result: {worst.name} ({worst.group}), because of {names}."
