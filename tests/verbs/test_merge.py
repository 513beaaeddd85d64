"""merge as a step: its ends are its inputs, a list of t makes one checkpoint each, and a finished part is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hala.progress import Progress
from hala.recipe import Languages, Merge
from hala.verbs import Context, Outcome
from hala.verbs.merge import run


def merge(out: Path, tiny: Path, tiny_child: Path, **settings: object) -> Outcome:
    """The outcome of merging the two tiny checkpoints."""
    section = Merge(base=str(tiny), tuned="$child", **settings)
    return run(section, Context("step", out, out.parent, Languages(), {"child": tiny_child}, Progress(quiet=True)))


def test_ends_are_the_inputs(tmp_path: Path, tiny: Path, tiny_child: Path) -> None:
    """t = 0 is the base and t = 1 the tuned model, tensor by tensor."""
    outcome = merge(tmp_path / "out", tiny, tiny_child, t=[0.0, 0.5, 1.0])
    assert outcome.facts["checkpoints"] == ["t-0", "t-0.5", "t-1"] and outcome.counts["checkpoints"] == 3
    for folder, source in (("t-0", tiny), ("t-1", tiny_child)):
        made, wanted = load_file(tmp_path / "out" / folder / "model.safetensors"), load_file(source / "model.safetensors")
        assert made.keys() == wanted.keys()
        assert all(torch.equal(made[name], wanted[name]) for name in made)


@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_one_t_is_a_checkpoint_that_loads(tmp_path: Path, tiny: Path, tiny_child: Path, method: str) -> None:
    """A single t lies in the step's own folder, with tokenizer and hala.json, and runs."""
    from hala.weights.loading import load_model

    outcome = merge(tmp_path / "out", tiny, tiny_child, method=method, t=0.3)
    model, tokenizer = load_model(tmp_path / "out", "float32")
    assert torch.isfinite(model(**tokenizer("Hello", return_tensors="pt")).logits).all()
    assert outcome.facts["t"] == [0.3] and 0 <= outcome.facts["mean_angle_degrees"] <= outcome.facts["max_angle_degrees"] <= 180
