"""How many good translations the gates reject, how many planted errors they find, and how fast they are.

    python benchmarks/gates.py --data FOLDER              # writes benchmarks/results/gates.json and docs/gates.md
    python benchmarks/gates.py --data FOLDER --half 0     # the half for setting limits; writes nothing

Good pairs go the way of production: both sides masked with the same sentinels; where a translator changed a protected span, as
they are. Errors are planted into pairs that pass (benchmarks/planted.py). What a reader said of the rejected good pairs stands in
benchmarks/gates_read.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import gates_page
from gates_sets import LANGUAGES, read_sets
from planted import PLANTS
from planted_pair import Good
from planted_texts import ANSWERED, NEIGHBOUR_SOURCES, NEIGHBOURS
from record import RESULTS, machine

from hala.data import features
from hala.data.gates import GATES, check
from hala.data.masks import mask, mask_pair
from hala.languages import Language, language

READ = Path(__file__).parent / "gates_read.json"


def good_pairs(sets: dict[str, list[Good]], code: str) -> dict[str, Any]:
    """Rejections of human translations by set and gate, with ids."""
    target = language(code)
    found: dict[str, Any] = {}
    for name, pairs in sets.items():
        reasons: Counter[str] = Counter()
        ids: dict[str, str] = {}
        changed = 0
        for pair in pairs:
            masked = mask_pair(pair.source, pair.target)
            verdict = check(*(masked or (pair.source, pair.target)), "stop", target)
            changed += masked is None
            if not verdict.kept:
                reasons[verdict.reason] += 1
                ids[pair.id] = verdict.reason
        found[name] = {
            "pairs": len(pairs),
            "rejected": len(ids),
            "spans_changed": changed,
            "reasons": dict(reasons.most_common()),
            "ids": ids,
        }
    return found


def planted(sets: dict[str, list[Good]], code: str, most: int) -> dict[str, Any]:
    """Share of planted errors that any gate finds, by class and set, with the gates that found them."""
    target = language(code)
    found: dict[str, Any] = {}
    for name, plant in PLANTS.items():
        by_set: dict[str, list[int]] = {}
        by_gate: Counter[str] = Counter()
        by_length = {"under 45 characters": [0, 0], "45 and more": [0, 0]}
        for set_name, pairs in sets.items():
            hits, tried = 0, 0
            rng = Random(f"{name} {code} {set_name}")
            for at in rng.sample(range(len(pairs)), len(pairs)):
                if tried == most:
                    break
                spoilt = plant(rng, pairs, at)
                good = (pairs[at].source, pairs[at].target, "stop")
                if spoilt is None or spoilt == good or not check(*good, target).kept:  # type: ignore[arg-type]
                    continue
                verdict = check(*spoilt, target)  # type: ignore[arg-type]
                tried += 1
                hits += not verdict.kept
                by_gate[verdict.reason] += not verdict.kept
                length = by_length["45 and more" if len(pairs[at].source) >= 45 else "under 45 characters"]
                length[0] += not verdict.kept
                length[1] += 1
            if tried:
                by_set[set_name] = [hits, tried]
        found[name] = {"sets": by_set, "lengths": by_length, "gates": dict((+by_gate).most_common(5))}
    return found


def by_hand(code: str, half: int) -> dict[str, Any]:
    """The answers and the close languages that were written for it: found, tried, and what was missed."""
    target = language(code)
    answers = ANSWERED[half::2]
    missed = [each["en"] for each in answers if check(each["en"], each[code], "stop", target).kept]
    others = [
        (other, source, text)
        for other, texts in NEIGHBOURS[code].items()
        for source, text in zip(NEIGHBOUR_SOURCES, texts, strict=True)
    ]
    passed = [f"{other}: {text}" for other, source, text in others if check(source, text, "stop", target).kept]
    return {
        "F2 answered or obeyed": {"found": len(answers) - len(missed), "tried": len(answers), "missed": missed},
        "F7 close languages": {"found": len(others) - len(passed), "tried": len(others), "missed": passed},
    }


def speed(sets: dict[str, list[Good]], code: str, most: int = 250, rounds: int = 60) -> dict[str, float]:
    """Microseconds for 1,000 characters of source: at first sight; the least of many rounds, and that for sources seen before."""
    target = language(code)
    rng = Random(code)
    pairs = [pair for each in sets.values() for pair in rng.sample(each, min(len(each), 2000)) if 170 <= len(pair.source) <= 350]
    masked = [both for pair in rng.sample(pairs, min(len(pairs), most)) if (both := mask_pair(pair.source, pair.target))]
    for source, _ in masked:
        mask(source)  # as it has been on its way to the engine
    start = time.process_time()
    for source, text in masked:
        check(source, text, "stop", target)
    once = time.process_time() - start
    new, seen = [inf] * len(masked), [inf] * len(masked)
    for _ in range(rounds):  # over all pairs in turn: a busy moment of the machine does not hit one pair in all its rounds
        for place, (source, text) in enumerate(masked):
            mask(source)
            features._sources.clear()
            new[place] = min(new[place], _timed(source, text, target))
            seen[place] = min(seen[place], _timed(source, text, target))
    characters = sum(len(source) for source, _ in masked)
    scale = 1e6 * 1000 / characters
    return {
        "pairs": len(masked),
        "mean_characters": round(characters / len(masked)),
        "us_per_1000_once": round(scale * once, 1),
        "us_per_1000": round(scale * sum(new), 1),
        "us_per_1000_seen": round(scale * sum(seen), 1),
        "median_us_per_pair": round(1e6 * median(new), 1),
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
    }


def _timed(source: str, text: str, target: Language) -> float:
    start = time.perf_counter()
    check(source, text, "stop", target)
    return time.perf_counter() - start


def measure(data: Path, half: int, most: int, codes: Sequence[str]) -> dict[str, Any]:
    """Everything, by language."""
    sets = read_sets(data, half)
    result: dict[str, Any] = {"machine": machine(), "half": half, "gates": list(GATES), "planted_at_most": most, "languages": {}}
    for code in codes:
        result["languages"][code] = {
            "good": good_pairs(sets[code], code),
            "planted": planted(sets[code], code, most),
            "by_hand": by_hand(code, half),
            "speed": speed(sets[code], code),
        }
    return result


def main() -> None:
    """Measure, write the JSON and the page, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="the folder with docs_en_ar, flores200, ntrex and so on")
    parser.add_argument("--half", type=int, default=1, choices=(0, 1), help="1: the report; 0: the half for setting limits")
    parser.add_argument("--most", type=int, default=500, help="planted errors for each class and set at most")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    settings = parser.parse_args()
    result = measure(settings.data, settings.half, settings.most, settings.languages.split(","))
    if settings.half == 1:
        (RESULTS / "gates.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        gates_page.PAGE.write_text(gates_page.page(), encoding="utf-8")
    print(gates_page.tables(result, json.loads(READ.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
