"""Numbers in running text: found in any script's digits, and compared across languages.

>>> from hala.data.numerals import changed_numbers, number_words
>>> sorted(number_words("twenty-five of the three", "en"))
[3, 5, 20, 25]
>>> changed_numbers("It cost 1,250 dollars in 2019.", "كلف ١٬٢٥٠ دولارا في ٢٠١٨.", "en", "ar")
(['2019'], ['2018'])
"""

from __future__ import annotations

import re
from collections import Counter

from hala.languages import fold_digits

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{2,3})*[.,]\d{3}")
_DECADE = re.compile(r"(\d+0)(?:['’]?s\b)")
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_ENGLISH = _TENS | {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19,
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "half": 30, "quarter": 15, "dozen": 12, "once": 1, "twice": 2, "both": 2, "hundred": 100, "thousand": 1000, "million": 10**6,
    "billion": 10**9, "noon": 12, "midnight": 12, "fifteenth": 15, "eighteenth": 18, "nineteenth": 19, "twentieth": 20,
    "hundreds": 100, "thousands": 1000, "hundredth": 100, "dozens": 12, "sixteenth": 16, "seventeenth": 17,
}  # fmt: skip


def number_words(text: str, code: str) -> frozenset[int]:
    """Values of the numbers that `text` writes in words, as far as the language is known; compounds with their parts."""
    if code != "en":
        return frozenset()
    found: set[int] = set()
    previous = -1
    for word in re.findall(r"[a-z]+", text.casefold()):
        value = _ENGLISH.get(word, -1)
        if value >= 0:
            found.add(value)
            if previous in _TENS.values() and 0 < value < 10:
                found.add(previous + value)
            if previous > 0 and value in (100, 1000, 10**6, 10**9):
                found.add(previous * value)
        previous = value
    return frozenset(found)


def changed_numbers(source: str, target: str, source_code: str, target_code: str) -> tuple[list[str], list[str]]:
    """Numbers that the target lost and numbers that it made up, beyond what may be written in words on one side."""
    before, after = numbers(source), numbers(target)
    missing, extra = before - after, after - before
    _pair_up(missing, extra)
    in_source, in_target = number_words(source, source_code), number_words(target, target_code)
    decades = set(_DECADE.findall(source))
    unsure = any(len(number) > 1 for number in extra), any(len(number) > 1 for number in missing)
    lost = [n for n in missing if not (n in decades or int(n) in in_target or _may_be_words(n, unsure[0]))]
    made = [n for n in extra if not (int(n) in in_source or _may_be_words(n, unsure[1]))]
    return lost, made


def _pair_up(missing: Counter[str], extra: Counter[str]) -> None:
    """Takes out what is one number in two writings: 300,000 and 300 thousand, 1950-53 and 1953, 1200 and 12:00."""
    for number in list(missing):
        for other in list(extra):
            short, long = sorted((number, other), key=len)
            scaled = long.startswith(short) and set(long[len(short) :]) == {"0"} and len(long) - len(short) in (2, 3, 6, 9)
            if scaled or (len(short) == 2 and len(long) == 4 and long.endswith(short)):
                del missing[number], extra[other]
                break


def numbers(text: str) -> Counter[str]:
    """Numbers as ASCII digits: thousands joined, other groups apart, leading zeros dropped."""
    folded = fold_digits(text).replace("٫", ".").replace("٬", ",")
    found: Counter[str] = Counter()
    for token in _NUMBER.findall(folded):
        groups = [re.sub(r"[.,]", "", token)] if _THOUSANDS.fullmatch(token) else re.split(r"[.,]", token)
        found.update(group.lstrip("0") or "0" for group in groups)
    return found


def _may_be_words(number: str, both_sides: bool) -> bool:
    """Whether a number that only one side writes in digits may be in words on the other."""
    value = int(number) if len(number) < 8 else 10**8
    return value <= 12 or (not both_sides and (value <= 100 or value % 100 == 0))
