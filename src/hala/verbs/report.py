"""A run as one offline HTML page, as text for the terminal, and as markdown for a README. Reads what finished steps left.

>>> from hala.verbs.report import render
>>> page = render(Path("runs/quickstart"))   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala import artifacts, recipe, shards
from hala.artifacts import Manifest
from hala.errors import InputError
from hala.languages import language
from hala.records import KEPT, Row, Verdict
from hala.verbs import Context, Outcome, report_sections, report_weights
from hala.verbs.redact import plain
from hala.verbs.report_page import page, paragraph, text
from hala.verbs.results import evaluations, headline_tables, markdown, step_table, terminal
from hala.verbs.results_curves import curve_table, curves
from hala.verbs.scoreboard import comparison_tables
from hala.verbs.search_results import search_tables, searches
from hala.verbs.status import Stage, is_step, outcome, plan, rejections, row_text, several, stage_table, stages, text_table

if TYPE_CHECKING:
    from hala.data.readers import BadRow

# What can help when no row was kept, by the most frequent reason that it holds for.
LANGUAGE = "Check that the model translates into that language, and with this prompt (--to, --model, --set prompt=...)."
HELPS = {
    "truncated": "Allow longer answers: --set max_tokens=2048",
    "engine_error": "The engine failed: mend it or its settings.",
    "already_translated": "The rows are in the target language, or have originals: see --from and --to.",
    "untranslatable": "The router found none that survives translation; --set router=none translates them all the same.",
    "low_confidence": "The model is not sure of itself: lower --set min_confidence=..., or choose another model.",
    **dict.fromkeys(("copy", "wrong_language", "script", "wrapper"), LANGUAGE),
}


def run(settings: recipe.Report, context: Context) -> Outcome:
    """`report.html` in the step's folder, about the steps of the run that are finished by now."""
    content = _render(context.run, settings.title, context.step)
    with artifacts.atomic_file(context.out / "report.html") as temporary:
        temporary.write_text(content, encoding="utf-8")
    finished = sum(stage.state == "finished" for stage in stages(context.run, context.step))
    return Outcome(counts={"steps": finished}, facts={"bytes": len(content.encode())})


def render(root: Path, title: str = "") -> str:
    """The complete page of a run, finished or not. Raises InputError when `root` holds no run."""
    return _render(root, title, "")


def _render(root: Path, title: str, without: str) -> str:
    if is_step(root) or not root.is_dir():
        raise InputError(f"{root} is not a run.", "A report is about a run; `hala status` shows a single step.")
    content = plan(root)
    found = stages(root, without)
    sections = [
        ("results", "Results", report_sections.results(found)),
        ("merge", "Merge curve", report_sections.merge_curves(found)),
        ("learning", "Learning curves", report_sections.learning_curves(found)),
        ("weights", "Weights: error and angle by layer", report_weights.weights(found)),
        ("examples", "Translated examples", report_sections.translated(found)),
        ("decisions", "Routes, ladder and memory", report_sections.decisions(found)),
        ("mixes", "Mixes: shares and order", report_sections.mixes(found)),
        ("rejected", "What was rejected, and why", report_sections.rejected(found)),
        ("steps", "Steps: time, tokens, size", report_sections.steps(found)),
        ("settings", "Settings", report_sections.settings(content)),
        ("versions", "Versions and digests", report_sections.versions(found)),
    ]
    return page(title or str(content.get("name", root.name)), sections, _lead(content, found))


def _lead(content: dict[str, Any], found: list[Stage]) -> str:
    """Languages and progress in one line; what is missing in a notice."""
    done = sum(stage.state == "finished" for stage in found)
    languages = content.get("languages") or {}
    pair = [language(str(languages[key])).name for key in ("source", "target") if languages.get(key)]
    lead = paragraph(text(f"{' to '.join(pair)} · " if pair else "") + f"{done} of {len(found)} steps finished", "soft")
    missing = [
        f"<bdi>{text(s.name)}</bdi> {s.state}{text(f' ({s.note})' if s.note else '')}" for s in found if s.state != "finished"
    ]
    if not missing:
        return lead
    advice = "Run the same command again to continue where it stopped."
    if any(stage.state == "damaged" for stage in found):
        advice = "Damaged steps are made again after `hala repair`."
    return lead + f'<div class="notice">This run is not complete. {"; ".join(missing)}. {advice}</div>'


def results_markdown(root: Path) -> str:
    """The README's tables: translation, questions, merge curve over t, and steps; GitHub markdown."""
    found = stages(root)
    parts = [markdown(table) for stage in searches(found) for table in search_tables(stage)]
    for stage in evaluations(found):
        parts += [markdown(table) for table in headline_tables(stage)]
        parts += [markdown(curve_table(curve)) for curve in curves(found, stage)]
    return "\n\n".join([*parts, markdown(step_table(found))]) + "\n"


def summary(root: Path) -> str:
    """The steps with their outcome, then the headline scores, as text for a terminal."""
    found = stages(root)
    tables = [terminal(table) for stage in searches(found) for table in search_tables(stage)]
    tables += [terminal(table) for stage in evaluations(found) for table in headline_tables(stage)]
    return "\n\n".join(["", stage_table(found), *tables]) + "\n"


def describe(manifest: Manifest, folder: Path) -> str:
    """What one finished step made: a line, its rejections or scores, and where it lies."""
    stage = Stage(manifest.step, manifest.verb, folder, "finished", manifest, manifest.counts)
    lines = [f"{manifest.verb}: {outcome(stage)}"]
    reasons = rejections(manifest.counts)
    if reasons:
        lines.append(text_table(["rejected because", "rows"], [[reason, f"{number:,}"] for reason, number in reasons.items()]))
    lines += row_advice(manifest, folder)
    lines += [f"{terminal(table)}\n{table.note}" for table in search_tables(stage)]
    if manifest.verb == "evaluate" and len(stage.facts.get("models", ())) > 1:
        lines += [f"{terminal(table)}\n{table.note}" for table in comparison_tables(stage)]
    else:
        lines += [terminal(table) for table in headline_tables(stage)]
    return "\n".join([*lines, str(folder)])


def row_advice(manifest: Manifest, folder: Path) -> list[str]:
    """Of finished rows: what was remembered, where to look at what was set aside, and what can help when nothing was kept."""
    counts, timings = manifest.counts, manifest.timings
    reasons, lines = rejections(counts), []
    if timings.get("remembered"):
        lines.append(f"{timings['distinct']:,.0f} distinct segments; {timings['remembered']:,.0f} answers were remembered")
    if counts.get("malformed"):
        lines.append(f"{several(counts['malformed'], 'record')} could not be read: {folder / 'malformed.jsonl'}")
    if reasons and manifest.kind == "rows":
        lines.append(f"to look at what was rejected: hala show {folder} --rejected")
    elif reasons:
        lines.append("to look at what is learned and what is lost: hala preview, with the same data and settings")
    if reasons and not counts.get("kept") and manifest.verb in ("translate", "filter"):
        lines.append(f"no row was kept. {_help(manifest.verb, list(reasons))}")
    return lines


def _help(verb: str, reasons: list[str]) -> str:
    """What can help when nothing was kept, by the most frequent reason that it is known for."""
    if verb == "filter":
        foreign = "The rows look as if they were in another language than the target: see --to."
        return foreign if {"script", "wrong_language"} & set(reasons) else "Look at some of them."
    return next((HELPS[reason] for reason in reasons if reason in HELPS), "Try another model, prompt or --set retries=5.")


def status_rows(root: Path) -> list[dict[str, Any]]:
    """Each step as plain data: step, verb, state, seconds, shards, counts, outcome."""
    return [
        {
            "step": stage.name,
            "verb": stage.verb,
            "state": stage.state,
            "seconds": stage.seconds,
            "shards": stage.shards,
            "counts": stage.counts,
            "outcome": outcome(stage),
        }
        for stage in stages(root)
    ]


def status_text(root: Path) -> str:
    """The steps of a run with state and outcome, and how to go on, as text for a terminal."""
    found = stages(root)
    done = sum(stage.state == "finished" for stage in found)
    running = [stage.name for stage in found if stage.state == "running"]
    again = f" Now at work: {', '.join(running)}." if running else " Run the same command again to continue."
    rest = "" if done == len(found) else again
    return f"{stage_table(found)}\n\n{done} of {len(found)} steps finished.{rest}"


def show_rows(place: Path, rejected: bool, count: int | None, data: recipe.Data | None = None) -> Iterator[str]:
    """Up to `count` (none: all) kept or rejected rows as text for a terminal, originals above the translations.

    `place` is a data step's folder, or data in any format that is read, of which `data` may say more; what could not be read of
    it is said at the end.
    Raises InputError where there are no rows.
    """
    from hala.data.places import is_half_done
    from hala.data.rows import Collected

    bad = Collected()
    for row, verdict in islice(_judged(place, rejected, bad, data), count):
        yield row_text(row, verdict)
    if bad.rows:
        first = bad.rows[0]
        yield f"{several(bad.count, 'record')} before that could not be read, first {first.reason}: {plain(first.excerpt)}"
    if is_half_done(place):
        yield f"{place} is half done: run the same command again for the other rows."


def _judged(
    place: Path, rejected: bool, bad: Callable[[BadRow], None], data: recipe.Data | None
) -> Iterator[tuple[Row, Verdict]]:
    if not place.exists():
        raise InputError(f"no file or folder {place}.", "Check the path.")
    if (place / "recipe.json").exists():
        names = [stage.name for stage in stages(place) if (stage.folder / "rows").is_dir()]
        steps = ", ".join(str(place / name) for name in names)
        raise InputError(
            f"{place} is a run.", f"Name one of its steps with rows: {steps}" if names else "No step of it holds rows."
        )
    if is_step(place) and not (place / "rows").is_dir() and (manifest := artifacts.read_manifest(place)):
        raise InputError(f"{place} was made by {manifest.verb} and holds no rows.", "Name a folder made by translate or filter.")
    if data is None and (is_step(place) or (place / "rows").is_dir()):
        return shards.read_rejected(place) if rejected else ((row, KEPT) for row in shards.read_rows(place))
    if rejected:
        raise InputError(
            f"{place} was not made by `hala translate` or `hala filter`: nothing was rejected.", "Leave out --rejected."
        )
    from hala.data.rows import spec_of
    from hala.data.sources import SourceSpec, open_source

    spec = spec_of(data) if data else SourceSpec(path=str(place))
    return ((row, KEPT) for row in open_source(spec, bad))
