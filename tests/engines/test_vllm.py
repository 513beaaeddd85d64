"""The vLLM engine against a stand-in with vLLM 0.32's surface that checks what it is given."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.engines.vllm import LOOP, VllmEngine
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
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: list[str] | None
    logprobs: int | None
    repetition_detection: RepetitionDetectionParams
    output_kind: str


class ClientError(Exception):
    """What vLLM raises for a request that it does not take; no ValueError since 0.32."""


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


class Engine:
    """Finishes `at_once` requests a step, the newest first; says how many tokens the prompt has."""

    def __init__(self) -> None:
        self.model_config = SimpleNamespace(max_model_len=16)
        self.running: dict[str, tuple[Any, SamplingParams]] = {}
        self.asked: list[tuple[Any, SamplingParams]] = []
        self.most = 0
        self.aborted: list[str] = []
        self.stopped: list[bool] = []
        self.engine_core = SimpleNamespace(shutdown=lambda: self.stopped.append(True))

    def add_request(self, request_id: str, prompt: Any, params: SamplingParams) -> str:
        """A request joins the queue; vLLM gives another id back than the one its outputs carry."""
        assert request_id not in self.running
        assert prompt["type"] == "token"
        if 13 in prompt["prompt_token_ids"]:
            raise ClientError("no 13 here")
        self.running[request_id] = (prompt, params)
        self.asked.append((prompt, params))
        self.most = max(self.most, len(self.running))
        return f"{request_id}-a1b2c3d4"

    def has_unfinished_requests(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self.running)

    def step(self) -> list[Any]:
        """The outputs of this step, one of them unfinished and one of a request that nobody asked."""
        assert self.running, "a step without requests never returns"
        if LLM.fails:
            raise RuntimeError("engine core died")
        if LLM.forgets:
            self.running.clear()
            return []
        outputs = [SimpleNamespace(request_id="never asked", finished=True, outputs=[])]
        outputs += [SimpleNamespace(request_id=next(iter(self.running)), finished=False, outputs=[])]
        for _ in range(min(LLM.at_once, len(self.running))):
            number, (prompt, params) = self.running.popitem()
            answer = SimpleNamespace(
                text=f"{len(prompt['prompt_token_ids'])} tokens",
                token_ids=(1, 2),
                finish_reason=LLM.finish,
                cumulative_logprob=None if params.logprobs is None else -1.0,
            )
            outputs.append(SimpleNamespace(request_id=number, finished=True, outputs=[answer]))
        return outputs

    def abort_request(self, request_ids: list[str]) -> None:
        """Forgets requests."""
        if LLM.fails:
            raise RuntimeError("engine core died")
        self.aborted += request_ids
        for number in request_ids:
            del self.running[number]


class LLM:
    """What holds the engine; the tests set how it behaves."""

    started: dict[str, Any]
    finish = "stop"
    fails = forgets = on_cpu = False
    at_once = 3

    def __init__(self, **settings: Any) -> None:
        allowed = {"model", "revision", "tensor_parallel_size", "max_model_len", "gpu_memory_utilization", "dtype"}
        allowed |= {"enable_prefix_caching", "trust_remote_code"}
        assert set(settings) == (allowed | {"enable_chunked_prefill"} if LLM.on_cpu else allowed)
        if settings["model"] == "broken":
            raise ValueError("no such model")
        LLM.started = settings
        self.llm_engine = Engine()

    def get_tokenizer(self) -> WordTokenizer:
        """The tokenizer of the model."""
        return WordTokenizer()


@pytest.fixture
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[LLM]]:
    """A module named vllm with the surface that the engine uses."""
    module, inner = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    inner.RepetitionDetectionParams = RepetitionDetectionParams  # type: ignore[attr-defined]
    inner.RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")  # type: ignore[attr-defined]
    module.LLM, module.SamplingParams, module.sampling_params = LLM, SamplingParams, inner  # type: ignore[attr-defined]
    module.exceptions = SimpleNamespace(VLLMClientError=ClientError)  # type: ignore[attr-defined]
    platform = SimpleNamespace(is_cpu=lambda: LLM.on_cpu)
    module.platforms = SimpleNamespace(current_platform=platform)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", inner)
    for name, value in {"finish": "stop", "fails": False, "forgets": False, "on_cpu": False, "at_once": 3}.items():
        monkeypatch.setattr(LLM, name, value)
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
    """The settings reach vLLM under its own names, prefixes are cached, and code from a checkpoint stays off."""
    VllmEngine("m", revision="abc", tensor_parallel=2, max_model_len=99, gpu_memory=0.5, dtype="bfloat16")
    assert fake_vllm.started == {
        "model": "m",
        "revision": "abc",
        "tensor_parallel_size": 2,
        "max_model_len": 99,
        "gpu_memory_utilization": 0.5,
        "dtype": "bfloat16",
        "enable_prefix_caching": True,
        "trust_remote_code": False,
    }


def test_on_a_cpu_prompts_are_read_whole(fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM 0.32 dies there of a prompt with a seed that is read in parts, so it gets none."""
    monkeypatch.setattr(fake_vllm, "on_cpu", True)
    VllmEngine("m")
    assert fake_vllm.started["enable_chunked_prefill"] is False
    assert fake_vllm.started["enable_prefix_caching"] is False


def test_prompts_are_ids_without_a_second_beginning(fake_vllm: type[LLM]) -> None:
    """Chats are sent as token ids of the template alone; running text gets the tokenizer's beginning."""
    engine = VllmEngine("m")
    ask(engine, [user("a", "hi"), Request("t", (Message("text", "once upon"),))])
    assert [prompt["prompt_token_ids"] for prompt, _ in engine.llm.llm_engine.asked] == [[3, 4, 2, 9], [0, 4, 4]]


def test_what_a_request_says_overrides_the_sampling(fake_vllm: type[LLM]) -> None:
    """Bounds, temperatures and seeds of single requests count before the shared ones, and no bound exceeds the model."""
    engine = VllmEngine("m")
    hot = Request("c", (Message("user", "hi"),), temperature=0.7, seed=5)
    ask(engine, [user("a", "hi", 3), user("b", "hi"), hot], Sampling(max_tokens=99, stop=("x", "")))
    first, second, third = (params for _, params in engine.llm.llm_engine.asked)
    assert (first.max_tokens, first.temperature, first.seed, first.stop) == (3, 0.0, None, ["x"])
    assert second.max_tokens == third.max_tokens == 16 - 4
    assert third.temperature == 0.7
    assert third.seed is not None


def test_seeds_depend_on_seed_and_id_alone(fake_vllm: type[LLM]) -> None:
    """The same request gets the same seed in every order and after every restart; others get others."""

    def seeds(names: str, seed: int) -> dict[int, int | None]:
        engine = VllmEngine("m")
        ask(engine, [user(name, "w " * place) for place, name in enumerate(names, 1)], Sampling(temperature=0.5, seed=seed))
        asked = engine.llm.llm_engine.asked
        return {names[len(prompt["prompt_token_ids"]) - 4]: params.seed for prompt, params in asked}  # type: ignore[misc]

    assert seeds("abc", 1) == seeds("cba", 1)
    assert len({*seeds("abc", 1).values(), *seeds("abc", 2).values()}) == 6


def test_long_and_empty_prompts_never_reach_vllm(fake_vllm: type[LLM]) -> None:
    """What cannot be answered is answered with its reason; the others go on."""
    engine = VllmEngine("m")
    found = ask(engine, [user("long", "w " * 20), user("empty", " "), user("none", "x", 0), user("good", "x")])
    assert {name for name, c in found.items() if c.finish == "error"} == {"long", "empty", "none"}
    assert "16" in found["long"].error
    assert found["good"] == Completion("good", "4 tokens", "stop", 2)
    assert len(engine.llm.llm_engine.asked) == 1
    ask(engine, [user("long", "w " * 20)])


def test_what_vllm_refuses_fails_alone(fake_vllm: type[LLM]) -> None:
    """A request that vLLM does not take is a failed completion with vLLM's words, no dead engine."""
    found = ask(VllmEngine("m"), [user("a", "x"), user("b", "x" * 13), user("c", "x")])
    assert {name: c.finish for name, c in found.items()} == {"a": "stop", "b": "error", "c": "stop"}
    assert "no 13 here" in found["b"].error


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("repetition", "length"), ("abort", "error"), (None, "error")]
)
def test_finish_reasons(fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch, reason: str | None, finish: str) -> None:
    """A loop counts as cut and an aborted answer as failed: neither is ever a finished text."""
    monkeypatch.setattr(fake_vllm, "finish", reason)
    found = ask(VllmEngine("m"), [user("a", "x")])["a"]
    assert found.finish == finish
    assert bool(found.error) == (finish == "error")


@given(st.integers(1, 64), st.integers(0, 63))
@settings(max_examples=200, deadline=None)
def test_every_short_loop_is_seen(period: int, offset: int) -> None:
    """A piece of 1 to 64 tokens that comes back over and over is a pattern within the sizes that vLLM is told to look for."""
    tokens = [(offset + place) % period for place in range(3 * 64)]
    sizes = range(LOOP["min_pattern_size"], LOOP["max_pattern_size"] + 1)
    spans = [(size, size * LOOP["min_count"]) for size in sizes]
    assert any(tokens[-span:-size] == tokens[-span + size :] for size, span in spans)


def test_confidence_only_when_asked(fake_vllm: type[LLM]) -> None:
    """The mean probability of the answer's own tokens, and no cost for it when nobody asks."""
    engine = VllmEngine("m")
    assert ask(engine, [user("a", "x")])["a"].confidence is None
    answer = ask(engine, [user("a", "x")], Sampling(confidence=True))["a"]
    whole = math.exp(-0.5 * answer.tokens)
    assert answer.confidence == pytest.approx(math.exp(-0.5)) and answer.probability == pytest.approx(whole)
    assert [params.logprobs for _, params in engine.llm.llm_engine.asked] == [None, 0]


@pytest.mark.parametrize(("window", "at_once"), [(1, 1), (4, 1), (4, 3), (7, 100), (600, 5), (4096, 300)])
def test_the_window_is_bounded_and_stays_full(
    fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch, window: int, at_once: int
) -> None:
    """Each request is answered once, at most a window lies in vLLM, and the source is never read ahead of it."""
    monkeypatch.setattr(fake_vllm, "at_once", at_once)
    pulled = 0

    def source() -> Iterator[Request]:
        nonlocal pulled
        for number in range(1000):
            pulled += 1
            yield user(str(number), "x")

    engine = VllmEngine("m", window=window)
    answered = []
    for completion in engine.complete(source(), Sampling()):
        assert pulled - len(answered) <= window
        answered.append(completion.id)
    assert sorted(answered, key=int) == [str(number) for number in range(1000)]
    assert engine.llm.llm_engine.most <= window


@pytest.mark.parametrize("window", [16, 256, 1024, 4096])
def test_requests_are_fed_before_the_last_answers(fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """vLLM never runs low while there are requests: new ones join those under way, they do not wait for their end."""
    monkeypatch.setattr(fake_vllm, "at_once", 1)
    engine, total = VllmEngine("m", window=window), 3 * window
    running = engine.llm.llm_engine.running
    left = [len(running) for _ in engine.complete((user(str(n), "x") for n in range(total)), Sampling())]
    assert min(left[window : total - window]) >= window * 3 // 4


def test_a_caller_that_stops_leaves_nothing_behind(fake_vllm: type[LLM]) -> None:
    """Requests under way are aborted, and the next call gets its own answers only, though it uses the same ids."""
    engine = VllmEngine("m", window=8)
    stream = engine.complete((user(str(n), "x") for n in range(50)), Sampling())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not engine.llm.llm_engine.running
    assert set(ask(engine, [user("0", "x y"), user("1", "x y")])) == {"0", "1"}


def test_failures_say_what_to_do(fake_vllm: type[LLM], monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed start, a dead engine, lost requests and a missing package are engine errors with advice."""
    with pytest.raises(EngineError, match=r"could not start with broken.*max_model_len"):
        VllmEngine("broken")
    with pytest.raises(EngineError, match="window must be at least 1"):
        VllmEngine("m", window=0)
    engine = VllmEngine("m")
    monkeypatch.setattr(fake_vllm, "forgets", True)
    with pytest.raises(EngineError, match="without an answer to 1 requests"):
        ask(engine, [user("a", "x")])
    monkeypatch.setattr(fake_vllm, "fails", True)
    with pytest.raises(EngineError, match="engine core died"):
        ask(engine, [user("a", "x")])
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match="pip install vllm"):
        VllmEngine("m")


def test_close_stops_the_workers_once(fake_vllm: type[LLM]) -> None:
    """Closing shuts vLLM's core down, and closing again does nothing."""
    engine = VllmEngine("m")
    core = engine.llm.llm_engine
    engine.close()
    engine.close()
    assert core.stopped == [True]
