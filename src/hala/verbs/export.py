"""export: a checkpoint becomes one file for edge runtimes, read back and compared with its source."""

from __future__ import annotations

from hala.recipe import Export
from hala.verbs import Context, Outcome


def run(settings: Export, context: Context) -> Outcome:
    """Size and round-trip error of the file in `context.out`."""
    from hala.weights.gguf import export
    from hala.weights.hub import fetch

    source = fetch(context.locate(settings.model), None)
    target = context.out / f"model-{settings.quant}.gguf"
    report = export(
        source,
        target,
        settings.quant,
        splitter=settings.splitter,
        progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
    )
    for warning in report.warnings:
        context.progress.say(f"    {warning}")
    facts = {
        "file": target.name,
        "bytes": target.stat().st_size,
        "quant": settings.quant,
        "max_rel_error": max((tensor.rel_error for tensor in report.tensors), default=0.0),
        "warnings": list(report.warnings),
    }
    return Outcome(counts={"tensors": len(report.tensors)}, facts=facts)
