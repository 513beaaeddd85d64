"""Run folders: a kill never leaves half a file behind, digests tell change, and one process holds a run."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts
from hala.artifacts import MANIFEST, SCRATCH, STARTED, Manifest
from hala.errors import CorruptError, DiskError


def finished(folder: Path, **fields: Any) -> Manifest:
    """The folder as a finished step."""
    return artifacts.finish(
        folder, Manifest(step="s", verb="filter", kind="rows", config={}, inputs={}, fingerprint="f" * 64, **fields)
    )


def test_atomic_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failure in the middle leaves the old content and no temporary file."""
    path = tmp_path / "deep/er/x.txt"
    with artifacts.atomic_file(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(ValueError, match="stop"), artifacts.atomic_file(path) as temporary:
        temporary.write_text("half of the ne")
        raise ValueError("stop")
    assert path.read_text() == "old" and [each.name for each in path.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO])
def test_full_disk_is_a_disk_error(tmp_path: Path, number: int) -> None:
    """What the operating system refuses becomes one error with the place and the way out."""
    with pytest.raises(DiskError, match="same command again") as caught, artifacts.atomic_file(tmp_path / "x"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path) in str(caught.value) and os.strerror(number) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_errors_that_are_not_the_disk_pass_through(tmp_path: Path) -> None:
    """A missing input file is not blamed on the disk."""
    with pytest.raises(FileNotFoundError), artifacts.disk_errors(tmp_path):
        (tmp_path / "none").read_text()


def test_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    """A place below a file is one clear line."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(DiskError, match="cannot"):
        artifacts.write_json(tmp_path / "file/x.json", 1)


def test_manifest_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the manifest appears, everything else is there; what a resume needs goes after it."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/a.parquet").write_bytes(b"abc")
    (tmp_path / "rows/.b.parquet.tmp").write_bytes(b"torn")
    (tmp_path / SCRATCH).mkdir()
    (tmp_path / SCRATCH / "state").write_text("needed until the manifest exists")
    artifacts.write_json(tmp_path / STARTED, {})
    before: list[bool] = []
    real = artifacts.write_json

    def spy(path: Path, value: Any) -> None:
        before.append((tmp_path / SCRATCH / "state").exists() and (tmp_path / STARTED).exists())
        real(path, value)

    monkeypatch.setattr(artifacts, "write_json", spy)
    manifest = finished(tmp_path)
    assert before == [True]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [MANIFEST, "rows", "rows/a.parquet"]
    assert manifest.files == {"rows/a.parquet": {"bytes": 3, "xxh128": artifacts.digest_file(tmp_path / "rows/a.parquet")}}
    assert artifacts.read_manifest(tmp_path) == manifest


def test_digest_covers_content_and_names_alone(tmp_path: Path) -> None:
    """Two runs with the same files have the same digest, whatever the clock says; another name or byte changes it."""
    digests = []
    for number, (name, content, seconds) in enumerate([("a", "x", 1.0), ("a", "x", 2.0), ("b", "x", 1.0), ("a", "y", 1.0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(content)
        digests.append(finished(folder, timings={"seconds": seconds}).digest)
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_check_files_sees_what_is_missing_short_or_changed(tmp_path: Path) -> None:
    """Size is looked at always, every byte when asked."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("12345")
    manifest = finished(tmp_path)
    assert artifacts.check_files(tmp_path, manifest, full=True) == []
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_text("123")
    (tmp_path / "c").write_text("54321")
    assert artifacts.check_files(tmp_path, manifest) == ["a is missing", "b has 3 bytes instead of 5"]
    assert artifacts.check_files(tmp_path, manifest, full=True)[2] == "c has changed"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"step": 1}', '{"unknown": 1}', "\ufeff"])
def test_unreadable_manifest_is_corrupt(tmp_path: Path, text: str) -> None:
    """A torn or foreign manifest is never taken for a finished step."""
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(CorruptError, match=r"manifest\.json"):
        artifacts.read_manifest(tmp_path)


def test_digest_tree_ignores_hidden_files(tmp_path: Path) -> None:
    """A lock or a download's cache does not change what a checkpoint is."""
    (tmp_path / "model").write_text("x")
    before = artifacts.digest_tree(tmp_path)
    (tmp_path / ".lock").write_text("1")
    assert artifacts.digest_tree(tmp_path) == before != artifacts.digest_tree(tmp_path / "model")
