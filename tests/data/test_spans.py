"""Spans are found in any text, in time that grows with its length."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.spans import find_spans

PIECES = [
    "a.",
    "b/",
    "_",
    "@",
    "<a ",
    ">",
    "[",
    "](",
    "{",
    '{"',
    "}",
    "`",
    "$",
    "\\(",
    "\\)",
    "%s",
    "--x",
    "http://",
    "www.",
    "(",
    ")",
    " ",
    "é",
    "⟦",
]


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_spans_are_in_order(text: str) -> None:
    """Spans lie within the text, left to right, none empty, none over another."""
    position = 0
    for start, end in find_spans(text):
        assert position <= start < end <= len(text)
        position = end


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ('Say {"a": [1, {"b": 2}]} twice', ['{"a": [1, {"b": 2}]}']),
        ('Say {"a": broken', []),
        ("See https://x.org/{id}/a?q={query}#top.", ["https://x.org/{id}/a?q={query}#top"]),
        ("{see https://x.org/a}", ["https://x.org/a"]),
        ("Open ~/a/b.md, ../c and C:\\a\\b.txt.", ["~/a/b.md", "../c", "C:\\a\\b.txt"]),
        ("A @user_name wrote to a.b@c.org", ["@user_name", "a.b@c.org"]),
        ("So \\begin{pmatrix} 1 & 2 \\\\ 3 \\end{pmatrix} and \\( open", ["\\begin{pmatrix} 1 & 2 \\\\ 3 \\end{pmatrix}", "\\("]),
        ("the \\[source of this\\] is unknown", ["\\[", "\\]"]),
        ("Print a\\nB and <|end|> {% if x %}", ["\\n", "<|end|>", "{% if x %}"]),
        ("The answer is B. Answer: A good dog", ["B"]),
        ("Write <https://x.org> or <!DOCTYPE html>", ["<https://x.org>", "<!DOCTYPE html>"]),
        (
            "Press <kbd>Ctrl and C</kbd>, <code class='a'>for each</code>",
            ["<kbd>Ctrl and C</kbd>", "<code class='a'>for each</code>"],
        ),
        ("A <script>var a;</script> <CODE>b c</code> <code>d", ["<script>var a;</script>", "<CODE>b c</code>", "<code>"]),
        ("<math><mi>x is</mi></math> <svg><text>Hi</text></svg>", ["<math><mi>x is</mi></math>", "<svg><text>Hi</text></svg>"]),
        ("Open [it](<my file (1).md>) or [it](<a b> 'A title')", ["<my file (1).md>", "<a b>"]),
        ("{user['name']} {user[\"last name\"]} {a[0].b()} {no one}", ["{user['name']}", '{user["last name"]}', "{a[0].b()}"]),
        (f"Use `{'word ' * 900}` or `it\nand` now", [f"`{'word ' * 900}`", "`it\nand`"]),
        ("We have \\(a + b and more", ["\\(a + b and more"]),
        ("We have \\begin{align} a &= b\nand more", ["\\begin{align} a &= b"]),
        ("\\begin{quote} As he said \\(in vain", ["\\begin{quote}", "\\("]),
        ("He (D) said option C, or f(A)", ["(D)", "C"]),
        ("Edit ~/.bashrc, ./_a.py and .gitignore; .NET is fine", ["~/.bashrc", "./_a.py", ".gitignore"]),
        ("Open src/main.c, lib/App.kt or list.h at 5 p.m", ["src/main.c", "lib/App.kt", "list.h"]),
        ("Run C:\\Program Files\\My App\\app.exe or C:\\a and D", ["C:\\Program Files\\My App\\app.exe", "C:\\a"]),
        ("Share \\\\server\\docs\\a.txt now", ["\\\\server\\docs\\a.txt"]),
        (
            "HTTP://EXAMPLE.COM/PATH at localhost:3000/set or 1.2.3.4:80/a",
            ["HTTP://EXAMPLE.COM/PATH", "localhost:3000/set", "1.2.3.4:80/a"],
        ),
        ("See https://a.org/wiki/مصر، https://de.org/Straße.", ["https://a.org/wiki/مصر", "https://de.org/Straße"]),
        ("See [url=http://a.b]link[/url] [as on http://c.d]", ["[url=http://a.b]", "[/url]", "http://c.d"]),
        ("[b]Bold[/b] a[i] and [size]", ["[b]", "[/b]"]),
        ("In C:\\Windows or D:\\\\a\\\\b.txt", ["C:\\Windows", "D:\\\\a\\\\b.txt"]),
        (
            "At https://hi.wikipedia.org/wiki/हिन्दी now, 看http://x.com/这",
            ["https://hi.wikipedia.org/wiki/हिन्दी", "http://x.com/"],
        ),
        ("Hi %1$s, %2$d of %@ or %lu, 50%s", ["%1$s", "%2$d", "%@", "%lu"]),
        ("Hi <%= user.name %> {# a note #}", ["<%= user.name %>", "{# a note #}"]),
        (
            "You have {count, plural, one {# item} other {# items}} since {day, date, short}",
            ["{count, plural, one {# item} other {# items}}", "{day, date, short}"],
        ),
    ],
)
def test_spans(text: str, spans: list[str]) -> None:
    """What must not be translated is found where it begins and ends."""
    assert [text[start:end] for start, end in find_spans(text)] == spans


@pytest.mark.parametrize(
    "unit",
    [
        "a.",
        "a/",
        "a_",
        "a@",
        "<a ",
        "[",
        '{"a":[',
        "`",
        "$a ",
        "\\(",
        "\\begin{a}",
        "\\begin{align}a",
        "<code>",
        "`` ` ",
        "{a[0]",
        "http://",
        "C:\\",
        "C:\\a b c d ",
        "{a, plural,",
        "{a, plural,{b {",
        "{a, plural,{b}",
        "[url=",
        "<%",
        "~/.",
        "http://a/م",
        "\\\\a\\",
        "{#",
        "(A",
        "../",
    ],
)
def test_hostile_repetition_ends(unit: str) -> None:
    """A sign repeated eight thousand times does not hang the search."""
    text = unit * 8000
    assert all(start < end for start, end in find_spans(text))
