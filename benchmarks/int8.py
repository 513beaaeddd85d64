"""Tokens a second of the local engine on this CPU: BF16, float32 and int8-dynamic of the same model, taking turns.

    OMP_NUM_THREADS=2 .venv/bin/python benchmarks/int8.py --size 350m --rounds 5

A checkpoint of the real shape is made with random weights and compressed by `hala compress --scheme int8-dynamic`; all three are
loaded as the engine loads them. `write` answers N chats of 64 bytes with 32 tokens each, `read` reads N prompts of 512 bytes and
writes one token. Writes benchmarks/results/int8.json, last line JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, machine
from stand_ins import add_tokenizer, texts

from hala.engines.local import LocalEngine
from hala.hardware import native_bfloat16, native_int8
from hala.records import Message, Request, Sampling
from hala.weights.compress import compress
from hala.weights.loading import load_model
from hala.weights.writer import to_json
from weights import LFM2, installed, make_checkpoint

JOBS = {"write": (64, 32), "read": (512, 1)}  # bytes of a prompt, tokens of an answer


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


def tokens_a_second(engine: LocalEngine, job: str, batch: int, seed: int) -> float:
    """Tokens read (`read`) or written (`write`) in a second of one call of the engine, from prompts to texts."""
    length, limit = JOBS[job]
    requests = [Request(str(n), (Message("user", text),), limit) for n, text in enumerate(texts(batch, length, seed))]
    engine.ends = frozenset()
    began = time.perf_counter()
    written = sum(completion.tokens for completion in engine.complete(requests, Sampling(max_tokens=limit)))
    seconds = time.perf_counter() - began
    assert written == batch * limit
    return (batch * length if job == "read" else written) / seconds


def contest(ready: dict[str, LocalEngine], rounds: int, batches: list[int]) -> dict[str, Any]:
    """Median tokens a second of every engine at each job and batch, and how many times int8 has what the others have."""
    table: dict[str, Any] = {}
    for job in JOBS:
        for batch in batches:
            if job == "read" and batch > 8:
                continue
            runs: dict[str, list[float]] = {name: [] for name in ready}
            for number in range(rounds + 1):  # the first one warms up
                for name, engine in ready.items():
                    speed = tokens_a_second(engine, job, batch, number)
                    runs[name] += [speed] if number else []
            medians = {name: statistics.median(values) for name, values in runs.items()}
            ratios = {name: medians["int8"] / value for name, value in medians.items() if name != "int8"}
            table[f"{job} {batch}"] = {"tokens_per_second": medians, "int8_against": ratios, "runs": runs}
            print(f"{job:6}{batch:4}", *(f"{name} {value:8.1f}" for name, value in medians.items()), flush=True)
    return table


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="350m", choices=LFM2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--engines", nargs="+", default=["bfloat16", "float32", "int8"])
    parser.add_argument("--work", type=Path, default=Path("/tmp/hala-weights"))
    parser.add_argument("--out", type=Path, default=RESULTS / "int8.json")
    args = parser.parse_args()
    base, small = args.work / args.size / "base", args.work / args.size / "int8"
    make_checkpoint(base, args.size, False)
    add_tokenizer(base)
    if not (small / "config.json").exists():
        compress(base, small, "int8-dynamic")
    ready = engines(base, small, args.engines)
    result: dict[str, Any] = {
        "machine": machine() | {"threads": torch.get_num_threads()},
        "native": {"int8": native_int8("cpu"), "bfloat16": native_bfloat16("cpu")},
        "versions": {name: installed(name) for name in ("hala", "torch", "transformers")},
        "size": args.size,
        "rounds": args.rounds,
        "results": contest(ready, args.rounds, args.batches),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(to_json(result))
    print(json.dumps({key: row["int8_against"] for key, row in result["results"].items()}))


if __name__ == "__main__":
    main()
