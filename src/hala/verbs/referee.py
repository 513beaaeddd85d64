"""A language model as a referee between each model's answers to probes and the baseline's, asked in both orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from hala.evals import duels
from hala.evals.probes import ProbeSet
from hala.evals.statistics import mcnemar, wilson
from hala.recipe import Evaluate, Referee
from hala.records import Request, Sampling, Score
from hala.verbs import Context, open_engine
from hala.verbs.score_probes import Answer
from hala.verbs.sheet import Contestant, Sheet, entry

UNREADABLE = 0.1
"""More unreadable verdicts than this share are said aloud, for such a referee decides little."""


def compare_answers(
    sheet: Sheet, settings: Evaluate, context: Context, models: Sequence[Contestant], sets: Mapping[str, ProbeSet]
) -> None:
    """Shares of wins, ties and losses of every model against the first one on every set of probes, for `settings.referee`."""
    referee = settings.referee
    if referee is None:
        return
    context.progress.step(f"{context.step} referee {referee.model}")
    base = models[0]
    folder = context.locate(referee.model)
    with closing(open_engine(referee, folder, referee.revision, say=context.progress.say)) as engine:
        for name, probes in sets.items():
            before: Sequence[Answer] = sheet.answers[name, base.name]
            for model in models[1:]:
                after: Sequence[Answer] = sheet.answers[name, model.name]
                context.progress.update(0, None, "verdicts", f"{model.name} against {base.name}, {name}")
                asked = list(_questions(before, after))
                said = {each.id: each for each in engine.complete(iter(asked), Sampling(referee.max_tokens))}
                verdicts = [_verdict(said, number, old, new) for number, (old, new) in enumerate(zip(before, after, strict=True))]
                for answer, verdict in zip(after, verdicts, strict=True):
                    sheet.records.append({"set": name, "model": model.name, "id": answer.probe.id, **verdict})
                sheet.scores += _scores(model, base, name, probes, verdicts, referee)
                _say(context, verdicts, model.name, name)


def _questions(before: Sequence[Answer], after: Sequence[Answer]) -> Iterator[Request]:
    """Both orders of each pair of answers; equal answers are a tie that nobody needs to be asked about."""
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.text.strip() != new.text.strip():
            yield from duels.requests(str(number), new.probe.prompt, new.probe.lang, old.text, new.text)


def _verdict(said: Mapping[str, Any], number: int, old: Answer, new: Answer) -> dict[str, Any]:
    """What the referee said in both orders (the baseline first, then second), and what it comes to."""
    if old.text.strip() == new.text.strip():
        return {"referee": "tie", "said": []}
    answers = [said.get(f"{number}/{order}") for order in (1, 2)]
    found = [duels.parse(each) if each is not None else None for each in answers]
    texts = ["" if each is None else each.error or each.text[:80] for each in answers]
    return {"referee": duels.outcome(*found), "said": texts}


def _scores(
    model: Contestant, base: Contestant, name: str, probes: ProbeSet, verdicts: Sequence[Mapping[str, Any]], referee: Referee
) -> Iterator[dict[str, Any]]:
    """Wins with the sign test's p, ties (all that is neither), losses; then contradictions and unreadable verdicts."""
    counts, n = Counter(each["referee"] for each in verdicts), len(verdicts)
    shares = {
        "referee_wins": counts["win"],
        "referee_ties": n - counts["win"] - counts["loss"],
        "referee_losses": counts["loss"],
        "referee_inconsistent": counts["inconsistent"],
        "referee_unparsed": counts["unparsed"],
    }
    at = f"@{referee.revision}" if referee.revision else ""
    sign = f"probes:{probes.name}|sha256:{probes.digest[:12]}|referee:{referee.model}{at}|orders:2|against:{base.name}"
    for metric, hits in shares.items():
        low, high = wilson(hits, n)
        score = Score(metric, 100 * hits / n, n, 100 * low, 100 * high, f"{sign}|metric:{metric}|ci:wilson")
        made = entry(model, name, metric, score, probes.lang)
        if metric == "referee_wins":
            made |= {"wins": counts["win"], "losses": counts["loss"], "test": "sign-exact"}
            made["p"] = mcnemar(counts["win"], counts["loss"])
        yield made


def _say(context: Context, verdicts: Sequence[Mapping[str, Any]], model: str, name: str) -> None:
    bad = sum(each["referee"] == "unparsed" for each in verdicts)
    if bad > UNREADABLE * len(verdicts):
        example = next((text for each in verdicts if each["referee"] == "unparsed" for text in each["said"] if text), "nothing")
        context.progress.say(
            f"    the referee's verdict on {bad} of {len(verdicts)} {name} of {model} is none of A, B and tie"
            f" (it said: {example}); these count as ties, and as unparsed"
        )
