"""The words of the small world: nouns, adjectives, verbs, people and times, English beside Arabic.

Tables are lines of `|`-separated cells, so that a reader of either language can check one line at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hala.data.world.arabic import Adjective, Noun, Verb


@dataclass(frozen=True, slots=True)
class Thing:
    """A noun in both languages with the `kinds` that say which sentences it fits."""

    en: str
    en_plural: str
    noun: Noun
    kinds: frozenset[str]

    @property
    def the(self) -> str:
        return "ال" + self.noun.ar


@dataclass(frozen=True, slots=True)
class Quality:
    """An adjective in both languages: comparative where one is used, and the `kinds` of nouns that it fits."""

    en: str
    more: str
    word: Adjective
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Action:
    """A verb in both languages and the kind of noun that it takes as its object."""

    base: str
    third: str
    past: str
    verb: Verb
    objects: str


@dataclass(frozen=True, slots=True)
class Person:
    """A subject: `person` is the verb form (`he she I we they`); an empty `ar` is dropped before a verb."""

    en: str
    ar: str
    person: str


# english | plural | arabic | plural (genitive) | gender | kinds
NOUNS = """
book|books|كتاب|كتب|m|thing read write new paper
letter|letters|رسالة|رسائل|f|thing read write new paper send
story|stories|قصة|قصص|f|read write new
newspaper|newspapers|صحيفة|صحف|f|thing read new paper
report|reports|تقرير|تقارير|m|read write new send
lesson|lessons|درس|دروس|m|read write work
pen|pens|قلم|أقلام|m|thing new small
bag|bags|حقيبة|حقائب|f|thing open carry new big weight
key|keys|مفتاح|مفاتيح|m|thing new small
phone|phones|هاتف|هواتف|m|thing new small fix
chair|chairs|كرسي|كراسي|m|carry new big clean color
box|boxes|صندوق|صناديق|m|thing open carry new big weight color
watch|watches|ساعة|ساعات|f|thing new small fix
lamp|lamps|مصباح|مصابيح|m|thing new small fix
picture|pictures|صورة|صور|f|thing new draw send
cup|cups|كوب|أكواب|m|thing new small clean color
plate|plates|طبق|أطباق|m|thing new clean color
spoon|spoons|ملعقة|ملاعق|f|thing new small clean
table|tables|طاولة|طاولات|f|new big clean
computer|computers|حاسوب|حواسيب|m|thing new fix weight
ticket|tickets|تذكرة|تذاكر|f|thing paper
umbrella|umbrellas|مظلة|مظلات|f|thing new open color
map|maps|خريطة|خرائط|f|thing new read draw paper
gift|gifts|هدية|هدايا|f|thing new send carry
ball|balls|كرة|كرات|f|thing new small color
shirt|shirts|قميص|قمصان|m|wear new clean color
dress|dresses|فستان|فساتين|m|wear new clean color
hat|hats|قبعة|قبعات|f|thing wear new clean color
coat|coats|معطف|معاطف|m|wear new clean color weight
scarf|scarves|وشاح|أوشحة|m|thing wear new color
car|cars|سيارة|سيارات|f|vehicle new fix clean big color
bus|buses|حافلة|حافلات|f|vehicle new big clean
train|trains|قطار|قطارات|m|vehicle new big
bicycle|bicycles|دراجة|دراجات|f|vehicle new fix clean color
plane|planes|طائرة|طائرات|f|vehicle new big
ship|ships|سفينة|سفن|f|vehicle new big
boat|boats|قارب|قوارب|m|vehicle new fix big color
house|houses|بيت|بيوت|m|place new big clean building own
room|rooms|غرفة|غرف|f|place big clean own
school|schools|مدرسة|مدارس|f|place new big building visit clean
garden|gardens|حديقة|حدائق|f|place big visit clean own
kitchen|kitchens|مطبخ|مطابخ|m|place new big clean
street|streets|شارع|شوارع|m|big clean
hospital|hospitals|مستشفى|مستشفيات|m|place new big building visit clean
library|libraries|مكتبة|مكتبات|f|place new big building visit
restaurant|restaurants|مطعم|مطاعم|m|place new big building visit clean
hotel|hotels|فندق|فنادق|m|place new big building visit clean
museum|museums|متحف|متاحف|m|place new big building visit
airport|airports|مطار|مطارات|m|place new big building
station|stations|محطة|محطات|f|place new big building clean
office|offices|مكتب|مكاتب|m|place new big clean own
factory|factories|مصنع|مصانع|m|place new big building visit
farm|farms|مزرعة|مزارع|f|place big visit own
shop|shops|متجر|متاجر|m|place new big building own
city|cities|مدينة|مدن|f|big visit
village|villages|قرية|قرى|f|big visit
bridge|bridges|جسر|جسور|m|new big
tower|towers|برج|أبراج|m|new big building
door|doors|باب|أبواب|m|open part clean color
window|windows|نافذة|نوافذ|f|open part clean
wall|walls|جدار|جدران|m|part clean color
apple|apples|تفاحة|تفاحات|f|food thing
orange|oranges|برتقالة|برتقالات|f|food thing
egg|eggs|بيضة|بيضات|f|food thing
banana|bananas|موزة|موزات|f|food thing
lemon|lemons|ليمونة|ليمونات|f|food thing
cake|cakes|كعكة|كعكات|f|food thing make
sandwich|sandwiches|شطيرة|شطائر|f|food thing make
cat|cats|قطة|قطط|f|animal pet
dog|dogs|كلب|كلاب|m|animal pet
horse|horses|حصان|أحصنة|m|animal fast
cow|cows|بقرة|أبقار|f|animal
sheep|sheep|خروف|خراف|m|animal
goat|goats|عنزة|عنزات|f|animal
camel|camels|جمل|جمال|m|animal fast
lion|lions|أسد|أسود|m|animal fast
elephant|elephants|فيل|أفيال|m|animal
bird|birds|طائر|طيور|m|animal pet
rabbit|rabbits|أرنب|أرانب|m|animal pet fast
monkey|monkeys|قرد|قرود|m|animal
bear|bears|دب|دببة|m|animal fast
wolf|wolves|ذئب|ذئاب|m|animal fast
fox|foxes|ثعلب|ثعالب|m|animal fast
teacher|teachers|معلم|معلمين|m|human job
doctor|doctors|طبيب|أطباء|m|human job
engineer|engineers|مهندس|مهندسين|m|human job
student|students|طالب|طلاب|m|human
child|children|طفل|أطفال|m|human
farmer|farmers|مزارع|مزارعين|m|human job
worker|workers|عامل|عمال|m|human job
baker|bakers|خباز|خبازين|m|human job
driver|drivers|سائق|سائقين|m|human job
tree|trees|شجرة|أشجار|f|nature big
river|rivers|نهر|أنهار|m|nature big
mountain|mountains|جبل|جبال|m|nature big
"""

# english | comparative | arabic | feminine | people's plural | elative | kinds
QUALITIES = """
new|newer|جديد|||أحدث|new vehicle
old|older|قديم|||أقدم|new vehicle
big|bigger|كبير|||أكبر|big animal food place
small|smaller|صغير|||أصغر|big small animal food place
beautiful|more beautiful|جميل|||أجمل|new animal nature visit wear
clean|cleaner|نظيف|||أنظف|clean
dirty|dirtier|متسخ||||clean
heavy|heavier|ثقيل|||أثقل|weight
light|lighter|خفيف|||أخف|weight small
fast|faster|سريع|||أسرع|vehicle fast
slow|slower|بطيء|بطيئة||أبطأ|vehicle
cheap|cheaper|رخيص|||أرخص|new wear thing
tall|taller|طويل|||أطول|building
useful|more useful|مفيد|||أكثر فائدة|read
long|longer|طويل|||أطول|read street
short|shorter|قصير|||أقصر|read street
open||مفتوح||||open
closed||مغلق||||open
famous|more famous|مشهور|||أشهر|visit
strong|stronger|قوي|||أقوى|animal
hungry|hungrier|جائع||جائعون||animal state
fresh|fresher|طازج||||food
red||أحمر|حمراء|||color
blue||أزرق|زرقاء|||color
green||أخضر|خضراء|||color
yellow||أصفر|صفراء|||color
black||أسود|سوداء|||color pet
white||أبيض|بيضاء|||color pet
brown||بني|بنية|||color pet
ready||جاهز||جاهزون||state
tired||متعب||متعبون||state animal
happy|happier|سعيد||سعداء|أسعد|state
sad|sadder|حزين||حزينون|أحزن|state
busy|busier|مشغول||مشغولون||state
sick||مريض||مرضى||state animal
late||متأخر||متأخرون||state
careful||حذر||حذرون||state
"""

# base | third person | past | present | past | command | stem of I and we | she | they | kind of object
ACTIONS = """
read|reads|read|يقرأ|قرأ|اقرأ||||read
write|writes|wrote|يكتب|كتب|اكتب||||write
buy|buys|bought|يشتري|اشترى|اشتر|اشتري|اشترت|اشتروا|thing wear
sell|sells|sold|يبيع|باع|بع|بع|||thing fix
open|opens|opened|يفتح|فتح|افتح||||open
close|closes|closed|يغلق|أغلق|أغلق||||open
clean|cleans|cleaned|ينظف|نظف|نظف||||clean
wash|washes|washed|يغسل|غسل|اغسل||||wear
carry|carries|carried|يحمل|حمل|احمل||||carry
find|finds|found|يجد|وجد|||||thing
see|sees|saw|يرى|رأى||رأي|رأت|رأوا|animal vehicle
eat|eats|ate|يأكل|أكل|كل||||food
wear|wears|wore|يرتدي|ارتدى|ارتد|ارتدي|ارتدت|ارتدوا|wear
draw|draws|drew|يرسم|رسم|ارسم||||animal nature vehicle
bring|brings|brought|يحضر|أحضر|أحضر||||thing carry
visit|visits|visited|يزور|زار|زر|زر|||visit
fix|fixes|fixed|يصلح|أصلح|أصلح||||fix
send|sends|sent|يرسل|أرسل|أرسل||||send
take|takes|took|يأخذ|أخذ|خذ||||thing
use|uses|used|يستخدم|استخدم|استخدم||||fix
make|makes|made|يصنع|صنع|اصنع||||make
paint|paints|painted|يدهن|دهن|ادهن||||part
"""

# english | arabic | person
PEOPLE = """
I||I
we||we
he||he
Sami|سامي|he
Karim|كريم|he
Ahmed|أحمد|he
Tariq|طارق|he
Layla|ليلى|she
Mariam|مريم|she
Huda|هدى|she
Salma|سلمى|she
my brother|أخي|he
my sister|أختي|she
my mother|أمي|she
my father|أبي|he
the teacher|المعلم|he
the doctor|الطبيب|he
the girl|البنت|she
the children|الأطفال|they
the students|الطلاب|they
the workers|العمال|they
"""

DAYS = (
    ("Saturday", "السبت"),
    ("Sunday", "الأحد"),
    ("Monday", "الاثنين"),
    ("Tuesday", "الثلاثاء"),
    ("Wednesday", "الأربعاء"),
    ("Thursday", "الخميس"),
    ("Friday", "الجمعة"),
)
MONTHS = (
    ("January", "يناير"),
    ("February", "فبراير"),
    ("March", "مارس"),
    ("April", "أبريل"),
    ("May", "مايو"),
    ("June", "يونيو"),
    ("July", "يوليو"),
    ("August", "أغسطس"),
    ("September", "سبتمبر"),
    ("October", "أكتوبر"),
    ("November", "نوفمبر"),
    ("December", "ديسمبر"),
)
OWNERS = ("my", "your", "his", "her", "our", "their")

# Food and drink that is not counted: english | arabic with article | gender
MASS = """
bread|الخبز|m|food
rice|الأرز|m|food
cheese|الجبن|m|food
meat|اللحم|m|food
fish|السمك|m|food
chicken|الدجاج|m|food
soup|الحساء|m|food
salad|السلطة|f|food
honey|العسل|m|food
butter|الزبدة|f|food
fruit|الفاكهة|f|food
milk|الحليب|m|drink
water|الماء|m|drink
tea|الشاي|m|drink
coffee|القهوة|f|drink
juice|العصير|m|drink
"""


def cells(table: str) -> list[list[str]]:
    """The lines of a table as lists of cells."""
    return [line.split("|") for line in table.strip().splitlines()]


@cache
def things() -> tuple[Thing, ...]:
    """All nouns."""
    rows = cells(NOUNS)
    return tuple(
        Thing(en, many, Noun(ar, plural, gender, "human" in kinds.split()), frozenset(kinds.split()))
        for en, many, ar, plural, gender, kinds in rows
    )


@cache
def qualities() -> tuple[Quality, ...]:
    """All adjectives; colours of the pattern أفعل take no tanwin alif."""
    return tuple(
        Quality(en, more, Adjective(ar, feminine, plural, elative, ar[0] == "أ"), frozenset(kinds.split()))
        for en, more, ar, feminine, plural, elative, kinds in cells(QUALITIES)
    )


@cache
def actions() -> tuple[Action, ...]:
    """All verbs that take an object."""
    return tuple(
        Action(base, third, past, Verb(present, then, command, past1, she, they), objects)
        for base, third, past, present, then, command, past1, she, they, objects in cells(ACTIONS)
    )


@cache
def people() -> tuple[Person, ...]:
    """All subjects."""
    return tuple(Person(*row) for row in cells(PEOPLE))


def of_kind(*kinds: str) -> tuple[Thing, ...]:
    """The nouns that have one of the kinds."""
    return tuple(thing for thing in things() if thing.kinds & set(kinds))


def fitting(thing: Thing) -> tuple[Quality, ...]:
    """The adjectives that can be said of the noun."""
    return tuple(quality for quality in qualities() if quality.kinds & thing.kinds)


def a(phrase: str) -> str:
    """The English phrase with `a` or `an`."""
    return ("an " if phrase[0] in "aeio" or phrase.startswith("umbrella") else "a ") + phrase


def spell(n: int) -> str:
    """The English words of 0 to 10,999."""
    if n >= 1000:
        return spell(n // 1000) + " thousand" + (" " + spell(n % 1000) if n % 1000 else "")
    if n >= 100:
        return spell(n // 100) + " hundred" + (" and " + spell(n % 100) if n % 100 else "")
    if n >= 20:
        return _ENGLISH_TENS[n // 10] + ("-" + spell(n % 10) if n % 10 else "")
    return _ENGLISH[n]


_ENGLISH = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_ENGLISH_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
