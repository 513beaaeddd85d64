"""Leaked benchmark questions: how many planted ones `filter` finds, and how many unrelated rows it takes for leaks.

    python benchmarks/leaks.py --data FOLDER

FOLDER holds `mmlu_en/test/*.csv`, `arabic_mmlu_translated/test/*.csv` and `exams_ar/exam_test.jsonl` (questions), and
`dolly/*.jsonl`, `gpteacher/*.json.gz`, `gsm8k/*.jsonl`, `docs_en_ar/*.ht.jsonl.gz`, `docs_en_hi/*.ht.jsonl.gz` and
`tatoeba_en_ar/*.txt` (rows that have nothing to do with them, in English, Arabic and Hindi). Questions are planted into chats as
they leak: as they are, with other punctuation and case, with their options in another order, with vowel marks (Arabic), and those
of six to twelve words with one word replaced. No Hindi benchmark is at hand: sentences of flores200 and ntrex stand for one.
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
OTHER = "one word of 6 to 12 replaced"


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


def one_word_other(item: Item, rng: random.Random) -> str:
    """Another word at one place."""
    parts = item.question.split()
    parts[rng.randrange(len(parts))] = rng.choice(["something", "شيء", "मकान"])
    return chat(Item(" ".join(parts), item.options))


WAYS: dict[str, Callable[[Item, random.Random], str]] = {
    "as it is": lambda item, rng: chat(item),
    "options reordered": reordered,
    "other punctuation and case": repunctuated,
    "vowel marks": voweled,
    OTHER: one_word_other,
}


def unrelated(data: Path) -> dict[str, list[str]]:
    """By language, texts that were written without these questions: instructions with answers, documents, everyday sentences."""
    texts = [
        f"{each['instruction']}\n{each['response']}" for file in sorted(data.glob("dolly/*.jsonl")) for each in lines_of(file)
    ]
    for file in sorted(data.glob("gpteacher/*.json.gz")):
        texts += [f"{each['instruction']}\n{each['response']}" for each in json.loads(gzip.decompress(file.read_bytes()))]
    texts += [f"{each['question']}\n{each['answer']}" for file in sorted(data.glob("gsm8k/*.jsonl")) for each in lines_of(file)]
    everyday = [line.split("\t")[1] for file in sorted(data.glob("tatoeba_en_ar/*.txt")) for line in file.open(encoding="utf-8")]
    arabic, hindi = documents(data, "ar"), documents(data, "hi")
    return {"en": texts, "ar": everyday + joined(arabic, 6)[:15_000], "hi": joined(hindi, 2)}


def documents(data: Path, lang: str) -> list[str]:
    """The sentences of human translations."""
    files = sorted(data.glob(f"docs_en_{lang}/*.ht.jsonl.gz"))
    return [json.loads(line)[lang] for file in files for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def joined(sentences: list[str], size: int) -> list[str]:
    """Neighbouring sentences as one text."""
    return [" ".join(sentences[start : start + size]) for start in range(0, len(sentences), size)]


def hindi_items(data: Path) -> list[Item]:
    """Sentences of news and encyclopedia articles, of six to thirty words."""
    files = sorted([*data.glob("flores200/*.hi"), *data.glob("ntrex/*hin*")])
    lines = dict.fromkeys(line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    return [Item(line, []) for line in lines if 6 <= len(words(line)) <= 30]


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def planted(index: Index, name: str, items: list[Item]) -> dict[str, Any]:
    """How many of the planted questions are found, for each way."""
    rng = random.Random(name)
    chosen = rng.sample(items, min(PLANTED, len(items)))
    short = [each for each in items if 6 <= len(words(each.question)) <= 12]
    found = {}
    for way, change in WAYS.items():
        if way == "vowel marks" and "ar" not in name:
            continue
        asked = rng.sample(short, min(PLANTED, len(short))) if way == OTHER else chosen
        missed = [len(words(each.question)) for each in asked if not index.find_all(change(each, rng))]
        found[way] = {"planted": len(asked), "found": len(asked) - len(missed), "missed_below_8": sum(n < SHORT for n in missed)}
    return found


def false_hits(index: Index, texts: list[str]) -> dict[str, Any]:
    """Rows that are taken for leaks, and how many rows a second of the processor are looked through (median of 3)."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        hits = [leak for text in texts for leak in index.find_all(text)[:1]]
        seconds.append(time.process_time() - began)
    examples = [(leak.question, leak.rule, leak.words[:100]) for leak in hits[:20]]
    return {"rows": len(texts), "hits": len(hits), "rows_per_s": round(len(texts) / sorted(seconds)[1]), "examples": examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    sets, texts = read_items(data), unrelated(data)
    sets["hindi sentences"] = hindi_items(data)
    named = {f"{name}/{number}": each for name, items in sets.items() for number, each in enumerate(items)}
    index = Index({name: each.question for name, each in named.items()}, {name: each.options for name, each in named.items()})
    result = {
        "questions": {name: len(items) for name, items in sets.items()},
        "found": {name: planted(index, name, items) for name, items in sets.items()},
        "unrelated": {lang: false_hits(index, rows) for lang, rows in texts.items()},
        "machine": machine(),
    }
    write_json(RESULTS / "leaks.json", result)
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
