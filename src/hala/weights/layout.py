"""What a checkpoint will hold and where: tensors grouped into shards, and the header of each shard, before a byte is computed.

The layout is that of the reference writer of safetensors, so the file is equal to one that it would have written.

    shards = plan_shards(units, SHARD_BYTES)   # {"model-00001-of-00002.safetensors": [Unit(...), ...], ...}
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
    def size(self) -> int:
        """Bytes on disk."""
        return math.prod(self.shape) * DTYPES[self.dtype][1]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is made in one go: one or more outputs that stay in one shard."""

    key: str
    outputs: tuple[Output, ...]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(output.size for output in self.outputs)


Shards = dict[str, list[Unit]]  # file name -> what lies in it


def plan_shards(units: Sequence[Unit], shard_bytes: int) -> Shards:
    """Units by shard file name, in order; a shard is closed before it would exceed `shard_bytes`, a larger unit stands alone."""
    groups: list[list[Unit]] = [[]]
    size = 0
    for unit in units:
        if groups[-1] and size + unit.size > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(unit)
        size += unit.size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": group for i, group in enumerate(groups, 1)}


def make_header(units: Sequence[Unit]) -> tuple[bytes, dict[str, int]]:
    """The first bytes of a shard and where each tensor starts in the file, in the reference writer's layout.

    Wide dtypes come first, so every tensor is aligned to its own item size without padding.
    """
    outputs = [output for unit in units for output in unit.outputs]
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


def shard_size(units: Sequence[Unit]) -> int:
    """Bytes of the whole file."""
    return len(make_header(units)[0]) + sum(unit.size for unit in units)


def make_index(shards: Shards) -> dict[str, Any]:
    """The index file of several shards: which tensor is where, and the bytes of all."""
    mapping = {output.name: name for name, units in shards.items() for unit in units for output in unit.outputs}
    total = sum(unit.size for units in shards.values() for unit in units)
    return {"metadata": {"total_size": total}, "weight_map": mapping}
