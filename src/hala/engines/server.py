"""Chat completion over HTTP: any server that speaks OpenAI's `/v1/chat/completions`.

    engine = ServerEngine("http://127.0.0.1:8000/v1", "my-model", in_flight=128)

One thread of its own runs all exchanges, so that a busy caller holds none of them up; `in_flight` more requests lie ready in it,
so that the server's queue stays full while the caller writes a shard. An answer belongs to the request whose exchange it ended:
a connection serves one request at a time, and is used again only where the server sends each request's id back, so that a late or
doubled answer is told apart; other servers get a new connection for each request.

The address is taken as it is given: no redirects, no proxies from the environment, the key goes to this host only and is never
shown.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from math import inf
from urllib.parse import urlsplit

from hala.engines.breaker import THRESHOLD, Breaker
from hala.engines.connection import BrokenError, Deadlines, Line, Reply, find_endpoint
from hala.engines.exchange import (
    NOT_THERE,
    STATUSES,
    Failure,
    Policy,
    largest_answer,
    make_body,
    make_url,
    owner,
    read_answer,
    retry_after,
)
from hala.errors import EngineError
from hala.progress import duration
from hala.records import Completion, Request, Sampling

CONNECT_SECONDS = 10.0
TOTAL = 5  # a whole exchange may take this many times as long as its head
PARTING_SECONDS = 1.0  # how long the exchanges get to end when a run stops early
MOST_TRIES = 100  # tries of one request in all, those included that cost it nothing
QUIET_SECONDS = 60.0  # between two reports of a server that comes and goes
FEWEST_FAILED = 20  # failed requests below which no share of them says anything


class ServerEngine:
    """An `Engine` over a server: up to `in_flight` requests at once, answered in any order.

    A request is tried 1 + `retries` times with jittered waits; `timeout` bounds the seconds until its answer begins, and five
    of it a whole exchange. When the server failed more than `error_budget` of all requests, at least 20, the run stops; what it
    only refuses (a prompt that is too long, a filter) does not count. `api_key_env` names the variable that holds the key.
    `say` is told, in the caller's thread, when a server that had answered is away and waited for, and when it is back.
    Raises EngineError for an address or a key that cannot be used, and when the server is gone.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key_env: str | None = None,
        in_flight: int = 128,
        retries: int = 5,
        timeout: float = 120.0,
        error_budget: float = 0.01,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        if in_flight < 1 or retries < 0 or not 0 < timeout < float("inf") or not 0 <= error_budget <= 1:
            given = f"in_flight {in_flight}, retries {retries}, timeout {timeout}, error_budget {error_budget}"
            raise EngineError(f"the server engine cannot work with {given}.", "Leave them out for defaults.")
        self.url, self.model, self.in_flight = make_url(url), model, in_flight
        self.shown = self.url.split("?")[0]  # some servers want their key in the query
        self.key = read_key(api_key_env)
        self.endpoint = find_endpoint(self.url)
        self.deadlines = Deadlines(min(CONNECT_SECONDS, timeout), timeout, TOTAL * timeout)
        self.policy, self.error_budget = Policy(tries=retries + 1), error_budget
        # Bodies are read under a size limit, so they must come unpacked: a packed one could grow without bound.
        self.headers = [("content-type", "application/json"), ("accept", "application/json"), ("accept-encoding", "identity")]
        self.headers += [("user-agent", "hala")] + ([("authorization", f"Bearer {self.key}")] if self.key else [])
        self.say = say
        self.run = str(uuid.uuid4())[:24]  # what the ids of all requests of this engine begin with
        self.sent = 0  # requests sent so far, all tries
        self.reached = False  # whether the server has ever answered a request
        self.echoes = False  # whether it sends ids back
        self.refused = 0  # straight refusals since the last answer
        self.finished = self.failed = 0  # requests with their last word, and those of them that the server failed

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request as they arrive. Raises EngineError when the server is dead or refuses this client."""
        source, pending, more = iter(requests), 0, True
        most = 2 * self.in_flight
        few = most - max(1, self.in_flight // 4)  # with no more than these left, others are taken, several in one go
        call = _Call(self, sampling)
        try:
            while True:
                short = pending <= few
                while short and more and pending < most:
                    request = next(source, None)
                    more = request is not None
                    if request is not None:
                        call.ask(request)
                        pending += 1
                if not pending:
                    return
                result = call.done.get()
                if isinstance(result, str):
                    self.say(result)
                    continue
                if isinstance(result, BaseException):
                    raise result
                pending -= 1
                yield result
        finally:
            call.stop()

    def close(self) -> None:
        """Nothing is open between two calls of `complete`."""

    def read(self, request_id: str, reply: Reply, tag: str) -> Completion | Failure:
        """What a reply to the request that went out as `tag` says. Raises EngineError when no request will do."""
        if reply.status != 200:
            return self._refusal(reply)
        if not reply.whole:
            return Failure("useless", f"the answer has no end, at least not in its first {len(reply.content):,} bytes")
        outcome, name = read_answer(request_id, reply.content)
        whose = owner(reply, name, tag, self.run)
        if whose == "another" or (whose == "unknown" and self.echoes and isinstance(outcome, Completion)):
            return Failure("broken", "the answer belongs to another request, by its id")
        if isinstance(outcome, Completion):
            self.echoes, self.reached, self.refused = whose == "this", True, 0
        return outcome

    def _refusal(self, reply: Reply) -> Failure:
        status, kind = reply.status, STATUSES.get(reply.status, "refused")
        reason = f"status {status}: {reply.content[:300].decode('utf-8', 'replace')}".strip()
        if kind == "refused":
            self.refused += 1
            at_once = (401, 404) if self.reached else (401, 403, 404, *range(300, 400))
            if status in at_once or (self.refused >= THRESHOLD and (status == 403 or not self.reached)):
                raise self._refused(status, self.hide(reason), self.hide(reply.headers.get("location", "unknown")[:200]))
        return Failure(kind, reason, retry_after(reply.headers.get("retry-after", "")))

    def _refused(self, status: int, reason: str, location: str) -> EngineError:
        key = "Set api_key_env to the environment variable that holds its key."
        advice = {401: key, 403: key, 404: f"Check the address, and that the server serves the model {self.model!r}."}
        final = f"Redirects are not followed; give the final address ({location})."
        wrong = "It takes none of these requests: check the model and the settings."
        return EngineError(
            f"the server at {self.shown} refused: {reason}.", advice.get(status, final if 300 <= status < 400 else wrong)
        )

    def hide(self, text: str) -> str:
        """The text without the key, which a server may have sent back."""
        return text.replace(self.key, "***") if self.key else text

    def dead(self, message: str, there: bool) -> EngineError:
        """The error of a server that is not there, or answers nothing that is of use."""
        port = urlsplit(self.url).port or 8000
        start = f"Start one with: vllm serve {self.model} --port {port}, or choose engine: local."
        advice = "Look at its log, and whether that is the address of a chat server (it ends in /v1)." if there else start
        return EngineError(self.hide(message), f"{advice} The same command continues." if self.reached else advice)

    def count(self, failure: Failure | None) -> None:
        """Count a request that has its last word. Raises EngineError when too many failed by the server's doing."""
        self.finished += 1
        self.failed += failure is not None and failure.kind != "refused"
        if failure and self.failed >= FEWEST_FAILED and self.failed > self.error_budget * self.finished:
            advice = "Look at the server's log, and mend it or raise error_budget; the same command continues."
            fewer = f"Ask for less at once than in_flight {self.in_flight}; the same command continues."
            raise EngineError(
                f"the server at {self.shown} failed {self.failed:,} of {self.finished:,} requests, more than error_budget"
                f" {self.error_budget:.1%}; last: {self.hide(failure.reason)}.",
                fewer if failure.kind == "busy" else advice,
            )


class _Call:
    """The thread behind one `complete`: an event loop with `in_flight` slots, each with its own connection."""

    def __init__(self, engine: ServerEngine, sampling: Sampling) -> None:
        self.engine, self.sampling = engine, sampling
        self.done: queue.SimpleQueue[Completion | BaseException | str] = queue.SimpleQueue()  # a str is news for the user
        self.asked: asyncio.Queue[Request] = asyncio.Queue()
        self.breaker = Breaker(engine.policy.rest)
        self.loop = asyncio.new_event_loop()
        self.answered = self.loop.time()  # when the last answer came
        self.away = False  # whether the user was told that the server has stopped answering
        self.told = -inf  # when the user was last told that it is back
        self.serving: asyncio.Task[None] | None = None
        # A daemon: a server that is slow to let go must not hold up the end of the program.
        self.thread = threading.Thread(target=self._run, name="hala-server", daemon=True)
        self.thread.start()

    def ask(self, request: Request) -> None:
        """Put a request into the queue of the slots; called by the caller's thread."""
        self.loop.call_soon_threadsafe(self.asked.put_nowait, request)

    def stop(self) -> None:
        """Cut all exchanges and end the thread; called by the caller's thread."""
        self.loop.call_soon_threadsafe(self._cancel)
        self.thread.join(PARTING_SECONDS)
        if not self.thread.is_alive():
            self.loop.close()

    def _cancel(self) -> None:
        if self.serving is not None:
            self.serving.cancel()

    def _run(self) -> None:
        self.serving = self.loop.create_task(self._serve())
        try:
            self.loop.run_until_complete(self.serving)
        except BaseException as error:  # raised again by `complete`, in the caller's thread
            self.done.put(error)

    async def _serve(self) -> None:
        slots = [asyncio.ensure_future(self._slot()) for _ in range(self.engine.in_flight)]
        try:
            await asyncio.gather(*slots)
        finally:
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)
            await asyncio.sleep(0)  # the loop's turn in which dropped connections really close

    async def _slot(self) -> None:
        line = Line(self.engine.endpoint, self.engine.deadlines)
        try:
            while True:
                request = await self.asked.get()
                outcome = await self._answer(line, request)
                if isinstance(outcome, Failure):
                    refused = outcome.kind == "refused"
                    self.done.put(Completion(request.id, "", "error", 0, self.engine.hide(outcome.reason), refused=refused))
                else:
                    self.done.put(outcome)
        finally:
            line.drop()

    async def _answer(self, line: Line, request: Request) -> Completion | Failure:
        """The last word on one request, after as many tries as it takes and may take."""
        engine, paid = self.engine, 0
        body = make_body(engine.model, request, self.sampling)
        if isinstance(body, str):
            return Failure("refused", body)
        limit = largest_answer(request.sampling(self.sampling).max_tokens)
        for number in range(1, MOST_TRIES + 1):
            probe = await self.breaker.admit()
            outcome = await self._try(line, request.id, body, limit)
            if isinstance(outcome, Completion):
                self._say_back()
                self.breaker.succeed()
                self.answered = self.loop.time()
                engine.count(None)
                return outcome
            self._weigh(outcome, probe)
            paid += not self._is_free(outcome)
            if not outcome.again or paid >= engine.policy.tries or number == MOST_TRIES:
                break
            step = number if outcome.kind == "busy" else max(paid, 1)  # of a missing server the breaker sets the pace
            await asyncio.sleep(engine.policy.wait(request.id, step, outcome.wait))
        assert isinstance(outcome, Failure)
        if not engine.reached and outcome.kind in NOT_THERE:
            raise engine.dead(f"no server at {engine.shown} after {paid} tries: {outcome.reason}.", there=False)
        engine.count(outcome)
        return outcome

    async def _try(self, line: Line, request_id: str, body: bytes, limit: int) -> Completion | Failure:
        engine = self.engine
        engine.sent += 1
        tag = f"{engine.run}{engine.sent:012x}"  # some servers take nothing but the form of a UUID
        try:
            reply = await line.post([*engine.headers, ("x-request-id", tag)], body, limit, keep=engine.echoes)
        except BrokenError as error:
            return Failure("unreached" if not error.sent else "broken" if error.again else "useless", error.reason)
        outcome = engine.read(request_id, reply, tag)
        if isinstance(outcome, Failure):
            line.drop()
        return outcome

    def _weigh(self, failure: Failure, probe: bool) -> None:
        """Tell the breaker. Raises EngineError when the server is dead, and not merely restarting."""
        if failure.alive:
            self.breaker.succeed()
            return
        self.breaker.fail(probe)
        engine, straight = self.engine, self.breaker.failures
        if straight >= THRESHOLD and (not engine.reached or self.breaker.silence > engine.policy.patience):
            said = f"the server at {engine.shown} failed {straight} times in a row: {failure.reason}."
            raise engine.dead(said, failure.kind not in NOT_THERE)
        if self.breaker.open:
            self._say_away(failure)

    def _say_away(self, failure: Failure) -> None:
        """Tell the user, not twice and not again within a minute, that the server has stopped answering."""
        if not self.away and self.loop.time() - self.told > QUIET_SECONDS:
            self.away = True
            why = " ".join(self.engine.hide(failure.reason).split())[:120]
            waits = f"asking it again for up to {duration(self.engine.policy.patience)}"
            self.done.put(f"    the server at {self.engine.shown} has stopped answering ({why}); {waits}")

    def _say_back(self) -> None:
        if self.away:
            self.away, self.told = False, self.loop.time()
            self.done.put(f"    the server at {self.engine.shown} answers again, after {duration(self.told - self.answered)}")

    def _is_free(self, failure: Failure) -> bool:
        """Whether the try costs the request nothing: it cannot be the reason."""
        if failure.kind == "busy":  # a rate limit that lets others through lets this one through too, in time
            return self.engine.reached and self.loop.time() - self.answered < self.engine.policy.patience
        return (failure.kind == "unreached" and self.engine.reached) or (failure.kind == "away" and self.breaker.open)


def read_key(api_key_env: str | None) -> str:
    """The key in that environment variable, or an empty string when none is named. Raises EngineError when it holds none."""
    if api_key_env is None:
        return ""
    key = os.environ.get(api_key_env, "").strip()
    if not key and not (api_key_env.isupper() and api_key_env.replace("_", "A").isalnum()):  # it may be the key itself
        raise EngineError(
            "api_key_env names no variable that holds a key.", "Put the key into one and name it: export MY_KEY=..."
        )
    if not key:
        raise EngineError(f"the environment variable {api_key_env} holds no key.", f"Run: export {api_key_env}=...")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EngineError(f"the key in {api_key_env} has characters that no key has.", "Copy it again, without line ends.")
    return key
