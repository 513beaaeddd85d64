"""How a checkpoint wants to be sampled, from its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hala.records import Sampling
from hala.weights.generation import PLAIN, read_sampling, sampling_of


def test_the_generation_config_wins_over_the_card() -> None:
    """Numbers of the checkpoint itself come first, those of its family's card fill in what it does not say."""
    assert sampling_of({"model_type": "lfm2"}, {"temperature": 0.1, "top_p": 0.9}) == Sampling(
        temperature=0.1, top_p=0.9, min_p=0.15, repetition_penalty=1.05
    )
    assert sampling_of({"model_type": "llama"}, {"repetition_penalty": 1.1}) == Sampling(temperature=0.3, repetition_penalty=1.1)


@pytest.mark.parametrize("value", [0, -1, "0.7", None, True, float("nan"), 10**6, [0.7]])
def test_numbers_that_make_no_sense_count_as_not_said(value: object) -> None:
    """A temperature of 0 (greedy), of a million or of words would make a further try senseless or break it."""
    assert sampling_of({}, {"temperature": value}) == PLAIN


def test_files_that_are_missing_or_broken_give_the_defaults(tmp_path: Path) -> None:
    """A checkpoint without a generation config is as usual as one with it."""
    assert read_sampling(str(tmp_path)) == read_sampling("/no/such/folder") == PLAIN
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "lfm2"}))
    (tmp_path / "generation_config.json").write_text("[")
    assert read_sampling(str(tmp_path)) == Sampling(temperature=0.3, min_p=0.15, repetition_penalty=1.05)
