"""What models are tested on, and what they answer: question sets, sentence pairs, translations. Used by every verb that measures.

>>> from hala.recipe import Data
>>> from hala.verbs.testsets import set_name
>>> set_name(Data(world="questions", lang="ar"))
'world questions ar'
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from hala.artifacts import digest_of, digest_tree
from hala.errors import InputError
from hala.recipe import Data, Languages
from hala.records import Completion, Engine, Request, Row, Sampling


def set_name(data: Data) -> str:
    """What a set is called in tables."""
    if data.world is not None:
        about = f" {data.topics[0]}" if len(data.topics) == 1 else f" {len(data.topics)} topics" if data.topics else ""
        return f"world {data.world}{about}" + (f" {data.lang}" if data.world == "questions" else "")
    if data.ref is not None:
        return data.ref.removeprefix("$")
    return Path(data.path).name if data.path else str(data.hub)


def unique(names: list[str]) -> list[str]:
    """The names; one that came before gets a number, for results of equal names would replace each other."""
    made: list[str] = []
    for name in names:
        number, found = 1, name
        while found in made:
            number += 1
            found = f"{name} ({number})"
        made.append(found)
    return made


def spread(items: Sequence[Any], limit: int | None) -> list[Any]:
    """At most `limit` items, evenly spaced, so that every subset keeps its share."""
    count = min(limit or len(items), len(items))
    return [items[index * len(items) // count] for index in range(count)]


def spread_over(items: Sequence[Any], limit: int | None, group: Callable[[Any], str]) -> list[Any]:
    """At most `limit` items in their order: of every group its share, and at least one where `limit` allows for that."""
    groups: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(group(item), []).append(place)
    if limit is None or limit >= len(items) or len(groups) > limit:
        return spread(items, limit)
    shares = {name: max(1, limit * len(places) // len(items)) for name, places in groups.items()}
    while sum(shares.values()) > limit:  # those of one item took from nobody yet
        shares[max(shares, key=lambda name: shares[name])] -= 1
    while sum(shares.values()) < limit:
        name = max((name for name in shares if shares[name] < len(groups[name])), key=lambda n: len(groups[n]) / shares[n])
        shares[name] += 1
    return [items[place] for place in sorted(place for name, places in groups.items() for place in spread(places, shares[name]))]


def told_apart(items: Sequence[Any]) -> list[Any]:
    """The items; a question whose id came before gets a number behind it, for everything about answers is joined by id."""
    seen: Counter[str] = Counter()
    made = []
    for item in items:
        name = item.question.id
        while seen[name]:
            seen[item.question.id] += 1
            name = f"{item.question.id} ({seen[item.question.id]})"
        seen[name] += 1
        made.append(item if name == item.question.id else replace(item, question=replace(item.question, id=name)))
    return made


NO_COMMITS: Mapping[str, str] = {}


def at_commit(benchmark: Any, commits: Mapping[str, str]) -> Any:
    from hala.evals.benchmarks import said_of

    """The benchmark, and its original, read at the commits that stand among the step's inputs, where they do.

    Of local files the `revision` is a digest of the rows and of what the benchmark's file says.
    """
    original = at_commit(benchmark.original, commits) if benchmark.original is not None else None
    revision = commits.get(f"{benchmark.source}@{benchmark.revision}", benchmark.revision)
    if Path(benchmark.source).exists():
        revision = digest_of([said_of(benchmark), digest_tree(Path(benchmark.source))])[:16]
    return replace(benchmark, revision=revision, original=original)


def benchmark_rows(benchmark: Any, subset: str) -> Iterator[Mapping[str, Any]]:
    """The rows of one subset of a benchmark, from the hub or from files in the form that the hub has them.

    Of a folder, the files in `SUBSET/` or named after it, of these the ones named after the split where there are any.
    """
    from hala.data.readers import FORMATS, format_of, read_records, suffix_of
    from hala.data.sources import hub_records

    place = Path(benchmark.source)
    if not place.exists() and not benchmark.on_hub:
        raise InputError(
            f"{place}, the rows of {benchmark.name}, is not there.", "Give a file, a folder, or a data set of the hub."
        )
    if not place.exists():
        yield from hub_records(benchmark.source, subset or None, benchmark.split, benchmark.revision)
        return
    files = [place] if place.is_file() else [each for each in sorted(place.rglob("*")) if suffix_of(each) in FORMATS]
    own = [each for each in files if subset and (subset in each.relative_to(place).parts or each.name.startswith(f"{subset}."))]
    files = own or ([] if subset and len(benchmark.subsets) > 1 else files)
    mine = [each for each in files if re.match(rf"{re.escape(benchmark.split)}(?![a-z])", each.name)]
    others = [each for each in files if not re.match(r"(train|dev|validation|test)(?![a-z])", each.name)]
    files = mine or (files if place.is_file() else others)
    if not files:
        raise InputError(
            f"{place} has no file of {subset or benchmark.name} for the split {benchmark.split}.",
            "Name files after subset and split, for example SUBSET/test.jsonl.",
        )
    for file in files:

        def refuse(bad: Any, file: Path = file) -> None:
            raise InputError(
                f"{file} cannot be read at {bad.position}: {bad.reason}.", "Repair it; a benchmark is read whole or not."
            )

        yield from (record for _, record in read_records(file, format_of(file), refuse))


def own_questions(data: Data, bad: Any) -> tuple[Any, list[Any]]:
    """The benchmark that a file of questions (or the world's) is, and its items. Raises: InputError when there are none."""
    from hala.data.rows import fingerprint, open_questions
    from hala.evals.benchmarks import ARABIC_LETTERS, LATIN_LETTERS, Benchmark, Item

    questions = list(open_questions(data, bad))
    name = set_name(data)
    if not questions:
        raise InputError(f"{name} holds no questions.", 'Lines need "question", "options" and "answer".')
    subsets = tuple(sorted({question.topic for question in questions}))
    labels = tuple(ARABIC_LETTERS if data.lang == "ar" else LATIN_LETTERS)
    if many := next((question for question in questions if len(question.options) > len(labels)), None):
        raise InputError(
            f"question {many.id} of {name} has {len(many.options)} options, and there are {len(labels)} letters.",
            "Leave some out.",
        )
    benchmark = Benchmark(
        name, data.path or name, subsets, data.split, "jsonl", labels, "micro", fingerprint(data)[-16:], data.lang or ""
    )
    items = [Item(question, name, question.topic, "jsonl", labels[: len(question.options)]) for question in questions]
    return benchmark, items


def read_pairs(
    data: Data, inputs: Mapping[str, Path], bad: Any, limit: int | None, languages: Languages | None = None
) -> list[Row]:
    """At most the first `limit` sentence pairs of one source, in these languages. Raises: InputError when there are none."""
    from hala.data.rows import open_rows

    name = set_name(data)
    rows = list(islice(_only_pairs(open_rows(data, bad, inputs, languages), name, bad), limit))
    if not rows:
        raise InputError(f"{name} holds no sentence pairs.", "Declare the columns, for example {source: en, target: ar}.")
    return rows


def _only_pairs(rows: Iterator[Row], name: str, bad: Any) -> Iterator[Row]:
    """Rows with one original a message; each other row goes to `bad`."""
    from hala.data.readers import BadRow

    for position, row in enumerate(rows):
        if row.original is not None and len(row.original) == len(row.messages):
            yield row
        else:
            bad(BadRow(name, position, "not_a_pair", row.text[:120]))


class Translating(Protocol):
    """The settings of a recipe's section that translate test sentences."""

    @property
    def prompt(self) -> str | None: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def batch_tokens(self) -> int: ...


def translations(
    where: str,
    loaded: tuple[Any, Any],
    sources: Sequence[str],
    settings: Translating,
    languages: Languages,
    say: Callable[[str], None] = lambda text: None,
) -> list[str | None]:
    """What a model loaded from `where` writes for each source, as it is; None where it failed. `say` hears what was cut off."""
    from hala.data.translating import Plan, translate_texts
    from hala.engines.local import LocalEngine
    from hala.languages import language

    plan = Plan(
        prompt=prompt_for(settings, where, languages),
        source=language(languages.source),
        target=language(languages.target),
        sampling=Sampling(settings.max_tokens),
        gates={},
        retries=0,
        as_written=True,
    )
    engine = _Counting(LocalEngine(*loaded, batch_tokens=settings.batch_tokens))
    try:
        found = [result.text if result.verdict.kept else None for result in translate_texts(sources, engine, plan)]
    finally:
        engine.close()
    if engine.cut:
        say(f"    {engine.cut:,} of {engine.answers:,} answers were cut off at max_tokens, and count as they are")
    return found


def prompt_for(settings: Translating, where: str, languages: Languages) -> str:
    """By which the model in `where` is asked: the step's own, else the one it learned, else the default."""
    from hala.verbs import learnt_prompt, trained_for

    return settings.prompt or learnt_prompt(trained_for(where), languages.target) or "default"


class _Counting:
    """An engine whose answers are counted, and those that were cut off."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.answers, self.cut = engine, 0, 0

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """What the engine answers."""
        for completion in self.engine.complete(requests, sampling):
            self.answers += 1
            self.cut += completion.finish == "length"
            yield completion

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()
