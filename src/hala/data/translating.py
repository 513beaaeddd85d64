"""Texts in, translated texts out: segments, sentinels, prompts, checks and further tries over any engine.

A text is translated whole or not at all: one segment that fails rejects its text, with the reason.

>>> from hala.data.translating import Plan, translate_texts
>>> from hala.engines.scripted import EchoEngine   # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hala.data.gates import GATES, Gate, check
from hala.data.masks import Masked, mask, unmask
from hala.data.prompts import render, unwrap
from hala.data.segments import Document, join, split
from hala.errors import RecipeError, nearest
from hala.languages import Language
from hala.records import KEPT, Completion, Engine, Request, Sampling, Verdict, rejected


@dataclass(frozen=True, slots=True)
class Plan:
    """How to translate. `retries` further tries are sampled at `retry_temperature`, each with its own seed."""

    prompt: str
    source: Language
    target: Language
    sampling: Sampling
    gates: Mapping[str, Gate]
    whole: bool = False
    max_chars: int = 1200
    retries: int = 1
    retry_temperature: float = 0.3
    min_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Translated:
    """A translated text, or the text "" with the verdict that says why there is none. `tries` is the most any segment took."""

    text: str
    verdict: Verdict
    tokens: int = 0
    tries: int = 1


@dataclass(slots=True)
class _Segment:
    """One distinct segment on its way; `result` is None until a try passes."""

    text: str
    masked: Masked
    result: str | None = None
    verdict: Verdict = KEPT
    tokens: int = 0
    tries: int = 0


Progress = Callable[[int, int], None]
"""progress(completions so far, requests so far): the second grows when segments are tried again."""


def no_progress(done: int, total: int) -> None:
    """Says nothing."""


def select_gates(names: Sequence[str]) -> dict[str, Gate]:
    """Gates by name in their own order; `default` is all of them, `none` is none. Raises RecipeError for an unknown name."""
    for name in names:
        if name not in GATES and name not in ("default", "none"):
            raise RecipeError(f"unknown gate '{name}'.{nearest(name, GATES)}", f"Known: default, none, {', '.join(GATES)}.")
    return {name: gate for name, gate in GATES.items() if name in names or "default" in names}


def translate_texts(texts: Sequence[str], engine: Engine, plan: Plan, progress: Progress = no_progress) -> list[Translated]:
    """One result per text, in order. Equal segments are translated once; what an engine drops or repeats is noticed."""
    documents = [_document(text, plan) for text in texts]
    segments: dict[str, _Segment] = {}
    for document in documents:
        for text in document.segments:
            segments.setdefault(text, _Segment(text, Masked(text, ()) if plan.whole else mask(text)))
    asked = 0
    for attempt in range(plan.retries + 1):
        waiting = [segment for segment in segments.values() if segment.result is None]
        if not waiting:
            break
        before, asked = asked, asked + len(waiting)
        _attempt(waiting, engine, plan, attempt, _counted(progress, before, asked))
    return [_assemble(document, segments) for document in documents]


def _document(text: str, plan: Plan) -> Document:
    if not plan.whole:
        return split(text, plan.max_chars)
    from hala.data.segments import Part

    return Document((Part(text, bool(text.strip())),))


def _counted(progress: Progress, before: int, asked: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, asked)


def _attempt(waiting: list[_Segment], engine: Engine, plan: Plan, attempt: int, answers: Callable[[int], None]) -> None:
    """Send every waiting segment once and judge the answers; `answers` is told their number after each."""
    sampling = replace(plan.sampling, confidence=plan.min_confidence > 0)
    if attempt:
        sampling = replace(sampling, temperature=plan.retry_temperature, seed=sampling.seed + attempt)
    by_id = {f"{_key(segment.text)}-{attempt}": segment for segment in waiting}
    requests = [
        Request(key, render(plan.prompt, segment.masked.text, plan.target, plan.source)) for key, segment in by_id.items()
    ]
    answered: set[str] = set()
    for completion in engine.complete(iter(requests), sampling):
        segment = by_id.get(completion.id)
        if segment is not None and completion.id not in answered:
            answered.add(completion.id)
            _judge(segment, completion, plan)
            answers(len(answered))
    for key, segment in by_id.items():
        if key not in answered:
            segment.tries += 1
            segment.verdict = rejected("engine_error", "the engine gave no answer")


def _judge(segment: _Segment, completion: Completion, plan: Plan) -> None:
    segment.tries += 1
    segment.tokens += completion.tokens
    if completion.finish == "error":
        segment.verdict = rejected("engine_error", completion.error)
        return
    if plan.min_confidence and (completion.confidence or 0.0) < plan.min_confidence:
        segment.verdict = rejected("low_confidence", f"{completion.confidence or 0.0:.2f}: {completion.text[:120]}")
        return
    answer = unwrap(plan.prompt, completion.text)
    if isinstance(answer, Verdict):
        segment.verdict = answer
        return
    verdict = check(segment.masked.text, answer, completion.finish, plan.target, plan.gates, plan.source)
    if not verdict.kept:
        segment.verdict = verdict
        return
    text = unmask(answer, segment.masked.spans)
    if isinstance(text, Verdict):
        segment.verdict = text
        return
    segment.result, segment.verdict = _edges(segment.text, text), KEPT


def _edges(source: str, target: str) -> str:
    """The translation with the source's own edges: whitespace around a segment is the document's, never the engine's."""
    body = source.strip()
    before, after = source[: source.find(body)], source[source.find(body) + len(body) :]
    return f"{before}{target.strip()}{after}" if body else source


def _assemble(document: Document, segments: dict[str, _Segment]) -> Translated:
    parts = [segments[text] for text in document.segments]
    tokens, tries = sum(part.tokens for part in parts), max((part.tries for part in parts), default=0)
    for part in parts:
        if part.result is None:
            detail = f"{part.verdict.detail} | segment: {part.text[:200]}"
            return Translated("", rejected(part.verdict.reason, detail), tokens, tries)
    return Translated(join(document, [part.result or "" for part in parts]), KEPT, tokens, tries)


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
