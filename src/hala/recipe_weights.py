"""The sections of a recipe whose verbs work on weights alone: compress, merge and export.

>>> from hala.recipe_weights import Merge
>>> Merge(base="a", tuned="b").t
(0.5,)
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hala.recipe_data import Accepts, DataList, Execution, LocalSettings, ModelRef, Names, QuestionList, Section, as_tuple
from hala.schedules import schedule_error, spelling_error

Knots = float | tuple[float, ...]
Schedule = float | dict[str, Knots]


class Recovery(LocalSettings):
    """A translation test that an 8-bit checkpoint must pass beside its original."""

    pairs: DataList
    """Sentence pairs that both translate."""
    tolerance: Annotated[float, Execution()] = Field(default=1.0, ge=0.0)
    """Largest loss that passes, in points of BLEU and of chrF++; the step fails beyond it. It can be changed later, and nothing
    is translated again."""
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
    verify: Annotated[bool, Execution()] = False
    """Read every byte back, hold it against the original, and load the result with transformers where memory allows. Can be
    asked of a finished step too."""
    recovery: Annotated[Recovery | None, Execution()] = None
    """Translation test of the result against the original; none means no test. Can be asked of a finished step too."""
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


def _as_values(t: Any) -> Any:
    """Values of t as a tuple; said in our words, for a union's own error lists every type it tried."""
    values = as_tuple(t)
    if problem := next(filter(None, map(spelling_error, values)), None):
        raise ValueError(problem)
    return values


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
    mode: Literal["float64-sums", "exact"] = "float64-sums"
    """How slerp adds up: `float64-sums` is nearer to the formula; `exact` is bit-equal to mergekit, and loads torch."""
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
        if self.mode == "exact" and (self.method != "slerp" or self.rounding != "nearest"):
            raise ValueError("mode: exact is for method: slerp and rounding: nearest")
        if ("search" in self.t) != (self.search is not None) or ("search" in self.t and len(self.t) > 1):
            raise ValueError("t: search stands alone and needs the key search, which says what to score with")
        if self.search is not None and self.method == "soup":
            raise ValueError("a soup has no t to search for; give weights")
        return self


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
