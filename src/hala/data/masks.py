"""Spans of a segment that must come through a translation unchanged, replaced by numbered sentinels ⟦1⟧ ⟦2⟧ ...

Every occurrence gets its own number, equal texts too: "each number exactly once, in any order" is then the whole rule
for what a translator may do with them. A literal ⟦ or ⟧ in the text is itself a span, so no text can be mistaken for a sentinel.

>>> from hala.data.masks import mask, unmask
>>> masked = mask("Run `ls -l` in {folder}.")
>>> masked.text, masked.spans
('Run ⟦1⟧ in ⟦2⟧.', ('`ls -l`', '{folder}'))
>>> unmask("نفّذ ⟦1⟧ في ⟦2⟧.", masked.spans)
'نفّذ `ls -l` في {folder}.'
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from hala.records import Verdict, rejected

SENTINEL = re.compile(r"⟦[ \u200e\u200f]?(\d{1,6})[ \u200e\u200f]?⟧")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Masked:
    """A segment as an engine sees it, and the texts behind ⟦1⟧, ⟦2⟧, ... in that order."""

    text: str
    spans: tuple[str, ...]


# All classes are ASCII on purpose: Arabic writes prefixes and commas directly against a Latin word.
_ARGUMENTS = r"(?:\{(?:[^{}\n]|\{[^{}\n]*\})*\}|\[[^\]\n]*\]|[_^](?:\w|\{[^{}\n]*\}))*"
_COMMANDS = (
    "frac|dfrac|tfrac|cfrac|sqrt|sum|prod|int|oint|lim|log|ln|exp|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|max|min|sup|inf|det|dim|gcd"
    "|left|right|big|Big|bigl|bigr|cdot|cdots|ldots|dots|times|div|pm|mp|leq|geq|neq|le|ge|ne|approx|equiv|sim|infty|partial|nabla|forall"
    "|exists|in|notin|subset|subseteq|cup|cap|emptyset|to|rightarrow|leftarrow|Rightarrow|Leftarrow|implies|iff|angle|circ|degree|triangle"
    "|alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|varphi|chi|psi|omega"
    "|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|mathbb|mathbf|mathrm|mathcal|mathit|mathsf|vec|hat|bar|overline|underline|boxed"
    "|binom|pmod|bmod|mod|quad|qquad|begin|end|label|ref|eqref|cite|includegraphics|hline|tag|displaystyle|operatorname"
)
_TLD = "com|org|net|edu|gov|io|ai|dev|app|co|uk|de|fr|eg|sa|ae|jo|ma|info|me"
_EXTENSIONS = (
    "py|ipynb|js|jsx|ts|tsx|java|cpp|hpp|cs|go|rs|rb|php|sh|ps1|bat|sql|html|htm|css|scss|xml|json|jsonl|yaml|yml|toml|ini|cfg|conf|env"
    "|csv|tsv|txt|md|rst|tex|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|svg|mp3|mp4|wav|zip|tar|gz|exe|dll|so|log|lock|parquet|safetensors|gguf"
)
_BARE_ATTRIBUTES = "disabled|checked|selected|required|hidden|async|defer|controls|autoplay|loop|muted|readonly|multiple|open"
_ATTRIBUTE = rf"""\s+(?:[A-Za-z_:@][\w:@.-]*\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=`]+)|(?:{_BARE_ATTRIBUTES})\b)"""
_PATTERNS = (
    r"⟦[^⟦⟧\n]{0,20}⟧|[⟦⟧]",
    r"(?P<code>(?<!`)(?P<ticks>`{1,8})(?!`)[^`].{0,2000}?(?<!`)(?P=ticks)(?!`))",
    r"\$\$.{1,4000}?\$\$|\\\[.{1,4000}?\\\]|\\\(.{1,2000}?\\\)",
    r"(?P<math>(?<![\\$\w])\$(?![\s$])[^$\n]{0,600}?(?<![\s\\$])\$(?![\d$]))",
    r"<!--.{0,4000}?-->",
    rf"</?[A-Za-z][A-Za-z0-9_:.-]*(?:{_ATTRIBUTE})*\s*/?>|<<[^<>\n]{{1,200}}>>|&(?:[A-Za-z][A-Za-z0-9]{{1,20}}|#\d{{1,7}}|#x[0-9A-Fa-f]{{1,6}});",
    r"(?P<url>(?:[a-z][a-z0-9+.-]{1,10}://|www\.)[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%\[\]]+|mailto:[^\s<>\"]+)",
    r"(?<=\]\()[^()\s<>\"]+(?:\([^()\s]*\)[^()\s]*)*(?=[)\s])|(?<=\])\[[^\[\]\n]{1,80}\](?!\()|\[\^[^\[\]\s]{1,40}\]",
    r"[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    rf"(?<![A-Za-z0-9@.-])(?:[A-Za-z0-9-]+\.)+(?:{_TLD})(?![A-Za-z0-9_-]|\.[A-Za-z0-9])(?:/[A-Za-z0-9\-._~/?#&=%+]*[A-Za-z0-9/])?",
    r"(?<![A-Za-z])[A-Za-z]:\\(?:[A-Za-z0-9_.$~-]+\\?)+",
    rf"(?<![A-Za-z0-9_/.~-])(?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.(?:{_EXTENSIONS})(?![A-Za-z0-9_])",
    r"(?<![A-Za-z0-9_/.<])(?:~|\.{1,2})?/(?:[A-Za-z0-9_.@-]+/)+[A-Za-z0-9_@-]*(?:\.[A-Za-z0-9_-]+)*",
    rf"\\(?:{_COMMANDS})(?![A-Za-z]){_ARGUMENTS}|\\[A-Za-z]{{2,20}}(?=[_^]){_ARGUMENTS}",
    r"\{\{[^{}\n]{1,80}\}\}|\$\{[^{}\n]{1,80}\}|\{(?:\d{0,3}|[A-Za-z_][A-Za-z0-9_.]{0,60})(?:![rsa])?(?::[^{}\s]{0,20})?\}",
    r"(?<![0-9%])%(?:\([A-Za-z_]\w{0,40}\))?[-+0#]?\d{0,3}(?:\.\d{1,3})?[sdifgexXcr](?![A-Za-z0-9])",
    r"\[[A-Z][A-Z0-9_]*(?: [A-Z0-9_]+)*\](?!\()|(?<![A-Za-z0-9])\$[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_$])",
    r"(?<![A-Za-z0-9-])--[a-z][a-z0-9-]+(?:=[A-Za-z0-9_./-]+)?|(?<![A-Za-z0-9_.@])@[A-Za-z0-9_]{2,40}",
    r"_{3,}|(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9]*(?:_+[A-Za-z0-9]+)+(?:\(\))?(?![A-Za-z0-9_])|(?<![A-Za-z0-9_.])[A-Za-z_][A-Za-z0-9_.]*\(\)",
)
_SPAN = re.compile("|".join(_PATTERNS), re.DOTALL)
# Most sentences hold none of these and need no search.
_TRIGGER = re.compile(r"[⟦⟧`$\\<&@/{\[_]|(?<![0-9])%|--|\.[A-Za-z]|\(\)|mailto")
_WORDS = re.compile(r"[A-Za-z]{3,} +[A-Za-z]{2,}| (?:and|or|to|for|from|per|a|the|is|was|in|of|plus|but|then) ")
_TRAILING = ".,;:!?'*_"


def mask(segment: str) -> Masked:
    """The segment with its protected spans replaced by ⟦1⟧, ⟦2⟧, ...; `unmask(mask(x).text, mask(x).spans) == x` for every x."""
    pieces: list[str] = []
    spans: list[str] = []
    position = 0
    for start, end in find_spans(segment):
        spans.append(segment[start:end])
        pieces += (segment[position:start], f"⟦{len(spans)}⟧")
        position = end
    pieces.append(segment[position:])
    return Masked("".join(pieces), tuple(spans))


def find_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of every protected span, left to right, without overlap."""
    found: list[tuple[int, int]] = []
    position = 0 if _TRIGGER.search(text) else len(text)
    while match := _SPAN.search(text, position):
        end = _accepted_end(match)
        if end > match.start():
            found.append((match.start(), end))
        position = max(end, match.start() + 1)
    return found


def _accepted_end(match: re.Match[str]) -> int:
    """Where the span really ends; its start when the match is not a span after all."""
    if match["url"]:
        url = match["url"].rstrip(_TRAILING)
        while url.endswith((")", "]")) and url.count(url[-1]) > url.count({")": "(", "]": "["}[url[-1]]):
            url = url[:-1].rstrip(_TRAILING)
        return match.start() + len(url)
    # "costs $5 to ship and 3$ to keep" is money: formulas hold no running words, unless in \text{}.
    if match["math"] and "\\" not in match["math"] and _WORDS.search(match["math"]):
        return match.start()
    return match.end()


def unmask(text: str, spans: tuple[str, ...]) -> str | Verdict:
    """The text with every sentinel replaced by its span, or a rejection `placeholders` naming what is missing or doubled.

    Sentinels may stand in any order; a space or direction mark inside the brackets and native digits are forgiven.
    """
    problem = sentinel_problem(text, len(spans))
    if problem:
        return rejected("placeholders", problem)
    return SENTINEL.sub(lambda match: spans[int(match[1]) - 1], text)


def sentinel_problem(text: str, count: int) -> str:
    """What is wrong with the sentinels of `text` when each of 1..`count` must stand exactly once; empty when nothing is."""
    seen = Counter(int(match[1]) for match in SENTINEL.finditer(text))
    wrong = [f"⟦{number}⟧ missing" for number in range(1, count + 1) if not seen[number]]
    wrong += [f"⟦{number}⟧ {times} times" for number, times in sorted(seen.items()) if times > 1 and 1 <= number <= count]
    wrong += [f"⟦{number}⟧ invented" for number in sorted(seen) if not 1 <= number <= count]
    if not wrong and re.search("[⟦⟧]", SENTINEL.sub("", text)):
        wrong.append("a damaged sentinel")
    return ", ".join(wrong[:5])


def mask_pair(source: str, target: str) -> tuple[str, str] | None:
    """Both sides of a human translation with matching sentinels; None when they do not protect the same spans.

    The target carries the source's numbers, so the pair shows a translator what to do with sentinels.
    """
    left, right = mask(source), mask(target)
    if Counter(left.spans) != Counter(right.spans):
        return None
    free: dict[str, list[int]] = {}
    for number, span in enumerate(left.spans, 1):
        free.setdefault(span, []).append(number)
    numbers = [free[span].pop(0) for span in right.spans]
    return left.text, SENTINEL.sub(lambda match: f"⟦{numbers[int(match[1]) - 1]}⟧", right.text)


def plain(text: str) -> str:
    """The text without sentinels and protected spans: what is left is natural language."""
    return SENTINEL.sub(" ", mask(SENTINEL.sub(" ", text)).text)


def has_letters(text: str) -> bool:
    """Whether anything outside the protected spans can be translated at all."""
    return _LETTER.search(text) is not None and _LETTER.search(plain(text)) is not None
