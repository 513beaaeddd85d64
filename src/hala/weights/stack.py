"""One tensor of several checkpoints, side by side, read block by block by several threads.

stack = Stack([base.tensors[name], tuned.tensors[name]], Scratch())
for first, (a, b) in stack.blocks():   # float32
    ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hala.errors import InputError
from hala.weights import methods
from hala.weights.checkpoint import Array, numpy_dtype, read_into
from hala.weights.headers import TensorInfo
from hala.weights.making import in_spans
from hala.weights.numerics import Scratch, scratch, widen

BLOCK = 1 << 19  # elements worked on at once
HELD_BYTES = 1 << 27  # tensors up to this size, of all checkpoints together, stay in memory between two passes


class Stack:
    """One tensor of every checkpoint, side by side, in blocks. Where there is `memory`, all but the largest are kept in it after
    their first reading, for a merge goes over its tensors twice.
    """

    def __init__(self, infos: Sequence[TensorInfo], memory: Scratch | None) -> None:
        self.infos, self.count = infos, infos[0].count
        self.held: list[Array] = []
        self.there: set[tuple[int, int]] = set()  # blocks in `held` that were read
        if memory is not None and sum(info.size for info in infos) <= HELD_BYTES:
            self.held = [memory.take(str(n), (self.count,), numpy_dtype(info.dtype)) for n, info in enumerate(infos)]

    def stored(self, number: int, first: int = 0, count: int | None = None) -> Iterator[tuple[int, Array]]:
        """The blocks of one checkpoint's tensor as they are stored, of `count` elements from `first` on; None means all."""
        info = self.infos[number]
        for start, size in in_spans(self.count - first if count is None else count, BLOCK):
            place = first + start
            if self.held:
                raw = self.held[number][place : place + size]
            else:
                raw = scratch().take(f"raw {number}", (size,), numpy_dtype(info.dtype))
            if (number, place) not in self.there:
                read_into(info, place, raw)
            if self.held:
                self.there.add((number, place))
            yield place, raw

    def blocks(self, ends: int | None = None, first: int = 0, count: int | None = None) -> Iterator[methods.Block]:
        """The first `ends` tensors in float32 blocks that the next step overwrites; None means all."""
        numbers = range(len(self.infos))[:ends]
        for parts in zip(*(self.stored(number, first, count) for number in numbers), strict=True):
            values = [scratch().take(f"values {n}", raw.shape, np.dtype(np.float32)) for n, (_, raw) in enumerate(parts)]
            for (_, raw), wide in zip(parts, values, strict=True):
                widen(raw, wide)
            for info, wide in zip(self.infos[2:], values[2:], strict=False):  # `sums` sees the first two
                if not np.isfinite(wide).all():
                    raise damaged(info)
            yield parts[0][0], values

    def piece(self, first: int, count: int) -> list[Array]:
        """So many elements of the first two tensors, in float32 and in one piece each, which the next step overwrites."""
        pieces = [scratch().take(f"piece {n}", (count,), np.dtype(np.float32)) for n in range(2)]
        for start, values in self.blocks(2, first, count):
            for piece, block in zip(pieces, values, strict=True):
                piece[start - first :][: block.size] = block
        return pieces

    def sums(self, first: int, count: int) -> list[methods.Sums]:
        """What `methods.geometry` needs of some blocks."""
        return [methods.sums(*values) for _, values in self.blocks(2, first, count)]

    def first_damaged(self) -> TensorInfo | None:
        """The first of the tensors with a NaN or Inf, in float32."""
        for number, info in enumerate(self.infos):
            for _, raw in self.stored(number):
                wide = scratch().take("wide", raw.shape, np.dtype(np.float32))
                widen(raw, wide)
                if not np.isfinite(wide).all():
                    return info
        return None


def damaged(info: TensorInfo) -> InputError:
    """The error for a tensor that holds what is no number."""
    what = f"tensor {info.name} has NaN or Inf values in {info.file}."
    return InputError(what, "This checkpoint is damaged or diverged; make or download it again.")
