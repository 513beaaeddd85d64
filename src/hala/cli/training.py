"""The commands from rows to a released model: filter, mix, tune, evaluate and release."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hala.cli.words import JsonOption, OutOption, SetOption, one_of, run_verb, settings_of

if TYPE_CHECKING:
    from hala.recipe import Tune
    from hala.verbs import Context


def filter_(
    rows: Annotated[str, typer.Argument(help="Rows: a file or a folder made by hala.")],
    out: OutOption,
    to: Annotated[str, typer.Option(help="Language of the rows.")] = "ar",
    start: Annotated[str | None, typer.Option("--from", help="Language of the originals; en, or ar for English rows.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the good rows; store the others with the reason."""
    source = start or ("ar" if to.casefold() in ("en", "eng", "english") else "en")
    run_verb("filter", out, settings_of(overrides, data=rows), as_json, source=source, target=to)


def mix(
    rows: Annotated[list[str], typer.Argument(help="The parts: files, or folders made by hala.")],
    out: OutOption,
    tokenizer: Annotated[str, typer.Option(help="Checkpoint whose tokenizer counts.")],
    tokens: Annotated[float | None, typer.Option(help="Size of the mix (5e8); none: as large as the parts allow.")] = None,
    share: Annotated[
        list[float] | None, typer.Option(help="Share of a part in the tokens; the first one is the first part's. Repeatable.")
    ] = None,
    repeat: Annotated[int | None, typer.Option(help="How often a row may come at most.")] = None,
    short_share: Annotated[float | None, typer.Option(help="Share of the rows that is short at least.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mix rows by shares of tokens, in an order made for training."""
    parts = parts_of(rows, share or [], repeat)
    settings = settings_of(overrides, parts=parts, tokenizer=tokenizer, tokens=tokens, short_share=short_share)
    run_verb("mix", out, settings, as_json)


def parts_of(rows: list[str], shares: list[float], repeat: int | None) -> list[dict[str, Any]]:
    """The parts of a mix as a recipe writes them; the last ones may have no share. Raises RecipeError for too many shares."""
    from hala.errors import RecipeError

    if len(shares) > len(rows):
        raise RecipeError(f"{len(shares)} shares for {len(rows)} parts.", "Give --share once for each part, in their order.")
    common = {} if repeat is None else {"repeat": repeat}
    own = [{"share": share} for share in shares] + [{}] * (len(rows) - len(shares))
    return [{"data": data, **common, **each} for data, each in zip(rows, own, strict=True)]


def tune(
    data: Annotated[str, typer.Option(help="Rows: a file or a folder made by hala.")],
    out: OutOption,
    base: Annotated[
        str | None, typer.Option(help="Checkpoint to start from; --set new.hidden_size=... starts from nothing.")
    ] = None,
    task: Annotated[str, typer.Option(help="chat, translation or text.")] = "chat",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a checkpoint on rows."""
    run_verb("tune", out, settings_of(overrides, base=base, data=data, task=task), as_json)


def preview(
    source: Annotated[
        str, typer.Argument(metavar="ROWS|RECIPE", help="Rows, or a recipe (.yaml) whose earlier steps are finished.")
    ],
    base: Annotated[str | None, typer.Option(help="Checkpoint whose tokenizer and template are used.")] = None,
    task: Annotated[str | None, typer.Option(help="chat, translation or text.")] = None,
    step: Annotated[str | None, typer.Option(help="Step of the recipe; else its first tune.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME.")] = None,
    count: Annotated[int, typer.Option("-n", min=0, help="How many examples.")] = 3,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to read.")] = 1000,
    overrides: SetOption = None,
) -> None:
    """Show what tune would learn: examples with their learned tokens marked, what is long, what would be lost."""
    from hala.verbs.preview import preview as examples

    settings, context = tune_of(source, step, out, overrides, base=base, task=task)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for text in examples(settings, context, count, rows, colour):
        print(text)


def evaluate(
    models: Annotated[list[str], typer.Argument(help="Checkpoints; the first is the baseline.")],
    out: OutOption,
    suite: Annotated[
        list[str] | None, typer.Option(help="A suite or a benchmark, for example oall-v2, or a file (mine.toml).")
    ] = None,
    pairs: Annotated[list[str] | None, typer.Option(help="File of sentence pairs (BLEU, chrF++).")] = None,
    questions: Annotated[list[str] | None, typer.Option(help="File of multiple-choice questions.")] = None,
    probes: Annotated[list[str] | None, typer.Option(help="Prompts to answer: ar, or a file of your own (mine.toml).")] = None,
    leaks: Annotated[list[str] | None, typer.Option(help="Filter step that looked for questions in training data.")] = None,
    to: Annotated[str, typer.Option(help="Target language.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Source language.")] = "en",
    export: Annotated[bool, typer.Option("--export", help="Also write files for lighteval, lm-eval and cards.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare checkpoints on questions, translations and answers, with 95% intervals."""
    given = {"pairs": pairs, "questions": questions, "probes": probes, "leaks": leaks, "export": export or None}
    settings = settings_of(overrides, models=models, suite=one_of("--suite", suite), **given)
    run_verb("evaluate", out, settings, as_json, source=start, target=to)


def release(
    model: Annotated[str, typer.Argument(help="Checkpoint folder.")],
    out: OutOption,
    name: Annotated[str | None, typer.Option(help="Name of the released model.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the base weights.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a folder that is ready for the hub: weights, card, licences. (In a recipe it also gathers data and scores.)"""
    run_verb("release", out, settings_of(overrides, model=model, name=name, licence=licence), as_json)


def tune_of(source: str, step: str | None, out: Path | None, overrides: list[str] | None, **given: Any) -> tuple[Tune, Context]:
    """The settings of a tune step of a recipe, or of one made of options, and where it would run."""
    from hala import artifacts, recipe_file
    from hala.errors import RecipeError
    from hala.progress import Progress
    from hala.recipe import Tune
    from hala.verbs import Context

    if Path(source).suffix in (".yaml", ".yml"):
        if idle := [name for name, value in given.items() if value is not None]:
            raise RecipeError(f"--{idle[0]} does nothing for a recipe.", "Change a step with --set STEP.KEY=VALUE.")
        recipe = recipe_file.load(source, overrides or [])
    else:
        settings = settings_of(overrides, data=source, **given)
        recipe = recipe_file.from_content({"name": "single", "steps": {"tune": {"tune": settings}}})
    name = step or next((name for name, each in recipe.steps.items() if each.verb == "tune"), "")
    if name not in recipe.steps or not isinstance(settings_ := recipe.steps[name].settings, Tune):
        raise RecipeError(
            f"{source} has no tune step '{name}'." if name else f"{source} has no tune step.", "Name one with --step."
        )
    root = out or Path("runs") / recipe.name
    inputs = {each: root / each for _, each, _ in recipe_file.references(settings_)}
    if missing := next((each for each, folder in inputs.items() if artifacts.read_manifest(folder) is None), None):
        raise RecipeError(
            f"step {name} needs ${missing}, which is not finished ({inputs[missing]}).", f"hala run {source} --only {missing}"
        )
    return settings_, Context(name, root / name, root, recipe.languages, inputs, Progress(quiet=True))
