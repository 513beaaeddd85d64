"""The schema: frozen sections, documented keys, exclusive choices."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from hala import recipe
from hala.recipe import SECTIONS, Data, Evaluate, Filter, Merge, Section, Tune
from hala.recipe_file import PRODUCES

SECTION_CLASSES = [each for each in vars(recipe).values() if isinstance(each, type) and issubclass(each, Section)]
KNOBS = [each for each in SECTION_CLASSES if each.__name__ not in ("Section", "Step", "Recipe")]


@pytest.mark.parametrize("section", KNOBS)
def test_every_key_says_what_it_means(section: type[Section]) -> None:
    """The meaning of a key stands under it in one or more sentences, for people and for the docs."""
    undocumented = [name for name, info in section.model_fields.items() if not (info.description or "").endswith((".", "`"))]
    assert not undocumented


@pytest.mark.parametrize("section", SECTION_CLASSES)
def test_unknown_keys_are_forbidden_everywhere(section: type[Section]) -> None:
    """No section swallows a key that it does not know."""
    assert section.model_config.get("extra") == "forbid" and section.model_config.get("frozen")


def test_every_verb_leaves_something_known() -> None:
    """The schema and the table of artefact kinds name the same verbs."""
    assert SECTIONS.keys() == PRODUCES.keys()


def test_values_never_change() -> None:
    """What was validated is what runs."""
    with pytest.raises(ValidationError):
        Data(path="x").take = 3  # type: ignore[misc]


@pytest.mark.parametrize("given", [{}, {"path": "a", "hub": "b"}, {"ref": "a"}, {"ref": "$a", "sample": 0.5}, {"take": 3}])
def test_data_is_exactly_one_thing(given: dict[str, object]) -> None:
    """Data has one place, a reference is written with $, and no setting is ignored in silence."""
    with pytest.raises(ValidationError):
        Data(**given)


def test_reference_takes_a_part_of_a_step() -> None:
    """`skip` and `take` work on the rows of a step."""
    assert Data(ref="$a", skip=1, take=2).take == 2


def test_short_forms_of_data() -> None:
    """A string is a path, `$name` a step, and one item may stand without its list."""
    assert Tune(data="a.jsonl", base="m").data == (Data(path="a.jsonl"),)
    assert Tune(data=["$a", ["b", "c"]], base="m").data == (Data(ref="$a"), Data(path="b"), Data(path="c"))


@pytest.mark.parametrize("given", [{}, {"base": "m", "new": {}}])
def test_tune_starts_from_exactly_one_thing(given: dict[str, object]) -> None:
    """A checkpoint or random weights, never both and never neither."""
    with pytest.raises(ValidationError, match="exactly one of base"):
        Tune(data="a", **given)


@pytest.mark.parametrize("t", [[], [0.5, 0.5], -0.1, 1.1, [0.5, 2]])
def test_merge_stays_between_its_ends(t: object) -> None:
    """t is between the two checkpoints, and each value once."""
    with pytest.raises(ValidationError):
        Merge(base="a", tuned="b", t=t)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"t": {"re:[": 0.3}}, r"'re:\[' is no regular expression"),
        ({"t": {"gradient": []}}, "the list of 'gradient' is empty"),
        ({"t": {"attention": math.nan, "default": 0.5}}, "'attention' is nan"),
        ({"t": [0.5, {"attention": [0.1, math.inf], "default": 0.5}]}, "'attention' is inf"),
        ({"t": math.nan, "method": "ties"}, "'t' is nan"),
        ({"t": "search", "search": {"questions": "q.jsonl", "t": math.inf}, "method": "ties"}, "'t' is inf"),
        ({"weights": [1.0, math.nan], "method": "ties"}, "weights must be finite"),
        ({"mode": "exact", "method": "ties"}, "exact is for method: slerp"),
        ({"mode": "exact", "rounding": "stochastic"}, "rounding: nearest"),
    ],
)
def test_merge_refuses_what_no_model_could_take(given: dict[str, object], says: str) -> None:
    """Broken patterns, empty lists and NaN are errors of the recipe, with its file and line, before a checkpoint is opened."""
    with pytest.raises(ValidationError, match=says):
        Merge(base="a", tuned="b", **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"path": "a", "split": "heldout"}, "add holdout .* or drop split"),
        ({"world": "pairs", "sample": 0.5}, "sample does nothing for the world"),
        ({"world": "pairs", "where": {"a": "b"}, "holdout": "doc"}, "holdout, where does nothing"),
        ({"path": "a", "topics": ["capitals"]}, "topics does nothing for path"),
        ({"hub": "a/b", "arabic_share": 0.1}, "arabic_share does nothing for hub"),
        ({"hub": "a/b", "format": "csv", "header": True}, "format, header does nothing for a hub dataset"),
    ],
)
def test_settings_without_effect_are_refused(given: dict[str, object], says: str) -> None:
    """What a place cannot do is said, not ignored."""
    with pytest.raises(ValidationError, match=says):
        Data(**given)


def test_settings_with_effect_are_taken() -> None:
    """Splits of divided files, of hub data sets and of the world, and the world's own settings."""
    assert Data(path="a", split="heldout", holdout="doc").split == "heldout" and Data(hub="a/b", split="test", sample=0.5)
    assert Data(path="a", split="train") and Data(world="texts", split="heldout", topics=["capitals"], arabic_share=0.5, seed=1)


@pytest.mark.parametrize("questions", ["$a", {"hub": "a/b"}, {"world": "pairs"}, {"path": "a", "where": {"a": "b"}}])
def test_questions_are_files_or_the_world(questions: object) -> None:
    """Data that cannot be read as questions is refused in the recipe, with what can."""
    for section in (lambda **each: Filter(data="a", **each), lambda **each: Evaluate(models="m", **each)):
        with pytest.raises(ValidationError, match="questions"):
            section(questions=questions)
        assert section(questions=["q.jsonl", {"world": "questions", "lang": "ar"}]).questions[0].path == "q.jsonl"


def test_execution_settings_inside_lists_are_no_identity() -> None:
    """How long bad data is put up with changes nothing that is made, wherever data stands; what it is does."""
    patient, strict, other = (
        recipe.identity(Filter, Filter(data=[{"path": path, "stop_above": share}]).model_dump(mode="json"))
        for path, share in (("a", 1.0), ("a", 0.1), ("b", 0.1))
    )
    assert patient == strict != other and "path" in str(strict)
    judged = {"model": "m", "labelled": {"path": "a", "stop_above": 0.2}}
    found = recipe.identity(Filter, Filter(data="b", judge=judged).model_dump(mode="json"))
    assert found["judge"]["labelled"]["path"] == "a" and "stop_above" not in found["judge"]["labelled"]
