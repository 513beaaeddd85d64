"""Where a checkpoint comes from: the steps that led to it, and every outside model and data set with its licence.

>>> from hala.verbs.lineage import trace
>>> trace("runs/quickstart/hala").terms   # doctest: +SKIP
(Terms(name='world pairs', role='data', licence='CC0-1.0', rows=12000), ...)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hala import artifacts, shards
from hala.artifacts import MANIFEST, Manifest
from hala.errors import InputError
from hala.verbs import trained_for
from hala.verbs.licences import known_model


@dataclass(frozen=True, slots=True, order=True)
class Terms:
    """An outside input: `role` is `base`, `data`, `judge` or `teacher`; `licence` as stated, empty when nobody said it.

    `rows` counts the training rows under that licence, 0 for models. `hub` says that `name` is a hub id.
    """

    role: str
    name: str
    licence: str
    rows: int = 0
    hub: bool = False


@dataclass
class Lineage:
    """`steps` in the order of making (folder -> manifest), the outside inputs, and the hub names of all data on the way."""

    steps: dict[Path, Manifest] = field(default_factory=dict)
    found: dict[Terms, None] = field(default_factory=dict)
    datasets: dict[str, None] = field(default_factory=dict)
    begun: set[tuple[Path, str]] = field(default_factory=set)

    @property
    def terms(self) -> tuple[Terms, ...]:
        """The outside inputs, each once: bases, then data, judges and teachers."""
        return tuple(sorted(self.found))

    def data_steps(self) -> dict[Path, Manifest]:
        """The steps that made rows."""
        return {folder: manifest for folder, manifest in self.steps.items() if manifest.kind == "rows"}


def trace(model: str | Path, data: Iterable[str | Path] = (), licence: str = "") -> Lineage:
    """The lineage of the checkpoint in folder `model`, with further folders of rows that it was trained on.

    `licence` is that of the base weights, where the caller knows it.
    """
    lineage = Lineage()
    _model(lineage, Path(model), "base", licence)
    for folder in data:
        _rows(lineage, Path(folder), counted=True)
    return lineage


def _place(reference: str, beside: Path) -> Path:
    """The folder of `$step` in the run of the step `beside`; a path or hub id as it is."""
    return beside.parent / reference[1:] if reference.startswith("$") else Path(reference)


def _model(lineage: Lineage, folder: Path, role: str, licence: str) -> None:
    if (folder, role) in lineage.begun:
        return
    lineage.begun.add((folder, role))
    manifest = artifacts.read_manifest(folder)
    if manifest is None and (folder.parent / MANIFEST).exists():  # one of several merged checkpoints, NAME/t-0.25
        folder, manifest = folder.parent, artifacts.read_manifest(folder.parent)
    if manifest is None:
        _outside_model(lineage, folder, role, licence)
        return
    config = manifest.config
    for key in ("base", "tuned", "model"):
        if config.get(key) and manifest.verb in ("tune", "merge", "compress"):
            for model in config[key] if isinstance(config[key], list) else [config[key]]:
                _model(lineage, _place(model, folder), role, licence)
    if manifest.verb == "tune":
        for entry in config.get("data", []):
            _data(lineage, entry, folder)
    lineage.steps.setdefault(folder, manifest)


def _outside_model(lineage: Lineage, folder: Path, role: str, licence: str) -> None:
    """A folder or hub id that no step made. What hala trained elsewhere lists the licences of its data in hala.json."""
    stated = licence if role == "base" else ""
    if folder.is_dir():
        stated = stated or trained_for(str(folder)).get("licence", "") or card_licence(folder)
        about = _about(folder)
        for each in about.get("data_licences", []):
            lineage.found.setdefault(Terms("data", f"training data of {folder.name}", str(each)))
        if not stated and about.get("data_licences") and not about.get("base"):
            return  # trained by hala: bound by its data alone
        lineage.found.setdefault(Terms(role, folder.name, stated))
    else:
        name = folder.as_posix()
        lineage.found.setdefault(Terms(role, name, stated or known_model(name), hub=True))


def _about(folder: Path) -> dict[str, Any]:
    from hala.weights.headers import read_json

    file = folder / "hala.json"
    return read_json(file) if file.is_file() else {}


def card_licence(folder: Path) -> str:
    """The licence in the front matter of the folder's README.md, or an empty string."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    card = folder / "README.md"
    parts = card.read_text(encoding="utf-8", errors="replace").split("---", 2) if card.is_file() else []
    if len(parts) < 3 or parts[0].strip():
        return ""
    try:
        front = YAML(typ="safe", pure=True).load(parts[1])
    except YAMLError as error:
        raise InputError(
            f"the front matter of {card} is not YAML ({error}).", "Mend it, or name the licence: --licence."
        ) from None
    stated = front.get("license", "") if isinstance(front, Mapping) else ""
    return str(front.get("license_name", "") if stated == "other" else stated or "")


def _data(lineage: Lineage, entry: Mapping[str, Any], beside: Path) -> None:
    """One entry under `data:` of a tune step."""
    if (step := _step_of(entry, beside)) is not None:
        _rows(lineage, step, counted=True)
    else:
        _outside_data(lineage, entry, beside)


def _outside_data(lineage: Lineage, entry: Mapping[str, Any], beside: Path) -> None:
    """Data that a tune step read itself: the recipe names the licence, else the rows did, as its hala.json lists."""
    name = f"hala world: {entry['world']}" if entry.get("world") else str(entry.get("hub") or Path(str(entry.get("path"))).name)
    if entry.get("hub"):
        lineage.datasets.setdefault(name)
    stated = [entry.get("licence") or ("CC0-1.0" if entry.get("world") else "")]
    if not stated[0]:
        stated = _about(beside).get("data_licences") or stated
    for licence in stated:
        lineage.found.setdefault(Terms("data", name, str(licence), hub=bool(entry.get("hub"))))


def _rows(lineage: Lineage, folder: Path, counted: bool) -> None:
    """A step that made rows. Licences are `counted` where training read them; before that only teachers and judges matter."""
    visit = (folder, "rows, counted" if counted else "rows")
    if visit in lineage.begun:
        return
    lineage.begun.add(visit)
    manifest = artifacts.read_manifest(folder)
    if manifest is None:
        raise InputError(f"{folder} is not a finished data step.", "Name a folder made by `hala translate` or `hala filter`.")
    parts = [manifest.config, *manifest.config.get("parts", [])]  # of a mix
    for entry in (entry for part in parts for entry in part.get("data", [])):
        if (step := _step_of(entry, folder)) is not None:
            _rows(lineage, step, counted=False)
        elif entry.get("hub"):
            lineage.datasets.setdefault(str(entry["hub"]))
    if manifest.verb == "translate" and manifest.config.get("model") and manifest.config.get("engine") != "echo":
        _model(lineage, _place(manifest.config["model"], folder), "teacher", "")
    judge = manifest.config.get("judge") or {}
    if judge.get("model") and judge.get("engine") != "echo":
        _model(lineage, _place(judge["model"], folder), "judge", "")
    lineage.steps.setdefault(folder, manifest)
    if counted:
        for licence, number in sorted(count_licences(folder).items()):
            lineage.found.setdefault(Terms("data", f"rows of {manifest.step}", licence, number))


def _step_of(entry: Mapping[str, Any], beside: Path) -> Path | None:
    """The folder of the step that an entry under `data:` reads, named as `$step` or by its path; None of other data."""
    if entry.get("ref"):
        return _place(str(entry["ref"]), beside)
    place = Path(str(entry.get("path") or ""))
    return place if entry.get("path") and (place / MANIFEST).exists() else None


def count_licences(folder: Path) -> Counter[str]:
    """Kept rows by licence; one column is read, so a large corpus costs seconds."""
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    for file in shards.row_files(folder):
        column = pq.read_table(file, columns=["licence"])["licence"]
        for entry in column.value_counts().to_pylist():
            counts[entry["values"] or ""] += entry["counts"]
    return counts
