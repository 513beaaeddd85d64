"""Training on packed rows: transformers' Trainer with honest data, loss, stops and checkpoints.

The one idea: the whole training is one fixed sequence of rows, a pure function of (examples, seed, epoch). A checkpoint is a
place in that sequence plus every tensor that an update reads, so a training killed anywhere ends in the same bits.

>>> from hala.training.trainer import TrainSettings, train
>>> result = train(model, tokenizer, examples, TrainSettings(epochs=1), out_dir)  # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from hala.errors import DriftError, HalaError, InputError
from hala.training import checkpoints
from hala.training.examples import IGNORED, Example
from hala.training.loss import packed_loss
from hala.training.optimizers import MuonAdamW, parameter_groups
from hala.training.packing import Packing, collate, measure, pack
from hala.training.short_conv import leak_free

Progress = Callable[[int, int, float, float, float], None]
"""progress(step, total, tokens_per_s, loss, seconds_left)."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Every knob of a training. Lengths and batches count tokens, fractions are of all steps."""

    epochs: float = 1.0
    max_steps: int = 0
    """Updates in all; 0 lets `epochs` decide."""
    row_length: int = 512
    """Tokens a packed row holds; no example may be longer."""
    batch_tokens: int = 8192
    """Tokens an update sees, over all devices."""
    micro_tokens: int = 4096
    """Tokens of one forward pass on one device: memory, not results."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 2e-5
    muon_learning_rate: float = 0.02
    schedule: Literal["cosine", "wsd", "linear", "constant"] = "cosine"
    warmup: float = 0.03
    decay: float = 0.2
    """The last fraction, over which `wsd` falls."""
    min_lr: float = 0.1
    """The final learning rate as a fraction of the highest."""
    weight_decay: float = 0.01
    beta2: float = 0.95
    max_grad_norm: float = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; weights, sums and the loss stay float32."""
    gradient_checkpointing: bool = False
    compile: bool = False
    """Fuse each layer with torch.compile: needs a C++ compiler, costs half a minute, then a step takes a fifth less."""
    seed: int = 0
    log_steps: int = 10
    eval_steps: int = 0
    """0 evaluates at the end only."""
    save_steps: int = 200


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The trained model (float32) and what happened: `loss` is that of the last record, `tokens` counts all positions seen."""

    model: PreTrainedModel
    steps: int
    tokens: int
    loss: float
    eval_loss: float | None
    precision: str
    packing: Packing
    resumed_from: int
    tokens_per_second: float


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    settings: TrainSettings,
    out_dir: Path,
    progress: Progress | None = None,
    eval_examples: Sequence[Example] | None = None,
) -> TrainResult:
    """The model trained in place on `examples`, continued from the newest whole checkpoint in `out_dir/checkpoints`.

    `out_dir/curve.jsonl` gets the learning curve: step, tokens, loss, learning_rate, grad_norm and, when measured, eval_loss.
    Raises: InputError for unusable examples, DriftError when the checkpoints are of another training, HalaError when the loss
    or the gradient stops being finite (before the update that would spread it).
    """
    rows = PackedRows(examples, settings)
    model.float()  # float32 masters: a bfloat16 weight cannot take a small step
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    out_dir.mkdir(parents=True, exist_ok=True)
    arguments = _arguments(settings, out_dir, rows)
    precision = choose_precision(settings.precision, arguments.device)
    with leak_free(model), _compiled_layers(model, settings.compile), _loss_as_forward(model, precision):
        trainer = PackedTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=functools.partial(collate, row_length=settings.row_length, pad_id=pad_id),
        )
        trainer.remove_callback(PrinterCallback)
        run = _Run(trainer, settings, out_dir, progress, eval_examples or (), pad_id)
        resumed = run.begin(_fingerprint(examples, settings, model))
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        eval_loss = run.evaluate()
    return TrainResult(
        model=model,
        steps=trainer.state.global_step,
        tokens=run.tokens,
        loss=run.last_loss,
        eval_loss=eval_loss,
        precision=precision,
        packing=rows.packing,
        resumed_from=run.first_step,
        tokens_per_second=run.speed(),
    )


class PackedRows(Dataset[list[Example]]):
    """All rows of the training in order; row i belongs to epoch i // rows_per_epoch, whose order is seeded by (seed, epoch)."""

    def __init__(self, examples: Sequence[Example], settings: TrainSettings) -> None:
        if not any((example.labels != IGNORED).any() for example in examples):
            raise InputError("No token of the examples is learned.", "Check the task, the roles and the chat template.")
        if settings.batch_tokens < settings.row_length:
            raise InputError(
                f"An update of {settings.batch_tokens} tokens cannot hold a row of {settings.row_length}.",
                "Raise batch_tokens or lower row_length.",
            )
        self.examples = examples
        self.settings = settings
        self.lengths = [len(example) for example in examples]
        self.epoch = 0
        self.rows = self._pack(0)
        self.packing = measure(self.lengths, self.rows, settings.row_length)
        self.rows_per_step = settings.batch_tokens // settings.row_length
        wanted = settings.max_steps * self.rows_per_step or math.ceil(len(self.rows) * settings.epochs)
        self.total = max(1, wanted)

    def _pack(self, epoch: int) -> list[list[int]]:
        return pack(self.lengths, self.settings.row_length, seed=(self.settings.seed, epoch))

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, index: int) -> list[Example]:
        epoch, place = divmod(index, len(self.rows))
        if epoch != self.epoch:
            self.epoch, self.rows = epoch, self._pack(epoch)
        return [self.examples[i] for i in self.rows[place]]


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Trainer over rows in their given order, with our loss, optimizer and checkpoints; `run` watches every step."""

    run: _Run
    optimizer: Any
    lr_scheduler: Any

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device) -> torch.Tensor:
        count = torch.stack([(batch["labels"][:, 1:] != IGNORED).sum() for batch in batch_samples]).sum().to(device)
        gathered: torch.Tensor = self.accelerator.gather(count).sum() if self.args.world_size > 1 else count
        return gathered

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The mean over all learned tokens of the update, whichever micro batch and device they are in."""
        loss = model(**inputs) / num_items_in_batch.clamp(min=1)
        return loss * self.accelerator.num_processes  # gradients are averaged over processes

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.model_accepts_loss_kwargs = True  # the loss is already normalised over the update
        tokens = inputs["input_ids"].numel() * self.args.world_size
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.run.saw_loss(float(loss), tokens)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        norm = float(super()._get_grad_norm(model, grad_norm))
        self.run.saw_gradient(norm)
        return norm

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW, with Muon for hidden matrices when asked."""
        if self.optimizer is None:
            settings = self.run.settings
            groups = parameter_groups(model if model is not None else self.model, settings)
            self.optimizer = MuonAdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate as a function of the step alone."""
        if self.lr_scheduler is None:
            scale = functools.partial(lr_scale, total=num_training_steps, settings=self.run.settings)
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, scale)
        return self.lr_scheduler

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it walks all parameters on every step."""
        return 0

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        if self.args.should_save:
            self.run.save()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        checkpoints.load_model_tensors(self.model, checkpoints.read_tensors(Path(resume_from_checkpoint), "model"))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            folder = Path(checkpoint)
            state = checkpoints.read_tensors(folder, "optimizer")
            checkpoints.load_optimizer_tensors(self.model, self.optimizer, state)
            self.lr_scheduler.load_state_dict(checkpoints.read_document(folder, "scheduler"))
            for group, lr in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
                group["lr"] = lr

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            folder = Path(checkpoint)
            checkpoints.restore_random_state(
                checkpoints.read_tensors(folder, "random"), checkpoints.read_document(folder, "random")
            )


class _Run(TrainerCallback):  # type: ignore[misc]
    """What one training remembers beyond Trainer: the curve, the guard against NaN, progress, and our checkpoints."""

    def __init__(
        self,
        trainer: PackedTrainer,
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
        self.losses: list[float] = []  # of the steps since the last record
        self.evaluated: tuple[int, float] | None = None
        self.fingerprint = ""
        self.started = time.monotonic()
        trainer.run = self
        trainer.add_callback(self)

    def begin(self, fingerprint: str) -> Path | None:
        """The checkpoint to resume from, with the curve cut back to it."""
        self.fingerprint = fingerprint
        folder = checkpoints.newest(self.root)
        if folder is None:
            self.curve.write_text("", encoding="utf-8")
            return None
        state = checkpoints.read_document(folder, "run")
        if state["fingerprint"] != fingerprint:
            raise DriftError(
                f"The checkpoints in {self.root} are of other examples, settings or weights.",
                "Use a new output folder, or delete them.",
            )
        self.tokens, self.first_step, self.last_loss = state["tokens"], state["step"], state["last_loss"]
        self.losses, self.first_tokens = state["losses"], state["tokens"]
        lines = self.curve.read_text(encoding="utf-8").splitlines(keepends=True) if self.curve.exists() else []
        self.curve.write_text("".join(lines[: state["records"]]), encoding="utf-8")
        return folder

    def saw_loss(self, loss: float, tokens: int) -> None:
        """Called for every micro batch, before the update."""
        if not math.isfinite(loss):
            self._stop("loss", loss)
        self.step_loss += loss
        self.tokens += tokens

    def saw_gradient(self, norm: float) -> None:
        """Called once an update, before it."""
        if not math.isfinite(norm):
            self._stop("gradient norm", norm)
        self.grad_norm = norm

    def _stop(self, what: str, value: float) -> None:
        step = self.trainer.state.global_step + 1
        raise HalaError(
            f"The {what} is {value} at step {step}; the update was not made.",
            "Lower learning_rate, or look for broken examples; the same command continues from the last checkpoint.",
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.losses.append(self.step_loss)
        self.step_loss = 0.0
        last = state.global_step >= state.max_steps
        every = self.settings.eval_steps
        evaluate = bool(self.eval_examples) and (last or (every > 0 and state.global_step % every == 0))
        if last or evaluate or state.global_step % self.settings.log_steps == 0:
            self._record(state.global_step, evaluate)
        control.should_save = last or state.global_step % self.settings.save_steps == 0
        if self.progress is not None:
            speed = self.speed()
            done = max(1, state.global_step - self.first_step)
            left = (time.monotonic() - self.started) / done * (state.max_steps - state.global_step)
            self.progress(state.global_step, state.max_steps, speed, self.losses[-1] if self.losses else self.last_loss, left)

    def _record(self, step: int, evaluate: bool) -> None:
        self.last_loss = sum(self.losses) / len(self.losses)
        self.losses = []
        record = {
            "step": step,
            "tokens": self.tokens,
            "loss": self.last_loss,
            "learning_rate": self.trainer.optimizer.param_groups[0]["lr"],
            "grad_norm": self.grad_norm,
        }
        if evaluate:
            record["eval_loss"] = self.evaluate()
        if self.trainer.is_world_process_zero():
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
        """A checkpoint of this step."""
        model, optimizer, step = self.trainer.model, self.trainer.optimizer, self.trainer.state.global_step
        generators, generator_document = checkpoints.random_state()
        records = len(self.curve.read_text(encoding="utf-8").splitlines())
        run = {
            "step": step, "tokens": self.tokens, "last_loss": self.last_loss, "losses": self.losses,
            "records": records, "fingerprint": self.fingerprint,
        }  # fmt: skip
        scheduler = {key: value for key, value in self.trainer.lr_scheduler.state_dict().items() if key != "lr_lambdas"}
        tensors = {
            "model": checkpoints.model_tensors(model),
            "optimizer": checkpoints.optimizer_tensors(model, optimizer),
            "random": generators,
        }
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


def lr_scale(step: int, total: int, settings: TrainSettings) -> float:
    """The learning rate at `step` of `total` as a fraction of the highest, in (0, 1]."""
    warm = max(1, round(settings.warmup * total))
    if step < warm:
        return (step + 1) / warm
    floor = settings.min_lr
    through = min(1.0, (step - warm) / max(1, total - warm))
    if settings.schedule == "cosine":
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * through))
    if settings.schedule == "linear":
        return floor + (1 - floor) * (1 - through)
    if settings.schedule == "wsd":
        start = 1 - settings.decay
        return 1.0 if through < start else floor + (1 - floor) * (1 - through) / max(settings.decay, 1e-9)
    return 1.0


def choose_precision(wanted: str, device: torch.device) -> str:
    """`bfloat16` only where the hardware multiplies in it, else `float32`: emulated bfloat16 is slower and less exact."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        native = bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    else:
        native = False
    return "bfloat16" if native else "float32"


@torch.no_grad()
def eval_loss(model: PreTrainedModel, examples: Sequence[Example], settings: TrainSettings, pad_id: int) -> float:
    """The mean cross-entropy of a learned token, in nats; the model is left in the mode it came in."""
    was_training = model.training
    model.eval()
    rows = pack([len(example) for example in examples], settings.row_length, seed=0)
    per_batch = max(1, settings.micro_tokens // settings.row_length)
    total, count = 0.0, 0
    with leak_free(model), _precision(choose_precision(settings.precision, model.device), model.device.type):
        for start in range(0, len(rows), per_batch):
            batch = collate([[examples[i] for i in row] for row in rows[start : start + per_batch]], settings.row_length, pad_id)
            loss, learned = packed_loss(model, {name: tensor.to(model.device) for name, tensor in batch.items()})
            total, count = total + float(loss), count + int(learned)
    model.train(was_training)
    return total / max(1, count)


def _precision(precision: str, device: str) -> torch.autocast:
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _loss_as_forward(model: PreTrainedModel, precision: str) -> Iterator[None]:
    """While it lasts, calling the model returns the summed loss: so wrappers (DDP) see one ordinary forward."""

    def forward(**batch: torch.Tensor) -> torch.Tensor:
        with _precision(precision, batch["input_ids"].device.type):
            return packed_loss(model, batch)[0]

    model.forward = forward
    try:
        yield
    finally:
        del model.forward


@contextmanager
def _compiled_layers(model: PreTrainedModel, wanted: bool) -> Iterator[None]:
    """While it lasts, every decoder layer runs compiled; rows have one length, so each is compiled once."""
    layers = list(model.get_decoder().layers) if wanted else []
    for layer in layers:
        layer.forward = torch.compile(layer.forward, dynamic=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _arguments(settings: TrainSettings, out_dir: Path, rows: PackedRows) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(out_dir),
        max_grad_norm=settings.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        seed=settings.seed,
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    if arguments.n_gpu > 1:  # several visible GPUs and no torchrun: DataParallel would split packed rows from their masks
        arguments._n_gpu = 1
    world = max(1, arguments.world_size)
    per_device = max(1, rows.rows_per_step // world)
    micro = min(per_device, max(1, settings.micro_tokens // settings.row_length))
    while per_device % micro:  # so that an update is always the same number of rows
        micro -= 1
    arguments.per_device_train_batch_size = micro
    arguments.gradient_accumulation_steps = per_device // micro
    arguments.max_steps = math.ceil(rows.total / (per_device * world))
    return arguments


def _fingerprint(examples: Sequence[Example], settings: TrainSettings, model: PreTrainedModel) -> str:
    """Of everything that decides the result: the tokens in order, the settings, the shape and start of the model."""
    knobs = {k: v for k, v in dataclasses.asdict(settings).items() if k not in ("save_steps", "micro_tokens", "compile")}
    digest = hashlib.sha256(json.dumps(knobs, sort_keys=True).encode())
    digest.update(type(model).__name__.encode())
    for name, tensor in checkpoints.model_tensors(model).items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
    for example in examples:
        digest.update(example.input_ids.tobytes())
        digest.update(example.labels.tobytes())
    return digest.hexdigest()
