"""evaluate: checkpoints are compared on multiple-choice questions and as translators, with intervals and paired differences."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.errors import InputError
from hala.recipe import Evaluate
from hala.records import Row
from hala.verbs import Context, Outcome
from hala.verbs.leaks import key, leaked
from hala.verbs.testsets import benchmark_rows, own_questions, read_pairs, set_name, spread, translations, unique

EXAMPLES = 8


@dataclass(frozen=True)
class Contestant:
    """A checkpoint under test; `t` is its place between base and tuned when it is a merge."""

    name: str
    where: str
    t: float | None = None


@dataclass
class Sheet:
    """Everything measured so far. `answers` maps (set, model) to what paired comparisons need, `marked` to the answered items."""

    scores: list[dict[str, Any]] = field(default_factory=list)
    examples: list[dict[str, str]] = field(default_factory=list)
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    marked: dict[tuple[str, str], Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)


def run(settings: Evaluate, context: Context) -> Outcome:
    """Scores of every model on every set, also in `scores.json`; `records.jsonl` beside it holds each single answer."""
    from hala.data.rows import Collected

    if not (settings.pairs or settings.questions or settings.suite):
        raise InputError(f"step {context.step} has nothing to evaluate on.", "Give pairs, questions or suite.")
    found = list(contestants(settings, context))
    models = [replace(each, name=name) for each, name in zip(found, unique([each.name for each in found]), strict=True)]
    bad = Collected()
    pair_names = unique([set_name(data) for data in settings.pairs])
    pair_sets = {
        name: read_pairs(data, context.inputs, bad, settings.limit) for name, data in zip(pair_names, settings.pairs, strict=True)
    }
    if pair_sets:
        _metrics(settings, "")  # what is unknown or missing is said before a model is loaded
    question_sets = dict(_question_sets(settings, bad))
    dirty = leaked(context.locate(reference) for reference in settings.leaks)
    leaks = {
        name: {item.question.id for item in items if dirty and key(item.question) in dirty}
        for name, (_, items) in question_sets.items()
    }
    sheet, described = Sheet(), []
    for number, model in enumerate(models, 1):
        context.progress.step(f"{context.step} {model.name} ({number}/{len(models)})")
        loaded = _load(model, settings)
        described.append(_describe(model, loaded[0]))
        for name, (benchmark, items) in question_sets.items():
            _score_questions(sheet, settings, model, models[0], (name, benchmark, items), loaded, context, leaks[name])
        _score_suite(sheet, settings, model, models[0], question_sets)
        for name, rows in pair_sets.items():
            _score_pairs(sheet, settings, model, models[0], (name, rows), loaded, context)
        del loaded  # two models at once may not fit
        gc.collect()
    with artifacts.atomic_file(context.out / "records.jsonl") as temporary:
        lines = (json.dumps(record, ensure_ascii=False, sort_keys=True) for record in sheet.records)
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="backslashreplace")
    # The scores are facts of the manifest too; as a file they are covered by the step's digest.
    artifacts.write_json(context.out / "scores.json", sheet.scores)
    bad.write(context.out)
    facts = {"baseline": models[0].name, "models": described, "scores": sheet.scores, "examples": sheet.examples}
    counts = {"models": len(models), "scores": len(sheet.scores), "malformed": bad.count}
    return Outcome(counts=counts, facts=facts)


def contestants(settings: Evaluate, context: Context) -> Iterator[Contestant]:
    """The models in the recipe's order; a merge over several t gives one for each."""
    for reference in settings.models:
        where = context.locate(reference)
        manifest = artifacts.read_manifest(Path(where)) if Path(where).exists() else None
        name = reference.removeprefix("$") if reference.startswith("$") else Path(reference).name
        facts = manifest.facts if manifest is not None and manifest.verb == "merge" else {}
        places = facts.get("t", [])
        if len(places) > 1:
            for t, folder in zip(places, facts["checkpoints"], strict=True):
                place = f"t={t:g}" if isinstance(t, float) else folder
                yield Contestant(f"{name} {place}", str(Path(where) / folder), t if isinstance(t, float) else None)
        else:
            yield Contestant(name, where, next((t for t in places if isinstance(t, float)), None))


def _load(model: Contestant, settings: Evaluate) -> tuple[Any, Any]:
    from hala.weights.loading import load_model

    return load_model(model.where, settings.dtype, native=True)


def _describe(model: Contestant, loaded: Any) -> dict[str, Any]:
    files = sorted(Path(model.where).glob("*.safetensors")) if Path(model.where).is_dir() else []
    return {
        "name": model.name,
        "t": model.t,
        "parameters": sum(parameter.numel() for parameter in loaded.parameters()),
        "bytes": sum(file.stat().st_size for file in files),
    }


# Questions ------------------------------------------------------------------------------------------------------------


def _question_sets(settings: Evaluate, bad: Any) -> Iterator[tuple[str, tuple[Any, list[Any]]]]:
    """(name, (benchmark, items)) of the recipe's own questions, then of the suite."""
    from hala.data.readers import BadRow
    from hala.evals.benchmarks import find_suite, read

    suite = find_suite(settings.suite) if settings.suite else ()
    names = iter(unique([*(set_name(data) for data in settings.questions), *(benchmark.name for benchmark in suite)]))
    for data in settings.questions:
        benchmark, items = own_questions(data, bad)
        yield next(names), (benchmark, spread(items, settings.limit))
    for benchmark in suite:
        reading = read(benchmark, benchmark_rows)
        for problem in reading.malformed:
            bad(BadRow(f"{benchmark.source}/{problem.subset}", problem.index, problem.reason))
        yield next(names), (benchmark, spread(reading.items, settings.limit))


def _score_questions(
    sheet: Sheet,
    settings: Evaluate,
    model: Contestant,
    base: Contestant,
    named: tuple[str, Any, list[Any]],
    loaded: Any,
    context: Context,
    leaks: set[str],
) -> None:
    """The score of a set; where training data holds some of its questions, but not all, the score without these too."""
    from hala.evals.scoring import score

    name, benchmark, items = named
    profile = _profile(settings, benchmark)

    def show(done: int, total: int) -> None:
        context.progress.update(done, total, "sequences", name)

    answers = score(loaded, items, profile, batch_tokens=settings.batch_tokens, progress=show)
    _add_accuracy(sheet, settings, model, base, name, benchmark, answers)
    clean = [answer for answer in answers if answer.id not in leaks]
    if clean and len(clean) < len(answers):
        _add_accuracy(sheet, settings, model, base, f"{name} (clean)", benchmark, clean)
    sheet.records += [
        {
            "set": name,
            "model": model.name,
            "id": a.id,
            "gold": a.gold,
            "prediction": a.prediction,
            "scores": [round(s, 5) for s in a.scores],
            "leaked": a.id in leaks,
        }
        for a in answers
    ]


def _profile(settings: Evaluate, benchmark: Any) -> Any:
    from hala.evals.profiles import find_profile

    return find_profile(settings.profile or ("cloze" if benchmark.schema == "jsonl" else "oall-v2"))


def _add_accuracy(
    sheet: Sheet, settings: Evaluate, model: Contestant, base: Contestant, name: str, benchmark: Any, answers: Sequence[Any]
) -> None:
    """A score of one set, with its difference to the baseline's answers."""
    from hala.evals.scoring import summarise
    from hala.evals.statistics import bootstrap_accuracy, paired_difference

    headline = summarise(benchmark, _profile(settings, benchmark), answers)[0]
    correct = [answer.correct for answer in answers]
    sheet.answers[name, model.name], sheet.marked[name, model.name] = correct, answers
    entry = _entry(model, name, "accuracy", headline, benchmark.lang)
    if benchmark.average == "micro":  # a second interval of the same number; items drawn over all subsets are no macro mean
        drawn = bootstrap_accuracy(correct, settings.resamples, settings.seed)
        entry |= {"bootstrap_low": 100 * drawn[0], "bootstrap_high": 100 * drawn[1]}
    entry |= {"ties": sum(answer.tied for answer in answers), "truncated": sum(answer.truncated > 0 for answer in answers)}
    if model != base:
        strata = [answer.subset for answer in answers] if benchmark.average == "macro" else None
        gain = paired_difference(sheet.answers[name, base.name], correct, strata, settings.resamples, settings.seed)
        entry |= {"delta": 100 * gain.value, "delta_low": 100 * gain.low, "delta_high": 100 * gain.high, "p": gain.p}
    sheet.scores.append(entry)


def _score_suite(
    sheet: Sheet, settings: Evaluate, model: Contestant, base: Contestant, question_sets: Mapping[str, tuple[Any, Any]]
) -> None:
    """The mean of a suite of several benchmarks. Its difference has no interval: no paired test spans both averages."""
    from hala.evals.scoring import summarise_suite

    own = len(settings.questions)
    members = {name: benchmark for name, (benchmark, _) in list(question_sets.items())[own:]}
    if len(members) < 2:
        return

    def mean(each: Contestant) -> Any:
        return summarise_suite(
            settings.suite or "", [(benchmark, sheet.marked[name, each.name]) for name, benchmark in members.items()]
        )

    langs = {benchmark.lang for benchmark in members.values()}
    score = mean(model)
    entry = _entry(model, f"{settings.suite} (mean)", "accuracy", score, langs.pop() if len(langs) == 1 else "")
    sheet.scores.append(entry | ({"delta": score.value - mean(base).value} if model != base else {}))


def _entry(model: Contestant, name: str, metric: str, score: Any, lang: str) -> dict[str, Any]:
    return {
        "model": model.name,
        "t": model.t,
        "set": name,
        "metric": metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "n": score.n,
        "signature": score.signature,
        "lang": lang,
        "delta": None,
        "delta_low": None,
        "delta_high": None,
        "p": None,
    }


# Translation ----------------------------------------------------------------------------------------------------------


def _score_pairs(
    sheet: Sheet,
    settings: Evaluate,
    model: Contestant,
    base: Contestant,
    named: tuple[str, list[Row]],
    loaded: Any,
    context: Context,
) -> None:
    from hala.evals.translation import compare_translations, score_translations
    from hala.languages import language

    name, rows = named
    target = language(context.languages.target)
    sources = [m.content for row in rows for m in row.original or ()]
    references = [m.content for row in rows for m in row.messages]
    context.progress.update(0, None, "segments", f"translating {len(sources):,} texts of {name}")
    outputs = translations(model.where, loaded, sources, settings, context.languages)
    metrics = _metrics(settings, target.iso)
    documents = _documents(settings, name, rows)
    result = score_translations(outputs, references, sources, metrics, documents)
    sheet.answers[name, model.name] = outputs
    entries = [_entry(model, name, score.name, score, target.code) for score in (*result.scores, *result.failures)]
    if model != base:
        before = sheet.answers[name, base.name]
        for gain in compare_translations(before, outputs, references, metrics, documents):
            for entry in entries:
                if entry["metric"] == gain.name:
                    entry |= {"delta": gain.value, "delta_low": gain.low, "delta_high": gain.high, "p": gain.p}
    sheet.scores += entries
    for segment, source, output, reference in zip(result.segments, sources, outputs, references, strict=True):
        record = {"set": name, "model": model.name, "source": source, "reference": reference, "output": output or ""}
        sheet.records.append({**record, "chrf++": round(segment.chrf, 2), "failure": segment.failure})
        if segment.index % max(1, len(sources) // EXAMPLES) == 0 and segment.index // max(1, len(sources) // EXAMPLES) < EXAMPLES:
            sheet.examples.append(record)


def _metrics(settings: Evaluate, script: str) -> Any:
    """What the recipe asks for. Raises what scoring would raise, but before a model is loaded."""
    from hala.evals.metrics import count
    from hala.evals.translation import Metrics

    for name in settings.metrics:
        count(name, ("",), ("",), settings.flores200 or "")
    return Metrics(
        names=settings.metrics,
        script=script,
        normalise=settings.normalise,
        samples=settings.resamples,
        seed=settings.seed,
        paired=settings.paired,
        flores200=settings.flores200 or "",
    )


def _documents(settings: Evaluate, name: str, rows: Sequence[Row]) -> list[str] | None:
    """The document of each message of each row, where the recipe says which note tells it."""
    if settings.documents is None:
        return None
    if missing := next((row.id for row in rows if settings.documents not in row.notes), None):
        raise InputError(
            f"row {missing} of {name} has no note '{settings.documents}' that names its document.",
            f"Let that column go along (keep: {settings.documents}), or leave `documents` out.",
        )
    return [row.notes[settings.documents] for row in rows for _ in row.messages]
