"""Which option a causal language model prefers, and the scores made of such answers.

>>> from hala.evals.scoring import Answer
>>> Answer("q", "demo", "", 1, 1, (-2.0, -1.0), (-2.0, -1.0), (1, 1), tied=False, truncated=0).correct
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hala.errors import EngineError
from hala.evals.benchmarks import Benchmark, Item
from hala.evals.likelihood import BATCH_TOKENS, Likelihoods, log_probabilities
from hala.evals.profiles import Profile, Prompt, render
from hala.evals.statistics import Estimate, accuracy, macro
from hala.records import Score


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model made of one item: `logprobs` are natural-log sums per option, `scores` the same after the norm.

    `prediction` is the first best score and `tied` says that another equals it. `tokens` counts the scored tokens of
    each option, `truncated` the prompt tokens cut from the left.
    """

    id: str
    benchmark: str
    subset: str
    gold: int
    prediction: int
    logprobs: tuple[float, ...]
    scores: tuple[float, ...]
    tokens: tuple[int, ...]
    tied: bool
    truncated: int

    @property
    def correct(self) -> bool:
        return self.prediction == self.gold


def score(
    loaded: tuple[Any, Any],
    items: Sequence[Item],
    profile: Profile,
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
    known: Mapping[str, Any] | None = None,
    keep: Callable[[str, Any], None] | None = None,
) -> tuple[Answer, ...]:
    """One Answer per item, in the order given; `log_probabilities` says what the arguments mean.

    Raises InputError when a profile needs a chat template that the tokenizer lacks, EngineError when one item is too much for the
    device or the model gives no numbers.
    """
    prompts = [render(profile, item) for item in items]
    found = log_probabilities(loaded, prompts, batch_tokens=batch_tokens, progress=progress, known=known, keep=keep)
    return tuple(_answer(item, prompt, each) for item, prompt, each in zip(items, prompts, found, strict=True))


def _answer(item: Item, prompt: Prompt, found: Likelihoods) -> Answer:
    lengths = {"token": found.tokens, "char": [len(text) for text in prompt.continuations], "none": [1] * len(found.tokens)}
    scores = [value / max(1, length) for value, length in zip(found.logprobs, lengths[prompt.norm], strict=True)]
    if any(math.isnan(value) for value in scores):
        raise EngineError(
            f"the model gives no number for item '{item.question.id}': its output is NaN.",
            "Check the checkpoint, or evaluate in float32 or bfloat16 instead of float16.",
        )
    best = max(scores)
    return Answer(
        item.question.id, item.benchmark, item.subset, item.question.answer, scores.index(best),
        found.logprobs, tuple(scores), found.tokens, scores.count(best) > 1, found.truncated,
    )  # fmt: skip


def summarise(benchmark: Benchmark, profile: Profile, answers: Sequence[Answer]) -> tuple[Score, ...]:
    """Scores in points (0 to 100): the headline named after the benchmark, `.macro` and `.micro`, then each subset.

    Subset and micro intervals are Wilson's; that of a macro mean of several follows the normal law, see `macro`.
    """
    source = f"{benchmark.source}@{benchmark.revision}" if benchmark.revision else benchmark.source
    base = f"{benchmark.name}|data:{source}|split:{benchmark.split}|{profile.signature}|shots:0|softmax:float32"
    parts = _estimates(answers)
    whole = {"macro": macro(list(parts.values())), "micro": accuracy([answer.correct for answer in answers])}
    intervals = {"macro": "normal" if len(parts) > 1 else "wilson", "micro": "wilson"}
    named = [(benchmark.name, benchmark.average), *((f"{benchmark.name}.{kind}", kind) for kind in ("macro", "micro"))]
    scores = [_points(name, whole[kind], f"{base}|avg:{kind}|ci:{intervals[kind]}") for name, kind in named]
    for subset, part in parts.items():
        if subset:
            scores.append(_points(f"{benchmark.name}/{subset}", part, f"{base}|subset:{subset}|ci:wilson"))
    return tuple(scores)


def summarise_suite(name: str, profile: Profile, results: Sequence[tuple[Benchmark, Sequence[Answer]]]) -> Score:
    """Mean of the benchmarks' headline numbers in points, with the standard error carried through both averages."""
    heads = []
    for benchmark, answers in results:
        parts = list(_estimates(answers).values())
        heads.append(macro(parts) if benchmark.average == "macro" else accuracy([answer.correct for answer in answers]))
    members = "+".join(f"{benchmark.name}@{benchmark.revision}" for benchmark, _ in results)
    how = f"{profile.signature}|shots:0|softmax:float32|avg:macro|ci:normal"
    return _points(name, macro(heads), f"{name}|members:{members}|{how}")


def _estimates(answers: Sequence[Answer]) -> dict[str, Estimate]:
    """Accuracy of each subset, sorted by name."""
    subsets: dict[str, list[bool]] = {}
    for answer in answers:
        subsets.setdefault(answer.subset, []).append(answer.correct)
    return {subset: accuracy(subsets[subset]) for subset in sorted(subsets)}


def _points(name: str, estimate: Estimate, signature: str) -> Score:
    return Score(name, 100 * estimate.value, estimate.n, 100 * estimate.low, 100 * estimate.high, signature)
