"""Tokens a second of the local engine on this CPU: BF16, float32 and int8-dynamic of the same model, taking turns.

    OMP_NUM_THREADS=2 .venv/bin/python benchmarks/int8.py --size 350m --rounds 5

A checkpoint of the real shape is made with random weights and compressed by `hala compress --scheme int8-dynamic`; all three are
loaded as the engine loads them. `write` answers N chats of 8 bytes with 32 tokens each, `read` reads N prompts of 256 bytes and
writes one token. Seconds are counted on the wall and, since other work on the machine makes that noisy, on the processor: the
ratios are those of the processor's seconds. Writes benchmarks/results/int8.json and the table in docs/eight-bits.md (`--page`
writes that alone, from the committed JSON).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, machine
from stand_ins import add_tokenizer, texts

from hala.engines.local import LocalEngine
from hala.hardware import has_any, native_bfloat16, native_int8
from hala.records import Message, Request, Sampling
from hala.weights.compress import compress
from hala.weights.loading import load_model
from hala.weights.writer import to_json
from weights import LFM2, installed, make_checkpoint

PAGE = Path(__file__).parents[1] / "docs" / "eight-bits.md"
BEGIN, END = "<!-- int8:begin -->", "<!-- int8:end -->"
JOBS = {"write": (8, 32), "read": (256, 1)}  # bytes of a prompt, tokens of an answer


def engines(base: Path, small: Path, names: list[str]) -> dict[str, LocalEngine]:
    """The engines that take turns."""
    ways: dict[str, Any] = {
        "bfloat16": lambda: load_model(base, "bfloat16", "cpu"),
        "float32": lambda: load_model(base, "float32", "cpu"),
        "int8": lambda: load_model(small, "auto", "cpu", native=True),
        "int8-float32": lambda: load_model(small, "float32", "cpu", native=True),
        "unpacked": lambda: load_model(small, "auto", "cpu"),
    }
    return {name: LocalEngine(*ways[name](), batch_tokens=1 << 20) for name in names}


def tokens_a_second(engine: LocalEngine, job: str, batch: int, seed: int) -> tuple[float, float]:
    """Tokens read or written by one call of the engine, in a second of the wall clock and in one of the processor."""
    length, limit = JOBS[job]
    requests = [Request(str(n), (Message("user", text),), limit) for n, text in enumerate(texts(batch, length, seed))]
    engine.ends = frozenset()
    wall, processor = time.perf_counter(), time.process_time()
    written = sum(completion.tokens for completion in engine.complete(requests, Sampling(max_tokens=limit)))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    assert written == batch * limit
    tokens = batch * length if job == "read" else written
    return tokens / wall, tokens * torch.get_num_threads() / processor


def contest(ready: dict[str, LocalEngine], rounds: int, batches: list[int]) -> dict[str, Any]:
    """Median tokens a second of every engine at each job and batch, and how many times as many int8 has as the others."""
    table: dict[str, Any] = {}
    for job in JOBS:
        for batch in batches:
            runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ready}
            for number in range(rounds + 1):  # the first one warms up
                for name, engine in ready.items():
                    speed = tokens_a_second(engine, job, batch, number)
                    runs[name] += [speed] if number else []
            wall, processor = ({name: median(run[clock] for run in values) for name, values in runs.items()} for clock in (0, 1))
            ratios = {name: round(processor["int8"] / value, 2) for name, value in processor.items() if name != "int8"}
            table[f"{job} {batch}"] = {"tokens_per_second": wall, "per_processor_second": processor, "int8_against": ratios}
            print(f"{job:6}{batch:4}", *(f"{name} {value:8.1f}" for name, value in processor.items()), ratios, flush=True)
    return table


def page(result: dict[str, Any]) -> str:
    """docs/eight-bits.md with the table of this result."""
    text = PAGE.read_text(encoding="utf-8")
    where, names = result["machine"], list(next(iter(result["results"].values()))["tokens_per_second"])
    has = ", ".join(name for name, there in sorted(result["native"].items()) if there)
    lines = [
        f"Tokens for each second of the processor: the `local` engine, random weights, shape of LFM2-{result['size'].upper()},",
        f"threads: {result['threads']}, {where['cpu']} (native: {has}), medians of {result['rounds']} rounds by",
        "`benchmarks/int8.py`, kept in [int8.json](../benchmarks/results/int8.json).",
        "",
    ]
    others = [name for name in names if name != "int8"]
    head = ["", *names, *(f"int8 / {name}" for name in others)]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for key in sorted(result["results"], key=lambda key: (key.split()[0], int(key.split()[1]))):
        row, (job, batch) = result["results"][key], key.split()
        speeds = [f"{row['per_processor_second'][name]:.0f}" for name in names]
        ratios = [f"{row['int8_against'][name]:.2f}" for name in others]
        lines.append(f"| {job} {batch} text{'s' * (batch != '1')} at once | {' | '.join(speeds + ratios)} |")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{rest.split(END)[1]}"


def median(values: Iterable[float]) -> float:
    """The median, to three decimals."""
    return round(statistics.median(values), 3)


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="350m", choices=LFM2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--engines", nargs="+", default=["bfloat16", "float32", "int8"])
    parser.add_argument("--work", type=Path, default=Path("/tmp/hala-weights"))
    parser.add_argument("--out", type=Path, default=RESULTS / "int8.json")
    parser.add_argument("--page", action="store_true", help="only write the table of the committed result again")
    args = parser.parse_args()
    if args.page:
        PAGE.write_text(page(json.loads(args.out.read_text(encoding="utf-8"))), encoding="utf-8")
        return
    base, small = args.work / args.size / "base", args.work / args.size / "int8"
    make_checkpoint(base, args.size, False)
    add_tokenizer(base)
    if not (small / "config.json").exists():
        compress(base, small, "int8-dynamic")
    ready = engines(base, small, args.engines)
    result: dict[str, Any] = {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "native": {"int8": native_int8("cpu"), "bfloat16": native_bfloat16("cpu"), "amx": has_any("cpu", "amx_int8")},
        "versions": {name: installed(name) for name in ("hala", "torch", "transformers")},
        "size": args.size,
        "rounds": args.rounds,
        "results": contest(ready, args.rounds, args.batches),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(to_json(result))
    if args.out == RESULTS / "int8.json":
        PAGE.write_text(page(result), encoding="utf-8")
    print(json.dumps({key: row["int8_against"] for key, row in result["results"].items()}))


if __name__ == "__main__":
    main()
