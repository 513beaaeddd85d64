"""export as a step: a GGUF file or a plain folder, with its size and what was checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Export, Languages
from hala.recipe_file import from_content, produces
from hala.verbs import Context
from hala.verbs.export import run
from hala.weights.checkpoint import open_checkpoint


def make_context(tmp_path: Path, model: Path) -> Context:
    """A step in `tmp_path / out` that can refer to `$tiny`."""
    (tmp_path / "out").mkdir()
    return Context("step", tmp_path / "out", tmp_path, Languages(), {"tiny": model}, Progress(quiet=True))


@pytest.mark.parametrize(("quant", "bound"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 0.02)])
def test_file_is_there_and_close(tmp_path: Path, tiny: Path, quant: str, bound: float) -> None:
    """A model made by hala exports without further settings, and what is read back is within the error of its number format."""
    outcome = run(Export(model="$tiny", quant=quant), make_context(tmp_path, tiny))  # type: ignore[arg-type]
    assert (tmp_path / "out" / outcome.facts["file"]).stat().st_size == outcome.facts["bytes"] > 0
    assert outcome.facts["max_rel_error"] <= bound and outcome.counts["tensors"] > 0
    assert outcome.facts["warnings"] == []


def test_unknown_splitting_rule_is_named(tmp_path: Path, tiny: Path) -> None:
    """A tokenizer that llama.cpp has no name for is refused, and the setting that names it is said."""
    model = shutil.copytree(tiny, tmp_path / "model")
    content = json.loads((model / "tokenizer.json").read_text())
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "[a-z]+"}
    (model / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="splitter"):
        run(Export(model="$tiny"), make_context(tmp_path, model))


def test_a_plain_folder_is_a_checkpoint(tmp_path: Path, tiny: Path) -> None:
    """The format hf leaves a folder that the next step can refer to, with sizes and what it is stored in."""
    outcome = run(Export(model="$tiny", format="hf", dtype="bfloat16"), make_context(tmp_path, tiny))
    stored = open_checkpoint(tmp_path / "out").tensors
    assert {info.dtype for info in stored.values()} == {"BF16"}
    assert outcome.counts["tensors"] == len(stored) == outcome.facts["stored"]["BF16"]
    assert outcome.facts["bytes"] == sum(info.size for info in stored.values())
    steps = {"plain": {"export": {"model": "m", "format": "hf"}}, "next": {"export": {"model": "$plain"}}}
    recipe = from_content({"name": "r", "steps": steps})
    assert [produces(step) for step in recipe.steps.values()] == ["checkpoint", "file"]


@pytest.mark.parametrize("settings", [{"format": "hf", "quant": "f16"}, {"format": "hf", "splitter": "x"}, {"dtype": "float16"}])
def test_settings_of_the_other_format_are_refused(settings: dict[str, str]) -> None:
    """A setting that would do nothing is an error, not silence."""
    with pytest.raises(ValueError, match="says nothing about the format"):
        Export(model="m", **settings)  # type: ignore[arg-type]


def test_small_differences_are_said(tmp_path: Path, tiny: Path) -> None:
    """What llama.cpp does differently with some texts is printed and kept in the manifest."""
    model = shutil.copytree(tiny, tmp_path / "model")
    content = json.loads((model / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "NFC"}
    (model / "tokenizer.json").write_text(json.dumps(content))
    context = make_context(tmp_path, model)
    said: list[str] = []
    context.progress.say = said.append  # type: ignore[method-assign]
    facts = run(Export(model="$tiny"), context).facts
    assert "NFC" in facts["warnings"][0] and "NFC" in said[0]
