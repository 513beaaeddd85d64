"""Which files a path stands for, and paths that stand for no data although files lie there.

>>> from hala.data.places import data_files
>>> data_files(Path("corpus"))   # doctest: +SKIP
[PosixPath('corpus/rows/000000.parquet')]
"""

from __future__ import annotations

import json
from pathlib import Path

from hala.artifacts import MANIFEST, STARTED
from hala.data.readers import FORMATS, suffix_of
from hala.errors import InputError

_NO_DATA = {MANIFEST, STARTED}


def check_place(path: Path) -> None:
    """Raises InputError for a path without anything, a run, a step that is not finished, and rows that a step rejected."""
    if not path.exists():
        raise InputError(f"no file or folder {path}.", "Check the path.")
    if path.is_file():
        return
    if (path / "recipe.json").exists() and (steps := _steps(path)):
        raise InputError(f"{path} is a run.", f"Name one of its steps with rows: {', '.join(map(str, steps))}.")
    step = path.resolve().parent if path.resolve().name in ("rows", "rejected") else path
    if is_half_done(step):
        raise InputError(
            f"{step} is half done: its rows are not complete.", f"Run {_verb(step)} again first; it goes on where it stopped."
        )
    if _is_rejected(path.resolve()):
        raise InputError(
            f"{path} holds the rows that a step rejected.",
            f"Name {step} for those that it kept; `hala show {step} --rejected` shows these, each with the reason.",
        )


def is_half_done(folder: Path) -> bool:
    """Whether a step was begun here and has not finished."""
    return (folder / STARTED).exists() and not (folder / MANIFEST).exists()


def data_files(path: Path) -> list[Path]:
    """The file itself, or all data files of a folder sorted by name; of a step's folder, those that it kept.

    Raises InputError for a folder without data, and for one with runs or steps somewhere below.
    """
    if path.is_file():
        return [path]
    if (path / "rows").is_dir():  # written by hala: the rejected rows beside them stay out
        path = path / "rows"
    endings = [ending for ending in FORMATS if ending != ".md"]  # beside data lies a README.md; a document is named itself
    found = [each for each in sorted(path.rglob("*")) if suffix_of(each) in endings and each.is_file()]
    if inner := next((each.parent.parent for each in found if _is_rejected(each.parent)), None):
        raise InputError(
            f"{path} holds steps, kept and rejected rows of each.", f"Name the steps one by one, {inner} for example."
        )
    found = [each for each in found if each.name not in _NO_DATA]
    if not found:
        raise InputError(f"{path} holds no data files.", f"Known endings: {' '.join(endings)}, also with .gz or .zst.")
    return found


def _is_rejected(folder: Path) -> bool:
    return folder.name == "rejected" and (folder.parent / "rows").is_dir()


def _steps(run: Path) -> list[Path]:
    """The steps of a run that have rows."""
    return sorted(place.parent for place in run.glob("*/rows") if place.is_dir())


def _verb(step: Path) -> str:
    """What is to be run again."""
    try:
        return f"`hala {json.loads((step / STARTED).read_text(encoding='utf-8'))['verb']}`"
    except (OSError, ValueError, KeyError, TypeError):
        return "it"
