"""translate: rows become rows of another language, whole and checked, or are set aside with the reason."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from hala.data.translating import Plan, translate_texts
from hala.errors import InputError
from hala.recipe import Translate
from hala.recipe_file import from_content
from hala.records import Verdict
from hala.verbs import Context, Outcome, open_engine
from hala.verbs.meter import Meter
from hala.verbs.translators import make_plan, open_work

MAX_RETRIES = 5  # the most that a recipe takes
NOTES = ("ladder", "route")  # of rows: how often each value occurs is counted


def run(settings: Translate, context: Context) -> Outcome:
    """Counts of kept and rejected rows; the rows lie in `context.out`."""
    from hala.data.rows import Collected, open_all
    from hala.shards import stream_shards

    bad = Collected()
    with closing(open_work(settings, context)) as work:
        meter = Meter(settings, context, work.translator.stats)
        work.translator.progress = meter.within
        rows = open_all(settings.data, context.inputs, bad)
        process = lambda batches: work.judge(batches, meter.taken_in)  # noqa: E731
        counts = stream_shards(context.out, rows, settings.shard_rows, process, meter.after, NOTES)
    bad.write(context.out)
    if not counts["rows"] and not bad.count:
        raise InputError(f"step {context.step} found no rows to translate.", "Check `data`, `where`, `skip` and `take`.")
    plan = work.translator.plan
    facts = {"prompt": plan.prompt, "source": plan.source.code, "target": plan.target.code, "engine": settings.engine}
    return Outcome(counts={**counts, "malformed": bad.count}, facts=facts, timings=meter.rates())


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
