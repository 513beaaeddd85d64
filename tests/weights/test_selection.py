"""Which tensors are quantised: every reason to leave one alone, what engines fuse stays together, typing errors are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from compressed_tensors.quantization import QuantizationConfig, preset_name_to_scheme
from compressed_tensors.utils import is_match
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.headers import TensorInfo
from hala.weights.loading import load_model
from hala.weights.schemes import SCHEMES
from hala.weights.selection import IGNORE, layer_of, matches, module_of, quantization_config, reasons

KINDS = ("lfm2", "llama", "gemma2", "cohere2")
PRESETS = {"fp8-dynamic": "FP8_DYNAMIC", "fp8-block": "FP8_BLOCK", "int8-dynamic": "W8A8"}


def tensors(*names: str, dtype: str = "BF16", shape: tuple[int, ...] = (8, 8)) -> dict[str, TensorInfo]:
    """Headers of tensors that are nowhere."""
    return {name: TensorInfo(name, dtype, shape, Path("nowhere"), 0) for name in names}


def why(name: str, dtype: str = "BF16", shape: tuple[int, ...] = (8, 8)) -> str:
    """The reason for one tensor alone."""
    return reasons(tensors(name, dtype=dtype, shape=shape))[name]


REASONS = {
    "embedding": [
        "model.embed_tokens.weight",
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "embed_positions.weight",
        "model.embedding.weight",
        "patch_embed.weight",
        "model.word_embeddings.weight",
    ],
    "norm": [
        "model.norm.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_norm.weight",
        "model.embedding_norm.weight",
        "transformer.h.0.ln_1.weight",
        "transformer.ln_f.weight",
        "model.layers.0.ffn_norm.weight",
        "model.norm.bias",
    ],
    "no matrix": ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.mlp.experts.gate_up_proj", "model.rotary.inv_freq"],
    "in ignore": ["lm_head.weight", "model.layers.0.mlp.gate.weight", "model.layers.0.block_sparse_moe.router.weight"],
    "": [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.experts.7.down_proj.weight",
        "model.layers.0.conv.in_proj.weight",
        "model.layers.0.conv.out_proj.weight",
        "model.layers.0.feed_forward.w2.weight",
        "transformer.h.0.attn.c_attn.weight",
    ],
}


@pytest.mark.parametrize(("reason", "name"), [(reason, name) for reason, names in REASONS.items() for name in names])
def test_a_name_alone_decides(reason: str, name: str) -> None:
    """Embeddings, norms, biases, heads and routers of every family stay, and the matrices of layers do not."""
    assert why(name) == reason


@pytest.mark.parametrize(
    ("dtype", "shape", "reason"),
    [
        ("BF16", (8, 1, 3), "no matrix"),
        ("BF16", (8,), "no matrix"),
        ("BF16", (), "no matrix"),
        ("BF16", (0, 8), "no matrix"),
        ("I8", (8, 8), "I8 already"),
        ("F8_E4M3", (8, 8), "F8_E4M3 already"),
        ("I64", (8, 8), "I64 already"),
        ("F16", (8, 8), ""),
        ("F32", (8, 8), ""),
        ("F64", (8, 8), ""),
    ],
)
def test_shape_and_dtype_decide(dtype: str, shape: tuple[int, ...], reason: str) -> None:
    """Only two-dimensional float matrices that hold something are quantised: LFM2's convolution is three-dimensional."""
    assert why("model.layers.0.conv.conv.weight", dtype, shape) == reason


@pytest.mark.parametrize(
    ("kept", "together"),
    [
        ("self_attn.k_proj", ["self_attn.q_proj", "self_attn.v_proj"]),
        ("mlp.up_proj", ["mlp.gate_proj"]),
        ("feed_forward.w3", ["feed_forward.w1"]),
        ("mlp.experts.3.up_proj", ["mlp.experts.0.down_proj", "mlp.experts.3.gate_proj"]),
        ("mlp.down_proj", []),
        ("self_attn.o_proj", []),
    ],
)
@pytest.mark.parametrize("by", ["ignore", "keep"])
def test_fused_layers_stay_together(kept: str, together: list[str], by: str) -> None:
    """What an engine multiplies by one matrix has one precision, or vLLM refuses to load: keeping a part keeps the layer."""
    parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj"]
    parts += ["mlp.down_proj", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"]
    parts += [f"mlp.experts.{i}.{part}" for i in (0, 3) for part in ("gate_proj", "up_proj", "down_proj")]
    names = [f"model.layers.{layer}.{part}.weight" for layer in (0, 1) for part in parts]
    found = reasons(tensors(*names), **{by: [f"model.layers.1.{kept}"]})
    held = {module_of(name).removeprefix("model.layers.1.") for name, reason in found.items() if reason}
    experts = {part for part in parts if ".experts." in part} if ".experts." in kept else set()
    assert held == {kept, *together} | experts
    assert not any(reason for name, reason in found.items() if ".layers.0." in name)
    assert found[f"model.layers.1.{kept}.weight"] == f"in {by}"
    for part in together:
        assert found[f"model.layers.1.{part}.weight"] == f"fused with {kept.rpartition('.')[2]}"


def test_keep_adds_and_ignore_replaces() -> None:
    """`ignore` stands for the default, so an untied head can be quantised; `keep` leaves the default as it is."""
    found = tensors("lm_head.weight", "model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.gate.weight")
    assert list(reasons(found, ignore=[]).values()) == ["", "", ""]
    assert list(reasons(found, keep=[r"re:.*down_proj"]).values()) == ["in ignore", "in keep", "in ignore"]
    assert list(reasons(found, ignore=["lm_head"], keep=["lm_head"]).values()) == ["in ignore", "", ""]


@pytest.mark.parametrize("by", ["ignore", "keep"])
@pytest.mark.parametrize("pattern", ["model.layers.0.mlp.down_prj", r"re:.*\.down_prj", "down_proj", r"re:down_proj"])
def test_a_pattern_that_matches_nothing_is_an_error(by: str, pattern: str) -> None:
    """A typing error would silently quantise what was to be kept; names near it are suggested."""
    found = tensors("model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.up_proj.weight")
    with pytest.raises(RecipeError, match="no module matches") as caught:
        reasons(found, **{by: [pattern]})
    assert pattern in caught.value.message
    if pattern.startswith("model"):
        assert "Did you mean 'model.layers.0.mlp.down_proj'" in caught.value.message


@pytest.mark.parametrize("by", ["ignore", "keep"])
def test_a_broken_pattern_is_an_error(by: str) -> None:
    """A regular expression that cannot be read is reported as such."""
    with pytest.raises(RecipeError, match=r"re:\*\.w1.*no regular expression"):
        reasons(tensors("model.layers.0.mlp.down_proj.weight"), **{by: ["re:*.w1"]})


def test_the_default_may_match_nothing() -> None:
    """A tied model without routers has nothing of the default list, which is no error, even when it is spelt out."""
    found = tensors("model.layers.0.mlp.down_proj.weight")
    assert reasons(found, IGNORE) == reasons(found) == {"model.layers.0.mlp.down_proj.weight": ""}


MODULE = st.lists(st.sampled_from(["model", "layers", "0", "q_proj", "lm_head", "conv", "w1"]), min_size=1, max_size=4).map(
    ".".join
)
PATTERN = st.one_of(MODULE, st.sampled_from([r"re:.*\.conv$", "re:model", r"re:.*q_proj", "re:lm_head", r"re:.*layers\.0\."]))


@given(module=MODULE, pattern=PATTERN)
def test_patterns_mean_what_they_mean_in_compressed_tensors(module: str, pattern: str) -> None:
    """What is kept here is what vLLM and transformers will leave alone: one rule for names and patterns."""
    import torch

    assert matches(module, pattern) == is_match(module, torch.nn.Linear(1, 1), pattern)


@given(st.lists(st.sampled_from(["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "w1", "w2", "w3"]), min_size=1))
def test_a_layer_is_named_once_for_all_its_parts(parts: list[str]) -> None:
    """Fused names never merge different blocks, and a layer's name is its own layer."""
    for part in parts:
        one, two = layer_of(f"model.layers.1.{part}"), layer_of(f"model.layers.11.{part}")
        assert one != two
        assert layer_of(one) == one


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_config_covers_every_linear_layer(kind: str, scheme: str, folders: dict[str, Path]) -> None:
    """compressed-tensors applies the scheme to exactly the chosen layers of the real model, and reads the preset's settings."""
    source = open_checkpoint(folders[kind])
    keep = ["re:.*layers.1.*(w3|up_proj)"]
    chosen = {name for name, reason in reasons(source.tensors, keep=keep).items() if not reason}
    raw = quantization_config(source.tensors, chosen, SCHEMES[scheme])
    config = QuantizationConfig.model_validate(raw)
    (group,) = config.config_groups.values()
    preset = preset_name_to_scheme(PRESETS[scheme], ["Linear"])
    for ours, theirs in ((group.weights, preset.weights), (group.input_activations, preset.input_activations)):
        known = {"num_bits", "type", "symmetric", "strategy", "dynamic", "group_size", "block_structure"}
        assert ours.model_dump(include=known) == theirs.model_dump(include=known)
    model, _ = load_model(folders[kind], "float32", "cpu")
    covered = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if any(is_match(name, module, target) for target in group.targets)
        and not any(is_match(name, module, pattern) for pattern in config.ignore)
    }
    assert covered == chosen
