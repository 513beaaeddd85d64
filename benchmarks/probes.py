"""How often what probes look for is seen where it is not, and missed where it is: loops and switches of script in human texts.

    python benchmarks/probes.py --data FOLDER

FOLDER holds `flores200/flores-test.ar` (news and encyclopedia), `docs_en_ar/msdocs.en-ar.ht.jsonl.gz` (documentation, full of
product names), `dolly/dolly_6400.jsonl` (answers in English) and `ntrex/newstest2019-*` (news in five languages). Loops are
planted into paragraphs of FLORES in ways that models have. Writes benchmarks/results/probes.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from record import RESULTS, machine

from hala.artifacts import write_json
from hala.data.features import natural
from hala.evals.checks import met
from hala.evals.probes import Probe, foreign_words
from hala.evals.statistics import wilson
from hala.languages import language
from hala.verbs.score_probes import loop_in

PLANTED: dict[str, Callable[[str], str]] = {
    "the last word 12 times": lambda text: text + " " + " ".join(text.split()[-1:] * 12),
    "two letters 30 times": lambda text: text + text.rstrip(".")[-2:] * 30,
    "the last 6 words 3 times": lambda text: text + " " + " ".join(text.split()[-6:] * 2),
    "the last 20 words 3 times and cut off": lambda text: text + " " + " ".join(text.split()[-20:] * 3)[:-9],
    "the whole text twice": lambda text: f"{text}\n\n{text}",
}


def share(found: Sequence[Any]) -> dict[str, Any]:
    """How many of these are true, in percent with Wilson's interval."""
    hits = sum(map(bool, found))
    percents = [round(100 * each, 2) for each in (hits / len(found), *wilson(hits, len(found)))]
    return {"n": len(found), "percent": percents[0], "interval": percents[1:]}


def _news(data: Path) -> dict[str, list[str]]:
    """The same news in five languages (NTREX), by code."""
    files = {"ar": "ref.arb", "en": "src.eng", "hi": "ref.hin", "sw": "ref.swa", "vi": "ref.vie"}
    return {
        code: (data / "ntrex" / f"newstest2019-{file}.txt").read_text(encoding="utf-8").split("\n")[:-1]
        for code, file in files.items()
    }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    lines = (data / "flores200" / "flores-test.ar").read_text(encoding="utf-8").splitlines()
    paragraphs = [" ".join(lines[at : at + 4]) for at in range(0, len(lines) - 3, 4)]
    with gzip.open(data / "docs_en_ar" / "msdocs.en-ar.ht.jsonl.gz", "rt", encoding="utf-8") as stream:
        docs = [json.loads(line)["ar"] for line, _ in zip(stream, range(20_000), strict=False)]
    dolly = [json.loads(line)["response"] for line in (data / "dolly" / "dolly_6400.jsonl").open(encoding="utf-8")]
    ar, en = (Probe(lang, "سؤال" if lang == "ar" else "question", lang) for lang in ("ar", "en"))
    human = {"flores": (ar, lines + paragraphs), "docs": (ar, docs), "dolly": (en, dolly)}
    results: dict[str, Any] = {
        "said to loop, human texts": {
            name: share([loop_in(probe, text) for text in texts if text.strip()]) for name, (probe, texts) in human.items()
        },
        "found, planted loops": {
            name: share([loop_in(ar, plant(text)) for text in paragraphs]) for name, plant in PLANTED.items()
        },
        "said to switch, human texts": {
            name: share([foreign_words(natural(text), "", language("ar")) for text in texts])
            for name, (probe, texts) in human.items()
            if probe is ar
        },
        "in the language by the check, human texts": {
            f"{name} as {code}": share([met("language", code, text, language(code)) for text in texts])
            for name, texts in _news(data).items()
            for code in ("ar", "en", "hi", "sw", "vi")
        },
    }
    write_json(RESULTS / "probes.json", {"machine": machine(), "results": results})
    print(json.dumps(results, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
