"""Errors of form planted into good translations: code, options, lists, placeholders, JSON, fences, lines, signs, markup."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random

from planted_pair import Good, Spoilt, inside, some_word, words_of

from hala.data.masks import mask

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


def code_translated(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F1: a keyword or identifier translated, or the whole span written as a word of the language."""
    pair = pairs[at]
    span, keyword = rng.choice(_CODE)
    word = some_word(rng, pair.target)
    source = f"{pair.source} {span}"
    if rng.random() < 0.5:  # as the pipeline does it
        return mask(source).text, f"{mask(pair.target).text} {word}", "stop"
    return source, f"{pair.target} {span.replace(keyword, word, 1)}", "stop"


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
    source = inside(rng, pair.source, span)
    word = some_word(rng, pair.target)
    if rng.random() < 0.6:
        masked, number = mask(source).text, len(mask(pair.target).spans) + 1
        mark = f"⟦{number}⟧"
        wrong = (word, f"{mark} {mark}", f"⟦{number + 1}⟧", f"[{number}]", f"⟦{word}⟧", f"⟦{number}")
        return masked, inside(rng, mask(pair.target).text, rng.choice(wrong)), "stop"
    wrong = ("", re.sub(r"[A-Za-z]+", word, span, count=1), f"{span} {span}", span[:-1])
    return source, inside(rng, pair.target, rng.choice(wrong)), "stop"


def json_broken(rng: Random, pairs: Sequence[Good], at: int) -> Spoilt:
    """F14: JSON with a key translated, a key lost, a bracket lost or a quote lost."""
    one, two = pairs[at], pairs[(at + 1) % len(pairs)]
    source = json.dumps({"question": one.source, "answers": [two.source], "score": 3}, ensure_ascii=False)
    good = {"question": one.target, "answers": [two.target], "score": 3}
    way = rng.randrange(4)
    if way == 0:
        return (
            source,
            json.dumps({some_word(rng, one.target): one.target, "answers": [two.target], "score": 3}, ensure_ascii=False),
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
    words = words_of(pair.target)
    half = " ".join(words[: len(words) // 2])
    wrong = (
        "." * rng.randrange(10, 80), f"{half} {'. ' * rng.randrange(8, 40)}", pair.target.encode().decode("latin-1")[:200],
        inside(rng, pair.target, "\ufffd\ufffd"), f"{pair.target} {'؟!' * rng.randrange(6, 20)}",
        f"{half} {'□' * rng.randrange(8, 30)}",
        f"{pair.target}{'-' * rng.randrange(12, 60)}", f"{half}{'…' * rng.randrange(8, 30)}",
    )  # fmt: skip
    return pair.source, rng.choice(wrong), "stop"


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
