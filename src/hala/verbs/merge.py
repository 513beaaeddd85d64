"""merge: checkpoints between a base and its tuned child, streamed tensor by tensor, one for each t."""

from __future__ import annotations

from statistics import fmean

from hala.recipe import Merge
from hala.verbs import Context, Outcome


def run(settings: Merge, context: Context) -> Outcome:
    """Angles and branches of the merged checkpoint in `context.out`; several t make the folders `t-0.25`, ..."""
    from hala.weights.hub import fetch
    from hala.weights.slerp import merge

    base = fetch(context.locate(settings.base), settings.base_revision)
    tuned = fetch(context.locate(settings.tuned), None)
    several = len(settings.t) > 1
    folders = [f"t-{t:g}" if several else "" for t in settings.t]
    reports = []
    for number, (t, folder) in enumerate(zip(settings.t, folders, strict=True), 1):
        context.progress.step(f"{context.step} t={t:g} ({number}/{len(folders)})")
        report = merge(
            base,
            tuned,
            context.out / folder,
            settings.method,
            t,
            shard_bytes=settings.shard_bytes,
            progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
        )
        reports.append(report)
    tensors = reports[0].tensors
    angles = [tensor.angle for tensor in tensors]
    facts = {
        "method": settings.method,
        "t": list(settings.t),
        "checkpoints": folders,
        "mean_angle_degrees": fmean(angles),
        "max_angle_degrees": max(angles),
        "slerp_tensors": sum(tensor.branch == "slerp" for tensor in tensors),
        "linear_tensors": sum(tensor.branch == "linear" for tensor in tensors),
    }
    return Outcome(counts={"tensors": len(tensors), "checkpoints": len(folders)}, facts=facts)
