"""Every recipe that ships loads offline and says what it needs."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from hala.errors import RecipeError
from hala.pipeline import VERBS
from hala.recipe import Translate, Tune
from hala.recipe_file import load, references

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
VARIABLE = re.compile(r"\$\{vars\.([A-Za-z0-9_-]+)\}")


def variables(path: Path) -> list[str]:
    """`--set` for every variable that the recipe wants and does not give."""
    import ruamel.yaml

    text = path.read_text(encoding="utf-8")
    given = ruamel.yaml.YAML(typ="safe", pure=True).load(text).get("vars") or {}
    return [f"vars.{name}=some/{name}.jsonl" for name in sorted(set(VARIABLE.findall(text))) if given.get(name) is None]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recipe may reach for the network while it loads."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recipe wanted the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_there_are_recipes() -> None:
    """The sweep below is about something."""
    assert {"quickstart.yaml", "docs-en-ar.yaml", "laptop.yaml"} <= {path.name for path in RECIPES}


def test_laptop_recipe_wants_no_gpu() -> None:
    """What is meant for a laptop translates in int8 on the processor, trains in bounded passes and makes no FP8."""
    steps = load(FOLDER / "laptop.yaml", []).steps
    assert [step.verb for step in steps.values()] == ["translate", "filter", "tune", "merge", "evaluate"]
    corpus, sft = steps["corpus"].settings, steps["sft"].settings
    assert isinstance(corpus, Translate) and isinstance(sft, Tune)
    assert (corpus.engine, corpus.compute_type, corpus.prompt) == ("ctranslate", "int8", "{text}")
    assert corpus.data[0].take == 4000 and corpus.data[0].licence
    assert sft.gradient_checkpointing and sft.micro_tokens == sft.max_length == 1024


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_recipe_loads_offline(path: Path) -> None:
    """With its variables set, each recipe is valid, is called as its file, and names only known verbs and earlier steps."""
    recipe = load(path, variables(path))
    assert recipe.name == path.stem and recipe.steps
    before: set[str] = set()
    for name, step in recipe.steps.items():
        assert step.verb in VERBS
        assert {target for _, target, _ in references(step.settings)} <= before
        before.add(name)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_missing_variable_is_named(path: Path) -> None:
    """A recipe without one of its variables says which one and how to give it."""
    needed = variables(path)
    for missing in needed:
        with pytest.raises(RecipeError, match=missing.partition("=")[0]):
            load(path, [each for each in needed if each != missing])
