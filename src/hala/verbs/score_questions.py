"""A model under test on questions: accuracy by set, subset and suite, favourite positions, and options in another order."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hala.recipe import Evaluate
from hala.verbs.question_workers import answer_all, answers_of
from hala.verbs.sheet import CLEAN, MEAN, Sheet, Turn, dtype_of, entry
from hala.verbs.testsets import NO_COMMITS, at_commit, benchmark_rows, own_questions, set_name, spread_over, unique


def question_sets_of(
    settings: Evaluate, bad: Any, commits: Mapping[str, str] = NO_COMMITS
) -> Iterator[tuple[str, tuple[Any, list[Any]]]]:
    """(name, (benchmark, items)) of the recipe's own questions, then of the suite, which is read at these `commits`."""
    from hala.data.readers import BadRow
    from hala.evals.benchmarks import find_suite, read

    suite = [at_commit(each, commits) for each in find_suite(settings.suite)] if settings.suite else []
    names = iter(unique([*(set_name(data) for data in settings.questions), *(benchmark.name for benchmark in suite)]))
    for data in settings.questions:
        benchmark, items = own_questions(data, bad)
        yield next(names), (benchmark, spread_over(items, settings.limit, lambda item: item.subset))
    for benchmark in suite:
        reading = read(benchmark, benchmark_rows)
        for problem in reading.malformed:
            bad(BadRow(f"{benchmark.source}/{problem.subset}", problem.index, problem.reason))
        yield next(names), (benchmark, spread_over(reading.items, settings.limit, lambda item: item.subset))


def score_questions(sheet: Sheet, turn: Turn, named: tuple[str, Any, list[Any]], leaks: set[str]) -> None:
    """The score of a set; where training data holds some of its questions, but not all, the score without these too."""
    name, benchmark, items = named
    answers = _ask(turn, name, benchmark, items)
    clusters = {item.question.id: cluster_of(item) for item in items}
    added = [_add_accuracy(sheet, turn, name, benchmark, answers, clusters)]
    clean = [answer for answer in answers if answer.id not in leaks]
    if clean and len(clean) < len(answers):
        added.append(_add_accuracy(sheet, turn, name + CLEAN, benchmark, clean, clusters))
    again: Mapping[str, int] = {}
    if turn.settings.shuffle_options is not None:
        again = _ask_shuffled(turn, name, benchmark, items)
        for each in added:
            each["shuffled"] = _stability(sheet.answers[each["set"], turn.model.name], again, turn.settings.shuffle_options)
    for a in answers:
        record = {"set": name, "model": turn.model.name, "id": a.id, "gold": a.gold, "prediction": a.prediction}
        record |= {"scores": [round(s, 5) for s in a.scores], "leaked": a.id in leaks}
        sheet.records.append(record | ({"shuffled": again[a.id]} if again else {}))


def _ask(turn: Turn, name: str, benchmark: Any, items: Sequence[Any]) -> Sequence[Any]:
    from hala.evals.profiles import render
    from hala.evals.scoring import score

    def show(done: int, total: int) -> None:
        turn.context.progress.update(done, total, "questions", name)

    profile, tokens = profile_of(turn.settings, benchmark), turn.settings.batch_tokens
    asked = [render(profile, item) for item in items]
    answered = answers_of(turn.context.scratch / "answers", turn.loaded, turn.digest, asked, tokens)
    answers: Sequence[Any] = score(
        turn.loaded, items, profile, batch_tokens=tokens, progress=show, known=answered.known, keep=answered.keep
    )
    return answers


def share_out(settings: Evaluate, context: Any, model: Any, digest: str, sets: Mapping[str, tuple[Any, list[Any]]]) -> None:
    """With several `processes`, has them answer all questions by this model before it is loaded here."""
    if settings.processes == 1 or not sets:
        return
    from hala.evals.profiles import render

    asked = []
    for name, (benchmark, items) in sets.items():
        profile = profile_of(settings, benchmark)
        asked.append((name, [render(profile, item) for item in items]))
        if settings.shuffle_options is not None:
            moved = [shuffled(item, order_of(item, settings.shuffle_options)) for item in items]
            asked.append((f"{name}, shuffled", [render(profile, item) for item in moved]))
    answer_all(settings, context, model, digest, asked)


def profile_of(settings: Evaluate, benchmark: Any) -> Any:
    """How the questions of a benchmark are put."""
    from hala.evals.profiles import find_profile

    return find_profile(settings.profile or ("cloze" if benchmark.schema == "jsonl" else "oall-v2"))


def cluster_of(item: Any) -> str:
    """What a question shares with others that are no independent draws: its cluster, else its passage, else nothing."""
    return str(item.cluster or item.context or item.question.id)


# Accuracy ---------------------------------------------------------------------------------------------------------------


def _add_accuracy(
    sheet: Sheet, turn: Turn, name: str, benchmark: Any, answers: Sequence[Any], clusters: Mapping[str, str]
) -> dict[str, Any]:
    """A score of one set, with its difference to the baseline's answers, and the scores of its subsets."""
    from hala.evals.scoring import summarise
    from hala.evals.statistics import bootstrap_accuracy, macro, paired_difference

    settings, model = turn.settings, turn.model
    headline = summarise(benchmark, profile_of(settings, benchmark), answers)[0]
    correct, groups = [answer.correct for answer in answers], [clusters[answer.id] for answer in answers]
    sheet.answers[name, model.name] = answers
    grouped = len(set(groups)) < len(groups)
    if grouped:
        whole = macro(_parts(answers, clusters)) if benchmark.average == "macro" else _part(answers, clusters)
        headline = replace(headline, low=100 * whole.low, high=100 * whole.high, signature=_clustered(headline.signature, groups))
    headline = replace(headline, signature=headline.signature + _how(turn))
    made = entry(model, name, "accuracy", headline, benchmark.lang)
    if benchmark.average == "macro":
        micro = _part(answers, clusters)
        made["micro"] = {"value": 100 * micro.value, "low": 100 * micro.low, "high": 100 * micro.high}
    else:  # a second interval of the same number; items drawn over all subsets are no macro mean
        drawn = bootstrap_accuracy(correct, settings.resamples, settings.seed, groups if grouped else None)
        made |= {"bootstrap_low": 100 * drawn[0], "bootstrap_high": 100 * drawn[1]}
    made |= {"ties": sum(answer.tied for answer in answers), "truncated": sum(answer.truncated > 0 for answer in answers)}
    made["positions"] = _positions(answers)
    if "/" in benchmark.source and benchmark.schema != "jsonl" and benchmark.on_hub:
        made["dataset"] = {"id": benchmark.source, "split": benchmark.split, "revision": benchmark.revision}
    if model != turn.base:
        strata = [answer.subset for answer in answers] if benchmark.average == "macro" else None
        before = [answer.correct for answer in sheet.answers[name, turn.base.name]]
        gain = paired_difference(before, correct, strata, settings.resamples, settings.seed, clusters=groups if grouped else None)
        made |= _gain(gain)
    sheet.scores.append(made)
    _add_tasks(sheet, turn, name, answers, clusters)
    return made


def _how(turn: Turn) -> str:
    """The end of a signature: what of the questions was asked, and in which arithmetic."""
    limit = f"|limit:{turn.settings.limit}" if turn.settings.limit else ""
    return f"{limit}|dtype:{dtype_of(turn.loaded[0])}"


def _gain(gain: Any) -> dict[str, Any]:
    found = {"delta": 100 * gain.value, "delta_low": 100 * gain.low, "delta_high": 100 * gain.high, "p": gain.p}
    return found | {"wins": gain.wins, "losses": gain.losses, "test": gain.signature.rpartition("|p:")[2]}


def _part(answers: Sequence[Any], clusters: Mapping[str, str]) -> Any:
    from hala.evals.statistics import clustered_accuracy

    return clustered_accuracy([answer.correct for answer in answers], [clusters[answer.id] for answer in answers])


def _parts(answers: Sequence[Any], clusters: Mapping[str, str]) -> list[Any]:
    return [_part(part, clusters) for _, part in by_subset(answers)]


def by_subset(answers: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """(subset, its answers) in the order of names."""
    found: dict[str, list[Any]] = {}
    for answer in answers:
        found.setdefault(answer.subset, []).append(answer)
    return sorted(found.items())


def _clustered(signature: str, groups: Sequence[str]) -> str:
    """The signature of an interval that counts clusters, not items."""
    return re.sub(r"\|ci:(\w+)", r"|ci:\1-clustered", signature) + f"|clusters:{len(set(groups))}"


def _add_tasks(sheet: Sheet, turn: Turn, name: str, answers: Sequence[Any], clusters: Mapping[str, str]) -> None:
    """Accuracy and difference of each subset where there are several, for a mean may hide that half of them fell."""
    from hala.evals.statistics import holm, paired_difference

    parts, settings = by_subset(answers), turn.settings
    if len(parts) < 2:
        return
    base = {answer.id: answer.correct for answer in sheet.answers[name, turn.base.name]}
    made = []
    for subset, part in parts:
        whole = _part(part, clusters)
        task = {"model": turn.model.name, "set": name, "subset": subset, "n": whole.n}
        task |= {"value": 100 * whole.value, "low": 100 * whole.low, "high": 100 * whole.high}
        if turn.model != turn.base:
            before, after = [base[answer.id] for answer in part], [answer.correct for answer in part]
            groups = [clusters[answer.id] for answer in part]
            task |= _gain(paired_difference(before, after, None, settings.resamples, settings.seed, clusters=groups))
        made.append(task)
    if turn.model != turn.base:
        for task, p in zip(made, holm([task["p"] for task in made]), strict=True):
            task["p_holm"] = p
    sheet.tasks += made


def score_suite(sheet: Sheet, turn: Turn, question_sets: Mapping[str, tuple[Any, Any]]) -> None:
    """The mean of a suite of several benchmarks, and its difference: of the very mean, with passages kept together."""
    from hala.evals.scoring import summarise_suite
    from hala.evals.statistics import macro, paired_difference

    settings, model = turn.settings, turn.model
    members = {name: benchmark for name, (benchmark, _) in list(question_sets.items())[len(settings.questions) :]}
    if len(members) < 2:
        return
    clusters = {item.question.id: cluster_of(item) for name in members for item in question_sets[name][1]}
    marked = {name: sheet.answers[name, model.name] for name in members}
    langs = {benchmark.lang for benchmark in members.values()}
    profile = profile_of(settings, next(iter(members.values())))
    score = summarise_suite(settings.suite or "", profile, [(benchmark, marked[name]) for name, benchmark in members.items()])
    score = replace(score, signature=score.signature + _how(turn))
    groups = [clusters[answer.id] for answers in marked.values() for answer in answers]
    if len(set(groups)) < len(groups):
        heads = [
            macro(_parts(marked[name], clusters)) if benchmark.average == "macro" else _part(marked[name], clusters)
            for name, benchmark in members.items()
        ]
        whole = macro(heads)
        score = replace(score, low=100 * whole.low, high=100 * whole.high, signature=_clustered(score.signature, groups))
    made = entry(model, f"{settings.suite}{MEAN}", "accuracy", score, langs.pop() if len(langs) == 1 else "")
    if model != turn.base:
        weights, strata = _weights(members, marked)
        before, after = ([a.correct for name in members for a in sheet.answers[name, one.name]] for one in (turn.base, model))
        made |= _gain(
            paired_difference(before, after, strata, settings.resamples, settings.seed, clusters=groups, weights=weights)
        )
    sheet.scores.append(made)


def _weights(members: Mapping[str, Any], marked: Mapping[str, Sequence[Any]]) -> tuple[dict[str, float], list[str]]:
    """How much each stratum counts in the mean of a suite, and the stratum of each answer."""
    weights: dict[str, float] = {}
    strata = []
    for name, benchmark in members.items():
        names = [f"{name}/{answer.subset}" if benchmark.average == "macro" else name for answer in marked[name]]
        weights |= dict.fromkeys(names, 1 / len(members) / len(set(names)))
        strata += names
    return weights, strata


# Options ----------------------------------------------------------------------------------------------------------------


def _positions(answers: Sequence[Any]) -> dict[str, Any]:
    """How often each position was chosen and was right, and the p that the model has no favourite."""
    from hala.evals.statistics import marginal_homogeneity

    chosen, right = [answer.prediction for answer in answers], [answer.gold for answer in answers]
    places = range(max([len(answer.scores) for answer in answers], default=0))
    counts = {"chosen": [chosen.count(place) for place in places], "right": [right.count(place) for place in places]}
    return counts | {"p": marginal_homogeneity(chosen, right)}


def _ask_shuffled(turn: Turn, name: str, benchmark: Any, items: Sequence[Any]) -> dict[str, int]:
    """For each question the option that the model chooses when they stand in another order, by its place in the old one."""
    orders = {item.question.id: order_of(item, turn.settings.shuffle_options) for item in items}
    answers = _ask(turn, f"{name}, shuffled", benchmark, [shuffled(item, orders[item.question.id]) for item in items])
    return {answer.id: orders[answer.id][answer.prediction] for answer in answers}


def order_of(item: Any, seed: int | None) -> list[int]:
    """Another order of an item's options, by its id and the seed: place k shows what stood at the k-th of these."""
    rng, order = random.Random(f"{seed}/{item.question.id}"), list(range(len(item.question.options)))
    while len(order) > 1 and order == sorted(order):
        rng.shuffle(order)
    return order


def shuffled(item: Any, order: Sequence[int]) -> Any:
    """The item with its options in that order; letters stay where they are, those that are written in the options too."""
    question = item.question
    split = [_LETTER.match(option) for option in question.options]
    marked = all(found and found[1] in label for found, label in zip(split, item.labels, strict=True))
    if marked:
        marks = [found[0] if found else "" for found in split]
        bodies = [option[len(mark) :] for option, mark in zip(question.options, marks, strict=True)]
        options = tuple(mark + bodies[old] for mark, old in zip(marks, order, strict=True))
    else:
        options = tuple(question.options[old] for old in order)
    return replace(item, question=replace(question, options=options, answer=list(order).index(question.answer)))


_LETTER = re.compile(r"\s*(\w)\s*[).:\-–]\s*")


def _stability(answers: Sequence[Any], again: Mapping[str, int], seed: int) -> dict[str, Any]:
    """In percent: answers that stay when the options change places, with Wilson's interval, and accuracy of the other order."""
    from hala.evals.statistics import wilson

    stay = sum(answer.prediction == again[answer.id] for answer in answers)
    right = sum(answer.gold == again[answer.id] for answer in answers)
    both = sum(answer.gold == answer.prediction == again[answer.id] for answer in answers)
    low, high = wilson(stay, len(answers))
    share = 100 / len(answers)
    found = {"seed": seed, "stay": share * stay, "stay_low": 100 * low, "stay_high": 100 * high}
    return found | {"accuracy": share * right, "right_both_times": share * both}
