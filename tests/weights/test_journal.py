"""The journal of a job: finished units are believed, whatever may be lost is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hala.errors import DriftError
from hala.weights import journal
from hala.weights.journal import Journal, read_lines


def test_a_line_cut_off_is_not_believed(tmp_path: Path) -> None:
    """A kill in the middle of a journal line costs that one unit, no more."""
    (tmp_path / "journal").write_bytes(b'{"settings": {}}\n{"unit": "a"}\n{"unit": "b"')
    assert read_lines(tmp_path / "journal") == [{"settings": {}}, {"unit": "a"}]
    (tmp_path / "journal").write_bytes(b'{"settings": {}}\n{"unit": "a\n{"unit": "b"}\n')
    assert read_lines(tmp_path / "journal") == [{"settings": {}}]


def test_what_was_added_is_there_again_but_for_what_is_lost(tmp_path: Path) -> None:
    """A second call knows the notes of the first, and no unit of a shard that somebody removed."""
    first = Journal.begin(tmp_path, {"n": 1}, set())
    for key in "abc":
        first.add(key, {"name": key, "pair": (1, 2)})
    first.close()
    again = Journal.begin(tmp_path, {"n": 1}, {"b"})
    assert again.notes == {key: {"name": key, "pair": [1, 2]} for key in "ac"}
    assert Journal.begin(tmp_path, {"n": 1}, set()).notes == again.notes  # b is forgotten for good
    with pytest.raises(DriftError, match=r"other settings \(n\)"):
        Journal.begin(tmp_path, {"n": 2}, set())


@pytest.mark.parametrize("boot", ["another", ""])
def test_what_another_boot_wrote_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: str) -> None:
    """After a power cut the journal may name what never reached the disk; nor is it believed where no boot is known."""
    first = Journal.begin(tmp_path, {}, set())
    first.add("a", {})
    first.close()
    assert list(Journal.begin(tmp_path, {}, set()).notes) == ["a"]
    monkeypatch.setattr(journal, "boot_id", lambda: boot)
    assert not Journal.begin(tmp_path, {}, set()).notes
