"""Chats that are not about one fact: how-to steps, lists, polite wording, plurals, sentences to order, and greetings.

They share the shape of a fact (several ways to ask, one answer), so that splitting and asking work the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from hala.data.world.facts import Case, Fact, Two, relation, upper
from hala.data.world.lexicon import actions, cells, of_kind, things
from hala.data.world.sentences import is_ar, pick, said_of

# english task | arabic task with أن (I do it) | steps as english = arabic
HOWTO = """
make tea|أصنع الشاي|Boil the water.=اغل الماء.|Put the tea in a cup.=ضع الشاي في كوب.|Pour the hot water into the cup.=صب الماء الساخن في الكوب.|Wait for three minutes.=انتظر ثلاث دقائق.|Add sugar and drink.=أضف السكر واشرب.
cook rice|أطبخ الأرز|Wash the rice with water.=اغسل الأرز بالماء.|Put the rice in a pot.=ضع الأرز في قدر.|Add two cups of water and some salt.=أضف كوبين من الماء وقليلًا من الملح.|Cook it for twenty minutes.=اطبخه لمدة عشرين دقيقة.
make a salad|أعد السلطة|Wash the vegetables.=اغسل الخضروات.|Cut them into small pieces.=قطعها إلى قطع صغيرة.|Add oil, salt and lemon juice.=أضف الزيت والملح وعصير الليمون.|Mix everything and serve it.=اخلط كل شيء وقدمه.
bake bread|أخبز الخبز|Mix the flour with water and salt.=اخلط الدقيق مع الماء والملح.|Leave the dough for one hour.=اترك العجين لمدة ساعة واحدة.|Put it in the hot oven.=ضعه في الفرن الساخن.|Bake it for thirty minutes.=اخبزه لمدة ثلاثين دقيقة.
boil an egg|أسلق بيضة|Put the egg in a pot of water.=ضع البيضة في قدر من الماء.|Boil it for eight minutes.=اسلقها لمدة ثماني دقائق.|Put it in cold water.=ضعها في ماء بارد.|Remove the shell and eat.=انزع القشرة وكل.
write a letter|أكتب رسالة|Take paper and a pen.=خذ ورقة وقلمًا.|Write the name of your friend.=اكتب اسم صديقك.|Write your news in short sentences.=اكتب أخبارك في جمل قصيرة.|Sign your name at the end.=وقع باسمك في النهاية.
wash my hands|أغسل يدي|Wet your hands with water.=بلل يديك بالماء.|Use some soap.=استخدم قليلًا من الصابون.|Rub your hands for twenty seconds.=افرك يديك لمدة عشرين ثانية.|Dry them with a clean towel.=جففهما بمنشفة نظيفة.
plant a tree|أزرع شجرة|Dig a hole in the ground.=احفر حفرة في الأرض.|Put the young tree in the hole.=ضع الشجرة الصغيرة في الحفرة.|Cover the roots with soil.=غط الجذور بالتراب.|Water it every day.=اسقها كل يوم.
clean my room|أنظف غرفتي|Open the window first.=افتح النافذة أولًا.|Put the clothes in their place.=ضع الملابس في مكانها.|Sweep the floor with a broom.=اكنس الأرض بالمكنسة.|Wipe the table with a wet cloth.=امسح الطاولة بقطعة قماش مبللة.
prepare for an exam|أستعد للامتحان|Read all your lessons.=اقرأ كل دروسك.|Write the important ideas.=اكتب الأفكار المهمة.|Answer old questions.=أجب عن أسئلة قديمة.|Sleep early before the exam.=نم مبكرًا قبل الامتحان.
prepare for a trip|أستعد للرحلة|Buy your ticket early.=اشتر تذكرتك مبكرًا.|Put your clothes in the bag.=ضع ملابسك في الحقيبة.|Take your passport and some money.=خذ جواز سفرك وبعض المال.|Arrive at the airport two hours early.=صل إلى المطار قبل الموعد بساعتين.
learn a new language|أتعلم لغة جديدة|Learn ten new words every day.=تعلم عشر كلمات جديدة كل يوم.|Listen to easy stories.=استمع إلى قصص سهلة.|Speak with your friends.=تحدث مع أصدقائك.|Read a short book every month.=اقرأ كتابًا قصيرًا كل شهر.
make a cake|أصنع كعكة|Mix the flour, the sugar and the eggs.=اخلط الدقيق والسكر والبيض.|Add a cup of milk.=أضف كوبًا من الحليب.|Pour the mixture into a pan.=صب الخليط في صينية.|Bake the cake for forty minutes.=اخبز الكعكة لمدة أربعين دقيقة.
save money|أدخر المال|Write down what you buy.=اكتب ما تشتريه.|Buy only what you need.=اشتر ما تحتاج إليه فقط.|Cook your food at home.=اطبخ طعامك في البيت.|Put some money in the bank every month.=ضع بعض المال في المصرف كل شهر.
"""  # noqa: E501

# name of the list | arabic | items as english = arabic
LISTS = """
three fruits|ثلاث فواكه|Apple=تفاح|Banana=موز|Orange=برتقال
three vegetables|ثلاثة أنواع من الخضروات|Carrot=جزر|Onion=بصل|Cucumber=خيار
four colors|أربعة ألوان|Red=أحمر|Blue=أزرق|Green=أخضر|Yellow=أصفر
the four seasons|الفصول الأربعة|Spring=الربيع|Summer=الصيف|Autumn=الخريف|Winter=الشتاء
the four directions|الجهات الأربع|North=الشمال|South=الجنوب|East=الشرق|West=الغرب
three farm animals|ثلاثة من حيوانات المزرعة|Cow=البقرة|Sheep=الخروف|Goat=العنزة
three sea animals|ثلاثة من حيوانات البحر|Whale=الحوت|Dolphin=الدلفين|Fish=السمكة
three birds|ثلاثة طيور|Eagle=النسر|Owl=البومة|Duck=البطة
three insects|ثلاث حشرات|Bee=النحلة|Ant=النملة|Butterfly=الفراشة
three jobs|ثلاث مهن|Doctor=طبيب|Teacher=معلم|Engineer=مهندس
three sports|ثلاث رياضات|Football=كرة القدم|Swimming=السباحة|Tennis=التنس
three metals|ثلاثة معادن|Gold=الذهب|Iron=الحديد|Silver=الفضة
three drinks|ثلاثة مشروبات|Tea=الشاي|Coffee=القهوة|Juice=العصير
four parts of the body|أربعة من أعضاء الجسم|Head=الرأس|Hand=اليد|Foot=القدم|Back=الظهر
three school subjects|ثلاث مواد دراسية|Math=الرياضيات|Science=العلوم|History=التاريخ
three things in the kitchen|ثلاثة أشياء في المطبخ|Pot=قدر|Plate=طبق|Spoon=ملعقة
three things to read|ثلاثة أشياء للقراءة|Book=كتاب|Newspaper=صحيفة|Story=قصة
three means of travel|ثلاث وسائل للسفر|Train=القطار|Plane=الطائرة|Ship=السفينة
three pieces of clothing|ثلاث قطع من الملابس|Shirt=قميص|Coat=معطف|Hat=قبعة
three countries in Africa|ثلاث دول في أفريقيا|Egypt=مصر|Kenya=كينيا|Ghana=غانا
three countries in Asia|ثلاث دول في آسيا|Japan=اليابان|China=الصين|India=الهند
three countries in Europe|ثلاث دول في أوروبا|France=فرنسا|Spain=إسبانيا|Italy=إيطاليا
three Arab countries|ثلاث دول عربية|Iraq=العراق|Jordan=الأردن|Morocco=المغرب
"""

# what is said, in three or more ways, english = arabic | the answer
TALK = """
Hello!=مرحبًا!|Good morning!=صباح الخير!|Good evening!=مساء الخير!|Peace be upon you!=السلام عليكم!|>Hello! How can I help you?=مرحبًا! كيف يمكنني أن أساعدك؟
Thank you.=شكرًا.|Thank you very much.=شكرًا جزيلًا.|Thank you for your help.=شكرًا على مساعدتك.|That was useful, thank you.=كان هذا مفيدًا، شكرًا.|>You are welcome!=على الرحب والسعة!
How are you?=كيف حالك؟|How are you today?=كيف حالك اليوم؟|Are you well?=هل أنت بخير؟|>I am well, thank you. How are you?=أنا بخير، شكرًا. كيف حالك أنت؟
Goodbye!=وداعًا!|See you tomorrow!=أراك غدًا!|Good night!=تصبح على خير!|I must go now.=يجب أن أذهب الآن.|>Goodbye! Have a nice day.=إلى اللقاء! أتمنى لك يومًا سعيدًا.
What can you do?=ماذا تستطيع أن تفعل؟|How can you help me?=كيف يمكنك أن تساعدني؟|What do you know?=ماذا تعرف؟|>I can answer short questions about countries, numbers and animals.=أستطيع أن أجيب عن أسئلة قصيرة عن الدول والأعداد والحيوانات.
I am sorry.=أنا آسف.|Excuse me.=عذرًا.|Sorry, I made a mistake.=آسف، لقد أخطأت.|>No problem.=لا مشكلة.
I am sad today.=أنا حزين اليوم.|I feel sad.=أشعر بالحزن.|I had a bad day.=كان يومي سيئًا.|>I am sorry to hear that. I hope that tomorrow is better.=يؤسفني سماع ذلك. أرجو أن يكون الغد أفضل.
I passed the exam!=لقد نجحت في الامتحان!|I won the match!=لقد فزت في المباراة!|I got a new job!=لقد حصلت على عمل جديد!|>Congratulations! I am happy for you.=تهانينا! أنا سعيد من أجلك.
"""  # noqa: E501


def _two(cell: str) -> Two:
    return Two(*cell.split("="))


def _numbered(items: list[Two]) -> Two:
    return Two(
        "\n".join(f"{i}. {x.en}" for i, x in enumerate(items, 1)), "\n".join(f"{i}. {x.ar}" for i, x in enumerate(items, 1))
    )


def howto() -> Iterator[Fact]:
    """Numbered steps."""
    for en, ar, *steps in cells(HOWTO):
        yield from relation(
            "howto",
            "howto",
            [Case({"t": en}, {"t": ar}, _numbered([_two(step) for step in steps]))],
            """
How do I {t}? | كيف {t}؟
Tell me how to {t}. | أخبرني كيف {t}.
I want to {t}. What should I do? | أريد أن {t}. ماذا أفعل؟
Teach me to {t} in a few steps. | علمني كيف {t} في خطوات قليلة.
What do I need to do to {t}? | ما الذي يجب أن أفعله لكي {t}؟
Write short steps that help me to {t}. | اكتب خطوات قصيرة تساعدني لكي {t}.
""",
            ("{x}", "{x}"),
        )


def steps() -> list[Two]:
    """The steps and list items one by one."""
    return [_two(cell) for table in (HOWTO, LISTS) for _, _, *rest in cells(table) for cell in rest]


def lists() -> Iterator[Fact]:
    """Short numbered lists."""
    for en, ar, *items in cells(LISTS):
        yield from relation(
            "lists",
            "list",
            [Case({"t": en}, {"t": ar}, _numbered([_two(item) for item in items]))],
            """
Name {t}. | اذكر {t}.
List {t}. | عدد {t}.
Write a list of {t}. | اكتب قائمة فيها {t}.
Can you give me {t}? | هل يمكنك أن تعطيني {t}؟
I need the names of {t}. | أحتاج إلى أسماء {t}.
""",
            ("{x}", "{x}"),
        )


def talk() -> Iterator[Fact]:
    """Greetings, thanks and feelings."""
    for index, line in enumerate(TALK.strip().splitlines()):
        *asks, answer = line.split("|")
        yield Fact(f"talk:{index}", "talk", f"talk {index}", tuple(_two(ask) for ask in asks), _two(answer.removeprefix(">")))


def rewording() -> Iterator[Fact]:
    """Polite wording of a command, and the negation of a statement."""
    pairs = [(x, t) for x in actions() if x.verb.command for t in of_kind(*x.objects.split())]
    for ((action, thing),) in pick("politely", 130, pairs):
        case = _command(action.base, thing.en, f"{action.verb.command} {thing.the}", f"{action.verb.now('you')} {thing.the}")
        yield from relation(
            "politeness",
            "polite",
            [case],
            """
Make this request polite: "{c}" | اجعل هذا الطلب مهذبًا: «{c}»
How can I say "{c}" in a polite way? | كيف أقول «{c}» بطريقة مهذبة؟
Rewrite "{c}" as a polite request. | أعد كتابة «{c}» في صورة طلب مهذب.
I want to say "{c}" politely. | أريد أن أقول «{c}» بأدب.
""",
            ("Could you please {x}?", "هل يمكنك من فضلك أن {x}؟"),
        )
    for ((thing, quality),) in pick("negate", 260, said_of()):
        feminine = thing.noun.gender == "f"
        negated = f"{thing.the} {'ليست' if feminine else 'ليس'} {quality.word.accusative(thing.noun.gender)}"
        case = Case(
            {"c": f"the {thing.en} is {quality.en}"},
            {"c": is_ar(thing, quality)},
            Two(f"the {thing.en} is not {quality.en}", negated),
        )
        yield from relation(
            "negation",
            "negate",
            [case],
            """
Make this sentence negative: "{c}" | اجعل هذه الجملة منفية: «{c}»
Write the negative form of "{c}". | اكتب نفي الجملة «{c}».
What is the negative of the sentence "{c}"? | ما نفي الجملة «{c}»؟
""",
            ("{x}.", "{x}."),
        )


def _command(verb: str, noun: str, command: str, asked: str) -> Case:
    return Case({"c": f"{verb} the {noun}"}, {"c": command}, Two(f"{verb} the {noun}", asked))


def plurals() -> Iterator[Fact]:
    """The plural of a noun; people's sound plural in the nominative."""
    cases = []
    for thing in things():
        plural = thing.noun.plural
        if thing.noun.human and plural.endswith("ين"):
            plural = plural[:-2] + "ون"
        if thing.en != thing.en_plural:
            cases.append(Case({"w": thing.en}, {"w": thing.noun.ar}, Two(thing.en_plural, plural)))
    yield from relation(
        "plurals",
        "plural",
        cases,
        """
What is the plural of "{w}"? | ما جمع كلمة «{w}»؟
Write the plural of "{w}". | اكتب جمع «{w}».
Give me the plural form of the word "{w}". | أعطني صيغة الجمع من كلمة «{w}».
Do you know the plural of "{w}"? | هل تعرف جمع «{w}»؟
""",
        ('The plural of "{w}" is "{x}".', "جمع كلمة «{w}» هو «{x}»."),
    )


def composed() -> Iterator[Fact]:
    """A sentence made from given words."""
    for ((thing, quality),) in pick("compose", 420, said_of()):
        word = quality.word.form(thing.noun.gender)
        case = Case(
            {"n": thing.en, "q": quality.en},
            {"n": thing.noun.ar, "q": word},
            Two(upper(f"the {thing.en} is {quality.en}"), is_ar(thing, quality)),
        )
        yield from relation(
            "writing",
            "compose",
            [case],
            """
Write a sentence with "{n}" and "{q}". | اكتب جملة فيها «{n}» و«{q}».
Use the words "{n}" and "{q}" in one sentence. | استخدم الكلمتين «{n}» و«{q}» في جملة واحدة.
Make a short sentence from "{n}" and "{q}". | كون جملة قصيرة من «{n}» و«{q}».
""",
            ("{x}.", "{x}."),
        )


CHATS = (howto, lists, talk, rewording, plurals, composed)
