"""A folder of documents into another one: each is written as soon as it is done, and one that fails fails alone.

A hidden file of the result holds the digest of each translation, so that one which somebody has corrected is not written over.

>>> from hala.verbs.folders import look_into
>>> look_into(Path("docs")).documents   # doctest: +SKIP
[PosixPath('docs/design.md'), PosixPath('docs/guide.txt')]
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hala.artifacts import atomic_file, disk_errors, make_folder
from hala.data.readers import FORMATS, suffix_of
from hala.errors import DiskError, InputError
from hala.records import Verdict
from hala.verbs.documents import Documents, is_document

Say = Callable[[str], None]
WRITTEN = ".hala.jsonl"  # in the folder of the result: a line for each document that was written


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


class Written:
    """What hala has written into a folder, by name: whatever else lies there is somebody's own."""

    def __init__(self, out: Path) -> None:
        self.out, self.file = out, out / WRITTEN
        self.digests: dict[str, set[str]] = {}
        try:
            data = self.file.read_bytes() if self.file.is_file() else b""
        except OSError as error:
            raise InputError(f"{self.file} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
        self.torn = bool(data) and not data.endswith(b"\n")  # a run was killed while it wrote
        for line in data.splitlines():
            with suppress(ValueError, AttributeError):
                for name, digest in json.loads(line).items():
                    self.digests.setdefault(name, set()).add(digest)

    def write(self, name: Path, text: str) -> str:
        """Writes a translation: `wrote`, `replaced` or `unchanged`. Raises InputError for somebody's own file, DiskError."""
        path, data = self.out / name, text.encode("utf-8", "surrogateescape")
        known = self.digests.setdefault(str(name), set())
        try:
            digest, before = _digest(data), _digest(path.read_bytes()) if path.is_file() else ""
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
        if before and before != digest and before not in known:
            raise InputError(f"{path} is not as hala wrote it, and stays.", "Move it away to have it translated again.")
        if digest not in known:  # noted first, so that a kill leaves no translation that is nobody's
            known.add(digest)
            make_folder(self.out)
            with disk_errors(self.out), self.file.open("a", encoding="utf-8") as stream:
                stream.write("\n" * self.torn + json.dumps({str(name): digest}) + "\n")
            self.torn = False
        return "unchanged" if before == digest else write_document(path, text)


def _digest(data: bytes) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(data)


def translate_folder(folder: Path, found: Found, out: Path, documents: Documents, say: Say) -> Made:
    """Each document under its name in `out`, written as soon as it is done; `say` hears of each. Raises DiskError.

    A translation that somebody has changed since counts as failed, and stays as it is.
    """
    made, taken, written = Made(), [], Written(out)

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
        name = path.relative_to(folder)
        try:
            said = written.write(name, result.text)
        except InputError as error:
            failed(path, error.message)
            continue
        made.translated += 1
        say(f"{said} {out / name}")
    return made
