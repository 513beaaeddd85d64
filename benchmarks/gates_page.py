"""The tables of docs/gates.md, made from benchmarks/results/gates.json and from what a reader said of the rejected good pairs.

python benchmarks/gates_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from record import RESULTS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gates.md"
READ = Path(__file__).parent / "gates_read.json"
BEGIN, END = "<!-- gates:begin -->", "<!-- gates:end -->"
NAMES = {"ar": "Arabic", "hi": "Hindi", "vi": "Vietnamese", "sw": "Swahili"}
Result = dict[str, Any]


def page() -> str:
    """The page with its tables made anew."""
    result = json.loads((RESULTS / "gates.json").read_text(encoding="utf-8"))
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)
    return f"{before}{BEGIN}\n{tables(result, json.loads(READ.read_text(encoding='utf-8')))}\n{END}{rest.split(END, 1)[1]}"


def tables(result: Result, read: Result) -> str:
    """False rejections, detection and speed."""
    return "\n\n".join([rejections(result, read), reasons(result), detection(result), hand(result), speeds(result)])


def rejections(result: Result, read: Result) -> str:
    """Rejected good pairs by language and set, and what remains after reading them."""
    lines = [
        "### Good translations that are rejected",
        "",
        "| language | set | pairs | rejected | share | read | of these really wrong | share without these |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for code, found in result["languages"].items():
        total = rejected = wrong = 0.0
        for name, each in found["good"].items():
            seen = read.get(code, {}).get(name, {})
            judged = {identity: word for identity, word in seen.items() if identity in each["ids"]}
            bad = sum(word != "good" for word in judged.values())
            # Where only some were read, their share speaks for all.
            share = bad / len(judged) if judged else 0.0
            total, rejected, wrong = total + each["pairs"], rejected + each["rejected"], wrong + share * each["rejected"]
            lines.append(
                _row(NAMES[code], name, each["pairs"], each["rejected"], len(judged), bad, (1 - share) * each["rejected"])
            )
        lines.append(_row(NAMES[code], "**all**", int(total), int(rejected), "", "", rejected - wrong))
    return "\n".join(lines)


def _row(language: str, name: str, pairs: int, rejected: int, judged: Any, bad: Any, left: float) -> str:
    return f"| {language} | {name} | {pairs:,} | {rejected} | {rejected / pairs:.2%} | {judged} | {bad} | {left / pairs:.2%} |"


def reasons(result: Result) -> str:
    """Share of good pairs that each gate rejects, in percent, all sets of a language together."""
    shares: dict[str, dict[str, float]] = {}
    for code, found in result["languages"].items():
        total = sum(each["pairs"] for each in found["good"].values())
        for each in found["good"].values():
            for gate, count in each["reasons"].items():
                shares.setdefault(gate, {})[code] = shares.get(gate, {}).get(code, 0.0) + 100 * count / total
    codes = list(result["languages"])
    lines = [
        "By gate, in percent of all pairs of the language:",
        "",
        f"| gate | {' | '.join(codes)} |",
        f"|---|{'---|' * len(codes)}",
    ]
    for gate in sorted(shares, key=lambda each: -max(shares[each].values())):
        cells = (f"{shares[gate][code]:.3f}" if code in shares[gate] else "" for code in codes)
        lines.append(f"| `{gate}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def detection(result: Result) -> str:
    """Share of planted errors found, by class and language, and by length where that matters."""
    codes = list(result["languages"])
    lines = [
        "### Planted errors that are found",
        "",
        f"| class | {' | '.join(codes)} | planted | sources of 45 characters and more | gates |",
        f"|---|{'---|' * len(codes)}---|---|---|",
    ]
    classes = next(iter(result["languages"].values()))["planted"]
    for name in classes:
        cells, planted, long_hits, long_tried = [], 0, 0, 0
        gates: dict[str, int] = {}
        for code in codes:
            found = result["languages"][code]["planted"][name]
            hits, tried = (sum(each[place] for each in found["sets"].values()) for place in (0, 1))
            planted += tried
            long_hits += found["lengths"]["45 and more"][0]
            long_tried += found["lengths"]["45 and more"][1]
            cells.append(_share(hits, tried))
            for gate, count in found["gates"].items():
                gates[gate] = gates.get(gate, 0) + count
        most = sorted(gates, key=lambda gate: -gates[gate])[:3]
        named = ", ".join(f"`{gate}`" for gate in most)
        lines.append(f"| {name} | {' | '.join(cells)} | {planted:,} | {_share(long_hits, long_tried)} | {named} |")
    return "\n".join(lines)


def _share(hits: int, tried: int) -> str:
    share = hits / tried if tried else 1.0
    text = f"{100 * share:.1f}"
    return text if share >= 0.95 else f"**{text}**"


def hand(result: Result) -> str:
    """Cases written for the benchmark: answers and close languages."""
    codes = list(result["languages"])
    lines = ["Written by hand for the benchmark:", "", f"| class | {' | '.join(codes)} |", f"|---|{'---|' * len(codes)}"]
    for name in next(iter(result["languages"].values()))["by_hand"]:
        cells = (f"{each['found']} of {each['tried']}" for each in (result["languages"][code]["by_hand"][name] for code in codes))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def speeds(result: Result) -> str:
    """Microseconds for 1,000 characters of source."""
    lines = [
        "### Speed",
        "",
        "| language | segments | characters each | at first sight | least of 60 rounds | the same, source seen before |",
        "|---|---|---|---|---|---|",
    ]
    for code, found in result["languages"].items():
        each = found["speed"]
        cells = (each[key] for key in ("pairs", "mean_characters", "us_per_1000_once", "us_per_1000", "us_per_1000_seen"))
        lines.append(f"| {NAMES[code]} | {' | '.join(map(str, cells))} |")
    where, loads = result["machine"], [each["speed"]["load"] for each in result["languages"].values()]
    note = (
        f"Microseconds for 1,000 characters of source, on one core of {where['cpu']} with Python {where['python']}, which other"
        f" work shared (load average {min(loads)} to {max(loads)})."
    )
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
