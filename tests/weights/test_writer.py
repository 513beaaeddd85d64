"""Writing checkpoints: the reference layout, and the same bytes however often the writer is killed."""

from __future__ import annotations

import errno
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hala.errors import DiskError, DriftError, InputError
from hala.weights import writer
from hala.weights.checkpoint import DTYPES, open_checkpoint
from hala.weights.fp8 import compress
from hala.weights.writer import Job, Output, Unit, build, plan_shards

CODES = {getattr(torch, name): code for code, (name, _) in DTYPES.items()}


def make_job(tensors: dict[str, torch.Tensor], side: Path, **changes: object) -> Job:
    """A job that copies `tensors`."""
    units = tuple(Unit(name, (Output(name, CODES[tensor.dtype], tuple(tensor.shape)),)) for name, tensor in tensors.items())
    return Job(**({"settings": {"n": 1}, "units": units, "config": {}, "side": side, "report": "report.json"} | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_bytes_are_those_of_the_reference_writer(tmp_path: Path) -> None:
    """A single file equals the official library's, so every reader of safetensors reads ours."""
    kinds = [torch.float8_e4m3fn, torch.bfloat16, torch.float32, torch.int64, torch.bool, torch.float16]
    tensors = {f"{chr(122 - i)}.weight": torch.randn(3, 5 + i).to(kind) for i, kind in enumerate(kinds)}
    tensors |= {"scalar": torch.tensor(1.0), "empty": torch.zeros(0, 3), "ü": torch.ones(2)}
    build(tmp_path / "ours", make_job(tensors, tmp_path), lambda name: ([tensors[name]], {}))
    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert (tmp_path / "ours" / "model.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_shards_respect_their_limit_and_the_index_names_all(tmp_path: Path) -> None:
    """No shard exceeds the limit unless one tensor does, and the index finds every tensor."""
    tensors = {f"t{i}": torch.full((n,), float(i)) for i, n in enumerate([10, 10, 10, 100, 5, 5])}
    job = make_job(tensors, tmp_path, shard_bytes=100)
    build(tmp_path / "out", job, lambda name: ([tensors[name]], {}))
    sizes = [sum(unit.size for unit in units) for units in plan_shards(job.units, 100).values()]
    assert sizes == [80, 40, 400, 40]
    read = open_checkpoint(tmp_path / "out")
    assert all(torch.equal(read.read(name), tensor) for name, tensor in tensors.items())
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 560
    assert set(index["weight_map"]) == set(tensors)


def test_finished_shards_are_not_made_again(tmp_path: Path) -> None:
    """A resume computes only what is missing, and reports as if it had never stopped."""
    tensors = {f"t{i}": torch.full((10,), float(i)) for i in range(5)}
    job, made = make_job(tensors, tmp_path, shard_bytes=80), []

    def make(name: str) -> tuple[list[torch.Tensor], dict[str, str]]:
        made.append(name)
        if len(made) == 4:
            raise KeyboardInterrupt
        return [tensors[name]], {"name": name}

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", job, make)
    assert not (tmp_path / "out" / "config.json").exists()
    assert [note["name"] for note in build(tmp_path / "out", job, make)] == sorted(tensors)
    assert made == ["t0", "t1", "t2", "t3", "t2", "t3", "t4"]
    assert [note["name"] for note in build(tmp_path / "out", job, make)] == sorted(tensors)
    assert len(made) == 7
    assert not list((tmp_path / "out").glob(".*"))


def test_other_settings_and_foreign_folders_are_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Neither a half-finished nor a finished nor a foreign checkpoint is ever overwritten or mixed."""
    tensors = {"t": torch.ones(2)}
    build(tmp_path / "out", make_job(tensors, tmp_path), lambda name: ([tensors[name]], {}))
    with pytest.raises(DriftError, match=r"other settings \(n\)"):
        build(tmp_path / "out", make_job(tensors, tmp_path, settings={"n": 2}), lambda name: ([tensors[name]], {}))
    before = contents(folders["lfm2"])
    with pytest.raises(InputError, match="another checkpoint"):
        compress(folders["lfm2"], folders["lfm2"])
    assert contents(folders["lfm2"]) == before


def test_a_full_disk_is_a_clear_error_and_can_be_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC becomes DiskError, leaves no half file under a final name, and the same call goes on later."""
    tensors = {"t": torch.ones(2)}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "put", full)
        with pytest.raises(DiskError, match="No space left"):
            build(tmp_path / "out", make_job(tensors, tmp_path), lambda name: ([tensors[name]], {}))
    assert [file.name for file in (tmp_path / "out").rglob("*") if file.is_file()] == ["settings.json"]
    build(tmp_path / "out", make_job(tensors, tmp_path), lambda name: ([tensors[name]], {}))
    assert (tmp_path / "out" / "config.json").is_file()


ZYGOTE = """
import json, os, signal, sys, time
import torch
from hala.weights.fp8 import compress
from hala.weights.slerp import merge
torch.set_num_threads(1)
fsync = os.fsync
os.fsync = lambda fd: (time.sleep(0.005), fsync(fd))
for line in sys.stdin:
    kill_after, job, *folders, shard_bytes = json.loads(line)
    child = os.fork()
    if not child:
        {"compress": compress, "merge": merge}[job](*folders, shard_bytes=shard_bytes)
        peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
        print(peak, flush=True)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


class Runner:
    """Runs jobs in processes of their own, forked from one that has loaded torch; fsync is slow, so kills land in between."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "100000"},
        )

    def run(self, *command: object, kill_after: float | None = None) -> list[str]:
        """What the job printed; with `kill_after` it gets SIGKILL after that many seconds."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([kill_after, *command], default=str) + "\n")
        self.process.stdin.flush()
        return list(itertools.takewhile(lambda line: line != "over\n", self.process.stdout))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """One process to fork jobs from."""
    made = Runner()
    yield made
    made.process.communicate()


@pytest.mark.parametrize("job", ["compress", "merge"])
def test_killed_at_random_moments_the_bytes_are_the_same(
    job: str, runner: Runner, folders: dict[str, Path], tmp_path: Path
) -> None:
    """SIGKILL at random moments, then the same call again: the folder is byte-identical to one made in peace."""
    sources = [folders["lfm2"]] if job == "compress" else [folders["lfm2"], folders["tuned"]]
    runner.run(job, *sources, tmp_path / "calm", 9000)  # the first is slower: it loads what later forks have
    began = time.perf_counter()
    runner.run(job, *sources, tmp_path / "again", 9000)
    seconds = time.perf_counter() - began
    calm = contents(tmp_path / "calm")
    assert contents(tmp_path / "again") == calm
    assert len([name for name in calm if name.endswith(".safetensors")]) > 8
    rng, halfway = random.Random(job), 0
    for _ in range(30):
        runner.run(job, *sources, tmp_path / "killed", 9000, kill_after=rng.uniform(0.0, 0.5 * seconds))
        if (tmp_path / "killed" / "config.json").exists() and not (tmp_path / "killed" / writer.WORK).exists():
            assert contents(tmp_path / "killed") == calm
            shutil.rmtree(tmp_path / "killed")
        halfway += any(tmp_path.glob("killed/*.safetensors"))
        if halfway == 6:
            break
    assert halfway  # else every kill came too early or too late to mean anything
    runner.run(job, *sources, tmp_path / "killed", 9000)
    assert contents(tmp_path / "killed") == calm


def test_memory_does_not_grow_with_the_model(tmp_path: Path, runner: Runner) -> None:
    """Ten times the layers cost no more memory: the peak is a few tensors, not the model."""
    peaks = []
    for layers in (2, 20):
        folder = tmp_path / str(layers)
        folder.mkdir()
        save_file({f"layers.{i}.w.weight": torch.ones(1024, 2048) for i in range(layers)}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
        peaks.append(int(runner.run("compress", folder, tmp_path / f"{layers}-fp8", 10**10)[0]) // 1024)
    assert peaks[1] - peaks[0] < 30, peaks  # megabytes; the larger model weighs 144 MB more
