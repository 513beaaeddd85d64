"""Writing checkpoints: every output made on all cores and written in order, so that a killed job continues.

The header of every shard is known before its first tensor is computed, so each shard is written from beginning to end. All goes
to a work folder beside the destination, with a journal of what is written; the destination is absent or complete. Killed at any
moment and started again, it ends with the same bytes, in the reference layout.

    build(Path("out"), job, make)   # make(name) makes that output (see `making`) and gives its note for the report
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from pathlib import Path
from typing import Any

from hala.artifacts import atomic_file, disk_errors, sync
from hala.errors import DiskError, InputError
from hala.hardware import workers
from hala.weights.checkpoint import INDEX_NAME, copy_side_files
from hala.weights.journal import JOURNAL, Journal, Note, check_settings
from hala.weights.layout import SHARD_BYTES, Output, Shards, in_order, make_header, make_index, plan_shards, shard_size
from hala.weights.making import Line, Making
from hala.weights.stream import Stream, Window

WORK = ".partial"  # suffix of the work folder, or its name inside a destination that exists already
SLOTS, WRITERS = 8, 2  # of the window, at least; threads that wait for the disk
LARGE = 1 << 28  # bytes of a checkpoint that would push too much out of the page cache
SPARE = 50_000_000  # bytes left free for everything that is not a tensor

Make = Callable[[str], Making]  # by the name of an output
Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint to write: `settings` tells two jobs apart, `side` has the tokenizer files, `report` is the report's name.

    `summary` makes further entries of the report from the notes of all outputs.
    """

    settings: Note
    outputs: tuple[Output, ...]
    config: dict[str, Any]
    side: Path
    report: str
    shard_bytes: int = SHARD_BYTES
    summary: Callable[[list[Note]], Note] | None = None


def build(dst: Path, job: Job, make: Make, progress: Progress | None = None, threads: int | None = None) -> list[Note]:
    """The notes of all outputs in order, empty ones left out. What an earlier, interrupted call has written is kept.

    Tasks run in several `threads` (by default one a core). Raises: DriftError when `dst` was begun with other settings,
    InputError when it holds another checkpoint, DiskError.
    """
    with disk_errors(dst):
        if (finished := notes_of_finished(dst, job)) is not None:
            return finished
        work = work_folder(dst)
        shards = plan_shards(job.outputs, job.shard_bytes)
        journal = Journal.begin(work, job.settings, lost_outputs(shards, (work, dst)))
        if any(output.name not in journal.notes for output in job.outputs):
            check_room(work, shards)
            with closing(journal):
                write_outputs(work, shards, journal, make, progress, threads or workers())
        if lost := sorted(lost_outputs(shards, (work, dst))):
            raise DiskError(f"the parts of {dst} with {lost[0]} are gone.", "Run it again; what is missing is made again.")
        notes = [note for output in job.outputs if (note := journal.notes[output.name])]
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


def lost_outputs(shards: Shards, folders: Sequence[Path]) -> set[str]:
    """Outputs whose shard is in none of the folders in its full size: somebody removed it, or it was never begun."""
    lost: set[str] = set()
    for name, outputs in shards.items():
        size = shard_size(outputs)
        if not any((folder / name).is_file() and (folder / name).stat().st_size == size for folder in folders):
            lost.update(output.name for output in outputs)
    return lost


def check_room(work: Path, shards: Shards) -> None:
    """Nothing, or DiskError when what is still to be written does not fit, before hours are spent on it."""
    total = sum(output.size for outputs in shards.values() for output in outputs)
    there = sum(file.stat().st_blocks * 512 for file in work.glob("*.safetensors"))
    free = shutil.disk_usage(work).free
    if total - there + SPARE > free:
        need = (total - there + SPARE) / 1e9
        raise DiskError(
            f"{work.parent} has {free / 1e9:.2f} GB free, {need:.2f} GB are needed.", "Make room or choose another --out."
        )


def write_outputs(work: Path, shards: Shards, journal: Journal, make: Make, progress: Progress | None, threads: int) -> None:
    """Makes every output that the journal lacks, file by file."""
    total = sum(output.size for outputs in shards.values() for output in outputs)
    before = 0
    window = Window(max(SLOTS, 2 * threads))
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(WRITERS) as disk:
        for name, outputs in shards.items():
            size = sum(output.size for output in outputs)
            header, places = make_header(outputs)
            missing = list(dropwhile(lambda output: output.name in journal.notes, in_order(outputs)))
            if missing:
                begin = places[missing[0].name] if len(missing) < len(outputs) else 0
                with closing(Stream(work / name, len(header) + size, window, disk, begin, large=total >= LARGE)) as stream:
                    stream.append(header[: len(header) if not begin else 0])
                    shown = partial(show, progress, stream, before - len(header), total)
                    write_shard(stream, Line(stream, places, make, pool, 2 * threads), missing, journal, shown)
            before += size


def write_shard(stream: Stream, line: Line, missing: Sequence[Output], journal: Journal, show: Callable[[], None]) -> None:
    """Makes the missing outputs of a file; the journal hears of those that were written."""
    pending: deque[tuple[int, str, Note]] = deque()

    def finished(output: Output, note: Note) -> None:
        pending.append((line.places[output.name] + output.size, output.name, note))
        add_written()

    def add_written() -> None:
        while pending and pending[0][0] <= stream.written:
            journal.add(*pending.popleft()[1:])

    line.run(missing, finished, show)
    stream.finish()
    add_written()


def show(progress: Progress | None, stream: Stream, before: int, total: int) -> None:
    """Tells how many bytes of all tensors are made."""
    if progress:
        progress(before + stream.complete, total)


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
