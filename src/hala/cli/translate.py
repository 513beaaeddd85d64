"""The command translate: text in gives text out, a dataset gives a folder of rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hala.cli.words import JsonOption, SetOption, run_verb, settings_of


def translate(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A text, a file (.md .txt .jsonl .parquet ...), a folder, or -.")
    ],
    to: Annotated[str, typer.Option(help="Target language.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Source language.")] = "en",
    model: Annotated[str | None, typer.Option(help="Translator: checkpoint folder or hub id.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="local, server, vllm, ctranslate or echo; default server with --url, else local.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="OpenAI-compatible server, ending in /v1.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rows, or file for a text.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Translate a text, a document or a dataset; code, formulas and markup come back untouched."""
    from hala.errors import RecipeError

    settings = settings_of(overrides, model=model, engine=engine or ("server" if url else None), url=url)
    documents = _documents(source)
    if (documents or _is_document(source)) and "data" in settings:
        raise RecipeError("--set data does nothing for a text.", "Leave it out; only a dataset knows columns, take and so on.")
    if documents:
        _translate_folder(Path(source), documents, settings, (start, to), out, as_json)
        return
    if _is_document(source):
        from hala.verbs.documents import translate_document

        _check_out(source, out, to)
        translated = translate_document(_document(source), settings, start, to)
        _write_text(translated, out, inline=not (source == "-" or _exists(source)))
        return
    if out is None:
        raise RecipeError(f"{source} is a dataset; its rows need a folder.", "Add --out DIR.")
    run_verb("translate", out, {**settings, "data": _data(source, settings)}, as_json, source=start, target=to)


def _documents(source: str) -> list[Path]:
    """The documents in a folder; none where the words name no folder, or one without any."""
    from hala.verbs.documents import documents_in

    return documents_in(Path(source)) if _exists(source) and Path(source).is_dir() else []


def _translate_folder(
    folder: Path, documents: list[Path], settings: dict[str, Any], languages: tuple[str, str], out: Path | None, as_json: bool
) -> None:
    """Each document of the folder under its name in `out`. Raises InputError at the end when some could not be translated."""
    import json

    from hala.artifacts import atomic_file
    from hala.errors import InputError, RecipeError, printable
    from hala.verbs.documents import translate_documents

    if out is None or out.resolve() == folder.resolve() or out.is_file():
        raise RecipeError(f"{folder} is a folder of documents; they go to another folder.", "Add --out DIR.")
    texts = [_read(path) for path in documents]
    results, _ = translate_documents(texts, settings, *languages)
    failed = {}
    for path, result in zip(documents, results, strict=True):
        name = path.relative_to(folder)
        if not result.verdict.kept:
            failed[str(name)] = f"{result.verdict.reason}: {result.verdict.detail}"
            print(printable(f"failed {name}: {failed[str(name)]}"), file=sys.stderr)
            continue
        with atomic_file(out / name) as temporary:
            temporary.write_bytes(result.text.encode("utf-8"))
        print(printable(f"wrote {out / name}"), file=sys.stderr)
    others = sum(1 for path in folder.rglob("*") if path.is_file()) - len(documents)
    if others:
        print(f"left out {others} file(s) that are no documents (.md, .txt)", file=sys.stderr)
    if as_json:
        print(
            json.dumps(
                {"documents": len(documents), "translated": len(documents) - len(failed), "failed": failed, "left_out": others}
            )
        )
    if failed:
        raise InputError(
            f"{len(failed)} of {len(documents)} documents could not be translated, the others are in {out}.",
            "Try another model, or more tries (--set retries=5).",
        )


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
        return _read(Path(source))
    else:
        return source
    return _decoded(data, source)


def _read(path: Path) -> str:
    """A file as text, its line ends untouched."""
    return _decoded(path.read_bytes(), str(path))


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        from hala.errors import InputError

        raise InputError(f"{name} is not UTF-8 (byte {error.start}).", "Convert it to UTF-8 first.") from None


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
