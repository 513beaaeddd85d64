"""The server engine against a server that breaks every rule: it always ends, in time, and no row gets another row's answer."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from hala.engines.connection import Line, Reply
from hala.engines.exchange import largest_answer
from hala.engines.server import MOST_TRIES, ServerEngine
from hala.errors import EngineError
from hala.records import Completion, Message, Request, Sampling

from .hostile_server import AGAIN, FAULTS, FOREIGN, GOOD, LOST, STOPS, Ground, Schedule, Seen, truth

CHUNKS, CHUNK = 20, 16  # 320 schedules
HEAD, TOTAL = 0.25, 0.5  # seconds until an answer begins, and for a whole exchange
SLACK = 3.0  # seconds that two busy cores may add
BLUR = 0.1  # seconds that a server may take to see that an exchange is over
# A server that dies leaves sockets behind, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Where the servers stand."""
    with Ground() as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a server does, nothing breaks inside the event loop: asyncio would print it over the progress line."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


class CountedLine(Line):
    """Counts the exchanges that are under way at once for each engine: servers see a broken one end only later."""

    now: ClassVar[Counter[int]] = Counter()
    most: ClassVar[Counter[int]] = Counter()

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes, limit: int, keep: bool) -> Reply:
        """The line's own, counted."""
        place = self.endpoint.port
        self.now[place] += 1
        self.most[place] = max(self.most[place], self.now[place])
        try:
            return await super().post(headers, body, limit, keep)
        finally:
            self.now[place] -= 1


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines use lines that count."""
    monkeypatch.setattr("hala.engines.server.Line", CountedLine)


@dataclass
class Outcome:
    """What came of a schedule: the completions in order, the error that stopped the run, seconds, what the server saw."""

    engine: ServerEngine
    requests: list[Request]
    found: list[Completion] = field(default_factory=list)
    stopped: EngineError | None = None
    seconds: float = 0.0
    seen: Seen = field(default_factory=Seen)


def make_requests(seed: int, count: int) -> list[Request]:
    """Prompts that no other request has."""
    rng = random.Random(seed)
    return [Request(f"s{seed}/{n}", (Message("user", f"row {n} {rng.getrandbits(64):016x}"),)) for n in range(count)]


def meet(
    ground: Ground, schedule: Schedule, count: int = 8, patience: float = 0.5, total: float = TOTAL, **settings: object
) -> Outcome:
    """Ask every request of a schedule with short deadlines."""
    server = ground.start(schedule)
    CountedLine.most[server.port] = 0
    engine = ServerEngine(server.url, "m", **{"in_flight": 4, "retries": 3, "error_budget": 1.0, **settings})  # type: ignore[arg-type]
    engine.deadlines = replace(engine.deadlines, connect=0.25, head=HEAD, total=total)
    engine.policy = replace(engine.policy, pause=0.002, longest_pause=0.02, longest_asked=0.05, patience=patience, rest=0.005)
    outcome = Outcome(engine, make_requests(schedule.seed, count), seen=server.seen)
    began = time.monotonic()
    try:
        for completion in engine.complete(iter(outcome.requests), Sampling()):
            outcome.found.append(completion)
    except EngineError as error:
        outcome.stopped = error
    outcome.seconds = time.monotonic() - began
    ground.end(server)
    return outcome


def judge(outcome: Outcome, schedule: Schedule) -> None:
    """The laws that hold whatever a server does."""
    engine, seen = outcome.engine, outcome.seen
    prompts = {request.id: request.messages[0].content for request in outcome.requests}
    ids = Counter(completion.id for completion in outcome.found)
    assert max(ids.values(), default=0) <= 1 and set(ids) <= set(prompts)
    if outcome.stopped is None:
        assert set(ids) == set(prompts)
    else:
        assert outcome.stopped.message and outcome.stopped.fix
    for completion in outcome.found:
        right = completion.text == truth(prompts[completion.id]) if completion.finish != "error" else completion.text == ""
        assert right, f"{schedule}: {completion} answers {prompts[completion.id]}"
        assert bool(completion.error) == (completion.finish == "error")
    assert CountedLine.most[engine.endpoint.port] <= engine.in_flight
    assert seen.early == 0
    assert seen.longest < TOTAL + SLACK
    for prompt, tries in seen.tries.items():
        assert tries - seen.excused[prompt] <= engine.policy.tries and tries <= MOST_TRIES
    each = engine.policy.tries * (engine.deadlines.connect + TOTAL + 0.07) + schedule.away_for + engine.policy.patience
    assert outcome.seconds < -(-len(prompts) // engine.in_flight) * each + SLACK
    assert outcome.seconds < 2 * SLACK + len(prompts) * each


def draw(seed: int) -> tuple[Schedule, dict[str, object]]:
    """A schedule and the settings of the engine that meets it."""
    rng = random.Random(f"schedule {seed}")
    echoes = rng.choice(["", "body", "header"])
    kinds = [list(AGAIN), list(AGAIN), list(LOST), list(STOPS) if rng.random() < 0.1 else []]
    kinds += [list(FOREIGN) * 5] if echoes else []
    pool = [name for kind in kinds for name in kind]
    away = rng.random() < 0.2
    schedule = Schedule(
        seed,
        faults=tuple(rng.sample(pool, rng.randint(1, min(12, len(pool))))),
        share=rng.choice([0.2, 0.5, 0.8, 1.0]),
        most=rng.choice([1, 2, 1_000_000]),
        echoes=echoes,
        keeps=rng.random() < 0.8,
        away_after=rng.randint(1, 12) if away else 1_000_000,
        away_for=rng.choice([0.05, 0.2, 1.0]) if away else 0.0,
    )
    budget = rng.choice([0.01, 0.5, 1.0])
    return schedule, {"in_flight": rng.randint(1, 8), "retries": rng.randint(0, 4), "error_budget": budget}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_seeded_schedules(ground: Ground, chunk: int) -> None:
    """320 seeded mixtures of faults and restarts: exactly one answer a row, its own, within window, tries and deadlines."""

    def run(seed: int) -> Counter[str]:
        schedule, settings = draw(seed)
        outcome = meet(ground, schedule, count=6 + seed % 7, **settings)
        judge(outcome, schedule)
        return Counter(completion.finish for completion in outcome.found)

    with ThreadPoolExecutor(CHUNK) as pool:
        finishes = sum(pool.map(run, range(chunk * CHUNK, (chunk + 1) * CHUNK)), Counter[str]())
    assert finishes["stop"] > 10 and finishes["error"] > 0


@pytest.mark.parametrize("chunk", range(4))
def test_faults_that_pass_lose_no_row(ground: Ground, chunk: int) -> None:
    """Where each row meets at most two passing faults, and the server is away once, every row is answered in the end."""

    def run(seed: int) -> None:
        rng = random.Random(f"passing {seed}")
        faults = tuple(rng.sample(list(AGAIN), 10))
        away = {"away_after": rng.randint(2, 10), "away_for": 0.2} if seed % 2 else {}
        schedule = Schedule(seed, faults, 0.6, most=2, echoes=rng.choice(["", "body", "header"]), **away)
        outcome = meet(ground, schedule, 12, patience=30.0, retries=12)
        judge(outcome, schedule)
        if outcome.stopped is None:
            assert all(completion.finish != "error" for completion in outcome.found), outcome.found
        else:  # away before its first answer: nothing says that there is a server at all
            assert seed % 2 and not outcome.found

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(run, range(1000 + 12 * chunk, 1000 + 12 * (chunk + 1))))


@pytest.mark.parametrize("echoes", ["", "body"])
@pytest.mark.parametrize("fault", [*AGAIN, *LOST])
def test_each_fault(ground: Ground, fault: str, echoes: str) -> None:
    """Each fault by itself: one that passes costs its row a try, one that stays costs the row, and no other row anything."""
    schedule = Schedule(len(fault), (fault,), share=1.0, most=1, echoes=echoes)
    outcome = meet(ground, schedule, 3, retries=5)
    judge(outcome, schedule)
    assert outcome.stopped is None
    if fault.startswith("endless"):  # the size or the deadline, whichever is met first
        return
    expected = {"error"} if fault in LOST else {"stop", "length"}
    assert {completion.finish for completion in outcome.found} <= expected, outcome.found
    if fault in LOST:
        assert set(outcome.seen.tries.values()) == {1}


@pytest.mark.parametrize("fault", STOPS)
def test_each_answer_that_stops(ground: Ground, fault: str) -> None:
    """An address, key or model that cannot be meant is one error that says what to do."""
    outcome = meet(ground, Schedule(1, (fault,), share=1.0), 8)
    assert outcome.stopped is not None and fault in outcome.stopped.message and outcome.stopped.fix
    assert outcome.found == []


@pytest.mark.parametrize("echoes", ["", "body", "header"])
def test_right_answers_of_every_kind(ground: Ground, echoes: str) -> None:
    """Chunks, early hints, closed connections, rubbish behind the answer and doubled answers cost no row."""
    schedule = Schedule(5, echoes=echoes)
    outcome = meet(ground, schedule, 12 * len(GOOD), retries=5)
    judge(outcome, schedule)
    assert all(completion.finish != "error" for completion in outcome.found)
    assert outcome.seen.held(BLUR) <= outcome.engine.in_flight


@pytest.mark.parametrize("echoes", ["body", "header"])
def test_answers_of_other_requests(ground: Ground, echoes: str) -> None:
    """A server that sends ids back and mixes its answers up costs tries, never a wrong row."""
    schedule = Schedule(9, (*FOREIGN,), share=0.4, echoes=echoes)
    outcome = meet(ground, schedule, 100, retries=12, in_flight=16)
    judge(outcome, schedule)
    assert all(completion.finish != "error" for completion in outcome.found)
    assert sum(outcome.seen.faults.values()) > 20


def test_bombs_take_bounded_memory(ground: Ground) -> None:
    """Endless bodies and packed bombs at full speed take no more than a few answers' room for each slot."""
    schedule = Schedule(3, ("endless body", "gzip bomb", "endless 500", "huge header"), share=1.0)
    tracemalloc.start()
    try:
        outcome = meet(ground, schedule, 16, total=5.0, in_flight=4)  # long enough for a hundred times the bound
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    judge(outcome, schedule)
    assert peak < 8 * 4 * largest_answer(256), peak


def test_nothing_is_left_behind(ground: Ground) -> None:
    """After all these runs no thread of theirs is alive."""
    meet(ground, Schedule(4, ("silence",), share=0.5), 8)
    assert not [thread for thread in threading.enumerate() if thread.name == "hala-server"]


def test_every_fault_is_known_once() -> None:
    """The table of faults has no name twice, or one would hide the other."""
    assert len(FAULTS) == len(AGAIN) + len(LOST) + len(STOPS) + len(FOREIGN)
