"""One exchange with a server that may be slow, broken or hostile: its address, its body within bounds, its answer, the waits."""

from __future__ import annotations

import email.utils
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import httpx

from hala.errors import EngineError
from hala.records import Completion, Finish

MAX_BODY = 8 << 20  # bytes; the longest answers are under 1 MB
MAX_WAIT = 60.0  # seconds between tries, unless the server itself asks for more
MAX_RETRY_AFTER = 600.0
FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "repetition": "length"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A try that gave no answer: `again` when another may, `wait` the seconds the server asked for, `unreachable` when
    the connection itself failed."""

    reason: str
    again: bool = False
    wait: float = 0.0
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long: `tries` per request, `seconds` for one whole exchange, first pause about `pause` seconds.

    A server that has answered before gets `grace` seconds to come back before it counts as dead.
    """

    tries: int
    seconds: float
    pause: float = 0.5
    grace: float = 30.0

    @property
    def longest(self) -> float:
        """The most seconds that one request can take with all its tries and waits."""
        return self.tries * (self.seconds + MAX_RETRY_AFTER + MAX_WAIT)

    def wait(self, request_id: str, number: int, asked: float) -> float:
        """Seconds before try `number` (1 is the second try): full jitter up to a doubling bound, never less than `asked`.

        Source: "Exponential Backoff And Jitter", Marc Brooker, 2015. Seeded by the request, so that waits repeat.
        """
        bound = min(MAX_WAIT, self.pause * 2**number)
        return asked + random.Random(f"{request_id}/{number}").uniform(0, bound)


def make_url(url: str) -> str:
    """The address of chat completions under `url`, which may end at the host, at /v1 or in full.

    Raises: EngineError when it is not plain http or https, or holds a password.
    """
    example = "Give an address such as http://127.0.0.1:8000/v1."
    if not url.isprintable() or any(char in url for char in ' \\"<>'):
        raise EngineError(f"{url!r} is no address of a server.", example)
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise EngineError(f"{url!r} is no address of a server: {error}.", example) from error
    if parsed.userinfo:
        raise EngineError("the address of the server holds a user or a password.", "Name the key's variable in api_key_env.")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise EngineError(f"{url!r} is no http or https address.", example)
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise EngineError(f"{url!r} names a port that does not exist.", example)
    path = parsed.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = (path or "/v1") + "/chat/completions"
    return str(parsed.copy_with(path=path, fragment=None))


def read_body(response: httpx.Response, policy: Policy) -> bytes | Failure:
    """The bytes of a body, or a failure when it is packed, larger than 8 MiB or slower than the policy allows."""
    if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        return Failure("the server packed its answer though asked not to", again=False)
    end = time.monotonic() + policy.seconds
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY:
            return Failure(f"the answer is larger than {MAX_BODY >> 20} MiB")
        if time.monotonic() > end:
            return Failure(f"the answer took longer than {policy.seconds:.0f} s", again=True)
    return b"".join(parts)


def retry_after(response: httpx.Response) -> float:
    """Seconds the server asks to wait, 0 to 600; it may say seconds or a date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return 0.0
    return min(max(moment.timestamp() - time.time(), 0.0), MAX_RETRY_AFTER)


def read_answer(request_id: str, content: bytes) -> Completion | Failure:
    """The completion in a body of status 200. A body that is no such answer is tried again: proxies send pages with 200."""
    try:
        answer: Any = json.loads(content)
        choice = answer["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        return Failure(f"the server's answer is no chat completion ({type(error).__name__}: {content[:100]!r})", again=True)
    finish = FINISHES.get(reason) if isinstance(reason, str) else None
    if finish is None:
        return Completion(request_id, "", "error", 0, f"the server ended the answer with finish_reason {reason!r}")
    if not isinstance(text, str) or any(0xD800 <= ord(char) < 0xE000 for char in text):
        return Completion(request_id, "", "error", 0, "the server's answer holds no valid text")
    usage = answer.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return Completion(request_id, text, finish, tokens if isinstance(tokens, int) and tokens >= 0 else 0)
