"""Sentences with clauses: relatives, superlatives, reasons, conditions and wishes."""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world.arabic import tanwin
from hala.data.world.facts import upper
from hala.data.world.lexicon import Thing, a, actions, cells, of_kind, qualities
from hala.data.world.outings import CITIES, WEATHER
from hala.data.world.sentences import Kind, Sentence, pick, said_of

# base and stem of the first person, with which a pronoun ending is written on
BOUGHT = (
    ("I bought", "اشتريت"),
    ("I saw", "رأيت"),
    ("I found", "وجدت"),
    ("I sold", "بعت"),
    ("I took", "أخذت"),
    ("we bought", "اشترينا"),
    ("we saw", "رأينا"),
    ("we found", "وجدنا"),
    ("we sold", "بعنا"),
    ("she bought", "اشترت"),
    ("she took", "أخذت"),
)


def relatives() -> Iterator[Sentence]:
    """Relative clauses and superlatives."""
    owned = [(t, q) for t, q in said_of() if t.kinds & {"thing", "wear", "fix", "carry"}]
    for (thing, quality), (en, ar) in pick("that", 1800, owned, BOUGHT):
        feminine = thing.noun.gender == "f"
        clause = f"{'التي' if feminine else 'الذي'} {ar}{'ها' if feminine else 'ه'}"
        yield Sentence(
            f"that:{en},{thing.en},{quality.en}",
            f"The {thing.en} that {en} is {quality.en}.",
            f"{thing.the} {clause} {quality.word.form(thing.noun.gender)}.",
            subject=f"the {thing.en}",
        )
    most = {
        "new": "newest",
        "old": "oldest",
        "big": "biggest",
        "small": "smallest",
        "beautiful": "most beautiful",
        "tall": "tallest",
        "famous": "most famous",
    }
    best = [
        (t, q)
        for t in of_kind("building", "visit", "own")
        for q in qualities()
        if q.en in most and q.kinds & t.kinds and not t.kinds & {"city"}
    ]
    for (thing, quality), (city, ar) in pick("most", 1500, best, CITIES[len(CITIES) // 2 :]):
        this = "هذه" if thing.noun.gender == "f" else "هذا"
        yield Sentence(
            f"most:{thing.en},{quality.en},{city}",
            f"This is the {most[quality.en]} {thing.en} in {city}.",
            f"{this} {quality.word.elative} {thing.noun.ar} في {ar}.",
            subject=city,
        )


# english effect | I | we | Sami | Layla | the causes (places in CAUSES) that make sense
EFFECTS = """
stayed at home|بقيت في البيت|بقينا في البيت|بقي سامي في البيت|بقيت ليلى في البيت|0 1 2 3 5
drank hot tea|شربت شايًا ساخنًا|شربنا شايًا ساخنًا|شرب سامي شايًا ساخنًا|شربت ليلى شايًا ساخنًا|0 4
closed the window|أغلقت النافذة|أغلقنا النافذة|أغلق سامي النافذة|أغلقت ليلى النافذة|0 3 4 7
went home early|عدت إلى البيت مبكرًا|عدنا إلى البيت مبكرًا|عاد سامي إلى البيت مبكرًا|عادت ليلى إلى البيت مبكرًا|0 3 4 5
took the bus|ركبت الحافلة|ركبنا الحافلة|ركب سامي الحافلة|ركبت ليلى الحافلة|0 2 6
did not go to school|لم أذهب إلى المدرسة|لم نذهب إلى المدرسة|لم يذهب سامي إلى المدرسة|لم تذهب ليلى إلى المدرسة|0 1 3
lit the lamp|أشعلت المصباح|أشعلنا المصباح|أشعل سامي المصباح|أشعلت ليلى المصباح|4
called the doctor|اتصلت بالطبيب|اتصلنا بالطبيب|اتصل سامي بالطبيب|اتصلت ليلى بالطبيب|3 8
did not travel|لم أسافر|لم نسافر|لم يسافر سامي|لم تسافر ليلى|0 1 2 3 6
bought a new coat|اشتريت معطفًا جديدًا|اشترينا معطفًا جديدًا|اشترى سامي معطفًا جديدًا|اشترت ليلى معطفًا جديدًا|0 9
"""
CAUSES = (
    ("the weather was cold", "الطقس كان باردًا"),
    ("the street was closed", "الشارع كان مغلقًا"),
    ("the car was old", "السيارة كانت قديمة"),
    ("my father was sick", "أبي كان مريضًا"),
    ("the night was dark", "الليل كان مظلمًا"),
    ("the children were tired", "الأطفال كانوا متعبين"),
    ("the train was late", "القطار كان متأخرًا"),
    ("the street was loud", "الشارع كان صاخبًا"),
    ("my sister was tired", "أختي كانت متعبة"),
    ("the market was near", "السوق كان قريبًا"),
)
OUTDOORS = (
    ("go to the sea", "نذهب إلى البحر"),
    ("play football", "نلعب كرة القدم"),
    ("eat in the garden", "نأكل في الحديقة"),
    ("walk to the market", "نمشي إلى السوق"),
    ("swim in the river", "نسبح في النهر"),
    ("visit the farm", "نزور المزرعة"),
)
INDOORS = (
    ("stay at home", "نبقى في البيت"),
    ("read a story", "نقرأ قصة"),
    ("clean the house", "ننظف البيت"),
    ("visit the museum", "نزور المتحف"),
    ("cook soup", "نطبخ الحساء"),
    ("travel by train", "نسافر بالقطار"),
)


def reasons() -> Iterator[Sentence]:
    """Because and if."""
    for row in cells(EFFECTS):
        for who, ar in zip(("I", "we", "Sami", "Layla"), row[1:5], strict=True):
            yield Sentence(f"did:{who},{row[0]}", upper(f"{who} {row[0]}."), f"{ar}.", subject=who)
            for en, cause in (CAUSES[int(place)] for place in row[5].split()):
                yield Sentence(
                    f"because:{who},{row[0]},{en}", upper(f"{who} {row[0]} because {en}."), f"{ar} لأن {cause}.", subject=who
                )
    for (sky, word), (plan, ar) in pick("if", 200, WEATHER, OUTDOORS + INDOORS):
        if (sky in ("hot", "sunny", "beautiful")) != ((plan, ar) in OUTDOORS):
            continue
        yield Sentence(
            f"if:{sky},{plan}",
            f"If the weather is {sky}, we will {plan}.",
            f"إذا كان الطقس {tanwin(word)}، فسوف {ar}.",
            subject="weather",
        )
        yield Sentence(
            f"shall:{sky},{plan}",
            f"We will {plan} when the weather is {sky}.",
            f"سوف {ar} عندما يكون الطقس {tanwin(word)}.",
            subject="weather",
        )


def wishes() -> Iterator[Sentence]:
    """A wanted or missing thing with its quality, and whose turn it is to act."""
    wanted: list[tuple[Thing, str, str]] = [
        (t, q.en, q.word.accusative(t.noun.gender)) for t, q in said_of() if t.kinds & {"thing", "wear", "own"}
    ]
    frames = (
        ("I want {x}.", "أريد {y}."),
        ("Do you want {x}?", "هل تريد {y}؟"),
        ("My mother wants {x}.", "تريد أمي {y}."),
        ("Sami is looking for {x}.", "يبحث سامي عن {z}."),
        ("I dream of {x}.", "أحلم ب{z}."),
    )
    for (thing, quality, acc), (en, ar) in pick("want", 1500, wanted, frames):
        plain = next(q for q in qualities() if q.en == quality).word.form(thing.noun.gender)
        kind: Kind = "question" if en.endswith("?") else "statement"
        yield Sentence(
            f"want:{en},{thing.en},{quality}",
            en.format(x=a(f"{quality} {thing.en}")),
            ar.format(y=f"{tanwin(thing.noun.ar)} {acc}", z=f"{thing.noun.ar} {plain}"),
            kind,
        )
    hopes = [action for action in actions() if action.verb.command]
    for action in hopes:
        for thing in of_kind(*action.objects.split())[:12]:
            yield Sentence(
                f"always:{action.base},{thing.en}",
                f"I always {action.base} {a(thing.en)}.",
                f"{action.verb.now('I')} {tanwin(thing.noun.ar)} دائمًا.",
                subject="I",
            )
            yield Sentence(
                f"who:{action.base},{thing.en}",
                f"Who {action.past} the {thing.en}?",
                f"من {action.verb.past} {thing.the}؟",
                "question",
            )


CLAUSES = (relatives, reasons, wishes)
