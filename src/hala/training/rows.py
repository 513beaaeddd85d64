"""Which examples stand in which row of a training: one fixed sequence, a pure function of (examples, order, seed, epoch).

>>> from hala.training.rows import PackedRows
>>> PackedRows(examples, settings)[0]   # doctest: +SKIP
[Example(id='a', ...), Example(id='b', ...)]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from hala.errors import InputError
from hala.training.examples import IGNORED, Example
from hala.training.packing import WINDOW, evenly, measure, pack, pack_in_order
from hala.training.settings import TrainSettings


class PackedRows(Dataset[list[Example]]):
    """All rows of the training in order; row i belongs to epoch i // rows_per_epoch.

    The order of an epoch is seeded by (seed, epoch); with `order: given` it is that of the examples, the same in all epochs.
    Without packing a row is one example, and an update has as many as hold `batch_tokens` on average: a multiple of eight where
    they are more, for passes and devices to share. `width` is the length of a row, or None for that of the longest in its pass.
    """

    def __init__(self, examples: Sequence[Example], settings: TrainSettings) -> None:
        if not any((example.labels != IGNORED).any() for example in examples):
            raise InputError("No token of the examples is learned.", "Check the task, the roles and the chat template.")
        if settings.batch_tokens < settings.row_length:
            raise InputError(
                f"An update of {settings.batch_tokens} tokens cannot hold a row of {settings.row_length}.",
                "Raise batch_tokens or lower max_length.",
            )
        self.examples = examples
        self.settings = settings
        self.lengths = [len(example) for example in examples]
        self.width = settings.row_length if settings.packing else None
        self.rows_per_step = settings.batch_tokens // settings.row_length
        if not settings.packing:
            alone = max(1, round(settings.batch_tokens * len(self.lengths) / sum(self.lengths)))
            self.rows_per_step = round(alone / 8) * 8 or alone
        self.epoch = 0
        self.ends: dict[int, Any] = {}  # epoch -> tokens of its rows, summed up
        self.rows = self._pack(0)
        self.packing = measure(self.lengths, self.rows, self.width, self.rows_in_pass(1))
        wanted = settings.max_steps * self.rows_per_step or math.ceil(len(self.rows) * settings.epochs)
        self.total = self.places = max(1, wanted)

    def rows_in_pass(self, processes: int) -> int:
        """Rows of one forward pass on one device: at most `micro_tokens`, and the same number in every pass of an update."""
        return evenly(self.rows_per_step // processes, max(1, self.settings.micro_tokens // self.settings.row_length))

    def share(self, micro_rows: int) -> None:
        """Empty rows at the end, until the micro batches of all processes have one size."""
        self.places = -(-self.total // micro_rows) * micro_rows

    def _pack(self, epoch: int) -> list[list[int]]:
        """The rows of an epoch; how many tokens they hold is remembered for the last two."""
        given, seed = self.settings.order == "given", (self.settings.seed, epoch)
        if not self.settings.packing:
            places = range(len(self.lengths)) if given else np.random.default_rng(seed).permutation(len(self.lengths)).tolist()
            rows = [[place] for place in places]
        elif given:  # inside an update no order matters
            rows = pack_in_order(self.lengths, self.settings.row_length, max(WINDOW, self.rows_per_step))
        else:
            rows = pack(self.lengths, self.settings.row_length, seed)
        self.ends[epoch] = np.cumsum([sum(self.lengths[index] for index in row) for row in rows])
        for old in [each for each in self.ends if each < epoch - 1]:
            del self.ends[old]
        return rows

    def tokens_after(self, steps: int) -> int:
        """Tokens of all examples, counted as often as they were seen, in the first `steps` updates; no padding."""
        epoch, place = divmod(min(steps * self.rows_per_step, self.total), len(self.rows))
        whole = epoch * sum(self.lengths)
        if not place:
            return whole
        key = 0 if self.settings.order == "given" else epoch
        if key not in self.ends:
            self._pack(key)
        return whole + int(self.ends[key][place - 1])

    def __len__(self) -> int:
        return self.places

    def __getitem__(self, index: int) -> list[Example]:
        if index >= self.total:
            return []
        epoch, place = divmod(index, len(self.rows))
        if epoch != self.epoch and self.settings.order == "shuffled":
            self.epoch, self.rows = epoch, self._pack(epoch)
        return [self.examples[i] for i in self.rows[place]]
