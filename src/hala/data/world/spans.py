"""Sentences with protected spans: addresses, code, formulas, placeholders, numbers and files, the same in both languages.

Each is keyed without its span, so that its masked form belongs to one split.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from hala.data.world.arabic import possessed
from hala.data.world.facts import upper
from hala.data.world.lexicon import actions, cells, of_kind
from hala.data.world.sentences import Kind, Sentence, is_ar, pick, said_of

# kind | nouns (papers, goods or sights) | english | arabic: {u} address, {e} e-mail, {k} code, {p} {r} placeholders,
# {c} of a colour, {m} formula, {n} number, {d} decimal, {h} hour, {f} file, {i} image, {t} thing
SPANS = """
request|papers|Open {u} and read the {t}.|افتح {u} واقرأ {T}.
request|papers|Send the {t} to {e}.|أرسل {T} إلى {e}.
request|papers|Send the {t} to {e} before {h}.|أرسل {T} إلى {e} قبل الساعة {h}.
statement|papers|I found the {t} at {u}.|وجدت {T} على {u}.
statement|papers|You can find the {t} in {f}.|يمكنك أن تجد {T} في {f}.
statement|goods|We wrote about the {t} at {u}.|كتبنا عن {T} على {u}.
question|goods|Can I buy the {t} at {u} now?|هل يمكنني أن أشتري {T} من {u} الآن؟
request|goods|Write to {e} and ask about the {t}.|اكتب إلى {e} واسأل عن {T}.
statement|papers|The teacher sent the {t} to {e}.|أرسل المعلم {T} إلى {e}.
request|sights|Save the picture of the {t} as {i}.|احفظ صورة {T} باسم {i}.
statement|sights|The picture of the {t} is in the file {i}.|صورة {T} في الملف {i}.
request|papers|Send {f} with the {t} to {e}.|أرسل {f} مع {T} إلى {e}.
request|sights|Run {k} and look at the {t}.|شغل {k} وانظر إلى {T}.
statement|sights|The command {k} draws the {t}.|الأمر {k} يرسم {T}.
request|sights|In {i}, change the color of the {t} to {c}.|غير لون {T} إلى {c} في {i}.
question|papers|What does {k} do with the {t}?|ماذا يفعل {k} مع {T}؟
statement|goods|Hello {p}, your {t} is waiting for you.|مرحبًا {p}، {Y} في انتظارك.
statement|goods|Dear {p}, the price of the {t} is {d}.|عزيزي {p}، سعر {T} هو {d}.
statement|goods|{p} bought the {t} from {r}.|اشترى {p} {T} من {r}.
request|goods|Give {p} the {t}, please.|أعط {p} {T} من فضلك.
statement|goods|The number of the {t} is {n}.|رقم {T} هو {n}.
question|goods|Is {n} the number of the {t}?|هل {n} هو رقم {T}؟
statement|goods|The price of the {t} in dollars is {d}.|سعر {T} بالدولار هو {d}.
question|papers|Who sent the {t} to {e} at {h} today?|من أرسل {T} إلى {e} في الساعة {h} اليوم؟
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
FILES = ("`report.pdf`", "`notes.txt`", "`data.csv`", "`list_2.txt`", "`table-01.csv`", "report.pdf", "notes_3.pdf")
IMAGES = ("`photo.png`", "`picture_2.jpg`", "`image-01.svg`", "`new.png`", "photo_7.png", "picture.png")
PLACEHOLDERS = ("{name}", "{user}", "{first_name}", "{customer}", "{friend}", "{full_name}")


def _spans(rng: random.Random) -> dict[str, str]:
    """One random filling for every kind of protected span."""
    n, m = rng.randint(2, 9), rng.randint(10, 99)
    first, second = rng.sample(PLACEHOLDERS, 2)
    return {
        "u": f"https://{rng.choice(('example.com', 'www.example.org', 'example.net'))}/{rng.choice(WORDS)}/{m}",
        "e": f"{rng.choice(NAMES)}{rng.choice(('', str(n)))}@example.{rng.choice(('com', 'org'))}",
        "k": rng.choice(CODES),
        "f": rng.choice(FILES),
        "i": rng.choice(IMAGES),
        "p": first,
        "r": second,
        "m": rng.choice(
            (f"$x + {n} = {m}$", f"${n}x = {m}$", f"$y = {n}x + {m}$", f"$x^2 = {n * n}$", f"$\\frac{{x}}{{{n}}} = {m}$")
        ),
        "n": rng.choice((str(m), str(m * 11), f"{n},{m}0", f"20{m}")),
        "d": f"{m}.{n}0",
        "h": f"{n}:{rng.choice((15, 30, 45))}",
        "c": rng.choice(("{color}", "{new_color}", "`#ff0000`", "`#00ff00`")),
    }


def protected() -> Iterator[Sentence]:
    """Sentences that carry spans which stay the same in both languages."""
    groups = {
        "papers": of_kind("read", "paper", "send"),
        "goods": of_kind("thing", "wear", "fix"),
        "sights": of_kind("animal", "vehicle", "building", "nature"),
    }
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


SOURCES = (
    ("The site {u} says that the {x}.", "يقول الموقع {u} إن {y}."),
    ("The file {f} says that the {x}.", "يقول الملف {f} إن {y}."),
    ("{p} knows that the {x}.", "يعرف {p} أن {y}."),
    ("Tell {p} that the {x}.", "أخبر {p} أن {y}."),
)
ACTS = (
    ("{p} {then} the {n} yesterday.", "{was} {p} {T} أمس."),
    ("{p} {now} the {n} every day.", "{does} {p} {T} كل يوم."),
    ("{p} will {base} the {n} and then send {f} to {e}.", "س{does} {p} {T} ثم يرسل {f} إلى {e}."),
)


def carriers() -> Iterator[Sentence]:
    """Sentences of other templates with a protected span as their subject, their source or beside them."""
    for (thing, quality), (en, ar) in pick("sources", 1500, said_of(), SOURCES):
        slots = _spans(random.Random(f"{en}{thing.en}{quality.en}"))
        slots |= {"x": f"{thing.en} is {quality.en}", "y": is_ar(thing, quality)}
        kind: Kind = "request" if en.startswith("Tell") else "statement"
        yield Sentence(f"source:{en},{thing.en},{quality.en}", _fill(en, slots), _fill(ar, slots), kind, "protected")
    pairs = [(action, thing) for action in actions() for thing in of_kind(*action.objects.split())]
    for (action, thing), (en, ar) in pick("acts", 1200, pairs, ACTS):
        slots = _spans(random.Random(f"{en}{thing.en}{action.base}"))
        slots |= {"base": action.base, "now": action.third, "then": action.past, "n": thing.en, "T": thing.the}
        slots |= {"was": action.verb.past, "does": action.verb.present}
        yield Sentence(f"act:{en},{action.base},{thing.en}", _fill(en, slots), _fill(ar, slots), "statement", "protected")


SPANNED = (protected, carriers)
