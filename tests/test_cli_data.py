"""What the command line says about a file of data reaches the readers, for verbs as for a look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hala import shards

COLUMNS = "data.columns={source: 0, target: 1}"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Pairs without a header."""
    (tmp_path / "tat.tsv").write_text("A house.\tبيت.\nA river.\tنهر.\n", encoding="utf-8")
    return tmp_path / "tat.tsv"


def test_columns_of_the_file_that_is_named(hala: Any, table: Path, tmp_path: Path) -> None:
    """`--set data.KEY` says more about the file before it, numbers are names of columns, and the error says the whole of it."""
    for command in (("show", table), ("stats", table), ("filter", table, "--out", tmp_path / "none")):
        answer = hala(*command)
        assert answer.code == 4 and f"--set '{COLUMNS}'" in answer.err, answer
        assert hala(*command, "--set", COLUMNS, "--set", "data.lang=ar").code == 0
    assert "A river." in hala("show", table, "--set", COLUMNS).out
    assert [row.text for row in shards.read_rows(tmp_path / "none")] == ["بيت.", "نهر."]
    assert "does nothing here" in hala("stats", table, "--set", "near=0.8").err
    assert "no record" in hala("stats", table, "--set", COLUMNS, "--set", "data.where={'5': 3}").err
