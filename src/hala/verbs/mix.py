"""mix: rows of several parts become one set of rows, with shares and caps in tokens, and in an order made for training.

Three passes over the parts: the first counts tokens, then what each part gives is one limit on a hash of the rows' ids
(`hala.data.mixing`); the second brings the chosen copies into order on disk; the third stores what was left out. Memory is some
70 bytes a row, whatever its length; the disk holds the mix twice while it is made. Each pass goes on where it was stopped.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from hala import artifacts
from hala.data.rows import Collected, open_all
from hala.errors import InputError
from hala.recipe import Mix
from hala.records import KEPT, Row, Verdict, rejected
from hala.verbs import Context, Outcome, mix_words

if TYPE_CHECKING:
    from hala.data.mixing import Choice, Pile
    from hala.data.ordering import Ordered, Placed

Judged = tuple[Row, Verdict]
EMPTY = rejected("empty", "its messages have no token")
CHANGED = "Its data changed while it was read; run the same command again once it rests."


@dataclass(frozen=True)
class Given:
    """What becomes of the rows of one part: how often each comes, and why the others do not."""

    pile: Pile
    copies: Any
    reason: Verdict


def run(settings: Mix, context: Context) -> Outcome:
    """Counts by reason (`kept` rows come at least once, `copies` are all further ones); the facts say what each part gave."""
    from hala.data.mixing import choose
    from hala.data.ordering import Ordered
    from hala.shards import run_shards

    began, fresh = time.monotonic(), Counter[str]()
    piles, bad = _count(settings, context)
    choice = choose(piles, *mix_words.wishes(settings))
    given = [_given(settings, number, pile, choice) for number, pile in enumerate(piles)]
    size = sum(int(part.copies.sum()) for part in given)
    if not size:
        _refuse(context, *mix_words.nothing(settings))
    facts = mix_words.facts(settings, piles, choice)
    stands: dict[int, list[int]] = {}

    def write(judged: list[Judged]) -> list[Judged]:
        fresh["rows"] += len(judged)
        return judged

    def after(done: int, _: Counter[str]) -> None:
        if not fresh["rows"]:  # a shard of an earlier session
            context.progress.skip(done)
        context.progress.update(done, None, "rows", "writing the mix" if done <= size else "storing what was left out")

    with Ordered(context.scratch / "order") as ordered:
        if not ordered.finished:
            _order(settings, context, given, ordered)
        context.progress.step(context.step)
        rows = _judged(settings, context, given, _standing(ordered, stands))
        counts = run_shards(context.out, rows, settings.shard_rows, write, after)
    if counts["kept"] != size:
        raise AssertionError(f"{counts['kept']} rows are written, {size} were chosen")
    bad.write(context.out)
    mix_words.place(facts, stands, size)
    for line in [*facts["said"], *mix_words.table(facts).splitlines()]:
        context.progress.say(f"    {line}")
    rate = fresh["rows"] / max(time.monotonic() - began, 1e-9)
    return Outcome(counts=_counts(given) | {"malformed": bad.count}, facts=facts, timings={"rows_per_s": rate})


def _counts(given: Sequence[Given]) -> dict[str, int]:
    """Rows = kept + rejected by reason; copies beyond a row's first are counted apart."""
    found = Counter[str](rows=0, kept=0, copies=0)
    for part in given:
        kept, empty = int((part.copies > 0).sum()), int((part.pile.tokens == 0).sum())
        found.update(rows=len(part.copies), kept=kept, copies=int(part.copies.sum()) - kept)
        found.update({"rejected/empty": empty, f"rejected/{part.reason.reason}": len(part.copies) - kept - empty})
    return {key: number for key, number in found.items() if number or "/" not in key}


# The first pass -------------------------------------------------------------------------------------------------------


def _count(settings: Mix, context: Context) -> tuple[list[Pile], Collected]:
    """The rows of every part in tokens, and what could not be read. A count that is finished is not begun again."""
    from hala.data.counting import count_rows, counted
    from hala.data.mixing import Pile

    summary, folder, bad = context.scratch / "counted.json", context.scratch / "counted", Collected()
    context.progress.step(context.step)
    if not summary.exists():
        lengths = [0] * len(settings.parts)
        rows = (row for _, row in _reading(settings, context, bad, lengths))
        count_rows(
            rows,
            _lengths(settings, context),
            folder,
            settings.short_words,
            settings.seed,
            lambda done: context.progress.update(done, None, "rows", "counting tokens"),
        )
        bad.write(context.scratch)
        artifacts.write_json(summary, {"rows": lengths})
    else:
        bad.read(context.scratch)
    content, records = json.loads(summary.read_text(encoding="utf-8")), counted(folder)
    piles, end = [], 0
    for number, (part, length) in enumerate(zip(settings.parts, content["rows"], strict=True)):
        rows_of_part, end = records[end : end + length], end + length
        if not rows_of_part["tokens"].any():
            _refuse(context, f"{mix_words.name_of(settings, number)} has no row with a token", "Check its `data`.")
        hashes, tokens, short = (rows_of_part[name].copy() for name in ("hash", "tokens", "short"))
        piles.append(Pile(hashes, tokens, short, part.repeat))
    return piles, bad


def _reading(settings: Mix, context: Context, bad: Collected, lengths: list[int]) -> Iterator[tuple[int, Row]]:
    """(part, row) of all parts, one part after the other; `lengths` counts the rows of each."""
    for number, part in enumerate(settings.parts):
        for row in open_all(part.data, context.inputs, bad, context.languages):
            lengths[number] += 1
            yield number, row


def _lengths(settings: Mix, context: Context) -> Callable[[Sequence[str]], list[int]]:
    """Tokens of each text, without those that a chat template adds."""
    from hala.weights.loading import load_tokenizer

    tokenizer = load_tokenizer(context.locate(settings.tokenizer), settings.revision)
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return lambda texts: [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []
    fast.no_truncation()
    fast.no_padding()
    return lambda texts: [len(each) for each in fast.encode_batch_fast(list(texts), add_special_tokens=False)]


def _given(settings: Mix, number: int, pile: Pile, choice: Choice) -> Given:
    """What one part gives; its other rows are over its cap where that is what bounds it, else over its share."""
    target, part = choice.targets[number], settings.parts[number]
    reason = "over_cap" if target == part.max_tokens else "over_share"
    return Given(pile, pile.copies(choice.cuts[number]), rejected(reason, f"part {number + 1} gives {target:,} tokens"))


def _refuse(context: Context, message: str, fix: str) -> NoReturn:
    """Leaves nothing behind, so that other settings are no change of what was begun. Raises InputError."""
    shutil.rmtree(context.scratch, ignore_errors=True)
    raise InputError(f"step {context.step}: {message}.", fix)


# The second and the third -----------------------------------------------------------------------------------------------


def _order(settings: Mix, context: Context, given: Sequence[Given], ordered: Ordered) -> None:
    """Every chosen copy under the place where it stands."""
    context.progress.step(context.step)
    before = 0  # rows of the parts before
    for number, (part, rows) in enumerate(_by_part(settings, context, given)):
        start, end = settings.parts[number].start, settings.parts[number].end
        for first, batch in rows:
            ordered.add(_placed(part, batch, (number, before, first), (start, end)))
            context.progress.update(before + first + len(batch), None, "rows", "bringing them into order")
        before += len(part.copies)
    ordered.finish()


def _placed(part: Given, batch: Sequence[Row], numbers: tuple[int, int, int], span: tuple[float, float]) -> Iterator[Placed]:
    """The copies of the batch with their places; `numbers` are that of the part, of rows before it and in it before the batch."""
    from hala.data.mixing import places

    number, before, first = numbers
    copies, hashes = part.copies[first : first + len(batch)], part.pile.hashes[first : first + len(batch)]
    for copy in range(int(copies.max(initial=0))):
        chosen = (copies > copy).nonzero()[0]
        for index, place in zip(chosen.tolist(), places(hashes[chosen], copy, *span).tolist(), strict=True):
            yield place, before + first + index, copy, number, batch[index]


def _by_part(settings: Mix, context: Context, given: Sequence[Given]) -> Iterator[tuple[Given, Iterator[tuple[int, list[Row]]]]]:
    """Each part with its rows: (number of the first, some rows), read once more. Raises InputError when they are others."""
    from hala.data.counting import batches

    def reading(number: int, part: Given) -> Iterator[tuple[int, list[Row]]]:
        first = 0
        for batch in batches(open_all(settings.parts[number].data, context.inputs, Collected(), context.languages)):
            if first + len(batch) > len(part.copies):
                break
            yield first, batch
            first += len(batch)
        else:
            if first == len(part.copies):
                return
        raise InputError(f"{mix_words.name_of(settings, number)} no longer has {len(part.copies):,} rows.", CHANGED)

    for number, part in enumerate(given):
        yield part, reading(number, part)


def _standing(ordered: Ordered, stands: dict[int, list[int]]) -> Iterator[Row]:
    """The rows of the mix in order; `stands` gets the first and the last position of each part."""
    for position, (part, row) in enumerate(ordered):
        stands.setdefault(part, [position, position])[1] = position
        yield row


def _judged(settings: Mix, context: Context, given: Sequence[Given], mix: Iterator[Row]) -> Iterator[Judged]:
    """The mix in its order, then what was left out, in the order of the parts."""
    yield from ((row, KEPT) for row in mix)
    if settings.store_rejected:
        for part, rows in _by_part(settings, context, given):
            for first, batch in rows if (part.copies == 0).any() else ():
                for index in (part.copies[first : first + len(batch)] == 0).nonzero()[0].tolist():
                    yield batch[index], part.reason if part.pile.tokens[first + index] else EMPTY
