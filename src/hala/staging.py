"""Who works where: the lock on a folder, and the hidden folder beside it in which a single step grows until it is complete.

>>> from hala.staging import unfinished
>>> unfinished(Path("/models/small")).name
'.small.unfinished'
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from hala.artifacts import LOCK, MANIFEST, STARTED, make_folder, sync
from hala.errors import DiskError, LockedError

TRIES, PAUSE = 5, 0.02  # seconds; whoever asks for the holder has the lock for a moment


@contextmanager
def lock(folder: Path, later: Path | None = None) -> Iterator[Path]:
    """The folder, made where it is missing, held for this process; the kernel lets go when the process dies.

    What the lock made goes with it: its file, and folders that are still empty. `later` is a name that the folder may get
    meanwhile. Raises: LockedError when another process holds it, DiskError when it cannot be written to.
    """
    stream, made = _take(folder)
    try:
        yield folder
    finally:
        for place in (folder, later or folder):
            if _is_file(stream, place / LOCK):
                with contextlib.suppress(OSError):
                    (place / LOCK).unlink()
        stream.close()
        _remove_empty(made)


def holder(folder: Path) -> str | None:
    """The id of the other process that holds the folder; None when none does."""
    try:
        stream = (folder / LOCK).open("r")
    except OSError:
        return None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            process = stream.read().strip() or "unknown"
            return None if process == str(os.getpid()) else process
    return None


def _take(folder: Path) -> tuple[TextIO, list[Path]]:
    """The locked file and the folders made for it, innermost first."""
    process = "unknown"
    for attempt in range(TRIES):
        made = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
        try:
            make_folder(folder)
            stream = (folder / LOCK).open("a+")
        except FileNotFoundError:  # its holder has just finished and renamed or removed the folder
            continue
        except DiskError:
            _remove_empty(made)
            raise
        except OSError as error:
            _remove_empty(made)
            raise DiskError(
                f"cannot write below {folder}: {error.strerror}.", "Choose another --out, or make room there."
            ) from None
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            process = stream.read().strip() or "unknown"
            stream.close()
            time.sleep(PAUSE if attempt + 1 < TRIES else 0)
            continue
        if _is_file(stream, folder / LOCK):
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            return stream, made
        stream.close()  # its holder has just removed it: nobody else would see this lock
    raise LockedError(f"{folder} is in use by process {process}.", "Wait for it, or choose another --out.")


def _remove_empty(folders: list[Path]) -> None:
    """Removes those of the folders that exist, innermost first, up to one with something in it."""
    with contextlib.suppress(OSError):
        for each in filter(os.path.isdir, folders):
            each.rmdir()


def _is_file(stream: TextIO, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


def unfinished(out: Path) -> Path:
    """The hidden folder beside `out` that gets the name `out` when it is complete."""
    real = Path(os.path.realpath(out))
    return real.with_name(f".{real.name}.unfinished")


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A locked folder to work in; when the block ends without an error it is `out`, so `out` is absent or complete.

    A folder `out` that exists is worked in itself: nobody but its owner may replace it. Raises: LockedError, DiskError.
    """
    hidden, real = unfinished(out), Path(os.path.realpath(out))
    with ExitStack() as stack:
        place = _place(out, hidden)
        stack.enter_context(lock(place, real))
        if place != _place(out, hidden):  # another process has finished it in between
            stack.close()
            place = out
            stack.enter_context(lock(place))
        yield place
        if place == hidden:
            try:
                os.rename(hidden, real)
            except OSError as error:
                raise DiskError(
                    f"{hidden} is finished, but cannot get the name {real}: {error.strerror}.", "Rename it, then all is done."
                ) from None
            sync(real.parent)


def _place(out: Path, hidden: Path) -> Path:
    """`out` where it exists; yet an empty one gives way to a hidden folder that was begun before."""
    if not os.path.exists(out):
        return hidden
    begun = any((hidden / mark).exists() for mark in (STARTED, MANIFEST))
    return hidden if begun and _is_empty(out) else out


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:  # no folder, or not ours to read: the lock says so in its own words
        return False
