"""merge: checkpoints between a base and its tuned children, streamed block by block, one for each t or the best of several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hala.recipe import Merge, Schedule
from hala.verbs import Context, Outcome

if TYPE_CHECKING:
    from hala.weights.merge import MergeReport
    from hala.weights.methods import Mix


def run(settings: Merge, context: Context) -> Outcome:
    """Angles and branches of the merged checkpoint in `context.out`; several t make the folders `t-0.25`, ..."""
    from hala.weights.hub import fetch

    base = fetch(context.locate(settings.base), settings.base_revision)
    tuned = [fetch(context.locate(model), settings.tuned_revision) for model in settings.tuned]
    places = [t for t in settings.t if t != "search"]
    facts: dict[str, Any] = {}
    counts: dict[str, int] = {}
    if settings.search is not None:
        facts["search"], counts = find(settings, context, base, tuned)
        places = [facts["search"]["pick"]]
    folders = [f"t-{name(t, number)}" for number, t in enumerate(places, 1)] if len(places) > 1 else [""]
    reports = []
    for number, (t, folder) in enumerate(zip(places, folders, strict=True), 1):
        context.progress.step(f"{context.step} {folder} ({number}/{len(folders)})" if folder else context.step)
        reports.append(merge_at(settings, context, base, tuned, t, context.out / folder))
    for warning in reports[0].warnings:
        context.progress.say(f"    {warning}")
    middle = next((each for each in reports if each.branches.keys() & {"slerp", "linear"}), reports[0])
    context.progress.say(f"    {middle.summary}")
    angles = [tensor.angle for tensor in middle.tensors]
    facts |= {
        "method": settings.method,
        "t": [t if isinstance(t, float) else dict(t) for t in places],
        "checkpoints": folders,
        "mean_angle_degrees": fmean(angles),
        "max_angle_degrees": max(angles),
        "branches": middle.branches,
        "summary": middle.summary,
        "warnings": list(reports[0].warnings),
    }
    return Outcome(counts={"tensors": len(angles), "checkpoints": len(folders), **counts}, facts=facts)


def merge_at(settings: Merge, context: Context, base: Path, tuned: list[Path], t: Schedule, out: Path) -> MergeReport:
    """The report of one merge into `out`."""
    from hala.weights.merge import merge

    return merge(
        base,
        tuned,
        out,
        mix_of(settings, t),
        shard_bytes=settings.shard_bytes,
        progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
    )


def mix_of(settings: Merge, t: Schedule) -> Mix:
    """What the settings say, at one t."""
    from hala.weights.methods import Mix

    s = settings
    return Mix(s.method, t, s.weights, s.density, s.dtype, s.rounding, s.seed, s.mode)


def find(settings: Merge, context: Context, base: Path, tuned: list[Path]) -> tuple[dict[str, Any], dict[str, int]]:
    """The facts and counts of `t: search`. What cannot be merged, and groups that do not exist, are errors before it begins."""
    from hala.data.rows import Collected
    from hala.verbs.search import search
    from hala.weights.checkpoint import open_checkpoint
    from hala.weights.methods import TWO_ENDS
    from hala.weights.preflight import preflight

    assert settings.search is not None
    groups: Schedule = dict.fromkeys((*settings.search.groups, "default"), 0.5)
    preflight([open_checkpoint(path) for path in (base, *tuned)], mix_of(settings, groups))
    bad = Collected()
    end = "tuned" if settings.method in TWO_ENDS else "t = 1"
    facts = search(settings.search, context, lambda t, out: merge_at(settings, context, base, tuned, t, out), bad, end)
    bad.write(context.out)
    return facts, {"tried": len(facts["points"]), "malformed": bad.count}


def name(t: Schedule, number: int) -> str:
    """What the folder of one t is called."""
    return f"{t:g}" if not isinstance(t, Mapping) else f"schedule-{number}"
