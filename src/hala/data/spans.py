"""Where a text holds what no translator may touch: code, formulas, addresses, paths, markup, placeholders, JSON.

A character that can begin or betray such a span is looked for first, and only there are patterns tried: ordinary prose holds few
of them, so that most sentences cost one scan.

>>> from hala.data.spans import find_spans
>>> text = "Run `ls -l` in {folder}, see www.site.org/a."
>>> [text[start:end] for start, end in find_spans(text)]
['`ls -l`', '{folder}', 'www.site.org/a']
"""

from __future__ import annotations

import json
import re

from hala.data.payloads import FORMULAS

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
    "py|ipynb|js|jsx|ts|tsx|java|cpp|hpp|cs|go|rs|rb|php|kts?|swift|vue|svelte|dart|scala|lua|proto|gradle|zsh|sh"
    "|ps1|bat|sql|html|htm|css|scss|xml|json|jsonl|yaml|yml|toml|ini|cfg|conf|env"
    "|csv|tsv|txt|md|rst|tex|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|svg|mp3|mp4|wav|zip|tar|gz|exe|dll|so|log|lock|parquet|safetensors|gguf"
)
_DOT_FILES = (
    "bashrc|bash_profile|zshrc|profile|env|git|gitignore|gitattributes|dockerignore|npmrc|htaccess|vimrc|editorconfig|ssh|aws"
)
_BARE_ATTRIBUTES = "disabled|checked|selected|required|hidden|async|defer|controls|autoplay|loop|muted|readonly|multiple|open"
_ATTRIBUTE = rf"""\s+(?:[A-Za-z_:@][\w:@.-]*\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=`]+)|(?:{_BARE_ATTRIBUTES})\b)"""
_FIELD = (
    r"""[A-Za-z_][A-Za-z0-9_.]{0,60}(?:(?:\[(?:'[^'\n{}]{1,60}'|"[^"\n{}]{1,60}"|[\w-]{1,40})\]|\(\))[A-Za-z0-9_.]{0,60}){0,4}"""
)
MACHINE_ELEMENTS = "pre|script|style|code|math|svg|kbd|samp|var"
"""Elements of HTML whose content is none of the text's words."""

# Per character, what may begin with it.
_STARTS = {
    character: re.compile(pattern, re.DOTALL)
    for character, pattern in {
        "⟦": r"⟦[^⟦⟧\n]{0,20}⟧|⟦",
        "⟧": "⟧",
        "`": r"(?<!`)(?P<ticks>`{1,8})(?!`)[^`](?:.{0,2000}?|[^\n]*?)(?<!`)(?P=ticks)(?!`)",
        "$": r"\$\$.{1,4000}?\$\$|\$\$|(?P<math>(?<![\\$\w])\$(?![\s$])[^$\n]{0,600}?(?<![\s\\$])\$(?![\d$]))"
        r"|\$\{[^{}\n]{1,80}\}|(?<![A-Za-z0-9])\$[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_$])",
        "\\": r"(?<!\\)\\\\[A-Za-z0-9_.-]+(?:\\[A-Za-z0-9_.$-]+)+(?<!\.)"  # a share of a network
        r"|(?P<math>\\\[.{1,4000}?\\\]|\\\(.{1,2000}?\\\))|(?P<open>\\\()[^\r\n]{0,2000}|\\[\[\]()]"
        r"|\\begin\{(?P<env>[A-Za-z]{1,20}\*?)\}.{0,4000}?\\end\{(?P=env)\}"
        rf"|(?P<begun>\\begin\{{(?:{'|'.join(sorted(FORMULAS))})\*?\}})[^\r\n]{{0,2000}}"
        rf"|\\(?:{_COMMANDS})(?![A-Za-z]){_ARGUMENTS}|\\[A-Za-z]{{2,20}}(?=[_^]){_ARGUMENTS}|\\[nrt](?![a-z])",
        "<": r"<!--.{0,4000}?-->|<\?.{0,2000}?\?>|<%.{0,2000}?%>|<![A-Za-z][^<>]{0,400}>|<\|[^|<>\n]{1,40}\|>"
        rf"|(?i:<(?P<element>{MACHINE_ELEMENTS})(?:{_ATTRIBUTE})*\s*>.{{0,4000}}?</(?P=element)\s*>)"
        rf"|</?[A-Za-z][A-Za-z0-9_:.-]*(?:{_ATTRIBUTE})*\s*/?>|<<[^<>\n]{{1,200}}>>"
        r"|<[A-Za-z][A-Za-z0-9+.-]{1,20}:[^\s<>]*>|<[^\s<>@]{1,64}@[^\s<>]{1,200}>",
        "&": r"&(?:[A-Za-z][A-Za-z0-9]{1,20}|#\d{1,7}|#x[0-9A-Fa-f]{1,6});",
        "{": r"\{{2,3}[^{}\n]{1,80}\}{2,3}|\{%.{1,300}?%\}|\{#.{1,300}?#\}"
        r"|\{\w{1,40}, *(?:number|date|time) *, *(?:short|medium|long|full|integer|percent|currency|::[^{}\n]{1,40}) *\}"
        r"|\{\w{1,40}, *(?:plural|select|selectordinal) *,(?:[^{}]|\{(?:[^{}]|\{[^{}]{0,200}\}){0,600}\}){1,600}\}"
        rf"|\{{(?:\d{{0,3}}|{_FIELD})"
        r"(?:![rsa])?(?::[^{}\s]{0,20})?\}|(?P<json>\{\s*\")",
        "[": r"(?<=\])\[[^\[\]\n]{1,80}\](?!\()|\[\^[^\[\]\s]{1,40}\]|\[/?[A-Z][A-Z0-9_]*(?: [A-Z0-9_]+)*\](?!\()"
        r"|\[/(?:url|img|quote|code|list|size|color|b|i|u)\]|\[(?:url|quote|size|color)=[^\[\]\n]{1,300}\]"
        r"|\[(?P<bb>url|img|quote|code|list|b|i|u)\](?=[^\[\]]{0,2000}\[/(?P=bb)\])"
        r"|(?P<json>\[\s*\{\s*\")",
        "%": r"(?<![0-9%])%(?:\d{1,2}\$|\([A-Za-z_]\w{0,40}\))?[-+0#]?\d{0,3}(?:\.\d{1,3})?"
        r"(?:(?:hh?|ll?|z)?[sdiufgexXcro]|@)(?![A-Za-z0-9])",
        "-": r"(?<![A-Za-z0-9-])--[a-z][a-z0-9-]+(?:=[A-Za-z0-9_./-]+)?",
        "_": r"_{3,}",
        "@": r"(?<![A-Za-z0-9_.@])@[A-Za-z0-9_]{2,40}",
    }.items()
}
_DESTINATION = re.compile(r"<[^<>\n]{1,400}>(?=[)\s])|[^()\s<>\"]+(?:\([^()\s]*\)[^()\s]*)*(?=[)\s])")
_DRIVE = re.compile(
    r"(?<![A-Za-z])[A-Za-z]:\\{1,2}(?:[A-Za-z0-9_.$~()-]+(?: (?!(?:and|or|to|in|on|is|with)\b)[A-Za-z0-9_.$~()-]+){0,3}\\{1,2})*"
    r"[A-Za-z0-9_.$~-]*(?<!\.)"
)
# What shows itself in the middle: addresses by @ or ://, files and domains by a dot, names by an underscore, calls by ().
_WORD = re.compile(
    r"(?P<url>(?:(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,10}://|(?:www|WWW)\.)"
    r"(?:[A-Za-z0-9\-._~:/?#@!$&'()*+,;=%\[\]{}À-ÖØ-öø-ɏ]|(?<=[/_=-])(?:[^\W\d_\u3040-\u30ff\u3400-\u9fff]|[\u0300-\u036f\u064b-\u0655\u0900-\u0d7f])+)+|mailto:[^\s<>\"]+)"
    r"|(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}"
    rf"|(?<![A-Za-z0-9@.-])(?:[A-Za-z0-9-]{{1,63}}\.){{1,20}}(?:{_TLD})(?![A-Za-z0-9_-]|\.[A-Za-z0-9])(?:/[A-Za-z0-9\-._~/?#&=%+]*[A-Za-z0-9/])?"
    r"|(?<![A-Za-z0-9@.-])(?:localhost|\d{1,3}(?:\.\d{1,3}){3}):\d{2,5}(?![0-9])(?:/[A-Za-z0-9\-._~/?#&=%+]*[A-Za-z0-9/])?"
    rf"|(?<![A-Za-z0-9_/.~-])(?:[A-Za-z0-9_.-]++/)*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.(?:{_EXTENSIONS}|(?<=[a-z0-9_-]{{3}}\.)[ch])(?![A-Za-z0-9_])"
    rf"|(?<![A-Za-z0-9_/.])\.(?:{_DOT_FILES})(?![A-Za-z0-9_])"
    r"|(?<![A-Za-z0-9_/.<])(?:(?:~|\.{1,2})?/(?:[A-Za-z0-9_.@-]+/)+|(?:~|\.{1,2})/(?=\.?[A-Za-z_]))[A-Za-z0-9_@-]*(?:\.[A-Za-z0-9_-]+)*"
    r"|(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9]*(?:_+[A-Za-z0-9]+)+(?:\(\))?(?![A-Za-z0-9_])|(?<![A-Za-z0-9_.])[A-Za-z_][A-Za-z0-9_.]*\(\)"
)
_CONNECTED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+~/@:-")
_RUN = re.compile(r"[A-Za-z0-9_.+~/@:-]*(?:\(\))?")
# Every alternative begins with a literal character: only then does the search skip all others at the speed of memory.
_TRIGGER = re.compile(r"⟦|⟧|`|\$|\\|<|&|@|/|\{|\[|_|%|-(?=-)|\.(?=[A-Za-z])|\(")
# The letter of a chosen option: translated, it would no longer name one.
_CHOICE = re.compile(
    r"\b(?:[Aa]nswer|ANSWER|[Oo]ption|[Cc]hoice)s?(?: is| are)?:?[ *]*([A-H])"
    r"(?=[)\].,;:!?\"'*]|\s*\Z|\s+(?:and|or|is|because|since)\b)"
)
_WORDS = re.compile(r"[A-Za-z]{3,} +[A-Za-z]{2,}| (?:and|or|to|for|from|per|a|the|is|was|in|of|plus|but|then) ")
_FORMULA = re.compile(r"\\[A-Za-z]|[=^_{}<>+]")
_OPENERS = {")": "(", "]": "[", "}": "{"}
_TRAILING = ".,;:!?'*_"
_DECODER = json.JSONDecoder()


def find_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of every protected span, left to right, without overlap."""
    found: list[tuple[int, int]] = []
    low = position = searched = 0  # up to `searched`, connected characters are known to hold no address, path or name
    failures = 0
    while trigger := _TRIGGER.search(text, position):
        start = trigger.start()
        character = text[start]
        span = None
        if character in "/_.(":
            span, searched = _word(text, start, low, searched)
        if span is None and character in _STARTS and (match := _STARTS[character].match(text, start)) is not None:
            end = _end(match, failures)
            failures += end < 0
            span = (start, end) if end > start else None
        if (
            character == "\\"
            and start - 2 >= low
            and text[start - 1] == ":"
            and (match := _DRIVE.match(text, start - 2)) is not None
        ):
            span = match.span()
        elif character == "@" and span is None:
            span, searched = _word(text, start, low, searched)
        if span is None:
            position = start + 1
        else:
            found.append(span)
            low = position = span[1]
    if "nswer" in text or "ption" in text or "hoice" in text:
        letters = [match.span(1) for match in _CHOICE.finditer(text)]
        found += [span for span in letters if not any(start < span[1] and span[0] < end for start, end in found)]
        found.sort()
    return found


def _word(text: str, trigger: int, low: int, searched: int) -> tuple[tuple[int, int] | None, int]:
    """The span among the connected characters around `trigger`, none before `low`; and how far these are now searched."""
    if text[trigger] == "(":
        if trigger and text[trigger - 1] == "]" and (link := _DESTINATION.match(text, trigger + 1)):
            return link.span(), searched
        if (
            text[trigger + 2 : trigger + 3] == ")"
            and text[trigger + 1] in "ABCDEFGH"
            and not text[trigger - 1 : trigger].isalnum()
        ):
            return (trigger, trigger + 3), searched
        if text[trigger + 1 : trigger + 2] != ")":
            return None, searched
    if trigger < searched:
        return None, searched
    start = trigger
    while start > low and text[start - 1] in _CONNECTED:
        start -= 1
    run = _RUN.match(text, trigger)
    end = run.end() if run else trigger
    match = _WORD.search(text, start, end)
    if match is None or (match := _WORD.match(text, match.start())) is None:
        return None, end
    if match["url"]:
        url = _trimmed(match["url"])
        return (match.start(), match.start() + len(url)) if url else None, end
    return match.span(), searched


def _trimmed(url: str) -> str:
    """The address without what closes or ends the words around it."""
    bracket = url.find("]")
    if bracket >= 0 and "[" not in url[:bracket]:  # [url=http://...] or a note in brackets
        url = url[:bracket]
    url = url.rstrip(_TRAILING)
    while url.endswith((")", "]", "}")) and url.count(url[-1]) > url.count(_OPENERS[url[-1]]):
        url = url[:-1].rstrip(_TRAILING)
    return url


def _end(match: re.Match[str], failures: int) -> int:
    """Where the span really ends: its start when the match is no span after all, -1 when it only looked like JSON."""
    kind = match.lastgroup
    if kind == "json":
        try:
            return _DECODER.raw_decode(match.string, match.start())[1] if failures < 3 else -1
        except (ValueError, RecursionError):
            return -1
    # A formula that never ends goes on to the end of its line; "\(as said" is an escaped bracket.
    if kind in ("open", "begun"):
        return match.end() if _FORMULA.search(match.string, match.end(kind), match.end()) else match.end(kind)
    # "costs $5 to ship and 3$ to keep" is money, "\[citation needed\]" an escaped bracket: formulas hold no running words.
    if kind == "math" and _WORDS.search(match["math"]):
        body = match["math"]
        if body[0] == "$" and "\\" not in body:
            return match.start()
        if body[0] == "\\" and not _FORMULA.search(body[2:-2]):
            return match.start() + 2
    return match.end()
