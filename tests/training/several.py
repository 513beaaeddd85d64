"""One of several processes that train a tiny model together, as torchrun starts it; the first one writes `final.safetensors`.

    python -m torch.distributed.run --standalone --nproc-per-node 2 several.py FOLDER '{"optimizer": "adamw"}'

Alone it does the same in one process. `split` makes accelerate use FSDP2 on the CPU too, where it would quietly copy the model:
gloo can do all that FSDP2 needs. `die_at` kills this process by SIGKILL at the end of that update of the first rank.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import accelerate.state
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Lfm2Config, Lfm2ForCausalLM

from hala.errors import HalaError
from hala.training import devices
from hala.training.examples import Example
from hala.training.trainer import TrainSettings, train

SETTINGS = {
    "row_length": 32, "batch_tokens": 128, "micro_tokens": 32, "save_steps": 2, "log_steps": 1, "learning_rate": 1e-2,
    "warmup": 0.1, "epochs": 1, "precision": "float32", "eval_steps": 4, "average": "ema",
    "average_decay": 0.5, "samples": 2, "sample_tokens": 5,
}  # fmt: skip


class Tokenizer:
    pad_token_id, eos_token_id = 0, 2

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def split_on_the_cpu() -> None:
    """accelerate reads its FSDP plugin on accelerators only; here its state is told of it afterwards."""
    state = accelerate.state
    before = state.AcceleratorState.__init__

    def begin(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        before(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = state.DistributedType.FSDP, fsdp_plugin
            state.PartialState._shared_state["distributed_type"] = self.distributed_type

    state.AcceleratorState.__init__ = begin


def model() -> Lfm2ForCausalLM:
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        pad_token_id=0, block_auto_adjust_ff_dim=False, layer_types=["conv", "full_attention"] * 2,
    )  # fmt: skip
    return Lfm2ForCausalLM(config)


def documents() -> list[Example]:
    """As many as leave the last update with fewer rows than the others, and those with no equal shares."""
    rng = np.random.default_rng(0)
    made = [rng.integers(3, 64, length).astype(np.int32) for length in rng.integers(4, 30, 66)]
    return [Example(str(number), ids, np.where(np.arange(len(ids)) < 2, -100, ids)) for number, ids in enumerate(made)]


def main(folder: Path, knobs: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    die_at = knobs.pop("die_at", 0)
    if knobs.pop("split", False):
        split_on_the_cpu()

    def show(step: int, *_: float) -> None:
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    examples = documents()
    result = train(model(), Tokenizer(), examples, TrainSettings(**SETTINGS | knobs), folder, show, examples[:8])
    if devices.first():
        weights = {name: p.detach().contiguous() for name, p in result.model.named_parameters()}
        save_file(weights, folder / "final.safetensors")
        facts = {"steps": result.steps, "eval_loss": result.eval_loss, "resumed_from": result.resumed_from}
        (folder / "facts.json").write_text(json.dumps(facts | {"processes": devices.count()}))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), json.loads(sys.argv[2]))
    except HalaError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
