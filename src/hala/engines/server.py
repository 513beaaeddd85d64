"""Chat completion over HTTP: any server that speaks OpenAI's `/v1/chat/completions`.

    engine = ServerEngine("http://127.0.0.1:8000/v1", "my-model", in_flight=128)

Each request has its own exchange and carries its own id through it, so an answer cannot reach another row. The address is
taken as it is given: no redirects, no proxies from the environment, the key goes to this host only and is never shown.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from hala.engines.exchange import Failure, Policy, make_url, read_answer, read_body, retry_after
from hala.errors import EngineError
from hala.records import Completion, Request, Sampling

CONNECT_SECONDS = 10.0
PARTING_SECONDS = 1.0  # how long workers get to end their exchanges when a run stops early
BREAKER = 20  # straight connection failures after which the server counts as dead
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class ServerEngine:
    """An `Engine` over a server: up to `in_flight` requests at once, answered in any order.

    A request is tried 1 + `retries` times with jittered waits; `timeout` bounds the silence in seconds and five of it
    a whole exchange. `api_key_env` names the environment variable that holds the key.
    Raises EngineError for an address or a key that cannot be used, and when the server is gone.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key_env: str | None = None,
        in_flight: int = 64,
        retries: int = 5,
        timeout: float = 120.0,
    ) -> None:
        if in_flight < 1 or retries < 0 or timeout <= 0:
            given = f"in_flight {in_flight}, retries {retries}, timeout {timeout}"
            raise EngineError(f"the server engine cannot work with {given}.", "Leave them out for defaults.")
        self.url, self.model, self.in_flight = make_url(url), model, in_flight
        self.shown = self.url.split("?")[0]  # some servers want their key in the query
        self.policy = Policy(tries=retries + 1, seconds=5 * timeout)
        # Bodies are read under a size limit, so they must come unpacked: a packed one could grow without bound.
        self.key = read_key(api_key_env)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        self.client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)),
            limits=httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight),
            follow_redirects=False,
            trust_env=False,
        )
        self.lock = threading.Lock()
        self.reached = False  # whether the server has ever answered a request
        self.unreachable = 0  # straight connection failures
        self.silent_since = 0.0  # monotonic time of the first of them

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request as they arrive. Raises EngineError when the server is dead or refuses this client."""
        source, stop = iter(requests), threading.Event()
        asked: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[Completion | BaseException] = queue.SimpleQueue()
        workers: list[threading.Thread] = []
        pending, more = 0, True
        try:
            while True:
                while more and pending < self.in_flight:
                    request = next(source, None)
                    more = request is not None
                    if request is not None:
                        asked.put(request)
                        pending += 1
                    if len(workers) < pending:
                        # Daemons: a worker that waits for a slow server must not hold up the end of the program.
                        workers.append(threading.Thread(target=self._work, args=(asked, done, sampling, stop), daemon=True))
                        workers[-1].start()
                if not pending:
                    return
                result = self._next(done)
                if isinstance(result, BaseException):
                    raise result
                pending -= 1
                yield result
        finally:
            stop.set()
            for _ in workers:
                asked.put(None)
            end = time.monotonic() + PARTING_SECONDS
            for worker in workers:
                worker.join(max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def _next(self, done: Any) -> Completion | BaseException:
        try:
            result: Completion | BaseException = done.get(timeout=self.policy.longest)
            return result
        except queue.Empty:
            raise self._dead(f"the server at {self.shown} keeps requests open without an answer.") from None

    def _work(self, asked: Any, done: Any, sampling: Sampling, stop: threading.Event) -> None:
        while (request := asked.get()) is not None and not stop.is_set():
            try:
                done.put(self._answer(request, sampling, stop))
            except BaseException as error:  # raised again by `complete`, in the caller's thread
                done.put(error)
                return

    def _answer(self, request: Request, sampling: Sampling, stop: threading.Event) -> Completion:
        """The completion of one request after as many tries as it takes and may take."""
        body = make_body(self.model, request, sampling)
        if isinstance(body, str):
            return Completion(request.id, "", "error", 0, body)
        failure = Failure("no try was made")
        for number in range(self.policy.tries):
            if number and stop.wait(self.policy.wait(request.id, number, failure.wait)):
                return Completion(request.id, "", "error", 0, "stopped")
            outcome = self._exchange(request.id, body)
            if isinstance(outcome, Completion):
                return outcome
            failure = outcome
            self._count(failure)
            if not failure.again:
                break
        if failure.unreachable and not self.reached:
            raise self._dead(f"no server at {self.shown} after {self.policy.tries} tries: {failure.reason}.")
        return Completion(request.id, "", "error", 0, failure.reason)

    def _exchange(self, request_id: str, body: dict[str, Any]) -> Completion | Failure:
        try:
            with self.client.stream("POST", self.url, json=body) as response:
                content = read_body(response, self.policy)
        except httpx.TransportError as error:
            silent = isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout))
            return Failure(f"{type(error).__name__}: {error}", again=True, unreachable=not silent)
        if isinstance(content, Failure):
            return content
        status = response.status_code
        if status == 200:
            answer = read_answer(request_id, content)
            if isinstance(answer, Completion):
                with self.lock:
                    self.reached, self.unreachable = True, 0
            return answer
        reason = self._hide(f"status {status}: {content[:300].decode('utf-8', 'replace')}".strip())
        if status in (401, 403, 404) or 300 <= status < 400:
            self._refuse(status, reason, response)
        return Failure(reason, again=status in RETRIED, wait=retry_after(response))

    def _refuse(self, status: int, reason: str, response: httpx.Response) -> None:
        """Raise when no request will do, so that none is burnt: a wrong key or model at any time, a redirect at the start."""
        if self.reached and 300 <= status < 400:
            return
        key = "Set api_key_env to the environment variable that holds its key."
        where = self._hide(response.headers.get("location", "unknown")[:200])
        advice = {401: key, 403: key, 404: f"Check the address, and that the server serves the model {self.model!r}."}
        raise EngineError(
            f"the server at {self.shown} refused: {reason}.",
            advice.get(status, f"Redirects are not followed; give the final address ({where})."),
        )

    def _hide(self, text: str) -> str:
        """The text without the key, which a server may have sent back."""
        return text.replace(self.key, "***") if self.key else text

    def _count(self, failure: Failure) -> None:
        """Count straight connection failures. Raises EngineError when the server is dead, and not merely restarting."""
        with self.lock:
            if not failure.unreachable:
                self.unreachable = 0
                return
            now = time.monotonic()
            self.silent_since = now if self.unreachable == 0 else self.silent_since
            self.unreachable += 1
            patient = self.reached and now - self.silent_since < self.policy.grace
            broken = self.unreachable >= BREAKER and not patient
        if broken:
            raise self._dead(f"the server at {self.shown} failed {BREAKER} times in a row: {failure.reason}.")

    def _dead(self, message: str) -> EngineError:
        return EngineError(message, f"Start one with: vllm serve {self.model} --port 8000, or choose engine: local.")


def make_body(model: str, request: Request, sampling: Sampling) -> dict[str, Any] | str:
    """The JSON body of a request, or why it cannot be sent; running text becomes a user turn."""
    limit = sampling.max_tokens if request.max_tokens is None else request.max_tokens
    if limit < 1:
        return f"max_tokens must be at least 1, not {limit}"
    if not any(message.content.strip() for message in request.messages):
        return "the prompt is empty"
    if any(0xD800 <= ord(char) < 0xE000 for message in request.messages for char in message.content):
        return "the prompt holds half a surrogate pair, which is no character"
    roles = {"text": "user"}
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": roles.get(m.role, m.role), "content": m.content} for m in request.messages],
        "max_tokens": limit,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": False,
    }
    stops = [stop for stop in sampling.stop if stop]
    return {**body, "stop": stops} if stops else body


def read_key(api_key_env: str | None) -> str:
    """The key in that environment variable, or an empty string when none is named. Raises EngineError when it holds none."""
    if api_key_env is None:
        return ""
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise EngineError(f"the environment variable {api_key_env} holds no key.", f"Run: export {api_key_env}=...")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EngineError(f"the key in {api_key_env} has characters that no key has.", "Copy it again, without line ends.")
    return key
