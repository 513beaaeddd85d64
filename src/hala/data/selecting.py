"""Which records of a source are wanted: those whose columns have a value, a share of all, or the groups of one side of a split.

>>> equals(True, "true"), equals(1.0, 1), equals(None, "")
(True, True, False)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

Scalar = str | bool | int | float | None
Where = Mapping[str, Scalar | list[Scalar]]


def fits(record: Mapping[str, Any], where: Where) -> bool:
    """Whether each named column has the value, or one of the values; a column that is absent is null."""
    for column, wanted in where.items():
        value = record.get(column)
        if not any(equals(value, each) for each in (wanted if isinstance(wanted, list) else (wanted,))):
            return False
    return True


def equals(value: Any, wanted: Scalar) -> bool:
    """Whether a value of the data is the one that a recipe names: text by its letters, numbers, truth and null by what they are.

    Where one of the two is text, it is read as the other's kind, since a table holds nothing but text.
    """
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted
    return _plain(value) == _plain(wanted)


def _plain(value: Any) -> str:
    """The value as YAML writes it: `true`, `null`, `1` for 1.0."""
    if value is None:
        return "null"
    text = str(value).strip()
    if text.lower() in ("true", "false", "none", "null"):
        return "null" if text.lower() == "none" else text.lower()
    try:
        number = float(text)
    except ValueError:
        return text
    return text if isinstance(value, int) else str(int(number)) if number.is_integer() else repr(number)


def is_among(name: str, share: float) -> bool:
    """Whether a name is in a share of all names, 0 to 1, which its hash decides: always the same ones."""
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def is_sampled(row_id: str, share: float, seed: int) -> bool:
    """Whether a row, whose id ends in the hash of its content, is in the sample."""
    mark = row_id[-8:]
    return is_among(f"{seed} {mark}", share) if seed else int(mark, 16) < share * 2**32
