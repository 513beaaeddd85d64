"""Rows on disk: they come back as they were, equal rows are equal bytes, and finished shards are never made again."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hala import artifacts, shards
from hala.errors import CorruptError, InputError
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


# Rows -----------------------------------------------------------------------------------------------------------------


@QUICK
@given(st.lists(st.tuples(ROWS, VERDICTS), max_size=5))
def test_rows_come_back_as_they_were(judged: list[tuple[Row, Verdict]]) -> None:
    """Any text, empty or missing original, notes and verdicts survive the disk unchanged and in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.parquet"
        shards.write_rows(path, judged)
        assert shards.read_shard(path) == judged


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    """Digests can be compared between runs and machines; the order of notes does not matter."""
    one = Row("a", (Message("user", "مرحبا"),), notes={"x": "1", "y": "2"})
    two = Row("a", (Message("user", "مرحبا"),), notes={"y": "2", "x": "1"})
    for name, each in (("one", one), ("two", two)):
        shards.write_rows(tmp_path / name, [(each, KEPT)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_shard_that_is_not_whole_is_named(tmp_path: Path) -> None:
    """A truncated, empty or foreign file is corrupt, with its path."""
    path = tmp_path / "s.parquet"
    shards.write_rows(path, [(row(number), KEPT) for number in range(50)])
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(CorruptError, match=r"s\.parquet"):
            shards.read_shard(path)


def test_folder_without_rows_is_named(tmp_path: Path) -> None:
    """Reading rows where there are none says what to name instead."""
    with pytest.raises(InputError, match="holds no rows"):
        list(shards.read_rows(tmp_path))


# run_shards -----------------------------------------------------------------------------------------------------------


def judge(rows: list[Row]) -> list[tuple[Row, Verdict]]:
    """Every third row is rejected."""
    return [(each, rejected("third") if int(each.id[2:]) % 3 == 0 else KEPT) for each in rows]


def counted(out: Path, number: int, size: int, process: Any = judge, after: Any = None) -> Counter[str]:
    """The counts of a data step over `number` rows."""
    return shards.run_shards(out, iter([row(i) for i in range(number)]), size, process, after or (lambda done, counts: None))


@pytest.mark.parametrize(("number", "size"), [(0, 3), (1, 3), (3, 3), (7, 3), (9, 100)])
def test_rows_in_are_kept_plus_rejected(tmp_path: Path, number: int, size: int) -> None:
    """The law of every data step, also at the edges of shards."""
    counts = counted(tmp_path, number, size)
    assert counts["rows"] == number == counts["kept"] + counts["rejected/third"]
    both = [*shards.read_rows(tmp_path), *(each for each, _ in shards.read_rejected(tmp_path))]
    assert sorted(each.id for each in both) == sorted(f"r/{i}" for i in range(number))


def test_finished_shards_are_never_made_again(tmp_path: Path) -> None:
    """A second run asks the engine for nothing and counts the same."""
    first = counted(tmp_path, 10, 4)
    assert counted(tmp_path, 10, 4, process=lambda rows: pytest.fail("made again")) == first


def test_step_that_dies_continues_where_it_stopped(tmp_path: Path) -> None:
    """After a crash in the third shard, two shards are kept, and the result equals that of a run that never died."""
    seen: list[str] = []

    def dying(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        if rows[0].id == "r/4":
            raise RuntimeError("dead")
        seen.extend(each.id for each in rows)
        return judge(rows)

    with pytest.raises(RuntimeError):
        counted(tmp_path / "a", 9, 2, process=dying)
    assert seen == ["r/0", "r/1", "r/2", "r/3"] and len(list((tmp_path / "a/rows").iterdir())) == 2
    assert counted(tmp_path / "a", 9, 2) == counted(tmp_path / "b", 9, 2)
    assert artifacts.list_files(tmp_path / "a") == artifacts.list_files(tmp_path / "b")


def test_shard_with_only_its_rejected_half_is_made_again(tmp_path: Path) -> None:
    """A kill between the two files of a shard loses that shard alone."""
    counted(tmp_path, 6, 3)
    (tmp_path / "rows/000001.parquet").unlink()
    made: list[str] = []

    def process(rows: list[Row]) -> list[tuple[Row, Verdict]]:
        made.extend(each.id for each in rows)
        return judge(rows)

    assert counted(tmp_path, 6, 3, process=process)["rows"] == 6
    assert made == ["r/3", "r/4", "r/5"]


def test_verdict_that_is_missing_is_our_bug(tmp_path: Path) -> None:
    """A verb that loses a row is stopped before anything is written."""
    with pytest.raises(AssertionError, match="3 rows in, 2 verdicts out"):
        counted(tmp_path, 3, 3, process=lambda rows: judge(rows)[1:])
    assert not list(tmp_path.rglob("*.parquet"))


def test_progress_is_told_after_each_shard(tmp_path: Path) -> None:
    """`after` sees the rows so far, also for shards that were finished before."""
    told: list[int] = []
    for _ in range(2):
        counted(tmp_path, 5, 2, after=lambda done, counts: told.append(done))
    assert told == [2, 4, 5] * 2


def test_long_notes_are_counted_by_their_name() -> None:
    """How often a short note says what is counted by its value; of tools, which every row has its own, only the rows are."""
    judged = [(Row(str(n), (), notes={"tools": f'[{{"name":"{n}"}}]', "route": "keep: x"}), KEPT) for n in range(3)]
    counts: Counter[str] = Counter()
    shards._count(counts, judged, ("tools", "route"))
    assert counts == {"tools": 3, "route/keep: x": 3}
