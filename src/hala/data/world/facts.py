"""Facts with several ways to ask for each, in both languages, and the wrong answers of the same kind.

A fact is asked in parallel phrasings; its answer is one short sentence whose last words differ between right and wrong.

>>> from hala.data.world.facts_world import capitals
>>> fact = next(capitals())
>>> fact.asks[0].en, fact.answer.en
('What is the capital of France?', 'The capital of France is Paris.')
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from hala.data.world import lexicon_facts as tables

WRONG_KEPT = 9


@dataclass(frozen=True, slots=True)
class Two:
    """The same text in English and in Arabic."""

    en: str
    ar: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: `asks` are parallel phrasings, `wrong` are false answers in the form of the true one (none: no options)."""

    key: str
    topic: str
    subject: str
    asks: tuple[Two, ...]
    answer: Two
    wrong: tuple[Two, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a relation: slot values of both languages, the value asked for, and the values that it competes with."""

    en: Mapping[str, str]
    ar: Mapping[str, str]
    value: Two
    rivals: tuple[Two, ...] = ()


def relation(topic: str, name: str, cases: Sequence[Case], asks: str, answer: tuple[str, str]) -> Iterator[Fact]:
    """One fact per case; `asks` holds `english | arabic` lines, `{x}` in `answer` is the value asked for."""
    pairs = [line.split(" | ") for line in asks.strip().splitlines()]
    for case in cases:
        key = f"{name}:" + ",".join(case.en.values())
        others = case.rivals or tuple(dict.fromkeys(other.value for other in cases))
        rivals = [x for x in others if not _alike(x, case.value)]
        rivals = _distinct(rivals)
        rivals = random.Random(key).sample(rivals, min(WRONG_KEPT, len(rivals)))
        yield Fact(
            key=key,
            topic=topic,
            subject=next(iter(case.en.values())),
            asks=tuple(Two(upper(en.format_map(case.en)), ar.format_map(case.ar)) for en, ar in pairs),
            answer=_said(answer, case, case.value),
            wrong=tuple(_said(answer, case, rival) for rival in rivals),
        )


@cache
def _friends() -> dict[str, set[str]]:
    """For each value of the table of alikes, all values that share a line with it."""
    found: dict[str, set[str]] = {}
    for group in tables.ALIKE:
        for value in group:
            found.setdefault(value, set()).update(group)
    return found


def _alike(a: Two, b: Two) -> bool:
    """Whether the two values are the same in a language or may both be true."""
    return a.en == b.en or a.ar == b.ar or b.en in _friends().get(a.en, ())


def _distinct(values: Sequence[Two]) -> list[Two]:
    """The values without those that repeat another one in either language (two kinds of uncle)."""
    seen: set[str] = set()
    kept = []
    for value in values:
        if not {value.en, value.ar} & seen:
            kept.append(value)
            seen |= {value.en, value.ar}
    return kept


def _said(answer: tuple[str, str], case: Case, value: Two) -> Two:
    return Two(upper(answer[0].format(x=value.en, **case.en)), answer[1].format(x=value.ar, **case.ar))


def upper(sentence: str) -> str:
    """The sentence with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]


def present(feminine: bool, stem: str) -> str:
    """The present of he or she from what follows the prefix: يعيش, تعيش."""
    return ("ت" if feminine else "ي") + stem


def pronoun(noun: str) -> str:
    """The pronoun of a phrase, by the ending of its first word."""
    return "هي" if noun.split()[0].endswith("ة") else "هو"
