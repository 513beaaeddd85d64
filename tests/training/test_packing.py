"""Packing loses no document and cuts none, and marks what keeps them apart; that it does is in test_isolation.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.errors import InputError
from hala.training.examples import IGNORED
from hala.training.packing import attention_masks, collate, measure, pack, pack_in_order

LENGTHS = st.lists(st.integers(1, 32), max_size=60)


@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS, seed=st.integers(0, 5))
def test_every_example_once_and_no_row_overfull(lengths, seed):
    """Protects the law of packing: each index appears exactly once and no row exceeds its length."""
    rows = pack(lengths, 32, seed)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[index] for index in row) <= 32 for row in rows)


@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS)
def test_seeds_change_the_order_not_the_count(lengths):
    """Protects resume and the step count: same seed, same rows; another seed, the same number of rows."""
    assert pack(lengths, 32, 1) == pack(lengths, 32, 1)
    assert len(pack(lengths, 32, 1)) == len(pack(lengths, 32, [1, 2]))


def test_rows_are_well_filled():
    """Protects the speed of training: realistic lengths fill at least 98% of the places."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(3.9, 0.5, 20_000).astype(int), 10, 512).tolist()
    rows = pack(lengths, 512, 0)
    assert measure(lengths, rows, 512).fill >= 0.98
    assert pack(lengths, 512, 0) != pack(lengths, 512, 1)


def test_the_fill_of_padded_rows_is_that_of_their_passes():
    """Protects the figure for rows without packing: each pass is as wide as its longest row."""
    assert measure([2, 8, 5, 5], [[0], [1], [2], [3]], None, in_pass=2).fill == 20 / (2 * 8 + 2 * 5)


def test_a_document_longer_than_a_row_is_refused():
    """Protects against silent cutting."""
    with pytest.raises(InputError, match="33 tokens does not fit a row of 32"):
        pack([3, 33], 32, 0)
    with pytest.raises(InputError, match="33 tokens does not fit a row of 32"):
        pack_in_order([3, 33], 32)


@settings(deadline=None, max_examples=60)
@given(lengths=LENGTHS, window=st.integers(1, 5))
def test_packing_in_order_packs_neighbours_only(lengths, window):
    """Protects a curriculum: each index once, no row overfull, and windows of neighbours one after the other."""
    rows = pack_in_order(lengths, 32, window)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[index] for index in row) <= 32 for row in rows)
    assert rows == pack_in_order(lengths, 32, window)
    start = 0
    while start < len(lengths):  # the window that begins here: as many examples as its tokens allow
        end, room = start, window * 32
        while end < len(lengths) and (room := room - lengths[end]) >= 0:
            end += 1
        while rows and rows[0][0] < end:
            assert all(start <= index < end for index in rows.pop(0))
        start = end
    assert not rows


@pytest.mark.parametrize(
    ("typical", "spread", "row_length", "least"), [(3.9, 0.5, 512, 0.98), (6, 0.9, 4096, 0.98), (6, 0.9, 2048, 0.97)]
)
def test_rows_in_order_are_well_filled(typical, spread, row_length, least):
    """Protects the speed of a training in the given order: sentence pairs and chats lose 2% or 3% of the places at most."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(typical, spread, 20_000).astype(int), 10, row_length).tolist()
    assert measure(lengths, pack_in_order(lengths, row_length), row_length).fill >= least


def test_collated_rows_restart_for_each_document(tiny):
    """Protects what isolation rests on: positions restart, documents are numbered, first tokens and padding are no targets."""
    docs = tiny.documents([3, 4])
    batch = collate([docs], 10, pad_id=0)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 0, 1, 2]]
    assert batch["seq_idx"].tolist() == [[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]]
    assert batch["labels"][0, [0, 3, 7, 8, 9]].tolist() == [IGNORED] * 5
    assert batch["input_ids"][0, :7].tolist() == [*docs[0].input_ids.tolist(), *docs[1].input_ids.tolist()]


def test_a_sliding_window_bounds_the_mask(tiny):
    """Protects Gemma 2: its local layers look back as far as the window, its global ones through the document."""
    batch = collate([tiny.documents([12])], 12, 0)
    masks = attention_masks(tiny.model("gemma2"), batch["position_ids"], batch["seq_idx"])
    assert masks["sliding_attention"][0, 0].sum(-1).tolist() == [1, 2, 3, 4] + [5] * 8
    assert masks["full_attention"][0, 0].sum(-1).tolist() == list(range(1, 13))
