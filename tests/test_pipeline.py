"""Running recipes: skip what is finished, continue what is not, refuse what has changed, and report whatever happens."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts, pipeline
from hala.errors import CorruptError, DriftError, InputError, RecipeError
from hala.pipeline import Choice
from hala.progress import Progress
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
    real, written = artifacts.write_rows, []

    def dying(path: Path, judged: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        real(path, judged)

    monkeypatch.setattr(artifacts, "write_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        run(recipe_file, tmp_path / "a")
    assert (tmp_path / "a/report.html").exists() and (tmp_path / "a/pairs/started.json").exists()
    monkeypatch.setattr(artifacts, "write_rows", real)
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
    """A first try that failed at once does not forbid the second one."""
    out = tmp_path / "run"
    with pytest.raises(InputError):
        run(recipe_file, out, "echoed.engine=local", "echoed.model=/no/such/model", only="echoed")
    assert (out / "echoed/started.json").exists()
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
    assert pipeline.verify(out)["pairs"] and not pipeline.verify(out)["echoed"]
    assert pipeline.repair(out) == ["pairs"]
    run(recipe_file, out)
    assert not any(pipeline.verify(out).values())


def test_report_is_written_even_when_a_step_fails(recipe_file: Path, pairs_file: Path, tmp_path: Path) -> None:
    """Whoever looks in the morning finds a report of what was finished, and the error is that of the step."""
    recipe_file.write_text(recipe_file.read_text() + "  broken: {filter: {data: no.jsonl}}\n")
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
    assert [name for name, _, _ in pipeline.steps_of(tmp_path / "run")] == ["pairs", "echoed"]
    with pytest.raises(InputError, match="not a run"):
        pipeline.steps_of(tmp_path)


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


def test_recipe_content_round_trips() -> None:
    """What is saved of a recipe is plain JSON."""
    recipe = from_content({"name": "x", "steps": {"a": {"merge": {"base": "m", "tuned": "n", "t": [0.1, 0.2]}}}})
    assert json.loads(json.dumps(pipeline.recipe_content(recipe)))["steps"]["a"]["settings"]["t"] == [0.1, 0.2]
