"""Gates on meaning, as far as evidence goes without a model: is the translation about the same things, and about all of them?

Evidence is what a bilingual lexicon knows of the source's words, names and numbers that stand on both sides, and marks. Each
piece has a weight (the logarithm of how much more often it is seen in translations of other rows), set outside the
report.
"""

from __future__ import annotations

import math
import re

from hala.data.features import Pair
from hala.data.lexicon import Lexicon
from hala.data.names import written_in

_NAME = re.compile(r"(?<=[a-z,;:] )[A-Z][A-Za-z'’-]{2,}|(?<![A-Za-z])[A-Za-z]*[A-Z]{2,}[A-Za-z]*(?![A-Za-z])")
_LATIN_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]{2,}")
_NEW_NAME = re.compile(r"(?<=[^\W\d_A-Z] )[A-Z][A-Za-z]{2,}|(?<=[,;:] )[A-Z][A-Za-z]{2,}")
_QUOTES = re.compile('["“”«»]')
# Its point ends no sentence.
_ABBREVIATION = re.compile(
    r"\b(?:[A-Z]|[ap]\.m|etc|e\.g|i\.e|Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Gen|Sen|Rep|Gov|Det|Lt|Col|Capt|Sgt|Rev|vs|No|Inc|Ltd|Co|Corp)\."
)
_STOPS = ".!?؟।…"
_SENTENCE_END = re.compile(rf"[{_STOPS}]+[\"'”’»)]*(?=\s|$)")


def unrelated(pair: Pair) -> str:
    """About the same things, as far as a bilingual lexicon, names, numbers and marks tell: not another row's translation."""
    words = pair.lexicon
    if words is None:
        return ""
    if "\n" not in pair.source.text and _clearly_related(pair, words):
        return ""
    lexical, missing = _lexical(pair)
    limit = 2.0 if pair.source.length >= 45 else 3.2
    # Other evidence seldom adds up to six; without words that are missing it proves nothing.
    if missing >= 2 and lexical > limit - 6.0 and lexical + 1.2 * _other(pair) > limit:
        return f"{missing} of {len(pair.found)} known words are missing"
    return _shifted(pair) if "\n" in pair.source.text else ""


def _clearly_related(pair: Pair, words: Lexicon) -> bool:
    """Whether the first four known words that are not weak are all there: by chance that happens once in ten thousand."""
    hits = 0
    text = pair.searchable
    for concept in pair.source.anchors(words):
        if not concept.weak:
            for stem in concept.stems:
                if stem in text:
                    break
            else:
                return False
            hits += 1
            if hits == 4:
                return True
    return False


def _lexical(pair: Pair) -> tuple[float, int]:
    """Evidence from the known words of a source, below zero for the pair, and how many of them the translation misses."""
    miss = pair.lexicon.miss if pair.lexicon is not None else 1.5
    score, missing = -1.6, 0
    for weak, hit in pair.found:
        if hit:
            score -= 0.6 if weak else 2.5
        else:
            missing += 1
            score += min(1.7, miss) if weak else miss
    return score, missing


def _other(pair: Pair) -> float:
    """Evidence from names, numbers, brackets, quotes, ends and length."""
    source, target = pair.source, pair.target
    before, after = source.natural, target.natural
    off = min(1.2, abs(math.log(max(pair.ratio, 1e-3))))
    score = 2.0 * off + 2.5 * max(0.0, off - 0.3)
    score += 1.5 * (("(" in source.text) != ("(" in target.text))
    score += 1.0 * ((_QUOTES.search(source.text) is None) != (_QUOTES.search(target.text) is None))
    score += 1.5 * (source.ends != target.ends)
    score -= 2.5 * sum(1 for number in source.numbers.keys() & target.numbers.keys() if len(number) > 1)
    concepts = pair.lexicon.concepts if pair.lexicon else {}
    names = {name for name in _NAME.findall(before) if name not in concepts and name.lower() not in concepts}
    kept = sum(1 for name in names if name in after)
    score -= 2.3 * kept
    if pair.language.script == "Latin":
        new = {name for name in _NEW_NAME.findall(after) if name not in source.text}
        return score + min(1.6, 0.4 * (len(names) - kept)) + min(2.0, 0.6 * len(new))
    transliterated = sum(1 for name in names if name not in after and written_in(name, after, pair.language.script))
    score += 0.8 * min(3, len(names) - kept - transliterated) - 1.0 * transliterated
    lower = source.text.lower()
    return score + min(2.4, 0.8 * sum(1 for word in set(_LATIN_WORD.findall(after)) if word.lower() not in lower))


def _shifted(pair: Pair) -> str:
    """Lines whose translations stand on other lines."""
    sources, targets = ([line for line in side.text.splitlines() if line.strip()] for side in (pair.source, pair.target))
    if len(sources) != len(targets) or len(sources) < 2:
        return ""
    scores = []
    for source, target in zip(sources, targets, strict=True):
        if source == target:  # code, or a name
            continue
        line = Pair(source, target, pair.language, pair.source.language)
        scores.append(_lexical(line)[0] if len(line.found) >= 2 else 0.0)
    wrong = [score for score in scores if score > 1.5]
    return f"{len(wrong)} lines say something else" if len(wrong) > 1 or sum(wrong) > 5.0 else ""


def omitted(pair: Pair) -> str:
    """No part of the source left out: a translation that is short or has fewer sentences still speaks of all that it does."""
    if pair.lexicon is None or pair.ratio >= 0.95 or pair.source.length < 30:
        return ""
    if pair.ratio > 0.8 and _tail_found(pair):
        return ""
    run = longest = 0
    for weak, hit in pair.found:
        if not hit:
            run += 1
            longest = max(longest, run)
        elif not weak:
            run = 0
    short = 7.0 if pair.source.length < 200 else 17.0
    score = 0.9 * run + 0.5 * longest - short * math.log(max(pair.ratio, 0.2))
    limit = 6.8 if pair.source.length >= 45 else 9.2
    # Most need no closer look: more sentences would have to be missing than there are ends.
    if score < 1.5 or score + 5.5 * max(0, sum(map(pair.source.natural.count, _STOPS)) - 1) + 0.8 <= limit:
        return ""
    before, after = _sentences(pair.source.natural), _sentences(pair.target.natural)
    score += 5.5 * max(0, before - max(1, after)) + 0.8 * _left_open(pair.source.text, pair.target.text)
    return f"{run} known words at the end and {before - after} sentences are missing" if score > limit else ""


def _sentences(text: str) -> int:
    return len(_SENTENCE_END.findall(_ABBREVIATION.sub(" ", text)))


def _tail_found(pair: Pair) -> bool:
    """Whether the last two known words of the source that are not weak are there."""
    hits = 0
    for concept in reversed(pair.source.anchors(pair.lexicon) if pair.lexicon is not None else []):
        if not concept.weak:
            if not pair.holds(concept.stems):
                return False
            hits += 1
            if hits == 2:
                return True
    return False


def _left_open(source: str, target: str) -> bool:
    """A bracket or quote that the source closes and the translation does not."""
    brackets = source.count("(") == source.count(")") and target.count("(") != target.count(")")
    return brackets or (source.count('"') % 2 == 0 and target.count('"') % 2 == 1)
