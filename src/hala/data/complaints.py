"""What is said of a source that cannot be used: how much of it, why, where, and what to do next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hala.data.places import data_files
from hala.data.readers import BadRow, format_of, read_records
from hala.errors import InputError

if TYPE_CHECKING:
    from hala.data.sources import SourceSpec

_EXAMPLES = 3


@dataclass
class Complaints:
    """The records of one source that could not be used, by reason and by file, and all columns that any record had."""

    spec: SourceSpec
    reasons: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    missing: dict[str, None] = field(default_factory=dict)  # in order of appearance
    first: BadRow | None = None
    total: int = 0

    def add(self, bad: BadRow) -> None:
        """Counts one."""
        self.total += 1
        self.reasons[bad.reason] += 1
        self.files[bad.file] += 1
        self.first = self.first or bad
        if bad.reason == "missing_field" and len(self.missing) < _EXAMPLES:
            self.missing[bad.excerpt] = None

    def too_many(self, made: int) -> InputError:
        """Too large a share of the records read so far is unusable."""
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common(4))
        read = self.total + made
        return InputError(
            f"{self.total:,} of the first {read:,} records of {self._place()} cannot be used ({why}).{self._where()}",
            f"Look at some of them, then map or repair them, or raise stop_above of the data (it is {self.spec.stop_above:g}).",
        )

    def nothing(self) -> InputError:
        """No record at all is usable."""
        spec, hint = self.spec, table_hint(self.spec)
        if self.reasons:
            told = {"missing_field": f": {'; '.join(self.missing)}"}
            why = ", ".join(f"{count} {reason}{told.get(reason, '')}" for reason, count in self.reasons.most_common(4))
            fix = "Name the shape and map its fields with columns:, or repair the file (docs/data.md lists shapes and fields)."
            if "has_options" in self.reasons:
                fix = "Options belong into the question: write them there, or give the file as `questions` where they are asked."
            if f"holdout: {spec.holdout}" in self.missing:
                fix = "Add that column (what it holds tells which rows belong together), name another one, or leave holdout: out."
            return InputError(f"no usable row in {self._place()} ({why}).{self._known()}{self._where()}{hint}", fix)
        if spec.where or spec.holdout:
            chosen = {**(spec.where or {}), **({"holdout": f"{spec.holdout}, {spec.split}"} if spec.holdout else {})}
            return InputError(
                f"no record of {self._place()} has {chosen}.{self._known()}{hint}",
                "Check the names and values under where: and holdout:.",
            )
        return InputError(f"{self._place()} has no records.", "Check skip: and the file.")

    def absent(self) -> InputError | None:
        """A column to keep that no record had."""
        lost = [name for name in self.spec.keep if name not in self.columns]
        if not lost:
            return None
        return InputError(f"no record of {self._place()} has a column {lost[0]}.{self._known()}", "Check the names under keep:.")

    def _place(self) -> str:
        return str(self.spec.path or self.spec.hub)

    def _known(self) -> str:
        return f" Columns found: {', '.join(sorted(self.columns)[:12])}." if self.columns else ""

    def _where(self) -> str:
        """The file of a folder that has most of them, and the first one."""
        said = ""
        if self.spec.path and Path(self.spec.path).is_dir():
            file, count = self.files.most_common(1)[0]
            said = f" {count:,} of them are in {file}."
        if self.first is not None:
            said += f" The first is record {self.first.position} ({self.first.reason}): {self.first.excerpt[:80]!r}."
        return said


def table_hint(spec: SourceSpec) -> str:
    """What a table looks like that was read another way than was meant; only the first table is looked at."""
    names = list((spec.columns or {}).values())
    if not spec.path or spec.target:
        return ""
    for path in data_files(Path(spec.path)):
        form = spec.format or format_of(path)
        if form not in ("csv", "tsv"):
            continue
        try:
            _, record = next(read_records(path, form, lambda bad: None, spec.header, names), (0, {"": ""}))
        except InputError:
            return ""
        said = "".join((*record, *record.values())) if len(record) == 1 else ""
        for mark, name in ((";", "';'"), ("\t", "tabs"), ("|", "'|'"), (",", "commas")):
            if mark in said and mark != ("\t" if form == "tsv" else ","):
                right = "tabs" if form == "tsv" else "commas"
                return f" Its columns seem to stand between {name}; save it with {right} between them."
        if all(name.isdigit() for name in record) and not (names and all(name.isdigit() for name in names)):
            return (
                " The first line was read as data; set header: true if it names the columns,"
                " else number them from 0: --set 'data.columns={source: 0, target: 1}'."
            )
        return ""
    return ""
