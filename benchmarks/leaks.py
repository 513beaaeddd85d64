"""Leaked benchmark questions: how many planted ones `filter` finds, and how many unrelated rows it takes for leaks.

    python benchmarks/leaks.py --data FOLDER

FOLDER holds `mmlu_en/test/*.csv`, `arabic_mmlu_translated/test/*.csv` and `exams_ar/exam_test.jsonl` (questions), and
`dolly/*.jsonl`, `gpteacher/*.json.gz` and `gsm8k/*.jsonl` (rows that have nothing to do with them). Questions are planted into
chats as they leak: as they are, with other punctuation and case, with their options in another order, with vowel
marks (Arabic).
Writes benchmarks/results/leaks.json.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from record import RESULTS, machine

from hala.artifacts import write_json
from hala.data.contamination import SHORT, Index
from hala.data.normaliser import words

MARKS = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652"
PLANTED = 2000


class Item(NamedTuple):
    """A question with its options."""

    question: str
    options: list[str]


def read_items(data: Path) -> dict[str, list[Item]]:
    """The questions of each set; those of fewer than three words cannot be told from any other text."""
    found: dict[str, list[Item]] = {}
    for name in ("mmlu_en", "arabic_mmlu_translated"):
        items = []
        for file in sorted((data / name / "test").glob("*.csv")):
            with file.open(encoding="utf-8", newline="") as stream:
                rows = [row for row in csv.reader(stream) if len(row) >= 6]
            items += [Item(row[0], row[1:5]) for row in rows if row[0] != "question"]
        found[name] = items
    lines = (data / "exams_ar" / "exam_test.jsonl").read_text(encoding="utf-8").splitlines()
    found["exams_ar"] = [
        Item(each["question"], [each[key] for key in "ABCD" if each.get(key)]) for each in map(json.loads, lines)
    ]
    return {name: [each for each in items if len(words(each.question)) >= 3] for name, items in found.items()}


def chat(item: Item) -> str:
    """A question as it stands in instruction data."""
    return "\n".join(
        [f"Answer the following question. {item.question}", *(f"{k}) {o}" for k, o in zip("ABCDE", item.options, strict=False))]
    )


def reordered(item: Item, rng: random.Random) -> str:
    return chat(Item(item.question, rng.sample(item.options, len(item.options))))


def repunctuated(item: Item, rng: random.Random) -> str:
    """Other marks, other quotes, another case: the words alone stay."""
    table = str.maketrans(
        {",": rng.choice([" -", ";", ""]), "?": rng.choice(["", "?!", ":"]), '"': rng.choice(["'", "«"]), ".": " ."}
    )
    text = item.question.translate(table)
    return chat(Item(text.upper() if rng.random() < 0.3 else text, item.options))


def voweled(item: Item, rng: random.Random) -> str:
    """Vowel marks on every other Arabic letter."""
    marked = "".join(c + (rng.choice(MARKS) if "\u0621" <= c <= "\u064a" and rng.random() < 0.5 else "") for c in item.question)
    return chat(Item(marked, item.options))


WAYS: dict[str, Callable[[Item, random.Random], str]] = {
    "as it is": lambda item, rng: chat(item),
    "options reordered": reordered,
    "other punctuation and case": repunctuated,
    "vowel marks": voweled,
}


def unrelated(data: Path) -> list[str]:
    """Instructions and answers that were written without these questions."""
    texts = [
        f"{each['instruction']}\n{each['response']}" for file in sorted(data.glob("dolly/*.jsonl")) for each in lines_of(file)
    ]
    for file in sorted(data.glob("gpteacher/*.json.gz")):
        texts += [f"{each['instruction']}\n{each['response']}" for each in json.loads(gzip.decompress(file.read_bytes()))]
    texts += [f"{each['question']}\n{each['answer']}" for file in sorted(data.glob("gsm8k/*.jsonl")) for each in lines_of(file)]
    return texts


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    sets = read_items(data)
    named = {f"{name}/{number}": each for name, items in sets.items() for number, each in enumerate(items)}
    index = Index({name: each.question for name, each in named.items()}, {name: each.options for name, each in named.items()})
    found: dict[str, dict[str, Any]] = {}
    for name, items in sets.items():
        rng = random.Random(name)
        chosen = rng.sample(items, min(PLANTED, len(items)))
        for way, change in WAYS.items():
            if way == "vowel marks" and name == "mmlu_en":
                continue
            missed = [each for each in chosen if not index.find_all(change(each, rng))]
            short = sum(len(words(each.question)) < SHORT for each in missed)
            found.setdefault(name, {})[way] = {"planted": len(chosen), "found": len(chosen) - len(missed), "missed_short": short}
    texts = unrelated(data)
    began = time.process_time()
    hits = [(leak.question, leak.rule, leak.words[:100]) for text in texts for leak in index.find_all(text)[:1]]
    rate = len(texts) / (time.process_time() - began)
    result = {
        "questions": index.questions, "found": found, "unrelated": {"rows": len(texts), "hits": len(hits), "examples": hits[:20]},
        "rows_per_s": round(rate), "machine": machine(),
    }  # fmt: skip
    write_json(RESULTS / "leaks.json", result)
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
