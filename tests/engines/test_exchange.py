"""One exchange in words: the address, the question, the answer and whose it is, the waits."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.engines.connection import Reply
from hala.engines.exchange import MAX_BODY, Failure, Policy, largest_answer, make_body, make_url, owner, read_answer, retry_after
from hala.records import Completion, Message, Request, Sampling


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("https://h/openai/v1beta", "https://h/openai/v1beta/chat/completions"),
        ("http://[::1]:8/v1/chat/completions", "http://[::1]:8/v1/chat/completions"),
    ],
)
def test_addresses(given: str, used: str) -> None:
    """The address may end at the host, at its version or in full."""
    assert make_url(given) == used


def test_waits_are_jittered_bounded_and_repeat() -> None:
    """Waits grow, never exceed a minute unless the server asks, then never ten more, and are the same in every run."""
    policy = Policy()
    waits = [policy.wait("a", number, 0.0) for number in range(1, 20)]
    assert waits == [policy.wait("a", number, 0.0) for number in range(1, 20)]
    assert all(0 <= wait <= min(60.0, 0.5 * 2**number) for number, wait in enumerate(waits, 1))
    assert len({policy.wait(f"r{n}", 5, 0.0) for n in range(50)}) == 50
    assert policy.wait("a", 1, 300.0) >= 300.0
    assert policy.wait("a", 1, 1e12) <= 601.0


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        ("1.5", 1.5, 1.5),
        ("9" * 400, 1e19, 1e20),
        ("-5", 0, 0),
        ("soon", 0, 0),
        ("٧", 0, 0),
        ("nan", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 1e9, 1e12),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0, 0),
        ("", 0, 0),
    ],
)
def test_retry_after(value: str, low: float, high: float) -> None:
    """Seconds and dates are understood, and nonsense means no wait."""
    assert low <= retry_after(value) <= high


def test_only_sampled_requests_name_what_not_every_server_knows() -> None:
    """Servers that know OpenAI's fields alone are not told of others, unless a try is sampled and the model wants them."""
    shared = Sampling(min_p=0.15, repetition_penalty=1.05)
    bodies = [make_body("m", Request("r", (Message("user", "x"),), None, heat), shared) for heat in (0.0, 0.3)]
    greedy, sampled = (json.loads(body) for body in bodies)
    assert not {"min_p", "repetition_penalty"} & greedy.keys()
    assert (sampled["min_p"], sampled["repetition_penalty"]) == (0.15, 1.05)
    plain = make_body("m", Request("r", (Message("user", "x"),), None, 0.3), Sampling())
    assert json.loads(plain).keys() == greedy.keys()


@given(st.text(), st.text(), st.floats(0, 2), st.integers(1, 10**6))
@settings(max_examples=60, deadline=None)
def test_any_text_goes_and_comes_back(prompt: str, answer: str, temperature: float, tokens: int) -> None:
    """Whatever characters a prompt and an answer hold, the server reads and the row gets exactly these."""
    request = Request("r", (Message("user", f"x{prompt}"),), tokens, temperature, seed=3)
    body = make_body("m", request, Sampling())
    assert isinstance(body, bytes)
    sent = json.loads(body)
    assert (sent["messages"][0]["content"], sent["temperature"], sent["max_tokens"], sent["seed"]) == (
        f"x{prompt}",
        temperature,
        tokens,
        3,
    )
    reply = json.dumps({"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}).encode()
    assert read_answer("r", reply) == (Completion("r", answer, "stop"), "")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["stop", "length"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "choices", "message", "content", "finish_reason", "usage", "completion_tokens"]), inner
        )
    ),
    max_leaves=12,
)


@given(JUNK)
@settings(max_examples=300, deadline=None)
def test_no_answer_breaks_the_reader(answer: Any) -> None:
    """Whatever JSON a server sends, it becomes a completion with text or a failure with its reason."""
    outcome, name = read_answer("r", json.dumps(answer).encode())
    assert isinstance(name, str)
    if isinstance(outcome, Completion):
        assert isinstance(outcome.text, str) and outcome.finish in ("stop", "length") and outcome.tokens >= 0
    else:
        assert outcome.reason


def test_failures_say_what_may_follow() -> None:
    """A refusal and a useless answer are final; a refusal and a busy server are signs of life."""
    kinds = ("unreached", "away", "broken", "busy", "refused", "useless")
    assert [kind for kind in kinds if Failure(kind, "x").again] == ["unreached", "away", "broken", "busy"]
    assert [kind for kind in kinds if Failure(kind, "x").alive] == ["busy", "refused", "useless"]


@pytest.mark.parametrize(
    ("name", "header", "whose"),
    [
        ("chatcmpl-run-01", "", "this"),
        ("", "run-01", "this"),
        ("chatcmpl-run-02", "", "another"),
        ("chatcmpl-run-02", "run-01", "another"),
        ("run-01", "run-02", "another"),
        ("chatcmpl-77", "", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_whose_answer_it_is(name: str, header: str, whose: str) -> None:
    """An answer that bears another request's id anywhere is not taken, and one without any says nothing."""
    reply = Reply(200, {"x-request-id": header} if header else {}, b"", True)
    assert owner(reply, name, "run-01", "run-") == whose


def test_room_for_an_answer() -> None:
    """Long answers get room, and no setting takes more than 8 MiB."""
    assert 1_000_000 < largest_answer(1) < largest_answer(4096) < MAX_BODY
    assert largest_answer(10**9) == MAX_BODY


@pytest.mark.parametrize(
    ("logprobs", "confidence"),
    [
        ({"content": [{"token": "yes", "logprob": math.log(0.9)}, {"token": "", "logprob": math.log(0.4)}]}, 0.6),
        ({"content": [{"token": "yes", "logprob": 1e-7}]}, 1.0),
        ({"content": [{"token": "yes", "logprob": "NaN"}]}, None),
        ({"content": []}, None),
        ({"tokens": ["yes"]}, None),
        ("none", None),
        (None, None),
    ],
)
def test_servers_say_how_sure_a_model_was(logprobs: Any, confidence: float | None) -> None:
    """Probabilities are asked for where they are wanted, their geometric mean is taken, and another form of them is no error."""
    request = Request("a", (Message("user", "x"),))
    assert json.loads(make_body("m", request, Sampling(confidence=True)))["logprobs"] is True
    assert "logprobs" not in json.loads(make_body("m", request, Sampling()))
    content = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": logprobs}]}
    answer, _ = read_answer("a", json.dumps(content).encode())
    assert isinstance(answer, Completion) and answer.confidence == pytest.approx(confidence)
    if confidence is not None:
        whole = math.prod(math.exp(float(each["logprob"])) for each in logprobs["content"])
        assert answer.probability == pytest.approx(min(1.0, whole))
    else:
        assert answer.probability is None
