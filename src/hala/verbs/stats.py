"""Statistics of rows on the terminal: a step's folder with what it cost, or a file of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala import artifacts, shards
from hala.data.places import is_half_done
from hala.data.stats import QUANTILES, describe
from hala.errors import InputError
from hala.records import KEPT, Row, Verdict
from hala.verbs.redact import plain

if TYPE_CHECKING:
    from hala.recipe import Data


def stats_of(place: Path, data: Data | None = None) -> dict[str, Any]:
    """What `describe` says of a data step (kept and rejected rows, and its rates) or of a file in any format that is read.

    `data` says more about the file. Raises: InputError when nothing is there.
    """
    if not place.exists():
        raise InputError(f"no file or folder {place}.", "Check the path.")
    if (place / "rows").is_dir() and data is None:
        judged: Iterator[tuple[Row, Verdict]] = ((row, KEPT) for row in shards.read_rows(place))
        if any((place / "rejected").glob("*.parquet")):
            judged = chain(judged, shards.read_rejected(place))
        return describe(judged) | _malformed(place) | _cost(place) | ({"half_done": True} if is_half_done(place) else {})
    from hala.data.rows import spec_of
    from hala.data.sources import SourceSpec, open_source

    malformed: Counter[str] = Counter()
    rows = open_source(spec_of(data) if data else SourceSpec(path=str(place)), lambda bad: malformed.update([bad.reason]))
    return describe((row, KEPT) for row in rows) | {"malformed": dict(sorted(malformed.items()))}


def _malformed(step: Path) -> dict[str, Any]:
    """Reasons of the records that the step could not read."""
    from hala.data.rows import Collected

    bad = Collected()
    bad.read(step)
    return {"malformed": dict(sorted(Counter(each.reason for each in bad).items()))}


def _cost(step: Path) -> dict[str, Any]:
    """What the manifest of a finished step says of time and tokens."""
    manifest = artifacts.read_manifest(step)
    if manifest is None:
        return {}
    timings = manifest.timings
    wanted = ("seconds", "rows_per_s", "tokens_per_s", "accepted_tokens_per_s", "saved_tokens_share")
    return {"cost": {name: timings[name] for name in wanted if name in timings}}


def stats_text(found: Mapping[str, Any]) -> str:
    """The same as aligned text; every count with its share."""
    rejected = sum(found["rejected"].values())
    read = found["rows"] + rejected
    lines = [
        f"{found['rows']:,} rows, {found['duplicates']:,} of them duplicates" + (f"; {rejected:,} rejected" * bool(rejected))
    ]
    if found.get("half_done"):
        lines.append("the step is half done: run the same command again for the other rows")
    for name in ("rejected", "malformed", "languages", "sources", "licences", "turns"):
        lines += _counts(name, found.get(name, {}), read if name == "rejected" else found["rows"])
    for name, values in found["notes"].items():
        lines += _counts(name, values, found["rows"])
    if found["lengths"]:
        lines += ["", f"{'characters':<24}{'messages':>12}{'in all':>16}" + "".join(f"{name:>9}" for name in QUANTILES)]
    for role, each in found["lengths"].items():
        numbers = "".join(f"{each[name]:>9,}" for name in QUANTILES)
        lines.append(f"  {role:<22}{each['messages']:>12,}{each['characters']:>16,}{numbers}")
    if found.get("cost"):
        lines += ["", "cost", *(f"  {name.replace('_', ' '):<34}{value:>12,.2f}" for name, value in found["cost"].items())]
    return "\n".join(lines)


def _counts(title: str, values: Mapping[str, int], total: int) -> list[str]:
    """A heading and a line for each value."""
    width = max([34, *(len(plain(value)) + 2 for value in values)])
    rows = (f"  {plain(value):<{width}}{count:>12,}{100 * count / max(total, 1):>8.1f}%" for value, count in values.items())
    return ["", title, *rows] if values else []
