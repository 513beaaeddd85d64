"""Errors planted into good translations, one seeded function for each class of the failure catalogue that a gate can see.

A plant takes a random generator, the pairs of one data set and the place of one of them, and gives a source, a spoilt translation
and how the engine stopped; None where the pair offers nothing to spoil.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from planted_texts import COMMENTARY, NOTES, OPENINGS, REFUSALS

from hala.data.lexicon import DAYS, MONTHS, english_units, lexicon
from hala.data.masks import SENTINEL, mask


class Good(NamedTuple):
    """A human translation. `half` is 0 for setting limits and 1 for the report; `sides` has the same text in other languages."""

    id: str
    half: int
    source: str
    target: str
    code: str
    sides: dict[str, str]


Spoilt = tuple[str, str, str]
Plant = Callable[[Random, Sequence[Good], int], Spoilt | None]
_CONTENT = re.compile(r"(?<![\w.@/&#'’\"“-])[a-z]{4,}(?![\w@/#'’\"”-])")
_LOCAL_LETTERS = {"ar": "أبجد", "hi": "कखगघ", "vi": "ĂBCĐ", "sw": "1234"}
_CODE = (
    ("`for item in items:`", "for"), ("`print(total)`", "print"), ("`SELECT name FROM users`", "SELECT"),
    ("`if ready: run()`", "if"), ("<b>", "b"), ("total_price", "total"), ("get_user()", "get"), ("`x = true`", "true"),
    ("report.pdf", "report"), ("`git push`", "push"),
)  # fmt: skip
_PLACEHOLDERS = (
    "{name}",
    "{{count}}",
    "%s",
    "%(user)s",
    "<<input>>",
    "[NAME]",
    "${path}",
    "https://site.org/page",
    "me@site.org",
)


def _words(text: str) -> list[str]:
    return text.split(" ")


def _inside(rng: Random, text: str, extra: str) -> str:
    """The text with something between two of its words."""
    words = _words(text)
    words.insert(rng.randrange(1, len(words) + 1), extra)
    return " ".join(words)


def _some_word(rng: Random, text: str) -> str:
    words = [word for word in re.findall(r"[^\W\d_]{3,}", text)]
    return rng.choice(words) if words else "كلمة"


def code_translated(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F1: a keyword or identifier translated, or the whole span written as a word of the language."""
    pair = pairs[at]
    span, keyword = rng.choice(_CODE)
    word = _some_word(rng, pair.target)
    source = f"{pair.source} {span}"
    if rng.random() < 0.5:  # as the pipeline does it
        return mask(source).text, f"{mask(pair.target).text} {word}", "stop"
    return source, f"{pair.target} {span.replace(keyword, word, 1)}", "stop"


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
    words = _words(pair.target)
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
    words = _words(pair.target)
    if not found or len(words) < 4:
        return None
    word, place = rng.choice(found), rng.randrange(len(words))
    way = rng.randrange(3)
    if way == 0:
        words[place] = word
    elif way == 1:
        words[place] += f" ({word})"
    else:
        source = _words(pair.source)
        start = source.index(next((each for each in source if word in each), source[0]))
        words[place : place + 2] = source[start : start + rng.randrange(2, 5)]
    return pair.source, " ".join(words), "stop"


def copied(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F9: the source itself, or the source with its language mended."""
    pair = pairs[at]
    words = _words(pair.source)
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


def options_translated(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F11: the letters of options translated, shuffled or dropped, or the letter of the answer changed."""
    pair = pairs[at]
    some = [pairs[(at + each) % len(pairs)] for each in range(1, 5)]
    local = _LOCAL_LETTERS[pair.code]
    way = rng.randrange(4)
    if way == 0:
        return f"{pair.source} The answer is B.", f"{pair.target} {local[1] if local[1] != 'B' else 'D'}.", "stop"
    letters = {1: local, 2: "BADC", 3: "    "}[way]
    source = "\n".join([pair.source, *(f"{letter}) {each.source}" for letter, each in zip("ABCD", some, strict=True))])
    target = "\n".join([pair.target, *(f"{letter}) {each.target}" for letter, each in zip(letters, some, strict=True))])
    return source, target, "stop"


def list_shifted(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F12: items of a list merged, dropped or shifted by one."""
    some = [pairs[(at + each) % len(pairs)] for each in range(4)]
    source = "\n".join(f"- {each.source}" for each in some)
    targets = [each.target for each in some]
    way = rng.randrange(3)
    if way == 0:
        targets[1:3] = [f"{targets[1]} {targets[2]}"]
    elif way == 1:
        del targets[rng.randrange(4)]
    else:
        targets = targets[1:] + targets[:1]
    return source, "\n".join(f"- {each}" for each in targets), "stop"


def placeholder_lost(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F13: a placeholder or sentinel lost, doubled, damaged, guessed or translated."""
    pair = pairs[at]
    span = rng.choice(_PLACEHOLDERS)
    source = _inside(rng, pair.source, span)
    word = _some_word(rng, pair.target)
    if rng.random() < 0.6:
        masked, number = mask(source).text, len(mask(pair.target).spans) + 1
        mark = f"⟦{number}⟧"
        wrong = (word, f"{mark} {mark}", f"⟦{number + 1}⟧", f"[{number}]", f"⟦{word}⟧", f"⟦{number}")
        return masked, _inside(rng, mask(pair.target).text, rng.choice(wrong)), "stop"
    wrong = ("", re.sub(r"[A-Za-z]+", word, span, count=1), f"{span} {span}", span[:-1])
    return source, _inside(rng, pair.target, rng.choice(wrong)), "stop"


def json_broken(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F14: JSON with a key translated, a key lost, a bracket lost or a quote lost."""
    one, two = pairs[at], pairs[(at + 1) % len(pairs)]
    source = json.dumps({"question": one.source, "answers": [two.source], "score": 3}, ensure_ascii=False)
    good = {"question": one.target, "answers": [two.target], "score": 3}
    way = rng.randrange(4)
    if way == 0:
        return (
            source,
            json.dumps({_some_word(rng, one.target): one.target, "answers": [two.target], "score": 3}, ensure_ascii=False),
            "stop",
        )
    if way == 1:
        del good[rng.choice(("question", "answers", "score"))]  # type: ignore[arg-type]
        return source, json.dumps(good, ensure_ascii=False), "stop"
    text = json.dumps(good, ensure_ascii=False)
    return source, text[:-1] if way == 2 else text.replace('": "', '": ', 1), "stop"


def fence_lost(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F15: a fence that lost its closing line, its opening line or the newline before it, or that was doubled."""
    pair, after = pairs[at], pairs[(at + 1) % len(pairs)]
    block = "```python\nx = compute(3)\nprint(x)\n```"
    wrong = (block.removesuffix("\n```"), block.removeprefix("```python\n"), block.replace(")\n```", ")```"), f"```\n{block}", "")
    return f"{pair.source}\n\n{block}\n\n{after.source}", f"{pair.target}\n\n{rng.choice(wrong)}\n\n{after.target}", "stop"


def cut_off(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt | None:
    """F16: the end missing: in the middle of a sentence, or one to three sentences of four."""
    pair = pairs[at]
    way = rng.randrange(3)
    if way == 1:
        words = _words(pair.target)
        return (pair.source, " ".join(words[: int(len(words) * rng.uniform(0.25, 0.7))]), "stop") if len(words) >= 8 else None
    some = [pairs[(at + each) % len(pairs)] for each in range(4)]
    if any(len(each.source) < 30 for each in some):
        return None
    kept = rng.randrange(1, 3) if way == 2 else 3
    return " ".join(each.source for each in some), " ".join(each.target for each in some[:kept]), "stop"


def at_the_limit(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F16: the engine stopped at its limit of tokens."""
    return pairs[at].source, pairs[at].target, "length"


def lines_lost(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F17: the first line only, or line breaks deleted, written out or added."""
    some = [pairs[(at + each) % len(pairs)] for each in range(rng.randrange(2, 6))]
    targets = [each.target for each in some]
    wrong = (
        targets[0],
        " ".join(targets),
        "\\n".join(targets),
        "\n".join(targets[:-1]),
        "\n".join(targets).replace("\n", " ", 1),
    )
    return "\n".join(each.source for each in some), rng.choice(wrong), "stop"


def garbled(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F18: dots, signs or broken characters, alone or inside."""
    pair = pairs[at]
    words = _words(pair.target)
    half = " ".join(words[: len(words) // 2])
    wrong = (
        "." * rng.randrange(10, 80), f"{half} {'. ' * rng.randrange(8, 40)}", pair.target.encode().decode("latin-1")[:200],
        _inside(rng, pair.target, "\ufffd\ufffd"), f"{pair.target} {'؟!' * rng.randrange(6, 20)}",
        f"{half} {'□' * rng.randrange(8, 30)}",
        f"{pair.target}{'-' * rng.randrange(12, 60)}", f"{half}{'…' * rng.randrange(8, 30)}",
    )  # fmt: skip
    return pair.source, rng.choice(wrong), "stop"


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


def emoji_lost(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """An emoji lost, changed or added."""
    pair = pairs[at]
    sign = rng.choice("😀🎉🚀👍❤")
    if rng.random() < 0.3:
        return pair.source, f"{pair.target} {sign}", "stop"
    return f"{pair.source} {sign}", rng.choice((pair.target, f"{pair.target} 🐟")), "stop"


def markup_broken(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """Unbalanced LaTeX, a changed command, a written-out newline, stray HTML or chat marks."""
    pair = pairs[at]
    way = rng.randrange(3)
    if way == 0:
        return (
            f"{pair.source} \\foo{{x}}",
            f"{pair.target} {rng.choice((chr(92) + 'foo{x', chr(92) + 'fou{x}', 'foo{x}'))}",
            "stop",
        )
    if way == 1:
        return pair.source, f"{pair.target}\\n", "stop"
    return pair.source, pair.target + rng.choice(("<br>", "</p>", "<|im_end|>", "</s>", "<b>!</b>", "[/INST]")), "stop"


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
