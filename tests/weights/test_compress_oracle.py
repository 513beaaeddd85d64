"""Compression against llm-compressor, run as its users run it, and against transformers, which must read what we write.

Mode `exact` repeats `model_free_ptq` with its presets FP8_DYNAMIC, FP8_BLOCK and W8A8 on tiny checkpoints of four architectures
with tied and untied heads, one file and many, and sides that are no multiple of 128.
"""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Cohere2Config,
    Gemma2Config,
    Lfm2Config,
    LlamaConfig,
)

from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.schemes import MODES, SCHEMES, Mode, decode

KINDS = {"lfm2": Lfm2Config, "llama": LlamaConfig, "gemma2": Gemma2Config, "cohere2": Cohere2Config}
PRESETS = {"fp8-dynamic": "FP8_DYNAMIC", "fp8-block": "FP8_BLOCK", "int8-dynamic": "W8A8"}
# What our own defaults leave alone without being asked; norms are left by model_free_ptq too.
LEFT = ["lm_head", "re:.*embed_tokens$", r"re:.*\.conv\.conv$"]
SHAPE = {"vocab_size": 301, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE |= {"num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
EXTRA: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "gemma2": {"head_dim": 32, "sliding_window": 32},
    "cohere2": {"sliding_window": 32},
}
Shards = dict[str, torch.Tensor]


def model_free_ptq(source: Path, out: Path, preset: str) -> Shards:
    """The tensors that llm-compressor writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = pytest.importorskip("llmcompressor", reason="llm-compressor is not installed: pip install llmcompressor")
        run.model_free_ptq(str(source), str(out), scheme=preset, ignore=LEFT, max_workers=1, device="cpu")
    return tensors_of(out)


def tensors_of(folder: Path) -> Shards:
    """All tensors of a folder as the official library reads them."""
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def save_model(kind: str, folder: Path, *, tied: bool, shards: bool, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A random model whose weights have rows of many sizes, zero rows and outliers."""
    config = KINDS[kind](**SHAPE, **EXTRA.get(kind, {}), tie_word_embeddings=tied)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                sizes = 0.05 * torch.exp(torch.randn(len(parameter), 1, generator=generator))
                parameter.copy_(sizes * torch.randn(parameter.shape, generator=generator) ** 3)
                parameter[3] = 0
    model.to(dtype).save_pretrained(folder, max_shard_size="200KB" if shards else "5GB")
    assert (len(list(folder.glob("*.safetensors"))) > 1) == shards
    return folder


def save_tensors(folder: Path, weight: torch.Tensor) -> Path:
    """A checkpoint of one matrix."""
    folder.mkdir()
    save_file({"layers.0.w.weight": weight}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def hold_against(ours: Shards, theirs: Shards) -> int:
    """How many scales there are, after comparing every tensor byte by byte."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        found = ours[name]
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        assert torch.equal(found.reshape(-1).view(torch.uint8), expected.reshape(-1).view(torch.uint8)), name
    return sum(name.endswith("_scale") for name in ours)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("tied", "shards"), list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("kind", KINDS)
def test_mode_exact_is_llm_compressor(kind: str, tied: bool, shards: bool, scheme: str, tmp_path: Path) -> None:
    """Every code, every scale and every kept tensor has the bytes of model_free_ptq, under the same names."""
    source = save_model(kind, tmp_path / "source", tied=tied, shards=shards)
    compress(source, tmp_path / "ours", scheme, "exact", shard_bytes=150_000 if shards else 10**9)
    theirs = model_free_ptq(source, tmp_path / "theirs", PRESETS[scheme])
    assert hold_against(tensors_of(tmp_path / "ours"), theirs) == (12 if kind == "lfm2" else 14)
    assert ("lm_head.weight" in theirs) != tied
    assert "lm_head.weight_scale" not in theirs


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_other_dtypes_are_llm_compressors_too(dtype: torch.dtype, scheme: str, tmp_path: Path) -> None:
    """float16 and float32 checkpoints are repeated as well, where scales are in those dtypes."""
    source = save_model("llama", tmp_path / "source", tied=False, shards=False, dtype=dtype)
    compress(source, tmp_path / "ours", scheme, "exact")
    assert hold_against(tensors_of(tmp_path / "ours"), model_free_ptq(source, tmp_path / "theirs", PRESETS[scheme])) == 14


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_smallest_float16_weights_are_llm_compressors_too(scheme: str, tmp_path: Path) -> None:
    """Rows whose scale is subnormal or zero in float16, where quotients overflow and are clamped."""
    rows = torch.logspace(-8, -3, 300)[:, None]
    weight = (rows * torch.randn(300, 128, generator=torch.Generator().manual_seed(0))).half()
    source = save_tensors(tmp_path / "source", weight)
    compress(source, tmp_path / "ours", scheme, "exact")
    theirs = model_free_ptq(source, tmp_path / "theirs", PRESETS[scheme])
    assert hold_against(tensors_of(tmp_path / "ours"), theirs) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", [(300, 140), (140, 300), (127, 129), (1, 1), (128, 384)])
def test_blocks_that_are_cut_off_are_llm_compressors_too(
    shape: tuple[int, int], scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sides that 128 does not divide: their arithmetic pads with zeros; only their writer refuses what comes out."""

    def save_whole(tensors: Shards, *rest: Any) -> None:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, *rest)

    pytest.importorskip("llmcompressor", reason="llm-compressor is not installed: pip install llmcompressor")
    monkeypatch.setattr("llmcompressor.entrypoints.model_free.save_file", save_whole)
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) ** 3
    source = save_tensors(tmp_path / "source", weight.bfloat16())
    compress(source, tmp_path / "ours", scheme, "exact")
    theirs = model_free_ptq(source, tmp_path / "theirs", PRESETS[scheme])
    assert hold_against(tensors_of(tmp_path / "ours"), theirs) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_readers_find_the_same_settings(scheme: str, tmp_path: Path) -> None:
    """The quantization_config is theirs, but for the names of groups and observer and the way that modules are listed."""
    source = save_model("llama", tmp_path / "source", tied=False, shards=False)
    compress(source, tmp_path / "ours", scheme, "exact")
    model_free_ptq(source, tmp_path / "theirs", PRESETS[scheme])
    read = []
    for folder in ("ours", "theirs"):
        config = json.loads((tmp_path / folder / "config.json").read_text())
        settings = config.pop("quantization_config")
        (group,) = settings.pop("config_groups").values()
        group["weights"].pop("observer")
        settings.pop("ignore"), settings.pop("sparsity_config", None)
        read.append((config, settings, group))
    assert read[0] == read[1]


def load(folder: Path, *, unpack: bool) -> Any:
    """The model as transformers and compressed-tensors load it, without our code."""
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed: pip install compressed-tensors")
    from transformers.utils.quantization_config import CompressedTensorsConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = CompressedTensorsConfig(dequantize=unpack)
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=config)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """Checkpoints by architecture, and compressed ones by architecture, scheme and mode."""
    root, made = tmp_path_factory.mktemp("packed"), {}
    for kind in KINDS:
        made[(kind,)] = save_model(kind, root / kind, tied=kind != "llama", shards=False)
        for scheme, mode in itertools.product(SCHEMES, MODES):
            made[kind, scheme, mode] = root / f"{kind}-{scheme}-{mode}"
            compress(made[(kind,)], made[kind, scheme, mode], scheme, mode)
    return made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_unpacks_our_weights(
    kind: str, scheme: str, mode: Mode, packed: dict[tuple[str, ...], Path], ids: torch.Tensor
) -> None:
    """The reference software loads every scheme, finds the weights that codes and scales stand for, and answers alike."""
    model, stored = load(packed[kind, scheme, mode], unpack=True), open_checkpoint(packed[kind, scheme, mode])
    parameters, seen = dict(model.named_parameters()), 0
    for name in stored.tensors:
        if f"{name}_scale" in stored.tensors:
            expected = decode(stored.read(name), stored.read(f"{name}_scale"), SCHEMES[scheme])
            rounded = 2**-8 if mode == "exact" else 0  # BF16 scales are multiplied in BF16 there
            torch.testing.assert_close(parameters[name].detach(), torch.from_numpy(expected), rtol=rounded, atol=0)
            seen += 1
    assert seen == (12 if kind == "lfm2" else 14)
    plain = AutoModelForCausalLM.from_pretrained(packed[(kind,)], dtype=torch.float32)
    with torch.no_grad():
        before, after = plain(ids).logits, model(ids).logits
    assert (after - before).norm() < 0.25 * before.norm()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_transformers_generates_from_the_codes(
    kind: str, scheme: str, packed: dict[tuple[str, ...], Path], ids: torch.Tensor
) -> None:
    """Loaded as it is stored, inputs rounded by compressed-tensors, the model writes as many tokens as were asked for."""
    model = load(packed[kind, scheme, "float32-scale"], unpack=False)
    written = model.generate(ids, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert written.shape == (2, ids.shape[1] + 5)
