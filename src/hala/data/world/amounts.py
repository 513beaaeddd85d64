"""Sentences that count things, people, prices and years, and say where things are."""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world.arabic import Noun, counted
from hala.data.world.facts import upper
from hala.data.world.lexicon import a, of_kind, people, qualities, spell
from hala.data.world.sentences import Sentence, pick

COUNTS = (*range(2, 21), 24, 30, 35, 40, 48, 50, 60, 75, 80, 90, 100)


def counts() -> Iterator[Sentence]:
    """Counted nouns in the three cases."""
    frames = (
        ("I have {x}.", "لدي {x}.", "nom"),
        ("Huda has {x}.", "لدى هدى {x}.", "nom"),
        ("We need {x}.", "نحتاج إلى {x}.", "gen"),
        ("I saw {x} yesterday.", "رأيت {x} أمس.", "acc"),
        ("She wants {x}.", "تريد {x}.", "acc"),
    )
    small = of_kind("thing", "wear", "food", "carry", "read")
    for n, thing, quality, frame in pick("count-new", 2600, COUNTS, small, qualities(), range(len(frames))):
        if quality.kinds & thing.kinds:
            en, ar, case = frames[frame]
            phrase = counted(n, thing.noun, case, quality.word)
            yield Sentence(
                f"count-new:{n},{thing.en},{quality.en},{frame}",
                en.format(x=f"{spell(n)} {quality.en} {thing.en_plural}"),
                ar.format(x=phrase),
            )
    for n, thing, frame in pick("count", 2400, COUNTS, small, range(len(frames))):
        en, ar, case = frames[frame]
        yield Sentence(
            f"count:{n},{thing.en},{frame}",
            en.format(x=f"{spell(n)} {thing.en_plural}"),
            ar.format(x=counted(n, thing.noun, case)),
        )
    people_of = [(thing, place) for thing in of_kind("human") for place in of_kind("building")]
    for n, (thing, place) in pick("people", 900, COUNTS, people_of):
        en = f"There are {spell(n)} {thing.en_plural} in the {place.en}."
        yield Sentence(
            f"people:{n},{thing.en},{place.en}", en, f"في {place.the} {counted(n, thing.noun)}.", subject=f"the {place.en}"
        )
    indoors = [
        t for t in of_kind("place") if t.en in ("house", "room", "school", "shop", "office", "kitchen", "library", "hotel")
    ]
    outdoors = [t for t in of_kind("place") if t.en in ("garden", "farm")]
    for name, free, where in (("there", of_kind("carry", "paper", "small"), indoors), ("live", of_kind("animal"), outdoors)):
        for n, thing, place in pick(name, 900, COUNTS, free, where):
            en = f"There are {spell(n)} {thing.en_plural} {'on' if place.en == 'farm' else 'in'} the {place.en}."
            yield Sentence(
                f"there:{n},{thing.en},{place.en}", en, f"في {place.the} {counted(n, thing.noun)}.", subject=f"the {place.en}"
            )


def prices_and_ages() -> Iterator[Sentence]:
    """Dollars and years in words."""
    dollar, year = Noun("دولار", "دولارات"), Noun("سنة", "سنوات", "f")
    for n, thing in pick("price", 900, COUNTS, of_kind("thing", "wear")):
        yield Sentence(
            f"price:{n},{thing.en}",
            f"The price of the {thing.en} is {spell(n)} dollars.",
            f"سعر {thing.the} {counted(n, dollar)}.",
            subject=f"the {thing.en}",
        )
    named = [person for person in people() if person.ar and person.person in ("he", "she")]
    young = [person for person in named if not person.en.startswith(("my m", "my f", "the t", "the d"))]
    for n, person in [*pick("age", 500, [m for m in COUNTS if m < 40], young), *pick("age", 500, (35, 40, 48, 50, 60), named)]:
        yield Sentence(
            f"age:{n},{person.en}",
            upper(f"{person.en} is {spell(n)} years old."),
            f"عمر {person.ar} {counted(n, year)}.",
            subject=person.en,
        )


WHERE = (
    ("on the table", "على الطاولة"),
    ("under the table", "تحت الطاولة"),
    ("in the box", "في الصندوق"),
    ("on the chair", "على الكرسي"),
    ("in the bag", "في الحقيبة"),
    ("near the door", "قرب الباب"),
    ("behind the window", "خلف النافذة"),
    ("in the car", "في السيارة"),
    ("in the kitchen", "في المطبخ"),
    ("in my room", "في غرفتي"),
    ("in the office", "في المكتب"),
    ("beside the lamp", "بجانب المصباح"),
)
ROUND = (
    ("near the river", "قرب النهر"),
    ("in the garden", "في الحديقة"),
    ("behind the house", "خلف البيت"),
    ("on the farm", "في المزرعة"),
    ("under the tree", "تحت الشجرة"),
    ("in the street", "في الشارع"),
    ("in front of the school", "أمام المدرسة"),
    ("near the mountain", "قرب الجبل"),
)


def places() -> Iterator[Sentence]:
    """Where things and animals are."""
    for things_there, spots in ((of_kind("thing", "wear"), WHERE), (of_kind("animal"), ROUND), (of_kind("vehicle"), ROUND[1:7])):
        for thing, (en, ar) in pick("there", 3000, things_there, spots):
            if thing.en in en.split():
                continue
            yield Sentence(f"at:{thing.en},{en}", f"The {thing.en} is {en}.", f"{thing.the} {ar}.", subject=f"the {thing.en}")
            yield Sentence(f"is-at:{thing.en},{en}", f"Is the {thing.en} {en}?", f"هل {thing.the} {ar}؟", "question")
            there = "هناك" if thing.noun.human else ("توجد" if thing.noun.gender == "f" else "يوجد")
            yield Sentence(f"a-at:{thing.en},{en}", f"There is {a(thing.en)} {en}.", f"{there} {thing.noun.ar} {ar}.")


AMOUNTS = (counts, prices_and_ages, places)
