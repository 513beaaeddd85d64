"""Benchmark questions inside training data, found by shared word n-grams: one index in memory, one pass over the rows.

A row leaks a question when they share 13 words in a row, or when the row covers half of the question's 8-grams, or, for a short
question, when the whole question occurs in the row. Runs shorter than a question but common in ordinary text prove nothing, so
n-grams that many questions share (their instructions) are left out of the first rule.

>>> from hala.data.contamination import Index
>>> index = Index({"q1": "What is the capital of the old kingdom by the river?"})
>>> index.check(["He asked: what is the capital of the old kingdom, by the river?"]).reason
'contaminated'

Source: the 13-gram rule of GPT-3 (Brown et al. 2020, appendix C); 8-gram coverage of Tulu 3 (Lambert et al. 2024).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hala.data.dedup import normalise
from hala.languages import fold_digits
from hala.records import KEPT, Verdict, rejected

LONG, SHORT = 13, 8
COVERAGE = 0.5
# An n-gram in more questions than this is part of their common wording.
_COMMON = 10
# Fewer words occur by chance inside other texts, so such a question must be the whole message.
_INSIDE, _SHORTEST = 6, 3
_WORD = re.compile(r"\w+")
# Spellings that writers of Arabic use for one another.
_SAME = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ة": "ه", "ؤ": "و", "ئ": "ي"})


def words(text: str) -> list[str]:
    """The words that are compared: normalised, with ASCII digits and one spelling of each Arabic letter, no punctuation."""
    return _WORD.findall(fold_digits(normalise(text)).translate(_SAME))


@dataclass(frozen=True, slots=True)
class Leak:
    """A question found in a text: how (`13-gram`, `coverage`, `whole`) and the words they share."""

    question: str
    rule: str
    words: str


class Index:
    """64-bit hashes of the n-grams of questions: about 100 bytes an n-gram, so 50,000 questions take some 200 MB.

    `questions` are texts by id, without the common instruction around them.
    """

    def __init__(self, questions: Mapping[str, str]) -> None:
        self._long: dict[int, str] = {}
        self._short: dict[int, list[str]] = defaultdict(list)
        self._size: dict[str, int] = {}
        self._whole: dict[int, dict[int, str]] = defaultdict(dict)
        shared: Counter[int] = Counter()
        for name, text in questions.items():
            tokens = words(text)
            if len(tokens) < LONG:
                self._add_whole(name, tokens)
            else:
                self._add_grams(name, tokens, shared)
        for gram, count in shared.items():
            if count > _COMMON:
                self._long.pop(gram, None)
        self.questions = len(questions)

    def _add_whole(self, name: str, tokens: list[str]) -> None:
        """A question too short for n-grams is found only as a whole."""
        if len(tokens) >= _SHORTEST:
            self._whole[len(tokens)].setdefault(_hash(tokens), name)

    def _add_grams(self, name: str, tokens: list[str], shared: Counter[int]) -> None:
        longer = {_hash(gram) for gram in _grams(tokens, LONG)}
        shared.update(longer)
        for gram in longer:
            self._long.setdefault(gram, name)
        shorter = {_hash(gram) for gram in _grams(tokens, SHORT)}
        self._size[name] = len(shorter)
        for gram in shorter:
            self._short[gram].append(name)

    def find(self, text: str) -> Leak | None:
        """The first leak of the text, or None."""
        tokens = words(text)
        return self._find_whole(tokens) or self._find_grams(tokens)

    def _find_whole(self, tokens: list[str]) -> Leak | None:
        for length, known in self._whole.items():
            if length < _INSIDE and len(tokens) != length:
                continue
            for gram in _grams(tokens, length):
                if (found := _hash(gram)) in known:
                    return Leak(known[found], "whole", " ".join(gram))
        return None

    def _find_grams(self, tokens: list[str]) -> Leak | None:
        covered: dict[str, set[int]] = defaultdict(set)
        for gram in _grams(tokens, SHORT):
            mark = _hash(gram)
            for name in self._short.get(mark, ()):
                covered[name].add(mark)
                if len(covered[name]) >= COVERAGE * self._size[name] and not self._is_common(mark):
                    return Leak(name, "coverage", " ".join(gram))
        if not covered:  # 13 shared words hold 8 shared words
            return None
        for gram in _grams(tokens, LONG):
            if (mark := _hash(gram)) in self._long:
                return Leak(self._long[mark], "13-gram", " ".join(gram))
        return None

    def _is_common(self, mark: int) -> bool:
        return len(self._short[mark]) > _COMMON

    def check(self, texts: str | Iterable[str]) -> Verdict:
        """Kept, or `contaminated` with the question's id and the shared words; of several texts the first leak counts."""
        for text in [texts] if isinstance(texts, str) else texts:
            leak = self.find(text)
            if leak:
                return rejected("contaminated", f"{leak.question} ({leak.rule}): {leak.words[:120]}")
        return KEPT


def _grams(tokens: list[str], n: int) -> Iterator[list[str]]:
    return (tokens[start : start + n] for start in range(len(tokens) - n + 1))


def _hash(tokens: list[str]) -> int:
    """64 bits of BLAKE2b, the same in every process."""
    return int.from_bytes(hashlib.blake2b(" ".join(tokens).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
