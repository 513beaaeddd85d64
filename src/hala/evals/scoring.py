"""Log-probabilities of answer options under a causal language model, and the scores made of them.

The one idea: options that differ only in their last token share every forward position, so a question with one-token
labels costs one row, not one row per option. Only the hidden states that predict an option token reach the output
layer, and the log-softmax over them is float32 whatever the model's dtype.

>>> from hala.evals.scoring import Answer
>>> Answer("q", "demo", "", 1, 1, (-2.0, -1.0), (-2.0, -1.0), (1, 1), tied=False, truncated=0).correct
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from hala.errors import EngineError, InputError
from hala.evals.benchmarks import Benchmark, Item
from hala.evals.profiles import Profile, Prompt, render
from hala.evals.statistics import Estimate, accuracy, macro
from hala.records import Score

BATCH_TOKENS = 16_384
# Positions whose logits are alive at once: 1024 over a vocabulary of 65k are 134 MB in bfloat16.
BATCH_POSITIONS = 1024
ENCODE_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model made of one item: `logprobs` are natural-log sums per option, `scores` the same after the norm.

    `prediction` is the first best score and `tied` says that another equals it. `tokens` counts the scored tokens of
    each option, `truncated` the prompt tokens cut from the left.
    """

    id: str
    benchmark: str
    subset: str
    gold: int
    prediction: int
    logprobs: tuple[float, ...]
    scores: tuple[float, ...]
    tokens: tuple[int, ...]
    tied: bool
    truncated: int

    @property
    def correct(self) -> bool:
        return self.prediction == self.gold


@dataclass(slots=True)
class _Row:
    """One sequence for the model and what to read from it: (position, token, option) means that the logits at `position`
    predict `token`, which belongs to `option` of item number `item`."""

    item: int
    ids: list[int]
    wanted: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Encoded:
    """An item as token ids: option k is `ids[k]`, of which everything from `starts[k]` on is scored."""

    prompt: Prompt
    ids: list[list[int]]
    starts: list[int]
    truncated: int


def score(
    loaded: tuple[Any, Any],
    items: Sequence[Item],
    profile: Profile,
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Answer, ...]:
    """One Answer per item, in the order given; batch size and item order change nothing but rounding.

    `loaded` is a transformers causal language model and its tokenizer, on whatever device the model is.
    `batch_tokens` bounds rows x longest row; it is halved whenever the device runs out of memory. `progress` is called
    with (rows done, rows in all). Prompts beyond the model's positions lose tokens on the left, counted per answer.
    Raises InputError when a profile needs a chat template that the tokenizer lacks, EngineError when one row is too much.
    """
    model, tokenizer = loaded
    encoded = _encode_all(tokenizer, [render(profile, item) for item in items], _max_length(model))
    rows = [row for number, one in enumerate(encoded) for row in _rows(number, one)]
    sums = [[0.0] * len(one.ids) for one in encoded]
    for done, (row, values) in enumerate(_run(model, rows, batch_tokens), start=1):
        for (_, _, option), value in zip(row.wanted, values, strict=True):
            sums[row.item][option] += value
        if progress:
            progress(done, len(rows))
    return tuple(_answer(item, one, total) for item, one, total in zip(items, encoded, sums, strict=True))


def _answer(item: Item, encoded: _Encoded, logprobs: list[float]) -> Answer:
    tokens = [len(ids) - start for ids, start in zip(encoded.ids, encoded.starts, strict=True)]
    lengths = {"token": tokens, "char": [len(text) for text in encoded.prompt.continuations], "none": [1] * len(tokens)}
    scores = [value / max(1, length) for value, length in zip(logprobs, lengths[encoded.prompt.norm], strict=True)]
    if any(math.isnan(value) for value in scores):
        raise EngineError(
            f"the model gives no number for item '{item.question.id}': its output is NaN.",
            "Check the checkpoint, or evaluate in float32 or bfloat16 instead of float16.",
        )
    best = max(scores)
    return Answer(
        item.question.id, item.benchmark, item.subset, item.question.answer, scores.index(best),
        tuple(logprobs), tuple(scores), tuple(tokens), scores.count(best) > 1, encoded.truncated,
    )  # fmt: skip


def _max_length(model: Any) -> int:
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    return int(getattr(config, "max_position_embeddings", None) or 1 << 30)


def _encode_all(tokenizer: Any, prompts: list[Prompt], max_length: int) -> list[_Encoded]:
    """Token ids of every prompt with every continuation; chunks keep the tokenizer fast and memory small."""
    encoded: list[_Encoded] = []
    for begin in range(0, len(prompts), ENCODE_CHUNK):
        chunk = prompts[begin : begin + ENCODE_CHUNK]
        if chunk[0].pairwise:  # a profile is, or is not
            encoded += _encode_apart(tokenizer, chunk, max_length)
            continue
        texts = [_texts(tokenizer, prompt) for prompt in chunk]
        plain = [text for prompt, pair in zip(chunk, texts, strict=True) if not prompt.messages for text in pair]
        chat = [text for prompt, pair in zip(chunk, texts, strict=True) if prompt.messages for text in pair]
        # A chat template writes its own beginning-of-text token; adding another would be a second one.
        ids = {False: iter(_tokenize(tokenizer, plain, special=True)), True: iter(_tokenize(tokenizer, chat, special=False))}
        for prompt, pair in zip(chunk, texts, strict=True):
            mine = [next(ids[bool(prompt.messages)]) for _ in pair]
            encoded.append(_split(prompt, mine[0], mine[1:], max_length))
    return encoded


def _encode_apart(tokenizer: Any, prompts: list[Prompt], max_length: int) -> list[_Encoded]:
    """Prompt and options tokenised on their own; white space at the end of the prompt is the options'."""
    texts = [_texts(tokenizer, prompt) for prompt in prompts]
    starts = [text.rstrip() for text, *_ in texts]
    heads = _tokenize(tokenizer, starts, special=True)
    tails = [whole[len(start) :] for start, (_, *options) in zip(starts, texts, strict=True) for whole in options]
    encoded = iter(_tokenize(tokenizer, tails, special=False))
    return [
        _split(prompt, head, [head + next(encoded) for _ in prompt.continuations], max_length)
        for prompt, head in zip(prompts, heads, strict=True)
    ]


def _tokenize(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=special, truncation=False)["input_ids"]
    end = tokenizer.eos_token_id
    # Some tokenizers close every text with an end token, which would come between prompt and option.
    return [one[:-1] if special and len(one) > 1 and one[-1] == end else one for one in ids]


def _texts(tokenizer: Any, prompt: Prompt) -> list[str]:
    """The prompt alone, then the prompt with each continuation."""
    if not prompt.messages:
        return [prompt.text, *(prompt.text + text for text in prompt.continuations)]
    if not tokenizer.chat_template:
        raise InputError(
            "this profile asks in chat form, but the tokenizer has no chat template.",
            "Choose a plain profile such as oall-v2, or give the checkpoint a chat template.",
        )
    turns = [{"role": message.role, "content": message.content} for message in prompt.messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    if not prompt.ends_turn:
        # The harness moves white space at the end of the prompt to the option; starting the option there does the same.
        return [text.rstrip(), *(text + label for label in prompt.continuations)]
    full = [
        tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": option}], tokenize=False).rstrip()
        for option in prompt.continuations
    ]
    if not all(one.startswith(text) for one in full):
        raise InputError(
            "the chat template does not render an answer right after its own generation prompt.",
            "Use a template whose add_generation_prompt text is how an assistant turn begins.",
        )
    return [text, *full]


def _split(prompt: Prompt, context: list[int], full: list[list[int]], max_length: int) -> _Encoded:
    """Joint encoding: text and option are tokenised together and the option owns what follows the prompt's length.

    If an option merged into the last prompt token, that token is scored. All options of an item are cut alike, so they
    keep sharing their prompt.
    """
    starts = [max(1, min(len(context), len(ids) - 1)) for ids in full]
    over = max(0, max(len(ids) for ids in full) - max_length)
    if over >= min(starts):
        raise InputError(
            f"an option of {max(len(ids) for ids in full)} tokens does not fit into the model's {max_length} positions.",
            "Leave this question out or use a model with a longer context.",
        )
    return _Encoded(prompt, [ids[over:] for ids in full], [start - over for start in starts], over)


def _rows(number: int, encoded: _Encoded) -> list[_Row]:
    """The fewest rows that predict all option tokens: an option rides on a row that begins with its ids but the last."""
    rows: list[_Row] = []
    for option in sorted(range(len(encoded.ids)), key=lambda k: (-len(encoded.ids[k]), k)):
        ids, start = encoded.ids[option], encoded.starts[option]
        prefix = ids[:-1]
        row = next((row for row in rows if row.ids[: len(prefix)] == prefix), None)
        if row is None:
            row = _Row(number, prefix)
            rows.append(row)
        row.wanted += [(place - 1, ids[place], option) for place in range(start, len(ids))]
    return rows


def _run(model: Any, rows: list[_Row], budget: int) -> Iterator[tuple[_Row, list[float]]]:
    """Each row with its log-probabilities, longest rows first so that memory trouble shows at once.

    Sorting by content makes the batches a function of the set of rows, not of their order.
    """
    model.eval()
    rows = sorted(rows, key=lambda row: (-len(row.ids), row.ids, row.item))
    begin, positions = 0, BATCH_POSITIONS
    while begin < len(rows):
        batch = _batch(rows, begin, budget, positions)
        values = _forward(model, batch)
        if values is None:
            if len(batch) == 1:
                raise EngineError(
                    f"the device has no memory for one prompt of {len(batch[0].ids)} tokens.",
                    "Free the device, load the model in a smaller dtype, or evaluate a smaller model.",
                )
            budget, positions = len(batch) * len(batch[0].ids) // 2, max(1, positions // 2)
            continue
        yield from zip(batch, values, strict=True)
        begin += len(batch)


def _batch(rows: list[_Row], begin: int, budget: int, positions: int) -> list[_Row]:
    """Rows from `begin` on while they fit the budgets; at least one."""
    longest, wanted, end = len(rows[begin].ids), len(rows[begin].wanted), begin + 1
    while end < len(rows) and (end - begin + 1) * longest <= budget and wanted + len(rows[end].wanted) <= positions:
        wanted += len(rows[end].wanted)
        end += 1
    return rows[begin:end]


@torch.inference_mode()
def _forward(model: Any, batch: list[_Row]) -> list[list[float]] | None:
    """Log-probabilities of all wanted tokens, row by row; `None` when the device ran out of memory."""
    device = model.get_input_embeddings().weight.device
    length = max(len(row.ids) for row in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros(len(batch), length, dtype=torch.long)
    for number, row in enumerate(batch):
        ids[number, : len(row.ids)] = torch.tensor(row.ids)
        mask[number, : len(row.ids)] = 1
    places = sorted({(number, position) for number, row in enumerate(batch) for position, _, _ in row.wanted})
    index = {place: at for at, place in enumerate(places)}
    targets = [(index[number, position], token) for number, row in enumerate(batch) for position, token, _ in row.wanted]
    try:
        with _only(model, torch.tensor(places, device=device)):
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits[0]  # (N, V)
        flat = iter(_logprobs(logits, torch.tensor(targets, device=device)).tolist())
    except torch.OutOfMemoryError:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return None
    return [[next(flat) for _ in row.wanted] for row in batch]


def _logprobs(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Float32 log-probabilities of (place, token) pairs; 128 places at a time keep the float32 copy small."""
    normaliser = torch.cat([torch.logsumexp(part.float(), dim=-1) for part in torch.split(logits, 128)])
    place, token = targets.to(logits.device).unbind(-1)
    return logits[place, token].float() - normaliser.to(logits.device)[place]


@contextmanager
def _only(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Within it the model's output layer sees just the (row, position) `places`: logits are (1, N, V), not (B, T, V).

    A hook keeps the model's own forward in charge, with whatever scaling or capping it applies to its logits.
    """

    def keep(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        hidden = args[0]  # (batch, seq, hidden)
        at = places.to(hidden.device)
        return (hidden[at[:, 0], at[:, 1]].unsqueeze(0),)

    head = model.get_output_embeddings()
    if head is None:
        raise InputError(f"{type(model).__name__} has no output layer.", "Load the checkpoint as a causal language model.")
    hook = head.register_forward_pre_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def summarise(benchmark: Benchmark, profile: Profile, answers: Sequence[Answer]) -> tuple[Score, ...]:
    """Scores in points (0 to 100): the headline named after the benchmark, `.macro` and `.micro`, then each subset.

    Subset and micro intervals are Wilson's; that of a macro mean of several follows the normal law, see `macro`.
    """
    source = f"{benchmark.source}@{benchmark.revision}" if benchmark.revision else benchmark.source
    base = f"{benchmark.name}|data:{source}|split:{benchmark.split}|{profile.signature}|shots:0|softmax:float32"
    parts = _estimates(answers)
    whole = {"macro": macro(list(parts.values())), "micro": accuracy([answer.correct for answer in answers])}
    intervals = {"macro": "normal" if len(parts) > 1 else "wilson", "micro": "wilson"}
    named = [(benchmark.name, benchmark.average), *((f"{benchmark.name}.{kind}", kind) for kind in ("macro", "micro"))]
    scores = [_points(name, whole[kind], f"{base}|avg:{kind}|ci:{intervals[kind]}") for name, kind in named]
    for subset, part in parts.items():
        if subset:
            scores.append(_points(f"{benchmark.name}/{subset}", part, f"{base}|subset:{subset}|ci:wilson"))
    return tuple(scores)


def summarise_suite(name: str, results: Sequence[tuple[Benchmark, Sequence[Answer]]]) -> Score:
    """Mean of the benchmarks' headline numbers in points, with the standard error carried through both averages."""
    heads = []
    for benchmark, answers in results:
        parts = list(_estimates(answers).values())
        heads.append(macro(parts) if benchmark.average == "macro" else accuracy([answer.correct for answer in answers]))
    members = "+".join(benchmark.name for benchmark, _ in results)
    return _points(name, macro(heads), f"{name}|members:{members}|avg:macro|ci:normal")


def _estimates(answers: Sequence[Answer]) -> dict[str, Estimate]:
    """Accuracy of each subset, sorted by name."""
    subsets: dict[str, list[bool]] = {}
    for answer in answers:
        subsets.setdefault(answer.subset, []).append(answer.correct)
    return {subset: accuracy(subsets[subset]) for subset in sorted(subsets)}


def _points(name: str, estimate: Estimate, signature: str) -> Score:
    return Score(name, 100 * estimate.value, estimate.n, 100 * estimate.low, 100 * estimate.high, signature)
