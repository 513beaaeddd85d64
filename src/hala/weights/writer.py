"""Writing checkpoints: one tensor after another, in shards that are finished or absent, so that a killed job continues.

The header of every shard is known before its first tensor is computed. A shard is written under a temporary name and renamed;
config.json comes last. Killed at any moment and started again, the folder ends with the same bytes, in the reference layout.

    build(Path("out"), job, make)   # make(key) -> (tensors of that unit, note for the report)
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.artifacts import atomic_file, disk_errors
from hala.errors import DriftError, InputError
from hala.weights.checkpoint import DTYPES, INDEX_NAME, copy_side_files

if TYPE_CHECKING:
    import torch

SHARD_BYTES = 5_000_000_000
WORK = ".partial"  # settings and notes of a job that is not finished
ORDER = {dtype: rank for rank, dtype in enumerate(DTYPES)}

Note = dict[str, Any]
Make = Callable[[str], tuple[Sequence["torch.Tensor"], Note]]
Progress = Callable[[int, int], None]  # bytes done, bytes in all


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
    """What one call of `make(key)` yields: one or more outputs that stay in one shard."""

    key: str
    outputs: tuple[Output, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(output.size for output in self.outputs)


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint to write: `settings` tells two jobs apart, `side` has the tokenizer files, `report` is the report's name."""

    settings: Note
    units: tuple[Unit, ...]
    config: dict[str, Any]
    side: Path
    report: str
    shard_bytes: int = SHARD_BYTES


def build(dst: Path, job: Job, make: Make, progress: Progress | None = None) -> list[Note]:
    """The notes of all units in order. Finished shards of an earlier, interrupted call with the same settings are kept.

    Raises: DriftError when `dst` was begun with other settings, InputError when it holds another checkpoint, DiskError.
    """
    with disk_errors(dst):
        if (finished := begin(dst, job)) is not None:
            return finished
        shards = plan_shards(job.units, job.shard_bytes)
        notes: list[Note] = []
        done, total = 0, sum(unit.size for unit in job.units)
        for name, units in shards.items():
            notes += finish_shard(dst / name, units, make, partial(show, progress, done, total))
            done += sum(unit.size for unit in units)
            show(progress, done, total, 0)
        finish(dst, job, shards, notes)
    return notes


def show(progress: Progress | None, done: int, total: int, more: int) -> None:
    """Tells `progress`, if there is one, that `done + more` bytes of `total` are written."""
    if progress:
        progress(done + more, total)


def begin(dst: Path, job: Job) -> list[Note] | None:
    """The notes when the job is already finished, else None, with the folder ready to go on."""
    report, settings = dst / job.report, dst / WORK / "settings.json"
    finished = (dst / "config.json").is_file()
    known = report if finished else settings
    if known.is_file():
        saved = json.loads(known.read_text("utf-8"))
        if saved["settings"] != json.loads(json.dumps(job.settings)):
            changed = sorted(key for key in job.settings if saved["settings"].get(key) != job.settings[key])
            fix = "Choose another folder or delete this one."
            raise DriftError(f"{dst} was begun with other settings ({', '.join(changed)}).", fix)
        if finished:
            shutil.rmtree(dst / WORK, ignore_errors=True)
            notes: list[Note] = saved["tensors"]
            return notes
    elif finished or any(dst.glob("*.safetensors")):
        raise InputError(f"{dst} already holds another checkpoint.", "Choose another folder; nothing is overwritten.")
    (dst / WORK).mkdir(parents=True, exist_ok=True)
    for orphan in [*dst.glob(".*.tmp"), *(dst / WORK).glob(".*.tmp")]:
        orphan.unlink()
    write_file(settings, to_json({"settings": job.settings}))
    return None


def plan_shards(units: Sequence[Unit], shard_bytes: int) -> dict[str, list[Unit]]:
    """Units by shard file name, in order; a shard is closed before it would exceed `shard_bytes`, a larger unit stands alone."""
    groups: list[list[Unit]] = [[]]
    for unit in units:
        if groups[-1] and sum(other.size for other in groups[-1]) + unit.size > shard_bytes:
            groups.append([])
        groups[-1].append(unit)
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


def finish_shard(file: Path, units: list[Unit], make: Make, progress: Callable[[int], None]) -> list[Note]:
    """The notes of a shard that is on disk afterwards; one that already has its full size and its notes is not touched."""
    outputs = [output for unit in units for output in unit.outputs]
    header, starts = make_header(outputs)
    size = len(header) + sum(output.size for output in outputs)
    saved = file.parent / WORK / f"{file.name}.json"
    if saved.is_file() and file.is_file() and file.stat().st_size == size:
        kept: list[Note] = json.loads(saved.read_text("utf-8"))["tensors"]
        return kept
    notes = []
    with atomic_file(file) as temporary, temporary.open("wb") as handle:
        handle.truncate(size)
        handle.write(header)
        done = 0
        for unit in units:
            tensors, note = make(unit.key)
            for output, tensor in zip(unit.outputs, tensors, strict=True):
                put(handle, starts[output.name], output, tensor)
            notes.append(note)
            done += unit.size
            progress(done)
        # The notes go first: a shard that exists under its final name always has them.
        write_file(saved, to_json({"tensors": notes}))
    return notes


def put(handle: Any, start: int, output: Output, tensor: torch.Tensor) -> None:
    """Writes the tensor's bytes at `start`, after checking that it is what the header promises."""
    import torch

    if tuple(tensor.shape) != output.shape or tensor.dtype != getattr(torch, DTYPES[output.dtype][0]):
        raise ValueError(f"{output.name}: made {tensor.dtype} {tuple(tensor.shape)}, planned {output.dtype} {output.shape}")
    if output.size:
        handle.seek(start)
        handle.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def finish(dst: Path, job: Job, shards: dict[str, list[Unit]], notes: list[Note]) -> None:
    """Everything after the weights; config.json is the last file, so a folder that has it is complete."""
    if len(shards) > 1:
        mapping = {output.name: name for name, units in shards.items() for unit in units for output in unit.outputs}
        total = sum(unit.size for unit in job.units)
        write_file(dst / INDEX_NAME, to_json({"metadata": {"total_size": total}, "weight_map": mapping}))
    copy_side_files(job.side, dst, skip=("config.json",))
    write_file(dst / job.report, to_json({"settings": job.settings, "tensors": notes}))
    write_file(dst / "config.json", to_json(job.config))
    shutil.rmtree(dst / WORK)


def to_json(value: Any) -> bytes:
    """Indented JSON with sorted keys, in UTF-8: the same value is always the same bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def write_file(file: Path, data: bytes) -> None:
    """Puts `data` at `file` so that a reader sees the old file or the whole new one."""
    with atomic_file(file) as temporary:
        temporary.write_bytes(data)
