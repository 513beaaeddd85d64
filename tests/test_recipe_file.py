"""Recipe files: YAML 1.2, variables, --set, and errors that name the file, the line and the nearest key."""

from __future__ import annotations

import string
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hala import recipe as schema
from hala.errors import RecipeError
from hala.recipe import SECTIONS, Data, Filter, Judge, Languages, New, Part, Tune
from hala.recipe_file import TOP_KEYS, from_content, load, produces, references

GOOD = """\
name: good
languages: {source: en, target: ar}
vars: {size: 7, where: null, many: [a.jsonl, b.jsonl]}
steps:
  first:
    translate:
      data: {path: rows.jsonl, take: "${vars.size}"}
      engine: echo
  second:
    tune:
      base: some/model
      data: $first
      learning_rate: 1e-5
  third: {merge: {base: some/model, tuned: $second}}
  sweep: {merge: {base: some/model, tuned: $second, t: [0.0, 0.5]}}
  scores: {evaluate: {models: [$second, $third, $sweep], pairs: $first}}
"""


def write(folder: Path, text: str | bytes) -> Path:
    """The recipe file `r.yaml`."""
    path = folder / "r.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(folder: Path, text: str | bytes, *overrides: str) -> str:
    """What is said about a recipe that cannot be meant."""
    with pytest.raises(RecipeError) as caught:
        load(write(folder, text), overrides)
    return str(caught.value)


def test_good_recipe_loads_with_every_kind_of_reference(tmp_path: Path) -> None:
    """Steps, kinds and references come out as written, in order."""
    recipe = load(write(tmp_path, GOOD))
    assert list(recipe.steps) == ["first", "second", "third", "sweep", "scores"]
    assert [produces(step) for step in recipe.steps.values()] == ["rows", "checkpoint", "checkpoint", "checkpoints", "scores"]
    assert [target for _, target, _ in references(recipe.steps["scores"].settings)] == ["second", "third", "sweep", "first"]


def test_yaml_is_1_2(tmp_path: Path) -> None:
    """`1e-5` is a number, `no` is Norwegian and not false, and numbers in variables stay numbers."""
    text = GOOD.replace("target: ar", "target: no")
    recipe = load(write(tmp_path, text))
    tune, first = recipe.steps["second"].settings, recipe.steps["first"].settings
    assert isinstance(tune, Tune) and tune.learning_rate == 1e-5 and type(tune.learning_rate) is float
    assert recipe.languages.target == "no"
    assert first.data[0].take == 7  # type: ignore[attr-defined]


def test_values_are_plain_python(tmp_path: Path) -> None:
    """No wrapper class of the YAML reader reaches a section, so a manifest can always be written."""
    recipe = load(write(tmp_path, GOOD))

    def kinds(value: Any) -> set[type]:
        if isinstance(value, dict):
            return set().union(*map(kinds, value.values())) if value else set()
        if isinstance(value, list | tuple):
            return set().union(*map(kinds, value)) if value else set()
        return {type(value)}

    for step in recipe.steps.values():
        assert kinds(step.settings.model_dump()) <= {str, int, float, bool, NoneType}


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """A recipe saved by a Windows editor loads."""
    assert load(write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())).name == "good"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["holds no mapping"]),
        ("# only a comment\n", ["holds no mapping"]),
        ("[1, 2]", ["holds no mapping"]),
        ("name: x\n", ["has no steps"]),
        ("steps: []\n", ["has no steps"]),
        (b"name: caf\xe9\n", ["not UTF-8", "byte 9"]),
        (b"\xff\xfen\x00a\x00", ["not UTF-8"]),
        ("name: x\nname: y\n", ["duplicate key", "r.yaml:2"]),
        ("steps:\n  a: {filter: [}\n", ["r.yaml:2"]),
        ("steps:\n\ta: 1\n", ["r.yaml:2"]),
        ("a\0b: 1", ["cannot be read as YAML"]),
        ("vars: [1]\n" + GOOD.replace("vars: {", "name2: {"), ["unknown key 'name2'", "r.yaml:4", "Did you mean 'name'"]),
        (GOOD.replace("vars: {size", "vars: [x, {size").replace("b.jsonl]}", "b.jsonl]}]"), ["vars wants a mapping"]),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str | bytes, parts: list[str]) -> None:
    """What cannot be read is refused with the place and without a traceback of the YAML reader."""
    message = refused(tmp_path, text)
    assert all(part in message for part in parts), message


ANCHOR = """\
name: shared
vars:
  sft: &sft
    base: some/model
    data: a.jsonl
    epochs: 2
steps:
  one: {tune: {<<: *sft, seed: 1}}
  two: {tune: {<<: *sft, epochs: 3}}
"""


def test_anchors_share_settings_between_steps(tmp_path: Path) -> None:
    """Steps that differ in one value are written with `<<`; an error in what they share names the line where it stands."""
    path = tmp_path / "r.yaml"
    path.write_text(ANCHOR)
    one, two = (step.settings for step in load(path).steps.values())
    assert isinstance(one, Tune) and isinstance(two, Tune)
    assert (one.epochs, one.seed, two.epochs, two.base) == (2, 1, 3, "some/model")
    message = refused(tmp_path, ANCHOR.replace("epochs: 2", "epoch: 2"))
    assert "unknown key 'epoch' in steps.one.tune" in message and "r.yaml:6" in message


def test_missing_file_folder_and_unreadable_name(tmp_path: Path) -> None:
    """A recipe that is not there, is a folder, or has an impossible name is a plain error."""
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / ("x" * 300 + ".yaml")):
        with pytest.raises(RecipeError, match="yaml"):
            load(path)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("name: good", "nam: good", ["unknown key 'nam' (", "r.yaml:1", "Did you mean 'name'"]),
        ("source: en", "sourc: en", ["unknown key 'sourc' in languages", "r.yaml:2", "Did you mean 'source'"]),
        ("take:", "tak:", ["unknown key 'tak' in steps.first.translate.data.0", "r.yaml:7", "Did you mean 'take'"]),
        ("engine: echo", "engin: echo", ["r.yaml:8", "Did you mean 'engine'"]),
        ("engine: echo", "engine: ecoh", ["r.yaml:8", "'ecoh' is not a choice", "Did you mean 'echo'"]),
        ("learning_rate: 1e-5", "learning_rte: 1e-5", ["r.yaml:13", "Did you mean 'learning_rate'"]),
        ("learning_rate: 1e-5", "learning_rate: fast", ["r.yaml:13", "wants a number", "'fast'"]),
        ("learning_rate: 1e-5", "learning_rate: -1", ["r.yaml:13", "learning_rate"]),
        ("learning_rate: 1e-5", "epochs: [1]", ["r.yaml:13", "wants a number"]),
        ("learning_rate: 1e-5", "mask: perhaps", ["r.yaml:13", "wants true or false"]),
        ("learning_rate: 1e-5", "save_steps: 1.5", ["r.yaml:13", "wants a whole number"]),
        ("learning_rate: 1e-5", "prompt: {a: b}", ["r.yaml:13", "wants text"]),
        ("learning_rate: 1e-5", "new: {layers: 2}", ["r.yaml:10", "exactly one of base"]),
        ("tune:", "tun:", ["unknown verb 'tun'", "r.yaml:10", "Did you mean 'tune'"]),
        ("data: $first", "data: $scores", ["no earlier step makes", "It comes later", "r.yaml:12"]),
        ("data: $first", "data: $second", ["no earlier step makes", "r.yaml:12"]),
        ("data: $first", "data: $frist", ["no earlier step makes", "Did you mean 'first'", "r.yaml:12"]),
        ("data: $first", "data: {ref: first}", ["r.yaml:12", "'$first'"]),
        ("data: $first", "data: {ref: $first, where: {a: b}}", ["r.yaml:12", "where does nothing"]),
        ("base: some/model\n", "base: $first\n", ["wants checkpoint here", "makes rows", "r.yaml:11"]),
        ("data: $first", "data: {path: a, hub: b}", ["exactly one of ref, path, hub, world", "r.yaml:12"]),
        ("data: $first", "data: {}", ["exactly one of ref, path, hub, world", "r.yaml:12"]),
        ("pairs: $first", "pairs: $second", ["wants rows here", "makes checkpoint", "Steps that fit: first"]),
        ("tuned: $second}}", "tuned: $first}}", ["wants checkpoint here", "r.yaml:14"]),
        ("tuned: $second}}", "tuned: $second, t: 2}}", ["between 0 and 1", "r.yaml:14"]),
        ("tuned: $second}}", "tuned: $second, t: []}}", ["one or several different values", "r.yaml:14"]),
        (
            "third: {merge: {base: some/model, tuned: $second}}",
            "third: {merge: {tuned: $second}}",
            ["missing key 'base'", "r.yaml:14"],
        ),
        ("third: {merge", "third: {filter: {}, merge", ["exactly one verb", "filter, merge", "r.yaml:14"]),
        ("third: {merge: {base: some/model, tuned: $second}}", "third: 5", ["exactly one verb", "r.yaml:14"]),
        (
            "third: {merge: {base: some/model, tuned: $second}}",
            "third: {merge: 5}",
            ["third wants a mapping, found 5", "r.yaml:14"],
        ),
        ("third:", "Third step:", ["cannot name a folder", "r.yaml:14"]),
        ("third:", "../third:", ["cannot name a folder", "r.yaml:14"]),
        ("name: good", "name: ../evil", ["cannot name a folder", "r.yaml:1"]),
        ("vars.size", "vars.siz", ["variable 'siz' has no value", "r.yaml:7", "Did you mean 'size'", "--set vars.siz="]),
        ("vars.size", "vars.where", ["variable 'where' has no value", "--set vars.where="]),
        ('take: "${vars.size}"', "take: many", ["r.yaml:7", "wants a whole number", "'many'"]),
    ],
)
def test_what_is_refused_and_where(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    """Each mistake is named with its line and with the nearest valid name, before anything loads."""
    assert old in GOOD
    message = refused(tmp_path, GOOD.replace(old, new, 1))
    assert all(part in message for part in parts), message


def test_kind_of_several_checkpoints_is_its_own(tmp_path: Path) -> None:
    """A merge over several t cannot stand where one checkpoint is needed."""
    text = GOOD + "  last: {compress: {model: $sweep}}\n"
    assert "wants checkpoint here, but $sweep makes checkpoints" in refused(tmp_path, text)


def test_several_mistakes_are_all_named(tmp_path: Path) -> None:
    """One round of mending is enough."""
    message = refused(tmp_path, GOOD.replace("learning_rate: 1e-5", "learning_rte: 1\n      epohs: 2"))
    assert "learning_rte" in message and "epohs" in message and len(message.splitlines()) == 2


# --set ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "step", "name", "value"),
    [
        ("second.epochs=2", "second", "epochs", 2.0),
        ("second.tune.epochs=2", "second", "epochs", 2.0),
        ("steps.second.tune.epochs=2", "second", "epochs", 2.0),
        ("second.learning_rate=3e-4", "second", "learning_rate", 3e-4),
        ("second.mask=false", "second", "mask", False),
        ("second.prompt='{text} = x'", "second", "prompt", "{text} = x"),
        ("third.t=[0.25, 0.75]", "third", "t", (0.25, 0.75)),
        ("second.max_steps=", "second", "max_steps", None),
    ],
)
def test_set_reaches_a_setting(tmp_path: Path, override: str, step: str, name: str, value: Any) -> None:
    """`--set` takes YAML values, by full path or by the step's name alone."""
    assert getattr(load(write(tmp_path, GOOD), [override]).steps[step].settings, name) == value


def test_set_inside_data_and_vars_and_languages(tmp_path: Path) -> None:
    """Nested keys, variables and parts that the file leaves out can be set."""
    text = GOOD.replace("languages: {source: en, target: ar}", "languages:").replace("where: null", "empty: null")
    recipe = load(write(tmp_path, text), ["first.data.skip=3", "vars.size=9", "languages.target=hi", "name=other"])
    data = recipe.steps["first"].settings.data[0]  # type: ignore[attr-defined]
    assert (data.skip, data.take, recipe.languages.target, recipe.name) == (3, 9, "hi", "other")


@pytest.mark.parametrize(
    ("data", "override", "place", "take"),
    [
        ("rows.jsonl", "corpus.data.take=5", "rows.jsonl", 5),
        ("[a.jsonl, b.jsonl]", "corpus.data.1.take=5", "a.jsonl", None),
        ("$first", "corpus.data.take=5", "$first", 5),
    ],
)
def test_set_inside_data_that_is_only_named(tmp_path: Path, data: str, override: str, place: str, take: int | None) -> None:
    """`--set corpus.data.take=5` works for a path or a step without any other key, too."""
    first = "  first: {filter: {data: rows.jsonl}}\n"
    text = f"name: small\nsteps:\n{first}  corpus: {{filter: {{data: {data}}}}}\n"
    found = load(write(tmp_path, text), [override]).steps["corpus"].settings.data  # type: ignore[attr-defined]
    assert (found[0].path or found[0].ref, found[0].take) == (place, take) and found[-1].take == 5


def test_set_creates_vars_that_the_file_leaves_empty(tmp_path: Path) -> None:
    """An empty `vars:` is no obstacle."""
    text = GOOD.replace("vars: {size: 7, where: null, many: [a.jsonl, b.jsonl]}", "vars:")
    assert load(write(tmp_path, text), ["vars.size=5"]).name == "good"


def test_set_of_a_variable_that_nothing_uses_is_refused(tmp_path: Path) -> None:
    """A mistyped variable does not run the recipe with its defaults."""
    with pytest.raises(RecipeError, match=r"uses no variable 'sise'\. Did you mean 'size'"):
        load(write(tmp_path, GOOD), ["vars.sise=9"])


def test_set_step_with_dots_in_its_name(tmp_path: Path) -> None:
    """A step may be called hala-1.2b and still be set."""
    text = GOOD + "  hala-1.2b: {merge: {base: some/model, tuned: $second}}\n"
    assert load(write(tmp_path, text), ["hala-1.2b.t=0.25"]).steps["hala-1.2b"].settings.t == (0.25,)  # type: ignore[attr-defined]


def test_variable_that_is_a_list_unfolds_inside_a_list(tmp_path: Path) -> None:
    """`- "${vars.many}"` stands for all its items."""
    text = GOOD.replace("pairs: $first", 'pairs: [$first, "${vars.many}"]')
    pairs = load(write(tmp_path, text)).steps["scores"].settings.pairs  # type: ignore[attr-defined]
    assert [data.ref or data.path for data in pairs] == ["$first", "a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("second.epochs", ["not key=value"]),
        ("=3", ["not key=value"]),
        ("secnd.epochs=2", ["no step or key 'secnd'", "Did you mean 'second'"]),
        ("stepz=2", ["Did you mean 'steps'"]),
        ("second.epocs=2", ["unknown key 'epocs'", "(--set)", "Did you mean 'epochs'"]),
        ("second.epochs=many", ["wants a number", "(--set)"]),
        ("second.epochs=[", ["--set second.epochs", "cannot use the value"]),
        ("sweep.t.5.x=1", ["--set sweep.t.5.x"]),
        ("second.prompt=a: b {text}", ["'prompt' in steps.second.tune wants text", "(--set)"]),
        ("scores.models.9=x", ["--set scores.models.9"]),
        ("scores.models.first=x", ["--set scores.models.first"]),
        ("second={tun: {}}", ["second"]),
        ("steps.third=5", ["third"]),
    ],
)
def test_set_that_cannot_be_meant(tmp_path: Path, override: str, parts: list[str]) -> None:
    """A wrong `--set` is named as such, with the nearest key."""
    message = refused(tmp_path, GOOD, override)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("body", ["5", "null", "{}", "[]", "text"])
def test_set_on_a_step_without_verb(tmp_path: Path, body: str) -> None:
    """A damaged step is answered, not tripped over."""
    assert "odd" in refused(tmp_path, GOOD + f"  odd: {body}\n", "odd.epochs=1")


# The sweep ------------------------------------------------------------------------------------------------------------

PLACES: list[tuple[type[schema.Section], tuple[str, ...]]] = [(section, ()) for section in SECTIONS.values()]
PLACES += [(Data, ("filter", "data")), (Judge, ("filter", "judge")), (New, ("tune", "new")), (Part, ("mix", "parts"))]
PLACES += [(Languages, ())]
MINIMAL: dict[str, dict[str, Any]] = {
    "compress": {"model": "m"},
    "translate": {"data": "d", "model": "m"},
    "filter": {"data": "d"},
    "mix": {"parts": "d", "tokenizer": "m"},
    "tune": {"data": "d", "base": "m"},
    "merge": {"base": "m", "tuned": "n"},
    "evaluate": {"models": "m"},
    "export": {"model": "m"},
    "report": {},
    "release": {"model": "m"},
}


def typos(word: str) -> list[str]:
    """A letter left out, doubled, swapped with its neighbour, or replaced: one of each at a fixed place."""
    middle = len(word) // 2
    other = "z" if word[middle] != "z" else "q"
    swapped = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :] if middle else word
    found = [word[:middle] + word[middle + 1 :], word[:middle] + word[middle] + word[middle:], swapped]
    return [each for each in (*found, word[:middle] + other + word[middle + 1 :]) if each and each != word]


def answer(section: type[schema.Section], place: tuple[str, ...], typo: str) -> str:
    """What is said about one wrong key at one place."""
    if section is Languages:
        content: dict[str, Any] = {"languages": {typo: "x"}, "steps": {"a": {"report": {}}}}
    elif place:
        verb, key = place
        content = {"steps": {"a": {verb: {**MINIMAL[verb], key: {typo: "x"}}}}}
    else:
        verb = next(name for name, each in SECTIONS.items() if each is section)
        content = {"steps": {"a": {verb: {**MINIMAL[verb], typo: "x"}}}}
    with pytest.raises(RecipeError) as caught:
        from_content({"name": "sweep", **content})
    return str(caught.value)


def test_one_wrong_letter_is_answered_with_the_right_name() -> None:
    """For every key of every section, at least 95% of one-letter mistakes are answered with the key that was meant."""
    asked, missed = 0, []
    for section, place in PLACES:
        known = set(section.model_fields)
        for name in known:
            for typo in set(typos(name)) - known:
                asked += 1
                if f"Did you mean '{name}'?" not in answer(section, place, typo):
                    missed.append((section.__name__, name, typo))
    assert asked > 300
    assert len(missed) <= 0.05 * asked, f"{len(missed)} of {asked}: {missed}"


def test_one_wrong_letter_in_top_keys_and_verbs() -> None:
    """The same for the keys at the top and for the verbs."""
    for name in TOP_KEYS:
        for typo in typos(name):
            with pytest.raises(RecipeError, match=f"Did you mean '{name}'"):
                from_content({typo: {}, "steps": {"a": {"report": {}}}})
    for name in SECTIONS:
        for typo in typos(name):
            with pytest.raises(RecipeError, match=f"Did you mean '{name}'"):
                from_content({"steps": {"a": {typo: {}}}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*Data.model_fields, "x"]), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SECTIONS)), st.data(), JSON)
def test_any_value_anywhere_is_loaded_or_refused(verb: str, data: st.DataObject, value: Any) -> None:
    """Whatever stands under a key, the answer is a recipe or a RecipeError, never another exception."""
    key = data.draw(st.sampled_from(sorted(SECTIONS[verb].model_fields)) if SECTIONS[verb].model_fields else st.just("x"))
    try:
        recipe = from_content({"name": "any", "steps": {"a": {verb: {**MINIMAL[verb], key: value}}}})
    except RecipeError as error:
        assert str(error)
    else:
        assert isinstance(recipe.steps["a"].settings, SECTIONS[verb])


def test_filter_alone_is_enough() -> None:
    """The smallest recipe has one step with one setting."""
    assert from_content({"steps": {"a": {"filter": {"data": "x.jsonl"}}}}, "tiny.yaml").steps["a"].settings == Filter(
        data="x.jsonl"
    )
