"""Twenty nasty documents through hala and through NeMo Curator's translation stage, side by side.

    python benchmarks/curator.py --curator /path/to/venv/bin/python     # a venv of its own with nemo-curator 1.4

Both get the same worst case of a model: it writes other letters for every Latin letter that it sees, keeps numbered marks, and
answers in the form that each asks for. So what comes back in Latin was protected by the tool, and what does not was left to the
model's good will. Curator runs its own SegmentationStage (`coarse`, its default) and ReassemblyStage. Writes
benchmarks/results/curator.json.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from typing import Any

from nasty import NASTY
from record import RESULTS, machine

from hala.artifacts import write_json

LATIN, ARABIC = "abcdefghijklmnopqrstuvwxyz", "ابجدهوزحطيكلمنسعفصقرشتثخذض"
LETTERS = str.maketrans(LATIN + LATIN.upper(), ARABIC + ARABIC)

CURATOR = """
import json, sys, importlib.metadata
import pandas as pd
from nemo_curator.stages.text.experimental.translation.stages.segmentation import SegmentationStage
from nemo_curator.stages.text.experimental.translation.stages.reassembly import ReassemblyStage
from nemo_curator.stages.text.experimental.translation.stages.translate import SegmentTranslationStage
from nemo_curator.tasks.document import DocumentBatch
asked = json.load(sys.stdin)
letters = {int(k): v for k, v in asked["letters"].items()}
names = list(asked["documents"])
batch = DocumentBatch(dataset_name="nasty", data=pd.DataFrame({"text": [asked["documents"][n] for n in names]}))
cut = SegmentationStage(source_lang="en", text_field="text", mode="coarse").process(batch)
frame = cut.to_pandas().copy()
answers = ["" if not s.strip() else "\\u3018" + s.translate(letters) + "\\u3019" for s in frame["_seg_segments"]]
frame["_translated"] = [SegmentTranslationStage._unwrap_translation(a) for a in answers]
frame["_translation_time"], frame["_translation_error"] = 0.0, ""
out = ReassemblyStage(text_field="text").process(DocumentBatch(dataset_name="nasty", data=frame)).to_pandas()
shown = {}
for number, segment in zip(frame["_seg_doc_id"], frame["_seg_segments"]):
    shown.setdefault(names[int(number)], []).append(segment)
print(json.dumps({"version": importlib.metadata.version("nemo-curator"), "shown": shown,
                  "documents": dict(zip(names, out["translated_text"].tolist()))}))
"""


def by_curator(python: str) -> dict[str, Any]:
    """What Curator shows to the model, and the documents that it puts together."""
    asked = json.dumps({"documents": NASTY, "letters": LETTERS})
    done = subprocess.run([python, "-c", CURATOR], input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"curator failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_hala() -> dict[str, Any]:
    """The same for hala: segments as the engine sees them, and the documents."""
    from hala.data.masks import mask, unmask
    from hala.data.segments import join, split

    shown, documents = {}, {}
    for name, text in NASTY.items():
        document = split(text)
        masked = [mask(segment) for segment in document.segments]
        shown[name] = [each.text for each in masked]
        documents[name] = join(document, [str(unmask(each.text.translate(LETTERS), each.spans)) for each in masked])
    return {"shown": shown, "documents": documents}


# What must be the same in source and translation: name -> the protected things of a text.
FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,})[^\n]*\n(?P<body>.*?)^(?P=mark)", re.MULTILINE | re.DOTALL)
CHECKS: dict[str, re.Pattern[str]] = {
    "fenced code": FENCE,
    "indented code": re.compile(r"(?m)^(?: {4}|\t)(?!.*[<>])(?=.*(?:[=(){};]|import )).*$"),  # prose that is set in is no code
    "inline code": re.compile(r"(?<!`)`[^`\n]+`(?!`)"),
    "formulas": re.compile(
        r"\$\$.+?\$\$|(?<![\\$\w])\$[^$\n]*[\\^_=][^$\n]*\$|\\\(.+?\\\)|\\\[.+?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL
    ),
    "addresses": re.compile(r"https?://[^\s)>\"]+|[\w.+-]+@[\w-]+\.[a-z]{2,}"),
    "tags": re.compile(r"</?[A-Za-z][^<>]*>"),
    "placeholders": re.compile(r"\{\{?[a-z_]+\}?\}|%\(?[a-z_]*\)?[sd]\b|\$\{[a-z_]+\}"),
    "JSON": re.compile(r"(?ms)^[ \t]*[{\[]\s*\n.*?^[ \t]*[}\]]\s*$"),
}


def broken(source: str, target: str) -> list[str]:
    """The kinds of protected things that the translation lost or changed."""
    return [name for name, pattern in CHECKS.items() if any(match.group() not in target for match in pattern.finditer(source))]


def left_in_english(source: str, target: str) -> bool:
    """Whether prose stayed as it was: a line of four plain words outside anything protected is found again."""
    prose = source
    for pattern in CHECKS.values():
        prose = pattern.sub("\n", prose)
    lines = re.findall(r"(?m)^(?![ \t]{4})[A-Z][a-z]+(?:,? [a-z]+){3,}.*[.!?]$", prose)
    return any(line in target for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curator", required=True, help="python of an environment with nemo-curator")
    chosen = parser.parse_args()
    sides = {"curator": by_curator(chosen.curator), "hala": by_hala()}
    table = {}
    for name, source in NASTY.items():
        row = {}
        for side, found in sides.items():
            target = found["documents"][name]
            wrong = broken(source, target) + (["prose left in English"] if left_in_english(source, target) else [])
            row[side] = {"wrong": wrong, "shown": len(found["shown"].get(name, []))}
        table[name] = row
        print(f"{name:28}", *(f"{side}: {', '.join(row[side]['wrong']) or 'whole'}" for side in row), sep="  ")
    whole = {side: sum(not row[side]["wrong"] for row in table.values()) for side in sides}
    result = {
        "nemo_curator": sides["curator"]["version"],
        "documents": len(NASTY),
        "whole": whole,
        "table": table,
        "machine": machine(),
    }
    write_json(RESULTS / "curator.json", result)
    print(whole)


if __name__ == "__main__":
    main()
