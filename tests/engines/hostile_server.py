"""A server that speaks OpenAI's words and breaks every rule on purpose, by seeded schedule.

    with Ground() as ground:
        server = ground.start(Schedule(seed=7))
        ...ask server.url...
        ground.end(server)

A good answer to a prompt is `truth(prompt)`, so that an answer on the wrong row is seen. What becomes of the n-th try of a prompt
is drawn from (seed, prompt, n) alone. The server notes when it held each request, and how often each was sent.
"""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

Fault = Callable[["Exchange"], Awaitable[None]]
CRLF = b"\r\n"


@dataclass(frozen=True)
class Schedule:
    """What a server does. `faults` are drawn from with chance `share` for each try, at most `most` times a prompt.

    `echoes` sends ids back, in the answer or its header; `keeps` leaves connections open. The server goes away after `away_after`
    requests, for `away_for` seconds.
    """

    seed: int
    faults: tuple[str, ...] = ()
    share: float = 0.5
    most: int = 1_000_000
    echoes: str = ""
    keeps: bool = True
    away_after: int = 1_000_000
    away_for: float = 0.0


@dataclass
class Seen:
    """What a server saw."""

    requests: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    spans: list[tuple[float, float]] = field(default_factory=list)  # when each request came and was done with
    early: int = 0  # bytes that came before the answer was given: nobody may ask twice at once on a connection

    @property
    def longest(self) -> float:
        """Seconds that the longest request was held."""
        return max((end - start for start, end in self.spans), default=0.0)

    def held(self, blur: float) -> int:
        """The most requests held at once, leaving out the last `blur` seconds of each: the other side may know sooner."""
        events = [event for start, end in self.spans if end - blur > start for event in ((start, 1), (end - blur, -1))]
        most = now = 0
        for _, step in sorted(events):
            now += step
            most = max(most, now)
        return most


def truth(prompt: str) -> str:
    """The only right answer."""
    return f"«{prompt[::-1]}» نعم"


class Exchange:
    """One request and the connection that it came by."""

    def __init__(self, server: Server, writer: asyncio.StreamWriter, prompt: str, name: str, rng: random.Random) -> None:
        self.server, self.writer, self.prompt, self.name, self.rng = server, writer, prompt, name, rng
        self.spoke = False

    def completion(self, text: Any = None, reason: Any = "stop", **other: Any) -> dict[str, Any]:
        """A chat completion of the truth, or of what is given."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text or truth(self.prompt)}, "finish_reason": reason}
        name = f"chatcmpl-{self.name}" if self.server.schedule.echoes == "body" else f"chatcmpl-{self.rng.getrandbits(64):x}"
        return {"id": name, "object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": 5}, **other}

    def head(self, status: int = 200, length: int | None = None, **headers: str) -> bytes:
        """Status line and headers."""
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        lines += [f"Content-Length: {length}"] if length is not None else []
        lines += [f"X-Request-Id: {self.name}"] if self.server.schedule.echoes == "header" else []
        return "\r\n".join([*lines, "", ""]).encode()

    def whole(self, content: bytes | dict[str, Any], status: int = 200, **headers: str) -> bytes:
        """A response with its length."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.head(status, len(data), **{"Content_Type": "application/json", **headers}) + data

    def chunked(self, content: dict[str, Any]) -> bytes:
        """The same in chunks of random sizes."""
        data, parts = json.dumps(content).encode(), []
        while data:
            size = self.rng.randint(1, 60)
            parts.append(b"%x\r\n%s\r\n" % (len(data[:size]), data[:size]))
            data = data[size:]
        return self.head(Transfer_Encoding="chunked") + b"".join(parts) + b"0\r\n\r\n"

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.spoke = True
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, seconds: float, size: int = 1) -> None:
        """Write a few bytes at a time, for at most so long."""
        end = time.monotonic() + seconds
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(0.02)
            if time.monotonic() > end:
                return

    def cut(self) -> None:
        """Close the connection with a reset."""
        self.writer.transport.abort()


def answers(*content: Any, status: int = 200, **headers: str) -> Fault:
    """A fault that is a whole response."""

    async def send(exchange: Exchange) -> None:
        made = content[0](exchange) if callable(content[0]) else content[0]
        await exchange.send(exchange.whole(made, status, **headers))

    return send


def raw(make: Callable[[Exchange], bytes], then: str = "stay") -> Fault:
    """A fault that is bytes, after which the server stays, closes or cuts."""

    async def send(exchange: Exchange) -> None:
        await exchange.send(make(exchange))
        if then == "cut":
            exchange.cut()
        elif then == "close":
            exchange.writer.close()

    return send


def half(exchange: Exchange) -> bytes:
    """The first half of a good response."""
    data = exchange.whole(exchange.completion())
    return data[: exchange.rng.randint(len(data) - 60, len(data) - 1)]


async def silence(exchange: Exchange) -> None:
    """Nothing at all."""
    await asyncio.sleep(30)


async def slow_head(exchange: Exchange) -> None:
    """A head that comes byte by byte and never ends."""
    await exchange.drip(b"HTTP/1.1 200 OK\r\nX-Padding: " + b"y" * 10_000, 30)


async def slow_body(exchange: Exchange) -> None:
    """A right answer, byte by byte."""
    await exchange.send(exchange.head(length=10_000))
    await exchange.drip(b" " * 10_000, 30)


async def endless_body(exchange: Exchange) -> None:
    """A body as fast as it is taken, without an end."""
    await exchange.send(exchange.head())
    while True:
        await exchange.send(b" " * 65_536)


async def endless_chunks(exchange: Exchange) -> None:
    """Chunks of one byte, without an end."""
    await exchange.send(exchange.head(Transfer_Encoding="chunked"))
    while True:
        await exchange.send(b"1\r\n \r\n" * 5000)
        await asyncio.sleep(0)


async def endless_head(exchange: Exchange) -> None:
    """Headers without an end."""
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await exchange.send(b"X-More: " + b"z" * 1000 + CRLF)


async def endless_continue(exchange: Exchange) -> None:
    """`100 Continue` without an end."""
    while True:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.005)


async def late_double(exchange: Exchange) -> None:
    """The right answer, and again a moment later."""
    data = exchange.whole(exchange.completion())
    await exchange.send(data)
    await asyncio.sleep(exchange.rng.choice([0, 0.001, 0.01]))
    await exchange.send(data)


async def other_answer(exchange: Exchange) -> None:
    """An answer that was made for another request, as a confused proxy gives it."""
    await exchange.send(exchange.server.last or exchange.whole(b"", 502))


async def slow_good(exchange: Exchange) -> None:
    """A right answer that takes its time."""
    await asyncio.sleep(exchange.rng.uniform(0, 0.04))
    await exchange.send(exchange.whole(exchange.completion()))


def with_choice(**changed: Any) -> Fault:
    """A response whose only choice is changed."""
    return answers(lambda x: {**x.completion(), "choices": [{**x.completion()["choices"][0], **changed}]})


GOOD: dict[str, Fault] = {
    "plain": raw(lambda x: x.whole(x.completion())),
    "slow": slow_good,
    "chunked": raw(lambda x: x.chunked(x.completion())),
    "continue first": raw(lambda x: b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + x.whole(x.completion())),
    "closing": raw(lambda x: x.whole(x.completion(), Connection="close"), "close"),
    "closing without a word": raw(lambda x: x.whole(x.completion()), "close"),
    "without length": raw(lambda x: x.head() + json.dumps(x.completion()).encode(), "close"),
    "old": raw(lambda x: x.whole(x.completion()).replace(b"HTTP/1.1", b"HTTP/1.0", 1), "close"),
    "text/plain": answers(lambda x: x.completion(), Content_Type="text/plain"),
    "rubbish behind": raw(lambda x: x.whole(x.completion()) + b"\r\n<!-- cached -->"),
    "doubled": raw(lambda x: x.whole(x.completion()) * 2),
    "doubled late": late_double,
    "cut by the bound": answers(lambda x: x.completion(reason="length")),
    "wrong usage": answers(lambda x: x.completion(usage={"completion_tokens": "many"})),
    "no usage": answers(lambda x: x.completion(usage=None)),
}
"""Answers that are right, each in its way."""

AGAIN: dict[str, Fault] = {
    "429": answers(b"slow down", status=429),
    "429 seconds": answers(b"", status=429, Retry_After="0"),
    "429 absurd": answers(b"", status=429, Retry_After="9" * 300),
    "429 negative": answers(b"", status=429, Retry_After="-20"),
    "429 past": answers(b"", status=429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "429 date": raw(lambda x: x.whole(b"", 429, Retry_After=email.utils.formatdate(time.time() + 1, usegmt=True))),
    "429 nonsense": answers(b"", status=429, Retry_After="\xa0soon\xff"),
    "500": answers(b'{"error": "x"}', status=500),
    "502": answers(b"<html>bad gateway</html>", status=502),
    "503": answers(b"", status=503, Retry_After="1"),
    "504": answers(b"<html>", status=504),
    "529": answers(b"", status=529),
    "408": answers(b"", status=408),
    "endless 500": raw(lambda x: x.head(500) + b"no " * 1_000_000),
    "reset before the head": raw(lambda x: b"", "cut"),
    "close before the head": raw(lambda x: b"", "close"),
    "reset in the head": raw(lambda x: b"HTTP/1.1 200 OK\r\nContent-Le", "cut"),
    "close in the head": raw(lambda x: b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    "reset in the body": raw(half, "cut"),
    "close in the body": raw(half, "close"),
    "length too great": raw(lambda x: x.head(length=9999) + json.dumps(x.completion()).encode(), "close"),
    "length too small": raw(lambda x: x.head(length=40) + json.dumps(x.completion()).encode()),
    "length negative": raw(lambda x: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
    "lengths differ": raw(lambda x: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}"),
    "length of digits": raw(lambda x: b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 6000 + b"\r\n\r\n{}"),
    "silence": silence,
    "slow head": slow_head,
    "slow body": slow_body,
    "endless head": endless_head,
    "endless continue": endless_continue,
    "huge header": raw(lambda x: x.whole(x.completion(), X_Huge="h" * 200_000)),
    "many headers": raw(lambda x: x.head(**{f"X_{n}": "v" * 50 for n in range(2000)})),
    "no http": raw(lambda x: b"\x16\x03\x01 SSH-2.0-OpenSSH\r\n" * 9),
    "broken status": raw(lambda x: b"HTTP/1.1 2OO OK\r\n\r\n"),
    "null in a header": raw(lambda x: b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}"),
    "switching": raw(lambda x: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
    "chunk size": raw(lambda x: x.head(Transfer_Encoding="chunked") + b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk overflow": raw(lambda x: x.head(Transfer_Encoding="chunked") + b"f" * 18 + b"\r\n{}\r\n"),
    "chunk without end": raw(lambda x: x.chunked(x.completion())[:-5], "close"),
    "chunk mismatch": raw(lambda x: x.head(Transfer_Encoding="chunked") + b"2\r\n{}xx\r\n0\r\n\r\n"),
    "two codings": raw(lambda x: x.head(Transfer_Encoding="gzip, chunked") + b"0\r\n\r\n"),
    "page": answers(b"<html>please log in</html>", Content_Type="text/html"),
    "empty body": answers(b""),
    "204": raw(lambda x: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "no json": answers(b'{"choices": [{"message": '),
    "no utf-8": answers(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
    "utf-16": answers("{}".encode("utf-16")),
    "deep": answers(b"[" * 200_000),
    "long number": answers(b'{"choices": ' + b"9" * 100_000 + b"}"),
    "null": answers(b"null"),
    "list": answers(b"[1, 2]"),
    "error with 200": answers({"error": {"message": "overloaded", "code": 502}}),
    "no choices": answers({"id": "x"}),
    "empty choices": answers(lambda x: x.completion(choices=[])),
    "choices of words": answers(lambda x: x.completion(choices=["x"])),
    "choices a mapping": answers(lambda x: x.completion(choices={"0": {}})),
    "no message": answers(lambda x: x.completion(choices=[{"finish_reason": "stop"}])),
    "message a list": answers(lambda x: x.completion(choices=[{"message": ["x"], "finish_reason": "stop"}])),
    "no content": answers(lambda x: x.completion(choices=[{"message": {}, "finish_reason": "stop"}])),
    "packed without a word": answers(gzip.compress(b" " * 100_000)),
}
"""Faults that pass: another try is worth it."""

LOST: dict[str, Fault] = {
    "400": answers(b'{"error": "too long"}', status=400),
    "413": answers(b"", status=413),
    "422": answers(b"", status=422),
    "filtered": answers(lambda x: x.completion("", "content_filter")),
    "no reason": with_choice(finish_reason=None),
    "odd reason": with_choice(finish_reason={"why": 1}),
    "null content": with_choice(message={"role": "assistant", "content": None, "refusal": "I cannot"}),
    "number content": with_choice(message={"content": 5}),
    "parts content": with_choice(message={"content": [{"type": "text", "text": "hm"}]}),
    "half a character": with_choice(message={"content": "\ud800"}),
    "gzip bomb": answers(gzip.compress(b" " * 30_000_000), Content_Encoding="gzip"),
    "other packing": answers(b"x" * 100, Content_Encoding="br"),
    "endless body": endless_body,
    "endless chunks": endless_chunks,
}
"""Faults that stay with their request: no other try is made."""

STOPS: dict[str, Fault] = {
    "301": answers(b"", status=301, Location="https://elsewhere.example/v1"),
    "307": answers(b"", status=307, Location="/v1/chat/completions"),
    "401": answers(b"", status=401),
    "404": answers(b"", status=404),
}
"""Answers that stop a run, at its start or at any time."""

FOREIGN: dict[str, Fault] = {"answer of another": other_answer}
"""Only with ids can anybody know."""

FAULTS = {**AGAIN, **LOST, **STOPS, **FOREIGN}
EXCUSED = ("502", "503", "504", "529", *(name for name in AGAIN if name.startswith("429")))  # what a request need not pay for


class Server:
    """One schedule at work on a port of its own."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.seen = schedule, Seen()
        self.port = 0
        self.last = b""
        self.gone = False
        self.listener: asyncio.Server | None = None
        self.open: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def listen(self) -> None:
        """Start, on the same port as before."""
        self.listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=256)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def leave(self) -> None:
        """Close everything at once, as a process that dies; what is on its way ends by itself."""
        self.gone = True
        self._close()
        while self.tasks:
            await asyncio.wait(self.tasks)

    def _close(self) -> None:
        if self.listener is not None:
            self.listener.close()
        for writer in list(self.open):
            writer.transport.abort()

    async def _restart(self) -> None:
        self._close()
        await asyncio.sleep(self.schedule.away_for)
        if not self.gone:
            await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.open.add(writer)
        first = b"" if self.gone else b"\0"
        try:
            while first:
                first = await self._one(first.strip(b"\0"), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side left
        finally:
            self.open.discard(writer)
            self.tasks.discard(task)
            writer.transport.abort() if self.gone else writer.close()

    async def _one(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Read a request that begins with `first`, do to it what is drawn; the first byte of the next, b"" when none comes."""
        head = first + await reader.readuntil(CRLF + CRLF)
        length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])  # type: ignore[index]
        prompt = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
        name = re.search(rb"x-request-id: (\S+)", head, re.I)[1].decode()  # type: ignore[index]
        seen = self.seen
        seen.requests += 1
        seen.tries[prompt] += 1
        began = time.monotonic()
        watch = asyncio.ensure_future(reader.read(1))
        exchange = Exchange(self, writer, prompt, name, self._rng(prompt))
        work = asyncio.ensure_future(self._act(exchange))
        try:
            await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
            seen.spans.append((began, time.monotonic()))
            if watch.done() and not watch.exception() and watch.result() and exchange.spoke:
                await work  # the answer was there, and the server has more to say
        finally:
            work.cancel()
        if watch.done() and not watch.exception() and watch.result() and not exchange.spoke:
            seen.early += 1
            return b""
        return await watch if self.schedule.keeps else b""

    def _rng(self, prompt: str) -> random.Random:
        return random.Random(f"{self.schedule.seed}/{prompt}/{self.seen.tries[prompt]}")

    async def _act(self, exchange: Exchange) -> None:
        schedule, seen, rng = self.schedule, self.seen, exchange.rng
        if seen.requests == schedule.away_after:
            task = asyncio.ensure_future(self._restart())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        name = "none"
        if schedule.faults and rng.random() < schedule.share and seen.faults[exchange.prompt] < schedule.most:
            name = rng.choice(schedule.faults)
            seen.faults[exchange.prompt] += 1
            seen.excused[exchange.prompt] += name in EXCUSED
            await FAULTS[name](exchange)
        else:
            self.last = self.last if rng.random() < 0.5 else exchange.whole(exchange.completion())
            good = GOOD[rng.choice(list(GOOD))]
            await good(exchange)


class Ground:
    """The event loop in a thread of its own on which all servers of a test stand."""

    def __enter__(self) -> Ground:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)  # connections that break are no news here
        self.thread = threading.Thread(target=self.loop.run_forever, name="hostile", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.call(asyncio.sleep(0.05))  # for what was closed to be closed
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine over there and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def start(self, schedule: Schedule) -> Server:
        """A server that listens."""
        server = Server(schedule)
        self.call(server.listen())
        return server

    def end(self, server: Server) -> None:
        """Stop a server, whatever it is doing."""
        self.call(server.leave())
