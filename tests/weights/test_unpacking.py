"""From stored bytes to torch: every dtype keeps its bits, and codes become the weights that they stand for."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hala.weights.checkpoint import numpy_dtype, open_checkpoint
from hala.weights.compress import compress
from hala.weights.headers import DTYPES
from hala.weights.quantised import stored_scheme
from hala.weights.schemes import SCHEMES, decode, quantise
from hala.weights.unpacking import dequantise, read_coded, to_torch, unpacked


@pytest.mark.parametrize("code", DTYPES)
def test_every_dtype_keeps_its_bits(code: str) -> None:
    """BF16 and FP8, which torch cannot take from numpy, arrive as themselves; so does all else, in every shape."""
    for shape in [(6, 4), (24,), (0, 3), ()]:
        raw = np.arange(np.prod(shape, dtype=int) * DTYPES[code][1], dtype=np.uint8) % (2 if code == "BOOL" else 251)
        values = raw.view(numpy_dtype(code)).reshape(shape)
        tensor = to_torch(values)
        assert (str(tensor.dtype), tuple(tensor.shape)) == (f"torch.{DTYPES[code][0]}", shape)
        assert tensor.reshape(-1).view(torch.uint8).numpy().tobytes() == values.tobytes()


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(rows=st.integers(1, 300), columns=st.integers(1, 300), seed=st.integers(0, 99))
def test_codes_times_scales(scheme: object, rows: int, columns: int, seed: int) -> None:
    """Multiplied in float32 block by block, as numpy does it at once; other dtypes are that, rounded once."""
    weight = np.random.default_rng(seed).standard_normal((rows, columns), np.float32)
    part = quantise(weight, scheme, "float32-scale")  # type: ignore[arg-type]
    codes, scales = to_torch(part.codes), to_torch(part.scales)
    expected = decode(part.codes, part.scales, scheme)  # type: ignore[arg-type]
    assert np.array_equal(dequantise(codes, scales, scheme, torch.float32).numpy(), expected)  # type: ignore[arg-type]
    narrow = dequantise(codes, scales, scheme, torch.bfloat16)  # type: ignore[arg-type]
    assert torch.equal(narrow, to_torch(expected.astype(ml_dtypes.bfloat16)))


def test_stand_ins_cost_no_memory(folders: dict[str, Path], tmp_path: Path) -> None:
    """Without codes, each matrix is one zero in its shape, and everything else is there as it was."""
    compress(folders["lfm2"], tmp_path / "int8", "int8-dynamic")
    checkpoint = open_checkpoint(tmp_path / "int8")
    scheme = stored_scheme(checkpoint)
    whole, bare = (unpacked(checkpoint, torch.bfloat16, scheme, coded=coded) for coded in (True, False))
    assert whole.keys() == bare.keys()
    assert not any(name.endswith("_scale") for name in whole)
    for name, tensor in whole.items():
        assert (bare[name].shape, bare[name].dtype) == (tensor.shape, tensor.dtype)
        if checkpoint.tensors[name].dtype == "I8":
            assert bare[name].untyped_storage().nbytes() == 2
            assert torch.equal(tensor, dequantise(*read_coded(checkpoint, name, scheme), scheme, torch.bfloat16))
        else:
            assert torch.equal(bare[name], tensor)
