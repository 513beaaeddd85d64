"""Near duplicates by MinHash: texts that share most of their runs of three words, within a set and across sets.

A first pass over all rows makes signatures and finds who may be like whom; in the second pass a row is rejected when it is like
one that was kept before it. So the result depends on the order of the rows alone, and a chain of small changes goes on.

>>> from hala.data.near import Near
>>> from hala.records import Message, Row
>>> text = " ".join(f"word{i}" for i in range(60))
>>> rows = [Row(str(i), (Message("text", text + end),)) for i, end in enumerate(("", " and more"))]
>>> near = Near(rows, 0.8)
>>> near.check(rows[0]).kept, near.check(rows[1]).detail
(True, 'target 0.96 like 0')

Sources: Broder 1997 (MinHash), Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3 (banding); rensa makes
the signatures.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import chain, islice
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hala.data.normaliser import words
from hala.errors import InputError
from hala.records import KEPT, Row, Verdict, rejected

HASHES, BANDS = 128, 16  # of 8 hashes each: finds 95% of the pairs that are 0.8 alike, and 0.04 is an estimate's standard error
RUN = 3  # words
SHORTEST = 20  # words: in shorter texts one other word is another question
SEED, ALGORITHM = 42, 2  # signatures of other versions of rensa's algorithm are no longer the same
BATCH = 2000
BLOCK = 1 << 18  # texts: 64 MB of signatures
KNOWN_WORDS = 500_000
AT_ONCE = 2048  # signatures that are compared at a time: half a megabyte, which the processor holds
SIDES = ("target", "source")
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_ONES = np.uint64(0x0101010101010101)

Signatures = NDArray[np.uint16]


class Near:
    """What is nearly alike among `rows`, and which of it was kept so far.

    Memory is 270 bytes for each text (two a row that has an original), so 2.4 GB for 4.5 million pairs, and while it is made 300
    more for each text that is like another. A row is compared with every kept row of its cluster: with 10,000 of them, that takes
    a millisecond. Raises InputError for a rensa whose signatures are others.
    """

    def __init__(self, rows: Iterable[Row], threshold: float) -> None:
        self.threshold = threshold
        shelves = {side: Shelf() for side in SIDES}
        hasher, source = Hasher(), iter(rows)
        while batch := list(islice(source, BATCH)):
            for side, shelf in shelves.items():
                texts = [text for row in batch if (text := text_of(row, side))]
                shelf.add(*hasher.signatures(texts))
        self.clusters = {side: Clusters(shelves.pop(side), threshold) for side in SIDES}

    def check(self, row: Row) -> Verdict:
        """Kept, or `near_duplicate` with the side, the estimated likeness and the id of the earlier row."""
        found = []
        for side, clusters in self.clusters.items():
            text = text_of(row, side)
            place = clusters.find(digest(text)) if text else None
            if place is None:
                continue
            likeness, name = clusters.likest(place)
            if likeness >= self.threshold:
                return rejected("near_duplicate", f"{side} {likeness:.2f} like {name}")
            found.append((clusters, place))
        for clusters, place in found:
            clusters.keep(place, row.id)
        return KEPT


class Clusters:
    """The texts of one side that are like another: their signatures in one matrix, and which of each cluster were kept."""

    def __init__(self, shelf: Shelf, threshold: float) -> None:
        signatures, digests = shelf.all()
        leaders = grouped(signatures, threshold)
        alike = np.flatnonzero(np.bincount(leaders, minlength=len(leaders))[leaders] > 1)
        # Fixed width: zeros at the end, which numpy does not show, are equal too.
        self.digests, first = np.unique(np.frombuffer(digests, "S16")[alike], return_index=True)
        self.signatures = signatures[alike[first]]
        self.leaders = leaders[alike[first]]
        self.kept: dict[int, tuple[array[int], list[str]]] = {}

    def find(self, mark: bytes) -> int | None:
        """The place of a text by its digest; None where it is like no other."""
        place = int(np.searchsorted(self.digests, mark))
        return place if place < len(self.digests) and self.digests[place] == mark.rstrip(b"\0") else None

    def likest(self, place: int) -> tuple[float, str]:
        """How like the likest kept text of its cluster is, and its row's id; of equally like ones the first by name, whatever
        the order in which a continued step hears of the rows kept before."""
        if (kept := self.kept.get(int(self.leaders[place]))) is None:
            return 0.0, ""
        places, names = np.frombuffer(kept[0], np.int64), kept[1]
        counts = np.concatenate([self._equal(place, places[at : at + AT_ONCE]) for at in range(0, len(places), AT_ONCE)])
        most = int(counts.max())
        return most / HASHES, min(names[each] for each in np.flatnonzero(counts == most).tolist())

    def _equal(self, place: int, others: NDArray[np.int64]) -> NDArray[np.uint64]:
        """How many hashes of each of the others are those of `place`."""
        same = self.signatures[others] == self.signatures[place]
        # Ones in bytes are added as numbers of eight bytes, at most 16 in each; then the eight are added in the highest one.
        summed: NDArray[np.uint64] = same.view(np.uint64).sum(axis=1, dtype=np.uint64) * _ONES >> np.uint64(56)
        return summed

    def keep(self, place: int, name: str) -> None:
        """The row of this id stays."""
        places, names = self.kept.setdefault(int(self.leaders[place]), (array("q"), []))
        places.append(place)
        names.append(name)


class Shelf:
    """Signatures and digests as they come, in blocks so large that their memory goes back to the system when they are joined."""

    def __init__(self) -> None:
        self.blocks: list[Signatures] = []
        self.digests = bytearray()

    def add(self, signatures: Signatures, digests: bytes) -> None:
        """More texts."""
        while len(signatures):
            place = len(self.digests) // 16 % BLOCK
            if not place:
                self.blocks.append(np.empty((BLOCK, HASHES), np.uint16))
            fits = min(len(signatures), BLOCK - place)
            self.blocks[-1][place : place + fits] = signatures[:fits]
            self.digests += digests[: 16 * fits]
            signatures, digests = signatures[fits:], digests[16 * fits :]

    def all(self) -> tuple[Signatures, bytearray]:
        """Everything, in order; the shelf is empty then."""
        joined = np.empty((len(self.digests) // 16, HASHES), np.uint16)
        while self.blocks:
            start = (len(self.blocks) - 1) * BLOCK
            joined[start : start + BLOCK] = self.blocks.pop()[: len(joined) - start]
        return joined, self.digests


class Hasher:
    """Signatures of texts, many at a time."""

    def __init__(self) -> None:
        import rensa

        if rensa.RMinHash.ALGORITHM_VERSION != ALGORITHM:
            found = f"rensa {version('rensa')} makes signatures of version {rensa.RMinHash.ALGORITHM_VERSION}"
            raise InputError(
                f"{found}; near duplicates are defined by those of version {ALGORITHM}.", "pip install 'rensa~=0.5.0'"
            )
        self.rensa: Any = rensa
        self.known: dict[str, int] = {}

    def signatures(self, texts: Sequence[str]) -> tuple[Signatures, bytes]:
        """The lower 16 bits of each hash `(texts, HASHES)`, and a digest of 16 bytes a text; too short ones are left out."""
        tokens, digests = [], []
        for text in texts:
            found = words(text)
            if len(found) >= SHORTEST:
                tokens.append(self._numbers(found))
                digests.append(digest(text))
        if not tokens:
            return np.empty((0, HASHES), np.uint16), b""
        hashes, offsets = runs(tokens)
        matrix = self.rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, HASHES, SEED)
        values = np.array(matrix.to_rows(), np.uint32)
        return values.astype(np.uint16), b"".join(digests)

    def _numbers(self, found: list[str]) -> list[int]:
        """A 64-bit number for each word, the same in every process."""
        known = self.known
        if len(known) > KNOWN_WORDS:
            known.clear()
        numbers = []
        for word in found:
            number = known.get(word)
            if number is None:
                number = known[word] = xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))
            numbers.append(number)
        return numbers


def runs(tokens: Sequence[Sequence[int]]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes of all runs of RUN words, text after text, and where each text's begin (and the last one's end)."""
    lengths = np.array([len(each) for each in tokens])
    flat = np.fromiter(chain.from_iterable(tokens), np.uint64, int(lengths.sum()))
    mixed = np.zeros(len(flat) - RUN + 1, np.uint64)
    for place, factor in enumerate(_FACTORS[:RUN]):
        mixed += flat[place : len(flat) - RUN + 1 + place] * factor
    mixed ^= mixed >> np.uint64(29)
    mixed *= _FACTORS[0]
    ends = lengths.cumsum()
    inside = np.ones(len(flat), bool)
    for back in range(1, RUN):  # no run begins on a text's last words
        inside[ends - back] = False
    offsets = np.concatenate([[0], (lengths - RUN + 1).cumsum()]).astype(np.uint64)
    return mixed[inside[: len(mixed)]], offsets


def grouped(signatures: Signatures, threshold: float) -> NDArray[np.int64]:
    """For each text the first of those that are linked with it by pairs at least `threshold` alike; itself when there is none."""
    parent = np.arange(len(signatures))
    width = HASHES // BANDS
    for band in range(BANDS):
        for first, second in likely_pairs(np.ascontiguousarray(signatures[:, band * width : (band + 1) * width])):
            fresh = parent[first] != parent[second]  # others are linked already
            first, second = first[fresh], second[fresh]
            alike = (signatures[first] == signatures[second]).mean(1) >= threshold
            for a, b in zip(first[alike].tolist(), second[alike].tolist(), strict=True):
                one, other = sorted((root(parent, a), root(parent, b)))
                parent[other] = one
        while True:  # everybody points at the first of all
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
    return parent


def likely_pairs(band: NDArray[np.uint16], most: int = 50_000) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of texts that are equal in a band: each with the first and with the one before it, some at a time."""
    halves = band.view(np.uint64)
    keys = halves[:, 0] * _FACTORS[0]
    for place in range(1, halves.shape[1]):
        keys = (keys ^ (keys >> np.uint64(31))) * _FACTORS[1] + halves[:, place]
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = np.concatenate([[False], ordered[1:] == ordered[:-1]])
    starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(keys))))
    places = np.flatnonzero(same)
    for begin in range(0, len(places), most):
        part = places[begin : begin + most]
        before = part - 1
        apart = before != starts[part]
        yield (
            np.concatenate([order[starts[part]], order[before[apart]]]),
            np.concatenate([order[part], order[part[apart]]]),
        )


def root(parent: NDArray[np.int64], index: int) -> int:
    """The first text that `index` is linked with, so far."""
    while (above := int(parent[index])) != index:
        index = above
    return index


def text_of(row: Row, side: str) -> str:
    """The conversation in the target language, or in the source's; empty where there is none."""
    messages = row.messages if side == "target" else row.original or ()
    return "\n".join(message.content for message in messages)


def digest(text: str) -> bytes:
    """16 bytes that stand for a text."""
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
