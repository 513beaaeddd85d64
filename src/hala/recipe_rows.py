"""The sections of a recipe whose verbs make rows: translate, filter and mix.

>>> from hala.recipe_rows import Filter
>>> Filter(data="pairs.jsonl").dedup
True
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hala.recipe_data import (
    DataList,
    Described,
    EngineSettings,
    Execution,
    ModelRef,
    Names,
    OneData,
    QuestionList,
    Section,
    as_tuple,
)

Policy = Literal["translate", "keep", "drop"]
SLACK = 0.005  # a share of 0.33, three times, is meant to be everything


class Judge(EngineSettings):
    """A language model that accepts or rejects sentence pairs."""

    model: ModelRef
    """The judge."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    max_tokens: int = Field(default=8, ge=1)
    """The verdict is one word."""
    threshold: float | None = Field(default=None, ge=0.0, le=1.0)
    """Keep a pair when the model gives yes at least this probability (local, vllm, server). None means that its word decides, or
    0.5 where labelled pairs have shown what its probabilities mean."""
    labelled: OneData | None = None
    """Pairs that people have labelled, good and bad: the judge is tried on them first. How far it agrees is said and stored in
    `judge.json`, and from then on `threshold` is meant in calibrated probabilities."""
    label: str = "good"
    """The column (in rows of a step the note) of the labelled pairs that says so: true, yes, good, 1, or the opposite."""


class Other(EngineSettings):
    """Another translator, for the segments that the first one fails."""

    model: ModelRef
    """The translator: `$step`, a folder or a hub id."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    prompt: str | None = None
    """Its prompt, like `prompt` of translate."""


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
    context: bool = False
    """Show short segments, and those that begin with a pronoun, the segment before them and its translation."""
    values: Names = ()
    """Keys of JSON objects, in documents and tool calls, whose strings are translated; all other JSON stays as it is."""
    system: Policy = "translate"
    """System turns: `translate`, `keep` in the source language, or `drop`."""
    tool: Policy = "keep"
    """What tools answered: `translate`, `keep` or `drop`."""
    thinking: Policy = "translate"
    """A model's thinking between tags such as `<think>`: `translate`, `keep` or `drop`."""
    router: Literal["rules", "none"] = "rules"
    """`rules` looks for tasks that do not survive translation (spelling, rhymes, letters, code alone): such rows are kept as
    they are, adapted or dropped, with the rule in their notes."""
    vote: Judge | None = None
    """Ask a language model about rows where an uncertain rule of the router fired."""
    gates: Names = ("default",)
    """`default`, `none`, or names of gates."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest translation of one segment in tokens; one that is cut off there is never accepted."""
    max_chars: int = Field(default=1200, ge=40)
    """Paragraphs longer than this are split at sentence ends."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy, which translation wants."""
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    """Reject a segment whose tokens have a lower mean probability (local, ctranslate): it tells nonsense from translation."""
    retries: int = Field(default=1, ge=0, le=5)
    """Further tries for a segment that fails, sampled at `retry_temperature` with another seed."""
    retry_temperature: float | None = Field(default=None, gt=0.0)
    """Temperature of the further tries. None means what suits the model: its generation_config.json, else the card of its family
    (LFM2: 0.3), else 0.3. In any case `top_p`, `min_p` and `repetition_penalty` come from there, for sampled tries only."""
    split: bool = True
    """Try a segment that failed again sentence by sentence."""
    other: Other | None = None
    """Another translator for what still fails."""
    seed: int = 0
    """Seed of sampling."""
    memory: Annotated[str, Execution()] = "auto"
    """The translation memory: a folder, `none`, or `auto` for the one that all runs share (`$HALA_HOME/memory`, by default
    `~/.cache/hala/memory`). It holds what models answered; gates look at it anew."""
    shard_rows: int = Field(default=1000, ge=1)
    """Input rows in one shard of the result."""
    stop_above: Annotated[float, Execution()] = Field(default=1.0, gt=0.0, le=1.0)
    """Stop when more than this share of the rows read so far (at least 1,000) is rejected."""


class Filter(Section):
    """Rows in, the good ones out; the others are stored with the reason."""

    data: DataList
    """Rows to look at."""
    gates: Names = ("default",)
    """`default`, `none`, or names of gates. Rows without `original` in the target language (their `lang`) meet html,
    literal_newline, latex, repetition, script and wrong_language; where `lang` is unknown the first four; others none."""
    dedup: bool = True
    """Drop exact duplicates after normalisation, first one kept."""
    near: float | None = Field(default=None, gt=0.0, le=1.0)
    """Drop near duplicates too: rows whose conversation, or the original of it, shares at least this part of its runs of three
    words with that of a row kept before (0.8 is usual; estimated by MinHash). Texts of fewer than 20 words are left alone."""
    judge: Judge | None = None
    """Ask a language model about each pair."""
    decontaminate: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Described()] = ()
    """Suites or benchmarks by name, or files of benchmarks: their questions, and those that they were translated from, must not
    occur in the rows."""
    questions: QuestionList = ()
    """Further questions that must not occur in the rows: files, or `world: questions`."""
    leaks: Literal["drop", "keep"] = "drop"
    """What becomes of rows with such questions. With `keep` they stay, with a note `leak`. Either way `leaks.jsonl` lists the
    questions that were found, and `evaluate` (its `leaks`) scores models without them too."""
    code: Literal["keep", "drop"] = "keep"
    """`drop` leaves out rows that hold code, between fences or not: the published corpus did so with Hermes-3."""
    min_chars: int = Field(default=1, ge=0)
    """Shortest message in characters."""
    max_chars: int = Field(default=100_000, ge=1)
    """Longest row in characters."""
    shard_rows: int = Field(default=2000, ge=1)
    """Input rows in one shard."""


class Part(Section):
    """One part of a mix: its rows, how much of the mix they are, and where in it they stand."""

    data: DataList
    """Rows of the part."""
    share: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of the mix's tokens. Parts without one divide what the others leave, in proportion to what they can give."""
    repeat: int = Field(default=1, ge=1, le=100)
    """How often a row may come at most."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens that the part gives at most, repeats included."""
    start: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Where its rows begin: 0 is the beginning of the mix, 1 its end."""
    end: float = Field(default=1.0, gt=0.0, le=1.0)
    """Where its rows end. They are spread evenly in between, so parts that overlap go over into each other."""

    @model_validator(mode="after")
    def _can_be_meant(self) -> Part:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start:g}) must be before end ({self.end:g}): the part stands in between")
        if any("weight" in data.model_fields_set for data in self.data):
            raise ValueError("weight does nothing for a part; say how much of it with share, how often with repeat")
        return self


def _as_parts(value: Any) -> Any:
    """A string is a part of that data alone."""
    return tuple({"data": part} if isinstance(part, str) else part for part in as_tuple(value))


def _add_up(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts whose shares can all be true. Raises ValueError for others."""
    shares = [part.share for part in parts if part.share is not None]
    total, said = sum(shares), " + ".join(f"{share:g}" for share in shares)
    if not parts:
        raise ValueError("a mix needs at least one part")
    if total > 1 + SLACK:
        raise ValueError(f"the shares are {total:g} in sum ({said}); they are parts of the mix's tokens, 1 at most")
    if len(shares) == len(parts) and total < 1 - SLACK:
        raise ValueError(f"the shares are {total:g} in sum ({said}), and no part without a share takes the rest")
    if len(shares) < len(parts) and total > 1 - SLACK:
        raise ValueError(f"the shares are {total:g} in sum ({said}), and leave nothing to the parts without one")
    return parts


class Mix(Section):
    """Rows of several parts in, one set of rows out: shares in tokens, caps, repeats, and an order for training."""

    parts: Annotated[tuple[Part, ...], BeforeValidator(_as_parts), AfterValidator(_add_up)]
    """What is mixed."""
    tokenizer: ModelRef
    """The checkpoint whose tokenizer counts the tokens of the messages: `$step`, a folder or a hub id."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    tokens: int | None = Field(default=None, ge=1)
    """Size of the mix; none means as large as the parts allow. A part that cannot give its share makes the mix smaller."""
    short_share: float = Field(default=0.0, ge=0.0, lt=1.0)
    """At least this share of the rows is short. When chance would give fewer, short rows are preferred; when there are too few
    of them, the mix gets smaller. Translators that saw 15% of short samples go wrong less often on short input."""
    short_words: int = Field(default=30, ge=1)
    """Words of all messages together, divided by spaces, up to which a row is short."""
    seed: int = 0
    """Which rows come, and where they stand."""
    store_rejected: bool = True
    """Store the rows that were left out, too; if not, they are only counted."""
    shard_rows: int = Field(default=2000, ge=1)
    """Rows in one shard of the result."""
