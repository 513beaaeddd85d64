"""Engines without a model: one that echoes, and one that answers by script and fails on purpose, for tests.

    engine = ScriptedEngine({"a": "marhaban"}, faults=Faults(seed=1, error=0.1, late=0.2))

Every fault is drawn from (seed, request id) alone, so a run that was stopped and continued meets the same faults.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hala.errors import EngineError
from hala.records import Completion, Request, Sampling

LOOP_TIMES = 40


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of requests, 0 to 1, that go wrong; a request has at most one of the first five faults.

    `error` fails, `empty` answers "", `looping` repeats its first word until the bound, `too_long` is cut in half by the
    bound, `duplicated` says its text twice. `late` answers come after all others of their window. `shuffled` is how many
    requests are in flight and answered in seeded order; 1 keeps the order. After `dies_after` answers the engine is dead.
    """

    seed: int = 0
    error: float = 0.0
    empty: float = 0.0
    looping: float = 0.0
    too_long: float = 0.0
    duplicated: float = 0.0
    late: float = 0.0
    shuffled: int = 1
    dies_after: int | None = None


class ScriptedEngine:
    """An `Engine` that answers from a function or a mapping by request id, with faults; a missing id is an error.

    `calls` counts requests pulled, `answered` completions given, `seen` lists the ids in the order they were pulled.
    """

    def __init__(self, answer: Callable[[Request], str] | Mapping[str, str], faults: Faults | None = None) -> None:
        self.answer = answer
        self.faults = faults or Faults()
        self.seen: list[str] = []
        self.answered = 0
        self.closed = False

    @property
    def calls(self) -> int:
        """Requests pulled so far."""
        return len(self.seen)

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request. Raises EngineError once `dies_after` answers were given, in this call or before."""
        waiting: list[Request] = []
        for request in requests:
            self.seen.append(request.id)
            waiting.append(request)
            if len(waiting) >= self.faults.shuffled:
                yield self._release(waiting)
        while waiting:
            yield self._release(waiting)

    def close(self) -> None:
        """Remember that the engine was closed."""
        self.closed = True

    def _release(self, waiting: list[Request]) -> Completion:
        if self.faults.dies_after is not None and self.answered >= self.faults.dies_after:
            raise EngineError(f"the scripted engine died after {self.answered} answers.", "Run again to continue.")
        chosen = 0 if self.faults.shuffled == 1 else min(range(len(waiting)), key=lambda i: self._turn(waiting[i].id))
        self.answered += 1
        return self._complete(waiting.pop(chosen))

    def _turn(self, request_id: str) -> float:
        late = draw(self.faults.seed, request_id, "late") < self.faults.late
        return draw(self.faults.seed, request_id, "order") + (1.0 if late else 0.0)

    def _complete(self, request: Request) -> Completion:
        text = self.answer(request) if callable(self.answer) else self.answer.get(request.id)
        if text is None:
            return Completion(request.id, "", "error", 0, f"no scripted answer for {request.id}")
        words = text.split(" ")
        match self.fault_of(request.id):
            case "error":
                return Completion(request.id, "", "error", 0, "scripted failure")
            case "empty":
                return Completion(request.id, "", "stop", 1)
            case "looping":
                return Completion(request.id, " ".join(words[:1] * LOOP_TIMES), "length", LOOP_TIMES)
            case "too_long":
                kept = words[: max(1, len(words) // 2)]
                return Completion(request.id, " ".join(kept), "length", len(kept))
            case "duplicated":
                return Completion(request.id, f"{text} {text}", "stop", 2 * len(words))
        return Completion(request.id, text, "stop", len(words))

    def fault_of(self, request_id: str) -> str:
        """The fault of a request: one of the first five of `Faults`, or an empty string."""
        place = draw(self.faults.seed, request_id, "fault")
        for name in ("error", "empty", "looping", "too_long", "duplicated"):
            share: float = getattr(self.faults, name)
            if place < share:
                return name
            place -= share
        return ""


class EchoEngine:
    """An `Engine` that gives back what `extract` finds in a request, at once and unchanged."""

    def __init__(self, extract: Callable[[Request], str]) -> None:
        self.extract = extract

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request, in order; bounds on the answer do not apply."""
        for request in requests:
            text = self.extract(request)
            yield Completion(request.id, text, "stop", len(text.split()))

    def close(self) -> None:
        """Nothing to close."""


def draw(seed: int, request_id: str, kind: str) -> float:
    """A number in [0, 1) that depends on its arguments alone, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{kind}\0{request_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
