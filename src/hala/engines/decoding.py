"""Token by token through a loaded transformers model: states, the choice of a token, and when a row is done.

The one idea: a batch is left-padded, so that all rows write the same column of the cache, and a row that is done is
dropped from the cache as soon as that saves more than the copy costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from hala.engines.lfm2 import Lfm2State, can_run
from hala.records import Finish, Sampling

COMPACT_AT = 0.9  # drop done rows once this share or less is still being written
LOOP_TOKENS, LOOP_REPEATS, LOOP_PERIOD = 64, 3, 64


@dataclass(slots=True)
class Job:
    """One request on its way through the model; `finish` stays empty while tokens are being written."""

    id: str
    prompt: list[int]
    limit: int
    temperature: float = 0.0
    seed: int = 0
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    error: str = ""
    refused: bool = False
    logprob: float = 0.0

    def restart(self) -> None:
        """Forget what was written, to be decoded again in a smaller batch."""
        self.tokens, self.finish, self.error, self.logprob = [], None, "", 0.0


class State(Protocol):
    """The keys, values and convolution inputs of a batch of rows."""

    def prefill(self) -> Tensor: ...

    def step(self, tokens: Tensor) -> Tensor: ...

    def keep(self, index: Tensor) -> None: ...


class CacheState:
    """The decoding state of any causal model of transformers, through its own forward and cache."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        from transformers import DynamicCache

        self.model, self.ids, self.mask = model, ids, mask.long()
        self.cache: Any = DynamicCache(config=model.config)
        self.positions = self.mask.sum(1, keepdim=True)

    def prefill(self) -> Tensor:
        """Logits `(batch, vocabulary)` after each row's last prompt token."""
        return self._forward(self.ids, (self.mask.cumsum(1) - 1).clamp(min=0))

    def step(self, tokens: Tensor) -> Tensor:
        """Logits `(batch, vocabulary)` after one more token per row; `tokens` is `(batch,)`."""
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        logits = self._forward(tokens[:, None], self.positions)
        self.positions = self.positions + 1
        return logits

    def keep(self, index: Tensor) -> None:
        """Drop all rows but those of `index`."""
        self.mask, self.positions = self.mask[index], self.positions[index]
        self.cache.reorder_cache(index)

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits


def open_state(model: Any, jobs: list[Job], pad: int) -> State:
    """The state of a batch before its prefill: prompts left-padded with `pad`, which is masked everywhere."""
    width = max(len(job.prompt) for job in jobs)
    ids = torch.tensor([[pad] * (width - len(job.prompt)) + job.prompt for job in jobs], device=model.device)
    mask = torch.tensor([[0] * (width - len(job.prompt)) + [1] * len(job.prompt) for job in jobs], device=model.device)
    return Lfm2State(model, ids, mask) if can_run(model) else CacheState(model, ids, mask)


@dataclass(slots=True)
class Rules:
    """When a row is done: `ends` are token ids that finish it, `stopped` looks for stop strings in its tokens."""

    ends: frozenset[int]
    stopped: Callable[[list[int]], bool] | None = None

    def apply(self, job: Job, token: int) -> None:
        """Add `token` to the job and set its `finish` when that ends it; a token of -1 means logits that are not finite."""
        if token < 0:
            job.finish, job.error = "error", "the model gave logits that are not finite; check its weights and its dtype"
            return
        job.tokens.append(token)
        if token in self.ends or (self.stopped is not None and self.stopped(job.tokens)):
            job.finish = "stop"
        elif len(job.tokens) >= job.limit or (len(job.tokens) % 16 == 0 and is_looping(job.tokens)):
            job.finish = "length"


@torch.inference_mode()
def decode(model: Any, jobs: list[Job], sampling: Sampling, rules: Rules, pad: int) -> None:
    """Write every job's tokens and finish in place. Raises what torch raises, above all when memory is short."""
    state = open_state(model, jobs, pad)
    choose = Sampler(jobs, sampling) if any(job.temperature > 0 for job in jobs) else greedy
    rows = list(jobs)
    logits = state.prefill()
    while True:
        tokens = choose(logits, rows)
        if sampling.confidence:
            add_logprobs(logits, rows, tokens)
        for job, token in zip(rows, tokens, strict=True):
            if job.finish is None:
                rules.apply(job, token)
        live = [row for row, job in enumerate(rows) if job.finish is None]
        if not live:
            return
        if len(live) <= COMPACT_AT * len(rows):
            state.keep(torch.tensor(live, device=logits.device))
            rows, tokens = [rows[row] for row in live], [tokens[row] for row in live]
        logits = state.step(torch.tensor(tokens, device=logits.device).clamp(min=0))


def add_logprobs(logits: Tensor, rows: list[Job], tokens: list[int]) -> None:
    """Adds to each unfinished job the log-probability (natural, float32, temperature 1) of its next token."""
    values = logits.float()
    chosen = values.gather(1, torch.tensor(tokens, device=logits.device).clamp(min=0)[:, None])[:, 0]
    for job, logprob in zip(rows, (chosen - values.logsumexp(-1)).tolist(), strict=True):
        if job.finish is None:
            job.logprob += logprob


def greedy(logits: Tensor, rows: list[Job]) -> list[int]:
    """The likeliest token of each row, the lowest id among equals; -1 where the best value is not finite."""
    # On a CPU NumPy's argmax takes 32 us where torch's takes 524 (64 x 4096); it does not know bfloat16.
    on_cpu = logits.device.type == "cpu"
    best = torch.from_numpy(logits.float().numpy().argmax(-1)) if on_cpu else logits.argmax(-1)
    finite = logits.gather(1, best[:, None])[:, 0].isfinite()
    chosen: list[int] = torch.where(finite, best, -1).tolist()
    return chosen


class Sampler:
    """Temperature, nucleus, min-p and repetition penalty, by inverse cumulative probability; rows of temperature 0 stay greedy.

    Each job draws its numbers from its own generator, seeded by (seed, id), so that a row's answer is the same in every batch,
    and tries again can share one with first tries. Sources: top-p https://arxiv.org/abs/1904.09751, min-p
    https://arxiv.org/abs/2407.01082, repetition penalty https://arxiv.org/abs/1909.05858.
    """

    def __init__(self, jobs: list[Job], sampling: Sampling) -> None:
        self.top_p, self.min_p, self.penalty = sampling.top_p, sampling.min_p, sampling.repetition_penalty
        self.generators = {id(job): _generator(job.seed, job.id) for job in jobs if job.temperature > 0}

    def __call__(self, logits: Tensor, rows: list[Job]) -> list[int]:
        places = [place for place, job in enumerate(rows) if job.temperature > 0]
        if len(places) == len(rows):
            return self._draw(logits, rows)
        tokens = greedy(logits, rows)
        if places:
            drawn = self._draw(logits[torch.tensor(places, device=logits.device)], [rows[place] for place in places])
            for place, token in zip(places, drawn, strict=True):
                tokens[place] = token
        return tokens

    def _draw(self, logits: Tensor, rows: list[Job]) -> list[int]:
        draws = torch.cat([torch.rand(1, generator=self.generators[id(job)]) for job in rows]).to(logits.device)
        heat = torch.tensor([job.temperature for job in rows], device=logits.device)[:, None]
        values = logits.float() if self.penalty == 1 else penalised(logits.float(), rows, self.penalty)
        weights, ids = torch.softmax(values / heat, dim=-1).sort(dim=-1, descending=True, stable=True)
        wanted = weights >= self.min_p * weights[:, :1]
        if self.top_p < 1:  # keep the likeliest tokens until they first reach top_p; the first one always stays
            wanted &= weights.cumsum(-1) - weights < self.top_p
        weights = torch.where(wanted | weights.isnan(), weights, 0)
        reached = weights.cumsum(-1)
        place = (reached <= draws[:, None] * reached[:, -1:]).sum(-1).clamp(max=ids.shape[1] - 1)
        chosen = ids.gather(1, place[:, None])[:, 0]
        finite = reached[:, -1].isfinite()
        result: list[int] = torch.where(finite, chosen, -1).tolist()
        return result


def penalised(logits: Tensor, rows: list[Job], penalty: float) -> Tensor:
    """The logits with those of tokens in a row's prompt or answer made smaller."""
    logits = logits.clone()
    for values, job in zip(logits, rows, strict=True):
        seen = torch.tensor(sorted({*job.prompt, *job.tokens}), device=logits.device)
        old = values[seen]
        values[seen] = torch.where(old > 0, old / penalty, old * penalty)
    return logits


def _generator(seed: int, request_id: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\0{request_id}".encode("utf-8", "surrogatepass")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))


def is_looping(tokens: list[int]) -> bool:
    """Whether the text ends in one piece of at most 64 tokens, repeated at least 3 times and over at least 64 tokens."""
    for period in range(1, min(LOOP_PERIOD, len(tokens) // LOOP_REPEATS) + 1):
        if tokens[-1] != tokens[-1 - period]:
            continue
        span = max(LOOP_REPEATS * period, LOOP_TOKENS)
        if len(tokens) >= span and tokens[-span:-period] == tokens[-span + period :]:
            return True
    return False
