"""compress: a checkpoint becomes its 8-bit copy, tensor by tensor; on request the worst layers stay and the copy is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.errors import InputError
from hala.recipe import Compress
from hala.verbs import Context, Outcome
from hala.verbs.status import size

if TYPE_CHECKING:
    from hala.weights.compress import CompressReport
    from hala.weights.planning import Plan
    from hala.weights.sensitivity import Layer

LISTED = 5  # layers named on the terminal; compress.json and the report have them all


def run(settings: Compress, context: Context) -> Outcome:
    """Sizes and errors of the 8-bit checkpoint in `context.out`. Raises: QualityError when it fails its translation test."""
    from hala.data.rows import Collected
    from hala.weights.compress import compress
    from hala.weights.hub import fetch

    if settings.recovery is not None:  # pairs that are not there are missed before the work, not after it
        from hala.verbs.recovery import test_of

        test_of(settings.recovery, context, None)
    source = fetch(context.locate(settings.model), settings.revision)
    bad = Collected()
    layers = weigh_layers(settings, source, context, bad) if "auto" in settings.keep else []
    listed = {"layers": [{**asdict(layer), "modules": list(layer.modules)} for layer in layers]} if layers else {}
    modules = [name for name in settings.keep if name != "auto"] + [m for layer in layers if layer.kept for m in layer.modules]
    report = compress(
        source,
        context.out,
        settings.scheme,
        settings.mode,
        ignore=settings.ignore,
        keep=modules,
        shard_bytes=settings.shard_bytes,
        progress=lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB"),
        extra=listed,
        device=settings.device,
    )
    facts = describe(report) | listed
    if lost := unguarded(settings, report):
        context.progress.say(f"    ignore replaces the default, so these are in 8 bits now: {', '.join(lost)}")
    if odd := odd_blocks(settings.scheme, source, report):
        facts["warning"] = f"{odd} matrices are no multiple of 128 wide: vLLM and transformers may refuse them in fp8-block."
        context.progress.say(f"    {facts['warning']} Use fp8-dynamic, or keep them.")
    bad.write(context.out)
    facts |= test(settings, context, {})
    judge(settings, context, facts)
    counts = {"tensors": len(report.tensors), "tensors_quantised": facts["tensors_quantised"], "malformed": bad.count}
    return Outcome(counts=counts, facts=facts)


def test(settings: Compress, context: Context, known: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the tests that the settings ask for and the `known` facts lack; the checkpoint in `context.out` stays as it is."""
    from hala.weights.hub import fetch

    found: dict[str, Any] = {}
    if settings.verify and "verified" not in known:
        found["verified"] = check(fetch(context.locate(settings.model), settings.revision), context)
    if settings.recovery is not None:
        from hala.verbs.recovery import measure

        found |= measure(settings.recovery, lambda: fetch(context.locate(settings.model), settings.revision), context, known)
    return found


def judge(settings: Compress, context: Context, facts: Mapping[str, Any]) -> None:
    """Nothing, or QualityError when the checkpoint has failed the translation test that the settings ask for."""
    if settings.recovery is not None:
        from hala.verbs.recovery import judge

        judge(facts["recovery"], context)


def plan(settings: dict[str, Any], out: Path) -> Plan:
    """What compressing would take on this machine; of a hub model only config.json is downloaded."""
    from hala.recipe_file import from_content
    from hala.weights.hub import fetch
    from hala.weights.planning import plan

    section = from_content({"name": "plan", "steps": {"compress": {"compress": settings}}}).steps["compress"].settings
    assert isinstance(section, Compress)
    folder = fetch(section.model, section.revision, files=["config.json"])
    keep = [name for name in section.keep if name != "auto"]
    return plan(folder, out, section.scheme, section.mode, ignore=section.ignore, keep=keep, name=section.model)


def describe(report: CompressReport) -> dict[str, Any]:
    """The facts of a manifest: sizes, errors, and how many tensors stayed for which reason."""
    quantised, kept = report.quantised, [tensor for tensor in report.tensors if tensor.kind == "kept"]
    return {
        "scheme": report.scheme,
        "mode": report.mode,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "tensors_quantised": len(quantised),
        "tensors_kept": len(kept),
        "kept": {why: sum(tensor.why == why for tensor in kept) for why in sorted({tensor.why for tensor in kept})},
        "mean_rel_error": sum(tensor.rel_error for tensor in quantised) / max(1, len(quantised)),
        "worst_tensor": report.worst.name,
        "worst_rel_error": report.worst.rel_error,
        "zero_rows": sum(tensor.zero_rows for tensor in report.tensors),
    }


def unguarded(settings: Compress, report: CompressReport) -> list[str]:
    """Heads and routers that a setting of `ignore` put into 8 bits, at most `LISTED`."""
    from hala.weights.selection import IGNORE, matches, module_of

    if settings.ignore is None:
        return []
    modules = [module_of(tensor.name) for tensor in report.quantised]
    return [module for module in modules if any(matches(module, pattern) for pattern in IGNORE)][:LISTED]


def odd_blocks(scheme: str, source: Path, report: CompressReport) -> int:
    """How many quantised matrices end in the middle of a block of 128 inputs, which engines have no product for."""
    from hala.weights.compress import open_source
    from hala.weights.schemes import SCHEMES

    side, tensors = SCHEMES[scheme].side, open_source(source).tensors
    return sum(tensors[tensor.name].shape[1] % side > 0 for tensor in report.quantised) if side else 0


def weigh_layers(settings: Compress, source: Path, context: Context, bad: Any) -> list[Layer]:
    """All layers, the most harmed for each byte first, with what fits into the budget marked as kept."""
    from dataclasses import replace

    from hala.weights.compress import open_source, planned_bytes
    from hala.weights.sensitivity import choose_layers, divergences, weigh

    checkpoint = open_source(source)
    named = [name for name in settings.keep if name != "auto"]
    context.progress.say("    measuring what each layer loses")
    layers = weigh(checkpoint, settings.scheme, settings.mode, ignore=settings.ignore, keep=named)
    if settings.prompts:
        prompts = read_prompts(settings, str(source), context, bad)
        harm = divergences(
            source,
            {layer.name: layer.modules for layer in layers},
            settings.scheme,
            settings.mode,
            prompts,
            lambda done, total: context.progress.update(done, total, "passes", "divergence of the output"),
        )
        layers = [replace(layer, harm=harm[layer.name]) for layer in layers]
    budget = int(settings.keep_budget * planned_bytes(checkpoint, settings.scheme, settings.mode, settings.ignore, named))
    chosen = choose_layers(layers, budget)
    kept = [layer for layer in chosen if layer.kept]
    names = ", ".join(layer.name for layer in kept[:LISTED]) + (f" and {len(kept) - LISTED} more" if len(kept) > LISTED else "")
    used = size(sum(layer.cost for layer in kept))
    context.progress.say(f"    {len(kept)} of {len(chosen)} layers stay, for {used} of {size(budget)}: {names or 'none fits'}")
    return chosen


def read_prompts(settings: Compress, source: str, context: Context, bad: Any) -> list[Sequence[int]]:
    """The first rows of `prompts` in tokens, written as the model was trained to read them."""
    from itertools import islice

    from hala.data.prompts import for_languages
    from hala.data.rows import open_all
    from hala.training.examples import Form, Task, make_examples
    from hala.verbs import trained_for
    from hala.weights.loading import load_tokenizer

    about = trained_for(source)
    rows = list(islice(open_all(settings.prompts, context.inputs, bad, context.languages), settings.prompt_rows))
    if not rows:
        raise InputError("prompts hold no rows.", "Give a file with a few texts, pairs or chats.")
    prompt = for_languages(about.get("prompt") or "default", context.languages.target, context.languages.source)
    tokenizer, made = load_tokenizer(source), []
    lost = 0
    for row in rows:
        task: Task = "translation" if row.original else "chat" if any(m.role == "assistant" for m in row.messages) else "text"
        examples = make_examples([row], tokenizer, Form(task, prompt, max_length=2048))
        made += [example.input_ids.tolist() for example in examples.examples]
        lost += len(examples.rejected)
    if lost:
        context.progress.say(f"    {lost} of {len(rows)} prompts cannot be used")
    return made


def check(source: Path, context: Context) -> dict[str, Any]:
    """The largest error over every weight as read back from disk, and how the result was loaded."""
    from hala.weights.verification import reload, verify

    found = verify(
        source, context.out, lambda done, total: context.progress.update(done / 1e6, total / 1e6, "MB", "reading back")
    )
    loaded = reload(context.out)
    context.progress.say(f"    every byte read back; worst {found.worst.name}, {100 * found.worst.rel_error:.2f}%; {loaded}")
    return {
        "worst_tensor": found.worst.name,
        "worst_rel_error": found.worst.rel_error,
        "lost_rows": found.lost_rows,
        "load": loaded,
    }
