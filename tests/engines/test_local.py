"""The local engine: batches give the answers of single prompts, and every fault is a completion."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers import decoders as token_decoders
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from hala.engines import decoding
from hala.engines.local import LocalEngine, is_out_of_memory
from hala.errors import EngineError
from hala.hardware import native_int8
from hala.records import Completion, Message, Request, Sampling
from hala.weights.compress import compress
from hala.weights.linears import Int8Linear
from hala.weights.loading import load_model, save_model

VOCABULARY = 300
CHATML = (
    "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 3,
    "max_position_embeddings": 256,
}


def byte_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that needs no training: one token per byte and a few special ones."""
    specials = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(specials + alphabet)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = token_decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = template
    return tokenizer


def make_model(family: str) -> Any:
    """A random model of a family, sharpened so that greedy answers vary and have no near ties."""
    torch.manual_seed(7)
    if family == "lfm2":
        layers = ["conv", "full_attention", "conv", "full_attention"]
        model: Any = Lfm2ForCausalLM(Lfm2Config(**SIZES, num_hidden_layers=4, layer_types=layers, block_auto_adjust_ff_dim=False))
    elif family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SIZES, num_hidden_layers=2))
    else:  # a window of 8 tokens, so that the sliding cache is cut in every test
        model = Gemma2ForCausalLM(
            Gemma2Config(**SIZES, num_hidden_layers=2, head_dim=8, query_pre_attn_scalar=8, sliding_window=8)
        )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    return model.eval()


def make_requests(count: int, seed: int = 0) -> list[Request]:
    """User turns of 1 to 40 random letters, with bounds of 1 to 40 tokens."""
    rng = random.Random(seed)
    return [
        Request(
            f"r{number}",
            (Message("user", "".join(rng.choices("abcdefgh سلام", k=rng.randint(1, 40))) + "x"),),
            max_tokens=rng.choice([1, 5, 20, 40]),
        )
        for number in range(count)
    ]


def answers(engine: LocalEngine, requests: list[Request], sampling: Sampling | None = None) -> dict[str, Completion]:
    """Completions by id, each exactly once."""
    found = list(engine.complete(iter(requests), sampling or Sampling(max_tokens=24)))
    assert len(found) == len(requests)
    return {completion.id: completion for completion in found}


@pytest.fixture(scope="module")
def lfm2() -> Any:
    """One random LFM2 for the tests that do not change it."""
    return make_model("lfm2")


@pytest.mark.parametrize("family", ["lfm2", "llama", "gemma2"])
def test_batched_answers_equal_single_answers(family: str) -> None:
    """Left padding, the convolution state, a sliding window and dropped rows never change a greedy answer."""
    model, requests = make_model(family), make_requests(16)
    together = answers(LocalEngine(model, byte_tokenizer(), batch_tokens=4096), requests)
    alone = answers(LocalEngine(model, byte_tokenizer(), batch_tokens=1), requests)
    assert together == alone
    assert len({completion.text for completion in alone.values()}) > 8


@pytest.mark.parametrize("family", ["lfm2", "llama", "gemma2"])
def test_single_answers_equal_generate(family: str) -> None:
    """The decoding loop says what transformers' own generate says for one unpadded prompt."""
    model, tokenizer = make_model(family), byte_tokenizer()
    for request in make_requests(3, seed=3):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": request.messages[0].content}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        written = model.generate(**prompt, max_new_tokens=30, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
        job = decoding.Job("x", prompt["input_ids"][0].tolist(), 30)
        decoding.decode(model, [job], Sampling(), decoding.Rules(frozenset({3})), 0)
        assert job.tokens == written


@pytest.mark.parametrize("family", ["lfm2", "llama"])
def test_an_int8_checkpoint_answers_as_its_multiplied_out_weights_do(family: str, tmp_path: Path) -> None:
    """Compressed to int8 and loaded for speed, a model writes what the slow way writes, in batches and alone."""
    save_model(make_model(family), byte_tokenizer(), tmp_path / "whole")
    compress(tmp_path / "whole", tmp_path / "int8", "int8-dynamic")
    requests = make_requests(12, seed=5)
    fast = LocalEngine(*load_model(tmp_path / "int8", "float32", "cpu", native=True))
    slow = LocalEngine(*load_model(tmp_path / "int8", "float32", "cpu"))
    written = answers(fast, requests)
    assert written == answers(slow, requests)
    fast.batch_tokens = 1
    assert written == answers(fast, requests)
    assert any(isinstance(module, Int8Linear) for module in fast.model.modules()) is native_int8("cpu")


def test_lean_lfm2_equals_transformers(lfm2: Any) -> None:
    """The lean LFM2 pass gives the logits of transformers' forward at every step of a padded, shrinking batch."""
    jobs = [decoding.Job(str(size), list(range(5, 5 + size)), 99) for size in (1, 2, 3, 9, 30)]
    lean = decoding.open_state(lfm2, jobs, 0)
    assert isinstance(lean, decoding.Lfm2State)
    full = decoding.CacheState(lfm2, lean.ids, lean.valid)
    with torch.inference_mode():
        for step in range(90):
            tokens = torch.arange(len(lean.valid)) * 7 + step
            left, right = (state.step(tokens) if step else state.prefill() for state in (lean, full))
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
            if step in (10, 40):
                rows = torch.tensor([0, 2, 3]) if step == 10 else torch.tensor([1])
                lean.keep(rows)
                full.keep(rows)


def test_bias_in_the_convolution_does_not_leak_from_padding() -> None:
    """With conv_bias the padding left of a prompt still counts as nothing."""
    torch.manual_seed(1)
    layers = ["conv", "full_attention", "conv"]
    config = Lfm2Config(**SIZES, num_hidden_layers=3, layer_types=layers, block_auto_adjust_ff_dim=False, conv_bias=True)
    model = Lfm2ForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.5) if name.endswith("bias") else None
    short = decoding.Job("a", [9, 8, 7], 9)
    with torch.inference_mode():
        alone = decoding.open_state(model, [short], 0).prefill()
        padded = decoding.open_state(model, [short, decoding.Job("b", list(range(5, 25)), 9)], 0).prefill()
    torch.testing.assert_close(alone[0], padded[0], rtol=1e-4, atol=1e-4)


def test_prompt_has_one_first_token(lfm2: Any) -> None:
    """A template that writes the first token itself does not get a second one from the tokenizer."""
    engine = LocalEngine(lfm2, byte_tokenizer())
    (job,) = engine._prepare([Request("a", (Message("user", "hi"),))], Sampling())
    assert job.prompt.count(1) == 1
    assert job.prompt[0] == 1
    assert engine.tokenizer.decode(job.prompt).startswith("<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


def test_bounds_and_finish(lfm2: Any) -> None:
    """The request's own max_tokens comes first, and an answer cut by it says so."""
    requests = [Request("own", (Message("user", "abc"),), max_tokens=3), Request("common", (Message("user", "abc"),))]
    found = answers(LocalEngine(lfm2, byte_tokenizer()), requests, Sampling(max_tokens=6))
    assert (found["own"].finish, found["own"].tokens) == ("length", 3)
    assert found["common"].tokens == 6


def test_end_token_stops_and_is_not_text(lfm2: Any) -> None:
    """The end token finishes an answer with `stop`, is counted and stays out of the text."""
    engine = LocalEngine(lfm2, byte_tokenizer())
    request = Request("a", (Message("user", "abc"),))
    first = answers(engine, [request], Sampling(max_tokens=12))["a"]
    (job,) = engine._prepare([request], Sampling(max_tokens=12))
    decoding.decode(lfm2, [job], Sampling(), decoding.Rules(frozenset()), 0)
    engine.ends = frozenset({job.tokens[4]})
    place = job.tokens.index(job.tokens[4])
    found = answers(engine, [request], Sampling(max_tokens=12))["a"]
    assert (found.finish, found.tokens) == ("stop", place + 1)
    assert first.text.startswith(found.text)


def test_stop_strings_cut_the_text(lfm2: Any) -> None:
    """A stop string ends the answer and is cut off with all that follows; an empty one means nothing."""
    engine = LocalEngine(lfm2, byte_tokenizer())
    requests = make_requests(8)
    whole = answers(engine, requests, Sampling(max_tokens=20))
    stop = next(c.text[2:4] for c in whole.values() if len(c.text) > 6 and c.text[2:4].isascii())
    found = answers(engine, requests, Sampling(max_tokens=20, stop=(stop, "")))
    cut = 0
    for name, completion in whole.items():
        if stop in completion.text:
            cut += 1
            assert found[name].text == completion.text.split(stop)[0]
            assert found[name].finish == "stop"
        else:
            assert found[name] == completion
    assert cut >= 1


def test_requests_that_cannot_be_answered_are_errors(lfm2: Any) -> None:
    """An empty, refused, broken or too long prompt fails alone, with its reason."""
    requests = [
        Request("none", ()),
        Request("blank", (Message("user", " \n"),)),
        Request("long", (Message("user", "a" * 300),)),
        Request("tool", (Message("tool", "x"),)),
        Request("half", (Message("user", "\ud800"),)),
        Request("zero", (Message("user", "x"),), max_tokens=0),
        Request("good", (Message("user", "x"),)),
    ]
    found = answers(LocalEngine(lfm2, byte_tokenizer()), requests)
    reasons = {name: c.error for name, c in found.items() if c.finish == "error"}
    assert set(reasons) == {"none", "blank", "long", "tool", "half", "zero"}
    assert "256" in reasons["long"]
    assert "no tools" in reasons["tool"]
    assert all(reasons.values())
    assert found["good"].finish != "error"


def test_answer_never_runs_past_the_positions(lfm2: Any) -> None:
    """Prompt and answer together stay within the model's positions, and the cut is called `length`."""
    job = LocalEngine(lfm2, byte_tokenizer())._prepare([Request("a", (Message("user", "a" * 200),))], Sampling(max_tokens=999))[0]
    assert len(job.prompt) + job.limit == 256


def test_sampling_depends_on_seed_and_id_only(lfm2: Any) -> None:
    """A sampled answer is the same alone, in a batch and again, and another seed gives another one."""
    requests = make_requests(12)
    sampling = Sampling(max_tokens=16, temperature=1.0, top_p=0.9, seed=5)
    engine = LocalEngine(lfm2, byte_tokenizer())
    together = answers(engine, requests, sampling)
    assert answers(LocalEngine(lfm2, byte_tokenizer(), batch_tokens=1), requests[::-1], sampling) == together
    other = answers(engine, requests, Sampling(max_tokens=16, temperature=1.0, top_p=0.9, seed=6))
    assert other != together


def test_own_temperature_and_seed_count_in_a_shared_batch(lfm2: Any) -> None:
    """First tries and sampled tries share batches, and each gives what it gives when all requests are like it."""
    engine = LocalEngine(lfm2, byte_tokenizer())
    plain = make_requests(12)
    odd = [replace(request, temperature=1.0, seed=5) if number % 3 else request for number, request in enumerate(plain)]
    greedy = answers(engine, plain, Sampling(max_tokens=16))
    drawn = answers(engine, plain, Sampling(max_tokens=16, temperature=1.0, seed=5))
    mixed = answers(engine, odd, Sampling(max_tokens=16))
    assert mixed == {request.id: (drawn if number % 3 else greedy)[request.id] for number, request in enumerate(plain)}
    cold = [replace(request, temperature=0.0) for request in plain]
    assert answers(engine, cold, Sampling(max_tokens=16, temperature=1.0)) == greedy != drawn


def test_sampler_follows_the_distribution() -> None:
    """Sampled frequencies are the softmax at the temperature, and nothing outside the nucleus is ever drawn."""
    jobs = [decoding.Job(str(number), [1], 1, temperature=2.0) for number in range(4000)]
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(len(jobs), 4)
    drawn = torch.tensor(decoding.Sampler(jobs, Sampling())(logits, jobs)).bincount(minlength=4) / len(jobs)
    torch.testing.assert_close(drawn, torch.softmax(logits[0] / 2, -1), atol=0.03, rtol=0)
    nucleus = decoding.Sampler(jobs, Sampling(top_p=0.5))(logits, jobs)
    assert set(nucleus) == {0, 1}
    assert set(decoding.Sampler(jobs, Sampling(min_p=0.4))(logits, jobs)) == {0, 1}


def test_penalised_logits_are_those_of_transformers() -> None:
    """The penalty of tokens that prompt or answer hold already equals transformers' own, row by row."""
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    jobs = [decoding.Job("a", [1, 2, 2], 9, tokens=[5]), decoding.Job("b", [8, 0, 3], 9, tokens=[3])]
    ids = torch.tensor([[*job.prompt, *job.tokens] for job in jobs])
    expected = RepetitionPenaltyLogitsProcessor(1.3)(ids, logits)
    torch.testing.assert_close(decoding.penalised(logits, jobs, 1.3), expected)


def test_out_of_memory_halves_the_batch(lfm2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short memory changes the batch size, never an answer; the size is kept for the batches that follow."""
    requests, engine = make_requests(10), LocalEngine(lfm2, byte_tokenizer())
    expected = answers(engine, requests)
    sizes: list[int] = []
    genuine = decoding.open_state

    def tight(model: Any, jobs: list[decoding.Job], pad: int) -> decoding.State:
        sizes.append(len(jobs))
        if len(jobs) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return genuine(model, jobs, pad)

    monkeypatch.setattr(decoding, "open_state", tight)
    assert answers(engine, requests) == expected
    assert sum(size > 3 for size in sizes) == 2
    assert max(sizes[2:]) <= 3


def test_out_of_memory_alone_is_an_error(lfm2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that does not fit by itself becomes an error completion, and any other failure of torch stays visible."""

    def full(model: Any, jobs: list[decoding.Job], pad: int) -> decoding.State:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(decoding, "open_state", full)
    found = answers(LocalEngine(lfm2, byte_tokenizer()), make_requests(3))
    assert {completion.finish for completion in found.values()} == {"error"}
    assert all("out of memory" in completion.error for completion in found.values())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_logits_that_are_not_finite_are_errors() -> None:
    """A poisoned weight gives error completions instead of made-up text, greedy or sampled."""
    model = make_model("lfm2")
    with torch.no_grad():
        model.model.embedding_norm.weight[0] = float("nan")
    for temperature in (0.0, 1.0):
        found = answers(LocalEngine(model, byte_tokenizer()), make_requests(3), Sampling(temperature=temperature))
        assert all(c.finish == "error" and "not finite" in c.error for c in found.values())


@pytest.mark.parametrize("period", [1, 2, 7, 30, 64])
def test_loops_are_found(period: int) -> None:
    """A piece repeated three times over at least 64 tokens is a loop; a text that ends otherwise is none."""
    piece = list(range(period))
    needed = max(64, 3 * period)
    tokens = ([99, 98] + piece * 70)[: 2 + needed]
    assert decoding.is_looping(tokens)
    assert not decoding.is_looping(tokens[:-1][-needed + 1 :])
    assert not decoding.is_looping([*tokens, 500])


def test_looping_answer_is_never_finished(lfm2: Any) -> None:
    """A model stuck on one token is stopped long before its bound and reported as `length`."""
    job = decoding.Job("a", [1], 10_000)
    rules = decoding.Rules(frozenset({3}))
    while job.finish is None:
        rules.apply(job, 42)
    assert (job.finish, len(job.tokens)) == ("length", 64)


def test_window_is_pulled_lazily(lfm2: Any) -> None:
    """No more than one window of requests is pulled before the first answer."""
    pulled: list[str] = []

    def source() -> Any:
        for request in make_requests(50):
            pulled.append(request.id)
            yield request

    stream = LocalEngine(lfm2, byte_tokenizer(), window=8).complete(source(), Sampling(max_tokens=2))
    next(stream)
    assert len(pulled) == 8


def test_missing_template_and_wrong_settings_say_so(lfm2: Any) -> None:
    """A chat without a template stops the engine with advice, running text needs none, and settings are checked."""
    engine = LocalEngine(lfm2, byte_tokenizer(template=None))
    with pytest.raises(EngineError, match="chat template"):
        answers(engine, make_requests(1))
    assert answers(engine, [Request("t", (Message("text", "once"),))])["t"].finish != "error"
    with pytest.raises(EngineError, match="batch_tokens"):
        LocalEngine(lfm2, byte_tokenizer(), batch_tokens=0)


def test_confidence_is_the_mean_probability_of_the_tokens(lfm2: Any) -> None:
    """Confidence equals the geometric mean of transformers' own probabilities, whatever the batch, and is absent unless asked."""
    engine = LocalEngine(lfm2, byte_tokenizer())
    requests = make_requests(6)
    found = answers(engine, requests, Sampling(max_tokens=12, confidence=True))
    plain = answers(engine, requests, Sampling(max_tokens=12))
    assert all(completion.confidence is None for completion in plain.values())
    for job in engine._prepare(requests, Sampling(max_tokens=12)):
        generated = lfm2.generate(torch.tensor([job.prompt]), max_new_tokens=job.limit, do_sample=False)[0]
        logits = lfm2(generated[None]).logits[0, len(job.prompt) - 1 : -1].log_softmax(-1)
        own = logits.gather(1, generated[len(job.prompt) :, None]).mean().exp().item()
        assert found[job.id].confidence == pytest.approx(own, rel=1e-3)
        assert found[job.id].probability == pytest.approx(own ** found[job.id].tokens, rel=1e-2)
        assert found[job.id].text == plain[job.id].text
