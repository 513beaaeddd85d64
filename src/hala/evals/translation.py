"""How good translations are: BLEU, chrF++, their intervals and paired tests, and plain failures.

The point values are sacrebleu's to the last digit. Intervals come from resampling the per-sentence counts that the
metrics are made of, so a thousand resamples cost a thousand small sums instead of a thousand passes over the text.

>>> from hala.evals.translation import score_translations
>>> result = score_translations(["the cat sat on the mat"], ["the cat sat on the mat"])
>>> [(score.name, round(score.value, 1)) for score in result.scores]
[('bleu-13a', 100.0), ('bleu-intl', 100.0), ('chrf++', 100.0)]
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from hala.errors import InputError, RecipeError, nearest
from hala.evals.statistics import SAMPLES, SEED, Difference, wilson
from hala.records import Score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Failure = Literal["", "empty", "copy", "wrong_script"]
FAILURES: tuple[Failure, ...] = ("empty", "copy", "wrong_script")
# ISO 15924 codes to the first word of Unicode's character names.
SCRIPTS = {"Arab": "ARABIC", "Latn": "LATIN", "Deva": "DEVANAGARI", "Cyrl": "CYRILLIC", "Hebr": "HEBREW", "Grek": "GREEK"}
_MARKS = re.compile("[\u064b-\u0652\u0670\u0640]")
_PRESENTATION = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]")
_BETA, _CHAR_ORDER, _WORD_ORDER, _BLEU_ORDER = 2, 6, 2, 4


@dataclass(frozen=True, slots=True)
class Metrics:
    """What to compute. `tokenizers` are sacrebleu's; `flores200` downloads a model the first time it is used.

    `script` is the target's ISO 15924 code ("" checks nothing): a translation with less than `min_script` of its letters
    in it counts as wrong_script. `normalise` is applied to both sides and named in the signature.
    """

    tokenizers: tuple[str, ...] = ("13a", "intl")
    script: str = ""
    min_script: float = 0.5
    normalise: Literal["none", "arabic-light"] = "none"
    samples: int = SAMPLES
    seed: int = SEED


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
) -> TranslationResult:
    """BLEU per tokenizer and chrF++ (word order 2) over one reference, with 95% bootstrap intervals and failure rates.

    A hypothesis of `None` is a failed translation: it is scored as the empty string and counted as `empty`. Copies of the
    source are looked for when `sources` are given. Raises InputError when the numbers of lines differ or are zero.
    """
    settings = metrics or Metrics()
    texts, gold = _prepared(hypotheses, references, settings)
    scores = []
    for name in _names(settings):
        stats, signature = _statistics(name, texts, gold, settings)
        value = float(_value(name, stats.sum(0, keepdims=True))[0])
        drawn = _value(name, _resample(stats, settings))
        low, high = _percentiles(drawn, value)
        scores.append(Score(name, value, len(texts), low, high, _sign(signature, settings)))
    # chrF++ is the last metric, and its counts also give each sentence's own score.
    failures = [_failure(text, source, want, settings) for text, source, want in _triples(hypotheses, sources, references)]
    pairs = zip(_value("chrf++", stats), failures, strict=True)
    segments = tuple(Segment(index, float(chrf), failure) for index, (chrf, failure) in enumerate(pairs))
    checked = [kind for kind in FAILURES if _checked(kind, sources, settings)]
    return TranslationResult(tuple(scores), tuple(_rate(kind, failures, settings) for kind in checked), segments)


def compare_translations(
    base: Sequence[str | None], system: Sequence[str | None], references: Sequence[str], metrics: Metrics | None = None
) -> tuple[Difference, ...]:
    """System minus base for each metric, resampling the same sentences for both, with a two-sided p.

    `wins`, `losses` and `ties` count sentences by their own chrF++. p = (c + 1) / (samples + 1), where c counts resampled
    differences at least as far from their mean, on either side, as the observed one is from 0. sacrebleu's paired test
    counts one side only, so its p is about half of this one. Source: Koehn 2004; Efron and Tibshirani 1993, chapter 16.
    """
    import numpy as np

    settings = metrics or Metrics()
    before, gold = _prepared(base, references, settings)
    after, _ = _prepared(system, references, settings)
    pairs = {name: [_statistics(name, texts, gold, settings) for texts in (before, after)] for name in _names(settings)}
    gains = _value("chrf++", pairs["chrf++"][1][0]) - _value("chrf++", pairs["chrf++"][0][0])
    wins, losses = int((gains > 1e-9).sum()), int((gains < -1e-9).sum())
    found = []
    for name, ((base_stats, signature), (system_stats, _)) in pairs.items():
        value = float((_value(name, system_stats.sum(0, keepdims=True)) - _value(name, base_stats.sum(0, keepdims=True)))[0])
        # The same seed and length give both systems the same draws.
        drawn = _value(name, _resample(system_stats, settings)) - _value(name, _resample(base_stats, settings))
        p = (int((np.abs(drawn - drawn.mean()) >= abs(value)).sum()) + 1) / (settings.samples + 1)
        low, high = _percentiles(drawn, value)
        signed = _sign(signature, settings).replace("ci:percentile", "ci:paired-percentile")
        found.append(Difference(name, value, low, high, p, len(gold), wins, losses, len(gold) - wins - losses, signed))
    return tuple(found)


def script_share(text: str, script: str) -> float:
    """Share of the letters of `text` that belong to `script` (an ISO 15924 code); 1.0 when there are no letters."""
    want = SCRIPTS[script]
    letters = [_script(character) for character in text if character.isalpha()]
    return letters.count(want) / len(letters) if letters else 1.0


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "?").split()[0]


def _prepared(hypotheses: Sequence[str | None], references: Sequence[str], settings: Metrics) -> tuple[list[str], list[str]]:
    if not references or len(hypotheses) != len(references):
        raise InputError(
            f"{len(hypotheses)} translations for {len(references)} references: the numbers must be equal and above zero.",
            "Give one translation per reference line; a failed one is an empty line.",
        )
    if settings.script and settings.script not in SCRIPTS:
        raise RecipeError(
            f"unknown script '{settings.script}'.{nearest(settings.script, SCRIPTS)}", f"Known: {', '.join(SCRIPTS)}."
        )
    clean = _arabic_light if settings.normalise == "arabic-light" else str
    return [clean(text or "") for text in hypotheses], [clean(text) for text in references]


def _arabic_light(text: str) -> str:
    """Without vowel marks and tatweel, presentation forms as plain letters: differences of spelling style only."""
    return _MARKS.sub("", _PRESENTATION.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text))


def _names(settings: Metrics) -> list[str]:
    return [f"bleu-{tokenizer}" for tokenizer in settings.tokenizers] + ["chrf++"]


def _statistics(name: str, texts: list[str], gold: list[str], settings: Metrics) -> tuple[Floats, str]:
    """Per-sentence counts (sentence, count) and sacrebleu's own signature.

    The counts are the ones that sacrebleu itself sums; the tests hold them to its public corpus scores.
    """
    import numpy as np
    from sacrebleu.metrics import BLEU, CHRF

    if name == "chrf++":
        metric: Any = CHRF(char_order=_CHAR_ORDER, word_order=_WORD_ORDER, beta=_BETA)
    else:
        tokenizer = name.removeprefix("bleu-")
        if tokenizer not in BLEU.TOKENIZERS:
            raise RecipeError(
                f"unknown BLEU tokenizer '{tokenizer}'.{nearest(tokenizer, BLEU.TOKENIZERS)}",
                f"Known: {', '.join(sorted(BLEU.TOKENIZERS))}.",
            )
        try:
            metric = BLEU(tokenize=tokenizer, max_ngram_order=_BLEU_ORDER)
        except (OSError, ImportError) as problem:
            raise InputError(
                f"BLEU tokenizer '{tokenizer}' cannot be had: {problem}.",
                "It needs a download or an extra package; 13a and intl need neither.",
            ) from problem
    counts = metric._extract_corpus_statistics(texts, [gold])
    return np.asarray(counts, dtype=np.float64), metric.get_signature().format()


def _resample(stats: Floats, settings: Metrics) -> Floats:
    """Summed counts (samples, count) of sentences drawn with replacement."""
    import numpy as np

    n = len(stats)
    rng = np.random.default_rng(settings.seed)
    draws = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(settings.samples))
    return np.stack([weights @ stats for weights in draws])


def _value(name: str, sums: Floats) -> Floats:
    """The metric (0 to 100) of each line of summed counts."""
    return _chrf(sums) if name == "chrf++" else _bleu(sums)


def _bleu(sums: Floats) -> Floats:
    """BLEU with exponential smoothing over counts [hypothesis length, reference length, 4 matches, 4 totals].

    Source: Papineni et al. 2002; smoothing method 3 of Chen and Cherry 2014, as in mteval-v13a.
    """
    import numpy as np

    length, wanted = sums[:, 0], sums[:, 1]
    matches, totals = sums[:, 2 : 2 + _BLEU_ORDER], sums[:, 2 + _BLEU_ORDER :]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        smooth = 2.0 ** np.cumsum(matches == 0, axis=1)
        precision = np.where(matches > 0, matches / totals, 1 / (smooth * totals))
        brevity = np.where(length < wanted, np.exp(1 - wanted / length), 1.0)
        value = 100 * brevity * np.exp(np.log(precision).mean(axis=1))
    # No match at all, or no n-gram of some order: sacrebleu calls both 0.
    return np.where((matches.sum(1) > 0) & (totals > 0).all(1), value, 0.0)


def _chrf(sums: Floats) -> Floats:
    """chrF over counts [hypothesis, reference, matches] per order; orders missing on one side are left out.

    Source: Popović 2015 and 2017 (word n-grams), beta = 2, averaged over orders before F is taken.
    """
    import numpy as np

    hypothesis, reference, matches = (sums[:, place::3] for place in range(3))
    present = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(present.sum(1), 1)
    precision = np.where(present, matches / np.maximum(hypothesis, 1), 0).sum(1) / orders
    recall = np.where(present, matches / np.maximum(reference, 1), 0).sum(1) / orders
    below = _BETA**2 * precision + recall
    return np.where(below > 0, 100 * (1 + _BETA**2) * precision * recall / np.where(below > 0, below, 1), 0.0)


def _percentiles(drawn: Floats, value: float) -> tuple[float, float]:
    """The middle 95%, widened to hold the value itself, which a handful of sentences may leave outside."""
    import numpy as np

    low, high = np.percentile(drawn, [2.5, 97.5])
    return min(float(low), value), max(float(high), value)


def _sign(signature: str, settings: Metrics) -> str:
    return f"{signature}|normalise:{settings.normalise}|ci:percentile|bs:{settings.samples}|seed:{settings.seed}"


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
