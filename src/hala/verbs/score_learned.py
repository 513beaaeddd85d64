"""Learned metrics of translations (COMET, MetricX, one's own): programs in environments of their own, run once a metric.

>>> from hala.verbs.score_learned import KNOWN
>>> sorted(KNOWN)
['comet', 'metricx']
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hala import evals
from hala.errors import EngineError, RecipeError
from hala.recipe import Evaluate, Languages, Learned
from hala.records import Row
from hala.verbs import Context
from hala.verbs.score_pairs import documents_of, metrics_of
from hala.verbs.sheet import Contestant, Sheet, entry

Sets = Mapping[str, tuple[Languages, list[Row]]]


@dataclass(frozen=True, slots=True)
class Program:
    """A metric that hala has a program for: its usual model, whether less is better, and what its numbers are multiplied by."""

    file: str
    model: str
    lower_is_better: bool = False
    scale: float = 1.0


KNOWN = {
    "comet": Program("comet_scores.py", "Unbabel/wmt22-comet-da", scale=100.0),
    "metricx": Program("metricx_scores.py", "google/metricx-24-hybrid-large-v2p6", lower_is_better=True),
}


def check_learned(settings: Evaluate) -> None:
    """Raises RecipeError for a metric that cannot be run, before a model is loaded."""
    for each in settings.learned:
        if each.metric not in KNOWN and not each.command:
            raise RecipeError(
                f"hala has no program for the metric '{each.metric}'.",
                f"Give its `command`, or choose of {', '.join(sorted(KNOWN))}.",
            )
        if each.command and shutil.which(each.command[0]) is None:
            raise RecipeError(f"no program {each.command[0]} for the metric '{each.metric}'.", "Give its path in `command`.")
        if each.python and not Path(each.python).exists():
            raise RecipeError(
                f"no Python at {each.python} for {each.metric}.", "docs/evaluate.md says how to make an environment."
            )


def score_learned(sheet: Sheet, settings: Evaluate, context: Context, models: Sequence[Contestant], sets: Sets) -> None:
    """Each learned metric of all translations of the sheet, with differences to the first model's; its program runs once."""
    for each in settings.learned if sets else ():
        cells = [(name, model) for name in sets for model in models]
        context.progress.step(f"{context.step} {each.metric}")
        values = iter(_run(each, [row for name, model in cells for row in _rows(sheet, sets[name][1], name, model)], context))
        own: dict[tuple[str, str], list[float]] = {}
        for name, model in cells:
            own[name, model.name] = [next(values) for _ in sheet.answers[name, model.name]]
            _add(sheet, settings, each, (name, model, models[0]), own, sets[name])


def _rows(sheet: Sheet, rows: Sequence[Row], name: str, model: Contestant) -> list[dict[str, str]]:
    sources = [message.content for row in rows for message in row.original or ()]
    references = [message.content for row in rows for message in row.messages]
    outputs = sheet.answers[name, model.name]
    return [
        {"source": source, "translation": output or "", "reference": reference}
        for source, output, reference in zip(sources, outputs, references, strict=True)
    ]


def _add(
    sheet: Sheet,
    settings: Evaluate,
    learned: Learned,
    named: tuple[str, Contestant, Contestant],
    own: Mapping[tuple[str, str], list[float]],
    there: tuple[Languages, list[Row]],
) -> None:
    from hala.evals.translation import compare_values, score_values

    (name, model, base), (languages, rows) = named, there
    metrics, documents = metrics_of(settings, ""), documents_of(settings, name, rows)
    signature = f"{learned.metric}|model:{_model(learned)}"
    score = score_values(learned.metric, own[name, model.name], signature, metrics, documents)
    made = entry(model, name, learned.metric, score, languages.target)
    made |= {"kind": "learned", "lower_is_better": _lower(learned)}
    if model != base:
        before, after = own[name, base.name], own[name, model.name]
        gain = compare_values(learned.metric, before, after, signature, metrics, documents, _lower(learned))
        made |= {"delta": gain.value, "delta_low": gain.low, "delta_high": gain.high, "p": gain.p}
        made |= {"wins": gain.wins, "losses": gain.losses, "test": settings.paired}
    sheet.scores.append(made)


def _run(learned: Learned, rows: Sequence[Mapping[str, str]], context: Context) -> list[float]:
    """One number a row. Raises EngineError when the program fails, or gives another number of them, or no numbers."""
    place = context.scratch / "learned"
    place.mkdir(parents=True, exist_ok=True)
    given, made = place / f"{learned.metric}.jsonl", place / f"{learned.metric}.txt"
    given.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", errors="replace")
    made.unlink(missing_ok=True)
    command = [*_command(learned), str(given), str(made)]
    context.progress.say(f"    {learned.metric} of {len(rows):,} translations")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise EngineError(
            f"{command[0]} cannot be run for {learned.metric}: {error.strerror}.", "Mend `python` or `command`."
        ) from None
    if done.returncode or not made.exists():
        last = "; ".join(line.strip() for line in (done.stderr or done.stdout).strip().splitlines()[-3:])
        raise EngineError(
            f"the program of {learned.metric} failed (exit code {done.returncode}): {last}", "Try it alone: " + " ".join(command)
        )
    lines = made.read_text(encoding="utf-8").split()
    try:
        values = [float(line) for line in lines]
    except ValueError:
        values = [math.nan]
    if len(lines) != len(rows):
        raise EngineError(f"the program of {learned.metric} gave {len(lines)} numbers for {len(rows)} translations.", "One each.")
    if not all(map(math.isfinite, values)):
        raise EngineError(f"the program of {learned.metric} gave no finite numbers.", f"See {made}.")
    scale = 1.0 if learned.command else KNOWN[learned.metric].scale
    return [scale * value for value in values]


def _command(learned: Learned) -> list[str]:
    if learned.command:
        return list(learned.command)
    program = Path(str(evals.__file__)).parent / "learned" / KNOWN[learned.metric].file
    tokenizer = ["--tokenizer", learned.tokenizer] if learned.tokenizer and learned.metric == "metricx" else []
    more = ["--model", _model(learned), *tokenizer, "--batch-size", str(learned.batch_size)]
    return [learned.python or sys.executable, str(program), *more]


def _model(learned: Learned) -> str:
    return learned.model or (KNOWN[learned.metric].model if learned.metric in KNOWN else "own")


def _lower(learned: Learned) -> bool:
    return learned.lower_is_better if learned.command else KNOWN[learned.metric].lower_is_better
