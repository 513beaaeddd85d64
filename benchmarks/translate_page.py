"""The tables of docs/translate.md, made from what the benchmarks of translate have written to benchmarks/results.

python benchmarks/translate_page.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from record import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "translate.md"
BEGIN, END = "<!-- translate:begin -->", "<!-- translate:end -->"
Result = dict[str, Any]


def page() -> str:
    """The page with its tables made anew; a benchmark that was not run has none."""
    parts = [
        part(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
        for name, part in PARTS
        if (RESULTS / f"{name}.json").exists()
    ]
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)
    return f"{before}{BEGIN}\n" + "\n\n".join(filter(None, parts)) + f"\n{END}{rest.split(END, 1)[1]}"


def overhead(found: Result) -> str:
    """Rows a second of everything but the model."""
    result = found.get("overhead")
    if not result:
        return ""
    speeds, where = result["rows_per_cpu_s"], result.get("machine", found["machine"])
    of = f" of {where['python_of']}" if where.get("python_of") else ""
    shares = ", ".join(f"{room} {100 * share:.0f}%" for room, share in result["shares"].items())
    spread = {name: f"{min(values):,} to {max(values):,}" for name, values in result["all"].items()}
    beside = [seconds for values in result["yardstick_s"].values() for seconds in values]
    disturbed = statistics.median(beside) / min(beside)
    return (
        f"**Everything but the model** (`benchmarks/translate.py`): {speeds['memory']:,} rows/s on one core"
        f" ({spread['memory']} in {len(result['all']['memory'])} rounds), {speeds['no memory']:,} without the translation memory"
        f" ({spread['no memory']}); {result['rows']:,} rows of {result['characters']:,} characters and"
        f" {result['counts']['segments'] / result['rows']:.1f} segments on average, {where['cpu']}, Python {where['python']}{of}."
        f" As a yardstick, json, re and Counter took {1000 * statistics.median(beside):.0f} ms for the words of a million"
        f" characters, before and after each round; the machine is shared, and that was {disturbed:.2f} times their least."
        f" By room, under a profiler: {shares}."
    )


def flat(found: Result) -> str:
    """Memory over many rows."""
    result = found.get("flat")
    if not result:
        return ""
    tenths = ", ".join(str(mb) for mb in result["tenths_mb"])
    return (
        f"**Memory** (`--flat`): {result['rows']:,} made-up rows from {result['start_mb']} MB at the start to at most"
        f" {result['peak_mb']} MB, {result['above_start_mb']} MB above. The highest of each tenth of the way: {tenths} MB."
    )


def local(found: Result) -> str:
    """The local engine against plain generate."""
    times, interval = found["times_plain"]["local"], found["times_plain_95"]["local"]
    speed = found["tokens_per_second"]
    wall = speed["wall"]["local"] / speed["wall"]["plain"]
    return (
        f"**`local` against `model.generate`** over batches of {found['rows']} in file order (`benchmarks/local.py`,"
        f" {found['requests']} segments of real instructions, a random model of {found['parameters'] / 1e6:.1f}M parameters,"
        f" {found['threads']} thread{'s' * (found['threads'] > 1)}, {found['rounds']} rounds in turns, {found['machine']['cpu']},"
        f" transformers {found['versions']['transformers']}): {times} times the tokens in the same processor time"
        f" ({interval[0]} to {interval[1]}), {wall:.1f} times by the clock."
    )


def server(found: Result) -> str:
    """The server engine against other clients."""
    return str(found.get("said", ""))


def curator(found: Result) -> str:
    """What two tools protect in nasty documents."""
    whole = found["whole"]
    lines = [
        f"**Twenty nasty documents** against the translation stage of NeMo Curator {found['nemo_curator']}"
        " (`benchmarks/curator.py`). Both get the worst model there is, one that changes every Latin letter that it is shown:"
        " what stays, the tool protected; the rest it left to the model's good will. Curator's prompt asks for code to be copied,"
        " which a good model often does, and the documents are ours, written to be nasty. Whole at the end:"
        f" hala {whole['hala']}, Curator {whole['curator']} of {found['documents']}.",
        "",
        "| document | Curator loses | hala loses | requests, Curator / hala |",
        "|---|---|---|---|",
    ]
    for name, row in found["table"].items():
        wrong = {side: ", ".join(row[side]["wrong"]) or "nothing" for side in ("curator", "hala")}
        lines.append(f"| {name} | {wrong['curator']} | {wrong['hala']} | {row['curator']['shown']} / {row['hala']['shown']} |")
    return "\n".join(lines)


PARTS = (("translate", overhead), ("translate", flat), ("local", local), ("server", server), ("curator", curator))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
