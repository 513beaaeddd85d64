"""A run as it lies on disk, or a step that was made alone: its steps, its report, and whether every byte is still there.

>>> from hala.runs import verify
>>> verify(Path("runs/quickstart"))   # doctest: +SKIP
{'student': [], 'merged': ['model.safetensors has changed']}
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hala import artifacts
from hala.artifacts import MANIFEST, STARTED, Manifest
from hala.errors import CorruptError, InputError
from hala.staging import lock, unfinished


def step_verbs(root: Path) -> dict[str, str]:
    """Verb of each step of a run, in the recipe's order. Raises: InputError where no run is, CorruptError."""
    plan = root / "recipe.json"
    if not plan.exists():
        raise InputError(f"{root} is not a run (no recipe.json).", "Name a folder made by `hala run`.")
    try:
        content = json.loads(plan.read_text(encoding="utf-8"))
        return {name: content["steps"][name]["verb"] for name in content["order"]}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{plan} cannot be read ({error}).", "Run the recipe again to write it anew.") from None


def steps_of(root: Path) -> list[tuple[str, str, Manifest | None]]:
    """(name, verb, manifest if finished) of each step of a run, in the recipe's order."""
    return [(name, verb, artifacts.read_manifest(root / name)) for name, verb in step_verbs(root).items()]


def write_report(root: Path) -> None:
    """`report.html` at the top of the run, from whatever manifests are there."""
    from hala.verbs import report

    page = report.render(root)
    with artifacts.atomic_file(root / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def verify(root: Path) -> dict[str, list[str]]:
    """Step -> what is wrong with its files, every byte read; steps that are whole have an empty list."""
    return {name: wrong for name, folder in _folders(root).items() if (wrong := _damage(folder)) is not None}


def repair(root: Path) -> list[str]:
    """Removes damaged steps so that the next run makes them again; returns their names."""
    folders = _folders(root)  # a folder that is no run gets no lock file
    with lock(root):
        damaged = [name for name, wrong in verify(root).items() if wrong]
        for name in damaged:
            shutil.rmtree(folders[name])
    return damaged


def _folders(root: Path) -> dict[str, Path]:
    """The folder of each step of a run; a finished step that was made alone is its own."""
    if (root / MANIFEST).exists():
        return {root.resolve().name: root}
    if any((place / STARTED).exists() for place in (root, unfinished(root))):
        fix = f"Run the same command again to finish it; `hala status {root}` tells how far it is."
        raise InputError(f"{root} is half done; only finished steps can be verified or repaired.", fix)
    return {name: root / name for name in step_verbs(root)}


def _damage(folder: Path) -> list[str] | None:
    """What is wrong with a finished step, every byte read; None when it is not finished."""
    try:
        manifest = artifacts.read_manifest(folder)
    except CorruptError as error:
        return [error.message]
    return None if manifest is None else artifacts.check_files(folder, manifest, full=True)
