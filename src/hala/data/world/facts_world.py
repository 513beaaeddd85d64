"""Facts about countries, animals, people at work, words and everyday life."""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world import lexicon_facts as tables
from hala.data.world.arabic import Noun, counted, to
from hala.data.world.facts import Case, Fact, Two, present, pronoun, relation
from hala.data.world.lexicon import cells, spell


def capitals() -> Iterator[Fact]:
    """The capital of each country and the country of each capital."""
    rows = cells(tables.COUNTRIES)
    capital = [Case({"c": r[0]}, {"c": r[1]}, Two(r[3], r[4])) for r in rows]
    yield from relation(
        "capitals",
        "capital",
        capital,
        """
What is the capital of {c}? | ما عاصمة {c}؟
Which city is the capital of {c}? | أي مدينة هي عاصمة {c}؟
Name the capital of {c}. | اذكر عاصمة {c}.
Do you know the capital of {c}? | هل تعرف عاصمة {c}؟
Tell me the name of the capital of {c}. | أخبرني باسم عاصمة {c}.
I want to know the capital of {c}. | أريد أن أعرف عاصمة {c}.
""",
        ("The capital of {c} is {x}.", "عاصمة {c} هي {x}."),
    )
    reverse = [Case({"c": r[3]}, {"c": r[4]}, Two(r[0], r[1])) for r in rows]
    yield from relation(
        "capitals",
        "country",
        reverse,
        """
{c} is the capital of which country? | {c} هي عاصمة أي دولة؟
Which country has {c} as its capital? | ما الدولة التي عاصمتها {c}؟
Name the country whose capital is {c}. | اذكر الدولة التي عاصمتها {c}.
Of which country is {c} the capital? | لأي دولة تعد {c} عاصمة؟
What is the country with the capital {c}? | ما البلد الذي عاصمته {c}؟
""",
        ("{c} is the capital of {x}.", "{c} هي عاصمة {x}."),
    )


def nations() -> Iterator[Fact]:
    """Continents, main languages and currencies."""
    rows = cells(tables.COUNTRIES)
    continent = [Case({"c": r[0]}, {"c": r[1], "lies": present(r[2] == "f", "قع")}, Two(r[5], r[6])) for r in rows if r[5] != "-"]
    yield from relation(
        "continents",
        "continent",
        continent,
        """
Which continent is {c} in? | في أي قارة {lies} {c}؟
On which continent can I find {c}? | في أي قارة أجد {c}؟
Name the continent of {c}. | اذكر قارة {c}.
Tell me the continent where {c} is. | أخبرني بالقارة التي {lies} فيها {c}.
What continent does {c} belong to? | إلى أي قارة تنتمي دولة {c}؟
""",
        ("{c} is in {x}.", "{lies} {c} في {x}."),
    )
    language = [Case({"c": r[0]}, {"c": r[1]}, Two(r[7], r[8])) for r in rows if r[7] != "-"]
    yield from relation(
        "languages",
        "language",
        language,
        """
What is the main language of {c}? | ما اللغة الرئيسية في {c}؟
Which language do most people speak in {c}? | ما اللغة التي يتحدث بها معظم الناس في {c}؟
Name the main language of {c}. | اذكر اللغة الرئيسية في {c}.
Tell me which language people speak in {c}. | أخبرني بأي لغة يتحدث الناس في {c}.
I will travel to {c}. Which language should I learn? | سأسافر إلى {c}. أي لغة يجب أن أتعلم؟
""",
        ("The main language of {c} is {x}.", "اللغة الرئيسية في {c} هي {x}."),
    )
    money = [Case({"c": r[0]}, {"c": r[1]}, Two(r[9], r[10])) for r in rows if r[9] != "-"]
    yield from relation(
        "currencies",
        "currency",
        money,
        """
What is the currency of {c}? | ما عملة {c}؟
Which currency do people use in {c}? | أي عملة يستخدمها الناس في {c}؟
Name the currency of {c}. | اذكر عملة {c}.
What money do I need in {c}? | أي نقود أحتاج إليها في {c}؟
Tell me the name of the currency of {c}. | أخبرني باسم عملة {c}.
""",
        ("The currency of {c} is the {x}.", "عملة {c} هي {x}."),
    )


def animals() -> Iterator[Fact]:
    """The young of animals and their sounds."""
    rows = cells(tables.ANIMALS)
    young = [Case({"c": r[0]}, {"c": r[1]}, Two(r[3], r[4])) for r in rows if r[3] != "-"]
    yield from relation(
        "young",
        "young",
        young,
        """
What is the young of the {c} called? | ماذا يسمى صغير {c}؟
What do we call the young of the {c}? | ماذا نسمي صغير {c}؟
Name the young of the {c}. | اذكر اسم صغير {c}.
Tell me the name of the young of the {c}. | أخبرني باسم صغير {c}.
""",
        ("The young of the {c} is called the {x}.", "صغير {c} يسمى {x}."),
    )
    sound = [Case({"c": r[0]}, {"c": r[1]}, Two(r[5], r[6])) for r in rows if r[5] != "-"]
    yield from relation(
        "sounds",
        "sound",
        sound,
        """
What is the sound of the {c} called? | ماذا يسمى صوت {c}؟
What do we call the sound of the {c}? | ماذا نسمي صوت {c}؟
Name the sound of the {c}. | اذكر اسم صوت {c}.
Tell me the name of the sound of the {c}. | أخبرني باسم صوت {c}.
""",
        ("The sound of the {c} is called {x}.", "صوت {c} يسمى {x}."),
    )


def animal_lives() -> Iterator[Fact]:
    """Where animals live, what they eat and how many legs they have."""
    rows = cells(tables.ANIMALS)
    home = [Case({"c": r[0]}, {"c": r[1], "lives": present(r[2] == "f", "عيش")}, Two(r[7], r[8])) for r in rows if r[7] != "-"]
    yield from relation(
        "habitats",
        "home",
        home,
        """
Where does the {c} live? | أين {lives} {c}؟
In which place does the {c} live? | في أي مكان {lives} {c}؟
Tell me where the {c} lives. | أخبرني أين {lives} {c}.
Name the place where the {c} lives. | اذكر المكان الذي {lives} فيه {c}.
""",
        ("The {c} lives {x}.", "{lives} {c} {x}."),
    )
    food = [Case({"c": r[0]}, {"c": r[1], "eats": present(r[2] == "f", "أكل")}, Two(r[9], r[10])) for r in rows if r[9] != "-"]
    yield from relation(
        "diets",
        "diet",
        food,
        """
What does the {c} eat? | ماذا {eats} {c}؟
What food does the {c} eat? | أي طعام {eats} {c}؟
Tell me what the {c} eats. | أخبرني ماذا {eats} {c}.
What is the food of the {c}? | ما طعام {c}؟
""",
        ("The {c} eats {x}.", "{eats} {c} {x}."),
    )
    leg, legs = Noun("رجل", "أرجل", "f"), (2, 4, 6, 8)
    counts = {n: Two(f"{spell(n)} legs", counted(n, leg)) for n in legs}
    limbs = [
        Case({"c": r[0]}, {"c": r[1], "to": to(r[1])}, counts[int(r[11])], tuple(counts.values())) for r in rows if r[11] != "-"
    ]
    yield from relation(
        "legs",
        "legs",
        limbs,
        """
How many legs does the {c} have? | كم رجلًا {to}؟
What is the number of legs of the {c}? | ما عدد أرجل {c}؟
Tell me how many legs the {c} has. | أخبرني كم رجلًا {to}.
Count the legs of the {c}. | احسب عدد أرجل {c}.
""",
        ("The {c} has {x}.", "{to} {x}."),
    )


def professions() -> Iterator[Fact]:
    """Where people work and who does what."""
    rows = cells(tables.PROFESSIONS)
    place = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in rows if r[2] != "-"]
    yield from relation(
        "workplaces",
        "workplace",
        place,
        """
Where does the {c} work? | أين يعمل {c}؟
In which place does the {c} work? | في أي مكان يعمل {c}؟
Tell me where the {c} works. | أخبرني أين يعمل {c}.
Name the place where the {c} works. | اذكر المكان الذي يعمل فيه {c}.
""",
        ("The {c} works {x}.", "يعمل {c} {x}."),
    )
    who = [Case({"c": r[4]}, {"c": r[5]}, Two(f"the {r[0]}", r[1])) for r in rows]
    yield from relation(
        "professions",
        "who",
        who,
        """
Who {c}? | من {c}؟
Which person {c}? | أي شخص {c}؟
Name the person who {c}. | اذكر الشخص الذي {c}.
What do we call the person who {c}? | ماذا نسمي الشخص الذي {c}؟
What is the job of the person who {c}? | ما مهنة الشخص الذي {c}؟
""",
        ("The person who {c} is {x}.", "الشخص الذي {c} هو {x}."),
    )


def tools_of() -> Iterator[Fact]:
    """The tools of professions."""
    rows = cells(tables.PROFESSIONS)
    tool = [Case({"c": r[0]}, {"c": r[1]}, Two(r[6], r[7])) for r in rows if r[6] != "-"]
    yield from relation(
        "professions",
        "tool-of",
        tool,
        """
Which tool does the {c} use at work? | أي أداة يستخدم {c} في عمله؟
What does the {c} work with? | بماذا يعمل {c}؟
Name the tool of the {c}. | اذكر أداة {c}.
Tell me which tool the {c} needs. | أخبرني أي أداة يحتاج إليها {c}.
""",
        ("The {c} uses {x}.", "يستخدم {c} {x}."),
    )


def words() -> Iterator[Fact]:
    """Opposites in both directions and the kinds of things."""
    rows = cells(tables.OPPOSITES)
    cases = [Case({"w": en}, {"w": ar}, Two(x, y)) for a, b, c, d in rows for en, ar, x, y in ((a, b, c, d), (c, d, a, b))]
    yield from relation(
        "opposites",
        "opposite",
        cases,
        """
What is the opposite of "{w}"? | ما عكس كلمة «{w}»؟
Which word is the opposite of "{w}"? | أي كلمة هي عكس «{w}»؟
Give me the opposite of "{w}". | أعطني عكس كلمة «{w}».
Write the opposite of the word "{w}". | اكتب عكس كلمة «{w}».
Do you know the opposite of "{w}"? | هل تعرف عكس كلمة «{w}»؟
""",
        ('The opposite of "{w}" is "{x}".', "عكس كلمة «{w}» هو «{x}»."),
    )
    kinds = [
        Case({"c": r[0]}, {"c": r[1], "he": pronoun(r[1]), "belongs": present(pronoun(r[1]) == "هي", "نتمي")}, Two(r[2], r[3]))
        for r in cells(tables.KINDS)
    ]
    yield from relation(
        "kinds",
        "kind",
        kinds,
        """
What is {c}? | ما {he} {c}؟
What kind of thing is {c}? | إلى أي نوع من الأشياء {belongs} {c}؟
Tell me what {c} is. | أخبرني ما {he} {c}.
Explain in one sentence what {c} is. | اشرح في جملة واحدة ما {he} {c}.
""",
        ("{c} is {x}.", "{c} {x}."),
    )


def everyday() -> Iterator[Fact]:
    """Family, colours and materials."""
    kin = [r for r in cells(tables.FAMILY) if r[5] != f"{r[1]} {r[3]}"]
    family = []
    for r in kin:
        same = tuple(Two(x[4], x[5]) for x in kin if pronoun(x[1]) == pronoun(r[1]))
        family.append(Case({"a": r[0], "b": r[2]}, {"a": r[1], "b": r[3], "he": pronoun(r[1])}, Two(r[4], r[5]), same))
    yield from relation(
        "family",
        "family",
        family,
        """
Who is the {a} of my {b}? | من {he} {a} {b}؟
What do I call the {a} of my {b}? | ماذا أسمي {a} {b}؟
How is the {a} of my {b} related to me? | ما صلة قرابة {a} {b} بي؟
Tell me who the {a} of my {b} is. | أخبرني من {he} {a} {b}.
""",
        ("The {a} of my {b} is my {x}.", "{a} {b} {he} {x}."),
    )
    yield from colours()
    made = [Case({"c": r[0]}, {"c": r[1], "made": present(r[2] == "f", "صنع")}, Two(r[3], r[4])) for r in cells(tables.MATERIALS)]
    yield from relation(
        "materials",
        "material",
        made,
        """
What is {c} made from? | مم {made} {c}؟
From which material is {c} made? | من أي مادة {made} {c}؟
Tell me what {c} is made from. | أخبرني مم {made} {c}.
Name the material from which {c} is made. | اذكر المادة التي {made} منها {c}.
""",
        ("{c} is made from {x}.", "{made} {c} من {x}."),
    )


def surroundings() -> Iterator[Fact]:
    """The body, tools and places."""
    body = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in cells(tables.BODY)]
    yield from relation(
        "body",
        "body",
        body,
        """
What do we {c} with? | بماذا {c}؟
With which part of the body do we {c}? | بأي جزء من الجسم {c}؟
Tell me what we {c} with. | أخبرني بماذا {c}.
Name the part of the body that we {c} with. | اذكر جزء الجسم الذي {c} به.
""",
        ("We {c} with {x}.", "{c} {x}."),
    )
    tools = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in cells(tables.TOOLS)]
    yield from relation(
        "tools",
        "tool",
        tools,
        """
What do we use to {c}? | ماذا نستخدم ل{c}؟
Which tool do we need to {c}? | أي أداة نحتاج إليها ل{c}؟
I want to {c}. What do I need? | أريد {c}. إلى ماذا أحتاج؟
Tell me what we use to {c}. | أخبرني ماذا نستخدم ل{c}.
""",
        ("To {c} we use {x}.", "ل{c} نستخدم {x}."),
    )
    places = [Case({"c": r[0]}, {"c": r[1]}, Two(r[2], r[3])) for r in cells(tables.PLACES)]
    yield from relation(
        "places",
        "place",
        places,
        """
Where do we {c}? | أين {c}؟
In which place do we {c}? | في أي مكان {c}؟
Tell me where we {c}. | أخبرني أين {c}.
Name the place where we {c}. | اذكر المكان الذي {c} فيه.
""",
        ("We {c} {x}.", "{c} {x}."),
    )


def colours() -> Iterator[Fact]:
    """The colours of things; the Arabic colour agrees with the thing."""
    palette = {r[0]: r for r in cells(tables.COLOURS)}
    cases = []
    for en, ar, gender, colour in cells(tables.COLOURED):
        values = {name: Two(name, row[1 if gender == "m" else 2]) for name, row in palette.items()}
        cases.append(Case({"c": en}, {"c": ar}, values[colour], tuple(values.values())))
    yield from relation(
        "colors",
        "color",
        cases,
        """
What color is {c}? | ما لون {c}؟
Do you know the color of {c}? | هل تعرف لون {c}؟
Tell me the color of {c}. | أخبرني بلون {c}.
Describe the color of {c}. | صف لون {c}.
""",
        ("{c} is {x}.", "{c} {x}."),
    )


FACTS = (capitals, nations, animals, animal_lives, professions, tools_of, words, everyday, surroundings)
