"""Arabic that agrees: counted nouns, duals, adjectives, possessives and verb persons, without diacritics but tanwin fath.

The one idea: a noun carries gender and plural, and every function spells the form that its place in the sentence asks for.

>>> from hala.data.world.arabic import Noun, counted
>>> counted(11, Noun("كتاب", "كتب"))
'أحد عشر كتابًا'
"""

from __future__ import annotations

from dataclasses import dataclass

UNITS = ("", "واحد", "اثنان", "ثلاثة", "أربعة", "خمسة", "ستة", "سبعة", "ثمانية", "تسعة", "عشرة")
BARE = ("", "إحدى", "اثنتان", "ثلاث", "أربع", "خمس", "ست", "سبع", "ثماني", "تسع", "عشر")
TENS = ("", "", "عشر", "ثلاث", "أربع", "خمس", "ست", "سبع", "ثمان", "تسع")
HUNDREDS = ("", "مئة", "مئت", "ثلاثمئة", "أربعمئة", "خمسمئة", "ستمئة", "سبعمئة", "ثمانمئة", "تسعمئة")
ORDINAL_HOURS = (
    "",
    "الواحدة",
    "الثانية",
    "الثالثة",
    "الرابعة",
    "الخامسة",
    "السادسة",
    "السابعة",
    "الثامنة",
    "التاسعة",
    "العاشرة",
    "الحادية عشرة",
    "الثانية عشرة",
)
ORDINALS = (
    "",
    "الأول",
    "الثاني",
    "الثالث",
    "الرابع",
    "الخامس",
    "السادس",
    "السابع",
    "الثامن",
    "التاسع",
    "العاشر",
    "الحادي عشر",
    "الثاني عشر",
    "الثالث عشر",
    "الرابع عشر",
    "الخامس عشر",
    "السادس عشر",
    "السابع عشر",
    "الثامن عشر",
    "التاسع عشر",
    "العشرين",
)
SUFFIXES = {"my": "ي", "your": "ك", "his": "ه", "her": "ها", "our": "نا", "their": "هم"}


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: singular, plural (genitive spelling: معلمين), gender `m` or `f`; `dual` only where it is not regular."""

    ar: str
    plural: str = ""
    gender: str = "m"
    human: bool = False
    dual: str = ""


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: masculine, feminine (default: + ة), plural for people, elative (أكبر); colours take no tanwin alif."""

    ar: str
    feminine: str = ""
    plural: str = ""
    elative: str = ""
    diptote: bool = False

    def form(self, gender: str) -> str:
        """The singular form for a gender; nouns of things in the plural take the feminine one."""
        return self.ar if gender == "m" else (self.feminine or self.ar + "ة")

    def accusative(self, gender: str) -> str:
        """The indefinite accusative singular: جديدًا, جديدة, أحمر."""
        word = self.form(gender)
        return word if self.diptote else tanwin(word)


def definite(word: str) -> str:
    """The indefinite word with the article."""
    return "ال" + word


def to(word: str) -> str:
    """`ل` before the word, merged with its article: للبيت, لسامي."""
    return "لل" + word[2:] if word.startswith("ال") else "ل" + word


def tanwin(word: str) -> str:
    """The indefinite accusative spelling: كتابًا, but سيارة, مساء, مستشفى stay as they are."""
    return word if word[-1] in "ةىاأ" or word.endswith("اء") else word + "ًا"


def dual(noun: Noun, case: str = "nom") -> str:
    """Two of them: كتابان (nom) or كتابين (acc, gen)."""
    stem = noun.dual or (
        noun.ar[:-1] + "ت" if noun.ar.endswith("ة") else noun.ar[:-1] + "ي" if noun.ar.endswith("ى") else noun.ar
    )
    return stem + ("ان" if case == "nom" else "ين")


def possessed(word: str, owner: str) -> str:
    """The word with the suffix of `my your his her our their`: كتابي, سيارتها. Not for words that end in ء, و or ى."""
    return (word[:-1] + "ت" if word.endswith("ة") else word) + SUFFIXES[owner]


def _pair_ending(stem: str, case: str) -> str:
    return stem + ("ان" if case == "nom" else "ين")


def tens(n: int, case: str = "nom") -> str:
    """Twenty to ninety: عشرون (nom), عشرين (acc, gen)."""
    return TENS[n // 10] + ("ون" if case == "nom" else "ين")


def _small(n: int, gender: str, case: str) -> str:
    """The unit beside ten or a ten: the gender is that of the counted noun (opposite form from 3 on)."""
    if n == 2:
        return _pair_ending("اثن" if gender == "m" else "اثنت", case)
    if n == 1 and case == "acc" and gender == "m":
        return "واحدًا"
    return UNITS[n] if gender == "m" else BARE[n]


def _teen(n: int, gender: str, case: str) -> str:
    if n == 11:
        return "أحد عشر" if gender == "m" else "إحدى عشرة"
    unit = _small(n - 10, gender, case)
    return (unit[:-1] if n == 12 else unit) + (" عشر" if gender == "m" else " عشرة")


def _below_hundred(n: int, gender: str, case: str) -> str:
    if n <= 10:
        return _small(n, gender, case)
    if n < 20:
        return _teen(n, gender, case)
    if n % 10 == 0:
        return tens(n, case)
    unit = _small(n % 10, gender, case)
    if unit == "ثماني":
        unit = "ثمانيًا" if case == "acc" else "ثمان"
    return f"{unit} و{tens(n, case)}"


def _thousands(n: int, case: str, construct: bool) -> str:
    if n == 1:
        return "ألف"
    if n == 2:
        return _pair_ending("ألف", case)[: -1 if construct else None]
    return UNITS[n] + " آلاف"


def number(n: int, gender: str = "m", case: str = "nom", construct: bool = False) -> str:
    """A cardinal from 0 to 10,999 in words; abstract numbers are masculine; `construct` before a counted singular (مئتا)."""
    if n == 0:
        return "صفر"
    parts = []
    if n >= 1000:
        parts.append(_thousands(n // 1000, case, construct and n % 1000 == 0))
    rest = n % 1000
    if rest >= 100:
        hundred = HUNDREDS[rest // 100]
        if rest // 100 == 2:
            hundred = _pair_ending(hundred, case)[: -1 if construct and rest == 200 else None]
        parts.append(hundred)
    if rest % 100:
        parts.append(_below_hundred(rest % 100, gender, case))
    return " و".join(parts)


def counted(n: int, noun: Noun, case: str = "nom", adjective: Adjective | None = None) -> str:
    """`n` of them with the number in words: كتاب واحد, كتابان, ثلاثة كتب, أحد عشر كتابًا, مئة كتاب; the adjective agrees.

    Raises ValueError where Arabic repeats the noun (101, 102, 201, ...).
    """
    last, gender = n % 100, noun.gender
    if n == 1:
        one = "واحد" if gender == "m" else "واحدة"
        words = [noun.ar, one] if case != "acc" else [tanwin(noun.ar), tanwin(one)]
        return " ".join(words + ([_agreeing(adjective, gender, case)] if adjective else []))
    if n == 2:
        return dual(noun, case) + (f" {_dual_adjective(adjective, gender, case)}" if adjective else "")
    if last in (1, 2) or n == 0:
        raise ValueError(f"cannot count {n} with one noun")
    words = [number(n, gender, case, construct=True)]
    if 3 <= last <= 10:
        words += [noun.plural] + ([adjective.form("f")] if adjective else [])
    elif last:
        words += [tanwin(noun.ar)] + ([adjective.accusative(gender)] if adjective else [])
    else:
        words += [noun.ar] + ([adjective.form(gender)] if adjective else [])
    return " ".join(words)


def _agreeing(adjective: Adjective, gender: str, case: str) -> str:
    return adjective.accusative(gender) if case == "acc" else adjective.form(gender)


def _dual_adjective(adjective: Adjective, gender: str, case: str) -> str:
    word = adjective.form(gender)
    stem = word[:-1] + "ت" if word.endswith("ة") else word[:-1] + "و" if word.endswith("اء") else word
    return _pair_ending(stem, case)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: present and past of `he`, imperative to one man; `past1` is the stem of I and we where it differs."""

    present: str
    past: str
    command: str = ""
    past1: str = ""
    past_she: str = ""
    past_they: str = ""

    def now(self, person: str) -> str:
        """The present of `he she I we they you` (you: one man)."""
        stem = self.present[1:]
        if person == "they":
            return "ي" + (stem[:-1] if stem[-1] in "يى" else _seat(stem)) + "ون"
        if person == "I":
            return "آ" + stem[1:] if stem[0] == "أ" else "أ" + stem
        return {"he": "ي", "she": "ت", "we": "ن", "you": "ت"}[person] + stem

    def then(self, person: str) -> str:
        """The past of `he she I we they`."""
        if person == "he":
            return self.past
        if person == "she":
            return self.past_she or self.past + "ت"
        if person == "they":
            return self.past_they or _seat(self.past) + "وا"
        return (self.past1 or self.past) + ("ت" if person == "I" else "نا")


def _seat(stem: str) -> str:
    """A final hamza moves to waw before the plural ending: يقرؤون, قرؤوا."""
    return stem[:-1] + "ؤ" if stem.endswith("أ") else stem
