"""What the operating system does not permit is said in a sentence, with the exit code of reading or of writing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hala.verbs import translators

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may look into, with a document, data and a folder that nobody may write to."""
    folder = Path(tempfile.mkdtemp())
    (folder / "a.md").write_text("Hello.\n")
    (folder / "closed.md").write_text("Hello.\n")
    (folder / "closed.jsonl").write_text('{"text": "Hello."}\n')
    (folder / "open.jsonl").write_text('{"text": "Hello."}\n')
    (folder / "locked").mkdir()
    for name, mode in (("closed.md", 0), ("closed.jsonl", 0), ("locked", 0o555), (".", 0o755)):
        (folder / name).chmod(mode)
    yield folder
    (folder / "locked").chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def nobody(hala: Callable[..., Any], place: Path) -> Callable[..., Any]:
    """The command line for somebody who owns nothing; root may do everything, so root is somebody else meanwhile."""
    hala("translate", place / "a.md", "--engine", "echo")  # loads what it needs

    def call(*words: object) -> Any:
        if os.geteuid() != 0:
            return hala(*words)
        os.seteuid(NOBODY)
        try:
            return hala(*words)
        finally:
            os.seteuid(0)

    return call


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("a.md", "--out", "locked/b.md"), 5, "cannot write"),
        (("a.md", "--out", "locked/deep/b.md"), 5, "cannot write"),
        ((".", "--out", "locked/deep"), 5, "cannot write"),
        (("open.jsonl", "--out", "locked/deep"), 5, "cannot make the folder"),
        (("closed.md",), 4, "closed.md cannot be read: Permission denied"),
        (("closed.jsonl", "--out", "/tmp/never"), 4, "closed.jsonl: Permission denied"),
    ],
)
def test_permissions_are_no_bug_of_ours(nobody: Any, place: Path, words: tuple[str, ...], code: int, part: str) -> None:
    """An unwritable --out has exit code 5, an unreadable input 4; neither is called an internal error."""
    given = [place / word if not word.startswith(("-", "/")) else word for word in words]
    answer = nobody("translate", *given, "--engine", "echo")
    assert answer.code == code and part in answer.err and "our bug" not in answer.err, answer
    assert not Path("/tmp/never").exists()


def test_unwritable_place_is_found_before_any_work(nobody: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of translation is not lost to a folder that could never be written to: no engine is opened."""
    monkeypatch.setattr(translators, "open_engine", lambda *_, **__: pytest.fail("opened"))
    for source in ("Hello there", place / "a.md", place):
        assert nobody("translate", source, "--engine", "echo", "--out", place / "locked/b").code == 5


def test_closed_folder_fails_alone(nobody: Any, place: Path) -> None:
    """What cannot be looked into or read is named among the failed; the other documents of the folder are translated."""
    (place / "docs/sealed").mkdir(parents=True)
    (place / "docs/b.md").write_text("Hello.\n")
    (place / "closed.md").rename(place / "docs/closed.md")
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    (place / "docs/sealed").chmod(0)
    answer = nobody("translate", place / "docs", "--engine", "echo", "--out", place / "out")
    assert answer.code == 4 and "2 of 3 documents could not be translated, the others are in" in answer.err, answer
    assert "failed sealed: cannot be looked into: Permission denied" in answer.err and "failed closed.md:" in answer.err
    assert (place / "out/b.md").read_text() == "Hello.\n"


@pytest.mark.parametrize("home", ["locked", "locked/deep", "a.md"])
def test_memory_that_cannot_be_written_is_not_called_damaged(
    nobody: Any, place: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that is read-only or no folder is said to be that, with the way to another; nobody is told to delete it."""
    monkeypatch.setenv("HALA_HOME", str(place / home))
    answer = nobody("translate", place / "a.md", "--url", "http://127.0.0.1:9/v1", "--model", "m")
    assert answer.code == 5 and "cannot be written to" in answer.err and "memory: FOLDER (or none)" in answer.err, answer
    assert "damaged" not in answer.err and "elete" not in answer.err
