"""tune: rows train a checkpoint, from an existing one or from random weights, as chat, as translator or on running text."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.data.pairs import in_share, training_pairs, turned
from hala.data.prompts import for_languages
from hala.data.rows import Collected, open_all
from hala.errors import InputError, RecipeError
from hala.recipe import Data, Directions, New, Tune
from hala.records import Row
from hala.verbs import Context, Outcome, workers

if TYPE_CHECKING:
    from hala.training.examples import Example, Examples, Form
    from hala.training.trainer import TrainSettings

MICRO_TOKENS = 4096
FEW = 20  # updates


def run(settings: Tune, context: Context) -> Outcome:
    """Size, losses and speed of the checkpoint in `context.out`; its learning curve is `curve.jsonl` there."""
    from hala.training import lora, trackers
    from hala.training.examples import make_examples

    processes = int(os.environ.get(workers.PROCESSES, settings.processes))
    workers.check_devices(processes)
    if settings.lora is not None:
        lora.require()
    trackers.require(settings.trackers)
    counts, bad, licences = Counter[str](), Collected(), set[str]()
    context.progress.say("    reading rows")
    rows: Iterable[Row] = _noting(training_rows(settings, settings.data, context, counts, bad), licences)
    if settings.new is not None and not settings.new.tokenizer:
        rows = list(rows)  # read twice: for the tokenizer, then for the examples; else rows only pass through
    model, tokenizer = _start(settings, rows, context, alone=processes == 1)
    form = form_of(settings, context)
    check_length(settings, context)
    made = make_examples(rows, tokenizer, form)
    _check(made, counts, context)
    counts["malformed"] = bad.count
    checks = _eval_examples(settings, context, counts, bad, lambda rows: make_examples(rows, tokenizer, form))
    _say_updates(settings, made, context)
    bad.write(context.out)

    def show(step: int, total: int, rate: float, loss: float, _: float) -> None:
        context.progress.update(step, total, "steps", f"loss {loss:.3f}, {rate:,.0f} tokens/s")

    places = (context.out, context.scratch)
    about = _about(settings, licences, context)
    data = (made.examples, checks.examples)
    if processes == 1:
        facts = learn(settings, (model, tokenizer), data, places, about, show)
    else:
        start = (context.locate(settings.base), model, tokenizer)
        job = workers.write_job(settings, start, data, places, about)
        context.progress.say(f"    starting {processes} processes")
        facts = workers.run(job, processes, context.progress.say, show)
    for name in ("curve.jsonl", "samples.jsonl"):
        if (context.scratch / name).exists():
            shutil.copyfile(context.scratch / name, context.out / name)
    return _outcome(settings, facts, made, counts)


def learn(
    settings: Tune,
    start: tuple[Any, Any],
    data: tuple[list[Example], list[Example]],
    places: tuple[Path, Path],
    about: dict[str, Any],
    show: Callable[[int, int, float, float, float], None],
) -> dict[str, Any]:
    """Trains the model of `start` (model, tokenizer) on examples and checks, and writes the checkpoint; returns facts about both.

    `places` are the folder of the checkpoint and that of what a resume needs. Of several processes, all call this and the first
    one writes.
    """
    from hala.training import devices, lora, trackers
    from hala.training.settings import knobs
    from hala.training.trainer import train
    from hala.weights.loading import save_model

    (model, tokenizer), (examples, checks), (out, scratch) = start, data, places
    limits, named = _train_settings(settings), settings.trackers if int(os.environ.get("RANK", "0")) == 0 else ()
    name = out.name.removeprefix(".").removesuffix(".unfinished")  # of a step as a command, while it grows
    report, close = trackers.open_trackers(named, name, knobs(limits), out.parent)
    try:
        result = train(model, tokenizer, examples, limits, scratch, show, checks or None, report)
    finally:
        close()
    if devices.first():
        if settings.lora is not None:
            lora.save_adapter(result.model, out / "adapter", None if settings.base.startswith("$") else settings.base)
            lora.merge(result.model)
        save_model(result.model, tokenizer, out, settings.save_dtype, about)
    return {
        "parameters": sum(parameter.numel() for parameter in result.model.parameters()),
        "trained_parameters": result.trained,
        "train_tokens": result.tokens,
        "steps": result.steps,
        "final_loss": result.loss,
        "eval_loss": result.eval_loss,
        "best_step": result.best_step,
        "precision": result.precision,
        "packing_fill": result.packing.fill,
        "left_out": result.left_out,
        "bad_steps": list(result.bad_steps[:20]),
        "processes": devices.count(),
        "tokens_per_s": result.tokens_per_second,
    }


def training_rows(settings: Tune, datas: Iterable[Data], context: Context, counts: Counter[str], bad: Collected) -> Iterator[Row]:
    """Rows as they are, or segment pairs for a translator; everything left out is counted."""
    ways = settings.directions
    for row in open_all(tuple(datas), context.inputs, bad, context.languages):
        counts["rows"] += 1
        if settings.task != "translation":
            yield row
            continue
        if row.lang == context.languages.source:  # a translation the other way; learning it would teach the wrong side
            counts["pairs"] += 1
            counts["rejected/other_direction"] += 1
            continue
        for back, each in enumerate((row, turned(row, context.languages.source)) if ways.backward else (row,)):
            for pair, verdict in training_pairs(each, settings.mask):
                name = pair.id.replace("/back/", "/", 1) if back else pair.id
                if not in_share(name, ways.forward, ways.backward)[back]:
                    continue
                counts["pairs"] += 1
                if verdict.kept:
                    if ways != Directions():
                        counts["backward" if back else "forward"] += 1
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
    from hala.training.examples import IGNORED

    own, own_bad = Counter[str](), Collected()
    made = make(islice(training_rows(settings, settings.eval_data, context, own, own_bad), settings.eval_rows))
    for each in own_bad:
        bad.store(each)
    if settings.eval_data:
        lost = sum(number for key, number in own.items() if key.startswith("rejected/"))
        counts.update(eval_malformed=own_bad.count, eval_rejected=lost + len(made.rejected))
        if not any((example.labels != IGNORED).any() for example in made.examples):
            raise InputError(
                f"step {context.step} has nothing to evaluate on: {own['rows']} rows of eval_data,"
                f" {counts['eval_rejected']} rejected, {own_bad.count} malformed.",
                "Check `eval_data`, or leave it out.",
            )
    return made


def _start(settings: Tune, rows: Iterable[Row], context: Context, alone: bool) -> tuple[Any, Any]:
    """(model, tokenizer) to train: a checkpoint's, or new ones; a checkpoint that others will load is not loaded (None)."""
    from hala.weights.loading import load_model, load_tokenizer, new_lfm2

    if settings.new is None:
        base = context.locate(settings.base)
        if not alone:
            return None, load_tokenizer(base, settings.revision)
        return load_model(base, base_dtype(settings), revision=settings.revision)
    new = settings.new
    if new.tokenizer:
        tokenizer = load_tokenizer(context.locate(new.tokenizer))
    else:
        from hala.training.tokenizer import train_tokenizer

        context.progress.say(f"    training a tokenizer of {new.vocab_size:,} entries")
        tokenizer = train_tokenizer(_texts(rows), new.vocab_size, max_length=new.max_positions)
    return new_lfm2(seed=settings.seed, **_shape(new, tokenizer)), tokenizer


def check_length(settings: Tune, context: Context) -> None:
    """Nothing, or InputError where examples may be longer than the model has positions."""
    from hala.weights.loading import positions_of

    new = settings.new
    positions = new.max_positions if new is not None else positions_of(context.locate(settings.base), settings.revision)
    if positions and settings.max_length > positions:
        raise InputError(
            f"step {context.step}: max_length is {settings.max_length:,}, and the model has {positions:,} positions.",
            f"Set max_length to {positions} at most{' or raise new.max_positions' if new else ''}.",
        )


def base_dtype(settings: Tune) -> str:
    """In which the weights of the base are loaded."""
    return settings.lora.base_dtype if settings.lora else "float32"


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


def _prompt(settings: Tune, context: Context, backward: bool = False) -> str:
    ends = (context.languages.target, context.languages.source)
    return for_languages(settings.prompt or "default", *(reversed(ends) if backward else ends))


def form_of(settings: Tune, context: Context) -> Form:
    """How rows are written for the model."""
    from hala.training.examples import Form

    ways, languages = settings.directions, context.languages
    prompts = {languages.source: _prompt(settings, context, backward=True)} if ways.backward else {}
    if ways.forward and _prompt(settings, context) in prompts.values():
        raise RecipeError(
            f"step {context.step} learns both directions, and its prompt {settings.prompt!r} does not say which is wanted.",
            "Write {language} in it where the language that is wanted stands.",
        )
    prompt = _prompt(settings, context)
    return Form(settings.task, prompt, settings.max_length, settings.too_long, settings.train_newline, prompts)


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


def _say_updates(settings: Tune, made: Examples, context: Context) -> None:
    """Says what an update really holds where that is not `batch_tokens`, and that there are few of them."""
    from hala.training.packing import evenly

    rows, over = divmod(settings.batch_tokens, settings.max_length)
    if settings.packing and over:
        held = rows * settings.max_length
        context.progress.say(f"    an update holds {held:,} tokens: {rows:,} rows of {settings.max_length:,} (max_length)")
    mine, most = rows // settings.processes, (settings.micro_tokens or MICRO_TOKENS) // settings.max_length
    passes = evenly(mine, most)
    if settings.packing and 2 * passes <= min(mine, most):
        better = mine // most * most * settings.processes * settings.max_length
        context.progress.say(
            f"    its {mine:,} rows go through {passes} by {passes}: batch_tokens {better:,} would go {most} by {most}"
        )
    updates = made.tokens[0] * settings.epochs / settings.batch_tokens
    if updates < FEW and settings.max_steps is None and settings.batch_tokens > settings.max_length:
        context.progress.say(f"    fewer than {FEW} updates: lower batch_tokens to learn more from so few rows")


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
        "compile",
        "packing",
        "order",
        "lora",
        "on_bad_step",
        "max_bad_steps",
        "spike",
        "average",
        "average_decay",
        "average_last",
        "patience",
        "samples",
        "sample_tokens",
    )
    return TrainSettings(
        **{name: getattr(settings, name) for name in (*same, "batch_tokens", "seed", "save_steps", "eval_steps")},
        max_steps=settings.max_steps or 0,
        max_grad_norm=settings.clip,
        gradient_checkpointing=settings.gradient_checkpointing,
        shard=settings.shard,
        row_length=settings.max_length,
        micro_tokens=settings.micro_tokens or max(settings.max_length, min(settings.batch_tokens, MICRO_TOKENS)),
    )


def _about(settings: Tune, licences: set[str], context: Context) -> dict[str, Any]:
    """hala.json: what the checkpoint is for, and the licences of what it learned from."""
    about: dict[str, Any] = {"task": settings.task, "data_licences": sorted(licences)}
    if settings.task == "translation":
        ways, ends = settings.directions, (context.languages.source, context.languages.target)
        prompts = (_prompt(settings, context), _prompt(settings, context, backward=True))
        about |= {"prompt": prompts[not ways.forward]}
        about |= dict(zip(("source", "target"), ends if ways.forward else reversed(ends), strict=True))
        if ways.forward and ways.backward:
            about["back_prompt"] = prompts[1]
    return about


def _outcome(settings: Tune, learned: dict[str, Any], made: Examples, counts: Counter[str]) -> Outcome:
    tokens, trained = made.tokens
    facts = {"task": settings.task, "epoch_tokens": tokens, "epoch_trained_tokens": trained, "optimizer": settings.optimizer}
    timings = {"tokens_per_s": learned.pop("tokens_per_s")}
    if left_out := learned.pop("left_out"):
        counts["left_out_steps"] = left_out
    else:
        learned.pop("bad_steps")
    return Outcome(counts=dict(counts), facts=facts | learned, timings=timings)
