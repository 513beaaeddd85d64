"""Scores as tables: who is how good, how sure that is, and how far from the baseline; plain data for page, terminal and README.

>>> from hala.verbs.results import Cell, Table, markdown
>>> print(markdown(Table("", ("model", "BLEU"), ((Cell("base"), Cell("16.0", "14.1 to 17.9")),))))
| model | BLEU |
| --- | --- |
| base | 16.0 (14.1 to 17.9) |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hala.languages import language
from hala.verbs.redact import plain
from hala.verbs.status import Stage, compact, text_table

Score = Mapping[str, Any]
NAMES = {
    "bleu": "BLEU",
    "bleu-13a": "BLEU",
    "bleu-flores200": "spBLEU",
    "chrf++": "chrF++",
    "ter": "TER",
    "rouge-l": "ROUGE-L",
    "rouge-l-latin": "ROUGE-L (Latin words)",
    "wrong_script": "wrong script",
    "script": "target script",
    "switches": "code-switching",
    "repeats": "repetition",
    "ended": "ended its turn",
    "instructions": "instructions met",
    "words": "words an answer",
    "referee_wins": "wins",
    "referee_ties": "ties",
    "referee_losses": "losses",
    "referee_inconsistent": "inconsistent",
    "referee_unparsed": "unparsed",
}
LEARNED = "learned"  # the kind of scores that a program of their own computed
FAMILIES = ("bleu-flores200", "bleu", "chrf", "ter", "rouge-l-latin", "rouge-l")
PROBES = ("script", "switches", "repeats", "ended", "instructions", "words")
REFEREE = ("referee_wins", "referee_ties", "referee_losses", "referee_inconsistent", "referee_unparsed")
LOWER_IS_BETTER = ("ter", "empty", "copied", "copy", "wrong_script", "switches", "repeats", *REFEREE[2:])
NEITHER_IS_BETTER = ("words", "referee_ties")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: a text or a measured value with its 95% interval and its paired difference to the baseline.

    `verdict` is `better` or `worse` when the difference counts: by its p after Holm's correction, or where it has none, by an
    interval that leaves out zero. `best` marks a column's best value.
    """

    text: str
    interval: str = ""
    delta: str = ""
    verdict: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; every row has one cell per entry of `header`."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def measured(score: Score | None, best: bool = False, digits: int = 1) -> Cell:
    """The cell of one score; a dash where nothing was measured."""
    if score is None or score.get("value") is None:
        return Cell("–")
    interval = _between(score.get("low"), score.get("high"), digits)
    if score.get("delta") is None:
        return Cell(f"{score['value']:.{digits}f}", interval, best=best)
    low, high = score.get("delta_low"), score.get("delta_high")
    sign = -1 if falls(score) else 1
    clear = low is not None and high is not None and (low > 0 or high < 0)
    clear = clear if score.get("p_holm") is None else score["p_holm"] < 0.05
    verdict = ("better" if sign * score["delta"] > 0 else "worse") if clear and directed(score) else ""
    inside = f" ({_between(low, high, digits, '+')})" if low is not None and high is not None else ""
    return Cell(f"{score['value']:.{digits}f}", interval, f"{score['delta']:+.{digits}f}{inside}", verdict, best)


def _between(low: float | None, high: float | None, digits: int, sign: str = "") -> str:
    return "" if low is None or high is None else f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def scores_of(stage: Stage) -> list[Score]:
    """The scores of one `evaluate` step in stored order."""
    return [score for score in stage.facts.get("scores", []) if isinstance(score, dict)]


def evaluations(found: Iterable[Stage]) -> list[Stage]:
    """The finished `evaluate` steps."""
    return [stage for stage in found if stage.verb == "evaluate" and stage.state == "finished"]


def headline_tables(stage: Stage) -> Iterator[Table]:
    """The step's tables of translation quality, one for each set, its table of questions, and those of probes."""
    yield from translation_tables(stage)
    yield from question_tables(stage)
    yield from probe_tables(stage)


def translation_tables(stage: Stage) -> Iterator[Table]:
    """BLEU and chrF++ of each model, one table for each set."""
    scores = scores_of(stage)
    for name in ordered(score["set"] for score in scores if _is_translation(score)):
        here = [score for score in scores if score["set"] == name]
        named = ordered(score["metric"] for score in here if _is_translation(score))
        learned = ordered(score["metric"] for score in here if score.get("kind") == LEARNED)
        metrics = [*_headline_metrics([name for name in named if name not in learned]), *learned]
        columns = [(metric_name(metric), [s for s in here if s["metric"] == metric]) for metric in metrics]
        failures = ordered(s["metric"] for s in here if s["metric"] in ("empty", "copied", "copy", "wrong_script"))
        best = "best" if any(falls(score) for score in here if score["metric"] in metrics) else "highest"
        note = f"{_items(here)} sentences. Bold: {best} value."
        columns += [(f"{metric_name(metric)} %", [s for s in here if s["metric"] == metric]) for metric in failures]
        yield _table(f"Translation: {name}", stage, columns, note)


def question_tables(stage: Stage) -> Iterator[Table]:
    """Accuracy of each model, one column for each set of questions; nothing when none was asked."""
    columns = question_columns(stage)
    if columns:
        counts = ", ".join(f"{_items(column):,} ({title})" for title, column in columns)
        yield _table("Questions: accuracy in percent", stage, columns, f"Questions: {counts}. Bold: highest value.")


def probe_tables(stage: Stage) -> Iterator[Table]:
    """What was measured of the answers to each set of probes, and under it what a referee said of them."""
    scores = [score for score in scores_of(stage) if str(score.get("signature", "")).startswith("probes:")]
    for name in ordered(score["set"] for score in scores):
        for title, metrics in ((f"Answers: {name}", PROBES), (f"Referee: {name}", REFEREE)):
            here = [score for score in scores if score["set"] == name and score["metric"] in metrics]
            columns = [
                (metric_name(metric) + ("" if metric == "words" else " %"), [s for s in here if s["metric"] == metric])
                for metric in metrics
                if any(score["metric"] == metric for score in here)
            ]
            prompts = _items([score for score in here if score["metric"] != "instructions"])
            if columns:
                yield _table(title, stage, columns, f"{prompts} prompts{_told(here)}.")


def _told(scores: list[Score]) -> str:
    """What a table of probes or of a referee must say to be understood."""
    if any(score["metric"] in REFEREE for score in scores):
        against = str(scores[0]["signature"]).partition("|against:")[2].partition("|")[0]
        return f", each asked in both orders against {against}; a win or a loss is what both orders agree on"
    told = _items([score for score in scores if score["metric"] == "instructions"])
    return f", {told} instructions that a program can check" if told else ""


def question_columns(stage: Stage) -> list[tuple[str, list[Score]]]:
    """(title, scores) of each set of questions; the title is the language where it has one set only."""
    scores = [score for score in scores_of(stage) if score.get("metric") == "accuracy"]
    places = ordered((score.get("lang") or "", score["set"]) for score in scores)
    langs = [lang for lang, _ in places]
    columns = []
    for lang, name in places:
        title = language(lang).name if lang and langs.count(lang) == 1 else f"{name} ({language(lang).name})" if lang else name
        columns.append((title, [s for s in scores if (s.get("lang") or "", s["set"]) == (lang, name)]))
    return columns


def _table(title: str, stage: Stage, columns: list[tuple[str, list[Score]]], note: str) -> Table:
    """One row for each model that has a score in any column; failures (columns in %) have no best."""
    sizes = {model["name"]: model for model in stage.facts.get("models", [])}
    names = [name for name in ordered([*sizes, *(s["model"] for _, c in columns for s in c)])]
    by_column = [{score["model"]: score for score in column} for _, column in columns]
    rows = []
    for name in names:
        if not any(name in column for column in by_column):
            continue
        parameters = sizes.get(name, {}).get("parameters")
        cells = [Cell(str(name)), Cell(compact(parameters) if parameters else "–")]
        for (heading, _), column in zip(columns, by_column, strict=True):
            values = [s["value"] for s in column.values() if s.get("value") is not None]
            score = column.get(name)
            ranked = not heading.endswith("%") and all(map(directed, column.values()))
            differ = ranked and bool(values) and min(values) < max(values)
            lower = any(map(falls, column.values()))
            best = differ and score is not None and score.get("value") == (min if lower else max)(values)
            cells.append(measured(score, best))
        rows.append(tuple(cells))
    baseline = stage.facts.get("baseline")
    note += f" Differences are paired, to {baseline}." if baseline and len(rows) > 1 else ""
    header = ("model", "size", *(heading for heading, _ in columns))
    return Table(title, header, tuple(rows), f"Step {stage.name}. {note} Intervals are 95%.")


def all_scores(stage: Stage) -> Table:
    """Every score of the step with its number of items, p value and signature."""
    rows = []
    for s in scores_of(stage):
        p = "–" if s.get("p") is None else f"{s['p']:.3g}"
        rows.append((
            Cell(str(s.get("model", ""))), Cell(str(s.get("set", ""))), Cell(metric_name(str(s.get("metric", "")))),
            measured(s, digits=2), Cell(f"{s.get('n') or 0:,}"), Cell(p), Cell(str(s.get("signature", ""))),
        ))  # fmt: skip
    return Table("Every score", ("model", "set", "metric", "value", "items", "p", "signature"), tuple(rows))


def step_table(found: list[Stage]) -> Table:
    """Time, tokens, rows and bytes of each finished step."""
    rows = []
    for stage in found:
        timings = stage.manifest.timings if stage.manifest else {}
        tokens = stage.facts.get("train_tokens")
        kept, total = stage.counts.get("kept"), stage.counts.get("rows")
        is_data = kept is not None and total is not None
        rows.append((
            Cell(stage.name), Cell(stage.verb), Cell(f"{stage.seconds:,.0f}" if stage.seconds is not None else stage.state),
            Cell(compact(tokens) if tokens else "–"), Cell(_rate(timings.get("tokens_per_s"))),
            Cell(f"{kept:,}" if is_data else "–"), Cell(f"{sum(_rejected(stage)):,}" if is_data else "–"),
        ))  # fmt: skip
    return Table("Steps", ("step", "verb", "seconds", "tokens", "tokens/s", "rows kept", "rows rejected"), tuple(rows))


def _rejected(stage: Stage) -> Iterator[int]:
    return (number for key, number in stage.counts.items() if key.startswith("rejected/"))


def _rate(value: float | None) -> str:
    return f"{value:,.0f}" if value else "–"


def _is_translation(score: Score) -> bool:
    return str(score.get("metric", "")).startswith(FAMILIES) or score.get("kind") == LEARNED


def falls(score: Score) -> bool:
    """Whether less of it is better: as a learned metric says itself, else by the metric's name."""
    return bool(score.get("lower_is_better", lower_is_better(str(score.get("metric", "")))))


def directed(score: Score) -> bool:
    """Whether more or less of it is better at all: of a length nobody can say."""
    return str(score.get("metric", "")) not in NEITHER_IS_BETTER


def lower_is_better(metric: str) -> bool:
    """Whether less of it is better; the name may end with a normaliser in brackets."""
    return metric.partition(" (")[0] in LOWER_IS_BETTER


def _headline_metrics(metrics: list[str]) -> list[str]:
    """One of each family: the plain one, sacrebleu's default tokenizer, or else the first. spBLEU is a family of its own."""
    chosen: list[str] = []
    left = list(metrics)
    for family in FAMILIES:
        members = [metric for metric in left if metric.startswith(family)]
        left = [metric for metric in left if metric not in members]
        preferred = [name for name in (family, "bleu-13a", "chrf++") if name in members]
        chosen += (preferred or members)[:1]
    return sorted(chosen, key=metrics.index)


def metric_name(metric: str) -> str:
    """What tables call a metric."""
    plain_name, bracket, normaliser = metric.partition(" (")
    if not bracket:
        return NAMES.get(metric) or (f"BLEU ({metric[5:]})" if metric.startswith("bleu-") else metric)
    return f"{metric_name(plain_name)}, {normaliser.removesuffix(')')}"


def _items(scores: list[Score]) -> int:
    return max((int(score.get("n") or 0) for score in scores), default=0)


def ordered(values: Iterable[Any]) -> list[Any]:
    """Each value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))


# As text --------------------------------------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """The table as GitHub markdown; differences to the baseline get a column of their own."""
    split = [any(row[index].delta for row in table.rows) for index in range(len(table.header))]
    header = []
    for name, has in zip(table.header, split, strict=True):
        header += [inert(name), "Δ to baseline"] if has else [inert(name)]
    lines = [header, ["---"] * len(header)]
    for row in table.rows:
        cells = []
        for cell, has in zip(row, split, strict=True):
            value = f"**{inert(cell.text)}**" if cell.best else inert(cell.text)
            cells.append(f"{value} ({cell.interval})" if cell.interval else value)
            cells += [cell.delta or "–"] if has else []
        lines.append(cells)
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join(part for part in (f"**{inert(table.title)}**" if table.title else "", text, inert(table.note)) if part)


def inert(text: str) -> str:
    """Text that markdown shows as it is."""
    flat = " ".join(plain(text).split())
    return "".join("\\" + c if c in "\\`*_[]|~#" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in flat)


def terminal(table: Table) -> str:
    """The table as aligned text."""

    def shown(cell: Cell) -> str:
        text = cell.text.replace("–", "-") + (" ^" if cell.best else "")
        return text + (f" ({cell.interval})" if cell.interval else "") + (f" {cell.delta}" if cell.delta else "")

    lines = text_table(list(table.header), [[shown(cell) for cell in row] for row in table.rows])
    return f"{table.title}\n{lines}" + ("\n^ best of its column" if any(cell.best for row in table.rows for cell in row) else "")
