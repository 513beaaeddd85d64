"""Benchmark questions inside training data, found by shared word n-grams: one index in memory, one pass over the rows.

A row leaks a question when they share 13 words in a row, or when the row covers half of the question's 8-grams, or, for a short
question, when the whole question occurs in the row; from eight words on, one of them may be another. A question of less than six
words must be all of the row, or be followed by half of its options; so must one of six or seven with another word. Runs that are
common in ordinary text prove nothing, so n-grams that many questions share (their instructions) are left out of the first rule.

>>> from hala.data.contamination import Index
>>> index = Index({"q1": "What is the capital of the old kingdom by the river?"})
>>> index.check(["He asked: what is the capital of the old kingdom, by the river?"]).reason
'contaminated'

Source: the 13-gram rule of GPT-3 (Brown et al. 2020, appendix C); 8-gram coverage of Tulu 3 (Lambert et al. 2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from hala.data.normaliser import words
from hala.data.short_questions import SHORTEST, ShortQuestions, anchor
from hala.records import KEPT, Verdict, rejected

LONG, SHORT = 13, 8
COVERAGE = 0.5
# An n-gram in more questions than this is part of their common wording.
_COMMON = 10


@dataclass(frozen=True, slots=True)
class Leak:
    """A question found in a text: how (`13-gram`, `coverage`, `whole`, `near`) and the words they share."""

    question: str
    rule: str
    words: str

    @property
    def told(self) -> str:
        """All of it in a line."""
        return f"{self.question} ({self.rule}): {self.words[:120]}"


class Index:
    """64-bit hashes of the n-grams of questions: about 200 bytes an n-gram, so 50,000 questions take some 400 MB.

    `questions` are texts by id, without the common instruction around them; `options` are what may be answered, by the same ids.
    """

    def __init__(self, questions: Mapping[str, str], options: Mapping[str, Sequence[str]] | None = None) -> None:
        self._grams: dict[int, list[str]] = defaultdict(list)  # of SHORT words
        self._size: dict[str, int] = {}
        self._short = ShortQuestions()
        self._starts: set[int] = set()
        for name, text in questions.items():
            tokens = words(text)
            if len(tokens) < LONG:
                self._starts.update(self._short.add(name, tokens, (options or {}).get(name, ())))
            else:
                self._add_grams(name, tokens)
        self.questions = len(questions)

    def _add_grams(self, name: str, tokens: list[str]) -> None:
        marks = set()
        for place in range(len(tokens) - SHORT + 1):
            self._starts.add(anchor(*tokens[place : place + SHORTEST]))
            marks.add(hash(tuple(tokens[place : place + SHORT])))
        self._size[name] = len(marks)
        for mark in marks:
            self._grams[mark].append(name)

    def find_all(self, texts: str | Iterable[str]) -> list[Leak]:
        """Every question that a text or one of several leaks, once each: the first place and rule of it."""
        found: dict[str, Leak] = {}
        for text in [texts] if isinstance(texts, str) else texts:
            tokens = words(text)
            # Few three words of a text that leaks nothing stand in a row in any question: only there is looked closer.
            starts, threes = self._starts, zip(tokens, tokens[1:], tokens[2:], strict=False)
            if marked := [each for each in enumerate(map(hash, threes)) if each[1] in starts]:
                ends = [place for place, mark in marked if mark in self._short.anchors]
                short = (Leak(*each) for each in self._short.find(tokens, ends)) if ends else ()
                places = [place for place, _ in marked]
                for leak in chain(short, self._find_grams(tokens, places)):
                    if leak.question not in found or leak.rule == "whole":
                        found[leak.question] = leak
        return list(found.values())

    def _find_grams(self, tokens: list[str], places: list[int]) -> Iterator[Leak]:
        """Questions of which half the n-grams are in the text, one of them not common; then those with a run of LONG words."""
        covered: dict[str, set[int]] = defaultdict(set)
        own: dict[str, int] = {}  # where the first n-gram stands that is not common
        long: dict[str, int] = {}
        runs: dict[str, int] = {}  # by question, how many n-grams in a row up to here are its own
        before = -1
        for place in places:
            mark = hash(tuple(tokens[place : place + SHORT]))
            if (names := self._grams.get(mark)) is None:
                continue
            runs = {name: runs.get(name, 0) + 1 for name in names} if place == before + 1 else dict.fromkeys(names, 1)
            before = place
            for name in names:
                covered[name].add(mark)
                if len(names) <= _COMMON:
                    own.setdefault(name, place)
            sharing = [name for name, run in runs.items() if run > LONG - SHORT]
            for name in sharing if len(sharing) <= _COMMON else ():
                long.setdefault(name, place + SHORT - LONG)
        for name, place in own.items():
            if len(covered[name]) >= COVERAGE * self._size[name]:
                yield Leak(name, "coverage", " ".join(tokens[place : place + SHORT]))
        for name, place in long.items():
            yield Leak(name, "13-gram", " ".join(tokens[place : place + LONG]))

    def check(self, texts: str | Iterable[str]) -> Verdict:
        """Kept, or `contaminated` with the first question's id, the shared words, and how many more questions there are."""
        found = self.find_all(texts)
        if not found:
            return KEPT
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return rejected("contaminated", found[0].told + more)
