"""Chat completion by vLLM in this process: the engine for GPUs.

    engine = VllmEngine("CohereLabs/command-a-translate-08-2025", tensor_parallel=2)

Requests go to vLLM in windows, as token ids: templates are rendered and lengths are checked here, because one prompt that
is too long fails its whole window there (vllm#1655). vLLM wants an environment of its own and is imported on use.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from hala.engines.chat import tokenise
from hala.errors import EngineError
from hala.records import Completion, Finish, Request, Sampling

# A loop is a piece of text three times in a row over at least 66 tokens. Shorter periods have a multiple in 22..64.
LOOP = {"max_pattern_size": 64, "min_pattern_size": 22, "min_count": 3}
FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "repetition": "length"}


class VllmEngine:
    """An `Engine` over an offline `vllm.LLM`, greedy or seeded; checked against vLLM 0.32.

    `tensor_parallel` GPUs share one copy; `gpu_memory` is the share of each GPU that vLLM may fill; `max_model_len` bounds
    prompt and answer in tokens, none takes the model's own. Raises EngineError when vLLM is missing or does not start.
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
        self.vllm = import_vllm()
        self.window = window
        try:
            self.llm = self.vllm.LLM(
                model=model,
                revision=revision,
                tensor_parallel_size=tensor_parallel,
                max_model_len=max_model_len,
                gpu_memory_utilization=gpu_memory,
                dtype=dtype,
                trust_remote_code=False,
            )
        except Exception as error:  # vLLM has no one class for a failed start
            raise EngineError(
                f"vLLM could not start with {model}: {error}",
                "Check the GPU memory (max_model_len, tensor_parallel), or choose the local engine.",
            ) from error
        self.max_length = int(self.llm.llm_engine.model_config.max_model_len)
        self.tokenizer = self.llm.get_tokenizer()

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request, window by window. Raises EngineError when vLLM itself fails."""
        source = iter(requests)
        while window := list(islice(source, self.window)):
            yield from self._answer(window, sampling)

    def close(self) -> None:
        """Stop vLLM's workers and free the GPU; the engine cannot be used afterwards."""
        if self.llm is not None:
            core: Any = getattr(self.llm.llm_engine, "engine_core", None)
            if hasattr(core, "shutdown"):
                core.shutdown()
            self.llm = None

    def _answer(self, window: list[Request], sampling: Sampling) -> Iterator[Completion]:
        asked: list[Request] = []
        prompts: list[dict[str, list[int]]] = []
        params: list[Any] = []
        for request, (ids, error) in zip(window, tokenise(self.tokenizer, window), strict=True):
            limit = sampling.max_tokens if request.max_tokens is None else request.max_tokens
            error = error or self._refusal(len(ids), limit)
            if error:
                yield Completion(request.id, "", "error", 0, error)
                continue
            asked.append(request)
            prompts.append({"prompt_token_ids": ids})
            params.append(self._params(request, min(limit, self.max_length - len(ids)), sampling))
        if not asked:
            return
        try:
            outputs = self.llm.generate(prompts, params, use_tqdm=False)
        except Exception as error:  # whatever leaves generate has ended the engine's loop
            reason = f"{type(error).__name__}: {error}"
            raise EngineError(f"vLLM stopped: {reason}", "Run the same command again to continue.") from error
        if len(outputs) != len(asked):
            raise EngineError(f"vLLM gave {len(outputs)} answers to {len(asked)} requests.", "Report the version of vLLM.")
        for request, output in zip(asked, outputs, strict=True):
            yield to_completion(request.id, output.outputs[0])

    def _refusal(self, length: int, limit: int) -> str:
        if limit < 1:
            return f"max_tokens must be at least 1, not {limit}"
        if length >= self.max_length:
            return f"the prompt has {length} tokens, the model holds {self.max_length} with its answer"
        return ""

    def _params(self, request: Request, limit: int, sampling: Sampling) -> Any:
        greedy = sampling.temperature <= 0
        return self.vllm.SamplingParams(
            max_tokens=limit,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=None if greedy else seed_of(sampling.seed, request.id),  # a seed per request costs vLLM time
            stop=[stop for stop in sampling.stop if stop] or None,
            repetition_detection=self.vllm.sampling_params.RepetitionDetectionParams(**LOOP),
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


def to_completion(request_id: str, output: Any) -> Completion:
    """vLLM's first output as a completion; a finish other than stop, length or repetition is an error."""
    finish = FINISHES.get(output.finish_reason or "")
    tokens = len(output.token_ids)
    if finish is None:
        return Completion(request_id, "", "error", tokens, f"vLLM ended the answer with {output.finish_reason!r}")
    return Completion(request_id, output.text, finish, tokens)


def seed_of(seed: int, request_id: str) -> int:
    """A 31-bit seed from the run's seed and the request, so that an answer does not depend on its neighbours."""
    digest = hashlib.sha256(f"{seed}\0{request_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
