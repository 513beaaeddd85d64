"""What each rule of the bitext filter can tell: pairs by people against the same pairs spoilt in known ways, one ROC curve each.

    python benchmarks/bitext.py --data FOLDER       # writes benchmarks/results/bitext.json

A rule is looked at alone, as a score that grows with what is wrong: a length that is off, a language that is not the target's,
numbers that differ, words of the source that stay, known words that are missing. Beside the curves stands what the gates reject
of the same pairs, with the limits that they ship with. Only the report's half of the pairs is used (benchmarks/gates_sets.py).
"""

from __future__ import annotations

import argparse
import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from gates_sets import LANGUAGES, read_sets
from planted_pair import Good, words_of
from record import RESULTS, machine

from hala.data.calibration import area
from hala.data.features import Pair
from hala.data.gates import check
from hala.data.gates_meaning import _lexical, _other
from hala.data.identify import identify
from hala.data.masks import mask_pair
from hala.data.numerals import compare
from hala.languages import language, script_share

FALSE_ALARMS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
Texts = tuple[str, str]


# How pairs are spoilt ---------------------------------------------------------------------------------------------------


def shuffled(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """The translation of any other pair."""
    other = rng.choice(pairs)
    return None if other.target == pairs[at].target else (pairs[at].source, other.target)


def neighbour(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """The translation of another pair that is about as long: nothing but the meaning is wrong."""
    long = len(pairs[at].target)
    near = [each for each in rng.sample(pairs, min(400, len(pairs))) if abs(len(each.target) - long) <= 0.1 * long]
    near = [each for each in near if each.target != pairs[at].target]
    return (pairs[at].source, rng.choice(near).target) if near else None


def cut(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """The translation without its last third to two thirds."""
    words = words_of(pairs[at].target)
    keep = round(len(words) * rng.uniform(1 / 3, 2 / 3))
    return (pairs[at].source, " ".join(words[:keep])) if len(words) >= 6 else None


def cut_source(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """A source without its last third to two thirds: the translation says more."""
    words = words_of(pairs[at].source)
    keep = round(len(words) * rng.uniform(1 / 3, 2 / 3))
    return (" ".join(words[:keep]), pairs[at].target) if len(words) >= 6 else None


def other_language(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """The same in another language."""
    sides = pairs[at].sides
    return (pairs[at].source, sides[rng.choice(sorted(sides))]) if sides else None


def other_number(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """One digit of the translation is another one."""
    target = pairs[at].target
    places = [place for place, character in enumerate(target) if character in "0123456789"]
    if not places:
        return None
    place = rng.choice(places)
    digit = rng.choice([each for each in "123456789" if each != target[place]])
    return pairs[at].source, target[:place] + digit + target[place + 1 :]


def copied(rng: Random, pairs: Sequence[Good], at: int) -> Texts | None:
    """The source itself with a few of its words changed, as a model that gives up writes it."""
    words = words_of(pairs[at].source)
    if len(words) < 6:
        return None
    for _ in range(max(1, len(words) // 10)):
        words[rng.randrange(len(words))] = rng.choice(words)
    return pairs[at].source, " ".join(words)


SPOILT: dict[str, Callable[[Random, Sequence[Good], int], Texts | None]] = {
    "another row's": shuffled,
    "another row's, as long": neighbour,
    "target cut": cut,
    "source cut": cut_source,
    "another language": other_language,
    "number changed": other_number,
    "near copy": copied,
}

# The rules as scores ------------------------------------------------------------------------------------------------------


def length(pair: Pair) -> float:
    """How far the ratio of lengths is from what the language usually has, as a logarithm."""
    return abs(math.log(max(pair.ratio, 1e-3)))


def tongue(pair: Pair) -> float:
    """How little the text looks like the target language: its script first, then what the identifier says."""
    share = script_share(pair.target.natural, pair.language)
    if share < 0.5:
        return 2 - share
    best, sure = identify(pair.target.natural, pair.language.code)
    return 1 - sure if best == pair.language.code else sure


def numbers(pair: Pair) -> float:
    """The share of numbers that stand on one side only."""
    source, target = pair.source, pair.target
    codes = source.language.code, pair.language.code
    lost, made = compare(source.numbers, target.numbers, source.bare, target.bare, *codes, pair.searchable)
    return (len(lost) + len(made)) / max(1, len(source.numbers) + len(target.numbers))


def copies(pair: Pair) -> float:
    """The share of the translation's words that are the source's."""
    after = pair.target.natural.casefold().split()
    before = set(pair.source.natural.casefold().split())
    return sum(word in before for word in after) / max(1, len(after))


def meaning(pair: Pair) -> float:
    """Evidence against the pair from known words that are missing, and from names, numbers and marks."""
    return _lexical(pair)[0] + 1.2 * _other(pair)


RULES: dict[str, Callable[[Pair], float]] = {
    "length": length,
    "language": tongue,
    "numbers": numbers,
    "copy": copies,
    "meaning": meaning,
}


def scores(texts: Sequence[Texts], code: str) -> dict[str, list[float]]:
    """The scores of each rule for each pair."""
    target, source = language(code), language("en")
    pairs = [Pair(*(mask_pair(*both) or both), target, source) for both in texts]
    return {name: [rule(pair) for pair in pairs] for name, rule in RULES.items()}


def curve(good: Sequence[float], bad: Sequence[float]) -> dict[str, Any]:
    """Area under the curve, and the share of spoilt pairs found at each share of good pairs lost."""
    ranked, found = sorted(good), sorted(bad)
    points = []
    for share in FALSE_ALARMS:
        # The lowest limit that at most this share of the good pairs goes beyond.
        limit = ranked[-1 - int(share * len(ranked))]
        points.append([share, round(1 - _above(found, limit), 4)])
    labels = [False] * len(good) + [True] * len(bad)
    return {"auc": round(area([*good, *bad], labels), 4), "found": points}


def _above(ranked: Sequence[float], limit: float) -> float:
    """The share that is not above the limit."""
    return bisect_left(ranked, math.nextafter(limit, math.inf)) / max(1, len(ranked))


def measure(sets: dict[str, list[Good]], code: str, most: int) -> dict[str, Any]:
    """Curves and gates for one language."""
    rng = Random(code)
    chosen = [(pairs, at) for pairs in sets.values() for at in rng.sample(range(len(pairs)), min(most, len(pairs)))]
    good = [(pairs[at].source, pairs[at].target) for pairs, at in chosen]
    clean = scores(good, code)
    result: dict[str, Any] = {"pairs": len(good), "good": gates(good, code), "spoilt": {}}
    for name, spoil in SPOILT.items():
        rng = Random(f"{name} {code}")
        texts = [made for pairs, at in chosen if (made := spoil(rng, pairs, at)) is not None]
        dirty = scores(texts, code)
        curves = {rule: curve(clean[rule], dirty[rule]) for rule in RULES}
        result["spoilt"][name] = {"pairs": len(texts), "rules": curves, "gates": gates(texts, code)}
    return result


def gates(texts: Sequence[Texts], code: str) -> dict[str, Any]:
    """How many of the pairs the gates reject as they ship, and which of them."""
    verdicts = [check(*(mask_pair(*both) or both), "stop", language(code)) for both in texts]
    by_gate = Counter(verdict.reason for verdict in verdicts if not verdict.kept)
    return {"rejected": by_gate.total(), "share": round(by_gate.total() / len(texts), 4), "by_gate": dict(by_gate.most_common(5))}


def main() -> None:
    """Measure every language and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with docs_en_ar, flores200, ntrex and so on")
    parser.add_argument("--most", type=int, default=500, help="pairs of each set at most")
    settings = parser.parse_args()
    sets = read_sets(settings.data, half=1)
    found = {code: measure(sets[code], code, settings.most) for code in LANGUAGES}
    result = {"machine": machine(), "rules": list(RULES), "false_alarms": list(FALSE_ALARMS), "languages": found}
    (RESULTS / "bitext.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for code, each in found.items():
        print(f"{code}: {each['pairs']} good pairs, gates reject {each['good']['share']:.2%}")
        for name, spoilt in each["spoilt"].items():
            areas = "  ".join(f"{rule} {spoilt['rules'][rule]['auc']:.3f}" for rule in RULES)
            print(f"  {name:<24}{spoilt['pairs']:>5}  {areas}  gates find {spoilt['gates']['share']:.1%}")


if __name__ == "__main__":
    main()
