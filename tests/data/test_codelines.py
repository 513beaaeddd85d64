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
        "#!/bin/bash\n\n# Say it\nread name\ndu -a | sort -n\necho 1",
        "SELECT name\nFROM users\nWHERE age BETWEEN 10 AND 50\nORDER BY name ASC;",
        ".note {\n  color: red;\n  margin: 0 auto;\n}",
        "/*\n * Adds two numbers of any size.\n */\nint add(int a, int b) {\n  return a + b;\n}",
        'def f(x):\n    """Adds one.\n\n    The number may be of any kind here.\n    """\n    return x + 1',
        "class Person\n  def initialize(name)\n    @name = name\n  end\nend",
        "numbers = [1, 2]\nodds = [n for n in numbers if n % 2 != 0]\nprint(odds)",
        "for num in numbers:\n    print(num)",
        "$ pip install harbour",
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
        "x = 5\n\nSo Anna has 4(2x)=8x berries, and she needs\n3*5=<<3*5=15>>15 apples.",
        "for each of these, do the following:\n  - wash it\n  - eat it",
        "Select the name from the list of users.",
        "echo is what the mountain sent back to us",
    ],
)
def test_prose_is_not_code(prose: str) -> None:
    """Sentences that begin with a keyword or end in a semicolon stay text."""
    assert not any(code_lines(prose.splitlines(keepends=True)))


def test_indented_prose_is_text() -> None:
    """A quotation set in by four spaces is still translated."""
    assert code_lines(["Intro\n", "\n", "    Ask not what the others can do for you.\n"]) == [False, False, False]


def test_an_explanation_after_code_is_text() -> None:
    """Code is code up to its last line; the sentences and lists that explain it are text."""
    lines = ["import os", "print(os.name)", "", "This prints the name of the system.", "", "- it needs no arguments", "Output:"]
    assert code_lines(lines) == [True, True, False, False, False, False, False]


def test_indented_stretches_are_judged_one_by_one() -> None:
    """Of an indented block, a stretch of prose or a list between blank lines is text."""
    lines = [
        "Intro\n",
        "\n",
        "    x = f(1)\n",
        "\n",
        "    Whoever reads this has come quite far.\n",
        "\n",
        "    - a first thing\n",
    ]
    assert code_lines(lines) == [False, False, True, False, False, False, False]
