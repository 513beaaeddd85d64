"""Every benchmark's rows become items, and every row is accounted for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import InputError, RecipeError
from hala.evals.benchmarks import (
    ALGHAFA,
    ARABIC_MMLU,
    ARATRUST,
    ARBMMLU_HT,
    EXAMS,
    MADINAH_QA,
    SUITES,
    find_suite,
    read,
)

MMLU_ROW = {"Question": "ما لون السماء؟", "Option 1": "أحمر", "Option 2": "", "Option 3": "أزرق", "Option 4": "أخضر",
            "Option 5": None, "Answer Key": "C", "Context": None, "Subject": "General Knowledge"}  # fmt: skip
EXAMS_ROW = {"id": "x", "subject": "Islamic_Studies", "question": "سؤال", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "D"}
TRUST_ROW = {"Question": "سؤال", "A": "أ) نعم", "B": "ب) لا", "C": "ج) ربما", "Answer": "ب"}
HT_ROW = {"question": "سؤال", "choices": ["1", "2", "3", "4"], "answer": 2}
GHAFA_ROW = {"query": "سؤال", "sol1": "صح", "sol2": None, "label": "1"}


def _one(benchmark, row):
    subset = benchmark.subsets[0]
    return read(benchmark, lambda _benchmark, name: [row] if name == subset else []).items[0]


def test_suite_has_the_leaderboards_tasks():
    """116 tasks: 8 + 40 + 1 + 2 + 8 + 57, each subset named once."""
    sizes = {benchmark.name: len(benchmark.subsets) for benchmark in SUITES["oall-v2"]}
    assert sizes == {"alghafa": 8, "arabic_mmlu": 40, "exams": 1, "madinah_qa": 2, "aratrust": 8, "arbmmlu_ht": 57}
    assert all(len(set(benchmark.subsets)) == len(benchmark.subsets) for benchmark in SUITES["oall-v2"])
    assert "All" not in ARABIC_MMLU.subsets
    assert "Islamic Studies (Middle School)" in ARABIC_MMLU.subsets


def test_empty_option_keeps_the_letters_of_the_others():
    """Dropping an empty option must not rename the ones after it, and the gold is its place among those kept."""
    for benchmark in (ARABIC_MMLU, MADINAH_QA):
        item = _one(benchmark, MMLU_ROW)
        assert item.labels == ("أ", "ج", "د")
        assert item.question.options == ("أحمر", "أزرق", "أخضر")
        assert item.question.answer == 1
        assert item.context is None


def test_other_schemas():
    """Letters, Arabic letters, integers and string integers all become a 0-based answer."""
    assert _one(EXAMS, EXAMS_ROW).question.answer == 3
    assert _one(EXAMS, EXAMS_ROW).question.topic == "Islamic_Studies"
    assert _one(ARATRUST, TRUST_ROW).question.answer == 1
    assert _one(ARBMMLU_HT, HT_ROW).labels == ("1", "2", "3", "4")
    ghafa = _one(ALGHAFA, GHAFA_ROW)
    assert (ghafa.labels, ghafa.question.options, ghafa.question.answer) == (("0", "1"), ("صح", "None"), 1)


def test_ids_name_benchmark_subset_and_row():
    """An id finds its row again in the source; a malformed row before it does not shift it."""
    rows = [{}, MMLU_ROW]
    reading = read(ARABIC_MMLU, lambda _benchmark, subset: rows if subset == "Driving Test" else [])
    assert [item.question.id for item in reading.items] == ["arabic_mmlu/Driving Test/1"]


@pytest.mark.parametrize(
    ("benchmark", "row", "reason"),
    [
        (ARABIC_MMLU, {**MMLU_ROW, "Answer Key": "B"}, "that option is empty"),
        (ARABIC_MMLU, {**MMLU_ROW, "Answer Key": "F"}, "none of A B C D E"),
        (MADINAH_QA, {**MMLU_ROW, "Option 3": "", "Option 4": ""}, "fewer than two"),
        (EXAMS, {**EXAMS_ROW, "B": None}, "column 'B'"),
        (EXAMS, {**EXAMS_ROW, "answer": "@"}, "none of A B C D"),
        (ARATRUST, {**TRUST_ROW, "Answer": "A"}, "none of أ ب ج"),
        (ARBMMLU_HT, {**HT_ROW, "answer": 4}, "none of the 4 options"),
        (ARBMMLU_HT, {**HT_ROW, "answer": True}, "0-based index"),
        (ARBMMLU_HT, {**HT_ROW, "choices": "abcd"}, "list of 2 to 10"),
        (ALGHAFA, {**GHAFA_ROW, "label": "2"}, "none of 0 1"),
        (ALGHAFA, {"query": "س", "label": "0"}, "'sol1' to 'sol5'"),
        (ALGHAFA, {**GHAFA_ROW, "query": " "}, "column 'query'"),
    ],
)
def test_malformed_rows_are_listed_with_their_reason(benchmark, row, reason):
    """A bad row is never an item, never an exception, and never silent."""
    subset = benchmark.subsets[0]
    good = {"exams": EXAMS_ROW, "aratrust": TRUST_ROW, "arbmmlu_ht": HT_ROW, "alghafa": GHAFA_ROW}.get(benchmark.name, MMLU_ROW)
    reading = read(benchmark, lambda _benchmark, name: [good, row] if name == subset else [])
    assert len(reading.items) == 1
    assert (reading.malformed[0].subset, reading.malformed[0].index) == (subset, 1)
    assert reason in reading.malformed[0].reason


SHORT = st.text(alphabet="ABC012 أب", max_size=2)
CELL = st.one_of(st.none(), st.integers(-2, 6), SHORT, st.lists(SHORT, max_size=5))
KEYS = ["question", "options", "answer", "Question", "Option 1", "Option 2", "Answer Key", "A", "B", "C", "D", "Answer",
        "subject", "query", "sol1", "sol2", "label", "choices"]  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), CELL), max_size=5), st.sampled_from(SUITES["oall-v2"]))
def test_every_row_is_an_item_or_malformed(rows, benchmark):
    """Law: rows = items + malformed, whatever the cells hold, for every schema."""
    try:
        reading = read(benchmark, lambda _benchmark, name: rows if name == benchmark.subsets[0] else [])
    except InputError as problem:
        assert "no usable row" in problem.message
        return
    assert len(reading.items) + len(reading.malformed) == reading.rows == len(rows)


def test_nothing_usable_is_an_error_with_the_first_reason():
    """An empty benchmark must not become a score of 0 over 0 items."""
    with pytest.raises(InputError, match="column 'question' is missing"):
        read(ARBMMLU_HT, lambda _benchmark, _subset: [{"choices": ["a", "b"], "answer": 0}])


def test_find_suite():
    """A suite, a single benchmark, or a suggestion."""
    assert find_suite("oall-v2") == SUITES["oall-v2"]
    assert find_suite("exams") == (EXAMS,)
    with pytest.raises(RecipeError, match="Did you mean 'aratrust'"):
        find_suite("aratrusts")


def test_questions_that_begin_with_one_passage_are_one_cluster():
    """Protects the intervals of AlGhafa's reading tasks: their passages stand in the question, so those that begin alike belong
    together, within a subset; short questions stand alone."""
    passage = "نص طويل عن مدينة قديمة. " * 6
    rows = [
        {"query": text, "sol1": "أ", "sol2": "ب", "label": "0"}
        for text in (passage + "أين هي؟", passage + "متى بنيت؟", "نص آخر. " * 20 + "لماذا؟", "قصير", "قصير")
    ]
    items = read(ALGHAFA, lambda benchmark, subset: rows if subset.startswith("meta") else []).items
    clusters = [item.cluster for item in items]
    assert clusters[0] == clusters[1] != clusters[2] and clusters[3:5] == ["", ""] and len(set(clusters)) == 5
