"""What every verb gets (its section of the recipe and a `Context`) and gives (an `Outcome`). Verbs never call each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hala.artifacts import SCRATCH
from hala.progress import Progress
from hala.recipe import Languages


@dataclass(frozen=True)
class Context:
    """Where a step runs: its own folder `out`, the run's folder, and the folders of the steps that it refers to."""

    step: str
    out: Path
    run: Path
    languages: Languages
    inputs: Mapping[str, Path]
    progress: Progress

    def locate(self, model: str) -> str:
        """The folder of `$step`; a path or hub id comes back as it is."""
        return str(self.inputs[model[1:]]) if model.startswith("$") else model

    @property
    def scratch(self) -> Path:
        """A folder for what a resume needs; it is removed when the step is finished."""
        folder = self.out / SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class Outcome:
    """Counts of rows or tensors, facts for people and for later steps, and timings (never part of a digest)."""

    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
