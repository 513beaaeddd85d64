"""What will bind a recipe's result is known before it runs: the strictest of base, teacher, judge and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hala import artifacts, shards
from hala.cli import app
from hala.recipe import Recipe
from hala.recipe_file import from_content
from hala.records import KEPT, Message, Row
from hala.terms import forecast, forecast_text

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe(**steps: Any) -> Recipe:
    """A recipe of these steps."""
    return from_content({"name": "demo", "steps": steps}, "demo.yaml")


def test_teachers_and_data_bind_through_all_steps() -> None:
    """What a non-commercial teacher translated stays non-commercial, however free the base is."""
    made = recipe(
        corpus={"translate": {"data": {"path": "x.jsonl", "licence": "mit"}, "model": "CohereLabs/command-a-translate-08-2025"}},
        tuned={"tune": {"base": "LiquidAI/LFM2-350M", "data": "$corpus"}},
        merged={"merge": {"base": "LiquidAI/LFM2-350M", "tuned": "$tuned"}},
        scores={"evaluate": {"models": ["$merged"], "pairs": {"path": "test.jsonl"}}},
    )
    found = forecast(made)
    assert [each.licence.name for each in found["merged"]] == ["mit", "lfm1.0", "cc-by-nc-4.0"]
    assert "scores" not in found
    assert forecast_text(made) == (
        "licence of the result: cc-by-nc-4.0 (non-commercial), because of CohereLabs/command-a-translate-08-2025."
    )


def test_parts_of_a_mix_bind_and_its_tokenizer_does_not() -> None:
    """Rows keep their terms through a mix; a checkpoint that only counts tokens is no part of the result."""
    parts = [{"data": {"path": "x.jsonl", "licence": "mit"}}, {"data": {"world": "conversations"}}]
    made = recipe(mixed={"mix": {"parts": parts, "tokenizer": "LiquidAI/LFM2-350M"}}, t={"tune": {"new": {}, "data": "$mixed"}})
    assert sorted(each.licence.name for each in forecast(made)["t"]) == ["cc0-1.0", "mit"]


def test_what_is_only_looked_for_binds_nothing() -> None:
    """Questions that must not occur and pairs that a judge is tried on are no part of the rows."""
    judge = {"model": "LiquidAI/LFM2-350M", "labelled": {"path": "labels.jsonl"}}
    settings = {
        "data": {"path": "x.jsonl", "licence": "mit"},
        "questions": "asked.jsonl",
        "judge": judge,
        "decontaminate": "oall-v2",
    }
    assert sorted(each.name for each in forecast(recipe(clean={"filter": settings}))["clean"]) == [
        "LiquidAI/LFM2-350M",
        "x.jsonl",
    ]


def test_rows_that_hala_made_say_their_licences(tmp_path: Path) -> None:
    """A folder of an earlier command is no unknown: each licence of its rows binds."""
    rows = [(Row(str(n), (Message("text", "x"),), "ar", "s", licence), KEPT) for n, licence in enumerate(("mit", "cc-by-nc-4.0"))]
    shards.write_rows(tmp_path / "clean/rows/000000.parquet", rows)
    artifacts.finish(tmp_path / "clean", artifacts.Manifest("clean", "filter", "rows", {}, {}, "f", {}, {}, {}, {}))
    found = forecast(recipe(t={"tune": {"new": {}, "data": str(tmp_path / "clean")}}))["t"]
    assert [each.licence.name for each in found] == ["mit", "cc-by-nc-4.0"]


def test_nobody_knows_is_said_first() -> None:
    """An input without a stated licence makes the result's unknown, and is named."""
    made = recipe(tuned={"tune": {"base": "LiquidAI/LFM2-350M", "data": [{"path": "mine.jsonl"}]}})
    said = forecast_text(made)
    assert "unknown" in said and "mine.jsonl" in said and "lfm1.0 (revenue limit)" in said


@pytest.mark.parametrize("name", ["quickstart", "hala-1.2b", "laptop"])
def test_plan_says_it(name: str) -> None:
    """`hala plan` ends with the licence of what would be made."""
    said = CliRunner().invoke(app, ["plan", str(RECIPES / f"{name}.yaml")])
    assert said.exit_code == 0 and "licence of the result: " in said.stdout
