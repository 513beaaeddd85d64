"""What a step is made from, as digests: earlier steps by their manifest, local files by content, hub names by commit.

Benchmarks that ship with hala count by what their files say, and the hub's sets that they read by commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hala import artifacts
from hala.digests import digest_files
from hala.errors import InputError, RecipeError
from hala.recipe import Accepts, Data, Described, EngineSettings, Section, Step, essence
from hala.recipe_file import references

SectionT = TypeVar("SectionT", bound=Section)
SMALL = (".json", ".jinja", ".model", ".txt", ".md")  # tokenizers, templates, settings, licences
_AT_COMMIT = re.compile("@[0-9a-f]{40}$")
NOT_OURS = (artifacts.MANIFEST, artifacts.STARTED)


def input_digests(step: Step, root: Path, before: Mapping[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """Digest of every input of what is made: `$step`, `data:0:PLACE`, `model:1:PLACE`, `benchmark:2:NAME` and the hub's sets of
    that benchmark, `set:3:ID@REVISION`; the number is its place in the section.

    A hub that does not answer is no obstacle where `before`, what the step was made from, holds the commit.
    """
    digests: dict[str, str] = {}
    settings = essence(step.settings)
    needed = {name for _, name, _ in references(settings)}
    for _, name, _ in references(step.settings):
        manifest = artifacts.read_manifest(root / name)
        if manifest is None:
            raise RecipeError(
                f"step {step.name} needs ${name}, which is not finished ({root / name}).", "Run the earlier steps first."
            )
        if name in needed:
            digests[f"${name}"] = manifest.digest
    for number, (kind, value, revision) in enumerate(outside(settings)):
        named = value if isinstance(value, str) else value.path or value.hub or value.world
        key = f"{kind}:{number}:{named}" + (f"@{revision}" if revision else "")
        try:
            digests[key] = _digest(kind, value, revision)
        except InputError as error:
            on_hub = value.hub is not None if isinstance(value, Data) else not Path(value).exists()
            if not (on_hub and before.get(key, "").startswith(f"{named}@")):
                raise
            digests[key] = before[key]
            say(f"    {error.message.rstrip('.')}; taken as it was: {before[key]}")
    return digests


def pinned(section: SectionT, digests: Mapping[str, str]) -> SectionT:
    """The section with every hub dataset at the commit that stands in its inputs, so that a step reads what it was made from."""
    changes: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        parts = tuple(
            _at_commit(item, digests) if isinstance(item, Data) else pinned(item, digests) if isinstance(item, Section) else item
            for item in (value if isinstance(value, tuple) else (value,))
        )
        if any(new is not old for new, old in zip(parts, value if isinstance(value, tuple) else (value,), strict=True)):
            changes[name] = parts if isinstance(value, tuple) else parts[0]
    return section.model_copy(update=changes) if changes else section


def commits(digests: Mapping[str, str]) -> dict[str, str]:
    """`ID` or `ID@REVISION` of a model, or of a set that benchmarks read, on the hub -> the commit that stands for it."""
    named = ((key.split(":", 2)[2], digest) for key, digest in digests.items() if key.startswith(("set:", "model:")))
    return {name: digest.rpartition("@")[2] for name, digest in named if _AT_COMMIT.search(digest)}


def _at_commit(data: Data, digests: Mapping[str, str]) -> Data:
    if data.hub is None:
        return data
    end = f":{data.hub}" + (f"@{data.revision}" if data.revision else "")
    found = next((digest for key, digest in digests.items() if key.startswith("data:") and key.endswith(end)), "")
    return data.model_copy(update={"revision": found.rpartition("@")[2]}) if found else data


def local_places(section: Section) -> Iterator[tuple[str, Path]]:
    """Folders and files that are inputs: ("data" or "model", place)."""
    for kind, value, _ in outside(section):
        place = Path((value.path if isinstance(value, Data) else value) or "").expanduser()
        if kind not in ("name", "benchmark", "suite", "probes") and os.path.exists(place):
            yield kind, place


def sections_of(section: Section) -> Iterator[Section]:
    """The section and those inside it."""
    yield section
    for name in type(section).model_fields:
        value = getattr(section, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Section):
                yield from sections_of(item)


def missing_data(section: Section) -> Iterator[str]:
    """Paths of data, as they were given, where there is nothing."""
    for kind, value, _ in outside(section):
        if kind == "data" and isinstance(value, Data) and value.path and not Path(value.path).expanduser().exists():
            yield value.path


def outside(section: Section) -> Iterator[tuple[str, str | Data, str | None]]:
    """Data, checkpoints and folders of rows that are not steps: (kind, value, revision on the hub)."""
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        kinds = {kind for mark in info.metadata if isinstance(mark, Accepts) for kind in mark.kinds}
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Data):
                if item.ref is None:
                    yield "data", item, item.revision
            elif isinstance(item, Section):
                yield from outside(item)
            elif not isinstance(item, str) or not item or item.startswith("$"):
                continue
            elif kind := _kind_of_name(info.metadata):
                yield kind, item, None
                yield from _hub_sets(kind, item)
            elif "checkpoint" in kinds:
                # A server's model is only a name there, and the echo engine has none.
                named = isinstance(section, EngineSettings) and section.engine in ("server", "echo")
                yield ("name" if named else "model"), item, _revision(section, name)


def _kind_of_name(marks: list[Any]) -> str:
    """What strings of a field name beside checkpoints: a folder of rows, benchmarks, probes, or nothing that is read."""
    if any(isinstance(mark, Accepts) and "rows" in mark.kinds for mark in marks):
        return "rows"
    return next((mark.kind for mark in marks if isinstance(mark, Described)), "")


def _read(kind: str, name: str) -> tuple[Any, ...]:
    """The benchmarks that are read for a name: a suite is asked as it is, elsewhere originals are looked at too."""
    from hala.evals.benchmarks import find_suite, find_with_originals

    return find_suite(name) if kind == "suite" else find_with_originals(name) if kind == "benchmark" else ()


def _hub_sets(kind: str, name: str) -> Iterator[tuple[str, str, str]]:
    for benchmark in _read(kind, name):
        if benchmark.on_hub:
            yield "set", benchmark.source, benchmark.revision


def _revision(section: Section, field: str) -> str | None:
    """The setting that belongs to a model field: `base_revision` beside `base`, else the section's one `revision`."""
    own: str | None = getattr(section, f"{field}_revision", None) or getattr(section, "revision", None)
    return own


def _digest(kind: str, value: str | Data, revision: str | None) -> str:
    if isinstance(value, Data):
        from hala.data.rows import fingerprint

        return fingerprint(value)
    if kind == "name":
        return value
    if kind == "set":
        from hala.data.sources import SourceSpec
        from hala.data.sources import resolve_revision as commit_of

        try:
            return f"{value}@{commit_of(SourceSpec(hub=value, revision=revision))}"
        except InputError as error:
            fix = "Check your connection; offline, write a benchmark's file whose source is a local copy (docs/evaluate.md)."
            raise InputError(error.message, fix) from error
    if kind in ("benchmark", "suite"):
        from hala.evals.benchmarks import said_of

        named = _read(kind, value)
        local = [artifacts.digest_tree(Path(each.source)) for each in named if os.path.exists(each.source)]
        return artifacts.digest_of([*(said_of(each) for each in named), *local])
    if kind == "probes":
        from hala.evals.probes import find_probes

        return find_probes(value).digest
    path = Path(value).expanduser()
    if kind == "rows" and os.path.exists(path):
        made = artifacts.read_manifest(path)
        return made.digest if made is not None else artifacts.digest_tree(path)
    if os.path.exists(path):
        return _tree_digest(path)
    from hala.weights.hub import HUB_NAME, resolve_revision

    return f"{value}@{resolve_revision(value, revision)}" if HUB_NAME.fullmatch(value) else value


def _tree_digest(path: Path) -> str:
    """The digest of a checkpoint: of every byte of its weights and of all its small files; nothing else in its folder counts.

    Another kind of folder, or a file, is read whole. Raises: InputError when the checkpoint is malformed.
    """
    from hala.weights.ctranslate import is_ctranslate

    if not os.path.isfile(path / "config.json") or is_ctranslate(path):
        return artifacts.digest_tree(path)
    from hala.weights.checkpoint import open_checkpoint

    weights = {info.file for info in open_checkpoint(path).tensors.values()}  # its own check comes before any other reader's
    small = {each for each in path.iterdir() if each.suffix in SMALL and each.is_file() and each.name not in NOT_OURS}
    files = sorted(weights | small)
    found = digest_files(files, stay=True)  # the step reads them again
    return artifacts.digest_of({file.name: digest for file, digest in zip(files, found, strict=True)})
