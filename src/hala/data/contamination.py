"""Benchmark questions inside training data, found by shared word n-grams: one index in memory, one pass over the rows.

A row leaks a question when they share 13 words in a row, or when the row covers half of the question's 8-grams, or, for a short
question, when the whole question occurs in the row; one of less than six words must be all of the row, or be followed by half of
its options. Runs that are common in ordinary text prove nothing, so n-grams that many questions share (their instructions) are
left out of the first rule.

>>> from hala.data.contamination import Index
>>> index = Index({"q1": "What is the capital of the old kingdom by the river?"})
>>> index.check(["He asked: what is the capital of the old kingdom, by the river?"]).reason
'contaminated'

Source: the 13-gram rule of GPT-3 (Brown et al. 2020, appendix C); 8-gram coverage of Tulu 3 (Lambert et al. 2024).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hala.data.normaliser import words
from hala.records import KEPT, Verdict, rejected

LONG, SHORT = 13, 8
COVERAGE = 0.5
# An n-gram in more questions than this is part of their common wording.
_COMMON = 10
# Fewer words occur by chance inside other texts, so such a question must be the whole message.
_INSIDE, _SHORTEST = 6, 3


@dataclass(frozen=True, slots=True)
class Leak:
    """A question found in a text: how (`13-gram`, `coverage`, `whole`) and the words they share."""

    question: str
    rule: str
    words: str


class Index:
    """64-bit hashes of the n-grams of questions: about 200 bytes an n-gram, so 50,000 questions take some 400 MB.

    `questions` are texts by id, without the common instruction around them; `options` are what may be answered, by the same ids.
    """

    def __init__(self, questions: Mapping[str, str], options: Mapping[str, Sequence[str]] | None = None) -> None:
        self._long: dict[int, str] = {}
        self._short: dict[int, list[str]] = defaultdict(list)
        self._size: dict[str, int] = {}
        self._whole: dict[int, list[str]] = defaultdict(list)
        self._lengths: dict[int, set[int]] = defaultdict(set)  # of whole questions, by their first words
        self._starts: set[int] = set()
        self._options: dict[str, tuple[str, ...]] = {}
        shared: Counter[int] = Counter()
        for name, text in questions.items():
            tokens = words(text)
            if len(tokens) < LONG:
                self._add_whole(name, tokens, (options or {}).get(name, ()))
            else:
                self._add_grams(name, tokens, shared)
        for gram, count in shared.items():
            if count > _COMMON:
                self._long.pop(gram, None)
        self.questions = len(questions)

    def _add_whole(self, name: str, tokens: list[str], options: Sequence[str]) -> None:
        """A question too short for n-grams is found only as a whole."""
        if len(tokens) < _SHORTEST:
            return
        start = _start(*tokens[:_SHORTEST])
        self._starts.add(start)
        self._lengths[start].add(len(tokens))
        self._whole[_hash(tokens)].append(name)
        if len(tokens) < _INSIDE:
            self._options[name] = tuple({f" {' '.join(found)} " for each in options if (found := words(each))})

    def _add_grams(self, name: str, tokens: list[str], shared: Counter[int]) -> None:
        longer = {_hash(gram) for gram in _grams(tokens, LONG)}
        shared.update(longer)
        for gram in longer:
            self._long.setdefault(gram, name)
        shorter = set()
        for each in _grams(tokens, SHORT):
            self._starts.add(_start(*each[:_SHORTEST]))
            shorter.add(_hash(each))
        self._size[name] = len(shorter)
        for gram in shorter:
            self._short[gram].append(name)

    def find(self, text: str) -> Leak | None:
        """The first leak of the text, or None."""
        tokens = words(text)
        # Few three words of a text that leaks nothing stand in a row in any question: only there is looked closer.
        starts, threes = self._starts, zip(tokens, tokens[1:], tokens[2:], strict=False)
        places = [place for place, three in enumerate(threes) if hash(three) in starts]
        return (self._find_whole(tokens, places) or self._find_grams(tokens, places)) if places else None

    def _find_whole(self, tokens: list[str], places: list[int]) -> Leak | None:
        for place in places:
            for length in self._lengths.get(_start(*tokens[place : place + _SHORTEST]), ()):
                gram = tokens[place : place + length]
                for name in self._whole.get(_hash(gram), ()) if len(gram) == length else ():
                    if length >= _INSIDE or len(tokens) == length or self._with_options(name, tokens[place + length :]):
                        return Leak(name, "whole", " ".join(gram))
        return None

    def _with_options(self, name: str, rest: list[str]) -> bool:
        """Whether at least half of a short question's options, and two of them, follow on it, in any order."""
        options, text = self._options[name], f" {' '.join(rest)} "
        return sum(option in text for option in options) >= max(2, (len(options) + 1) // 2)

    def _find_grams(self, tokens: list[str], places: list[int]) -> Leak | None:
        covered: dict[str, set[int]] = defaultdict(set)
        for place in places:
            gram = tokens[place : place + SHORT]
            mark = _hash(gram)
            for name in self._short.get(mark, ()):
                covered[name].add(mark)
                if len(covered[name]) >= COVERAGE * self._size[name] and not self._is_common(mark):
                    return Leak(name, "coverage", " ".join(gram))
        if not covered:  # 13 shared words hold 8 shared words
            return None
        for place in places:
            gram = tokens[place : place + LONG]
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


def _start(first: str, second: str, third: str) -> int:
    """A hash of three words, the same within a process: it only says where to look closer."""
    return hash((first, second, third))


def _hash(tokens: list[str]) -> int:
    """64 bits of BLAKE2b, the same in every process."""
    return int.from_bytes(hashlib.blake2b(" ".join(tokens).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
