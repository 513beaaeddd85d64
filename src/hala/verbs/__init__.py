"""What every verb gets (its section of the recipe and a `Context`) and gives (an `Outcome`). Verbs never call each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hala.artifacts import SCRATCH
from hala.errors import InputError, RecipeError
from hala.progress import Progress
from hala.recipe import EngineSettings, Languages
from hala.records import Engine


@dataclass(frozen=True)
class Context:
    """Where a step runs: its own folder `out`, the run's folder, and the folders of the steps that it refers to."""

    step: str
    out: Path
    run: Path
    languages: Languages
    inputs: Mapping[str, Path]
    progress: Progress
    commits: Mapping[str, str] = field(default_factory=dict)
    """`ID@REVISION` of sets and `ID` of models on the hub -> the commit at which this step reads them."""

    def locate(self, model: str) -> str:
        """The folder of `$step`; a path or hub id comes back as it is."""
        return str(self.inputs[model[1:]]) if model.startswith("$") else model

    @property
    def scratch(self) -> Path:
        """A folder for what a resume needs; it is removed when the step is finished."""
        folder = self.out / SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class Outcome:
    """Counts of rows or tensors, facts for people and for later steps, and timings (never part of a digest)."""

    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def trained_for(model: str) -> dict[str, str]:
    """What `hala.json` of a local checkpoint says: task, prompt, languages, licence; empty for any other model."""
    file = Path(model) / "hala.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if model and file.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}).", "Mend or remove it.") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no mapping.", "Mend or remove it.")
    return {key: value for key, value in content.items() if isinstance(value, str) and value}


def learnt_prompt(about: dict[str, str], target: str) -> str:
    """The prompt by which a checkpoint (`trained_for`) learnt to translate into `target`; empty where nothing says so."""
    if about.get("task") != "translation":
        return ""
    if about.get("target", target) == target:
        return about.get("prompt", "")
    return about.get("back_prompt", "") if about.get("source") == target else ""


def url_of(settings: EngineSettings) -> str:
    """The address of the server. Raises RecipeError when there is none."""
    if not settings.url:
        raise RecipeError("the server engine needs a url.", "Add --url http://HOST:PORT/v1 (or `url:`).")
    return settings.url


def open_engine(
    settings: EngineSettings,
    model: str,
    revision: str | None = None,
    languages: Languages | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Engine:
    """A ready engine; close it after use. `languages` are those of a translation, which some translators must be told;
    `say` takes what the user should know while the engine works.

    Raises RecipeError when the settings lack what the engine needs.
    """
    if settings.engine != "echo" and not model:
        raise RecipeError(f"the {settings.engine} engine needs a model.", "Add --model (or `model:`), or use the echo engine.")
    if settings.engine == "echo":
        from hala.data.prompts import echo
        from hala.engines.scripted import EchoEngine

        return EchoEngine(echo)
    if settings.engine == "server":
        url = url_of(settings)
        from hala.engines.server import ServerEngine

        return ServerEngine(
            url,
            model,
            api_key_env=settings.api_key_env,
            in_flight=settings.in_flight,
            timeout=settings.timeout,
            error_budget=settings.error_budget,
            say=say,
        )
    if settings.engine == "vllm":
        from hala.engines.vllm import VllmEngine

        return VllmEngine(
            model,
            revision=revision,
            tensor_parallel=settings.tensor_parallel,
            max_model_len=settings.max_model_len,
            dtype=settings.dtype,
        )
    if settings.engine == "ctranslate":
        return _open_ctranslate(settings, model, revision, languages)
    from hala.engines.local import LocalEngine
    from hala.weights.loading import load_model

    loaded = load_model(model, settings.dtype, revision=revision, native=True)
    return LocalEngine(*loaded, batch_tokens=settings.batch_tokens)


def _open_ctranslate(settings: EngineSettings, model: str, revision: str | None, languages: Languages | None) -> Engine:
    """A translator of sentences, told where sentences end in the source language."""
    if languages is None:
        raise RecipeError("the ctranslate engine only translates.", "Choose engine: local, vllm or server for a judge or a vote.")
    from functools import partial

    from hala.data.sentences import split_sentences
    from hala.engines.ctranslate import CTranslateEngine, pick_compute_type
    from hala.languages import language
    from hala.weights.ctranslate import prepare

    compute_type = pick_compute_type(settings.compute_type)
    return CTranslateEngine(
        prepare(model, revision, None if compute_type == "auto" else compute_type),
        languages=(language(languages.source), language(languages.target)),
        compute_type=compute_type,
        beam_size=settings.beam_size,
        batch_tokens=settings.batch_tokens,
        split=partial(split_sentences, language=languages.source),
    )
