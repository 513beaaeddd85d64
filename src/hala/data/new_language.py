"""Files for a language that hala does not know yet: what its code tells, what a text shows, and a comment for the rest.

>>> from hala.data.new_language import stub
>>> print(stub("fa").splitlines()[4])
code = "fa"

The result passes `hala.languages.read_language` as it is; each key that stays open switches some checks off.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hala.artifacts import atomic_file, make_folder
from hala.data.lexicon import english_words
from hala.data.readers import BadRow, text_lines
from hala.errors import InputError
from hala.languages import has_letters_of, identified, letters, read_language, script_letters

_RTL = frozenset({"Arabic", "Hebrew", "Syriac", "Thaana", "Nko"})
_EDGES = string.punctuation + "«»“”‘’…،؛؟।–—"
FREQUENT, LONGEST = 40, 7  # words; letters of one
QUANTILE = 0.99  # of lines, which stay below the share of Latin that is allowed


def stub(code: str, lines: Iterable[str] = ()) -> str:
    """The file's text. `lines` of running text, some hundred at least, give its frequent words and how much Latin it holds.

    Raises InputError for what is no code of a language.
    """
    if not re.fullmatch("[a-z]{2,3}", code):
        raise InputError(f"{code!r} is no code of a language.", "Give two or three lower-case letters (ISO 639), for example fa.")
    shown = observed(lines)
    known = known_of(code)
    script = shown.get("script") or known["script"]
    digits = "۰۱۲۳۴۵۶۷۸۹" if script == "Arabic" else _digits(script)
    table: list[tuple[str, Any, str]] = [
        ("code", code, "ISO 639; the tag that rows carry"),
        ("name", known["name"], "in English, as prompts say it"),
        ("native", shown.get("native") or known["name"], "in its own letters"),
        ("script", script, "as Unicode names its letters (Arabic, Cyrillic, Bengali); empty switches the gate of the script off"),
        ("iso", "", "of the script, ISO 15924 (Arab, Cyrl, Beng)"),
        ("direction", "rtl" if script in _RTL else "ltr", "rtl or ltr"),
        ("digits", digits, "its own ten in order; ASCII digits are always right too"),
        ("sentence_end", ".!?؟…" if script == "Arabic" else ".!?…", "what may end a sentence"),
        ("question", "؟" if script == "Arabic" else "?", "what ends a question"),
        (
            "latin_share",
            shown.get("latin_share", 1.0 if script in ("Latin", "") else 0.4),
            "of letters, at most, in ordinary text",
        ),
        ("expansion", 1.0, "characters for one of the same text in English; measure it on some hundred pairs"),
        ("labels", known["labels"], "ISO 639-3, what identifiers of languages call it and its close dialects"),
        ("foreign", "", "letters of its script that it does not use, together; others do"),
        ("marked", "", "letters that set it apart from others of its script, if running text always has some"),
        ("frequent", " ".join(shown.get("frequent", [])), "some forty short words that any text is full of"),
        ("strangers", "", "frequent words of close languages that it does not have"),
        ("telltale", [], "letters or endings that nothing else in its script has"),
        ("optional", "", "marks that writers may leave out, such as vowel points: not compared when duplicates are looked for"),
        ("alike", [], "groups of spellings that are used for one another, each between spaces"),
    ]
    head = [
        f"# {known['name']}: what gates must know of it. Correct every line; what stays empty switches some checks off.",
        f"# Use it: hala translate ... --to {code}.toml, or in a recipe: languages: {{target: {code}.toml}}",
        f"# Words, numbers, months and units go into {code}.txt beside it, in the form of hala/data/lexicons/sw.txt.",
        "",
    ]
    return (
        "\n".join([*head, *(f"{key} = {json.dumps(value, ensure_ascii=False)}  # {said}" for key, value, said in table)]) + "\n"
    )


def lexicon_stub(code: str) -> str:
    """A lexicon in which every concept waits for its words, as comments: it says nothing until some are filled in."""
    concepts = [f"# {name}:" for name in sorted(set(english_words().values()))]
    months = [f"# {number}:" for number in range(1, 13)]
    head = [
        f"# How {code} says the concepts of en.txt: words to look for in a translation, not a dictionary. Write the stems of",
        "# every usual translation after the colon and take the # away; what is left is not looked for. sw.txt, which comes with",
        "# hala, is a model. =x is a whole word, ^x the start of one, _ a space; months and days of the week count from 1.",
    ]
    parts = [
        *head,
        "",
        "match inside",
        "miss 1.5",
        "",
        "[words]",
        *concepts,
        "",
        "[numbers]",
        "",
        "[fractions]",
        "",
        "[months]",
        *months,
        "",
        "[weekdays]",
    ]
    return "\n".join(parts) + "\n"


def observed(lines: Iterable[str]) -> dict[str, Any]:
    """The script that most letters of some text are of, its frequent short words, and how much Latin its lines hold."""
    scripts: Counter[str] = Counter()
    words: Counter[str] = Counter()
    kept: list[str] = []
    for line in lines:
        found = [word for token in line.split() if (word := token.strip(_EDGES)) and not any(map(str.isdigit, word))]
        words.update(word.casefold() for word in found if len(word) <= LONGEST)
        scripts.update(_script(letter) for word in found for letter in word if letter.isalpha())
        kept.append(line)
    if not scripts:
        return {}
    script = scripts.most_common(1)[0][0]
    own = [word for word, _ in words.most_common(10 * FREQUENT) if 0 < script_letters(word, script) == letters(word)]
    result: dict[str, Any] = {"script": script, "frequent": own[:FREQUENT]}
    if script != "Latin":
        result["latin_share"] = _latin_share(kept)
    return result


def known_of(code: str) -> dict[str, Any]:
    """Name, script and labels of a code, as far as the language identifier knows them."""
    from lingua import Language

    found = next(((name, label) for name, known, label in identified() if known == code), None)
    if found is None:
        return {"name": code, "script": "", "labels": []}
    name, label = found
    language = getattr(Language, name.upper())
    scripts = {
        "Arabic": Language.all_with_arabic_script(),
        "Cyrillic": Language.all_with_cyrillic_script(),
        "Devanagari": Language.all_with_devanagari_script(),
        "Latin": Language.all_with_latin_script(),
    }
    script = next((each for each, members in scripts.items() if language in members), name if has_letters_of(name) else "")
    return {"name": name, "script": script, "labels": [label]}


def _script(letter: str) -> str:
    """The first word of a letter's Unicode name, as scripts of one word are called."""
    return unicodedata.name(letter, "UNKNOWN").split()[0].title()


def _digits(script: str) -> str:
    """The script's own digits, where Unicode names ten of them after it; else those of ASCII."""
    names = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
    try:
        return "".join(unicodedata.lookup(f"{script.upper()} DIGIT {name}") for name in names)
    except KeyError:
        return "0123456789"


def _latin_share(lines: list[str]) -> float:
    """The share of Latin letters that nearly all lines stay below, rounded up to a twentieth."""
    shares = sorted(script_letters(line, "Latin") / total for line in lines if (total := letters(line)))
    share = shares[min(int(QUANTILE * len(shares)), len(shares) - 1)] if shares else 0.4
    return min(1.0, max(0.1, (int(20 * share) + 1) / 20))


def write(code: str, text: Path | None, folder: Path) -> list[Path]:
    """The two files, which did not exist before. Raises InputError when one does, or when what was written does not hold."""
    files = [folder / f"{code}.toml", folder / f"{code}.txt"]
    if there := next((file for file in files if file.exists()), None):
        raise InputError(f"{there} exists already.", "Nothing is overwritten; choose another folder with --out.")
    if text is not None and not text.is_file():
        raise InputError(f"no file {text}.", "Give running text of the language, or leave --text out.")
    bad: list[BadRow] = []
    lines = [line for _, line in text_lines(text, bad.append)] if text else []
    contents = [stub(code, lines), lexicon_stub(code)]
    make_folder(folder)
    for file, content in zip(files, contents, strict=True):
        with atomic_file(file) as temporary:
            temporary.write_text(content, encoding="utf-8")
    read_language(files[0])
    return files
