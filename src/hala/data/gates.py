"""Deterministic checks of a translation against its source: cheap, ordered, and each with a reason that is counted.

A gate is a function of (source, target, context). It sees masked segments or whole documents: sentinels and protected spans never
count as language. Limits were set on human translations (documentation, news, everyday sentences) so that good pairs pass.

>>> from hala.data.gates import check
>>> from hala.languages import language
>>> check("Open the file.", "افتح الملف.", "stop", language("ar")).kept
True
>>> check("Open the file.", "Open the file.", "stop", language("ar")).reason
'copy'
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hala.data.masks import SENTINEL, mask, plain
from hala.data.numerals import changed_numbers, number_words
from hala.data.phrases import INTERJECTIONS, INTERROGATIVES, PREAMBLES, REFUSALS
from hala.data.segments import split
from hala.languages import LANGUAGES, Language, fold_digits, letters, script_letters
from hala.records import KEPT, Finish, Verdict, rejected

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ][\w'’.+#&/-]*")
_FOREIGN_RUN = re.compile(r"[^\W\d_]{2,}")
_LATIN_STRETCH = re.compile(r"(?<![\w.@/&#-])[A-Za-z][A-Za-z0-9'’.,;:&/+#@_-]*(?: +[A-Za-z0-9][A-Za-z0-9'’.,;:&/+#@_-]*)*")
_LIST_MARKER = re.compile(r"^[ \t>]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?؟।…]+[\"'”’»)]*(?=\s|$)")
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]{0,15})(?:\s[^<>]*)?/?>|<\|[^<>|]{1,40}\|>|〘|〙")
_LITERAL_NEWLINE = re.compile(r"\\[nr](?![A-Za-z])|(?<!\\)\\n(?=[A-Z])")
_COMMAND = re.compile(r"(?<![A-Za-z])\\[a-z]+|\\[()\[\]]")
# Characters of target per character of source, divided by the expected ratio: (source shorter than, lowest, highest).
_LENGTH_CLASSES = ((10, 0.2, 6.0), (25, 0.28, 3.4), (60, 0.35, 2.4), (150, 0.5, 1.9), (10**9, 0.5, 1.65))


@dataclass(frozen=True, slots=True)
class Context:
    """What a gate may know beside the two texts."""

    target: Language
    source: Language = LANGUAGES["en"]
    finish: Finish = "stop"


Gate = Callable[[str, str, Context], Verdict]


def check(
    source: str,
    target: str,
    finish: Finish,
    language: Language,
    gates: Mapping[str, Gate] | None = None,
    source_language: Language | None = None,
) -> Verdict:
    """Kept, or the rejection by the first gate that objects; `reason` is the gate's name. Without `gates`, all of them."""
    context = Context(language, source_language or LANGUAGES["en"], finish)
    for gate in (GATES if gates is None else gates).values():
        verdict = gate(source, target, context)
        if not verdict.kept:
            return verdict
    return KEPT


@lru_cache(maxsize=8)
def natural(text: str) -> str:
    """The natural language of a segment or a document: no code, formulas, addresses, sentinels."""
    return plain(text) if "\n" not in text else "\n".join(map(plain, split(text).segments))


def truncated(source: str, target: str, context: Context) -> Verdict:
    """The engine stopped at its token limit, or failed."""
    return KEPT if context.finish == "stop" else rejected("truncated", f"finish is {context.finish}")


def empty(source: str, target: str, context: Context) -> Verdict:
    """Nothing came back for something."""
    if source.strip() and not target.strip():
        return rejected("empty", source[:60])
    if letters(natural(source)) and not letters(natural(target)) and not _spelled_out(source, target, context):
        return rejected("empty", "no letters in the translation")
    return KEPT


def _spelled_out(source: str, target: str, context: Context) -> bool:
    """Whether a text of digits may be the translation of number words."""
    return any(character.isdigit() for character in target) and bool(number_words(source, context.source.code))


def copy(source: str, target: str, context: Context) -> Verdict:
    """The source came back; fine only when it holds nothing but names, acronyms and numbers."""
    left, right = _WORD.findall(natural(source).casefold()), _WORD.findall(natural(target).casefold())
    if left == right and left:
        return KEPT if _only_names(natural(source)) else rejected("copy", target[:60])
    # Names stay as they are in good translations; only words in lower case tell.
    ordinary = [word for word in _WORD.findall(natural(source)) if word.islower()]
    shared = sum((Counter(ordinary) & Counter(right)).values())
    if len(ordinary) >= 4 and shared >= 0.8 * len(ordinary):
        return rejected("copy", f"{shared} of {len(ordinary)} words are the source's")
    return KEPT


def _only_names(text: str) -> bool:
    """Whether every word looks like an acronym or a product name (XML, iOS, GitHub): nothing that a translator must change."""
    return all(len(word) == 1 or any(character.isupper() for character in word[1:]) for word in _WORD.findall(text))


def placeholders(source: str, target: str, context: Context) -> Verdict:
    """Every sentinel, or in unmasked text every protected span, is there as often as in the source, in any order."""
    before, after = (Counter(int(match[1]) for match in SENTINEL.finditer(text)) for text in (source, target))
    if before != after:
        return rejected("placeholders", _difference(before, after))
    if before or not re.search("[⟦⟧]", target):
        before_spans, after_spans = (Counter(map(_span_key, mask(text).spans)) for text in (source, target))
        if before_spans - after_spans or after_spans - before_spans:
            return rejected("placeholders", _difference(before_spans, after_spans))
        return KEPT
    return rejected("placeholders", "a damaged sentinel") if "⟦" not in source else KEPT


def _span_key(span: str) -> str:
    # Documentation sites are localised by swapping the locale in the address; that is a good translation.
    return fold_digits(re.sub(r"/[a-z]{2}-[a-z]{2}(?=/|$)", "", span.casefold()))


def _difference(before: Counter[str] | Counter[int], after: Counter[str] | Counter[int]) -> str:
    missing, extra = list(before - after), list(after - before)  # type: ignore[operator]
    return f"missing {missing[:3]}, extra {extra[:3]}"


def lines(source: str, target: str, context: Context) -> Verdict:
    """As many lines and list items as in the source; a paragraph wrapped by hand may come back as one line."""
    before, after = (sum(1 for line in text.splitlines() if line.strip()) for text in (source, target))
    if after > before or (after < before and len(split(source).segments) > 1):
        return rejected("lines", f"{before} lines became {after}")
    before, after = len(_LIST_MARKER.findall(source)), len(_LIST_MARKER.findall(target))
    return KEPT if before == after else rejected("lines", f"{before} list items became {after}")


def literal_newline(source: str, target: str, context: Context) -> Verdict:
    """No written-out line break escapes that the source does not have."""
    before, after = len(_LITERAL_NEWLINE.findall(source)), len(_LITERAL_NEWLINE.findall(target))
    return KEPT if after <= before else rejected("literal_newline", f"{after} escapes, {before} in the source")


def html(source: str, target: str, context: Context) -> Verdict:
    """No tags, chat marks or answer wrappers that the source does not have."""
    extra = Counter(match.group().casefold() for match in _TAG.finditer(target))
    extra -= Counter(match.group().casefold() for match in _TAG.finditer(source))
    return KEPT if not extra else rejected("html", " ".join(sorted(extra))[:80])


def latex(source: str, target: str, context: Context) -> Verdict:
    """Braces and dollars stay balanced and LaTeX commands stay the same, in any order."""
    if source.count("{") == source.count("}") and target.count("{") != target.count("}"):
        return rejected("latex", f"{target.count('{')} opening and {target.count('}')} closing braces")
    before, after = Counter(_COMMAND.findall(source)), Counter(_COMMAND.findall(target))
    if "\\" in source and before != after:
        return rejected("latex", _difference(before, after))
    return KEPT


def script(source: str, target: str, context: Context) -> Verdict:
    """Enough letters of the target's script, no third script, no run of untranslated words beyond the language's allowance."""
    text, language = natural(target), context.target
    if not language.script:
        return KEPT
    third = [
        run for run in _FOREIGN_RUN.findall(text) if not script_letters(run, "Latin") and not script_letters(run, language.script)
    ]
    if third and not set(third) <= set(_FOREIGN_RUN.findall(source)):
        return rejected("script", f"another script: {third[0][:20]}")
    if language.script == "Latin":
        return KEPT
    own = script_letters(text, language.script)
    left_over = _left_over(text, context.source)
    if left_over:
        return rejected("script", f"untranslated: {left_over[:60]}")
    latin = [word for word in _LATIN_WORD.findall(text) if len(word) > 1]
    ordinary = sum(len(word) for word in latin if word.isalpha() and word.islower())
    total = sum(map(len, latin))
    if own == 0:
        return KEPT if not total or _only_names(text) else rejected("script", f"no {language.script} letters")
    if own + ordinary >= 20 and ordinary > language.latin_share * (own + ordinary):
        return rejected("script", f"{ordinary} of {own + ordinary} letters in untranslated words")
    if own + total >= 40 and total > (1 + language.latin_share) / 2 * (own + total):
        return rejected("script", f"{total} of {own + total} letters in Latin")
    return KEPT


def _left_over(text: str, source: Language) -> str:
    """The first stretch of ordinary source words inside a translation; names and titles (Game of Thrones) are none."""
    for match in _LATIN_STRETCH.finditer(text):
        words = [word.strip(".,;:'’") for word in match.group().split()]
        lower = [word for word in words if word.isalpha() and word.islower() and len(word) > 1]
        titled = any(character.isupper() or character.isdigit() for character in match.group())
        if len(lower) >= (4 if titled else 2) or (len(lower) == 1 and not titled and lower[0] in source.frequent):
            return match.group()
    return ""


def wrong_language(source: str, target: str, context: Context) -> Verdict:
    """The target's own letters and frequent words, not those of a language that shares its script."""
    text, language = natural(target), context.target
    foreign = sum(text.count(letter) for letter in language.foreign)
    if foreign >= 2 and foreign > 0.04 * letters(text):
        return rejected("wrong_language", f"{foreign} letters that {language.name} does not use")
    words = _WORD.findall(text.casefold())
    if language.script != "Latin" or language.code == context.source.code or len(words) < 12:
        return KEPT
    if language.marked and sum(1 for word in words if set(word) & set(language.marked)) < 0.15 * len(words):
        return rejected("wrong_language", f"too few letters that mark {language.name}")
    if not language.frequent:
        return KEPT
    own, other = (sum(word in each.frequent for word in words) for each in (language, context.source))
    if other > own and other >= 0.15 * len(words):
        return rejected("wrong_language", f"{other} frequent words of {context.source.name}, {own} of {language.name}")
    return KEPT


def refusal(source: str, target: str, context: Context) -> Verdict:
    """No refusal or talk about being a model unless the source has it too."""
    for code in dict.fromkeys((context.target.code, "en")):
        found = code in REFUSALS and REFUSALS[code].search(target[:300])
        if found and not _source_says(REFUSALS, source, context):
            return rejected("refusal", found.group()[:60])
    return KEPT


def preamble(source: str, target: str, context: Context) -> Verdict:
    """No announcement before the translation and no note after it."""
    for code in dict.fromkeys((context.target.code, "en")):
        found = code in PREAMBLES and PREAMBLES[code].search(target)
        if found and not _source_says(PREAMBLES, source, context) and not INTERJECTIONS.search(source):
            return rejected("preamble", found.group().strip()[:60])
    return KEPT


def _source_says(patterns: Mapping[str, re.Pattern[str]], source: str, context: Context) -> bool:
    return any(code in patterns and patterns[code].search(source) for code in (context.source.code, "en", context.target.code))


def repetition(source: str, target: str, context: Context) -> Verdict:
    """No loops: repeated runs of words or a text that compresses much better than its source."""
    before, after = _most_repeated(source), _most_repeated(target)
    words = target.split()
    half = len(words) // 2
    if half >= 3 and words[:half] == words[half:] and len(set(words)) > 1 and len(source) < 1.5 * len(target):
        return rejected("repetition", "the translation stands there twice")
    if after >= 4 and after > 2 * before and 16 * after >= len(words):
        return rejected("repetition", f"the same four words {after} times, {before} in the source")
    if len(target) >= 80 and _density(target) > 1.7 * max(_density(source), 1.3):
        return rejected("repetition", f"compresses {_density(target):.1f} times, the source {_density(source):.1f}")
    longest = max((len(match.group()) for match in re.finditer(r"([^\s\d])\1{7,}", target)), default=0)
    if longest and longest > 2 * max((len(match.group()) for match in re.finditer(r"(\S)\1{3,}", source)), default=0):
        return rejected("repetition", f"one character {longest} times")
    return KEPT


def _most_repeated(text: str) -> int:
    """How often the most frequent four words in a row occur."""
    words = text.split()
    grams = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return max(grams.values(), default=0)


def _density(text: str) -> float:
    data = text.encode("utf-16-le", "surrogatepass")[::2]  # one byte a character, so that scripts compare
    return len(data) / len(zlib.compress(data, 6))


def length_ratio(source: str, target: str, context: Context) -> Verdict:
    """A length that human translations of such a source have; the allowance shrinks as the source grows."""
    before, after = len(natural(source).strip()), len(natural(target).strip())
    if before == 0:
        return KEPT
    ratio = after / before * context.source.expansion / context.target.expansion
    low, high = next((low, high) for limit, low, high in _LENGTH_CLASSES if before < limit)
    slack = 1.25 if context.target.generic else 1.0
    if low / slack <= ratio <= high * slack:
        return KEPT
    return rejected("length_ratio", f"{before} characters became {after}")


def numbers(source: str, target: str, context: Context) -> Verdict:
    """The same numbers, whatever their digits and separators; small ones may be written as words on either side."""
    before, after = (SENTINEL.sub(" ", text) for text in (source, target))
    lost, made = changed_numbers(before, after, context.source.code, context.target.code)
    return KEPT if not lost and not made else rejected("numbers", f"missing {lost[:4]}, extra {made[:4]}")


def sentences(source: str, target: str, context: Context) -> Verdict:
    """Not far fewer or more sentences than the source: text was neither summarised nor added."""
    before, after = len(_SENTENCE_END.findall(natural(source))), len(_SENTENCE_END.findall(natural(target)))
    if before >= 5 and not 0.35 * before <= after <= 2 * before + 1:
        return rejected("sentences", f"{before} sentences became {after}")
    return KEPT


def question(source: str, target: str, context: Context) -> Verdict:
    """A lone question stays a question: an answer in its place is no translation."""
    text = source.strip()
    asks = text.endswith("?") and len(_SENTENCE_END.findall(text)) == 1 and context.target.question
    opens = set(_WORD.findall(target)[:3]) & INTERROGATIVES.get(context.target.code, frozenset())
    if asks and not opens and not re.search("[?؟;⁇]", target):
        return rejected("question", target[-40:])
    return KEPT


GATES: dict[str, Gate] = {
    "truncated": truncated,
    "empty": empty,
    "refusal": refusal,
    "preamble": preamble,
    "copy": copy,
    "html": html,
    "placeholders": placeholders,
    "lines": lines,
    "literal_newline": literal_newline,
    "latex": latex,
    "script": script,
    "wrong_language": wrong_language,
    "repetition": repetition,
    "length_ratio": length_ratio,
    "numbers": numbers,
    "sentences": sentences,
    "question": question,
}
