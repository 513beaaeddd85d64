"""Tokens of rows: counted once, in blocks that survive a kill, with bounded batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hala.data import counting
from hala.data.counting import batches, count_rows, counted
from hala.data.mixing import hashed
from hala.records import Message, Row


def words(texts: Sequence[str]) -> list[int]:
    """A tokenizer for tests."""
    return [len(text.split()) for text in texts]


def rows(number: int) -> list[Row]:
    """Rows of one to three messages of a few words."""
    return [Row(f"r/{i}", tuple(Message("user", "a b c " * (i % 5)) for _ in range(i % 3 + 1))) for i in range(number)]


def test_tokens_words_and_hashes_of_each_row(tmp_path: Path) -> None:
    """All messages of a row count together; a row of exactly the most words is short, and a row without words too."""
    found = count_rows(rows(20), words, tmp_path, short_words=6, seed=3)
    expected = [(i % 3 + 1) * 3 * (i % 5) for i in range(20)]
    assert found["tokens"].tolist() == expected and found["short"].tolist() == [each <= 6 for each in expected]
    assert found["hash"].tolist() == hashed([f"r/{i}" for i in range(20)], 3).tolist()


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 100, 130])
def test_a_stopped_count_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Blocks on disk are not counted again, and the result is that of one go."""
    monkeypatch.setattr(counting, "BLOCK", 50)
    monkeypatch.setattr(counting, "BATCH_ROWS", 20)
    calm = count_rows(rows(number), words, tmp_path / "calm", 6, 0)
    asked: list[int] = []

    def fails_late(texts: Sequence[str]) -> list[int]:
        asked.append(len(texts))
        if len(asked) == 5:
            raise KeyboardInterrupt
        return words(texts)

    if number > 80:
        with pytest.raises(KeyboardInterrupt):
            count_rows(rows(number), fails_late, tmp_path / "wild", 6, 0)
        assert [file.name for file in (tmp_path / "wild").iterdir()] == ["000000.bin"]
    wild = count_rows(rows(number), fails_late, tmp_path / "wild", 6, 0)
    assert wild.tobytes() == calm.tobytes() == counted(tmp_path / "wild").tobytes() and len(calm) == number
    again = count_rows(rows(number), lambda texts: pytest.fail("counted twice"), tmp_path / "wild", 6, 0)
    assert again.tobytes() == calm.tobytes()


def test_long_rows_come_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends where it has enough characters, however few rows these are; nothing is lost."""
    monkeypatch.setattr(counting, "BATCH_CHARS", 100)
    long = [Row(str(i), (Message("user", "x" * (60 if i < 3 else 1)),)) for i in range(10)]
    found = list(batches(long))
    assert [len(batch) for batch in found] == [2, 8] and [row for batch in found for row in batch] == long
