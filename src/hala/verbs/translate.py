"""translate: rows become rows of another language, whole and checked, or are set aside with the reason."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

from hala.data.translating import Plan, Progress, Translated, no_progress, select_gates, translate_texts
from hala.errors import EngineError, InputError, RecipeError
from hala.languages import language
from hala.recipe import Translate
from hala.recipe_file import from_content
from hala.records import KEPT, Engine, Message, Row, Sampling, Verdict, rejected
from hala.verbs import Context, Outcome, open_engine, trained_for

MIN_ROWS_TO_STOP = 1000
# More failed requests in one shard than this are the engine's fault, not the rows'.
BROKEN_ROWS, BROKEN_SHARE = 20, 0.2
MAX_RETRIES = 5  # the most that a recipe takes


def run(settings: Translate, context: Context) -> Outcome:
    """Counts of kept and rejected rows; the rows lie in `context.out`."""
    from hala.data.rows import Collected, open_all
    from hala.shards import run_shards

    where = context.locate(settings.model)
    plan = make_plan(settings, where, context.languages.source, context.languages.target)
    engine = open_engine(settings, where, settings.revision)
    bad, began, tokens = Collected(), time.monotonic(), Counter[str]()
    total = _total(settings)

    def process(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        def within(done: int, asked: int) -> None:
            place = tokens["done"] + len(rows) * done / asked
            context.progress.update(place, total, "rows", f"{done:,} of {asked:,} segments of this shard")

        judged, used = translate_rows(rows, engine, plan, within)
        _refuse_broken_engine(judged, context.step)
        tokens["new"] += used
        tokens["rows"] += len(rows)
        return judged

    def after(done: int, counts: Counter[str]) -> None:
        tokens["done"] = done
        if not tokens["rows"]:  # a shard of an earlier session
            context.progress.skip(done)
        rate = tokens["new"] / max(time.monotonic() - began, 1e-9)
        context.progress.update(done, total, "rows", f"{counts['kept']:,} kept, {rate:,.0f} tokens/s")
        _stop_early(settings, done, counts)

    try:
        counts = run_shards(context.out, open_all(settings.data, context.inputs, bad), settings.shard_rows, process, after)
    finally:
        engine.close()
    bad.write(context.out)
    if not counts["rows"] and not bad.count:
        raise InputError(f"step {context.step} found no rows to translate.", "Check `data`, `where`, `skip` and `take`.")
    seconds = max(time.monotonic() - began, 1e-9)
    rates = {"tokens_per_s": tokens["new"] / seconds, "rows_per_s": tokens["rows"] / seconds}
    facts = {"prompt": plan.prompt, "source": plan.source.code, "target": plan.target.code, "engine": settings.engine}
    return Outcome(counts={**counts, "malformed": bad.count}, facts=facts, timings=rates)


def translate_document(text: str, settings: dict[str, Any], source: str, target: str) -> str:
    """The document in the target language, its structure untouched. Raises InputError when a part fails its checks."""
    step = {"translate": {"data": {"path": "-"}, **settings}}
    recipe = from_content({"name": "text", "languages": {"source": source, "target": target}, "steps": {"text": step}}, "--set")
    section = recipe.steps["text"].settings
    assert isinstance(section, Translate)
    plan = make_plan(section, section.model, source, target)
    engine = open_engine(section, section.model)
    try:
        [result] = translate_texts([text], engine, plan)
    finally:
        engine.close()
    if not result.verdict.kept:
        raise InputError(
            f"the text could not be translated: {result.verdict.reason}: {result.verdict.detail}.",
            _way_out(result.verdict, plan),
        )
    return result.text


def _way_out(verdict: Verdict, plan: Plan) -> str:
    """What can help after this rejection; `gates=none` does only where a gate objected to what nothing else looks at."""
    if verdict.reason == "engine_error":
        return "Mend the engine or its settings, then run the same command again."
    ways = ["Try another model"]
    if plan.retries < MAX_RETRIES:
        ways.append(f"more tries (--set retries={MAX_RETRIES})")
    if verdict.reason == "low_confidence":
        ways.append("a lower --set min_confidence=...")
    elif verdict.reason in plan.gates and verdict.reason != "placeholders":
        ways.append("--set gates=none to see what the model wrote")
    lost = verdict.reason == "placeholders" and not plan.whole
    legend = "The protected spans of that segment (code, formulas, links, markup, placeholders) are numbered from 1. "
    return f"{legend if lost else ''}{', or '.join(ways)}."


def make_plan(settings: Translate, model: str, source: str, target: str) -> Plan:
    """The settings with what the checkpoint itself says about its prompt. Raises RecipeError when languages disagree."""
    trained = trained_for(model)
    trained = trained if trained.get("task") == "translation" else {}
    for key, wanted in (("source", source), ("target", target)):
        if trained.get(key, wanted) != wanted:
            learnt = f"{trained.get('source', source)} -> {trained.get('target', target)}"
            raise RecipeError(
                f"{model} translates {learnt}, not {source} -> {target}.", "Choose another model or other languages."
            )
    if settings.min_confidence and settings.engine != "local":
        raise RecipeError(
            f"the {settings.engine} engine does not tell how sure the model is.",
            "Use engine: local, or leave min_confidence out.",
        )
    gates = settings.gates
    if settings.engine == "echo" and gates == ("default",):
        gates = ("none",)  # the echo gives the source back on purpose
    return Plan(
        prompt=settings.prompt or trained.get("prompt") or "default",
        source=language(source),
        target=language(target),
        sampling=Sampling(settings.max_tokens, settings.temperature, seed=settings.seed),
        gates=select_gates(gates),
        whole=settings.mode == "whole",
        max_chars=settings.max_chars,
        retries=settings.retries,
        retry_temperature=settings.retry_temperature,
        min_confidence=settings.min_confidence,
    )


def translate_rows(
    rows: list[Row], engine: Engine, plan: Plan, progress: Progress = no_progress
) -> tuple[list[tuple[Row, Verdict]], int]:
    """One judged row per row, and the tokens used: every message translated, or the row as it was with the first reason."""
    done = [_already(row, plan.target.code) for row in rows]
    texts = [message.content for row, verdict in zip(rows, done, strict=True) if verdict.kept for message in row.messages]
    results = iter(translate_texts(texts, engine, plan, progress))
    judged, tokens = [], 0
    for row, verdict in zip(rows, done, strict=True):
        if not verdict.kept:
            judged.append((row, verdict))
            continue
        parts = [next(results) for _ in row.messages]
        tokens += sum(part.tokens for part in parts)
        judged.append(_assemble(row, parts, plan.target.code))
    return judged, tokens


def _already(row: Row, target: str) -> Verdict:
    """A translated row is not translated again: its `original` would be lost, or target text sent as source."""
    if row.original is not None:
        return rejected("already_translated", "the row has an original")
    return rejected("already_translated", f"the row is in {target}") if row.lang == target else KEPT


def _assemble(row: Row, parts: list[Translated], target: str) -> tuple[Row, Verdict]:
    failed = next((part for part in parts if not part.verdict.kept), None)
    if failed is not None:
        return row, failed.verdict
    messages = tuple(Message(message.role, part.text) for message, part in zip(row.messages, parts, strict=True))
    return replace(row, messages=messages, original=row.messages, lang=target), KEPT


def _total(settings: Translate) -> int | None:
    takes = [data.take for data in settings.data]
    return sum(take for take in takes if take) if all(takes) else None


def _refuse_broken_engine(judged: list[tuple[Row, Verdict]], step: str) -> None:
    """Nothing, or EngineError before the shard is written, so that the same command tries its rows again."""
    failed = [verdict for _, verdict in judged if verdict.reason == "engine_error"]
    if len(failed) >= BROKEN_ROWS and len(failed) > BROKEN_SHARE * len(judged):
        raise EngineError(
            f"step {step}: the engine failed on {len(failed):,} of {len(judged):,} rows of a shard; last: {failed[-1].detail}",
            "Mend the engine or its settings; the same command continues, and tries these rows again.",
        )


def _stop_early(settings: Translate, done: int, counts: Counter[str]) -> None:
    if done >= MIN_ROWS_TO_STOP and done - counts["kept"] > settings.stop_above * done:
        reasons = {key: value for key, value in counts.items() if key.startswith("rejected/")}
        worst = max(reasons, key=lambda key: reasons[key])
        raise InputError(
            f"{done - counts['kept']:,} of {done:,} rows were rejected, more than stop_above {settings.stop_above:.0%};"
            f" most often {worst}.",
            "Look at them with `hala show --rejected`, then mend the prompt, the model or the data.",
        )
