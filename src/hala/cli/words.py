"""What the commands share: their common options, words into settings, and one verb run alone.

>>> settings_of(["new.hidden_size=64"], data="pairs.jsonl")
{'data': 'pairs.jsonl', 'new': {'hidden_size': 64}}
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hala.progress import Progress
    from hala.recipe import Data

SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeat as needed.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the result.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on the terminal.")]


def progress_of(quiet: bool = False) -> Progress:
    """The live line on the terminal, or silence."""
    from hala.progress import Progress

    return Progress(quiet=quiet)


def settings_of(overrides: list[str] | None, **given: Any) -> dict[str, Any]:
    """The named options that were given, then `--set key=value` with YAML values. Raises RecipeError for other words."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from hala.errors import RecipeError

    settings: dict[str, Any] = {key: value for key, value in given.items() if value not in (None, [], ())}
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals:
            raise RecipeError(f"--set {override!r} is not key=value.", "For example: --set epochs=2")
        target: Any = settings
        *parents, last = key.split(".")
        if parents[:1] == ["data"] and isinstance(settings.get("data"), str):  # the file that was named, and more about it
            settings["data"] = _about(settings["data"])
        for parent in parents:
            listed = isinstance(target, list) and parent.isdigit() and int(parent) < len(target)  # parts.0.end
            if listed and parents[0] in ("pairs", "questions") and isinstance(target[int(parent)], str):
                target[int(parent)] = _about(target[int(parent)])
            target = target[int(parent)] if listed else target.setdefault(parent, {}) if isinstance(target, dict) else None
            if not isinstance(target, dict | list):
                raise RecipeError(
                    f"--set {key}: '{parent}' is {target!r} and has no keys.", f"Give all of it: --set '{parent}={{...}}'"
                )
        if isinstance(target, list):
            raise RecipeError(
                f"--set {key}: '{parents[-1]}' is a list; name a place in it.",
                f"For example: --set {'.'.join(parents)}.0.KEY=VALUE",
            )
        try:
            target[last] = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise RecipeError(f"--set {key}: cannot read {value!r}: {getattr(error, 'problem', error)}.") from None
    return settings


def _about(named: str) -> dict[str, Any]:
    """A file or step that was named, as a mapping that takes more keys."""
    return {"ref" if named.startswith("$") else "path": named}


def one_of(option: str, values: list[str] | None) -> str | None:
    """The value of an option that is given at most once. Raises: RecipeError when it is given again."""
    from hala.errors import RecipeError

    if values and len(values) > 1:
        raise RecipeError(f"{option} is given {len(values)} times ({', '.join(values)}).", "Give one; run the command for each.")
    return values[0] if values else None


def data_of(place: Path, overrides: list[str] | None) -> Data:
    """A file or folder with what `--set data.KEY=VALUE` says about it. Raises RecipeError for another key."""
    from hala.errors import RecipeError
    from hala.recipe import Filter
    from hala.recipe_file import from_content

    settings = settings_of(overrides, data=str(place))
    if others := sorted(settings.keys() - {"data"}):
        raise RecipeError(f"--set {others[0]} does nothing here.", "Say more about the data: --set data.KEY=VALUE")
    section = from_content({"name": "single", "steps": {"filter": {"filter": settings}}}).steps["filter"].settings
    assert isinstance(section, Filter)
    return section.data[0]


def exists(source: str) -> bool:
    """Whether the words name a file or folder; a long text is no name at all."""
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False


def run_verb(verb: str, out: Path, settings: dict[str, Any], as_json: bool = False, **languages: str) -> None:
    """Run one verb and print what came out; `languages` are `source` and `target`."""
    from hala import artifacts, pipeline

    folder = pipeline.run_verb(verb, settings, out, progress_of(as_json), languages)
    manifest = artifacts.read_manifest(folder)
    assert manifest is not None
    if as_json:
        print_json({"out": str(folder), "counts": manifest.counts, "facts": manifest.facts, "digest": manifest.digest})
    else:
        from hala.verbs.report import describe

        print(describe(manifest, folder))


def print_json(value: Any) -> None:
    """Sorted JSON on standard output, for scripts."""
    import json

    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    print(text.encode("utf-8", "backslashreplace").decode())  # a file name of other bytes becomes an escape that JSON knows


def page(texts: Iterable[str]) -> None:
    """Shows texts in $PAGER (else `less`), as many as are looked at; without a pager they are printed."""
    command = shlex.split(os.environ.get("PAGER") or "less")
    if not command or shutil.which(command[0]) is None:
        sys.stdout.writelines(f"{text}\n" for text in texts)
        return
    # -F: what fits on the screen needs no pager; -X: it stays there.
    env = {"LESS": "-FX", "LESSCHARSET": "utf-8", **os.environ}
    pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=env, encoding="utf-8", errors="replace")
    assert pager.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # looked at enough
            pager.stdin.writelines(f"{text}\n" for text in texts)
    finally:
        with contextlib.suppress(BrokenPipeError):
            pager.stdin.close()
        pager.wait()
