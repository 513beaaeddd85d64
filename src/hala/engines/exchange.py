"""What is said in one exchange: the address, the question as JSON, the answer and whose it is, the waits between tries."""

from __future__ import annotations

import email.utils
import json
import math
import random
import re
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx

from hala.engines.connection import Reply
from hala.errors import EngineError
from hala.records import Completion, Finish, Request, Sampling

MAX_BODY = 8 << 20  # bytes; the longest answers are under 1 MB
FINISHES: dict[str, Finish] = {"stop": "stop", "length": "length", "repetition": "length"}
Kind = Literal["unreached", "away", "broken", "busy", "refused", "useless"]
NOT_THERE: tuple[Kind, ...] = ("unreached", "away")
STATUSES: dict[int, Kind] = {502: "away", 503: "away", 504: "away", 529: "away", 500: "broken"}
STATUSES |= {408: "broken", 409: "broken", 425: "broken", 429: "busy"}  # every other status refuses


@dataclass(frozen=True, slots=True)
class Failure:
    """A try that gave no answer, and the seconds the server asked to wait before another.

    `unreached`: there was no connection; `away`: something before the server says that it is not there; `broken`: the exchange
    broke, or what came was no answer to this request; `busy`: too many requests; `refused`: not this request; `useless`: an
    answer of which no try will be better.
    """

    kind: Kind
    reason: str
    wait: float = 0.0

    @property
    def again(self) -> bool:
        """Whether another try may help."""
        return self.kind not in ("refused", "useless")

    @property
    def alive(self) -> bool:
        """Whether the server itself spoke, so that it is worth asking for other requests."""
        return self.kind in ("busy", "refused", "useless")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long: `tries` per request, the first pause about `pause` seconds and none longer than `longest_pause`,
    unless the server asks for more, up to `longest_asked`.

    A server that has answered before gets `patience` seconds to come back before it counts as dead (vLLM needs minutes), and is
    asked after `rest` seconds first. As long may requests be turned away for their number at no cost while others are answered.
    """

    tries: int = 6
    pause: float = 0.5
    longest_pause: float = 60.0
    longest_asked: float = 600.0
    patience: float = 600.0
    rest: float = 1.0

    def wait(self, request_id: str, number: int, asked: float) -> float:
        """Seconds before try `number` (1 is the second try): full jitter up to a doubling bound, never less than `asked`.

        Source: "Exponential Backoff And Jitter", Marc Brooker, 2015. Seeded by the request, so that waits repeat.
        """
        bound = min(self.longest_pause, self.pause * 2**number)
        return min(asked, self.longest_asked) + random.Random(f"{request_id}/{number}").uniform(0, bound)


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


def make_body(model: str, request: Request, shared: Sampling) -> bytes | str:
    """The JSON body of a request, or why it cannot be sent; running text becomes a user turn."""
    sampling = request.sampling(shared)
    if sampling.max_tokens < 1:
        return f"max_tokens must be at least 1, not {sampling.max_tokens}"
    if not any(message.content.strip() for message in request.messages):
        return "the prompt is empty"
    roles = {"text": "user"}
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": roles.get(m.role, m.role), "content": m.content} for m in request.messages],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": False,
    }
    if sampling.temperature > 0:  # vLLM and SGLang know these two; others need not see them
        more = {"min_p": sampling.min_p or None, "repetition_penalty": sampling.repetition_penalty}
        body |= {key: value for key, value in more.items() if value not in (None, 1.0)}
    if sampling.confidence:
        body["logprobs"] = True
    stops = [stop for stop in sampling.stop if stop]
    try:
        return json.dumps({**body, "stop": stops} if stops else body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "the prompt holds half a surrogate pair, which is no character"


def largest_answer(max_tokens: int) -> int:
    """Bytes that an answer of so many tokens can take, escapes, the prompt and what else a server adds included."""
    return min(MAX_BODY, (1 << 20) + 256 * max_tokens)


def retry_after(value: str) -> float:
    """Seconds the server asks to wait, at least 0; it may say seconds or a date (RFC 9110, section 10.2.3)."""
    value = value.strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
        return float(value[:20])
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def read_answer(request_id: str, content: bytes) -> tuple[Completion | Failure, str]:
    """The completion in a body of status 200, and the answer's own id or "".

    A body that is no such answer is tried again: proxies send pages with 200.
    """
    try:
        answer: Any = json.loads(content)
        choice = answer["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        return Failure("broken", f"the server's answer is no chat completion ({type(error).__name__}: {content[:100]!r})"), ""
    name = answer.get("id")
    outcome = _completion(request_id, text, reason, answer.get("usage"))
    if isinstance(outcome, Completion) and choice.get("logprobs"):
        mean, whole = _confidence(choice["logprobs"])
        outcome = replace(outcome, confidence=mean, probability=whole)
    return outcome, name if isinstance(name, str) else ""


def _confidence(logprobs: Any) -> tuple[float | None, float | None]:
    """Mean (geometric) and product of the tokens' probabilities, 0 to 1; None where they are given in another form."""
    try:
        found = [float(each["logprob"]) for each in logprobs["content"]]
        mean = sum(found) / len(found)
    except (LookupError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None, None
    return (None, None) if math.isnan(mean) else (math.exp(min(0.0, mean)), math.exp(min(0.0, sum(found))))


def _completion(request_id: str, text: Any, reason: Any, usage: Any) -> Completion | Failure:
    finish = FINISHES.get(reason) if isinstance(reason, str) else None
    if finish is None:
        kind: Kind = "refused" if reason == "content_filter" else "useless"
        return Failure(kind, f"the server ended the answer with finish_reason {str(reason)[:60]!r}")
    if not isinstance(text, str) or not _is_text(text):
        return Failure("useless", "the server's answer holds no valid text")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return Completion(request_id, text, finish, tokens if type(tokens) is int and 0 <= tokens <= MAX_BODY else 0)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write
        return False
    return True


def owner(reply: Reply, name: str, tag: str, run: str) -> Literal["this", "another", "unknown"]:
    """Whose answer it is: servers such as vLLM send back the id that a request came with, in the answer or in a header.

    `tag` is the id of this request, `run` the beginning that all requests of an engine share, `name` the id inside the answer.
    """
    borne = [name, reply.headers.get("x-request-id", "")]
    if any(run in each and tag not in each for each in borne):
        return "another"
    return "this" if any(tag in each for each in borne) else "unknown"
