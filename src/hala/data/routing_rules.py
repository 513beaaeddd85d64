"""The rules by which tasks that do not survive translation are known: data in `routes/`, one file for each source language.

>>> from hala.data.routing_rules import rules_for
>>> [rule.why for rule in rules_for("en").rules if rule.name == "rhyme"]
['rhymes are between the words of one language']
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from hala.data.routing_keeps import FINDERS
from hala.errors import InputError

Action = Literal["translate", "keep", "adapt", "drop"]
Example = tuple[str, str]
Fragments = dict[str, tuple[str, ...]]
ROUTES = Path(__file__).parent / "routes"
_FRAGMENT = re.compile(r"<([A-Za-z_]+)>")
_WORDS = re.compile(r"[\w' -]+")
_ESCAPED = re.compile(r"\\.|\(\?P[<=]\w+")  # what stands for something else, and names of groups
# A rule's keys: those that it must have, and those that it may have.
_NEEDED = ("name", "action", "why", "stems", "pattern", "fires", "spares")
_OPTIONAL = ("unless", "keeps", "otherwise", "certain", "code", "system")


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of task: how it is known, what becomes of it, and why; the keys are those of the file, which explains them."""

    name: str
    action: Action
    why: str
    stems: tuple[str, ...]
    pattern: re.Pattern[str]
    fires: Example
    spares: Example
    unless: re.Pattern[str] | None = None
    keeps: tuple[str, ...] = ()
    otherwise: Action = "translate"
    certain: bool = True
    code: bool = True
    system: bool = False
    quick: re.Pattern[str] | None = None
    """Finds in a text in lower case, with i for ı and s for ſ, what `pattern` finds in any; None for a pattern with capitals.
    Three times as fast."""


@dataclass(frozen=True, slots=True)
class RuleTable:
    """The rules of one source language, in the order in which they are tried, and how to find those that may fire."""

    rules: tuple[Rule, ...]
    trigger: re.Pattern[str]
    """Finds the stems at the beginnings of words of a lower-cased text, the longest at each; most rows have none."""
    numbers: dict[str, frozenset[int]]
    """The places in `rules` that a found stem may fire."""
    digest: str = ""
    """SHA-256 of the file that the rules were read from."""

    def may_fire(self, lowered: str) -> list[Rule]:
        """The rules with a stem in a text in lower case, in the order of the table."""
        found = set(self.trigger.findall(lowered))
        return [self.rules[n] for n in sorted(frozenset().union(*map(self.numbers.__getitem__, found)))] if found else []


def table(rules: Iterable[Rule], digest: str = "") -> RuleTable:
    """A table of these rules, tried in this order."""
    rules = tuple(rules)
    stems = {stem for rule in rules for stem in rule.stems}
    numbers = {
        found: frozenset(n for n, rule in enumerate(rules) if any(found.startswith(stem) for stem in rule.stems))
        for found in stems
    }
    # Looks ahead, so that stems may overlap; without a stem it finds nothing.
    trigger = re.compile(rf"\b(?=({prefixes(stems)}))" if stems else r"(?!)")
    return RuleTable(rules, trigger, numbers, digest)


def languages() -> tuple[str, ...]:
    """The source languages that have rules, sorted."""
    return tuple(sorted(path.stem for path in ROUTES.glob("*.yaml")))


@lru_cache(maxsize=32)
def rules_for(source: str) -> RuleTable | None:
    """The rules of a source language by its code, regional subtags ignored; None where there are none."""
    code = source.partition("-")[0].lower()
    return read_rules(ROUTES / f"{code}.yaml") if code in languages() else None


def read_rules(path: Path) -> RuleTable:
    """The table in a file of rules. Raises InputError that names the file and the rule where something is amiss."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text = path.read_bytes()
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise InputError(f"{path}: {error}", "Correct the file of rules.") from error
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        raise InputError(f"{path} holds no list of rules.", "See src/hala/data/routes/en.yaml for one that does.")
    fragments = {
        name: tuple(map(str, value)) if isinstance(value, list) else (str(value),)
        for name, value in (data.get("fragments") or {}).items()
    }
    return table((_rule(each, fragments, path) for each in data["rules"]), hashlib.sha256(text).hexdigest())


def _rule(data: dict[str, Any], fragments: Fragments, path: Path) -> Rule:
    where = f"{path.name}, rule '{data.get('name', '?')}'"
    wrong = [key for key in data if key not in _NEEDED + _OPTIONAL] + [key for key in _NEEDED if key not in data]
    wrong += [name for name in data.get("keeps", []) if name not in FINDERS]
    if wrong or (data["action"] == "adapt") != bool(data.get("keeps")):
        raise InputError(f"{where}: {', '.join(wrong) or 'adapt and keeps belong together'}.", "Correct the file of rules.")
    try:
        pattern = _lines(data["pattern"], fragments)
        return Rule(
            **{key: data[key] for key in ("name", "action", "why", "otherwise", "certain", "code", "system") if key in data},
            stems=_stems(data["stems"], fragments),
            pattern=pattern,
            quick=None if any(map(str.isupper, _ESCAPED.sub("", pattern.pattern))) else re.compile(pattern.pattern),
            unless=_lines(data["unless"], fragments) if "unless" in data else None,
            keeps=tuple(data.get("keeps", ())),
            fires=(data["fires"][0], data["fires"][1]),
            spares=(data["spares"][0], data["spares"][1]),
        )
    except (re.error, KeyError) as error:
        raise InputError(f"{where}: {error}", "Correct its pattern, or define the fragment.") from error


def _stems(text: str, fragments: Fragments) -> tuple[str, ...]:
    words = [word.strip() for word in text.split("|")]
    return tuple(stem for word in words for stem in (fragments[word[1:-1]] if word.startswith("<") else (word,)))


def _lines(text: str, fragments: Fragments) -> re.Pattern[str]:
    """A pattern that matches when one of the lines does, in any case."""
    return re.compile("|".join(_filled(line, fragments) for line in text.splitlines() if line), re.IGNORECASE)


def _filled(text: str, fragments: Fragments) -> str:
    """The text with every <NAME> replaced by its fragment, groups such as (?P<name>) aside."""

    def fill(match: re.Match[str]) -> str:
        if text[: match.start()].endswith("?P"):
            return match[0]
        parts = fragments[match[1]]
        plain = len(parts) > 1 and all(_WORDS.fullmatch(part) for part in parts)
        return prefixes(parts) if plain else _filled("|".join(parts), fragments)

    return _FRAGMENT.sub(fill, text)


def prefixes(words: Iterable[str]) -> str:
    """A pattern for the longest of the words, in which common beginnings stand once: alternatives would be tried one by one."""
    words = set(words)
    branches: dict[str, set[str]] = {}
    for word in words - {""}:
        branches.setdefault(word[0], set()).add(word[1:])
    if not branches:
        return ""
    pattern = "|".join(re.escape(first) + prefixes(rest) for first, rest in sorted(branches.items()))
    return f"(?:{pattern})" + ("?" if "" in words else "")
