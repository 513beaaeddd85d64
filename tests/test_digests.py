"""Digests of files: every byte counts, several at a time, and one that was left is taken once and only for the same file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import xxhash

from hala import digests
from hala.digests import DONTCACHE, Digest, digest_file, digest_files, leave, take


@pytest.mark.parametrize("size", [0, 1, digests.BLOCK, 2 * digests.BLOCK + 7])
@pytest.mark.parametrize("stay", [False, True])
def test_digests_are_those_of_xxhash(tmp_path: Path, size: int, stay: bool) -> None:
    """However a file is read, the digest is XXH3-128 of all of it: manifests of earlier versions stay true."""
    files = [tmp_path / str(number) for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * size)
    expected = [xxhash.xxh3_128(file.read_bytes()).hexdigest() for file in files]
    assert digest_files(files, stay=stay) == expected == [digest_file(file, stay=stay) for file in files]
    assert digest_files([]) == []


def test_a_system_without_the_newest_reads_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel or file system that knows no uncached reading gives the same digest; a damaged disk is still an error."""
    (tmp_path / "a").write_bytes(b"a" * 100)
    real, broken = os.preadv, False

    def preadv(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags & DONTCACHE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        if broken:
            raise OSError(errno.EIO, "input/output error")
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert digest_file(tmp_path / "a") == xxhash.xxh3_128(b"a" * 100).hexdigest()
    broken = True
    with pytest.raises(OSError, match="input/output"):
        digest_file(tmp_path / "a")


def test_a_digest_can_be_made_piece_by_piece(tmp_path: Path) -> None:
    """The digest of what is there so far goes on when there is more."""
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    digest = Digest(stay=False)
    with file.open("rb") as stream:
        assert digest.advance(stream.fileno(), 2) == 2
        assert digest.hexdigest() == xxhash.xxh3_128(b"ab").hexdigest()
        assert digest.advance(stream.fileno(), 9) == 1
        assert digest.advance(stream.fileno(), 9) == 0
    assert digest.hexdigest() == xxhash.xxh3_128(b"abc").hexdigest()


def test_a_digest_that_was_left_is_for_the_same_file_once(tmp_path: Path) -> None:
    """A renamed file keeps it, a changed or replaced one does not, and nobody gets it twice: later checks read every byte."""
    file, renamed = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"abc")
    leave(file, "digest")
    file.rename(renamed)
    assert take(renamed) == "digest"
    assert take(renamed) is None
    leave(renamed, "digest")
    os.utime(renamed, ns=(0, renamed.stat().st_mtime_ns + 1))
    assert take(renamed) is None
    leave(renamed, "digest")
    file.write_bytes(b"abc")
    file.rename(renamed)
    assert take(renamed) is None
