"""Scenes of every day: work, school, health, cooking, measures and owners."""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world import lexicon_facts as tables
from hala.data.world.arabic import Noun, counted, possessed, tanwin
from hala.data.world.facts import upper
from hala.data.world.lexicon import DAYS, OWNERS, Person, a, cells, fitting, of_kind, people, spell
from hala.data.world.outings import CITIES
from hala.data.world.sentences import Kind, Sentence, pick, said_of

# job | masculine (feminine + ة)
JOBS = (
    ("doctor", "طبيب"),
    ("teacher", "معلم"),
    ("engineer", "مهندس"),
    ("farmer", "مزارع"),
    ("baker", "خباز"),
    ("cook", "طباخ"),
    ("writer", "كاتب"),
    ("painter", "رسام"),
    ("nurse", "ممرض"),
    ("photographer", "مصور"),
)


def work() -> Iterator[Sentence]:
    """What people are, were and want to become."""
    singles = [p for p in people() if p.ar and p.person in ("he", "she") and not p.en.startswith("the ")]
    for person, (job, word), frame in pick("work", 900, singles, JOBS, range(5)):
        she = person.person == "she"
        ar, acc = (word + "ة",) * 2 if she else (word, tanwin(word))
        en, arabic, kind = _work(person, a(job), ar, acc)[frame]
        yield Sentence(f"work:{person.en},{job},{frame}", upper(en), arabic, kind, person.en)


def _work(person: Person, job: str, ar: str, acc: str) -> list[tuple[str, str, Kind]]:
    who, name, she = person.en, person.ar, person.person == "she"
    return [
        (f"{who} is {job}.", f"{name} {ar}.", "statement"),
        (f"{who} was {job}.", f"{'كانت' if she else 'كان'} {name} {acc}.", "statement"),
        (f"{who} works as {job}.", f"{'تعمل' if she else 'يعمل'} {name} {acc}.", "statement"),
        (
            f"{who} wants to become {job}.",
            f"{'تريد' if she else 'يريد'} {name} أن {'تصبح' if she else 'يصبح'} {acc}.",
            "statement",
        ),
        (f"is {who} {job}?", f"هل {name} {ar}؟", "question"),
    ]


SUBJECTS = (
    ("math", "الرياضيات"),
    ("science", "العلوم"),
    ("history", "التاريخ"),
    ("geography", "الجغرافيا"),
    ("music", "الموسيقى"),
    ("Arabic", "اللغة العربية"),
    ("English", "اللغة الإنجليزية"),
    ("art", "الفنون"),
)
CLASSES = (
    ("We study {s} on {d}.", "ندرس {S} يوم {D}.", "statement"),
    ("The {s} lesson is on {d}.", "درس {S} يوم {D}.", "statement"),
    ("The {s} exam was on {d}.", "كان امتحان {S} يوم {D}.", "statement"),
    ("Do we have {s} on {d}?", "هل لدينا {S} يوم {D}؟", "question"),
    ("Layla teaches {s} on {d}.", "تعلم ليلى {S} يوم {D}.", "statement"),
    ("Bring the {s} book on {d}.", "أحضر كتاب {S} يوم {D}.", "request"),
)
PARTS = (
    ("head", "رأس", "m"),
    ("hand", "يد", "f"),
    ("back", "ظهر", "m"),
    ("stomach", "معدة", "f"),
    ("eye", "عين", "f"),
    ("ear", "أذن", "f"),
    ("foot", "قدم", "f"),
    ("knee", "ركبة", "f"),
    ("tooth", "سن", "f"),
    ("neck", "رقبة", "f"),
)
OBJECT = {"my": "ني", "your": "ك", "his": "ه", "her": "ها", "our": "نا", "their": "هم"}


def school_and_health() -> Iterator[Sentence]:
    """Lessons on days, and what hurts."""
    for (s, ar), (day, tag), (en, arabic, kind) in pick("class", 400, SUBJECTS, DAYS, CLASSES):
        yield Sentence(f"class:{en},{s},{day}", en.format(s=s, d=day), arabic.format(S=ar, D=tag), kind, "school")
    for (part, word, gender), owner in pick("hurts", 99, PARTS, OWNERS[:4]):
        verb, mine = ("تؤلم" if gender == "f" else "يؤلم") + OBJECT[owner], possessed(word, owner)
        yield Sentence(f"hurts:{part},{owner}", upper(f"{owner} {part} hurts."), f"{mine} {verb}.", subject="health")
        if owner != "my":
            yield Sentence(f"hurt?:{part},{owner}", f"Does {owner} {part} hurt?", f"هل {verb} {mine}؟", "question")
        yield Sentence(f"doctor:{part},{owner}", f"The doctor examined {owner} {part}.", f"فحص الطبيب {mine}.", subject="health")


INGREDIENTS = (
    ("sugar", "السكر", "spoons cups"),
    ("salt", "الملح", "spoons"),
    ("honey", "العسل", "spoons"),
    ("butter", "الزبدة", "spoons"),
    ("oil", "الزيت", "spoons cups"),
    ("flour", "الدقيق", "spoons cups"),
    ("milk", "الحليب", "cups"),
    ("rice", "الأرز", "cups"),
    ("water", "الماء", "cups"),
    ("lemon juice", "عصير الليمون", "spoons"),
)
DISHES = (("soup", "الحساء"), ("cake", "الكعكة"), ("salad", "السلطة"), ("sauce", "الصلصة"))


def cooking() -> Iterator[Sentence]:
    """Amounts of an ingredient in a dish."""
    spoon, cup = Noun("ملعقة", "ملاعق", "f"), Noun("كوب", "أكواب")
    measures = (("spoons", spoon), ("cups", cup))
    for n, (unit, noun), (x, ar, used), (dish, plate) in pick("cook", 900, range(2, 11), measures, INGREDIENTS, DISHES):
        if unit not in used or (unit == "cups" and n > 6):
            continue
        key, amount = f"{n},{unit},{x},{dish}", f"{spell(n)} {unit} of {x}"
        yield Sentence(
            f"add:{key}", f"Add {amount} to the {dish}.", f"أضف {counted(n, noun, 'acc')} من {ar} إلى {plate}.", "request"
        )
        yield Sentence(
            f"needs:{key}", f"In the {dish} there are {amount}.", f"في {plate} {counted(n, noun)} من {ar}.", subject=f"the {dish}"
        )


SIZES = (
    ("long", "طول", "meters", Noun("متر", "أمتار")),
    ("wide", "عرض", "meters", Noun("متر", "أمتار")),
    ("long", "طول", "centimeters", Noun("سنتيمتر", "سنتيمترات")),
    ("high", "ارتفاع", "centimeters", Noun("سنتيمتر", "سنتيمترات")),
)


def measures() -> Iterator[Sentence]:
    """Lengths and weights in words."""
    kilo = Noun("كيلوغرام", "كيلوغرامات")
    for n, thing in pick("weigh", 300, range(2, 31), of_kind("carry", "weight")):
        yield Sentence(
            f"weigh:{n},{thing.en}",
            f"The {thing.en} weighs {spell(n)} kilograms.",
            f"يزن {thing.the} {counted(n, kilo, 'acc')}."
            if thing.noun.gender == "m"
            else f"تزن {thing.the} {counted(n, kilo, 'acc')}.",
            subject=f"the {thing.en}",
        )
    for n, thing, (size, word, unit, noun) in pick(
        "size", 1500, (*range(2, 16), 20, 25, 40, 50), of_kind("building", "vehicle", "own", "carry"), SIZES
    ):
        if (unit == "meters") != bool(thing.kinds & {"building", "vehicle", "own"}):
            continue
        yield Sentence(
            f"size:{n},{thing.en},{size},{unit}",
            f"The {thing.en} is {spell(n)} {unit} {size}.",
            f"{word} {thing.the} {counted(n, noun)}.",
            subject=f"the {thing.en}",
        )


def owners() -> Iterator[Sentence]:
    """Genitives: the teacher's book, the door of the house, relatives in cities."""
    owned = [(t, q) for t, q in said_of() if t.kinds & {"thing", "wear", "fix", "carry", "read", "pet"}]
    holders = [(t.en, t.the) for t in of_kind("human")] + [("girl", "البنت"), ("neighbor", "الجار")]
    for (thing, quality), (owner, ar) in pick("of", 1800, owned, holders):
        yield Sentence(
            f"of:{owner},{thing.en},{quality.en}",
            f"The {owner}'s {thing.en} is {quality.en}.",
            f"{thing.noun.ar} {ar} {quality.word.form(thing.noun.gender)}.",
            subject=f"the {owner}",
        )
    parts = [(t, q) for t in of_kind("part") for q in fitting(t)]
    for (part, quality), whole in pick("part", 700, parts, of_kind("building", "own")):
        if part.kinds & whole.kinds or whole.en in ("garden", "farm"):
            continue
        yield Sentence(
            f"part:{part.en},{quality.en},{whole.en}",
            f"The {part.en} of the {whole.en} is {quality.en}.",
            f"{part.noun.ar} {whole.the} {quality.word.form(part.noun.gender)}.",
            subject=f"the {whole.en}",
        )
    family = [r for r in cells(tables.FAMILY)]
    for r, (city, ar), (en, he, she) in pick(
        "kin", 900, family, CITIES, (("lives in", "يعيش", "تعيش"), ("works in", "يعمل", "تعمل"))
    ):
        verb = she if r[1].endswith("ة") else he
        yield Sentence(
            f"kin:{r[0]},{r[2]},{city},{en}",
            f"The {r[0]} of my {r[2]} {en} {city}.",
            f"{verb} {r[1]} {r[3]} في {ar}.",
            subject="family",
        )


SCENES = (work, school_and_health, cooking, measures, owners)
