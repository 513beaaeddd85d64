"""Questions too short for n-grams, found in a text as a whole: however they are spaced and hyphenated, with one word replaced.

Words are compared without what stands between them, so that `U.S.` is `US` and `well-known` is `wellknown`. Where one word of six
or more is another, the first or the last half is as it was: only where three or four of its words stand is a text looked at.

>>> from hala.data.short_questions import ShortQuestions
>>> known = ShortQuestions()
>>> _ = known.add("q", "who was the us president in the war".split(), ())
>>> text = "tell me who was the us leader in the war".split()
>>> known.find(text, range(len(text) - 2))
[('q', 'near', 'who was the us leader in the war')]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product

from hala.data.normaliser import words

# Fewer words occur by chance inside other texts, so such a question must be the whole message, or be followed by its options.
SHORTEST, INSIDE = 3, 6
# In a shorter question another word is mostly another question ("who is the founder of ..."), unless its options follow.
NEAR = 8
_MERGED = 2  # so many words more or less may the same letters make

Found = tuple[str, str, str]


@dataclass(slots=True)
class _Ends:
    """Of the questions that begin (or end) with the same words: how many words and letters, whole and without one, they have."""

    words: set[int] = field(default_factory=set)
    letters: set[int] = field(default_factory=set)
    less_one: set[int] = field(default_factory=set)


class ShortQuestions:
    """Hashes of whole questions and of what is left of them without each of their words: some 150 bytes a word."""

    def __init__(self) -> None:
        self._whole: dict[int, list[str]] = defaultdict(list)
        self._less_one: dict[int, list[str]] = defaultdict(list)
        self._heads: dict[int, _Ends] = defaultdict(_Ends)
        self._tails: dict[int, _Ends] = defaultdict(_Ends)
        self.anchors: set[int] = set()  # of three words each; `find` is to be asked about places that have one
        self._sizes: dict[str, int] = {}
        self._options: dict[str, tuple[str, ...]] = {}
        self._longest = 0

    def add(self, name: str, tokens: list[str], options: Sequence[str]) -> tuple[int, ...]:
        """One more question; the hashes of three words by one of which it is found, none for a question of fewer."""
        if len(tokens) < SHORTEST:
            return ()
        self._sizes[name] = len(tokens)
        self._longest = max(self._longest, len(tokens) + _MERGED)
        self._options[name] = tuple({f" {' '.join(found)} " for each in options if (found := words(each))})
        letters, count = sum(map(len, tokens)), _end_words(len(tokens))
        for end in (self._heads[hash(tuple(tokens[:count]))], self._tails[hash(tuple(tokens[-count:]))]):
            end.words.add(len(tokens))
            end.letters.add(letters)
            end.less_one.update(letters - len(token) for token in tokens)
        self._whole[hash("".join(tokens))].append(name)
        if len(tokens) >= INSIDE:
            for mark in {hash("".join(tokens[:place] + tokens[place + 1 :])) for place in range(len(tokens))}:
                self._less_one[mark].append(name)
        marks = anchor(*tokens[:SHORTEST]), anchor(*tokens[-count:][:SHORTEST])
        self.anchors.update(marks)
        return marks

    def find(self, tokens: list[str], places: Iterable[int]) -> list[Found]:
        """(name, `whole` or `near`, the text's words) of each question that has one of its ends at one of the places, once.

        Words that are one question to the letter are not another one with a word replaced.
        """
        whole: dict[str, tuple[int, int]] = {}
        near: dict[str, tuple[int, int]] = {}
        before: list[int] = []  # letters up to each word
        for place, count in product(places, (_end_words(SHORTEST), _end_words(NEAR))):
            if place + count > len(tokens):
                continue
            mark = hash(tuple(tokens[place : place + count]))
            for known, forward in ((self._heads.get(mark), True), (self._tails.get(mark), False)):
                if known is None:
                    continue
                before = before or list(accumulate(map(len, tokens), initial=0))
                for start, end in self._windows(place, count, len(tokens), forward):
                    letters = before[end] - before[start]
                    if letters in known.letters:
                        whole.update((name, (start, end)) for name in self._equal(tokens, start, end))
                    if end - start in known.words and end - start >= INSIDE:
                        first, last = (start + count, end) if forward else (start, end - count)
                        left = [each for each in range(first, last) if letters - len(tokens[each]) in known.less_one]
                        near.update((name, (start, end)) for each in left for name in self._alike(tokens, start, end, each))
        siblings = set(whole.values())
        found = [(name, "whole", place) for name, place in whole.items()]
        found += [(name, "near", place) for name, place in near.items() if name not in whole and place not in siblings]
        return [(name, rule, " ".join(tokens[start:end])) for name, rule, (start, end) in found]

    def _windows(self, place: int, count: int, size: int, forward: bool) -> Iterator[tuple[int, int]]:
        """Where a question may begin and end that begins, or ends, with `count` words at a place."""
        if forward:
            return ((place, end) for end in range(place + count, min(place + self._longest, size) + 1))
        end = place + count
        return ((start, end) for start in range(place, max(end - self._longest, 0) - 1, -1))

    def _equal(self, tokens: list[str], start: int, end: int) -> Iterator[str]:
        """Questions that `tokens[start:end]` are."""
        for name in self._whole.get(hash("".join(tokens[start:end])), ()):
            if self._sizes[name] >= INSIDE or end - start == len(tokens) or self._with_options(name, tokens[end:]):
                yield name

    def _alike(self, tokens: list[str], start: int, end: int, place: int) -> Iterator[str]:
        """Questions that `tokens[start:end]` would be with another word at `place`."""
        for name in self._less_one.get(hash("".join(tokens[start:place] + tokens[place + 1 : end])), ()):
            if self._sizes[name] >= NEAR or self._with_options(name, tokens[end:]):
                yield name

    def _with_options(self, name: str, rest: list[str]) -> bool:
        """Whether at least half of a short question's options, and two of them, follow on it, in any order."""
        options, text = self._options[name], f" {' '.join(rest)} "
        return sum(option in text for option in options) >= max(2, (len(options) + 1) // 2)


def _end_words(size: int) -> int:
    """How many words at an end of a question are looked for first: at most half of them, if one may be another."""
    return 4 if size >= NEAR else SHORTEST


def anchor(first: str, second: str, third: str) -> int:
    """A hash of three words, the same within a process: it only says where to look closer."""
    return hash((first, second, third))
