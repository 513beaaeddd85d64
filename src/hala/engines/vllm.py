"""Chat completion by vLLM in this process: the engine for GPUs.

    engine = VllmEngine("CohereLabs/command-a-translate-08-2025", tensor_parallel=2)

vLLM is stepped from here and fed as it goes, so that its queue is full until the last request: batches of prompts would each end
with a few long answers and an idle GPU. Prompts are handed over as token ids, so templates are rendered and lengths are checked
by the code that the local engine uses. vLLM wants an environment of its own and is imported on use.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count, islice
from typing import Any

from hala.engines.chat import tokenise
from hala.errors import EngineError
from hala.records import Completion, Finish, Request, Sampling

# A loop is a piece of text three times in a row over at least 66 tokens. Shorter periods have a multiple in 22..64.
LOOP = {"max_pattern_size": 64, "min_pattern_size": 22, "min_count": 3}
# A loop has no end of its own: it is cut like an answer that reached its limit, and what is cut no gate accepts.
FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "repetition": "length"}
CHUNK = 256  # requests that are tokenised together, at most


class VllmEngine:
    """An `Engine` over an offline `vllm.LLM`, greedy or seeded; checked against vLLM 0.32.

    At most `window` requests are with vLLM at once. `tensor_parallel` GPUs share one copy; `gpu_memory` is the share of each GPU
    that vLLM may fill; `max_model_len` bounds prompt and answer in tokens, none takes the model's own. Raises EngineError when
    vLLM is missing or does not start.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        tensor_parallel: int = 1,
        max_model_len: int | None = None,
        gpu_memory: float = 0.9,
        dtype: str = "auto",
        window: int = 4096,
    ) -> None:
        if window < 1:
            raise EngineError(f"window must be at least 1, not {window}.", "Leave it out for the default.")
        self.vllm = import_vllm()
        self.window = window
        on_cpu = self.vllm.platforms.current_platform.is_cpu()
        try:
            self.llm = self.vllm.LLM(
                model=model,
                revision=revision,
                tensor_parallel_size=tensor_parallel,
                max_model_len=max_model_len,
                gpu_memory_utilization=gpu_memory,
                dtype=dtype,
                enable_prefix_caching=not on_cpu,  # all prompts of a step begin with the same instruction
                trust_remote_code=False,
                # On a CPU vLLM 0.32 dies of a prompt with a seed that is read in parts; caching LFM2's prefixes needs such parts.
                **({"enable_chunked_prefill": False} if on_cpu else {}),
            )
        except Exception as error:  # vLLM has no one class for a failed start
            raise EngineError(
                f"vLLM could not start with {model}: {error}",
                "Check the GPU memory (max_model_len, tensor_parallel), or choose the local engine.",
            ) from error
        self.max_length = int(self.llm.llm_engine.model_config.max_model_len)
        self.tokenizer = self.llm.get_tokenizer()
        self.numbers = count()  # never given twice, so that no answer is taken for another's
        # What vLLM raises for one request and survives; 0.32 has a class of its own, older versions have not.
        self.refusals = (ValueError, getattr(getattr(self.vllm, "exceptions", None), "VLLMClientError", ValueError))

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request, as vLLM finishes them. Raises EngineError when vLLM itself fails."""
        source, more = iter(requests), True
        asked: dict[str, Request] = {}
        size = max(1, min(CHUNK, self.window // 8))  # small, so that a window that is filled up stays nearly full
        try:
            while more or asked:
                if more and len(asked) + size <= self.window:
                    chunk = list(islice(source, size))
                    more = len(chunk) == size
                    yield from self._ask(chunk, sampling, asked)
                if asked:
                    yield from self._step(sampling, asked)
        finally:
            if asked:  # the caller stopped early, or vLLM did
                with suppress(Exception):  # a dead engine has nothing to stop
                    self.llm.llm_engine.abort_request(list(asked))

    def close(self) -> None:
        """Stop vLLM's workers and free the GPU; the engine cannot be used afterwards."""
        if self.llm is not None:
            core: Any = getattr(self.llm.llm_engine, "engine_core", None)
            if hasattr(core, "shutdown"):
                core.shutdown()
            self.llm = None

    def _ask(self, chunk: list[Request], sampling: Sampling, asked: dict[str, Request]) -> Iterator[Completion]:
        """Hands a chunk to vLLM; yields the completions of those that it cannot answer."""
        for request, (ids, error) in zip(chunk, tokenise(self.tokenizer, chunk), strict=True):
            own, number = request.sampling(sampling), str(next(self.numbers))
            error = error or self._refusal(len(ids), own.max_tokens)
            if not error:
                try:
                    prompt = {"type": "token", "prompt_token_ids": ids}
                    self.llm.llm_engine.add_request(number, prompt, self._params(request.id, own, len(ids)))
                    asked[number] = request
                except Exception as failed:
                    if not isinstance(failed, self.refusals):
                        raise stopped(failed) from failed
                    error = f"vLLM refused the request: {failed}"
            if error:
                yield Completion(request.id, "", "error", 0, error, refused=True)

    def _step(self, sampling: Sampling, asked: dict[str, Request]) -> Iterator[Completion]:
        """One step of vLLM; yields what it finished."""
        engine = self.llm.llm_engine
        if not engine.has_unfinished_requests():
            raise EngineError(f"vLLM ended without an answer to {len(asked)} requests.", "Report the version of vLLM.")
        try:
            outputs = engine.step()
        except Exception as failed:  # whatever leaves a step has ended the engine
            raise stopped(failed) from failed
        for output in outputs:
            if output.finished and output.request_id in asked:
                yield to_completion(asked.pop(output.request_id).id, output.outputs[0], sampling.confidence)

    def _refusal(self, length: int, limit: int) -> str:
        if limit < 1:
            return f"max_tokens must be at least 1, not {limit}"
        if length >= self.max_length:
            return f"the prompt has {length} tokens, the model holds {self.max_length} with its answer"
        return ""

    def _params(self, request_id: str, own: Sampling, length: int) -> Any:
        module = self.vllm.sampling_params
        return self.vllm.SamplingParams(
            max_tokens=min(own.max_tokens, self.max_length - length),
            temperature=own.temperature,
            top_p=own.top_p,
            min_p=own.min_p if own.temperature > 0 else 0.0,
            repetition_penalty=own.repetition_penalty if own.temperature > 0 else 1.0,
            seed=None if own.temperature <= 0 else seed_of(own.seed, request_id),  # a seed per request costs vLLM time
            stop=[stop for stop in own.stop if stop] or None,
            logprobs=0 if own.confidence else None,  # 0 others, only those of the answer itself
            repetition_detection=module.RepetitionDetectionParams(**LOOP),
            output_kind=module.RequestOutputKind.FINAL_ONLY,
        )


def import_vllm() -> Any:
    """The vllm module. Raises EngineError when it is not installed or does not import."""
    try:
        module = importlib.import_module("vllm")
        importlib.import_module("vllm.sampling_params")
        return module
    except ImportError as error:
        raise EngineError(
            f"the vllm engine needs the package vllm ({error}).",
            "In an environment with CUDA: pip install vllm. Or choose the local or the server engine.",
        ) from error


def to_completion(request_id: str, output: Any, confidence: bool = False) -> Completion:
    """vLLM's first output as a completion; a finish other than stop, length or repetition is an error."""
    finish = FINISHES.get(output.finish_reason or "")
    tokens = len(output.token_ids)
    if finish is None:
        return Completion(request_id, "", "error", tokens, f"vLLM ended the answer with {output.finish_reason!r}")
    logprob = output.cumulative_logprob if confidence and tokens else None
    if logprob is None:
        return Completion(request_id, output.text, finish, tokens)
    sure, likely = (min(1.0, math.exp(value)) for value in (logprob / tokens, logprob))
    return Completion(request_id, output.text, finish, tokens, confidence=sure, probability=likely)


def stopped(error: Exception) -> EngineError:
    """The error that ends a run when vLLM has died."""
    return EngineError(f"vLLM stopped: {type(error).__name__}: {error}", "Run the same command again to continue.")


def seed_of(seed: int, request_id: str) -> int:
    """A 31-bit seed from the run's seed and the request, so that an answer does not depend on its neighbours."""
    digest = hashlib.sha256(f"{seed}\0{request_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
