"""The command line: words in, calls out. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hala.progress import Progress

app = typer.Typer(
    help="Give a language its own models: compress a translator, translate instruction data, tune, merge, evaluate.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeat as needed.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the result.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on the terminal.")]
EXIT_INTERRUPTED, EXIT_BUG = 130, 9


def main() -> None:
    """Entry point: expected errors become one clear message and a documented exit code."""
    from hala.errors import HalaError
    from hala.progress import clean

    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(standalone_mode=True)
    except HalaError as error:
        if debug:
            raise
        print("\n".join(clean(line) for line in f"hala: {error}".splitlines()), file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # what typer makes of Ctrl-C
            print("\nhala: stopped. Run the same command again to continue.", file=sys.stderr)
        raise
    except BrokenPipeError:  # `hala show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if debug:
            raise
        print(f"hala: internal error, our bug: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run it again with --debug and report what it prints.", file=sys.stderr)
        raise SystemExit(EXIT_BUG) from error


def _progress(quiet: bool = False) -> Progress:
    from hala.progress import Progress

    return Progress(quiet=quiet)


def _settings(overrides: list[str] | None, **given: Any) -> dict[str, Any]:
    """The named options that were given, then `--set key=value` with YAML values."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from hala.errors import RecipeError

    settings = {key: value for key, value in given.items() if value not in (None, [], ())}
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals:
            raise RecipeError(f"--set {override!r} is not key=value.", "For example: --set epochs=2")
        target = settings
        *parents, last = key.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise RecipeError(
                    f"--set {key}: '{parent}' is {target!r} and has no keys.", f"Give all of it: --set '{parent}={{...}}'"
                )
        try:
            target[last] = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise RecipeError(f"--set {key}: cannot read {value!r}: {getattr(error, 'problem', error)}.") from None
    return settings


def _run_verb(verb: str, out: Path, settings: dict[str, Any], as_json: bool = False, **languages: str) -> None:
    from hala import artifacts, pipeline

    folder = pipeline.run_verb(verb, settings, out, _progress(as_json), languages)
    manifest = artifacts.read_manifest(folder)
    assert manifest is not None
    if as_json:
        _print_json({"out": str(folder), "counts": manifest.counts, "facts": manifest.facts, "digest": manifest.digest})
    else:
        from hala.verbs.report import describe

        print(describe(manifest, folder))


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True))


@app.command()
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

    root = pipeline.run(recipe, overrides or [], out, pipeline.Choice(only, start, replace), _progress(quiet))
    print(summary(root))


@app.command()
def plan(recipe: Annotated[Path, typer.Argument(help="Recipe file (.yaml).")], overrides: SetOption = None) -> None:
    """Check a recipe and list its steps; nothing is loaded and nothing runs."""
    from hala import recipe_file

    loaded = recipe_file.load(recipe, overrides or [])
    print(f"{loaded.name}: {loaded.languages.source} -> {loaded.languages.target}, {len(loaded.steps)} steps")
    for name, step in loaded.steps.items():
        needs = ", ".join(dict.fromkeys(f"${target}" for _, target, _ in recipe_file.references(step.settings)))
        print(f"  {name:<20} {step.verb:<10} -> {recipe_file.produces(step):<12} {needs and 'from ' + needs}")


@app.command()
def status(root: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")], as_json: JsonOption = False) -> None:
    """Which steps are finished, which are half done, and what came out."""
    from hala.verbs.report import status_rows, status_text

    _print_json(status_rows(root)) if as_json else print(status_text(root))


@app.command()
def report(root: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Write RUN/report.html again from the manifests."""
    from hala import pipeline

    pipeline.write_report(root)
    print(root / "report.html")


@app.command()
def verify(root: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Read every byte of a run and compare it with the manifests."""
    from hala import pipeline
    from hala.errors import CorruptError

    found = pipeline.verify(root)
    damaged = {name: wrong for name, wrong in found.items() if wrong}
    if damaged:
        details = "; ".join(f"{name}: {', '.join(wrong)}" for name, wrong in damaged.items())
        raise CorruptError(f"{len(damaged)} of {len(found)} finished steps are damaged. {details}.", f"Run `hala repair {root}`.")
    print(f"{len(found)} finished steps are whole.")


@app.command()
def repair(root: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]) -> None:
    """Remove damaged steps, so that the next run makes them again."""
    from hala import pipeline

    removed = pipeline.repair(root)
    print(f"removed {', '.join(removed)}; run the recipe again." if removed else "nothing is damaged.")


@app.command()
def compress(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or hub id.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the result; not with --plan.")] = None,
    scheme: Annotated[str, typer.Option(help="fp8-dynamic, fp8-block, or int8-dynamic (for CPUs).")] = "fp8-dynamic",
    mode: Annotated[str, typer.Option(help="float32-scale (lower error) or exact (as llm-compressor).")] = "float32-scale",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Module or re:PATTERN to leave as it is; `auto` picks the worst layers. Repeatable."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every byte back, compare, and load the result.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take (time, disk, memory) and write nothing.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compress a checkpoint to 8 bits (FP8 or int8 W8A8-dynamic, compressed-tensors format)."""
    settings = _settings(overrides, model=model, scheme=scheme, mode=mode, keep=keep, verify=verify or None)
    if plan:
        from hala.verbs.compress import plan as make_plan

        made = make_plan(settings, out or Path())
        _print_json(made.as_json()) if as_json else print(made.text)
        return
    if out is None:
        raise typer.BadParameter("say where the result goes.", param_hint="--out")
    _run_verb("compress", out, settings, as_json)


@app.command()
def translate(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A text, a file (.md .txt .jsonl .parquet ...), a folder, or -.")
    ],
    to: Annotated[str, typer.Option(help="Target language.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Source language.")] = "en",
    model: Annotated[str | None, typer.Option(help="Translator: checkpoint folder or hub id.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="local, vllm, server or echo; default server with --url, else local.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="OpenAI-compatible server, ending in /v1.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows, or file for a text.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Translate a text, a document or a dataset; code, formulas and markup come back untouched."""
    from hala.errors import RecipeError

    settings = _settings(overrides, model=model, engine=engine or ("server" if url else None), url=url)
    if _is_document(source):
        if "data" in settings:
            raise RecipeError(
                "--set data does nothing for a text.", "Leave it out; only a dataset knows columns, take and so on."
            )
        from hala.verbs.translate import translate_document

        _check_out(source, out, to)
        translated = translate_document(_document(source), settings, start, to)
        _write_text(translated, out, inline=not (source == "-" or _exists(source)))
        return
    if out is None:
        raise RecipeError(f"{source} is a dataset; its rows need a folder.", "Add --out DIR.")
    _run_verb("translate", out, {**settings, "data": _data(source, settings)}, as_json, source=start, target=to)


def _data(source: str, settings: dict[str, Any]) -> dict[str, Any]:
    """INPUT with what `--set data.KEY=VALUE` says about it. Raises RecipeError where that names another place."""
    from hala.errors import RecipeError

    more = settings.get("data", {})
    places = {"ref", "path", "hub", "world"}
    if not isinstance(more, dict) or places & more.keys():
        named = ", ".join(sorted(places & more.keys())) if isinstance(more, dict) else repr(more)
        raise RecipeError(
            f"--set data: {named} names other data than {source}.", "Give it as INPUT, and only its settings: --set data.take=100"
        )
    return {"path": source, **more}


def _is_document(source: str) -> bool:
    """A text, `-`, or a .md/.txt file: text in gives text out."""
    from hala.errors import InputError, RecipeError

    if not source:
        raise RecipeError(
            "there is nothing to translate.", 'Give a text, a file, or - to read from a pipe: hala translate "Hello"'
        )
    path = Path(source)
    looks_like_file = path.suffix in {".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".md", ".txt"} and " " not in source
    if looks_like_file and not _exists(source):
        raise InputError(f"no file at {source}.", "Give an existing file, or a text of more than one word.")
    return source == "-" or not _exists(source) or path.suffix in {".md", ".txt"}


def _exists(source: str) -> bool:
    """Whether the words name a file or folder; a long text is no name at all."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False


def _document(source: str) -> str:
    if source == "-":
        data = sys.stdin.buffer.read()
    elif _exists(source):
        data = Path(source).read_bytes()
    else:
        return source
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        from hala.errors import InputError

        raise InputError(f"{source} is not UTF-8 (byte {error.start}).", "Convert it to UTF-8 first.") from None


def _check_out(source: str, out: Path | None, to: str) -> None:
    """Raises InputError or RecipeError for a place that the text must not go to, before a model is loaded."""
    from hala.errors import InputError, RecipeError

    if out is None or not out.exists():
        return
    from_file = source != "-" and _exists(source)
    given = Path(source if from_file else "text.md")
    if from_file and out.samefile(source):
        raise RecipeError(
            f"--out {out} is the source itself.", f"Give another file, for example {given.with_suffix(f'.{to}{given.suffix}')}"
        )
    if out.is_dir():
        example = out / f"{given.stem}.{to}{given.suffix}"
        raise InputError(f"--out {out} is a folder, and a text goes to a file.", f"Give a file, for example --out {example}")


def _write_text(text: str, out: Path | None, inline: bool) -> None:
    """The text as it is, byte for byte; only a text from the command line gets the line end that a terminal wants."""
    if out is None:
        sys.stdout.write(text if text.endswith("\n") or not inline else text + "\n")
    else:
        from hala.artifacts import atomic_file
        from hala.errors import printable

        said = "replaced" if out.exists() else "wrote"
        with atomic_file(out) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
        print(printable(f"{said} {out}"), file=sys.stderr)


@app.command("filter")
def filter_(
    rows: Annotated[str, typer.Argument(help="Rows: a file or a folder made by hala.")],
    out: OutOption,
    to: Annotated[str, typer.Option(help="Language of the rows.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Language of the originals.")] = "en",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the good rows; store the others with the reason."""
    _run_verb("filter", out, _settings(overrides, data=rows), as_json, source=start, target=to)


@app.command()
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
    _run_verb("tune", out, _settings(overrides, base=base, data=data, task=task), as_json)


@app.command()
def merge(
    base: Annotated[str, typer.Argument(help="Checkpoint at t = 0.")],
    tuned: Annotated[list[str], typer.Argument(help="Checkpoint at t = 1, or several (soup, task_arithmetic, ties, dare_*).")],
    out: OutOption,
    method: Annotated[str, typer.Option(help="slerp, linear, soup, task_arithmetic, ties, dare_linear or dare_ties.")] = "slerp",
    t: Annotated[
        str,
        typer.Option(
            help="Where between the two, 0 to 1, or search; groups and gradients: --set 't={attention: 0.3, default: 0.5}'."
        ),
    ] = "0.5",
    questions: Annotated[list[str] | None, typer.Option(help="File of multiple-choice questions for --t search.")] = None,
    pairs: Annotated[list[str] | None, typer.Option(help="File of sentence pairs for --t search.")] = None,
    to: Annotated[str, typer.Option(help="Target language of the pairs.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Source language of the pairs.")] = "en",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge checkpoints of one family; --t search tries several t on a small evaluation and keeps the best."""
    place: dict[str, Any] = {} if any(word.startswith("t=") for word in overrides or ()) else {"t": t}
    if tests := {key: value for key, value in (("questions", questions), ("pairs", pairs)) if value}:
        place["search"] = tests
    settings = _settings(overrides, base=base, tuned=tuned, method=method, **place)
    _run_verb("merge", out, settings, as_json, source=start, target=to)


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Argument(help="Checkpoints; the first is the baseline.")],
    out: OutOption,
    suite: Annotated[str | None, typer.Option(help="Named benchmarks, for example oall-v2.")] = None,
    pairs: Annotated[list[str] | None, typer.Option(help="File of sentence pairs (BLEU, chrF++).")] = None,
    questions: Annotated[list[str] | None, typer.Option(help="File of multiple-choice questions.")] = None,
    to: Annotated[str, typer.Option(help="Target language.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Source language.")] = "en",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score checkpoints on questions and translations, with 95% intervals."""
    settings = _settings(overrides, models=models, suite=suite, pairs=pairs, questions=questions)
    _run_verb("evaluate", out, settings, as_json, source=start, target=to)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or hub id.")],
    out: OutOption,
    format: Annotated[str, typer.Option(help="gguf (one file) or hf (a plain folder).")] = "gguf",
    quant: Annotated[str, typer.Option(help="gguf: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m or q4_0.")] = "q8_0",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a checkpoint as one GGUF file for llama.cpp, or as a plain folder that every engine reads."""
    _run_verb("export", out, _settings(overrides, model=model, format=format, quant=quant), as_json)


@app.command()
def release(
    model: Annotated[str, typer.Argument(help="Checkpoint folder.")],
    out: OutOption,
    name: Annotated[str | None, typer.Option(help="Name of the released model.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the base weights.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a folder that is ready for the hub: weights, card, licences. (In a recipe it also gathers data and scores.)"""
    _run_verb("release", out, _settings(overrides, model=model, name=name, licence=licence), as_json)


@app.command()
def show(
    rows: Annotated[Path, typer.Argument(help="A data step's folder.")],
    rejected: Annotated[bool, typer.Option("--rejected", help="Show what was rejected, with the reason.")] = False,
    count: Annotated[int, typer.Option("-n", min=0, help="How many rows.")] = 5,
) -> None:
    """Print some rows, the originals beside them."""
    from hala.verbs.report import show_rows

    for text in show_rows(rows, rejected, count):
        print(text)
