"""Rows from files, folders, hub datasets and earlier runs: one spec, one stream, every unusable record reported with its reason.

>>> from hala.data.sources import SourceSpec, open_source
>>> rows = open_source(SourceSpec(path="pairs.jsonl", lang="ar"), print)    # {"en": ..., "ar": ...} a line
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hala.data.complaints import Complaints
from hala.data.places import check_place, data_files
from hala.data.questions import read_questions
from hala.data.readers import FORMATS, BadRow, Records, Reject, format_of, parallel, read_records
from hala.data.selecting import Where, fits, is_among, is_sampled
from hala.data.shapes import (
    SHAPES,
    RecordError,
    Wanted,
    asks_for_label,
    clean,
    detect,
    is_complete,
    is_own,
    named_fields,
    own_row,
    parse,
    plain_names,
    target_language,
    tools_of,
)
from hala.errors import InputError, nearest
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
    where: Where | None = None
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
    languages: tuple[str, str] = ("", "")
    """Source and target of the work that the rows are for: they tell which columns of a pair are meant, and which is which."""


# After so many records without one usable row the settings are wrong, not the data.
_PATIENCE = 1000


def open_source(spec: SourceSpec, reject: Reject) -> Iterator[Row]:
    """The rows of a source, in order; `reject` is called once for every record that cannot be used.

    Raises InputError when the source is missing, empty, in another encoding, or has no usable record at all.
    """
    _check(spec)
    name, form = spec.name or _name(spec), (*_form(spec), (spec.languages[0], spec.lang or spec.languages[1]))
    bad, made = Complaints(spec), 0

    def count(each: BadRow) -> None:
        bad.add(each)
        reject(each)
        if made and made + bad.total >= _PATIENCE and bad.total > spec.stop_above * (made + bad.total):
            raise bad.too_many(made)

    for file, place, position, record in _selected(spec, count, bad.columns):
        try:
            row = _row(record, spec, form, f"{name}/{position}", name)
        except RecordError as error:
            count(BadRow(file, place, error.reason, error.detail or _excerpt(record)))
            if not made and bad.total >= _PATIENCE:
                break
            continue
        made += 1
        if spec.sample >= 1.0 or is_sampled(row.id, spec.sample, spec.seed):
            yield row
    if not made:
        raise bad.nothing()
    if (absent := bad.absent()) is not None:
        raise absent


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
    if spec.path:
        check_place(Path(spec.path))


def _form(spec: SourceSpec) -> tuple[str, Mapping[str, str]]:
    """The declared shape, or the one whose fields the column map names, else ""; and the map by the shape's own field names.

    Raises InputError for a column that belongs to no shape.
    """
    if spec.shape or not spec.columns:
        shape = "pair" if spec.target and not spec.shape else spec.shape
        given = named_fields(shape, spec.columns or {}) if shape else {}
    else:
        found = ((shape, named_fields(shape, spec.columns)) for shape in SHAPES)
        shape, given = next(((shape, fields) for shape, fields in found if fields and is_complete(shape, fields)), ("", None))
    if given is None:
        fields = "; ".join(f"{shape}: {', '.join(names)}" for shape, names in SHAPES.items() if spec.shape in ("", shape))
        raise InputError(
            f"columns {sorted(spec.columns or {})} belong to {f'no field of shape {spec.shape}' if spec.shape else 'no shape'}.",
            f"Map fields to the data's columns ({fields.replace('?', ' (optional)')}).",
        )
    return shape, given


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


def _selected(spec: SourceSpec, reject: Reject, columns: set[str]) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    """File, position in it, position in all and record after `where`, `skip` and `take`; what cannot be parsed counts as taken.

    `columns` gets the names that any record has.
    """
    end = None if spec.take is None else spec.skip + spec.take
    seen = 0

    def broken(bad: BadRow) -> None:
        nonlocal seen
        seen += 1
        if seen > spec.skip and (end is None or seen <= end):
            reject(bad)

    chosen = bool(spec.where or spec.holdout)
    for file, before, records in _streams(spec, broken):
        for place, record in records:
            if end is not None and seen >= end:
                return
            if not columns.issuperset(record):
                columns.update(map(str, record))
            if chosen and not _wanted(record, spec):
                continue
            seen += 1
            if seen > spec.skip:
                yield file, place, before + place, record
            if seen == end:  # what follows may be a whole data set, or a stream
                return


def _wanted(record: Mapping[str, Any], spec: SourceSpec) -> bool:
    if spec.where and not fits(record, spec.where):
        return False
    if not spec.holdout or record.get(spec.holdout) is None:
        return True  # without its group a record is rejected later, with the other unusable ones
    return is_among(str(record[spec.holdout]), spec.holdout_share) == (spec.split == "heldout")


def _streams(spec: SourceSpec, reject: Reject) -> Iterator[tuple[str, int, Records]]:
    """Every file with the number of records before it; in a folder a torn file is one bad record and the others go on."""
    if spec.hub:
        split = "train" if spec.holdout and spec.split == "heldout" else spec.split
        records = hub_records(spec.hub, spec.config, split, resolve_revision(spec))
        yield spec.hub, 0, enumerate(map(dict, records))
    elif spec.target:
        yield str(spec.path), 0, parallel(Path(spec.path or ""), Path(spec.target), reject)
    else:
        files, names, before, last = _files(spec), (spec.columns or {}).values(), 0, -1

        def noting(records: Records) -> Records:
            nonlocal last
            for each in records:
                last = each[0]
                yield each

        for path, form in files:
            last = -1
            yield str(path), before, noting(read_records(path, form, reject, spec.header, names, whole=len(files) == 1))
            before += last + 1


def hub_records(name: str, config: str | None, split: str, revision: str | None) -> Iterator[Mapping[str, Any]]:
    """The records of a hub dataset, streamed in order. Raises InputError when it cannot be read."""
    import httpx

    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError("hub datasets need the package 'datasets'.", "Install it: pip install 'hala[hub]'.") from error
    try:
        _reach(name)
        yield from load_dataset(name, config or None, split=split, revision=revision, streaming=True)
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise InputError(
            f"cannot read dataset {name}: {str(error)[:300]}.",
            "Check hub, config, split and your connection; offline, give a local copy with path:.",
        ) from error


def _reach(name: str) -> None:
    """Raises httpx.ConnectError or ConnectTimeout where there is no way to the hub; load_dataset would try for half a minute."""
    import httpx
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(name, timeout=20)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise
    except (httpx.HTTPError, OSError, ValueError):  # what the hub says itself, load_dataset says better
        return


def _row(record: dict[str, Any], spec: SourceSpec, form: tuple[str, Mapping[str, str], Wanted], place: str, name: str) -> Row:
    """The row of a record; its id is its place and the hash of what it says."""
    if spec.holdout and record.get(spec.holdout) is None:
        raise RecordError("missing_field", f"holdout: {spec.holdout}")
    if is_own(record):
        _refuse_idle(spec)
        return own_row(record)
    (shape, columns, wanted), lang, fields = form, spec.lang or "", record
    if not shape:
        shape = detect(record, wanted)
        if not shape and (names := plain_names(tuple(record))):
            fields = dict(zip(names, record.values(), strict=True))
            shape = detect(fields, wanted)
        if not shape:
            raise RecordError("unknown_shape", f"fields {sorted(map(str, record))[:8]}")
        if shape == "question" and asks_for_label(fields):
            raise RecordError("has_options", "its answer names one of several options, which the question does not hold")
    messages, original = parse(fields, shape, columns, wanted)
    if not lang and original is not None:
        lang = target_language(fields, columns, wanted)
    tools = tools_of(record) if shape in ("messages", "conversations") else ""
    notes = {column: clean(str(record[column]), column) for column in spec.keep if record.get(column) not in (None, "")}
    notes |= {"tools": tools} if tools else {}
    return Row(f"{place}-{_digest(messages, original)}", messages, lang, name, spec.licence, original, notes)


def _refuse_idle(spec: SourceSpec) -> None:
    """Raises InputError for a setting that would do nothing for rows that hala wrote."""
    idle = [key for key in ("lang", "licence", "keep", "shape", "columns") if getattr(spec, key)]
    if idle:
        raise InputError(
            f"{', '.join(idle)} does nothing for {spec.path or spec.hub}: hala wrote these rows, and each says it of itself.",
            f"Leave {' and '.join(f'{key}:' for key in idle)} out; set it where the rows are first read.",
        )


def _digest(messages: tuple[Message, ...], original: tuple[Message, ...] | None) -> str:
    digest = hashlib.blake2b(digest_size=4)
    for message in (*messages, *(original or ())):
        digest.update(f"{message.role}\0{message.content}\0".encode())
    return digest.hexdigest()


def _excerpt(record: Mapping[str, Any]) -> str:
    return str(dict(record))[:120].encode("utf-8", "replace").decode()
