"""Rows on disk: a data step's Parquet files. A shard is a fixed range of input rows and is never rewritten.

>>> from hala.shards import read_rows
>>> rows = list(read_rows("runs/quickstart/clean"))   # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.artifacts import atomic_file
from hala.errors import CorruptError, InputError
from hala.records import Message, Row, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

Judged = tuple[Row, Verdict]


def _schema() -> pa.Schema:
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("messages", pa.list_(message)),
            ("original", pa.list_(message)),
            ("lang", pa.string()),
            ("source", pa.string()),
            ("licence", pa.string()),
            ("notes", pa.map_(pa.string(), pa.string())),
            ("reason", pa.string()),
            ("detail", pa.string()),
        ]
    )


def _record(row: Row, verdict: Verdict) -> dict[str, Any]:
    def plain(messages: Iterable[Message] | None) -> list[dict[str, str]] | None:
        return None if messages is None else [{"role": m.role, "content": m.content} for m in messages]

    return {
        "id": row.id,
        "messages": plain(row.messages),
        "original": plain(row.original),
        "lang": row.lang,
        "source": row.source,
        "licence": row.licence,
        "notes": sorted(row.notes.items()),
        "reason": verdict.reason,
        "detail": verdict.detail,
    }


def _row(record: dict[str, Any]) -> Row:
    def messages(items: list[dict[str, str]]) -> tuple[Message, ...]:
        return tuple(Message(item["role"], item["content"]) for item in items)

    return Row(
        id=record["id"],
        messages=messages(record["messages"]),
        lang=record["lang"],
        source=record["source"],
        licence=record["licence"],
        original=None if record["original"] is None else messages(record["original"]),
        notes=dict(record["notes"]),
    )


def write_rows(path: Path, judged: Sequence[Judged]) -> None:
    """One Parquet file (zstd) with the rows in the given order and their verdicts, written atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([_record(row, verdict) for row, verdict in judged], schema=_schema())
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_shard(path: Path) -> list[Judged]:
    """The rows of one Parquet file with their verdicts. Raises CorruptError for a file that is not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        records = pq.read_table(path, schema=_schema()).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptError(f"{path} is not a whole row shard ({error}).", "Run `hala repair` on the run.") from None
    return [(_row(r), Verdict(not r["reason"], r["reason"], r["detail"])) for r in records]


def row_files(path: Path, part: str = "rows") -> list[Path]:
    """The shards of a finished data step in order. Raises InputError when there are none."""
    files = sorted((path / part).glob("*.parquet"))
    if not files:
        raise InputError(f"{path} holds no {part}.", "Name a folder made by `hala translate` or `hala filter`.")
    return files


def read_rows(path: str | Path) -> Iterator[Row]:
    """The kept rows of a data step (a folder) or of one shard (a .parquet file), in order."""
    path = Path(path)
    for file in [path] if path.is_file() else row_files(path):
        for row, _ in read_shard(file):
            yield row


def read_rejected(path: str | Path) -> Iterator[Judged]:
    """The rejected rows of a data step with the verdict of each, in order."""
    for file in row_files(Path(path), "rejected"):
        yield from read_shard(file)


def run_shards(
    out: Path,
    rows: Iterator[Row],
    shard_rows: int,
    process: Callable[[list[Row]], list[Judged]],
    after: Callable[[int, Counter[str]], None],
) -> Counter[str]:
    """Counts by outcome (`rows`, `kept`, `rejected/REASON`) after every input row went through `process` exactly once.

    Each range of `shard_rows` input rows becomes one file of kept and one of rejected rows; finished ranges are skipped.
    `after(rows so far, counts so far)` is called after each shard, for progress and for limits.
    """
    counts: Counter[str] = Counter(rows=0, kept=0)
    for index in range(1_000_000):
        batch = list(islice(rows, shard_rows))
        if not batch and index:
            return counts
        kept_file, rejected_file = out / "rows" / f"{index:06d}.parquet", out / "rejected" / f"{index:06d}.parquet"
        if not (kept_file.exists() and rejected_file.exists()):
            judged = process(batch)
            if len(judged) != len(batch):
                raise AssertionError(f"shard {index}: {len(batch)} rows in, {len(judged)} verdicts out")
            write_rows(rejected_file, [item for item in judged if not item[1].kept])
            write_rows(kept_file, [item for item in judged if item[1].kept])
        counts["rows"] += len(batch)
        counts["kept"] += _count_rows(kept_file)
        for _, verdict in read_shard(rejected_file):
            counts[f"rejected/{verdict.reason}"] += 1
        after(counts["rows"], counts)
        if not batch:
            return counts
    raise AssertionError("more than a million shards: raise shard_rows")


def _count_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
