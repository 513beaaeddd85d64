"""Writing checkpoints: tensors in any order, in parallel, into shards laid out beforehand, so that a killed job continues.

The header of every shard is known before its first tensor is computed, so each piece of a tensor goes straight to its place. All
is written to a work folder beside the destination, with a journal of finished units; the destination is absent or complete.
Killed at any moment and started again, it ends with the same bytes, in the reference layout.

    build(Path("out"), job, make)   # make(key, write) writes the outputs of that unit and returns its note for the report
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from hala.artifacts import atomic_file, disk_errors, sync
from hala.errors import DiskError, InputError
from hala.hardware import workers
from hala.weights.checkpoint import INDEX_NAME, Array, copy_side_files
from hala.weights.disk import Shard, Wake
from hala.weights.journal import JOURNAL, Journal, Note, check_settings
from hala.weights.layout import SHARD_BYTES, Shards, Unit, make_index, plan_shards, shard_size

WORK = ".partial"  # suffix of the work folder, or its name inside a destination that exists already
READERS = 2  # threads that digest what is finished
SPARE = 50_000_000  # bytes left free for everything that is not a tensor

Write = Callable[[str, int, Array], None]  # output name, first element, values
Make = Callable[[str, Write], Note]
Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint to write: `settings` tells two jobs apart, `side` has the tokenizer files, `report` is the report's name.

    `summary` makes further entries of the report from the notes of all units.
    """

    settings: Note
    units: tuple[Unit, ...]
    config: dict[str, Any]
    side: Path
    report: str
    shard_bytes: int = SHARD_BYTES
    summary: Callable[[list[Note]], Note] | None = None


def build(dst: Path, job: Job, make: Make, progress: Progress | None = None, threads: int | None = None) -> list[Note]:
    """The notes of all units in order, empty ones left out. Finished units of an earlier, interrupted call are kept.

    `make` runs in several threads (by default one a core). Raises: DriftError when `dst` was begun with other settings,
    InputError when it holds another checkpoint, DiskError.
    """
    with disk_errors(dst):
        if (finished := notes_of_finished(dst, job)) is not None:
            return finished
        work = work_folder(dst)
        shards = plan_shards(job.units, job.shard_bytes)
        journal = Journal.begin(work, job.settings, lost_units(shards, (work, dst)))
        if any(unit.key not in journal.notes for unit in job.units):
            check_room(work, shards)
            with closing(journal):
                write_units(work, shards, journal, make, progress, threads or workers())
        if lost := sorted(lost_units(shards, (work, dst))):
            raise DiskError(f"the parts of {dst} with {lost[0]} are gone.", "Run it again; what is missing is made again.")
        notes = [note for unit in job.units if (note := journal.notes[unit.key])]
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


def lost_units(shards: Shards, folders: Sequence[Path]) -> set[str]:
    """Units whose shard is in none of the folders in its full size: somebody removed it, or it was never begun."""
    lost: set[str] = set()
    for name, units in shards.items():
        size = shard_size(units)
        if not any((folder / name).is_file() and (folder / name).stat().st_size == size for folder in folders):
            lost.update(unit.key for unit in units)
    return lost


def check_room(work: Path, shards: Shards) -> None:
    """Nothing, or DiskError when what is still to be written does not fit, before hours are spent on it."""
    total = sum(unit.size for units in shards.values() for unit in units)
    there = sum(file.stat().st_blocks * 512 for file in work.glob("*.safetensors"))
    free = shutil.disk_usage(work).free
    if total - there + SPARE > free:
        need = (total - there + SPARE) / 1e9
        raise DiskError(
            f"{work.parent} has {free / 1e9:.2f} GB free, {need:.2f} GB are needed.", "Make room or choose another --out."
        )


def write_units(work: Path, shards: Shards, journal: Journal, make: Make, progress: Progress | None, threads: int) -> None:
    """Makes every unit that the journal lacks, in the order of the files, so that their digests can follow."""
    total = sum(unit.size for units in shards.values() for unit in units)
    done = Written(sum(unit.size for units in shards.values() for unit in units if unit.key in journal.notes))
    begun = begin_shards(work, shards, journal)
    pool, readers, stop = ThreadPoolExecutor(threads), ThreadPoolExecutor(READERS), Event()

    def run(unit: Unit, shard: Shard) -> None:
        if stop.is_set():  # nothing new is begun after an error
            return
        try:
            with shard.opened() as descriptor:
                note = make(unit.key, lambda *piece: done.add(shard.write(descriptor, *piece)))
            shard.finished(unit)
            journal.add(unit.key, note)
            readers.submit(shard.follow, stop)
        except BaseException:
            stop.set()
            raise

    try:
        waiting = {pool.submit(run, unit, shard) for shard, units in begun for unit in units}
        watch(waiting, lambda: progress and progress(min(done.bytes, total), total))
        watch({readers.submit(shard.follow, stop, last=True) for shard, _ in begun}, lambda: None)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        readers.shutdown(cancel_futures=True)


def begin_shards(work: Path, shards: Shards, journal: Journal) -> list[tuple[Shard, list[Unit]]]:
    """The shards that lack units, with these in the order in which they lie there."""
    wake, begun = Wake(), []
    for name, units in shards.items():
        if missing := [unit for unit in units if unit.key not in journal.notes]:
            shard = Shard(work / name, units, wake, journal.notes.keys())
            begun.append((shard, sorted(missing, key=lambda unit: shard.places[unit.outputs[0].name][0])))
    return begun


class Written:
    """Bytes written so far, counted by several threads."""

    def __init__(self, before: int) -> None:
        self.bytes, self.lock = before, Lock()

    def add(self, count: int) -> None:
        """Counts more."""
        with self.lock:
            self.bytes += count


def watch(waiting: set[Future[None]], show: Callable[[], Any]) -> None:
    """Waits for all, showing the progress; the first error ends it."""
    while waiting:
        finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
        show()


def finish(work: Path, dst: Path, job: Job, shards: Shards, notes: list[Note]) -> None:
    """Everything after the weights. The folder gets its name at the end, or, where it exists, config.json comes last."""
    if len(shards) > 1:
        write_file(work / INDEX_NAME, to_json(make_index(shards)))
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
