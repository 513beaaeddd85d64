"""The tables of docs/ablations.md, made from benchmarks/results/ablation-*.json, which `record.py` keeps of the recipes' runs.

hala run recipes/quickstart.yaml
hala run recipes/ablation-packing.yaml && python benchmarks/record.py runs/ablation-packing      # and the others
python benchmarks/ablations_page.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

from record import RESULTS, between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ablations.md"
NAMES = ("packing", "mix", "masking", "merge")
# `packed.0` is the arm `packed` from seed 0, `slerp.0 t=0.2` the arm `slerp t=0.2`.
SEEDED = re.compile(r"(?P<arm>[\w-]+)\.(?P<seed>\d)(?P<place> t=.+)?")
Result = dict[str, Any]


def page() -> str:
    """The page with its tables made anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name in NAMES:
        result = json.loads((RESULTS / f"ablation-{name}.json").read_text(encoding="utf-8"))
        text = between(text, f"<!-- {name}:begin -->", f"<!-- {name}:end -->", table(result))
    return text


def table(result: Result) -> str:
    """Accuracy of each arm over its seeds, and what its training took: updates, and how full its rows were."""
    found = scores(result)
    sets = list(dict.fromkeys(lang for by_lang in found.values() for lang in by_lang))
    titles = {"ar": "Arabic", "en": "English"}
    lines = [
        f"| | {' | '.join(f'{titles[lang]}: mean of {len(next(iter(found.values()))[lang])} seeds' for lang in sets)} | updates "
        "| places used |",
        f"|---|{'---|' * len(sets)}---|---|",
    ]
    everything = result["steps"]["scores"]["facts"]["scores"]
    base = [f"{score['value']:.1f}" for score in everything if score["model"] == "base"]
    lines.append(f"| base | {' | '.join(base)} | | |")
    for arm, by_lang in found.items():
        cells = [f"**{mean(values):.1f}** ({min(values):.1f} to {max(values):.1f})" for values in by_lang.values()]
        lines.append(f"| {arm} | {' | '.join(cells)} | {' | '.join(costs(result, arm))} |")
    file = f"benchmarks/results/{result['name']}.json"
    questions = ", ".join(sorted({f"{s['n']} ({titles[s['lang']]})" for s in everything}))
    note = f"Accuracy in percent, and the least and the most of the seeds; questions: {questions}. [{file}](../{file})"
    return "\n".join([*lines, "", note])


def scores(result: Result) -> dict[str, dict[str, list[float]]]:
    """Arm -> language -> accuracy of each seed, in the order of the recipe."""
    found: dict[str, dict[str, list[float]]] = {}
    for score in result["steps"]["scores"]["facts"]["scores"]:
        if seeded := SEEDED.fullmatch(score["model"]):
            arm = seeded["arm"] + (seeded["place"] or "")
            found.setdefault(arm, {}).setdefault(score["lang"], []).append(score["value"])
    return found


def costs(result: Result, arm: str) -> tuple[str, str]:
    """Updates, and share of used places, of the arm's trainings; empty for what is no training."""
    steps = [step for name, step in result["steps"].items() if step["verb"] == "tune" and name.rpartition(".")[0] == arm]
    if not steps:
        return "", ""
    facts = steps[0]["facts"]
    return f"{facts['steps']:,}", f"{facts['packing_fill']:.1%}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
