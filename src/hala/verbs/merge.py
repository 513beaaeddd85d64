"""merge: checkpoints between a base and its tuned children, streamed block by block, one for each t."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from hala.recipe import Merge, Schedule
from hala.verbs import Context, Outcome


def run(settings: Merge, context: Context) -> Outcome:
    """Angles and branches of the merged checkpoint in `context.out`; several t make the folders `t-0.25`, ..."""
    from hala.weights.hub import fetch
    from hala.weights.merge import Mix, merge

    base = fetch(context.locate(settings.base), settings.base_revision)
    tuned = [fetch(context.locate(model), settings.tuned_revision) for model in settings.tuned]
    folders = [f"t-{name(t, number)}" for number, t in enumerate(settings.t, 1)] if len(settings.t) > 1 else [""]
    reports = []
    for number, (t, folder) in enumerate(zip(settings.t, folders, strict=True), 1):
        context.progress.step(f"{context.step} {folder} ({number}/{len(folders)})" if folder else context.step)
        mix = Mix(settings.method, t, settings.weights, settings.density, settings.dtype, settings.rounding, settings.seed)
        report = merge(
            base,
            tuned,
            context.out / folder,
            mix,
            shard_bytes=settings.shard_bytes,
            progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
        )
        reports.append(report)
    for warning in reports[0].warnings:
        context.progress.say(f"    {warning}")
    middle = next((each for each in reports if each.branches.keys() & {"slerp", "linear"}), reports[0])
    context.progress.say(f"    {middle.summary}")
    angles = [tensor.angle for tensor in middle.tensors]
    facts = {
        "method": settings.method,
        "t": [t if isinstance(t, float) else dict(t) for t in settings.t],
        "checkpoints": folders,
        "mean_angle_degrees": fmean(angles),
        "max_angle_degrees": max(angles),
        "branches": middle.branches,
        "summary": middle.summary,
        "warnings": list(reports[0].warnings),
    }
    return Outcome(counts={"tensors": len(angles), "checkpoints": len(folders)}, facts=facts)


def name(t: Schedule, number: int) -> str:
    """What the folder of one t is called."""
    return f"{t:g}" if not isinstance(t, Mapping) else f"schedule-{number}"
