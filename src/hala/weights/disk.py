"""Pieces of tensors on their way to the disk: written to their places in a shard, in any order and by several threads.

The system would keep all of it in memory, where it takes the place of the source that is being read, and finding memory for it
costs more than the arithmetic. So the disk begins at once on what was written, and what it has is let go.

    shard = Shard(work / "model.safetensors", units)
    with shard.opened() as descriptor:
        shard.write(descriptor, "model.norm.weight", 0, values)
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np

from hala.weights.checkpoint import Array, numpy_dtype
from hala.weights.layout import Unit, make_header, shard_size

BEHIND = 1 << 27  # bytes of a shard that may wait for the disk before the first of them are let go
PAGE = os.sysconf("SC_PAGE_SIZE")


class Shard:
    """A file of a checkpoint in its full size, with its header; its tensors come later, piece by piece."""

    def __init__(self, file: Path, units: Sequence[Unit]) -> None:
        header, starts = make_header(units)
        self.file = file
        self.places = {output.name: (starts[output.name], output) for unit in units for output in unit.outputs}
        self.recent: deque[tuple[int, int]] = deque()  # where the last pieces lie, and their bytes
        self.waiting, self.lock = 0, Lock()
        with self.opened() as descriptor:
            os.ftruncate(descriptor, shard_size(units))
            put(descriptor, 0, header)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A file descriptor for writing; one is open a thread, however many shards there are."""
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, name: str, start: int, values: Array) -> int:
        """Puts elements of an output where they belong, from element `start` on, and gives their number of bytes.

        Raises: ValueError when they are not what the header promises.
        """
        place, output = self.places[name]
        if values.dtype != numpy_dtype(output.dtype) or not 0 <= start <= start + values.size <= math.prod(output.shape):
            raise ValueError(f"{name}: made {values.size} of {values.dtype} at {start}, planned {output.dtype} {output.shape}")
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        put(descriptor, place + start * values.itemsize, data.data)
        self.flush(descriptor, place + start * values.itemsize, data.size)
        return data.size

    def flush(self, descriptor: int, start: int, size: int) -> None:
        """Starts the disk on a piece, and lets go of pieces that it was given long ago."""
        if not hasattr(os, "posix_fadvise"):
            return
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)  # of what is not on disk yet, this starts the writing
        old: list[tuple[int, int]] = []
        with self.lock:
            self.recent.append((start, size))
            self.waiting += size
            while self.waiting > BEHIND:
                old.append(self.recent.popleft())
                self.waiting -= old[-1][1]
        for first, count in old:  # from the page on that it shares with the piece before
            os.posix_fadvise(descriptor, first - first % PAGE, count + first % PAGE, os.POSIX_FADV_DONTNEED)


def put(descriptor: int, position: int, data: bytes | memoryview) -> None:
    """Writes all of `data` at `position`; one call of the system writes at most 2 GB."""
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, position)
        view, position = view[done:], position + done
