"""The vLLM engine against a stand-in with vLLM 0.32's surface that checks what it is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hala.engines.vllm import VllmEngine
from hala.errors import EngineError
from hala.records import Completion, Message, Request, Sampling


@dataclass
class RepetitionDetectionParams:
    """The fields of vLLM's class, with its check."""

    max_pattern_size: int = 0
    min_pattern_size: int = 0
    min_count: int = 0

    def __post_init__(self) -> None:
        assert 0 < self.min_pattern_size <= self.max_pattern_size
        assert self.min_count >= 2


@dataclass
class SamplingParams:
    """The fields of vLLM's class that the engine sets; any other keyword is a TypeError."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: list[str] | None
    repetition_detection: RepetitionDetectionParams


class WordTokenizer:
    """One id per word; the template marks the turns."""

    chat_template = "yes"

    def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool) -> str:
        """Turns as words, with the beginning written by the template."""
        assert not tokenize
        assert add_generation_prompt
        return "<s> " + " ".join(f"{m['role']} {m['content']}" for m in messages) + " assistant"

    def __call__(self, texts: list[str], add_special_tokens: bool, **settings: Any) -> dict[str, list[list[int]]]:
        """Ids of words, with a 0 in front where the tokenizer adds the beginning."""
        return {"input_ids": [([0] if add_special_tokens else []) + [len(word) for word in text.split()] for text in texts]}


class LLM:
    """Answers with the number of prompt tokens; `finish` and `fails` are set by the tests."""

    started: dict[str, Any]
    finish = "stop"
    fails = False

    def __init__(self, **settings: Any) -> None:
        allowed = {
            "model",
            "revision",
            "tensor_parallel_size",
            "max_model_len",
            "gpu_memory_utilization",
            "dtype",
            "trust_remote_code",
        }
        assert set(settings) == allowed
        if settings["model"] == "broken":
            raise ValueError("no such model")
        LLM.started = settings
        self.batches: list[tuple[list[Any], list[SamplingParams]]] = []
        self.stopped: list[bool] = []
        core = SimpleNamespace(shutdown=lambda: self.stopped.append(True))
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=16), engine_core=core)

    def get_tokenizer(self) -> WordTokenizer:
        """The tokenizer of the model."""
        return WordTokenizer()

    def generate(self, prompts: list[Any], params: list[SamplingParams], *, use_tqdm: bool) -> list[Any]:
        """One output per prompt, in order."""
        assert not use_tqdm
        assert len(prompts) == len(params)
        if self.fails:
            raise RuntimeError("engine core died")
        self.batches.append((prompts, params))
        return [
            SimpleNamespace(
                outputs=[
                    SimpleNamespace(text=f"{len(p['prompt_token_ids'])} tokens", token_ids=(1, 2), finish_reason=self.finish)
                ]
            )
            for p in prompts
        ]


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[LLM]]:
    """A module named vllm with the surface that the engine uses."""
    module, inner = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    inner.RepetitionDetectionParams = RepetitionDetectionParams  # type: ignore[attr-defined]
    module.LLM, module.SamplingParams, module.sampling_params = LLM, SamplingParams, inner  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", inner)
    monkeypatch.setattr(LLM, "finish", "stop")
    monkeypatch.setattr(LLM, "fails", False)
    yield LLM


def ask(engine: VllmEngine, requests: list[Request], sampling: Sampling | None = None) -> dict[str, Completion]:
    """Completions by id, each exactly once."""
    found = list(engine.complete(iter(requests), sampling or Sampling()))
    assert len(found) == len(requests)
    return {c.id: c for c in found}


def user(name: str, text: str, max_tokens: int | None = None) -> Request:
    """A request of one user turn."""
    return Request(name, (Message("user", text),), max_tokens)


def test_start_passes_the_settings(fake_vllm: type[LLM]) -> None:
    """The settings reach vLLM under its own names, and code from a checkpoint stays off."""
    VllmEngine("m", revision="abc", tensor_parallel=2, max_model_len=99, gpu_memory=0.5, dtype="bfloat16")
    assert fake_vllm.started == {
        "model": "m",
        "revision": "abc",
        "tensor_parallel_size": 2,
        "max_model_len": 99,
        "gpu_memory_utilization": 0.5,
        "dtype": "bfloat16",
        "trust_remote_code": False,
    }


def test_prompts_are_ids_without_a_second_beginning(fake_vllm: type[LLM]) -> None:
    """Chats are sent as token ids of the template alone; running text gets the tokenizer's beginning."""
    engine = VllmEngine("m")
    ask(engine, [user("a", "hi"), Request("t", (Message("text", "once upon"),))])
    ((prompts, _),) = engine.llm.batches
    assert prompts == [{"prompt_token_ids": [3, 4, 2, 9]}, {"prompt_token_ids": [0, 4, 4]}]


def test_greedy_has_no_seed_and_sampling_has_one_per_request(fake_vllm: type[LLM]) -> None:
    """Greedy requests carry no seed; sampled ones a fixed one of (seed, id); bounds and stops are per request."""
    engine = VllmEngine("m")
    ask(engine, [user("a", "hi", max_tokens=3)], Sampling(stop=("x", "")))
    ask(engine, [user("a", "hi"), user("b", "hi")], Sampling(max_tokens=99, temperature=0.5, top_p=0.8, seed=1))
    (_, (greedy,)), (_, (first, second)) = engine.llm.batches
    assert (greedy.max_tokens, greedy.temperature, greedy.seed, greedy.stop) == (3, 0.0, None, ["x"])
    assert first.max_tokens == 16 - 4
    assert (first.top_p, first.stop) == (0.8, None)
    assert first.seed is not None
    assert first.seed != second.seed


def test_long_and_empty_prompts_never_reach_vllm(fake_vllm: type[LLM]) -> None:
    """One bad prompt would fail its whole window, so it is answered with its reason before."""
    engine = VllmEngine("m")
    found = ask(engine, [user("long", "w " * 20), user("empty", " "), user("none", "x", 0), user("good", "x")])
    assert {name for name, c in found.items() if c.finish == "error"} == {"long", "empty", "none"}
    assert "16" in found["long"].error
    assert found["good"] == Completion("good", "4 tokens", "stop", 2)
    assert len(engine.llm.batches[0][0]) == 1
    ask(engine, [user("long", "w " * 20)])
    assert len(engine.llm.batches) == 1


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("repetition", "length"), ("abort", "error"), (None, "error")]
)
def test_finish_reasons(fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch, reason: str | None, finish: str) -> None:
    """A loop counts as cut and an aborted answer as failed: neither is ever a finished text."""
    monkeypatch.setattr(fake_vllm, "finish", reason)
    found = ask(VllmEngine("m"), [user("a", "x")])["a"]
    assert found.finish == finish
    assert bool(found.error) == (finish == "error")


def test_windows_are_lazy(fake_vllm: type[LLM]) -> None:
    """Only one window is pulled before its answers are given."""
    pulled: list[str] = []

    def source() -> Iterator[Request]:
        for number in range(10):
            pulled.append(str(number))
            yield user(str(number), "x")

    engine = VllmEngine("m", window=4)
    stream = engine.complete(source(), Sampling())
    next(stream)
    assert len(pulled) == 4
    assert len(list(stream)) == 9
    assert [len(prompts) for prompts, _ in engine.llm.batches] == [4, 4, 2]


def test_failures_say_what_to_do(fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed start, a dead engine and a missing package are engine errors with advice."""
    with pytest.raises(EngineError, match=r"could not start with broken.*max_model_len"):
        VllmEngine("broken")
    engine = VllmEngine("m")
    monkeypatch.setattr(fake_vllm, "fails", True)
    with pytest.raises(EngineError, match="engine core died"):
        ask(engine, [user("a", "x")])
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match="pip install vllm"):
        VllmEngine("m")


def test_close_stops_the_workers_once(fake_vllm: type[LLM]) -> None:
    """Closing shuts vLLM's core down, and closing again does nothing."""
    engine = VllmEngine("m")
    llm = engine.llm
    engine.close()
    engine.close()
    assert llm.stopped == [True]
