"""tune in several processes: what one would have made, one lock, and no worker that outlives its run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hala.artifacts import read_manifest
from hala.errors import EngineError, InputError, TrainingError
from hala.pipeline import run_verb
from hala.progress import Progress
from hala.training.examples import Example
from hala.verbs import workers

SETTINGS = {"max_steps": 8, "batch_tokens": 128, "max_length": 64, "precision": "float32", "learning_rate": 1e-3}
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def command(out: Path, base: Path, data: Path, **more: object) -> list[str]:
    """The words of `hala tune` with the settings above."""
    sets = [f"--set={key}={value}" for key, value in {**SETTINGS, **more}.items()]
    return ["-m", "hala", "tune", "--base", str(base), "--data", str(data), "--out", str(out), *sets]


def test_examples_reach_the_workers_unchanged(tmp_path: Path) -> None:
    """Every token and label is the same after the way over the disk, for no examples and for many."""
    rng = np.random.default_rng(0)
    made = [Example(str(n), *(rng.integers(-100, 1 << 20, n + 1).astype(np.int32) for _ in range(2))) for n in range(50)]
    for examples in ([], made):
        workers.write_examples(tmp_path / "examples", examples)
        found = workers.read_examples(tmp_path / "examples")
        assert len(found) == len(examples)
        for one, other in zip(found, examples, strict=True):
            assert np.array_equal(one.input_ids, other.input_ids) and np.array_equal(one.labels, other.labels)


def test_torchrun_makes_the_checkpoint_of_one_process(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """`torchrun -m hala` trains in its processes with one lock and one manifest, to the weights of one process up to rounding."""
    alone = run_verb("tune", {"base": str(tiny), "data": str(chats_file), **SETTINGS}, tmp_path / "alone", Progress(quiet=True))
    done = subprocess.run(
        [*TORCHRUN, *command(tmp_path / "both", tiny, chats_file)], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = read_manifest(alone), read_manifest(tmp_path / "both")
    assert one is not None and two is not None
    assert (one.facts.pop("processes"), two.facts.pop("processes")) == (1, 2)
    assert one.facts.pop("final_loss") == pytest.approx(two.facts.pop("final_loss"), rel=1e-4)
    assert one.facts == two.facts and one.counts == two.counts and one.fingerprint == two.fingerprint
    expected, got = (load_file(folder / "model.safetensors") for folder in (alone, tmp_path / "both"))
    assert expected.keys() == got.keys() and all(torch.allclose(expected[key], got[key], atol=1e-5) for key in got)
    assert sorted(path.name for path in alone.iterdir()) == sorted(path.name for path in (tmp_path / "both").iterdir())


@pytest.mark.slow
def test_a_killed_run_takes_its_workers_along_and_continues(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """SIGKILL of hala alone: its workers end at once, and the same command ends in the bytes of a run that was left alone."""
    for name in ("calm", "killed"):
        words = [sys.executable, *command(tmp_path / name, tiny, chats_file, processes=2)]
        if name == "killed":
            with subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
                wait_for(lambda: any(tmp_path.rglob("step-0000000[2-6]")))
                process.send_signal(signal.SIGKILL)
            wait_for(lambda: not list(of_job(tmp_path)))
        done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    for path in (tmp_path / "calm").iterdir():
        if path.suffix in (".safetensors", ".jsonl") or path.name == "config.json":
            assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes(), path.name


def of_job(folder: Path) -> Iterator[int]:
    """Processes that name this folder on their command line."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (place / "cmdline").read_bytes() and int(place.name) != os.getpid():
                yield int(place.name)
        except OSError:
            continue


def wait_for(happened, seconds: float = 100) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_what_a_worker_says_is_raised_here(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """An expected failure inside a worker is the same error in the process that people look at."""
    settings = {"base": str(tiny), "data": str(chats_file), **SETTINGS, "processes": 2, "batch_tokens": 64}
    with pytest.raises(InputError, match="1 rows of 64 tokens cannot be shared by 2 processes"):
        run_verb("tune", settings, tmp_path / "out", Progress(quiet=True))


def test_a_dead_worker_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    """A job that cannot even be read ends in one clear error that names the log; an error file says more."""
    with pytest.raises(EngineError, match=r"exit code 1.*workers\.log has its last words"):
        workers.run(tmp_path, 1, print, lambda *_: None)
    assert "job.json" in (tmp_path / workers.LOG).read_text(encoding="utf-8")
    (tmp_path / "error-1.json").write_text(json.dumps(["TrainingError", "It diverged.", "Lower the rate."]), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"It diverged\. Lower the rate\."):
        workers.run(tmp_path, 1, print, lambda *_: None)
