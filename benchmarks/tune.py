"""Useful tokens a second of training, and peak memory, against TRL's SFTTrainer padded and packed, taking turns.

    .venv/bin/pip install --no-deps trl==1.16.0
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tune.py --data FOLDER --rounds 3

Examples are rows of dolly as chats, in tokens of a tokenizer trained on them, learned on the answer alone; the model has the
shape of LFM2-350M and random weights. All contestants train in float32 (`--precision bfloat16` where the hardware has it) with
fused AdamW, without gradient checkpointing, and see about as many real tokens in an update:

- `hala`: packed rows of `--row-length`, one in each pass;
- `trl-packed`: SFTTrainer with `packing=True` (best fit), one row in each pass, as fast as it goes. Without the causal-conv1d
  kernel its documents leak into each other (tests/training/test_isolation.py), so this is the speed of a wrong result;
- `trl-padded`: SFTTrainer as it comes, 8 examples in each pass, padded to the longest of them;
- `trl-single` (one example in each pass, so nothing is padded) and `hala-compiled` (`compile: true`): only where asked for with
  `--contestants`.

Each turn is a process of its own: one update to warm up, then `--updates` on the clock; each round draws other rows. Useful are
attended tokens, real ones and no padding; how many of them are trained differs with the rows that happen to stand in an update,
so the ratios are of attended ones. Seconds are counted on the wall and, since other work on the machine makes that noisy, on the
processor, for which one thread is the fair number. Packing is measured too: its fill, time and memory on these lengths and on 4
million drawn from them. Writes benchmarks/results/tune.json.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, machine

from hala.training.examples import Example, Form, make_examples
from hala.weights.writer import to_json
from weights import ATTENTION, LFM2, installed

SIZES = {name: (*shape, 65_536) for name, shape in LFM2.items()} | {"small": (256, 768, 8, 2, 8192)}
CONTESTANTS = ("hala", "trl-packed", "trl-padded")
PADDED_ROWS = {"trl-padded": 8, "trl-single": 1}  # 8 is SFTTrainer's default
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
LEARNING_RATE = 2e-5
MILLIONS = 4_000_000


def chats(data: Path) -> list[Any]:
    """The rows of dolly as conversations."""
    from hala.records import Message, Row

    file = next((data / "dolly").glob("*.jsonl"))
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        messages = (Message("user", row["instruction"]), Message("assistant", row["response"]))
        found.append(Row(str(number), messages, lang="en", source="dolly", licence="cc-by-sa-3.0"))
    return found


def make_tokens(args: argparse.Namespace) -> tuple[Any, list[Example]]:
    """The tokenizer, and the examples that fit a row in an order of chance."""
    from hala.training.tokenizer import train_tokenizer

    rows = chats(args.data)
    tokenizer = train_tokenizer((m.content for row in rows for m in row.messages), SIZES[args.size][-1])
    examples = make_examples(rows, tokenizer, Form("chat", max_length=args.row_length)).examples
    random.Random(args.seed).shuffle(examples)
    return tokenizer, examples


def make_model(size: str, tokenizer: Any) -> Any:
    """A random model of the size's shape, float32, with its whole vocabulary whatever the tokenizer holds."""
    from hala.weights.loading import new_lfm2

    hidden, ff, layers, kv_heads, vocabulary = SIZES[size]
    return new_lfm2(
        vocab_size=vocabulary, hidden_size=hidden, num_layers=layers, ff_size=ff, num_heads=hidden // 64, kv_heads=kv_heads,
        layer_types=["full_attention" if layer in ATTENTION else "conv" for layer in range(layers)],
        bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id, pad=tokenizer.pad_token_id,
    )  # fmt: skip


class Clock:
    """Seconds and tokens of each update, from its first pass to the optimizer's end; mixed into a Trainer."""

    updates: list[dict[str, Any]]

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """One pass; its tokens are counted from what the model is given."""
        real = self.count_real(inputs)
        if getattr(self, "clock_step", None) != self.state.global_step:
            self.clock_step = self.state.global_step
            self.updates = getattr(self, "updates", [])
            now = {clock: read() for clock, read in CLOCKS.items()}
            self.updates.append({"began": now, "attended": 0, "trained": 0, "positions": 0})
        update = self.updates[-1]
        trained = int((inputs["labels"][:, 1:] != -100).sum())
        for key, value in (("attended", real), ("trained", trained), ("positions", inputs["input_ids"].numel())):
            update[key] += value
        return super().training_step(model, inputs, *args, **kwargs)

    def count_real(self, inputs: dict[str, Any]) -> int:
        """Tokens of documents among the positions."""
        mask = inputs.get("attention_mask")
        return int(mask.sum()) if mask is not None else inputs["input_ids"].numel()

    def on_update(self) -> None:
        """Called when the optimizer is done."""
        update = self.updates[-1]
        update |= {clock: round(read() - update["began"][clock], 3) for clock, read in CLOCKS.items()}


def stop_watch(trainer: Any) -> Any:
    """A callback that ends the clock of an update after the optimizer."""
    from transformers import TrainerCallback

    class StopWatch(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.on_update()

    return StopWatch()


def train_hala(args: argparse.Namespace, tokenizer: Any, examples: list[Example]) -> list[dict[str, Any]]:
    """The updates of hala's own training."""
    from hala.training import trainer as module

    class Timed(Clock, module.PackedTrainer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.add_callback(stop_watch(self))
            made.append(self)

        def count_real(self, inputs: dict[str, Any]) -> int:
            empty = (inputs["seq_idx"] == inputs["seq_idx"].max(dim=1, keepdim=True).values) & (inputs["labels"] == -100)
            padding = (inputs["input_ids"] == tokenizer.pad_token_id) & empty  # no document of a chat holds the padding token
            return int((~padding).sum())

        def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
            """Nobody saves here."""

    made: list[Any] = []
    module.PackedTrainer = Timed  # type: ignore[misc]
    settings = module.TrainSettings(
        row_length=args.row_length, batch_tokens=args.batch_tokens, micro_tokens=args.row_length, max_steps=args.updates + 1,
        seed=args.seed, learning_rate=LEARNING_RATE, precision=args.precision, compile=args.contestant == "hala-compiled",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        module.train(make_model(args.size, tokenizer), tokenizer, examples, settings, Path(folder))
    return made[0].updates


def train_trl(args: argparse.Namespace, tokenizer: Any, examples: list[Example]) -> list[dict[str, Any]]:
    """The updates of SFTTrainer, packed or padded, on the same tokens and labels."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    class Timed(Clock, SFTTrainer):
        pass

    packed = args.contestant == "trl-packed"
    rows = 1 if packed else PADDED_ROWS[args.contestant]
    mean = statistics.mean(map(len, examples))
    per_pass = args.row_length if packed else rows * mean
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, seed=args.seed, packing=packed, max_length=args.row_length, per_device_train_batch_size=rows,
            gradient_accumulation_steps=max(1, round(args.batch_tokens / per_pass)), max_steps=args.updates + 1,
            learning_rate=LEARNING_RATE, gradient_checkpointing=False, bf16=args.precision == "bfloat16",
            optim="adamw_torch_fused", adam_beta2=0.95, weight_decay=0.01, save_strategy="no", report_to=[],
            logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        data = Dataset.from_list([{"input_ids": e.input_ids.tolist(), "labels": e.labels.tolist()} for e in examples])
        trainer = Timed(make_model(args.size, tokenizer), args=config, train_dataset=data, processing_class=tokenizer)
        trainer.add_callback(stop_watch(trainer))
        trainer.train()
    return trainer.updates


def turn(args: argparse.Namespace) -> None:
    """One contestant's turn: the last line printed is one JSON object."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    tokenizer, examples = make_tokens(args)
    before = peak_mb()
    work = train_hala if args.contestant.startswith("hala") else train_trl
    updates = work(args, tokenizer, examples)
    for update in updates:
        del update["began"]
    print(json.dumps({"updates": updates[1:], "mb": peak_mb(), "mb_before": before, "threads": torch.get_num_threads()}))


def peak_mb() -> float:
    """The most memory this process has had, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


def call(args: argparse.Namespace, *more: str) -> dict[str, Any]:
    """What a process of its own prints last."""
    same = ["--data", str(args.data), "--size", args.size, "--row-length", str(args.row_length), "--precision", args.precision]
    same += ["--batch-tokens", str(args.batch_tokens), "--updates", str(args.updates)]
    command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), *same, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_packing(args: argparse.Namespace) -> None:
    """Fill, seconds and memory of packing: real lengths by the row length, and 4 million drawn from them."""
    from hala.training.packing import measure, pack, pack_in_order

    _, examples = make_tokens(args)
    real = [len(example) for example in examples]
    many = np.random.default_rng(0).choice(np.array(real), MILLIONS).tolist()
    found: dict[str, Any] = {}
    for name, lengths in (("dolly", real), ("4 million", many)):
        found[name] = {"documents": len(lengths), "tokens": sum(lengths)}
        for way, packed in (("shuffled", lambda n=lengths: pack(n, args.row_length, 0)), *in_order(pack_in_order, lengths, args)):
            before, start = peak_mb(), time.perf_counter()
            rows = packed()
            seconds, memory = time.perf_counter() - start, peak_mb() - before
            fill = measure(lengths, rows, args.row_length).fill
            found[name][way] = {"fill": round(fill, 5), "seconds": round(seconds, 3), "more_mb": round(memory, 1)}
    print(json.dumps(found))


def in_order(pack: Callable[..., Any], lengths: list[int], args: argparse.Namespace) -> list[tuple[str, Callable[[], Any]]]:
    """The other way of packing, for a curriculum; only where the set is small enough to wait for."""
    return [("given", lambda: pack(lengths, args.row_length))] if len(lengths) < MILLIONS else []


def speed(updates: list[dict[str, Any]], tokens: str, clock: str) -> float:
    """Tokens a second over all of these updates."""
    return float(sum(update[tokens] for update in updates) / sum(update[clock] for update in updates))


def summary(made: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds of one contestant."""
    updates = [update for each in made for update in each["updates"]]
    found: dict[str, Any] = {
        f"{tokens}_per_second": {
            clock: round(statistics.median(speed(each["updates"], tokens, clock) for each in made), 2) for clock in CLOCKS
        }
        for tokens in ("attended", "trained")
    }
    share = sum(update["attended"] for update in updates) / sum(update["positions"] for update in updates)
    return found | {"share_of_positions": round(share, 4), "mb": statistics.median(each["mb"] for each in made)}


def against(mine: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    """How many times as many attended tokens hala has in a second, by either clock and round, and its share of the memory."""
    found: dict[str, Any] = {}
    for clock in CLOCKS:
        pairs = zip(mine, others, strict=True)
        by_round = [speed(a["updates"], "attended", clock) / speed(b["updates"], "attended", clock) for a, b in pairs]
        found[clock] = {"median": round(statistics.median(by_round), 2), "rounds": [round(each, 2) for each in by_round]}
    return found | {"memory": round(statistics.median(a["mb"] / b["mb"] for a, b in zip(mine, others, strict=True)), 3)}


def main() -> None:
    """Measures and writes the result; the last line printed is one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with dolly/*.jsonl")
    parser.add_argument("--size", choices=SIZES, default="350m")
    parser.add_argument("--row-length", type=int, default=1024)
    parser.add_argument("--batch-tokens", type=int, default=2048, help="tokens of an update")
    parser.add_argument("--updates", type=int, default=2, help="on the clock, in each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--more", action="store_true", help="add rounds to those in --out, measured with the same options")
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS))
    parser.add_argument("--out", type=Path, default=RESULTS / "tune.json")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)  # each round has rows of its own
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--packing", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.packing:
        return measure_packing(args)
    if args.contestant:
        return turn(args)
    known = json.loads(args.out.read_text(encoding="utf-8")) if args.more else None
    packing = known["packing"] if known else call(args, "--packing")
    print(json.dumps(packing), flush=True)
    turns: dict[str, list[dict[str, Any]]] = known["turns"] if known else {name: [] for name in args.contestants}
    done = len(turns["hala"])
    for number in range(done, done + args.rounds):
        for name in args.contestants:
            turns[name].append(call(args, "--contestant", name, "--seed", str(number)))
            print(number, name, json.dumps(turns[name][-1]), flush=True)
        found = result(args, turns, packing)
        args.out.write_bytes(to_json(found))  # after every round, so that a long run may be stopped
    print(json.dumps({key: found[key] for key in ("medians", "hala_against")}))


def result(args: argparse.Namespace, turns: dict[str, list[dict[str, Any]]], packing: dict[str, Any]) -> dict[str, Any]:
    """What is known after some rounds."""
    return {
        "machine": machine(),
        "versions": {name: installed(name) for name in ("hala", "torch", "transformers", "trl", "accelerate")},
        "threads": turns["hala"][0]["threads"],
        **{key: getattr(args, key) for key in ("size", "precision", "row_length", "batch_tokens", "updates")},
        "rounds": len(turns["hala"]),
        "packing": packing,
        "medians": {name: summary(made) for name, made in turns.items()},
        "hala_against": {name: against(turns["hala"], made) for name, made in turns.items() if name != "hala"},
        "turns": turns,
    }


if __name__ == "__main__":
    main()
