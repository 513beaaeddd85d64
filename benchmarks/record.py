"""Keep what a run measured: benchmarks/results/NAME.json, and the tables of README.md and docs/results.md made from it.

    .venv/bin/python benchmarks/record.py runs/quickstart
    .venv/bin/python benchmarks/record.py --pages          # write the tables again from the committed JSON

Nothing is typed by hand: the JSON comes from the run's manifests and the tables from the JSON; a test compares the two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Page -> the result whose tables stand between `<!-- results:begin -->` and `<!-- results:end -->` there.
PAGES = {ROOT / "README.md": "quickstart", ROOT / "docs" / "results.md": "docs-en-ar"}
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def machine() -> dict[str, Any]:
    """Processor with its generation, cores and memory, and whose Python: builds differ in speed. No names of hosts or users."""
    about: dict[str, str] = {}
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        about.setdefault(name.strip(), value.strip())
    cpu = about.get("model name") or platform.machine()
    if "cpu family" in about:  # one name may stand for many generations, as "AMD EPYC" does in virtual machines
        cpu += f" (family {about['cpu family']}, model {about['model']})"
    memory = next((int(line.split()[1]) // 1_000_000 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": memory,
        "system": platform.system(),
        "python": platform.python_version(),
        "python_of": platform.freedesktop_os_release()["NAME"] if sys.base_prefix == "/usr" else "",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def record(run: Path) -> dict[str, Any]:
    """Everything that a reader needs to judge the run: machine, versions, seconds and facts of each step, tables."""
    from hala.runs import steps_of
    from hala.verbs.report import results_markdown

    steps = {name: manifest for name, _, manifest in steps_of(run) if manifest}
    return {
        "name": run.name,
        "machine": machine(),
        "versions": next(iter(steps.values())).versions,
        "seconds": round(sum(manifest.timings["seconds"] for manifest in steps.values()), 1),
        "steps": {
            name: {"verb": m.verb, "counts": m.counts, "facts": _brief(m.facts), "timings": m.timings, "digest": m.digest}
            for name, m in steps.items()
        },
        "markdown": results_markdown(run),
    }


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != "examples"}


def with_tables(text: str, result: dict[str, Any], up: str = "") -> str:
    """The page with its results block made from the JSON; `up` leads from the page to the repository's root."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    where, file, minutes = result["machine"], f"benchmarks/results/{result['name']}.json", result["seconds"] / 60
    note = (
        f"Measured by `hala run recipes/{result['name']}.yaml` in {minutes:.1f} minutes of step time on a machine with "
        f"{where['cores']} cores ({where['cpu']}), kept by `benchmarks/record.py` in [{file}]({up}{file}).\n"
    )
    return f"{before}{BEGIN}\n{note}\n{result['markdown'].strip()}\n{END}{after}"


def headline(markdown: str) -> str:
    """The tables without the steps' own and without repeated titles: what a front page has room for."""
    kept: dict[str, str] = {}
    for part in markdown.split("\n\n**"):
        title = part.strip("*").split("**")[0]
        if not title.startswith(("Steps", "Models")):
            kept.setdefault(title, part)
    return "\n\n**".join(kept.values())


def weights_table(result: dict[str, Any], job: str) -> str:
    """Whole processes of one job side by side: seconds, peak memory, and how many times hala's."""
    lines = ["| checkpoint | program | seconds | times hala | peak memory | times hala |", "|---|---|---|---|---|---|"]
    for key, found in result["results"].items():
        if not key.startswith(f"{job} "):
            continue
        limit = f", under a limit of {found['limit_bytes'] / 1e9:g} GB" if found["limit_bytes"] else ""
        for name, median in sorted(found["median"].items(), key=lambda item: (item[0] != "hala", item[0])):
            ratio = found["ratio"].get(name, {"seconds": 1.0, "mb": 1.0})
            rounds = f"{found['rounds'][name]} round{'s' if found['rounds'][name] > 1 else ''}"
            runs = f"{key.removeprefix(f'{job} ')}, {rounds}{limit if name == 'hala' else ''}"
            cells = f"{median['seconds']:.2f} | {ratio['seconds']:.2f} | {median['mb']:,.0f} MB | {ratio['mb']:.1f}"
            lines.append(f"| {runs} | {name} | {cells} |")
    where, known = result["machine"], result["versions"]
    versions = ", ".join(f"{name} {known[name]}" for name in ("llmcompressor", "mergekit", "torch") if known.get(name))
    note = f"Medians, from start to exit, taking turns, on {where['cores']} cores ({where['cpu']}); {versions}."
    return "\n".join([*lines, "", note])


def int8_table(result: dict[str, Any]) -> str:
    """Tokens a second of the local engine by job and number of texts, and how many times as many int8 has as the others."""
    (key, found), *_ = ((key, found) for key, found in result["results"].items() if key.startswith("int8 "))
    rows, where = found["results"], result["machine"]
    names = list(next(iter(rows.values()))["per_processor_second"])
    others = [name for name in names if name != "int8"]
    native = ", ".join(name for name, there in sorted(found["native"].items()) if there)
    lines = [
        f"Tokens for each second of the processor: the `local` engine, random weights, shape of LFM2-{key.split()[1].upper()},",
        f"threads: {found['threads']}, {where['cpu']} (native: {native}), medians of {found['rounds']} rounds by",
        "`benchmarks/weights.py --jobs int8`, kept in [weights.json](../benchmarks/results/weights.json).",
        "",
    ]
    head = ["", *names, *(f"int8 / {name}" for name in others)]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for job, count in sorted((job.split() for job in rows), key=lambda pair: (pair[0], int(pair[1]))):
        row = rows[f"{job} {count}"]
        speeds = [f"{row['per_processor_second'][name]:.0f}" for name in names]
        ratios = [f"{row['int8_against'][name]:.2f}" for name in others]
        lines.append(f"| {job} {count} text{'s' * (count != '1')} at once | {' | '.join(speeds + ratios)} |")
    return "\n".join(lines)


def between(text: str, begin: str, end: str, table: str) -> str:
    """The page's text with this table between its marks."""
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"


def pages() -> dict[Path, str]:
    """Every page with results as it should read now."""
    written = {}
    weights = json.loads((RESULTS / "weights.json").read_text(encoding="utf-8"))
    for job in ("compress", "merge"):
        page = ROOT / "docs" / f"{job}.md"
        written[page] = between(page.read_text(encoding="utf-8"), BEGIN, END, weights_table(weights, job))
    page = ROOT / "docs" / "eight-bits.md"
    written[page] = between(page.read_text(encoding="utf-8"), "<!-- int8:begin -->", "<!-- int8:end -->", int8_table(weights))
    for page, name in PAGES.items():
        result = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        up = "../" * (len(page.relative_to(ROOT).parts) - 1)
        if page.name == "README.md":
            result["markdown"] = headline(result["markdown"])
        written[page] = with_tables(page.read_text(encoding="utf-8"), result, up)
    return written


def main() -> None:
    """Record a run, or write the pages from what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="folder of a finished run")
    parser.add_argument("--pages", action="store_true", help="write the tables of the pages again")
    options = parser.parse_args()
    if options.run:
        RESULTS.mkdir(parents=True, exist_ok=True)
        target = RESULTS / f"{options.run.name}.json"
        target.write_text(json.dumps(record(options.run), ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(target)
    if options.pages:
        for page, text in pages().items():
            page.write_text(text, encoding="utf-8")
            print(page)


if __name__ == "__main__":
    main()
