"""A benchmark is a file: the ones that ship, and one that a user writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hala.errors import InputError, RecipeError
from hala.evals.benchmarks import BENCHMARKS, find_suite, read
from hala.evals.forms import FORMS, read_form
from hala.evals.profiles import PROFILES, render

MINE = """
source = "me/my-questions"
subsets = ["easy", "hard"]
labels = "A B C"
lang = "en"
average = "micro"

[columns]
question = "q"
context = "passage"
options = "choices"
answer = "right"
answers = "text"

[prompt]
instruction = "Choose.\\n"
body = "{question}\\n{options}Answer:"
option = "({label}) {option}\\n"

[context]
body = "{context}\\n{question}\\n{options}Answer:"
option = "({label}) {option}\\n"
"""


def write(tmp_path: Path, text: str = MINE) -> Path:
    """The file of a benchmark."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def forget() -> object:
    """What a test adds is gone afterwards."""
    yield None
    FORMS.pop("mine", None)


def test_a_file_is_a_benchmark(tmp_path: Path) -> None:
    """Its rows become items, asked in its own words; braces in the data stay what they are."""
    [mine] = find_suite(str(write(tmp_path)))
    rows = {
        "easy": [{"q": "What is {question}?", "choices": ["one", "two"], "right": " two "}],
        "hard": [{"q": "Who?", "passage": "A {label} text.", "choices": ["a", "b", "c"], "right": "c"}],
    }
    items = read(mine, lambda _, subset: rows[subset]).items
    assert [(item.question.answer, item.labels) for item in items] == [(1, ("A", "B")), (2, ("A", "B", "C"))]
    first, second = (render(PROFILES["strict"], item).text for item in items)
    assert first == "Choose.\nWhat is {question}?\n(A) one\n(B) two\nAnswer:"
    assert second == "A {label} text.\nWho?\n(A) a\n(B) b\n(C) c\nAnswer:"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"q": "?", "choices": ["a", "a"], "right": "a"}, "not one of the options"),
        ({"q": "?", "choices": ["a", "b"], "right": "c"}, "not one of the options"),
        ({"q": "?", "choices": ["a", "b"], "right": None}, "not one of the options"),
        ({"q": "?", "choices": ["a", "b", "c", "d"], "right": "d"}, "option 4 has no label"),
    ],
)
def test_answers_that_are_texts(tmp_path: Path, row: dict[str, object], said: str) -> None:
    """An answer that is none or several of the options, or an option without a letter, is a malformed row with its reason."""
    [mine] = find_suite(str(write(tmp_path)))
    good = {"q": "?", "choices": ["a", "b"], "right": "a"}
    reading = read(mine, lambda _, subset: [good, row] if subset == "easy" else [])
    assert len(reading.items) == 1 and said in reading.malformed[0].reason


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("subsets", "subset", "unknown key 'subset'.*subsets"),
        ('question = "q"\n', "", "lacks question"),
        ("[prompt]", "[propmt]", "no \\[prompt\\]"),
        ('average = "micro"', 'average = "mean"', "average = 'mean' is of the wrong kind"),
        ('labels = "A B C"', "labels = 3", "labels = 3 is of the wrong kind"),
        ('source = "me/my-questions"\n', "", "names no source"),
        ("[columns]", "[columns", "cannot be read"),
        ('body = "{question}', 'body = "{Question}', "body has {Question}. Did you mean 'question'"),
        ('body = "{question}\\n{options}', 'body = "{question}\\n', "body does not show {options}"),
        ("({label}) {option}", "({lable}) {option}", "option has {lable}. Did you mean 'label'"),
        ('instruction = "Choose.', 'instruction = "Choose from {option}.', "instruction has {option}"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A wrong, missing or unknown key is an error that names file and key."""
    with pytest.raises(InputError, match=said) as caught:
        read_form(write(tmp_path, MINE.replace(old, new)))
    assert "mine.toml" in caught.value.message


def test_answers_are_as_many_as_options_and_names_are_ones_own(tmp_path: Path) -> None:
    """Mistakes that would end in a traceback, or replace a benchmark that ships, are said when the file is read."""
    text = (
        'source = "x/y"\nlabels = "A B C"\n{more}\n[columns]\nquestion = "q"\noptions = ["a", "b", "c"]\nanswer = "r"\n'
        'answers = "{answers}"\n[prompt]\nbody = "{{question}}{{options}}"\noption = "{{option}}"\n'
    )
    for name, more, answers, said in (
        ("mine", "", "1 2", "3 options and 2 answers"),
        ("exams", "", "1 2 3", "named like a benchmark that ships"),
        ("mine", 'original = "mmul"', "1 2 3", "unknown original 'mmul'.*mmlu"),
    ):
        path = tmp_path / f"{name}.toml"
        path.write_text(text.format(more=more, answers=answers), encoding="utf-8")
        with pytest.raises((InputError, RecipeError), match=said):
            find_suite(str(path))


def test_a_file_without_columns_is_no_suite(tmp_path: Path) -> None:
    """What hala cannot read rows by cannot be evaluated on."""
    text = MINE[: MINE.index("[columns]")] + MINE[MINE.index("[prompt]") :]
    with pytest.raises(RecipeError, match="no \\[columns\\]"):
        find_suite(str(write(tmp_path, text)))


@pytest.mark.parametrize("name", FORMS)
def test_forms_that_ship_hold_together(name: str) -> None:
    """Every file has labels for its options, places for question and options in its words, and a known original."""
    form = FORMS[name]
    for layout in filter(None, (form.prompt, form.context)):
        assert "{question}" in layout.body and "{options}" in layout.body and "{option}" in layout.option
    assert form.context is None or "{context}" in form.context.body
    if form.columns is not None:
        assert len(form.labels) >= len(form.columns.options) and BENCHMARKS[name].source == form.source
        assert not form.original or form.original in BENCHMARKS


def test_questions_about_passages_show_them() -> None:
    """Belebele shows its passage under every profile, AraLingBench a context where there is one."""
    record = {"flores_passage": "نص.", "question": "من؟", "correct_answer_num": 2} | {
        f"mc_answer{n}": str(n) for n in range(1, 5)
    }
    [item] = read(BENCHMARKS["belebele_ar"], lambda *_: [record]).items
    assert all("نص." in render(PROFILES[name], item).text for name in ("oall-v2", "strict")) and item.question.answer == 1
    row = {
        "question": "ما إعراب الكلمة؟",
        "context": "",
        "label": "النحو",
        "options": ["فاعل", "مفعول به", "مبتدأ"],
        "answer": "مبتدأ",
    }
    [item] = read(BENCHMARKS["aralingbench"], lambda *_: [row]).items
    text = render(PROFILES["oall-v2"], item).text
    assert item.question.answer == 2 and "السياق" not in text and "ج. مبتدأ\n" in text
