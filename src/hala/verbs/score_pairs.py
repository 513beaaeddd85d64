"""A model under test as a translator: its output scored, compared with the baseline's, and shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hala.data.pairs import turned
from hala.data.prompts import for_languages
from hala.errors import InputError
from hala.languages import LANGUAGES
from hala.recipe import Data, Evaluate, Languages
from hala.records import Row
from hala.verbs import Context
from hala.verbs.question_pairs import question_pairs
from hala.verbs.sheet import Contestant, Sheet, Turn, dtype_of, entry
from hala.verbs.testsets import prompt_for, read_pairs, set_name, spread, translations, unique

EXAMPLES = 8


def pair_sets_of(settings: Evaluate, context: Context, bad: Any) -> Iterator[tuple[str, tuple[Languages, list[Row]]]]:
    """(name, (languages, pairs)) of each set in each direction that is asked for; backward is `NAME ar-en`, its sides swapped."""
    names = unique([*(set_name(data) for data in settings.pairs), *settings.question_pairs])
    there = context.languages
    back = there.model_copy(update={"source": there.target, "target": there.source})
    for name, place in zip(names, (*settings.pairs, *settings.question_pairs), strict=True):
        if isinstance(place, Data):
            rows = read_pairs(place, context.inputs, bad, settings.limit, there)
            _check_languages(name, rows, there)
        else:
            rows = spread(question_pairs(str(place), settings.question_options, bad, context.commits), settings.limit)
        if "forward" in settings.directions:
            yield name, (there, rows)
        if "backward" in settings.directions:
            yield f"{name} {back.source}-{back.target}", (back, [turned(row, there.source) for row in rows])


def _check_languages(name: str, rows: Sequence[Row], languages: Languages) -> None:
    """Raises InputError for translations that are in another language than the step's, as far as their columns say it."""
    found = sorted({row.lang for row in rows} & LANGUAGES.keys())
    if found and languages.target not in found:
        raise InputError(
            f"{name} holds translations in {', '.join(found)}, and the target here is {languages.target}.",
            "Set the languages (--from and --to, or languages: in the recipe), or the data's columns and lang.",
        )


def score_pairs(sheet: Sheet, turn: Turn, name: str, rows: Sequence[Row], languages: Languages) -> None:
    """Quality and failures of one model's translations of one set, with its differences to the baseline's."""
    from hala.evals.translation import compare_translations, score_translations
    from hala.languages import language

    settings, context, model = turn.settings, turn.context, turn.model
    target = language(languages.target)
    sources = [m.content for row in rows for m in row.original or ()]
    references = [m.content for row in rows for m in row.messages]
    context.progress.update(0, None, "segments", f"translating {len(sources):,} texts of {name}")
    outputs = translations(model.where, turn.loaded, sources, settings, languages, context.progress.say)
    metrics = metrics_of(settings, target.iso)
    documents = documents_of(settings, name, rows)
    result = score_translations(outputs, references, sources, metrics, documents)
    sheet.answers[name, model.name] = outputs
    how = (
        f"|prompt:{_prompt_digest(settings, model, languages)}|max_tokens:{settings.max_tokens}|dtype:{dtype_of(turn.loaded[0])}"
    )
    how += f"|limit:{settings.limit}" if settings.limit else ""
    read = sorted({row.source for row in rows if row.source})
    how += f"|data:{read[0] if len(read) == 1 else f'{len(read)} sources'}" if read else ""
    scores = [replace(score, signature=score.signature + how) for score in (*result.scores, *result.failures)]
    entries = [entry(model, name, score.name, score, target.code) for score in scores]
    if model != turn.base:
        before = sheet.answers[name, turn.base.name]
        for gain in compare_translations(before, outputs, references, metrics, documents):
            made = next(each for each in entries if each["metric"] == gain.name)
            made |= {"delta": gain.value, "delta_low": gain.low, "delta_high": gain.high, "p": gain.p}
            made |= {"wins": gain.wins, "losses": gain.losses, "test": settings.paired}
    sheet.scores += entries
    for segment, source, output, reference in zip(result.segments, sources, outputs, references, strict=True):
        record = {"set": name, "model": model.name, "source": source, "reference": reference, "output": output or ""}
        sheet.records.append({**record, "chrf++": round(segment.chrf, 2), "failure": segment.failure})
        if segment.index % max(1, len(sources) // EXAMPLES) == 0 and segment.index // max(1, len(sources) // EXAMPLES) < EXAMPLES:
            sheet.examples.append(record)


def _prompt_digest(settings: Evaluate, model: Contestant, languages: Languages) -> str:
    """Eight digits of the SHA-256 of the words that the model was asked with."""
    words = for_languages(prompt_for(settings, model.where, languages), languages.target, languages.source)
    return hashlib.sha256(words.encode()).hexdigest()[:8]


def metrics_of(settings: Evaluate, script: str) -> Any:
    """What the recipe asks for. Raises what scoring would raise, but before a model is loaded."""
    from hala.evals.metrics import count
    from hala.evals.translation import Metrics

    for name in settings.metrics:
        count(name, ("",), ("",), settings.flores200 or "")
    return Metrics(
        names=tuple(dict.fromkeys(settings.metrics)),
        script=script,
        normalise=tuple(dict.fromkeys(settings.normalise)),
        samples=settings.resamples,
        seed=settings.seed,
        paired=settings.paired,
        flores200=settings.flores200 or "",
    )


def documents_of(settings: Evaluate, name: str, rows: Sequence[Row]) -> list[str] | None:
    """The document of each message of each row, where the recipe says which note tells it."""
    if settings.documents is None:
        return None
    if missing := next((row.id for row in rows if settings.documents not in row.notes), None):
        raise InputError(
            f"row {missing} of {name} has no note '{settings.documents}' that names its document.",
            f"Let that column go along (keep: {settings.documents}), or leave `documents` out.",
        )
    return [row.notes[settings.documents] for row in rows for _ in row.messages]
