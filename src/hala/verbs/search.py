"""Choosing t for a merge by a small evaluation: one half of the items chooses, the other half says how good the choice is.

Every value tried is one streamed merge into the step's work folder, scored on all items and removed again. Its answers stay as
JSON until the step is finished, so a killed search scores nothing twice. Which half an item is in follows from the seed and the
item itself. Only the validation half decides, so what the test half says of the pick is not flattered by the search.
"""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.errors import InputError, RecipeError, nearest
from hala.languages import language
from hala.recipe import Languages, Schedule, Search
from hala.records import Score
from hala.verbs import Context
from hala.verbs.testsets import own_questions, read_pairs, set_name, spread, translations, unique

HALVES = ("validation", "test")
Make = Callable[[Schedule, Path], Any]  # merges at t into a folder
Point = dict[str, Any]  # `t`, and for each half the score of every set and their mean


@dataclass(frozen=True)
class HalvedSet:
    """Questions (`Item`s of `benchmark`) or (source, reference) pairs, and the positions of each half's items."""

    name: str
    items: Sequence[Any]
    halves: Mapping[str, tuple[int, ...]]
    benchmark: Any = None


@dataclass
class Trials:
    """One search: what is measured with what, and every point measured so far with its answers by set."""

    settings: Search
    context: Context
    sets: list[HalvedSet]
    make: Make
    references: Mapping[str, float]  # always tried, and what the pick is compared with
    points: dict[str, Point] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)


def search(settings: Search, context: Context, make: Make, bad: Any, end: str = "tuned") -> dict[str, Any]:
    """The facts of the search: rule, sets, every point, the `pick` and its paired differences; all answers in `search.json`.

    `end` is what t = 1 is called: where changes are added it is a merge too, not the tuned model.
    Raises: InputError for a set without two different items, RecipeError for the name of a set that is none.
    """
    trials = Trials(settings, context, read_sets(settings, context, bad), make, {"base": 0.0, "t = 0.5": 0.5, end: 1.0})
    check_names(settings, [each.name for each in trials.sets])
    numbers = sorted({*settings.t, *trials.references.values()})
    total = len(numbers) + len(settings.groups) * (len(numbers) - 1)
    for number, t in enumerate(numbers, 1):
        measure(trials, t, f"{number}/{total}")
    pick = best_number(settings, trials.points.values())
    schedule: dict[str, Any] = {"default": pick}
    tried = len(numbers)
    for group in settings.groups:
        others = [schedule | {group: t} for t in numbers if t != pick]
        points = [measure(trials, other, f"{tried + n}/{total}") for n, other in enumerate(others, 1)]
        tried += len(others)
        schedule = best_schedule(settings, trials.points[key_of(0.0)], measure(trials, plain(schedule), ""), points)
    facts = describe(trials, plain(schedule))
    artifacts.write_json(context.out / "search.json", {**facts, "answers": trials.answers})
    return facts


def plain(schedule: Mapping[str, Any]) -> Schedule:
    """A number when there is only the default."""
    return float(schedule["default"]) if len(schedule) == 1 else dict(schedule)


def key_of(t: Schedule | Mapping[str, Any]) -> str:
    """The same text for the same t."""
    return json.dumps(t, sort_keys=True)


# Items ----------------------------------------------------------------------------------------------------------------


def read_sets(settings: Search, context: Context, bad: Any) -> list[HalvedSet]:
    """The question sets, then the sets of pairs, each in two halves."""
    names = iter(unique([set_name(data) for data in (*settings.questions, *settings.pairs)]))
    found = []
    for data in settings.questions:
        name, (benchmark, items) = next(names), own_questions(data, bad)
        items = spread(items, settings.limit)
        keys = [key_of({"question": each.question.question, "options": each.question.options}) for each in items]
        found.append(HalvedSet(name, items, split(keys, settings.seed, name), benchmark))
    for data in settings.pairs:
        name, rows = next(names), read_pairs(data, context.inputs, bad, settings.limit, context.languages)
        pairs = [(a.content, b.content) for row in rows for a, b in zip(row.original or (), row.messages, strict=True)]
        found.append(HalvedSet(name, pairs, split([key_of({"pair": pair}) for pair in pairs], settings.seed, name)))
    return found


def split(keys: Sequence[str], seed: int, name: str) -> dict[str, tuple[int, ...]]:
    """The positions of the items in each half. Equal items are in one half, and their order makes no difference."""
    digests = [hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest() for key in keys]
    different = sorted(set(digests))
    if len(different) < 2:
        raise InputError(f"{name} holds {len(different)} different items; two halves need more.", "Give a larger set.")
    chosen = set(different[: len(different) // 2])
    sides = [tuple(place for place, digest in enumerate(digests) if (digest in chosen) == side) for side in (True, False)]
    return dict(zip(HALVES, sides, strict=True))


def check_names(settings: Search, known: Sequence[str]) -> None:
    """Nothing, or RecipeError for a set that `best` or `keep` name and that is none."""
    for name in (*([settings.best] if settings.best else []), *settings.keep):
        if name not in known:
            raise RecipeError(
                f"search names the set {name!r}, which is none.{nearest(name, known)}", f"Sets: {', '.join(known)}."
            )


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(trials: Trials, t: Schedule | Mapping[str, Any], count: str) -> Point:
    """The scores of the merge at `t`; what was measured before is not measured again."""
    key, where = key_of(t), trials.context.scratch
    if key in trials.points:
        return trials.points[key]
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    stored = where / f"{name}.json"
    if not stored.is_file():
        trials.context.progress.step(f"{trials.context.step} {label(t)} ({count})")
        trials.make(t if isinstance(t, float) else dict(t), where / name)
        artifacts.write_json(stored, {"t": t, **answer_all(trials, where / name)})
    shutil.rmtree(where / name, ignore_errors=True)
    record = json.loads(stored.read_text(encoding="utf-8"))
    trials.answers[key] = record["answers"]
    trials.points[key] = {"t": t} | {half: score_half(trials, record, half) for half in HALVES}
    trials.context.progress.say(f"    {label(t)}: {trials.points[key]['validation']['value']:.1f} on the validation half")
    return trials.points[key]


def label(t: Schedule | Mapping[str, Any]) -> str:
    """`t = 0.5`, or `t = 0.5, attention 0.25`."""
    if not isinstance(t, Mapping):
        return f"t = {t:g}"
    return ", ".join([f"t = {t['default']:g}", *(f"{group} {value:g}" for group, value in t.items() if group != "default")])


def answer_all(trials: Trials, where: Path) -> dict[str, Any]:
    """Which questions of each set the checkpoint answers rightly, and what it translates each source into."""
    from hala.evals.profiles import find_profile
    from hala.evals.scoring import score, summarise
    from hala.weights.loading import load_model

    settings, progress = trials.settings, trials.context.progress
    loaded = load_model(where, settings.dtype, native=True)
    answers: dict[str, list[Any]] = {}
    signatures: dict[str, str] = {}
    for each in trials.sets:
        if each.benchmark is None:
            progress.update(0, None, "segments", f"translating {len(each.items):,} texts of {each.name}")
            sources = [source for source, _ in each.items]
            answers[each.name] = list(translations(str(where), loaded, sources, settings, trials.context.languages))
            continue
        profile = find_profile(settings.profile)

        def show(done: int, total: int, name: str = each.name) -> None:
            progress.update(done, total, "sequences", name)

        marked = score(loaded, each.items, profile, batch_tokens=settings.batch_tokens, progress=show)
        answers[each.name] = [answer.correct for answer in marked]
        signatures[each.name] = summarise(each.benchmark, profile, marked)[0].signature
    del loaded
    gc.collect()
    return {"answers": answers, "signatures": signatures}


def score_half(trials: Trials, record: Mapping[str, Any], half: str) -> dict[str, Any]:
    """Each set's score on one half, and their mean with the interval of a mean of independent sets, in points."""
    from hala.evals.statistics import Z95, Estimate, macro

    scores = {}
    for each in trials.sets:
        answers = [record["answers"][each.name][place] for place in each.halves[half]]
        scores[each.name] = score_set(each, answers, half, record["signatures"].get(each.name, ""), trials)
    parts = [Estimate(s.value / 100, (s.high - s.low) / 200 / Z95, s.n, s.low / 100, s.high / 100) for s in scores.values()]
    mean = macro(parts)
    whole = {"value": 100 * mean.value, "low": 100 * mean.low, "high": 100 * mean.high, "n": mean.n}
    return whole | {"sets": {name: plain_score(score) for name, score in scores.items()}}


def score_set(each: HalvedSet, answers: Sequence[Any], half: str, signature: str, trials: Trials) -> Score:
    """Accuracy with Wilson's interval, or chrF++ with a bootstrap interval."""
    from hala.evals.statistics import accuracy

    mark = f"half:{half}|split-seed:{trials.settings.seed}"
    if each.benchmark is not None:
        found = accuracy(answers)
        return Score("accuracy", 100 * found.value, found.n, 100 * found.low, 100 * found.high, f"{signature}|{mark}")
    from hala.evals.translation import score_translations

    references = [each.items[place][1] for place in each.halves[half]]
    score = score_translations(answers, references, metrics=metrics(trials.settings, trials.context.languages)).scores[-1]
    return Score(score.name, score.value, score.n, score.low, score.high, f"{score.signature}|{mark}")


def metrics(settings: Search, languages: Languages) -> Any:
    """chrF++ alone: BLEU says little on few sentences."""
    from hala.evals.translation import Metrics

    return Metrics(names=("chrf++",), script=language(languages.target).iso, samples=settings.resamples, seed=settings.seed)


def plain_score(score: Score) -> dict[str, Any]:
    """A score as it is stored."""
    kept = ("value", "low", "high", "n", "signature")
    return {"metric": score.name} | {name: getattr(score, name) for name in kept}


# Choosing -------------------------------------------------------------------------------------------------------------


def objective(settings: Search, point: Point) -> float:
    """What is to be high, on the validation half."""
    half = point["validation"]
    return float(half["sets"][settings.best]["value"] if settings.best else half["value"])


def allowed(settings: Search, point: Point, base: Point) -> bool:
    """Whether no set of `keep` scores further below the base than it may, on the validation half."""

    def value(each: Point, name: str) -> float:
        return float(each["validation"]["sets"][name]["value"])

    return all(value(point, name) >= value(base, name) - points - 1e-9 for name, points in settings.keep.items())


def best_number(settings: Search, points: Sequence[Point] | Any) -> float:
    """The allowed number with the highest objective; of equal ones the nearest to 0.5, then the lower. The base is allowed."""
    numbers = [point for point in points if not isinstance(point["t"], Mapping)]
    base = next(point for point in numbers if point["t"] == 0.0)
    fit = [point for point in numbers if allowed(settings, point, base)]
    return float(max(fit, key=lambda point: (objective(settings, point), -abs(point["t"] - 0.5), -point["t"]))["t"])


def best_schedule(settings: Search, base: Point, now: Point, points: Sequence[Point]) -> dict[str, Any]:
    """The present schedule, unless an allowed one of `points` scores strictly higher."""
    fit = [point for point in points if allowed(settings, point, base) and objective(settings, point) > objective(settings, now)]
    t = max(fit, key=lambda point: objective(settings, point))["t"] if fit else now["t"]
    return dict(t) if isinstance(t, Mapping) else {"default": t}


def rule(settings: Search) -> str:
    """The rule in words."""
    goal = f"highest score on {settings.best}" if settings.best else "highest mean of the sets' scores"
    limits = "".join(f", {name} at most {points:g} points below the base" for name, points in settings.keep.items())
    return f"{goal} on the validation half{limits}"


# What is reported -----------------------------------------------------------------------------------------------------


def describe(trials: Trials, pick: Schedule) -> dict[str, Any]:
    """The facts of a finished search."""
    base = trials.points[key_of(0.0)]
    return {
        "rule": rule(trials.settings),
        "sets": [
            {"name": each.name, "metric": score["metric"], **{half: len(each.halves[half]) for half in HALVES}}
            for each in trials.sets
            for score in [base["validation"]["sets"][each.name]]
        ],
        "points": [point | {"allowed": allowed(trials.settings, point, base)} for point in trials.points.values()],
        "pick": pick,
        "references": dict(trials.references),
        "gains": list(gains(trials, pick)),
    }


def gains(trials: Trials, pick: Schedule) -> Iterator[dict[str, Any]]:
    """The pick minus each reference, set by set, on the same items of the test half, with 95% intervals, in points."""
    for name, t in trials.references.items():
        if t == pick:
            continue
        for each in trials.sets:
            before, after = (
                [trials.answers[key_of(side)][each.name][place] for place in each.halves["test"]] for side in (t, pick)
            )
            found = difference(trials, each, before, after)
            yield {"set": each.name, "against": name, **found}


def difference(trials: Trials, each: HalvedSet, before: Sequence[Any], after: Sequence[Any]) -> dict[str, Any]:
    """after - before on one set: `delta` with its interval, and p."""
    settings = trials.settings
    if each.benchmark is not None:
        from hala.evals.statistics import paired_difference

        gain, unit = paired_difference(before, after, None, settings.resamples, settings.seed), 100
    else:
        from hala.evals.translation import compare_translations

        references = [each.items[place][1] for place in each.halves["test"]]
        compared = compare_translations(before, after, references, metrics(settings, trials.context.languages))
        gain, unit = compared[-1], 1
    return {"delta": unit * gain.value, "delta_low": unit * gain.low, "delta_high": unit * gain.high, "p": gain.p, "n": gain.n}
