"""A run as it lies on disk: a step that was made alone is verified and repaired by its own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hala import runs
from hala.errors import CorruptError, InputError

Hala = Callable[..., Any]


def test_step_made_alone_is_verified_and_repaired(hala: Hala, tmp_path: Path, tiny: Path) -> None:
    """`hala verify DIR` reads every byte, the command names the damage, `hala repair DIR` removes it, the bytes come back."""
    out = tmp_path / "small"
    words = ("compress", tiny, "--out", out)
    assert hala(*words).code == 0 and hala("verify", out).out == "1 finished step is whole.\n"
    weights = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(weights[:-1])
    assert runs.verify(out) == {"small": [f"model.safetensors has {len(weights) - 1} bytes instead of {len(weights)}"]}
    for answer in (hala("verify", out), hala(*words)):
        assert answer.code == 6 and f"hala repair {out}`" in answer.err
    assert hala("repair", out).out == "removed small; run it again.\n" and not out.exists()
    assert hala(*words).code == 0 and (out / "model.safetensors").read_bytes() == weights
    assert hala("repair", out).out == "nothing is damaged.\n"


@pytest.mark.parametrize("act", [runs.verify, runs.repair, runs.steps_of])
def test_what_is_no_run_is_refused_and_left_alone(tmp_path: Path, act: Callable[[Path], object]) -> None:
    """A folder without recipe or manifest gets no lock file; a torn recipe is corrupt."""
    with pytest.raises(InputError, match="is not a run"):
        act(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "recipe.json").write_text('{"order"')
    with pytest.raises(CorruptError, match=r"recipe\.json"):
        act(tmp_path)
