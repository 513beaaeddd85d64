"""The translation test of a compressed checkpoint: the original and the copy translate the same sentences.

What is lost is the difference of BLEU and of chrF++ over all sentences, with a paired bootstrap interval. The test fails when
the loss itself is larger than the tolerance; when only the interval reaches beyond it, that is said and the test passes.

Source of the test: paired bootstrap resampling, Koehn 2004.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.errors import InputError, QualityError
from hala.recipe import Recovery, identity
from hala.verbs import Context
from hala.verbs.testsets import read_pairs, set_name, translations, unique

JUDGED = ("bleu-13a", "chrf++")
FIGURES = "recovery.json"  # in the work folder; a finished step has them in its manifest


def measure(settings: Recovery, fetch: Callable[[], Path], context: Context, known: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that `known` lacks: `recovery`, and in `recovery_of` what it was measured with, or judged by another tolerance.

    `recovery` has one entry for each set and metric: both values, the loss in points with its 95% interval, whether it passes.
    """
    tested = test_of(settings, context, known.get("recovery_of"))
    if known.get("recovery_of") == tested:
        judged = [passing(entry, settings.tolerance) for entry in known["recovery"]]
        return {"recovery": judged} if judged != known["recovery"] else {}
    entries = entries_of(settings, str(fetch()), context, artifacts.digest_of(tested)[:16])
    return {"recovery": entries, "recovery_of": tested}


def judge(entries: Sequence[Mapping[str, Any]], context: Context) -> None:
    """Nothing, or QualityError when a loss is larger than the tolerance."""
    figures = context.out / artifacts.MANIFEST
    figures = figures if figures.exists() else context.scratch / FIGURES
    failed = [entry for entry in entries if not entry["passed"]]
    if failed:
        worst = f"{failed[0]['set']}, {sentence(failed[0])}"
        raise QualityError(
            f"the compressed checkpoint loses more than {failed[0]['tolerance']:g} points: {worst}.",
            f"All figures are in {figures}. Raise recovery.tolerance and run it again, which translates nothing twice, or start "
            "anew with keep: auto.",
        )


def test_of(settings: Recovery, context: Context, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the figures follow from: the settings but the tolerance, and the content of the pairs.

    A hub that does not answer is no obstacle where `before` has the figures of the same settings.
    """
    from hala.data.rows import fingerprint

    plain = identity(Recovery, settings.model_dump(mode="json"))
    contents = []
    for number, data in enumerate(settings.pairs):
        manifest = artifacts.read_manifest(context.inputs[data.ref[1:]]) if data.ref else None
        try:
            contents.append(manifest.digest if manifest else fingerprint(data))
        except InputError:
            if not (data.hub and before and before["settings"] == plain):
                raise
            contents.append(before["pairs"][number])
    return {"settings": plain, "pairs": contents}


def entries_of(settings: Recovery, source: str, context: Context, test: str) -> list[dict[str, Any]]:
    """The entries, after both checkpoints have translated; the answers stay in the work folder under the name `test`."""
    from hala.data.rows import Collected
    from hala.languages import language

    names = unique([set_name(data) for data in settings.pairs])
    bad = {name: Collected() for name in names}
    sets = {
        name: read_pairs(data, context.inputs, bad[name], settings.limit, context.languages)
        for name, data in zip(names, settings.pairs, strict=True)
    }
    answers = {
        side: remembered(context.scratch / f"{side}-{test}.json", partial(translate_sets, settings, where, sets, context, side))
        for side, where in (("original", source), ("compressed", str(context.out)))
    }
    entries = []
    for name, rows in sets.items():
        references = [message.content for row in rows for message in row.messages]
        pair = (answers["original"][name], answers["compressed"][name])
        script = language(context.languages.target).iso
        about = {"set": name, "malformed": bad[name].count}
        entries += [about | entry for entry in losses(*pair, references, settings, script)]
        if left := bad[name].rows:
            said = f"{bad[name].count:,} records are malformed and left out, the first at {left[0].position}: {left[0].reason}"
            context.progress.say(f"    {name}: {said}")
    artifacts.write_json(context.scratch / FIGURES, entries)
    for entry in entries:
        context.progress.say(f"    {entry['set']}: {sentence(entry)}")
    return entries


def remembered(file: Path, make: Callable[[], dict[str, list[str | None]]]) -> dict[str, list[str | None]]:
    """What was made before and is in the file, else what is made now: a test that failed can be judged again."""
    if not file.is_file():
        artifacts.write_json(file, make())
    answers: dict[str, list[str | None]] = json.loads(file.read_text(encoding="utf-8"))
    return answers


def translate_sets(
    settings: Recovery, where: str, sets: dict[str, Any], context: Context, side: str
) -> dict[str, list[str | None]]:
    """What the checkpoint in `where` makes of every set. One model is in memory at a time."""
    from hala.weights.loading import load_model

    loaded = load_model(where, settings.dtype, native=True)
    made = {}
    for name, rows in sets.items():
        context.progress.update(0, None, "segments", f"{side} translates {name}")
        sources = [message.content for row in rows for message in row.original or ()]
        made[name] = translations(where, loaded, sources, settings, context.languages)
    del loaded
    gc.collect()
    return made


def losses(
    original: list[str | None], compressed: list[str | None], references: list[str], settings: Recovery, script: str
) -> list[dict[str, Any]]:
    """BLEU and chrF++ of both sides and how much lower the compressed one is, `loss` in points with its 95% interval."""
    from hala.evals.translation import Metrics, compare_translations, score_translations

    metrics = Metrics(script=script, samples=settings.resamples, seed=settings.seed)
    before = {score.name: score for score in score_translations(original, references, metrics=metrics).scores}
    after = {score.name: score.value for score in score_translations(compressed, references, metrics=metrics).scores}
    entries = [
        {
            "metric": gain.name,
            "original": before[gain.name].value,
            "compressed": after[gain.name],
            "loss": -gain.value,
            "loss_low": -gain.high,
            "loss_high": -gain.low,
            "p": gain.p,
            "n": gain.n,
            "signature": before[gain.name].signature,
        }
        for gain in compare_translations(original, compressed, references, metrics)
        if gain.name in JUDGED
    ]
    return [passing(entry, settings.tolerance) for entry in entries]


def passing(entry: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """The entry with this tolerance, and whether it passes."""
    return {**entry, "tolerance": tolerance, "passed": entry["loss"] <= tolerance}


def sentence(entry: Mapping[str, Any]) -> str:
    """`chrf++ 84.9 -> 84.5, loss 0.4 (95% interval -0.1 to 0.9), tolerance 1`."""
    values = f"{entry['metric']} {entry['original']:.1f} -> {entry['compressed']:.1f}"
    interval = f"loss {entry['loss']:.2f} (95% interval {entry['loss_low']:.2f} to {entry['loss_high']:.2f})"
    unsure = ", the interval reaches beyond it" if entry["passed"] and entry["loss_high"] > entry["tolerance"] else ""
    return f"{values}, {interval}, tolerance {entry['tolerance']:g}{unsure}"
