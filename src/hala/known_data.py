"""Data sets whose columns are known: what `data/known.toml` says of a name, so that a recipe need not.

>>> from hala.known_data import known
>>> known("OpenOrca")["columns"]["answer"]
'response'
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "data" / "known.toml"


@lru_cache(maxsize=1)
def table() -> dict[str, dict[str, Any]]:
    """What is known, by name: values for the keys `columns`, `shape`, `where`, `config` and `licence` of data in a recipe."""
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def known(name: str) -> dict[str, Any]:
    """What is known of a data set, by its name with or without the owner, in any case; empty for another one."""
    word = name.casefold()
    found = next((each for each in table() if word in (each.casefold(), each.casefold().rpartition("/")[2])), "")
    return dict(table()[found]) if found else {}
