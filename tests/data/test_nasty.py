"""What may be sent to a translator of each of the twenty nasty documents, word for word."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from hala.data.masks import mask
from hala.data.segments import join, split

SPEC = importlib.util.spec_from_file_location("nasty", Path(__file__).parents[2] / "benchmarks" / "nasty.py")
assert SPEC and SPEC.loader
module = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(module)
NASTY: dict[str, str] = module.NASTY

SEGMENTS: dict[str, tuple[str, ...]] = {
    "pretty json": (
        "Read the settings below and say what is wrong with them.",
        "The answer was:",
        "Now mend the settings.",
    ),
    "tilde fence": (
        "Here is how a fence shows another fence:",
        "After the tildes the text goes on.",
    ),
    "indented code": (
        "Save this as a file and run it:",
        "My teacher used to repeat this to all of us:",
        "Whoever writes a program writes a letter to the next reader.",
    ),
    "four backticks": (
        "Write the readme like this:",
        "Then show it to a colleague.",
    ),
    "open fence": (
        "First install the package.",
        "It should end without an error, and the new command is then on your path.",
        "If it fails, read the log.",
        "If it works, go on.",
    ),
    "fence in a list": (
        "Clone the repository:",
        "Draw the plan:",
        "The picture appears below the text.",
        "Send it to your team.",
    ),
    "formulas": (
        "The sum of the angles is $\\alpha + \\beta + \\gamma = 180^\\circ$ in every triangle.",
        "With \\(n \\ge 3\\) sides, we get",
        "A ticket costs $5 and a day pass costs $12, so the pass pays off after $\\frac{12}{5}$ rides.",
    ),
    "open formulas": (
        "The solution begins with a bracket that is never closed:",
        "From this formula we read the two roots.",
        "It costs $$ to ask an expert, and \\( x is left open here.",
        "Both conditions hold at the same time.",
    ),
    "lists set in": (
        "Things to pack for the trip:",
        "a warm coat and good shoes",
        "bread for two days",
        "a map of the old town",
        "Fruit of the season",
        "apples from the garden",
        "green ones first",
        "pears from the market",
        "A pear needs a second paragraph.",
        "Bread",
    ),
    "table": (
        "Compare the two commands:",
        "Command",
        "What it does",
        "Option",
        "counts the lines of a file",
        "counts lines with either letter | or both",
        "see [manual](https://example.org/grep)",
        "Name",
        "Meaning",
        "the first number",
    ),
    "quotes": (
        "The captain wrote to the harbour master that the ship would be late, because the wind had turned and the"
        " crew was tired.",
        "Then wait for the tide.",
        "first answer of the master",
        "Signed by both.",
        "And so they waited.",
    ),
    "html": (
        'Keep the <b>left</b> lane, and <a href="https://example.org/rules?lane=left">read the rules</a>.',
        "Press <kbd>Ctrl</kbd> + <kbd>C</kbd> to stop &amp; leave.<br/>Then close the window.",
        "First choice of the guests",
        "Second choice",
    ),
    "tool calls": (
        "You may call one function. Its description is in JSON.",
        "What is the weather in Cairo?",
        "It is clear and warm.",
    ),
    "placeholders": (
        "Dear {customer_name}, your order {{ order.id }} of %d items (%s) is ready.",
        "Dear [CUSTOMER NAME], write to help@example.org or visit https://example.org/a_(b)?q={query}#top.",
        "Set ${HOME}, $PATH and --dry-run, then open ~/notes/today.md or C:\\Users\\me\\notes.txt.",
        "Replace <placeholder> by your word; {0} and {1:>8} stay; so does my_function() in utils.py.",
        "Fill in the blank: the sun rises in the ____. 256{{n}}256 ⟦7⟧ @someone 😀👍🏽",
    ),
    "choices": (
        "Which of these cities lies on a river?",
        "Cairo",
        "Mecca",
        "Riyadh",
        "None of these cities",
        "Answer: A",
        "The correct answer is (A), because option A names a city on the Nile.",
    ),
    "windows": (
        "Title of the file",
        "First line of the text.",
        "Second line.",
        "item one",
        "wrapped",
        "No-break space before this.",
    ),
    "marks and separators": (
        "مرحبا بكم في المدينة.",
        "An item after a mark of direction",
        "One line\u2028with a line separator inside.",
        "A tab\x0band a form\x0cfeed.",
        "\u2067Isolated words\u2069 and zero\u200dwidth joiners.",
        "A line after a lone return.",
    ),
    "bare code": (
        "Write a function that counts words, and say how it works.",
        "The function splits the text at spaces, and then it returns the length of the list.",
    ),
    "data lines": (
        "Each line is a record of its own:",
        "End of the records, which must come back as they were.",
    ),
    "front matter": (
        "Welcome to the handbook",
        'See the [guide][g] and ![a small picture](images/small.png "Title of it").[^1]',
        "The footnote has words of its own.",
        "Second heading",
        "A line with a hard break at its end, for the poem is set like this",
        "and goes on here. Visit <https://example.org/x> now.",
    ),
}
OPEN = {"open fence": "fence", "open formulas": "formula"}


def test_every_document_has_its_segments() -> None:
    """No document goes without golden segments."""
    assert NASTY.keys() == SEGMENTS.keys() and len(NASTY) == 20


@pytest.mark.parametrize("name", NASTY)
def test_segments(name: str) -> None:
    """Words go to the engine, whole and clean; code, data, formulas and markup stay, and come back byte for byte."""
    document = split(NASTY[name])
    assert document.segments == SEGMENTS[name]
    assert join(document, document.segments) == NASTY[name]
    assert document.open_block == OPEN.get(name, "")


def test_placeholders_are_masked() -> None:
    """Of the document full of placeholders nothing that must stay is left for the engine to write."""
    spans = [span for segment in split(NASTY["placeholders"]).segments for span in mask(segment).spans]
    assert spans[:11] == [
        *("{customer_name}", "{{ order.id }}", "%d", "%s", "[CUSTOMER NAME]", "help@example.org"),
        *("https://example.org/a_(b)?q={query}#top", "${HOME}", "$PATH", "--dry-run", "~/notes/today.md"),
    ]
    assert spans[11:] == [
        *("C:\\Users\\me\\notes.txt", "<placeholder>", "{0}", "{1:>8}", "my_function()", "utils.py"),
        *("____", "{{n}}", "⟦7⟧", "@someone"),
    ]
