"""The sheet that an evaluation fills in: who is tested, every score as plain data, and what comparing them needs.

>>> from hala.verbs.sheet import correct_for_many
>>> scores = [{"set": "a", "metric": "accuracy", "p": 0.01}, {"set": "b", "metric": "accuracy", "p": 0.04}]
>>> correct_for_many(scores)
>>> [score["p_holm"] for score in scores]
[0.02, 0.04]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hala.recipe import Evaluate
from hala.verbs import Context

CLEAN, MEAN = " (clean)", " (mean)"


@dataclass(frozen=True)
class Contestant:
    """A checkpoint under test; `t` is its place between base and tuned when it is a merge."""

    name: str
    where: str
    t: float | None = None


@dataclass(frozen=True)
class Turn:
    """One model's turn: `loaded` is the model and its tokenizer, `base` the first contestant, which others are compared with.

    `digest` is of the model's files, for answers that are kept.
    """

    settings: Evaluate
    context: Context
    model: Contestant
    base: Contestant
    loaded: tuple[Any, Any]
    digest: str = ""


@dataclass
class Sheet:
    """Everything measured so far.

    `answers` maps (set, model) to what paired comparisons need: the translations, the answered questions or probes. `tasks` holds
    the scores of the subsets of sets that have several, `probes` the records of a few answers to show.
    """

    scores: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    examples: list[dict[str, str]] = field(default_factory=list)
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)


def dtype_of(model: Any) -> str:
    """The arithmetic of a loaded model, as signatures write it."""
    return str(model.dtype).removeprefix("torch.")


def entry(model: Contestant, name: str, metric: str, score: Any, lang: str) -> dict[str, Any]:
    """One score; what a comparison with the baseline adds is None."""
    return {
        "model": model.name,
        "t": model.t,
        "set": name,
        "metric": metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "n": score.n,
        "signature": score.signature,
        "lang": lang,
        "delta": None,
        "delta_low": None,
        "delta_high": None,
        "p": None,
        "p_holm": None,
    }


def correct_for_many(scores: Sequence[dict[str, Any]]) -> None:
    """Gives each score with a p its `p_holm`: Holm's correction over all tests of its metric in the step, of any model and set.

    Scores without leaked questions, and means of suites, are families of their own: they test the same answers once more.
    """
    from hala.evals.statistics import holm

    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for score in scores:
        if score.get("p") is not None:
            kind = next((mark for mark in (CLEAN, MEAN) if score["set"].endswith(mark)), "")
            families.setdefault((score["metric"], kind), []).append(score)
    for family in families.values():
        for score, p in zip(family, holm([each["p"] for each in family]), strict=True):
            score["p_holm"] = p
