"""The second look: one changed bit anywhere is found and named, an honest result passes, and so do its numbers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hala.errors import CorruptError, InputError
from hala.weights.checkpoint import Array, open_checkpoint
from hala.weights.compress import compress
from hala.weights.schemes import MODES, SCHEMES, Mode, decode, quantise, scale_dtype, scales_of
from hala.weights.unpacking import to_torch
from hala.weights.verification import reload, verify, within_rounding

FORMATS = [(scheme, mode) for scheme in SCHEMES for mode in MODES]
DTYPES = [np.dtype(kind) for kind in (ml_dtypes.bfloat16, "float16", "float32", "float64")]
MATRIX, KEPT, NORM = "model.layers.1.self_attn.q_proj.weight", "model.embed_tokens.weight", "model.norm.weight"


@pytest.fixture(scope="module")
def pairs(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Compressed llamas by scheme and mode."""
    root, made = tmp_path_factory.mktemp("verify"), {}
    for scheme, mode in FORMATS:
        made[scheme, mode] = root / f"{scheme}-{mode}"
        compress(folders["llama"], made[scheme, mode], scheme, mode)
    return made


def change(folder: Path, name: str, damage: Callable[[Array], Any]) -> None:
    """Damages the bytes of one tensor where they lie."""
    info = open_checkpoint(folder).tensors[name]
    with info.file.open("r+b") as file:
        file.seek(info.start)
        values = np.frombuffer(bytearray(file.read(info.size)), np.uint8)
        damage(values)
        file.seek(info.start)
        file.write(values.tobytes())


def flip(place: float, bit: int) -> Callable[[Array], None]:
    """Flips one bit at a place from 0 to 1 of the way."""

    def damage(values: Array) -> None:
        values[int(place * (len(values) - 1))] ^= 1 << bit

    return damage


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2", "cohere2"])
def test_an_honest_result_passes(kind: str, scheme: str, mode: Mode, folders: dict[str, Path], tmp_path: Path) -> None:
    """What compress wrote is accepted, with the errors that compress reported, and progress ends at the whole."""
    keep = ["re:.*layers.1.*(w2|down_proj)"]
    report = compress(folders[kind], tmp_path / "out", scheme, mode, keep=keep, shard_bytes=50_000)
    steps: list[tuple[int, int]] = []
    found = verify(folders[kind], tmp_path / "out", lambda done, total: steps.append((done, total)))
    assert [tensor.name for tensor in found.tensors] == [tensor.name for tensor in report.tensors]
    for tensor, reported in zip(found.tensors, report.tensors, strict=True):
        assert tensor.rel_error == pytest.approx(reported.rel_error, rel=1e-4)
    assert found.worst.name == report.worst.name
    assert found.lost_rows == 0
    assert max(steps) == (report.bytes_before, report.bytes_before)
    assert json.loads(json.dumps(found.as_json()))["worst"] == found.worst.name


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_other_dtypes_and_odd_rows_pass(scheme: str, mode: Mode, dtype: np.dtype[Any], tmp_path: Path) -> None:
    """Zero rows, the smallest and the largest weights of each dtype, and sides that are no multiple of 128 are no damage."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((200, 300)) * 2.0 ** rng.integers(-30, 12, (200, 1))
    matrix[::9] = 0
    (tmp_path / "source").mkdir()
    save_file({"layer.w.weight": to_torch(matrix.astype(dtype))}, tmp_path / "source" / "model.safetensors")
    (tmp_path / "source" / "config.json").write_text("{}")
    compress(tmp_path / "source", tmp_path / "out", scheme, mode)
    (line,) = verify(tmp_path / "source", tmp_path / "out").tensors
    assert 0 < line.rel_error < 0.05


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@pytest.mark.parametrize("what", ["code", "scale", "kept"])
@pytest.mark.parametrize("bit", range(8))
def test_one_flipped_bit_is_found(
    bit: int, what: str, scheme: str, mode: Mode, pairs: dict[tuple[str, str], Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    """Whatever bit of a code, a scale or a kept tensor a bad disk changes, the tensor is named."""
    copy = Path(shutil.copytree(pairs[scheme, mode], tmp_path / "copy"))
    name = {"code": MATRIX, "scale": f"{MATRIX}_scale", "kept": KEPT}[what]
    change(copy, name, flip(0.77, bit))
    with pytest.raises(CorruptError, match=re.escape(f"tensor {MATRIX if what != 'kept' else KEPT} of")) as caught:
        verify(folders["llama"], copy)
    assert caught.value.fix


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@pytest.mark.parametrize("value", [0xFF, 0x00])
def test_scales_of_nan_and_zero_are_found(
    value: int, scheme: str, mode: Mode, pairs: dict[tuple[str, str], Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    """A scale that is NaN or 0 would make every answer of the model nonsense."""
    copy = Path(shutil.copytree(pairs[scheme, mode], tmp_path / "copy"))
    change(copy, f"{MATRIX}_scale", lambda values: values.fill(value))
    with pytest.raises(CorruptError, match=re.escape(MATRIX)):
        verify(folders["llama"], copy)


Tensors = dict[str, torch.Tensor]


def swapped(tensors: Tensors) -> None:
    tensors[MATRIX] = tensors[MATRIX].T.contiguous()


def shortened(tensors: Tensors) -> None:
    tensors[MATRIX] = tensors[MATRIX][:-1].clone()


def widened(tensors: Tensors) -> None:
    tensors[NORM] = tensors[NORM].float()


def extra(tensors: Tensors) -> None:
    tensors[f"{KEPT}_scale"] = torch.ones(1, 1)


def two_swapped(tensors: Tensors) -> None:
    other = MATRIX.replace("layers.1", "layers.0")
    tensors[MATRIX], tensors[other] = tensors[other], tensors[MATRIX]


LAYOUTS: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "missing matrix": (lambda tensors: tensors.pop(MATRIX), MATRIX),
    "missing scale": (lambda tensors: tensors.pop(f"{MATRIX}_scale"), f"{MATRIX}_scale"),
    "missing norm": (lambda tensors: tensors.pop(NORM), NORM),
    "one too many": (extra, f"{KEPT}_scale"),
    "fewer rows": (shortened, MATRIX),
    "other dtype": (widened, NORM),
    "transposed": (swapped, MATRIX),
    "two layers swapped": (two_swapped, MATRIX.replace("layers.1", "layers.0")),
}


@pytest.mark.parametrize("damage", LAYOUTS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_layout_is_found(
    scheme: str, damage: str, pairs: dict[tuple[str, str], Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    """A tensor that is missing, too many, of another shape or dtype, or in another's place is named."""
    copy = Path(shutil.copytree(pairs[scheme, "exact"], tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    spoil, name = LAYOUTS[damage]
    spoil(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptError, match=re.escape(f"tensor {name} of")):
        verify(folders["llama"], copy)


def test_the_result_of_another_original_is_found(
    pairs: dict[tuple[str, str], Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    """A checkpoint is held against the model it claims to come from, not against itself."""
    source = Path(shutil.copytree(folders["llama"], tmp_path / "source"))
    change(source, MATRIX, flip(0.5, 7))
    with pytest.raises(CorruptError, match=re.escape(f"tensor {MATRIX} of")):
        verify(source, pairs["fp8-dynamic", "float32-scale"])


def test_a_folder_that_compress_did_not_write_is_refused(folders: dict[str, Path]) -> None:
    """Without compress.json nobody knows what was asked for."""
    with pytest.raises(InputError, match=r"compress\.json"):
        verify(folders["llama"], folders["llama"])


def test_an_error_of_the_arithmetic_is_found(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the quantiser itself is wrong, making the codes again agrees with them; the distance from the original does not."""
    from hala.weights import accelerated, verification
    from hala.weights import compress as room

    def wrong(weight: Array, scheme: Any, mode: Mode, *others: Any, **more: Any) -> Any:
        part = quantise(weight, scheme, mode, *others, **more)
        part.scales[-1] *= part.scales.dtype.type(1.25)
        return part

    def wrong_scales(*given: Any) -> Array:
        scales = scales_of(*given)
        scales[-1] *= scales.dtype.type(1.25)
        return scales

    monkeypatch.setattr(room, "scales_of", wrong_scales)
    for module in (room, verification):
        monkeypatch.setattr(module, "quantise", wrong)
    for module in (accelerated, verification):
        monkeypatch.setattr(module, "look_up", lambda *_: None)
    compress(folders["llama"], tmp_path / "out")
    with pytest.raises(CorruptError, match="further from the original"):
        verify(folders["llama"], tmp_path / "out")


def judge(weight: Array, codes: Array, scales: Array, scheme: str, mode: Mode) -> bool:
    """Whether codes and scales are accepted for these weights."""
    values = weight.astype(np.float32)
    error = decode(codes, scales, SCHEMES[scheme]) - values
    return within_rounding(error, values, codes, scales, SCHEMES[scheme], scale_dtype(weight.dtype, mode))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
@given(seed=st.integers(0, 2**32), size=st.floats(-30, 10), power=st.integers(1, 9))
def test_whatever_is_quantised_is_within_rounding(
    scheme: str, mode: Mode, dtype: np.dtype[Any], seed: int, size: float, power: int
) -> None:
    """No honest code is ever called damaged: heavy tails, tiny and large weights, subnormal scales, every dtype."""
    rng = np.random.default_rng(seed)
    matrix = np.clip(rng.standard_normal((5, 60)) ** power * 2.0**size, -6e4, 6e4).astype(dtype)
    part = quantise(matrix, SCHEMES[scheme], mode)
    assert judge(matrix, part.codes, part.scales, scheme, mode)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(seed=st.integers(0, 2**32), where=st.integers(0, 59), bit=st.integers(0, 7))
def test_any_other_code_is_beyond_rounding(scheme: str, seed: int, where: int, bit: int) -> None:
    """For weights that 8 bits hold exactly, no single flipped bit of a code is within half a step, but for the sign of a zero."""
    how, rng = SCHEMES[scheme], np.random.default_rng(seed)
    first = quantise(rng.standard_normal((1, 60)).astype(np.float32) ** 3, how, "float32-scale")
    scales = np.exp2(np.round(np.log2(first.scales)))  # a power of two, so that products are exact
    weight = decode(first.codes, scales, how)
    assert judge(weight, first.codes, scales, scheme, "float32-scale")
    codes = first.codes.copy()
    codes.view(np.uint8)[0, where] ^= 1 << bit
    same = decode(codes, scales, how)[0, where] == weight[0, where]
    assert judge(weight, codes, scales, scheme, "float32-scale") == same


def test_lost_rows_are_counted(tmp_path: Path) -> None:
    """A row in a block with a far larger one can vanish: that is no damage, but it is said."""
    matrix = np.ones((128, 128), np.float32)
    matrix[7] = 1e-7
    (tmp_path / "source").mkdir()
    save_file({"layer.w.weight": torch.from_numpy(matrix)}, tmp_path / "source" / "model.safetensors")
    (tmp_path / "source" / "config.json").write_text("{}")
    compress(tmp_path / "source", tmp_path / "out", "fp8-block")
    assert verify(tmp_path / "source", tmp_path / "out").lost_rows == 1


def test_a_reload_sees_answers_that_are_no_numbers(
    pairs: dict[tuple[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loaded model must answer with numbers; what cannot be loaded here is said to be so and is no error."""
    good = pairs["fp8-dynamic", "exact"]
    assert reload(good) == "loaded with transformers and compressed-tensors"
    copy = Path(shutil.copytree(good, tmp_path / "copy"))
    change(copy, f"{MATRIX}_scale".replace("q_proj", "o_proj"), lambda values: values.fill(0xFF))
    with pytest.raises(CorruptError, match="no finite number"):
        reload(copy)
    (copy / "tokenizer.json").unlink()
    assert "no tokenizer" in reload(copy)
    monkeypatch.setattr("hala.weights.verification.free_memory", lambda: 1000)
    assert "0.0 GB are free" in reload(good)
