"""Writing checkpoints: the reference layout, and the same bytes however often the writer is killed."""

from __future__ import annotations

import errno
import itertools
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from hala.artifacts import list_files
from hala.digests import take
from hala.errors import DiskError, DriftError, InputError
from hala.weights import journal, stream, writer
from hala.weights.checkpoint import Array, numpy_dtype, open_checkpoint
from hala.weights.compress import compress
from hala.weights.headers import DTYPES
from hala.weights.layout import Output, plan_shards
from hala.weights.making import Making, Piece, Write
from hala.weights.writer import Job, Make, build

CODES = {numpy_dtype(code): code for code in DTYPES}
Tensors = dict[str, Array]


def make_job(tensors: Tensors, side: Path, **changes: object) -> Job:
    """A job that copies `tensors`."""
    outputs = tuple(Output(name, CODES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items())
    return Job(**({"settings": {"n": 1}, "outputs": outputs, "config": {}, "side": side, "report": "report.json"} | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def copying(tensors: Tensors) -> Make:
    """Makes each tensor of two pieces, the first of which is written in two goes, from behind."""

    def make(name: str) -> Making:
        flat = tensors[name].reshape(-1)
        half, quarter = flat.size // 2, flat.size // 4

        def first(write: Write) -> None:
            write(quarter, flat[quarter:half])
            write(0, flat[:quarter])

        yield [Piece(0, half, first), Piece(half, flat.size - half, lambda write: write(half, flat[half:]))]
        return {"name": name}

    return make


def test_bytes_are_those_of_the_reference_writer(tmp_path: Path) -> None:
    """A single file equals the official library's, so every reader of safetensors reads ours."""
    kinds = [np.dtype(kind) for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.bfloat16, "float32", "int64", "bool", "float16")]
    rng = np.random.default_rng(0)
    tensors = {f"{chr(122 - i)}.weight": rng.standard_normal((3, 5 + i)).astype(kind) for i, kind in enumerate(kinds)}
    tensors |= {"scalar": np.array(1.0), "empty": np.zeros((0, 3), np.float32), "ü": np.ones(2, np.float32)}
    build(tmp_path / "ours", make_job(tensors, tmp_path), copying(tensors))
    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert (tmp_path / "ours" / "model.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def ramp(**counts: int) -> Tensors:
    """Vectors of the given lengths, each full of its own number."""
    return {name: np.full(count, float(i), np.float32) for i, (name, count) in enumerate(counts.items())}


def test_shards_respect_their_limit_and_the_index_names_all(tmp_path: Path) -> None:
    """No shard exceeds the limit unless one tensor does, and the index finds every tensor."""
    tensors = ramp(t0=10, t1=10, t2=10, t3=100, t4=5, t5=5)
    job = make_job(tensors, tmp_path, shard_bytes=100)
    build(tmp_path / "out", job, copying(tensors))
    sizes = [sum(output.size for output in outputs) for outputs in plan_shards(job.outputs, 100).values()]
    assert sizes == [80, 40, 400, 40]
    read = open_checkpoint(tmp_path / "out")
    assert all(np.array_equal(read.read(name), tensor) for name, tensor in tensors.items())
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 560
    assert set(index["weight_map"]) == set(tensors)


@pytest.mark.parametrize("exists", [False, True])
def test_finished_shards_are_not_made_again(tmp_path: Path, exists: bool) -> None:
    """A resume computes only what is missing and reports as if it had never stopped; until then there is no checkpoint."""
    tensors = ramp(t0=14, t1=13, t2=12, t3=11, t4=10)
    job, made, copy = make_job(tensors, tmp_path, shard_bytes=80), [], copying(tensors)
    if exists:
        (tmp_path / "out").mkdir()

    def make(name: str) -> Making:
        made.append(name)
        if len(made) == 4:
            raise KeyboardInterrupt
        return copy(name)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", job, make, threads=1)
    assert (tmp_path / "out").exists() == exists
    assert not list(tmp_path.glob("out/*.safetensors"))
    assert [note["name"] for note in build(tmp_path / "out", job, make, threads=1)] == sorted(tensors)
    assert made == ["t0", "t1", "t2", "t3", "t3", "t4"]
    assert [note["name"] for note in build(tmp_path / "out", job, make)] == sorted(tensors)
    assert len(made) == 6
    assert not [*(tmp_path / "out").glob(".*"), *tmp_path.glob(".*")]


@pytest.mark.parametrize("large", [0, 1 << 40])
def test_what_is_written_of_a_shard_is_not_made_again(large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume in the middle of a shard goes on where the disk has it, past the page cache or not, to the same bytes."""
    monkeypatch.setattr(stream, "SLOT", 4096)
    monkeypatch.setattr(writer, "LARGE", large)
    tensors, made = ramp(**{f"t{i:02d}": 700 + i for i in range(60)}), []
    copy = copying(tensors)

    def make(name: str) -> Making:
        made.append(name)
        if name == "t40" and made[0] == "t00":
            raise KeyboardInterrupt
        return copy(name)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", make_job(tensors, tmp_path), make, threads=2)
    lines = journal.read_lines(tmp_path / ".out.partial" / journal.JOURNAL)
    there = [line["unit"] for line in lines[1:]]
    assert there == sorted(tensors)[: len(there)] and 10 < len(there) < 40
    made.clear()
    build(tmp_path / "out", make_job(tensors, tmp_path), make, threads=2)
    assert made == sorted(tensors)[len(there) :]
    build(tmp_path / "calm", make_job(tensors, tmp_path), copy)
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


def test_the_digests_of_shards_are_left_for_the_manifest(tmp_path: Path) -> None:
    """Whoever finishes the folder knows the digest of every shard without reading it, and it is that of the bytes on disk."""
    tensors = ramp(t0=14, t1=13, t2=12, t3=11, t4=10)
    build(tmp_path / "out", make_job(tensors, tmp_path, shard_bytes=80), copying(tensors))
    known = {path.name: digest for path in (tmp_path / "out").iterdir() if (digest := take(path))}
    assert sorted(known) == sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert known.items() <= {name: entry["xxh128"] for name, entry in list_files(tmp_path / "out").items()}.items()


@pytest.mark.parametrize("exists", [False, True])
def test_a_shard_that_somebody_removed_is_made_again(tmp_path: Path, exists: bool) -> None:
    """The journal is not believed about a shard that is gone: the result is whole and not full of zeros."""
    tensors, made = ramp(t0=14, t1=13, t2=12, t3=11, t4=10), []
    job, copy = make_job(tensors, tmp_path, shard_bytes=80), copying(tensors)
    if exists:
        (tmp_path / "out").mkdir()

    def make(name: str) -> Making:
        made.append(name)
        if len(made) == 4:
            raise KeyboardInterrupt
        return copy(name)

    for _ in range(2):  # the second time it is stopped right after the first unit of the removed shard
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "out", job, make, threads=1)
        next(iter(sorted(tmp_path.rglob("*.safetensors")))).unlink(missing_ok=True)
        made[:] = made[:3]
    made[:] = [*made, "", ""]
    build(tmp_path / "out", job, make, threads=1)
    read = open_checkpoint(tmp_path / "out")
    assert all(np.array_equal(read.read(name), tensor) for name, tensor in tensors.items())


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    """A thread has one shard open, so a low limit of open files is no obstacle to many shards."""
    tensors = ramp(**{f"t{number:03d}": 10 + number for number in range(200)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        build(tmp_path / "out", make_job(tensors, tmp_path, shard_bytes=40), copying(tensors))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 200


def test_a_journal_of_another_boot_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the journal may name what never reached the disk, so those units are made again."""
    tensors, made = ramp(t0=4, t1=3), []
    copy = copying(tensors)

    def make(name: str) -> Making:
        made.append(name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return copy(name)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", make_job(tensors, tmp_path, shard_bytes=16), make, threads=1)
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(journal, "BOOT", tmp_path / "boot")
    build(tmp_path / "out", make_job(tensors, tmp_path, shard_bytes=16), make, threads=1)
    assert made == ["t0", "t1", "t0", "t1"]


def test_other_settings_and_foreign_folders_are_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Neither a half-finished nor a finished nor a foreign checkpoint is ever overwritten or mixed."""
    tensors = ramp(t=2)
    build(tmp_path / "out", make_job(tensors, tmp_path), copying(tensors))
    with pytest.raises(DriftError, match=r"other settings \(n\)"):
        build(tmp_path / "out", make_job(tensors, tmp_path, settings={"n": 2}), copying(tensors))
    before = contents(folders["lfm2"])
    with pytest.raises(InputError, match="another checkpoint"):
        compress(folders["lfm2"], folders["lfm2"])
    assert contents(folders["lfm2"]) == before


def test_the_errors_of_a_thread_end_the_job_and_stay_themselves(tmp_path: Path) -> None:
    """What goes wrong in one thread stops the others and reaches the caller as it was."""
    tensors = ramp(**{f"t{i}": 10 for i in range(50)})
    made = []

    def damaged(_: Write) -> None:
        raise InputError("tensor t3 is damaged.")

    def make(name: str) -> Making:
        made.append(name)
        if name == "t3":
            yield [Piece(0, 10, damaged)]
        return (yield from copying(tensors)(name))

    with pytest.raises(InputError, match="t3 is damaged"):
        build(tmp_path / "out", make_job(tensors, tmp_path), make, threads=2)
    assert len(made) < 50
    assert not (tmp_path / "out").exists()


def test_a_disk_too_small_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of work never end in a full disk that could have been seen at the start."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(DiskError, match=r"0\.00 GB free, 0\.05 GB are needed"):
        build(tmp_path / "out", make_job(ramp(t=2), tmp_path), lambda _: pytest.fail("nothing should be made"))


def test_a_full_disk_is_a_clear_error_and_can_be_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC becomes DiskError, leaves no checkpoint under the final name, and the same call goes on later."""
    tensors = ramp(t=2)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(stream, "put", full)
        with pytest.raises(DiskError, match="No space left"):
            build(tmp_path / "out", make_job(tensors, tmp_path), copying(tensors))
    assert not (tmp_path / "out").exists()
    build(tmp_path / "out", make_job(tensors, tmp_path), copying(tensors))
    assert (tmp_path / "out" / "config.json").is_file()


ZYGOTE = """
import json, os, signal, sys, time
from hala.weights.compress import compress
from hala.weights.merge import merge
from hala.weights import stream, writer
put = stream.put
for line in sys.stdin:
    kill_after, job, *folders, shard_bytes, slot = json.loads(line)
    child = os.fork()
    if not child:
        if slot:
            stream.SLOT, writer.LARGE, stream.put = slot, 20 * slot, lambda *args: (time.sleep(0.002), put(*args))
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
    """Runs jobs in processes of their own, forked from one that has loaded numpy. With a slot, writing is slow, in parts of that
    size, and so that kills land in between.
    """

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        )

    def run(self, *command: object, kill_after: float | None = None, slot: int = 0) -> list[str]:
        """What the job printed; with `kill_after` it gets SIGKILL after that many seconds."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([kill_after, *command, slot], default=str) + "\n")
        self.process.stdin.flush()
        return list(itertools.takewhile(lambda line: line != "over\n", self.process.stdout))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """One process to fork jobs from."""
    made = Runner()
    yield made
    made.process.communicate()


@pytest.mark.parametrize("shard_bytes", [20_000, 10**9])
@pytest.mark.parametrize("job", ["compress", "merge"])
def test_killed_at_random_moments_the_bytes_are_the_same(
    job: str, shard_bytes: int, runner: Runner, folders: dict[str, Path], tmp_path: Path
) -> None:
    """SIGKILL at random moments, then the same call again: the folder is byte-identical to one made in peace."""
    sources = [folders["lfm2"]] if job == "compress" else [folders["lfm2"], folders["tuned"]]
    runner.run(job, *sources, tmp_path / "calm", shard_bytes)
    runner.run(job, *sources, tmp_path / "again", shard_bytes, slot=4096)  # the first is slower: it loads what later forks have
    began = time.perf_counter()
    shutil.rmtree(tmp_path / "again")
    runner.run(job, *sources, tmp_path / "again", shard_bytes, slot=4096)
    seconds = time.perf_counter() - began
    calm = contents(tmp_path / "calm")
    assert contents(tmp_path / "again") == calm
    assert (len([name for name in calm if name.endswith(".safetensors")]) > 3) == (shard_bytes < 10**9)
    rng, halfway = random.Random(job), 0
    for _ in range(30):
        runner.run(job, *sources, tmp_path / "killed", shard_bytes, kill_after=rng.uniform(0.0, 0.7 * seconds), slot=4096)
        if (tmp_path / "killed").exists():  # absent or complete
            assert contents(tmp_path / "killed") == calm
            shutil.rmtree(tmp_path / "killed")
        lines = tmp_path / ".killed.partial" / journal.JOURNAL
        halfway += lines.is_file() and lines.read_bytes().count(b"\n") > 1
        if halfway == 8:
            break
    assert halfway  # else every kill came too early or too late to mean anything
    runner.run(job, *sources, tmp_path / "killed", shard_bytes, slot=4096)
    assert contents(tmp_path / "killed") == calm
    assert not (tmp_path / ".killed.partial").exists()


def test_memory_does_not_grow_with_the_model(tmp_path: Path, runner: Runner) -> None:
    """Three times the layers cost no more memory: the peak is a window of the file and a few blocks, not the model."""
    peaks = []
    for layers in (20, 60):
        folder = tmp_path / str(layers)
        folder.mkdir()
        weights = {f"layers.{i}.w.weight": np.ones((1024, 2048), ml_dtypes.bfloat16) for i in range(layers)}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
        # The least of three: how many blocks the allocator holds at once depends on which thread comes first.
        tries = [int(runner.run("compress", folder, tmp_path / f"{layers}-fp8-{i}", 10**10)[0]) // 1024 for i in range(3)]
        peaks.append(min(tries))
    assert peaks[1] - peaks[0] < 10, peaks  # megabytes; the larger model weighs 160 MB more
    assert peaks[1] < 120, peaks
