"""A folder of documents into another one: each is written as soon as it is done, and one that fails fails alone.

>>> from hala.verbs.folders import look_into
>>> look_into(Path("docs")).documents   # doctest: +SKIP
[PosixPath('docs/design.md'), PosixPath('docs/guide.txt')]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hala.artifacts import atomic_file
from hala.data.readers import FORMATS, suffix_of
from hala.errors import DiskError, InputError
from hala.records import Verdict
from hala.verbs.documents import Documents, is_document

Say = Callable[[str], None]


@dataclass
class Found:
    """Files below a folder, sorted: documents, data, how many others, and what cannot be looked into, with the reason."""

    documents: list[Path] = field(default_factory=list)
    data: list[Path] = field(default_factory=list)
    others: int = 0
    closed: dict[Path, str] = field(default_factory=dict)


@dataclass
class Made:
    """What became of the documents: how many were translated, why the failed ones failed, and what may help them."""

    translated: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)


def look_into(folder: Path, without: Path | None = None) -> Found:
    """What lies below the folder; hidden files and the folder `without`, where translations go, are left out."""
    found = Found()
    apart = without.resolve() if without else None

    def closed(error: OSError) -> None:
        found.closed[Path(error.filename)] = f"cannot be looked into: {error.strerror}"

    for place, folders, names in os.walk(folder, onerror=closed):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() != apart]
        for path in (here / name for name in names if not name.startswith(".")):
            if is_document(path) and (path.is_file() or path.is_symlink()):  # a broken link is named when it is read
                found.documents.append(path)
            elif suffix_of(path) in FORMATS:
                found.data.append(path)
            else:
                found.others += 1
    found.documents.sort()
    found.data.sort()
    return found


def read_document(path: Path) -> str:
    """The file as text, its line ends untouched. Raises InputError where it cannot be read or is not UTF-8."""
    try:
        return decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None


def decoded(data: bytes, name: str) -> str:
    """The bytes as text. Raises InputError where they are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 (byte {error.start}).", "Convert it to UTF-8 first.") from None


def write_document(path: Path, text: str) -> str:
    """Writes the text byte for byte; `wrote`, or `replaced` where there was a file. Raises DiskError, InputError."""
    said = "replaced" if path.exists() else "wrote"
    try:
        with atomic_file(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
    except DiskError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", "Choose another name.") from None
    return said


def translate_folder(folder: Path, found: Found, out: Path, documents: Documents, say: Say) -> Made:
    """Each document under its name in `out`, written as soon as it is done; `say` hears of each. Raises DiskError."""
    made, taken = Made(), []

    def failed(path: Path, why: str) -> None:
        name = str(path.relative_to(folder))
        made.failed[name] = why
        say(f"failed {name}: {why}")

    def texts() -> Iterator[str]:
        for path in found.documents:
            try:
                text = read_document(path)
            except InputError as error:
                failed(path, error.message)
                continue
            taken.append(path)
            yield text

    for path, why in found.closed.items():
        failed(path, why)
    for place, result in documents.translate(texts(), len(found.documents)):
        path = taken[place]
        if not result.verdict.kept:
            made.verdicts.append(result.verdict)
            failed(path, documents.why(place, result))
            continue
        target = out / path.relative_to(folder)
        try:
            said = write_document(target, result.text)
        except InputError as error:
            failed(path, error.message)
            continue
        made.translated += 1
        say(f"{said} {target}")
    return made
