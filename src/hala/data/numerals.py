"""Numbers in running text: found in any script's digits, and compared across languages.

>>> from hala.data.numerals import changed_numbers, number_words
>>> sorted(number_words("twenty-five of the three", "en"))
[3, 5, 20, 25]
>>> changed_numbers("It cost 1,250 dollars in 2019.", "كلف ١٬٢٥٠ دولارا في ٢٠١٨.", "en", "ar")
(['2019'], ['2018'])
>>> changed_numbers("He has 3 dogs.", "لديه ثلاثة كلاب.", "en", "ar")
([], [])
>>> changed_numbers("He has 3 dogs.", "لديه خمسة كلاب.", "en", "ar")
(['3'], [])
"""

from __future__ import annotations

import re
from collections import Counter

from hala.data.lexicon import DAYS, MONTHS, Lexicon, lexicon
from hala.languages import fold_digits

_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
# The power of a unit is no number: km2, m3.
_POWER = re.compile(r"[23](?![\w.,])(?:(?<=[kcm]m.)|(?<=\dm.)|(?<=\d m.)|(?<=[كس]م.)|(?<=\d م.)|(?<=मी.))")
_ARABIC_COMMA = re.compile(r"([0-9])،([0-9]{3})(?![0-9])")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{2,3})*[.,]\d{3}")
# In lower case, as a searchable text has them; without those that are words elsewhere.
_ROMAN = {"2": "ii", "3": "iii", "4": "iv", "7": "vii", "8": "viii", "9": "ix", "12": "xii"}
_DIGITS = re.compile(r"\d+")
# A whole part, but not before a half (2.5), or a part behind a point.
_DECIMAL = re.compile(r"(?<![\d.,])(\d+)(?=[.,](?!5(?!\d))\d)|(?<=\d[.,])(\d+)")
_COUNTED = re.compile(r"(?<![\d.,])(\d+)[ -][^\W\d_]")
# A part of one, and no date or rate: 3/4 cup.
_FRACTION = re.compile(r"(?<![\d/.,])(\d{1,2})/(\d{1,2})(?![\d/])")
_FULL_HOUR = re.compile(r"\d[:.]00")
_ONE = re.compile(r"\b(?:one|first|once|single)\b", re.IGNORECASE)
_DECADE = re.compile(r"(\d+0)(?:['’]?s\b)")
_MIXED = re.compile("[0-9][٠-٩۰-۹०-९]|[٠-٩۰-۹०-९][0-9]")
# Where a Swahili text gives an hour, which it counts from six: by its word, the time of day, or minutes behind it.
_SWAHILI_HOUR = re.compile(
    r"\b(?:saa|asubuhi|alfajiri|mchana|alasiri|jioni|usiku)\b|(?<!\d)\d{1,2}[:.][0-5]\d(?!\d)", re.IGNORECASE
)
_AFTERNOON = re.compile(r"\bp\.?m\b|\b(?:after|this )?noon|evening|night|\b(?:EST|EDT|ET|GMT|UTC)\b", re.IGNORECASE)
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
# What a translation may write in digits where English has a word.
_ENGLISH = _TENS | {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19,
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "half": 30, "quarter": 15, "dozen": 12, "once": 1, "twice": 2, "both": 2, "hundred": 100, "thousand": 1000, "million": 10**6,
    "billion": 10**9, "noon": 12, "midnight": 12, "fifteenth": 15, "eighteenth": 18, "nineteenth": 19, "twentieth": 20,
    "hundreds": 100, "thousands": 1000, "hundredth": 100, "dozens": 12, "sixteenth": 16, "seventeenth": 17,
    "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "thirtieth": 30, "thirties": 30, "forties": 40,
    "fifties": 50,
    "sixties": 60, "seventies": 70, "eighties": 80, "nineties": 90, "twenties": 20, "decade": 10, "decades": 10, "century": 100,
    "centuries": 100, "millions": 10**6, "billions": 10**9, "double": 2, "triple": 3, "pair": 2, "couple": 2, "single": 1,
    "fortnight": 14, "ellipsis": 3,
    "ii": 2, "iii": 3, "iv": 4, "a": 1, "an": 1, "each": 1, "per": 1, "every": 1, "another": 1,
}  # fmt: skip
_TEN_VALUES = frozenset(_TENS.values())
_LETTERS = re.compile("[a-z]+")
_FRACTIONS = {"half": frozenset({2, 5, 50}), "quarter": frozenset({4, 25}), "quarters": frozenset({4, 75})}
# Months count from January; Monday is the first day of the week, or the second.
_CALENDAR = {
    name: {str(number)}
    for number, month in enumerate(MONTHS, 1)
    for name in (month.lower(), month[:3].lower(), month[:4].lower())
} | {name: {str(number), str(number + 1)} for number, day in enumerate(DAYS, 1) for name in (day.lower(), day[:3].lower())}


def number_words(text: str, code: str) -> frozenset[int]:
    """Values of the numbers that `text` writes in words, as far as the language is known; compounds with their parts."""
    if code != "en":
        return frozenset()
    found: set[int] = set()
    words = _LETTERS.findall(text.lower())
    for place, word in enumerate(words):
        value = _ENGLISH.get(word, -1)
        if value >= 0:
            previous = _ENGLISH.get(words[place - 1], -1) if place else -1
            found.add(value)
            if previous in _TEN_VALUES and 0 < value < 10:
                found.add(previous + value)
            if previous > 0 and value in (12, 100, 1000, 10**6, 10**9):
                found.add(previous * value)
            found |= _FRACTIONS.get(word, frozenset())
    return frozenset(found)


def changed_numbers(source: str, target: str, source_code: str, target_code: str) -> tuple[list[str], list[str]]:
    """Numbers that the target lost and numbers that it made up, beyond what may be written in words on one side."""
    return compare(numbers(source), numbers(target), source, target, source_code, target_code)


def compare(
    before: Counter[str],
    after: Counter[str],
    source: str,
    target: str,
    source_code: str,
    target_code: str,
    searchable: str = "",
) -> tuple[list[str], list[str]]:
    """`changed_numbers` for numbers that are known already, and a searchable form of the target if it is at hand."""
    # How often a number stands there does not matter: translators repeat a noun and its number, or say it once.
    missing, extra = before.keys() - after.keys(), after.keys() - before.keys()
    if not missing and not extra:
        return [], []
    missing, extra = set(missing), set(extra)
    swahili_day = target_code == "sw" and _SWAHILI_HOUR.search(target) is not None
    _pair_up(missing, extra, source, target, swahili_day)
    words = lexicon(target_code) if source_code == "en" else None
    if missing and words is not None and "/" in source:
        missing -= _in_words(before, source, searchable or words.searchable(target), words)
    lost = _lost(missing, extra, source, target, words, searchable) if missing else []
    made = _made(missing, extra, source, source_code, swahili_day) if extra else []
    return lost, made


def _lost(missing: set[str], extra: set[str], source: str, target: str, words: Lexicon | None, searchable: str) -> list[str]:
    decades = set(_DECADE.findall(source))
    if words is None:
        unsure = any(len(number) > 1 for number in extra)
        return [n for n in sorted(missing) if not (n in decades or _may_be_words(n, unsure))]
    text = searchable or words.searchable(target)
    # The 1980s are the eighties, in words or as 80.
    short = {decade: int(decade) % 100 for decade in decades}
    decades = {
        each for each, ten in short.items() if ten == 0 or spelled(ten, text, words) or str(ten) in _DIGITS.findall(target)
    }
    if ".5" in source and words.holds(words.numbers.get(30, ()), text):  # an hour and a half
        decades.add("5")
    decades |= {number for number, roman in _ROMAN.items() if number in missing and f" {roman} " in text}
    return [n for n in sorted(missing) if n not in decades and not _excused(n, source, text, words)]


def _in_words(before: Counter[str], source: str, text: str, words: Lexicon) -> set[str]:
    """The numbers of fractions that a searchable text has in words, 3/4 as three quarters, if they stand nowhere else."""
    found: Counter[str] = Counter()
    for above, below in _FRACTION.findall(source):
        part = int(above) < int(below) and words.holds(words.fractions.get(int(below), ()), text)
        if part and (int(above) == 1 or spelled(int(above), text, words)):
            found.update((above, below))
    return {number for number, times in found.items() if times == before[number]}


def _excused(number: str, source: str, text: str, words: Lexicon) -> bool:
    """Whether a number that is gone may stand in words: 3 days as three days, 1 day as a day, but not a half of 6.34."""
    if number != "0" and any(number in parts for parts in _DECIMAL.findall(source)):
        return False
    counted = number in _COUNTED.findall(source)
    if number in "01" and (counted or number == "0"):
        return True
    stems = [stem for stem in words.numbers.get(2, ()) if counted or len(stem) > 2] if number == "2" else None
    return words.holds(stems, text) if stems is not None else len(number) < 11 and spelled(int(number), text, words)


def _made(missing: set[str], extra: set[str], source: str, source_code: str, swahili_day: bool) -> list[str]:
    if source_code != "en":
        unsure = any(len(number) > 1 for number in missing)
        return [n for n in sorted(extra) if not _may_be_words(n, unsure)]
    values = number_words(source, source_code)
    written = set(map(str, values))
    if swahili_day:  # six in the morning is the twelfth hour
        written |= {str((value + 5) % 12 + 1) for value in values if value <= 12}
    for word in _LETTERS.findall(source.lower()):
        written |= _CALENDAR.get(word, set())
    if missing:  # "a" is one only where no number is gone
        written -= {"1"} - ({"1"} if _ONE.search(source) else set())
    return [n for n in sorted(extra) if n not in written]


def spelled(value: int, text: str, words: Lexicon) -> bool:
    """Whether a searchable text has the words that a number consists of, wherever they stand: 25 is twenty and five."""
    stems = words.numbers.get(value)
    if stems is not None:
        return words.holds(stems, text)
    for unit in (10**9, 10**6, 1000, 100):
        if value >= unit:
            high, rest = divmod(value, unit)
            known = words.holds(words.numbers.get(unit, ()), text)
            return known and (high == 1 or spelled(high, text, words)) and (rest == 0 or spelled(rest, text, words))
    tens, rest = value - value % 10, value % 10
    return tens in words.numbers and words.holds(words.numbers[tens], text) and words.holds(words.numbers[rest], text)


def _pair_up(missing: set[str], extra: set[str], source: str, target: str, swahili_day: bool) -> None:
    """Takes out what is one number in two writings: 300,000 and 300 thousand, 1950-53 and 1953, 1200 and 12:00, 3 p.m. and 15."""
    if _FULL_HOUR.search(target):  # of a full hour
        extra.discard("0")
    left, right = _shifted(source), _shifted(target)
    for digits in [each for each in left.keys() & right.keys() if len(each) > 1]:
        missing -= left[digits]
        extra -= right[digits]
    for number in sorted(missing):
        for other in sorted(extra):
            short, long = sorted((number, other), key=len)
            scaled = long.startswith(short) and set(long[len(short) :]) == {"0"} and len(long) - len(short) in (2, 3, 6, 9)
            ending = len(short) == 2 and len(long) == 4 and long.endswith(short) and long[:2] in ("18", "19", "20")
            if scaled or ending or (len(long) < 3 and _same_hour(int(number), int(other), source, swahili_day)):
                missing.discard(number)
                extra.discard(other)
                break


def _shifted(text: str) -> dict[str, set[str]]:
    """Numbers by their digits alone, wherever the point is: 5.4 crore are 54 million, 1,200,000 are 12 lakh."""
    found: dict[str, set[str]] = {}
    for token in _tokens(fold_digits(text)):
        groups = re.split(r"[.,]", token)
        joined = "".join(groups)
        short = joined.rstrip("0")
        for digits in {joined, short if len(groups) > 1 or len(joined) - len(short) > 2 else joined}:
            found.setdefault(digits, set()).update(each.lstrip("0") or "0" for each in (*groups, joined))
    return found


def _same_hour(hour: int, other: int, source: str, swahili_day: bool) -> bool:
    """One hour on two clocks: of 12 or 24 hours, or of the Swahili day, which begins at six."""
    if other == hour + 12 or other == hour - 12:
        return _AFTERNOON.search(source) is not None
    return swahili_day and (hour - other) % 12 == 6


def numbers(text: str) -> Counter[str]:
    """Numbers as ASCII digits: thousands joined, other groups apart, leading zeros dropped."""
    return numbers_of(fold_digits(text))


def numbers_of(folded: str) -> Counter[str]:
    """`numbers` of a text whose digits are ASCII digits already."""
    found: Counter[str] = Counter()
    for token in _tokens(folded):
        if token.isdecimal():
            found[token.lstrip("0") or "0"] += 1
            continue
        parts = token.replace(",", ".")
        for group in [parts.replace(".", "")] if _THOUSANDS.fullmatch(token) else parts.split("."):
            found[group.lstrip("0") or "0"] += 1
    return found


def _tokens(folded: str) -> list[str]:
    """Numbers with their points and commas, without the 2 of km2."""
    if not folded.isascii():
        if "٫" in folded or "٬" in folded:
            folded = folded.replace("٫", ".").replace("٬", ",")
        if "،" in folded:
            folded = _ARABIC_COMMA.sub(r"\1,\2", folded)
    if "2" in folded or "3" in folded:
        folded = _POWER.sub("", folded)
    return _NUMBER.findall(folded)


def mixed_digits(text: str) -> bool:
    """Whether one number is written in the digits of two scripts."""
    return _MIXED.search(text) is not None


def _may_be_words(number: str, both_sides: bool) -> bool:
    """Whether a number that only one side writes in digits may be in words on the other, where no words are known."""
    value = int(number) if len(number) < 8 else 10**8
    return value <= 12 or (not both_sides and (value <= 100 or value % 100 == 0))
