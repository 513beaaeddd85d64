"""evaluate: checkpoints are compared on multiple-choice questions and as translators, with intervals and paired differences."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.errors import InputError
from hala.recipe import Evaluate
from hala.verbs import Context, Outcome
from hala.verbs.answered import model_digest
from hala.verbs.leaks import leaks_in
from hala.verbs.referee import compare_answers
from hala.verbs.score_files import write_exports
from hala.verbs.score_learned import check_learned, score_learned
from hala.verbs.score_pairs import metrics_of, pair_sets_of, score_pairs
from hala.verbs.score_probes import probe_sets_of, score_probes
from hala.verbs.score_questions import profile_of, question_sets_of, score_questions, score_suite, share_out
from hala.verbs.sheet import Contestant, Sheet, Turn, correct_for_many, dtype_of
from hala.verbs.testsets import told_apart, unique


def run(settings: Evaluate, context: Context) -> Outcome:
    """Scores of every model on every set, also in `scores.json`; `records.jsonl` beside it holds each single answer."""
    from hala.data.rows import Collected

    check(context.step, settings)
    found = list(contestants(settings, context))
    models = [replace(each, name=name) for each, name in zip(found, unique([each.name for each in found]), strict=True)]
    bad = Collected()
    pair_sets = dict(pair_sets_of(settings, context, bad))
    read = question_sets_of(settings, bad, context.commits)
    question_sets = {name: (about, told_apart(items)) for name, (about, items) in read}
    probe_sets = probe_sets_of(settings)
    apart = unique([*question_sets, *probe_sets, *pair_sets])[len(question_sets) + len(probe_sets) :]
    pair_sets = dict(zip(apart, pair_sets.values(), strict=True))
    chats = ["probes"] if probe_sets else []
    chats += [f"profile {profile.name}" for about, _ in question_sets.values() if (profile := profile_of(settings, about)).chat]
    can_be_asked(models, context, chats)
    steps = [Path(context.locate(reference)) for reference in settings.leaks]
    leaks, about_leaks = leaks_in(question_sets, steps, context.progress.say)
    sheet, described = Sheet(), []
    for number, model in enumerate(models, 1):
        context.progress.step(f"{context.step} {model.name} ({number}/{len(models)})")
        digest = model_digest(model.where) if question_sets else ""
        share_out(settings, context, model, digest, question_sets)
        loaded = _load(model, settings)
        described.append(_describe(model, loaded[0]))
        turn = Turn(settings, context, model, models[0], loaded, digest)
        for name, (benchmark, items) in question_sets.items():
            score_questions(sheet, turn, (name, benchmark, items), leaks[name])
        score_suite(sheet, turn, question_sets)
        for name, (languages, rows) in pair_sets.items():
            score_pairs(sheet, turn, name, rows, languages)
        score_probes(sheet, turn, probe_sets)
        del loaded, turn  # two models at once may not fit
        gc.collect()
    score_learned(sheet, settings, context, models, pair_sets)
    compare_answers(sheet, settings, context, models, probe_sets)
    correct_for_many(sheet.scores)
    _store(sheet, context)
    if settings.export:
        write_exports(context.out / "exports", described, sheet.scores, sheet.tasks)
    bad.write(context.out)
    facts: dict[str, Any] = {"baseline": models[0].name, "models": described, "scores": sheet.scores, "examples": sheet.examples}
    facts |= {key: value for key, value in (("leaks", about_leaks), ("probes", sheet.probes)) if value}
    counts = {"models": len(models), "scores": len(sheet.scores), "malformed": bad.count}
    return Outcome(counts=counts, facts=facts)


def check(step: str, settings: Evaluate) -> None:
    """Raises InputError or RecipeError for what is unknown or missing, before any model is loaded or any earlier step runs."""
    from hala.evals.benchmarks import find_suite
    from hala.evals.probes import find_probes
    from hala.evals.profiles import find_profile

    if not (settings.pairs or settings.question_pairs or settings.questions or settings.suite or settings.probes):
        raise InputError(f"step {step} has nothing to evaluate on.", "Give pairs, question_pairs, questions, suite or probes.")
    for name in (*([settings.suite] if settings.suite else []), *settings.question_pairs):
        find_suite(name)
    for name in settings.probes:
        find_probes(name)
    if settings.profile:
        find_profile(settings.profile)
    if settings.pairs or settings.question_pairs:
        check_learned(settings)
        metrics_of(settings, "")


def can_be_asked(models: Sequence[Contestant], context: Context, chats: Sequence[str]) -> None:
    """Raises InputError for a model without a chat template that is to be asked in chats, before any model is loaded."""
    from hala.weights.loading import load_tokenizer

    for model in models if chats else ():
        context.progress.update(0, None, "tokenizers", f"has {model.name} a chat template?")
        if not load_tokenizer(model.where).chat_template:
            raise InputError(
                f"model {model.name} has no chat template, and {chats[0]} asks in chats.",
                "Evaluate it in a step of its own (of questions, with a plain profile such as oall-v2), or add the"
                " chat_template.jinja of its chat model to the checkpoint.",
            )


def _store(sheet: Sheet, context: Context) -> None:
    """Scores are facts of the manifest too; as files they are covered by the step's digest."""
    with artifacts.atomic_file(context.out / "records.jsonl") as temporary:
        lines = (json.dumps(record, ensure_ascii=False, sort_keys=True) for record in sheet.records)
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="backslashreplace")
    artifacts.write_json(context.out / "scores.json", sheet.scores)
    if sheet.tasks:
        artifacts.write_json(context.out / "tasks.json", sheet.tasks)


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
        "dtype": dtype_of(loaded),
    }
