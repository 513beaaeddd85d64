"""FP8: the formula, its error bound, what is left alone, and that other software reads the result."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hala.weights.fp8 import compress, dequantise, quantise, round_tokens
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hala.errors import InputError, RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.loading import load_model

KINDS = ("lfm2", "llama", "gemma2", "cohere2")


@pytest.fixture(scope="module")
def packed(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """FP8 checkpoints by architecture and mode."""
    root, made = tmp_path_factory.mktemp("fp8"), {}
    for kind in KINDS:
        for mode in ("float32-scale", "exact"):
            made[kind, mode] = root / f"{kind}-{mode}"
            compress(folders[kind], made[kind, mode], mode=mode)
    return made


def matrices() -> st.SearchStrategy[torch.Tensor]:
    """Matrices of mixed magnitudes with zero rows among them."""

    def make(seed: int, rows: int, columns: int, spread: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        matrix = torch.randn(rows, columns, generator=generator)
        matrix *= torch.exp(spread * torch.randn(rows, 1, generator=generator))
        matrix[torch.rand(rows, generator=generator) < 0.1] = 0
        return matrix

    return st.builds(make, st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 40), st.floats(0, 6))


@given(matrices())
def test_error_is_within_half_a_code(weight: torch.Tensor) -> None:
    """|w - q s| <= |w| / 16 or s / 1024: half of a 3-bit mantissa step, or of the smallest subnormal."""
    codes, scale = quantise(weight, "float32-scale")
    error = (weight - dequantise(codes, scale)).abs()
    bound = torch.maximum(weight.abs() * 2**-4, scale * 2**-10)
    assert (error <= bound * (1 + 1e-5)).all()
    assert (error <= weight.abs().amax(dim=1, keepdim=True) * 2**-4 * (1 + 1e-5)).all()


@given(matrices())
def test_quantising_twice_changes_nothing(weight: torch.Tensor) -> None:
    """The values that FP8 can hold are left where they are, so compressing a dequantised model is harmless."""
    once = dequantise(*quantise(weight, "float32-scale"))
    twice = dequantise(*quantise(once, "float32-scale"))
    assert torch.allclose(once, twice, rtol=1e-6, atol=0)


@given(matrices(), st.sampled_from([torch.bfloat16, torch.float16, torch.float32]))
def test_exact_mode_is_the_naive_formula(weight: torch.Tensor, dtype: torch.dtype) -> None:
    """`exact` repeats min-max, scale, division and rounding in the weight's own dtype, bit by bit."""
    weight = weight.clamp(-6e4, 6e4).to(dtype)
    low = torch.minimum(weight.amin(dim=1, keepdim=True), torch.zeros((), dtype=dtype))
    high = torch.maximum(weight.amax(dim=1, keepdim=True), torch.zeros((), dtype=dtype))
    scale = torch.maximum(low.abs(), high.abs()) / 448.0
    scale = torch.where(scale == 0, torch.tensor(torch.finfo(dtype).eps, dtype=dtype), scale)
    codes, scales = quantise(weight, "exact")
    assert scales.dtype == dtype
    assert torch.equal(scales, scale)
    expected = torch.clamp(weight / scale, -448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(codes.view(torch.uint8), expected.view(torch.uint8))


def test_one_division_beats_two_roundings() -> None:
    """`float32-scale` has the smaller error and clips no row maximum; this is why it is the default."""
    weight = (0.02 * torch.randn(512, 512, generator=torch.Generator().manual_seed(0))).bfloat16()
    errors = {mode: (weight.float() - dequantise(*quantise(weight, mode)).float()).norm() for mode in ("float32-scale", "exact")}
    assert errors["float32-scale"] < errors["exact"] * 0.998


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Working in row blocks gives the bits of working at once."""
    weight = torch.randn(33, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    whole = quantise(weight, "exact")
    monkeypatch.setattr("hala.weights.fp8.BLOCK", 50)
    parts = quantise(weight, "exact")
    assert torch.equal(whole[0].view(torch.uint8), parts[0].view(torch.uint8))
    assert torch.equal(whole[1], parts[1])


@pytest.mark.parametrize("kind", KINDS)
def test_only_linear_layers_are_touched(kind: str, folders: dict[str, Path], packed: dict[tuple[str, str], Path]) -> None:
    """Embeddings, head, norms and the short convolution keep their bytes; every other matrix becomes codes and scales."""
    before, after = open_checkpoint(folders[kind]), open_checkpoint(packed[kind, "float32-scale"])
    for name, info in before.tensors.items():
        fixed = len(info.shape) != 2 or "embed" in name or "lm_head" in name or "norm" in name
        assert after.tensors[name].dtype == ("BF16" if fixed else "F8_E4M3"), name
        assert (f"{name}_scale" in after.tensors) != fixed
        if fixed:
            assert torch.equal(before.read(name), after.read(name))
    assert "lm_head" in after.config["quantization_config"]["ignore"]
    assert ("conv_dim" in after.config) == (kind == "lfm2")


def load_with_compressed_tensors(path: Path) -> Any:
    """The model as transformers and compressed-tensors load and unpack it, without our code."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import CompressedTensorsConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = CompressedTensorsConfig(dequantize=True)
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, quantization_config=config)


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_reads_it_through_compressed_tensors(
    kind: str, folders: dict[str, Path], packed: dict[tuple[str, str], Path], ids: torch.Tensor
) -> None:
    """The format is the real one: the reference software loads it, gets our weights, and nearly the BF16 model's logits."""
    theirs = load_with_compressed_tensors(packed[kind, "float32-scale"])
    ours, _ = load_model(packed[kind, "float32-scale"], "float32", "cpu")
    expected = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        if name in expected and "scale" not in name:
            assert torch.equal(parameter, expected[name]), name
    plain, _ = load_model(folders[kind], "float32", "cpu")
    with torch.no_grad():
        reference, packed_logits, own = plain(ids).logits, theirs(ids).logits, ours(ids).logits
    assert (packed_logits - reference).norm() < 0.35 * reference.norm()
    assert (own - packed_logits).norm() < 0.1 * reference.norm()


@pytest.mark.parametrize("mode", ["float32-scale", "exact"])
def test_unpacking_equals_compressed_tensors(mode: str, packed: dict[tuple[str, str], Path]) -> None:
    """Our multiplication gives the bits of compressed-tensors' own decompressor, for float32 and BF16 scales."""
    from compressed_tensors.compressors import FloatQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig

    folder = packed["lfm2", mode]
    settings = QuantizationConfig.model_validate(json.loads((folder / "config.json").read_text())["quantization_config"])
    scheme = settings.config_groups["group_0"]
    tensors = load_file(folder / "model.safetensors")
    names = [name.removesuffix("_scale") for name in tensors if name.endswith("_scale")]
    assert len(names) == 24
    for name in names:
        state = {"weight": tensors[name], "weight_scale": tensors[f"{name}_scale"]}
        theirs = FloatQuantizationCompressor.decompress(state, scheme)["weight"]
        ours = dequantise(tensors[name], tensors[f"{name}_scale"])
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def test_report_tells_the_truth(folders: dict[str, Path], tmp_path: Path) -> None:
    """Errors, zero rows and sizes in the report are those of the files."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    name = "model.layers.0.feed_forward.w1.weight"
    tensors[name][3:5] = 0
    save_file(tensors, source / "model.safetensors")
    steps: list[tuple[int, int]] = []
    report = compress(source, tmp_path / "out", progress=lambda done, total: steps.append((done, total)))
    line = next(tensor for tensor in report.tensors if tensor.name == name)
    assert (line.kind, line.zero_rows) == ("fp8", 2)
    written = load_file(tmp_path / "out" / "model.safetensors")
    value = written[name].float() * written[f"{name}_scale"]
    assert line.rel_error == pytest.approx(float((tensors[name].float() - value).norm() / tensors[name].float().norm()), rel=1e-5)
    assert not value[3:5].any()
    assert report.bytes_before == sum(t.numel() * t.element_size() for t in tensors.values())
    assert report.bytes_after == sum(t.numel() * t.element_size() for t in written.values()) == steps[-1][1] == steps[-1][0]
    assert 0.015 < report.worst.rel_error < 0.04
    assert compress(source, tmp_path / "out") == report


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["model.layers.1.self_attn.q_proj.weight", "model.embedding_norm.weight"])
def test_nan_and_inf_are_refused_by_name(value: float, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """A diverged or damaged checkpoint is stopped with the tensor's name, and leaves no checkpoint behind."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    tensors[name].view(-1)[7] = value
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(InputError, match=re.escape(f"tensor {name} of")):
        compress(source, tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


def test_float32_masters_and_ignore(folders: dict[str, Path], tmp_path: Path) -> None:
    """float32 masters keep their dtype where they are kept, and ignored layers are named in the config."""
    source = shutil.copytree(folders["llama"], tmp_path / "source")
    tensors = {name: tensor.float() for name, tensor in load_file(source / "model.safetensors").items()}
    save_file(tensors, source / "model.safetensors")
    compress(source, tmp_path / "out", mode="exact", ignore=["lm_head", r"re:.*\.mlp\."])
    out = open_checkpoint(tmp_path / "out")
    assert out.tensors["model.layers.0.mlp.up_proj.weight"].dtype == "F32"
    assert out.tensors["model.layers.0.self_attn.q_proj.weight_scale"].dtype == "F32"
    assert out.config["quantization_config"]["ignore"] == ["lm_head", "model.embed_tokens", r"re:.*\.mlp\."]


def test_impossible_requests_are_explained(folders: dict[str, Path], packed: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    """An unknown scheme suggests the right one, and a quantised source is not quantised again."""
    with pytest.raises(RecipeError, match="Did you mean 'fp8-dynamic'"):
        compress(folders["lfm2"], tmp_path / "x", scheme="fp8-dynamc")
    with pytest.raises(InputError, match="already quantised"):
        compress(packed["lfm2", "exact"], tmp_path / "x")


@given(matrices())
def test_activations_are_rounded_per_token(hidden: torch.Tensor) -> None:
    """Every token has its own scale: its maximum survives and its error is bounded by it; zeros stay zeros."""
    rounded = round_tokens(hidden)
    largest = hidden.abs().amax(dim=-1, keepdim=True)
    assert ((hidden - rounded).abs() <= largest * 2**-4).all()
    assert torch.allclose(rounded.abs().amax(dim=-1, keepdim=True), largest, rtol=1e-6)
