"""Documents on the command line: a text, standard input, a file or a folder of files, translated without rows."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from hala import inputs
from hala.cli.words import exists, print_json, progress_of
from hala.errors import DiskError, InputError, RecipeError, printable
from hala.progress import Progress
from hala.recipe import Step, Translate
from hala.verbs import folders
from hala.verbs.documents import NOWHERE, Digests, Documents
from hala.verbs.folders import Found
from hala.verbs.status import several

Languages = tuple[str, str]


def translate_text(source: str, settings: dict[str, Any], languages: Languages, out: Path | None, as_json: bool) -> None:
    """Words, standard input or one file, to standard output or to the file `out`."""
    _check_out(source, out, languages[1])
    text = _document(source, settings)
    from_file = source != "-" and exists(source)
    settings = settings if from_file else {"memory": "none", **settings}  # one sentence is sooner asked than looked up
    line = progress_of(as_json or not (from_file or source == "-"))
    with closing(Documents(settings, *languages, line, _model_digests(line))) as documents:
        try:
            translated = documents.translate_one(text)
        finally:
            line.clear()
        stats = documents.stats
    said = f"{folders.write_document(out, translated)} {out}" if out else ""
    if as_json:
        print_json({"text": translated, **({"out": str(out)} if out else {}), **_numbers(stats)})
    elif out is None:
        sys.stdout.write(translated if translated.endswith("\n") or from_file or source == "-" else translated + "\n")
    if said and not as_json:
        print(printable(said), file=sys.stderr)
    if from_file and not as_json:
        print(_summary(stats), file=sys.stderr)


def translate_folder(
    folder: Path, found: Found, settings: dict[str, Any], languages: Languages, out: Path | None, as_json: bool
) -> None:
    """Each document of the folder under its name in `out`. Raises InputError at the end when some could not be translated."""
    if out is None or out.resolve() == folder.resolve() or out.is_file():
        advice = (
            "Add --out DIR." if out is None else f"--out {out} is {'a file' if out.is_file() else 'that folder'}; give another."
        )
        raise RecipeError(f"{folder} is a folder of documents; they go to another folder.", advice)
    originals = {path.resolve() for path in found.documents}
    if over := [path for path in found.documents if (out / path.relative_to(folder)).resolve() in originals]:
        raise RecipeError(
            f"in --out {out}, the translation of {over[0]} would take the place of an original.", "Choose another folder."
        )
    _check_writable(out)
    line = progress_of(as_json)

    def say(text: str) -> None:
        line.clear()
        print(printable(text), file=sys.stderr)

    with closing(Documents(settings, *languages, line, _model_digests(line))) as documents:
        try:
            made = folders.translate_folder(folder, found, out, documents, say)
        finally:
            line.clear()
        stats = documents.stats
        advice = documents.way_out(made.verdicts[0]) if made.verdicts else "Mend those files, then run the same command again."
    _say_left_out(folder, found, say)
    total = made.translated + len(made.failed)
    if as_json:
        numbers = {"documents": total, "translated": made.translated, "failed": made.failed, **_numbers(stats)}
        print_json({**numbers, "left_out": found.others + len(found.data), "data": [str(path) for path in found.data]})
    say(f"{made.translated:,} of {total:,} documents translated; {_summary(stats)}")
    if made.failed:
        others = f", the others are in {out}" if made.translated else ""
        raise InputError(f"{len(made.failed):,} of {total:,} documents could not be translated{others}.", advice)


def _numbers(stats: Counter[str]) -> dict[str, int]:
    return {"segments": stats["segments"], "distinct": stats["distinct"], "remembered": stats["remembered"]}


def _summary(stats: Counter[str]) -> str:
    """How much there was to translate, and how much of it was known before."""
    return f"{several(stats['segments'], 'segment')}, {stats['distinct']:,} distinct, {stats['remembered']:,} remembered"


def _say_left_out(folder: Path, found: Found, say: Callable[[str], None]) -> None:
    """Files of the folder that are no documents: data with what translates it, the others by number."""
    if found.data:
        names = ", ".join(str(path.relative_to(folder)) for path in found.data[:5]) + (", ..." if len(found.data) > 5 else "")
        say(f"left out {len(found.data)} data file(s), {names}; to translate one: hala translate {found.data[0]} --out DIR")
    if found.others:
        say(f"left out {found.others} other file(s); documents end in .md, .markdown or .txt")


def _model_digests(line: Progress) -> Digests:
    """What finds the digests of a step's models; none where nothing is to be remembered.

    A hub that does not answer is said, and costs the memory only: the model may lie in its cache.
    """

    def digests(section: Translate) -> Mapping[str, str]:
        if section.memory == "none" or section.engine == "echo":
            return {}
        step = Step(name="text", verb="translate", settings=section.model_copy(update={"data": ()}))
        try:
            return inputs.input_digests(step, NOWHERE, {}, line.say)
        except InputError as error:
            line.say(f"    nothing is remembered of this: {error.message}")
            return {}

    return digests


def _document(source: str, settings: dict[str, Any]) -> str:
    """The text that INPUT means. Raises InputError where it cannot be read, RecipeError where there is nothing to translate."""
    if source != "-":
        return folders.read_document(Path(source)) if exists(source) else source
    text = folders.decoded(sys.stdin.buffer.read(), "standard input")
    if not text.strip():
        raise RecipeError("standard input is empty.", 'Pipe a text into it: echo "Hello" | hala translate -')
    if "values" not in settings and _is_json_lines(text):
        raise RecipeError(
            "standard input looks like JSON lines, which would come back as they are.",
            "Write them to a file and translate that: hala translate rows.jsonl --out DIR. "
            "For one JSON document, name the keys whose strings are to be translated: --set 'values=[...]'.",
        )
    return text


def _is_json_lines(text: str) -> bool:
    """Whether the first lines are JSON objects, each whole."""
    lines = list(islice((line for line in text.splitlines() if line.strip()), 3))
    try:
        return all(isinstance(json.loads(line.lstrip("\ufeff")), dict) for line in lines)
    except (ValueError, RecursionError):
        return False


def _check_writable(folder: Path) -> None:
    """Raises DiskError where nothing can be written, before a model works for it in vain."""
    there = next((each for each in (folder, *folder.absolute().parents) if os.path.exists(each)), folder)
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise DiskError(f"cannot write below {there}: not permitted.", "Choose another --out, or mend its permissions.")


def _check_out(source: str, out: Path | None, to: str) -> None:
    """Raises InputError or RecipeError for a place that the text must not go to, DiskError for one that it cannot go to."""
    if out is None:
        return
    _check_writable(out.parent)
    if not out.exists():
        return
    from_file = source != "-" and exists(source)
    given = Path(source if from_file else "text.md")
    if from_file and out.samefile(source):
        raise RecipeError(
            f"--out {out} is the source itself.", f"Give another file, for example {given.with_suffix(f'.{to}{given.suffix}')}"
        )
    if out.is_dir():
        example = out / f"{given.stem}.{to}{given.suffix}"
        raise InputError(f"--out {out} is a folder, and a text goes to a file.", f"Give a file, for example --out {example}")
    if not out.is_file():  # a rename would put a file in the place of /dev/null or of a pipe
        raise InputError(f"--out {out} is no ordinary file.", "Leave --out away; the text goes to standard output then.")
