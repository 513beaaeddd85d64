"""Run folders: rows come back as they were, equal rows are equal bytes, and a kill never leaves half a file behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hala import artifacts
from hala.artifacts import MANIFEST, SCRATCH, STARTED, Manifest
from hala.errors import CorruptError, DiskError, InputError, LockedError
from hala.records import KEPT, Message, Row, Verdict, rejected

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MESSAGES = st.lists(st.builds(Message, TEXT, TEXT), max_size=4).map(tuple)
ROWS = st.builds(
    Row,
    id=TEXT,
    messages=MESSAGES,
    lang=TEXT,
    source=TEXT,
    licence=TEXT,
    original=st.none() | MESSAGES,
    notes=st.dictionaries(TEXT, TEXT, max_size=3),
)
VERDICTS = st.just(KEPT) | st.builds(rejected, TEXT.filter(bool), TEXT)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def row(number: int) -> Row:
    """A small row."""
    return Row(f"r/{number}", (Message("user", f"text {number}"),), "en")


def finished(folder: Path, **fields: Any) -> Manifest:
    """The folder as a finished step."""
    return artifacts.finish(
        folder, Manifest(step="s", verb="filter", kind="rows", config={}, inputs={}, fingerprint="f" * 64, **fields)
    )


# Rows -----------------------------------------------------------------------------------------------------------------


@QUICK
@given(st.lists(st.tuples(ROWS, VERDICTS), max_size=5))
def test_rows_come_back_as_they_were(judged: list[tuple[Row, Verdict]]) -> None:
    """Any text, empty or missing original, notes and verdicts survive the disk unchanged and in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.parquet"
        artifacts.write_rows(path, judged)
        assert artifacts.read_shard(path) == judged


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    """Digests can be compared between runs and machines; the order of notes does not matter."""
    one = Row("a", (Message("user", "مرحبا"),), notes={"x": "1", "y": "2"})
    two = Row("a", (Message("user", "مرحبا"),), notes={"y": "2", "x": "1"})
    for name, each in (("one", one), ("two", two)):
        artifacts.write_rows(tmp_path / name, [(each, KEPT)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_shard_that_is_not_whole_is_named(tmp_path: Path) -> None:
    """A truncated, empty or foreign file is corrupt, with its path."""
    path = tmp_path / "s.parquet"
    artifacts.write_rows(path, [(row(number), KEPT) for number in range(50)])
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(CorruptError, match=r"s\.parquet"):
            artifacts.read_shard(path)


def test_folder_without_rows_is_named(tmp_path: Path) -> None:
    """Reading rows where there are none says what to name instead."""
    with pytest.raises(InputError, match="holds no rows"):
        list(artifacts.read_rows(tmp_path))


# run_shards -----------------------------------------------------------------------------------------------------------


def judge(rows: list[Row]) -> list[tuple[Row, Verdict]]:
    """Every third row is rejected."""
    return [(each, rejected("third") if int(each.id[2:]) % 3 == 0 else KEPT) for each in rows]


def shards(out: Path, number: int, size: int, process: Any = judge, after: Any = None) -> Counter[str]:
    """The counts of a data step over `number` rows."""
    return artifacts.run_shards(out, iter([row(i) for i in range(number)]), size, process, after or (lambda done, counts: None))


@pytest.mark.parametrize(("number", "size"), [(0, 3), (1, 3), (3, 3), (7, 3), (9, 100)])
def test_rows_in_are_kept_plus_rejected(tmp_path: Path, number: int, size: int) -> None:
    """The law of every data step, also at the edges of shards."""
    counts = shards(tmp_path, number, size)
    assert counts["rows"] == number == counts["kept"] + counts["rejected/third"]
    both = [*artifacts.read_rows(tmp_path), *(each for each, _ in artifacts.read_rejected(tmp_path))]
    assert sorted(each.id for each in both) == sorted(f"r/{i}" for i in range(number))


def test_finished_shards_are_never_made_again(tmp_path: Path) -> None:
    """A second run asks the engine for nothing and counts the same."""
    first = shards(tmp_path, 10, 4)
    assert shards(tmp_path, 10, 4, process=lambda rows: pytest.fail("made again")) == first


def test_step_that_dies_continues_where_it_stopped(tmp_path: Path) -> None:
    """After a crash in the third shard, two shards are kept, and the result equals that of a run that never died."""
    seen: list[str] = []

    def dying(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        if rows[0].id == "r/4":
            raise RuntimeError("dead")
        seen.extend(each.id for each in rows)
        return judge(rows)

    with pytest.raises(RuntimeError):
        shards(tmp_path / "a", 9, 2, process=dying)
    assert seen == ["r/0", "r/1", "r/2", "r/3"] and len(list((tmp_path / "a/rows").iterdir())) == 2
    assert shards(tmp_path / "a", 9, 2) == shards(tmp_path / "b", 9, 2)
    assert artifacts.list_files(tmp_path / "a") == artifacts.list_files(tmp_path / "b")


def test_shard_with_only_its_rejected_half_is_made_again(tmp_path: Path) -> None:
    """A kill between the two files of a shard loses that shard alone."""
    shards(tmp_path, 6, 3)
    (tmp_path / "rows/000001.parquet").unlink()
    made: list[str] = []

    def process(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        made.extend(each.id for each in rows)
        return judge(rows)

    assert shards(tmp_path, 6, 3, process=process)["rows"] == 6
    assert made == ["r/3", "r/4", "r/5"]


def test_verdict_that_is_missing_is_our_bug(tmp_path: Path) -> None:
    """A verb that loses a row is stopped before anything is written."""
    with pytest.raises(AssertionError, match="3 rows in, 2 verdicts out"):
        shards(tmp_path, 3, 3, process=lambda rows: judge(rows)[1:])
    assert not list(tmp_path.rglob("*.parquet"))


def test_progress_is_told_after_each_shard(tmp_path: Path) -> None:
    """`after` sees the rows so far, also for shards that were finished before."""
    told: list[int] = []
    for _ in range(2):
        shards(tmp_path, 5, 2, after=lambda done, counts: told.append(done))
    assert told == [2, 4, 5] * 2


# Files and manifests --------------------------------------------------------------------------------------------------


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
    """--out below a file is one clear line."""
    (tmp_path / "file").write_text("x")
    for act in (
        lambda: artifacts.write_json(tmp_path / "file/x.json", 1),
        lambda: artifacts.lock(tmp_path / "file/run").__enter__(),
    ):
        with pytest.raises(DiskError, match="cannot"):
            act()


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


# The lock -------------------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from hala.artifacts import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_of_another_process_is_respected_and_dies_with_it(tmp_path: Path) -> None:
    """The second process is told at once who holds the run; after a SIGKILL of the first the run is free."""
    source = str(Path(artifacts.__file__).parents[1])
    command, environment = [sys.executable, "-c", HOLDER, str(tmp_path)], {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=rf"in use by process {holder.pid}"), artifacts.lock(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with artifacts.lock(tmp_path):
        pass


def test_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    """A step that fails does not lock its own continuation out."""
    with pytest.raises(ValueError, match="x"), artifacts.lock(tmp_path):
        raise ValueError("x")
    with artifacts.lock(tmp_path):
        pass
