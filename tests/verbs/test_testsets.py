"""What models are tested on: names that tell sets apart, items that are spread evenly, pairs that are pairs."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.data.rows import Collected
from hala.errors import InputError
from hala.evals.forms import FORMS
from hala.inputs import input_digests
from hala.recipe import Data, Filter, Step
from hala.verbs.testsets import benchmark_rows, own_questions, read_pairs, set_name, spread, spread_over, unique


@given(st.lists(st.sampled_from("abc"), max_size=9))
def test_unique_names_are_unique_and_keep_their_order(names: list[str]) -> None:
    """Two sets of one name never replace each other's results."""
    made = unique(names)
    assert len(set(made)) == len(names) and all(new.startswith(old) for old, new in zip(names, made, strict=True))


@given(st.integers(0, 50), st.one_of(st.none(), st.integers(1, 60)))
def test_spread_takes_items_from_everywhere(count: int, limit: int | None) -> None:
    """A limit takes evenly spaced items, in order, without repeating one."""
    items = spread(range(count), limit)
    assert len(items) == min(limit or count, count) and items == sorted(set(items))
    gaps = {after - before for before, after in itertools.pairwise(items)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_names_say_what_a_set_is() -> None:
    """A reader of a table knows the set by its name."""
    assert set_name(Data(world="questions", lang="ar", topics=("capitals",))) == "world questions capitals ar"
    assert set_name(Data(path="/data/tests.jsonl")) == "tests.jsonl" and set_name(Data(ref="$clean")) == "clean"


def test_what_is_no_pair_is_counted(pairs_file: Path, chats_file: Path) -> None:
    """Pairs come up to the limit; a file of chats has none, and each of its rows is named as no pair."""
    bad = Collected()
    rows = read_pairs(Data(path=str(pairs_file), columns={"source": "en", "target": "ar"}), {}, bad, 3)
    assert next(row.original[0].content for row in rows) == "The cat is in the house." and len(rows) == 3 and bad.count == 0
    with pytest.raises(InputError, match="holds no sentence pairs"):
        read_pairs(Data(path=str(chats_file)), {}, bad, None)
    assert {row.reason for row in bad.rows} == {"not_a_pair"}


def test_questions_of_the_world_are_a_benchmark() -> None:
    """The built-in questions come with their labels in the language's letters."""
    benchmark, items = own_questions(Data(world="questions", split="heldout", lang="ar", take=5), Collected())
    assert len(items) == 5 and benchmark.lang == "ar" and all(len(item.labels) == 4 for item in items)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 200))
def test_a_limit_keeps_every_subset(sizes: list[int], limit: int) -> None:
    """Protects a macro mean under `limit`: each subset keeps about its share and at least one item, in order."""
    items = [(group, place) for group, size in enumerate(sizes) for place in range(size)]
    kept = spread_over(items, limit, lambda item: str(item[0]))
    assert len(kept) == min(limit, len(items)) and kept == sorted(set(kept))
    if limit >= len(sizes):
        assert {group for group, _ in kept} == set(range(len(sizes)))


def test_names_of_sets_are_all_different() -> None:
    """A number behind a name never makes another set's name."""
    assert unique(["a", "a", "a (2)"]) == ["a", "a (2)", "a (2) (2)"]


def test_benchmarks_may_lie_on_disk(tmp_path: Path) -> None:
    """Rows come from files laid out as the hub has them: by subset and split; a record that cannot be read ends it."""
    from hala.evals.benchmarks import Benchmark

    layout = {"one/test.csv": "q\na\n", "one/dev.csv": "q\nnot this\n", "two/test-0.csv": "q\nb\nc\n", "three.csv": "q\nd\n"}
    for name, text in layout.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("question" + text[1:], encoding="utf-8")
    mine = Benchmark("mine", str(tmp_path), ("one", "two", "three"), "test", "exams", ("A",))
    found = [[row["question"] for row in benchmark_rows(mine, subset)] for subset in mine.subsets]
    assert found == [["a"], ["b", "c"], ["d"]]
    (tmp_path / "four").mkdir()
    (tmp_path / "four/train.csv").write_text("question\nnot asked\n", encoding="utf-8")
    for missing in ("four", "five"):  # neither another split nor nothing stands for the test split
        with pytest.raises(InputError, match=f"no file of {missing} for the split test"):
            list(benchmark_rows(mine, missing))
    single = replace(mine, source=str(tmp_path / "three.csv"), subsets=("",))
    assert [row["question"] for row in benchmark_rows(single, "")] == ["d"]
    (tmp_path / "three.csv").write_text('question\nd\n"e', encoding="utf-8")
    with pytest.raises(InputError, match="open_quote"):
        list(benchmark_rows(single, ""))


def test_a_benchmark_of_ones_own_is_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of its words or of its local rows is noticed as one of any other input."""
    (tmp_path / "rows.jsonl").write_text('{"question": "?"}\n', encoding="utf-8")
    form = tmp_path / "mine.toml"
    text = (
        'source = "./rows.jsonl"\nlabels = "A B"\n[columns]\nquestion = "question"\noptions = "o"\nanswer = "a"\n'
        '[prompt]\nbody = "{question}{options}"\noption = "{option}"\n'
    )
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: type("Info", (), {"sha": "a" * 40})())
    digests = []
    for words, rows in ((text, "?"), (text.replace("{question}{", "{question} {"), "?"), (text, "!")):
        form.write_text(words, encoding="utf-8")
        (tmp_path / "rows.jsonl").write_text(json.dumps({"question": rows}) + "\n", encoding="utf-8")
        step = Step(name="s", verb="filter", settings=Filter(data={"world": "pairs"}, decontaminate=[str(form), "oall-v2"]))
        digests.append(input_digests(step, tmp_path, {}, print))
    assert len({frozenset(each) for each in digests}) == 1 and len({str(sorted(each.items())) for each in digests}) == 3
    FORMS.pop("mine", None)
