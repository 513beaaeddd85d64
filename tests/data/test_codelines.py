"""Code without fences is told from prose."""

from __future__ import annotations

import pytest

from hala.data.codelines import code_lines


@pytest.mark.parametrize(
    "code",
    [
        "import os\nfor name in os.listdir('.'):\n    print(name)",
        "#include <stdio.h>\n\nint main() {\n  return 0;\n}",
        "SELECT name FROM users WHERE id = 3;\nDELETE FROM users;",
        "const x = 5;\nfunction f(a) {\n  return a * x;\n}",
        "x = 1\ny = [1, 2]  # a comment\nprint(x + y[0])",
    ],
)
def test_code_is_found(code: str) -> None:
    """Every filled line of a plain program counts as code."""
    lines = code.splitlines(keepends=True)
    assert all(found for found, line in zip(code_lines(lines), lines, strict=True) if line.strip())


@pytest.mark.parametrize(
    "prose",
    [
        "If you want to go, tell me first:\nreturn the book to the library;",
        "import taxes are high; exports are not.\nWhile we waited, it rained.",
        "for example, a dog\nclass sizes vary from school to school",
        "1. item one;\n2. item two;",
    ],
)
def test_prose_is_not_code(prose: str) -> None:
    """Sentences that begin with a keyword or end in a semicolon stay text."""
    assert not any(code_lines(prose.splitlines(keepends=True)))


def test_indented_prose_is_text() -> None:
    """A quotation set in by four spaces is still translated."""
    assert code_lines(["Intro\n", "\n", "    Ask not what the others can do for you.\n"]) == [False, False, False]
