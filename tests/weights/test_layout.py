"""The layout of shards: limits, offsets and sizes, before a byte is written."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from hala.weights.headers import DTYPES
from hala.weights.layout import Output, in_order, make_header, make_index, plan_shards, shard_size

shapes = st.lists(st.integers(0, 9), max_size=3).map(tuple)
outputs = st.builds(Output, st.uuids().map(str), st.sampled_from(sorted(DTYPES)), shapes)
several = st.lists(outputs, min_size=1, max_size=20)


@given(several, st.integers(1, 3000))
def test_every_output_is_in_one_shard_within_its_limit(outputs: list[Output], limit: int) -> None:
    """Nothing is lost or doubled, the order stays, and no shard exceeds the limit unless one tensor does."""
    shards = plan_shards(outputs, limit)
    assert [output for group in shards.values() for output in group] == outputs
    assert all(len(group) == 1 or sum(output.size for output in group) <= limit for group in shards.values())
    assert list(shards) == sorted(shards)
    assert (list(shards) == ["model.safetensors"]) == (len(shards) == 1)


@given(several)
def test_tensors_fill_a_shard_without_holes_and_are_aligned(outputs: list[Output]) -> None:
    """Each tensor starts where the last one ends and at a multiple of its item size; the file ends with the last one."""
    header, starts = make_header(outputs)
    entries = json.loads(header[8:])
    assert entries.pop("__metadata__") == {"format": "pt"}
    assert list(entries) == [output.name for output in in_order(outputs)]
    end = len(header)
    for name, entry in entries.items():
        assert starts[name] == end == len(header) + entry["data_offsets"][0]
        assert starts[name] % DTYPES[entry["dtype"]][1] == 0
        end = len(header) + entry["data_offsets"][1]
    assert end == shard_size(outputs)


def test_the_index_names_the_shard_of_each_tensor() -> None:
    """A reader finds every tensor, scales too, and the size of all."""
    index = make_index(plan_shards([Output(name, "I8", (8,)) for name in ("a", "a_scale", "b", "b_scale", "c")], 16))
    first, second, third = (f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3))
    places = {"a": first, "a_scale": first, "b": second, "b_scale": second, "c": third}
    assert index == {"metadata": {"total_size": 40}, "weight_map": places}
