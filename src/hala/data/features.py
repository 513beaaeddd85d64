"""What gates look at: the two sides of a translation, each with features that are computed once and mostly when asked for.

Every gate reads the same `Pair`. A source compared with several texts in a row keeps its side. `plain` is the
feature that makes most segments cheap: a text of letters, digits and common punctuation holds no code, markup, emoji or garbage.
What nearly every pair needs, the words of the translation first of all, is there from the start.

>>> from hala.data.features import Pair
>>> from hala.languages import language
>>> pair = Pair("Open ⟦1⟧ in 2 steps.", "افتح ⟦1⟧ في خطوتين.", language("ar"), language("en"))
>>> pair.source.natural, pair.source.digits, pair.target.digits, pair.target.foreign
('Open   in 2 steps.', True, False, '')
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, TypeVar, cast, overload

from hala.data.lexicon import Concept, Lexicon, between, lexicon, spaced
from hala.data.masks import SENTINEL, mask, plain
from hala.data.numerals import numbers_of
from hala.data.segments import split
from hala.languages import Language, fold_digits
from hala.records import Finish

T = TypeVar("T")
WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_LETTER = re.compile(r"[^\W\d_]")
_NATIVE_DIGIT = re.compile("[٠-٩۰-۹०-९]").search
_ANY_DIGIT = re.compile("[0-9٠-٩۰-۹०-९]").search
_LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]").search
_CLOSERS = " \t\r\n\"'”’»›)]*_`⟧"
_ENDS = frozenset(".!?؟।…⁇|:：؛;")
# Blocks with the letters, marks, digits and punctuation of a script.
_BLOCKS = {"Arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc", "Devanagari": "\u0900-\u097f", "Latin": ""}
_LETTERS = "\u00c0-\u024f\u02bb-\u02bc\u0300-\u036f\u1e00-\u1eff"
_COMMON = (
    f"\t\n\r -~\u00a0-\u00bf{_LETTERS}\u2010-\u2027\u2030-\u205e\u2070-\u209f\u20a0-\u20bf\u2100-\u214f\u2190-\u21ff"
    "\u2200-\u22ff⟦⟧\u200b-\u200f\u202a-\u202e\u2066-\u2069"
)
_WORD_BYTES = bytes(byte for byte in range(128) if chr(byte).isalpha() or chr(byte) in " !\"'(),-.:;?")
_DIGITS_ALONE = bytes(byte if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_MARKS = " !\"'(),\\-.:;?«»–—‘’“”…\u200c\u200d"
_PLAIN = f"{_MARKS}0-9A-Za-z{_LETTERS}"


class lazy(Generic[T]):  # noqa: N801 - reads as a decorator
    """An attribute that is computed on first use. (The one of functools takes a lock, which costs more than most features.)"""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: Any) -> T: ...
    def __get__(self, instance: object | None, owner: Any) -> lazy[T] | T:
        if instance is None:
            return self
        value = self.compute(instance)
        setattr(instance, self.name, value)  # writing to __dict__ would make every attribute of the instance dearer
        return value


class Side:
    """One text of a pair and what there is to know about it alone."""

    def __init__(self, text: str, language: Language) -> None:
        self.text = text
        self.language = language
        self._anchors: tuple[Lexicon, list[Concept]] | None = None
        if text.isascii():  # cheaper to look through as bytes
            rest = text.encode().translate(None, _WORD_BYTES)
            odd: Any = rest.translate(None, b"0123456789")
            self.bare = self.folded = text
            self.native, self.digits = False, len(odd) < len(rest)
        else:
            no_word, no_plain = _searches.get(language.code) or _searches_for(language)
            odd = no_word(text)
            if odd is None:  # neither Latin nor digits nor sentinels, then
                self.bare = self.folded = text
                self.latin = self.native = self.digits = False
            else:
                odd = no_plain(text)
        self.plain = plain = (
            not odd
            and text[:1].isalpha()
            # No dot inside a word, as in files and addresses; no call, no flag.
            and (text.find(".", 0, -1) < 0 or text.count(".") == text.count(". ") + text.endswith("."))
            and not ("-" in text and "--" in text)
            and not ("(" in text and "()" in text)
        )
        """Whether there are only letters, digits and common punctuation, a letter first, and so no code, markup or emoji."""
        if plain:
            self.natural = self.bare = text
            self.length = len(text.strip())
            self.lettered, self.spans, self.foreign = True, (), ""

    @lazy
    def natural(self) -> str:
        """The text without code, formulas, addresses and sentinels."""
        return natural(self.text) if "\n" in self.text else plain(self.bare)

    @lazy
    def length(self) -> int:
        """Characters of natural language, without the space around them."""
        return len(self.natural.strip())

    @lazy
    def lettered(self) -> bool:
        """Whether there is any letter in the natural language."""
        return _LETTER.search(self.natural) is not None

    @lazy
    def bare(self) -> str:
        """The text without sentinels."""
        return SENTINEL.sub(" ", self.text) if "⟦" in self.text else self.text

    @lazy
    def spans(self) -> tuple[str, ...]:
        """Code, addresses and other protected spans, sentinels among them."""
        return mask(self.text).spans

    @lazy
    def native(self) -> bool:
        """Whether there are digits of another script than Latin outside sentinels."""
        return _NATIVE_DIGIT(self.bare) is not None

    @lazy
    def digits(self) -> bool:
        """Whether there are any digits outside sentinels."""
        return _ANY_DIGIT(self.bare) is not None

    @lazy
    def figures(self) -> list[bytes]:
        """Stretches of digits outside sentinels in order, as ASCII digits."""
        return self.folded.encode("utf-8", "surrogatepass").translate(_DIGITS_ALONE).split()

    @lazy
    def numbers(self) -> Counter[str]:
        """Numbers in ASCII digits, with how often they occur."""
        return numbers_of(self.folded) if self.digits else Counter()

    @lazy
    def folded(self) -> str:
        """The text without sentinels, in ASCII digits; the same object as `bare` when it has no others."""
        return fold_digits(self.bare) if self.native else self.bare

    @lazy
    def spaced(self) -> str:
        """The natural language in lower case, with spaces for punctuation and around it."""
        return spaced(self.natural, self.language.script in ("Latin", ""))

    @lazy
    def tokens(self) -> list[str]:
        """Words in lower case, numbers among them, in order."""
        return self.spaced.split()

    @lazy
    def lower(self) -> frozenset[str]:
        """Distinct words in lower case."""
        return frozenset(self.tokens)

    @lazy
    def marked(self) -> int:
        """How many words have a letter with a mark (any beyond ASCII)."""
        return len(self.tokens) - sum(map(str.isascii, self.tokens))

    @lazy
    def words(self) -> list[str]:
        """Words as they are written."""
        return between(self.natural).split()

    @lazy
    def latin(self) -> bool:
        """Whether the natural language holds any Latin letter."""
        return _LATIN(self.natural) is not None

    @lazy
    def foreign(self) -> str:
        """The first character that ordinary text in the language has no use for: another script, emoji, controls; or empty."""
        match = _foreign(self.language.script, self.language.foreign)(self.text)
        return match.group() if match else ""

    @lazy
    def ends(self) -> bool:
        """Whether a sentence ends at the end of the text."""
        return self.text.rstrip(_CLOSERS)[-1:] in _ENDS

    def anchors(self, words: Lexicon) -> list[Concept]:
        """What the text speaks of, as far as the lexicon of the other language knows it, in order and without repetition."""
        if self._anchors is None or self._anchors[0] is not words:
            self._anchors = words, _anchors(self.words, words)
        return self._anchors[1]


class Pair:
    """A source, its translation, and what may be known beside the two texts."""

    def __init__(self, source: str, target: str, to: Language, source_language: Language, finish: Finish = "stop") -> None:
        self.source = before = _source(source, source_language)
        self.target = after = Side(target, to)
        self.language = to
        self.finish = finish
        after.spaced = text = spaced(after.natural, to.script in ("Latin", ""))
        after.tokens = tokens = text.split()
        after.lower = frozenset(tokens)
        expected = before.length * to.expansion
        self.ratio = after.length * source_language.expansion / expected if expected else 1.0
        """Length of the translation over the length that such a source leads one to expect; 1.0 for a source without text."""
        self.lexicon = words = lexicon(to.code) if source_language.code == "en" else None
        """The bilingual lexicon of the pair; None when there is none."""
        self.searchable = words.simple(text) if words is not None else ""
        """The translation as the lexicon looks for words in it."""

    @lazy
    def found(self) -> list[tuple[bool, bool]]:
        """For each known word of the source in turn: whether it proves little, and whether the translation has it."""
        words = self.lexicon
        if words is None:
            return []
        return [
            (concept.weak, self.holds(concept.stems) or (concept.calendar and self.more_figures))
            for concept in self.source.anchors(words)
        ]

    @lazy
    def more_figures(self) -> bool:
        """Whether the translation has more figures than the source: it may have written a month as a number."""
        return len(self.target.figures) > len(self.source.figures)

    def holds(self, stems: tuple[str, ...]) -> bool:
        """Whether the translation has one of a lexicon's stems."""
        text = self.searchable
        for stem in stems:  # noqa: SIM110 - a third faster than any()
            if stem in text:
                return True
        return False


_sources: dict[str, Side] = {}


def _source(text: str, language: Language) -> Side:
    """The side of a source: the same for whoever compares it with several texts in a row."""
    side = _sources.get(text)
    if side is None or side.language is not language:
        if len(_sources) > 64:
            _sources.clear()
        side = _sources[text] = Side(text, language)
    return side


def natural(text: str) -> str:
    """The natural language of a segment or a document: no code, formulas, addresses, sentinels."""
    return plain(text) if "\n" not in text else "\n".join(map(plain, split(text).segments))


Search = Callable[[str], "re.Match[str] | None"]


_searches: dict[str, tuple[Search, Search]] = {}


def _searches_for(language: Language) -> tuple[Search, Search]:
    """Finds what is no letter of the language's own script and no common punctuation; and what is no Latin and no digit either.

    Letters of the script that are foreign to the language count as found. Where the first finds nothing, much else is known.
    """
    own, letters = _BLOCKS.get(language.script, ""), language.foreign
    welcome = re.compile(f"[{own}]" if own else "(?!)")
    block = [each for each in map(chr, range(0x600, 0xA00)) if welcome.match(each) and each not in letters]
    if letters:  # cut the strangers out of the block, so that one search finds them too
        own = re.escape("".join(block))
    words = re.escape("".join(each for each in block if not each.isdecimal()))
    searches = re.compile(f"[^{_MARKS}{words}]").search, re.compile(f"[^{_PLAIN}{own}]").search
    _searches[language.code] = searches
    return searches


@lru_cache(maxsize=64)
def _foreign(script: str, letters: str) -> Search:
    """Finds the given letters, and whatever is outside the script, Latin, digits, and common punctuation and symbols."""
    # Without a known script every letter is welcome.
    own = _BLOCKS.get(script, r"\w")
    return re.compile((f"[{re.escape(letters)}]|" if letters else "") + f"[^{_COMMON}{own}]").search


def _anchors(words: list[str], lexicon: Lexicon) -> list[Concept]:
    if not words:
        return []
    get = lexicon.concepts.get
    found = dict.fromkeys(chain((get(words[0].lower()),), map(get, words)))
    found.pop(None, None)
    if not found:  # a title in capitals
        found = dict.fromkeys(get(word.lower()) for word in words)
        found.pop(None, None)
    return cast("list[Concept]", list(found))
