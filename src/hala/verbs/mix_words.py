"""What a mix wishes for and what it became, in facts and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.recipe import Data, Mix
from hala.verbs.results import Cell, Table
from hala.verbs.status import Stage, several, text_table

if TYPE_CHECKING:
    from hala.data.mixing import Choice, Pile, Wish


HEADER = ("part", "share", "asked", "tokens", "of", "passes", "rows", "of", "short", "stands")


def exact(number: float) -> Fraction:
    """The number as it was written: 0.3 is three tenths."""
    return Fraction(str(number))


def wishes(settings: Mix) -> tuple[list[Wish], int | None, Fraction]:
    """What `hala.data.mixing.choose` wants to know."""
    from hala.data.mixing import Wish

    parts = [Wish(None if part.share is None else exact(part.share), part.repeat, part.max_tokens) for part in settings.parts]
    return parts, settings.tokens, exact(settings.short_share)


def name_of(settings: Mix, number: int) -> str:
    """`part 1 ($bitext)`."""
    return f"part {number + 1} ({_data_name(settings.parts[number].data)})"


def _data_name(datas: Sequence[Data]) -> str:
    first = datas[0]
    name = first.ref or first.hub or (f"world: {first.world}" if first.world else Path(first.path or "").name)
    name += f" {first.config or first.lang}" if first.config or first.lang else ""
    return name + (f" and {several(len(datas) - 1, 'other')}" if len(datas) > 1 else "")


def nothing(settings: Mix) -> tuple[str, str]:
    """Why no row fits, and what to do."""
    if settings.short_share:
        return f"no mix has a share of {_percent(settings.short_share)} short rows", "Lower short_share, or raise short_words."
    return "no row fits into what the parts may give", "Raise tokens or max_tokens."


def facts(settings: Mix, piles: Sequence[Pile], choice: Choice) -> dict[str, Any]:
    """Rows, tokens, shares asked and got, passes and short rows of every part and of the mix; `said` is what was not as asked."""
    parts: list[dict[str, Any]] = []
    got = [pile.tokens_of(cut) for pile, cut in zip(piles, choice.cuts, strict=True)]
    for number, (part, pile, cut) in enumerate(zip(settings.parts, piles, choice.cuts, strict=True)):
        short, rows = pile.rows_of(cut)
        parts.append({
            "data": _data_name(part.data), "share_asked": part.share, "share": got[number] / max(sum(got), 1),
            "tokens": got[number], "tokens_read": pile.total, "rows": rows, "rows_read": len(pile.hashes),
            "passes": got[number] / max(pile.total, 1), "short_rows": short, "start": part.start, "end": part.end,
        })  # fmt: skip
    found: dict[str, Any] = {"parts": parts, "said": list(_said(settings, piles, choice, parts))}
    return found | {
        name: sum(part[name] for part in parts) for name in ("tokens", "tokens_read", "rows", "rows_read", "short_rows")
    }


def place(facts: dict[str, Any], stands: Mapping[int, Sequence[int]], size: int) -> None:
    """Adds where the rows of each part stand, from the first to the last: shares of the mix's rows before them."""
    for number, part in enumerate(facts["parts"]):
        first, last = stands.get(number, (0, -1))
        part["from"], part["to"] = first / size, (last + 1) / size


def _said(settings: Mix, piles: Sequence[Pile], choice: Choice, parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """In words, what bounds the mix, and what short rows cost."""
    if choice.scarce and (settings.tokens or len(choice.scarce) < len(piles)):
        why = "; ".join(_why(settings, piles, choice, number) for number in choice.scarce)
        yield f"The mix gets {choice.bound:,} tokens{f', not {settings.tokens:,}' if settings.tokens else ''}: {why}."
    short = f"{_percent(settings.short_share)} of the rows have at most {several(settings.short_words, 'word')}"
    if choice.size < choice.bound:
        yield f"Short rows are rare: so that {short}, the mix gets {choice.size:,} tokens, not {choice.bound:,}."
    elif choice.favour > 1:
        yield f"Short rows come {choice.favour:.3g} times as often as others, so that {short}."
    for number, part in enumerate(parts):
        if not part["rows"]:
            yield f"{name_of(settings, number).capitalize()} gives no row: its {choice.targets[number]:,} tokens hold none."


def _why(settings: Mix, piles: Sequence[Pile], choice: Choice, number: int) -> str:
    part, share = settings.parts[number], _percent(float(choice.shares[number]))
    if part.max_tokens is not None and part.max_tokens < piles[number].total * part.repeat:
        return f"{name_of(settings, number)} gives at most {part.max_tokens:,} for its {share}"
    times = "once" if part.repeat == 1 else f"{part.repeat} times"
    return f"{name_of(settings, number)} has {piles[number].total:,} for its {share}, and each row comes at most {times}"


def table(facts: Mapping[str, Any]) -> str:
    """A line for each part and one for the mix, as aligned text."""
    return text_table(list(HEADER), _lines(facts))


def mix_table(stage: Stage) -> Table:
    """The same for the report, with what was not as asked as its note."""
    rows = tuple(tuple(Cell(each) for each in line) for line in _lines(stage.facts))
    return Table(stage.name, HEADER, rows, " ".join(stage.facts["said"]))


def _lines(facts: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for number, part in enumerate(facts["parts"]):
        asked = "the rest" if part["share_asked"] is None else _percent(part["share_asked"])
        stands = f"{_percent(part['from'])} to {_percent(part['to'])}" if part["rows"] else "nowhere"
        passes = f"{part['passes']:.2f}"
        rows.append([f"{number + 1} {part['data']}", _percent(part["share"]), asked, *_numbers(part, passes), stands])
    return [*rows, ["mix", "100%", "", *_numbers(facts, ""), ""]]


def _numbers(about: Mapping[str, Any], passes: str) -> list[str]:
    short = _percent(about["short_rows"] / max(about["rows"], 1))
    return [f"{about['tokens']:,}", f"{about['tokens_read']:,}", passes, f"{about['rows']:,}", f"{about['rows_read']:,}", short]


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
