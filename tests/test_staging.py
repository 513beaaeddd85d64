"""Who works where: one process at a time, a folder that is absent or complete, and no trace of what was refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hala
from hala import staging
from hala.artifacts import MANIFEST, STARTED
from hala.errors import DiskError, LockedError

HOLDER = """
import sys
from pathlib import Path
from hala.staging import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process that holds the folder; it dies at the end."""
    environment = {**os.environ, "PYTHONPATH": str(Path(hala.__file__).parents[1])}
    words = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden things too."""
    return sorted(path.name for path in folder.iterdir())


def test_lock_of_another_process_is_respected_and_dies_with_it(tmp_path: Path) -> None:
    """The second process is told at once who holds the run; after a SIGKILL of the first the run is free."""
    with held_elsewhere(tmp_path) as process:
        with pytest.raises(LockedError, match=rf"in use by process {process.pid}"), staging.lock(tmp_path):
            pass
        assert staging.holder(tmp_path) == str(process.pid)
    assert staging.holder(tmp_path) is None
    with staging.lock(tmp_path):
        assert staging.holder(tmp_path) is None  # it is this process itself
    assert names(tmp_path) == []


def test_lock_is_free_again_after_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """A step that fails does not lock its own continuation out, and folders made for it go; those of others stay."""
    (tmp_path / "theirs").mkdir()
    for folder in (tmp_path / "a/b/c", tmp_path / "theirs"):
        for _ in range(2):
            with pytest.raises(ValueError, match="x"), staging.lock(folder):
                assert names(folder) == [".lock"]
                raise ValueError("x")
    assert names(tmp_path) == ["theirs"] and names(tmp_path / "theirs") == []


def test_no_two_hold_a_lock_whose_file_comes_and_goes(tmp_path: Path) -> None:
    """Whoever opened the file just before its holder removed it does not believe to have the lock."""
    inside, taken, both = threading.Lock(), [0], [0]

    def work() -> None:
        for _ in range(40):
            try:
                with staging.lock(tmp_path / "run"):
                    if not inside.acquire(blocking=False):
                        both[0] += 1
                        continue
                    taken[0] += 1
                    time.sleep(0.0005)
                    inside.release()
            except LockedError:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert both == [0] and taken[0] >= 20 and not list(tmp_path.rglob(".lock"))


def test_place_that_cannot_be_written_is_a_disk_error(tmp_path: Path) -> None:
    """--out below a file, or a file itself, is one clear line, and nothing is left."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file/run", tmp_path / "file", tmp_path / "new" / ("x" * 300)):
        for act in (staging.lock, staging.staged):
            with pytest.raises(DiskError, match="cannot"), act(out):
                pass
    assert names(tmp_path) == ["file"]


def test_staged_folder_is_absent_until_it_is_complete(tmp_path: Path) -> None:
    """A failure keeps what was made in the hidden folder, the next try goes on there, and the end is one rename."""
    out = tmp_path / "deep/model"
    with pytest.raises(KeyboardInterrupt), staging.staged(out) as place:
        assert place == staging.unfinished(out) == tmp_path / "deep/.model.unfinished"
        (place / "half").write_text("1")
        raise KeyboardInterrupt
    assert names(tmp_path / "deep") == [".model.unfinished"] and names(place) == ["half"]
    with staging.staged(out) as place:
        assert not out.exists() and (place / "half").read_text() == "1"
    assert names(tmp_path / "deep") == ["model"] and names(out) == ["half"]


def test_staged_folder_that_exists_is_worked_in_itself(tmp_path: Path) -> None:
    """A folder that the user made keeps its rights; a finished one is found; a hidden one that was begun goes on."""
    out = tmp_path / "model"
    out.mkdir(mode=0o750)
    for _ in range(2):
        with staging.staged(out) as place:
            assert place == out
            (place / "whole").write_text("1")
    assert names(tmp_path) == ["model"] and names(out) == ["whole"] and out.stat().st_mode & 0o777 == 0o750
    other, hidden = tmp_path / "other", staging.unfinished(tmp_path / "other")
    hidden.mkdir()
    (hidden / STARTED).write_text("{}")
    other.mkdir()  # after a kill, by a script that always makes it
    with staging.staged(other) as place:
        assert place == hidden
    assert names(other) == [STARTED]


def test_staged_by_two_processes_is_refused(tmp_path: Path) -> None:
    """The second process does not begin beside the first, though nothing is to be seen of `out` yet."""
    out = tmp_path / "model"
    with held_elsewhere(staging.unfinished(out)) as process:
        with pytest.raises(LockedError, match=f"process {process.pid}"), staging.staged(out):
            pass
        assert not out.exists()


def test_staged_folder_finished_by_another_process_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at `out` and the lock, another process gave it its name: that one counts, and nothing else is left."""
    out, real = tmp_path / "model", staging._take
    asked: list[Path] = []

    def late(folder: Path) -> object:
        asked.append(folder)
        if len(asked) == 1:
            out.mkdir()
            (out / MANIFEST).write_text("{}")
        return real(folder)

    monkeypatch.setattr(staging, "_take", late)
    with staging.staged(out) as place:
        assert place == out
    assert asked == [staging.unfinished(out), out] and names(tmp_path) == ["model"] and names(out) == [MANIFEST]


def test_staged_place_may_be_a_link_or_end_in_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a disk with room is followed, and `.` is a folder like another."""
    (tmp_path / "big").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "big/model")
    with staging.staged(tmp_path / "link") as place:
        assert place == tmp_path / "big/.model.unfinished"
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "big") == ["model"]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with staging.staged(Path()) as place:
        (place / "x").write_text("1")
    assert names(tmp_path / "here") == ["x"]


def test_rename_that_fails_says_where_everything_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is not lost and the message names the folder."""

    def refuse(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(DiskError, match=r"\.model\.unfinished is finished, but"), staging.staged(tmp_path / "model") as place:
        (place / "x").write_text("1")
    assert names(place) == ["x"]
