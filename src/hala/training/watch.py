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

from transformers import TrainerCallback

from hala.errors import DriftError, TrainingError
from hala.training import checkpoints, devices
from hala.training.average import Average, put
from hala.training.evaluation import Best, answers, eval_loss
from hala.training.examples import Example
from hala.training.guard import Guard
from hala.training.settings import TrainSettings

Progress = Callable[[int, int, float, float, float], None]
"""progress(step, total, tokens_per_s, loss, seconds_left)."""
Report = Callable[[dict[str, Any]], None]
"""report(record) for every record of the learning curve."""


class Watch(TrainerCallback):  # type: ignore[misc]
    """What one training remembers beyond Trainer: the curve, the guard against NaN, progress, and our checkpoints."""

    def __init__(
        self,
        trainer: Any,
        settings: TrainSettings,
        out_dir: Path,
        progress: Progress | None,
        eval_examples: Sequence[Example],
        tokenizer: Any,
        report: Report | None = None,
    ) -> None:
        self.trainer, self.settings, self.progress = trainer, settings, progress
        self.report = report
        self.curve, self.samples = out_dir / "curve.jsonl", out_dir / "samples.jsonl"
        self.root = out_dir / "checkpoints"
        self.eval_examples, self.tokenizer = eval_examples, tokenizer
        self.tokens = self.first_step = self.first_tokens = 0
        self.step_loss = self.grad_norm = self.last_loss = 0.0
        self.losses: list[float] = []  # of the good steps since the last record
        self.left_out = 0  # updates since the last record
        self.guard = Guard(settings.spike, settings.spike_window)
        self.average = Average(settings.average, settings.average_decay, settings.average_last)
        self.best = Best(settings.patience)
        self.made = False  # whether the last update was
        self.stopped = False  # early
        self.resumed: Path | None = None
        self.evaluated: tuple[int, float] | None = None
        self.fingerprint = ""
        self.started = time.monotonic()
        trainer.run = self
        trainer.add_callback(self)

    def begin(self, fingerprint: str) -> Path | None:
        """The checkpoint to resume from, with curve and samples cut back to it."""
        self.fingerprint = fingerprint
        self.resumed = folder = devices.agreed(checkpoints.newest(self.root) if devices.first() else None)
        if folder is None:
            self._cut(self.curve, 0)
            self._cut(self.samples, 0)
            return None
        state = checkpoints.read_document(folder, "run")
        if state["fingerprint"] != fingerprint:
            raise DriftError(
                f"The checkpoints in {self.root} are of other examples, settings or weights.",
                "Use a new output folder, or delete them.",
            )
        self.tokens, self.first_step, self.last_loss = state["tokens"], state["step"], state["last_loss"]
        self.losses, self.left_out, self.first_tokens = state["losses"], state["left_out"], state["tokens"]
        self.grad_norm = state["grad_norm"]
        self.guard.restore(state["guard"])
        self.average.count, self.stopped = state["averaged"], state["stopped"]
        self.best.restore(state["best"])
        self._cut(self.curve, state["records"])
        self._cut(self.samples, state["samples"])
        return folder

    def _cut(self, path: Path, records: int) -> None:
        if devices.first() and (path == self.curve or path.exists()):
            path.write_text("".join(_lines(path)[:records]), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Averaged and best weights as the checkpoint holds them."""
        held = checkpoints.tensor_names(folder)
        if "average" in held:
            self.average.restore(self.trainer.model, checkpoints.read_tensors(folder, "average"), self.average.count)
        if "best" in held:
            self.best.weights = checkpoints.read_tensors(folder, "best")

    def saw_loss(self, loss: float) -> None:
        """Called for every micro batch, before the update."""
        self.step_loss += loss

    def allows(self, loss: float, norm: float) -> bool:
        """Called once an update, before it, with its loss and gradient norm: whether it is to be made.

        Raises: TrainingError where the policy is to stop, or too many updates in a row were bad.
        """
        self.step_loss = 0.0
        why = self.guard.wrong(loss, norm)
        self.made = why is None
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
        folder = devices.agreed(checkpoints.newest(self.root) if devices.first() else None)
        if folder is None:
            raise TrainingError(f"No checkpoint in {self.root} is whole; there is nothing to go back to.", "Run again.")
        checkpoints.load_model_tensors(self.trainer.model, checkpoints.read_tensors(folder, "model"))
        self.trainer.optimizer.state.clear()
        checkpoints.load_optimizer_tensors(
            self.trainer.model, self.trainer.optimizer, checkpoints.read_tensors(folder, "optimizer")
        )
        state = checkpoints.read_document(folder, "run")
        if self.average.started:
            tensors = checkpoints.read_tensors(folder, "average") if "average" in checkpoints.tensor_names(folder) else {}
            self.average.restore(self.trainer.model, tensors, state["averaged"])
        return int(state["step"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.monotonic()
        if self.resumed is not None:
            self.restore(self.resumed)
            return
        self.average.begin(self.trainer.model)
        if self.settings.on_bad_step == "rollback":
            self.save()  # so that there is always something to go back to

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        last = state.global_step >= state.max_steps
        self.tokens = self.trainer.train_dataset.tokens_after(state.global_step)
        if self.made:
            self.average.update(self.trainer.model, state.max_steps - state.global_step)
        every = self.settings.eval_steps
        evaluate = bool(self.eval_examples) and (last or (every > 0 and state.global_step % every == 0))
        if last or evaluate or state.global_step % self.settings.log_steps == 0:
            self._record(state.global_step, evaluate)
        control.should_training_stop |= self.stopped
        control.should_save = last or self.stopped or state.global_step % self._save_every(state.max_steps) == 0
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
            self._sample(step)
        if devices.first():
            with self.curve.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, sort_keys=True) + "\n")
            if self.report is not None:
                self.report(record)

    def evaluate(self) -> float | None:
        """The mean loss of a learned token of the evaluation examples, computed once a step; None without any."""
        step = self.trainer.state.global_step
        if not self.eval_examples:
            return None
        if self.evaluated is None or self.evaluated[0] != step:
            model = self.trainer.model
            with self.average.in_place(model):
                loss = eval_loss(model, self.eval_examples, self.settings, pad_of(self.tokenizer))
                if not math.isfinite(loss):
                    raise TrainingError(
                        f"The held-out loss is {loss} at step {step}.", "Lower learning_rate, or look at eval_data."
                    )
                self.stopped = self.best.saw(model, step, loss)
            self.evaluated = (step, loss)
        return self.evaluated[1]

    def _sample(self, step: int) -> None:
        if not self.settings.samples:
            return
        model = self.trainer.model
        with self.average.in_place(model):
            found = answers(model, self.tokenizer, self.eval_examples, self.settings)
        if devices.first():
            with self.samples.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"step": step, **each}, ensure_ascii=False, sort_keys=True) + "\n" for each in found)

    def finish(self) -> float | None:
        """Leave the best weights in the model where early stop is on, else the average if there is one; their held-out loss."""
        if self.best.weights:
            put(self.trainer.model, self.best.weights)
            return self.best.loss
        loss = self.evaluate()
        if self.average.started:
            put(self.trainer.model, self.average.tensors)
        return loss

    def save(self) -> None:
        """A checkpoint of this step; every process gives its part and the first one writes."""
        model, optimizer, step = self.trainer.model, self.trainer.optimizer, self.trainer.state.global_step
        generators, generator_document = checkpoints.random_state()
        tensors = {
            "model": devices.gathered(checkpoints.model_tensors(model)),
            "optimizer": devices.gathered(checkpoints.optimizer_tensors(model, optimizer)),
            "random": generators,
        }
        for name, extra in (("average", self.average.tensors), ("best", self.best.weights)):
            if extra:
                tensors[name] = devices.gathered(extra)
        if not devices.first():
            return
        run = {
            "step": step, "tokens": self.tokens, "last_loss": self.last_loss, "losses": self.losses,
            "records": len(_lines(self.curve)), "samples": len(_lines(self.samples)), "fingerprint": self.fingerprint,
            "left_out": self.left_out, "guard": self.guard.state(), "averaged": self.average.count, "best": self.best.state(),
            "stopped": self.stopped, "grad_norm": self.grad_norm,
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


def pad_of(tokenizer: Any) -> int:
    """The token that fills rows; what it is makes no difference."""
    return int(tokenizer.pad_token_id or 0)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
