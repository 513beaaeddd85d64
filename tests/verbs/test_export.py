"""export as a step: a GGUF file or a plain folder, with its size and what was checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Export, Languages
from hala.verbs import Context
from hala.verbs.export import run


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
