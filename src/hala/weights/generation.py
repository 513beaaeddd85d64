"""How a checkpoint wants to be sampled: by its own generation_config.json, else as the card of its family says.

Translation is greedy at first; a segment that failed is sampled, and models differ in how much of that they bear.

>>> from hala.weights.generation import sampling_of
>>> found = sampling_of({"model_type": "lfm2"}, {})
>>> found.temperature, found.min_p, found.repetition_penalty
(0.3, 0.15, 1.05)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hala.errors import InputError
from hala.records import Sampling
from hala.weights.hub import fetch

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"


PLAIN = Sampling(temperature=0.3)
"""For a model of which nothing is known."""
_LIMITS = {"temperature": (0.01, 2.0), "top_p": (0.01, 1.0), "min_p": (0.0, 1.0), "repetition_penalty": (0.5, 2.0)}
# Of model cards, where the generation config of the published checkpoints is silent.
FAMILIES = {"lfm2": Sampling(temperature=0.3, min_p=0.15, repetition_penalty=1.05)}


def sampling_of(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Sampling:
    """What the two files of a checkpoint say, number by number; a value that makes no sense counts as not said."""
    said: dict[str, Any] = {}
    for name, (low, high) in _LIMITS.items():
        value = generation.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            said[name] = float(value)
    return replace(FAMILIES.get(str(config.get("model_type")), PLAIN), **said)


def read_sampling(model: str, revision: str | None = None) -> Sampling:
    """The same for a folder or a hub id, of which nothing but these two files is fetched.

    The defaults for a name that is neither, as servers know their models by.
    """
    try:
        folder = fetch(model, revision, (CONFIG, GENERATION_CONFIG))
    except InputError:
        return PLAIN
    return sampling_of(_content(folder / CONFIG), _content(folder / GENERATION_CONFIG))


def _content(file: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
