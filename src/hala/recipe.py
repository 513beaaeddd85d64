"""A recipe: every knob of hala exactly once, typed, with its default and its reason.

A recipe file is YAML 1.2 (`1e-5` is a number, `no` is Norwegian). Unknown keys, wrong types and wrong references are
refused with file and line before anything heavy loads. The sections of one family of verbs lie in one file:
`recipe_rows`, `recipe_models` and `recipe_weights`, on the ground of `recipe_data`; all are imported from here.

>>> from hala.recipe_file import load
>>> load("recipes/quickstart.yaml").steps["student"].verb   # doctest: +SKIP
'tune'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator

from hala.recipe_data import (
    Accepts,
    Data,
    Described,
    EngineSettings,
    Execution,
    Languages,
    LocalSettings,
    ModelRef,
    Section,
    as_tuple,
)
from hala.recipe_models import Directions, Evaluate, Learned, Lora, New, Referee, Tune
from hala.recipe_rows import Filter, Judge, Mix, Other, Part, Translate
from hala.recipe_weights import Compress, Export, Merge, Recovery, Schedule, Search

__all__ = [
    "SECTIONS",
    "Accepts",
    "Compress",
    "Data",
    "Described",
    "Directions",
    "EngineSettings",
    "Evaluate",
    "Export",
    "Filter",
    "Judge",
    "Languages",
    "Learned",
    "LocalSettings",
    "Lora",
    "Merge",
    "Mix",
    "New",
    "Other",
    "Part",
    "Recipe",
    "Recovery",
    "Referee",
    "Release",
    "Report",
    "Schedule",
    "Search",
    "Section",
    "Step",
    "Translate",
    "Tune",
    "essence",
    "identity",
]


class Report(Section):
    """A run in, one offline HTML file out."""

    title: str = ""
    """Heading; none means the recipe's name."""


class Release(Section):
    """A checkpoint with its data and scores in, a folder ready for the hub out."""

    model: ModelRef
    """The checkpoint to publish."""
    data: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("rows")] = ()
    """Steps whose rows it was trained on: their licences and counts enter the card."""
    scores: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("scores")] = ()
    """Steps whose scores enter the card."""
    name: str = ""
    """Name of the model; none means the recipe's name."""
    licence: str = ""
    """Licence of the base weights; none means what the checkpoint says."""


SECTIONS: dict[str, type[Section]] = {
    "compress": Compress,
    "translate": Translate,
    "filter": Filter,
    "mix": Mix,
    "tune": Tune,
    "merge": Merge,
    "evaluate": Evaluate,
    "export": Export,
    "report": Report,
    "release": Release,
}


def identity(kind: type[Section], config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a section's plain settings that decides what the step makes: all but the fields marked Execution."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        info = kind.model_fields.get(name)
        if info is not None and any(isinstance(mark, Execution) for mark in info.metadata):
            continue
        inner = _section_in(info.annotation) if info is not None else None
        kept[name] = _inner_identity(inner, value) if inner is not None else value
    return kept


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that an annotation is, or holds: `Data`, `Data | None`, `tuple[Data, ...]`, with marks or without."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)


def _inner_identity(kind: type[Section], value: Any) -> Any:
    """The same of one section, or of each in a list."""
    if isinstance(value, list | tuple):
        return [_inner_identity(kind, each) for each in value]
    return identity(kind, value) if isinstance(value, dict) else value


def essence(settings: Section) -> Section:
    """The settings with every field marked Execution at its default: what the step makes, and from which inputs."""
    marked = [name for name, info in type(settings).model_fields.items() if any(isinstance(m, Execution) for m in info.metadata)]
    return settings.model_copy(
        update={name: type(settings).model_fields[name].get_default(call_default_factory=True) for name in marked}
    )


class Step(Section):
    """A named step: one verb and its settings."""

    name: str
    verb: str
    settings: Section


class Recipe(Section):
    """An ordered list of named steps."""

    name: str
    languages: Languages = Languages()
    steps: dict[str, Step]
