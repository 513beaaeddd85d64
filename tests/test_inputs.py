"""A step reads what it says that it was made from, even where the source moves on in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts, pipeline, shards
from hala.data import sources
from hala.errors import DriftError
from hala.progress import Progress


def test_a_step_reads_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch of the hub that moves while a step runs is read at one commit: in its inputs, its ids and every pass."""
    moves, read = iter("abcdefgh"), []

    def about(*_: object, **__: object) -> Any:
        return type("Info", (), {"sha": next(moves) * 40})()

    def records(name: str, config: str | None, split: str, revision: str | None) -> Iterator[dict[str, Any]]:
        read.append(revision)
        yield from ({"text": f"Row {n} at {revision}."} for n in range(5))

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", about)
    monkeypatch.setattr(sources, "hub_records", records)
    settings = {"data": [{"hub": "some/set"}, {"hub": "some/set", "revision": "branch"}], "gates": "none", "near": 0.8}
    pipeline.run_verb("filter", settings, tmp_path / "out", Progress(quiet=True))
    manifest = artifacts.read_manifest(tmp_path / "out")
    assert manifest is not None
    first, second = "some/set@" + "a" * 40, "some/set@" + "b" * 40
    assert list(manifest.inputs.values()) == [first, second] and read == ["a" * 40, "b" * 40] * 2
    assert {row.id[:17] for row in shards.read_rows(tmp_path / "out")} == {first[:17], second[:17]}
    with pytest.raises(DriftError, match="some/set"):
        pipeline.run_verb("filter", settings, tmp_path / "out", Progress(quiet=True))


def test_a_file_of_probes_is_an_input(tmp_path: Path, tiny: Path) -> None:
    """What a model was asked is part of what its scores are: the file is digested, and a change of it is a change of the step."""
    file = tmp_path / "mine.toml"
    file.write_text('lang = "ar"\n[[probe]]\nprompt = "ما اسمك؟"\n', encoding="utf-8")
    settings = {"models": [str(tiny)], "probes": str(file), "probe_tokens": 2, "dtype": "float32", "resamples": 100}
    pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True))
    manifest = artifacts.read_manifest(tmp_path / "out")
    assert manifest is not None and any(key.startswith("probes:") for key in manifest.inputs)
    pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True))  # the same: kept
    file.write_text('lang = "ar"\n[[probe]]\nprompt = "من أنت؟"\n', encoding="utf-8")
    with pytest.raises(DriftError, match=r"mine\.toml"):
        pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True))


def test_a_suite_is_read_at_a_commit(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a benchmark's file says and the commit of its rows are inputs; rows are read at it, and the score says it."""
    commits, read = iter(["a" * 40, "b" * 40]), []

    def about(*_: object, **__: object) -> Any:
        if (sha := next(commits, None)) is None:
            raise OSError("offline")
        return type("Info", (), {"sha": sha})()

    def records(name: str, config: str | None, split: str, revision: str | None) -> Iterator[dict[str, Any]]:
        read.append((name, revision))
        options = dict(zip("ABCD", "1234", strict=True))
        yield from ({"question": f"{n}؟", "subject": "Physics", **options, "answer": "B"} for n in "12")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", about)
    monkeypatch.setattr(sources, "hub_records", records)
    settings = {"models": [str(tiny)], "suite": "exams", "dtype": "float32", "resamples": 100}
    pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True))
    manifest = artifacts.read_manifest(tmp_path / "out")
    assert manifest is not None and read == [("OALL/Arabic_EXAMS", "a" * 40)]
    inputs = {key.split(":", 2)[0]: value for key, value in manifest.inputs.items()}
    assert inputs["set"] == "OALL/Arabic_EXAMS@" + "a" * 40 and len(inputs["suite"]) == 64
    assert manifest.facts["scores"][0]["dataset"]["revision"] == "a" * 40
    with pytest.raises(DriftError, match="Arabic_EXAMS"):
        pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True))
    pipeline.run_verb("evaluate", settings, tmp_path / "out", Progress(quiet=True))  # offline: as it was
    assert len(read) == 1
