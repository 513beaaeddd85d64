"""The engines without a model: every fault is counted, seeded by request id and the same after a restart."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.engines.scripted import EchoEngine, Faults, ScriptedEngine, draw
from hala.errors import EngineError
from hala.records import Completion, Engine, Message, Request, Sampling


def make_requests(count: int) -> list[Request]:
    """Numbered user turns."""
    return [Request(f"r{number}", (Message("user", f"say {number} and more"),)) for number in range(count)]


def last_turn(request: Request) -> str:
    """The content of the last message."""
    return request.messages[-1].content


def complete(engine: Engine, requests: list[Request]) -> list[Completion]:
    """All completions in the order they came."""
    return list(engine.complete(iter(requests), Sampling()))


@given(st.integers(0, 10), st.integers(1, 20), st.floats(0, 1), st.floats(0, 0.2))
def test_every_request_is_answered_exactly_once(seed: int, shuffled: int, late: float, share: float) -> None:
    """The law of engines holds under any mixture of faults and any order."""
    faults = Faults(seed, share, share, share, share, share, late, shuffled)
    engine = ScriptedEngine(last_turn, faults)
    found = complete(engine, make_requests(40))
    assert Counter(c.id for c in found) == Counter(f"r{number}" for number in range(40))
    assert engine.calls == engine.answered == 40


def test_faults_are_what_they_say() -> None:
    """Each fault has the finish and the text that callers must be able to catch."""
    texts = {}
    for fault in ("error", "empty", "looping", "too_long", "duplicated"):
        (texts[fault],) = complete(ScriptedEngine({"a": "one two three four"}, Faults(**{fault: 1.0})), [Request("a", ())])
    assert (texts["error"].finish, bool(texts["error"].error)) == ("error", True)
    assert (texts["empty"].finish, texts["empty"].text) == ("stop", "")
    assert (texts["looping"].finish, set(texts["looping"].text.split())) == ("length", {"one"})
    assert (texts["too_long"].finish, texts["too_long"].text) == ("length", "one two")
    assert (texts["duplicated"].finish, texts["duplicated"].text) == ("stop", "one two three four one two three four")


def test_shares_are_met_and_do_not_depend_on_order() -> None:
    """A fault belongs to its request id: the same ids fail in any order, in about the share that was asked for."""
    requests = make_requests(2000)
    faults = Faults(seed=3, error=0.1, empty=0.2)
    forth = {c.id: c for c in complete(ScriptedEngine(last_turn, faults), requests)}
    back = {c.id: c for c in complete(ScriptedEngine(last_turn, faults), requests[::-1])}
    assert forth == back
    kinds = Counter("error" if c.finish == "error" else "empty" if not c.text else "good" for c in forth.values())
    assert 140 < kinds["error"] < 260
    assert 320 < kinds["empty"] < 480


def test_late_answers_come_last_and_the_window_is_bounded() -> None:
    """Order is seeded, late answers wait for the others, and no more than the window is pulled ahead."""
    engine = ScriptedEngine(last_turn, Faults(shuffled=8, late=0.3))
    stream = engine.complete(iter(make_requests(30)), Sampling())
    order = [next(stream).id]
    assert engine.calls == 8
    order += [completion.id for completion in stream]
    assert order != sorted(order, key=lambda name: int(name[1:]))
    assert draw(0, order[-1], "late") < 0.3
    assert order == [c.id for c in complete(ScriptedEngine(last_turn, Faults(shuffled=8, late=0.3)), make_requests(30))]


def test_death_comes_after_exactly_that_many_answers() -> None:
    """`dies_after` is a dead engine, not a failed request: it raises, and goes on raising."""
    engine = ScriptedEngine(last_turn, Faults(dies_after=5))
    found = []
    with pytest.raises(EngineError, match="after 5 answers"):
        for completion in engine.complete(iter(make_requests(9)), Sampling()):
            found.append(completion)
    assert len(found) == 5
    with pytest.raises(EngineError):
        complete(engine, make_requests(1))


def test_missing_answer_is_an_error_completion() -> None:
    """A mapping without the id fails that request alone."""
    found = complete(ScriptedEngine({"r0": "x"}), make_requests(2))
    assert [c.finish for c in found] == ["stop", "error"]


def test_echo_gives_back_what_extract_finds() -> None:
    """The echo changes nothing, whatever the bound, so that structure can be checked byte by byte."""
    text = "⟦1⟧  two\n\n\tthree "
    request = Request("a", (Message("user", f"Translate:\n\n{text}"),), max_tokens=1)
    (found,) = complete(EchoEngine(lambda r: r.messages[-1].content.split("\n\n", 1)[1]), [request])
    assert (found.text, found.finish) == (text, "stop")
