"""Facts about numbers: sums, counting, days and months, conversions of units."""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world import lexicon_facts as tables
from hala.data.world.arabic import ORDINALS, Noun, counted, number
from hala.data.world.facts import Case, Fact, Two, present, relation, upper
from hala.data.world.lexicon import DAYS, MONTHS, cells, spell


def _sum_case(a: int, b: int, result: int) -> Case:
    near = [n for n in (result - 3, result - 2, result - 1, result + 1, result + 2, result + 3, result + 10) if n > 0]
    ar = {
        "a": number(a),
        "b": number(b, case="gen"),
        "ag": number(a, case="gen"),
        "aa": number(a, case="acc"),
        "ba": number(b, case="acc"),
    }
    values = [Two(spell(n), number(n, case="acc")) for n in (result, *near)]
    return Case({"a": spell(a), "b": spell(b)}, ar, values[0], tuple(values[1:]))


def arithmetic() -> Iterator[Fact]:
    """Sums to twelve plus twelve, differences from twenty, in words."""
    add = [_sum_case(a, b, a + b) for a in range(1, 13) for b in range(1, 13)]
    yield from relation(
        "addition",
        "add",
        add,
        """
What is {a} plus {b}? | كم يساوي {a} زائد {b}؟
What is the sum of {a} and {b}? | ما مجموع {ag} و{b}؟
Add {a} and {b}. | اجمع {aa} و{ba}.
Calculate {a} plus {b}. | احسب {aa} زائد {b}.
Tell me the sum of {a} and {b}. | أخبرني بمجموع {ag} و{b}.
What do we get when we add {a} and {b}? | على ماذا نحصل عندما نجمع {aa} و{ba}؟
""",
        ("{a} plus {b} is {x}.", "{a} زائد {b} يساوي {x}."),
    )
    subtract = [_sum_case(a, b, a - b) for a in range(2, 21) for b in range(1, min(a, 11))]
    yield from relation(
        "subtraction",
        "subtract",
        subtract,
        """
What is {a} minus {b}? | كم يساوي {a} ناقص {b}؟
Subtract {b} from {a}. | اطرح {ba} من {ag}.
What is the difference between {a} and {b}? | ما الفرق بين {ag} و{b}؟
Calculate {a} minus {b}. | احسب {aa} ناقص {b}.
What remains when we take {b} from {a}? | كم يبقى إذا أخذنا {ba} من {ag}؟
""",
        ("{a} minus {b} is {x}.", "{a} ناقص {b} يساوي {x}."),
    )


def products() -> Iterator[Fact]:
    """Products to ten times ten, in words."""
    multiply = [_sum_case(a, b, a * b) for a in range(1, 11) for b in range(1, 11)]
    yield from relation(
        "multiplication",
        "multiply",
        multiply,
        """
What is {a} times {b}? | كم يساوي {a} في {b}؟
Multiply {a} by {b}. | اضرب {aa} في {b}.
What is the product of {a} and {b}? | ما حاصل ضرب {ag} في {b}؟
Tell me the product of {a} and {b}. | أخبرني بحاصل ضرب {ag} في {b}.
What do we get when we multiply {a} by {b}? | على ماذا نحصل عندما نضرب {aa} في {b}؟
""",
        ("{a} times {b} is {x}.", "{a} في {b} يساوي {x}."),
    )


def counting() -> Iterator[Fact]:
    """The number after and before each one to sixty, and which of two numbers is bigger."""
    for name, step, en, ar in (("after", 1, "after", "بعد"), ("before", -1, "before", "قبل")):
        cases = []
        for n in range(2, 61):
            case = _sum_case(n, n, n + step)
            values = [Two(spell(m), number(m)) for m in (n + step, n - step, n + 2 * step, n + 10, n + 3) if m > 0 and m != n]
            cases.append(Case({"a": case.en["a"]}, case.ar, values[0], tuple(dict.fromkeys(values[1:]))))
        yield from relation(
            "counting",
            name,
            cases,
            f"""
Which number comes {en} {{a}}? | ما العدد الذي يأتي {ar} {{ag}}؟
What number comes right {en} {{a}}? | أي عدد يأتي {ar} {{ag}} مباشرة؟
Name the number {en} {{a}}. | اذكر العدد الذي {ar} {{ag}}.
Tell me the number that comes {en} {{a}}. | أخبرني بالعدد الذي يأتي {ar} {{ag}}.
""",
            (f"The number {en} {{a}} is {{x}}.", f"العدد الذي يأتي {ar} {{ag}} هو {{x}}."),
        )
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


def units() -> Iterator[Fact]:
    """Conversions of one to ten big units into small ones."""
    cases = []
    for row in cells(tables.UNITS):
        big, small, factor = Noun(row[2], row[3], row[4]), Noun(row[7], row[8], row[9]), int(row[10])
        for n in range(1, 11):
            near = sorted(range(1, 11), key=lambda m: (abs(m - n), m))[:6]
            values = [Two(f"{spell(m * factor)} {row[6]}", counted(m * factor, small)) for m in near]
            amount = {f"q{case}": counted(n, big, case) for case in ("nom", "acc", "gen")}
            one = small.ar if small.ar.endswith("ة") else small.ar + "ًا"
            ar = amount | {
                "one": one,
                "many": small.plural,
                "all": "ال" + _bare_plural(small.plural),
                "equals": present(n > 2 or big.gender == "f", "ساوي"),
            }
            cases.append(Case({"q": f"{spell(n)} {row[0] if n == 1 else row[1]}", "s": row[6]}, ar, values[0], tuple(values[1:])))
    yield from relation(
        "units",
        "unit",
        cases,
        """
How many {s} are there in {q}? | كم {one} في {qgen}؟
Convert {q} to {s}. | حول {qacc} إلى {many}.
How much is {q} in {s}? | كم {equals} {qnom} ب{all}؟
Tell me how many {s} are in {q}. | أخبرني كم {one} في {qgen}.
Calculate the number of {s} in {q}. | احسب عدد {all} في {qgen}.
""",
        ("In {q} there are {x}.", "في {qgen} {x}."),
    )


def _bare_plural(plural: str) -> str:
    """A plural that loses its final ya only without the article gets it back: ثوان, الثواني."""
    return "ثواني" if plural == "ثوان" else plural


def calendar() -> Iterator[Fact]:
    """What follows and precedes each day, month and season; the place of a month in the year."""
    two = {"days": [Two(*d) for d in DAYS], "months": [Two(*m) for m in MONTHS]}
    for topic, en, ar, prefix in (("days", "day", "اليوم", "يوم "), ("months", "month", "الشهر", "شهر ")):
        names = two[topic]
        for word, arabic, step in (("after", "بعد", 1), ("before", "قبل", -1)):
            cases = [Case({"d": x.en}, {"d": prefix + x.ar}, names[(i + step) % len(names)]) for i, x in enumerate(names)]
            yield from relation(
                topic,
                f"{en}-{word}",
                cases,
                f"""
Which {en} comes {word} {{d}}? | ما {ar} الذي يأتي {arabic} {{d}}؟
What {en} comes right {word} {{d}}? | ما {ar} الذي يأتي {arabic} {{d}} مباشرة؟
Name the {en} {word} {{d}}. | اذكر {ar} الذي {arabic} {{d}}.
Tell me the {en} that comes {word} {{d}}. | أخبرني ب{ar} الذي يأتي {arabic} {{d}}.
Do you know the {en} {word} {{d}}? | هل تعرف {ar} الذي {arabic} {{d}}؟
""",
                (f"The {en} {word} {{d}} is {{x}}.", f"{ar} الذي يأتي {arabic} {{d}} هو {{x}}."),
            )
    order = [Case({"n": _ORDER[i]}, {"n": ORDINALS[i + 1]}, x) for i, x in enumerate(two["months"])]
    yield from relation(
        "months",
        "month-number",
        order,
        """
What is the {n} month of the year? | ما الشهر {n} في السنة؟
Which month is the {n} one? | أي شهر هو الشهر {n}؟
Name the {n} month of the year. | اذكر الشهر {n} في السنة.
Tell me the name of the {n} month. | أخبرني باسم الشهر {n}.
""",
        ("The {n} month of the year is {x}.", "الشهر {n} في السنة هو {x}."),
    )
    for days, en, ar in (("next", "tomorrow", "غدًا"), ("last", "yesterday", "أمس")):
        step = 1 if days == "next" else -1
        cases = [Case({"d": x.en}, {"d": x.ar}, two["days"][(i + step) % 7]) for i, x in enumerate(two["days"])]
        verb = ("is", "سيكون") if step == 1 else ("was", "كان")
        yield from relation(
            "days",
            en,
            cases,
            f"""
If today is {{d}}, what day {verb[0]} {en}? | إذا كان اليوم هو {{d}}، فأي يوم {verb[1]} {ar}؟
Today is {{d}}. Which day {verb[0]} it {en}? | اليوم هو {{d}}. فأي يوم {verb[1]} {ar}؟
Today is {{d}}. Tell me what day {en} {verb[0]}. | اليوم هو {{d}}. أخبرني أي يوم {verb[1]} {ar}.
""",
            (f"If today is {{d}}, {en} {verb[0]} {{x}}.", _DAY_ANSWER[step]),
        )


_DAY_ANSWER = {1: "إذا كان اليوم هو {d}، فسيكون الغد هو {x}.", -1: "إذا كان اليوم هو {d}، فقد كان أمس {x}."}


_ORDER = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")


NUMBER_FACTS = (arithmetic, products, counting, calendar, units)
