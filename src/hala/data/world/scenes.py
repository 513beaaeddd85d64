"""More sentences of the small world: protected spans, work, school, health, cooking, measures, owners, reasons and superlatives.

A sentence with a protected span (address, code, formula, number) is keyed without the span, so that its masked form has one split.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from hala.data.world import lexicon_facts as tables
from hala.data.world.arabic import Noun, counted, possessed, tanwin
from hala.data.world.facts import upper
from hala.data.world.lexicon import (
    DAYS,
    OWNERS,
    Person,
    Thing,
    a,
    actions,
    cells,
    fitting,
    of_kind,
    people,
    qualities,
    spell,
)
from hala.data.world.sentences import CITIES, WEATHER, Kind, Sentence, pick, said_of

# kind | nouns (papers, goods or sights) | english | arabic: {u} address, {e} e-mail, {k} code, {p} and {r} placeholders of people,
# {c} of a colour, {m} formula, {n} number, {d} decimal, {h} hour, {f} file, {t} thing
SPANS = """
request|papers|Open {u} and read the {t}.|افتح {u} واقرأ {T}.
request|papers|Send the {t} to {e}.|أرسل {T} إلى {e}.
request|papers|Send the {t} to {e} before {h}.|أرسل {T} إلى {e} قبل الساعة {h}.
statement|papers|I found the {t} at {u}.|وجدت {T} على {u}.
statement|papers|You can find the {t} in {f}.|يمكنك أن تجد {T} في {f}.
statement|goods|We wrote about the {t} at {u}.|كتبنا عن {T} على {u}.
question|goods|Can I buy the {t} at {u}?|هل يمكنني أن أشتري {T} من {u}؟
request|goods|Write to {e} and ask about the {t}.|اكتب إلى {e} واسأل عن {T}.
statement|papers|The teacher sent the {t} to {e}.|أرسل المعلم {T} إلى {e}.
request|sights|Save the picture of the {t} as {f}.|احفظ صورة {T} باسم {f}.
statement|sights|The picture of the {t} is in the file {f}.|صورة {T} في الملف {f}.
request|papers|Send {f} with the {t} to {e}.|أرسل {f} مع {T} إلى {e}.
request|sights|Run {k} and look at the {t}.|شغل {k} وانظر إلى {T}.
statement|sights|The command {k} draws the {t}.|الأمر {k} يرسم {T}.
request|sights|In {k}, change the color of the {t} to {c}.|غير لون {T} إلى {c} في {k}.
question|papers|What does {k} do with the {t}?|ماذا يفعل {k} مع {T}؟
statement|goods|Hello {p}, your {t} is waiting for you.|مرحبًا {p}، {Y} في انتظارك.
statement|goods|Dear {p}, the price of the {t} is {d}.|عزيزي {p}، سعر {T} هو {d}.
statement|goods|{p} bought the {t} from {r}.|اشترى {p} {T} من {r}.
request|goods|Give {p} the {t}, please.|أعط {p} {T} من فضلك.
statement|goods|The number of the {t} is {n}.|رقم {T} هو {n}.
question|goods|Is {n} the number of the {t}?|هل {n} هو رقم {T}؟
statement|goods|The price of the {t} in dollars is {d}.|سعر {T} بالدولار هو {d}.
question|papers|Who sent the {t} to {e} at {h}?|من أرسل {T} إلى {e} في الساعة {h}؟
"""
FORMULAS = """
request|Solve {m}.|حل المعادلة {m}.
request|Find the value of $x$ in {m}.|أوجد قيمة $x$ في {m}.
statement|We know that {m}.|نعلم أن {m}.
question|Is {m} true?|هل {m} صحيحة؟
statement|The teacher wrote {m} on the board.|كتب المعلم {m} على السبورة.
statement|If {m}, the answer is {n}.|إذا كانت {m}، فالجواب هو {n}.
request|Draw the line {m} on paper.|ارسم الخط {m} على الورق.
statement|The students read the formula {m} in the book.|قرأ الطلاب الصيغة {m} في الكتاب.
question|Why is {m} false?|لماذا {m} خاطئة؟
statement|The formula {m} is easy.|الصيغة {m} سهلة.
"""
WORDS = ("news", "books", "cars", "food", "travel", "school", "shop", "maps", "help", "data")
NAMES = ("info", "sami", "layla", "office", "support", "karim")
CODES = ("`ls -l`", "`print(x)`", "`git status`", "`draw()`", "`x = 5`", "`cat notes.txt`", "`run --fast`", "`list.sort()`")
FILES = ("`photo.png`", "`report.pdf`", "`notes.txt`", "`data.csv`", "`car_2.jpg`", "`map-01.svg`", "report.pdf", "photo_7.png")
PLACEHOLDERS = ("{name}", "{user}", "{first_name}", "{customer}", "{friend}", "{full_name}")


def _spans(rng: random.Random) -> dict[str, str]:
    """One random filling for every kind of protected span."""
    n, m = rng.randint(2, 9), rng.randint(10, 99)
    first, second = rng.sample(PLACEHOLDERS, 2)
    return {
        "u": f"https://{rng.choice(('example.com', 'www.example.org', 'example.net'))}/{rng.choice(WORDS)}/{m}",
        "e": f"{rng.choice(NAMES)}{rng.choice(('', str(n)))}@example.{rng.choice(('com', 'org'))}",
        "k": rng.choice(CODES), "f": rng.choice(FILES), "p": first, "r": second,
        "m": rng.choice((f"$x + {n} = {m}$", f"${n}x = {m}$", f"$y = {n}x + {m}$", f"$x^2 = {n * n}$", f"$\\frac{{x}}{{{n}}} = {m}$")),
        "n": rng.choice((str(m), str(m * 11), f"{n},{m}0", f"20{m}")), "d": f"{m}.{n}0", "h": f"{n}:{rng.choice((15, 30, 45))}",
        "c": rng.choice(("{color}", "{new_color}", "`#ff0000`", "`#00ff00`")),
    }


def protected() -> Iterator[Sentence]:
    """Sentences that carry spans which stay the same in both languages."""
    groups = {"papers": of_kind("read", "paper", "send"), "goods": of_kind("thing", "wear", "fix"),
              "sights": of_kind("animal", "vehicle", "building", "nature")}
    for kind, group, en, ar in cells(SPANS):
        for thing, turn in pick(en, 180, groups[group], range(4)):
            slots = _spans(random.Random(f"{en}{thing.en}{turn}"))
            slots |= {"t": thing.en, "T": thing.the, "Y": possessed(thing.noun.ar, "your")}
            yield Sentence(f"span:{en},{thing.en}", upper(_fill(en, slots)), _fill(ar, slots), _kind(kind), "protected")
    for (kind, en, ar), turn in pick("formulas", 400, cells(FORMULAS), range(40)):
        slots = _spans(random.Random(f"{en}{turn}"))
        yield Sentence(f"formula:{en}", _fill(en, slots), _fill(ar, slots), _kind(kind), "protected")


def _kind(word: str) -> Kind:
    return "question" if word == "question" else "request" if word == "request" else "statement"


def _fill(template: str, slots: dict[str, str]) -> str:
    return template.format_map(slots)


# job | masculine (feminine + ة)
JOBS = (("doctor", "طبيب"), ("teacher", "معلم"), ("engineer", "مهندس"), ("farmer", "مزارع"), ("baker", "خباز"), ("cook", "طباخ"),
        ("writer", "كاتب"), ("painter", "رسام"), ("nurse", "ممرض"), ("photographer", "مصور"))


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
        (f"{who} wants to become {job}.", f"{'تريد' if she else 'يريد'} {name} أن {'تصبح' if she else 'يصبح'} {acc}.", "statement"),
        (f"is {who} {job}?", f"هل {name} {ar}؟", "question"),
    ]


SUBJECTS = (("math", "الرياضيات"), ("science", "العلوم"), ("history", "التاريخ"), ("geography", "الجغرافيا"), ("music", "الموسيقى"),
            ("Arabic", "اللغة العربية"), ("English", "اللغة الإنجليزية"), ("art", "الفنون"))
CLASSES = (("We study {s} on {d}.", "ندرس {S} يوم {D}.", "statement"), ("The {s} lesson is on {d}.", "درس {S} يوم {D}.", "statement"),
           ("The {s} exam was on {d}.", "كان امتحان {S} يوم {D}.", "statement"), ("Do we have {s} on {d}?", "هل لدينا {S} يوم {D}؟", "question"),
           ("Layla teaches {s} on {d}.", "تعلم ليلى {S} يوم {D}.", "statement"),
           ("Bring the {s} book on {d}.", "أحضر كتاب {S} يوم {D}.", "request"))
PARTS = (("head", "رأس", "m"), ("hand", "يد", "f"), ("back", "ظهر", "m"), ("stomach", "معدة", "f"), ("eye", "عين", "f"), ("ear", "أذن", "f"),
         ("foot", "قدم", "f"), ("knee", "ركبة", "f"), ("tooth", "سن", "f"), ("neck", "رقبة", "f"))
OBJECT = {"my": "ني", "your": "ك", "his": "ه", "her": "ها", "our": "نا", "their": "هم"}


def school_and_health() -> Iterator[Sentence]:
    """Lessons on days, and what hurts."""
    for (s, ar), (day, tag), (en, arabic, kind) in pick("class", 400, SUBJECTS, DAYS, CLASSES):
        yield Sentence(f"class:{en},{s},{day}", en.format(s=s, d=day), arabic.format(S=ar, D=tag), kind, "school")
    for (part, word, gender), owner in pick("hurts", 99, PARTS, OWNERS[:4]):
        verb, mine = ("تؤلم" if gender == "f" else "يؤلم") + OBJECT[owner], possessed(word, owner)
        yield Sentence(f"hurts:{part},{owner}", upper(f"{owner} {part} hurts."), f"{mine} {verb}.", subject="health")
        yield Sentence(f"hurt?:{part},{owner}", f"Does {owner} {part} hurt?", f"هل {verb} {mine}؟", "question")
        yield Sentence(f"doctor:{part},{owner}", f"The doctor examined {owner} {part}.", f"فحص الطبيب {mine}.", subject="health")


INGREDIENTS = (("sugar", "السكر", "spoons cups"), ("salt", "الملح", "spoons"), ("honey", "العسل", "spoons"), ("butter", "الزبدة", "spoons"),
               ("oil", "الزيت", "spoons cups"), ("flour", "الدقيق", "spoons cups"), ("milk", "الحليب", "cups"), ("rice", "الأرز", "cups"),
               ("water", "الماء", "cups"), ("lemon juice", "عصير الليمون", "spoons"))
DISHES = (("soup", "الحساء"), ("cake", "الكعكة"), ("salad", "السلطة"), ("sauce", "الصلصة"))


def cooking() -> Iterator[Sentence]:
    """Amounts of an ingredient in a dish."""
    spoon, cup = Noun("ملعقة", "ملاعق", "f"), Noun("كوب", "أكواب")
    measures = (("spoons", spoon), ("cups", cup))
    for n, (unit, noun), (x, ar, used), (dish, plate) in pick("cook", 900, range(2, 11), measures, INGREDIENTS, DISHES):
        if unit not in used or (unit == "cups" and n > 6):
            continue
        key, amount = f"{n},{unit},{x},{dish}", f"{spell(n)} {unit} of {x}"
        yield Sentence(f"add:{key}", f"Add {amount} to the {dish}.", f"أضف {counted(n, noun, 'acc')} من {ar} إلى {plate}.", "request")
        yield Sentence(f"needs:{key}", f"In the {dish} there are {amount}.", f"في {plate} {counted(n, noun)} من {ar}.", subject=f"the {dish}")


SIZES = (("long", "طول", "meters", Noun("متر", "أمتار")), ("wide", "عرض", "meters", Noun("متر", "أمتار")),
         ("long", "طول", "centimeters", Noun("سنتيمتر", "سنتيمترات")), ("high", "ارتفاع", "centimeters", Noun("سنتيمتر", "سنتيمترات")))


def measures() -> Iterator[Sentence]:
    """Lengths and weights in words."""
    kilo = Noun("كيلوغرام", "كيلوغرامات")
    for n, thing in pick("weigh", 300, range(2, 31), of_kind("carry", "weight")):
        yield Sentence(f"weigh:{n},{thing.en}", f"The {thing.en} weighs {spell(n)} kilograms.", f"يزن {thing.the} {counted(n, kilo, 'acc')}."
                       if thing.noun.gender == "m" else f"تزن {thing.the} {counted(n, kilo, 'acc')}.", subject=f"the {thing.en}")
    for n, thing, (size, word, unit, noun) in pick("size", 1500, (*range(2, 16), 20, 25, 40, 50), of_kind("building", "vehicle", "own", "carry"), SIZES):
        if (unit == "meters") != bool(thing.kinds & {"building", "vehicle", "own"}):
            continue
        yield Sentence(f"size:{n},{thing.en},{size},{unit}", f"The {thing.en} is {spell(n)} {unit} {size}.",
                       f"{word} {thing.the} {counted(n, noun)}.", subject=f"the {thing.en}")


def owners() -> Iterator[Sentence]:
    """Genitives: the teacher's book, the door of the house, relatives in cities."""
    owned = [(t, q) for t, q in said_of() if t.kinds & {"thing", "wear", "fix", "carry", "read", "pet"}]
    holders = [(t.en, t.the) for t in of_kind("human")] + [("girl", "البنت"), ("neighbor", "الجار")]
    for (thing, quality), (owner, ar) in pick("of", 1800, owned, holders):
        yield Sentence(f"of:{owner},{thing.en},{quality.en}", f"The {owner}'s {thing.en} is {quality.en}.",
                       f"{thing.noun.ar} {ar} {quality.word.form(thing.noun.gender)}.", subject=f"the {owner}")
    parts = [(t, q) for t in of_kind("part") for q in fitting(t)]
    for (part, quality), whole in pick("part", 700, parts, of_kind("building", "own")):
        if part.kinds & whole.kinds:
            continue
        yield Sentence(f"part:{part.en},{quality.en},{whole.en}", f"The {part.en} of the {whole.en} is {quality.en}.",
                       f"{part.noun.ar} {whole.the} {quality.word.form(part.noun.gender)}.", subject=f"the {whole.en}")
    family = [r for r in cells(tables.FAMILY)]
    for r, (city, ar), (en, he, she) in pick("kin", 900, family, CITIES, (("lives in", "يعيش", "تعيش"), ("works in", "يعمل", "تعمل"))):
        verb = she if r[1].endswith("ة") else he
        yield Sentence(f"kin:{r[0]},{r[2]},{city},{en}", f"The {r[0]} of my {r[2]} {en} {city}.", f"{verb} {r[1]} {r[3]} في {ar}.",
                       subject="family")


# base and stem of the first person, with which a pronoun ending is written on
BOUGHT = (("I bought", "اشتريت"), ("I saw", "رأيت"), ("I found", "وجدت"), ("I sold", "بعت"), ("I took", "أخذت"), ("we bought", "اشترينا"),
          ("we saw", "رأينا"), ("we found", "وجدنا"), ("we sold", "بعنا"), ("she bought", "اشترت"), ("she took", "أخذت"))


def relatives() -> Iterator[Sentence]:
    """Relative clauses and superlatives."""
    owned = [(t, q) for t, q in said_of() if t.kinds & {"thing", "wear", "fix", "carry"}]
    for (thing, quality), (en, ar) in pick("that", 1800, owned, BOUGHT):
        feminine = thing.noun.gender == "f"
        clause = f"{'التي' if feminine else 'الذي'} {ar}{'ها' if feminine else 'ه'}"
        yield Sentence(f"that:{en},{thing.en},{quality.en}", f"The {thing.en} that {en} is {quality.en}.",
                       f"{thing.the} {clause} {quality.word.form(thing.noun.gender)}.", subject=f"the {thing.en}")
    most = {"new": "newest", "old": "oldest", "big": "biggest", "small": "smallest", "beautiful": "most beautiful", "tall": "tallest",
            "famous": "most famous"}
    best = [(t, q) for t in of_kind("building", "visit", "own") for q in qualities()
            if q.en in most and q.kinds & t.kinds and not t.kinds & {"city"}]
    for (thing, quality), (city, ar) in pick("most", 1500, best, CITIES[len(CITIES) // 2 :]):
        this = "هذه" if thing.noun.gender == "f" else "هذا"
        yield Sentence(f"most:{thing.en},{quality.en},{city}", f"This is the {most[quality.en]} {thing.en} in {city}.",
                       f"{this} {quality.word.elative} {thing.noun.ar} في {ar}.", subject=city)


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
CAUSES = (("the weather was cold", "الطقس كان باردًا"), ("the street was closed", "الشارع كان مغلقًا"), ("the car was old", "السيارة كانت قديمة"),
          ("my father was sick", "أبي كان مريضًا"), ("the night was dark", "الليل كان مظلمًا"), ("the children were tired", "الأطفال كانوا متعبين"),
          ("the train was late", "القطار كان متأخرًا"), ("the street was loud", "الشارع كان صاخبًا"), ("my sister was tired", "أختي كانت متعبة"),
          ("the market was near", "السوق كان قريبًا"))
OUTDOORS = (("go to the sea", "نذهب إلى البحر"), ("play football", "نلعب كرة القدم"), ("eat in the garden", "نأكل في الحديقة"),
            ("walk to the market", "نمشي إلى السوق"), ("swim in the river", "نسبح في النهر"), ("visit the farm", "نزور المزرعة"))
INDOORS = (("stay at home", "نبقى في البيت"), ("read a story", "نقرأ قصة"), ("clean the house", "ننظف البيت"), ("visit the museum", "نزور المتحف"),
           ("cook soup", "نطبخ الحساء"), ("travel by train", "نسافر بالقطار"))


def reasons() -> Iterator[Sentence]:
    """Because and if."""
    for row in cells(EFFECTS):
        for who, ar in zip(("I", "we", "Sami", "Layla"), row[1:5], strict=True):
            yield Sentence(f"did:{who},{row[0]}", upper(f"{who} {row[0]}."), f"{ar}.", subject=who)
            for en, cause in (CAUSES[int(place)] for place in row[5].split()):
                yield Sentence(f"because:{who},{row[0]},{en}", upper(f"{who} {row[0]} because {en}."), f"{ar} لأن {cause}.", subject=who)
    for (sky, word), (plan, ar) in pick("if", 200, WEATHER, OUTDOORS + INDOORS):
        if (sky in ("hot", "sunny", "beautiful")) != ((plan, ar) in OUTDOORS):
            continue
        yield Sentence(f"if:{sky},{plan}", f"If the weather is {sky}, we will {plan}.", f"إذا كان الطقس {tanwin(word)}، فسوف {ar}.",
                       subject="weather")
        yield Sentence(f"shall:{sky},{plan}", f"We will {plan} when the weather is {sky}.", f"سوف {ar} عندما يكون الطقس {tanwin(word)}.",
                       subject="weather")


def wishes() -> Iterator[Sentence]:
    """A wanted or missing thing with its quality, and whose turn it is to act."""
    wanted: list[tuple[Thing, str, str]] = [(t, q.en, q.word.accusative(t.noun.gender)) for t, q in said_of() if t.kinds & {"thing", "wear", "own"}]
    frames = (("I want {x}.", "أريد {y}."), ("Do you want {x}?", "هل تريد {y}؟"), ("My mother wants {x}.", "تريد أمي {y}."),
              ("Sami is looking for {x}.", "يبحث سامي عن {z}."), ("I dream of {x}.", "أحلم ب{z}."))
    for (thing, quality, acc), (en, ar) in pick("want", 1500, wanted, frames):
        plain = next(q for q in qualities() if q.en == quality).word.form(thing.noun.gender)
        kind: Kind = "question" if en.endswith("?") else "statement"
        yield Sentence(f"want:{en},{thing.en},{quality}", en.format(x=a(f"{quality} {thing.en}")),
                       ar.format(y=f"{tanwin(thing.noun.ar)} {acc}", z=f"{thing.noun.ar} {plain}"), kind)
    hopes = [action for action in actions() if action.verb.command]
    for action in hopes:
        for thing in of_kind(*action.objects.split())[:12]:
            yield Sentence(f"always:{action.base},{thing.en}", f"I always {action.base} {a(thing.en)}.",
                           f"{action.verb.now('I')} {tanwin(thing.noun.ar)} دائمًا.", subject="I")
            yield Sentence(f"who:{action.base},{thing.en}", f"Who {action.past} the {thing.en}?", f"من {action.verb.past} {thing.the}؟", "question")


SCENES = (protected, work, school_and_health, cooking, measures, owners, relatives, reasons, wishes)
