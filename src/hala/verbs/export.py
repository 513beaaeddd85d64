"""export: a checkpoint becomes one file for edge runtimes, or a plain folder for any engine, compared with its source."""

from __future__ import annotations

from pathlib import Path

from hala.recipe import Export
from hala.verbs import Context, Outcome


def run(settings: Export, context: Context) -> Outcome:
    """Size of what is now in `context.out`, and for a file its round-trip error."""
    from hala.weights.hub import fetch

    source = fetch(context.locate(settings.model), settings.revision)
    return to_folder(source, settings, context) if settings.format == "hf" else to_file(source, settings, context)


def to_file(source: Path, settings: Export, context: Context) -> Outcome:
    """A GGUF file."""
    from hala.weights.gguf import export

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


def to_folder(source: Path, settings: Export, context: Context) -> Outcome:
    """A plain Hugging Face folder."""
    from hala.weights.hf import export_folder

    report = export_folder(
        source,
        context.out,
        settings.dtype,
        shard_bytes=settings.shard_bytes,
        progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
    )
    facts = {"format": "hf", "bytes": report.bytes, "stored": report.stored, "unpacked": report.unpacked}
    return Outcome(counts={"tensors": sum(report.stored.values())}, facts=facts)
