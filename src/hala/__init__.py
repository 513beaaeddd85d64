"""hala gives a language its own models: translate, filter, mix, tune, merge, evaluate.

>>> import hala
>>> hala.run("recipes/quickstart.yaml")                      # doctest: +SKIP
>>> hala.compress("LiquidAI/LFM2-1.2B", out="lfm2-fp8")      # doctest: +SKIP

Nothing heavy is imported here: torch and friends load when a verb runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hala.records import Row

__version__ = "0.1.0"


def run(recipe: str | Path, overrides: Sequence[str] = (), out: str | Path | None = None) -> Path:
    """The run's folder after every step of the recipe is finished; the same call continues a run that was stopped."""
    from hala import pipeline

    return pipeline.run(recipe, overrides, out)


def compress(model: str | Path, *, out: str | Path, **settings: Any) -> Path:
    """The folder of an FP8 copy of `model`; settings are those of `hala.recipe.Compress`."""
    return _verb("compress", out, model=str(model), **settings)


def translate(data: Any, *, out: str | Path, model: str | Path = "", to: str = "ar", source: str = "en", **settings: Any) -> Path:
    """The folder of translated rows; settings are those of `hala.recipe.Translate`."""
    return _verb("translate", out, {"source": source, "target": to}, data=data, model=str(model), **settings)


def filter(data: Any, *, out: str | Path, to: str = "ar", source: str = "en", **settings: Any) -> Path:
    """The folder of the rows that pass; settings are those of `hala.recipe.Filter`."""
    return _verb("filter", out, {"source": source, "target": to}, data=data, **settings)


def mix(parts: Any, *, out: str | Path, tokenizer: str | Path, **settings: Any) -> Path:
    """The folder of one set of rows made of several; settings are those of `hala.recipe.Mix`."""
    return _verb("mix", out, parts=parts, tokenizer=str(tokenizer), **settings)


def tune(base: str | Path = "", *, data: Any, out: str | Path, **settings: Any) -> Path:
    """The folder of the trained checkpoint; settings are those of `hala.recipe.Tune`."""
    return _verb("tune", out, base=str(base), data=data, **settings)


def merge(base: str | Path, tuned: str | Path, *, out: str | Path, **settings: Any) -> Path:
    """The folder of the merged checkpoint; settings are those of `hala.recipe.Merge`."""
    return _verb("merge", out, base=str(base), tuned=str(tuned), **settings)


def evaluate(models: Sequence[str], *, out: str | Path, **settings: Any) -> Path:
    """The folder of the scores; settings are those of `hala.recipe.Evaluate`."""
    return _verb("evaluate", out, models=list(models), **settings)


def export(model: str | Path, *, out: str | Path, **settings: Any) -> Path:
    """The folder of the exported file; settings are those of `hala.recipe.Export`."""
    return _verb("export", out, model=str(model), **settings)


def read_rows(path: str | Path) -> Iterator[Row]:
    """The kept rows of a finished data step, in order."""
    from hala.shards import read_rows as read

    return read(path)


def _verb(verb: str, out: str | Path, languages: dict[str, str] | None = None, **settings: Any) -> Path:
    from hala import pipeline

    return pipeline.run_verb(verb, settings, out, languages=languages)
