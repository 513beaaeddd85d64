"""Folders of documents on the command line: one that fails fails alone, nothing is lost, nothing is left out unsaid."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hala.data.prompts import extract
from hala.engines.scripted import ScriptedEngine
from hala.verbs import translators
from hala.verbs.folders import WRITTEN, look_into

ECHO = ("--engine", "echo")
SERVER = ("--url", "http://127.0.0.1:9/v1", "--model", "m", "--set", "gates=none", "--set", "retries=0")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Two documents, a file of data, a picture and hidden files."""
    source = tmp_path / "docs"
    for name in ("sub/a.md", "b.TXT", "data.csv", "c.png", ".git/x.md", "sub/.hidden.md"):
        (source / name).parent.mkdir(exist_ok=True, parents=True)
        (source / name).write_bytes(b"# Hello\r\n\r\nRun `ls`.\r\n")
    return source


def test_folder_is_looked_into(docs: Path) -> None:
    """Documents and data are the visible files, at any depth, sorted; what is no such file is counted."""
    found = look_into(docs)
    assert [path.relative_to(docs).as_posix() for path in found.documents] == ["b.TXT", "sub/a.md"]
    assert [path.name for path in found.data] == ["data.csv"] and found.others == 1 and not found.closed


def test_folder_is_mirrored_and_what_is_left_out_is_said(docs: Path, tmp_path: Path, hala: Any) -> None:
    """Every byte comes back; the data file is named with what translates it; a second run says `unchanged`."""
    out = tmp_path / "out"
    answer = hala("translate", docs, *ECHO, "--out", out, "--json")
    assert answer.code == 0 and json.loads(answer.out)["translated"] == 2 and json.loads(answer.out)["left_out"] == 2
    assert "left out 1 data file(s), data.csv" in answer.err and f"hala translate {docs / 'data.csv'} --out DIR" in answer.err
    assert (out / "sub/a.md").read_bytes() == (docs / "sub/a.md").read_bytes() and (out / "b.TXT").exists()
    again = hala("translate", docs, *ECHO, "--out", out)
    assert again.err.count("unchanged ") == 2 and "2 of 2 documents translated; 4 segments" in again.err


def test_translation_that_somebody_corrected_stays(
    docs: Path, tmp_path: Path, hala: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hala wrote it may replace; what was corrected since, or was there before, it names and leaves alone."""
    out = tmp_path / "out"
    assert hala("translate", docs, *ECHO, "--out", out).code == 0
    (out / "sub/a.md").write_text("# Corrected\n")
    with (out / WRITTEN).open("a") as stream:
        stream.write('{"b.T')  # killed while it wrote
    (docs / "b.TXT").write_text("Something new.\n")
    (docs / "new.md").write_text("New.\n")
    (out / "new.md").write_text("Mine.\n")
    answer = hala("translate", docs, *ECHO, "--out", out, "--json")
    assert answer.code == 4 and json.loads(answer.out)["failed"].keys() == {"sub/a.md", "new.md"}
    assert "is not as hala wrote it, and stays" in answer.err and "replaced " in answer.err
    texts = [(out / name).read_text() for name in ("sub/a.md", "new.md", "b.TXT")]
    assert texts == ["# Corrected\n", "Mine.\n", "Something new.\n"]
    (out / "sub/a.md").unlink()
    (out / "new.md").unlink()
    for text in ("New.\n", "Newer.\n"):
        (docs / "b.TXT").write_text(text)
        assert hala("translate", docs, *ECHO, "--out", out).code == 0 and (out / "b.TXT").read_text() == text
    assert (out / "new.md").read_text() == "New.\n"


def test_folder_is_never_written_over(docs: Path, tmp_path: Path, hala: Any) -> None:
    """No --out, the source as --out, and an --out in which a translation would replace an original are refused."""
    assert hala("translate", docs, *ECHO).code == 2
    assert hala("translate", docs, *ECHO, "--out", docs).code == 2
    (docs / "docs/sub").mkdir(parents=True)
    (docs / "docs/sub/a.md").write_text("deep")
    answer = hala("translate", docs, *ECHO, "--out", docs.parent)
    assert answer.code == 2 and "the place of an original" in answer.err


def test_out_inside_the_folder_is_not_translated_itself(docs: Path, hala: Any) -> None:
    """The second run of `hala translate docs --out docs/ar` sees the same documents as the first."""
    for _ in range(2):
        assert json.loads(hala("translate", docs, *ECHO, "--out", docs / "ar", "--json").out)["documents"] == 2
    assert not (docs / "ar/ar").exists()


def test_file_that_cannot_be_read_fails_alone(docs: Path, tmp_path: Path, hala: Any) -> None:
    """Bytes that are no UTF-8, a broken link and a name too long to write are named; the others are translated; exit code 4."""
    (docs / "latin.md").write_bytes(b"caf\xe9\n")
    (docs / "gone.md").symlink_to(docs / "nowhere.md")
    (docs / ("n" * 251 + ".md")).write_text("Long.\n")
    (docs / b"\xff.md".decode("utf-8", "surrogateescape")).write_text("Named in bytes.\n")
    answer = hala("translate", docs, *ECHO, "--out", tmp_path / "out", "--json")
    said = json.loads(answer.out)
    assert answer.code == 4 and said["documents"] == 6 and said["translated"] == 3, answer
    assert (
        set(said["failed"]) == {"latin.md", "gone.md", "n" * 251 + ".md"} and "not UTF-8 (byte 3)" in said["failed"]["latin.md"]
    )
    assert (tmp_path / "out/sub/a.md").exists() and "3 of 6 documents" in answer.err


def test_name_that_is_no_text_is_said_as_json(docs: Path, tmp_path: Path) -> None:
    """A file that fails and whose name is no UTF-8 is named in an escape, not in a crash of the last line."""
    name = b"\xff.md".decode("utf-8", "surrogateescape")
    (docs / name).write_bytes(b"\xe9")
    command = [sys.executable, "-m", "hala", "translate", str(docs), *ECHO, "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 4 and list(json.loads(done.stdout)["failed"]) == [name], done.stderr


def test_killed_folder_goes_on(docs: Path, tmp_path: Path, hala: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before a stop is on disk, and the same command asks for the rest alone."""
    (docs / "sub/a.md").write_text("".join(f"Line {number}.\n\n" for number in range(300)))
    asked: list[str] = []

    def answer(request: Any) -> str:
        asked.append(extract(request))
        if len(asked) == 100:
            raise KeyboardInterrupt
        return extract(request).upper()

    monkeypatch.setattr(translators, "open_engine", lambda *_, **__: ScriptedEngine(answer))
    words = ("translate", docs, *SERVER, "--out", tmp_path / "out", "--set", f"memory={tmp_path / 'memory'}")
    assert hala(*words).code == 130
    assert (tmp_path / "out/b.TXT").read_bytes() == b"# HELLO\r\n\r\nRUN `ls`.\r\n"
    told = hala(*words)
    assert told.code == 0 and "99 remembered" in told.err and len(asked) == 303, (told, len(asked))


def test_text_is_remembered_only_when_asked(tmp_path: Path, hala: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words neither open the shared memory nor have the model's bytes read for it; a file does, and words do with `memory`."""
    monkeypatch.setenv("HALA_HOME", str(tmp_path))
    monkeypatch.setattr(translators, "open_engine", lambda *_, **__: ScriptedEngine(lambda request: extract(request).upper()))
    file = tmp_path / "a.md"
    file.write_text("One line.\n")
    assert hala("translate", "One line.", *SERVER).out == "ONE LINE.\n"
    assert not (tmp_path / "memory").exists()
    assert "0 remembered" in hala("translate", file, *SERVER).err and (tmp_path / "memory").exists()
    assert json.loads(hala("translate", "One line.", *SERVER, "--json", "--set", "memory=auto").out)["remembered"] == 1
