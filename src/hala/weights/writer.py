"""Writing checkpoints: tensors in any order, in parallel, into shards laid out beforehand, so that a killed job continues.

The header of every shard is known before its first tensor is computed, so each piece of a tensor goes straight to its place. All
is written to a work folder beside the destination, with a journal of finished units; the destination is absent or complete.
Killed at any moment and started again, it ends with the same bytes, in the reference layout.

    build(Path("out"), job, make)   # make(key, write) writes the outputs of that unit and returns its note for the report
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from hala.artifacts import atomic_file, disk_errors, sync
from hala.errors import DiskError, DriftError, InputError
from hala.hardware import workers
from hala.weights.checkpoint import INDEX_NAME, Array, copy_side_files, numpy_dtype
from hala.weights.headers import DTYPES

SHARD_BYTES = 5_000_000_000
WORK = ".partial"  # suffix of the work folder, or its name inside a destination that exists already
JOURNAL = "journal.jsonl"
BOOT = Path("/proc/sys/kernel/random/boot_id")
SPARE = 50_000_000  # bytes left free for everything that is not a tensor
ORDER = {dtype: rank for rank, dtype in enumerate(DTYPES)}

Note = dict[str, Any]
Write = Callable[[str, int, Array], None]  # output name, first element, values
Make = Callable[[str, Write], Note]
Progress = Callable[[int, int], None]  # bytes done, bytes in all
Places = dict[str, tuple[int, "Output"]]  # where each output of a shard begins


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that will be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return math.prod(self.shape) * DTYPES[self.dtype][1]


@dataclass(frozen=True, slots=True)
class Unit:
    """What one call of `make(key, write)` writes: one or more outputs that stay in one shard."""

    key: str
    outputs: tuple[Output, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(output.size for output in self.outputs)


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint to write: `settings` tells two jobs apart, `side` has the tokenizer files, `report` is the report's name.

    `index` writes an index file for a single shard too, as some readers expect.
    """

    settings: Note
    units: tuple[Unit, ...]
    config: dict[str, Any]
    side: Path
    report: str
    shard_bytes: int = SHARD_BYTES
    summary: Callable[[list[Note]], Note] | None = None


def build(dst: Path, job: Job, make: Make, progress: Progress | None = None, threads: int | None = None) -> list[Note]:
    """The notes of all units in order. Finished units of an earlier, interrupted call with the same settings are kept.

    `make` runs in several threads (by default one a core). Raises: DriftError when `dst` was begun with other settings,
    InputError when it holds another checkpoint, DiskError.
    """
    with disk_errors(dst):
        if (finished := notes_of_finished(dst, job)) is not None:
            return finished
        work = work_folder(dst)
        shards = plan_shards(job.units, job.shard_bytes)
        journal = Journal.begin(work, job, lost_units(shards, (work, dst)))
        if any(unit.key not in journal.notes for unit in job.units):
            check_room(work, shards)
            with closing(journal):
                write_units(work, shards, journal, make, progress, threads or workers())
        if lost := sorted(lost_units(shards, (work, dst))):
            raise DiskError(f"the parts of {dst} with {lost[0]} are gone.", "Run it again; what is missing is made again.")
        notes = [journal.notes[unit.key] for unit in job.units]
        finish(work, dst, job, shards, notes)
    return notes


def work_folder(dst: Path) -> Path:
    """Where the parts are kept until all are there: a hidden folder beside `dst`, or inside when `dst` exists already."""
    return dst / WORK if dst.is_dir() else dst.with_name(f".{dst.name}{WORK}")


def notes_of_finished(dst: Path, job: Job) -> list[Note] | None:
    """The notes of a finished checkpoint with the job's settings; None when `dst` holds none yet."""
    report = dst / job.report
    if not (dst / "config.json").is_file():
        if any(dst.glob("*.safetensors")) and not (dst / WORK).is_dir():
            raise InputError(f"{dst} already holds another checkpoint.", "Choose another folder; nothing is overwritten.")
        return None
    if not report.is_file():
        raise InputError(f"{dst} already holds another checkpoint.", "Choose another folder; nothing is overwritten.")
    saved = json.loads(report.read_text("utf-8"))
    check_settings(dst, saved["settings"], job.settings)
    shutil.rmtree(dst / WORK, ignore_errors=True)
    notes: list[Note] = saved["tensors"]
    return notes


def check_settings(folder: Path, saved: Note, settings: Note) -> None:
    """Nothing, or DriftError naming the settings that differ."""
    if saved != json.loads(json.dumps(settings)):
        fix = f"Choose another folder or delete {folder}."
        changed = sorted(key for key in {*settings, *saved} if saved.get(key) != settings.get(key))
        raise DriftError(f"{folder} was begun with other settings ({', '.join(changed)}).", fix)


class Journal:
    """Which units are on disk, with their notes: one JSON line for each, after one with the settings and the boot.

    What was written before a power cut or a crash of the system may be lost though the journal names it, so lines of another
    boot are not believed.
    """

    def __init__(self, file: Path, notes: dict[str, Note]) -> None:
        self.file, self.notes, self.lock = file, notes, Lock()
        self.stream: Any = None

    @classmethod
    def begin(cls, work: Path, job: Job, lost: set[str]) -> Journal:
        """The journal in `work`, with what an earlier call has finished and what is not in a `lost` shard.

        Raises: DriftError when it had other settings.
        """
        file, boot = work / JOURNAL, boot_id()
        lines = read_lines(file)
        if lines:
            check_settings(work, lines[0]["settings"], job.settings)
        work.mkdir(parents=True, exist_ok=True)
        believed = [line for line in lines[1:] if line["unit"] not in lost] if boot and lines and lines[0]["boot"] == boot else []
        with atomic_file(file) as temporary:
            head = {"settings": job.settings, "boot": boot}
            temporary.write_text("".join(json.dumps(line) + "\n" for line in [head, *believed]), encoding="utf-8")
        return cls(file, {line["unit"]: line["note"] for line in believed})

    def add(self, key: str, note: Note) -> None:
        """Says that the unit is written."""
        with self.lock:
            self.notes[key] = json.loads(json.dumps(note))
            if self.stream is None:
                self.stream = self.file.open("a", encoding="utf-8")
            self.stream.write(json.dumps({"unit": key, "note": note}) + "\n")
            self.stream.flush()

    def close(self) -> None:
        """No more units."""
        if self.stream is not None:
            self.stream.close()


def boot_id() -> str:
    """What tells one start of the machine from another; empty where the system does not say, and then nothing is believed."""
    if BOOT.exists():
        return BOOT.read_text().strip()
    try:
        return subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def lost_units(shards: dict[str, list[Unit]], folders: Sequence[Path]) -> set[str]:
    """Units whose shard is in none of the folders in its full size: somebody removed it, or it was never begun."""
    lost: set[str] = set()
    for name, units in shards.items():
        size = shard_size(units)
        if not any((folder / name).is_file() and (folder / name).stat().st_size == size for folder in folders):
            lost.update(unit.key for unit in units)
    return lost


def shard_size(units: Sequence[Unit]) -> int:
    """Bytes of the whole file."""
    outputs = [output for unit in units for output in unit.outputs]
    return len(make_header(outputs)[0]) + sum(output.size for output in outputs)


def read_lines(file: Path) -> list[Note]:
    """The whole lines of a journal; one that a kill cut off is left out, with all after it."""
    lines: list[Note] = []
    for line in file.read_bytes().split(b"\n")[:-1] if file.is_file() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def plan_shards(units: Sequence[Unit], shard_bytes: int) -> dict[str, list[Unit]]:
    """Units by shard file name, in order; a shard is closed before it would exceed `shard_bytes`, a larger unit stands alone."""
    groups: list[list[Unit]] = [[]]
    size = 0
    for unit in units:
        if groups[-1] and size + unit.size > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(unit)
        size += unit.size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": group for i, group in enumerate(groups, 1)}


def make_header(outputs: Sequence[Output]) -> tuple[bytes, dict[str, int]]:
    """The first bytes of a shard and where each tensor starts in the file, in the reference writer's layout.

    Wide dtypes come first, so every tensor is aligned to its own item size without padding.
    """
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    starts, cursor = {}, 0
    for output in sorted(outputs, key=lambda o: (-ORDER[o.dtype], o.name)):
        offsets = [cursor, cursor + output.size]
        entries[output.name] = {"dtype": output.dtype, "shape": list(output.shape), "data_offsets": offsets}
        starts[output.name] = cursor
        cursor += output.size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: start + len(header) for name, start in starts.items()}


def check_room(work: Path, shards: dict[str, list[Unit]]) -> None:
    """Nothing, or DiskError when what is still to be written does not fit, before hours are spent on it."""
    total = sum(unit.size for units in shards.values() for unit in units)
    there = sum(file.stat().st_blocks * 512 for file in work.glob("*.safetensors"))
    free = shutil.disk_usage(work).free
    if total - there + SPARE > free:
        need = (total - there + SPARE) / 1e9
        raise DiskError(
            f"{work.parent} has {free / 1e9:.2f} GB free, {need:.2f} GB are needed.", "Make room or choose another --out."
        )


def lay_out(file: Path, units: Sequence[Unit]) -> dict[str, tuple[int, Output]]:
    """Gives a shard its full size and its header, and says where each output begins in it."""
    outputs = [output for unit in units for output in unit.outputs]
    header, starts = make_header(outputs)
    with opened(file) as descriptor:
        os.ftruncate(descriptor, len(header) + sum(output.size for output in outputs))
        put(descriptor, 0, header)
    return {output.name: (starts[output.name], output) for output in outputs}


@contextmanager
def opened(file: Path) -> Iterator[int]:
    """A file descriptor for writing; one is open a thread, however many shards there are."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def put(descriptor: int, position: int, data: bytes | memoryview) -> None:
    """Writes all of `data` at `position`; one call of the system writes at most 2 GB."""
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, position)
        view, position = view[done:], position + done


def write_units(
    work: Path, shards: dict[str, list[Unit]], journal: Journal, make: Make, progress: Progress | None, threads: int
) -> None:
    """Makes every unit that the journal lacks, the largest first so that no core waits for a late one."""
    total = sum(unit.size for units in shards.values() for unit in units)
    done = Written(sum(unit.size for units in shards.values() for unit in units if unit.key in journal.notes))
    with ExitStack() as stack:
        jobs: list[tuple[Unit, Path, Places]] = []
        for name, units in shards.items():
            missing = [unit for unit in units if unit.key not in journal.notes]
            if missing:
                places = lay_out(work / name, units)
                jobs += [(unit, work / name, places) for unit in missing]
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        stack.callback(lambda: pool.shutdown(wait=True, cancel_futures=True))

        failed = Event()

        def run(unit: Unit, file: Path, places: Places) -> None:
            if failed.is_set():  # nothing new is begun after an error
                return
            try:
                with opened(file) as descriptor:
                    note = make(unit.key, writer(descriptor, places, done))
                journal.add(unit.key, note)
            except BaseException:
                failed.set()
                raise

        waiting = {pool.submit(run, *job) for job in sorted(jobs, key=lambda job: (-job[0].size, job[0].key))}
        follow(waiting, lambda: progress and progress(min(done.bytes, total), total))


class Written:
    """Bytes written so far, counted by several threads."""

    def __init__(self, before: int) -> None:
        self.bytes, self.lock = before, Lock()

    def add(self, count: int) -> None:
        """Counts more."""
        with self.lock:
            self.bytes += count


def writer(descriptor: int, places: Places, done: Written) -> Write:
    """The function that puts a piece of an output where it belongs, after checking that it is what the header promises."""

    def write(name: str, start: int, values: Array) -> None:
        position, output = places[name]
        if values.dtype != numpy_dtype(output.dtype) or not 0 <= start <= start + values.size <= math.prod(output.shape):
            raise ValueError(f"{name}: made {values.size} of {values.dtype} at {start}, planned {output.dtype} {output.shape}")
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        put(descriptor, position + start * values.itemsize, data.data)
        if hasattr(os, "posix_fadvise"):  # the disk begins at once, so that the sync at the end has little left to wait for
            os.posix_fadvise(descriptor, position + start * values.itemsize, data.size, os.POSIX_FADV_DONTNEED)
        done.add(data.size)

    return write


def follow(waiting: set[Future[None]], show: Callable[[], Any]) -> None:
    """Waits for all, showing the progress; the first error ends it."""
    while waiting:
        finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
        show()


def finish(work: Path, dst: Path, job: Job, shards: dict[str, list[Unit]], notes: list[Note]) -> None:
    """Everything after the weights. The folder gets its name at the end, or, where it exists, config.json comes last."""
    if len(shards) > 1:
        mapping = {output.name: name for name, units in shards.items() for unit in units for output in unit.outputs}
        total = sum(unit.size for unit in job.units)
        write_file(work / INDEX_NAME, to_json({"metadata": {"total_size": total}, "weight_map": mapping}))
    copy_side_files(job.side, work, skip=("config.json", job.report))
    report = {"settings": job.settings, "tensors": notes} | (job.summary(notes) if job.summary else {})
    write_file(work / job.report, to_json(report))
    write_file(work / "config.json", to_json(job.config))
    for file in sorted(work.rglob("*")):
        sync(file)
    sync(work)
    if work.parent != dst:
        (work / JOURNAL).unlink()
        os.rename(work, dst)
        sync(dst.parent)
        return
    for file in sorted(work.iterdir(), key=lambda file: (file.name == "config.json", file.name)):
        if file.is_dir():  # of chat templates; an earlier try may have moved it already
            shutil.rmtree(dst / file.name, ignore_errors=True)
        if file.name != JOURNAL:
            os.replace(file, dst / file.name)
    sync(dst)
    shutil.rmtree(work)


def to_json(value: Any) -> bytes:
    """Indented JSON with sorted keys, in UTF-8: the same value is always the same bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def write_file(file: Path, data: bytes) -> None:
    """Puts `data` at `file` so that a reader sees the old file or the whole new one."""
    with atomic_file(file) as temporary:
        temporary.write_bytes(data)
