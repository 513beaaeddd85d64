"""Pieces of tensors on their way to the disk: written to their places in a shard, in any order and by several threads.

The system would keep all of it in memory, where it takes the place of the source that is being read, and finding memory for it
costs more than the arithmetic. So the disk begins at once on what was written, and what it has is let go. The digest of a shard
follows its tensors as they are finished, while they are in memory still.

    shard = Shard(work / "model.safetensors", units, Wake())
    with shard.opened() as descriptor:
        shard.write(descriptor, "model.norm.weight", 0, values)
    shard.finished(unit)
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock

import numpy as np

from hala.digests import Digest, leave
from hala.weights.checkpoint import Array, numpy_dtype
from hala.weights.layout import Unit, make_header, shard_size

# Bytes that stay in memory behind the writing: so many for the disk to take them, and so many where the digest is not there yet.
LEAST, MOST = 1 << 26, 1 << 29
PAGE = os.sysconf("SC_PAGE_SIZE")


class Wake:
    """The pieces that were written last, of all shards and by all threads, as long as they stay in memory."""

    def __init__(self) -> None:
        self.pieces: deque[tuple[Shard, int, int]] = deque()  # first byte and number of bytes
        self.bytes, self.lock = 0, Lock()

    def add(self, shard: Shard, start: int, size: int) -> None:
        """One more piece, for which those are let go whose time has come."""
        old = []
        with self.lock:
            self.pieces.append((shard, start, size))
            self.bytes += size
            while self.bytes > MOST or (self.bytes > LEAST and self.is_digested(*self.pieces[0])):
                old.append(self.pieces.popleft())
                self.bytes -= old[-1][2]
        for piece in old:
            let_go(*piece)

    def is_digested(self, shard: Shard, start: int, size: int) -> bool:
        """Whether a piece need not be read again."""
        return start + size <= shard.digest.done


class Shard:
    """A file of a checkpoint in its full size, with its header; its tensors come later, piece by piece.

    `there` are the keys of units that an earlier call has written.
    """

    def __init__(self, file: Path, units: Sequence[Unit], wake: Wake, there: Collection[str] = ()) -> None:
        header, starts = make_header(units)
        self.file, self.wake, self.size = file, wake, shard_size(units)
        self.places = {output.name: (starts[output.name], output) for unit in units for output in unit.outputs}
        self.order = deque(sorted(self.places, key=lambda name: self.places[name][0]))  # of those before which all is there
        self.missing = {output.name for unit in units if unit.key not in there for output in unit.outputs}
        self.digest, self.lock, self.reading = Digest(stay=False), Lock(), Lock()
        with self.opened() as descriptor:
            os.ftruncate(descriptor, self.size)
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
        first = place + start * values.itemsize
        put(descriptor, first, data.data)
        advise(descriptor, first, data.size)
        self.wake.add(self, first, data.size)
        return data.size

    def finished(self, unit: Unit) -> None:
        """Says that all outputs of a unit are there."""
        with self.lock:
            self.missing.difference_update(output.name for output in unit.outputs)

    def follow(self, stop: Event, *, last: bool = False) -> None:
        """Digests what is there without a gap from the beginning; a whole file's digest is left for who finishes the folder.

        While another thread is at it there is nothing to do, but for the `last` call.
        """
        if not self.reading.acquire(blocking=last):
            return
        try:
            with self.opened() as descriptor:
                while self.digest.done < (ready := self.ready()) and not stop.is_set():
                    if not self.digest.advance(descriptor, min(ready, self.digest.done + LEAST)):
                        return  # somebody cut the file off
            if self.digest.done == self.size:
                leave(self.file, self.digest.hexdigest())
        finally:
            self.reading.release()

    def ready(self) -> int:
        """How many bytes from the beginning are there."""
        with self.lock:
            while self.order and self.order[0] not in self.missing:
                self.order.popleft()
            return self.places[self.order[0]][0] if self.order else self.size


def put(descriptor: int, position: int, data: bytes | memoryview) -> None:
    """Writes all of `data` at `position`; one call of the system writes at most 2 GB."""
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, position)
        view, position = view[done:], position + done


def let_go(shard: Shard, start: int, size: int) -> None:
    """Frees the memory of a piece that the disk has by now."""
    with shard.opened() as descriptor:
        advise(descriptor, start, size)


def advise(descriptor: int, start: int, size: int) -> None:
    """Makes the system write what is not on the disk yet, without waiting for it, and let go of what is."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, start - start % PAGE, size + start % PAGE, os.POSIX_FADV_DONTNEED)
