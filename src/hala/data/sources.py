"""Rows from files, folders, hub datasets and earlier runs: one spec, one stream, every unusable record reported with its reason.

>>> from hala.data.sources import SourceSpec, open_source
>>> rows = open_source(SourceSpec(path="pairs.jsonl", lang="ar"), print)    # {"en": ..., "ar": ...} a line
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hala.data.places import check_place, data_files
from hala.data.questions import read_questions
from hala.data.readers import FORMATS, BadRow, Records, Reject, format_of, parallel, read_records
from hala.data.shapes import SHAPES, RecordError, clean, detect, is_own, language_pair, own_row, parse, tools_of
from hala.errors import InputError, nearest
from hala.languages import LANGUAGES
from hala.records import Message, Row

__all__ = ["BadRow", "SourceSpec", "fingerprint", "hub_records", "open_source", "read_questions", "resolve_revision"]


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where rows come from and how to read them; exactly one of `path` and `hub` is set."""

    path: str | None = None
    """A file, a folder of files, or a folder of rows that hala wrote."""
    target: str | None = None
    """Second text file, aligned line by line with `path`."""
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    """Split of a hub dataset; with `holdout`, `heldout` reads the held-out groups and any other split leaves them out."""
    revision: str | None = None
    """Commit, tag or branch of the hub dataset; none means the newest, whose commit is looked up and recorded in the ids."""
    name: str = ""
    """First part of row ids; by default the file's name or the dataset's id and revision."""
    format: str = ""
    shape: str = ""
    """One of SHAPES; by default told from the field names of each record."""
    columns: Mapping[str, str] | None = None
    """The shape's field -> the data's column (its number, from 0, where there is no header)."""
    header: bool | None = None
    keep: tuple[str, ...] = ()
    """Columns whose values go along in the rows' notes, as text; one that a record lacks is left out."""
    where: Mapping[str, str | list[str]] | None = None
    """Keep only records whose columns have these values, or one of these."""
    holdout: str | None = None
    """Column whose values are divided by hash into held-out and other groups; a group is never in both.
    A record without it is in none and cannot be used."""
    holdout_share: float = 0.02
    """Share of the groups that are held out."""
    skip: int = 0
    take: int | None = None
    """How many records to read after `where`, `holdout` and `skip`, unusable ones included; None reads all."""
    sample: float = 1.0
    """Share of rows to keep, 0 to 1, chosen by the hash of their content: the same rows every time."""
    seed: int = 0
    """Another seed chooses other rows."""
    stop_above: float = 1.0
    """Stop when more than this share of the records read so far, at least 1,000, cannot be used."""
    lang: str | None = None
    """Language of the rows; none means that of the target column of pairs where its name says it, else unknown."""
    licence: str = ""


# After so many records without one usable row the settings are wrong, not the data.
_PATIENCE = 1000


def open_source(spec: SourceSpec, reject: Reject) -> Iterator[Row]:
    """The rows of a source, in order; `reject` is called once for every record that cannot be used.

    Raises InputError when the source is missing, empty, in another encoding, or has no usable record at all.
    """
    _check(spec)
    name = spec.name or _name(spec)
    reasons: Counter[str] = Counter()
    columns: set[str] = set()
    missing: dict[str, None] = {}  # in order of appearance

    def count(bad: BadRow) -> None:
        reasons[bad.reason] += 1
        if bad.reason == "missing_field" and len(missing) < 3:
            missing[bad.excerpt] = None
        reject(bad)
        lost = reasons.total()
        if made and made + lost >= _PATIENCE and lost > spec.stop_above * (made + lost):
            raise _too_many(spec, reasons, made)

    made = 0
    for file, position, record in _selected(spec, count):
        columns.update(map(str, record))
        try:
            row = _row(record, spec, name, position)
        except RecordError as error:
            count(BadRow(file, position, error.reason, error.detail or _excerpt(record)))
            if not made and reasons.total() >= _PATIENCE:
                break
            continue
        made += 1
        if spec.sample >= 1.0 or _sampled(row.id, spec):
            yield row
    if not made:
        raise _nothing(spec, reasons, columns, list(missing))


def fingerprint(spec: SourceSpec) -> str:
    """What the data is, not where it lies: a digest of the files' bytes, or `id@revision` of a hub dataset."""
    if spec.hub:
        return f"{spec.hub}@{resolve_revision(spec)}"
    _check(spec)
    digest = hashlib.sha256()
    paths = [Path(spec.path or ""), Path(spec.target)] if spec.target else [path for path, _ in _files(spec)]
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def resolve_revision(spec: SourceSpec) -> str:
    """The 40-digit commit of a hub dataset. Raises InputError when the hub cannot say."""
    if re.fullmatch("[0-9a-f]{40}", spec.revision or ""):
        return str(spec.revision)
    import httpx
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(spec.hub or "", revision=spec.revision).sha)
    except (httpx.HTTPError, OSError, ValueError) as error:  # the hub's own errors are OSErrors, being offline is httpx's
        raise InputError(
            f"the hub does not answer for dataset {spec.hub}: {str(error)[:200]}.",
            "Check its name and your connection; offline, give a local copy with path:.",
        ) from error


def _check(spec: SourceSpec) -> None:
    if bool(spec.path) == bool(spec.hub):
        raise InputError("a source needs either a path or a hub dataset.", "Set path: or hub:, not both.")
    if spec.shape and spec.shape not in SHAPES:
        raise InputError(f"unknown shape '{spec.shape}'.{nearest(spec.shape, SHAPES)}", f"Use one of {', '.join(SHAPES)}.")
    if spec.columns and not spec.shape and not _shape_of(spec):
        raise InputError(f"columns {sorted(spec.columns)} belong to no shape.", f"Add shape: one of {', '.join(SHAPES)}.")
    if spec.path:
        check_place(Path(spec.path))


def _shape_of(spec: SourceSpec) -> str:
    """The declared shape, or the one whose fields the column map names; empty when neither is given."""
    if spec.shape or not spec.columns:
        return "pair" if spec.target and not spec.shape else spec.shape
    for shape, fields in SHAPES.items():
        required = {each for each in fields if not each.endswith("?")}
        if required <= set(spec.columns) <= {each.rstrip("?") for each in fields}:
            return shape
    return ""


def _name(spec: SourceSpec) -> str:
    if spec.hub:
        return f"{spec.hub}@{resolve_revision(spec)[:8]}"
    name = Path(spec.path or "").resolve().name
    while Path(name).suffix.lower() in (*FORMATS, ".gz", ".zst"):
        name = Path(name).stem
    return name or "data"


def _files(spec: SourceSpec) -> list[tuple[Path, str]]:
    """Every file with its format, sorted by name. Raises InputError for a folder without data."""
    path = Path(spec.path or "")
    by_column = spec.columns and all(name.isdigit() for name in spec.columns.values()) and path.name.endswith(".txt")
    if by_column and path.is_file() and not spec.format:
        return [(path, "tsv")]
    return [(each, spec.format or format_of(each)) for each in data_files(path)]


def _selected(spec: SourceSpec, reject: Reject) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """File, position and record after `where`, `skip` and `take`; records that cannot be parsed count as taken."""
    end = None if spec.take is None else spec.skip + spec.take
    seen = 0

    def broken(bad: BadRow) -> None:
        nonlocal seen
        seen += 1
        if seen > spec.skip and (end is None or seen <= end):
            reject(bad)

    for file, records in _streams(spec, broken):
        for position, record in records:
            if not _wanted(record, spec):
                continue
            if end is not None and seen >= end:
                return
            seen += 1
            if seen > spec.skip:
                yield file, position, record


def _wanted(record: Mapping[str, Any], spec: SourceSpec) -> bool:
    for column, value in (spec.where or {}).items():
        if str(record.get(column, "")) not in ([value] if isinstance(value, str) else value):
            return False
    if not spec.holdout or record.get(spec.holdout) is None:
        return True  # without its group a record is rejected later, with the other unusable ones
    return is_among(str(record[spec.holdout]), spec.holdout_share) == (spec.split == "heldout")


def _sampled(row_id: str, spec: SourceSpec) -> bool:
    """Whether a row, whose id ends in the hash of its content, is in the sample."""
    mark = row_id[-8:]
    return is_among(f"{spec.seed} {mark}", spec.sample) if spec.seed else int(mark, 16) < spec.sample * 2**32


def is_among(name: str, share: float) -> bool:
    """Whether a name is in a share of all names, 0 to 1, which its hash decides: always the same ones."""
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _streams(spec: SourceSpec, reject: Reject) -> Iterator[tuple[str, Records]]:
    if spec.hub:
        split = "train" if spec.holdout and spec.split == "heldout" else spec.split
        yield spec.hub, enumerate(dict(record) for record in hub_records(spec.hub, spec.config, split, resolve_revision(spec)))
    elif spec.target:
        yield str(spec.path), parallel(Path(spec.path or ""), Path(spec.target), reject)
    else:
        offset = 0
        for path, form in _files(spec):
            last = -1
            for last, record in read_records(path, form, reject, spec.header, (spec.columns or {}).values()):
                yield str(path), iter([(offset + last, record)])
            offset += last + 1


def hub_records(name: str, config: str | None, split: str, revision: str | None) -> Iterator[Mapping[str, Any]]:
    """The records of a hub dataset, streamed in order. Raises InputError when it cannot be read."""
    import httpx

    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError("hub datasets need the package 'datasets'.", "Install it: pip install 'hala[hub]'.") from error
    try:
        yield from load_dataset(name, config or None, split=split, revision=revision, streaming=True)
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise InputError(
            f"cannot read dataset {name}: {str(error)[:300]}.",
            "Check hub, config, split and your connection; offline, give a local copy with path:.",
        ) from error


def _row(record: dict[str, Any], spec: SourceSpec, name: str, position: int) -> Row:
    if spec.holdout and record.get(spec.holdout) is None:
        raise RecordError("missing_field", f"holdout: {spec.holdout}")
    if is_own(record):
        return own_row(record)
    lang = spec.lang or ""
    shape = _shape_of(spec) or detect(record, lang)
    if not shape:
        raise RecordError("unknown_shape", f"fields {sorted(map(str, record))[:8]}")
    messages, original = parse(record, shape, spec.columns or {}, lang)
    if not lang and original is not None:
        lang = _target_language(record, spec)
    tools = tools_of(record) if shape in ("messages", "conversations") else ""
    notes = {column: clean(str(record[column]), column) for column in spec.keep if record.get(column) not in (None, "")}
    notes |= {"tools": tools} if tools else {}
    return Row(f"{name}/{position}-{_digest(messages, original)}", messages, lang, name, spec.licence, original, notes)


def _target_language(record: Mapping[str, Any], spec: SourceSpec) -> str:
    """The language that the target column is named after; empty when its name is no language code."""
    named = (spec.columns or {}).get("target", "")
    inner = record["translation"] if isinstance(record.get("translation"), dict) else record
    pair = language_pair(inner)
    return named if named in LANGUAGES else (pair[1] if pair and not named else "")


def _digest(messages: tuple[Message, ...], original: tuple[Message, ...] | None) -> str:
    digest = hashlib.blake2b(digest_size=4)
    for message in (*messages, *(original or ())):
        digest.update(f"{message.role}\0{message.content}\0".encode())
    return digest.hexdigest()


def _excerpt(record: Mapping[str, Any]) -> str:
    return str(dict(record))[:120].encode("utf-8", "replace").decode()


def _headless(spec: SourceSpec) -> bool:
    """Whether a table was read by column number although nobody asked for numbers; only the first table is looked at."""
    names = (spec.columns or {}).values()
    if not spec.path or spec.target or (names and all(name.isdigit() for name in names)):
        return False
    for path, form in _files(spec):
        if form in ("csv", "tsv"):
            _, record = next(read_records(path, form, lambda bad: None, spec.header, names), (0, {"": ""}))
            return all(name.isdigit() for name in record)
    return False


def _too_many(spec: SourceSpec, reasons: Counter[str], made: int) -> InputError:
    bad = reasons.total()
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(4))
    return InputError(
        f"{bad:,} of the first {bad + made:,} records of {spec.path or spec.hub} cannot be used ({why}).",
        f"Look at some of them, then map or repair them, or raise stop_above of the data (it is {spec.stop_above:g}).",
    )


def _nothing(spec: SourceSpec, reasons: Counter[str], columns: set[str], missing: list[str]) -> InputError:
    where = spec.path or spec.hub
    first = " The first line was read as data; set header: true if it names the columns." if _headless(spec) else ""
    if reasons:
        told = {"missing_field": f": {'; '.join(missing)}"}
        why = ", ".join(f"{count} {reason}{told.get(reason, '')}" for reason, count in reasons.most_common(4))
        known = f" Columns found: {', '.join(sorted(columns)[:12])}." if columns else ""
        fix = "Name the shape and map its fields with columns:, or repair the file."
        if f"holdout: {spec.holdout}" in missing:
            fix = "Add that column (what it holds tells which rows belong together), name another one, or leave holdout: out."
        return InputError(f"no usable row in {where} ({why}).{known}{first}", fix)
    if spec.where or spec.holdout:
        chosen = {**(spec.where or {}), **({"holdout": f"{spec.holdout}, {spec.split}"} if spec.holdout else {})}
        return InputError(f"no record of {where} has {chosen}.{first}", "Check the names and values under where: and holdout:.")
    return InputError(f"{where} has no records.", "Check skip: and the file.")
