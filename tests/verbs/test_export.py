"""export as a step: one file, with its size and its round-trip error."""

from __future__ import annotations

from pathlib import Path

import pytest

from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Export, Languages
from hala.verbs import Context
from hala.verbs.export import run


@pytest.mark.parametrize(("quant", "bound"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 0.02)])
def test_file_is_there_and_close(tmp_path: Path, tiny: Path, quant: str, bound: float) -> None:
    """The named file exists, and what is read back is within the error of its number format."""
    section = Export(model="$tiny", quant=quant, splitter="gpt-2")  # type: ignore[arg-type]
    (tmp_path / "out").mkdir()
    outcome = run(section, Context("step", tmp_path / "out", tmp_path, Languages(), {"tiny": tiny}, Progress(quiet=True)))
    assert (tmp_path / "out" / outcome.facts["file"]).stat().st_size == outcome.facts["bytes"] > 0
    assert outcome.facts["max_rel_error"] <= bound and outcome.counts["tensors"] > 0


def test_unknown_splitting_rule_is_named(tmp_path: Path, tiny: Path) -> None:
    """A tokenizer that llama.cpp has no name for is refused, and the setting that names it is said."""
    (tmp_path / "out").mkdir()
    context = Context("step", tmp_path / "out", tmp_path, Languages(), {"tiny": tiny}, Progress(quiet=True))
    with pytest.raises(InputError, match="splitter"):
        run(Export(model="$tiny"), context)
