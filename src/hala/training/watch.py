"""What one training remembers beyond Trainer: the learning curve, the guard against NaN, progress and our checkpoints.

The one idea: the curve is a function of the training alone (no clock in it), so a training that was killed and continued
leaves the same file as one that was not.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from hala.errors import DriftError, TrainingError
from hala.training import checkpoints, devices
from hala.training.examples import IGNORED, Example
from hala.training.guard import Guard
from hala.training.loss import loss_as_forward
from hala.training.packing import collate, pack
from hala.training.settings import TrainSettings, choose_precision
from hala.training.short_conv import leak_free

Progress = Callable[[int, int, float, float, float], None]
"""progress(step, total, tokens_per_s, loss, seconds_left)."""


class Watch(TrainerCallback):  # type: ignore[misc]
    """What one training remembers beyond Trainer: the curve, the guard against NaN, progress, and our checkpoints."""

    def __init__(
        self,
        trainer: Any,
        settings: TrainSettings,
        out_dir: Path,
        progress: Progress | None,
        eval_examples: Sequence[Example],
        pad_id: int,
    ) -> None:
        self.trainer, self.settings, self.progress = trainer, settings, progress
        self.curve = out_dir / "curve.jsonl"
        self.root = out_dir / "checkpoints"
        self.eval_examples, self.pad_id = eval_examples, pad_id
        self.tokens = self.first_step = self.first_tokens = 0
        self.step_loss = self.grad_norm = self.last_loss = 0.0
        self.losses: list[float] = []  # of the good steps since the last record
        self.left_out = 0  # updates since the last record
        self.guard = Guard(settings.spike, settings.spike_window)
        self.evaluated: tuple[int, float] | None = None
        self.fingerprint = ""
        self.started = time.monotonic()
        trainer.run = self
        trainer.add_callback(self)

    def begin(self, fingerprint: str) -> Path | None:
        """The checkpoint to resume from, with the curve cut back to it."""
        self.fingerprint = fingerprint
        folder = devices.agreed(checkpoints.newest(self.root) if devices.first() else None)
        if folder is None:
            self._write_curve([])
            return None
        state = checkpoints.read_document(folder, "run")
        if state["fingerprint"] != fingerprint:
            raise DriftError(
                f"The checkpoints in {self.root} are of other examples, settings or weights.",
                "Use a new output folder, or delete them.",
            )
        self.tokens, self.first_step, self.last_loss = state["tokens"], state["step"], state["last_loss"]
        self.losses, self.left_out, self.first_tokens = state["losses"], state["left_out"], state["tokens"]
        self.guard.restore(state["guard"])
        lines = self.curve.read_text(encoding="utf-8").splitlines(keepends=True) if self.curve.exists() else []
        self._write_curve(lines[: state["records"]])
        return folder

    def _write_curve(self, lines: list[str]) -> None:
        if devices.first():
            self.curve.write_text("".join(lines), encoding="utf-8")

    def saw_loss(self, loss: float, tokens: int) -> None:
        """Called for every micro batch, before the update."""
        self.step_loss += loss
        self.tokens += tokens

    def allows(self, loss: float, norm: float) -> bool:
        """Called once an update, before it, with its loss and gradient norm: whether it is to be made.

        Raises: TrainingError where the policy is to stop, or too many updates in a row were bad.
        """
        self.step_loss = 0.0
        why = self.guard.wrong(loss, norm)
        if why is None:
            self.losses.append(loss)
            self.grad_norm = norm
            return True
        step, policy = self.trainer.state.global_step + 1, self.settings.on_bad_step
        ways = "on_bad_step: skip leaves such updates out" if policy == "stop" else "a lower learning_rate may help"
        advice = f"Lower learning_rate, or look for broken examples; {ways}."
        if policy == "stop":
            raise TrainingError(f"The {why} at step {step}; the update was not made.", advice)
        self.left_out += self.guard.leave_out(step, why, self._roll_back() if policy == "rollback" else None)
        if self.guard.in_a_row >= self.settings.max_bad_steps:
            raise TrainingError(f"The {why} at step {step}, the last of {self.guard.in_a_row} bad updates in a row.", advice)
        return False

    def _roll_back(self) -> int:
        """Weights and optimizer as they were in the newest whole checkpoint; its step. Data and learning rate go on from here."""
        folder = checkpoints.newest(self.root)
        if folder is None:
            raise TrainingError(f"No checkpoint in {self.root} is whole; there is nothing to go back to.", "Run again.")
        checkpoints.load_model_tensors(self.trainer.model, checkpoints.read_tensors(folder, "model"))
        self.trainer.optimizer.state.clear()
        checkpoints.load_optimizer_tensors(
            self.trainer.model, self.trainer.optimizer, checkpoints.read_tensors(folder, "optimizer")
        )
        return int(checkpoints.read_document(folder, "run")["step"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.monotonic()
        if self.settings.on_bad_step == "rollback" and checkpoints.newest(self.root) is None:
            self.save()  # so that there is always something to go back to

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        last = state.global_step >= state.max_steps
        every = self.settings.eval_steps
        evaluate = bool(self.eval_examples) and (last or (every > 0 and state.global_step % every == 0))
        if last or evaluate or state.global_step % self.settings.log_steps == 0:
            self._record(state.global_step, evaluate)
        control.should_save = last or state.global_step % self._save_every(state.max_steps) == 0
        if self.progress is not None and devices.first():
            speed = self.speed()
            done = max(1, state.global_step - self.first_step)
            left = (time.monotonic() - self.started) / done * (state.max_steps - state.global_step)
            self.progress(state.global_step, state.max_steps, speed, self.losses[-1] if self.losses else self.last_loss, left)

    def _save_every(self, steps: int) -> int:
        """A training of few steps is saved too: one that is stopped loses an eighth of its steps at most."""
        return min(self.settings.save_steps, math.ceil(steps / 8))

    def _record(self, step: int, evaluate: bool) -> None:
        record = {"step": step, "tokens": self.tokens, "learning_rate": self.trainer.optimizer.param_groups[0]["lr"]}
        if self.losses:  # else every update since the last record was left out, and there is no loss to tell
            self.last_loss = sum(self.losses) / len(self.losses)
            record |= {"loss": self.last_loss, "grad_norm": self.grad_norm}
        if self.left_out:
            record["left_out"] = self.left_out
        self.losses, self.left_out = [], 0
        if evaluate:
            record["eval_loss"] = self.evaluate()
        if devices.first():
            with self.curve.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, sort_keys=True) + "\n")

    def evaluate(self) -> float | None:
        """The mean loss of a learned token of the evaluation examples, computed once a step; None without any."""
        step = self.trainer.state.global_step
        if not self.eval_examples:
            return None
        if self.evaluated is None or self.evaluated[0] != step:
            self.evaluated = (step, eval_loss(self.trainer.model, self.eval_examples, self.settings, self.pad_id))
        return self.evaluated[1]

    def save(self) -> None:
        """A checkpoint of this step; every process gives its part and the first one writes."""
        model, optimizer, step = self.trainer.model, self.trainer.optimizer, self.trainer.state.global_step
        generators, generator_document = checkpoints.random_state()
        tensors = {
            "model": devices.gathered(checkpoints.model_tensors(model)),
            "optimizer": devices.gathered(checkpoints.optimizer_tensors(model, optimizer)),
            "random": generators,
        }
        if not devices.first():
            return
        records = len(self.curve.read_text(encoding="utf-8").splitlines())
        run = {
            "step": step, "tokens": self.tokens, "last_loss": self.last_loss, "losses": self.losses,
            "records": records, "fingerprint": self.fingerprint, "left_out": self.left_out, "guard": self.guard.state(),
        }  # fmt: skip
        scheduler = {key: value for key, value in self.trainer.lr_scheduler.state_dict().items() if key != "lr_lambdas"}
        documents = {
            "run": run,
            "scheduler": scheduler | {"lr_lambdas": [None] * len(optimizer.param_groups)},
            "random": generator_document,
            "trainer_state": dataclasses.asdict(self.trainer.state) | {"log_history": []},
        }
        checkpoints.save(self.root, step, tensors, documents)
        checkpoints.prune(self.root, keep=2)

    def speed(self) -> float:
        """Tokens a second since this process began to train."""
        return (self.tokens - self.first_tokens) / max(time.monotonic() - self.started, 1e-9)


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
