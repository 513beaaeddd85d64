"""A file on its way to the disk: several threads fill a window of it in memory, and it is written from beginning to end.

A large file goes to the disk past the page cache, which would cost more than all arithmetic and push out the source that is being
read. Its digest is made from the window, so that nobody has to read the file again.

    stream = Stream(Path("model.safetensors"), size, Window(8), ThreadPoolExecutor(2))
    stream.place(0, values)      # by any thread, wherever `fits` allows it
    stream.advance(values.size)  # all before this byte is there
    stream.finish()
"""

from __future__ import annotations

import errno
import math
import mmap
import os
from collections import deque
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np

from hala.digests import leave
from hala.weights.checkpoint import Array

SLOT = 1 << 22  # bytes written in one go
PAGE = 4096  # what direct writing is aligned to


class Window:
    """Memory for a part of a file that moves on, in slots; it is used again for the next file."""

    def __init__(self, slots: int) -> None:
        self.size = slots * SLOT
        self.memory = mmap.mmap(-1, self.size)  # begins at a page, as direct writing wants it
        self.bytes = np.frombuffer(self.memory, np.uint8)

    def parts(self, start: int, end: int) -> list[Array]:
        """The one or two places in memory where bytes `start` to `end` of the file belong."""
        first, last = start % self.size, start % self.size + end - start
        return [self.bytes[first : min(last, self.size)]] + ([self.bytes[: last - self.size]] if last > self.size else [])


class Stream:
    """A file of `size` bytes, of which an earlier call has written the first `begin`; `large` ones pass by the page cache.

    All before `complete` is in the window, all before `given` is given to the disk, all before `written` is written.
    """

    def __init__(self, file: Path, size: int, window: Window, disk: Executor, begin: int = 0, *, large: bool = True) -> None:
        import xxhash

        self.file, self.size, self.window, self.disk, self.large = file, size, window, disk, large
        self.complete, self.given = begin, begin - begin % PAGE
        self.written = self.given
        self.writes: deque[tuple[int, Future[None]]] = deque()
        self.digest = None if begin else xxhash.xxh3_128()
        self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        self.direct = self.open_direct()
        os.ftruncate(self.descriptor, size)
        if begin > self.given:
            self.place(self.given, np.frombuffer(os.pread(self.descriptor, begin - self.given, self.given), np.uint8))

    def open_direct(self) -> int | None:
        """A descriptor that passes by the page cache, None where that cannot be."""
        flag = getattr(os, "O_DIRECT", 0)
        if not self.large or not flag:
            return None
        try:
            return os.open(self.file, os.O_RDWR | flag)
        except OSError:
            return None

    def fits(self, end: int) -> bool:
        """Whether bytes up to `end` may be placed already."""
        return end <= self.written + self.window.size

    def place(self, start: int, data: Array) -> None:
        """Copies bytes to where they belong."""
        for part in self.window.parts(start, start + data.size):
            part[:], data = data[: part.size], data[part.size :]

    def advance(self, end: int) -> None:
        """Says that all before byte `end` is there."""
        if self.digest is not None:
            for part in self.window.parts(self.complete, end):
                self.digest.update(part.data)
        self.complete = end
        while self.given < end and (end - self.given >= SLOT - self.given % SLOT or end == self.size):
            stop = min(end, self.given - self.given % SLOT + SLOT)
            self.writes.append((stop, self.disk.submit(self.write, self.given, stop)))
            self.given = stop
        self.settle()

    def settle(self, *, wait: bool = False) -> None:
        """Takes note of what is written; `wait` is for one more part at least. Raises: OSError of the disk."""
        while self.writes and (wait or self.writes[0][1].done()):
            end, future = self.writes.popleft()
            future.result()
            self.written, wait = end, False

    def grow(self, end: int) -> None:
        """Makes the window so large that bytes up to `end` fit; nothing may be on its way into it or out of it."""
        larger = Window(math.ceil((end - self.written) / SLOT) + 1)
        for start in range(self.written - self.written % SLOT, self.written + self.window.size, SLOT):
            part = max(start, self.written), min(start + SLOT, self.written + self.window.size)
            larger.parts(*part)[0][:] = self.window.parts(*part)[0]
        self.window = larger

    def append(self, data: bytes) -> None:
        """Puts bytes where all is complete."""
        for first in range(0, len(data), SLOT):
            part = np.frombuffer(data[first : first + SLOT], np.uint8)
            while not self.fits(self.complete + part.size):
                self.settle(wait=True)
            self.place(self.complete, part)
            self.advance(self.complete + part.size)

    def write(self, start: int, end: int) -> None:
        """Writes a part of the window, which never goes beyond a slot."""
        (data,) = self.window.parts(start, end)
        if self.direct is not None and (end - start) % PAGE == 0:
            try:
                return put(self.direct, start, data)
            except OSError as error:
                if error.errno != errno.EINVAL:  # else the file system wants another alignment
                    raise
        put(self.descriptor, start, data)
        if self.large and hasattr(os, "posix_fadvise"):  # the disk begins with this part, and memory lets go of the one before
            first = max(0, start - SLOT)
            os.posix_fadvise(self.descriptor, first, end - first, os.POSIX_FADV_DONTNEED)
        return None

    def finish(self) -> None:
        """Waits until all is on the disk, and leaves the digest for whoever finishes the folder."""
        while self.writes:
            self.settle(wait=True)
        os.fsync(self.descriptor)
        if self.digest is not None:
            leave(self.file, self.digest.hexdigest())

    def close(self) -> None:
        """No more writing."""
        for _, future in self.writes:
            future.cancel()
        for _, future in self.writes:
            if not future.cancelled():
                future.exception()
        for descriptor in (self.descriptor, self.direct):
            if descriptor is not None:
                os.close(descriptor)


def put(descriptor: int, position: int, data: Any) -> None:
    """Writes all of `data` at `position`; one call of the system writes at most 2 GB."""
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, position)
        view, position = view[done:], position + done
