"""A small bilingual world, English and Arabic, written by rule for hala: facts, sentences, chats and questions (CC0).

Everything is split by unseen combination: a stable hash of an item's template and words puts about a tenth into "heldout". Each
fact keeps at least two training phrasings, so a held-out question asks for something that was learnt under another wording.

>>> from hala.data import world
>>> row = next(world.pairs("train", take=1))
>>> row.source, row.licence, len(row.messages), len(row.original)
('world', 'CC0-1.0', 1, 1)
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from hala.data.world.facts import Two
from hala.data.world.pools import SENTENCES, Chat, paragraphs, pool, questions_of, topics
from hala.errors import InputError, nearest
from hala.records import Message, Question, Row

__all__ = ["LICENCE", "SOURCE", "conversations", "instructions", "pairs", "questions", "sentences", "texts", "topics"]

SOURCE, LICENCE = "world", "CC0-1.0"
SPLITS = ("train", "heldout")
FILE = Path(__file__).with_name("instructions.jsonl")


def pairs(split: str, take: int | None = None, seed: int = 0, about: Sequence[str] = ()) -> Iterator[Row]:
    """Sentence pairs, Arabic with its English `original`: statements, requests, questions and answers, shuffled by `seed`.

    `about` names topics here and below (`topics()` lists them); none means all.
    """
    items = pool(split, _check(split, "ar", about)).pairs
    for index in islice(_order(len(items), seed), take):
        two = items[index]
        target, source = (Message("text", two.ar),), (Message("text", two.en),)
        yield Row(_id("pairs", index, two.en + two.ar), target, "ar", SOURCE, LICENCE, source)


def sentences(split: str, take: int | None = None, seed: int = 0, about: Sequence[str] = ()) -> Iterator[Row]:
    """The English side of `pairs`, in the same order: something to translate."""
    for row in pairs(split, take, seed, about):
        assert row.original is not None
        yield replace(row, messages=row.original, original=None, lang="en")


def conversations(
    split: str, lang: str = "en", take: int | None = None, seed: int = 0, offset: int = 0, about: Sequence[str] = ()
) -> Iterator[Row]:
    """Chats of user and assistant in `en` or `ar`; `offset` skips that many, so that two uses of one seed never overlap."""
    chats = pool(split, _check(split, lang, about)).chats
    for index in islice(_order(len(chats), seed), offset, None if take is None else offset + take):
        yield _chat_row("conversations", index, chats[index], lang)


def instructions(split: str) -> Iterator[Row]:
    """General instructions written by hand: English chats in "train"; in "heldout" their Arabic with the English `original`.

    The few that do not survive translation (rhymes, spelling, "in English") are marked in the file and left out here.
    """
    _check(split, "en")
    for line in FILE.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["split"] != split or entry["task"] != "translate":
            continue
        english, arabic = (tuple(Message(**turn) for turn in entry.get(key, ())) for key in ("messages", "arabic"))
        if split == "train":
            yield Row(f"{SOURCE}/{entry['id']}", english, "en", SOURCE, LICENCE)
        else:
            yield Row(f"{SOURCE}/{entry['id']}", arabic, "ar", SOURCE, LICENCE, english)


def texts(
    split: str, take: int | None = None, seed: int = 0, arabic_share: float = 0.1, about: Sequence[str] = ()
) -> Iterator[Row]:
    """Running text for a base model: English paragraphs and chats, and `arabic_share` of Arabic paragraphs.

    The Arabic is sentences alone: no question and no fact that questions ask for, which is left to be learned later.
    """
    wanted = _check(split, "en", about)
    if not 0 <= arabic_share <= 1:
        raise InputError(f"arabic_share is {arabic_share}.", "Choose a share between 0 and 1.")
    chats, running, plain = pool(split, wanted).chats, paragraphs(split, wanted), paragraphs(split, (SENTENCES,))
    english = [*range(len(chats)), *range(-len(running), 0)]
    order, arabic, rng = _order(len(english), seed), _order(len(plain), seed + 1), random.Random(seed)
    for _ in range(len(english) if take is None else take):
        index = next(arabic, None) if rng.random() < arabic_share else None
        if index is not None:
            yield _text_row(index, plain[index], "ar")
            continue
        place = next(order, None)
        if place is None:
            return
        place = english[place]
        if place < 0:
            yield _text_row(len(running) + place, running[place], "en")
        else:
            yield _chat_row("texts/chat", place, chats[place], "en")


def questions(split: str, lang: str, take: int | None = None, seed: int = 0, about: Sequence[str] = ()) -> Iterator[Question]:
    """Four-option questions in `en` or `ar`, the same items in the same order in both; an option is a whole answer sentence."""
    items = questions_of(split, _check(split, lang, about))
    places: list[int] = []
    for index in islice(_order(len(items), seed), take):
        ask, fact = items[index]
        if not places:
            places = random.Random(f"{seed}:{fact.key}").sample(range(4), 4)
        answer = places.pop()
        options = random.Random(f"{seed}:{ask.en}").sample(fact.wrong, 3)
        options.insert(answer, fact.answer)
        key = _id("questions", index, ask.en + ask.ar)
        yield Question(key, _in(ask, lang), tuple(_in(option, lang) for option in options), answer, lang, fact.topic)


def _in(two: Two, lang: str) -> str:
    return two.ar if lang == "ar" else two.en


def _chat_row(name: str, index: int, chat: Chat, lang: str) -> Row:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[turn % 2], _in(two, lang)) for turn, two in enumerate(chat))
    return Row(_id(f"{name}/{lang}", index, "\n".join(m.content for m in messages)), messages, lang, SOURCE, LICENCE)


def _text_row(index: int, paragraph: Sequence[Two], lang: str) -> Row:
    text = " ".join(_in(two, lang) for two in paragraph)
    return Row(_id(f"texts/{lang}", index, text), (Message("text", text),), lang, SOURCE, LICENCE)


def _id(name: str, index: int, content: str) -> str:
    return f"world/{name}/{index:06d}-{blake2b(content.encode(), digest_size=4).hexdigest()}"


def _order(n: int, seed: int) -> Iterator[int]:
    indexes = list(range(n))
    random.Random(seed).shuffle(indexes)
    return iter(indexes)


def _check(split: str, lang: str, about: Sequence[str] = ()) -> tuple[str, ...]:
    """The topics, sorted; raises InputError for a split, language or topic that the world does not have."""
    if split not in SPLITS:
        raise InputError(f"The world has no split {split!r}.{nearest(split, SPLITS)}", "Choose train or heldout.")
    if lang not in ("en", "ar"):
        raise InputError(f"The world is not written in {lang!r}.", "Choose en or ar.")
    for topic in about:
        if topic not in topics():
            raise InputError(
                f"The world has no topic {topic!r}.{nearest(topic, topics())}", f"Choose from: {', '.join(topics())}."
            )
    return tuple(sorted(set(about)))
