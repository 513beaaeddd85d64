"""Documents without rows: many at once, and what becomes of those that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hala.data.prompts import extract
from hala.engines.scripted import ScriptedEngine
from hala.verbs import translators
from hala.verbs.documents import documents_in, translate_documents


def test_documents_share_what_they_have_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence in ten documents is asked once, and every document is whole or has its reason."""
    engine = ScriptedEngine(lambda request: None if "Bad" in extract(request) else extract(request).upper())  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(translators, "open_engine", lambda *_: engine)
    texts = ["Shared line.\n", "# Shared line.\n", "Bad line.\n"]
    results, _ = translate_documents(texts, {"engine": "echo", "retries": 0}, "en", "ar")
    assert [result.text for result in results] == ["SHARED LINE.\n", "# SHARED LINE.\n", ""]
    assert results[2].verdict.reason == "engine_error" and engine.calls == 2 and engine.closed


def test_hidden_files_are_no_documents(tmp_path: Path) -> None:
    """A folder's documents are its visible .md and .txt files, at any depth, sorted."""
    for name in ("b.md", "a/c.txt", ".git/x.md", "data.jsonl", "a/.hidden.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [path.relative_to(tmp_path).as_posix() for path in documents_in(tmp_path)] == ["a/c.txt", "b.md"]


def test_folder_of_documents_on_the_command_line(tmp_path: Path, hala: Any) -> None:
    """`hala translate FOLDER --out DIR` mirrors the folder, says what it left out, and refuses to write into the source."""
    source = tmp_path / "docs"
    (source / "sub").mkdir(parents=True)
    (source / "sub/a.md").write_bytes(b"# Hello\r\n\r\nRun `ls`.\r\n")
    (source / "b.txt").write_text("Plain words.\n")
    (source / "data.csv").write_text("a,b\n")
    answer = hala("translate", source, "--engine", "echo", "--out", tmp_path / "out", "--json")
    assert answer.code == 0 and "left out 1 file" in answer.err and '"translated": 2' in answer.out
    assert (tmp_path / "out/sub/a.md").read_bytes() == (source / "sub/a.md").read_bytes()
    assert (tmp_path / "out/b.txt").read_text() == "Plain words.\n"
    assert hala("translate", source, "--engine", "echo").code == 2
    assert hala("translate", source, "--engine", "echo", "--out", source).code == 2
