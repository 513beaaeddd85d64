"""A page out of escaped parts: every text goes through `text`, so nothing that data says can become markup.

The page needs no script and no network: its policy forbids both, and its one style sheet is allowed by its digest.

>>> from hala.verbs.report_page import text
>>> text("<b>\\u202e")
'&lt;b&gt;<span class="chip" title="U+202E">RLO</span>'
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable
from pathlib import Path

from hala.records import Message
from hala.verbs.redact import invisible, plain, redact
from hala.verbs.results import Cell, Table

CHIPS = {
    "\r": "CR", "\x00": "NUL", "\x07": "BEL", "\x08": "BS", "\x1b": "ESC", "\x7f": "DEL", "\xad": "SHY", "\u061c": "ALM",
    "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u200e": "LRM", "\u200f": "RLM", "\u2028": "LS", "\u2029": "PS",
    "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2060": "WJ", "\u2066": "LRI",
    "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\ufeff": "BOM",
}  # fmt: skip
LONGEST = 700

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def text(value: object, longest: int = 0) -> str:
    """Escaped text without secrets; invisible and reordering characters are labelled chips.

    `longest` cuts after so many characters and says how many are left.
    """
    content = redact(str(value))
    left = len(content) - longest if longest else 0
    shown = content[:longest] if left > 0 else content
    body = "".join(_chip(character) if invisible(character) else html.escape(character, quote=True) for character in shown)
    return body + (f' <bdi class="soft" dir="ltr">… {left:,} more characters</bdi>' if left > 0 else "")


def bare(value: object) -> str:
    """Escaped text for attributes and drawings, which cannot hold chips: invisible characters are left out there."""
    return html.escape(plain(str(value)), quote=True)


def _chip(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f'<span class="chip" title="{code}">{CHIPS.get(character, code)}</span>'


def data_cell(value: object, longest: int = LONGEST) -> str:
    """A table cell that holds data: its own direction, isolated from its neighbours, line breaks kept."""
    return f'<td class="data" dir="auto">{text(value, longest)}</td>'


def messages_cell(messages: Iterable[Message]) -> str:
    """A table cell that holds a conversation: each turn has its own direction, and roles are named where there are several."""
    turns = list(messages)
    parts = []
    for turn in turns:
        role = f'<div class="role">{text(turn.role)}</div>' if len(turns) > 1 else ""
        parts.append(f'{role}<div dir="auto">{text(turn.content, LONGEST)}</div>')
    return f'<td class="data" dir="auto">{"".join(parts)}</td>'


def paragraph(content: str, kind: str = "") -> str:
    """A paragraph of ready markup."""
    return f'<p class="{kind}">{content}</p>' if kind else f"<p>{content}</p>"


def details(summary: str, body: str) -> str:
    """A part that is folded until somebody opens it; both arguments are ready markup."""
    return f"<details><summary>{summary}</summary>{body}</details>"


def grid(header: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """A table from plain headings and rows of ready cells; it scrolls sideways where the window is narrow."""
    head = "".join(f'<th scope="col" dir="auto">{text(name)}</th>' for name in header)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    opening = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="wide">{opening}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def score_table(table: Table) -> str:
    """A table of scores with its title and its note."""
    rows = ("".join(_score_cell(cell) for cell in row) for row in table.rows)
    note = paragraph(text(table.note), "note") if table.note else ""
    return f"<h3>{text(table.title)}</h3>" + grid(table.header, rows, "numbers") + note


def _score_cell(cell: Cell) -> str:
    value = f"<strong>{text(cell.text)}</strong>" if cell.best else text(cell.text)
    if cell.interval:
        value += f'<span class="interval">{text(cell.interval)}</span>'
    if cell.delta:
        value += f'<span class="delta {cell.verdict}">{text(cell.delta)}</span>'
    return f'<td dir="auto">{value}</td>'


def page(title: str, sections: list[tuple[str, str, str]], lead: str) -> str:
    """The whole document; `sections` holds (anchor, heading, ready markup), empty ones are left out."""
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{anchor}">{text(heading)}</a>' for anchor, heading, _ in shown)
    body = "".join(f'<section><h2 id="{anchor}">{text(heading)}</h2>{markup}</section>' for anchor, heading, markup in shown)
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{bare(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1 dir="auto">{text(title)}</h1>{lead}<nav>{links}</nav></header>\n{body}\n</main>\n</body>\n</html>\n'
    )
