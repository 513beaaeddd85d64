"""Before a merge: what cannot be merged is refused with the tensor and both files, from headers and tokenizers alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.errors import InputError, RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.methods import Mix, Recipe
from hala.weights.preflight import preflight

Folders = dict[str, Path]


def check(*folders: Path, mix: Mix = Mix()) -> tuple[dict[str, Recipe], tuple[str, ...]]:  # noqa: B008  frozen
    """What preflight says of these checkpoints."""
    return preflight([open_checkpoint(folder) for folder in folders], mix)


def test_no_tensor_is_read(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether two checkpoints can be merged, and how, is known from their headers: in milliseconds, whatever their size."""
    ends = [open_checkpoint(folders[name]) for name in ("lfm2", "tuned")]
    for module in ("checkpoint", "merge"):
        monkeypatch.setattr(f"hala.weights.{module}.read_into", lambda *_: pytest.fail("a tensor was read"))
    recipes, warnings = preflight(ends, Mix(t={"gradient": (0.0, 1.0)}))
    assert recipes["model.layers.3.feed_forward.w1.weight"].t == 1.0
    assert warnings == ()


Tensors = dict[str, torch.Tensor]
NORM, EMBEDDING, INNER = (f"model.{name}.weight" for name in ("embedding_norm", "embed_tokens", "layers.0.conv.in_proj"))
FILES = r".*lfm2/model\.safetensors and .*tuned/model\.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(INNER), rf"{INNER} is in .*lfm2/model\.safetensors and missing in .*tuned\."),
        (lambda t: t.update(extra=torch.ones(1)), r"extra is in .*tuned/model\.safetensors and missing in .*lfm2\."),
        (lambda t: t.update({"lm_head.weight": torch.ones(384, 64)}), r"lm_head.weight is in .*missing in .*ties its head"),
        (lambda t: t.update({NORM: torch.ones(65)}), rf"{NORM} is \[64\] in .*lfm2/.* and \[65\] in .*tuned/.*models differ"),
        (lambda t: t.update({NORM: t[NORM].to(torch.int8)}), rf"{NORM} is BF16 in .*lfm2/.* and I8 in .*tuned/"),
    ],
)
def test_unlike_checkpoints_are_refused_by_name(
    change: Callable[[Tensors], Any], message: str, folders: Folders, tmp_path: Path
) -> None:
    """A missing tensor, a head that only one has, another shape or kind: the error names the tensor and where it is."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = load_file(tuned / "model.safetensors")
    change(tensors)
    save_file(tensors, tuned / "model.safetensors")
    with pytest.raises(InputError, match=message):
        check(folders["lfm2"], tuned)


def test_another_vocabulary_is_called_so(folders: Folders, tmp_path: Path) -> None:
    """Embeddings of different height are the commonest mistake, and are not called a difference of models."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    tensors = load_file(tuned / "model.safetensors") | {EMBEDDING: torch.ones(390, 64, dtype=torch.bfloat16)}
    save_file(tensors, tuned / "model.safetensors")
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps(config | {"vocab_size": 390}))
    with pytest.raises(InputError, match=rf"{EMBEDDING} is \[384, 64\] in .* and \[390, 64\] in .*vocabularies differ"):
        check(folders["lfm2"], tuned)


def test_other_architectures_and_quantised_checkpoints_are_refused(folders: Folders, tmp_path: Path) -> None:
    """Names that happen to agree are no reason to mix; 8-bit codes cannot be mixed at all."""
    with pytest.raises(InputError, match=r"a lfm2 model, .* a llama model"):
        check(folders["lfm2"], folders["llama"])
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "compressed-tensors"}}))
    with pytest.raises(InputError, match="tuned is quantised"):
        check(folders["lfm2"], tuned)


@pytest.mark.parametrize("clash", [0, 7])
def test_a_token_with_two_meanings_is_refused(clash: int, folders: Folders, tmp_path: Path) -> None:
    """Embeddings of different tokens are never mixed, id 0 included; a token that only one has is a warning."""
    tuned = shutil.copytree(folders["tuned"], tmp_path / "tuned")
    content = json.loads((tuned / "tokenizer.json").read_text())
    content["added_tokens"].append({**content["added_tokens"][-1], "id": 310, "content": "<|new|>"})
    (tuned / "tokenizer.json").write_text(json.dumps(content))
    assert "1 tokens are in only one" in check(folders["lfm2"], tuned)[1][0]
    content["added_tokens"][-1]["id"] = clash
    (tuned / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"token {clash} is .*lfm2/tokenizer\.json and '<\|new\|>' in .*tuned/tokenizer\.json"):
        check(folders["lfm2"], tuned)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (Mix("slrp"), "Did you mean 'slerp'"),
        (Mix(rounding="up"), "unknown rounding 'up'"),
        (Mix(dtype="bf16"), "unknown dtype 'bf16'"),
        (Mix(t=1.5), r"t is 1\.5 for .*, outside 0\.\.1"),
        (Mix(t={"conv": -0.1, "default": 0.5}), r"t is -0\.1 for .*conv.*, outside"),
        (Mix(t={"mlp": 0.5, "default": 0.5}), "'mlp' matches no tensor"),
        (Mix("soup", weights=(1.0, 2.0)), "2 weights for 1 tuned"),
        (Mix("ties", density=0.0), r"density is 0\.0"),
    ],
)
def test_settings_that_cannot_be_meant_are_explained(mix: Mix, message: str, folders: Folders) -> None:
    """Each wrong setting is named, with what would be right."""
    with pytest.raises(RecipeError, match=message):
        check(folders["lfm2"], folders["tuned"], mix=mix)
