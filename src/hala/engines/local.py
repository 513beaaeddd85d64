"""Chat completion with a loaded transformers model on this machine, CPU or GPU.

    engine = LocalEngine(model, tokenizer)
    for completion in engine.complete(requests, Sampling(max_tokens=128)): ...

A window of requests is rendered, tokenised, sorted by length and cut into batches under a token budget, because
padding and Python are what batches of mixed length are spent on. Answers do not depend on batch composition, but for
the last bits of floating point.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch

from hala.engines.batches import plan_batches
from hala.engines.chat import tokenise
from hala.engines.decoding import Job, Rules, decode
from hala.errors import EngineError
from hala.records import Completion, Request, Sampling

PROBE_AFTER = 200  # good batches after which a batch size that was lowered for lack of memory is doubled again


class LocalEngine:
    """An `Engine` over a loaded causal model and its tokenizer; both stay the caller's.

    `batch_tokens` bounds rows x (prompt + expected answer) of one batch and so the memory for keys and values;
    `window` is how many requests are pulled before the first answer.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, batch_tokens: int = 8192, window: int = 4096, device: str | None = None
    ) -> None:
        if batch_tokens < 1 or window < 1:
            raise EngineError(
                f"batch_tokens and window must be at least 1, not {batch_tokens} and {window}.", "Leave them out for defaults."
            )
        self.model = model.eval() if device is None else model.eval().to(device)
        self.tokenizer = tokenizer
        self.batch_tokens, self.window = batch_tokens, window
        self.ends = end_tokens(model, tokenizer)
        self.pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        self.most_rows = 1 << 30
        self.good_batches = 0

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request, batch by batch, longest prompts of a window first."""
        rules = Rules(self.ends, stop_finder(self.tokenizer, sampling.stop))
        source = iter(requests)
        while window := list(islice(source, self.window)):
            jobs = self._prepare(window, sampling)
            ready = [job for job in jobs if job.finish is None]
            yield from (self._completion(job, sampling) for job in jobs if job.finish is not None)
            for batch in plan_batches(ready, self.batch_tokens):
                self._answer(batch, sampling, rules)
                yield from (self._completion(job, sampling) for job in batch)

    def close(self) -> None:
        """Give cached device memory back; the model and the tokenizer stay as they are."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _prepare(self, window: list[Request], sampling: Sampling) -> list[Job]:
        jobs = []
        for request, (prompt, error) in zip(window, tokenise(self.tokenizer, window), strict=True):
            own = request.sampling(sampling)
            job = Job(request.id, prompt, own.max_tokens, own.temperature, own.seed)
            job.error = error or self._refusal(job)
            if job.error:
                job.finish, job.refused = "error", True
            jobs.append(job)
        return jobs

    def _refusal(self, job: Job) -> str:
        """Why the job cannot be answered, or an empty string; lowers its limit to what the model's positions hold."""
        most = getattr(self.model.config, "max_position_embeddings", None)
        if job.limit < 1:
            return f"max_tokens must be at least 1, not {job.limit}"
        if most is not None:
            if len(job.prompt) >= most:
                return f"the prompt has {len(job.prompt)} tokens, the model holds {most} with its answer"
            job.limit = min(job.limit, most - len(job.prompt))
        return ""

    def _answer(self, batch: list[Job], sampling: Sampling, rules: Rules) -> None:
        """Decode a batch; each time memory runs out, its two halves, down to single rows."""
        waiting = [batch]
        while waiting:
            jobs = waiting.pop()
            if len(jobs) > self.most_rows:
                waiting += [jobs[self.most_rows :], jobs[: self.most_rows]]
            elif self._fits(jobs, sampling, rules):
                self.good_batches += 1
                if self.good_batches % PROBE_AFTER == 0:
                    self.most_rows = min(2 * self.most_rows, 1 << 30)
            elif len(jobs) == 1:
                jobs[0].finish, jobs[0].error = "error", f"out of memory with a prompt of {len(jobs[0].prompt)} tokens, alone"
            else:
                self.most_rows, self.good_batches = (len(jobs) + 1) // 2, 0
                waiting.append(jobs)

    def _fits(self, jobs: list[Job], sampling: Sampling, rules: Rules) -> bool:
        try:
            decode(self.model, jobs, sampling, rules, self.pad)
            return True
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            for job in jobs:
                job.restart()
        # Only here, outside the handler, are the tensors of the failed batch free.
        gc.collect()
        self.close()
        return False

    def _completion(self, job: Job, sampling: Sampling) -> Completion:
        if job.finish is None or job.finish == "error":
            return Completion(job.id, "", "error", len(job.tokens), job.error, refused=job.refused)
        tokens = job.tokens[:-1] if job.tokens[-1] in self.ends else job.tokens
        text = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for stop in filter(None, sampling.stop):
            text = text.split(stop, 1)[0]
        if not sampling.confidence:
            return Completion(job.id, text, job.finish, len(job.tokens))
        confidence, probability = math.exp(job.logprob / len(job.tokens)), math.exp(job.logprob)
        return Completion(job.id, text, job.finish, len(job.tokens), confidence=confidence, probability=probability)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token id that ends an answer: of the generation config, the config and the tokenizer."""
    ends: set[int] = set()
    for holder in (getattr(model, "generation_config", None), model.config, tokenizer):
        found = getattr(holder, "eos_token_id", None)
        ends.update(found if isinstance(found, (list, tuple)) else [] if found is None else [found])
    return frozenset(ends)


def stop_finder(tokenizer: Any, stops: tuple[str, ...]) -> Any:
    """A function of a row's tokens that says whether a stop string stands at their end; None without stop strings.

    A token holds at least one byte, so a stop string of n bytes ends within the last n tokens.
    """
    stops = tuple(stop for stop in stops if stop)
    if not stops:
        return None
    reach = max(len(stop.encode()) for stop in stops) + 1

    def stopped(tokens: list[int]) -> bool:
        tail = tokenizer.decode(tokens[-reach:], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return any(stop in tail for stop in stops)

    return stopped


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory: the CPU allocator raises a plain RuntimeError."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "out of memory" in text or "can't allocate memory" in text
