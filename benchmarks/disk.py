"""What the disk alone costs: reads checkpoints and writes as many bytes as one has, at the same time and past the page cache.

    python benchmarks/disk.py BASE TUNED OUT

Each direction has several threads, a few megabytes in each request, and nothing is computed. A file system that refuses to pass
by the page cache is used as it is.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK, THREADS = 1 << 22, 4  # more of either gained nothing
PAGE = 4096


def opened(file: Path, flags: int) -> int:
    """A descriptor past the page cache, where the file system allows it."""
    try:
        return os.open(file, flags | getattr(os, "O_DIRECT", 0), 0o666)
    except OSError:
        return os.open(file, flags, 0o666)


def in_blocks(descriptor: int, size: int, move: Callable[[int, mmap.mmap, int], int]) -> None:
    """Moves `size` bytes, several blocks at a time."""

    def part(number: int) -> None:
        with mmap.mmap(-1, BLOCK) as memory:  # begins at a page
            for start in range(number * BLOCK, size, THREADS * BLOCK):
                move(descriptor, memory, start)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(part, range(THREADS)))


def read(file: Path) -> None:
    """Reads a file."""
    descriptor = opened(file, os.O_RDONLY)
    in_blocks(descriptor, file.stat().st_size, lambda fd, memory, start: os.preadv(fd, [memory], start))
    os.close(descriptor)


def write(file: Path, size: int) -> None:
    """Writes about so many bytes, in whole blocks, and waits for the disk."""
    descriptor = opened(file, os.O_WRONLY | os.O_CREAT)
    in_blocks(descriptor, size // BLOCK * BLOCK, os.pwrite)
    os.fsync(descriptor)
    os.close(descriptor)


def main() -> None:
    """Reads both folders beside writing the third."""
    base, tuned, out = map(Path, sys.argv[1:])
    out.mkdir()
    sources = [file for folder in (base, tuned) for file in sorted(folder.glob("*.safetensors"))]
    with ThreadPoolExecutor(1) as writer:
        written = [writer.submit(write, out / file.name, file.stat().st_size) for file in sources if file.parent == tuned]
        for file in sources:
            read(file)
        for each in written:
            each.result()


if __name__ == "__main__":
    main()
