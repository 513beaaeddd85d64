"""Groups of tensors have names that exist in each architecture, and a name that matches nothing is an error."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hala.errors import RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.groups import group_of, values_for

EXPECTED = {
    "lfm2": {"embeddings", "attention", "conv", "feed_forward", "norms"},
    "llama": {"embeddings", "attention", "feed_forward", "norms", "head"},
    "gemma2": {"embeddings", "attention", "feed_forward", "norms"},
    "cohere2": {"embeddings", "attention", "feed_forward", "norms"},
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_tensor_of_every_architecture_has_a_group(kind: str, folders: dict[str, Path]) -> None:
    """No layer is silently missed, as common filters miss those of LFM2."""
    assert {group_of(name) for name in open_checkpoint(folders[kind]).tensors} == EXPECTED[kind]


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("embeddings", ["model.embed_tokens.weight", "transformer.wte.weight"]),
        ("norms", ["model.norm.weight", "model.embedding_norm.weight"]),
        ("norms", [f"model.layers.0.{each}_layernorm.weight" for each in ("input", "post_attention")]),
        ("norms", [f"model.layers.0.{each}_feedforward_layernorm.weight" for each in ("pre", "post")]),  # Gemma 2
        ("norms", [f"model.layers.0.self_attn.{each}_norm.weight" for each in "qk"]),  # Cohere, Qwen 3
        ("norms", [f"model.layers.0.self_attn.{each}_layernorm.weight" for each in "qk"]),  # LFM2
        ("attention", [f"model.layers.0.self_attn.{each}_proj.{kind}" for each in "qkvo" for kind in ("weight", "bias")]),
        ("conv", [f"model.layers.0.conv.{each}.weight" for each in ("in_proj", "conv", "out_proj")]),
        ("feed_forward", [f"model.layers.0.mlp.{each}_proj.weight" for each in ("gate", "up", "down")]),
        ("feed_forward", [f"model.layers.0.feed_forward.experts.3.w{each}.weight" for each in (1, 2, 3)]),  # LFM2 MoE
        ("head", ["lm_head.weight"]),
        (None, ["model.vision_tower.patch.weight"]),
    ],
)
def test_names_of_known_architectures(group: str | None, names: list[str]) -> None:
    """A norm inside attention is a norm, and every projection is in the group that its architecture's papers put it in."""
    assert {group_of(name) for name in names} == {group}


def test_values_by_group_pattern_and_default() -> None:
    """Patterns go before groups, groups before the default."""
    names = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.feed_forward.w1.weight"]
    schedule = {"attention": 0.3, "default": 0.5, r"re:.*\.w1\.": 0.9}
    assert values_for(names, schedule) == dict(zip(names, (0.5, 0.3, 0.9), strict=True))


def test_a_gradient_runs_over_the_layers() -> None:
    """Knots are spread evenly from the first to the last layer; embeddings take the first, a head and the final norm the last."""
    names = ["model.embed_tokens.weight", *(f"model.layers.{i}.mlp.up_proj.weight" for i in range(5)), "model.norm.weight"]
    assert list(values_for(names, {"gradient": (0.0, 0.5, 1.0)}).values()) == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert values_for(names[1:2], (0.2, 0.8)) == {names[1]: 0.8}  # a single layer is the last
    assert values_for(names[1:3], {"feed_forward": (0.4,)}) == {names[1]: 0.4, names[2]: 0.4}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"conv": 0.3, "default": 0.5}, "'conv' matches no tensor"),
        ({"atention": 0.3, "default": 0.5}, "Did you mean 'attention'"),
        ({"re:.*mlpp": 0.3, "default": 0.5}, "matches no tensor"),
        ({"atention": 0.3}, "unknown group 'atention' .Did you mean 'attention'"),
        ({"attention": 0.3}, "nothing is said for tensor"),
        ({"gradient": (0, 1), "default": 0.5}, "stands alone"),
        ({"re:[": 0.3, "default": 0.5}, r"'re:\[' is no regular expression: unterminated"),
        ({"re:a{9999999999999}": 0.3, "default": 0.5}, "is no regular expression"),
        ({"gradient": []}, "the list of 'gradient' is empty"),
        ({"attention": (), "default": 0.5}, "the list of 'attention' is empty"),
        ({"attention": math.nan, "default": 0.5}, "'attention' is nan, which is no finite number"),
        ({"attention": [0.5, math.inf], "default": 0.5}, "'attention' is inf, which is no finite number"),
        ({"attention": "0.5", "default": 0.5}, "'attention' is '0.5', which is no finite number"),
        (math.nan, "'t' is nan, which is no finite number"),
        ({"re:.*": 0.1, "attention": 0.2}, r"^'attention' has no tensor left: 're:\.\*' takes all that it matches"),
        ({"re:.*q_": 0.1, "attention": 0.2, "default": 0}, r"^'attention' has no tensor left: 're:\.\*q_' takes all"),
        ({"re:.*q_": 0.1, "re:.*m": 0, "re:.*proj": 0.2}, r"'re:\.\*proj' has no tensor left: 're:\.\*q_', 're:\.\*m' take all"),
    ],
)
def test_what_matches_nothing_is_an_error(schedule: dict[str, object], message: str) -> None:
    """A filter that no tensor falls under would change nothing, silently."""
    names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"]
    with pytest.raises(RecipeError, match=message):
        values_for(names, schedule)  # type: ignore[arg-type]
