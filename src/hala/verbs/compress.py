"""compress: a checkpoint becomes its FP8 copy, one tensor at a time."""

from __future__ import annotations

from hala.recipe import Compress
from hala.verbs import Context, Outcome


def run(settings: Compress, context: Context) -> Outcome:
    """Sizes and errors of the FP8 checkpoint in `context.out`."""
    from hala.weights.compress import compress
    from hala.weights.hub import fetch

    source = fetch(context.locate(settings.model), settings.revision)
    report = compress(
        source,
        context.out,
        settings.scheme,
        settings.mode,
        ignore=settings.ignore,
        shard_bytes=settings.shard_bytes,
        progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
    )
    quantised = [tensor for tensor in report.tensors if tensor.kind == "fp8"]
    facts = {
        "scheme": report.scheme,
        "mode": report.mode,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "tensors_fp8": len(quantised),
        "tensors_kept": len(report.tensors) - len(quantised),
        "mean_rel_error": sum(tensor.rel_error for tensor in quantised) / max(1, len(quantised)),
        "worst_tensor": report.worst.name,
        "worst_rel_error": report.worst.rel_error,
        "zero_rows": sum(tensor.zero_rows for tensor in report.tensors),
    }
    return Outcome(counts={"tensors": len(report.tensors), "tensors_fp8": len(quantised)}, facts=facts)
