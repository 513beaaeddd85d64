"""How likely a causal language model finds each continuation of each prompt.

The one idea: what texts share is computed once. Continuations are a trie below their prompt, prompts that begin alike are one
above, and a batch is such trees laid flat (`hala.evals.trees`): letters that differ in their last token cost one forward in all,
and nothing is padding. Only the hidden states that predict a wanted token reach the output layer, and the log-softmax over them
is float32 whatever the model's dtype. Token ids are made in a thread while the model computes.

>>> from hala.evals.likelihood import log_probabilities
>>> log_probabilities(load_model("LiquidAI/LFM2-350M"), prompts)[0].logprobs   # doctest: +SKIP
(-1.31, -4.02)
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from hala.errors import EngineError, InputError
from hala.evals.encoding import Encoded, encode, max_length
from hala.evals.profiles import Prompt
from hala.evals.trees import Tree, as_rows, reading, takes_trees

BATCH_TOKENS = 16_384
# A longer row shares more beginnings. On a GPU, where a batch holds many, attention compares all pairs of a row.
ROW_TOKENS = {"cpu": 2048, "cuda": 512}
# Positions whose logits are alive at once: 1024 over a vocabulary of 65k are 134 MB in bfloat16.
BATCH_POSITIONS = 1024
ENCODE_AHEAD = 256


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """Of one prompt: the natural-log sum and the number of scored tokens of each continuation.

    `truncated` counts the prompt tokens cut from the left.
    """

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    truncated: int


def log_probabilities(
    loaded: tuple[Any, Any],
    prompts: Sequence[Prompt],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
    known: Mapping[str, Any] | None = None,
    keep: Callable[[str, Any], None] | None = None,
    share: tuple[int, int] = (0, 1),
) -> list[Likelihoods]:
    """One for each prompt, in the order given; batch size and order change nothing but rounding.

    With a `share` (number, of so many) only every so-many-th batch is computed and kept, and only its prompts are returned: the
    batches are the same, so several processes that keep their shares compute what one would.

    `loaded` is a transformers causal language model and its tokenizer, on whatever device the model is.
    `batch_tokens` bounds rows x longest row; it is halved whenever the device runs out of memory. `progress` is called
    with (prompts done, prompts in all). `keep` gets the name of each finished batch and what it gave; `known`, such names and
    numbers of an earlier call with the same prompts, model and settings, is not computed again. Prompts beyond the model's
    positions lose tokens on the left.
    Raises InputError when a prompt needs a chat template that the tokenizer lacks, EngineError when one prompt is too much.
    """
    model = loaded[0]
    _hold_memory()
    device = _Device(model, takes_trees(model))
    order = sorted(range(len(prompts)), key=lambda number: _place(prompts[number], device.trees))
    made: dict[int, Likelihoods] = {}
    for number, batch in enumerate(_batches(_encoded(loaded, prompts, order), device.trees, _limits(model, batch_tokens))):
        if number % share[1] != share[0]:
            continue
        sums = known.get(str(number)) if known else None
        if sums is None:
            sums = device.sums(batch)
            if keep:
                keep(str(number), sums)
        for task, logprobs in zip((task for group in batch for task in group), sums, strict=True):
            made[task.number] = Likelihoods(tuple(logprobs), task.encoded.tokens, task.encoded.truncated)
        if progress:
            progress(min(len(made) * share[1], len(prompts)), len(prompts))
    return [made[number] for number in sorted(made)]


@dataclass(slots=True)
class _Row:
    """One text for the model and what to read from it: (position, token, option) means that the logits at `position`
    predict `token`, which belongs to `option`."""

    ids: list[int]
    wanted: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Task:
    """Prompt number `number` as token ids, and its rows in the order of these."""

    number: int
    encoded: Encoded
    rows: list[_Row]


_Group = list[_Task]  # what goes into one tree, or a single prompt where the model takes none
_Batch = list[_Group]


def _hold_memory() -> None:
    """Freed memory stays with this process where the C library (glibc) can be told so: fetching it anew for the results of every
    layer costs 5% of the time."""
    trim_threshold, mmap_threshold = -1, -3
    try:
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 1 << 30)
        library.mallopt(mmap_threshold, 32 << 20)
    except (AttributeError, OSError, TypeError):
        return


# Batches ----------------------------------------------------------------------------------------------------------------


def _place(prompt: Prompt, trees: bool) -> tuple[Any, ...]:
    """By what prompts are sorted, so that batches follow from the set of prompts and not from their order.

    Texts in alphabetic order stand beside what they share most with; without trees equal lengths keep padding small, and the
    longest come first so that memory trouble shows at once.
    """
    text = prompt.text or "".join(message.content for message in prompt.messages)
    return (text, prompt.continuations) if trees else (-len(text), text, prompt.continuations)


def _limits(model: Any, batch_tokens: int) -> tuple[int, int]:
    """Tokens of a batch, and of a row in it; on a CPU a row of trees is a batch."""
    kind = model.get_input_embeddings().weight.device.type
    row = min(ROW_TOKENS.get(kind, ROW_TOKENS["cuda"]), batch_tokens)
    return (row if kind == "cpu" and takes_trees(model) else batch_tokens), row


def _encoded(loaded: tuple[Any, Any], prompts: Sequence[Prompt], order: list[int]) -> Iterator[_Task]:
    """The prompts in that order as token ids, made by a thread that is one part ahead."""
    model, tokenizer = loaded
    longest = max_length(model)

    def make(part: list[int]) -> list[_Task]:
        return [
            _Task(number, each, _rows(each))
            for number, each in zip(part, encode(tokenizer, [prompts[number] for number in part], longest), strict=True)
        ]

    parts = [order[begin : begin + ENCODE_AHEAD] for begin in range(0, len(order), ENCODE_AHEAD)]
    with ThreadPoolExecutor(1) as pool:
        pending = [pool.submit(make, part) for part in parts[:1]]
        for part in [*parts[1:], None]:
            ready = pending.pop().result() if pending else []
            if part is not None:
                pending.append(pool.submit(make, part))
            yield from ready


def _rows(encoded: Encoded) -> list[_Row]:
    """The fewest rows that predict all option tokens: an option rides on a row that begins with its ids but the last."""
    rows: list[_Row] = []
    for option in sorted(range(len(encoded.ids)), key=lambda k: (-len(encoded.ids[k]), k)):
        ids, start = encoded.ids[option], encoded.starts[option]
        prefix = ids[:-1]
        row = next((row for row in rows if row.ids[: len(prefix)] == prefix), None)
        if row is None:
            row = _Row(prefix)
            rows.append(row)
        row.wanted += [(place - 1, ids[place], option) for place in range(start, len(ids))]
    return sorted(rows, key=lambda row: row.ids)


def _batches(tasks: Iterable[_Task], trees: bool, limits: tuple[int, int]) -> Iterator[_Batch]:
    """Groups in their order while rows x longest row and the wanted positions fit; at least one group."""
    batch: _Batch = []
    width = height = wanted = 0
    for group, length in _trees(tasks, limits[1]) if trees else _alone(tasks):
        rows = 1 if trees else len(group[0].rows)
        reads = sum(len(row.wanted) for task in group for row in task.rows)
        if batch and ((height + rows) * max(width, length) > limits[0] or wanted + reads > BATCH_POSITIONS):
            yield batch
            batch, width, height, wanted = [], 0, 0, 0
        batch.append(group)
        width, height, wanted = max(width, length), height + rows, wanted + reads
    if batch:
        yield batch


def _trees(tasks: Iterable[_Task], limit: int) -> Iterator[tuple[_Group, int]]:
    """Prompts that fit a row together, with its length; one is never parted from its continuations."""
    group: _Group = []
    tree, reads = Tree(), 0
    for task in tasks:
        own = sum(len(row.wanted) for row in task.rows)
        full = len(tree.ids) + tree.growth([row.ids for row in task.rows]) > limit or reads + own > BATCH_POSITIONS
        if group and full:
            yield group, len(tree.ids)
            group, tree, reads = [], Tree(), 0
        group.append(task)
        reads += own
        for row in task.rows:
            tree.add(row.ids)
    if group:
        yield group, len(tree.ids)


def _alone(tasks: Iterable[_Task]) -> Iterator[tuple[_Group, int]]:
    for task in tasks:
        yield [task], max(len(row.ids) for row in task.rows)


# The model ------------------------------------------------------------------------------------------------------------------


class _Device:
    """A model and how much of a batch it takes at once: all of it, until its device has run out of memory."""

    def __init__(self, model: Any, trees: bool) -> None:
        self.model, self.trees = model.eval(), trees
        self.most = math.inf  # tokens

    def sums(self, batch: _Batch) -> list[list[float]]:
        """The log-probability of each option, prompt by prompt. Raises: EngineError when one alone is too much."""
        size = sum(len(row.ids) for group in batch for task in group for row in task.rows)
        values = _forward(self.model, batch, self.trees) if size <= self.most or _single(batch) else None
        if values is not None:
            return values
        if _single(batch):
            raise EngineError(
                f"the device has no memory for one prompt of {len(batch[0][0].rows[0].ids)} tokens.",
                "Free the device, load the model in a smaller dtype, or evaluate a smaller model.",
            )
        self.most = min(self.most, size // 2)
        groups = batch if len(batch) > 1 else [[task] for task in batch[0]]
        middle = len(groups) // 2
        halves = (groups[:middle], groups[middle:]) if len(batch) > 1 else ([batch[0][:middle]], [batch[0][middle:]])
        return [each for half in halves for each in self.sums(half)]


def _single(batch: _Batch) -> bool:
    return len(batch) == 1 and len(batch[0]) == 1


@torch.inference_mode()
def _forward(model: Any, batch: _Batch, trees: bool) -> list[list[float]] | None:
    """The log-probability of each option, prompt by prompt; `None` when the device ran out of memory."""
    device = model.get_input_embeddings().weight.device
    tasks = [task for group in batch for task in group]
    lines: Any
    places, lines = _as_trees(batch) if trees else _as_rows(batch)
    distinct = sorted({(row, place) for found in places for row, place, _, _ in found})
    wanted = torch.tensor(distinct, device=device)
    index = {place: at for at, place in enumerate(distinct)}
    targets = [(index[row, place], token) for found in places for row, place, token, _ in found]
    try:
        with reading(model, as_rows(lines, device), wanted) if trees else _padded(lines, device) as inputs, _only(model, wanted):
            logits = model(**inputs).logits[0]  # (N, V)
        flat = iter(_logprobs(logits, torch.tensor(targets, device=device)).tolist())
    except torch.OutOfMemoryError:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return None
    sums = [[0.0] * len(task.encoded.ids) for task in tasks]
    for total, found in zip(sums, places, strict=True):
        for _, _, _, option in found:
            total[option] += next(flat)
    return sums


_Places = list[list[tuple[int, int, int, int]]]  # for each prompt what to read: (row, place in it, token, option)


def _as_trees(batch: _Batch) -> tuple[_Places, list[Tree]]:
    """A tree for each group."""
    trees, places = [], []
    for number, group in enumerate(batch):
        tree = Tree()
        for task in group:
            paths = [(row, tree.add(row.ids)) for row in task.rows]
            places.append([(number, path[at], token, option) for row, path in paths for at, token, option in row.wanted])
        trees.append(tree)
    return places, trees


def _as_rows(batch: _Batch) -> tuple[_Places, list[list[int]]]:
    """A row for each text."""
    places: _Places = []
    ids: list[list[int]] = []
    for task in (task for group in batch for task in group):
        numbered = list(enumerate(task.rows, start=len(ids)))
        places.append([(number, at, token, option) for number, row in numbered for at, token, option in row.wanted])
        ids += [row.ids for row in task.rows]
    return places, ids


@contextmanager
def _padded(rows: list[list[int]], device: torch.device) -> Iterator[dict[str, Any]]:
    """What to call a model with that takes no trees: rows padded on the right."""
    ids, mask = torch.zeros(2, len(rows), max(map(len, rows)), dtype=torch.long).unbind()
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    yield {"input_ids": ids.to(device), "attention_mask": mask.to(device), "use_cache": False}


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
