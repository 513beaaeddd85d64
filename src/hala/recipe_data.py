"""The ground of a recipe: what a section is, how it names other steps, where rows come from and how models are run.

>>> from hala.recipe_data import Data
>>> Data(world="pairs", take=10).split
'train'
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hala.errors import InputError, nearest
from hala.known_data import known, table
from hala.languages import add_language, find_code


class Section(BaseModel):
    """One part of a recipe: unknown keys are forbidden and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Accepts:
    """Marks a field that may hold `$step`, and which kinds of artefact that step must produce."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds


class Execution:
    """Marks a field that never changes what a step makes, only where or how long it works or how the result is tested.

    It is no part of the step's identity.
    """


class Described:
    """Marks a field whose values name benchmarks (with what they were translated from, but for a `suite`) or probes.

    They ship or are files (`mine.toml`); what they hold is part of the step's identity.
    """

    def __init__(self, kind: Literal["benchmark", "suite", "probes"] = "benchmark") -> None:
        self.kind = kind


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def as_data(value: Any) -> Any:
    """The settings of data that is named by a string alone: a step or a path; anything else as it is."""
    if isinstance(value, str):
        return {"ref": value} if value.startswith("$") else {"path": value}
    return value


def _as_data_tuple(value: Any) -> Any:
    # A variable may stand for a list inside a list.
    return tuple(as_data(part) for item in as_tuple(value) for part in as_tuple(item))


def _code(said: str) -> str:
    """The code of a language; what is wrong is said as part of a sentence, which goes on with the place in the recipe."""
    try:
        return find_code(said)
    except InputError as error:
        raise ValueError(f"{str(error).rstrip('.')}; it stands") from None


class Languages(Section):
    source: str = "en"
    """Language that the instruction data is written in: a code (`en`, `eng`) or a name."""
    target: str = "ar"
    """Language that gets its own models: a code, a name, or a file that `hala new-language` wrote (`fa.toml`)."""
    files: dict[str, str] = {}
    """Made from files that are named above: what they hold, by language."""

    @model_validator(mode="before")
    @classmethod
    def _from_files(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data, files = dict(data), dict(data.get("files") or {})
        for side in ("source", "target"):
            path = Path(str(data.get(side, "")))
            if path.suffix == ".toml":
                data[side] = add_language(path).code
                # Its lexicon, where there is one, lies beside it.
                held = [each.read_bytes() for each in (path, path.with_suffix(".txt")) if each.is_file()]
                files[data[side]] = hashlib.sha256(b"\0".join(held)).hexdigest()
            elif isinstance(data.get(side), str):
                data[side] = _code(data[side])
        if data.get("source", "en") == data.get("target", "ar"):
            raise ValueError(f"source and target are both {data.get('target', 'ar')}; two different ones are needed")
        return {**data, "files": files}

    @model_serializer(mode="wrap")
    def _without_no_files(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return {key: value for key, value in content.items() if key != "files" or value}


Scalar = str | bool | int | float | None
Column = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int) else name)]


class Data(Section):
    """Where rows come from: exactly one of `ref`, `path`, `hub` or `world`."""

    ref: Annotated[str | None, Accepts("rows")] = None
    """Rows of an earlier step, `$name`; in a list simply write `$name`."""
    path: str | None = None
    """A file or folder: .jsonl, .json, .csv, .tsv, .txt, .tmx, .xliff (also .gz, .zst), .parquet, or rows made by hala."""
    target: str | None = None
    """Second text file, aligned line by line with `path`."""
    hub: str | None = None
    """A dataset of the Hugging Face hub, `owner/name`; one that hala knows (`like`) needs no columns."""
    like: str | None = None
    """A data set or a shape that hala knows, for a copy of it: `OpenOrca`, `alpaca`, `sharegpt`. Its columns, conditions and
    licence are taken for every key that is not given."""
    world: Literal["pairs", "sentences", "conversations", "texts", "questions", "instructions"] | None = None
    """The small bilingual world that ships with hala (CC0)."""
    topics: tuple[str, ...] = ()
    """Topics of the world's rows, for example `[capitals, months]`; none means all."""
    config: str | None = None
    """Configuration of the hub dataset."""
    revision: str | None = None
    """Commit, tag or branch of the hub dataset; none means the newest, and the manifest says which it was."""
    split: str = "train"
    """`train`, `test`, ... of a hub dataset; `train` or `heldout` of the world, and of files divided by `holdout`."""
    format: Literal["jsonl", "json", "csv", "tsv", "parquet", "txt", "document", "tmx", "xliff"] | None = None
    """Format of `path`; none means that the file's ending tells."""
    header: bool | None = None
    """Whether the first line of a .csv or .tsv file names the columns; none means that its words tell."""
    shape: Literal["messages", "conversations", "instruction", "prompt", "question", "pair", "text"] | None = None
    """What a record holds; none means that its field names, or those of `columns`, tell."""
    columns: dict[str, Column] | None = None
    """Column map, for example `{source: en, target: ar}`, by number from 0 without a header; none means that the shape is
    recognised from the rows."""
    where: dict[str, Scalar | list[Scalar]] | None = None
    """Keep rows whose column equals the value, or is one of the values: `{translation: HT}`, `{level: [1, 2], good: true}`."""
    holdout: str | None = None
    """Column whose values are divided by hash into train and held-out groups, for example `doc`: no group is in both.
    A record without it is malformed."""
    holdout_share: float = Field(default=0.02, gt=0.0, lt=1.0)
    """Share of the groups that `split: heldout` keeps and `split: train` leaves out, when `holdout` names a column."""
    keep: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Columns that go along in the rows' notes: a dialect, a category, a difficulty."""
    sample: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the rows to keep, chosen by the hash of their content and `seed`, after `skip` and `take`."""
    weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """How often its rows come in a mix: 2 gives each row twice, 0.5 every other one, 2.5 each twice and half of them once more;
    which ones, their ids decide."""
    skip: int = Field(default=0, ge=0)
    """Rows to leave out at the start, after `where` and `holdout`."""
    take: int | None = Field(default=None, ge=1)
    """Rows to read after `skip`; none means all."""
    seed: int = 0
    """Order of the world's rows; of other data which rows a `sample` holds."""
    stop_above: Annotated[float, Execution()] = Field(default=0.5, gt=0.0, le=1.0)
    """Stop when more than this share of the records read so far, at least 1,000, cannot be used."""
    lang: str | None = None
    """Language of the rows; none means what the target column of pairs is named after, else unknown. Rows that hala wrote have
    their own, as they have a licence: there it is refused. The world knows its own too;
    there it chooses the language of conversations and questions, `en` or `ar`."""
    arabic_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of Arabic statements in the world's running text."""
    licence: str = ""
    """Licence of the rows, kept with each of them."""

    @model_validator(mode="before")
    @classmethod
    def _as_known(cls, data: Any) -> Any:
        """What is known of a hub data set, or of the one that the data is like, for every key that is not given."""
        if not isinstance(data, dict) or not isinstance(name := data.get("like") or data.get("hub"), str):
            return data
        found = known(name)
        if data.get("like") and not found:
            names = [part for each in table() for part in (each, each.rpartition("/")[2])]
            raise ValueError(f"like: '{name}' is none that hala knows.{nearest(name, names)}")
        if data.get("shape") or data.get("columns"):  # they describe the records together
            found = {key: value for key, value in found.items() if key not in ("shape", "columns")}
        if not data.get("hub"):
            found.pop("config", None)
        return {**found, **data}

    @model_validator(mode="after")
    def _one_place(self) -> Data:
        named = [key for key in ("ref", "path", "hub", "world") if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(f"data needs exactly one of ref, path, hub, world; found {', '.join(named) or 'none'}")
        if self.ref is not None and not self.ref.startswith("$"):
            raise ValueError(f"ref names an earlier step, '${self.ref}'; found '{self.ref}'")
        self._refuse_idle(named[0])
        return self

    def _refuse_idle(self, place: str) -> None:
        """A setting that would do nothing is refused. Raises ValueError."""
        given = self.model_fields_set
        if place == "ref" and (idle := sorted(given - {"ref", "skip", "take", "weight"})):
            raise ValueError(f"{', '.join(idle)} does nothing for rows of a step; ref knows skip, take and weight")
        if place == "world" and (idle := sorted(given - WORLD_KEYS)):
            raise ValueError(f"{', '.join(idle)} does nothing for the world; it knows {', '.join(sorted(WORLD_KEYS))}")
        if place != "world" and (idle := sorted(given & {"topics", "arabic_share"})):
            raise ValueError(f"{', '.join(idle)} does nothing for {place}; only the world has topics and shares")
        if place == "hub" and (idle := sorted(given & {"target", "format", "header"})):
            raise ValueError(f"{', '.join(idle)} does nothing for a hub dataset; they describe a file")
        if taken := sorted(NOTES & set(self.keep)):
            raise ValueError(f"notes called {taken[0]} are hala's own; rename the column in the data")
        if place == "path" and self.split != "train" and not self.holdout:
            raise ValueError(f"a file has no split '{self.split}'; add holdout (a column that divides it), or drop split")


NOTES = frozenset({"route", "ladder", "tried", "kept", "tools", "leak"})
"""Notes of rows that steps write themselves."""
WORLD_KEYS = {"world", "weight", "topics", "split", "skip", "take", "seed", "lang", "arabic_share"}
"""Settings of the world's rows."""


def _only_questions(datas: tuple[Data, ...]) -> tuple[Data, ...]:
    """Files and the world's questions. Raises ValueError for any other data, and for settings that questions do not have."""
    for data in datas:
        if data.path is None and data.world != "questions":
            found = f"world: {data.world}" if data.world else f"ref: {data.ref}" if data.ref else f"hub: {data.hub}"
            raise ValueError(f"questions come from path (a file) or world: questions; found {found}")
        idle = sorted(
            data.model_fields_set
            & {"target", "format", "header", "shape", "columns", "where", "holdout", "sample", "weight", "keep"}
        )
        if idle:
            raise ValueError(f"{', '.join(idle)} does nothing for questions; a file of questions knows lang, skip and take")
    return datas


OneData = Annotated[Data, BeforeValidator(as_data)]
DataList = Annotated[tuple[Data, ...], BeforeValidator(_as_data_tuple)]
QuestionList = Annotated[tuple[Data, ...], BeforeValidator(_as_data_tuple), AfterValidator(_only_questions)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
ModelRef = Annotated[str, Accepts("checkpoint")]


class LocalSettings(Section):
    """How a model is run in this process."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format; `auto` is bfloat16 where the hardware multiplies it natively, else float32."""
    batch_tokens: int = Field(default=16_384, ge=64)
    """Tokens in one batch of the local engine, prompts and answers together."""


class EngineSettings(LocalSettings):
    """How a model is run, here or elsewhere."""

    engine: Literal["local", "vllm", "server", "ctranslate", "echo"] = "local"
    """`local` is transformers, `vllm` is for GPUs, `server` any OpenAI-compatible endpoint, `ctranslate` for translators that are
    no language models (OPUS-MT, NLLB, M2M-100), `echo` returns the input."""
    url: Annotated[str | None, Execution()] = None
    """Address of the server, ending in /v1."""
    api_key_env: Annotated[str | None, Execution()] = None
    """Name of the environment variable with the server's key; the key itself is never stored."""
    in_flight: Annotated[int, Execution()] = Field(default=128, ge=1)
    """Requests under way at once (server); as many more lie ready. A little above what the server runs at once is best."""
    timeout: Annotated[float, Execution()] = Field(default=120.0, gt=0.0, allow_inf_nan=False)
    """Seconds until an answer begins (server), time in the server's queue included; a whole exchange gets five times that."""
    error_budget: Annotated[float, Execution()] = Field(default=0.01, ge=0.0, le=1.0)
    """Share of requests that a server may fail, after all tries, before the run stops; fewer than 20 never stop it."""
    tensor_parallel: Annotated[int, Execution()] = Field(default=1, ge=1)
    """GPUs that share one copy of the model (vllm)."""
    max_model_len: int | None = None
    """Longest prompt plus answer in tokens (vllm); none means the model's own."""
    compute_type: Literal[
        "auto", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"
    ] = "auto"
    """Arithmetic (ctranslate); `auto` is int8 on a CPU and the fastest there is on a GPU."""
    beam_size: int = Field(default=1, ge=1, le=64)
    """Translations that are followed at once (ctranslate): 1 is greedy and fastest, 4 is usual where quality comes first."""
