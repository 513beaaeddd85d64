"""Benchmark questions in training data: which ones are looked for, and the list of those found, which evaluate reads.

`leaks.jsonl` of a filter step has a line for each question that occurs in its rows: its `key`, `set`, `id` and first words, the
`rule` and the `words` by which it was first found, the first `row` and how many `rows` hold it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala import artifacts, shards
from hala.data.normaliser import words
from hala.errors import InputError
from hala.recipe import Filter
from hala.records import Question, Row, Verdict
from hala.verbs.testsets import NO_COMMITS, at_commit, benchmark_rows

if TYPE_CHECKING:
    from hala.data.contamination import Index, Leak
    from hala.evals.benchmarks import Benchmark, Item

FILE = "leaks.jsonl"
NOTE = "leak"
"""The note of a row that was kept although it holds questions: a JSON list of them, each with the rule and the shared words."""


@dataclass(frozen=True)
class Sought:
    """Every question that is looked for, by the name that the index knows it by, with the set that it is from."""

    index: Index
    questions: dict[str, tuple[str, Question]]

    def check(self, row: Row) -> Verdict:
        """`contaminated` when a message of the row, or of its original, holds a question."""
        return self.index.check(_texts(row))

    def find_all(self, row: Row) -> list[Leak]:
        """Every question in a message of the row, or of its original."""
        return self.index.find_all(_texts(row))

    def marked(self, row: Row) -> Row:
        """The row, with a note that lists the questions when it holds some."""
        found = [leak.told for leak in self.find_all(row)]
        return replace(row, notes={**row.notes, NOTE: json.dumps(found, ensure_ascii=False)}) if found else row


def _texts(row: Row) -> list[str]:
    return [message.content for message in (*row.messages, *(row.original or ()))]


def sought(settings: Filter, bad: Any, commits: Mapping[str, str] = NO_COMMITS) -> Sought:
    """The questions of the recipe's benchmarks, of the originals that these were translated from, and of its own files."""
    from hala.data.contamination import Index
    from hala.data.rows import open_questions

    # Ids are unique within a file at best, so the number of the source and the position stand beside them.
    found: dict[str, tuple[str, Question]] = {}
    for number, data in enumerate(settings.questions):
        name = data.path or "world"
        for position, question in enumerate(open_questions(data, bad)):
            found[f"{name} {number}.{position} {question.id}"] = name, question
    for benchmark in _benchmarks(settings.decontaminate):
        for position, question in enumerate(_questions(at_commit(benchmark, commits), bad)):
            found[f"{benchmark.name} {position} {question.id}"] = benchmark.name, question
    texts = {name: question.question for name, (_, question) in found.items()}
    return Sought(Index(texts, {name: question.options for name, (_, question) in found.items()}), found)


def _benchmarks(names: Iterable[str]) -> list[Benchmark]:
    """What the names stand for, each once, and behind it what it was translated from: translation hides a leak."""
    from hala.evals.benchmarks import find_with_originals

    return list(dict.fromkeys(benchmark for name in names for benchmark in find_with_originals(name)))


def _questions(benchmark: Benchmark, bad: Any) -> Iterator[Question]:
    from hala.data.readers import BadRow
    from hala.evals.benchmarks import read

    reading = read(benchmark, benchmark_rows)
    for problem in reading.malformed:
        bad(BadRow(f"{benchmark.source}/{problem.subset}", problem.index, problem.reason))
    return (item.question for item in reading.items)


def key(question: Question) -> str:
    """32 digits that stand for a question and its options in any order, as duplicates are compared: the same in every file."""
    parts = [" ".join(words(question.question)), *sorted(" ".join(words(option)) for option in question.options)]
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def write(step: Path, looked: Sought, kept: bool, say: Callable[[str], None]) -> dict[str, int]:
    """Writes `leaks.jsonl` from the shards of a step; how many questions of each set were found. `kept`: the rows stayed."""
    found: dict[str, dict[str, Any]] = {}
    hits = 0
    for row in _hits(step, kept):
        hits += 1
        for leak in looked.find_all(row):
            name, question = looked.questions[leak.question]
            about = {"key": key(question), "set": name, "id": question.id, "question": question.question[:200]}
            first = {"rule": leak.rule, "words": leak.words, "row": row.id, "rows": 0}
            found.setdefault(leak.question, about | first)["rows"] += 1
    entries = sorted(found.values(), key=lambda each: (each["set"], each["id"], each["key"]))
    with artifacts.atomic_file(step / FILE) as temporary:
        lines = (json.dumps(each, ensure_ascii=False, sort_keys=True) for each in entries)
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="backslashreplace")
    counts = {name: 0 for name, _ in looked.questions.values()}
    for each in entries:
        counts[each["set"]] += 1
    rows = "row" if hits == 1 else "rows"
    fate = f", noted in {hits:,} {rows}" if kept else f", in {hits:,} {rows}, left out"
    where = f"{fate}; {step / FILE} lists them" if entries else ""
    say(f"    {len(entries):,} of {len(looked.questions):,} questions were found{where}")
    return counts


def _hits(step: Path, kept: bool) -> Iterator[Row]:
    """Rows that hold questions."""
    if kept:
        yield from (row for row in shards.read_rows(step) if NOTE in row.notes)
    if any((step / "rejected").glob("*.parquet")):
        for row, verdict in shards.read_rejected(step):
            if verdict.reason == "contaminated" or NOTE in row.notes:
                yield row


def leaked(steps: Iterable[str | Path]) -> frozenset[str]:
    """The keys of all questions that were found in the rows of the steps. Raises InputError for a step that did not look."""
    keys: set[str] = set()
    for step in map(Path, steps):
        try:
            text = (step / FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(
                f"{step} has no {FILE}: it did not look for benchmark questions.",
                "Name a filter step with decontaminate or questions.",
            ) from None
        keys.update(json.loads(line)["key"] for line in text.splitlines())
    return frozenset(keys)


def leaks_in(
    sets: Mapping[str, tuple[Benchmark, Sequence[Item]]], steps: Sequence[Path], say: Callable[[str], None]
) -> tuple[dict[str, set[str]], dict[str, Any]]:
    """The ids of each set's questions that were found in the rows of the filter steps, and numbers about it for the manifest.

    Says of each set how many there are, and of one that no step looked for that nothing is known.
    """
    dirty, sought = leaked(steps), _looked_for(steps)
    found: dict[str, set[str]] = {}
    facts: dict[str, Any] = {}
    for name, (benchmark, items) in sets.items():
        found[name] = {item.question.id for item in items if dirty and key(item.question) in dirty}
        if not steps:
            continue
        known = bool(found[name]) or sought is None or not sought.isdisjoint(_names(benchmark))
        facts[name] = {"questions": len(items), "found": len(found[name]), "looked_for": known}
        if not known:
            say(f"    {name}: nobody looked for its questions in training data. Name it in the filter step.")
        elif len(found[name]) == len(items):
            say(f"    {name}: every question was found in training data, so it has no clean score.")
        else:
            say(f"    {name}: {len(found[name]):,} of {len(items):,} questions were found in training data.")
    return found, facts


def _looked_for(steps: Sequence[Path]) -> set[str] | None:
    """What the steps looked for, by name and by file; None where a step has no manifest that says so."""
    manifests = [artifacts.read_manifest(step) for step in steps]
    if any(manifest is None for manifest in manifests):
        return None
    return {
        name for manifest in manifests if manifest for each in manifest.facts.get("leaks", {}) for name in (each, _file(each))
    }


def _names(benchmark: Benchmark) -> set[str]:
    """What a set may be called by a filter step."""
    world = {"world"} if benchmark.source.startswith("world ") else set()
    return world | {benchmark.name, benchmark.source, _file(benchmark.source)}


def _file(place: str) -> str:
    """The same file, however it is named."""
    return str(Path(place).resolve()) if Path(place).is_file() else place
