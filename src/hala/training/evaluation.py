"""What is measured on held-out examples while training: their loss, which weights were best, and what the model answers.

>>> from hala.training.evaluation import eval_loss
>>> eval_loss(model, examples, settings, pad_id=0)   # doctest: +SKIP
2.13
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from hala.training import devices
from hala.training.average import snapshot
from hala.training.checkpoints import Tensors
from hala.training.examples import IGNORED, Example
from hala.training.loss import loss_as_forward
from hala.training.packing import collate, pack
from hala.training.settings import TrainSettings, autocast, choose_precision
from hala.training.short_conv import leak_free

TEXT_PROMPT = 16
"""Tokens of running text that are shown to the model, which is to go on from there."""


class Best:
    """The best evaluation so far with its weights, and how many since were no better: `patience` of them are enough."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.loss: float | None = None
        self.step = self.misses = 0
        self.weights: Tensors = {}

    def saw(self, model: Any, step: int, loss: float) -> bool:
        """Whether to stop after this evaluation; a loss that is no number is never better."""
        if not self.patience:
            return False
        if loss < (float("inf") if self.loss is None else self.loss):
            self.loss, self.step, self.misses, self.weights = loss, step, 0, snapshot(model)
        else:
            self.misses += 1
        return self.misses >= self.patience

    def state(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        return {"loss": self.loss, "step": self.step, "misses": self.misses}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.loss, self.step, self.misses = state["loss"], state["step"], state["misses"]


@torch.no_grad()
def eval_loss(model: PreTrainedModel, examples: Sequence[Example], settings: TrainSettings, pad_id: int) -> float:
    """The mean cross-entropy of a learned token, in nats, over all processes; the model is left in the mode it came in."""
    was_training = model.training
    model.eval()
    rows = [[examples[i] for i in row] for row in pack([len(each) for each in examples], settings.row_length, seed=0)]
    per_batch = max(1, settings.micro_tokens // settings.row_length)
    batches = [rows[start : start + per_batch] for start in range(0, len(rows), per_batch)]
    batches += [[[]]] * (-len(batches) % devices.count())  # empty rows: all processes call the model equally often
    sums = torch.zeros(2, dtype=torch.float64)  # loss, learned tokens
    with leak_free(model), loss_as_forward(model, choose_precision(settings.precision, model.device)):
        for mine in batches[devices.rank() :: devices.count()]:
            batch = collate(mine, settings.row_length, pad_id)
            loss = model(**{name: tensor.to(model.device) for name, tensor in batch.items()})
            sums += torch.tensor([float(loss), int((batch["labels"][:, 1:] != IGNORED).sum())], dtype=torch.float64)
    devices.reshard(model)
    model.train(was_training)
    total, learned = (float(value) for value in devices.total(sums.to(model.device)))
    return total / max(1.0, learned)


def prompts(examples: Sequence[Example], count: int) -> list[tuple[str, list[int], list[int]]]:
    """(id, prompt, reference) in tokens of `count` examples, evenly spaced: up to the first learned token, and what follows.

    Where all is learned, as in running text, the prompt is its beginning.
    """
    found = []
    for number in range(min(count, len(examples))):
        example = examples[number * len(examples) // min(count, len(examples))]
        learned = (example.labels != IGNORED).tolist()
        start = learned.index(True) if True in learned else len(learned)
        start = start if start > 1 else min(TEXT_PROMPT, max(1, len(example) // 2))
        end = next((place for place in range(start, len(learned)) if not learned[place]), len(learned))
        found.append((example.id, example.input_ids[:start].tolist(), example.input_ids[start:end].tolist()))
    return found


@torch.no_grad()
def answers(model: Any, tokenizer: Any, examples: Sequence[Example], settings: TrainSettings) -> list[dict[str, str]]:
    """`id prompt answer reference` of `settings.samples` examples: greedy, one by one, at most `sample_tokens` tokens."""
    was_training = model.training
    model.eval()
    found = []
    with unpatched(model), autocast(choose_precision(settings.precision, model.device), model.device.type):
        for name, prompt, reference in prompts(examples, settings.samples):
            ids = torch.tensor([prompt], device=model.device)
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=settings.sample_tokens,
                do_sample=False,
                num_beams=1,
                use_cache=True,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
            texts = [tokenizer.decode(each) for each in (prompt, out[0, len(prompt) :].tolist(), reference)]
            found.append({"id": name, "prompt": texts[0], "answer": texts[1], "reference": texts[2]})
    devices.reshard(model)
    model.train(was_training)
    return found


@contextmanager
def unpatched(model: nn.Module) -> Iterator[None]:
    """While it lasts, no module has a `forward` of its own: what training put there answers no generation."""
    patched = [(module, module.__dict__.pop("forward")) for module in model.modules() if "forward" in module.__dict__]
    try:
        yield
    finally:
        for module, forward in patched:
            module.forward = forward
