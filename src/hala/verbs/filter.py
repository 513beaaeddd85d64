"""filter: good rows stay, the others are stored with the reason: gates, lengths, duplicates, leaks, and a judge."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hala.errors import InputError
from hala.languages import Language, language
from hala.recipe import Filter
from hala.records import KEPT, Engine, Row, Sampling, Verdict, rejected
from hala.verbs import Context, Outcome, open_engine

Check = Callable[[Row], Verdict]


def run(settings: Filter, context: Context) -> Outcome:
    """Counts by reason; kept and rejected rows lie in `context.out`."""
    from hala.artifacts import run_shards
    from hala.data.rows import Collected, open_all

    bad, began = Collected(), time.monotonic()
    checks = _checks(settings, context, bad)
    judge = _judge(settings, context)
    seen = _seen(settings, context)

    def process(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        verdicts = [_first(row, checks) for row in rows]
        verdicts = [_duplicate(row, verdict, seen) for row, verdict in zip(rows, verdicts, strict=True)]
        return list(zip(rows, _judged(rows, verdicts, judge), strict=True))

    def after(done: int, counts: Counter[str]) -> None:
        context.progress.update(done, None, "rows", f"{counts['kept']:,} kept")

    rows = open_all(settings.data, context.inputs, bad)
    counts = run_shards(context.out, rows, settings.shard_rows, process, after)
    if judge is not None:
        judge[0].close()
    bad.write(context.out)
    if not counts["rows"] and not bad.count:
        raise InputError(f"step {context.step} found no rows to filter.", "Check `data`.")
    rate = counts["rows"] / max(time.monotonic() - began, 1e-9)
    return Outcome(counts={**counts, "malformed": bad.count}, timings={"rows_per_s": rate})


def _first(row: Row, checks: list[Check]) -> Verdict:
    """The first rejection, or kept."""
    return next((verdict for verdict in (check(row) for check in checks) if not verdict.kept), KEPT)


def _checks(settings: Filter, context: Context, bad: Any) -> list[Check]:
    source, target = language(context.languages.source), language(context.languages.target)
    checks: list[Check] = [lambda row: _length(row, settings)]
    if settings.gates != ("none",):
        checks.append(lambda row: _gates(row, settings.gates, source, target))
    if settings.decontaminate or settings.questions:
        index = _leaks(settings, bad)
        checks.append(lambda row: index.check([m.content for m in (*row.messages, *(row.original or ()))]))
    return checks


def _length(row: Row, settings: Filter) -> Verdict:
    shortest = min((len(message.content.strip()) for message in row.messages), default=0)
    if shortest < settings.min_chars:
        return rejected("too_short", f"a message of {shortest} characters")
    if len(row.text) > settings.max_chars:
        return rejected("too_long", f"{len(row.text)} characters")
    return KEPT


def _gates(row: Row, gates: tuple[str, ...], source: Language, target: Language) -> Verdict:
    """Each message against its original; rows without original pass here."""
    from hala.data.gates import check

    for original, message in zip(row.original or (), row.messages, strict=False):
        verdict = check(original.content, message.content, "stop", source, target, gates)
        if not verdict.kept:
            return verdict
    return KEPT


def _leaks(settings: Filter, bad: Any) -> Any:
    """An index of every benchmark question that must not occur in the rows."""
    from hala.data.contamination import build_index
    from hala.data.rows import open_questions
    from hala.data.sources import hub_records
    from hala.evals.benchmarks import find_suite, read

    texts = {}
    for data in settings.questions:
        texts |= {question.id: question.question for question in open_questions(data, bad)}
    for name in settings.decontaminate:
        for benchmark in find_suite(name):
            reading = read(benchmark, lambda b, subset: hub_records(b.source, subset or None, b.split, b.revision))
            texts |= {item.question.id: item.question.question for item in reading.items}
    return build_index(texts)


def _seen(settings: Filter, context: Context) -> set[bytes] | None:
    """Keys of the rows that finished shards have kept, so that a continued step drops what an undisturbed one would."""
    from hala.artifacts import read_shard
    from hala.data.dedup import key

    if not settings.dedup:
        return None
    finished = sorted((context.out / "rows").glob("*.parquet"))
    return {key(row.text) for file in finished for row, _ in read_shard(file)}


def _duplicate(row: Row, verdict: Verdict, seen: set[bytes] | None) -> Verdict:
    from hala.data.dedup import key

    if seen is None or not verdict.kept:
        return verdict
    mine = key(row.text)
    if mine in seen:
        return rejected("duplicate", "the same text came before")
    seen.add(mine)
    return KEPT


def _judge(settings: Filter, context: Context) -> tuple[Engine, Sampling] | None:
    if settings.judge is None:
        return None
    engine = open_engine(settings.judge, context.locate(settings.judge.model), settings.judge.revision)
    return engine, Sampling(settings.judge.max_tokens)


def _judged(rows: list[Row], verdicts: list[Verdict], judge: tuple[Engine, Sampling] | None) -> list[Verdict]:
    """Verdicts after a language model has looked at every pair that is still kept."""
    from hala.data.judge import ask

    if judge is None:
        return verdicts
    waiting = [index for index, verdict in enumerate(verdicts) if verdict.kept]
    answers = ask([rows[index] for index in waiting], *judge)
    for index, verdict in zip(waiting, answers, strict=True):
        verdicts[index] = verdict
    return verdicts
