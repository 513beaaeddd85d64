"""Rows through `filter` with all gates; near duplicates: hala's MinHash pass beside datatrove's, and how it grows with the rows.

    python benchmarks/data.py --data FOLDER --filter 20000 80000 320000
    python benchmarks/data.py --data FOLDER --datatrove VENV/bin/python --rows 20000 --rounds 3
    python benchmarks/data.py --data FOLDER --scale 500000

`--filter` reads, judges and writes lines of about 1,000 bytes, each some neighbouring sentences of human-translated documents
(`docs_en_ar/*.ht.jsonl.gz`) with their translations, for each number of rows in a process of its own. Exact duplicates are not
looked for, which takes memory for each row. For the others:

FOLDER holds instruction sets (`dolly/*.jsonl`); rows of about 1,000 characters are made of their sentences by chance, and one in
fifty is a copy with a word in sixty changed. Each program is a process of its own on one core, from start to exit, and reads the
same JSON lines. datatrove (its four MinHash stages, one task, 14 bands of 8 hashes, as its example has them) finds clusters of
connected texts, hala what is like a row that was kept. Writes benchmarks/results/data.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record import RESULTS, machine

from hala.artifacts import write_json

CHARACTERS, COPIES, CHANGED = 1000, 50, 60
PAIR_BYTES = 840  # the last pair goes beyond: lines of about 1,000 bytes come of it
FILTER = """
import json, sys, time
from pathlib import Path
import hala
from hala.artifacts import read_manifest
hala.filter({"path": sys.argv[1], "take": 1000}, out=sys.argv[2] + "-first", dedup=False)  # imports, and reads what it knows
def memory(name):  # of this process alone: ru_maxrss would count what its parent had
    return round(int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) / 1024)
began_mb = memory("VmRSS")
began = time.process_time()
out = hala.filter(sys.argv[1], out=sys.argv[2], dedup=False)
seconds = time.process_time() - began
counts = read_manifest(out).counts
print(json.dumps({"cpu_seconds": seconds, "kept": counts["kept"], "start_mb": began_mb, "peak_mb": memory("VmHWM")}))
"""
HALA = """
import json, sys
from hala.data.near import Near
from hala.records import Message, Row
def rows():
    for line in open(sys.argv[1], encoding="utf-8"):
        record = json.loads(line)
        yield Row(record["id"], (Message("text", record["text"]),))
near = Near(rows(), 0.8)
kept = sum(near.check(row).kept for row in rows())
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss would count what its parent had
print(json.dumps({"kept": kept, "peak_mb": round(int(peak.split()[1]) / 1024)}))
"""
DATATROVE = """
import json, sys
from datatrove.executor import LocalPipelineExecutor as Run
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
file, work = sys.argv[1:]
folder, name = file.rsplit("/", 1)
read = lambda: JsonlReader(folder, glob_pattern=name)
config = MinhashConfig()
signatures = [read(), MinhashDedupSignature(work + "/s", config)]
Run(signatures, tasks=1, logging_dir=work + "/l1").run()
buckets = [MinhashDedupBuckets(work + "/s", work + "/b", config=config)]
Run(buckets, tasks=config.num_buckets, workers=1, logging_dir=work + "/l2").run()
Run([MinhashDedupCluster(work + "/b", work + "/r", config)], tasks=1, logging_dir=work + "/l3").run()
kept = [read(), MinhashDedupFilter(work + "/r"), JsonlWriter(work + "/o", compression=None)]
Run(kept, tasks=1, logging_dir=work + "/l4").run()
from pathlib import Path
print(json.dumps({"kept": sum(1 for f in Path(work + "/o").rglob("*.jsonl") for _ in f.open())}))
"""


def sentences(data: Path) -> list[str]:
    """Sentences of real answers."""
    texts = [json.loads(line)["response"] for file in sorted(data.glob("dolly/*.jsonl")) for line in file.open(encoding="utf-8")]
    return [each for text in texts for each in re.split(r"(?<=[.!?])\s+", text.replace("\n", " ")) if 30 < len(each) < 400]


def made(pool: list[str], rows: int, copies: int = 1, among: int = COPIES) -> Iterator[dict[str, str]]:
    """Rows of the wanted length, so many among so many of them nearly the one before."""
    rng = random.Random(0)
    text = ""
    for number in range(rows):
        if number % among >= among - copies:
            words = text.split(" ")
            for place in rng.sample(range(len(words)), max(1, len(words) // CHANGED)):
                words[place] = f"other{number}"
            text = " ".join(words)
        else:
            parts: list[str] = []
            while sum(map(len, parts)) < CHARACTERS:
                parts.append(rng.choice(pool))
            text = f"{number} " + " ".join(parts)
        yield {"id": f"r{number}", "text": text}


def from_template(pool: list[str], rows: int) -> Iterator[dict[str, str]]:
    """Rows of 150 words that are all alike but for four words in chance places."""
    rng = random.Random(0)
    template = " ".join(rng.sample(pool, 60)).split()[:150]
    for number in range(rows):
        words = list(template)
        for place in rng.sample(range(len(words)), 4):
            words[place] = f"other{number}"
        yield {"id": f"r{number}", "text": " ".join(words)}


def pairs(data: Path, rows: int, seed: int = 0) -> Iterator[str]:
    """JSON lines of about 1,000 bytes: neighbouring sentences and their translations, from a place chosen by chance."""
    files = sorted(data.glob("docs_en_ar/*.ht.jsonl.gz"))
    found = [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    rng = random.Random(seed)
    for _ in range(rows):
        place, size = rng.randrange(len(found) - PAIR_BYTES), 0
        sides: tuple[list[str], list[str]] = [], []
        while size < PAIR_BYTES:
            for side, name in zip(sides, ("en", "ar"), strict=True):
                side.append(found[place][name])
                size += len(side[-1].encode()) + 1
            place += 1
        yield json.dumps({"en": " ".join(sides[0]), "ar": " ".join(sides[1])}, ensure_ascii=False) + "\n"


def filtered(data: Path, counts: list[int], rounds: int) -> dict[str, Any]:
    """Rows a second of the processor and memory, for each number of rows; of the least number of rounds, medians."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"
        for rows in counts:
            with file.open("w", encoding="utf-8") as stream:
                stream.writelines(pairs(data, rows))
            runs = []
            for number in range(rounds if rows == min(counts) else 1):
                runs.append(run([sys.executable, "-c", FILTER, file, Path(folder) / f"{rows}-{number}"]))
                print(rows, runs[-1], flush=True)
            seconds = [each["cpu_seconds"] for each in runs]
            results[str(rows)] = {
                "bytes_per_row": round(file.stat().st_size / rows), "rows_per_cpu_s": round(rows / statistics.median(seconds)),
                "all": [round(rows / each) for each in seconds], "kept": runs[0]["kept"],
                "start_mb": runs[0]["start_mb"], "peak_mb": max(each["peak_mb"] for each in runs),
            }  # fmt: skip
    return results


def run(command: list[Any]) -> dict[str, float]:
    """Seconds of one core, peak memory in MB and what a process says, on one core."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    output, errors = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{errors.decode()[-3000:]}")
    return {"seconds": seconds, **json.loads(output.decode().strip().splitlines()[-1])}


def contest(pool: list[str], rows: int, rounds: int, datatrove: Path) -> dict[str, Any]:
    """Medians of both, taking turns."""
    runs: dict[str, list[dict[str, float]]] = {"hala": [], "datatrove": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "in" / "rows.jsonl"
        file.parent.mkdir()
        file.write_text("".join(json.dumps(each) + "\n" for each in made(pool, rows)), encoding="utf-8")
        for number in range(rounds):
            runs["hala"].append(run([sys.executable, "-c", HALA, file]))
            runs["datatrove"].append(run([datatrove, "-c", DATATROVE, file, Path(folder) / f"work{number}"]))
            print({name: values[-1] for name, values in runs.items()}, flush=True)
    median = {name: statistics.median(each["seconds"] for each in values) for name, values in runs.items()}
    kept = {name: values[0]["kept"] for name, values in runs.items()}
    told = subprocess.run(
        [datatrove, "-c", "from importlib.metadata import version; print(version('datatrove'))"], capture_output=True, check=True
    )
    return {
        "rows": rows, "copies": rows // COPIES, "rounds": rounds, "seconds": median, "kept": kept, "all": runs,
        "times": median["datatrove"] / median["hala"], "datatrove": told.stdout.decode().strip(),
    }  # fmt: skip


def scale(pool: list[str], rows: int) -> dict[str, Any]:
    """Large runs of hala alone, with few copies and with many, and what 4.5 million rows would take at the same rate."""
    results: dict[str, Any] = {}
    for name, copies, among in (("one copy in fifty", 1, COPIES), ("three copies in ten", 3, 10)):
        result = alone(made(pool, rows, copies, among))
        rate = rows / result["seconds"]
        results[name] = {
            "rows": rows, "copies": rows * copies // among, **result, "rows_per_s": round(rate),
            "minutes_for_4_500_000": round(4_500_000 / rate / 60, 1),
            "gb_for_4_500_000": round((100 + (result["peak_mb"] - 100) * 4_500_000 / rows) / 1000, 2),
        }  # fmt: skip
    results["one template"] = {"rows": rows // 25, **alone(from_template(pool, rows // 25))}
    return results


def alone(rows: Iterator[dict[str, str]]) -> dict[str, float]:
    """What hala's pass says of the rows, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(each) + "\n" for each in rows)
        found = run([sys.executable, "-c", HALA, file])
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--filter", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--datatrove", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int)
    chosen = parser.parse_args()
    file = RESULTS / "data.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if chosen.filter:
        content["filter"] = {"by_rows": filtered(chosen.data, chosen.filter, chosen.rounds), "machine": machine()}
    pool = sentences(chosen.data) if chosen.datatrove or chosen.scale else []
    if chosen.datatrove:
        content["near duplicates"] = contest(pool, chosen.rows, chosen.rounds, chosen.datatrove)
    if chosen.scale:
        content["scale"] = scale(pool, chosen.scale)
    if pool:  # the filter's part has its own
        content["machine"] = machine()
    write_json(file, content)
    print(json.dumps({key: value for key, value in content.items() if key != "machine"}, indent=2))


if __name__ == "__main__":
    main()
