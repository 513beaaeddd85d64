"""The layout of shards: limits, offsets and sizes, before a byte is written."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hala.weights.headers import DTYPES
from hala.weights.layout import Output, Unit, make_header, make_index, plan_shards, shard_size

shapes = st.lists(st.integers(0, 9), max_size=3).map(tuple)
outputs = st.lists(st.builds(Output, st.uuids().map(str), st.sampled_from(sorted(DTYPES)), shapes), min_size=1, max_size=3)
units = st.lists(outputs.map(lambda each: Unit(each[0].name, tuple(each))), min_size=1, max_size=9)


@given(units, st.integers(1, 3000))
def test_every_unit_is_in_one_shard_within_its_limit(units: list[Unit], limit: int) -> None:
    """Nothing is lost or doubled, the order stays, and no shard exceeds the limit unless one unit does."""
    shards = plan_shards(units, limit)
    assert [unit for group in shards.values() for unit in group] == units
    assert all(len(group) == 1 or sum(unit.size for unit in group) <= limit for group in shards.values())
    assert list(shards) == sorted(shards)
    assert (list(shards) == ["model.safetensors"]) == (len(shards) == 1)


@given(units)
def test_tensors_fill_a_shard_without_holes_and_are_aligned(units: list[Unit]) -> None:
    """Each tensor starts where the last one ends and at a multiple of its item size; the file ends with the last one."""
    header, starts = make_header(units)
    entries = json.loads(header[8:])
    assert entries.pop("__metadata__") == {"format": "pt"}
    end = len(header)
    for name, entry in entries.items():
        assert starts[name] == end == len(header) + entry["data_offsets"][0]
        assert starts[name] % DTYPES[entry["dtype"]][1] == 0
        end = len(header) + entry["data_offsets"][1]
    assert end == shard_size(units)


def test_the_index_names_the_shard_of_each_tensor() -> None:
    """A reader finds every tensor, scales too, and the size of all."""
    units = [Unit(name, (Output(name, "I8", (8,)), Output(f"{name}_scale", "F32", (1,)))) for name in "abc"]
    index = make_index(plan_shards(units, 24))
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    places = {"a": first, "a_scale": first, "b": first, "b_scale": first, "c": second, "c_scale": second}
    assert index == {"metadata": {"total_size": 36}, "weight_map": places}
