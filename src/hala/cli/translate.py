"""The command translate: text in gives text out, a dataset gives a folder of rows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hala.cli.words import JsonOption, SetOption, exists, run_verb, settings_of

if TYPE_CHECKING:
    from hala.verbs.folders import Found


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
    from hala.cli.documents import translate_folder, translate_text
    from hala.errors import InputError, RecipeError

    settings = settings_of(overrides, model=model, engine=engine or ("server" if url else None), url=url)
    found = _found(source, out)
    is_text = bool(found) or _is_document(source)
    if is_text and "data" in settings:
        raise RecipeError("--set data does nothing for a text.", "Leave it out; only a dataset knows columns, take and so on.")
    if found:
        translate_folder(Path(source), found, settings, (start, to), out, as_json)
    elif is_text:
        translate_text(source, settings, (start, to), out, as_json)
    elif out is None:
        raise RecipeError(f"{source} is a dataset; its rows need a folder.", "Add --out DIR.")
    else:
        try:
            run_verb("translate", out, {**settings, "data": _data(source, settings)}, as_json, source=start, target=to)
        except InputError as error:
            raise InputError(_as_options(error.message), _as_options(error.fix)) from None


def _found(source: str, out: Path | None) -> Found | None:
    """What lies in a folder with documents; none where the words name no folder, one without any, or rows made by hala."""
    from hala.artifacts import MANIFEST
    from hala.verbs.folders import look_into

    folder = Path(source or "-")  # no words at all are not the folder that one is in
    if not exists(source) or not folder.is_dir() or ((folder / "rows").is_dir() and (folder / MANIFEST).exists()):
        return None
    found = look_into(folder, out)
    return found if found.documents else None


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


def _as_options(advice: str) -> str:
    """Advice about a source as it is written in a recipe, in the words of the command line."""
    advice = advice.replace("set header: true", "add --set data.header=true").replace("set format:", "add format:")
    advice = advice.replace("Add shape: one of", "Add --set data.shape=SHAPE, one of")
    for key, value in (
        ("columns", "'data.columns={FIELD: COLUMN}'"),
        ("format", "data.format=FORMAT"),
        ("where", "'data.where={COLUMN: VALUE}'"),
    ):
        advice = re.sub(rf"(?<= ){key}:(?=[ ,.]|$)", f"--set {value}", advice)
    return re.sub(r"(?<= )(skip|take|holdout|header):(?= and| out|[.,]|$)", r"--set data.\1=...", advice)


def _is_document(source: str) -> bool:
    """A text, `-`, or the file of a document: text in gives text out."""
    from hala.errors import InputError, RecipeError
    from hala.verbs.documents import is_document

    if not source.strip():
        raise RecipeError(
            "there is nothing to translate.", 'Give a text, a file, or - to read from a pipe: hala translate "Hello"'
        )
    path = Path(source)
    if not exists(source) and source != "-" and _looks_like_a_path(source):
        raise InputError(
            f"no file at {source}.",
            "Give an existing file or folder, or a text of more than one word; "
            f"if this is the text: echo {shlex.quote(source)} | hala translate -",
        )
    return source == "-" or not exists(source) or (is_document(path) and not path.is_dir())


def _looks_like_a_path(source: str) -> bool:
    """Whether words that name no file were probably meant to: no space, and a slash or an ending, in ASCII or well known.

    Chinese, Japanese, Thai and others write whole sentences without a space.
    """
    from hala.data.readers import FORMATS
    from hala.verbs.documents import SUFFIXES

    if any(char.isspace() for char in source):
        return False
    suffix = Path(source).suffix
    known = suffix.lower() in {*FORMATS, *SUFFIXES, ".gz", ".zst"}
    return known or (source.isascii() and ("/" in source or re.fullmatch(r"\.[a-z]\w{0,9}", suffix, re.IGNORECASE) is not None))
