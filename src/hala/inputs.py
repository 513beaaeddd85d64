"""What a step is made from, as digests: earlier steps by their manifest, local files by content, hub names by commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.errors import InputError, RecipeError
from hala.recipe import Accepts, Data, EngineSettings, Section, Step
from hala.recipe_file import references

CACHE = ".digests.json"
SMALL, SMALL_BYTES = (".json", ".jinja", ".model", ".txt", ".md"), 100_000_000  # tokenizers, templates, settings, licences


def input_digests(step: Step, root: Path, before: Mapping[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """Digest of every input: `$step`, `data:0:PLACE`, `model:1:PLACE`; the number is the input's place in the section.

    A hub that does not answer is no obstacle where `before`, what the step was made from, holds the commit.
    """
    digests: dict[str, str] = {}
    for _, name, _ in references(step.settings):
        manifest = artifacts.read_manifest(root / name)
        if manifest is None:
            raise RecipeError(
                f"step {step.name} needs ${name}, which is not finished ({root / name}).", "Run the earlier steps first."
            )
        digests[f"${name}"] = manifest.digest
    for number, (kind, value, revision) in enumerate(_outside(step.settings)):
        named = value if isinstance(value, str) else value.path or value.hub or value.world
        key = f"{kind}:{number}:{named}" + (f"@{revision}" if revision else "")
        try:
            digests[key] = _digest(kind, value, revision, root)
        except InputError as error:
            on_hub = value.hub is not None if isinstance(value, Data) else not Path(value).exists()
            if not (on_hub and before.get(key, "").startswith(f"{named}@")):
                raise
            digests[key] = before[key]
            say(f"    {error.message.rstrip('.')}; taken as it was: {before[key]}")
    return digests


def _outside(section: Section) -> Iterator[tuple[str, str | Data, str | None]]:
    """Data and checkpoints that are not steps: (kind, value, revision on the hub)."""
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        holds_model = any(isinstance(mark, Accepts) and "checkpoint" in mark.kinds for mark in info.metadata)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Data):
                if item.ref is None:
                    yield "data", item, item.revision
            elif isinstance(item, Section):
                yield from _outside(item)
            elif holds_model and isinstance(item, str) and item and not item.startswith("$"):
                # A server's model is only a name there, and the echo engine has none.
                named = isinstance(section, EngineSettings) and section.engine in ("server", "echo")
                yield ("name" if named else "model"), item, _revision(section, name)


def _revision(section: Section, field: str) -> str | None:
    """The setting that belongs to a model field: `base_revision` beside `base`, else the section's one `revision`."""
    own: str | None = getattr(section, f"{field}_revision", None) or getattr(section, "revision", None)
    return own


def _digest(kind: str, value: str | Data, revision: str | None, root: Path) -> str:
    if isinstance(value, Data):
        from hala.data.rows import fingerprint

        return fingerprint(value)
    if kind == "name":
        return value
    path = Path(value).expanduser()
    if path.exists():
        return _tree_digest(path, root)
    from hala.weights.hub import HUB_NAME, resolve_revision

    return f"{value}@{resolve_revision(value, revision)}" if HUB_NAME.fullmatch(value) else value


def _tree_digest(path: Path, root: Path) -> str:
    """The digest of a checkpoint: of a part of each tensor, and of all its small files. Another kind of folder is read whole.

    A run remembers it, and reads again when a name, size or time has changed.
    """
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    seen = [[str(each.relative_to(path)), each.stat().st_size, each.stat().st_mtime_ns] for each in files]
    key, cache = str(path.resolve()), _read_cache(root)
    if key in cache and cache[key].get("files") == seen:
        return str(cache[key]["digest"])
    digest = _checkpoint_digest(path) if (path / "config.json").is_file() else artifacts.digest_tree(path)
    if (root / "recipe.json").exists():  # the parent folder of a single step's --out may be anyone's
        artifacts.write_json(root / CACHE, {**cache, key: {"files": seen, "digest": digest}})
    return digest


def _checkpoint_digest(path: Path) -> str:
    """Cheap for any size of model; the first check of a checkpoint too. Raises: InputError when it is malformed."""
    from hala.weights.checkpoint import fingerprint, open_checkpoint

    small = [each for each in sorted(path.iterdir()) if each.suffix in SMALL and each.is_file()]
    digests = {each.name: artifacts.digest_file(each) for each in small if each.stat().st_size < SMALL_BYTES}
    return artifacts.digest_of({"tensors": fingerprint(open_checkpoint(path)), "files": digests})


def _read_cache(root: Path) -> dict[str, Any]:
    """The remembered digests; an unreadable file is as good as none."""
    try:
        content = json.loads((root / CACHE).read_text(encoding="utf-8"))
        return {key: value for key, value in content.items() if isinstance(value, dict) and "digest" in value}
    except (OSError, ValueError, AttributeError):
        return {}
