"""tune: rows train a checkpoint, from an existing one or from random weights, as chat, as translator or on running text."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from hala.data.pairs import training_pairs
from hala.data.prompts import for_languages
from hala.data.rows import Collected, open_all
from hala.errors import InputError
from hala.recipe import Data, New, Tune
from hala.records import Row
from hala.verbs import Context, Outcome

if TYPE_CHECKING:
    from hala.training.examples import Examples, Form
    from hala.training.trainer import TrainResult, TrainSettings

MICRO_TOKENS = 4096


def run(settings: Tune, context: Context) -> Outcome:
    """Size, losses and speed of the checkpoint in `context.out`; its learning curve is `curve.jsonl` there."""
    from hala.training import lora
    from hala.training.examples import make_examples
    from hala.training.trainer import train
    from hala.weights.loading import save_model

    if settings.lora is not None:
        lora.require()
    counts, bad, licences = Counter[str](), Collected(), set[str]()
    context.progress.say("    reading rows")
    rows: Iterable[Row] = _noting(training_rows(settings, settings.data, context, counts, bad), licences)
    if settings.new is not None and not settings.new.tokenizer:
        rows = list(rows)  # read twice: for the tokenizer, then for the examples; else rows only pass through
    model, tokenizer = _start(settings, rows, context)
    form = form_of(settings, context)
    made = make_examples(rows, tokenizer, form)
    _check(made, counts, context)
    counts["malformed"] = bad.count
    checks = _eval_examples(settings, context, counts, bad, lambda rows: make_examples(rows, tokenizer, form))
    bad.write(context.out)

    def show(step: int, total: int, rate: float, loss: float, _: float) -> None:
        context.progress.update(step, total, "steps", f"loss {loss:.3f}, {rate:,.0f} tokens/s")

    limits = _train_settings(settings)
    result = train(model, tokenizer, made.examples, limits, context.scratch, show, checks.examples or None)
    shutil.copyfile(context.scratch / "curve.jsonl", context.out / "curve.jsonl")
    if settings.lora is not None:
        lora.save_adapter(result.model, context.out / "adapter", None if settings.base.startswith("$") else settings.base)
        lora.merge(result.model)
    save_model(result.model, tokenizer, context.out, settings.save_dtype, _about(settings, licences, context))
    return _outcome(settings, result, made, counts)


def training_rows(settings: Tune, datas: Iterable[Data], context: Context, counts: Counter[str], bad: Collected) -> Iterator[Row]:
    """Rows as they are, or segment pairs for a translator; everything left out is counted."""
    for row in open_all(tuple(datas), context.inputs, bad):
        counts["rows"] += 1
        if settings.task != "translation":
            yield row
            continue
        for pair, verdict in training_pairs(row, settings.mask):
            counts["pairs"] += 1
            if verdict.kept:
                yield pair
            else:
                counts[f"rejected/{verdict.reason}"] += 1


def _noting(rows: Iterable[Row], licences: set[str]) -> Iterator[Row]:
    for row in rows:
        licences.add(row.licence or "unknown")
        yield row


def _eval_examples(
    settings: Tune, context: Context, counts: Counter[str], bad: Collected, make: Callable[[Iterable[Row]], Examples]
) -> Examples:
    """Examples of the rows to check on; what they lost is counted apart: `eval_malformed` and `eval_rejected`."""
    own, own_bad = Counter[str](), Collected()
    made = make(islice(training_rows(settings, settings.eval_data, context, own, own_bad), settings.eval_rows))
    for each in own_bad:
        bad.store(each)
    if settings.eval_data:
        lost = sum(number for key, number in own.items() if key.startswith("rejected/"))
        counts.update(eval_malformed=own_bad.count, eval_rejected=lost + len(made.rejected))
    return made


def _start(settings: Tune, rows: Iterable[Row], context: Context) -> tuple[Any, Any]:
    """(model, tokenizer) to train: a checkpoint's, or new ones."""
    from hala.weights.loading import load_model, load_tokenizer, new_lfm2

    if settings.new is None:
        dtype = settings.lora.base_dtype if settings.lora else "float32"
        return load_model(context.locate(settings.base), dtype, revision=settings.revision)
    new = settings.new
    if new.tokenizer:
        tokenizer = load_tokenizer(context.locate(new.tokenizer))
    else:
        from hala.training.tokenizer import train_tokenizer

        context.progress.say(f"    training a tokenizer of {new.vocab_size:,} entries")
        tokenizer = train_tokenizer(_texts(rows), new.vocab_size, max_length=new.max_positions)
    return new_lfm2(seed=settings.seed, **_shape(new, tokenizer)), tokenizer


def _shape(new: New, tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": new.hidden_size,
        "num_layers": new.layers,
        "attention_every": new.attention_every,
        "ff_size": new.ff_size,
        "num_heads": new.heads,
        "kv_heads": new.kv_heads,
        "max_positions": new.max_positions,
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "pad": tokenizer.pad_token_id,
    }


def _texts(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        for message in (*row.messages, *(row.original or ())):
            yield message.content


def _prompt(settings: Tune, context: Context) -> str:
    return for_languages(settings.prompt or "default", context.languages.target, context.languages.source)


def form_of(settings: Tune, context: Context) -> Form:
    """How rows are written for the model."""
    from hala.training.examples import Form

    return Form(settings.task, _prompt(settings, context), settings.max_length, settings.too_long, settings.train_newline)


def _check(made: Examples, counts: Counter[str], context: Context) -> None:
    """Counts what became no example; raises InputError when nothing is left to learn from."""
    counts["examples"] = len(made.examples)
    counts["split"] = len(made.split)
    counts.update({f"rejected/{reason}": number for reason, number in made.counts.items()})
    if not made.examples:
        reasons = ", ".join(f"{key.partition('/')[2]} {value}" for key, value in counts.items() if "/" in key) or "no rows"
        raise InputError(
            f"step {context.step} has nothing to learn from: {counts['rows']} rows read, {reasons}.", "Check `data` and `task`."
        )


def _train_settings(settings: Tune) -> TrainSettings:
    from hala.training.trainer import TrainSettings

    same = (
        "optimizer",
        "learning_rate",
        "muon_learning_rate",
        "schedule",
        "warmup",
        "weight_decay",
        "beta2",
        "epochs",
        "precision",
        "order",
        "lora",
    )
    return TrainSettings(
        **{name: getattr(settings, name) for name in (*same, "batch_tokens", "seed", "save_steps", "eval_steps")},
        max_steps=settings.max_steps or 0,
        max_grad_norm=settings.clip,
        gradient_checkpointing=settings.gradient_checkpointing,
        row_length=settings.max_length,
        micro_tokens=settings.micro_tokens or max(settings.max_length, min(settings.batch_tokens, MICRO_TOKENS)),
    )


def _about(settings: Tune, licences: set[str], context: Context) -> dict[str, Any]:
    """hala.json: what the checkpoint is for, and the licences of what it learned from."""
    about: dict[str, Any] = {"task": settings.task, "data_licences": sorted(licences)}
    if settings.task == "translation":
        about |= {"prompt": _prompt(settings, context), "source": context.languages.source, "target": context.languages.target}
    return about


def _outcome(settings: Tune, result: TrainResult, made: Examples, counts: Counter[str]) -> Outcome:
    tokens, trained = made.tokens
    facts = {
        "task": settings.task,
        "parameters": sum(parameter.numel() for parameter in result.model.parameters()),
        "trained_parameters": result.trained,
        "epoch_tokens": tokens,
        "epoch_trained_tokens": trained,
        "train_tokens": result.tokens,
        "steps": result.steps,
        "final_loss": result.loss,
        "eval_loss": result.eval_loss,
        "precision": result.precision,
        "optimizer": settings.optimizer,
        "packing_fill": result.packing.fill,
    }
    return Outcome(counts=dict(counts), facts=facts, timings={"tokens_per_s": result.tokens_per_second})
