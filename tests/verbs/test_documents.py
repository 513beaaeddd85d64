"""Documents without rows: each as soon as it is done, what failed by its segments, and what is remembered."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hala.data.prompts import extract
from hala.engines.scripted import Faults, ScriptedEngine
from hala.errors import InputError
from hala.verbs import translators
from hala.verbs.documents import Documents, is_document, translate_document

SERVER = {"engine": "server", "url": "http://127.0.0.1:9/v1", "model": "m", "gates": "none", "retries": 0, "split": False}


@pytest.fixture
def upper(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """An engine that answers in capitals and fails what holds `Bad`; it stands for every model."""
    engine = ScriptedEngine(lambda request: None if "Bad" in extract(request) else extract(request).upper())  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(translators, "open_engine", lambda *_, **__: engine)
    return engine


def test_documents_share_what_they_have_in_common(upper: ScriptedEngine) -> None:
    """A sentence in ten documents is asked once, and every document is whole or has its reason."""
    texts = ["Shared line.\n", "# Shared line.\n", "Bad line.\n"]
    with closing(Documents({"engine": "echo", "retries": 0}, "en", "ar")) as documents:
        results = dict(documents.translate(texts))
    assert [results[place].text for place in range(3)] == ["SHARED LINE.\n", "# SHARED LINE.\n", ""]
    assert results[2].verdict.reason == "engine_error" and upper.calls == 2 and upper.closed


def test_documents_come_as_soon_as_they_are_done(upper: ScriptedEngine) -> None:
    """The first document is there before the hundredth was read, so a kill loses little."""
    read = []

    def texts() -> Any:
        for number in range(100):
            read.append(number)
            yield f"Line {number}.\n"

    with closing(Documents({"engine": "echo"}, "en", "ar")) as documents:
        next(documents.translate(texts()))
        assert len(read) < 50


def test_documents_are_remembered_by_the_model(upper: ScriptedEngine, tmp_path: Path) -> None:
    """Who translates the same document again with the same model asks nothing; another model is asked."""
    calls = []
    for model in ("m", "m", "other"):
        settings, digests = {**SERVER, "memory": str(tmp_path / "memory"), "model": model}, {f"name:0:{model}": model}
        with closing(Documents(settings, "en", "ar", None, lambda _, found=digests: found)) as documents:  # type: ignore[misc]
            assert documents.translate_one("One line.\n\nTwo lines.\n") == "ONE LINE.\n\nTWO LINES.\n"
        calls.append((upper.calls, documents.stats["remembered"]))
    assert calls == [(2, 0), (2, 2), (4, 0)]


def test_all_failing_segments_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document with seven failing segments names five of them, in order, and says how many more there are."""
    monkeypatch.setattr(translators, "open_engine", lambda *_, **__: ScriptedEngine(lambda request: ""))
    text = "\n\n".join(f"Line number {number}." for number in range(7))
    with pytest.raises(InputError, match="7 of its 7 distinct segments failed") as error:
        translate_document(text, {"engine": "echo", "retries": 0, "split": False}, "en", "ar")
    lines = error.value.message.splitlines()
    assert [f"segment: Line number {number}." in lines[number + 1] for number in range(5)] == [True] * 5
    assert lines[6] == "  and 2 more."


@pytest.mark.parametrize(
    ("name", "document"), [("a.md", 1), ("A.MD", 1), ("b.markdown", 1), ("c.txt", 1), ("d.jsonl", 0), ("e", 0)]
)
def test_what_a_document_is(name: str, document: int) -> None:
    """One definition for a single file and for the files of a folder, in capitals too."""
    assert is_document(name) == bool(document)


@pytest.mark.parametrize(("faults", "helps"), [(Faults(too_long=1.0), "max_tokens=40"), (Faults(empty=1.0), "Try another model")])
def test_advice_after_an_answer_that_is_never_accepted(monkeypatch: pytest.MonkeyPatch, faults: Faults, helps: str) -> None:
    """A cut answer wants more tokens; neither it nor an empty one comes back by switching gates off."""
    monkeypatch.setattr(translators, "open_engine", lambda *_, **__: ScriptedEngine(extract, faults))
    with pytest.raises(InputError) as error:
        translate_document("One line.", {"engine": "echo", "max_tokens": 10, "gates": ["truncated", "empty"]}, "en", "ar")
    assert helps in error.value.fix and "gates=none" not in error.value.fix
