"""Sentences about cities, transport and weather, about when things happen, and about food that people like."""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world import lexicon_facts as tables
from hala.data.world.arabic import ORDINAL_HOURS
from hala.data.world.lexicon import DAYS, MASS, MONTHS, cells, spell
from hala.data.world.sentences import Sentence, pick

CITIES = [(r[3], r[4]) for r in cells(tables.COUNTRIES)] + [(r[0], r[1]) for r in cells(tables.COUNTRIES)]
COMPANY = (
    ("by plane", "بالطائرة"),
    ("with my family", "مع عائلتي"),
    ("with a friend", "مع صديق"),
    ("in summer", "في الصيف"),
    ("in winter", "في الشتاء"),
)
TRIPS = (
    ("I want to travel to {c} {b}.", "أريد السفر إلى {c} {v}.", "statement"),
    ("We will go to {c} {b}.", "سنذهب إلى {c} {v}.", "statement"),
    ("How can I go to {c} {b}?", "كيف أذهب إلى {c} {v}؟", "question"),
    ("She traveled to {c} {b}.", "سافرت إلى {c} {v}.", "statement"),
    ("My brother came from {c} {b}.", "جاء أخي من {c} {v}.", "statement"),
)
WEATHER = (("cold", "بارد"), ("hot", "حار"), ("beautiful", "جميل"), ("rainy", "ممطر"), ("sunny", "مشمس"), ("cloudy", "غائم"))
ABOUT = (
    ("I want to visit {c}.", "أريد أن أزور {c}.", "statement"),
    ("She lives in {c}.", "تعيش في {c}.", "statement"),
    ("He works in {c}.", "يعمل في {c}.", "statement"),
    ("I was born in {c}.", "ولدت في {c}.", "statement"),
    ("Have you visited {c}?", "هل زرت {c}؟", "question"),
    ("Where is {c}?", "أين تقع {c}؟", "question"),
    ("My family lives in {c}.", "تعيش عائلتي في {c}.", "statement"),
    ("I read a book about {c}.", "قرأت كتابًا عن {c}.", "statement"),
    ("How far is {c} from here?", "كم تبعد {c} من هنا؟", "question"),
    ("Send this letter to {c}.", "أرسل هذه الرسالة إلى {c}.", "request"),
)


def travel() -> Iterator[Sentence]:
    """Cities, countries, transport and weather."""
    masculine = {r[0] for r in cells(tables.COUNTRIES) if r[2] == "m"}
    for (c, city), (b, by), (en, ar, kind) in pick("trip", 2200, CITIES, COMPANY, TRIPS):
        yield Sentence(f"trip:{en},{c},{b}", en.format(c=c, b=b), ar.format(c=city, v=by), kind)
    for (c, city), (en, ar, kind) in pick("about", 1300, CITIES, ABOUT):
        if c in masculine:
            ar = ar.replace("تقع", "يقع").replace("تبعد", "يبعد")
        yield Sentence(f"about:{en},{c}", en.format(c=c), ar.format(c=city), kind)
    for (c, city), (w, sky), (en, ar) in pick("weather", 1200, CITIES, WEATHER, (("today", "اليوم"), ("now", "الآن"))):
        yield Sentence(f"weather:{c},{w},{en}", f"The weather in {c} is {w} {en}.", f"الطقس في {city} {sky} {ar}.")


EVENTS = (
    ("meeting", "الاجتماع", "m"),
    ("lesson", "الدرس", "m"),
    ("exam", "الامتحان", "m"),
    ("party", "الحفلة", "f"),
    ("trip", "الرحلة", "f"),
    ("match", "المباراة", "f"),
    ("film", "الفيلم", "m"),
    ("show", "العرض", "m"),
)


def times() -> Iterator[Sentence]:
    """Days, hours and dates of events."""
    for (event, name, _), (day, tag), hour in pick("when", 1400, EVENTS, DAYS, range(1, 13)):
        yield Sentence(
            f"when:{event},{day},{hour}",
            f"The {event} is on {day} at {spell(hour)} o'clock.",
            f"{name} يوم {tag} في الساعة {ORDINAL_HOURS[hour]}.",
            subject=f"the {event}",
        )
    for (event, name, gender), hour, (verb, m, f) in pick(
        "begins", 400, EVENTS, range(1, 13), (("begins", "يبدأ", "تبدأ"), ("ends", "ينتهي", "تنتهي"))
    ):
        yield Sentence(
            f"begins:{event},{hour},{verb}",
            f"The {event} {verb} at {spell(hour)} o'clock.",
            f"{f if gender == 'f' else m} {name} في الساعة {ORDINAL_HOURS[hour]}.",
            subject=f"the {event}",
        )
        yield Sentence(
            f"does:{event},{hour},{verb}",
            f"Does the {event} {verb[:-1]} at {spell(hour)} o'clock?",
            f"هل {f if gender == 'f' else m} {name} في الساعة {ORDINAL_HOURS[hour]}؟",
            "question",
        )
    for (event, name, _), (month, monat), day in pick("date", 1200, EVENTS, MONTHS, range(1, 29)):
        yield Sentence(
            f"date:{event},{month},{day}",
            f"The {event} is on {month} {day}.",
            f"{name} في {day} {monat}.",
            subject=f"the {event}",
        )


def tastes() -> Iterator[Sentence]:
    """Food and drink that people like, want or need."""
    foods = [(en, ar) for en, ar, _, _ in cells(MASS)]
    frames = (
        ("I like {x}.", "أحب {y}.", "statement"),
        ("I do not like {x}.", "لا أحب {y}.", "statement"),
        ("Do you like {x}?", "هل تحب {y}؟", "question"),
        ("She likes {x} very much.", "تحب {y} كثيرًا.", "statement"),
        ("We need {x}.", "نحتاج إلى {y}.", "statement"),
        ("Where can I buy {x}?", "أين يمكنني أن أشتري {y}؟", "question"),
        ("Can I have {x}, please?", "هل يمكنني الحصول على {y} من فضلك؟", "question"),
        ("The children like {x}.", "يحب الأطفال {y}.", "statement"),
    )
    for (x, y), (en, ar, kind) in pick("like", 400, foods, frames):
        yield Sentence(f"like:{en},{x}", en.format(x=x), ar.format(y=y), kind)
    kinds = {ar: kind for _, ar, _, kind in cells(MASS)}
    pairs = [(p, q) for p in foods for q in foods if p != q and kinds[p[1]] == kinds[q[1]]]
    double = (
        ("I like {x} and {z}.", "أحب {y} و{w}."),
        ("I want {x} with {z}.", "أريد {y} مع {w}."),
        ("She prefers {x} to {z}.", "تفضل {y} على {w}."),
        ("We bought {x} and {z}.", "اشترينا {y} و{w}."),
    )
    for ((x, y), (z, w)), (en, ar) in pick("both", 1100, pairs, double):
        yield Sentence(f"both:{en},{x},{z}", en.format(x=x, z=z), ar.format(y=y, w=w))


OUTINGS = (travel, times, tastes)
