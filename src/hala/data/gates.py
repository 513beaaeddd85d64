"""Deterministic checks of a translation against its source: cheap, ordered, and each with a reason that is counted.

A gate takes a pair and answers what is wrong with it, or an empty string. It sees masked segments or whole documents: sentinels
and protected spans never count as language. Limits were set on human translations (documentation, news, everyday sentences) so
that good pairs pass; docs/gates.md says how many do, and how many planted errors the gates find.

>>> from hala.data.gates import check
>>> from hala.languages import language
>>> check("Open the file.", "افتح الملف.", "stop", language("ar")).kept
True
>>> check("Open the file.", "Open the file.", "stop", language("ar")).reason
'copy'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hala.data.features import Pair, natural
from hala.data.gates_answers import answered, outspoken, preamble, question, refusal
from hala.data.gates_content import counted, dates, length_ratio, numbers, repetition, sentences, units
from hala.data.gates_form import (
    code,
    emoji_kept,
    formed,
    garbage,
    html,
    latex,
    lines,
    literal_newline,
    markup,
    options,
    placeholders,
)
from hala.data.gates_language import copy, script, wrong_language
from hala.data.gates_meaning import omitted, unrelated
from hala.data.numerals import number_words
from hala.languages import LANGUAGES, Language
from hala.records import KEPT, Finish, Verdict, rejected

__all__ = ["GATES", "Gate", "check", "natural"]

Gate = Callable[[Pair], str]
"""What is wrong with a pair; empty when nothing is."""
_Steps = list[tuple[Callable[[Pair], bool] | None, list[tuple[str, Gate]]]]
_plans: dict[int, tuple[Mapping[str, Gate], int, _Steps]] = {}


def check(
    source: str,
    target: str,
    finish: Finish,
    language: Language,
    gates: Mapping[str, Gate] | None = None,
    source_language: Language | None = None,
) -> Verdict:
    """Kept, or the rejection by the first gate that objects; `reason` is the gate's name. Without `gates`, all of them."""
    pair = Pair(source, target, language, source_language or LANGUAGES["en"], finish)
    for needed, steps in _plan(GATES if gates is None else gates):
        if needed is None or needed(pair):
            for name, gate in steps:
                detail = gate(pair)
                if detail:
                    return rejected(name, detail)
    return KEPT


def _plan(gates: Mapping[str, Gate]) -> _Steps:
    """The gates in their order, those that share a reason to look at a pair together with it: most pairs need few of them."""
    known = _plans.get(id(gates))
    if known is not None and known[0] is gates and known[1] == len(gates):
        return known[2]
    steps: _Steps = []
    for name, gate in gates.items():
        needed = _NEEDED.get(gate)
        if not steps or steps[-1][0] is not needed:
            steps.append((needed, []))
        steps[-1][1].append((name, gate))
    if len(_plans) > 100:
        _plans.clear()
    _plans[id(gates)] = (gates, len(gates), steps)
    return steps


def truncated(pair: Pair) -> str:
    """The engine stopped at its token limit, or failed."""
    return "" if pair.finish == "stop" else f"finish is {pair.finish}"


def empty(pair: Pair) -> str:
    """Nothing came back for something."""
    source, target = pair.source, pair.target
    if target.lettered:
        return ""
    if not target.text or target.text.isspace():
        return source.text[:60] if source.text.strip() else ""
    if not source.lettered:
        return ""
    # Digits may stand for number words.
    return "" if target.digits and number_words(source.text, source.language.code) else "no letters in the translation"


GATES: dict[str, Gate] = {
    "truncated": truncated,
    "empty": empty,
    "refusal": refusal,
    "preamble": preamble,
    "copy": copy,
    "html": html,
    "literal_newline": literal_newline,
    "placeholders": placeholders,
    "lines": lines,
    "latex": latex,
    "markup": markup,
    "code": code,
    "options": options,
    "emoji": emoji_kept,
    "garbage": garbage,
    "wrong_language": wrong_language,
    "script": script,
    "repetition": repetition,
    "length_ratio": length_ratio,
    "numbers": numbers,
    "units": units,
    "dates": dates,
    "sentences": sentences,
    "question": question,
    "answered": answered,
    "unrelated": unrelated,
    "omitted": omitted,
}
# Where this does not hold for a pair, these gates have nothing to object to.
_NEEDED: dict[Gate, Callable[[Pair], bool]] = {
    **dict.fromkeys([refusal, preamble], outspoken),
    **dict.fromkeys([html, literal_newline, placeholders, lines, latex, markup, code, options, emoji_kept, garbage], formed),
    **dict.fromkeys([numbers, units], counted),
}
