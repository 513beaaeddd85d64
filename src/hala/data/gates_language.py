"""Gates on language: not the source again, the right script, the right language, and no source words left inside.

Each gate answers what is wrong with a pair, or an empty string.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from hala.data import identify
from hala.data.features import WORD, Pair
from hala.data.lexicon import english_words, kept_words
from hala.languages import LANGUAGES, Language, script_letters

_LATIN_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ][\w'’.+#&/-]*")
_FOREIGN_RUN = re.compile(r"[^\W\d_]{2,}")
_LATIN_STRETCH = re.compile(
    r"(?:(?<![A-Za-z0-9_.@/\\&#-])[A-Za-z]|(?<=[\d ]/)[A-Z])[A-Za-z0-9'’.,;:&/+#@_-]*(?: +[A-Za-z0-9][A-Za-z0-9'’.,;:&/+#@_-]*)*"
)
_EDGES = ".,;:'’!?"
# So long a word is most likely an identifier.
_IDENTIFIER = 14
_OPENERS = "\"'“‘(%<["
_CLOSERS = "\"'”’)%>],."
# What ends a loan word (piano, uranium, methanol) and hardly an English word of every day.
_LOANED = ("a", "i", "o", "u", "um", "ol", "ine", "gen", "oid", "ide", "ose")
# How English words for things end (Introduction, Management), and hardly a name.
_NO_NAMES = ("tion", "sion", "ment", "ness", "ance", "ence", "ity", "view", "ology", "ary", "ing")
# Small words inside names and titles.
_IN_NAMES = frozenset(["and", "for", "of", "the", "in", "to", "on", "with", "a", "an", "by", "at", "da", "de", "von", "van"])


def copy(pair: Pair) -> str:
    """The source came back, whole or nearly; fine only when it holds nothing but names, acronyms and numbers."""
    source, target = pair.source, pair.target
    # No Latin letter, or most words beyond ASCII: nothing that came from an English text.
    if source.text.isascii() and target.lettered and (not target.latin or target.marked > 0.6 * len(target.tokens)):
        return ""
    if source.natural == target.natural:
        may = not source.lettered or only_names(source.natural) or _is_name(pair) or _stays(pair)
        return "" if may else target.text[:60]
    shared = source.lower & target.lower
    if len(shared) < 0.5 * len(source.lower):
        return ""
    left, right = ([word.casefold() for word in WORD.findall(side.natural)] for side in (source, target))
    if left == right and left:
        return "" if only_names(source.natural) or _is_name(pair) else target.text[:60]
    # Names stay as they are in good translations; only words in lower case tell.
    ordinary = [word for word in WORD.findall(source.natural) if word.islower()]
    kept = sum((Counter(ordinary) & Counter(right)).values())
    if (len(ordinary) >= 4 and kept >= 0.8 * len(ordinary)) or (len(ordinary) >= 2 and kept == len(ordinary) >= 0.6 * len(right)):
        return f"{kept} of {len(ordinary)} words are the source's"
    return ""


def _stays(pair: Pair) -> bool:
    """Whether the source came back because it is no text of its language at all: a quotation in a third language stays."""
    if pair.source.natural != pair.target.natural:
        return False
    words = [word.casefold() for word in WORD.findall(pair.source.natural)]
    if len(words) < 4 or pair.source.language.code != "en" or not pair.source.language.frequent.isdisjoint(words):
        return False
    return any(sum(word in function for word in words) >= 2 for function in _FUNCTION_WORDS)


# French, Spanish, German, Italian, Portuguese, Latin, Dutch: short words that English does not have.
_FUNCTION_WORDS = tuple(
    frozenset(words.split())
    for words in (
        "le les des du une et est il elle que qui pour dans ne pas vous nous je tu ce cette sur avec mais sont faut bien très",
        "el los las del una y es que por para con se su como más pero está muy yo tú qué este esta todo",
        "der das und ist nicht ein eine zu von mit auf für sich dem den auch ich wir sie wie wenn aber sind",
        "il gli di che è una per con della delle sono come più questo questa ma anche io noi nel",
        "os um uma não para com que por mais como mas está são você eu nós muito isso",
        "et est non sed cum qui quae quod ut ad ex sunt hoc nec enim",
        "het een en van dat niet zijn met voor ook maar wij deze wordt naar bij",
    )
)


def only_names(text: str) -> bool:
    """Whether every word looks like an acronym or a product name (XML, iOS, GitHub): nothing that a translator must change."""
    return all(len(word) == 1 or any(character.isupper() for character in word[1:]) for word in WORD.findall(text))


def _is_name(pair: Pair) -> bool:
    """Whether a short source is the name of somebody or something (Barack Obama, 1. Canada), which its language leaves as it is.

    Another script writes names in its own letters, but for products and the like that are listed.
    """
    words = WORD.findall(pair.source.natural)
    keep = kept_words(pair.language.code)
    if "_".join(words) in keep:
        return True
    if not 0 < len(words) <= 4 or not all(word[0].isupper() for word in words if word not in _IN_NAMES):
        return False
    names = [word for word in words if word not in _IN_NAMES]
    latin = pair.language.script in ("Latin", "")
    if all(word in keep or word.casefold() in keep for word in names):
        return bool(names) or not latin
    known = english_words()
    return latin and not any(word.casefold() in known or word.endswith(_NO_NAMES) for word in names)


def script(pair: Pair) -> str:
    """Enough letters of the target's script, no third script, no run of untranslated words beyond the language's allowance."""
    language, target = pair.language, pair.target
    if not language.script or _stays(pair):
        return ""
    if target.foreign:
        third = _third_script(pair)
        if third:
            return f"another script: {third}"
    if not target.latin:
        return "" if language.script != "Latin" or not target.lettered else f"no {language.script} letters"
    if language.script == "Latin":
        return _left_inside(pair)
    latin = [word for word in _LATIN_WORD.findall(target.natural) if len(word) > 1]
    if any(map(str.islower, latin)) and (left_over := _left_over(pair)):
        return f"untranslated: {left_over[:60]}"
    return _too_much_latin(pair, latin)


def _third_script(pair: Pair) -> str:
    language = pair.language
    runs = [
        run
        for run in _FOREIGN_RUN.findall(pair.target.natural)
        if not script_letters(run, "Latin") and not script_letters(run, language.script)
    ]
    return next((run[:20] for run in runs if run not in pair.source.text), "")


def _left_over(pair: Pair) -> str:
    """The first stretch of ordinary source words inside a translation; names and titles (Game of Thrones) are none."""
    frequent, source, keep = pair.source.language.frequent, pair.source, kept_words(pair.language.code)
    for match in _LATIN_STRETCH.finditer(pair.target.natural):
        words = [word.strip(_EDGES) for word in match.group().split()]
        lower = [word for word in words if word.isalpha() and word.islower() and len(word) > 1]
        if not lower:
            continue
        titled = any(character.isupper() for character in match.group())
        if titled and _ordinary(lower, words, source.lower):
            return match.group()
        if not titled and len(lower) >= 2 and not all(word in keep for word in lower):
            return match.group()
        if not titled and len(lower) == 1 and lower[0] not in keep and not mentioned(lower[0], source.text):
            word = lower[0]
            if word in _IN_NAMES and len(words) > 1:  # between identifiers
                continue
            if word in frequent or word in english_words() or (word in source.lower and 3 < len(word) < _IDENTIFIER):
                return word
    return ""


def _ordinary(lower: list[str], words: list[str], source: frozenset[str]) -> bool:
    """Whether a stretch with capitals is part of a sentence and no name: several of its words are the source's content words."""
    content = [word for word in lower if word not in _IN_NAMES and word in source]
    return len(content) >= 3 or (bool(content) and len(lower) >= 2 and words[0] in lower)


def mentioned(word: str, source: str) -> bool:
    """Whether the source speaks of the word itself or has it as a name: in quotes or brackets, or before a colon at its start."""
    place, size = source.find(word), len(word)
    while place >= 0:
        before, after = source[place - 1 : place], source[place + size : place + size + 1]
        if before and before in _OPENERS and after and after in _CLOSERS:
            return True
        if (after == ":" and place == 0) or (after == "=" and not (before.isalnum() or before == "_")):
            return True
        place = source.find(word, place + 1)
    return False


def _too_much_latin(pair: Pair, latin: list[str]) -> str:
    text, language = pair.target.natural, pair.language
    if sum(map(len, latin)) < 0.3 * language.latin_share * len(text):
        return ""
    ordinary = sum(len(word) for word in latin if word.isalpha() and word.islower())
    total = sum(map(len, latin))
    own = script_letters(text, language.script)
    if own == 0:
        return "" if only_names(text) or _is_name(pair) else f"no {language.script} letters"
    if own + ordinary >= 20 and ordinary > language.latin_share * (own + ordinary):
        return f"{ordinary} of {own + ordinary} letters in untranslated words"
    if own + total >= 40 and total > (1 + language.latin_share) / 2 * (own + total):
        return f"{total} of {own + total} letters in Latin"
    return ""


def _left_inside(pair: Pair) -> str:
    """Source words inside a translation that shares the source's script: words that the target language cannot spell."""
    spelling = _spelling(pair.language.code)
    if spelling is None or pair.source.language.code == pair.language.code:
        return ""
    shared = pair.source.lower & pair.target.lower
    if not shared:
        return ""
    english = english_words() if pair.source.language.code == "en" else {}
    frequent, keep = pair.source.language.frequent, kept_words(pair.language.code)
    # In lower case on both sides: a name has capitals.
    plain = {
        word
        for word in shared
        if 2 < len(word) < _IDENTIFIER
        and word.isascii()
        and word.isalpha()
        and word not in keep
        and word in pair.source.text
        and word in pair.target.text
    }
    strange = {word for word in plain if _is_strange(word, word in english or word in frequent, spelling)}
    if not strange and len(plain) < 2:
        return ""
    source = pair.source.text
    for match in _LATIN_STRETCH.finditer(pair.target.natural):
        words = [word.strip(_EDGES) for word in match.group().split()]
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
            if word in strange and not _in_name(before, word, after, source) and not mentioned(word, source):
                return f"untranslated: {word}"
            both = {before, word}
            if (
                both <= plain
                and f"{before} {word}" in source
                and not both <= _IN_NAMES
                and not all(map(spelling.fullmatch, both))
            ):
                return f"untranslated: {before} {word}"
    return ""


def _in_name(before: str, word: str, after: str, source: str) -> bool:
    """Whether a word stands beside the same word with a capital as in the source: part of a name."""
    beside = (before, f"{before} {word}"), (after, f"{word} {after}")
    return any(each[:1].isupper() and each != "I" and phrase in source for each, phrase in beside)


def _is_strange(word: str, known: bool, spelling: re.Pattern[str]) -> bool:
    """Whether a source word alone tells that something was not translated: no loan word, and none of the target's own.

    Loan words (tsunami, uranium) are rarely among the words of every day, and often show it by their ending.
    """
    if spelling.fullmatch(word):
        return len(word) > 3 and (known or (len(word) > 4 and word.endswith("e")))
    return known or (len(word) > 3 and not word.endswith(_LOANED))


@lru_cache(maxsize=16)
def _spelling(code: str) -> re.Pattern[str] | None:
    """What a lower-case word of a Latin-script language can look like; None when that is not known."""
    if code == "vi":
        # Without marks, so in the level tone: no stop at the end, and few vowels meet.
        onset = "(?:ngh|ng|nh|gh|gi|kh|ph|th|tr|ch|qu|[bcdghklmnrstvx])?"
        return re.compile(onset + "(?:(?:[aeiouy]|oa|oe|uy)(?:ng|nh|[mn])?|[aou]i|[aeo]o|[aiu]u|[au]y|oai|oay|ia|ua)")
    if code == "sw":
        # Open syllables: every word ends in a vowel, and few consonants meet.
        return re.compile(r"(?:(?:ng'?|nd|nj|nz|ny|mb|mv|[bcdfghjklmnprstvwyz]|ch|dh|gh|kh|sh|th){0,2}[wy]?[aeiou])+")
    return None


def wrong_language(pair: Pair) -> str:
    """The target's own letters and frequent words, not those of a language that shares its script."""
    language, target = pair.language, pair.target
    if _stays(pair):
        return ""
    if language.foreign and target.foreign:
        foreign = sum(target.natural.count(letter) for letter in language.foreign)
        if foreign >= 2 and foreign > 0.04 * target.length:
            return f"{foreign} letters that {language.name} does not use"
    if language.code == pair.source.language.code or len(target.tokens) < 4:
        return ""
    return _rivals(pair)


def _rivals(pair: Pair) -> str:
    """The verdict of the frequent words and marks of each language, and of a trained identifier where these are in doubt."""
    language, target, words = pair.language, pair.target, pair.target.tokens
    lower = target.lower
    # (Where nothing but Latin stands, the gate of the script says so.)
    mixed = target.latin and (target.marked or language.script == "Latin")
    if mixed and len(lower & pair.source.language.frequent) >= 3 and (sentence := _other_sentence(pair)):
        return f"a sentence in another language: {sentence[:60]}"
    if language.marked:
        if target.marked >= 0.3 * len(words):
            return ""
        ordinary = [word for word in words if word.isalpha() and word not in pair.source.lower]
        if len(ordinary) >= 6 and sum(not word.isascii() for word in ordinary) < 0.15 * len(ordinary):
            return f"too few letters that mark {language.name}"
    if not language.frequent:
        return ""
    strange = lower & language.strangers
    rival, strength = _strongest(lower, language)
    if not strange and rival is None and _has_telltale(target.natural, language):
        return ""
    own = len(lower & language.frequent)
    if len(strange) > max(1, own):
        return f"words of another language: {' '.join(sorted(strange)[:3])}"
    if rival is not None and strength > own and strength >= 0.15 * len(lower) and len(words) >= 5:
        return f"{strength} frequent words of {rival.name}, {own} of {language.name}"
    if own >= max(1, 0.06 * len(lower)) and own >= strength:
        return ""
    return "" if _has_telltale(target.natural, language) else _second_voter(pair)


def _has_telltale(text: str, language: Language) -> bool:
    for mark in language.telltale:  # noqa: SIM110 - a third faster than any()
        if mark in text:
            return True
    return False


def _other_sentence(pair: Pair) -> str:
    """A sentence of the translation that is in the source's language."""
    language, source = pair.language, pair.source.language
    known = source.frequent | english_words().keys() if source.code == "en" else source.frequent
    for sentence in re.split(r"[.!?:]\s+|\n+|[()]", pair.target.natural):
        words = [word.strip(_EDGES).lower() for word in sentence.split()]
        if len(words) < 5:
            continue
        own = sum(word in language.frequent or not word.isascii() for word in words)
        small = sum(word[:1].islower() for word in sentence.split()) >= 0.6 * len(words)  # no name or title
        if small and own <= 0.1 * len(words) and sum(word in known for word in words) >= 0.5 * len(words):
            return sentence
    return ""


def _strongest(words: frozenset[str], language: Language) -> tuple[Language | None, int]:
    """The language of the same script with the most frequent words among these, and how many."""
    best, most = None, 0
    for rival in _same_script(language.script):
        if rival is not language and (count := len(words & rival.frequent)) > most:
            best, most = rival, count
    return best, most


@lru_cache(maxsize=16)
def _same_script(script: str) -> tuple[Language, ...]:
    return tuple(language for language in LANGUAGES.values() if language.script == script)


def _second_voter(pair: Pair) -> str:
    language, text = pair.language, pair.target.natural
    # Names and titles say nothing about the language around them.
    ordinary = [word for word in pair.target.words if not word[:1].isupper()]
    if len(ordinary) < (6 if pair.target.ends else 9) or sum(map(len, ordinary)) < 35 or not identify.knows(language.code):
        return ""
    found, confidence = identify.identify(text, language.code)
    return f"reads as {found} ({confidence:.2f})" if found != language.code and confidence >= 0.95 else ""
