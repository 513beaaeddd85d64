"""Where a run stands: what is running is told from what was stopped, single steps are found, and nothing raises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import hala
from hala import artifacts, pipeline
from hala.errors import InputError
from hala.progress import Progress
from hala.staging import unfinished
from hala.verbs import report
from hala.verbs.status import stages

HOLDER = """
import sys
from pathlib import Path
from hala.staging import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process works on the folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(hala.__file__).parents[1])}
    words = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield
        process.communicate(b"")


def begun(folder: Path, verb: str, seconds: float = 0.0) -> Path:
    """A step that was begun so many seconds after the epoch."""
    artifacts.write_json(folder / artifacts.STARTED, {"verb": verb})
    os.utime(folder / artifacts.STARTED, (seconds, seconds))
    return folder


def states(root: Path) -> dict[str, str]:
    """The state of each step."""
    return {stage.name: stage.state for stage in stages(root)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose step `first` was stopped, and whose step `second` was begun later."""
    steps = {name: {"name": name, "verb": verb} for name, verb in (("first", "tune"), ("second", "compress"), ("third", "merge"))}
    artifacts.write_json(tmp_path / "run/recipe.json", {"name": "run", "order": list(steps), "steps": steps})
    begun(tmp_path / "run/first", "tune", 1e9)
    begun(tmp_path / "run/second", "compress", 2e9)
    return tmp_path / "run"


def test_one_step_of_a_live_run_is_running(run: Path) -> None:
    """Only while a process holds the run, and only the step begun last; the words on the terminal do not say to run it again."""
    assert states(run) == {"first": "half done", "second": "half done", "third": "waiting"}
    assert "Run the same command again" in report.status_text(run)
    with held(run):
        assert states(run) == {"first": "half done", "second": "running", "third": "waiting"}
        assert report.status_text(run).endswith("0 of 3 steps finished. Now at work: second.")
        assert "Run the same" not in report.status_text(run) and "running" in report.render(run)
    (run / artifacts.LOCK).write_text("99999999")  # left by a SIGKILL: nobody holds it
    assert states(run)["second"] == "half done"


def test_unfinished_steps_say_how_far_they_are(run: Path) -> None:
    """The curve of a training that still runs lies in its work folder; a compression has written so many bytes."""
    (run / "first/.work").mkdir()
    (run / "first/.work/curve.jsonl").write_text('{"step": 7, "tokens": 12000, "loss": 2.5}\n{"st')
    (run / "second/.partial").mkdir()
    (run / "second/.partial/model.safetensors").write_bytes(b"\1" * 100_000)
    first, second, _ = stages(run)
    assert first.note == "step 7 so far, 12.0k tokens, loss 2.500"
    assert second.note.endswith("kB so far") and float(second.note.split()[0]) >= 100
    assert "2.500" in report.render(run)


def test_step_made_alone_is_found_by_its_own_name(tmp_path: Path, pairs_file: Path) -> None:
    """Finished or not, by its folder or by the folder above, though what is not finished has a hidden folder."""
    settings = {"data": str(pairs_file), "gates": "none"}
    pipeline.run_verb("filter", settings, tmp_path / "all/rows", Progress(quiet=True))
    begun(unfinished(tmp_path / "all/small"), "compress")
    assert states(tmp_path / "all") == {"rows": "finished", "small": "half done"}
    assert states(tmp_path / "all/rows") == {"rows": "finished"} and states(tmp_path / "all/small") == {"small": "half done"}
    with held(unfinished(tmp_path / "all/small")):
        assert states(tmp_path / "all")["small"] == states(tmp_path / "all/small")["small"] == "running"
    for place in ("all/rows", "all/small", "none"):
        with pytest.raises(InputError, match="is not a run"):
            report.render(tmp_path / place)
    with pytest.raises(InputError, match="is not a run"):
        stages(tmp_path / "none")


def test_tests_of_a_compression_are_told() -> None:
    """What was verified, and whether the translation test passed, stand in the line of the step."""
    facts: dict[str, Any] = {"bytes_before": 2e9, "bytes_after": 1e9, "verified": {}, "recovery": [{"passed": True}]}
    about: dict[str, Any] = {"step": "c", "verb": "compress", "kind": "checkpoint", "config": {}, "inputs": {}, "fingerprint": ""}
    assert "every byte read back, translation test passed" in report.describe(artifacts.Manifest(**about, facts=facts), Path("c"))
    facts["recovery"].append({"passed": False})
    assert "translation test failed" in report.describe(artifacts.Manifest(**about, facts=facts), Path("c"))
