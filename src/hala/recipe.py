"""A recipe: every knob of hala exactly once, typed, with its default and its reason.

A recipe file is YAML 1.2 (`1e-5` is a number, `no` is Norwegian). Unknown keys, wrong types and wrong references are
refused with file and line before anything heavy loads.

>>> from hala.recipe import load
>>> load("recipes/quickstart.yaml").steps["student"].verb   # doctest: +SKIP
'tune'
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from hala.recipe_data import Accepts as Accepts
from hala.recipe_data import Data as Data
from hala.recipe_data import DataList, Execution, Names, QuestionList, as_tuple
from hala.recipe_data import Languages as Languages
from hala.recipe_data import Section as Section
from hala.schedules import schedule_error, spelling_error

ModelRef = Annotated[str, Accepts("checkpoint")]
Knots = float | tuple[float, ...]
Schedule = float | dict[str, Knots]


def _as_values(t: Any) -> Any:
    """Values of t as a tuple; said in our words, for a union's own error lists every type it tried."""
    values = as_tuple(t)
    if problem := next(filter(None, map(spelling_error, values)), None):
        raise ValueError(problem)
    return values


class LocalSettings(Section):
    """How a model is run in this process."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format; `auto` is bfloat16 where the hardware multiplies it natively, else float32."""
    batch_tokens: int = Field(default=16_384, ge=64)
    """Tokens in one batch of the local engine, prompts and answers together."""


class Recovery(LocalSettings):
    """A translation test that an 8-bit checkpoint must pass beside its original."""

    pairs: DataList
    """Sentence pairs that both translate."""
    tolerance: Annotated[float, Execution()] = Field(default=1.0, ge=0.0)
    """Largest loss that passes, in points of BLEU and of chrF++; the step fails beyond it. After a failure it can be changed, and
    nothing is translated again."""
    prompt: str | None = None
    """Translation prompt; none means what the checkpoint was trained with, else the default."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest translation in tokens."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many sentence pairs of each set."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples behind the interval of the loss."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""


class Compress(Section):
    """Checkpoint in, 8-bit checkpoint out."""

    model: ModelRef
    """The checkpoint: `$step`, a folder, or a hub id."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    scheme: Literal["fp8-dynamic", "fp8-block", "int8-dynamic"] = "fp8-dynamic"
    """W8A8 without calibration data, activations scaled at run time: FP8 with a scale for each output channel, FP8 with one for
    each 128x128 block, or int8 with a scale for each output channel, which is the one for CPUs."""
    mode: Literal["float32-scale", "exact"] = "float32-scale"
    """`float32-scale` has the lower error; `exact` is bit-equal to llm-compressor."""
    ignore: Names | None = None
    """Module names or `re:` patterns kept as they are; none means what is safe for the architecture."""
    keep: Names = ()
    """More modules to keep, by name or `re:` pattern; `auto` measures every layer and keeps those that suffer most."""
    keep_budget: float = Field(default=0.05, ge=0.0, le=1.0)
    """What `keep: auto` may add to the size of the 8-bit checkpoint, as a share of it."""
    prompts: DataList = ()
    """Texts, pairs or chats for `keep: auto`: layers are then judged by what the model says and not by their weights alone."""
    prompt_rows: int = Field(default=16, ge=1)
    """How many rows of `prompts` are used."""
    verify: bool = False
    """Read every byte back, hold it against the original, and load the result with transformers where memory allows."""
    recovery: Recovery | None = None
    """Translation test of the result against the original; none means no test."""
    device: Annotated[Literal["auto", "cpu", "cuda"], Execution()] = "auto"
    """Where the arithmetic is done; `auto` takes a GPU for checkpoints large enough to pay for it. The bytes are the same."""
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    """Largest output file in bytes; each finished file survives a kill."""

    @model_validator(mode="after")
    def _used(self) -> Compress:
        idle = sorted(self.model_fields_set & {"keep_budget", "prompts", "prompt_rows"})
        if idle and "auto" not in self.keep:
            raise ValueError(f"{', '.join(idle)} does nothing without keep: auto")
        return self


class EngineSettings(LocalSettings):
    """How a model is run, here or elsewhere."""

    engine: Literal["local", "vllm", "server", "echo"] = "local"
    """`local` is transformers, `vllm` is for GPUs, `server` any OpenAI-compatible endpoint, `echo` returns the input."""
    url: Annotated[str | None, Execution()] = None
    """Address of the server, ending in /v1."""
    api_key_env: Annotated[str | None, Execution()] = None
    """Name of the environment variable with the server's key; the key itself is never stored."""
    tensor_parallel: Annotated[int, Execution()] = Field(default=1, ge=1)
    """GPUs that share one copy of the model (vllm)."""
    max_model_len: int | None = None
    """Longest prompt plus answer in tokens (vllm); none means the model's own."""


class Translate(EngineSettings):
    """Rows in, translated rows out; every row that fails a gate is kept apart with its reason."""

    data: DataList
    """Rows to translate."""
    model: ModelRef = ""
    """The translator: `$step`, a folder or a hub id; not needed by the echo engine."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    prompt: str | None = None
    """Prompt with `{text}` (and `{language}`); none means what the checkpoint was trained with, else the default prompt."""
    mode: Literal["segments", "whole"] = "segments"
    """`segments` sends each paragraph alone, code and formulas never; `whole` sends a message in one piece, as the report did."""
    gates: Names = ("default",)
    """`default`, `none`, or names of gates."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest translation of one segment in tokens."""
    max_chars: int = Field(default=1200, ge=40)
    """Paragraphs longer than this are split at sentence ends."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy, which translation wants."""
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    """Reject a segment whose tokens have a lower mean probability (local engine): it tells fluent nonsense from translation."""
    retries: int = Field(default=1, ge=0, le=5)
    """Further tries for a segment that fails, sampled at `retry_temperature` with another seed."""
    retry_temperature: float = Field(default=0.3, gt=0.0)
    """Temperature of the further tries."""
    seed: int = 0
    """Seed of sampling."""
    shard_rows: int = Field(default=500, ge=1)
    """Input rows in one shard: what a kill can cost."""
    stop_above: Annotated[float, Execution()] = Field(default=1.0, gt=0.0, le=1.0)
    """Stop when more than this share of the rows read so far (at least 1,000) is rejected."""


class Judge(EngineSettings):
    """A language model that accepts or rejects sentence pairs."""

    model: ModelRef
    """The judge."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    max_tokens: int = Field(default=8, ge=1)
    """The verdict is one word."""


class Filter(Section):
    """Rows in, the good ones out; the others are stored with the reason."""

    data: DataList
    """Rows to look at."""
    gates: Names = ("default",)
    """`default`, `none`, or names of gates. Rows without `original` in the target language (their `lang`) meet html,
    literal_newline, latex, repetition, script and wrong_language; where `lang` is unknown the first four; others none."""
    dedup: bool = True
    """Drop exact duplicates after normalisation, first one kept."""
    judge: Judge | None = None
    """Ask a language model about each pair."""
    decontaminate: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Suites or benchmarks by name whose questions must not occur in the rows."""
    questions: QuestionList = ()
    """Further questions that must not occur in the rows: files, or `world: questions`."""
    min_chars: int = Field(default=1, ge=0)
    """Shortest message in characters."""
    max_chars: int = Field(default=100_000, ge=1)
    """Longest row in characters."""
    shard_rows: int = Field(default=2000, ge=1)
    """Input rows in one shard."""


class New(Section):
    """A model from random initialisation."""

    architecture: Literal["lfm2"] = "lfm2"
    """LFM2: short convolutions alternating with grouped-query attention."""
    hidden_size: int = Field(default=192, ge=16)
    """Width."""
    layers: int = Field(default=6, ge=1)
    """Blocks; every `attention_every`-th is attention, the others are short convolutions."""
    attention_every: int = Field(default=2, ge=1)
    """2 alternates convolution and attention."""
    ff_size: int = Field(default=512, ge=16)
    """Width of the feed-forward part."""
    heads: int = Field(default=4, ge=1)
    """Attention heads."""
    kv_heads: int = Field(default=2, ge=1)
    """Key-value heads."""
    vocab_size: int = Field(default=4000, ge=300)
    """Size of the byte-level BPE vocabulary that is trained on the step's data."""
    max_positions: int = Field(default=2048, ge=32)
    """Longest context in tokens."""
    tokenizer: Annotated[str | None, Accepts("checkpoint")] = None
    """Take the tokenizer of this checkpoint instead of training one."""


class Tune(Section):
    """Rows in, a trained checkpoint out."""

    data: DataList
    """Training rows."""
    base: ModelRef = ""
    """Checkpoint to start from; give `new` instead to start from random weights."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    new: New | None = None
    """A model from random initialisation."""
    task: Literal["chat", "translation", "text"] = "chat"
    """`chat` and `translation` train the answer only, `text` every token."""
    prompt: str | None = None
    """Translation prompt with `{text}`; none means the released Hala translator's."""
    mask: bool = True
    """Replace code, URLs, formulas and placeholders of sentence pairs by sentinels, as `translate` does."""
    eval_data: DataList = ()
    """Rows whose loss is measured while training."""
    eval_rows: int = Field(default=500, ge=1)
    """At most so many of them."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the data, unless `max_steps` is reached before."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after so many optimizer steps; the schedule ends there."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak rate of AdamW. 2e-5 suits LFM2 checkpoints; from random weights 1e-3 to 4e-3."""
    muon_learning_rate: float = Field(default=0.02, gt=0)
    """Peak rate of the matrices under `optimizer: muon`; the rest follows `learning_rate`."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` (with AdamW for embeddings and vectors) learns more per token when training from random weights."""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """Shape of the learning rate after warm-up; cosine ends at 10% of the peak."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps with a rising learning rate."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay on matrices."""
    beta2: float = Field(default=0.95, gt=0, lt=1)
    """Second-moment decay of AdamW."""
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    batch_tokens: int = Field(default=65_536, ge=64)
    """Tokens in one optimizer step, over all devices."""
    micro_tokens: int | None = Field(default=None, ge=64)
    """Tokens in one forward pass; none means the whole step up to 4,096 tokens, and at least one packed row, on any device."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    max_length: int = Field(default=4096, ge=16)
    """Length of a packed row; longer examples are split (text) or rejected (chat, translation), and counted."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic; masters stay float32. `auto` is bfloat16 where the hardware multiplies it natively."""
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the finished checkpoint. Float32 masters keep small changes that merging needs; bfloat16 is half the size."""
    save_steps: Annotated[int, Execution()] = Field(default=500, ge=1)
    """Optimizer steps between checkpoints for resuming, at most; a shorter training is saved after every eighth of its steps."""
    eval_steps: int = Field(default=200, ge=1)
    """Optimizer steps between evaluations."""
    seed: int = 0
    """Initial weights and data order."""

    @model_validator(mode="after")
    def _one_start(self) -> Tune:
        if bool(self.base) == (self.new is not None):
            raise ValueError("tune needs exactly one of base (a checkpoint) and new (random weights)")
        return self


class Search(LocalSettings):
    """Choosing `t` by a small evaluation: half of its items choose, the other half says how good the choice is."""

    questions: QuestionList = ()
    """Multiple-choice questions, scored by accuracy: files, or `world: questions`."""
    pairs: DataList = ()
    """Sentence pairs, scored by chrF++ of the translations."""
    t: Annotated[tuple[float, ...], BeforeValidator(as_tuple)] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Values to try, one merge each; 0 (the base), 0.5 and 1 are always among them."""
    groups: Names = ()
    """Groups of tensors that then get a value of their own, one after the other, where that scores above the best number."""
    best: str | None = None
    """Set whose score decides, by its name in tables (a file's name); none means the mean of all sets. Of equal ones the value
    nearest to 0.5 wins."""
    keep: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    """Sets that may score at most so many points below the base: `{questions-en.jsonl: 1.0}`."""
    profile: str = "cloze"
    """How questions become prompts."""
    prompt: str | None = None
    """Translation prompt; none means what the tuned checkpoint was trained with, else the default."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest translation in tokens."""
    limit: int | None = Field(default=None, ge=2)
    """At most so many items of each set: the first sentence pairs, but questions evenly spaced, so that all subjects stay."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples behind the intervals of chrF++ and of differences."""
    seed: int = Field(default=0, ge=0)
    """Which items are in which half, and the bootstrap."""

    @model_validator(mode="after")
    def _something(self) -> Search:
        if not (self.questions or self.pairs):
            raise ValueError("search needs questions or pairs to score with")
        return self


class Merge(Section):
    """Checkpoints in, one between or beyond them out."""

    base: ModelRef
    """Checkpoint at t = 0."""
    tuned: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("checkpoint")]
    """Checkpoint at t = 1, or several for soup, task_arithmetic, ties and dare; the first one's tokenizer is kept."""
    base_revision: str | None = None
    """Revision of a hub base."""
    tuned_revision: str | None = None
    """Revision of hub tuned models."""
    method: Literal["slerp", "linear", "soup", "task_arithmetic", "ties", "dare_linear", "dare_ties"] = "slerp"
    """`slerp` and `linear` go from base to tuned; `soup` is a weighted mean; the others add what several models changed."""
    t: Annotated[tuple[Schedule | Literal["search"], ...], BeforeValidator(_as_values)] = (0.5,)
    """Where between the two: a number, `{gradient: [0, 0.5, 1]}` over the layers, or values by group (`embeddings`, `attention`,
    `conv`, `feed_forward`, `norms`, `head`, `default`); a list makes one checkpoint for each. For methods that add, a factor.
    `search` tries values and keeps the best."""
    search: Search | None = None
    """How `t: search` chooses."""
    weights: Annotated[tuple[float, ...], BeforeValidator(as_tuple)] = ()
    """One for each tuned model; none means equal."""
    density: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of each change that ties and dare keep."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Number format of the result; none means the tuned model's. Merge float32 masters and round once: bfloat16."""
    rounding: Literal["nearest", "stochastic"] = "nearest"
    """`stochastic` keeps changes smaller than half a BF16 step on average."""
    seed: int = Field(default=0, ge=0)
    """Of stochastic rounding and of what dare drops."""
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    """Largest output file in bytes."""

    @model_validator(mode="after")
    def _between(self) -> Merge:
        names = [json.dumps(t, sort_keys=True) for t in self.t]
        if not names or len(set(names)) != len(names):
            raise ValueError("t must be one or several different values")
        tried = (*self.t, *(self.search.t if self.search else ()))
        if problem := next(filter(None, (schedule_error(t) for t in tried if t != "search")), None):
            raise ValueError(problem)
        if not all(map(math.isfinite, self.weights)):
            raise ValueError("weights must be finite numbers")
        if self.method in ("slerp", "linear") and any(isinstance(t, float) and not 0.0 <= t <= 1.0 for t in tried):
            raise ValueError("t must be between 0 and 1")
        if ("search" in self.t) != (self.search is not None) or ("search" in self.t and len(self.t) > 1):
            raise ValueError("t: search stands alone and needs the key search, which says what to score with")
        if self.search is not None and self.method == "soup":
            raise ValueError("a soup has no t to search for; give weights")
        return self


class Evaluate(LocalSettings):
    """Checkpoints in, scores with 95% intervals out."""

    models: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("checkpoint", "checkpoints")]
    """Checkpoints to compare; the first is the baseline."""
    pairs: DataList = ()
    """Sentence pairs: BLEU and chrF++ of the models as translators."""
    questions: QuestionList = ()
    """Multiple-choice questions, scored by log-likelihood: files, or `world: questions`."""
    suite: str | None = None
    """A named set of benchmarks from the hub, for example `oall-v2`; the mean of several is one score more."""
    profile: str | None = None
    """How questions become prompts; none means `oall-v2` for that suite and `cloze` for own questions."""
    prompt: str | None = None
    """Translation prompt; none means what each checkpoint was trained with, else the default."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest translation in tokens."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many items of each set: the first sentence pairs, but questions evenly spaced, so that all subjects stay."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples behind the intervals. Accuracies have Wilson's (or, for a mean of subsets, the normal) interval in
    `low` and `high`; `scores.json` adds `bootstrap_low` and `bootstrap_high` where the score counts items, not subsets."""
    seed: int = 12345
    """Seed of the bootstrap."""


class Export(Section):
    """Checkpoint in, one file for edge devices or a plain folder for any engine out."""

    model: ModelRef
    """The checkpoint."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    format: Literal["gguf", "hf"] = "gguf"
    """`gguf` is one file, as llama.cpp reads it; `hf` a plain folder, as transformers, vLLM and converters of any age read it."""
    quant: Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"] = "q8_0"
    """Number format of the matrices (gguf); those of less than 8 bits are made by llama.cpp's own quantiser."""
    splitter: str | None = None
    """llama.cpp's name of the rule that cuts text into words (gguf), for example `gpt-2`; none means that the tokenizer tells."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Number format of the tensors (hf), 8-bit ones unpacked; none means that every tensor stays as it is."""
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    """Largest output file in bytes (hf)."""

    @model_validator(mode="after")
    def _of_the_format(self) -> Export:
        other = {"hf": ("quant", "splitter"), "gguf": ("dtype", "shard_bytes")}[self.format]
        if idle := [key for key in other if getattr(self, key) != Export.model_fields[key].default]:
            raise ValueError(f"{idle[0]} says nothing about the format {self.format}")
        return self


class Report(Section):
    """A run in, one offline HTML file out."""

    title: str = ""
    """Heading; none means the recipe's name."""


class Release(Section):
    """A checkpoint with its data and scores in, a folder ready for the hub out."""

    model: ModelRef
    """The checkpoint to publish."""
    data: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("rows")] = ()
    """Steps whose rows it was trained on: their licences and counts enter the card."""
    scores: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("scores")] = ()
    """Steps whose scores enter the card."""
    name: str = ""
    """Name of the model; none means the recipe's name."""
    licence: str = ""
    """Licence of the base weights; none means what the checkpoint says."""


SECTIONS: dict[str, type[Section]] = {
    "compress": Compress,
    "translate": Translate,
    "filter": Filter,
    "tune": Tune,
    "merge": Merge,
    "evaluate": Evaluate,
    "export": Export,
    "report": Report,
    "release": Release,
}


def identity(kind: type[Section], config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a section's plain settings that decides what the step makes: all but the fields marked Execution."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        info = kind.model_fields.get(name)
        if info is not None and any(isinstance(mark, Execution) for mark in info.metadata):
            continue
        parts = get_args(info.annotation) if info is not None and isinstance(value, dict) else ()
        inner = next((part for part in parts if isinstance(part, type) and issubclass(part, Section)), None)
        kept[name] = identity(inner, value) if inner is not None else value
    return kept


class Step(Section):
    """A named step: one verb and its settings."""

    name: str
    verb: str
    settings: Section


class Recipe(Section):
    """An ordered list of named steps."""

    name: str
    languages: Languages = Languages()
    steps: dict[str, Step]
