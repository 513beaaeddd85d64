"""The plan of a compression: sizes as they will be, from headers or from a config alone, and nothing left behind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hala.errors import InputError
from hala.weights.compress import compress
from hala.weights.planning import Rates, disk_rates, plan, scratch_bytes
from hala.weights.schemes import SCHEMES

RATES = Rates(read=1e9, write=5e8, weights=2e8, threads=2)
COMMAND_A = {
    "model_type": "cohere2",
    "hidden_size": 12288,
    "intermediate_size": 36864,
    "num_hidden_layers": 64,
    "num_attention_heads": 96,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 256000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize("scheme", ["fp8-dynamic", "fp8-block", "int8-dynamic"])
def test_sizes_are_those_of_the_result(tmp_path: Path, tiny: Path, scheme: str) -> None:
    """What is planned is to the byte what compress then writes."""
    planned = plan(tiny, tmp_path, scheme, rates=RATES)
    report = compress(tiny, tmp_path / "out", scheme)
    assert (planned.bytes_before, planned.bytes_after) == (report.bytes_before, report.bytes_after)
    assert planned.matrices == len(report.quantised)
    assert planned.matrices + sum(count for count, _ in planned.kept.values()) == len(report.tensors)


def test_a_config_alone_is_enough(tmp_path: Path, tiny: Path) -> None:
    """A folder with nothing but config.json gives the same sizes as the checkpoint, tied head included."""
    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    alone, whole = plan(tmp_path, tmp_path, rates=RATES), plan(tiny, tmp_path, rates=RATES)
    assert (alone.shapes_from, whole.shapes_from) == ("config.json", "the headers")
    assert (alone.parameters, alone.matrices, alone.kept.keys()) == (whole.parameters, whole.matrices, whole.kept.keys())


def test_a_teacher_of_111b_is_planned_without_its_weights(tmp_path: Path) -> None:
    """The published teacher's shape gives the published 111 billion parameters, 114 GB in FP8, and a time from the rates."""
    (tmp_path / "config.json").write_text(json.dumps(COMMAND_A))
    planned = plan(tmp_path, tmp_path, rates=RATES)
    assert planned.parameters == pytest.approx(111.06e9, rel=1e-3) and planned.matrices == 448
    assert planned.bytes_after == pytest.approx(114.2e9, rel=1e-3) and planned.kept["embedding"] == (1, 2 * 256000 * 12288)
    in_and_out = planned.bytes_before / RATES.read + planned.bytes_after / RATES.write
    quantising = 107.91e9 / RATES.weights
    digests = (planned.bytes_before + planned.bytes_after) / RATES.read
    assert planned.seconds == pytest.approx(max(in_and_out, quantising) + digests, rel=1e-3)
    assert "111.06B parameters" in planned.text and "1 x 141 GB" in planned.text


def test_the_text_reads_right_for_any_size(tmp_path: Path, tiny: Path) -> None:
    """A small model's parameters are not 0.00B, what the disk needs is not taken for what it has, and three GPUs are enough."""
    planned = plan(tiny, tmp_path, rates=RATES)
    assert f"{planned.parameters / 1e3:.2f}k parameters" in planned.text and "0.00B" not in planned.text
    assert f"needs {planned.bytes_after / 1e3:.0f} kB where the result goes (" in planned.text and " free)" in planned.text
    assert planned.free > 0 and "  to serve   1 x 24 GB GPU," in planned.text
    serving = {
        20: "1 x 24 GB GPU,",
        30: "1 x 48 GB or 2 x 24 GB GPUs,",
        114: "1 x 141 GB, 2 x 80 GB or 6 x 24 GB GPUs,",
        300: "5 x 80 GB GPUs,",
        2000: "more than 8 GPUs",
    }
    for size, words in serving.items():
        assert f"  to serve   {words}" in dataclasses.replace(planned, bytes_after=size * 10**9).text


def test_memory_does_not_grow_with_the_model(tmp_path: Path, tiny: Path) -> None:
    """111 billion parameters need no more than a few blocks of memory above what a tiny model needs."""
    (tmp_path / "config.json").write_text(json.dumps(COMMAND_A))
    small, large = plan(tiny, tmp_path, rates=RATES), plan(tmp_path, tmp_path, rates=RATES)
    assert 0 < scratch_bytes(SCHEMES["fp8-dynamic"], "float32-scale", 36864) < 50e6
    assert large.memory - small.memory < 200e6


def test_measuring_leaves_nothing_behind(tmp_path: Path) -> None:
    """The sample that the disk is measured with is gone afterwards."""
    read, write = disk_rates(tmp_path)
    assert read > 0 and write > 0 and not list(tmp_path.iterdir())


def test_nothing_to_plan_is_an_error(tmp_path: Path) -> None:
    """An empty folder is no model."""
    with pytest.raises(InputError, match="neither weights nor a config"):
        plan(tmp_path, tmp_path, rates=RATES)
