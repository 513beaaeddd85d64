"""A model under test answers a small fixed set of prompts: script, loops, length, end of turn, and whether it does as it is told.

Answers are greedy, through the chat template, so that a model without one cannot be asked. What is measured needs no judge; a
judge's opinion is verbs/referee.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hala.data.features import Pair, natural
from hala.data.gates_content import repetition
from hala.data.payloads import thinking_span
from hala.evals.checks import met, words
from hala.evals.probes import Probe, ProbeSet, find_probes, foreign_words, tail_loop
from hala.evals.statistics import accuracy, bootstrap_mean, clustered_accuracy, paired_difference, paired_means
from hala.languages import language, script_share
from hala.recipe import Evaluate
from hala.records import Completion, Message, Request, Sampling, Score
from hala.verbs.sheet import Sheet, Turn, entry
from hala.verbs.testsets import spread, unique

EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a probe, without what it thought before, and what is seen in it.

    `share` is that of letters in the script of the language asked for, `foreign` the words that switch to another script,
    `loop` says what is repeated, `met` which of the probe's instructions are met; `ended` is False where the limit cut it off.
    """

    probe: Probe
    text: str
    ended: bool
    error: str
    tokens: int
    share: float
    foreign: tuple[str, ...]
    loop: str
    met: tuple[tuple[str, bool], ...]

    @property
    def words(self) -> int:
        """How many words it has."""
        return len(words(self.text))


def probe_sets_of(settings: Evaluate) -> dict[str, ProbeSet]:
    """The sets of the recipe by the names that tables use."""
    found = [find_probes(each) for each in settings.probes]
    return dict(zip(unique([f"probes {each.name}" for each in found]), found, strict=True))


def score_probes(sheet: Sheet, turn: Turn, sets: Mapping[str, ProbeSet]) -> None:
    """Scores of one model's answers with their differences to the baseline's, a record of each answer, and a few to show."""
    for name, probes in sets.items():
        _score_set(sheet, turn, name, probes)


def _score_set(sheet: Sheet, turn: Turn, name: str, probes: ProbeSet) -> None:
    asked = spread(probes.probes, turn.settings.limit)
    turn.context.progress.update(0, None, "answers", f"{len(asked)} {name}")
    answers = [_seen(probe, completion) for probe, completion in zip(asked, _ask(turn, asked), strict=True)]
    if failed := [answer for answer in answers if answer.error]:
        said = (
            f"{turn.model.name} gave no answer to {len(failed)} of {len(answers)} {name}, which count as empty: {failed[0].error}"
        )
        turn.context.progress.say(f"    {said}")
    sheet.answers[name, turn.model.name] = answers
    sheet.scores += _scores(turn, name, probes, answers, sheet.answers[name, turn.base.name])
    shown = {probe.id for probe in spread(asked, EXAMPLES)}
    for answer in answers:
        record = {"set": name, "model": turn.model.name, **_record(answer)}
        sheet.records.append(record)
        if answer.probe.id in shown:
            sheet.probes.append(record)


def _ask(turn: Turn, probes: Sequence[Probe]) -> list[Completion]:
    from hala.engines.local import LocalEngine

    engine = LocalEngine(*turn.loaded, batch_tokens=turn.settings.batch_tokens)
    requests = [Request(probe.id, (Message("user", probe.prompt),)) for probe in probes]
    try:
        found = {each.id: each for each in engine.complete(requests, Sampling(turn.settings.probe_tokens))}
    finally:
        engine.close()
    return [found[request.id] for request in requests]


def _seen(probe: Probe, completion: Completion) -> Answer:
    """The answer with everything that is measured of it; a failed one is empty and has not ended."""
    target = language(probe.lang)
    thoughts = thinking_span(completion.text)
    text = completion.text[thoughts[1] :] if thoughts else completion.text
    plain = natural(text)
    return Answer(
        probe=probe,
        text=text,
        ended=completion.finish == "stop",
        error=completion.error,
        tokens=completion.tokens,
        share=script_share(plain, target) if text.strip() else 0.0,
        foreign=tuple(foreign_words(plain, probe.prompt, target)),
        loop=loop_in(probe, text),
        met=tuple((kind, met(kind, wanted, text, target)) for kind, wanted in probe.checks),
    )


def loop_in(probe: Probe, text: str) -> str:
    """What is repeated in an answer, by the gate on translations and by how the answer ends; empty where nothing is.

    The gate compares with a source: here it is one word of the prompt, which repeats nothing.
    """
    if not text.strip():
        return ""
    target, tail = language(probe.lang), tail_loop(text)
    if tail:
        return f"ends in {tail[:40]!r} again and again"
    return repetition(Pair(next(iter(words(probe.prompt)), "x"), text, target, target))


def _record(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": answer.probe.id,
        "kind": answer.probe.kind,
        "prompt": answer.probe.prompt,
        "output": answer.text,
    }
    found |= {"ended": answer.ended, "tokens": answer.tokens, "words": answer.words, "script": round(100 * answer.share, 2)}
    found |= {"switches": list(answer.foreign), "repeats": answer.loop, "instructions": dict(answer.met)}
    return found | ({"error": answer.error} if answer.error else {})


# Scores ---------------------------------------------------------------------------------------------------------------


def _scores(
    turn: Turn, name: str, probes: ProbeSet, answers: Sequence[Answer], before: Sequence[Answer]
) -> Iterator[dict[str, Any]]:
    """An entry for each metric; shares are in percent. Where the language's script is unknown those about script are left out."""
    target = language(probes.lang)
    sign = f"probes:{probes.name}|sha256:{probes.digest[:12]}|decode:greedy|template:chat|max_tokens:{turn.settings.probe_tokens}"
    if target.script:
        yield _mean(turn, name, "script", [[100 * each.share for each in some] for some in (answers, before)], target.code, sign)
        switched = [[bool(each.foreign) for each in some] for some in (answers, before)]
        yield _share(turn, name, "switches", switched, None, target.code, sign)
    else:
        turn.context.progress.say(f"    the script of {target.name} is not known: {name} without script and switches")
    yield _share(turn, name, "repeats", [[bool(a.loop) for a in some] for some in (answers, before)], None, target.code, sign)
    yield _mean(turn, name, "words", [[float(each.words) for each in some] for some in (answers, before)], target.code, sign)
    yield _share(turn, name, "ended", [[each.ended for each in some] for some in (answers, before)], None, target.code, sign)
    done = [[yes for each in some for _, yes in each.met] for some in (answers, before)]
    if done[0]:
        groups = [each.probe.id for each in answers for _ in each.met]
        yield _share(turn, name, "instructions", done, groups, target.code, sign)


def _mean(turn: Turn, name: str, metric: str, values: Sequence[Sequence[float]], lang: str, sign: str) -> dict[str, Any]:
    """A mean over answers with its bootstrap interval and the difference to the baseline's; values are (own, baseline's)."""
    settings, (own, base) = turn.settings, values
    low, high = bootstrap_mean(own, settings.resamples, settings.seed)
    signed = f"{sign}|metric:{metric}|ci:percentile|bs:{settings.resamples}|seed:{settings.seed}"
    made = entry(turn.model, name, metric, Score(metric, sum(own) / len(own), len(own), low, high, signed), lang)
    if turn.model == turn.base:
        return made
    gain = paired_means(metric, base, own, settings.resamples, settings.seed)
    return made | _difference(gain, 1.0)


def _share(
    turn: Turn, name: str, metric: str, hits: Sequence[Sequence[bool]], groups: list[str] | None, lang: str, sign: str
) -> dict[str, Any]:
    """A share in percent with Wilson's interval, wider where items share a prompt (`groups`); hits are (own, baseline's)."""
    own, base = hits
    grouped = groups is not None and len(set(groups)) < len(groups)
    found = clustered_accuracy(own, groups) if grouped and groups else accuracy(own)
    signed = f"{sign}|metric:{metric}|ci:wilson" + (f"-clustered|clusters:{len(set(groups))}" if grouped and groups else "")
    made = entry(
        turn.model, name, metric, Score(metric, 100 * found.value, found.n, 100 * found.low, 100 * found.high, signed), lang
    )
    if turn.model == turn.base:
        return made
    settings = turn.settings
    gain = paired_difference(base, own, None, settings.resamples, settings.seed, clusters=groups if grouped else None)
    return made | _difference(gain, 100.0)


def _difference(gain: Any, unit: float) -> dict[str, Any]:
    found = {"delta": unit * gain.value, "delta_low": unit * gain.low, "delta_high": unit * gain.high, "p": gain.p}
    return found | {"wins": gain.wins, "losses": gain.losses, "test": gain.signature.rpartition("|p:")[2]}
