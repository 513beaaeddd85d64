"""What an 8-bit checkpoint says about itself: ours and the peers' are understood, anything else is refused with the reason."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.errors import InputError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.quantised import quantised_names, stored_scheme
from hala.weights.schemes import SCHEMES

NAME = "model.layers.0.self_attn.q_proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def small(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The llama checkpoint in every scheme."""
    root = tmp_path_factory.mktemp("small")
    for scheme in SCHEMES:
        compress(folders["llama"], root / scheme, scheme)
    return {scheme: root / scheme for scheme in SCHEMES}


def change(folder: Path, settings: Callable[[Any], object] | None, tensors: Callable[[Tensors], object] | None = None) -> None:
    """Edits the quantization_config and the tensors of a checkpoint."""
    config = json.loads((folder / "config.json").read_text())
    if settings:
        settings(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))
    if tensors:
        held = load_file(folder / "model.safetensors")
        tensors(held)
        save_file({name: tensor.contiguous() for name, tensor in held.items()}, folder / "model.safetensors")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_compress_writes_is_understood(scheme: str, small: dict[str, Path]) -> None:
    """Each scheme is found again, with every matrix that compress chose."""
    checkpoint = open_checkpoint(small[scheme])
    assert stored_scheme(checkpoint) is SCHEMES[scheme]
    names = quantised_names(checkpoint)
    assert NAME in names
    assert {checkpoint.tensors[name].dtype for name in names} == {SCHEMES[scheme].dtype}


@pytest.mark.parametrize(
    ("scheme", "preset"), [("fp8-dynamic", "FP8_DYNAMIC"), ("fp8-block", "FP8_BLOCK"), ("int8-dynamic", "INT8")]
)
def test_the_peers_configs_are_understood(scheme: str, preset: str, small: dict[str, Path], tmp_path: Path) -> None:
    """The presets of compressed-tensors, which llm-compressor writes, mean the schemes of the same names."""
    from compressed_tensors.quantization import QuantizationConfig, preset_name_to_scheme

    group = preset_name_to_scheme(preset, ["Linear"])
    theirs = json.loads(QuantizationConfig(config_groups={preset: group}).model_dump_json())
    folder = Path(shutil.copytree(small[scheme], tmp_path / "theirs"))
    change(folder, lambda settings: (settings.clear(), settings.update(theirs)))
    assert stored_scheme(open_checkpoint(folder)) is SCHEMES[scheme]


def first(settings: Any) -> Any:
    """The only config group."""
    return settings["config_groups"]["group_0"]


SETTINGS: dict[str, Callable[[Any], object]] = {
    "another method": lambda s: s.update(quant_method="gptq"),
    "no group": lambda s: s.update(config_groups={}),
    "a group that is none": lambda s: s.update(config_groups={"group_0": 3}),
    "four bits": lambda s: first(s)["weights"].update(num_bits=4),
    "static activations": lambda s: first(s)["input_activations"].update(dynamic=False),
    "no activations": lambda s: first(s).update(input_activations=None),
    "coded outputs": lambda s: first(s).update(output_activations=first(s)["weights"]),
    "one scale for all tokens": lambda s: first(s)["input_activations"].update(strategy="tensor"),
    "groups of weights": lambda s: first(s)["weights"].update(strategy="group"),
    "zero points": lambda s: first(s)["input_activations"].update(symmetric=False),
    "mixed types": lambda s: first(s)["input_activations"].update(type="int"),
    "two schemes": lambda s: s["config_groups"].update(other=copy.deepcopy(first(s)) | {"weights": None}),
    "a quantised cache": lambda s: s.update(kv_cache_scheme={"num_bits": 8}),
    "sparse weights": lambda s: s.update(sparsity_config={"format": "sparse-bitmask"}),
    "rotations": lambda s: s.update(transform_config={"config_groups": {"u": 1}}),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_other_quantisation_is_refused(case: str, small: dict[str, Path], tmp_path: Path) -> None:
    """A config that means another function than the three schemes is an error, never a model that is slightly another."""
    folder = Path(shutil.copytree(small["fp8-dynamic"], tmp_path / "other"))
    change(folder, SETTINGS[case])
    with pytest.raises(InputError, match="not read here") as caught:
        stored_scheme(open_checkpoint(folder))
    assert "vLLM" in caught.value.fix


def test_blocks_of_another_size_are_refused(small: dict[str, Path], tmp_path: Path) -> None:
    """Blocks are 128 by 128, in weights and activations."""
    for edit in (
        lambda s: first(s)["weights"].update(block_structure=[64, 64]),
        lambda s: first(s)["input_activations"].update(group_size=64),
    ):
        folder = Path(shutil.copytree(small["fp8-block"], tmp_path / "blocks", dirs_exist_ok=True))
        change(folder, edit)
        with pytest.raises(InputError, match="not read here"):
            stored_scheme(open_checkpoint(folder))


TENSORS: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "a zero point": (lambda t: t.update({NAME + "_zero_point": torch.zeros(64, 1)}), "another kind of quantisation"),
    "a static scale": (lambda t: t.update({NAME.replace("weight", "input_scale"): torch.ones(1)}), "another kind"),
    "no scale": (lambda t: t.pop(NAME + "_scale"), "F8_E4M3 and has no scale"),
    "scales of another shape": (lambda t: t.update({NAME + "_scale": torch.ones(32, 1)}), r"scales F32 \[32, 1\], not \[64, 1\]"),
    "scales of another type": (lambda t: t.update({NAME + "_scale": torch.ones(64, 1, dtype=torch.int32)}), "scales I32"),
    "codes of another type": (lambda t: t.update({NAME: torch.ones(64, 64, dtype=torch.int8)}), r"is I8 \[64, 64\]"),
    "codes that are no matrix": (lambda t: t.update({NAME: t[NAME].reshape(-1)}), r"is F8_E4M3 \[4096\]"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_do_not_fit_the_config_are_refused(case: str, small: dict[str, Path], tmp_path: Path) -> None:
    """The tensors must be what the config says; the error names the tensor."""
    edit, message = TENSORS[case]
    folder = Path(shutil.copytree(small["fp8-dynamic"], tmp_path / "other"))
    change(folder, None, edit)
    with pytest.raises(InputError, match=message) as caught:
        stored_scheme(open_checkpoint(folder))
    assert "self_attn.q_proj" in caught.value.message


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (64,)])
def test_one_scale_for_a_matrix_is_read_too(shape: tuple[int, ...], small: dict[str, Path], tmp_path: Path) -> None:
    """FP8 with a scale for the whole matrix, or scales without the second axis, is the same function."""
    folder = Path(shutil.copytree(small["fp8-dynamic"], tmp_path / "whole"))
    change(
        folder, lambda s: first(s)["weights"].update(strategy="tensor"), lambda t: t.update({NAME + "_scale": torch.ones(shape)})
    )
    assert stored_scheme(open_checkpoint(folder)).name == "fp8-dynamic"
