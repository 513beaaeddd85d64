"""Files as streams of records, whatever is wrong with them: a broken record is reported, a broken file says what to do.

Every reader yields `(position, record)`, with a 0-based position that counts broken records too, so that ids never shift.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hala.data.exchange_files import read_pairs
from hala.data.shapes import SHAPES, detect, is_own
from hala.data.tables import read_table
from hala.data.text_files import (
    UNREADABLE,
    BadRow,
    Records,
    Reject,
    encoding_error,
    open_bytes,
    parallel,
    refusing_torn,
    text_lines,
    without_mark,
)
from hala.errors import InputError

__all__ = ["FORMATS", "BadRow", "Records", "Reject", "format_of", "parallel", "read_records", "suffix_of", "text_lines"]

FORMATS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet",
    ".txt": "txt", ".md": "document", ".tmx": "tmx", ".xlf": "xliff", ".xliff": "xliff",
}  # fmt: skip


def format_of(path: Path) -> str:
    """The format by the file's name without .gz or .zst. Raises InputError for an unknown one."""
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        raise InputError(f"cannot tell the format of {path}.", f"Give it one of the endings {' '.join(FORMATS)}, or set format:.")
    return FORMATS[suffix]


def suffix_of(path: Path) -> str:
    """The file's ending in lower case, without .gz or .zst."""
    return Path(path.name.lower().removesuffix(".gz").removesuffix(".zst")).suffix


def read_records(
    path: Path, form: str, reject: Reject, header: bool | None = None, names: Collection[str] = (), whole: bool = True
) -> Records:
    """The records of one file of a known format. `names` are columns that a header, if there is one, must hold.

    A file that is torn is an InputError after its last record; when it need not be `whole`, it is a bad record: `torn_file`.
    """
    _check(path)
    reject = refusing_torn(reject) if whole else reject
    if form == "jsonl":
        return _jsonl(path, reject)
    if form == "json":
        return _json(path, reject)
    if form in ("csv", "tsv"):
        return read_table(path, "\t" if form == "tsv" else ",", reject, header, names)
    if form == "parquet":
        return _parquet(path, reject)
    if form in ("tmx", "xliff"):
        return _pairs(path, reject)
    if form == "txt":
        return ((position, {"text": line}) for position, line in text_lines(path, reject) if line.strip())
    if form == "document":
        return iter([(0, {"text": "\n".join(line for _, line in text_lines(path, reject))})])
    raise InputError(f"unknown format '{form}' for {path}.", f"Use one of {', '.join(sorted(set(FORMATS.values())))}.")


def _check(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"no file {path}.", "Check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", "Check how it was made; an empty download is the usual cause.")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("duplicate key")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates)  # json.loads would make one for each row


def _parse_json(text: str) -> Any:
    """The value, or the reason why not as a ValueError; deep nesting counts as one."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _jsonl(path: Path, reject: Reject) -> Records:
    for position, text in text_lines(path, reject):
        if not text.strip():
            continue
        try:
            record = _parse_json(text)
        except ValueError as error:
            reject(BadRow(str(path), position, "bad_json", f"{error}: {text[:80]}"))
            continue
        if isinstance(record, dict):
            yield position, record
        else:
            reject(BadRow(str(path), position, "not_an_object", text[:80]))


def _json(path: Path, reject: Reject) -> Records:
    """A list of objects, an object with one list of them, or after all one object a line."""
    try:
        with open_bytes(path) as file:
            data = file.read()
        text = without_mark(data, path).decode("utf-8")
    except UnicodeDecodeError:
        raise encoding_error(path) from None
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be unpacked: {error}.", "Download it again.") from error
    try:
        value = _parse_json(text)
    except ValueError as error:
        if text.lstrip().startswith("{") and "\n" in text.strip():
            yield from _jsonl(path, reject)
            return
        raise InputError(f"{path} is not JSON: {error}.", "Repair it, or give one object a line in a .jsonl file.") from error
    if isinstance(value, dict):
        value = [value] if _is_record(value) else _only_list(value, path)
    if not isinstance(value, list) or not value:
        raise InputError(
            f"{path} holds no list of objects.", "Give a JSON list of objects, or one object a line in a .jsonl file."
        )
    for position, record in enumerate(value):
        if isinstance(record, dict):
            yield position, record
        else:
            reject(BadRow(str(path), position, "not_an_object", str(record)[:80]))


def _is_record(value: dict[str, Any]) -> bool:
    """Whether an object is itself a record, not the wrapping of a list of records."""
    shape = "own" if is_own(value) else detect(value)
    turns = next((value[name] for name in SHAPES.get(shape, {}).get(shape, ()) if name in value), None)
    if shape in ("messages", "conversations"):  # or a list of conversations under that name
        return isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and bool({"role", "from"} & turns[0].keys())
    return bool(shape)


def _only_list(value: dict[str, Any], path: Path) -> list[Any]:
    """The one list of objects in an object, else the object alone. Raises InputError when there are several."""
    lists = {name: each for name, each in value.items() if isinstance(each, list) and each and isinstance(each[0], dict)}
    if len(lists) > 1:
        raise InputError(
            f"{path} holds several lists of objects: {', '.join(lists)}.", "Save the wanted one as a file of its own."
        )
    return next(iter(lists.values()), [value])


def _parquet(path: Path, reject: Reject) -> Records:
    import pyarrow
    import pyarrow.parquet as parquet

    position = 0
    try:
        file = parquet.ParquetFile(path)
        for batch in file.iter_batches(batch_size=1000):
            try:
                records = batch.to_pylist()
            except UnicodeDecodeError:
                records = [_record(batch.slice(number, 1)) for number in range(len(batch))]
            for record in records:
                if isinstance(record, dict):
                    yield position, record
                else:
                    reject(BadRow(str(path), position, "invalid_utf8", record))
                position += 1
    except (pyarrow.ArrowException, OSError) as error:
        reject(BadRow(str(path), position, "torn_file", f"no readable Parquet file: {error}"[:200]))


def _record(one: Any) -> dict[str, Any] | str:
    """The only record of a batch, or why it has none."""
    try:
        record: dict[str, Any] = one.to_pylist()[0]
        return record
    except UnicodeDecodeError as error:
        return str(error)


def _pairs(path: Path, reject: Reject) -> Records:
    """The pairs of a TMX or XLIFF file."""

    def broken(position: int, reason: str) -> None:
        slug, _, detail = reason.partition(": ")
        reject(BadRow(str(path), position, slug, detail))

    with open_bytes(path) as file:
        yield from read_pairs(file, path, broken)
