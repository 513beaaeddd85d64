"""Training on packed rows: transformers' Trainer with honest data, loss, stops and checkpoints.

The one idea: the whole training is one fixed sequence of rows, a pure function of (examples, order, seed, epoch). A checkpoint is
a place in that sequence plus every tensor that an update reads, so a training killed anywhere ends in the same bits.

>>> from hala.training.trainer import TrainSettings, train
>>> result = train(model, tokenizer, examples, TrainSettings(epochs=1), out_dir)  # doctest: +SKIP
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler, SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainerState, TrainingArguments

from hala.errors import InputError
from hala.training import checkpoints, devices, lora
from hala.training.examples import IGNORED, Example
from hala.training.loss import check_known, loss_as_forward
from hala.training.optimizers import MuonAdamW, parameter_groups
from hala.training.packing import Packing, collate
from hala.training.rows import PackedRows
from hala.training.settings import TrainSettings, choose_precision, knobs, lr_scale
from hala.training.short_conv import leak_free
from hala.training.watch import Progress, Report, Watch, pad_of

__all__ = ["PackedTrainer", "Progress", "TrainResult", "TrainSettings", "train"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The trained model (float32 masters) and what happened.

    `loss` is that of the last record, `tokens` counts those of all examples seen, `trained` the parameters that were trained,
    `left_out` the updates that were not made or were undone; `bad_steps` says why. With early stop the weights are those of
    `best_step`.
    """

    model: PreTrainedModel
    steps: int
    tokens: int
    loss: float
    eval_loss: float | None
    precision: str
    trained: int
    packing: Packing
    left_out: int
    bad_steps: tuple[dict[str, Any], ...]
    best_step: int | None
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
    report: Report | None = None,
) -> TrainResult:
    """The model trained in place on `examples`, continued from the newest whole checkpoint in `out_dir/checkpoints`.

    With `settings.lora` the adapters are left in it: `lora.save_adapter` writes them, `lora.merge` makes a plain model of it.
    `out_dir/curve.jsonl` gets the learning curve: step, tokens, loss, learning_rate, grad_norm and, when measured, eval_loss;
    `report` gets each of its records too.
    Raises: InputError for unusable examples, DriftError when the checkpoints are of another training, TrainingError when an
    update is bad (loss or gradient not finite, or a spike) and the settings say stop, or too many in a row are.
    """
    rows = PackedRows(examples, settings)
    if settings.lora is not None:
        lora.attach(model, settings.lora, settings.seed)
    else:
        model.float()  # float32 masters: a bfloat16 weight cannot take a small step
    if devices.first():
        check_known(model)
    out_dir.mkdir(parents=True, exist_ok=True)
    arguments = _arguments(settings, out_dir, rows)
    precision = choose_precision(settings.precision, arguments.device)
    with leak_free(model), _compiled_layers(model, settings.compile), loss_as_forward(model, precision):
        trainer = PackedTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=functools.partial(collate, row_length=rows.width, pad_id=pad_of(tokenizer)),
        )
        devices.check_split(trainer.accelerator, settings.shard)
        trainer.remove_callback(PrinterCallback)
        run = Watch(trainer, settings, out_dir, progress, eval_examples or (), tokenizer, report)
        resumed = run.begin(_fingerprint(examples, settings, model))
        if resumed and run.stopped:  # early, so the trainer would go on
            trainer.take_up(resumed)
        else:
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        eval_loss = run.finish()
    return TrainResult(
        model=devices.whole(model),
        steps=trainer.state.global_step,
        tokens=run.tokens,
        loss=run.last_loss,
        eval_loss=eval_loss,
        precision=precision,
        trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        packing=rows.packing,
        left_out=run.guard.left_out,
        bad_steps=tuple(run.guard.events),
        best_step=run.best.step if run.best.weights else None,
        resumed_from=run.first_step,
        tokens_per_second=run.speed(),
    )


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Trainer over rows in their given order, with our loss, optimizer and checkpoints; `run` watches every step."""

    run: Watch
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
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.run.saw_loss(float(loss))
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        norm = float(super()._get_grad_norm(model, grad_norm))
        loss = self.run.step_loss
        if self.args.world_size > 1:  # each process has its own part; all must judge alike
            loss = float(self.accelerator.reduce(torch.tensor(loss, device=self.args.device), "mean"))
        if not self.run.allows(loss, norm):
            model.zero_grad(set_to_none=True)  # the optimizer passes over what has no gradient, moments and all
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
        self.run.save()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        checkpoints.load_model_tensors(self.model, checkpoints.read_tensors(Path(resume_from_checkpoint), "model"))

    def take_up(self, folder: Path) -> None:
        """The state of a checkpoint, without training on."""
        self._load_from_checkpoint(str(folder))
        self.state = TrainerState.load_from_json(str(folder / "trainer_state.json"))
        self.run.restore(folder)

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


@contextmanager
def _compiled_layers(model: PreTrainedModel, wanted: bool) -> Iterator[None]:
    """While it lasts, every decoder layer runs compiled; rows have one length, so each is compiled once."""
    layers = list(getattr(model.get_decoder(), "layers", ())) if wanted else []
    if wanted and not layers:
        raise InputError(f"{type(model).__name__} has no list of layers to compile.", "Leave `compile` out.")
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
        **devices.arguments(settings.shard),
    )
    if arguments.n_gpu > 1:  # several visible GPUs and no torchrun: DataParallel would split packed rows from their masks
        arguments._n_gpu = 1
    world = devices.count()
    if settings.shard and world > 1 and (settings.lora is not None or settings.optimizer == "muon"):
        raise InputError(
            "Only AdamW over all weights can be split over processes.", "Leave out `shard`: adapters and Muon are small."
        )
    per_device, over = divmod(rows.rows_per_step, world)
    mean = sum(rows.lengths) / len(rows.lengths)
    if over:
        raise InputError(
            f"An update of {rows.rows_per_step} rows{f' of {settings.row_length} tokens' * settings.packing} cannot be shared by"
            f" {world} processes.",
            f"Set batch_tokens to a multiple of {world * settings.row_length:,}."
            if settings.packing
            else f"It would be a multiple of {world} with other batch_tokens; now an example has {mean:.0f} tokens on average.",
        )
    micro = rows.rows_in_pass(world)
    arguments.per_device_train_batch_size = micro
    arguments.gradient_accumulation_steps = per_device // micro
    if world > 1:
        rows.share(micro * world)
    arguments.max_steps = math.ceil(rows.total / (per_device * world))
    return arguments


def _fingerprint(examples: Sequence[Example], settings: TrainSettings, model: PreTrainedModel) -> str:
    """Of what decides the result: the tokens in order, the settings, and the model's shape and a sample of its first weights."""
    own = ("save_steps", "micro_tokens", "gradient_checkpointing", "compile", "shard")
    decides = {name: value for name, value in knobs(settings).items() if name not in own}
    if settings.on_bad_step == "rollback":  # where checkpoints stand decides what a rollback undoes
        decides["save_steps"] = settings.save_steps
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    digest.update(type(model).__name__.encode())
    for name, tensor in checkpoints.model_tensors(model, frozen=True).items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        # Values, not a sum: those are the same bits whatever the number of threads.
        sample = tensor.detach().flatten()[:: max(1, tensor.numel() // 64)]
        digest.update(sample.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for example in examples:
        digest.update(example.input_ids.tobytes())
        digest.update(example.labels.tobytes())
    return digest.hexdigest()
