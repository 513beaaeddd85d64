"""How good translations are: metrics with their intervals and paired tests, and plain failures.

Point values are sacrebleu's to the last digit. Intervals come from resampling the per-sentence counts that the
metrics are made of (metrics.py), so a thousand resamples cost a thousand small sums instead of a thousand passes over the text.

>>> from hala.evals.translation import score_translations
>>> result = score_translations(["the cat sat on the mat"], ["the cat sat on the mat"])
>>> [(score.name, round(score.value, 1)) for score in result.scores]
[('bleu-13a', 100.0), ('bleu-intl', 100.0), ('chrf++', 100.0)]
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from hala.errors import InputError, RecipeError, nearest
from hala.evals.metrics import Counts, count, value
from hala.evals.spelling import respell
from hala.evals.statistics import SAMPLES, SEED, TRIALS, Difference, wilson
from hala.records import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Failure = Literal["", "empty", "copy", "wrong_script"]
FAILURES: tuple[Failure, ...] = ("empty", "copy", "wrong_script")
# ISO 15924 codes to the first word of Unicode's character names.
SCRIPTS = {"Arab": "ARABIC", "Latn": "LATIN", "Deva": "DEVANAGARI", "Cyrl": "CYRILLIC", "Hebr": "HEBREW", "Grek": "GREEK"}


@dataclass(frozen=True, slots=True)
class Metrics:
    """What to compute: `names` are `bleu-` with a tokenizer of sacrebleu's, `chrf++`, `ter`, `rouge-l` and `rouge-l-latin`.

    `script` is the target's ISO 15924 code ("" checks nothing): a translation with less than `min_script` of its letters
    in it counts as wrong_script. Each of `normalise` is applied to both sides, and every metric is given for each, under its name
    with the normaliser's in brackets unless that is `none`. `paired` is the test of differences: `bootstrap` with `samples`, or
    `randomisation` (approximate randomisation) with `trials`. `flores200` is the model file of `bleu-flores200`.
    """

    names: tuple[str, ...] = ("bleu-13a", "bleu-intl", "chrf++")
    script: str = ""
    min_script: float = 0.5
    normalise: tuple[str, ...] = ("none",)
    samples: int = SAMPLES
    seed: int = SEED
    paired: Literal["bootstrap", "randomisation"] = "bootstrap"
    trials: int = TRIALS
    flores200: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """One translated sentence: its own chrF++ (0 to 100) and what is plainly wrong with it, if anything."""

    index: int
    chrf: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class TranslationResult:
    """Scores in sacrebleu's units (0 to 100), one failure rate in percent per kind, and every segment."""

    scores: tuple[Score, ...]
    failures: tuple[Score, ...]
    segments: tuple[Segment, ...]


def score_translations(
    hypotheses: Sequence[str | None],
    references: Sequence[str],
    sources: Sequence[str] | None = None,
    metrics: Metrics | None = None,
    documents: Sequence[str] | None = None,
) -> TranslationResult:
    """Each metric over one reference with its 95% bootstrap interval, and failure rates.

    A hypothesis of `None` is a failed translation: it is scored as the empty string and counted as `empty`. Copies of the
    source are looked for when `sources` are given. With `documents` (one label a sentence) whole documents are resampled, since
    the sentences of one are no independent draws. Raises InputError when the numbers of lines differ or are zero.
    """
    settings = metrics or Metrics()
    _check(hypotheses, references, settings)
    scores = []
    for name, normaliser in _wanted(settings):
        counts = _counts(name, hypotheses, references, normaliser, settings)
        scores.append(_score(name, normaliser, counts, settings, documents))
    own = value("chrf++", _counts("chrf++", hypotheses, references, settings.normalise[0], settings).stats)
    failures = [_failure(text, source, want, settings) for text, source, want in _triples(hypotheses, sources, references)]
    segments = tuple(Segment(at, float(chrf), failure) for at, (chrf, failure) in enumerate(zip(own, failures, strict=True)))
    checked = [kind for kind in FAILURES if _checked(kind, sources, settings)]
    return TranslationResult(tuple(scores), tuple(_rate(kind, failures, settings) for kind in checked), segments)


def compare_translations(
    base: Sequence[str | None],
    system: Sequence[str | None],
    references: Sequence[str],
    metrics: Metrics | None = None,
    documents: Sequence[str] | None = None,
) -> tuple[Difference, ...]:
    """System minus base for each metric, resampling the same sentences (or documents) for both, with a two-sided p.

    `wins`, `losses` and `ties` count sentences by their own chrF++. The interval is a paired bootstrap's, and p is its or that of
    approximate randomisation, see `_bootstrap_p` and `_randomisation_p`.
    """
    settings = metrics or Metrics()
    _check(base, references, settings)
    _check(system, references, settings)
    first = settings.normalise[0]
    own = [value("chrf++", _counts("chrf++", texts, references, first, settings).stats) for texts in (base, system)]
    gains = own[1] - own[0]
    found = []
    for name, normaliser in _wanted(settings):
        both = [_counts(name, texts, references, normaliser, settings) for texts in (base, system)]
        found.append(_difference(name, normaliser, (both[0], both[1]), gains, settings, documents))
    return tuple(found)


def score_values(
    name: str, values: Sequence[float], signature: str, settings: Metrics, documents: Sequence[str] | None = None
) -> Score:
    """The mean of one value a sentence, such as a learned metric gives, with its interval by the same draws as the others'."""
    return _score(name, "", _mean_counts(values, signature), settings, documents)


def compare_values(
    name: str, base: Sequence[float], system: Sequence[float], signature: str, settings: Metrics,
    documents: Sequence[str] | None = None, lower_is_better: bool = False,
) -> Difference:  # fmt: skip
    """System minus base of such a mean; `wins` and `losses` count sentences that are better by it."""
    both = _mean_counts(base, signature), _mean_counts(system, signature)
    gains = (both[1].stats[:, 0] - both[0].stats[:, 0]) * (-1 if lower_is_better else 1)
    return _difference(name, "", both, gains, settings, documents)


def _mean_counts(values: Sequence[float], signature: str) -> Counts:
    import numpy as np

    return Counts(np.array([(each / 100, 1.0) for each in values]), signature)  # `value` makes percent of a share


def _score(name: str, normaliser: str, counts: Counts, settings: Metrics, documents: Sequence[str] | None) -> Score:
    found = float(value(name, counts.stats.sum(0, keepdims=True))[0])
    low, high = _percentiles(value(name, _resample(_units(counts.stats, documents), settings)), found)
    return Score(_shown(name, normaliser), found, len(counts.stats), low, high, _sign(counts, normaliser, settings, documents))


def _difference(
    name: str, normaliser: str, both: tuple[Counts, Counts], gains: Floats, settings: Metrics, documents: Sequence[str] | None
) -> Difference:
    """The second's minus the first's; `gains` are the sentences' own, of which wins and losses are counted."""
    before, after = (counts.stats for counts in both)
    gain = float((value(name, after.sum(0, keepdims=True)) - value(name, before.sum(0, keepdims=True)))[0])
    old, new = _units(before, documents), _units(after, documents)
    # The same seed and length give both systems the same draws.
    drawn = value(name, _resample(new, settings)) - value(name, _resample(old, settings))
    low, high = _percentiles(drawn, gain)
    signed = _sign(both[0], normaliser, settings, documents).replace("ci:percentile", "ci:paired-percentile")
    if settings.paired == "randomisation":
        p, signed = _randomisation_p(name, old, new, gain, settings), f"{signed}|p:ar|ar:{settings.trials}"
    else:
        p = _bootstrap_p(drawn, gain)
    wins, losses, n = int((gains > 1e-9).sum()), int((gains < -1e-9).sum()), len(gains)
    return Difference(_shown(name, normaliser), gain, low, high, p, n, wins, losses, n - wins - losses, signed)


def _bootstrap_p(drawn: Floats, gain: float) -> float:
    """p = (c + 1) / (samples + 1), where c counts resampled differences at least as far from their mean, on either side, as the
    observed one is from 0.

    sacrebleu's paired test counts one side only, so its p is about half of this one. Source: Koehn 2004; Efron and Tibshirani
    1993, chapter 16.
    """
    import numpy as np

    return (int((np.abs(drawn - drawn.mean()) >= abs(gain)).sum()) + 1) / (len(drawn) + 1)


def _randomisation_p(name: str, base: Floats, system: Floats, gain: float, settings: Metrics) -> float:
    """Approximate randomisation: how often systems whose outputs are swapped at random differ as much as the two do.

    The draws are those of sacrebleu's `--paired-ar` with the same seed. It counts larger differences only; here equal ones count
    too, or a system would differ from itself. Source: Riezler and Maxwell 2005; Noreen 1989.
    """
    import numpy as np

    n, both = len(base), base.sum(0) + system.sum(0)
    swapped = np.random.default_rng(settings.seed).integers(2, size=(settings.trials, n), dtype=bool)
    hits, step = 0, max(1, (1 << 22) // n)  # 32 MB of floats at once
    for begin in range(0, settings.trials, step):
        first = swapped[begin : begin + step].astype(np.float64) @ (base - system) + system.sum(0)
        hits += int((np.abs(value(name, first) - value(name, both - first)) >= abs(gain) - 1e-9).sum())
    return (hits + 1) / (settings.trials + 1)


def script_share(text: str, script: str) -> float:
    """Share of the letters of `text` that belong to `script` (an ISO 15924 code); 1.0 when there are no letters."""
    want = SCRIPTS[script]
    letters = [_script(character) for character in text if character.isalpha()]
    return letters.count(want) / len(letters) if letters else 1.0


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "?").split()[0]


def _check(hypotheses: Sequence[str | None], references: Sequence[str], settings: Metrics) -> None:
    if not references or len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses)} translations for {len(references)} references: the numbers must be equal and above zero.",
            "Give one translation per reference line; a failed one is an empty line.",
        )
    if settings.script and settings.script not in SCRIPTS:
        raise RecipeError(
            f"unknown script '{settings.script}'.{nearest(settings.script, SCRIPTS)}", f"Known: {', '.join(SCRIPTS)}."
        )


def _wanted(settings: Metrics) -> Iterator[tuple[str, str]]:
    """(metric, normaliser) in the order of the scores: raw and normalised stand side by side."""
    return ((name, normaliser) for name in settings.names for normaliser in settings.normalise)


def _shown(name: str, normaliser: str) -> str:
    return name if normaliser in ("", "none") else f"{name} ({normaliser})"


def _counts(name: str, texts: Sequence[str | None], references: Sequence[str], normaliser: str, settings: Metrics) -> Counts:
    clean = tuple(respell(text or "", normaliser) for text in texts)
    return count(name, clean, tuple(respell(text, normaliser) for text in references), settings.flores200)


def _units(stats: Floats, documents: Sequence[str] | None) -> Floats:
    """What is drawn: the counts of each sentence, or of each document summed."""
    import numpy as np

    if documents is None:
        return stats
    if len(documents) != len(stats):
        raise InputError(f"{len(documents)} document labels for {len(stats)} references.", "Give one label per reference line.")
    places: dict[str, int] = {}
    rows = [places.setdefault(label, len(places)) for label in documents]
    sums = np.zeros((len(places), stats.shape[1]))
    np.add.at(sums, rows, stats)
    return sums


def _resample(stats: Floats, settings: Metrics) -> Floats:
    """Summed counts (samples, count) of sentences drawn with replacement."""
    import numpy as np

    n = len(stats)
    rng = np.random.default_rng(settings.seed)
    draws = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(settings.samples))
    return np.stack([weights @ stats for weights in draws])


def _percentiles(drawn: Floats, value: float) -> tuple[float, float]:
    """The middle 95%, widened to hold the value itself, which a handful of sentences may leave outside."""
    import numpy as np

    low, high = np.percentile(drawn, [2.5, 97.5])
    return min(float(low), value), max(float(high), value)


def _sign(counts: Counts, normaliser: str, settings: Metrics, documents: Sequence[str] | None) -> str:
    drawn = "" if documents is None else f"|documents:{len(set(documents))}"
    spelt = f"|normalise:{normaliser}" if normaliser else ""
    return f"{counts.signature}{spelt}|ci:percentile|bs:{settings.samples}|seed:{settings.seed}{drawn}"


def _triples(hypotheses: Sequence[str | None], sources: Sequence[str] | None, references: Sequence[str]) -> Any:
    if sources is not None and len(sources) != len(references):
        raise InputError(f"{len(sources)} sources for {len(references)} references.", "Give one source per reference line.")
    return zip(hypotheses, sources if sources is not None else [None] * len(references), references, strict=True)


def _failure(text: str | None, source: str | None, reference: str, settings: Metrics) -> Failure:
    """The first failure that applies. A copy is right where the reference is the same copy (a number, a name)."""
    if text is None or not text.strip():
        return "empty"
    if source is not None and text.split() == source.split() != reference.split():
        return "copy"
    if settings.script:
        # A reference may itself be mostly code or names; a translation need not beat it.
        wanted = min(settings.min_script, script_share(reference, settings.script))
        return "wrong_script" if script_share(text, settings.script) < wanted else ""
    return ""


def _checked(kind: Failure, sources: Sequence[str] | None, settings: Metrics) -> bool:
    return kind == "empty" or (kind == "copy" and sources is not None) or (kind == "wrong_script" and bool(settings.script))


def _rate(kind: Failure, failures: list[Failure], settings: Metrics) -> Score:
    hits, n = failures.count(kind), len(failures)
    low, high = wilson(hits, n)
    detail = f"|script:{settings.script}|min:{settings.min_script}" if kind == "wrong_script" else ""
    return Score(kind, 100 * hits / n, n, 100 * low, 100 * high, f"failure:{kind}{detail}|ci:wilson")
