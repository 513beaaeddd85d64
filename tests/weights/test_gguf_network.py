"""What llama.cpp builds from the file is what the config means, and what it cannot build is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.errors import InputError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.gguf_network import Planned, blocks, check_heads, check_network, find_widths, plan_tensors, rope, rope_factors
from hala.weights.loading import save_model

from .conftest import make_tokenizer
from .gguf_models import make_gemma


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 2 checkpoint."""
    folder = tmp_path_factory.mktemp("gemma") / "gemma2"
    save_model(make_gemma(384), make_tokenizer(), folder, "float32")
    return folder


def changed(folder: Path, tmp_path: Path, **config: Any) -> Path:
    """A copy of a checkpoint with other settings."""
    copy = Path(shutil.copytree(folder, tmp_path / "changed", dirs_exist_ok=True))
    (copy / "config.json").write_text(json.dumps(json.loads((copy / "config.json").read_text()) | config))
    return copy


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"query_pre_attn_scalar": 24}, "query_pre_attn_scalar"),
        ({"final_logit_softcapping": None}, "softcapping"),
        ({"hidden_activation": "silu"}, "activation"),
        ({"layer_types": ["full_attention"] * 2}, "layer_types"),
        ({"use_bidirectional_attention": True}, "bidirectional"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
    ],
)
def test_what_llama_cpp_has_built_in_is_not_changed_in_silence(
    config: dict[str, Any], named: str, gemma: Path, tmp_path: Path
) -> None:
    """A Gemma 2 that computes anything in its own way would become another model: it is refused with the key."""
    check_network(open_checkpoint(gemma))
    with pytest.raises(InputError, match=named):
        check_network(open_checkpoint(changed(gemma, tmp_path, **config)))


def test_other_models_are_refused_with_what_to_do(folders: dict[str, Path], tmp_path: Path) -> None:
    """Unknown architectures, 8-bit checkpoints, missing heads and odd heads are named."""
    with pytest.raises(InputError, match=r"a cohere2 model.*lfm2, llama, gemma2"):
        check_network(open_checkpoint(folders["cohere2"]))
    with pytest.raises(InputError, match=r"is quantised.*--format hf"):
        check_network(open_checkpoint(changed(folders["lfm2"], tmp_path, quantization_config={"quant_method": "gptq"})))
    with pytest.raises(InputError, match="its own head_dim"):
        check_network(open_checkpoint(changed(folders["lfm2"], tmp_path, quantization_config=None, head_dim=8)))
    llama = changed(folders["llama"], tmp_path / "llama")
    tensors = load_file(llama / "model.safetensors")
    head = tensors.pop("lm_head.weight")
    save_file(tensors, llama / "model.safetensors")
    with pytest.raises(InputError, match=r"no lm_head\.weight"):
        check_network(open_checkpoint(llama))
    save_file(tensors | {"lm_head.weight": head, "model.extra.weight": torch.ones(5)}, llama / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.extra\.weight .* has no place"):
        plan_tensors(open_checkpoint(llama), "f16")


def test_a_layer_without_its_gate_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    """An incomplete checkpoint is refused before its file is begun."""
    copy = changed(folders["lfm2"], tmp_path)
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.2.feed_forward.w1.weight"]
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(InputError, match="3 feed-forward gates for 4 layers"):
        find_widths(open_checkpoint(copy))


@pytest.mark.parametrize("config", [{"num_attention_heads": 8}, {"num_key_value_heads": 1}, {"head_dim": 8}, {"head_dim": 15}])
def test_heads_that_the_tensors_do_not_have_are_refused(config: dict[str, int], folders: dict[str, Path], tmp_path: Path) -> None:
    """Rows of queries and keys are reordered head by head: a config with other heads would garble them."""
    check_heads(open_checkpoint(folders["llama"]))
    with pytest.raises(InputError, match=r"_proj\.weight .* heads of"):
        check_heads(open_checkpoint(changed(folders["llama"], tmp_path, **config)))


def test_norms_of_gemma_are_shifted_and_nothing_else(gemma: Path) -> None:
    """Gemma's norms are stored around 0 and meant around 1; llama.cpp multiplies by what the file says."""
    source = open_checkpoint(gemma)
    for planned in plan_tensors(source, "f32"):
        values = np.concatenate([rows for _, rows in blocks(source, planned)]).reshape(planned.shape)
        expected = source.read(planned.source) + ("norm" in planned.source)
        assert np.array_equal(values, expected.astype(np.float32)), planned.name


@pytest.mark.parametrize("size", [100, 2000, 32_000_000])
def test_rotary_rows_are_interleaved_whatever_the_block(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices and biases of queries: row i of a head's first half comes before row i of its second half."""
    monkeypatch.setattr("hala.weights.gguf_network.ROWS_BYTES", size)
    weight, bias = torch.randn(4 * 16, 24), torch.randn(4 * 16)
    (tmp_path / "config.json").write_text("{}")
    save_file({"weight": weight, "bias": bias}, tmp_path / "model.safetensors")
    source = open_checkpoint(tmp_path)
    for name, values in (("weight", weight), ("bias", bias)):
        planned = Planned("x", name, tuple(values.shape), "F32", heads=4)
        found = np.concatenate([rows for _, rows in blocks(source, planned)]).reshape(values.shape)
        expected = torch.stack(values.reshape(4, 2, 8, -1).unbind(1), 2).reshape(values.shape)
        assert np.array_equal(found, expected.numpy())


def test_llama3_rotary_factors() -> None:
    """The frequency factors of Llama 3.1 are those that transformers applies."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    config = LlamaConfig(hidden_size=256, num_attention_heads=4, max_position_embeddings=131072, rope_parameters=scaling)
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1 / 5e5 ** (torch.arange(0, 64, 2) / 64)
    assert torch.allclose(plain / torch.tensor(rope_factors(config.to_dict())), frequencies, rtol=1e-5)


def test_rotary_settings_in_both_spellings_and_no_others() -> None:
    """`rope_theta` alone, inside `rope_parameters`, or missing; a scaling that is not written is refused."""
    assert rope({"model_type": "lfm2"})["rope_theta"] == 1e6
    assert rope({"model_type": "gemma2"})["rope_theta"] == 1e4
    assert rope({"model_type": "llama", "rope_theta": 5e5})["rope_theta"] == 5e5
    assert rope({"model_type": "llama", "rope_parameters": {"rope_theta": 7e5}, "rope_theta": 5e5})["rope_theta"] == 7e5
    for kind, scaling in (("llama", "yarn"), ("lfm2", "llama3")):
        with pytest.raises(InputError, match=scaling):
            rope({"model_type": kind, "rope_scaling": {"rope_type": scaling, "factor": 2.0}})
