"""A path stands for data or is refused in words: no half, rejected or mingled rows are ever taken for a corpus."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from hala import pipeline, shards
from hala.artifacts import MANIFEST, STARTED, Manifest, write_json
from hala.data.places import data_files
from hala.data.sources import SourceSpec, fingerprint, open_source
from hala.errors import InputError
from hala.records import KEPT, Message, Row, rejected
from hala.verbs.report import show_rows
from hala.verbs.stats import stats_of, stats_text


def step(folder: Path, mark: str = MANIFEST) -> Path:
    """A step's folder with one kept and one rejected row, finished or not."""
    rows = [(Row(f"r/{n}", (Message("text", f"row {n}"),)), verdict) for n, verdict in enumerate((KEPT, rejected("script")))]
    shards.write_rows(folder / "rows/000000.parquet", rows[:1])
    shards.write_rows(folder / "rejected/000000.parquet", rows[1:])
    write_json(folder / mark, asdict(Manifest("clean", "filter", "rows", {}, {}, "")))
    return folder


def ids(path: Path) -> list[str]:
    """The ids of the rows that a path stands for."""
    return [row.id for row in open_source(SourceSpec(path=str(path)), print)]


def test_a_finished_step_is_what_it_kept(tmp_path: Path) -> None:
    """Neither the rejected rows nor the manifest are read."""
    assert ids(step(tmp_path / "done")) == ["r/0"] == ids(tmp_path / "done/rows")


@pytest.mark.parametrize("inside", ["", "rows"])
def test_a_half_done_step_is_no_input(inside: str, tmp_path: Path) -> None:
    """A step that was stopped is refused with the way on; looking at what it has made is allowed and says so."""
    half = step(tmp_path / "half", STARTED)
    for read in (ids, lambda place: fingerprint(SourceSpec(path=str(place)))):
        with pytest.raises(InputError, match=r"half is half done.*`hala filter` again"):
            read(half / inside)
    with pytest.raises(InputError, match="half done"):
        pipeline.run_verb("filter", {"data": str(half / inside)}, tmp_path / "out")
    assert any("half done" in text for text in show_rows(half, False, None))
    assert "half done" in stats_text(stats_of(half))
    assert "half done" not in stats_text(stats_of(step(tmp_path / "done")))


def test_a_run_is_no_input(tmp_path: Path) -> None:
    """A run mingles the rows of all its steps: they are named instead, as for a folder of single steps."""
    step(tmp_path / "run/clean")
    step(tmp_path / "run/mix")
    with pytest.raises(InputError, match="holds steps"):
        ids(tmp_path / "run")
    (tmp_path / "run/recipe.json").write_text("{}")
    for read in (ids, stats_of):
        with pytest.raises(InputError, match=r"run is a run.*run/clean, .*run/mix"):
            read(tmp_path / "run")


def test_rejected_rows_are_no_input(tmp_path: Path) -> None:
    """They were set aside for a reason; where they are shown is said."""
    with pytest.raises(InputError, match=r"rejected holds the rows that a step rejected.*--rejected"):
        ids(step(tmp_path / "done") / "rejected")


def test_a_folder_called_rejected_of_ones_own_is_data(tmp_path: Path) -> None:
    """Names alone decide nothing."""
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected/a.jsonl").write_text('{"text": "a"}\n')
    assert len(ids(tmp_path)) == len(ids(tmp_path / "rejected")) == len(data_files(tmp_path)) == 1
