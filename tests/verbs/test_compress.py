"""compress as a step: the FP8 copy is smaller, close, and loads; its facts are what the report shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Compress, Languages
from hala.verbs import Context, Outcome
from hala.verbs.compress import run


def compress(out: Path, tiny: Path, **settings: object) -> Outcome:
    """The outcome of compressing the tiny checkpoint."""
    section = Compress(model="$tiny", **settings)
    return run(section, Context("step", out, out.parent, Languages(), {"tiny": tiny}, Progress(quiet=True)))


def test_copy_is_smaller_close_and_loads(tmp_path: Path, tiny: Path) -> None:
    """Sizes fall, the mean relative error is that of FP8, and the logits stay near those of the original."""
    from hala.weights.loading import load_model

    outcome = compress(tmp_path / "out", tiny)
    assert outcome.facts["bytes_after"] < outcome.facts["bytes_before"]
    assert 0 < outcome.facts["mean_rel_error"] < 0.06 and outcome.counts["tensors_quantised"] == outcome.facts["tensors_quantised"] > 0
    (before, tokenizer), (after, _) = load_model(tiny, "float32"), load_model(tmp_path / "out", "float32")
    inputs = tokenizer("The cat is in the house.", return_tensors="pt")
    one, two = before(**inputs).logits, after(**inputs).logits
    assert torch.nn.functional.cosine_similarity(one.flatten(), two.flatten(), dim=0) > 0.98


def test_nothing_left_to_compress_is_an_error(tmp_path: Path, tiny: Path) -> None:
    """With every module ignored there is no FP8 copy to speak of."""
    with pytest.raises(InputError, match="no matrix to quantise"):
        compress(tmp_path / "out", tiny, ignore=["re:.*"])
