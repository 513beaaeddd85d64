"""The human translations that benchmarks/gates.py measures with, read in place, in two halves that never meet.

Half 0 is for setting limits: FLORES dev, and documents and sentences whose name has an even checksum. Half 1 is for the report:
FLORES devtest and the rest.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from planted_pair import Good

LANGUAGES = ("ar", "hi", "vi", "sw")
_NTREX = {"ar": "arb", "hi": "hin", "vi": "vie", "sw": "swa"}


def read_sets(data: Path, half: int) -> dict[str, dict[str, list[Good]]]:
    """Pairs of the half by language and set, in file order; the same text in other languages stands in `sides`."""
    sides: dict[str, dict[str, str]] = {}
    for code in LANGUAGES:
        for identity, _, _, target in (*_flores(data, code), *_ntrex(data, code)):
            sides.setdefault(identity, {})[code] = target
    sets: dict[str, dict[str, list[Good]]] = {}
    for code in LANGUAGES:
        readers = {"documentation": _docs, "FLORES": _flores, "NTREX": _ntrex, "Tatoeba": _tatoeba}
        for name, reader in readers.items():
            pairs = [
                Good(
                    identity,
                    part,
                    source,
                    target,
                    code,
                    {other: side for other, side in sides.get(identity, {}).items() if other != code},
                )
                for identity, part, source, target in reader(data, code)
                if part == half
            ]
            if pairs:
                sets.setdefault(code, {})[name] = pairs
    return sets


Line = tuple[str, int, str, str]


def _half(name: str) -> int:
    return zlib.crc32(name.encode()) % 2


def _docs(data: Path, code: str) -> Iterator[Line]:
    path = data / f"docs_en_{code}" / f"msdocs.en-{code}.ht.jsonl.gz"
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for index, line in enumerate(file):
                row = json.loads(line)
                yield f"docs/{index}", _half(row["doc"]), row["en"], row[code]


def _flores(data: Path, code: str) -> Iterator[Line]:
    for part, half in (("dev", 0), ("test", 1)):
        path = data / "flores200" / f"flores-{part}.{code}"
        if path.exists():
            for index, (source, target) in enumerate(zip(_lines(path.with_suffix(".en")), _lines(path), strict=True)):
                yield f"flores-{part}/{index}", half, source, target


def _ntrex(data: Path, code: str) -> Iterator[Line]:
    folder = data / "ntrex"
    documents = _lines(folder / "DOCUMENT_IDS.tsv")
    sources, targets = _lines(folder / "newstest2019-src.eng.txt"), _lines(folder / f"newstest2019-ref.{_NTREX[code]}.txt")
    for index, (document, source, target) in enumerate(zip(documents, sources, targets, strict=True)):
        yield f"ntrex/{index}", _half(document), source, target


def _tatoeba(data: Path, code: str) -> Iterator[Line]:
    if code == "ar":
        for index, line in enumerate(_lines(data / "tatoeba_en_ar" / "ara.eng.txt")):
            source, target, _ = line.split("\t")
            yield f"tatoeba/{index}", _half(source), source, target


def _lines(path: Path) -> list[str]:
    return [line.strip("\r") for line in path.read_text(encoding="utf-8").split("\n")][:-1]
