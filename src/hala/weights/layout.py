"""What a checkpoint will hold and where: tensors grouped into shards, and the header of each shard, before a byte is computed.

The layout is that of the reference writer of safetensors, so the file is equal to one that it would have written.

    shards = plan_shards(outputs, SHARD_BYTES)   # {"model-00001-of-00002.safetensors": [Output(...), ...], ...}
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hala.weights.headers import DTYPES

SHARD_BYTES = 5_000_000_000
ORDER = {dtype: rank for rank, dtype in enumerate(DTYPES)}


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that will be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.count * DTYPES[self.dtype][1]


Shards = dict[str, list[Output]]  # file name -> what lies in it


def plan_shards(outputs: Sequence[Output], shard_bytes: int) -> Shards:
    """Outputs by shard file name, in order; a shard is closed before it would exceed `shard_bytes`, a larger one stands alone."""
    groups: list[list[Output]] = [[]]
    size = 0
    for output in outputs:
        if groups[-1] and size + output.size > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(output)
        size += output.size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": group for i, group in enumerate(groups, 1)}


def in_order(outputs: Sequence[Output]) -> list[Output]:
    """The outputs of a shard as they lie in it: wide dtypes first, so that each is aligned to its own item size, then by name."""
    return sorted(outputs, key=lambda output: (-ORDER[output.dtype], output.name))


def make_header(outputs: Sequence[Output]) -> tuple[bytes, dict[str, int]]:
    """The first bytes of a shard and where each tensor starts in the file."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    starts, cursor = {}, 0
    for output in in_order(outputs):
        offsets = [cursor, cursor + output.size]
        entries[output.name] = {"dtype": output.dtype, "shape": list(output.shape), "data_offsets": offsets}
        starts[output.name] = cursor
        cursor += output.size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: start + len(header) for name, start in starts.items()}


def shard_size(outputs: Sequence[Output]) -> int:
    """Bytes of the whole file."""
    return len(make_header(outputs)[0]) + sum(output.size for output in outputs)


def make_index(shards: Shards) -> dict[str, Any]:
    """The index file of several shards: which tensor is where, and the bytes of all."""
    mapping = {output.name: name for name, outputs in shards.items() for output in outputs}
    total = sum(output.size for outputs in shards.values() for output in outputs)
    return {"metadata": {"total_size": total}, "weight_map": mapping}
