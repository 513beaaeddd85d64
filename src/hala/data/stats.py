"""What a set of rows holds, in one pass: counts, lengths, languages, sources, notes and duplicates.

>>> from hala.data.stats import describe
>>> from hala.records import KEPT, Message, Row
>>> row = Row("a", (Message("user", "Hi"), Message("assistant", "Hello")), "en", source="demo")
>>> found = describe([(row, KEPT), (row, KEPT)])
>>> found["rows"], found["duplicates"], found["lengths"]["assistant"]["median"]
(2, 1, 5)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hala.data.dedup import row_key
from hala.records import Row, Verdict

QUANTILES = {"least": 0.0, "10%": 0.1, "median": 0.5, "90%": 0.9, "most": 1.0}
OF_ONE_ROW = ("kept", "tools", "leak")  # notes whose value tells of no other row
MOST_NAMES, MOST_NOTES = 20, 5  # sources, and values of a note, that are listed; the rest is added up


def describe(judged: Iterable[tuple[Row, Verdict]]) -> dict[str, Any]:
    """Counts of everything that rows say of themselves.

    `lengths` are characters a message by role, those of originals as `original user` and so on; `duplicates` are kept rows equal
    to an earlier one after normalisation. Memory grows with the distinct rows: 100 bytes each.
    """
    outcomes: Counter[str] = Counter()
    counted: dict[str, Counter[str]] = {name: Counter() for name in ("languages", "sources", "licences", "turns")}
    notes: dict[str, Counter[str]] = {}
    lengths: dict[str, Counter[int]] = {}
    seen: set[bytes] = set()
    kept = 0
    for row, verdict in judged:
        if not verdict.kept:
            outcomes[verdict.reason] += 1
            continue
        kept += 1
        seen.add(row_key(row))
        counted["languages"][_direction(row)] += 1
        counted["sources"][row.source or "unknown"] += 1
        counted["licences"][row.licence or "unknown"] += 1
        counted["turns"][str(len(row.messages))] += 1
        for name, value in row.notes.items():
            notes.setdefault(name, Counter())["rows" if name in OF_ONE_ROW else value] += 1
        for side, messages in (("", row.messages), ("original ", row.original or ())):
            for message in messages:
                lengths.setdefault(side + message.role, Counter())[len(message.content)] += 1
    return {
        "rows": kept,
        "rejected": dict(outcomes.most_common()),
        "duplicates": kept - len(seen),
        **{name: _most(counter) for name, counter in counted.items()},
        "notes": {name: _values(notes[name]) for name in sorted(notes)},
        "lengths": {role: _summary(lengths[role]) for role in sorted(lengths)},
    }


def _direction(row: Row) -> str:
    """`ar`, or `ar, with original` for a translation."""
    return (row.lang or "unknown") + (", with original" if row.original is not None else "")


def _values(counter: Counter[str]) -> dict[str, int]:
    """The most frequent values of a note; only their number where most rows have one of their own."""
    if len(counter) > MOST_NAMES and 2 * len(counter) > counter.total():
        return {f"{len(counter):,} distinct values": counter.total()}
    return _most(counter, MOST_NOTES)


def _most(counter: Counter[str], most: int = MOST_NAMES) -> dict[str, int]:
    """The most frequent values, and how many rows have another one."""
    listed = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in listed[most:])
    return dict(listed[:most]) | ({f"{len(listed) - most} others": rest} if rest else {})


def _summary(lengths: Counter[int]) -> dict[str, int]:
    """How many, characters in all, and quantiles, each the length of a message that is there."""
    total = lengths.total()
    found = {"messages": total, "characters": sum(length * count for length, count in lengths.items())}
    ordered = sorted(lengths.items())
    for name, share in QUANTILES.items():
        place, passed = min(int(share * total), total - 1), 0
        for length, count in ordered:
            passed += count
            if passed > place:
                found[name] = length
                break
    return found
