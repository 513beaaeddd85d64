"""The items of each split: pairs, chats, paragraphs and questions, none of whose held-out strings occurs in training.

>>> from hala.data.world.pools import share
>>> share("is:book,new") == share("is:book,new")
True
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

from hala.data.world.amounts import AMOUNTS
from hala.data.world.chats import CHATS, steps
from hala.data.world.clauses import CLAUSES
from hala.data.world.facts import Fact, Two
from hala.data.world.facts_numbers import NUMBER_FACTS
from hala.data.world.facts_world import FACTS
from hala.data.world.outings import OUTINGS
from hala.data.world.scenes import SCENES
from hala.data.world.sentences import GROUPS, Sentence
from hala.data.world.spans import SPANNED

HELDOUT_SHARE = 0.1
TRAIN_ASKS = 2
FOLLOW_UPS = 3000

_QUOTED = re.compile("«([^»]+)»")
Chat = tuple[Two, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """What one split offers: `asked` are the phrasings with their facts, answers belong to training."""

    pairs: tuple[Two, ...]
    chats: tuple[Chat, ...]
    asked: tuple[tuple[Two, Fact], ...]


def share(key: str) -> float:
    """A number in [0, 1) that depends on the key alone, the same on every machine."""
    return int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48


def asks_of(fact: Fact) -> tuple[list[Two], list[Two]]:
    """The fact's phrasings for training and for the held-out split; at least two always train."""
    order = sorted(fact.asks, key=lambda ask: share(f"{fact.key}|{ask.en}"))
    held = [ask for ask in order[: max(0, len(order) - TRAIN_ASKS)] if share(f"{fact.key}|{ask.en}") < HELDOUT_SHARE]
    return [ask for ask in fact.asks if ask not in held], held


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact and chat of the world, in a fixed order."""
    return tuple(fact for group in (*FACTS, *NUMBER_FACTS, *CHATS) for fact in group())


@cache
def sentences() -> tuple[Sentence, ...]:
    """Every sentence of the world, in a fixed order, each pair of strings once."""
    seen: dict[tuple[str, str], Sentence] = {}
    for group in (*GROUPS, *AMOUNTS, *OUTINGS, *SCENES, *CLAUSES, *SPANNED):
        for sentence in group():
            seen.setdefault((sentence.en, sentence.ar), sentence)
    return tuple(seen.values())


@cache
def _asked() -> tuple[tuple[tuple[Two, Fact], ...], tuple[tuple[Two, Fact], ...]]:
    """All phrasings with their fact: those of training, and held-out ones of which neither string is asked in training."""
    train: list[tuple[Two, Fact]] = []
    held: list[tuple[Two, Fact]] = []
    for fact in facts():
        learnt, unseen = asks_of(fact)
        train += [(ask, fact) for ask in learnt]
        held += [(ask, fact) for ask in unseen]
    seen = {text for ask, _ in train for text in (ask.en, ask.ar)}
    return tuple(train), tuple(item for item in held if not {item[0].en, item[0].ar} & seen)


@cache
def _stated() -> tuple[tuple[Sentence, ...], tuple[Sentence, ...]]:
    """All sentences by split; a held-out one that shares a string with training goes."""
    train: list[Sentence] = []
    unseen: list[Sentence] = []
    for sentence in sentences():
        (train if share(sentence.key) >= HELDOUT_SHARE else unseen).append(sentence)
    asked, _ = _asked()
    seen = {text for s in train for text in (s.en, s.ar)}
    seen |= {text for ask, _ in asked for text in (ask.en, ask.ar)}
    seen |= {text for two in (*(fact.answer for fact in facts()), *steps()) for text in (two.en, two.ar)}
    quoted = {f"{inner}." for ask, _ in asked for inner in _QUOTED.findall(ask.ar)}
    held = [s for s in unseen if not {s.en, s.ar} & seen and s.ar not in quoted]
    return tuple(train), tuple(held)


def _unique(items: Iterable[Two]) -> tuple[Two, ...]:
    return tuple(dict.fromkeys(items))


def _follow_ups(asked: Sequence[tuple[Two, Fact]]) -> list[Chat]:
    """Chats of two questions about related things."""
    groups: dict[str, list[tuple[Two, Fact]]] = defaultdict(list)
    for ask, fact in asked:
        groups[fact.topic].append((ask, fact))
        groups[fact.subject].append((ask, fact))
    usable = [group for group in groups.values() if len({fact.key for _, fact in group}) > 1]
    chats: dict[Chat, None] = {}
    rng = random.Random("follow-ups")
    for _ in range(min(FOLLOW_UPS, len(asked)) if usable else 0):
        (first, fact), (second, other) = rng.sample(rng.choice(usable), 2)
        if fact.key != other.key:
            chats[(first, fact.answer, second, other.answer)] = None
    return list(chats)


def _paragraphs(statements: Sequence[Sentence], answers: Sequence[Fact]) -> list[tuple[Two, ...]]:
    """Two to five statements about one subject, in a fixed random order; facts of one subject together."""
    groups: dict[str, list[Two]] = defaultdict(list)
    for fact in answers:
        if "\n" in fact.answer.en or "؟" in fact.answer.ar or fact.topic == "talk":
            continue
        groups[f"fact {fact.subject}"].append(fact.answer)
    for sentence in statements:
        if sentence.kind == "statement":
            groups[sentence.subject or sentence.key.split(":")[0]].append(Two(sentence.en, sentence.ar))
    rng, found = random.Random("paragraphs"), []
    for members in groups.values():
        rng.shuffle(members)
        while members:
            cut = min(len(members), rng.randint(2, 5))
            found.append(tuple(members[:cut]))
            members = members[cut:]
    return found


SENTENCES = "sentences"
"""The topic of everything that is no fact and no chat."""

Topics = tuple[str, ...]


@cache
def topics() -> Topics:
    """All topics, sorted."""
    return tuple(sorted({SENTENCES, *(fact.topic for fact in facts())}))


def _facts(wanted: Topics) -> list[Fact]:
    return [fact for fact in facts() if not wanted or fact.topic in wanted]


@cache
def pool(split: str, wanted: Topics = ()) -> Pool:
    """Pairs, chats and phrasings of a split, of all topics or of the `wanted` ones."""
    train = split == "train"
    said = [Two(s.en, s.ar) for s in _stated()[0 if train else 1]] if not wanted or SENTENCES in wanted else []
    asked = tuple((ask, fact) for ask, fact in _asked()[0 if train else 1] if not wanted or fact.topic in wanted)
    answers = [fact.answer for fact in _facts(wanted) if "\n" not in fact.answer.en] if train else []
    listed = steps() if train and not wanted else ()
    chats: list[Chat] = [(ask, fact.answer) for ask, fact in asked] + _follow_ups(asked)
    return Pool(
        pairs=_unique([*said, *(ask for ask, _ in asked), *answers, *listed]),
        chats=tuple(dict.fromkeys(chats)),
        asked=asked,
    )


@cache
def paragraphs(split: str, wanted: Topics = ()) -> tuple[Chat, ...]:
    """The running text of a split: short groups of its statements and, in training, of its answers."""
    stated = _stated()[0 if split == "train" else 1] if not wanted or SENTENCES in wanted else ()
    return tuple(_paragraphs(stated, _facts(wanted) if split == "train" else ()))


@cache
def questions_of(split: str, wanted: Topics = ()) -> tuple[tuple[Two, Fact], ...]:
    """The phrasings of a split whose fact has three wrong answers, each with its fact."""
    return tuple((ask, fact) for ask, fact in pool(split, wanted).asked if len(fact.wrong) >= 3)
