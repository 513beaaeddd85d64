"""Outputs made on all cores, finished in the order in which they lie in their file.

An output is made by a generator. It yields rounds of tasks, which run on all cores, and gets their results in order; so a second
round can depend on a first one. The pieces of a writing round put elements of the output in place. Its last word is a note.

    def make(name):
        sums = yield [partial(add_up, block) for block in blocks(name)]
        yield [Piece(first, count, partial(divide, first, count, sum(sums))) for first, count in blocks(name)]
        return {"name": name, "sum": sum(sums)}
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from hala.weights.checkpoint import Array, numpy_dtype
from hala.weights.journal import Note
from hala.weights.layout import Output
from hala.weights.stream import Stream

Write = Callable[[int, Array], None]  # first element, values
Task = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements `start` to `start + count` of an output, all of which `task` writes, in one go or in several."""

    start: int
    count: int
    task: Callable[[Write], Any]


T = TypeVar("T")
Steps = Generator[Sequence[Piece | Task], list[Any], T]  # rounds of tasks out, their results in, one value at the end
Making = Steps[Note]


def in_spans(total: int, step: int) -> Iterator[tuple[int, int]]:
    """Beginning and length of each of the parts of `total` that have `step`, the last one maybe less."""
    return ((first, min(step, total - first)) for first in range(0, total, step))


class Maker:
    """An output in the making, whose first byte lies at `place` in the file."""

    def __init__(self, output: Output, place: int, making: Making) -> None:
        self.output, self.place, self.making = output, place, making
        self.dtype = numpy_dtype(output.dtype)
        self.waiting: deque[Piece | Task] = deque()
        self.running: deque[tuple[Piece | Task, Future[Any]]] = deque()
        self.results: list[Any] | None = None
        self.note: Note | None = None
        self.error: Exception | None = None
        self.made = 0  # elements
        self.go_on()

    def go_on(self) -> None:
        """The next round, or the end with a note or an error."""
        try:
            self.waiting, self.results = deque(self.making.send(self.results)), []  # type: ignore[arg-type]
        except StopIteration as end:
            self.note = end.value
        except Exception as error:
            self.error = error  # told when all before this output is made

    def end_of(self) -> Note | None:
        """The note of an output that is made. Raises: what its making ended with, ValueError where elements are missing."""
        if self.error is not None:
            raise self.error
        if self.note is not None and self.made != self.output.count:
            raise ValueError(f"{self.output.name}: made {self.made} of {self.output.count} elements")
        return self.note

    def start(self, pool: Executor, stream: Stream) -> bool:
        """Gives the next task to a core; False when there is none or the file has no room for what it makes."""
        if not self.waiting:
            return False
        task = self.waiting[0]
        if isinstance(task, Piece):
            if not stream.fits(self.end(task)):
                return False
            future = pool.submit(self.run, task, stream)
        else:
            future = pool.submit(task)
        self.running.append((self.waiting.popleft(), future))
        return True

    def run(self, piece: Piece, stream: Stream) -> Any:
        """Makes a piece. Raises: ValueError for elements that were not planned, which would damage a neighbour."""
        made = 0

        def write(start: int, values: Array) -> None:
            nonlocal made
            if values.dtype != self.dtype or not piece.start <= start <= start + values.size <= piece.start + piece.count:
                planned = f"{self.output.dtype} {piece.start} to {piece.start + piece.count}"
                raise ValueError(f"{self.output.name}: made {values.size} of {values.dtype} at {start}, planned {planned}")
            stream.place(self.place + start * self.dtype.itemsize, np.ascontiguousarray(values).reshape(-1).view(np.uint8))
            made += values.size

        result = piece.task(write)
        if made != piece.count:
            raise ValueError(f"{self.output.name}: made {made} of {piece.count} elements at {piece.start}")
        return result

    def end(self, piece: Piece) -> int:
        """Where a piece ends in the file."""
        return self.place + (piece.start + piece.count) * self.dtype.itemsize

    def collect(self) -> Piece | None:
        """Waits for the first task that was started, and keeps its result; gives what it was if it was a piece."""
        task, future = self.running.popleft()
        assert self.results is not None
        self.results.append(future.result())
        if not isinstance(task, Piece):
            return None
        if task.start != self.made:
            raise ValueError(f"{self.output.name}: element {task.start} follows on {self.made}")
        self.made += task.count
        return task

    def is_busy(self) -> bool:
        """Whether tasks of this round are open."""
        return bool(self.waiting or self.running)

    def has_measured(self) -> bool:
        """Whether all tasks of a round that writes nothing are done."""
        if self.waiting or not self.running or isinstance(self.running[0][0], Piece):
            return False
        return all(future.done() and future.exception() is None for _, future in self.running)


class Line:
    """The outputs of a file: those to be made, those in the making, at most `most` tasks at a time, and those that are made.

    An output is begun when its first byte fits into the window of the file, so that what all of them hold in memory is bounded.
    """

    def __init__(self, stream: Stream, places: dict[str, int], make: Callable[[str], Making], pool: Executor, most: int) -> None:
        self.stream, self.places, self.make, self.pool, self.most = stream, places, make, pool, most
        self.makers: deque[Maker] = deque()

    def run(self, outputs: Sequence[Output], finished: Callable[[Output, Note], None], show: Callable[[], Any]) -> None:
        """Makes all outputs; `finished` hears of each one, in their order."""
        queue = deque(outputs)
        while queue or self.makers:
            self.start_tasks(queue)
            first = self.makers[0]
            if first.running:
                done, _ = wait([first.running[0][1]], timeout=0.2)
                if done and (piece := first.collect()):
                    self.stream.advance(first.end(piece))
            elif first.waiting:
                self.make_room(first)
            while self.makers and not self.makers[0].is_busy():
                first = self.makers[0]
                if (note := first.end_of()) is None:
                    first.go_on()
                else:
                    finished(first.output, note)
                    self.makers.popleft()
            show()

    def make_room(self, first: Maker) -> None:
        """Lets the window move on, or makes it as large as the next piece."""
        if self.stream.writes:
            self.stream.settle(wait=True)
            return
        wait([future for maker in self.makers for _, future in maker.running])
        piece = first.waiting[0]
        assert isinstance(piece, Piece)  # other tasks need no room
        self.stream.grow(first.end(piece))

    def start_tasks(self, queue: deque[Output]) -> None:
        """Gives work to the cores, of the first outputs first."""
        busy = sum(not future.done() for maker in self.makers for _, future in maker.running)
        for number, maker in enumerate(self.makers):
            if number and maker.has_measured():
                while maker.running:
                    maker.collect()
                maker.go_on()
            while (busy < self.most or not number + len(maker.running)) and maker.start(self.pool, self.stream):
                busy += 1
        while busy < self.most and queue and self.stream.fits(self.places[queue[0].name]):
            output = queue.popleft()
            self.makers.append(maker := Maker(output, self.places[output.name], self.make(output.name)))
            while busy < self.most and maker.start(self.pool, self.stream):
                busy += 1
