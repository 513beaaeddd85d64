"""The only code that touches manifests, and atomic writes and digests beside; rows are in `hala.shards`.

A step's folder holds its files and, written last, `manifest.json`: its existence means that the step is finished.
While a step runs, `started.json` says for which settings.

>>> from hala.artifacts import digest_of
>>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
True
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hala.digests import digest_file as digest_file
from hala.digests import digest_files, take
from hala.errors import CorruptError, DiskError

MANIFEST = "manifest.json"
STARTED = "started.json"
SCRATCH = ".work"
LOCK = ".lock"
TRACES = {STARTED, f".{STARTED}.tmp", LOCK}  # what a step leaves before it has made anything
FORMAT = 2
DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
OS_ERROR = re.compile(r"\(os error (\d+)\)")


@dataclass(frozen=True)
class Manifest:
    """What a finished step was made of and what it made. `digest` covers the files; clock and versions stay outside it."""

    step: str
    verb: str
    kind: str
    config: dict[str, Any]
    inputs: dict[str, str]
    fingerprint: str
    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    digest: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    format: int = FORMAT


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full, read-only or failing disk into DiskError; what is finished stays finished."""
    try:
        yield
    except Exception as error:
        told = OS_ERROR.search(str(error))  # what a library in Rust makes of it
        number = getattr(error, "errno", None) or (int(told[1]) if told else None)
        if isinstance(error, DiskError) or not (number in DISK_ERRNOS or "No space left on device" in str(error)):
            raise
        raise DiskError(
            f"cannot write below {path}: {os.strerror(number) if number in DISK_ERRNOS else error}.",
            "Finished parts are safe. Make room and run the same command again to continue.",
        ) from error


def make_folder(folder: Path) -> None:
    """The folder exists afterwards. Raises DiskError where it may not or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"cannot make the folder {folder}: {error.strerror}.", "Choose another --out, or make room there."
        ) from None


def sync(path: Path) -> None:
    """Makes the bytes of a file, or the renames inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes `path`, synced, when the block ends, and vanishes when it fails."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with disk_errors(path.parent):
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    except PermissionError as error:
        if error.filename is not None and Path(error.filename).parent != path.parent:
            raise
        raise DiskError(f"cannot write {path}: {error.strerror}.", "Choose another --out, or mend its permissions.") from None
    finally:
        with suppress(PermissionError):  # then there is none
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Sorted, indented UTF-8 JSON, written atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def digest_of(value: Any) -> str:
    """SHA-256 of the value's canonical JSON."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_tree(folder: Path) -> str:
    """One digest over the names and contents of a folder's files (or of one file), hidden ones left out."""
    if folder.is_file():
        return digest_file(folder)
    return digest_of({name: entry["xxh128"] for name, entry in list_files(folder).items()})


def list_files(folder: Path, known: Callable[[Path], str | None] = lambda _: None) -> dict[str, dict[str, Any]]:
    """Relative name -> bytes and xxh128 of each file, sorted; manifests and hidden files left out.

    Files whose digest is `known` are not read.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and relative.name not in (MANIFEST, STARTED):
            paths[relative.as_posix()] = path
    found = {name: known(path) for name, path in paths.items()}
    unread = [name for name, digest in found.items() if digest is None]
    found |= dict(zip(unread, digest_files([paths[name] for name in unread]), strict=True))
    return {name: {"bytes": path.stat().st_size, "xxh128": found[name]} for name, path in paths.items()}


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished step, or None. Raises CorruptError when it cannot be read."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**content)
    except (ValueError, TypeError) as error:
        raise CorruptError(f"{path} cannot be read ({error}).", f"Remove {folder} to make the step again.") from None


def finish(folder: Path, manifest: Manifest) -> Manifest:
    """Digest the files, write the manifest as the last act, remove scratch; returns the complete manifest."""
    for orphan in folder.rglob(".*.tmp"):  # left by a kill in the middle of a write
        orphan.unlink()
    files = list_files(folder, take)
    digest = digest_of({name: entry["xxh128"] for name, entry in files.items()})
    complete = Manifest(**{**asdict(manifest), "files": files, "digest": digest})
    write_json(folder / MANIFEST, asdict(complete))
    tidy(folder)
    return complete


def amend(folder: Path, manifest: Manifest, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes a finished step's manifest again with what was learned about it since; files and digest stay as they are."""
    write_json(folder / MANIFEST, asdict(manifest) | {"config": config, "facts": manifest.facts | dict(facts)})


def made_nothing(folder: Path) -> bool:
    """Whether a begun step has no file yet but its mark and its lock, so that nothing would be lost with it."""
    return not any(path.is_file() for path in folder.rglob("*") if path.name not in TRACES)


def forget(folder: Path) -> None:
    """Removes the traces of a step that made nothing: its mark, and folders that are empty then."""
    for name in TRACES - {LOCK}:
        (folder / name).unlink(missing_ok=True)
    inner = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for each in (*inner, folder):
        if not any(each.iterdir()):
            each.rmdir()


def tidy(folder: Path) -> None:
    """Removes what only a resume needs. After the manifest, so that a kill in between costs nothing."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    for name in (STARTED, f".{MANIFEST}.tmp"):
        (folder / name).unlink(missing_ok=True)


def check_files(folder: Path, manifest: Manifest, full: bool = False) -> list[str]:
    """What is wrong with a finished step's files: missing, another size and, when `full`, another digest."""
    wrong = []
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != entry["bytes"]:
            wrong.append(f"{name} has {path.stat().st_size} bytes instead of {entry['bytes']}")
        elif full and digest_file(path) != entry["xxh128"]:
            wrong.append(f"{name} has changed")
    return wrong
