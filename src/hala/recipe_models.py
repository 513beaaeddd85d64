"""The sections of a recipe whose verbs train and score models: tune and evaluate.

>>> from hala.recipe_models import New
>>> New(hidden_size=64).layers
6
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from hala.recipe_data import (
    Accepts,
    DataList,
    Described,
    EngineSettings,
    Execution,
    LocalSettings,
    ModelRef,
    QuestionList,
    Section,
    as_tuple,
)


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


class Lora(Section):
    """Low-rank adapters that are trained in place of all weights, then merged into them; peft's own files stay in `adapter/`."""

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter: 16 has 1.7% of the parameters of LFM2-350M."""
    alpha: float = Field(default=32.0, gt=0)
    """What an adapter says is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that is left out at random while training."""
    targets: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Linear layers by the end of their names, for example `[q_proj, v_proj, conv.in_proj]`; none means all in the blocks."""
    base_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the frozen weights while training: bfloat16 takes half the memory, and what a float32 base has beyond it is lost."""


class Directions(Section):
    """Which way a translator learns to translate; each number is the share of all pairs that it learns that way."""

    forward: float = Field(default=1.0, ge=0, le=1)
    """From the source language to the target."""
    backward: float = Field(default=0.0, ge=0, le=1)
    """From the target to the source, asked with the same prompt for the other language. `{forward: 0, backward: 1}` is that way
    alone, and 0.5 with 0.5 takes each pair one way."""


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
    lora: Lora | None = None
    """Train low-rank adapters in place of all weights: memory for AdamW and gradients shrinks to a few percent."""
    task: Literal["chat", "translation", "text"] = "chat"
    """`chat` and `translation` train the answer only, `text` every token. Among chats, sentence pairs are asked with `prompt`."""
    prompt: str | None = None
    """Translation prompt with `{text}`; none means the released Hala translator's."""
    directions: Directions = Directions()
    """Of a translation: one, the other or both, and how much of each."""
    mask: bool = True
    """Replace code, URLs, formulas and placeholders of sentence pairs by sentinels, as `translate` does."""
    eval_data: DataList = ()
    """Rows whose loss is measured while training."""
    eval_rows: int = Field(default=500, ge=1)
    """At most so many of them."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the data, where `max_steps` does not decide."""
    max_steps: int | None = Field(default=None, ge=1)
    """So many optimizer steps, whatever `epochs` says: the data is repeated, or not all of it seen."""
    learning_rate: float = Field(default=2e-5, gt=0)
    """Peak rate of AdamW. 2e-5 suits LFM2 checkpoints, 1e-4 to 2e-4 adapters (`lora`); from random weights 1e-3 to 4e-3."""
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
    on_bad_step: Literal["stop", "skip", "rollback"] = "stop"
    """For an update whose loss or gradient is not finite or a spike, caught before it is made: `stop` with an error, `skip` it,
    or `rollback` to the newest checkpoint (`save_steps`) and go on behind it. What is left out is counted."""
    max_bad_steps: int = Field(default=5, ge=1)
    """So many bad updates in a row stop the training all the same."""
    spike: float = Field(default=0.0, ge=0)
    """A spike is a loss or gradient norm so many robust deviations above the median of the last 64 updates; 0 looks for none, 10
    catches those that harm."""
    average: Literal["none", "ema", "last"] = "none"
    """Evaluate and keep an average of the weights, in float32: exponential, or the mean of those after the last updates."""
    average_decay: float = Field(default=0.999, gt=0, lt=1)
    """Of `ema`: what an update leaves of the average; less in the first updates, so that it keeps up."""
    average_last: int = Field(default=100, ge=1)
    """Of `last`: how many updates at the end."""
    batch_tokens: int = Field(default=65_536, ge=64)
    """Tokens in one optimizer step, over all devices."""
    micro_tokens: Annotated[int | None, Execution()] = Field(default=None, ge=64)
    """Tokens in one forward pass; none means the whole step up to 4,096 tokens, and at least one packed row, on any device."""
    gradient_checkpointing: Annotated[bool, Execution()] = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    max_length: int = Field(default=4096, ge=16)
    """Length of a packed row; longer examples are split (text) or rejected (chat, translation), and counted."""
    too_long: Literal["reject", "split"] = "reject"
    """Conversations longer than that: `split` cuts them between exchanges, and each part keeps the system turn."""
    packing: bool = True
    """Examples share rows without seeing each other; `false` gives each a row of its own, padded to the longest of its forward
    pass: the same learning for more time."""
    train_newline: bool = False
    """Learn the line break that chat templates write after the end of a turn. No model needs it: generation has stopped."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic; masters stay float32. `auto` is bfloat16 where the hardware multiplies it natively."""
    compile: Annotated[bool, Execution()] = False
    """Compile each layer with torch.compile: time once, and a C++ compiler on a CPU. Where it pays is a matter of the machine, so
    compare the tokens/s of a few steps."""
    processes: Annotated[int, Execution()] = Field(default=1, ge=1)
    """Processes of this machine that train together, one a GPU; each takes its share of `batch_tokens`."""
    shard: Annotated[bool, Execution()] = False
    """Split weights, gradients and AdamW's state over the GPUs (FSDP2), for a model that does not fit one of them."""
    save_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the finished checkpoint. Float32 masters keep small changes that merging needs; bfloat16 is half the size."""
    save_steps: Annotated[int, Execution()] = Field(default=500, ge=1)
    """Optimizer steps between checkpoints for resuming, at most; a shorter training is saved after every eighth of its steps."""
    eval_steps: int = Field(default=200, ge=1)
    """Optimizer steps between evaluations."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many evaluations without a lower loss, and keep the weights of the best; 0 trains to the end."""
    samples: int = Field(default=0, ge=0)
    """Rows of `eval_data` that the model answers at each evaluation, greedily; `samples.jsonl` keeps the answers."""
    sample_tokens: int = Field(default=64, ge=1)
    """Longest such answer."""
    trackers: Annotated[tuple[Literal["tensorboard", "trackio", "wandb"], ...], BeforeValidator(as_tuple), Execution()] = ()
    """Packages that get the records of the learning curve and the knobs of the training. By default none does."""
    order: Literal["shuffled", "given"] = "shuffled"
    """`shuffled` takes the rows in another order each epoch; `given` as they come, such as a `mix` with a curriculum orders them.
    Then only neighbours are packed together: examples that fill 64 rows, or one optimizer step where that holds more."""
    seed: int = 0
    """Initial weights and data order."""

    @model_validator(mode="after")
    def _one_start(self) -> Tune:
        if bool(self.base) == (self.new is not None):
            raise ValueError("tune needs exactly one of base (a checkpoint) and new (random weights)")
        if self.lora is not None and (self.new is not None or self.optimizer == "muon"):
            raise ValueError("lora needs a base and optimizer: adamw; random weights and muon are for training all weights")
        if self.shard and (self.lora is not None or self.optimizer == "muon"):
            raise ValueError("shard splits AdamW over all weights; leave it out with lora and with optimizer: muon")
        return self

    @model_validator(mode="after")
    def _rows_and_directions(self) -> Tune:
        if self.packing and self.batch_tokens < self.max_length:
            raise ValueError(
                f"batch_tokens ({self.batch_tokens:,}) is less than max_length ({self.max_length:,}): an update holds whole rows"
            )
        if self.compile and not self.packing:
            raise ValueError("compile needs rows of one length; leave out `packing: false`")
        if self.directions != Directions() and self.task != "translation":
            raise ValueError("directions are those of task: translation")
        if not (self.directions.forward or self.directions.backward):
            raise ValueError("directions leave nothing to learn; give forward, backward or both a share")
        return self

    @model_validator(mode="after")
    def _checks(self) -> Tune:
        if (self.patience or self.samples) and not self.eval_data:
            raise ValueError("patience and samples need eval_data")
        if self.patience and self.average == "last":
            raise ValueError("average: last needs to know the last updates; with patience choose ema")
        return self


class Learned(Section):
    """A learned metric of translations, computed by a program in an environment of its own after all models have translated."""

    metric: str
    """`comet`, `metricx` (MetricX-24), or a name of your own with a `command`."""
    model: str = ""
    """Hub id or place of the metric's weights; none means wmt22-comet-da and metricx-24-hybrid-large. Mind their licences."""
    tokenizer: str = ""
    """Of metricx, whose weights come without one: `google/mt5-xl`."""
    python: Annotated[str | None, Execution()] = None
    """The Python of the environment, for example `.venv-comet/bin/python`; none means the one that runs hala."""
    command: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """A program of your own. It is called with two paths more: JSON lines of `source`, `translation` and `reference`, and a file
    for one number of each."""
    lower_is_better: bool = False
    """Of your own program's numbers."""
    batch_size: Annotated[int, Execution()] = Field(default=8, ge=1)
    """Translations in one pass of the metric's model."""


class Referee(EngineSettings):
    """A language model that compares each model's answers to probes with the baseline's, asked in both orders."""

    model: ModelRef
    """The referee; best a larger model of another family than those compared."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    engine: Literal["local", "vllm", "server"] = "local"
    """`local` is transformers, `vllm` is for GPUs, `server` any OpenAI-compatible endpoint."""
    max_tokens: int = Field(default=8, ge=1)
    """The verdict is one word."""

    @model_validator(mode="after")
    def _reachable(self) -> Referee:
        if self.engine == "server" and not self.url:
            raise ValueError("a referee on a server needs its url, for example http://HOST:PORT/v1")
        return self


class Evaluate(LocalSettings):
    """Checkpoints in, scores with 95% intervals out."""

    models: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("checkpoint", "checkpoints")]
    """Checkpoints to compare; the first is the baseline."""
    pairs: DataList = ()
    """Sentence pairs: quality of the models as translators, by `metrics`."""
    question_pairs: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Described()] = ()
    """Benchmarks that were translated from another: their questions are sentence pairs. `mmmlu_ar`, `arbmmlu_ht`, or a file that
    names its `original`."""
    question_options: bool = False
    """Of these, translate each question with its options, a line each."""
    directions: Annotated[tuple[Literal["forward", "backward"], ...], BeforeValidator(as_tuple), Field(min_length=1)] = (
        "forward",
    )
    """Which way the pairs are translated: `forward` into the target language, `backward` into the source; both make two sets."""
    metrics: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("bleu-13a", "bleu-intl", "chrf++")
    """For sentence pairs: `bleu-` with a tokenizer of sacrebleu's, `chrf++`, `ter`, `rouge-l` (words of any script), and
    `rouge-l-latin`, what the package rouge_score measures: it sees a-z and 0-9 alone. See [evaluate.md](evaluate.md)."""
    learned: Annotated[tuple[Learned, ...], BeforeValidator(as_tuple)] = ()
    """Learned metrics of the same translations, such as COMET: the keys of [learned](#learned)."""
    normalise: Annotated[tuple[Literal["none", "arabic-light", "arabic-fold"], ...], BeforeValidator(as_tuple)] = ("none",)
    """Give every metric after each of these, side by side: `none`, `arabic-light` (no vowel marks, no tatweel) and `arabic-fold`
    (also one alef, one ya, one ha, ASCII digits)."""
    flores200: str | None = None
    """SentencePiece model of `bleu-flores200`; none means sacrebleu's own folder. It is never downloaded."""
    documents: str | None = None
    """Column of the pairs, gone along by their `keep`, that names each one's document; then whole documents are resampled."""
    paired: Literal["bootstrap", "randomisation"] = "randomisation"
    """Test of differences between translators: approximate randomisation with 10,000 trials, or the paired bootstrap, which fewer
    than a hundred sentences or documents convince too easily."""
    questions: QuestionList = ()
    """Multiple-choice questions, scored by log-likelihood: files, or `world: questions`."""
    suite: Annotated[str | None, Described("suite")] = None
    """A named set of benchmarks from the hub, for example `oall-v2`, one benchmark by name, or one in a file (`mine.toml`); the
    mean of several is one score more."""
    leaks: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Accepts("rows")] = ()
    """Filter steps that looked for benchmark questions in the training data: sets of which they found some are scored without
    these too, as `NAME (clean)`."""
    probes: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Described("probes")] = ()
    """Prompts that the models answer in chat: `ar`, or a file of your own (`mine.toml`). Scored are script, code-switching,
    repetition, length, end of turn and instructions that a program can check: [evaluate.md](evaluate.md)."""
    probe_tokens: int = Field(default=256, ge=1)
    """Longest such answer in tokens; one that is cut off there has not ended its turn."""
    referee: Referee | None = None
    """A language model that compares each model's answers to the probes with the baseline's."""
    profile: str | None = None
    """How questions become prompts; none means `oall-v2` for that suite and `cloze` for own questions."""
    processes: Annotated[int, Execution()] = Field(default=1, ge=1)
    """Processes of this machine that share the questions, one a GPU; whatever their number, scores are the same bits."""
    shuffle_options: int | None = None
    """A seed: ask every question once more with its options in another order, and report the share of answers that stay."""
    prompt: str | None = None
    """Translation prompt; none means what each checkpoint was trained with, else the default."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest translation in tokens."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many items of each set: the first sentence pairs, but questions evenly spaced, so that all subjects stay."""
    export: bool = False
    """Write the scores for other tools too, into `exports/`: result files as lighteval and lm-eval write them, `model-index` for
    cards and `.eval_results` for the hub."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap resamples behind the intervals. Accuracies have Wilson's (or, for a mean of subsets, the normal) interval in
    `low` and `high`, wider where questions share a passage; `scores.json` adds `bootstrap_low` and `bootstrap_high` where the
    score counts items, not subsets."""
    seed: int = 12345
    """Seed of the bootstrap."""

    @model_validator(mode="after")
    def _something_to_judge(self) -> Evaluate:
        if self.referee is not None and not self.probes:
            raise ValueError("a referee compares answers to probes; give probes, for example `probes: ar`")
        return self
