"""Torch's arithmetic, on whatever device, gives the bytes of numpy's; a GPU is used when it pays and never required."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from hala.errors import InputError, RecipeError
from hala.weights import accelerated
from hala.weights.accelerated import ENOUGH, has_driver, on_device, pick_device, quantise_on
from hala.weights.checkpoint import Array
from hala.weights.compress import compress
from hala.weights.numerics import Scratch
from hala.weights.schemes import MODES, SCHEMES, Mode, quantise
from hala.weights.tables import look_up

FORMATS = [(scheme, mode) for scheme in SCHEMES for mode in MODES]
DTYPES = [np.dtype(kind) for kind in (ml_dtypes.bfloat16, "float16", "float32", "float64")]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"))]


def same(device: str, weight: Array, scheme: str, mode: Mode) -> None:
    """Holds torch on `device` against numpy, byte by byte."""
    ours = quantise(weight, SCHEMES[scheme], mode, measure=False)
    found = quantise_on(device, weight, SCHEMES[scheme], mode, Scratch())
    assert found is not None
    assert found.finite == ours.finite
    if ours.finite:
        for one, two in ((found.codes, ours.codes), (found.scales, ours.scales)):
            assert (one.dtype, one.shape) == (two.dtype, two.shape)
            assert one.tobytes() == two.tobytes()
        assert found == type(found)(found.codes, found.scales, 0.0, 0.0, ours.zero_rows, True)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 9),
    columns=st.integers(1, 300),
    size=st.floats(-40, 10),
    power=st.integers(1, 9),
)
def test_every_byte_is_that_of_numpy(
    scheme: str, mode: Mode, dtype: np.dtype[Any], device: str, seed: int, rows: int, columns: int, size: float, power: int
) -> None:
    """Any shape, heavy tails, rows of zeros, subnormal scales, every dtype, scheme and mode: codes and scales are the same."""
    rng = np.random.default_rng(seed)
    matrix = np.clip(rng.standard_normal((rows, columns)) ** power * 2.0**size, -6e4, 6e4)
    matrix[rng.random(rows) < 0.1] = 0
    same(device, matrix.astype(dtype), scheme, mode)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@pytest.mark.parametrize("largest", [0x0001, 0x0080, 0x1234, 0x3C80, 0x3F80, 0x3FFF, 0x4381, 0x7F7F])
def test_every_bfloat16_is_that_of_numpy(scheme: str, mode: Mode, largest: int, device: str) -> None:
    """All finite 16-bit patterns, each beside a largest weight of its row: subnormal, ordinary and the largest there is."""
    patterns = np.arange(65_536, dtype=np.uint16)
    below = patterns[(patterns & 0x7FFF) <= largest]
    same(device, np.append(below, np.uint16(largest)).view(ml_dtypes.bfloat16)[None, :], scheme, mode)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_values_that_are_no_numbers_are_seen(scheme: str, mode: Mode, value: float, device: str) -> None:
    """NaN and Inf are reported as numpy's arithmetic reports them."""
    weight = np.ones((3, 200), ml_dtypes.bfloat16)
    weight[1, 150] = value
    same(device, weight, scheme, mode)


@pytest.fixture
def tall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose matrices have many blocks of rows, since little is worked on at once."""
    monkeypatch.setattr("hala.weights.schemes.BLOCK", 300)
    generator = torch.Generator().manual_seed(0)
    made = {f"{name}.weight": torch.randn(rows, 70, generator=generator).bfloat16() for name, rows in (("a", 1300), ("b", 9))}
    made["a.weight"][77] = 0
    (tmp_path / "tall").mkdir()
    save_file(made, tmp_path / "tall" / "model.safetensors")
    (tmp_path / "tall" / "config.json").write_text("{}")
    return tmp_path / "tall"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_a_checkpoint_does_not_show_where_it_was_made(
    scheme: str, mode: Mode, device: str, tall: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file of the folder is the same byte for byte, the report with its measured errors included."""
    used: list[object] = []
    monkeypatch.setattr(accelerated, "arithmetic", lambda *args, real=accelerated.arithmetic: used.append(args) or real(*args))
    compress(tall, tmp_path / "plain", scheme, mode, device="cpu")
    assert not used
    monkeypatch.setattr("hala.weights.compress.pick_device", lambda *_: f"{device}:0")
    compress(tall, tmp_path / "fast", scheme, mode)
    assert used
    for file in sorted((tmp_path / "plain").iterdir()):
        assert file.read_bytes() == (tmp_path / "fast" / file.name).read_bytes(), file.name


def test_a_full_gpu_leaves_the_work_to_the_cpu(tall: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another program holds the memory of the GPU, the run goes on and ends with the same bytes."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    compress(tall, tmp_path / "plain")
    monkeypatch.setattr(accelerated, "arithmetic", full)
    monkeypatch.setattr("hala.weights.compress.pick_device", lambda *_: "cpu:0")
    compress(tall, tmp_path / "fast")
    assert (tmp_path / "plain" / "model.safetensors").read_bytes() == (tmp_path / "fast" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("device", "size", "driver", "found"),
    [
        ("auto", ENOUGH, True, "cuda"),
        ("auto", ENOUGH - 1, True, "cpu"),
        ("auto", ENOUGH, False, "cpu"),
        ("cpu", 100 * ENOUGH, True, "cpu"),
        ("cuda", 1, False, "cuda"),
    ],
)
def test_the_device_is_what_pays(device: str, size: int, driver: bool, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """auto takes a GPU when there is one and enough to do; a word from the user decides otherwise."""
    monkeypatch.setattr(accelerated, "has_driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device(device, size) == found
    assert (on_device(found) is look_up) == (found == "cpu")


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver without a torch for it: auto stays on the CPU, and asking for cuda says what to do, as a typing error does."""
    monkeypatch.setattr(accelerated, "has_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto", ENOUGH) == "cpu"
    with pytest.raises(InputError, match=r"no CUDA device.*the CPU gives the same"):
        pick_device("cuda", ENOUGH)
    with pytest.raises(RecipeError, match="Did you mean 'cuda'"):
        pick_device("cudo", ENOUGH)
    assert isinstance(has_driver(), bool)


def test_compressing_on_a_cpu_imports_no_torch(folders: dict[str, Path], tmp_path: Path) -> None:
    """Torch would take longer to import than a small model takes to compress, and most of the memory."""
    code = "import sys; from hala.weights.compress import compress; from hala.weights.verification import verify; "
    code += f"compress({str(folders['lfm2'])!r}, {str(tmp_path / 'out')!r}); "
    code += f"verify({str(folders['lfm2'])!r}, {str(tmp_path / 'out')!r}); "
    code += "print(sorted({'torch', 'transformers', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
