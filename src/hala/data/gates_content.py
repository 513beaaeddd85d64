"""Gates on content: as long as a translation should be, with the same numbers, units and dates, an end, and no loops.

Each gate answers what is wrong with a pair, or an empty string.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from operator import eq

from hala.data.features import Pair
from hala.data.lexicon import DAYS, MONTHS, Lexicon, english_units
from hala.data.numerals import compare, mixed_digits

_SENTENCE_END = re.compile(r"[.!?؟।…]+[\"'”’»)]*(?=\s|$)")
_RUN = re.compile(r"([^\s\d])\1{7,}")
# Before one set of first characters the search leaps from one to the next.
_UNIT = re.compile(r"[$€£¥₹0-9](?:(?<=([$€£¥₹]))\s?[0-9]|(?<=[0-9])[\s-]?(°\s?[CF]|[%℃℉€£$]|[A-Za-z]{1,11})(?![A-Za-z]))")
_NUMBER_AND_UNIT = re.compile(r"(?<![\d.,])([0-9]+)[ -]?([A-Za-z]{1,11})(?![A-Za-z])")
_BESIDE = re.compile(r"(?<=\d)(?=[^\W\d_])")
_BOTH_NAMES = re.compile(r"((?:[^\W\d_]+ )?[^\W\d_]+)/([^\W\d_]+(?: [^\W\d_]+)?)")
_SHORT_RUN = re.compile(r"(\S)\1{3,}")
# Characters of target per character of source, divided by the expected ratio: (source shorter than, lowest, highest).
_LENGTH_CLASSES = ((10, 0.2, 6.0), (25, 0.28, 3.4), (60, 0.35, 2.6), (150, 0.5, 2.3), (10**9, 0.5, 1.9))


def repetition(pair: Pair) -> str:
    """No loops: repeated runs of words or a text that compresses much better than its source."""
    words, count, distinct = pair.target.tokens, len(pair.target.tokens), len(pair.target.lower)
    if count - distinct >= 3 and (found := _words_again(pair, words, count, distinct)):
        return found
    tail = pair.target.text[-4:]
    long = (pair.ratio > 1.2 or tail == 4 * tail[:1]) and max(map(len, words), default=0) >= 16
    return _dense(pair) if long or distinct < 0.6 * count else ""


def _words_again(pair: Pair, words: list[str], count: int, distinct: int) -> str:
    """What words are repeated: all of them, the last one, or the same four."""
    half = count // 2
    if half >= 3 and 1 < distinct <= half + 2 and words[:half] == words[half : 2 * half] and pair.ratio > 1.4:
        return "the translation stands there twice"
    if count > 5 and words[-1] == words[-2] == words[-3] == words[-4]:
        last = [word == words[-1] for word in reversed(words)].index(False) if distinct > 1 else count
        if last > 4 and last > 1.5 * longest_run(pair.source.tokens):
            return f"the last word {last} times"
    # Short words are said five times in a row (ha ha ha ha ha). Of six, one stands where four divides its place, followed.
    if any(map(eq, words[::4], words[1::4])) and (run := longest_run(words)) >= 6:
        before = longest_run(pair.source.tokens)
        if run > 1.5 * before + 1:
            return f"one word {run} times in a row, {before} in the source"
    if count - distinct >= 16 and distinct < 0.8 * count and (often := most_repeated(words)) >= 5 and 16 * often >= count:
        before = most_repeated(pair.source.tokens)
        if often > 2 * before:
            return f"the same four words {often} times, {before} in the source"
    return ""


def _dense(pair: Pair) -> str:
    """What is repeated inside words, or in longer stretches than four words."""
    source, target = pair.source.text, pair.target.text
    if len(target) >= 80 and (after := density(target)) > 1.7 * max(before := density(source), 1.3):
        return f"compresses {after:.1f} times, the source {before:.1f}"
    longest = max((len(match.group()) for match in _RUN.finditer(target)), default=0)
    if longest and longest > 2 * max((len(match.group()) for match in _SHORT_RUN.finditer(source)), default=0):
        return f"one character {longest} times"
    return ""


def longest_run(words: list[str]) -> int:
    """How often a word stands there several times in a row, at most."""
    longest = run = 0
    previous = ""
    for word in words:
        run = run + 1 if word == previous else 1
        longest, previous = max(longest, run), word
    return longest


def most_repeated(words: list[str]) -> int:
    """How often the most frequent four words in a row occur."""
    return max(Counter(zip(words, words[1:], words[2:], words[3:], strict=False)).values(), default=0)


def density(text: str) -> float:
    """How many times smaller the text becomes when it is compressed."""
    data = text.encode("utf-16-le", "surrogatepass")[::2]  # one byte a character, so that scripts compare
    return len(data) / len(zlib.compress(data, 6)) if data else 1.0


def length_ratio(pair: Pair) -> str:
    """A length that human translations of such a source have; the allowance shrinks as the source grows."""
    before = pair.source.length
    if before == 0 or 0.5 <= pair.ratio <= 1.9:  # fit for any length
        return ""
    low, high = _allowed(before)
    slack = 1.25 if pair.language.generic else 1.0
    if low / slack <= pair.ratio <= high * slack:
        return ""
    return f"{before} characters became {pair.target.length}"


def _allowed(length: int) -> tuple[float, float]:
    for limit, low, high in _LENGTH_CLASSES[:-1]:
        if length < limit:
            return low, high
    return _LENGTH_CLASSES[-1][1:]


def counted(pair: Pair) -> bool:
    """Whether there are digits on either side: else no gate on numbers or units has anything to object to."""
    return pair.source.digits or pair.target.digits


def numbers(pair: Pair) -> str:
    """The same numbers, whatever their digits and separators; they may be written as words on either side."""
    source, target = pair.source, pair.target
    if not source.digits and not target.digits:
        return ""
    if target.native and mixed_digits(target.bare):
        return "one number in the digits of two scripts"
    # Whatever the points between them.
    if source.figures == target.figures or sorted(source.figures) == sorted(target.figures):
        return ""
    codes = source.language.code, pair.language.code
    lost, made = compare(source.numbers, target.numbers, source.bare, target.bare, *codes, pair.searchable)
    return f"missing {lost[:4]}, extra {made[:4]}" if lost or made else ""


def units(pair: Pair) -> str:
    """The unit of a number stays the same unit: kilometres do not become miles."""
    words = pair.lexicon
    if words is None or not pair.source.digits:
        return ""
    found = _source_units(pair.source.folded)
    if not found:
        return ""
    lost = [unit for unit in found if words.units.get(unit) and not pair.holds(words.units[unit])]
    if not lost:
        return _beside_a_number(pair, words)
    text = _BESIDE.sub(" ", pair.searchable)  # 5mm
    for unit in lost:
        kind = unit.partition(" ")[0]
        if words.holds(words.units[unit], text) or _names_unit(pair.target.text, unit):
            continue
        for other, stems in words.units.items():
            if (
                other.startswith(kind)
                and other not in found
                and words.holds(stems, text)
                and not _names_unit(pair.source.text, other)
            ):
                return f"{unit} became {other}"
        if kind == "share" and "%" not in pair.target.text:
            return "the percent is gone"
    return ""


def _beside_a_number(pair: Pair, words: Lexicon) -> str:
    """A number whose neighbour in the translation is another unit, although the right one stands elsewhere: 5 days or 3 hours."""
    known = english_units()
    for number, form in _NUMBER_AND_UNIT.findall(pair.source.folded):
        unit = known.get(form.lower())
        if unit is None or unit not in words.units:
            continue
        place = rf"([^\W\d_]+) {number}(?![\d.,]*\d)" if words.unit_first else rf"(?<![\d.,]){number}[ -]?([^\W\d_]+)"
        named = {_unit_named(word.lower(), unit, words) for word in re.findall(place, pair.target.folded)}
        if named and not named & {unit, ""}:
            return f"{number} {unit} became {min(named)}"
    return ""


def _unit_named(word: str, unit: str, words: Lexicon) -> str:
    """The unit of the same kind that a word of the translation names by the longest stem; empty when it names none."""
    kind = unit.partition(" ")[0]
    text = words.searchable(word)
    found = [
        (len(stem.strip()), other == unit, other)
        for other, stems in words.units.items()
        if other.startswith(kind)
        for stem in stems
        if stem in text
    ]
    return max(found, default=(0, False, ""))[2] or (english_units().get(word, "") if word.isascii() else "")


def _names_unit(source: str, unit: str) -> bool:
    """Whether an English text has a form of the unit anywhere, with or without a number."""
    known = english_units()
    return any(known.get(word) == unit for word in re.findall(r"[a-z]+|[$€£¥₹%]", source.lower()))


def _source_units(text: str) -> list[str]:
    """Units that stand beside a number in an English text, in order."""
    known = english_units()
    found: list[str] = []
    for before, after in _UNIT.findall(text):
        unit = known.get((before or after).lower())
        if unit is not None and unit not in found:
            found.append(unit)
    return found


def dates(pair: Pair) -> str:
    """Months and weekdays stay what they are: January does not become March."""
    words = pair.lexicon
    if words is None:
        return ""
    anchors = pair.source.anchors(words)
    if words.calendar.isdisjoint(anchors):
        return ""
    names = [concept.name for concept in anchors if concept.calendar]
    if names[0] in ("May", "March") and pair.source.words[0] == names[0]:
        return ""
    for table, order in ((words.months, MONTHS), (words.weekdays, DAYS)):
        wanted = {order.index(name) + 1 for name in names if name in order}
        if not wanted:
            continue
        found = _named(table, pair.searchable)
        lost, others = wanted - found, found - wanted
        if lost and others:
            return f"{order[min(lost) - 1]} became {order[min(others) - 1]}"
        if others and order is MONTHS and (both := _two_months(words, pair.target.text)):
            return both
        if lost and len(wanted) > 1 and not pair.more_figures:
            gone = [order[each - 1] for each in sorted(lost)]
            # A month without a number may be a name (April).
            if sure := [each for each in gone if order is DAYS or re.search(rf"\d {each}|{each} \d", pair.source.text)]:
                return f"{sure[0]} is gone"
    return ""


def _two_months(words: Lexicon, text: str) -> str:
    """Two months where one month has both its names, as Arabic writes them: June by its Syriac and July by its Latin one."""
    for before, after in _BOTH_NAMES.findall(text) if "/" in text else ():
        one, two = (_named(words.months, words.searchable(each)) for each in (before, after))
        if one and two and one.isdisjoint(two):
            return f"{before}/{after} are {MONTHS[min(one) - 1]} and {MONTHS[min(two) - 1]}"
    return ""


def _named(table: Mapping[int, tuple[str, ...]], text: str) -> set[int]:
    """Which months or days a searchable text names; of names that hold each other (Vietnamese October, November) the longest."""
    found: set[int] = set()
    for stem, number in sorted(
        ((stem, number) for number, stems in table.items() for stem in stems), key=lambda each: -len(each[0])
    ):
        if stem in text:
            found.add(number)
            text = text.replace(stem, " ")
    return found


def sentences(pair: Pair) -> str:
    """Not far fewer or more sentences than the source, and an end where the source ends: nothing cut off, summarised or added."""
    source, target = pair.source, pair.target
    if (
        pair.ratio < 0.85
        and source.length >= 25
        and (source.length >= 60 or pair.ratio < 0.6)
        and source.ends
        and not target.ends
    ):
        return "stops in the middle of a sentence"
    text = source.text
    if source.length < 40 or text.count(".") + text.count("!") + text.count("?") < 5:
        return ""
    before, after = len(_SENTENCE_END.findall(source.natural)), len(_SENTENCE_END.findall(target.natural))
    if before >= 5 and not 0.35 * before <= after <= 2 * before + 1:
        return f"{before} sentences became {after}"
    return ""
