"""What models are tested on: names that tell sets apart, items that are spread evenly, pairs that are pairs."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.data.rows import Collected
from hala.errors import InputError
from hala.recipe import Data
from hala.verbs.testsets import own_questions, read_pairs, set_name, spread, unique


@given(st.lists(st.sampled_from("abc"), max_size=9))
def test_unique_names_are_unique_and_keep_their_order(names: list[str]) -> None:
    """Two sets of one name never replace each other's results."""
    made = unique(names)
    assert len(set(made)) == len(names) and all(new.startswith(old) for old, new in zip(names, made, strict=True))


@given(st.integers(0, 50), st.one_of(st.none(), st.integers(1, 60)))
def test_spread_takes_items_from_everywhere(count: int, limit: int | None) -> None:
    """A limit takes evenly spaced items, in order, without repeating one."""
    items = spread(range(count), limit)
    assert len(items) == min(limit or count, count) and items == sorted(set(items))
    gaps = {after - before for before, after in itertools.pairwise(items)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_names_say_what_a_set_is() -> None:
    """A reader of a table knows the set by its name."""
    assert set_name(Data(world="questions", lang="ar", topics=("capitals",))) == "world questions capitals ar"
    assert set_name(Data(path="/data/tests.jsonl")) == "tests.jsonl" and set_name(Data(ref="$clean")) == "clean"


def test_what_is_no_pair_is_counted(pairs_file: Path, chats_file: Path) -> None:
    """Pairs come up to the limit; a file of chats has none, and each of its rows is named as no pair."""
    bad = Collected()
    rows = read_pairs(Data(path=str(pairs_file), columns={"source": "en", "target": "ar"}), {}, bad, 3)
    assert next(row.original[0].content for row in rows) == "The cat is in the house." and len(rows) == 3 and bad.count == 0
    with pytest.raises(InputError, match="holds no sentence pairs"):
        read_pairs(Data(path=str(chats_file)), {}, bad, None)
    assert {row.reason for row in bad.rows} == {"not_a_pair"}


def test_questions_of_the_world_are_a_benchmark() -> None:
    """The built-in questions come with their labels in the language's letters."""
    benchmark, items = own_questions(Data(world="questions", split="heldout", lang="ar", take=5), Collected())
    assert len(items) == 5 and benchmark.lang == "ar" and all(len(item.labels) == 4 for item in items)
