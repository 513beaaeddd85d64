"""The commands for recipes and for what lies on disk: run, plan, status, report, verify, repair, show, stats and new-language."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from hala.cli.words import JsonOption, QuietOption, SetOption, data_of, page, print_json, progress_of

DataOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="data.KEY=VALUE", help="Say more about a file of data; repeat as needed.")
]
ONE_OR_ALL = "Folder of a run, or of one step made alone."


def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (.yaml).")],
    overrides: SetOption = None,
    only: Annotated[str | None, typer.Option(help="Run this step alone.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Run this step and the later ones.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Make steps again whose settings or inputs changed.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Run a recipe, or continue it where it stopped."""
    from hala import pipeline
    from hala.verbs.report import summary

    root = pipeline.run(recipe, overrides or [], out, pipeline.Choice(only, start, replace), progress_of(quiet))
    print(summary(root))


def plan(recipe: Annotated[Path, typer.Argument(help="Recipe file (.yaml).")], overrides: SetOption = None) -> None:
    """Check a recipe and list its steps; nothing is loaded and nothing runs."""
    from hala import pipeline, recipe_file
    from hala.terms import forecast_text

    loaded = recipe_file.load(recipe, overrides or [])
    pipeline.check(loaded)
    print(f"{loaded.name}: {loaded.languages.source} -> {loaded.languages.target}, {len(loaded.steps)} steps")
    for name, step in loaded.steps.items():
        needs = ", ".join(dict.fromkeys(f"${target}" for _, target, _ in recipe_file.references(step.settings)))
        print(f"  {name:<20} {step.verb:<10} -> {recipe_file.produces(step):<12} {needs and 'from ' + needs}")
    if said := forecast_text(loaded):
        print(said)


def status(root: Annotated[Path, typer.Argument(metavar="RUN", help=ONE_OR_ALL)], as_json: JsonOption = False) -> None:
    """Which steps are finished, running or half done, and what came out."""
    from hala.verbs.report import status_rows, status_text

    print_json(status_rows(root)) if as_json else print(status_text(root))


def report(root: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Write RUN/report.html again from the manifests."""
    from hala.runs import write_report

    write_report(root)
    print(root / "report.html")


def verify(root: Annotated[Path, typer.Argument(metavar="RUN", help=ONE_OR_ALL)]) -> None:
    """Read every byte of a run and compare it with the manifests."""
    from hala import runs
    from hala.errors import CorruptError

    found = runs.verify(root)
    damaged = {name: wrong for name, wrong in found.items() if wrong}
    if damaged:
        details = "; ".join(f"{name}: {', '.join(wrong)}" for name, wrong in damaged.items())
        raise CorruptError(f"{len(damaged)} of {len(found)} finished steps are damaged. {details}.", f"Run `hala repair {root}`.")
    print("1 finished step is whole." if len(found) == 1 else f"{len(found)} finished steps are whole.")


def repair(root: Annotated[Path, typer.Argument(metavar="RUN", help=ONE_OR_ALL)]) -> None:
    """Remove damaged steps, so that the next run makes them again."""
    from hala import runs

    removed = runs.repair(root)
    print(f"removed {', '.join(removed)}; run it again." if removed else "nothing is damaged.")


def show(
    rows: Annotated[Path, typer.Argument(help="The folder of a data step or an evaluation, or a file of data.")],
    rejected: Annotated[bool, typer.Option("--rejected", help="Show what was rejected, with the reason.")] = False,
    count: Annotated[int | None, typer.Option("-n", min=0, help="How many rows; else all, page by page, or 5 in a pipe.")] = None,
    overrides: DataOption = None,
) -> None:
    """Look through rows, the originals beside them; or at the scores of an evaluation."""
    from hala.artifacts import read_manifest
    from hala.verbs.report import describe, show_rows

    if rows.is_dir() and (manifest := read_manifest(rows)) is not None and manifest.verb == "evaluate":
        print(describe(manifest, rows))
        return
    paged = count is None and sys.stdout.isatty()
    data = data_of(rows, overrides) if overrides else None
    texts = show_rows(rows, rejected, None if paged else 5 if count is None else count, data)
    first = next(texts, None)
    if first is None and count != 0:
        print("nothing was rejected." if rejected else "no row was kept; --rejected shows the others.", file=sys.stderr)
    elif paged:
        page(chain([first or ""], texts))
    else:
        for text in chain([first] if first else [], texts):
            print(text)


def stats(
    rows: Annotated[Path, typer.Argument(help="A data step's folder, or a file of data.")],
    as_json: JsonOption = False,
    overrides: DataOption = None,
) -> None:
    """Count rows: reasons, languages, sources, lengths, duplicates, cost."""
    from hala.verbs.stats import stats_of, stats_text

    found = stats_of(rows, data_of(rows, overrides) if overrides else None)
    print_json(found) if as_json else print(stats_text(found))


def new_language(
    code: Annotated[str, typer.Argument(help="ISO 639, for example fa.")],
    text: Annotated[Path | None, typer.Option(help="Running text of the language: gives frequent words and more.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the two files.")] = Path(),
) -> None:
    """Write CODE.toml and CODE.txt: what gates must know of a language, commented, to be filled in."""
    from hala.data.new_language import write

    files = write(code, text, out)
    for file in files:
        print(file)
    print(f"Correct both, then name the first: hala translate ... --to {files[0]}")
