"""Documents share rows without seeing each other.

The one idea: `seq_idx` numbers the document at each position, and everything else follows from it: positions restart, the
attention mask is causal inside a document, the short convolution reads no tap from a neighbour (see `short_conv`), and the
first token of a document is nobody's target. Packed and separate training are the same computation.

>>> from hala.training.packing import pack
>>> pack([3, 5, 2], row_length=8, seed=0)
[[1, 0], [2]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hala.errors import InputError
from hala.training.examples import IGNORED, Example

WINDOW = 64  # rows that are packed together when the order of the examples is to stay


def pack(lengths: Sequence[int], row_length: int, seed: int | Sequence[int]) -> list[list[int]]:
    """Rows of indices whose lengths sum to at most `row_length` each: best-fit decreasing, rows in a seeded random order.

    Equal lengths are placed in a seeded random order, so epochs differ; the number of rows depends on the lengths alone.
    Raises: InputError when a length does not fit a row. Source: Coffman, Garey and Johnson (1984), bin packing.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and (sizes.max() > row_length or sizes.min() < 1):
        raise InputError(f"An example of {sizes.max()} tokens does not fit a row of {row_length}.", "Raise the row length.")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    rows: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(row_length + 1)]  # by free space
    free = 0  # bit f is set when some row has f free places
    for index in order.tolist():
        size = int(sizes[index])
        fitting = free >> size
        if fitting:
            space = size + (fitting & -fitting).bit_length() - 1  # the least space that is enough
            row = open_rows[space].pop()
            if not open_rows[space]:
                free &= ~(1 << space)
        else:
            space, row = row_length, len(rows)
            rows.append([])
        rows[row].append(index)
        open_rows[space - size].append(row)
        free |= 1 << (space - size)
    return [rows[i] for i in rng.permutation(len(rows)).tolist()]


def pack_in_order(lengths: Sequence[int], row_length: int, window: int = WINDOW) -> list[list[int]]:
    """Rows of indices like those of `pack`, but no example stands in a row before one that came far before it.

    Consecutive examples that would fill `window` rows are packed together; their rows come in the order of the longest example
    of each, then those of the next examples. Larger windows are filled better: 64 rows to about 99% where most examples are
    much shorter than a row. Raises: InputError when a length does not fit a row.
    """
    ends = np.cumsum(np.asarray(lengths, dtype=np.int64))
    rows: list[list[int]] = []
    start = 0
    while start < len(lengths):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + window * row_length, side="right")))
        packed = pack(lengths[start:end], row_length, seed=0)  # each begins with its longest
        rows += [[start + index for index in row] for row in sorted(packed)]
        start = end
    return rows


def evenly(rows: int, most: int) -> int:
    """How many of `rows` go together when all passes hold equally many, at most `most` of them."""
    return max((number for number in range(1, min(rows, most) + 1) if rows % number == 0), default=1)


@dataclass(frozen=True, slots=True)
class Packing:
    """How well the rows are filled: `fill` is tokens over places, in [0, 1]."""

    rows: int
    documents: int
    tokens: int
    fill: float


def measure(lengths: Sequence[int], rows: Sequence[Sequence[int]], row_length: int | None, in_pass: int = 1) -> Packing:
    """The fill of packed rows; without a length, that of rows as long as the longest of the `in_pass` that go together."""
    sizes = [sum(lengths[index] for index in row) for row in rows]
    tokens, places = sum(sizes), len(rows) * (row_length or 0)
    if row_length is None:
        passes = [sizes[start : start + in_pass] for start in range(0, len(sizes), in_pass)]
        places = sum(max(each) * len(each) for each in passes)
    return Packing(len(rows), sum(map(len, rows)), tokens, tokens / places if places else 1.0)


def collate(rows: Sequence[Sequence[Example]], row_length: int | None, pad_id: int) -> dict[str, torch.Tensor]:
    """`input_ids labels position_ids seq_idx`, each (rows, row_length); without a length, the longest row's.

    The unused end of a row is a document of its own without labels, so no position ever attends to nothing.
    """
    row_length = row_length or max(1, *(sum(map(len, row)) for row in rows))
    shape = (len(rows), row_length)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    position_ids = np.zeros(shape, dtype=np.int64)
    seq_idx = np.zeros(shape, dtype=np.int32)
    for r, row in enumerate(rows):
        start = 0
        for number, example in enumerate(row):
            end = start + len(example)
            input_ids[r, start:end] = example.input_ids
            labels[r, start:end] = example.labels
            labels[r, start] = IGNORED
            position_ids[r, start:end] = np.arange(len(example))
            seq_idx[r, start:end] = number
            start = end
        position_ids[r, start:] = np.arange(row_length - start)
        seq_idx[r, start:] = len(row)
    arrays = {"input_ids": input_ids, "labels": labels, "position_ids": position_ids, "seq_idx": seq_idx}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def attention_masks(
    model: torch.nn.Module, position_ids: torch.Tensor, seq_idx: torch.Tensor
) -> torch.Tensor | dict[str, torch.Tensor | None]:
    """What the model's decoder takes as `attention_mask`: (batch, 1, length, length), True where a query may look.

    A model with several kinds of layers takes one mask per kind; a sliding window also bounds the distance. Eager attention
    adds its mask, so it gets 0 and the lowest number of its dtype instead.
    """
    config: Any = model.config
    same = seq_idx[:, :, None] == seq_idx[:, None, :]
    distance = position_ids[:, :, None] - position_ids[:, None, :]
    causal = same & (distance >= 0)

    def finish(mask: torch.Tensor) -> torch.Tensor:
        if getattr(config, "_attn_implementation", "sdpa") != "eager":
            return mask[:, None]
        dtype = next(model.parameters()).dtype
        return torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]

    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds:
        return finish(causal & (distance < window) if window else causal)
    masks: dict[str, torch.Tensor | None] = {}
    for kind in sorted(kinds):
        if kind == "full_attention":
            masks[kind] = finish(causal)
        elif kind == "sliding_attention":
            masks[kind] = finish(causal & (distance < (window or config.sliding_window)))
        elif kind == "conv":
            masks[kind] = None  # documents are kept apart by seq_idx; there is no padding inside one
        else:
            raise InputError(f"Layers of kind {kind!r} cannot be packed without leaking.", "Use another base.")
    return masks
