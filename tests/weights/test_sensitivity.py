"""Which layers suffer: the measures against direct computation, the budget, and a model that is as before afterwards."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hala.errors import InputError
from hala.weights.checkpoint import Array, open_checkpoint
from hala.weights.compress import compress
from hala.weights.linears import round_tokens
from hala.weights.loading import load_model
from hala.weights.schemes import MODES, SCHEMES, Mode, decode
from hala.weights.selection import layer_of
from hala.weights.sensitivity import Layer, choose_layers, chunked, divergence, divergences, gains_before, quantised, weigh

KINDS = ("lfm2", "llama", "gemma2", "cohere2")
FORMATS = [(scheme, mode) for scheme in SCHEMES for mode in MODES]
PROMPTS = [list(range(4, 40)), list(range(100, 120)), [7]]


@pytest.fixture(scope="module")
def tuned_norms(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny checkpoints with norms that are not all ones, as trained ones have."""
    root, made = tmp_path_factory.mktemp("norms"), {}
    for kind in KINDS:
        made[kind] = Path(shutil.copytree(folders[kind], root / kind))
        tensors, generator = load_file(made[kind] / "model.safetensors"), torch.Generator().manual_seed(1)
        for name, tensor in tensors.items():
            if tensor.dim() == 1:
                tensors[name] = (tensor + 0.5 * torch.randn(tensor.shape, generator=generator)).to(tensor.dtype)
        save_file(tensors, made[kind] / "model.safetensors", metadata={"format": "pt"})
    return made


def gains_of_the_model(folder: Path) -> dict[str, Array]:
    """Squared gains of the norm whose very output each linear layer reads, found by running the model, not by names."""
    model, _ = load_model(folder, "float32", "cpu")
    norms: list[tuple[torch.Tensor, Array]] = []
    found: dict[str, Array] = {}

    def after_norm(module: Any, _: Any, output: torch.Tensor) -> None:
        gain = module.weight.detach().double().numpy() + ("Gemma" in type(module).__name__)  # Gemma multiplies by 1 + weight
        norms.append((output.clone(), gain**2))

    def before_linear(name: str) -> Callable[[Any, Any], None]:
        def look(_: Any, inputs: Any) -> None:
            same = [gain for output, gain in norms if output.shape == inputs[0].shape and torch.equal(output, inputs[0])]
            found[name] = same[-1] if same else np.ones(inputs[0].shape[-1])

        return look

    for name, module in model.named_modules():
        if "norm" in type(module).__name__.lower():
            module.register_forward_hook(after_norm)
        elif isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(before_linear(name))
    with torch.no_grad():
        model(torch.tensor([PROMPTS[0]]))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_gains_are_those_of_the_norm_that_feeds_the_layer(kind: str, tuned_norms: dict[str, Path]) -> None:
    """In each architecture the weights are weighed by the norm that their inputs really come from."""
    source, expected = open_checkpoint(tuned_norms[kind]), gains_of_the_model(tuned_norms[kind])
    weighed = 0
    for layer in weigh(source, "fp8-dynamic"):
        for module in layer.modules:
            gains = gains_before(source, source.tensors[f"{module}.weight"])
            assert gains == pytest.approx(expected[module], rel=1e-6), module
            weighed += bool((gains != 1).any())
    assert weighed == {"lfm2": 16, "llama": 10, "gemma2": 10, "cohere2": 10}[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_harm_and_error_are_those_of_the_compressed_file(
    kind: str, scheme: str, mode: Mode, tuned_norms: dict[str, Path], tmp_path: Path
) -> None:
    """The numbers equal those computed in float64 from the checkpoint that compress writes, and name its layers."""
    report = compress(tuned_norms[kind], tmp_path / "out", scheme, mode)
    source, made = open_checkpoint(tuned_norms[kind]), open_checkpoint(tmp_path / "out")
    layers = weigh(source, scheme, mode)
    assert sorted(f"{module}.weight" for layer in layers for module in layer.modules) == [t.name for t in report.quantised]
    assert [layer.name for layer in layers] == sorted(layer.name for layer in layers)
    for layer in layers:
        assert {layer_of(module) for module in layer.modules} == {layer.name}
        outputs = error = norm = harm = 0.0
        for module in layer.modules:
            name = f"{module}.weight"
            weight = source.read(name).astype(np.float64)
            lost = decode(made.read(name), made.read(f"{name}_scale"), SCHEMES[scheme]).astype(np.float64) - weight
            outputs, error, norm = outputs + len(weight), error + float((lost**2).sum()), norm + float((weight**2).sum())
            harm += float((lost**2 @ gains_before(source, source.tensors[name])).sum())
        assert layer.harm == pytest.approx(harm / outputs, rel=1e-4)
        assert layer.rel_error == pytest.approx((error / norm) ** 0.5, rel=1e-4)


def test_cost_is_what_keeping_adds(folders: dict[str, Path], tmp_path: Path) -> None:
    """The bytes of a layer are the difference between a checkpoint with and without it in 8 bits, for every scheme."""
    for scheme in SCHEMES:
        all_small = compress(folders["lfm2"], tmp_path / scheme, scheme).bytes_after
        for layer in weigh(open_checkpoint(folders["lfm2"]), scheme)[::4]:
            kept = compress(folders["lfm2"], tmp_path / f"{scheme}-{layer.name}", scheme, keep=layer.modules)
            assert kept.bytes_after - all_small == layer.cost


def test_what_is_kept_by_name_is_not_weighed(folders: dict[str, Path]) -> None:
    """Ignored and kept layers are no candidates any more, with all that is fused with them."""
    source = open_checkpoint(folders["llama"])
    names = {layer.name for layer in weigh(source, "fp8-dynamic", keep=["re:.*0.mlp.up_proj"], ignore=["re:.*self_attn"])}
    assert names == {"lm_head", "model.layers.0.mlp.down_proj"} | {
        f"model.layers.1.mlp.{part}_proj" for part in ("down", "gate_up")
    }


def test_a_bad_value_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    """NaN in a matrix ends the weighing with the tensor's name."""
    source = Path(shutil.copytree(folders["llama"], tmp_path / "source"))
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"][3, 3] = float("nan")
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.layers\.1\.mlp\.down_proj\.weight .* has NaN"):
        weigh(open_checkpoint(source), "fp8-dynamic")


def layers_of(pairs: list[tuple[float, int]]) -> list[Layer]:
    """Layers of those harms and costs."""
    return [Layer(f"layer{i}", (f"layer{i}",), harm, 0.02, cost) for i, (harm, cost) in enumerate(pairs)]


LAYERS = st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 10**9)), max_size=30).map(layers_of)


@given(layers=LAYERS, budget=st.integers(0, 10**10))
def test_the_budget_is_kept_and_used(layers: list[Layer], budget: int) -> None:
    """All layers come back, the most harmed for each byte first; kept ones fit, and one that was passed over did not fit."""
    chosen = choose_layers(layers, budget)
    assert sorted(replace(layer, kept=False).name for layer in chosen) == sorted(layer.name for layer in layers)
    rates = [layer.harm / layer.cost for layer in chosen]
    assert rates == sorted(rates, reverse=True)
    left = budget
    for layer in chosen:
        assert layer.kept == (layer.harm > 0 and layer.cost <= left)
        left -= layer.cost if layer.kept else 0
    assert left >= 0
    assert choose_layers(list(reversed(layers)), budget) == chosen


def test_ends_of_the_budget() -> None:
    """Nothing is kept for nothing, everything that suffers for enough, and nothing that does not suffer at any price."""
    layers = layers_of([(1.0, 10), (0.0, 1), (3.0, 20), (0.5, 1)])
    assert not any(layer.kept for layer in choose_layers(layers, 0))
    assert {layer.name for layer in choose_layers(layers, 10**9) if layer.kept} == {"layer0", "layer2", "layer3"}
    assert {layer.name for layer in choose_layers(layers, 11) if layer.kept} == {"layer0", "layer3"}


@pytest.fixture(scope="module")
def planted(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama whose second down_proj has one huge column that reads what is always zero: harmless, but not in 8 bits."""
    folder = Path(shutil.copytree(folders["llama"], tmp_path_factory.mktemp("planted") / "llama"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][5] = 0
    tensors["model.layers.1.mlp.down_proj.weight"][:, 5] = 5e4
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def modules_of(folder: Path, scheme: str) -> dict[str, tuple[str, ...]]:
    """Layers and their modules."""
    return {layer.name: layer.modules for layer in weigh(open_checkpoint(folder), scheme)}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_divergence_finds_the_planted_layer(scheme: str, planted: Path) -> None:
    """The layer that 8 bits ruin diverges by far the most, every other one a little, and progress counts all passes."""
    steps: list[tuple[int, int]] = []
    layers = modules_of(planted, scheme)
    found = divergences(planted, layers, scheme, "exact", PROMPTS, lambda done, total: steps.append((done, total)))
    assert list(found) == list(layers)
    bad = found.pop("model.layers.1.mlp.down_proj")
    assert bad > 5 * max(found.values())
    assert min(found.values()) > 0
    assert steps == [(i + 1, len(layers)) for i in range(len(layers))]


def test_divergence_of_nothing_is_nothing(folders: dict[str, Path]) -> None:
    """A layer without modules is the model itself: its divergence is zero, so what is measured is quantisation alone."""
    assert divergences(folders["lfm2"], {"none": ()}, "fp8-dynamic", "exact", PROMPTS) == {"none": 0.0}


def test_divergence_is_the_textbook_sum(folders: dict[str, Path]) -> None:
    """Mean over tokens of sum p (log p - log q), with weights and inputs of the one layer rounded, computed here in float64."""
    layer, how = "model.layers.0.mlp.down_proj", SCHEMES["int8-dynamic"]
    found = divergences(folders["llama"], {layer: [layer]}, "int8-dynamic", "float32-scale", PROMPTS)[layer]
    source, (model, _) = open_checkpoint(folders["llama"]), load_model(folders["llama"], "float32", "cpu")
    weight = torch.from_numpy(source.read(f"{layer}.weight").astype(np.float32))
    scale = weight.abs().amax(1, keepdim=True) / 127.5
    values = (weight / scale).round().clamp(-128, 127) * scale

    def logits() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([model(torch.tensor([prompt])).logits[0] for prompt in PROMPTS]).double().log_softmax(-1)

    before = logits()
    linear = model.get_submodule(layer)
    linear.forward = lambda hidden: torch.nn.functional.linear(round_tokens(hidden, how), values)
    after = logits()
    expected = float((before.exp() * (before - after)).sum(-1).mean())
    assert found == pytest.approx(expected, rel=1e-3)


def test_prompts_in_groups_are_prompts_alone(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """How many prompts are held at once changes nothing but memory; empty prompts do not count."""
    layer = {"w2": ["model.layers.0.feed_forward.w2"]}
    together = divergences(folders["lfm2"], layer, "fp8-dynamic", "exact", [*PROMPTS, []])
    monkeypatch.setattr("hala.weights.sensitivity.CHUNK", 1)
    assert len(chunked([*PROMPTS, []])) == 3
    assert divergences(folders["lfm2"], layer, "fp8-dynamic", "exact", PROMPTS)["w2"] == pytest.approx(together["w2"], rel=1e-6)


@pytest.mark.parametrize("prompts", [[], [[]], [[], []]])
def test_no_prompts_are_an_error(prompts: list[list[int]], folders: dict[str, Path]) -> None:
    """Nothing to measure with is said, and is not a division by zero."""
    with pytest.raises(InputError, match="prompts hold no text"):
        divergences(folders["lfm2"], {}, "fp8-dynamic", "exact", prompts)


def test_the_model_is_as_before_even_after_an_error(folders: dict[str, Path]) -> None:
    """Weights and hooks are put back, so that one layer never disturbs the next."""
    model, _ = load_model(folders["llama"], "float32", "cpu")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    module = "model.layers.0.mlp.up_proj"
    source = open_checkpoint(folders["llama"])
    with pytest.raises(KeyboardInterrupt), quantised(model, source, [module], SCHEMES["fp8-dynamic"], "exact"):
        assert not torch.equal(model.get_submodule(module).weight, before[f"{module}.weight"])
        assert model.get_submodule(module)._forward_pre_hooks
        raise KeyboardInterrupt
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert not any(each._forward_pre_hooks for each in model.modules())


def test_a_layer_that_breaks_the_model_is_the_worst() -> None:
    """Output that is no number counts as the largest harm there is, not as none."""
    fine = torch.log_softmax(torch.zeros(2, 4), -1)
    assert divergence(fine, torch.full((2, 4), float("nan"))) == sys.float_info.max
    assert divergence(fine, torch.full((2, 4), float("-inf"))) == sys.float_info.max
