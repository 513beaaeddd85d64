"""Accepted tokens a second of the local engine against plain `model.generate`, taking turns, on segments of real instructions.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/local.py --data FOLDER --rounds 5

The segments are those that `hala translate` asks for: rows of dolly, cut and masked by hala itself, with the default prompt. The
model has LFM2's shape and random weights, and such a model never ends an answer; so each request has the length of answer that a
translation would have, 1.1 tokens for each of its segment, and every contestant writes exactly these tokens. `plain` is
transformers' own generate over batches in the order of the file; a batch lasts as long as its longest answer. `sorted` is plain
over the order of lengths. `local` is the engine with batches of at most as many rows; `budget` is it as it comes, with batches
under a token budget. Seconds are counted on the wall and, since other work on the machine makes that noisy, on the processor: the
ratios are those of the processor's seconds. Writes benchmarks/results/local.json.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, machine

from hala.data.masks import mask
from hala.data.prompts import render
from hala.data.segments import split
from hala.engines import decoding
from hala.engines.chat import tokenise
from hala.engines.local import LocalEngine
from hala.records import Request, Sampling
from hala.training.tokenizer import train_tokenizer
from hala.weights.loading import new_lfm2
from hala.weights.writer import to_json
from weights import ATTENTION, LFM2, installed

SIZES = {name: (*shape, 65_536) for name, shape in LFM2.items()} | {"small": (256, 768, 8, 2, 8192)}
GROWTH = 1.1  # tokens of an answer for each token of its segment
BATCH_TOKENS = 16_384  # of the recipe
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True)
class Bench:
    """What all contestants share: the model, its tokenizer, and the requests in the order of the file."""

    model: Any
    tokenizer: Any
    requests: list[Request]
    rows: int

    @property
    def tokens(self) -> int:
        """Tokens that all answers hold together."""
        return sum(request.max_tokens or 0 for request in self.requests)


def segments(data: Path, count: int, skip: int) -> list[str]:
    """What an engine is asked about the rows of dolly, in the order of the file."""
    file = next((data / "dolly").glob("*.jsonl"))
    rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    asked = (mask(text).text for row in rows for key in ("instruction", "response") for text in split(row[key]).segments)
    return list(islice(asked, skip, skip + count))


def make_bench(args: argparse.Namespace) -> Bench:
    """The model, the tokenizer and the requests."""
    hidden, ff, layers, kv_heads, vocabulary = SIZES[args.size]
    tokenizer = train_tokenizer(segments(args.data, 20_000, 0), vocabulary)
    model = new_lfm2(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_layers=layers,
        ff_size=ff,
        num_heads=hidden // 64,
        kv_heads=kv_heads,
        layer_types=["full_attention" if layer in ATTENTION else "conv" for layer in range(layers)],
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
    )
    model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token = None
    texts = segments(args.data, args.segments, args.skip)
    sizes = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    requests = [
        Request(str(number), render("default", text, "ar"), math.ceil(GROWTH * size))
        for number, (text, size) in enumerate(zip(texts, sizes, strict=True))
    ]
    return Bench(model.eval(), tokenizer, requests, args.rows)


def plain(bench: Bench, requests: list[Request]) -> int:
    """Tokens of all answers, by generate over batches in this order."""
    written = 0
    for start in range(0, len(requests), bench.rows):
        batch = requests[start : start + bench.rows]
        ids = [prompt for prompt, _ in tokenise(bench.tokenizer, batch)]
        inputs = bench.tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
        longest = max(request.max_tokens or 0 for request in batch)
        output = bench.model.generate(**inputs, max_new_tokens=longest, do_sample=False)
        answers = output[:, inputs["input_ids"].shape[1] :].tolist()
        kept = [answer[: request.max_tokens] for answer, request in zip(answers, batch, strict=True)]
        bench.tokenizer.batch_decode(kept, skip_special_tokens=True)
        written += sum(map(len, kept))
    return written


def local(bench: Bench, rows: int) -> int:
    """Tokens of all answers, by the engine with batches of at most so many rows; 0 means its budget of tokens alone."""
    engine = LocalEngine(bench.model, bench.tokenizer, batch_tokens=1 << 30 if rows else BATCH_TOKENS)
    engine.most_rows = rows or engine.most_rows
    return sum(completion.tokens for completion in engine.complete(bench.requests, Sampling()))


def contest(bench: Bench, names: list[str], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each contestant in each round, by clock: `wall` and `processor`."""
    by_length = sorted(bench.requests, key=lambda request: -(request.max_tokens or 0))
    ways: dict[str, Callable[[], int]] = {
        "plain": lambda: plain(bench, bench.requests),
        "sorted": lambda: plain(bench, by_length),
        "local": lambda: local(bench, bench.rows),
        "budget": lambda: local(bench, 0),
    }
    seconds: dict[str, dict[str, list[float]]] = {clock: {name: [] for name in names} for clock in CLOCKS}
    for number in range(rounds):
        for name in names:
            start = {clock: now() for clock, now in CLOCKS.items()}
            assert ways[name]() == bench.tokens, name
            for clock, now in CLOCKS.items():
                seconds[clock][name].append(round(now() - start[clock], 3))
        print(number, *({name: values[-1] for name, values in times.items()} for times in seconds.values()), flush=True)
    return seconds


def interval(ratios: list[float]) -> list[float]:
    """A 95% bootstrap interval of the median."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(2000))
    return [round(medians[50], 2), round(medians[1949], 2)]


def main() -> None:
    """Measures and writes the result; the last line printed is one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with dolly/*.jsonl")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--rows", type=int, default=32, help="rows of a batch")
    parser.add_argument("--segments", type=int, default=512)
    parser.add_argument("--skip", type=int, default=1000, help="segments to leave out at the start of the file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", default=["plain", "sorted", "local", "budget"])
    parser.add_argument("--out", type=Path, default=RESULTS / "local.json")
    args = parser.parse_args()
    decoding.LOOP_TOKENS = 1 << 30  # a random model soon repeats itself, and here the length of an answer is given
    bench = make_bench(args)
    contest(Bench(bench.model, bench.tokenizer, bench.requests[: args.rows], args.rows), args.ways, 1)  # warm up
    seconds = contest(bench, args.ways, args.rounds)
    ratios = {
        name: [a / b for a, b in zip(seconds["processor"]["plain"], values, strict=True)]
        for name, values in seconds["processor"].items()
        if name != "plain"
    }
    lengths = sorted(request.max_tokens or 0 for request in bench.requests)
    result = {
        "machine": machine(),
        "versions": {name: installed(name) for name in ("hala", "torch", "transformers")},
        "threads": torch.get_num_threads(),
        "size": args.size,
        "parameters": sum(parameter.numel() for parameter in bench.model.parameters()),
        "rows": args.rows,
        "requests": len(bench.requests),
        "tokens": bench.tokens,
        "answers": {"median": statistics.median(lengths), "p90": lengths[9 * len(lengths) // 10], "longest": lengths[-1]},
        "rounds": args.rounds,
        "seconds": seconds,
        "tokens_per_second": {
            clock: {name: round(bench.tokens / statistics.median(values), 1) for name, values in times.items()}
            for clock, times in seconds.items()
        },
        "times_plain": {name: round(statistics.median(values), 2) for name, values in ratios.items()},
        "times_plain_95": {name: interval(values) for name, values in ratios.items()},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(to_json(result))
    print(json.dumps({key: result[key] for key in ("tokens_per_second", "times_plain", "times_plain_95")}))


if __name__ == "__main__":
    main()
