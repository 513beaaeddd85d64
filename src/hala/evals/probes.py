"""Probes: a small fixed set of prompts whose answers show what a score on options cannot: script, loops, length, obedience.

A set is a TOML file; those that ship lie in `probe_sets/`, named after their language. Here is what one holds, how it is read,
and what can be seen in a single answer without asking anybody.

>>> from hala.evals.probes import find_probes, foreign_words
>>> from hala.languages import language
>>> find_probes("ar").lang
'ar'
>>> foreign_words("هذا النظام system جديد من شركة Apple", "ما رأيك في Apple؟", language("ar"))
['system']
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hala.errors import InputError, RecipeError, nearest
from hala.evals.checks import KINDS, read_value
from hala.languages import Language, script_letters, script_share

SETS = Path(__file__).parent / "probe_sets"
_KEYS = ("id", "kind", "prompt", "lang", "checks")
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
MOST_PERIOD, LEAST_LOOP = 300, 24  # characters of the piece that is repeated, and of all its copies
_HELP = "docs/evaluate.md shows a file of probes."


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt, the language that the answer should be in, and what a program can check about it: (kind, value) pairs."""

    id: str
    prompt: str
    lang: str
    kind: str = ""
    checks: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Probes of one language; `digest` is that of the file's bytes."""

    name: str
    lang: str
    probes: tuple[Probe, ...]
    digest: str


def find_probes(name: str) -> ProbeSet:
    """The set of that name among those that ship, or the one in a file. Raises RecipeError for an unknown name."""
    path = Path(name).expanduser() if name.endswith(".toml") else SETS / f"{name}.toml"
    known = sorted(each.stem for each in SETS.glob("*.toml"))
    if not name.endswith(".toml") and name not in known:
        raise RecipeError(
            f"unknown probes '{name}'.{nearest(name, known)}", f"Known: {', '.join(known)}, or a file of your own (mine.toml)."
        )
    return read_probes(path)


def read_probes(path: Path) -> ProbeSet:
    """The probes in a TOML file. Raises InputError that names a wrong or missing key and the probe that has it."""
    try:
        data = path.read_bytes()
        content = tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", _HELP) from None
    if strange := [key for key in content if key not in ("lang", "probe")]:
        raise InputError(f"{path}: unknown key '{strange[0]}'.{nearest(strange[0], ('lang', 'probe'))}", _HELP)
    lang, entries = content.get("lang"), content.get("probe")
    if not isinstance(lang, str) or not lang:
        raise InputError(f"{path} does not say its language.", 'Begin the file with lang = "ar".')
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        raise InputError(f"{path} holds no probes.", "Write each as a table [[probe]] with a prompt.")
    probes = tuple(_probe(entry, number, lang, path) for number, entry in enumerate(entries, 1))
    names = [probe.id for probe in probes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path}: two probes are called '{twice}'.", "Give each an id of its own.")
    return ProbeSet(path.stem, lang, probes, hashlib.sha256(data).hexdigest())


def _probe(entry: Mapping[str, Any], number: int, lang: str, path: Path) -> Probe:
    name = entry.get("id", str(number))
    where = f"{path}, probe {name}"
    if strange := [key for key in entry if key not in _KEYS]:
        raise InputError(f"{where}: unknown key '{strange[0]}'.{nearest(strange[0], _KEYS)}", _HELP)
    if wrong := [key for key in _KEYS[:4] if not isinstance(entry.get(key, ""), str)]:
        raise InputError(f"{where}: {wrong[0]} = {entry[wrong[0]]!r} is no text.", _HELP)
    if not entry.get("prompt", "").strip():
        raise InputError(f"{where} has no prompt.", "Write what the model is asked.")
    checks = entry.get("checks", {})
    if not isinstance(checks, dict):
        raise InputError(f"{where}: checks = {checks!r} is no table.", "Write them as {sentences = [1, 2]}.")
    found = []
    for kind, value in checks.items():
        if kind not in KINDS:
            raise InputError(f"{where}: unknown check '{kind}'.{nearest(kind, KINDS)}", f"Known: {', '.join(KINDS)}.")
        try:
            found.append((kind, read_value(kind, value)))
        except ValueError as error:
            raise InputError(f"{where}: the check {kind} = {value!r} is not {error}.", _HELP) from None
    return Probe(name, entry["prompt"].strip(), entry.get("lang", lang), entry.get("kind", ""), tuple(found))


def foreign_words(text: str, prompt: str, target: Language) -> list[str]:
    """Words of an answer with letters of another script than its language's, but those that the prompt holds too.

    In an answer that is mostly in another script the prompt excuses none. Names of products and acronyms (XML, iOS) and single
    Latin or Greek letters belong to no language. `text` is the natural language of the answer: code and addresses are the
    caller's to leave out. Empty for an unknown script.
    """
    if not target.script:
        return []
    mostly = script_share(text, target) >= 0.5
    known = {word.casefold() for word in _WORD.findall(prompt)} if mostly else set()
    foreign = (word for word in _WORD.findall(text) if script_letters(word, target.script) < sum(map(str.isalpha, word)))
    return [word for word in foreign if word.casefold() not in known and not _of_no_language(word)]


def tail_loop(text: str) -> str:
    """The piece that a text ends in three times or more, over at least 24 characters; empty where it does not."""
    text = text.rstrip()
    for size in range(1, min(MOST_PERIOD, len(text) // 3) + 1):
        times = max(3, -(-LEAST_LOOP // size))
        piece = text[-size:]
        if text.endswith(piece * times) and any(map(str.isalpha, piece)):
            return piece.strip()
    return ""


def _of_no_language(word: str) -> bool:
    if len(word) == 1:
        return bool(script_letters(word, "Latin") or script_letters(word, "Greek"))
    return any(character.isupper() for character in word[1:])
