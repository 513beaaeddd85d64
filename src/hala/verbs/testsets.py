"""What models are tested on, and what they answer: question sets, sentence pairs, translations. Used by every verb that measures.

>>> from hala.recipe import Data
>>> from hala.verbs.testsets import set_name
>>> set_name(Data(world="questions", lang="ar"))
'world questions ar'
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from hala.errors import InputError
from hala.recipe import Data, Languages
from hala.records import Row


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
    return [f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name for i, name in enumerate(names)]


def spread(items: Sequence[Any], limit: int | None) -> list[Any]:
    """At most `limit` items, evenly spaced, so that every subset keeps its share."""
    count = min(limit or len(items), len(items))
    return [items[index * len(items) // count] for index in range(count)]


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


def benchmark_rows(benchmark: Any, subset: str) -> Iterator[Mapping[str, Any]]:
    """The rows of one subset of a benchmark, from the hub or from files in the form that the hub has them.

    Of a folder, the files in `SUBSET/` or named after it, of these the ones named after the split where there are any.
    """
    from hala.data.readers import FORMATS, format_of, read_records, suffix_of
    from hala.data.sources import hub_records

    place = Path(benchmark.source)
    if not place.exists():
        yield from hub_records(benchmark.source, subset or None, benchmark.split, benchmark.revision)
        return
    files = [place] if place.is_file() else [each for each in sorted(place.rglob("*")) if suffix_of(each) in FORMATS]
    own = [each for each in files if subset and (subset in each.relative_to(place).parts or each.name.startswith(f"{subset}."))]
    files = own or ([] if subset and len(benchmark.subsets) > 1 else files)
    files = [each for each in files if re.match(rf"{re.escape(benchmark.split)}(?![a-z])", each.name)] or files
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
    where: str, loaded: tuple[Any, Any], sources: Sequence[str], settings: Translating, languages: Languages
) -> list[str | None]:
    """What a model loaded from `where` writes for each source, unfiltered; None where it lost or invented a protected span."""
    from hala.data.translating import Plan, translate_texts
    from hala.engines.local import LocalEngine
    from hala.languages import language
    from hala.records import Sampling
    from hala.verbs import learnt_prompt, trained_for

    plan = Plan(
        prompt=settings.prompt or learnt_prompt(trained_for(where), languages.target) or "default",
        source=language(languages.source),
        target=language(languages.target),
        sampling=Sampling(settings.max_tokens),
        gates={},
        retries=0,
    )
    engine = LocalEngine(*loaded, batch_tokens=settings.batch_tokens)
    try:
        return [result.text if result.verdict.kept else None for result in translate_texts(sources, engine, plan)]
    finally:
        engine.close()
