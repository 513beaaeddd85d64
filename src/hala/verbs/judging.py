"""The judge of filter: a language model that is asked about each pair, after it was tried on pairs that people have labelled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.data import judge
from hala.data.calibration import Scale, agreement, area, calibration_error, fit, held_out, reliability
from hala.data.conversations import compared
from hala.errors import InputError
from hala.recipe import Judge
from hala.records import KEPT, Completion, Engine, Message, Row, Sampling, Verdict, rejected
from hala.verbs import Context, open_engine

FILE = "judge.json"
FEWEST = 10
"""Labelled pairs of each class: of fewer no scale can be told from chance."""
LABELS = {"true": True, "yes": True, "good": True, "1": True, "false": False, "no": False, "bad": False, "0": False}


@dataclass(frozen=True)
class Judging:
    """An engine and how its verdicts are read: by the word, or by the probability of yes on a calibrated scale."""

    engine: Engine
    sampling: Sampling
    source: str
    threshold: float | None = None
    scale: Scale | None = None

    def verdicts(self, rows: Sequence[Row]) -> list[Verdict]:
        """One verdict a row: the first message that is not accepted decides."""
        unanswered = rejected("judge_error", "the engine gave no answer")
        found = [
            [unanswered if answer is None else judge.verdict(answer, self.threshold, self.scale) for answer in answers]
            for answers in self._answers(rows)
        ]
        return [next((verdict for verdict in each if not verdict.kept), KEPT) for each in found]

    def _answers(self, rows: Sequence[Row]) -> list[list[Completion | None]]:
        """The answers about each message of each row; None where the engine gave none."""
        # Ids of rows may repeat; their places among these rows do not.
        asked = [judge.requests(comparable(row), self.source, f"{place}/") for place, row in enumerate(rows)]
        answers = {answer.id: answer for answer in self.engine.complete((r for each in asked for r in each), self.sampling)}
        return [[answers.get(request.id) for request in each] for each in asked]

    def probabilities(self, rows: Sequence[Row]) -> list[tuple[bool, float | None]]:
        """Whether each row of one message is accepted by the word, and the probability of yes where the engine tells it."""
        answers = [each[0] for each in self._answers(rows)]
        return [(a is not None and judge.verdict(a).kept, judge.probability(a) if a is not None else None) for a in answers]


def open_judge(settings: Judge | None, context: Context) -> Judging | None:
    """The judge of a recipe, tried on its labelled pairs; what came of that is in `judge.json` of the step."""
    if settings is None:
        return None
    engine = open_engine(settings, context.locate(settings.model), settings.revision, say=context.progress.say)
    certain = settings.threshold is not None or settings.labelled is not None
    judging = Judging(engine, Sampling(settings.max_tokens, confidence=certain), context.languages.source, settings.threshold)
    if settings.labelled is None:
        return judging
    try:
        return _calibrated(judging, settings, context)
    except BaseException:
        engine.close()
        raise


def _calibrated(judging: Judging, settings: Judge, context: Context) -> Judging:
    """The judge with the scale that its labelled pairs give; a step that is continued keeps the one it began with."""
    place = context.out / FILE
    if place.exists():
        found = json.loads(place.read_text(encoding="utf-8"))
    else:
        found = _trial(judging, settings, context)
        artifacts.write_json(place, found)
    for line in trial_text(found):
        context.progress.say(f"    {line}")
    if found["scale"] is not None and not found["scale"]["slope"]:
        raise InputError(
            f"the judge tells good pairs from bad ones no better than chance (area under its ROC curve {found['auc']:.2f}).",
            "Choose another model, or look whether the labels are the right way round.",
        )
    if found["scale"] is None:
        if settings.threshold is not None:
            raise InputError(
                "the judge's engine does not tell how sure the model was, so that a threshold decides nothing.",
                "Leave threshold out, or use an engine that tells (local, vllm, server).",
            )
        return judging
    # The facts say what this threshold came to on the labelled pairs.
    return replace(judging, threshold=found["threshold"], scale=Scale(**found["scale"]))


def _trial(judging: Judging, settings: Judge, context: Context) -> dict[str, Any]:
    """What the judge says of labelled pairs beside what people said, as plain data."""
    rows, labels = _labelled(settings, context)
    answers = judging.probabilities(rows)
    by_word = [word for word, _ in answers]
    found: dict[str, Any] = {"by_word": _shares(by_word, labels), "scale": None, "threshold": None}
    known = [(p, label) for (_, p), label in zip(answers, labels, strict=True) if p is not None]
    found["without_probability"] = len(labels) - len(known)
    if not known:
        return found
    raw, truth = [p for p, _ in known], [label for _, label in known]
    sure = held_out(raw, truth)
    threshold = 0.5 if settings.threshold is None else settings.threshold
    return found | {
        "scale": asdict(fit(raw, truth)),
        "threshold": threshold,
        "by_probability": _shares([p >= threshold for p in sure], truth),
        "auc": round(area(raw, truth), 4),
        "calibration_error": {
            "raw": round(calibration_error(raw, truth), 4),
            "calibrated": round(calibration_error(sure, truth), 4),
        },
        "reliability": [[round(mean, 4), round(share, 4), count] for mean, share, count in reliability(sure, truth)],
    }


def _labelled(settings: Judge, context: Context) -> tuple[list[Row], list[bool]]:
    """Pairs and their labels. Raises InputError for a label that is neither yes nor no, a row that is no pair, and one class."""
    from hala.data.rows import Collected, open_rows

    data = settings.labelled
    assert data is not None
    if data.ref is None:
        data = data.model_copy(update={"keep": (*data.keep, settings.label)})
    rows, labels, bad = [], [], Collected()
    for row in open_rows(data, bad, context.inputs, context.languages):
        said = row.notes.get(settings.label, "").strip().casefold()
        if said not in LABELS or row.original is None or not len(row.messages) == len(row.original) == 1:
            what = f"{settings.label} is {said!r}" if said not in LABELS else "it is no sentence pair"
            raise InputError(
                f"labelled pair {row.id} cannot be used: {what}.",
                f"Each needs a source, a target and a column {settings.label} with one of {', '.join(LABELS)}.",
            )
        rows.append(row)
        labels.append(LABELS[said])
    if bad.count:
        first = bad.rows[0]
        raise InputError(
            f"{bad.count} labelled pairs cannot be read, the first in {first.file} at {first.position} ({first.reason}).",
            "Repair or remove them.",
        )
    if min(counts := (sum(labels), len(labels) - sum(labels))) < FEWEST:
        raise InputError(
            f"the judge has {counts[0]} good and {counts[1]} bad labelled pairs.",
            f"At least {FEWEST} of each are needed to try it.",
        )
    return rows, labels


def _shares(said: Sequence[bool], labels: Sequence[bool]) -> dict[str, Any]:
    """Agreement in plain numbers."""
    found = agreement(said, labels)
    about = {name: getattr(found, name) for name in ("n", "good", "accepted", "right")}
    return about | {name: round(getattr(found, name), 4) for name in ("accuracy", "kappa", "precision", "recall")}


def trial_text(found: Mapping[str, Any]) -> Iterator[str]:
    """What came of the labelled pairs, in a few lines."""
    for name, how in (("by_word", "by its word"), ("by_probability", f"from probability {found['threshold']} on")):
        if (each := found.get(name)) is not None:
            bad, wrong = each["n"] - each["good"], each["accepted"] - each["right"]
            yield (
                f"judge, {how}: agrees with {100 * each['accuracy']:.0f}% of {each['n']} labels (kappa {each['kappa']:.2f}),"
                f" accepts {each['right']} of {each['good']} good and {wrong} of {bad} bad pairs"
            )
    if found["scale"] is not None:
        errors = found["calibration_error"]
        yield (
            f"judge: area under the ROC curve {found['auc']:.3f}; probabilities off by {errors['raw']:.3f},"
            f" calibrated {errors['calibrated']:.3f}"
        )


def comparable(row: Row) -> Row:
    """The row without what was kept on purpose: a judge would call it no translation."""
    if row.original is None:
        return row
    pairs = compared(row)
    before, after = (tuple(Message("text", pair[side]) for pair in pairs) for side in (0, 1))
    return replace(row, messages=after, original=before)


def judged(rows: list[Row], verdicts: list[Verdict], judging: Judging | None) -> list[Verdict]:
    """Verdicts after the judge has looked at every pair that is still kept."""
    if judging is None:
        return verdicts
    waiting = [index for index, verdict in enumerate(verdicts) if verdict.kept]
    answers = judging.verdicts([rows[index] for index in waiting])
    for index, verdict in zip(waiting, answers, strict=True):
        verdicts[index] = verdict
    return verdicts


def trial_of(step: Path) -> dict[str, Any] | None:
    """What `judge.json` of a step says; None when there is none."""
    place = step / FILE
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else None
