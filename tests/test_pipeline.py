"""Running recipes: skip what is finished, continue what is not, refuse what has changed, and report whatever happens."""

from __future__ import annotations

import gc
import io
import json
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hala import artifacts, pipeline, recipe_file, runs, session, shards
from hala.data.prompts import echo
from hala.engines.scripted import EchoEngine
from hala.errors import CorruptError, DriftError, HalaError, InputError, RecipeError
from hala.pipeline import Choice
from hala.progress import Progress
from hala.recipe import Filter, identity
from hala.recipe_file import from_content

QUIET = Progress(quiet=True)
LANGUAGES = {"source": "en", "target": "ar"}


def run(recipe: Path, out: Path, *overrides: str, **choice: Any) -> str:
    """What is said while the recipe runs."""
    stream = io.StringIO()
    pipeline.run(recipe, list(overrides), out, Choice(**choice), Progress(stream))
    return stream.getvalue()


def manifest(out: Path, step: str) -> dict[str, Any]:
    """A step's manifest as plain data."""
    content: dict[str, Any] = json.loads((out / step / "manifest.json").read_text(encoding="utf-8"))
    return content


def times(out: Path) -> dict[str, int]:
    """When each file of the steps was written last."""
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.parent != out}


def test_finished_steps_are_skipped(recipe_file: Path, tmp_path: Path) -> None:
    """The second run writes nothing but the report."""
    run(recipe_file, tmp_path / "run")
    before = times(tmp_path / "run")
    assert run(recipe_file, tmp_path / "run").count("finished before, kept") == 2
    assert times(tmp_path / "run") == before and (tmp_path / "run/report.html").exists()


def test_two_runs_are_equal(recipe_file: Path, tmp_path: Path) -> None:
    """Same inputs, same bytes: clocks and folders stay out of digests and fingerprints."""
    for name in ("a", "b"):
        run(recipe_file, tmp_path / name)
    for step in ("pairs", "echoed"):
        one, two = manifest(tmp_path / "a", step), manifest(tmp_path / "b", step)
        assert (one["digest"], one["fingerprint"], one["files"]) == (two["digest"], two["fingerprint"], two["files"])


def test_manifest_says_what_was_made_of_what(recipe_file: Path, tmp_path: Path) -> None:
    """Settings with every default, digests of the inputs, counts that add up, versions and timings."""
    run(recipe_file, tmp_path / "run")
    content = manifest(tmp_path / "run", "echoed")
    assert content["config"]["shard_rows"] == 3 and content["config"]["max_chars"] == 1200
    assert content["config"]["languages"] == {"source": "en", "target": "ar"}
    [(name, digest)] = content["inputs"].items()
    assert name.startswith("data:") and digest.startswith("sha256:")
    assert content["counts"]["rows"] == 8 == content["counts"]["kept"] and content["versions"]["hala"]
    assert {"rows/000000.parquet", "rejected/000002.parquet"} <= content["files"].keys()


def test_half_finished_step_is_continued(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that died after one shard keeps it, and ends as if it had never died."""
    real, written = shards.write_rows, []

    def dying(path: Path, judged: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        real(path, judged)

    monkeypatch.setattr(shards, "write_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        run(recipe_file, tmp_path / "a")
    assert (tmp_path / "a/report.html").exists() and (tmp_path / "a/pairs/started.json").exists()
    monkeypatch.setattr(shards, "write_rows", real)
    kept = {path: path.stat().st_mtime_ns for path in written}
    run(recipe_file, tmp_path / "a")
    run(recipe_file, tmp_path / "b")
    assert {path: path.stat().st_mtime_ns for path in written} == kept
    assert manifest(tmp_path / "a", "pairs")["digest"] == manifest(tmp_path / "b", "pairs")["digest"]


def test_changed_setting_is_refused_with_both_ways_out(recipe_file: Path, tmp_path: Path) -> None:
    """Old and new value are shown, nothing is touched, and both ways out work."""
    out = tmp_path / "run"
    run(recipe_file, out)
    before = times(out)
    with pytest.raises(DriftError) as caught:
        run(recipe_file, out, "echoed.max_chars=100")
    message = str(caught.value)
    assert "step echoed is finished with other settings" in message and "config.max_chars: 1200 -> 100" in message
    assert "--out DIR" in message and "--replace" in message and times(out) == before
    run(recipe_file, tmp_path / "other", "echoed.max_chars=100")
    assert run(recipe_file, out, "echoed.max_chars=100", replace=True).count("kept (") == 1
    assert manifest(out, "echoed")["config"]["max_chars"] == 100


def test_an_output_that_is_an_input_is_refused(recipe_file: Path, tmp_path: Path) -> None:
    """A model or data set is never written over, and its folder, spelt another way too, is not mistaken for the step's."""
    out = tmp_path / "run"
    run(recipe_file, out)
    before = times(out)
    (tmp_path / "link").symlink_to(out / "pairs")
    for place in (out / "pairs", tmp_path / "link"):
        with pytest.raises(RecipeError, match=r"^--out is the data itself; choose another folder") as caught:
            pipeline.run_verb("filter", {"data": str(out / "pairs")}, place, QUIET, LANGUAGES)
        assert not isinstance(caught.value, DriftError)
    with pytest.raises(RecipeError, match=r"^--out is the model itself; choose another folder"):
        pipeline.run_verb("export", {"model": str(out / "pairs")}, out / "pairs", QUIET)
    assert times(out) == before


def test_drift_of_a_single_verb_is_short_and_offers_what_it_has(recipe_file: Path, tmp_path: Path) -> None:
    """A verb has no --replace, not even inside a run; ten differences are enough, and another verb's settings are none."""
    out = tmp_path / "run"
    run(recipe_file, out)
    settings = {"data": {"world": "sentences"}, "engine": "echo"}
    with pytest.raises(DriftError) as caught:
        pipeline.run_verb("translate", settings, out / "pairs", QUIET, LANGUAGES)
    message = str(caught.value)
    assert "was made by `filter`, not by `translate`" in message and "config." not in message
    assert "--replace" not in message and "choose another --out" in message and "removing" not in message
    files = [tmp_path / f"{number}.jsonl" for number in range(14)]
    for file in files:
        file.write_text('{"en": "Yes.", "ar": "نعم."}\n', encoding="utf-8")
    pipeline.run_verb("filter", {"data": str(files[0])}, tmp_path / "rows", QUIET, LANGUAGES)
    with pytest.raises(DriftError, match="and 4 more") as caught:
        pipeline.run_verb("filter", {"data": [*map(str, files)]}, tmp_path / "rows", QUIET, LANGUAGES)
    message = str(caught.value)
    assert message.count("inputs.") == 9 and f"removing {tmp_path / 'rows'} starts anew" in message


def test_changed_input_is_refused(recipe_file: Path, pairs_file: Path, tmp_path: Path) -> None:
    """The same path with other content is another input."""
    run(recipe_file, tmp_path / "run")
    pairs_file.write_text(pairs_file.read_text() + '{"en": "New.", "ar": "جديد."}\n')
    with pytest.raises(DriftError, match=r"inputs.data:"):
        run(recipe_file, tmp_path / "run")


def test_half_finished_step_with_other_settings_is_refused(recipe_file: Path, tmp_path: Path) -> None:
    """Shards of two different settings are never mixed in one step."""
    out = tmp_path / "run"
    run(recipe_file, out)
    started = {key: manifest(out, "pairs")[key] for key in ("verb", "config", "inputs", "fingerprint")}
    (out / "pairs/manifest.json").unlink()
    artifacts.write_json(out / "pairs/started.json", started)
    with pytest.raises(DriftError, match="half-finished"):
        run(recipe_file, out, "pairs.shard_rows=5")
    run(recipe_file, out)


def test_step_that_made_nothing_yet_may_change(recipe_file: Path, tmp_path: Path) -> None:
    """A first try that failed at once leaves nothing, not even beside finished steps, and does not forbid the second one."""
    out = tmp_path / "run"
    (tmp_path / "no-model").mkdir()
    words = ("echoed.engine=local", f"echoed.model={tmp_path}/no-model")
    with pytest.raises(InputError):
        run(recipe_file, out, *words, only="echoed")
    assert not out.exists()
    with pytest.raises(InputError):
        run(recipe_file, out, *words)
    assert sorted(path.name for path in out.iterdir()) == ["pairs", "recipe.json", "report.html"]
    run(recipe_file, out, only="echoed")


def test_foreign_folder_is_left_alone(recipe_file: Path, tmp_path: Path) -> None:
    """A folder with other files is never written into."""
    (tmp_path / "run/pairs").mkdir(parents=True)
    (tmp_path / "run/pairs/thesis.txt").write_text("years of work")
    for replace in (False, True):
        with pytest.raises(InputError, match="not made by this step"):
            run(recipe_file, tmp_path / "run", replace=replace)
    assert (tmp_path / "run/pairs/thesis.txt").read_text() == "years of work"


def test_only_and_from(recipe_file: Path, tmp_path: Path) -> None:
    """`--only` runs one step, `--from` that one and the later ones, and an unknown name is answered."""
    run(recipe_file, tmp_path / "a", only="echoed")
    run(recipe_file, tmp_path / "b", start="echoed")
    run(recipe_file, tmp_path / "c", start="pairs")
    made = [sorted(path.name for path in (tmp_path / name).iterdir() if path.is_dir()) for name in "abc"]
    assert made == [["echoed"], ["echoed"], ["echoed", "pairs"]]
    for choice in ({"only": "echod"}, {"start": "echod"}):
        with pytest.raises(RecipeError, match="Did you mean 'echoed'"):
            run(recipe_file, tmp_path / "d", **choice)


def test_step_that_needs_an_unfinished_one_says_so(recipe_file: Path, tmp_path: Path) -> None:
    """`--only` on a step whose input is missing names what is missing."""
    text = recipe_file.read_text() + "  again: {filter: {data: $echoed, gates: none}}\n"
    recipe_file.write_text(text)
    with pytest.raises(RecipeError, match=r"step again needs \$echoed, which is not finished"):
        run(recipe_file, tmp_path / "run", only="again")
    assert run(recipe_file, tmp_path / "run").count("done in") == 3


def test_later_step_notices_another_earlier_one(recipe_file: Path, tmp_path: Path) -> None:
    """A step made of other rows than before is refused, because its inputs have another digest."""
    recipe_file.write_text(recipe_file.read_text() + "  again: {filter: {data: $echoed, gates: none}}\n")
    run(recipe_file, tmp_path / "run")
    with pytest.raises(DriftError, match=r"step again .*\n.*inputs\.\$echoed"):
        shutil.rmtree(tmp_path / "run/echoed")
        run(recipe_file, tmp_path / "run", "echoed.data.take=3")


def test_damaged_file_is_noticed_before_it_is_used(recipe_file: Path, tmp_path: Path) -> None:
    """A missing or short file of a finished step stops the run with exit code 6 and names `hala repair`."""
    out = tmp_path / "run"
    run(recipe_file, out)
    shard = out / "pairs/rows/000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CorruptError, match="hala repair"):
        run(recipe_file, out)
    assert runs.verify(out)["pairs"] and not runs.verify(out)["echoed"]
    assert runs.repair(out) == ["pairs"]
    run(recipe_file, out)
    assert not any(runs.verify(out).values())


def test_report_is_written_even_when_a_step_fails(recipe_file: Path, pairs_file: Path, tmp_path: Path) -> None:
    """Whoever looks in the morning finds a report of what was finished, and the error is that of the step."""
    (tmp_path / "no.jsonl").write_text("")
    recipe_file.write_text(recipe_file.read_text() + f"  broken: {{filter: {{data: {tmp_path / 'no.jsonl'}}}}}\n")
    with pytest.raises(InputError, match=r"no\.jsonl"):
        run(recipe_file, tmp_path / "run")
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "echoed" in page and "broken" in page


def test_failing_report_never_hides_the_failing_step(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first error is the one that is shown."""

    def broken(root: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "write_report", broken)
    with pytest.raises(InputError, match=r"no\.jsonl"):
        run(recipe_file, tmp_path / "run", "pairs.data.path=no.jsonl")


def test_steps_come_in_the_order_of_the_recipe(recipe_file: Path, tmp_path: Path) -> None:
    """Not in that of the alphabet."""
    run(recipe_file, tmp_path / "run")
    assert [name for name, _, _ in runs.steps_of(tmp_path / "run")] == ["pairs", "echoed"]
    with pytest.raises(InputError, match="not a run"):
        runs.steps_of(tmp_path)


def test_kill_after_the_manifest_costs_nothing(recipe_file: Path, tmp_path: Path) -> None:
    """Scratch and the started mark that a kill left beside a manifest are tidied, and the step is kept."""
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "pairs/.work").mkdir()
    (out / "pairs/started.json").write_text("{}")
    assert "finished before, kept" in run(recipe_file, out, only="pairs")
    assert not (out / "pairs/.work").exists() and not (out / "pairs/started.json").exists()


def test_torn_started_mark_is_corrupt(recipe_file: Path, tmp_path: Path) -> None:
    """Nothing is continued on the word of a file that cannot be read."""
    out = tmp_path / "run"
    run(recipe_file, out)
    (out / "pairs/manifest.json").unlink()
    (out / "pairs/started.json").write_text('{"verb"')
    with pytest.raises(CorruptError, match=r"started\.json"):
        run(recipe_file, out)


def test_resolved_recipe_is_saved(recipe_file: Path, tmp_path: Path) -> None:
    """`recipe.json` spells out every default, so that a run explains itself."""
    run(recipe_file, tmp_path / "run", "pairs.dedup=false")
    content = json.loads((tmp_path / "run/recipe.json").read_text(encoding="utf-8"))
    assert content["order"] == ["pairs", "echoed"]
    assert content["steps"]["pairs"]["settings"]["dedup"] is False and "min_chars" in content["steps"]["pairs"]["settings"]


def test_every_verb_of_the_schema_has_a_module() -> None:
    """The one registry knows each verb, and each module has `run`."""
    import importlib

    from hala.recipe import SECTIONS

    assert pipeline.VERBS.keys() == SECTIONS.keys()
    assert all(callable(importlib.import_module(module).run) for module in pipeline.VERBS.values())


def test_single_verb_is_a_step(pairs_file: Path, tmp_path: Path) -> None:
    """A verb called from Python has the same manifest, skip and refusal."""
    settings = {"data": str(pairs_file), "gates": "none"}
    out = pipeline.run_verb("filter", settings, tmp_path / "rows", QUIET, LANGUAGES)
    first = artifacts.read_manifest(out)
    assert first is not None and first.counts["kept"] == 8 and first.config["languages"]["target"] == "ar"
    assert artifacts.read_manifest(pipeline.run_verb("filter", settings, out, QUIET, LANGUAGES)) == first
    with pytest.raises(DriftError, match="removing"):
        pipeline.run_verb("filter", {**settings, "dedup": False}, out, QUIET, LANGUAGES)


# What a step is made from -----------------------------------------------------------------------------------------------


def digests(verb: str, settings: dict[str, Any], root: Path, before: dict[str, str] | None = None) -> dict[str, str]:
    """The digests of one step's inputs."""
    recipe = from_content({"name": "x", "steps": {"a": {verb: settings}}})
    return pipeline.input_digests(recipe.steps["a"], root, before or {}, lambda _: None)


def test_two_inputs_of_one_path_are_two_inputs(tmp_path: Path) -> None:
    """English lines with Arabic and the same lines with Hindi: a change of the first target is noticed."""
    for name in ("en", "ar", "hi"):
        (tmp_path / f"x.{name}").write_text(f"{name}\n")
    data = [{"path": str(tmp_path / "x.en"), "target": str(tmp_path / f"x.{name}")} for name in ("ar", "hi")]
    before = digests("filter", {"data": data}, tmp_path)
    (tmp_path / "x.ar").write_text("other\n")
    after = digests("filter", {"data": data}, tmp_path)
    assert len(before) == 2 and [before[key] == after[key] for key in sorted(before)] == [False, True]


def hub(monkeypatch: pytest.MonkeyPatch, commit: str | None) -> list[tuple[str, str | None]]:
    """A hub that gives this commit for everything, or cannot be reached; what it was asked."""
    import httpx
    import huggingface_hub

    asked: list[tuple[str, str | None]] = []

    def info(_: Any, name: str, revision: str | None = None) -> Any:
        asked.append((name, revision))
        if commit is None:
            raise httpx.ConnectError("no route to host")
        return SimpleNamespace(sha=commit)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    return asked


def test_hub_inputs_are_their_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that moved is another input, for models and datasets; what a server calls its model is only a name."""
    asked = hub(monkeypatch, "a" * 40)
    merge = {"base": "own/base", "base_revision": "v1", "tuned": "own/tuned"}
    assert digests("merge", merge, tmp_path) == {
        "model:0:own/base@v1": f"own/base@{'a' * 40}",
        "model:1:own/tuned": f"own/tuned@{'a' * 40}",
    }
    assert asked == [("own/base", "v1"), ("own/tuned", None)]
    pinned = digests("compress", {"model": "own/base", "revision": "b" * 40}, tmp_path)
    assert list(pinned.values()) == [f"own/base@{'b' * 40}"] and len(asked) == 2
    data = {"data": {"hub": "own/data"}, "engine": "server", "url": "http://x/v1", "model": "own/name"}
    assert list(digests("translate", data, tmp_path).values()) == [f"own/data@{'a' * 40}", "own/name"]
    assert len(asked) == 3


def test_step_of_hub_inputs_is_known_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the hub, the commits that a step was made from stand; for another revision there is none to stand."""
    hub(monkeypatch, "a" * 40)
    settings = {"base": "own/base", "revision": "v1", "data": {"hub": "own/data"}}
    before = digests("tune", settings, tmp_path)
    hub(monkeypatch, None)
    assert digests("tune", settings, tmp_path, before) == before
    for other in ({**settings, "revision": "v2"}, {**settings, "data": {"hub": "own/other"}}):
        with pytest.raises(InputError, match="no route to host"):
            digests("tune", other, tmp_path, before)


@pytest.mark.parametrize("change", ["weights", "one weight", "config", "tokenizer"])
def test_another_checkpoint_at_the_same_path_is_noticed(tiny: Path, tmp_path: Path, change: str) -> None:
    """A fine-tune, a single changed weight, a setting and a token each make another checkpoint."""
    model = Path(shutil.copytree(tiny, tmp_path / "model"))
    settings = {"model": str(model)}
    first = digests("compress", settings, tmp_path)
    assert digests("compress", settings, tmp_path) == first
    file = (
        model
        / {
            "weights": "model.safetensors",
            "one weight": "model.safetensors",
            "config": "config.json",
            "tokenizer": "tokenizer_config.json",
        }[change]
    )
    content = file.read_bytes()
    changed = {
        "weights": content[: len(content) // 2] + b"\x01" * (len(content) - len(content) // 2),
        "one weight": content[:-1] + bytes([content[-1] ^ 1]),
        "config": content.replace(b"{", b'{"note": 1, ', 1),
        "tokenizer": content + b" \n",
    }
    file.write_bytes(changed[change])
    assert digests("compress", settings, tmp_path) != first


def test_settings_of_execution_are_no_identity(recipe_file: Path, tmp_path: Path) -> None:
    """Another server, key or limit does not make a finished step another one; the manifest still says which it was."""
    out = tmp_path / "run"
    run(recipe_file, out)
    words = ("echoed.url=http://other:1/v1", "echoed.api_key_env=KEY", "echoed.tensor_parallel=4", "echoed.stop_above=0.5")
    assert run(recipe_file, out, *words).count("finished before, kept") == 2
    assert manifest(out, "echoed")["config"]["stop_above"] == 1.0
    with pytest.raises(DriftError) as caught:
        run(recipe_file, out, *words, "echoed.max_chars=99")
    assert str(caught.value).count("->") == 1


def test_only_marked_fields_leave_the_identity() -> None:
    """Nested sections too; a column that happens to be called url stays."""
    recipe = from_content(
        {"name": "x", "steps": {"a": {"filter": {"data": {"path": "p", "columns": {"text": "url"}}, "judge": {"model": "m"}}}}}
    )
    config = recipe.steps["a"].settings.model_dump(mode="json")
    kept = identity(Filter, {**config, "data": {"url": 1}})
    left_out = {"url", "api_key_env", "tensor_parallel", "in_flight", "timeout", "error_budget"}
    assert kept["data"] == {"url": 1} and config["judge"].keys() - kept["judge"].keys() == left_out


def test_release_of_a_step_beside_its_run(recipe_file: Path, tiny: Path, tmp_path: Path) -> None:
    """A single release into the folder of a run is no step of its recipe."""
    out = tmp_path / "run"
    run(recipe_file, out)
    pipeline.run_verb("release", {"model": str(tiny), "licence": "CC0-1.0"}, out / "published", QUIET, LANGUAGES)
    assert (out / "published/README.md").exists()


def test_refused_run_leaves_the_saved_recipe(recipe_file: Path, tmp_path: Path) -> None:
    """What lies on disk was made by the old recipe, so the old one stays."""
    out = tmp_path / "run"
    run(recipe_file, out)
    before = (out / "recipe.json").read_bytes()
    with pytest.raises(DriftError):
        run(recipe_file, out, "echoed.max_chars=100")
    assert (out / "recipe.json").read_bytes() == before


def test_seconds_of_all_sessions_add_up(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that was stopped and continued took the time of both sessions, and says that there were two."""
    now = [0.0]
    monkeypatch.setattr(session.time, "monotonic", lambda: now[0])
    real = pipeline.perform

    def slow(*arguments: Any) -> Any:
        now[0] += 100
        outcome = real(*arguments)
        if now[0] == 100:
            raise KeyboardInterrupt
        return outcome

    monkeypatch.setattr(pipeline, "perform", slow)
    with pytest.raises(KeyboardInterrupt):
        run(recipe_file, tmp_path / "run", only="pairs")
    said = run(recipe_file, tmp_path / "run")
    assert said.count("begun before, goes on") == 1
    assert manifest(tmp_path / "run", "pairs")["timings"].items() >= {"seconds": 200.0, "sessions": 2}.items()
    assert "sessions" not in manifest(tmp_path / "run", "echoed")["timings"]


def test_models_of_a_step_are_let_go(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step left in reference cycles, as models are, is gone before the next step begins."""
    left: list[weakref.ref[Any]] = []
    alive: list[bool] = []
    real = pipeline.perform

    class Model:
        pass

    def heavy(*arguments: Any) -> Any:
        alive.extend(each() is not None for each in left)
        model: Any = Model()
        model.itself = model
        left.append(weakref.ref(model))
        return real(*arguments)

    monkeypatch.setattr(pipeline, "perform", heavy)
    gc.disable()
    try:
        run(recipe_file, tmp_path / "run")
    finally:
        gc.enable()
    assert alive == [False]


def test_recipe_content_round_trips() -> None:
    """What is saved of a recipe is plain JSON."""
    recipe = from_content({"name": "x", "steps": {"a": {"merge": {"base": "m", "tuned": "n", "t": [0.1, 0.2]}}}})
    assert json.loads(json.dumps(pipeline.recipe_content(recipe)))["steps"]["a"]["settings"]["t"] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "nix.jsonl"}, "no file or folder nix.jsonl, which step second reads"),
        ({"engine": "server"}, "step second: the server engine needs a url"),
        ({"gates": ["scrpt"]}, "step second: unknown gate 'scrpt'"),
        ({"prompt": "translate this"}, "step second: unknown prompt 'translate this'"),
        ({"engine": "local", "model": "./nix"}, "no model in nix, which step second loads"),
        ({"engine": "echo", "vote": {"model": "m", "engine": "server"}}, "step second: the server engine needs a url"),
    ],
)
def test_what_a_later_step_lacks_is_said_before_the_first_one(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """A misspelt path, gate or prompt, or a server without an address, in whatever step, costs no hours of the steps before."""
    first = {"data": {"world": "pairs"}, "model": "m", "engine": "echo"}
    file = tmp_path / "late.yaml"
    steps = {"first": {"translate": first}, "second": {"translate": first | changes}}
    file.write_text(json.dumps({"name": "late", "steps": steps}), encoding="utf-8")
    with pytest.raises(HalaError, match=said):
        run(file, tmp_path / "run")
    assert not (tmp_path / "run" / "first").exists()


def test_what_an_earlier_step_makes_is_not_missed_before_it_runs(tmp_path: Path, chats_file: Path) -> None:
    """A step may name an earlier one by its folder: that is looked for when its turn comes."""
    first = {"filter": {"data": str(chats_file), "gates": "none"}}
    second = {"filter": {"data": str(tmp_path / "run" / "first"), "gates": "none"}}
    file = tmp_path / "paths.yaml"
    file.write_text(json.dumps({"name": "paths", "steps": {"first": first, "second": second}}), encoding="utf-8")
    assert "[2/2] second" in run(file, tmp_path / "run")
    assert manifest(tmp_path / "run", "second")["counts"]["rows"] == manifest(tmp_path / "run", "first")["counts"]["kept"] > 0


def test_a_finished_step_needs_no_server(tmp_path: Path, chats_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave the address for one run alone goes on without it, once the step that asked is finished."""
    monkeypatch.setattr("hala.verbs.translators.open_engine", lambda *_, **__: EchoEngine(echo))
    settings = {"data": str(chats_file), "model": "m", "engine": "server", "memory": "none", "gates": "none"}
    file = tmp_path / "served.yaml"
    file.write_text(json.dumps({"name": "served", "steps": {"asked": {"translate": settings}}}), encoding="utf-8")
    with pytest.raises(RecipeError, match="step asked: the server engine needs a url"):
        run(file, tmp_path / "run")
    run(file, tmp_path / "run", "asked.url=http://127.0.0.1:1/v1")
    assert "finished before" in run(file, tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"suite": "oall-v3"}, "unknown suite 'oall-v3'"),
        ({"suite": "no.toml"}, "no.toml cannot be read"),
        ({"probes": "fr"}, "unknown probes 'fr'"),
        ({"suite": "exams", "profile": "foo"}, "foo"),
        ({"questions": "no.jsonl"}, "no file or folder no.jsonl, which step scores reads"),
        ({}, "nothing to evaluate on"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_before_the_first_step(
    tmp_path: Path, tiny: Path, settings: dict[str, Any], said: str
) -> None:
    """What a recipe evaluates on is looked for before hours of training, not after; `plan` says the same."""
    models = str(tiny)
    first = {"translate": {"data": {"world": "pairs"}, "model": models, "engine": "echo"}}
    steps = {"first": first, "scores": {"evaluate": {"models": models, **settings}}}
    file = tmp_path / "late.yaml"
    file.write_text(json.dumps({"name": "late", "steps": steps}), encoding="utf-8")
    with pytest.raises(HalaError, match=said):
        run(file, tmp_path / "run")
    assert not (tmp_path / "run" / "first").exists()
    with pytest.raises(HalaError, match=said):
        pipeline.check(recipe_file.load(file, []))
