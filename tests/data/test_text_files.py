"""Two files side by side: one record a line, held one at a time, and each position bad at most once."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from hala.data.sources import SourceSpec, open_source
from hala.data.text_files import BadRow
from hala.errors import InputError


def both(folder: Path, left: bytes, right: bytes) -> SourceSpec:
    """Two files as a source."""
    (folder / "x.en").write_bytes(left)
    (folder / "x.ar").write_bytes(right)
    return SourceSpec(path=str(folder / "x.en"), target=str(folder / "x.ar"))


def test_a_position_is_bad_once(tmp_path: Path) -> None:
    """Lines that are bad on both sides are one record, and bad lines at the end use up nothing of `take`."""
    spec = both(tmp_path, b"a\n\xff\nc\n\xff\n", "ا\n".encode() + b"\xff\n\xfe\n" + "د\n".encode())
    bad: list[BadRow] = []
    assert [row.text for row in open_source(spec, bad.append)] == ["ا"]
    assert [(each.position, each.reason) for each in bad] == [(1, "invalid_utf8"), (2, "invalid_utf8"), (3, "invalid_utf8")]
    left = b"".join(b"row %d\n" % n for n in range(30)) + b"\xff\n" * 12
    spec = both(tmp_path, left, b"text\n" * 42)
    bad.clear()
    rows = list(open_source(SourceSpec(path=spec.path, target=spec.target, take=31), bad.append))
    assert len(rows) == 30 and [each.position for each in bad] == [30]


def test_both_must_be_whole_and_as_long(tmp_path: Path) -> None:
    """Pairing by number would be wrong where a file is longer or torn; nothing is read then."""
    with pytest.raises(InputError, match=r"has 2 lines and .* has 3"):
        next(open_source(both(tmp_path, b"a\nb", b"a\nb\nc\n"), print))
    spec = both(tmp_path, b"", b"a\n" * 5000)
    (tmp_path / "x.en.gz").write_bytes(gzip.compress(b"a\n" * 5000)[:-9])
    with pytest.raises(InputError, match="not whole"):
        next(open_source(SourceSpec(path=str(tmp_path / "x.en.gz"), target=spec.target), print))


def test_memory_is_flat(tmp_path: Path) -> None:
    """100,000 lines a side need no more memory than a few."""
    peaks = []
    for count in (2_000, 100_000):
        spec = both(tmp_path, b"".join(b"line %d\n" % n for n in range(count)), b"text\n" * count)
        tracemalloc.start()
        assert sum(1 for _ in open_source(spec, print)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**20
