"""Whether a row survives translation: some tasks are about the words themselves, and no translator can save those.

Four ways lead on. `translate`: nothing speaks against it. `adapt`: translate all but the spans in `keep`, such as the sentence
whose grammar is to be corrected. `keep`: nothing in the row can be translated, so it stays as it is. `drop`: in another language
the answer would be wrong or senseless (rhymes, letters of a word). The rules are data, one file for each source language
(`routes/`), and know nothing of the target language.

>>> from hala.data.routing import route
>>> from hala.records import Message, Row
>>> chat = Message("user", "Correct the grammar: He go home."), Message("assistant", "He goes home.")
>>> found = route(Row("demo/0", chat, "en"))
>>> found.action, found.rule, [chat[each.message].content[each.start : each.end] for each in found.keep]
('adapt', 'correction', ['He go home.', 'He goes home.'])
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hala.data.masks import has_letters
from hala.data.routing_keeps import FINDERS, Keep, merged, options, replies, sentence
from hala.data.routing_rules import Action, Rule, RuleTable, prefixes, rules_for
from hala.data.segments import split
from hala.records import Message, Row

NOTHING = "nothing_to_translate"
"""The rule, of every source language, by which a row is kept in which no segment holds a word."""
# An instruction stands at the start or at the end of its turn; between them lies what it is about.
_HEAD, _TAIL = 1_200, 400
_STRENGTH = {"translate": 0, "adapt": 1, "keep": 2, "drop": 3}
_PROSE = re.compile(r"(?<!\w)[^\W\d_]{2,30},? [^\W\d_]{2,30},? [^\W\d_]{2}")
_CODE_WORDS = (
    "function|functions|program|programming|script|scripts|coding|python|java|javascript|typescript|golang|kotlin|php|bash|awk"
    "|sql|query|queries|algorithm|algorithms|array|arrays|dataframe|pandas|excel|spreadsheet|implement|regex|regular expression"
    "|app|html|css|json|linked list|time complexity|one-liner|in c|in r|in go|in rust|in ruby|in swift|in perl"
)
_CODE = re.compile(rf"\b(?:{prefixes(_CODE_WORDS.split('|'))}|(?<!morse )code)\b|\bc[#+]|```")
_STATEMENT = (
    r" *(?:def|import|from|function|class|public|const|let|var|return|if|for|while|SELECT|INSERT|UPDATE|DELETE|CREATE|#include)\b"
)
_CODE_START = re.compile(_STATEMENT)
_CODE_ANSWER = re.compile(rf"```|^{_STATEMENT}|[)\]}}]\s*[;{{]$|=.*;$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Route:
    """What is to be done with a row, and the rule that says so.

    `keep` names what an adapted row keeps in the source language: sorted spans without overlap. `certain` is False when the rule
    that fired is a weak one, whose word a vote may overrule; `vote` is what was answered then (`routing_vote`).
    """

    action: Action = "translate"
    rule: str = ""
    certain: bool = True
    keep: tuple[Keep, ...] = ()
    vote: str = ""

    @property
    def note(self) -> str:
        """`drop: synonyms, vote translate`: the route in one line, for a row's notes and a rejection's detail."""
        if not self.rule:
            return self.action
        return f"{self.action}: {self.rule}" + (f", vote {self.vote}" if self.vote else "")


TRANSLATE = Route()


def route(row: Row, rules: RuleTable | None = None, source: str = "en") -> Route:
    """What becomes of the row by the rules of its source language, or by `rules`; the strongest action of all its turns wins.

    A language without rules gives `translate`, but for rows without a word to translate: `has_rules` says which it is.
    """
    if nothing_to_translate(row.messages):
        return Route("keep", NOTHING)
    table = rules or rules_for(source)
    found = TRANSLATE
    if table is None:
        return found
    for index, message in enumerate(row.messages):
        if message.role == "user" or message.role == "system":
            other = _route_turn(row.messages, index, table)
            if other is TRANSLATE:
                continue
            if _STRENGTH[other.action] > _STRENGTH[found.action]:
                found = other
            elif other.action == "adapt" == found.action:
                found = _both(found, other)
    return found


def has_rules(source: str) -> bool:
    """Whether a source language has rules; without them, tasks that do not survive translation are not found."""
    return rules_for(source) is not None


def nothing_to_translate(messages: tuple[Message, ...]) -> bool:
    """Whether no segment of any message holds a letter outside code, formulas and addresses."""
    # Three words in a row before any fence are the rule: only the others are taken apart.
    for message in messages:
        text, fence = message.content, message.content.find("```")
        if _PROSE.search(text, 0, fence if fence >= 0 else len(text)) and not _CODE_START.match(text):
            return False
    return not any(has_letters(segment) for message in messages for segment in split(message.content).segments)


def _route_turn(messages: tuple[Message, ...], index: int, table: RuleTable) -> Route:
    """The route by the first rule that fires on this turn; later rules that adapt as well add what they keep."""
    content, role = messages[index].content, messages[index].role
    found = TRANSLATE
    windows, lower = _windows(content), _lowered(content)
    plain = lower if lower.isascii() else lower.translate(_LIKE_ASCII)
    for start, end in windows:
        lowered = lower[start:end]
        rules = table.may_fire(lowered)
        if not rules:
            continue
        code = any(not rule.code for rule in rules) and _about_code(lowered, messages, index)
        lettered = len(windows) > 1 or any("letters" in rule.keeps for rule in rules)
        asked = _question(content, start, end) if lettered else (start, end)
        for rule in rules:
            if (code and not rule.code) or (role == "system" and not rule.system) or (found.rule and rule.action != "adapt"):
                continue
            where = (start, end) if "letters" in rule.keeps else asked
            if rule.quick is not None and rule.quick.search(plain, *where) is None:
                continue
            other = _apply(rule, messages, index, *where)
            if other is None:
                continue
            if other.action != "adapt":
                return other
            found = _both(found, other) if found.rule else other
    return found


# Letters that a pattern which ignores case takes for i and s, although they are so in no lower-cased text.
_LIKE_ASCII = {ord("İ"): "i", ord("ı"): "i", ord("ſ"): "s"}


def _lowered(text: str) -> str:
    """The text in lower case, letter for letter: one of which two would become stays."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(each if len(each.lower()) > 1 else each.lower() for each in text)


def _question(content: str, start: int, end: int) -> tuple[int, int]:
    """Of a text with lettered options, the end of what stands before them: the options and a passage to be read ask nothing."""
    marks = options(content)
    return (max(start, marks[0][0] - _TAIL), min(end, marks[0][0])) if marks else (start, end)


def _both(first: Route, second: Route) -> Route:
    return replace(first, certain=first.certain or second.certain, keep=merged((*first.keep, *second.keep)))


def _windows(content: str) -> tuple[tuple[int, int], ...]:
    if len(content) <= _HEAD + _TAIL:
        return ((0, len(content)),)
    return (0, _HEAD), (len(content) - _TAIL, len(content))


def _apply(rule: Rule, messages: tuple[Message, ...], index: int, start: int, end: int) -> Route | None:
    """The route by one rule, or None when it does not fire here."""
    content = messages[index].content
    for match in rule.pattern.finditer(content, start, end):
        if rule.unless is not None and rule.unless.search(content[slice(*sentence(content, match))]):
            continue
        if rule.action != "adapt":
            return Route(rule.action, rule.name, rule.certain)
        first, *others = (FINDERS[name](messages, index, match) for name in rule.keeps)
        if first:
            return Route("adapt", rule.name, rule.certain, merged((*first, *(each for some in others for each in some))))
        if rule.otherwise != "translate":
            return Route(rule.otherwise, rule.name, rule.certain)
    return None


def _about_code(lowered: str, messages: tuple[Message, ...], index: int) -> bool:
    return _CODE.search(lowered) is not None or any(
        _CODE_ANSWER.search(messages[reply].content) for reply in replies(messages, index)
    )
