"""Errors planted into good translations, one seeded function for each class of the failure catalogue that a gate can see.

A plant takes a random generator, the pairs of one data set and the place of one of them, and gives a source, a spoilt translation
and how the engine stopped; None where the pair offers nothing to spoil. Plants of form stand in planted_form.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from planted_form import (
    code_translated,
    emoji_lost,
    fence_lost,
    garbled,
    json_broken,
    lines_lost,
    list_shifted,
    markup_broken,
    options_translated,
    placeholder_lost,
)  # fmt: skip
from planted_pair import Good, Plant, Spoilt, words_of
from planted_texts import COMMENTARY, NOTES, OPENINGS, REFUSALS

from hala.data.lexicon import DAYS, MONTHS, english_units, lexicon
from hala.data.masks import SENTINEL, mask

_CONTENT = re.compile(r"(?<![\w.@/&#'’\"“-])[a-z]{4,}(?![\w@/#'’\"”-])")


def echoed(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F3: the source beside its translation, or English words about the text."""
    pair = pairs[at]
    comment = rng.choice(COMMENTARY[pair.half :: 2])
    wrong = (
        f"{pair.source}\n{pair.target}", f"{pair.target}\n{pair.source}", f"{pair.target} ({pair.source})",
        f"{pair.source} - {pair.target}",
        f"{pair.target} {comment}", comment, f"{comment}\n\n{pair.target}",
    )  # fmt: skip
    return pair.source, rng.choice(wrong), "stop"


def announced(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F4: an announcement before the translation or a note after it, in English or in the target language."""
    pair = pairs[at]
    code = rng.choice(("en", pair.code))
    if rng.random() < 0.5:
        return pair.source, rng.choice(OPENINGS[code][pair.half :: 2]) + pair.target, "stop"
    return pair.source, pair.target + rng.choice(NOTES[code][pair.half :: 2]), "stop"


def refused(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F5: a refusal in English or in the target language, alone or before the translation."""
    pair = pairs[at]
    refusal = rng.choice(REFUSALS[rng.choice(("en", pair.code, pair.code))][pair.half :: 2])
    return pair.source, refusal if rng.random() < 0.7 else f"{refusal}\n\n{pair.target}", "stop"


def looped(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F6: the last words, the sentence or a character again and again, to the limit of tokens or not."""
    pair = pairs[at]
    words = words_of(pair.target)
    if len(words) < 4:
        return None
    size, times = rng.randrange(1, 7), rng.randrange(6, 60)
    cut = words[: rng.randrange(3, len(words) + 1)]
    wrong = (
        " ".join(cut + cut[-size:] * times), " ".join([pair.target] * rng.randrange(2, 6)), " ".join(words + words[-1:] * times),
        pair.target + pair.target[-2] * rng.randrange(20, 200), "\n".join([pair.target] * rng.randrange(3, 9)),
    )  # fmt: skip
    return pair.source, rng.choice(wrong), "stop"


def other_language(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F7: the same sentence in another language."""
    pair = pairs[at]
    return (pair.source, pair.sides[rng.choice(sorted(pair.sides))], "stop") if pair.sides else None


def left_inside(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F8: an English word in place of a word or in brackets behind it, or a stretch of English words."""
    pair = pairs[at]
    found = _CONTENT.findall(pair.source)
    words = words_of(pair.target)
    if not found or len(words) < 4:
        return None
    word, place = rng.choice(found), rng.randrange(len(words))
    way = rng.randrange(3)
    if way == 0:
        words[place] = word
    elif way == 1:
        words[place] += f" ({word})"
    else:
        source = words_of(pair.source)
        start = source.index(next((each for each in source if word in each), source[0]))
        words[place : place + 2] = source[start : start + rng.randrange(2, 5)]
    return pair.source, " ".join(words), "stop"


def copied(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F9: the source itself, or the source with its language mended."""
    pair = pairs[at]
    words = words_of(pair.source)
    if rng.random() < 0.6 or len(words) < 5:
        return pair.source, pair.source, "stop"
    place = rng.randrange(len(words))
    words[place] = rng.choice((words[place].lower(), words[place].rstrip(".,") + "s", "the " + words[place]))
    if rng.random() < 0.5:
        del words[rng.randrange(len(words))]
    return pair.source, " ".join(words), "stop"


def misaligned(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F10: the translation of another row."""
    other = pairs[(at + rng.randrange(1, len(pairs))) % len(pairs)]
    return pairs[at].source, other.target, "stop"


def misaligned_alike(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F10, hard: the translation of another row whose source has nearly the same length."""
    pair = pairs[at]
    for _ in range(200):
        other = pairs[rng.randrange(len(pairs))]
        if other.source != pair.source and abs(len(other.source) - len(pair.source)) <= 0.1 * len(pair.source):
            return pair.source, other.target, "stop"
    return None


def cut_off(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F16: the end missing: in the middle of a sentence, or one to three sentences of four."""
    pair = pairs[at]
    way = rng.randrange(3)
    if way == 1:
        words = words_of(pair.target)
        return (pair.source, " ".join(words[: int(len(words) * rng.uniform(0.25, 0.7))]), "stop") if len(words) >= 8 else None
    some = [pairs[(at + each) % len(pairs)] for each in range(4)]
    if any(len(each.source) < 30 for each in some):
        return None
    kept = rng.randrange(1, 3) if way == 2 else 3
    return " ".join(each.source for each in some), " ".join(each.target for each in some[:kept]), "stop"


def at_the_limit(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F16: the engine stopped at its limit of tokens."""
    return pairs[at].source, pairs[at].target, "length"


def number_changed(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F20: a number changed, dropped or written in the digits of two scripts."""
    pair = pairs[at]
    clean = SENTINEL.sub(" ", mask(pair.target).text)
    found = [match for match in re.finditer(r"(?<![\w.,])\d+(?![\w])", pair.target) if match.group() in clean]
    if not found or len(mask(pair.target).spans) > 0:
        return None
    match = rng.choice(found)
    number = match.group()
    place = rng.randrange(len(number))
    digit = str((int(number[place]) + rng.randrange(1, 9)) % 10)
    changed = number[:place] + digit + number[place + 1 :]
    wrong = [changed, changed, number + "0"]
    if pair.target.count(number) == 1 and number not in ("0", "1", "00"):
        wrong.append("")
    if len(number) > 1:
        native = "٠١٢٣٤٥٦٧٨٩" if pair.code == "ar" else "०१२३४५६७८९"
        wrong.append(number[:-1] + native[int(number[-1])])
    return pair.source, pair.target[: match.start()] + rng.choice(wrong) + pair.target[match.end() :], "stop"


def unit_changed(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F20: a unit, a month or a weekday taken for another of its kind."""
    pair = pairs[at]
    words = lexicon(pair.code)
    if words is None:
        return None
    tables = [*_unit_stems(pair, words.units), *_date_stems(pair, words.months), *_date_stems(pair, words.weekdays)]
    rng.shuffle(tables)
    for old, new in tables:
        word = re.compile(rf"(?<![^\W\d_]){re.escape(old)}(?![^\W\d_]|[\u0900-\u0903\u093a-\u094f])", re.IGNORECASE)
        if word.search(pair.target):
            return pair.source, word.sub(new, pair.target), "stop"
    return None


def _date_stems(pair: Good, table: dict[int, tuple[str, ...]]) -> list[tuple[str, str]]:
    names = MONTHS if len(table) == 12 else DAYS
    named = [number for number in table if re.search(rf"(?<!^){names[number - 1]}\b", pair.source)]
    return [(old, _written(table[number % len(table) + 1][0])) for number in named for old in map(_written, table[number])]


def _unit_stems(pair: Good, table: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    known = english_units()
    found = {known[unit] for unit in re.findall(r"\d ?([a-z]+)(?![A-Za-z])", pair.source) if unit in known}
    swaps: list[tuple[str, str]] = []
    for unit in sorted(found):
        others = [other for other in table if other.split()[0] == unit.split()[0] and other not in found]
        swaps += [(old, _written(table[other][0])) for other in others for old in map(_written, table[unit])]
    return swaps


def _written(stem: str) -> str:
    return stem.strip()


def emptied(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F21: nothing, blanks, signs or bare numbers."""
    return pairs[at].source, rng.choice(("", " ", "\n\n", "\u200f", "-", "...", "«»", "123")), "stop"


PLANTS: dict[str, Plant] = {
    "F1 code translated": code_translated,
    "F3 echo or commentary": echoed,
    "F4 announcement or note": announced,
    "F5 refusal": refused,
    "F6 loop": looped,
    "F7 another language": other_language,
    "F8 source words left inside": left_inside,
    "F9 input copied or mended": copied,
    "F10 another row's translation": misaligned,
    "F10 another row's, same length": misaligned_alike,
    "F11 option letters changed": options_translated,
    "F12 list merged, dropped or shifted": list_shifted,
    "F13 placeholder lost or damaged": placeholder_lost,
    "F14 JSON broken": json_broken,
    "F15 fence lost": fence_lost,
    "F16 cut off or shortened": cut_off,
    "F16 stopped at the token limit": at_the_limit,
    "F17 lines lost": lines_lost,
    "F18 dots and garbage": garbled,
    "F20 number changed": number_changed,
    "F20 unit or date changed": unit_changed,
    "F21 empty": emptied,
    "emoji lost": emoji_lost,
    "LaTeX, HTML, literal newline": markup_broken,
}
