"""Rows on disk: a data step's Parquet files. A shard is a fixed range of input rows and is never rewritten.

>>> from hala.shards import read_rows
>>> rows = list(read_rows("runs/quickstart/clean"))   # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hala.artifacts import STARTED, atomic_file
from hala.errors import CorruptError, InputError
from hala.records import Message, Row, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

Judged = tuple[Row, Verdict]
After = Callable[[int, Counter[str]], None]
T = TypeVar("T")
MOST_SHARDS = 1_000_000


@cache
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


def _table(judged: Sequence[Judged]) -> pa.Table:
    """The rows as columns, built column by column: half the time of a list of dicts."""
    import pyarrow as pa

    rows = [row for row, _ in judged]
    columns: list[Any] = [
        [row.id for row in rows],
        _conversations([row.messages for row in rows]),
        _conversations([row.original for row in rows]),
        [row.lang for row in rows],
        [row.source for row in rows],
        [row.licence for row in rows],
        [sorted(row.notes.items()) for row in rows],
        [verdict.reason for _, verdict in judged],
        [verdict.detail for _, verdict in judged],
    ]
    schema = _schema()
    return pa.table(
        [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip(columns, schema, strict=True)
        ],
        schema=schema,
    )


def _conversations(all_messages: Sequence[tuple[Message, ...] | None]) -> pa.Array:
    """A column of lists of messages; None is null."""
    import pyarrow as pa

    offsets, roles, contents = [0], [], []
    for messages in all_messages:
        for message in messages or ():
            roles.append(message.role)
            contents.append(message.content)
        offsets.append(len(roles))
    kind = _schema().field("messages").type
    structs = pa.StructArray.from_arrays(
        [pa.array(roles, pa.string()), pa.array(contents, pa.string())], fields=list(kind.value_type)
    )
    missing = pa.array([messages is None for messages in all_messages], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs, type=kind, mask=missing)


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
    import pyarrow.parquet as pq

    with atomic_file(path) as temporary:
        pq.write_table(_table(judged), temporary, compression="zstd")


def read_shard(path: Path) -> list[Judged]:
    """The rows of one Parquet file with their verdicts. Raises CorruptError for a file that is not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if not set(pq.read_schema(path).names) >= set(_schema().names):
            raise InputError(f"{path} holds no rows made by hala.", "Name a folder made by `hala translate` or `hala filter`.")
        records = pq.read_table(path, schema=_schema()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        fix = "Run `hala repair` on the run; of a step that is not finished, remove this file and run the same command again."
        raise CorruptError(f"{path} is not a whole row shard ({error}).", fix) from None
    return [(_row(r), Verdict(not r["reason"], r["reason"], r["detail"])) for r in records]


def row_files(path: Path, part: str = "rows") -> list[Path]:
    """The shards of a finished data step in order. Raises InputError when there are none."""
    files = sorted((path / part).glob("*.parquet"))
    if not files and (path / STARTED).exists():
        raise InputError(f"{path} has no finished shard yet.", "Wait for it, or run the same command again to continue.")
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
    rows: Iterator[T],
    shard_rows: int,
    process: Callable[[list[T]], list[Judged]],
    after: After,
) -> Counter[str]:
    """`stream_shards` for a verb that makes one shard after the other."""

    def one_by_one(batches: Iterator[list[T]]) -> Iterator[tuple[int, list[Judged]]]:
        for place, batch in enumerate(batches):
            yield place, process(batch)

    return stream_shards(out, rows, shard_rows, one_by_one, after)


def stream_shards(
    out: Path,
    rows: Iterator[T],
    shard_rows: int,
    process: Callable[[Iterator[list[T]]], Iterator[tuple[int, list[Judged]]]],
    after: After,
    notes: Sequence[str] = (),
) -> Counter[str]:
    """Counts by outcome (`rows`, `kept`, `rejected/REASON`) after every input row went through `process` exactly once.

    Each range of `shard_rows` input rows becomes one file of kept and one of rejected rows; finished ranges are skipped.
    `process` pulls the others, as many at a time as it likes, and gives each back with its place among those it pulled, in any
    order. `after(rows so far, counts so far)` is called after each shard, for progress and for limits. Rows with one of the
    `notes` are counted as `NOTE/VALUE`, a value that is JSON without it.
    """
    counts: Counter[str] = Counter(rows=0, kept=0)
    pulled: dict[int, tuple[int, int]] = {}  # place -> number of the shard, rows in it

    def unfinished() -> Iterator[list[T]]:
        for index in range(MOST_SHARDS):
            batch = list(islice(rows, shard_rows))
            if not batch and index:
                return
            kept_file, rejected_file = _files(out, index)
            if kept_file.exists() and rejected_file.exists():
                judged = read_shard(rejected_file) + (read_shard(kept_file) if notes else [])
                _count(counts, judged, notes)
                counts.update(rows=len(batch), kept=_count_rows(kept_file))
                after(counts["rows"], counts)
            else:
                pulled[len(pulled)] = index, len(batch)
                yield batch
            if not batch:
                return
        raise AssertionError("more than a million shards: raise shard_rows")

    for place, judged in process(unfinished()):
        index, count = pulled[place]
        if len(judged) != count:
            raise AssertionError(f"shard {index}: {count} rows in, {len(judged)} verdicts out")
        kept_file, rejected_file = _files(out, index)
        kept, rejected = [item for item in judged if item[1].kept], [item for item in judged if not item[1].kept]
        write_rows(rejected_file, rejected)
        write_rows(kept_file, kept)
        counts.update(rows=count, kept=len(kept))
        _count(counts, judged, notes)
        after(counts["rows"], counts)
    return counts


def _count(counts: Counter[str], judged: Sequence[Judged], notes: Sequence[str]) -> None:
    """Adds reasons of rejections and values of notes."""
    counts.update(f"rejected/{verdict.reason}" for _, verdict in judged if not verdict.kept)
    found = ((note, row.notes[note]) for row, _ in judged if row.notes for note in notes if note in row.notes)
    counts.update(note if value[:1] in '[{"' else f"{note}/{value}" for note, value in found)


def _files(out: Path, index: int) -> tuple[Path, Path]:
    """Kept and rejected rows of a shard."""
    return out / "rows" / f"{index:06d}.parquet", out / "rejected" / f"{index:06d}.parquet"


def _count_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
