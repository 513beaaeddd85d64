"""Tokens a second of the local engine on this CPU: BF16, float32 and int8-dynamic of the same model, taking turns.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/weights.py --jobs int8 --sizes 350m --rounds 5    # kept in weights.json
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/int8.py --engines int8 unpacked --batches 1       # any others, only printed

A checkpoint of the real shape is made with random weights and compressed by `hala compress --scheme int8-dynamic`; all three are
loaded as the engine loads them. `write` answers N chats of 8 bytes with 32 tokens each, `read` reads N prompts of 256 bytes and
writes one token. Seconds are counted on the wall and, since other work on the machine makes that noisy, on the processor: the
ratios are those of the processor's seconds.
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
from stand_ins import add_tokenizer, texts

from hala.engines.local import LocalEngine
from hala.hardware import has_any, native_bfloat16, native_int8
from hala.records import Message, Request, Sampling
from hala.weights.compress import compress
from hala.weights.loading import load_model
from weights import LFM2, make_checkpoint

BATCHES, ENGINES = [1, 4, 16], ["bfloat16", "float32", "int8"]
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


def median(values: Iterable[float]) -> float:
    """The median, to three decimals."""
    return round(statistics.median(values), 3)


def measure(work: Path, size: str, rounds: int, batches: list[int], names: list[str]) -> dict[str, Any]:
    """What the contest of these engines gives, and what it depends on; checkpoints that are missing are made in `work`."""
    base, small = work / size / "base", work / size / "int8"
    make_checkpoint(base, size, False)
    add_tokenizer(base)
    if not (small / "config.json").exists():
        compress(base, small, "int8-dynamic")
    return {
        "threads": torch.get_num_threads(),
        "native": {"int8": native_int8("cpu"), "bfloat16": native_bfloat16("cpu"), "amx": has_any("cpu", "amx_int8")},
        "rounds": rounds,
        "results": contest(engines(base, small, names), rounds, batches),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", default="350m", choices=LFM2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--engines", nargs="+", default=ENGINES)
    parser.add_argument("--work", type=Path, default=Path("/tmp/hala-weights"))
    args = parser.parse_args()
    print(json.dumps(measure(args.work, args.size, args.rounds, args.batches, args.engines), indent=1))


if __name__ == "__main__":
    main()
