"""Facts with several ways to ask for each, in both languages, and the wrong answers of the same kind.

A fact is asked in parallel phrasings; its answer is one short sentence whose last words differ between right and wrong.

>>> from hala.data.world.facts import countries
>>> fact = next(countries())
>>> fact.asks[0].en, fact.answer.en
('What is the capital of France?', 'The capital of France is Paris.')
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hala.data.world import lexicon_facts as tables
from hala.data.world.arabic import ORDINALS, Noun, counted, number, to
from hala.data.world.lexicon import DAYS, MONTHS, cells, spell

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
        rivals = random.Random(key).sample(rivals, min(WRONG_KEPT, len(rivals)))
        yield Fact(
            key=key,
            topic=topic,
            subject=next(iter(case.en.values())),
            asks=tuple(Two(upper(en.format_map(case.en)), ar.format_map(case.ar)) for en, ar in pairs),
            answer=_said(answer, case, case.value),
            wrong=tuple(_said(answer, case, rival) for rival in rivals),
        )


def _alike(a: Two, b: Two) -> bool:
    """Whether the two values are the same in a language or may both be true."""
    return a.en == b.en or a.ar == b.ar or any(a.en in group and b.en in group for group in tables.ALIKE)


def _said(answer: tuple[str, str], case: Case, value: Two) -> Two:
    return Two(upper(answer[0].format(x=value.en, **case.en)), answer[1].format(x=value.ar, **case.ar))


def upper(sentence: str) -> str:
    """The sentence with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]


def _he(noun: str) -> str:
    """The pronoun of a phrase, by the ending of its first word."""
    return "هي" if noun.split()[0].endswith("ة") else "هو"


def _verb(feminine: bool, stem: str) -> str:
    """The present of he or she from what follows the prefix: يعيش, تعيش."""
    return ("ت" if feminine else "ي") + stem


def countries() -> Iterator[Fact]:
    """Capitals in both directions, continents, main languages and currencies."""
    rows = cells(tables.COUNTRIES)
    capital = [Case({"c": r[0]}, {"c": r[1]}, Two(r[3], r[4])) for r in rows]
    yield from relation("capitals", "capital", capital, """
What is the capital of {c}? | ما عاصمة {c}؟
Which city is the capital of {c}? | أي مدينة هي عاصمة {c}؟
Name the capital of {c}. | اذكر عاصمة {c}.
Do you know the capital of {c}? | هل تعرف عاصمة {c}؟
Tell me the name of the capital of {c}. | أخبرني باسم عاصمة {c}.
I want to know the capital of {c}. | أريد أن أعرف عاصمة {c}.
""", ("The capital of {c} is {x}.", "عاصمة {c} هي {x}."))
    reverse = [Case({"c": r[3]}, {"c": r[4]}, Two(r[0], r[1])) for r in rows]
    yield from relation("capitals", "country", reverse, """
{c} is the capital of which country? | {c} هي عاصمة أي دولة؟
Which country has {c} as its capital? | ما الدولة التي عاصمتها {c}؟
Name the country whose capital is {c}. | اذكر الدولة التي عاصمتها {c}.
Of which country is {c} the capital? | لأي دولة تعد {c} عاصمة؟
What is the country with the capital {c}? | ما البلد الذي عاصمته {c}؟
""", ("{c} is the capital of {x}.", "{c} هي عاصمة {x}."))
    continent = [Case({"c": r[0]}, {"c": r[1], "lies": _verb(r[2] == "f", "قع")}, Two(r[5], r[6])) for r in rows if r[5] != "-"]
    yield from relation("continents", "continent", continent, """
Which continent is {c} in? | في أي قارة {lies} {c}؟
On which continent can I find {c}? | في أي قارة أجد {c}؟
Name the continent of {c}. | اذكر قارة {c}.
Tell me the continent where {c} is. | أخبرني بالقارة التي {lies} فيها {c}.
What continent does {c} belong to? | إلى أي قارة تنتمي دولة {c}؟
""", ("{c} is in {x}.", "{lies} {c} في {x}."))
    language = [Case({"c": r[0]}, {"c": r[1]}, Two(r[7], r[8])) for r in rows if r[7] != "-"]
    yield from relation("languages", "language", language, """
What is the main language of {c}? | ما اللغة الرئيسية في {c}؟
Which language do most people speak in {c}? | ما اللغة التي يتحدث بها معظم الناس في {c}؟
Name the main language of {c}. | اذكر اللغة الرئيسية في {c}.
Tell me which language people speak in {c}. | أخبرني بأي لغة يتحدث الناس في {c}.
I will travel to {c}. Which language should I learn? | سأسافر إلى {c}. أي لغة يجب أن أتعلم؟
""", ("The main language of {c} is {x}.", "اللغة الرئيسية في {c} هي {x}."))
    money = [Case({"c": r[0]}, {"c": r[1]}, Two(r[9], r[10])) for r in rows if r[9] != "-"]
    yield from relation("currencies", "currency", money, """
What is the currency of {c}? | ما عملة {c}؟
Which currency do people use in {c}? | أي عملة يستخدمها الناس في {c}؟
Name the currency of {c}. | اذكر عملة {c}.
What money do I need in {c}? | أي نقود أحتاج إليها في {c}؟
Tell me the name of the currency of {c}. | أخبرني باسم عملة {c}.
""", ("The currency of {c} is the {x}.", "عملة {c} هي {x}."))


def _sum_case(a: int, b: int, result: int) -> Case:
    near = [n for n in (result - 3, result - 2, result - 1, result + 1, result + 2, result + 3, result + 10) if n > 0]
    ar = {"a": number(a), "b": number(b, case="gen"), "ag": number(a, case="gen"), "aa": number(a, case="acc"),
          "ba": number(b, case="acc")}
    values = [Two(spell(n), number(n, case="acc")) for n in (result, *near)]
    return Case({"a": spell(a), "b": spell(b)}, ar, values[0], tuple(values[1:]))


def arithmetic() -> Iterator[Fact]:
    """Sums to twelve plus twelve, differences from twenty, products to ten times ten, all in words."""
    add = [_sum_case(a, b, a + b) for a in range(1, 13) for b in range(1, 13)]
    yield from relation("addition", "add", add, """
What is {a} plus {b}? | كم يساوي {a} زائد {b}؟
What is the sum of {a} and {b}? | ما مجموع {ag} و{b}؟
Add {a} and {b}. | اجمع {aa} و{ba}.
Calculate {a} plus {b}. | احسب {aa} زائد {b}.
Tell me the sum of {a} and {b}. | أخبرني بمجموع {ag} و{b}.
What do we get when we add {a} and {b}? | على ماذا نحصل عندما نجمع {aa} و{ba}؟
""", ("{a} plus {b} is {x}.", "{a} زائد {b} يساوي {x}."))
    subtract = [_sum_case(a, b, a - b) for a in range(2, 21) for b in range(1, min(a, 11))]
    yield from relation("subtraction", "subtract", subtract, """
What is {a} minus {b}? | كم يساوي {a} ناقص {b}؟
Subtract {b} from {a}. | اطرح {ba} من {ag}.
What is the difference between {a} and {b}? | ما الفرق بين {ag} و{b}؟
Calculate {a} minus {b}. | احسب {aa} ناقص {b}.
What remains when we take {b} from {a}? | كم يبقى إذا أخذنا {ba} من {ag}؟
""", ("{a} minus {b} is {x}.", "{a} ناقص {b} يساوي {x}."))
    multiply = [_sum_case(a, b, a * b) for a in range(1, 11) for b in range(1, 11)]
    yield from relation("multiplication", "multiply", multiply, """
What is {a} times {b}? | كم يساوي {a} في {b}؟
Multiply {a} by {b}. | اضرب {aa} في {b}.
What is the product of {a} and {b}? | ما حاصل ضرب {ag} في {b}؟
Tell me the product of {a} and {b}. | أخبرني بحاصل ضرب {ag} في {b}.
What do we get when we multiply {a} by {b}? | على ماذا نحصل عندما نضرب {aa} في {b}؟
""", ("{a} times {b} is {x}.", "{a} في {b} يساوي {x}."))


def counting() -> Iterator[Fact]:
    """The number after and before each one to sixty, and which of two numbers is bigger."""
    for name, step, en, ar in (("after", 1, "after", "بعد"), ("before", -1, "before", "قبل")):
        cases = []
        for n in range(2, 61):
            case = _sum_case(n, n, n + step)
            values = [Two(spell(m), number(m)) for m in (n + step, n - step, n + 2 * step, n + 10, n + 3) if m > 0 and m != n]
            cases.append(Case({"a": case.en["a"]}, case.ar, values[0], tuple(dict.fromkeys(values[1:]))))
        yield from relation("counting", name, cases, f"""
Which number comes {en} {{a}}? | ما العدد الذي يأتي {ar} {{ag}}؟
What number comes right {en} {{a}}? | أي عدد يأتي {ar} {{ag}} مباشرة؟
Name the number {en} {{a}}. | اذكر العدد الذي {ar} {{ag}}.
Tell me the number that comes {en} {{a}}. | أخبرني بالعدد الذي يأتي {ar} {{ag}}.
""", (f"The number {en} {{a}} is {{x}}.", f"العدد الذي يأتي {ar} {{ag}} هو {{x}}."))
    for a in range(1, 20):
        for b in range(a + 1, 21):
            yield _bigger(a, b)


def _bigger(a: int, b: int) -> Fact:
    (low, high), (small, great) = (spell(a), spell(b)), (number(a), number(b))
    asks = (
        Two(f"Which number is bigger, {low} or {high}?", f"أي العددين أكبر، {small} أم {great}؟"),
        Two(f"Which number is bigger, {high} or {low}?", f"أي العددين أكبر، {great} أم {small}؟"),
        Two(f"Is {low} bigger than {high}?", f"هل {small} أكبر من {number(b, case='gen')}؟"),
        Two(f"Is {high} bigger than {low}?", f"هل {great} أكبر من {number(a, case='gen')}؟"),
    )
    answer = Two(upper(f"{high} is bigger than {low}."), f"{great} أكبر من {number(a, case='gen')}.")
    return Fact(f"bigger:{a},{b}", "comparison", low, asks, answer)


def calendar() -> Iterator[Fact]:
    """What follows and precedes each day, month and season; the place of a month in the year."""
    two = {"days": [Two(*d) for d in DAYS], "months": [Two(*m) for m in MONTHS]}
    for topic, en, ar, prefix in (("days", "day", "اليوم", "يوم "), ("months", "month", "الشهر", "شهر ")):
        names = two[topic]
        for word, arabic, step in (("after", "بعد", 1), ("before", "قبل", -1)):
            cases = [Case({"d": x.en}, {"d": prefix + x.ar}, names[(i + step) % len(names)]) for i, x in enumerate(names)]
            yield from relation(topic, f"{en}-{word}", cases, f"""
Which {en} comes {word} {{d}}? | ما {ar} الذي يأتي {arabic} {{d}}؟
What {en} comes right {word} {{d}}? | ما {ar} الذي يأتي {arabic} {{d}} مباشرة؟
Name the {en} {word} {{d}}. | اذكر {ar} الذي {arabic} {{d}}.
Tell me the {en} that comes {word} {{d}}. | أخبرني ب{ar} الذي يأتي {arabic} {{d}}.
Do you know the {en} {word} {{d}}? | هل تعرف {ar} الذي {arabic} {{d}}؟
""", (f"The {en} {word} {{d}} is {{x}}.", f"{ar} الذي يأتي {arabic} {{d}} هو {{x}}."))
    order = [Case({"n": _ORDER[i]}, {"n": ORDINALS[i + 1]}, x) for i, x in enumerate(two["months"])]
    yield from relation("months", "month-number", order, """
What is the {n} month of the year? | ما الشهر {n} في السنة؟
Which month is the {n} one? | أي شهر هو الشهر {n}؟
Name the {n} month of the year. | اذكر الشهر {n} في السنة.
Tell me the name of the {n} month. | أخبرني باسم الشهر {n}.
""", ("The {n} month of the year is {x}.", "الشهر {n} في السنة هو {x}."))
    for days, en, ar in (("next", "tomorrow", "غدًا"), ("last", "yesterday", "أمس")):
        step = 1 if days == "next" else -1
        cases = [Case({"d": x.en}, {"d": x.ar}, two["days"][(i + step) % 7]) for i, x in enumerate(two["days"])]
        verb = ("is", "سيكون") if step == 1 else ("was", "كان")
        yield from relation("days", en, cases, f"""
If today is {{d}}, what day {verb[0]} {en}? | إذا كان اليوم هو {{d}}، فأي يوم {verb[1]} {ar}؟
Today is {{d}}. Which day {verb[0]} it {en}? | اليوم هو {{d}}. فأي يوم {verb[1]} {ar}؟
Today is {{d}}. Tell me what day {en} {verb[0]}. | اليوم هو {{d}}. أخبرني أي يوم {verb[1]} {ar}.
""", (f"If today is {{d}}, {en} {verb[0]} {{x}}.", _DAY_ANSWER[step]))


_DAY_ANSWER = {1: "إذا كان اليوم هو {d}، فسيكون الغد هو {x}.", -1: "إذا كان اليوم هو {d}، فقد كان أمس {x}."}
_ORDER = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")


def animals() -> Iterator[Fact]:
    """Young, sounds, homes, food and legs."""
    rows = cells(tables.ANIMALS)
    young = [Case({"c": r[0]}, {"c": r[1]}, Two(r[3], r[4])) for r in rows if r[3] != "-"]
    yield from relation("young", "young", young, """
What is the young of the {c} called? | ماذا يسمى صغير {c}؟
What do we call the young of the {c}? | ماذا نسمي صغير {c}؟
Name the young of the {c}. | اذكر اسم صغير {c}.
Tell me the name of the young of the {c}. | أخبرني باسم صغير {c}.
""", ("The young of the {c} is called the {x}.", "صغير {c} يسمى {x}."))
    sound = [Case({"c": r[0]}, {"c": r[1]}, Two(r[5], r[6])) for r in rows if r[5] != "-"]
    yield from relation("sounds", "sound", sound, """
What is the sound of the {c} called? | ماذا يسمى صوت {c}؟
What do we call the sound of the {c}? | ماذا نسمي صوت {c}؟
Name the sound of the {c}. | اذكر اسم صوت {c}.
Tell me the name of the sound of the {c}. | أخبرني باسم صوت {c}.
""", ("The sound of the {c} is called {x}.", "صوت {c} يسمى {x}."))
    home = [Case({"c": r[0]}, {"c": r[1], "lives": _verb(r[2] == "f", "عيش")}, Two(r[7], r[8])) for r in rows if r[7] != "-"]
    yield from relation("habitats", "home", home, """
Where does the {c} live? | أين {lives} {c}؟
In which place does the {c} live? | في أي مكان {lives} {c}؟
Tell me where the {c} lives. | أخبرني أين {lives} {c}.
Name the place where the {c} lives. | اذكر المكان الذي {lives} فيه {c}.
""", ("The {c} lives {x}.", "{lives} {c} {x}."))
    food = [Case({"c": r[0]}, {"c": r[1], "eats": _verb(r[2] == "f", "أكل")}, Two(r[9], r[10])) for r in rows if r[9] != "-"]
    yield from relation("diets", "diet", food, """
What does the {c} eat? | ماذا {eats} {c}؟
What food does the {c} eat? | أي طعام {eats} {c}؟
Tell me what the {c} eats. | أخبرني ماذا {eats} {c}.
What is the food of the {c}? | ما طعام {c}؟
""", ("The {c} eats {x}.", "{eats} {c} {x}."))
    leg, legs = Noun("رجل", "أرجل", "f"), (2, 4, 6, 8)
    counts = {n: Two(f"{spell(n)} legs", counted(n, leg)) for n in legs}
    limbs = [Case({"c": r[0]}, {"c": r[1], "to": to(r[1])}, counts[int(r[11])], tuple(counts.values())) for r in rows if r[11] != "-"]
    yield from relation("legs", "legs", limbs, """
How many legs does the {c} have? | كم رجلًا {to}؟
What is the number of legs of the {c}? | ما عدد أرجل {c}؟
Tell me how many legs the {c} has. | أخبرني كم رجلًا {to}.
Count the legs of the {c}. | احسب عدد أرجل {c}.
""", ("The {c} has {x}.", "{to} {x}."))


def professions() -> Iterator[Fact]:
    """Where people work, who does what, and with which tool."""
    rows = cells(tables.PROFESSIONS)
    place = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in rows if r[2] != "-"]
    yield from relation("workplaces", "workplace", place, """
Where does the {c} work? | أين يعمل {c}؟
In which place does the {c} work? | في أي مكان يعمل {c}؟
Tell me where the {c} works. | أخبرني أين يعمل {c}.
Name the place where the {c} works. | اذكر المكان الذي يعمل فيه {c}.
""", ("The {c} works {x}.", "يعمل {c} {x}."))
    who = [Case({"c": r[4]}, {"c": r[5]}, Two(f"the {r[0]}", r[1])) for r in rows]
    yield from relation("professions", "who", who, """
Who {c}? | من {c}؟
Which person {c}? | أي شخص {c}؟
Name the person who {c}. | اذكر الشخص الذي {c}.
What do we call the person who {c}? | ماذا نسمي الشخص الذي {c}؟
What is the job of the person who {c}? | ما مهنة الشخص الذي {c}؟
""", ("The person who {c} is {x}.", "الشخص الذي {c} هو {x}."))
    tool = [Case({"c": r[0]}, {"c": r[1]}, Two(r[6], r[7])) for r in rows if r[6] != "-"]
    yield from relation("professions", "tool-of", tool, """
Which tool does the {c} use at work? | أي أداة يستخدم {c} في عمله؟
What does the {c} work with? | بماذا يعمل {c}؟
Name the tool of the {c}. | اذكر أداة {c}.
Tell me which tool the {c} needs. | أخبرني أي أداة يحتاج إليها {c}.
""", ("The {c} uses {x}.", "يستخدم {c} {x}."))


def words() -> Iterator[Fact]:
    """Opposites in both directions and the kinds of things."""
    rows = cells(tables.OPPOSITES)
    cases = [Case({"w": en}, {"w": ar}, Two(x, y)) for a, b, c, d in rows for en, ar, x, y in ((a, b, c, d), (c, d, a, b))]
    yield from relation("opposites", "opposite", cases, """
What is the opposite of "{w}"? | ما عكس كلمة «{w}»؟
Which word is the opposite of "{w}"? | أي كلمة هي عكس «{w}»؟
Give me the opposite of "{w}". | أعطني عكس كلمة «{w}».
Write the opposite of the word "{w}". | اكتب عكس كلمة «{w}».
Do you know the opposite of "{w}"? | هل تعرف عكس كلمة «{w}»؟
""", ('The opposite of "{w}" is "{x}".', "عكس كلمة «{w}» هو «{x}»."))
    kinds = [Case({"c": r[0]}, {"c": r[1], "he": _he(r[1]), "belongs": _verb(_he(r[1]) == "هي", "نتمي")}, Two(r[2], r[3])) for r in cells(tables.KINDS)]
    yield from relation("kinds", "kind", kinds, """
What is {c}? | ما {he} {c}؟
What kind of thing is {c}? | إلى أي نوع من الأشياء {belongs} {c}؟
Tell me what {c} is. | أخبرني ما {he} {c}.
Explain in one sentence what {c} is. | اشرح في جملة واحدة ما {he} {c}.
""", ("{c} is {x}.", "{c} {x}."))


def units() -> Iterator[Fact]:
    """Conversions of one to ten big units into small ones."""
    cases = []
    for row in cells(tables.UNITS):
        big, small, factor = Noun(*row[2:5]), Noun(*row[7:10]), int(row[10])
        for n in range(1, 11):
            near = sorted(range(1, 11), key=lambda m: (abs(m - n), m))[:6]
            values = [Two(f"{spell(m * factor)} {row[6]}", counted(m * factor, small)) for m in near]
            amount = {f"q{case}": counted(n, big, case) for case in ("nom", "acc", "gen")}
            one = small.ar if small.ar.endswith("ة") else small.ar + "ًا"
            ar = amount | {"one": one, "many": small.plural, "all": "ال" + _bare_plural(small.plural),
                           "equals": _verb(n > 2 or big.gender == "f", "ساوي")}
            cases.append(Case({"q": f"{spell(n)} {row[0] if n == 1 else row[1]}", "s": row[6]}, ar, values[0], tuple(values[1:])))
    yield from relation("units", "unit", cases, """
How many {s} are there in {q}? | كم {one} في {qgen}؟
Convert {q} to {s}. | حول {qacc} إلى {many}.
How much is {q} in {s}? | كم {equals} {qnom} ب{all}؟
Tell me how many {s} are in {q}. | أخبرني كم {one} في {qgen}.
Calculate the number of {s} in {q}. | احسب عدد {all} في {qgen}.
""", ("In {q} there are {x}.", "في {qgen} {x}."))


def _bare_plural(plural: str) -> str:
    """A plural that loses its final ya only without the article gets it back: ثوان, الثواني."""
    return "ثواني" if plural == "ثوان" else plural


def everyday() -> Iterator[Fact]:
    """Family, colours, materials, the body, tools and places."""
    family = [Case({"a": r[0], "b": r[2]}, {"a": r[1], "b": r[3], "he": _he(r[1])}, Two(r[4], r[5])) for r in cells(tables.FAMILY)]
    yield from relation("family", "family", family, """
Who is the {a} of my {b}? | من {he} {a} {b}؟
What do I call the {a} of my {b}? | ماذا أسمي {a} {b}؟
What is the {a} of my {b} to me? | ما قرابة {a} {b} لي؟
Tell me who the {a} of my {b} is. | أخبرني من {he} {a} {b}.
""", ("The {a} of my {b} is my {x}.", "{a} {b} {he} {x}."))
    yield from colours()
    made = [Case({"c": r[0]}, {"c": r[1], "made": _verb(r[2] == "f", "صنع")}, Two(r[3], r[4])) for r in cells(tables.MATERIALS)]
    yield from relation("materials", "material", made, """
What is {c} made from? | مم {made} {c}؟
From which material is {c} made? | من أي مادة {made} {c}؟
Tell me what {c} is made from. | أخبرني مم {made} {c}.
Name the material from which {c} is made. | اذكر المادة التي {made} منها {c}.
""", ("{c} is made from {x}.", "{made} {c} من {x}."))
    body = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in cells(tables.BODY)]
    yield from relation("body", "body", body, """
What do we {c} with? | بماذا {c}؟
With which part of the body do we {c}? | بأي جزء من الجسم {c}؟
Tell me what we {c} with. | أخبرني بماذا {c}.
Name the part of the body that we {c} with. | اذكر جزء الجسم الذي {c} به.
""", ("We {c} with {x}.", "{c} {x}."))
    tools = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in cells(tables.TOOLS)]
    yield from relation("tools", "tool", tools, """
What do we use to {c}? | ماذا نستخدم ل{c}؟
Which tool do we need to {c}? | أي أداة نحتاج إليها ل{c}؟
I want to {c}. What do I need? | أريد {c}. إلى ماذا أحتاج؟
Tell me what we use to {c}. | أخبرني ماذا نستخدم ل{c}.
""", ("To {c} we use {x}.", "ل{c} نستخدم {x}."))
    places = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in cells(tables.PLACES)]
    yield from relation("places", "place", places, """
Where do we {c}? | أين {c}؟
In which place do we {c}? | في أي مكان {c}؟
Tell me where we {c}. | أخبرني أين {c}.
Name the place where we {c}. | اذكر المكان الذي {c} فيه.
""", ("We {c} {x}.", "{c} {x}."))


def colours() -> Iterator[Fact]:
    """The colours of things; the Arabic colour agrees with the thing."""
    palette = {r[0]: r for r in cells(tables.COLOURS)}
    cases = []
    for en, ar, gender, colour in cells(tables.COLOURED):
        values = {name: Two(name, row[1 if gender == "m" else 2]) for name, row in palette.items()}
        cases.append(Case({"c": en}, {"c": ar}, values[colour], tuple(values.values())))
    yield from relation("colors", "color", cases, """
What color is {c}? | ما لون {c}؟
Do you know the color of {c}? | هل تعرف لون {c}؟
Tell me the color of {c}. | أخبرني بلون {c}.
Describe the color of {c}. | صف لون {c}.
""", ("{c} is {x}.", "{c} {x}."))


GROUPS: tuple[Callable[[], Iterable[Fact]], ...] = (
    countries, arithmetic, counting, calendar, animals, professions, words, units, everyday)

