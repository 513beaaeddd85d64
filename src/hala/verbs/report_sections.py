"""The parts of the report: each function turns finished and half-finished steps into ready markup, or an empty string.

>>> from hala.verbs.report_sections import results
>>> results([])
''
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from hala import shards
from hala.errors import CorruptError, InputError
from hala.progress import duration
from hala.records import Row
from hala.shards import Judged
from hala.verbs.mix_words import mix_table
from hala.verbs.report_charts import Line, bar, line_chart
from hala.verbs.report_page import data_cell, details, grid, messages_cell, paragraph, score_table, text
from hala.verbs.results import all_scores, evaluations, headline_tables
from hala.verbs.results_curves import curve_table, curves
from hala.verbs.scoreboard import positions_table, tasks_of, tasks_table
from hala.verbs.search_results import curve_lines, place, search_tables, searches
from hala.verbs.status import Stage, compact, outcome, read_curve, rejections, size

EXAMPLES_PER_REASON = 3
KEPT_EXAMPLES = 6
OUTPUT_EXAMPLES = 5
MOST_REJECTED_READ = 20_000


def results(found: list[Stage]) -> str:
    """Translation, question and probe tables of each evaluation; a few answers and every score with its signature folded."""
    parts = []
    for stage in evaluations(found):
        parts += [score_table(table) for table in headline_tables(stage)]
        parts += _probed(stage)
        for table in (tasks_table(stage, tasks_of(stage)), positions_table(stage)):
            if table.rows:
                parts.append(details(f"{text(table.title)}: <bdi>{text(stage.name)}</bdi>", score_table(table)))
        parts.append(details(f"Every score of <bdi>{text(stage.name)}</bdi>, with signatures", score_table(all_scores(stage))))
    return "".join(parts)


def _probed(stage: Stage) -> Iterator[str]:
    """What every model answered to a few probes, and what was seen in the answers, folded under each prompt."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for record in stage.facts.get("probes", []):
        groups[str(record["set"]), str(record["prompt"])].append(record)
    for (name, prompt), records in groups.items():
        said = [(str(each["model"]), str(each["output"]), "\n".join(_seen(each))) for each in records]
        rows = (
            f'<td dir="auto"><bdi>{text(who)}</bdi></td>' + data_cell(what) + data_cell(seen)
            for who, what, seen in [("prompt", prompt, ""), *said]
        )
        yield details(f"Answers to {text(name)}: <bdi>{text(prompt, 90)}</bdi>", grid(("", "text", "seen"), rows))


def _seen(answer: Mapping[str, Any]) -> Iterator[str]:
    """What was measured in one answer, in words."""
    yield f"{answer['words']:,} words"
    if not answer["ended"]:
        yield answer.get("error") or "cut off at the limit"
    for kind, met in answer["instructions"].items():
        yield f"{kind}: {'met' if met else 'not met'}"
    if answer["switches"]:
        yield f"switches: {' '.join(answer['switches'][:8])}"
    if answer["repeats"]:
        yield f"repeats: {answer['repeats']}"


def merge_curves(found: list[Stage]) -> str:
    """Accuracy over t of each merge with several t, with interval bands, and the numbers folded; searches for t before them."""
    parts = [_searched(stage) for stage in searches(found)]
    for stage in evaluations(found):
        for curve in curves(found, stage):
            lines = tuple(_curve_line(name, points) for name, points in curve.lines)
            caption = f"<strong>{text(curve.name)}</strong> · accuracy in percent with 95% intervals; t = 0 base, t = 1 tuned"
            picture = line_chart(lines, "t", "accuracy in percent")
            if picture:
                parts.append(_figure(caption, picture) + details("The curve in numbers", score_table(curve_table(curve))))
    return "".join(parts)


def _searched(stage: Stage) -> str:
    """The curve that a search chose on, the choice on the other half, and the numbers of the curve folded."""
    search = stage.facts["search"]
    picture = line_chart(tuple(_curve_line(name, points) for name, points in curve_lines(search)), "t", "points")
    pick = text(f"Picked t = {place(search['pick'])} by the rule: {search['rule']}.")
    caption = f"<strong>{text(stage.name)}</strong> · validation half, 95% intervals; t = 0 base, t = 1 tuned. {pick}"
    curve, test = search_tables(stage)
    return _figure(caption, picture) + score_table(test) + details("The curve in numbers", score_table(curve))


def _curve_line(name: str, points: tuple[tuple[float, Mapping[str, Any]], ...]) -> Line:
    known = [(t, score) for t, score in points if score.get("value") is not None]
    band = tuple((score["low"], score["high"]) for _, score in known if None not in (score.get("low"), score.get("high")))
    return Line(name, tuple((t, score["value"]) for t, score in known), band if len(band) == len(known) else (), marks=True)


def learning_curves(found: list[Stage]) -> str:
    """One small chart for each tune step, finished or not: training loss and held-out loss over tokens."""
    figures = []
    for stage in found:
        records = read_curve(stage.folder) if stage.verb == "tune" else []
        axis = "tokens" if records and all("tokens" in record for record in records) else "step"
        lines = tuple(
            Line(name, tuple((r[axis], r[key]) for r in records if key in r and axis in r), marks=key == "eval_loss")
            for key, name in (("loss", "training loss"), ("eval_loss", "held-out loss"))
        )
        picture = line_chart(lines, axis, "loss")
        if picture:
            figures.append(_figure(f"<strong>{text(stage.name)}</strong> · {text(outcome(stage))}", picture))
    charts = f'<div class="charts">{"".join(figures)}</div>' if figures else ""
    return charts + "".join(_answers(stage) for stage in found if stage.verb == "tune")


def _answers(stage: Stage) -> str:
    """What the model said to held-out prompts at the last evaluation, folded; a torn last line is left out."""
    path, records = stage.folder / "samples.jsonl", list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    last = [each for each in records if each["step"] == records[-1]["step"]]
    if not last:
        return ""
    rows = ("".join(data_cell(each[key], 400) for key in ("prompt", "answer", "reference")) for each in last)
    table = grid(("prompt", "answer", "reference"), rows, "pairs")
    return details(f"Answers of <bdi>{text(stage.name)}</bdi> after step {last[-1]['step']:,}", table)


def _figure(caption: str, picture: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{picture}</figure>"


def mixes(found: list[Stage]) -> str:
    """What each part of a mix gave, and where its rows stand."""
    return "".join(score_table(mix_table(stage)) for stage in found if stage.verb == "mix" and stage.facts.get("parts"))


def rejected(found: list[Stage]) -> str:
    """What each data step left out: reasons with bars, and stored examples folded under each reason."""
    return "".join(_rejected_of(stage) for stage in found if rejections(stage.counts) or stage.counts.get("malformed"))


def _rejected_of(stage: Stage) -> str:
    reasons = rejections(stage.counts)
    total = stage.counts.get("rows", 0) or stage.counts.get("examples", 0) + sum(reasons.values())
    lost = sum(reasons.values())
    share = f", {100 * lost / total:.1f}%" if total else ""
    heading = f"<h3>{text(stage.name)} <span class='soft'>{text(stage.verb)}</span></h3>"
    lead = paragraph(f"{lost:,} of {total:,} rows rejected{share}.")
    rows = (
        f'<td dir="auto">{text(reason)}</td><td>{number:,}</td><td>{100 * number / total if total else 0:.2f}%</td>'
        f"<td>{bar(number / lost)}</td>"
        for reason, number in reasons.items()
    )
    table = grid(("reason", "rows", "of all", "of rejected"), rows, "numbers") if reasons else ""
    return heading + lead + table + _reason_examples(stage, reasons) + _malformed(stage)


def _reason_examples(stage: Stage, reasons: dict[str, int]) -> str:
    examples, complete = _collect_rejected(stage.folder, reasons)
    parts = []
    for reason, items in examples.items():
        rows = (_pair_cells(row) + data_cell(verdict.detail, 200) for row, verdict in items)
        table = grid(("original", "row", "detail"), rows, "pairs")
        parts.append(details(f"Examples: <bdi>{text(reason)}</bdi> ({len(items)} of {reasons[reason]:,})", table))
    missing = [reason for reason in reasons if reason not in examples]
    if examples and missing and not complete:
        shown = text(", ".join(missing))
        parts.append(paragraph(f"No example of {shown} among the first {MOST_REJECTED_READ:,} rejected rows.", "note"))
    return "".join(parts)


def _collect_rejected(folder: Path, reasons: dict[str, int]) -> tuple[dict[str, list[Judged]], bool]:
    """Up to three rejected rows for each reason, in stored order, and whether all of them were read if need be."""
    found: dict[str, list[Judged]] = {reason: [] for reason in reasons}
    wanted = sum(min(EXAMPLES_PER_REASON, number) for number in reasons.values())
    read = 0
    try:
        for read, (row, verdict) in enumerate(shards.read_rejected(folder), 1):
            chosen = found.setdefault(verdict.reason, [])
            if len(chosen) < EXAMPLES_PER_REASON:
                chosen.append((row, verdict))
                wanted -= 1
            if wanted <= 0 or read >= MOST_REJECTED_READ:
                break
    except (InputError, CorruptError):  # a step that stores no rejected rows, or a damaged shard: the counts are shown above
        pass
    return {reason: items for reason, items in found.items() if items and reason in reasons}, read < MOST_REJECTED_READ


def _malformed(stage: Stage) -> str:
    number = stage.counts.get("malformed", 0)
    path = stage.folder / "malformed.jsonl"
    if not number or not path.is_file():
        return paragraph(f"{number:,} malformed input rows were left out.", "note") if number else ""
    rows = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in islice(stream, 5):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            rows.append("".join(data_cell(record.get(key, ""), 200) for key in ("file", "position", "reason", "excerpt")))
    table = grid(("file", "position", "reason", "excerpt"), rows)
    return details(f"Malformed input rows ({len(rows)} of {number:,})", table)


def _pair_cells(row: Row) -> str:
    """Two cells: the original messages and the row's own."""
    return messages_cell(row.original or ()) + messages_cell(row.messages)


def translated(found: list[Stage]) -> str:
    """Kept rows of each translate step, the original beside the translation, and models' outputs beside the reference."""
    parts = []
    for stage in found:
        if stage.verb == "translate" and stage.counts.get("kept"):
            rows = [_pair_cells(row) for row in _spread(stage.folder)]
            table = grid(("original", "translation"), rows, "pairs")
            parts.append(f"<h3>{text(stage.name)}</h3>" + table if rows else "")
    return "".join(parts) + "".join(_outputs(stage) for stage in evaluations(found))


def decisions(found: list[Stage]) -> str:
    """What each translate step did beside translating: rows by the router's rules and by the ladder, tokens that were saved."""
    parts = []
    for stage in found:
        kinds = {"route/": "routed", "ladder/": "needed more than one try"}
        named = [
            (f"{said}: {key.removeprefix(mark)}", n)
            for mark, said in kinds.items()
            for key, n in stage.counts.items()
            if key.startswith(mark)
        ]
        saved = stage.manifest.timings.get("saved_tokens_share", 0.0) if stage.manifest else 0.0
        if stage.verb != "translate" or not (named or saved):
            continue
        total = max(stage.counts.get("rows", 0), 1)
        rows = (
            data_cell(name) + f"<td>{n:,}</td><td>{100 * n / total:.2f}%</td>"
            for name, n in sorted(named, key=lambda each: (-each[1], each[0]))
        )
        lead = (
            paragraph(f"{100 * saved:.1f}% of the tokens were remembered or shared by equal segments, and not made again.")
            if saved
            else ""
        )
        parts.append(f"<h3>{text(stage.name)}</h3>{lead}" + (grid(("what", "rows", "of all"), rows, "numbers") if named else ""))
    return "".join(parts)


def _spread(folder: Path) -> list[Row]:
    """A few kept rows, evenly spaced over the first shard that has any."""
    try:
        for file in shards.row_files(folder):
            rows = [row for row, _ in shards.read_shard(file)]
            if rows:
                count = min(KEPT_EXAMPLES, len(rows))
                return [rows[index * len(rows) // count] for index in range(count)]
    except (InputError, CorruptError):  # shown as damaged in the table of steps
        return []
    return []


def _outputs(stage: Stage) -> str:
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for example in stage.facts.get("examples", []):
        key = (str(example.get("set", "")), str(example.get("source", "")), str(example.get("reference", "")))
        groups[key].append((str(example.get("model", "")), str(example.get("output", ""))))
    shown: dict[str, list[str]] = defaultdict(list)
    for (name, source, reference), outputs in groups.items():
        if len(shown[name]) < OUTPUT_EXAMPLES:
            rows = [("source", source), ("reference", reference), *outputs]
            cells = (f'<td dir="auto"><bdi>{text(who)}</bdi></td>' + data_cell(what) for who, what in rows)
            shown[name].append(details(f"<bdi>{text(source, 90)}</bdi>", grid(("", "text"), cells)))
    return "".join(f"<h3>Outputs on {text(name)}</h3>" + "".join(parts) for name, parts in shown.items())


def steps(found: list[Stage]) -> str:
    """What each step made, how long it took, and how much lies on disk."""
    rows = []
    for stage in found:
        speed = stage.manifest.timings.get("tokens_per_s") if stage.manifest else None
        tokens = stage.facts.get("train_tokens")
        kind = "half" if stage.state in ("half done", "running") else stage.state
        rows.append(
            f'<td dir="auto"><strong>{text(stage.name)}</strong><br><span class="soft">{text(stage.verb)}</span></td>'
            f'<td class="state {kind}">{stage.state}</td>'
            f"{data_cell(outcome(stage), 400)}<td>{'–' if stage.seconds is None else duration(stage.seconds)}</td>"
            f"<td>{compact(tokens) if tokens else '–'}</td><td>{f'{speed:,.0f}' if speed else '–'}</td>"
            f"<td>{size(stage.size) if stage.manifest else '–'}</td>"
        )
    return grid(("step", "state", "outcome", "time", "tokens", "tokens/s", "on disk"), rows, "numbers") if rows else ""


def settings(plan: Mapping[str, Any]) -> str:
    """The recipe with every default spelt out, each step folded."""
    parts = []
    for name, step in plan["steps"].items():
        if "settings" in step:
            content = json.dumps(step["settings"], ensure_ascii=False, indent=2)
            parts.append(details(f"<bdi>{text(name)}</bdi>: {text(step['verb'])}", f'<pre dir="ltr">{text(content)}</pre>'))
    return "".join(parts)


def versions(found: list[Stage]) -> str:
    """Library versions of the finished steps; a library that changed during the run shows each version with its steps."""
    seen: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    digests = []
    for stage in found:
        if stage.manifest is not None:
            for name, version in stage.manifest.versions.items():
                seen[name][version].append(stage.name)
            digests.append(data_cell(stage.name) + data_cell(stage.manifest.digest) + data_cell(stage.manifest.fingerprint))
    rows = (data_cell(name) + data_cell("\n".join(_versions(places))) for name, places in sorted(seen.items()))
    if not seen and not digests:
        return ""
    return grid(("library", "version"), rows) + details("Digests of the steps", grid(("step", "digest", "fingerprint"), digests))


def _versions(places: Mapping[str, list[str]]) -> Iterator[str]:
    for version, names in places.items():
        yield version if len(places) == 1 else f"{version} ({', '.join(names)})"
