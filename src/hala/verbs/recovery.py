"""The translation test of a compressed checkpoint: the original and the copy translate the same sentences.

What is lost is the difference of BLEU and of chrF++ over all sentences, with a paired bootstrap interval. The test fails when
the loss itself is larger than the tolerance; when only the interval reaches beyond it, that is said and the test passes.

Source of the test: paired bootstrap resampling, Koehn 2004.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.errors import QualityError
from hala.recipe import Recovery
from hala.verbs import Context
from hala.verbs.testsets import read_pairs, set_name, translations, unique

JUDGED = ("bleu-13a", "chrf++")


def check_recovery(settings: Recovery, source: str, context: Context, bad: Any) -> list[dict[str, Any]]:
    """One entry for each set and metric: both values, the loss in points with its 95% interval, and whether it passes.

    Raises: QualityError when a loss is larger than the tolerance; everything measured is in recovery.json by then.
    """
    from hala.languages import language

    names = unique([set_name(data) for data in settings.pairs])
    sets = {name: read_pairs(data, context.inputs, bad, settings.limit) for name, data in zip(names, settings.pairs, strict=True)}
    answers = {
        side: remembered(context.scratch / f"{side}.json", partial(translate_sets, settings, where, sets, context, side))
        for side, where in (("original", source), ("compressed", str(context.out)))
    }
    entries = []
    for name, rows in sets.items():
        references = [message.content for row in rows for message in row.messages]
        pair = (answers["original"][name], answers["compressed"][name])
        script = language(context.languages.target).iso
        entries += [{"set": name, **entry} for entry in losses(*pair, references, settings, script)]
    artifacts.write_json(context.out / "recovery.json", entries)
    for entry in entries:
        context.progress.say(f"    {entry['set']}: {sentence(entry)}")
    failed = [entry for entry in entries if not entry["passed"]]
    if failed:
        where = f"{failed[0]['set']}, {sentence(failed[0])}"
        raise QualityError(
            f"the compressed checkpoint loses more than {settings.tolerance:g} points: {where}.",
            f"The step is not finished, though the weights are in {context.out}; recovery.json there has all figures. Raise "
            "tolerance and run it again, which translates nothing twice, or start anew with keep: auto.",
        )
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
    return [
        {
            "metric": gain.name,
            "original": before[gain.name].value,
            "compressed": after[gain.name],
            "loss": -gain.value,
            "loss_low": -gain.high,
            "loss_high": -gain.low,
            "p": gain.p,
            "n": gain.n,
            "tolerance": settings.tolerance,
            "passed": -gain.value <= settings.tolerance,
            "signature": before[gain.name].signature,
        }
        for gain in compare_translations(original, compressed, references, metrics)
        if gain.name in JUDGED
    ]


def sentence(entry: dict[str, Any]) -> str:
    """`chrf++ 84.9 -> 84.5, loss 0.4 (95% interval -0.1 to 0.9), tolerance 1`."""
    values = f"{entry['metric']} {entry['original']:.1f} -> {entry['compressed']:.1f}"
    interval = f"loss {entry['loss']:.2f} (95% interval {entry['loss_low']:.2f} to {entry['loss_high']:.2f})"
    unsure = ", the interval reaches beyond it" if entry["passed"] and entry["loss_high"] > entry["tolerance"] else ""
    return f"{values}, {interval}, tolerance {entry['tolerance']:g}{unsure}"
