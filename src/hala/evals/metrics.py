"""What each translation metric counts in a sentence, and what summed counts are worth: BLEU, chrF++, TER and ROUGE-L.

Every metric here is a function of sums over sentences, so that a resample is a small sum and no second pass over the text. The
values are sacrebleu's to the last digit; spBLEU takes its model from a file and never from the net.

>>> from hala.evals.metrics import count, value
>>> counts = count("ter", ("the cat sat",), ("the cat sat down",))
>>> value("ter", counts.stats).tolist()
[25.0]
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.errors import InputError, RecipeError, nearest
from hala.evals.rouge import latin_words, rouge_l, unicode_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LOWER_IS_BETTER = ("ter",)
_BETA, _CHAR_ORDER, _WORD_ORDER, _BLEU_ORDER = 2, 6, 2, 4
_ROUGE: dict[str, tuple[Callable[[str], list[str]], str]] = {
    "rouge-l": (unicode_words, "nrefs:1|case:lc|tok:unicode|form:nfc|measure:lcs-f1|avg:sentences"),
    "rouge-l-latin": (latin_words, "nrefs:1|case:lc|tok:a-z0-9|measure:lcs-f1|avg:sentences|as:rouge_score-0.1.2"),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Per-sentence counts `stats` (sentence, count), read-only, and the signature without resampling."""

    stats: Floats
    signature: str


def known_metrics() -> list[str]:
    """Every name that `count` takes."""
    from sacrebleu.metrics import BLEU

    return [*(f"bleu-{each}" for each in sorted(set(BLEU.TOKENIZERS) - {"spm"})), "chrf++", "ter", *_ROUGE]


def check_metric(name: str) -> None:
    """Raises RecipeError, with the nearest name, for a metric that nobody knows."""
    known = known_metrics()
    if name not in known:
        raise RecipeError(f"unknown metric '{name}'.{nearest(name, known)}", f"Known: {', '.join(known)}.")


@lru_cache(maxsize=128)
def count(name: str, hypotheses: tuple[str, ...], references: tuple[str, ...], flores200: str = "") -> Counts:
    """The counts of one metric over aligned texts, kept for the next comparison with the same texts.

    The counts are the ones that sacrebleu itself sums; the tests hold them to its public corpus scores. `flores200` is the file
    of spBLEU's SentencePiece model; none means sacrebleu's own folder. Raises RecipeError for an unknown name, InputError when
    a tokenizer cannot be had.
    """
    import numpy as np

    check_metric(name)
    if name in _ROUGE:
        words, signature = _ROUGE[name]
        pairs = zip(hypotheses, references, strict=True)
        stats = np.array([(rouge_l(words(text), words(gold)), 1.0) for text, gold in pairs])
    else:
        metric, more = _metric(name, flores200)
        stats = np.asarray(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), dtype=np.float64)
        signature = metric.get_signature().format() + more
    stats.setflags(write=False)
    return Counts(stats, signature)


def value(name: str, sums: Floats) -> Floats:
    """The metric of each line of summed counts: 0 to 100, TER beyond where there are more edits than words."""
    import numpy as np

    if name == "chrf++":
        return _chrf(sums)
    if name.startswith("bleu-"):
        return _bleu(sums)
    edits, words = sums[:, 0], sums[:, 1]
    # An empty reference: TER is 1 if there is anything to delete. ROUGE-L is a mean, its second count the sentences.
    return 100 * np.where(words > 0, edits / np.where(words > 0, words, 1), edits > 0)


def _metric(name: str, flores200: str) -> tuple[Any, str]:
    """sacrebleu's object for a metric, and what its signature does not say."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    if name == "chrf++":
        return CHRF(char_order=_CHAR_ORDER, word_order=_WORD_ORDER, beta=_BETA), ""
    if name == "ter":
        return TER(), ""
    tokenizer = name.removeprefix("bleu-")
    model = _sentencepiece(tokenizer, flores200)
    if model is None:
        try:
            return BLEU(tokenize=tokenizer, max_ngram_order=_BLEU_ORDER), ""
        except (OSError, ImportError, RuntimeError) as problem:
            raise InputError(
                f"BLEU tokenizer '{tokenizer}' cannot be had: {problem}.", "It needs an extra package; 13a and intl need none."
            ) from problem
    metric = BLEU(tokenize="none", max_ngram_order=_BLEU_ORDER)
    metric.tokenizer = _Pieces(tokenizer, model)
    metric.tokenizer_signature = tokenizer
    return metric, f"|spm:{hashlib.sha256(model.read_bytes()).hexdigest()[:8]}"


def _sentencepiece(tokenizer: str, flores200: str) -> Path | None:
    """The model file of a tokenizer that has one. Raises InputError where it is not there: sacrebleu itself would download it."""
    from sacrebleu.tokenizers import tokenizer_spm

    if tokenizer not in tokenizer_spm.SPM_MODELS:
        return None
    url = tokenizer_spm.SPM_MODELS[tokenizer]["url"]
    usual = Path(tokenizer_spm.SACREBLEU_DIR, "models", url.rpartition("/")[2])
    path = Path(flores200) if flores200 and tokenizer == "flores200" else usual
    if not path.is_file():
        setting = " or name the file in `flores200`" if tokenizer == "flores200" else ""
        raise InputError(f"bleu-{tokenizer} needs a SentencePiece model: no {path}.", f"Put {url} there{setting}.")
    return path


class _Pieces:
    """A tokenizer as sacrebleu calls it: a line as SentencePiece pieces between spaces."""

    def __init__(self, name: str, path: Path) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as problem:
            raise InputError(f"bleu-{name} needs the package sentencepiece.", "pip install 'hala[ctranslate]'") from problem
        self._name, self._model = name, SentencePieceProcessor()
        try:
            self._model.Load(str(path))
        except (OSError, RuntimeError) as problem:
            raise InputError(f"{path} is no SentencePiece model: {problem}.", "Get the file again.") from problem

    def signature(self) -> str:
        return self._name

    def __call__(self, line: str) -> str:
        return " ".join(self._model.EncodeAsPieces(line))


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
        found = 100 * brevity * np.exp(np.log(precision).mean(axis=1))
    # No match at all, or no n-gram of some order: sacrebleu calls both 0.
    return np.where((matches.sum(1) > 0) & (totals > 0).all(1), found, 0.0)


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
