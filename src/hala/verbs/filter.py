"""filter: good rows stay, the others are stored with the reason: gates, lengths, duplicates, leaks, and a judge."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hala.data.codelines import code_lines
from hala.data.conversations import compared
from hala.data.dedup import Seen
from hala.data.gates import Gate, check
from hala.data.markdown import blocks, lines_of
from hala.data.masks import SENTINEL, mask
from hala.data.segments import split
from hala.data.translating import select_gates
from hala.errors import InputError
from hala.hardware import collecting_seldom
from hala.languages import Language, language, unknown
from hala.recipe import Filter
from hala.records import KEPT, Row, Verdict, rejected
from hala.verbs import Context, Outcome, leaks
from hala.verbs.judging import judged, open_judge, trial_of

if TYPE_CHECKING:
    from hala.data.near import Near

Check = Callable[[Row], Verdict]

# Gates that can say something about a text without its source; the second ones only of a text in the target language.
ALONE = ("html", "literal_newline", "latex", "repetition")
ALONE_IN_TARGET = ("script", "wrong_language")


def run(settings: Filter, context: Context) -> Outcome:
    """Counts by reason; kept and rejected rows lie in `context.out`."""
    from hala.data.rows import Collected, open_all
    from hala.shards import run_shards

    bad, began, fresh, langs = Collected(), time.monotonic(), Counter[str](), Counter[str]()
    looked = leaks.sought(settings, bad, context.commits) if settings.decontaminate or settings.questions else None
    checks = _checks(settings, context, looked)
    judging = open_judge(settings.judge, context)
    duplicates = _duplicates(settings, context)

    def process(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        fresh["rows"] += len(rows)
        langs.update(row.lang for row in rows)
        if looked is not None and settings.leaks == "keep":
            rows = [looked.marked(row) for row in rows]
        verdicts = [_first(row, checks) for row in rows]
        for known in duplicates:
            verdicts = [known.check(row) if verdict.kept else verdict for row, verdict in zip(rows, verdicts, strict=True)]
        return list(zip(rows, judged(rows, verdicts, judging), strict=True))

    def after(done: int, counts: Counter[str]) -> None:
        if not fresh["rows"]:  # a shard of an earlier session
            context.progress.skip(done)
        context.progress.update(done, None, "rows", f"{counts['kept']:,} kept")

    rows = open_all(settings.data, context.inputs, bad, context.languages)
    try:
        with collecting_seldom():
            counts = run_shards(context.out, rows, settings.shard_rows, process, after)
    finally:
        if judging is not None:
            judging.engine.close()
    bad.write(context.out)
    _say_strangers(langs, context)
    facts = _facts(settings, context, looked)
    if not counts["rows"] and not bad.count:
        raise InputError(f"step {context.step} found no rows to filter.", "Check `data`.")
    rate = fresh["rows"] / max(time.monotonic() - began, 1e-9)
    return Outcome(counts={**counts, "malformed": bad.count}, facts=facts, timings={"rows_per_s": rate})


def _say_strangers(langs: Mapping[str, int], context: Context) -> None:
    """Rows whose own language is not the target."""
    target = language(context.languages.target)
    for lang, number in sorted(langs.items()):
        if lang and language(lang) != target:
            context.progress.say(f"    {number:,} rows say that they are {language(lang).name}, not {target.name}: see --to")


def _facts(settings: Filter, context: Context, looked: leaks.Sought | None) -> dict[str, Any]:
    """How many questions of each set were found, and what the judge's trial said."""
    facts: dict[str, Any] = {}
    if looked is not None:
        facts["leaks"] = leaks.write(context.out, looked, settings.leaks == "keep", context.progress.say)
    if (trial := trial_of(context.out)) is not None:
        facts["judge"] = trial
    return facts


def _first(row: Row, checks: list[Check]) -> Verdict:
    """The first rejection, or kept."""
    return _first_of(check(row) for check in checks)


def _first_of(verdicts: Iterable[Verdict]) -> Verdict:
    return next((verdict for verdict in verdicts if not verdict.kept), KEPT)


def _checks(settings: Filter, context: Context, looked: leaks.Sought | None) -> list[Check]:
    source, target = language(context.languages.source), language(context.languages.target)
    if settings.gates != ("none",) and (said := unknown(target)):
        context.progress.say(f"    {said}")
    checks: list[Check] = [_paired, lambda row: _length(row, settings)]
    if settings.code == "drop":
        checks.append(_code)
    gates = select_gates(settings.gates)
    checks.append(lambda row: _gates(row, gates, source, target))
    if looked is not None and settings.leaks == "drop":
        checks.append(looked.check)
    return checks


def _paired(row: Row) -> Verdict:
    """Every later check looks at a message beside its own original."""
    if row.original is not None and len(row.original) != len(row.messages):
        return rejected("not_a_pair", f"{len(row.messages)} messages for {len(row.original)} originals")
    return KEPT


def _length(row: Row, settings: Filter) -> Verdict:
    shortest = min((len(message.content.strip()) for message in row.messages), default=0)
    if shortest < settings.min_chars:
        return rejected("too_short", f"a message of {shortest} characters")
    if len(row.text) > settings.max_chars:
        return rejected("too_long", f"{len(row.text)} characters")
    return KEPT


def _code(row: Row) -> Verdict:
    """Code between fences, or lines that read like statements; a name `like_this` in a sentence is none."""
    for message in (*row.messages, *(row.original or ())):
        lines = lines_of(message.content)
        if any(block.kind == "fence" for block in blocks(lines)):
            return rejected("code", "between fences")
        if True in (found := code_lines(lines)):
            return rejected("code", lines[found.index(True)].strip()[:80])
    return KEPT


def _gates(row: Row, gates: Mapping[str, Gate], source: Language, target: Language) -> Verdict:
    """Each message against its original; without one, what the gates can say about the text alone.

    What `translate` kept on purpose is no failure: whole rows that hold nothing to translate, turns, thinking, spans.
    """
    if row.original is None:
        return KEPT if row.notes.get("route", "").startswith("keep:") else _alone(row, gates, source, target)
    return _first_of(check(before, after, "stop", target, gates, source) for before, after in compared(row))


def _alone(row: Row, gates: Mapping[str, Gate], source: Language, target: Language) -> Verdict:
    """The natural language of each message, segment by segment as in `translate`; another language than the target passes."""
    names = (*ALONE, *ALONE_IN_TARGET) if row.lang == target.code else () if row.lang else ALONE
    chosen = {name: gate for name, gate in gates.items() if name in names}
    segments = (segment for message in row.messages for segment in split(message.content).segments) if chosen else ()
    return _first_of(check("", _shown(segment), "stop", target, chosen, source) for segment in segments)


def _shown(segment: str) -> str:
    """A segment with its protected spans masked, but for chat marks: in a row they are leftovers, never content."""
    masked = mask(segment)
    return SENTINEL.sub(lambda mark: span if (span := masked.spans[int(mark[1]) - 1]).startswith("<|") else mark[0], masked.text)


def _duplicates(settings: Filter, context: Context) -> list[Seen | Near]:
    """What finds exact and near duplicates. They hear of the rows that came to them in finished shards, so that a continued step
    drops the same ones."""
    from hala.data.rows import Collected, open_all
    from hala.shards import read_shard

    duplicates: list[Seen | Near] = [Seen()] if settings.dedup else []
    if settings.near:
        from hala.data.near import Near

        duplicates.append(Near(open_all(settings.data, context.inputs, Collected(), context.languages), settings.near))
    # A shard that lacks one of its two files is made again and must not meet itself.
    parts = [context.out / "rows", context.out / "rejected"]
    done = sorted(set.intersection(*({file.name for file in part.glob("*.parquet")} for part in parts)))
    files = [part / name for part in parts for name in done] if duplicates else []
    for row, verdict in (item for file in files for item in read_shard(file)):
        came_through = verdict.kept or verdict.reason.startswith("judge_")
        for known in duplicates:
            if came_through or (verdict.reason == "near_duplicate" and isinstance(known, Seen)):
                known.check(row)
    return duplicates
