"""Data sets whose columns are known: each entry fits a shape, and what a recipe says itself comes first."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hala.data.shapes import SHAPES
from hala.known_data import known, table
from hala.recipe import Data


@pytest.mark.parametrize("name", table())
def test_every_entry_describes_a_shape(name: str) -> None:
    """The keys are those of data, and the columns are all fields of one shape and hold its required ones."""
    entry = table()[name]
    assert entry.keys() <= {"columns", "shape", "where", "config", "licence"} and ("shape" in entry) != ("columns" in entry)
    fields = set(entry.get("columns", ()))
    fitting = [
        shape
        for shape, known_fields in SHAPES.items()
        if {each for each in known_fields if not each.endswith("?")} <= fields <= {each.rstrip("?") for each in known_fields}
    ]
    assert entry.get("shape") in SHAPES or len(fitting) == 1
    assert Data(path="x", like=name).licence == entry.get("licence", "")


def test_a_hub_data_set_brings_its_columns() -> None:
    """With or without the owner and in any case, a known name fills what the recipe leaves open, and nothing else."""
    orca = Data(hub="Open-Orca/OpenOrca")
    assert orca.columns == Data(path="copy.parquet", like="openorca").columns and orca.licence == "mit" and known("nothing") == {}
    own = Data(hub="Open-Orca/OpenOrca", columns={"question": "question", "answer": "response", "system": "-"}, licence="other")
    assert own.columns is not None and own.columns["system"] == "-" and own.licence == "other"
    assert Data(path="a.jsonl", like="alpaca", shape="prompt").shape == "prompt" and Data(hub="openai/gsm8k").config == "main"


def test_an_unknown_name_is_refused() -> None:
    """A name that nothing is known of is no silent default."""
    with pytest.raises(ValidationError, match="Did you mean 'OpenOrca'"):
        Data(path="a.jsonl", like="OpenOrka")
