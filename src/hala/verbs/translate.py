"""translate: rows become rows of another language, whole and checked, or are set aside with the reason."""

from __future__ import annotations

from contextlib import closing

from hala.errors import InputError
from hala.hardware import collecting_seldom
from hala.recipe import Translate
from hala.verbs import Context, Outcome
from hala.verbs.meter import Meter
from hala.verbs.translators import open_work

NOTES = ("ladder", "route", "tools")  # of rows: how often each value occurs is counted


def check(step: str, settings: Translate) -> None:
    """Raises RecipeError for gates and prompts that are unknown, before any model is loaded or any earlier step runs."""
    from hala.data.prompts import get_prompt
    from hala.data.translating import select_gates

    select_gates(settings.gates)
    for section in (settings, settings.other):
        if section is not None and section.prompt:
            get_prompt(section.prompt)


def run(settings: Translate, context: Context) -> Outcome:
    """Counts of kept and rejected rows; the rows lie in `context.out`."""
    from hala.data.rows import Collected, open_all
    from hala.shards import stream_shards

    bad = Collected()
    with closing(open_work(settings, context)) as work, collecting_seldom():
        meter = Meter(settings, context, work.translator.stats)
        work.translator.progress = meter.within
        rows = open_all(settings.data, context.inputs, bad, context.languages)
        process = lambda batches: work.judge(batches, meter.taken_in)  # noqa: E731
        counts = stream_shards(context.out, rows, settings.shard_rows, process, meter.after, NOTES)
    bad.write(context.out)
    if not counts["rows"] and not bad.count:
        raise InputError(f"step {context.step} found no rows to translate.", "Check `data`, `where`, `skip` and `take`.")
    plan = work.translator.plan
    facts = {"prompt": plan.prompt, "source": plan.source.code, "target": plan.target.code, "engine": settings.engine}
    return Outcome(counts={**counts, "malformed": bad.count}, facts=facts, timings=meter.rates())
