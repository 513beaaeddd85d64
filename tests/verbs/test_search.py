"""`t: search`: one half of the items chooses and the other judges, nothing is measured twice, and the rule is what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala import artifacts, pipeline
from hala.data.rows import Collected
from hala.errors import DriftError, InputError, RecipeError
from hala.progress import Progress
from hala.recipe import Languages, Merge, Search
from hala.verbs import Context, Outcome
from hala.verbs import search as module
from hala.verbs.merge import find, run
from hala.verbs.search import best_number, best_schedule, search, split

QUIET = Progress(quiet=True)
QUICK = {"dtype": "float32", "resamples": 100, "max_tokens": 4}


def write_jsonl(path: Path, records: list[Any]) -> Path:
    """The file, one JSON value a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def questions_file(tmp_path: Path) -> Path:
    """Forty two-option questions as JSON lines."""
    lines = [{"question": f"Is {n} even?", "options": ["yes", "no"], "answer": n % 2} for n in range(40)]
    return write_jsonl(tmp_path / "questions.jsonl", lines)


@given(st.lists(st.text(max_size=3), min_size=2).filter(lambda keys: len(set(keys)) > 1), st.integers(0, 99), st.randoms())
def test_halves_depend_on_the_items_alone(keys: list[str], seed: int, random: Any) -> None:
    """Every item is in one half, equal ones in the same, in whatever order they come, and neither half is empty."""
    halves = split(keys, seed, "set")
    assert sorted(halves["validation"] + halves["test"]) == list(range(len(keys)))
    sides = {half: {keys[place] for place in places} for half, places in halves.items()}
    assert not sides["validation"] & sides["test"] and all(sides.values())
    assert abs(len(sides["validation"]) - len(sides["test"])) <= 1
    mixed = random.sample(keys, len(keys))
    assert {mixed[place] for place in split(mixed, seed, "set")["validation"]} == sides["validation"]


def test_another_seed_is_another_split() -> None:
    """The seed is not decoration."""
    keys = [str(n) for n in range(50)]
    assert split(keys, 0, "set") == split(keys, 0, "set") != split(keys, 1, "set")


def point(t: Any, **values: float) -> dict[str, Any]:
    """A measured point: its score on each set and their mean, on the validation half."""
    sets = {name: {"value": value} for name, value in values.items()}
    return {"t": t, "validation": {"value": sum(values.values()) / len(values), "sets": sets}}


SETTINGS = {"questions": "questions.jsonl"}
POINTS = [point(0.0, ar=10, en=90), point(0.5, ar=40, en=70), point(0.75, ar=50, en=62), point(1.0, ar=60, en=50)]


@pytest.mark.parametrize(
    ("rule", "pick"),
    [
        ({}, 0.75),
        ({"best": "ar"}, 1.0),
        ({"best": "ar", "keep": {"en": 30}}, 0.75),
        ({"best": "ar", "keep": {"en": 20}}, 0.5),
        ({"best": "ar", "keep": {"en": 5}}, 0.0),
        ({"keep": {"en": 25}}, 0.5),
    ],
)
def test_the_rule_picks_what_it_says(rule: dict[str, Any], pick: float) -> None:
    """The highest mean, or the best on one set, among those that lose no more than allowed; the base itself always may."""
    assert best_number(Search(**SETTINGS, **rule), POINTS) == pick


def test_equals_go_to_the_middle() -> None:
    """Small sets tie often: then the value nearest to 0.5 wins, and between two of these the lower."""
    assert best_number(Search(**SETTINGS), [point(t, ar=50) for t in (0.0, 0.25, 0.75, 1.0)]) == 0.25
    assert best_number(Search(**SETTINGS), [point(t, ar=50) for t in (0.0, 0.5, 1.0)]) == 0.5


def test_a_group_changes_only_for_a_higher_score() -> None:
    """An equal score keeps the number; a higher one counts only when no set falls further than allowed."""
    now, base = point(0.5, ar=40, en=70), POINTS[0]
    equal, higher = point({"default": 0.5, "conv": 0.0}, ar=40, en=70), point({"default": 0.5, "conv": 1.0}, ar=70, en=50)
    assert best_schedule(Search(**SETTINGS), base, now, [equal]) == {"default": 0.5}
    assert best_schedule(Search(**SETTINGS), base, now, [equal, higher]) == {"default": 0.5, "conv": 1.0}
    assert best_schedule(Search(**SETTINGS, keep={"en": 30}), base, now, [equal, higher]) == {"default": 0.5}


class Stand:
    """Stands in for models: `right(t, place)` says which question a merge at t answers rightly; counts what is measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, right: Callable[[Any, int], bool]) -> None:
        self.measured: list[Any] = []
        self.fail_at: int | None = None
        self.right, self.out = right, tmp_path / "out"
        monkeypatch.setattr(module, "answer_all", self.answer_all)

    def make(self, t: Any, folder: Path) -> None:
        """A merge is a folder that knows its t."""
        folder.mkdir(parents=True)
        (folder / "t.json").write_text(json.dumps(t))

    def answer_all(self, trials: module.Trials, where: Path) -> dict[str, Any]:
        """The answers of the checkpoint in `where`."""
        t = json.loads((where / "t.json").read_text())
        if self.fail_at == len(self.measured):
            raise KeyboardInterrupt
        self.measured.append(t)
        answers = {each.name: [self.right(t, place) for place in range(len(each.items))] for each in trials.sets}
        return {"answers": answers, "signatures": {each.name: "stand-in" for each in trials.sets}}

    def search(self, **settings: Any) -> dict[str, Any]:
        """The facts of a search."""
        context = Context("step", self.out, self.out.parent, Languages(), {}, QUIET)
        return search(Search(**{"resamples": 100, **settings}), context, self.make, Collected())


def halves_of(file: Path) -> dict[str, tuple[int, ...]]:
    """The halves of a file of questions with the default seed."""
    [found] = module.read_sets(Search(questions=str(file)), Context("s", file, file, Languages(), {}, QUIET), Collected())
    return dict(found.halves)


def test_only_the_validation_half_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, questions_file: Path) -> None:
    """A t that is perfect on the test half and poor on the other is not picked; the pick's test score stays what it is."""
    chooses = set(halves_of(questions_file)["validation"])
    stand = Stand(monkeypatch, tmp_path, lambda t, place: t == (0.75 if place in chooses else 0.25))
    found = stand.search(questions=str(questions_file))
    assert found["pick"] == 0.75
    scores = {each["t"]: (each["validation"]["value"], each["test"]["value"]) for each in found["points"]}
    assert scores[0.75] == (100, 0) and scores[0.25] == (0, 100) and scores[0.5] == (0, 0)
    [each] = found["sets"]
    assert (each["validation"], each["test"]) == (20, 20)
    assert {gain["against"]: gain["delta"] for gain in found["gains"]} == {"base": 0, "t = 0.5": 0, "tuned": 0}


def test_groups_are_tried_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, questions_file: Path) -> None:
    """After the best number each group gets each other value, and what won stays for the next group."""

    def right(t: Any, place: int) -> bool:
        values = t if isinstance(t, dict) else {"default": t}
        wins = 10 * (values["default"] == 0.5) + 10 * (values.get("attention") == 1.0) + 5 * (values.get("norms") == 0.5)
        return place % 40 < 5 + wins

    stand = Stand(monkeypatch, tmp_path, right)
    found = stand.search(questions=str(questions_file), t=[0.0, 1.0], groups=["attention", "conv", "norms"])
    assert found["pick"] == {"default": 0.5, "attention": 1.0}
    first = {"default": 0.5, "attention": 1.0}
    assert stand.measured == [
        *(0.0, 0.5, 1.0),
        *({"default": 0.5, "attention": t} for t in (0.0, 1.0)),
        *(first | {"conv": t} for t in (0.0, 1.0)),
        *(first | {"norms": t} for t in (0.0, 1.0)),
    ]


def test_a_stopped_search_measures_nothing_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, questions_file: Path) -> None:
    """Stopped while it measures the third value and started again, it ends with the same bytes; temporary merges are gone."""
    stand = Stand(monkeypatch, tmp_path, lambda t, place: place % 7 < 5 * t)
    whole = stand.search(questions=str(questions_file))
    calm = (stand.out / "search.json").read_bytes()
    stand.out, stand.measured, stand.fail_at = tmp_path / "stopped", [], 2
    monkeypatch.setattr(stand, "make", lambda t, folder: (folder.mkdir(parents=True, exist_ok=True), note(t, folder)))
    with pytest.raises(KeyboardInterrupt):
        stand.search(questions=str(questions_file))
    stand.fail_at = None
    assert stand.search(questions=str(questions_file)) == whole
    assert stand.measured == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert (stand.out / "search.json").read_bytes() == calm
    assert not [path for path in (stand.out / artifacts.SCRATCH).iterdir() if path.is_dir()]


def note(t: Any, folder: Path) -> None:
    """The t of a folder."""
    (folder / "t.json").write_text(json.dumps(t))


def test_wrong_names_and_small_sets_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, questions_file: Path) -> None:
    """A set that is none gets a hint, a set of one item cannot be halved; both before anything is merged."""
    stand = Stand(monkeypatch, tmp_path, lambda t, place: True)
    with pytest.raises(RecipeError, match=r"Did you mean 'questions\.jsonl'"):
        stand.search(questions=str(questions_file), best="question.jsonl")
    with pytest.raises(RecipeError, match=r"Sets: questions\.jsonl"):
        stand.search(questions=str(questions_file), keep={"x": 1})
    one = write_jsonl(tmp_path / "one.jsonl", [{"question": "Is 1 odd?", "options": ["yes", "no"], "answer": 0}] * 3)
    with pytest.raises(InputError, match=r"one\.jsonl holds 1 different items"):
        stand.search(questions=str(one))
    assert not stand.measured


def merged(out: Path, tiny: Path, tiny_child: Path, **settings: Any) -> Outcome:
    """The outcome of a search between the two tiny checkpoints."""
    section = Merge(base=str(tiny), tuned="$child", t="search", search={**QUICK, **settings})
    return run(section, Context("step", out, out.parent, Languages(), {"child": tiny_child}, QUIET))


def test_the_checkpoint_is_the_merge_at_the_pick(
    tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path, pairs_file: Path
) -> None:
    """Real models, questions and translations: scores with intervals, a pick, and the bytes of a merge at that t alone."""
    outcome = merged(tmp_path / "out", tiny, tiny_child, questions=str(questions_file), pairs=str(pairs_file), t=[0.25])
    found = outcome.facts["search"]
    assert [each["t"] for each in found["points"]] == [0.0, 0.25, 0.5, 1.0]
    for each in found["points"]:
        for half in ("validation", "test"):
            assert set(each[half]["sets"]) == {"questions.jsonl", "pairs.jsonl"}
            for score in (each[half], *each[half]["sets"].values()):
                assert score["low"] <= score["value"] <= score["high"]
    assert outcome.facts["t"] == [found["pick"]]
    run(
        Merge(base=str(tiny), tuned=str(tiny_child), t=found["pick"]),
        Context("alone", tmp_path / "alone", tmp_path, Languages(), {}, QUIET),
    )
    one, other = (tmp_path / name / "model.safetensors" for name in ("out", "alone"))
    assert one.read_bytes() == other.read_bytes()
    stored = json.loads((tmp_path / "out/search.json").read_text(encoding="utf-8"))
    assert {len(answers["questions.jsonl"]) for answers in stored["answers"].values()} == {40}


def test_an_unknown_group_is_an_error_before_the_search(
    tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path
) -> None:
    """Nobody waits for five merges to hear that the sixth cannot be."""
    with pytest.raises(RecipeError, match="unknown group 'atention'"):
        merged(tmp_path / "out", tiny, tiny_child, questions=str(questions_file), groups=["atention"])
    assert not (tmp_path / "out" / artifacts.SCRATCH).exists()


def test_the_data_of_a_search_are_part_of_the_step(tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path) -> None:
    """Other questions could have chosen otherwise, so a changed file is drift; the same file is a finished step."""
    settings = {"base": str(tiny), "tuned": str(tiny_child), "t": "search"}
    settings |= {"search": {**QUICK, "questions": str(questions_file), "t": [0.5]}}
    pipeline.run_verb("merge", settings, tmp_path / "out", QUIET)
    made = (tmp_path / "out/manifest.json").stat().st_mtime_ns
    pipeline.run_verb("merge", settings, tmp_path / "out", QUIET)
    assert (tmp_path / "out/manifest.json").stat().st_mtime_ns == made
    questions_file.write_text(questions_file.read_text().replace("Is 3 even?", "Is three even?"))
    with pytest.raises(DriftError, match=r"questions\.jsonl"):
        pipeline.run_verb("merge", settings, tmp_path / "out", QUIET)


def test_the_command_and_the_report_show_the_search(
    hala: Callable[..., Any], tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path
) -> None:
    """`--t search` prints the curve and the test half; the page of a run has the chart and the rule."""
    quick = ("--set", "search.dtype=float32", "--set", "search.t=[0.5]")
    answer = hala("merge", tiny, tiny_child, "--out", tmp_path / "out", "--t", "search", "--questions", questions_file, *quick)
    assert answer.code == 0, answer.err
    assert "the best of 3" in answer.out and "validation half" in answer.out and "test half" in answer.out
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"name: r\nsteps:\n  m: {{merge: {{base: '{tiny}', tuned: '{tiny_child}', t: search, "
        f"search: {{questions: '{questions_file}', t: [0.5], dtype: float32}}}}}}\n"
    )
    root = pipeline.run(recipe, out=tmp_path / "run", progress=QUIET)
    page = (root / "report.html").read_text(encoding="utf-8")
    assert "points over t: questions.jsonl" in page and "highest mean of the sets" in page and "test half" in page


@pytest.mark.parametrize(
    ("method", "end"), [("slerp", "tuned"), ("linear", "tuned"), ("ties", "t = 1"), ("task_arithmetic", "t = 1")]
)
def test_only_a_tuned_model_is_called_so(
    method: str, end: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path, tiny_child: Path, questions_file: Path
) -> None:
    """Where changes are trimmed and added up, t = 1 is a merge like any other, and its rows say so."""
    Stand(monkeypatch, tmp_path, lambda t, place: place % 2 == 0)
    monkeypatch.setattr("hala.verbs.merge.merge_at", lambda *each: (each[5].mkdir(), note(each[4], each[5])))
    section = Merge(base="b", tuned=["c"], method=method, t="search", search={"resamples": 100, "questions": str(questions_file)})
    context = Context("step", tmp_path / "out", tmp_path, Languages(), {}, QUIET)
    (tmp_path / "out").mkdir()
    facts, _ = find(section, context, tiny, [tiny_child])
    assert facts["references"] == {"base": 0.0, "t = 0.5": 0.5, end: 1.0}
    assert {gain["against"] for gain in facts["gains"]} == {"base", end}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t": "search"}, "needs the key search"),
        ({"t": 0.5, "search": {"questions": "q.jsonl"}}, "needs the key search"),
        ({"t": ["search", 0.5], "search": {"questions": "q.jsonl"}}, "stands alone"),
        ({"t": "search", "search": {}}, "questions or pairs"),
        ({"t": "search", "search": {"questions": "q.jsonl", "t": 1.5}}, "between 0 and 1"),
        ({"t": "search", "method": "soup", "search": {"questions": "q.jsonl"}}, "no t to search"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    """A search without data, without being asked for, or over what has no t, is an error of the recipe."""
    with pytest.raises(ValueError, match=message):
        Merge(base="a", tuned="b", **settings)
