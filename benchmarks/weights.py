"""Compress and merge against their peers (whole processes, start to exit, interleaved, with peak memory), and what int8 brings.

    .venv/bin/python benchmarks/weights.py --sizes 350m 1.2b --rounds 3
    .venv/bin/python benchmarks/weights.py --sizes 8gb --rounds 5 --no-peers --limit 2000000000
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/weights.py --sizes 350m --jobs int8 --rounds 5

Checkpoints of the real shapes are made with random weights (BF16; half of the second one's layers moved far enough for the
sphere). `hala` runs as its command line does, with checks, report and manifest; llm-compressor and mergekit-yaml run as their
documentation says. `cp` copies the source (compress), or one of two sources after reading the other (merge); `disk` (merge) reads
both and writes one past the page cache, see disk.py: what the disk alone costs. With `--limit` hala runs under that address
space, so that a peak above it would be an error. The job `int8` is the `local` engine's, see int8.py. A quiet machine is needed:
hala works on all cores, `cp` on one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, machine

from hala.weights.layout import Output
from hala.weights.making import Making, Piece, Write, in_spans
from hala.weights.numerics import BF16
from hala.weights.writer import Job, build, to_json

ATTENTION = (2, 5, 8, 10, 12, 14)
LFM2 = {"350m": (1024, 4608, 16, 8), "1.2b": (2048, 8192, 16, 8)}  # hidden, feed-forward, layers, key heads
LLAMA = {"8gb": (3072, 8192, 36, 8, 128_256)}  # the same and vocabulary: 4.4B parameters
POOL, PIECE = 1 << 24, 1 << 20
PEER = """
import sys
from llmcompressor import model_free_ptq
ignore = ["lm_head", "model.embed_tokens", "re:.*\\\\.conv\\\\.conv$"]
model_free_ptq(sys.argv[1], sys.argv[2], scheme="FP8_DYNAMIC", ignore=ignore, max_workers=2, device="cpu")
"""
HALA = "from hala.cli import main; main()"


def lfm2(size: str) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes and config of an LFM2."""
    d, ff, layers, kv = LFM2[size]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (65_536, d), "model.embedding_norm.weight": (d,)}
    for i in range(layers):
        p = f"model.layers.{i}."
        shapes |= {p + "operator_norm.weight": (d,), p + "ffn_norm.weight": (d,), p + "feed_forward.w2.weight": (d, ff)}
        shapes |= {p + "feed_forward.w1.weight": (ff, d), p + "feed_forward.w3.weight": (ff, d)}
        if i in ATTENTION:
            shapes |= {p + f"self_attn.{name}.weight": (d, d) for name in ("q_proj", "out_proj")}
            shapes |= {p + f"self_attn.{name}_proj.weight": (kv * 64, d) for name in "kv"}
            shapes |= {p + f"self_attn.{name}_layernorm.weight": (64,) for name in "qk"}
        else:
            shapes |= {
                p + "conv.in_proj.weight": (3 * d, d),
                p + "conv.out_proj.weight": (d, d),
                p + "conv.conv.weight": (d, 1, 3),
            }
    kinds = ["full_attention" if i in ATTENTION else "conv" for i in range(layers)]
    config = {"architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "block_auto_adjust_ff_dim": False, "conv_L_cache": 3}
    config |= {"layer_types": kinds, "norm_eps": 1e-5, "block_ff_dim": ff, "conv_bias": False, "vocab_size": 65_536}
    return shapes, config | common(d, ff, layers, kv)


def llama(size: str) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes and config of a Llama with its own head."""
    d, ff, layers, kv, vocab = LLAMA[size]
    shapes: dict[str, tuple[int, ...]] = {name: (vocab, d) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    shapes["model.norm.weight"] = (d,)
    for i in range(layers):
        p = f"model.layers.{i}."
        shapes |= {p + f"{name}_layernorm.weight": (d,) for name in ("input", "post_attention")}
        shapes |= {p + f"self_attn.{name}_proj.weight": (d, d) for name in "qo"}
        shapes |= {p + f"self_attn.{name}_proj.weight": (kv * 128, d) for name in "kv"}
        shapes |= {p + f"mlp.{name}_proj.weight": (ff, d) for name in ("gate", "up")} | {p + "mlp.down_proj.weight": (d, ff)}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "rms_norm_eps": 1e-5,
        "head_dim": 128,
    }
    return shapes, config | common(d, ff, layers, kv) | {"tie_word_embeddings": False, "num_attention_heads": d // 128}


def common(d: int, ff: int, layers: int, kv: int) -> dict[str, Any]:
    """What both configs say."""
    config: dict[str, Any] = {"hidden_size": d, "intermediate_size": ff, "num_hidden_layers": layers, "num_key_value_heads": kv}
    config |= {"num_attention_heads": d // 64, "tie_word_embeddings": True, "dtype": "bfloat16", "rope_theta": 1e6}
    return config | {"max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0}


def make_checkpoint(folder: Path, size: str, other: bool) -> None:
    """A checkpoint in `folder` unless it is there; `other` moves odd layers by 5% and the rest by 0.5%."""
    shapes, config = (lfm2 if size in LFM2 else llama)(size)
    rng = np.random.default_rng(0)
    pool, noise = rng.standard_normal((2, POOL), dtype=np.float32) * np.float32(0.02)

    def make(name: str) -> Making:
        start = sum(name.encode()) * 7919 % POOL
        far = any(f"layers.{i}." in name for i in range(1, 100, 2))
        values = np.roll((pool + noise * np.float32(0.05 if far else 0.005) if other else pool).astype(BF16), -start)
        spans = in_spans(math.prod(shapes[name]), PIECE)
        yield [Piece(first, count, partial(put, values[first % POOL :][:count], first)) for first, count in spans]
        return {}

    def put(values: Any, first: int, write: Write) -> None:
        write(first, values)

    outputs = tuple(Output(name, "BF16", shape) for name, shape in sorted(shapes.items()))
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / "side").mkdir(exist_ok=True)
    build(folder, Job({"size": size, "other": other}, outputs, config, folder.parent / "side", "made.json"), make)


def run(command: Sequence[str | Path], limit: int | None = None, env: dict[str, str] | None = None) -> dict[str, float]:
    """Seconds from start to exit of a process, CPU seconds, peak memory in MB; SystemExit with its output when it fails."""

    def restrict() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    began = time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
        preexec_fn=restrict,
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{output[-3000:]}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "mb": usage.ru_maxrss / 1024}


class Contest:
    """Runs of several programs on the same job, taking turns; each result folder is deleted before the next run."""

    def __init__(self, work: Path, rounds: int) -> None:
        self.work, self.rounds = work, rounds
        self.runs: dict[str, list[dict[str, float]]] = {}

    def hold(self, commands: dict[str, list[Any]], limit: int | None) -> dict[str, Any]:
        """Medians of each program, and the seconds of every round."""
        for number in range(self.rounds):
            for name, command in commands.items():
                out = self.work / "out"
                shutil.rmtree(out, ignore_errors=True)
                shutil.rmtree(self.work / ".out.partial", ignore_errors=True)
                os.sync()
                result = run(command, limit if name == "hala" else None)
                print(f"  round {number + 1} {name:15} {result['seconds']:7.2f} s {result['mb']:8.0f} MB", flush=True)
                self.runs.setdefault(name, []).append(result)
        shutil.rmtree(self.work / "out", ignore_errors=True)
        table = {name: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for name, runs in self.runs.items()}
        every = {name: [round(r["seconds"], 2) for r in runs] for name, runs in self.runs.items()}
        rounds = dict.fromkeys(table, self.rounds)
        return {"median": table, "rounds": rounds, "limit_bytes": limit, "all_seconds": every}


def ratios(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times as much as hala each other program needs."""
    ours = table["hala"]
    return {name: {key: row[key] / ours[key] for key in row} for name, row in table.items() if name != "hala"}


def kept_peers(new: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """The new result with the programs of an earlier one that were not run this time, and their ratios to hala."""
    for name in (old or {}).get("median", {}).keys() - new["median"].keys():
        assert old
        for part in ("median", "rounds", "all_seconds"):
            new[part] |= {name: old[part][name]} if name in old.get(part, {}) else {}
    return new | {"ratio": ratios(new["median"])}


def compress_commands(source: Path, out: Path, peers: bool, scheme: str) -> dict[str, list[Any]]:
    """The three ways to do the same."""
    commands: dict[str, list[Any]] = {
        "hala": [sys.executable, "-c", HALA, "compress", source, "--out", out, "--scheme", scheme, "--mode", "exact"],
        "cp": ["cp", "-r", source, out],
    }
    return commands | ({"llm-compressor": [sys.executable, "-c", PEER, source, out]} if peers else {})


def merge_commands(base: Path, tuned: Path, out: Path, peers: bool) -> dict[str, list[Any]]:
    """The three ways to do the same; reading the second source stands for it in `cp`."""
    config = out.parent / "mergekit.yaml"
    models = [{"model": str(base)}, {"model": str(tuned)}]
    config.write_text(
        json.dumps(
            {"merge_method": "slerp", "base_model": str(base), "models": models, "parameters": {"t": 0.5}, "dtype": "bfloat16"}
        )
    )
    commands: dict[str, list[Any]] = {
        "hala": [sys.executable, "-c", HALA, "merge", base, tuned, "--out", out],
        "cp": ["sh", "-c", 'cat "$0"/*.safetensors >/dev/null; cp -r "$1" "$2"', base, tuned, out],
        "disk": [sys.executable, Path(__file__).parent / "disk.py", base, tuned, out],
    }
    kit = Path(sys.executable).parent / "mergekit-yaml"
    return commands | ({"mergekit": [kit, config, out]} if peers else {})


def installed(name: str) -> str | None:
    """The version of a package, None when it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Writes benchmarks/results/weights.json, size by size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["350m", "1.2b"], choices=[*LFM2, *LLAMA])
    parser.add_argument("--jobs", nargs="+", default=["compress", "merge"], choices=["compress", "merge", "int8"])
    parser.add_argument("--scheme", default="fp8-dynamic")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/tmp/hala-weights"))
    parser.add_argument("--limit", type=int, help="address space of hala in bytes")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--only", nargs="+", help="programs to run; the others keep what they had")
    args = parser.parse_args()
    file = RESULTS / "weights.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"results": {}}
    results["machine"] = machine()
    results["versions"] = {
        name: installed(name) for name in ("hala", "numpy", "torch", "llmcompressor", "mergekit", "transformers")
    }
    for size in args.sizes:
        for job in args.jobs:
            print(f"{job} {size}", flush=True)
            key = f"{job} {size}" + ("" if args.scheme == "fp8-dynamic" or job != "compress" else f" {args.scheme}")
            results["results"][key] = hold(job, size, args, results["results"].get(key))
            RESULTS.mkdir(parents=True, exist_ok=True)
            file.write_bytes(to_json(results))


def hold(job: str, size: str, args: argparse.Namespace, before: dict[str, Any] | None) -> dict[str, Any]:
    """The result of one contest; peers that are left out keep what they had before."""
    base, tuned, out = (args.work / size / name for name in ("base", "tuned", "out"))
    if job == "int8":
        import int8  # and with it torch

        return int8.measure(args.work, size, args.rounds, int8.BATCHES, int8.ENGINES)
    make_checkpoint(base, size, False)
    if job == "compress":
        commands = compress_commands(base, out, not args.no_peers, args.scheme)
    else:
        make_checkpoint(tuned, size, True)
        commands = merge_commands(base, tuned, out, not args.no_peers)
    commands = {name: command for name, command in commands.items() if name in (args.only or commands)}
    return kept_peers(Contest(args.work / size, args.rounds).hold(commands, args.limit), before)


if __name__ == "__main__":
    main()
