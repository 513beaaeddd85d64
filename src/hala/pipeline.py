"""Runs a recipe: resolves references, skips what is finished, continues what is not, refuses what has changed.

>>> from hala.pipeline import run
>>> run("recipes/quickstart.yaml")   # doctest: +SKIP
PosixPath('runs/quickstart')
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hala
from hala import artifacts, inputs
from hala import recipe as sections
from hala.artifacts import MANIFEST, STARTED, Manifest
from hala.drift import describe_drift
from hala.errors import CorruptError, DriftError, InputError, RecipeError, nearest
from hala.progress import Progress, duration
from hala.recipe import Recipe, Section, Step
from hala.recipe_file import from_content, load, produces, references
from hala.runs import step_verbs, steps_of, write_report
from hala.session import Session, read_started
from hala.staging import lock, staged
from hala.verbs import Context, Outcome, url_of

# The one registry: verb -> module with `run(settings, context) -> Outcome`. Modules load when their step runs.
VERBS = {
    "compress": "hala.verbs.compress",
    "translate": "hala.verbs.translate",
    "filter": "hala.verbs.filter",
    "mix": "hala.verbs.mix",
    "tune": "hala.verbs.tune",
    "merge": "hala.verbs.merge",
    "evaluate": "hala.verbs.evaluate",
    "export": "hala.verbs.export",
    "report": "hala.verbs.report",
    "release": "hala.verbs.release",
}
# Verbs that can test what is finished too: `test(settings, context, facts) -> new facts`, `judge(settings, context, facts)`.
TESTED = ("compress",)
# Verbs whose settings may name what does not exist: `check(step, settings)` raises before the first step runs.
CHECKED = ("evaluate", "translate")


@dataclass(frozen=True)
class Choice:
    """Which steps to run: all, one (`only`), or from one on (`start`); `replace` allows changed steps to be made again.

    `alone` marks a verb that runs without a recipe, where nothing can be replaced.
    """

    only: str | None = None
    start: str | None = None
    replace: bool = False
    alone: bool = False


def run(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    choice: Choice = Choice(),
    progress: Progress | None = None,
) -> Path:
    """The run's folder, after every chosen step is finished and `report.html` is up to date.

    Raises RecipeError for a recipe that cannot be meant, DriftError when a finished step was made with other settings.
    """
    return run_recipe(load(recipe, overrides), Path(out) if out else None, choice, progress or Progress())


def run_verb(
    verb: str,
    settings: Mapping[str, Any],
    out: str | Path,
    progress: Progress | None = None,
    languages: Mapping[str, str] | None = None,
) -> Path:
    """The folder of one verb's artefact: the same checks, resume and manifest as a step of a recipe."""
    out = Path(out)
    content = {"name": "single", "languages": dict(languages or {}), "steps": {verb: {verb: dict(settings)}}}
    recipe = from_content(content)
    for kind, place in inputs.local_places(recipe.steps[verb].settings):
        if os.path.realpath(place) == os.path.realpath(out):
            raise RecipeError(f"--out is the {kind} itself; choose another folder ({out}).")
    step = recipe.steps[verb]
    # Rows can be looked at while they are made; what is loaded as a whole is absent or complete.
    with lock(out) if produces(step) == "rows" else staged(out) as folder:
        _run_step(step, recipe, folder, out.parent, Choice(alone=True), progress or Progress())
    return out


def run_recipe(recipe: Recipe, out: Path | None, choice: Choice, progress: Progress) -> Path:
    """The same as `run` for a recipe that is already loaded."""
    root = out or Path("runs") / recipe.name
    for name in filter(None, (choice.only, choice.start)):
        if name not in recipe.steps:
            raise RecipeError(f"recipe {recipe.name} has no step '{name}'.{nearest(name, recipe.steps)}")
    with lock(root):
        saved = root / "recipe.json"
        old = saved.read_bytes() if saved.exists() else None
        artifacts.write_json(saved, recipe_content(recipe))
        began = time.monotonic()
        try:
            _run_steps(recipe, root, choice, progress)
        except BaseException as error:
            if isinstance(error, DriftError) and old is not None:  # what lies there is still the old recipe's
                with artifacts.atomic_file(saved) as temporary:
                    temporary.write_bytes(old)
            if old is None and not any((root / name / mark).exists() for name in recipe.steps for mark in (MANIFEST, STARTED)):
                saved.unlink()  # refused before anything was made
                raise
            with contextlib.suppress(Exception):  # the first error is the one to show
                write_report(root)
            raise
        write_report(root)
        progress.say(f"finished in {duration(time.monotonic() - began)}; report: {root / 'report.html'}")
    return root


def check(recipe: Recipe, names: Collection[str] = (), finished: Collection[str] = ()) -> None:
    """Raises what some steps (all, when none is named) would raise for their settings alone, hours later.

    A finished step needs no server, and what lies in the folder of an earlier step may not be there yet.
    """
    earlier: set[str] = set()
    for name, step in recipe.steps.items():
        if not names or name in names:
            for place in inputs.missing_data(step.settings):
                if earlier.isdisjoint(Path(place).parts):
                    raise InputError(f"no file or folder {place}, which step {name} reads.", "Check the path.")
            try:
                if name not in finished:
                    _check_engines(name, step.settings, earlier)
                if step.verb in CHECKED:
                    importlib.import_module(VERBS[step.verb]).check(name, step.settings)
            except RecipeError as error:
                raise RecipeError(f"step {name}: {error.message}", error.fix) from None
        earlier.add(name)


def _check_engines(name: str, settings: Section, earlier: AbstractSet[str]) -> None:
    """Raises for a server without an address, and for a model whose folder is not there; ids on the hub are not looked up."""
    for section in inputs.sections_of(settings):
        if not isinstance(section, sections.EngineSettings):
            continue
        if section.engine == "server":
            url_of(section)
        elif section.engine != "echo" and (model := getattr(section, "model", "")).startswith(("/", "./", "../")):
            folder = Path(model)
            if not folder.exists() and earlier.isdisjoint(folder.parts):
                raise InputError(f"no model in {folder}, which step {name} loads.", "Check the path.")


def _run_steps(recipe: Recipe, root: Path, choice: Choice, progress: Progress) -> None:
    names = list(recipe.steps)
    chosen = [choice.only] if choice.only else names[names.index(choice.start) if choice.start else 0 :]
    check(recipe, chosen, [name for name in chosen if (root / name / MANIFEST).exists()])
    for number, (name, step) in enumerate(recipe.steps.items(), 1):
        if name in chosen:
            progress.say(f"[{number}/{len(recipe.steps)}] {name}: {step.verb}")
            _run_step(step, recipe, root / name, root, choice, progress)


def recipe_content(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as plain data, every default spelt out."""
    steps = {
        name: {"name": name, "verb": step.verb, "settings": step.settings.model_dump(mode="json")}
        for name, step in recipe.steps.items()
    }
    return {"name": recipe.name, "order": list(recipe.steps), "languages": recipe.languages.model_dump(), "steps": steps}


def _run_step(step: Step, recipe: Recipe, out: Path, root: Path, choice: Choice, progress: Progress) -> None:
    from hala.weights.hub import at_commits

    config = {**step.settings.model_dump(mode="json"), "languages": recipe.languages.model_dump()}
    digests = input_digests(step, root, _known_inputs(out), progress.say)
    content = {"verb": step.verb, "config": config, "inputs": digests, "format": artifacts.FORMAT}
    fingerprint = artifacts.digest_of({**content, "config": sections.identity(type(step.settings), config)})
    identity = {**content, "fingerprint": fingerprint}
    context = Context(step.name, out, root, recipe.languages, _folders(step, root), progress, inputs.commits(digests))
    if (finished := _finished(step, out, identity, choice)) is not None:
        progress.say(f"    finished before, kept ({out})")
        with at_commits(context.commits):
            _test(step.model_copy(update={"settings": inputs.pinned(step.settings, digests)}), config, finished, context)
        return
    session = Session.begin(out, identity)
    progress.step(step.name)
    if session.number > 1:
        progress.say(f"    begun before, goes on from what is there ({out})")
    try:
        with artifacts.disk_errors(out), at_commits(context.commits):
            outcome = perform(step.verb, inputs.pinned(step.settings, digests), context)
    except BaseException:
        with contextlib.suppress(OSError):  # on a full disk the time is lost, the error is not
            artifacts.forget(out) if artifacts.made_nothing(out) else session.pause()
        raise
    finally:
        _release_memory()
    manifest = Manifest(
        step=step.name,
        verb=step.verb,
        kind=produces(step),
        config=config,
        inputs=digests,
        fingerprint=fingerprint,
        counts=dict(sorted(outcome.counts.items())),
        facts=outcome.facts,
        versions=versions(),
        timings={**session.timings(), **outcome.timings},
    )
    artifacts.finish(out, manifest)
    progress.say(f"    done in {duration(session.seconds())}{_summary(outcome)}")


def _known_inputs(out: Path) -> dict[str, str]:
    """The inputs that this step was made from, or begun with."""
    manifest = artifacts.read_manifest(out)
    found = manifest.inputs if manifest is not None else read_started(out).get("inputs")
    return found if isinstance(found, dict) else {}


def _release_memory() -> None:
    """The models of a step are gone before the next step loads its own."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def perform(verb: str, settings: Section, context: Context) -> Outcome:
    """Load the verb's module and run it."""
    outcome = importlib.import_module(VERBS[verb]).run(settings, context)
    assert isinstance(outcome, Outcome)
    return outcome


def _summary(outcome: Outcome) -> str:
    """The counts that people ask for first, and where the rest is."""
    shown = {key: value for key, value in outcome.counts.items() if "/" not in key}
    return "".join(f", {key.replace('_', ' ')} {value:,}" for key, value in shown.items())


def _test(step: Step, config: dict[str, Any], manifest: Manifest, context: Context) -> None:
    """Adds to a finished step what the settings want to know of it and its manifest does not say yet.

    Raises: QualityError when it fails its test, CorruptError.
    """
    module = importlib.import_module(VERBS[step.verb]) if step.verb in TESTED else None
    if module is not None:
        context.progress.step(step.name)
        try:
            found = module.test(step.settings, context, manifest.facts)
        finally:
            _release_memory()
        if found:
            artifacts.amend(context.out, manifest, config, found)
    artifacts.tidy(context.out)
    if module is not None:
        module.judge(step.settings, context, manifest.facts | found)


def _finished(step: Step, out: Path, identity: dict[str, Any], choice: Choice) -> Manifest | None:
    """The manifest of a step that can be skipped; removes what may be replaced and refuses what may not."""
    manifest = artifacts.read_manifest(out)
    before: dict[str, Any] | None = None
    if manifest is not None:
        before = {
            "verb": manifest.verb,
            "config": manifest.config,
            "inputs": manifest.inputs,
            "fingerprint": manifest.fingerprint,
        }
    elif (out / STARTED).exists():
        before = _started(out)
    elif out.exists() and any(path.name not in artifacts.TRACES for path in out.iterdir()):
        raise InputError(f"{out} exists and was not made by this step.", "Move it away, or choose another --out.")
    if before is not None and before["fingerprint"] != identity["fingerprint"]:
        if not choice.replace:
            raise DriftError(describe_drift(step.name, out, before, identity, manifest is not None, choice.alone), "")
        shutil.rmtree(out)
        return None
    if manifest is None:
        return None
    wrong = artifacts.check_files(out, manifest)
    if wrong:
        raise CorruptError(
            f"step {step.name} is damaged: {out}: {'; '.join(wrong)}.",
            f"Run `hala repair {out if choice.alone else out.parent}`, then again.",
        )
    return manifest


def _started(out: Path) -> dict[str, Any] | None:
    """The settings of a half-finished step; None when it has made nothing yet, so that nothing would be lost."""
    if artifacts.made_nothing(out):
        return None
    try:
        before = json.loads((out / STARTED).read_text(encoding="utf-8"))
        return {"fingerprint": before["fingerprint"], **before}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{out / STARTED} cannot be read ({error}).", f"Remove {out} to make the step again.") from None


def _folders(step: Step, root: Path) -> dict[str, Path]:
    return {name: root / name for _, name, _ in references(step.settings)}


def input_digests(step: Step, root: Path, before: Mapping[str, str], say: Callable[[str], None]) -> dict[str, str]:
    """Digest of every input; a report and a release also stand for every step before them."""
    digests = inputs.input_digests(step, root, before, say)
    if step.verb in ("report", "release"):
        digests["run"] = artifacts.digest_of(_earlier(step, root))
    return digests


def _earlier(step: Step, root: Path) -> dict[str, str]:
    """Digests of the finished steps before this one; reports hold timings, so they stand for nothing."""
    if not (root / "recipe.json").exists() or step.name not in (plan := list(step_verbs(root))):
        return {}  # a single step, perhaps beside the run that its model came from
    steps, position = steps_of(root), plan.index(step.name)
    return {name: manifest.digest for name, verb, manifest in steps[:position] if manifest and verb != "report"}


def versions() -> dict[str, str]:
    """Versions of hala and of the libraries whose version can change bytes."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"hala": hala.__version__}
    for name in ("torch", "transformers", "tokenizers", "safetensors", "pyarrow", "numpy", "sacrebleu"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


__all__ = ["Choice", "run", "run_recipe", "run_verb"]
