"""What is under way in a translation: distinct segments, the documents that wait for them, and how these become texts again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hala.data.masks import Masked
from hala.data.segments import Document, join
from hala.data.translating import Pair, Translated
from hala.records import KEPT, Verdict, rejected

RUNGS = ("first", "again", "split", "other")
SHOWN = 200  # characters of a segment, and of the answer to it, that a rejection shows


@dataclass(slots=True)
class Segment:
    """One distinct segment on its way down the ladder. `result` is None until a try passes or, with a verdict, for good."""

    source: str
    context: Pair | None
    masked: Masked
    pieces: bool = False
    """Whether it is itself a piece of a segment that was split: such are not split further."""
    attempt: int = 0
    key: bytes = b""
    result: str | None = None
    verdict: Verdict = KEPT
    tokens: int = 0
    tries: int = 0
    rung: str = "first"
    users: list[tuple[Draft, int]] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """A document whose segments are being translated; `done` is called once, when all are settled."""

    document: Document
    texts: tuple[str, ...]
    segments: list[Segment | None]
    missing: int
    pieces: bool
    anchors: dict[int, list[int]]
    """Which segments wait for a segment to be their context."""
    done: Callable[[Draft], None]


@dataclass(slots=True)
class Group:
    """The texts that came together."""

    number: int
    results: list[Translated | None]
    missing: int


def assembled(draft: Draft) -> Translated:
    """The text of a document whose segments are settled, or the reason of the first that failed."""
    tokens = tries = 0
    rung, results = "first", []
    failed: dict[str, Verdict] = {}
    for part in draft.segments:
        if part is None:
            continue
        tokens += part.tokens
        tries = max(tries, part.tries)
        if part.rung != rung and RUNGS.index(part.rung) > RUNGS.index(rung):
            rung = part.rung
        if part.result is not None:
            results.append(part.result)
        else:
            failed.setdefault(part.source, part.verdict)
    if failed:
        source, verdict = next(iter(failed.items()))
        detail = f"{verdict.detail} | segment: {source[:SHOWN]}"
        return Translated("", rejected(verdict.reason, detail), tokens, tries, rung, tuple(failed.items()))
    return Translated(join(draft.document, results), KEPT, tokens, tries, rung)
