"""Train, kill, continue: prints how often a training was killed and whether its end is that of one left alone.

Run as a script by `test_trainer.py`, in a process of its own: children are forked before any computation, so that starting one
costs milliseconds instead of the imports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Lfm2Config, Lfm2ForCausalLM

from hala.recipe_models import Lora
from hala.training.examples import Example
from hala.training.trainer import TrainSettings, train

SETTINGS = TrainSettings(
    row_length=32, batch_tokens=128, micro_tokens=64, max_steps=16, save_steps=2, log_steps=4,
    optimizer="muon", learning_rate=1e-2, warmup=0.1, epochs=9,
    on_bad_step="rollback", spike=20, average="ema", patience=9, eval_steps=3,
)  # fmt: skip

KINDS = {
    "all weights": SETTINGS,
    "lora": dataclasses.replace(SETTINGS, optimizer="adamw", on_bad_step="skip", lora=Lora(rank=4, dropout=0.1)),
    "given order": dataclasses.replace(SETTINGS, order="given"),
}


class Tokenizer:
    pad_token_id = 0


def work(folder: Path, pipe: int) -> None:
    """One attempt at the whole training, a byte into `pipe` at every step; its weights are written at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        pad_token_id=0, block_auto_adjust_ff_dim=False, layer_types=["conv", "full_attention"] * 2,
    )  # fmt: skip
    model = Lfm2ForCausalLM(config)
    model.model.embed_tokens.register_forward_hook(lambda _, ids, out: out * float("nan") if (ids[0] == 63).any() else out)
    rng = np.random.default_rng(0)
    documents = [rng.integers(3, 63, length).astype(np.int32) for length in rng.integers(4, 30, 60)]
    documents[17][1] = 63  # its updates are bad, and what came before them since the last checkpoint is undone
    examples = [Example(str(number), ids, np.where(np.arange(len(ids)) < 2, -100, ids)) for number, ids in enumerate(documents)]
    limits = KINDS[sys.argv[3]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = train(model, Tokenizer(), examples, limits, folder, lambda *_: os.write(pipe, b"."), examples[:8])
    assert result.left_out, "no update was bad"
    weights = {name: p.detach().contiguous() for name, p in result.model.named_parameters() if p.requires_grad}
    save_file(weights, folder / "draft.safetensors")
    os.replace(folder / "draft.safetensors", folder / "final.safetensors")


def start(folder: Path) -> tuple[int, int]:
    """(process, pipe of its steps)."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    child = os.fork()
    if child == 0:
        try:
            work(folder, write)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    os.close(write)
    return child, read


def attempt(folder: Path, steps: int, delay: float, in_save: bool) -> str:
    """How the attempt ended: `killed` `delay` seconds after its step number `steps`, earlier `in a save`, or not (empty)."""
    child, pipe = start(folder)
    made = 0
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert os.waitstatus_to_exitcode(status) == 0, "the training failed"
                return ""
            with contextlib.suppress(BlockingIOError):
                made += len(os.read(pipe, 64))
            saving = in_save and any((folder / "checkpoints").glob("*.tmp/*"))
            if saving or made >= steps:
                time.sleep(0 if saving else delay)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "in a save" if saving else "killed"
            time.sleep(0.0005)
    finally:
        os.close(pipe)


def main(root: Path, kills: int) -> None:
    """One training is left alone; others are killed, and begun anew where one was done before all kills."""
    never = 10**9
    attempt(root / "whole", never, 0, False)
    rng, ends, done = random.Random(0), Counter[str](), 0
    while ends.total() < kills:
        end = attempt(root / f"broken {done}", rng.randint(1, 5), rng.uniform(0, 0.1), in_save=ends.total() % 2 == 1)
        if end:
            ends[end] += 1
        else:
            done += 1
    attempt(root / f"broken {done}", never, 0, False)
    same = all(
        (root / "whole" / name).read_bytes() == (root / f"broken {number}" / name).read_bytes()
        for name in ("final.safetensors", "curve.jsonl")
        for number in range(done + 1)
    )
    print(json.dumps({"kills": ends.total(), "in a save": ends["in a save"], "trainings": done + 1, "identical": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
