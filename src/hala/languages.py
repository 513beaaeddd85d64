"""A language as data: script, direction, digits, punctuation and how much Latin script its ordinary text may hold.

Known languages are rows of one table; any other code gets a generic language that says so (`generic=True`) and switches the
script-dependent checks off instead of guessing.

>>> from hala.languages import language, script_share
>>> language("ar").name, round(script_share("مرحبا Bob", language("ar")), 2)
('Arabic', 0.62)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

Ranges = tuple[tuple[str, str], ...]

# Letters only, so that shares count letters and never punctuation, digits or combining marks.
_SCRIPTS: dict[str, Ranges] = {
    "Latin": (("A", "Z"), ("a", "z"), ("À", "Ö"), ("Ø", "ö"), ("ø", "ɏ"), ("Ḁ", "ỿ"), ("Ａ", "Ｚ"), ("ａ", "ｚ")),
    "Arabic": (
        ("\u0620", "\u064a"), ("\u066e", "\u066f"), ("\u0671", "\u06d3"), ("\u06d5", "\u06d5"), ("\u06fa", "\u06fc"),
        ("\u0750", "\u077f"), ("\u08a0", "\u08c9"), ("\ufb50", "\ufbb1"), ("\ufbd3", "\ufd3d"), ("\ufd50", "\ufd8f"),
        ("\ufd92", "\ufdc7"), ("\ufdf0", "\ufdfb"), ("\ufe70", "\ufefc"),
    ),
    "Devanagari": (("\u0904", "\u0939"), ("\u093d", "\u093d"), ("\u0950", "\u0950"), ("\u0958", "\u0961"), ("\u0971", "\u097f")),
}  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Language:
    """What the pipeline knows about one language; `generic` marks a code that is in no table."""

    code: str
    """BCP 47 primary tag, lower case."""
    name: str
    """English name, as prompts say it."""
    native: str
    script: str = ""
    """Unicode script name; empty when unknown, which switches script checks off."""
    iso: str = ""
    """The script's ISO 15924 code; empty when unknown."""
    direction: str = "ltr"
    digits: str = "0123456789"
    """The ten native digits in order; ASCII digits are acceptable everywhere."""
    sentence_end: str = ".!?…"
    question: str = "?"
    latin_share: float = 1.0
    """Largest share of letters that ordinary text may hold in Latin script (names, acronyms, product words)."""
    expansion: float = 1.0
    """Median characters per character of the same text in English."""
    labels: tuple[str, ...] = ()
    """Labels of language identifiers (ISO 639-3) that count as this language, close dialects included."""
    foreign: str = ""
    """Letters of the same script that other languages use and this one does not."""
    marked: str = ""
    """Letters that set the language apart within a shared script; running text holds some."""
    frequent: frozenset[str] = frozenset()
    """Frequent short words, case-folded: running text holds some."""
    strangers: frozenset[str] = frozenset()
    """Frequent words of close languages that this one does not have."""
    telltale: tuple[str, ...] = ()
    """Letters or endings that no language of the same script shares."""
    generic: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KNOWN = (
    Language(
        "en", "English", "English", "Latin", "Latn", labels=("eng",),
        frequent=_words("the of and to in is that for it with as was on are be this by from at have or not an you we which"
                        " can will your they has their but how what if when there would he she his her i do does my me"),
    ),
    Language(
        "ar", "Arabic", "العربية", "Arabic", "Arab", "rtl", "٠١٢٣٤٥٦٧٨٩", ".!?؟…", "؟", 0.35, 0.87,
        labels=("arb", "ara", "acm", "acq", "aeb", "ajp", "apc", "ars", "ary", "arz"),
        foreign="پچژگکیہےٹڈڑںھۀۂۓ",
        frequent=_words("في من على إلى أن عن مع هذا هذه التي الذي لا ما كان هو هي أو ثم قد كل بين بعد قبل عند إذا يتم لم لن"),
        telltale=("ة", " ال", " لل"),
    ),
    Language(
        "hi", "Hindi", "हिन्दी", "Devanagari", "Deva", "ltr", "०१२३४५६७८९", ".!?।…", "?", 0.40, 1.0, labels=("hin",),
        frequent=_words("के है में की से को और का एक पर यह हैं कि नहीं लिए भी इस तो था ने कर या जो करने अपने आप वह हो"),
        strangers=_words("आहे आहेत आणि नाही मध्ये साठी असे तुम्ही झाले केले पाहिजे मला आम्ही त्याच्या छ छन् छैन पनि गर्न भएको हुन्छ गर्ने मलाई हामी"
                         " गरेको लागि भन्ने तपाईं यो"),
    ),
    Language(
        "vi", "Vietnamese", "Tiếng Việt", "Latin", "Latn", expansion=1.06, labels=("vie",),
        marked="ăâđêôơưàảãạằẳẵặắầẩẫậấèẻẽẹéềểễệếìỉĩịíòỏõọóồổỗộốờởỡợớùủũụúừửữựứỳỷỹỵý",
        frequent=_words("và của là có trong cho các được một không với để này người khi những đã từ đến bạn về ở tôi như"),
    ),
    Language(
        "sw", "Swahili", "Kiswahili", "Latin", "Latn", expansion=1.04, labels=("swh", "swa", "swc"),
        frequent=_words("ya na wa kwa ni katika za la kama hii cha kuwa hiyo huo yake zaidi au lakini pia sana hivyo yao"
                        " baada kila watu alisema mwaka kutoka hilo wakati ambayo ambao vya huu hizo"),
    ),
)  # fmt: skip
LANGUAGES: dict[str, Language] = {each.code: each for each in _KNOWN}


def language(code: str) -> Language:
    """The language of a BCP 47 code (`ar`, `ar-EG`, `AR_eg`); an unknown code gives a generic one without script checks."""
    primary = re.split(r"[-_]", code.strip().lower(), maxsplit=1)[0]
    return LANGUAGES.get(primary) or Language(primary, code.strip(), code.strip(), generic=True)


@lru_cache(maxsize=64)
def _runs(script: str) -> re.Pattern[str]:
    return re.compile("[" + "".join(f"{low}-{high}" for low, high in _SCRIPTS[script]) + "]+")


def letters(text: str) -> int:
    """How many letters of any script `text` holds; digits, marks and punctuation do not count."""
    return sum(map(len, _LETTERS.findall(text)))


def script_letters(text: str, script: str) -> int:
    """How many letters of `script` (`Latin`, `Arabic`, `Devanagari`) `text` holds."""
    return sum(map(len, _runs(script).findall(text)))


def script_share(text: str, target: Language) -> float:
    """Share of letters in the script of `target`, 0 to 1; 1.0 when there is no letter or the script is unknown."""
    if not target.script:
        return 1.0
    total = letters(text)
    return min(1.0, script_letters(text, target.script) / total) if total else 1.0


# Digits of the scripts that have their own, beside ASCII.
_NATIVE_DIGITS = re.compile("[" + "".join(chr(point) for point in range(0x80, 0x11000) if chr(point).isdecimal()) + "]")


def fold_digits(text: str) -> str:
    """`text` with every decimal digit of any script as its ASCII digit; the text itself when there is nothing to fold."""
    if text.isascii() or _NATIVE_DIGITS.search(text) is None:
        return text
    return _NATIVE_DIGITS.sub(lambda match: str(int(match.group())), text)
