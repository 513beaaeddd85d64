"""The rows behind a recipe's `data`: an earlier step, a file, a hub dataset or the world that ships with hala.

>>> from hala.data.rows import open_rows
>>> from hala.recipe import Data
>>> next(open_rows(Data(world="pairs", take=1), Collected())).lang   # doctest: +SKIP
'ar'
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hala import artifacts, shards
from hala.errors import InputError
from hala.records import Question, Row

if TYPE_CHECKING:
    from hala.data.readers import BadRow
    from hala.data.sources import SourceSpec
    from hala.recipe import Data, Languages

MALFORMED = "malformed.jsonl"
WORLD = Path(__file__).parent / "world"


@dataclass
class Collected:
    """Malformed input rows: all are counted and stored, of which the first `keep` are at hand and the others in a file."""

    keep: int = 1000
    count: int = 0
    rows: list[BadRow] = field(default_factory=list)
    _more: IO[str] | None = None

    def __call__(self, bad: BadRow) -> None:
        self.count += 1
        self.store(bad)

    def store(self, bad: BadRow) -> None:
        """Keeps one without counting it."""
        if len(self.rows) < self.keep:
            self.rows.append(bad)
            return
        if self._more is None:
            self._more = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - as long as this
            weakref.finalize(self, self._more.close)
        self._more.write(_line(bad))

    def __iter__(self) -> Iterator[BadRow]:
        from hala.data.readers import BadRow

        yield from self.rows
        if self._more is not None:
            self._more.seek(0)
            yield from (BadRow(**json.loads(line)) for line in self._more)

    def read(self, folder: Path) -> None:
        """Adds what was written there."""
        from hala.data.readers import BadRow

        place = folder / MALFORMED
        if place.exists():
            with place.open(encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    self(BadRow(**json.loads(line)))

    def write(self, out: Path) -> None:
        """`malformed.jsonl`: file, position, reason and an excerpt of each; no file when there are none."""
        if not self.rows:
            return
        with (
            artifacts.atomic_file(out / MALFORMED) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
        ):
            file.writelines(map(_line, self))


def _line(bad: BadRow) -> str:
    return json.dumps(asdict(bad), ensure_ascii=False) + "\n"


def open_all(
    datas: Sequence[Data], inputs: Mapping[str, Path], bad: Collected, languages: Languages | None = None
) -> Iterator[Row]:
    """The rows of every source by its weight, one source after the other; `languages` are those of the step."""
    from hala.data.selecting import is_among

    for data in datas:
        whole, part = divmod(data.weight, 1.0)
        for number in range(int(whole)):
            yield from open_rows(data, bad if not number else Collected(), inputs, languages)  # malformed rows count once
        if part:
            rows = open_rows(data, Collected() if whole else bad, inputs, languages)
            yield from (row for row in rows if is_among(row.id, part))


def open_rows(
    data: Data, bad: Collected, inputs: Mapping[str, Path] | None = None, languages: Languages | None = None
) -> Iterator[Row]:
    """The rows of one source after `where`, `holdout`, `skip` and `take`; malformed ones go to `bad`.

    The source and target of `languages` tell which columns of a pair are meant, and in which direction.
    """
    if data.ref is not None:
        rows = shards.read_rows((inputs or {})[data.ref[1:]])
    elif data.world is not None:
        return _world(data)
    else:
        return _source(data, bad, languages)
    return _slice(rows, data)


def open_questions(data: Data, bad: Collected) -> Iterator[Question]:
    """Multiple-choice questions of one source: the world's, or a JSONL file with question, options and answer."""
    if data.world is not None:
        from hala.data import world

        asked = world.questions(data.split, data.lang or "en", _end(data), data.seed, data.topics)
        return islice(asked, data.skip, None)
    from hala.data.questions import read_questions

    return islice(read_questions(data.path or "", bad, lang=data.lang or ""), data.skip, _end(data))


def fingerprint(data: Data) -> str:
    """What stands for the content in a step's fingerprint: a digest of files, `id@revision` of hub datasets."""
    if data.world is not None:
        return f"world:{_digest_sources(WORLD)}"
    from hala.data import sources

    return sources.fingerprint(spec_of(data))


def _digest_sources(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _end(data: Data) -> int | None:
    return None if data.take is None else data.skip + data.take


def _slice(rows: Iterator[Row], data: Data) -> Iterator[Row]:
    return islice(rows, data.skip, _end(data))


def _world(data: Data) -> Iterator[Row]:
    from hala.data import world

    end, about = _end(data), data.topics
    if data.world == "pairs":
        rows = world.pairs(data.split, end, data.seed, about)
    elif data.world == "sentences":
        rows = world.sentences(data.split, end, data.seed, about)
    elif data.world == "texts":
        rows = world.texts(data.split, end, data.seed, data.arabic_share, about)
    elif data.world == "conversations":
        rows = world.conversations(data.split, data.lang or "en", end, data.seed, about=about)
    elif data.world == "instructions":
        rows = world.instructions(data.split)
    else:
        raise InputError("the world's questions are no rows.", "Name them under `questions:` of evaluate or filter.")
    return _slice(rows, data)


def _source(data: Data, bad: Collected, languages: Languages | None) -> Iterator[Row]:
    from hala.data.sources import open_source

    spec = spec_of(data)
    return open_source(replace(spec, languages=(languages.source, languages.target)) if languages else spec, bad)


def spec_of(data: Data) -> SourceSpec:
    """What the readers must know of data that is a path or on the hub."""
    from hala.data.sources import SourceSpec

    same = set(SourceSpec.__dataclass_fields__) & set(type(data).model_fields)
    return SourceSpec(**{name: value for name in same if (value := getattr(data, name)) is not None})
