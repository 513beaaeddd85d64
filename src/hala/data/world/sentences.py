"""Sentences of the small world: every template is enumerated or sampled over its words, and the Arabic agrees.

>>> from hala.data.world.sentences import descriptions
>>> first = next(iter(descriptions()))
>>> first.en, first.ar
('The book is new.', 'الكتاب جديد.')
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from hala.data.world.arabic import possessed, tanwin
from hala.data.world.facts import upper
from hala.data.world.lexicon import (
    OWNERS,
    Action,
    Person,
    Quality,
    Thing,
    a,
    actions,
    cells,
    fitting,
    of_kind,
    people,
    qualities,
    things,
)

Kind = Literal["statement", "question", "request"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence in both languages; `subject` groups sentences that can stand in one paragraph."""

    key: str
    en: str
    ar: str
    kind: Kind = "statement"
    subject: str = ""


def pick(name: str, most: int, *axes: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Every combination of the axes, or a fixed sample of `most` of them, in order."""
    total = prod(len(axis) for axis in axes)
    chosen: Iterable[int] = range(total) if total <= most else sorted(random.Random(name).sample(range(total), most))
    for index in chosen:
        values = []
        for axis in reversed(axes):
            index, place = divmod(index, len(axis))
            values.append(axis[place])
        yield tuple(reversed(values))


def said_of() -> list[tuple[Thing, Quality]]:
    """All nouns with the adjectives that fit them."""
    return [(thing, quality) for thing in things() for quality in fitting(thing)]


def is_ar(thing: Thing, quality: Quality) -> str:
    """`الكتاب جديد` without the final stop."""
    return f"{thing.the} {quality.word.form(thing.noun.gender)}"


def descriptions() -> Iterator[Sentence]:
    """A thing and its quality: is, is not, was, is it, this is, these are, mine is."""
    for thing, quality in said_of():
        n, q, g = thing.en, quality.en, thing.noun.gender
        ar, adjective, acc = thing.noun.ar, quality.word.form(g), quality.word.accusative(g)
        feminine, key = g == "f", f"{n},{q}"
        yield Sentence(f"is:{key}", f"The {n} is {q}.", f"{thing.the} {adjective}.", subject=f"the {n}")
        yield Sentence(f"not:{key}", f"The {n} is not {q}.", f"{thing.the} {'ليست' if feminine else 'ليس'} {acc}.")
        yield Sentence(f"was:{key}", f"The {n} was {q}.", f"{'كانت' if feminine else 'كان'} {thing.the} {acc}.")
        yield Sentence(f"is-it:{key}", f"Is the {n} {q}?", f"هل {thing.the} {adjective}؟", "question")
        if quality.more:
            yield Sentence(f"very:{key}", f"The {n} is very {q}.", f"{thing.the} {adjective} جدًا.", subject=f"the {n}")
        yield Sentence(f"this:{key}", f"This is {a(f'{q} {n}')}.", f"{'هذه' if feminine else 'هذا'} {ar} {adjective}.")
        if not thing.noun.human:
            fem = quality.word.form("f")
            yield Sentence(f"these:{key}", f"These are {q} {thing.en_plural}.", f"هذه {thing.noun.plural} {fem}.")
            yield Sentence(f"are:{key}", f"The {thing.en_plural} are {q}.", f"ال{thing.noun.plural} {fem}.")


def belongings() -> Iterator[Sentence]:
    """Things that someone has: my car is new, I have a new car, where is your bag."""
    owned = [pair for pair in said_of() if pair[0].kinds & {"thing", "wear", "pet", "carry", "read", "own", "fix"}]
    for (thing, quality), owner in pick("mine", 2200, owned, OWNERS):
        ar = f"{possessed(thing.noun.ar, owner)} {quality.word.form(thing.noun.gender)}."
        yield Sentence(f"mine:{owner},{thing.en},{quality.en}", upper(f"{owner} {thing.en} is {quality.en}."), ar)
    has = (
        ("I have", "لدي"),
        ("we have", "لدينا"),
        ("she has", "لديها"),
        ("he has", "لديه"),
        ("Sami has", "لدى سامي"),
        ("Layla has", "لدى ليلى"),
        ("my brother has", "لدى أخي"),
        ("the teacher has", "لدى المعلم"),
    )
    for (thing, quality), (en, ar) in pick("have", 1800, owned, has):
        phrase = f"{thing.noun.ar} {quality.word.form(thing.noun.gender)}"
        yield Sentence(
            f"have:{en},{thing.en},{quality.en}",
            upper(f"{en} {a(f'{quality.en} {thing.en}')}."),
            f"{ar} {phrase}.",
            subject=en.rsplit(" ", 1)[0],
        )
    small = of_kind("thing", "wear", "carry", "read")
    for thing, owner in pick("where", 600, small, OWNERS):
        yield Sentence(
            f"where:{owner},{thing.en}", f"Where is {owner} {thing.en}?", f"أين {possessed(thing.noun.ar, owner)}؟", "question"
        )
    for thing, owner in pick("lost", 600, small, OWNERS):
        en, ar = f"I cannot find {owner} {thing.en}.", f"لا أستطيع أن أجد {possessed(thing.noun.ar, owner)}."
        yield Sentence(f"lost:{owner},{thing.en}", en, ar)


TIMES_PAST = (("", ""), ("yesterday", "أمس"), ("last week", "في الأسبوع الماضي"), ("this morning", "هذا الصباح"))
TIMES_NOW = (
    ("every day", "كل يوم"),
    ("every week", "كل أسبوع"),
    ("in the morning", "في الصباح"),
    ("in the evening", "في المساء"),
)
TIMES_NEXT = (("tomorrow", "غدًا"), ("next week", "في الأسبوع القادم"), ("tonight", "الليلة"))


def _with_verb(person: Person, verb: str) -> str:
    """Verb before its subject; a plural subject that follows takes the verb in the singular."""
    return f"{verb} {person.ar}" if person.ar else verb


def _form(person: Person) -> str:
    return "he" if person.person == "they" and person.ar else person.person


def _tail(text: str, time: str) -> str:
    return f"{text} {time}".rstrip() + "."


def _present(person: Person, action: Action) -> str:
    return action.third if person.person in ("he", "she") else action.base


def deeds() -> Iterator[Sentence]:
    """Who does what: present, past, future, negated and asked."""
    triples: list[tuple[Action, Thing]] = [(action, thing) for action in actions() for thing in of_kind(*action.objects.split())]
    definite = [(action, thing, f"the {thing.en}", thing.the) for action, thing in triples]
    vague = [(action, thing, a(thing.en), tanwin(thing.noun.ar)) for action, thing in triples]
    objects = definite + vague
    for person, (action, _, en, ar), (time, zeit) in pick("past", 3600, people(), objects, TIMES_PAST):
        verb = _with_verb(person, action.verb.then(_form(person)))
        yield Sentence(
            f"past:{person.en},{action.base},{en},{time}",
            _tail(upper(f"{person.en} {action.past} {en}"), time),
            _tail(f"{verb} {ar}", zeit),
            subject=person.en,
        )
    for person, (action, _, en, ar), (time, zeit) in pick("now", 2600, people(), objects, TIMES_NOW):
        verb = _with_verb(person, action.verb.now(_form(person)))
        yield Sentence(
            f"now:{person.en},{action.base},{en},{time}",
            _tail(upper(f"{person.en} {_present(person, action)} {en}"), time),
            _tail(f"{verb} {ar}", zeit),
            subject=person.en,
        )
    for person, (action, _, en, ar), (time, zeit) in pick("next", 2600, people(), objects, TIMES_NEXT):
        verb = _with_verb(person, "س" + action.verb.now(_form(person)))
        yield Sentence(
            f"next:{person.en},{action.base},{en},{time}",
            _tail(upper(f"{person.en} will {action.base} {en}"), time),
            _tail(f"{verb} {ar}", zeit),
            subject=person.en,
        )
    for person, (action, _, en, ar) in pick("did-not", 1500, people(), definite):
        verb = _with_verb(person, "لا " + action.verb.now(_form(person)))
        no = "does not" if person.person in ("he", "she") else "do not"
        yield Sentence(f"not:{person.en},{action.base},{en}", upper(f"{person.en} {no} {action.base} {en}."), f"{verb} {ar}.")
    named = [person for person in people() if person.ar]
    for person, (action, _, en, ar) in pick("did", 1500, named, objects):
        yield Sentence(
            f"did:{person.en},{action.base},{en}",
            f"Did {person.en} {action.base} {en}?",
            f"هل {_with_verb(person, action.verb.then(_form(person)))} {ar}؟",
            "question",
        )
    for (action, thing, _, _), quality, (en, ar, past) in pick("good", 4000, vague, qualities(), _BUYERS):
        if quality.kinds & thing.kinds:
            verb = action.verb.then(past)
            phrase = f"{tanwin(thing.noun.ar)} {quality.word.accusative(thing.noun.gender)}"
            yield Sentence(
                f"good:{en},{action.base},{quality.en},{thing.en}",
                upper(f"{en} {action.past} {a(f'{quality.en} {thing.en}')}."),
                f"{verb}{ar} {phrase}.",
                subject=en,
            )


_BUYERS = (
    ("Sami", " سامي", "he"),
    ("Mariam", " مريم", "she"),
    ("we", "", "we"),
    ("my father", " أبي", "he"),
    ("my sister", " أختي", "she"),
    ("I", "", "I"),
    ("the students", " الطلاب", "he"),
)

POLITE = (
    ("Please {v} the {n}.", "{v} {n} من فضلك.", "command"),
    ("{v} the {n}, please.", "من فضلك {v} {n}.", "command"),
    ("Could you {v} the {n}?", "هل يمكنك أن {v} {n}؟", "you"),
    ("Can you {v} the {n} now?", "هل تستطيع أن {v} {n} الآن؟", "you"),
    ("Do not {v} the {n}.", "لا {v} {n}.", "jussive"),
    ("I want to {v} the {n}.", "أريد أن {v} {n}.", "I"),
    ("You must {v} the {n}.", "يجب أن {v} {n}.", "you"),
    ("We must {v} the {n} today.", "يجب أن {v} {n} اليوم.", "we"),
    ("She wants to {v} the {n}.", "تريد أن {v} {n}.", "she"),
    ("Let us {v} the {n} together.", "هيا بنا {v} {n} معًا.", "we"),
)


def requests() -> Iterator[Sentence]:
    """Polite requests, wishes and duties."""
    pairs = [(action, thing) for action in actions() if action.verb.command for thing in of_kind(*action.objects.split())]
    for (action, thing), (en, ar, form) in pick("polite", 2600, pairs, POLITE):
        if form == "command":
            verb = action.verb.command
        elif form == "jussive":
            verb = "ت" + _jussive(action.verb.present)[1:]
        else:
            verb = action.verb.now(form)
        kind: Kind = "question" if en.endswith("?") else "statement" if form in ("I", "she") else "request"
        yield Sentence(
            f"polite:{en},{action.base},{thing.en}",
            upper(en.format(v=action.base, n=thing.en)),
            ar.format(v=verb, n=thing.the),
            kind,
        )


def _jussive(present: str) -> str:
    """The negated command: a hollow verb shortens (تبع), a final weak letter drops (تشتر)."""
    return {"يبيع": "يبع", "يزور": "يزر"}.get(present, present[:-1] if present[-1] in "يى" else present)


def states() -> Iterator[Sentence]:
    """How people are, and what they think."""
    moods = [quality for quality in qualities() if "state" in quality.kinds and quality.word.plural]
    subjects = [(p.en, p.ar, p.person) for p in people() if p.ar]
    subjects += [("I", "أنا", "I"), ("we", "نحن", "we"), ("he", "هو", "he"), ("she", "هي", "she"), ("they", "هم", "they")]
    for quality in moods:
        for en, ar, person in subjects:
            word = quality.word.plural if person in ("we", "they") else quality.word.form("f" if person == "she" else "m")
            be = {"I": "am", "we": "are", "they": "are"}.get(person, "is")
            yield Sentence(f"state:{en},{quality.en}", upper(f"{en} {be} {quality.en}."), f"{ar} {word}.", subject=en)
            yield Sentence(f"today:{en},{quality.en}", upper(f"{en} {be} {quality.en} today."), f"{ar} {word} اليوم.", subject=en)
            if quality.more:
                yield Sentence(f"very:{en},{quality.en}", upper(f"{en} {be} very {quality.en}."), f"{ar} {word} جدًا.", subject=en)
    frames = (
        ("I think that {}.", "أظن أن {}."),
        ("I know that {}.", "أعرف أن {}."),
        ("She says that {}.", "تقول إن {}."),
        ("We hope that {}.", ""),
        ("Sami thinks that {}.", "يظن سامي أن {}."),
        ("The teacher said that {}.", "قال المعلم إن {}."),
    )
    for (thing, quality), (en, ar) in pick("think", 2600, said_of(), frames):
        clause, acc = f"the {thing.en} is {quality.en}", quality.word.accusative(thing.noun.gender)
        if "hope" in en:
            said = f"نأمل أن {'تكون' if thing.noun.gender == 'f' else 'يكون'} {thing.the} {acc}."
        else:
            said = ar.format(is_ar(thing, quality))
        yield Sentence(f"think:{en},{thing.en},{quality.en}", en.format(clause), said)


# From least to most; a comparison of these nouns never says the opposite.
RANKS = {
    "big": cells(
        "bird|rabbit|cat|fox|monkey|dog|goat|sheep|wolf|lion|bear|horse|cow|camel|elephant|bicycle|car|boat|bus|plane|train|ship"
    )[0],
    "fast": cells("bicycle|boat|ship|bus|car|train|plane")[0],
}
OPPOSITE_RANKS = {"small": "big", "slow": "fast"}


def _true(name: str, one: Thing, two: Thing) -> bool:
    """Whether the ranks, where there are any, allow to say that one is more so than the other."""
    rank = RANKS.get(OPPOSITE_RANKS.get(name, name), [])
    if one.en not in rank or two.en not in rank:
        return True
    return (rank.index(one.en) > rank.index(two.en)) == (name in RANKS)


def comparisons() -> Iterator[Sentence]:
    """One thing is more so than another."""
    sets = (
        ("vehicle", ("fast", "big", "new", "old", "slow")),
        ("animal", ("big", "small", "beautiful")),
        ("wear", ("cheap", "beautiful", "new")),
        ("read", ("long", "short", "useful", "new")),
        ("building", ("tall", "old", "new", "big")),
        ("visit", ("famous", "beautiful")),
    )
    known = {quality.en: quality for quality in qualities()}
    for kind, names in sets:
        group = of_kind(kind)
        for name, one, two in pick(f"than-{kind}", 700, names, group, group):
            quality: Quality = known[name]
            if one == two or not _true(name, one, two) or not (quality.kinds & one.kinds or kind == "animal"):
                continue
            more = "أكثر فائدة" if quality.en == "useful" else quality.word.elative
            yield Sentence(
                f"than:{name},{one.en},{two.en}",
                f"The {one.en} is {quality.more} than the {two.en}.",
                f"{one.the} {more} من {two.the}.",
                subject=f"the {one.en}",
            )


GROUPS: tuple[Callable[[], Iterable[Sentence]], ...] = (
    descriptions,
    belongings,
    deeds,
    requests,
    states,
    comparisons,
)
