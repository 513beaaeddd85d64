"""One HTTP/1.1 connection to a server that may be slow, broken or hostile: every wait ends and every size is bounded.

    line = Line(find_endpoint("http://127.0.0.1:8000/v1/chat/completions"), Deadlines(10, 120, 600))
    reply = await line.post([("x-request-id", "a1")], b"{}", limit=1 << 20, keep=False)

The grammar is h11's, httpx's own. httpx's pool itself walks over all of its connections for every request, which costs
milliseconds at a hundred of them, and uses a connection again when bytes of an earlier answer are still unread in it: they would
become the answer to the next question. Here a connection serves one request at a time, and goes on only after an exchange that
ended exactly where it had to.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import h11
import httpx

MAX_HEAD = 64 << 10  # bytes of status line and headers
MAX_PIECES = 8192  # chunks of one body: a server that sends bytes one by one would cost more time than memory
STEPS = 0.25  # seconds before a host's next address is tried beside the first (RFC 8305)


class BrokenError(Exception):
    """An exchange that brought no whole answer. `sent` is False when the request cannot have arrived; `again` when another
    try may help."""

    def __init__(self, reason: str, *, sent: bool = True, again: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.sent, self.again = reason, sent, again


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for the connection, for the answer's head after that, and for the whole exchange."""

    connect: float
    head: float
    total: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post: `target` is the path with its query, `host` the value of the Host header."""

    name: str
    port: int
    host: str
    target: bytes
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `whole` is False when its body was cut at the limit. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes
    whole: bool


def find_endpoint(url: str) -> Endpoint:
    """The parts of an address that a connection needs; https uses the usual authorities, or those of SSL_CERT_FILE."""
    parsed = httpx.URL(url)
    secure = parsed.scheme == "https"
    port = parsed.port or (443 if secure else 80)
    host = parsed.netloc.decode("ascii")  # without the port where it is the scheme's own
    return Endpoint(parsed.host, port, host, parsed.raw_path, httpx.create_ssl_context() if secure else None)


class Line:
    """What one slot of an engine holds: at most one connection, opened when needed."""

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self.endpoint, self.deadlines = endpoint, deadlines
        self.wire: _Wire | None = None

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes, limit: int, keep: bool) -> Reply:
        """The answer, at most `limit` bytes of it; the connection stays open only if `keep` and all was in order.

        Raises: BrokenError when the server is not reached, breaks off, breaks the protocol, packs its answer or is too slow.
        """
        clean = False
        try:
            async with asyncio.timeout(self.deadlines.total):
                wire = await self._connect()
                reply = await wire.post(self._request(headers, len(body), keep), body, limit, self.deadlines.head)
                clean = keep and wire.rest()
        except TimeoutError:
            raise BrokenError(f"the answer took longer than {self.deadlines.total:g} s") from None
        finally:
            if not clean:
                self.drop()
        return reply

    def drop(self) -> None:
        """Close the connection at once, whatever is on it."""
        if self.wire is not None:
            self.wire.abort()
            self.wire = None

    async def _connect(self) -> _Wire:
        if self.wire is not None and not self.wire.closed:
            return self.wire
        where, seconds = self.endpoint, self.deadlines.connect
        loop = asyncio.get_running_loop()
        name = where.name if where.tls else None
        steps = STEPS if where.name.strip("0123456789.") else None  # an address has no others
        try:
            async with asyncio.timeout(seconds):
                _, self.wire = await loop.create_connection(
                    _Wire, where.name, where.port, ssl=where.tls, server_hostname=name, happy_eyeballs_delay=steps
                )
        except TimeoutError:
            raise BrokenError(f"no connection within {seconds:g} s", sent=False) from None
        except (OSError, UnicodeError) as error:  # a name that no DNS can hold is a UnicodeError
            raise BrokenError(f"no connection ({error})", sent=False) from None
        return self.wire

    def _request(self, headers: Sequence[tuple[str, str]], length: int, keep: bool) -> h11.Request:
        own = [("host", self.endpoint.host), ("content-length", str(length)), ("connection", "keep-alive" if keep else "close")]
        return h11.Request(method="POST", target=self.endpoint.target, headers=[*own, *headers])


class _Wire(asyncio.Protocol):
    """The open connection: what arrives goes through h11 into the exchange that waits for it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self.closed = False
        self.head: asyncio.Future[h11.Response] | None = None
        self.end: asyncio.Future[bool] | None = None  # whether the body is whole
        self.pieces: list[bytes] = []
        self.size = self.limit = 0

    async def post(self, request: h11.Request, body: bytes, limit: int, patience: float) -> Reply:
        """One exchange. Raises BrokenError."""
        loop = asyncio.get_running_loop()
        self.head, self.end, self.limit = loop.create_future(), loop.create_future(), limit
        self.pieces, self.size = [], 0
        head = self.state.send(request) or b""
        self.transport.write(head + (self.state.send(h11.Data(data=body)) or b"") + (self.state.send(h11.EndOfMessage()) or b""))
        try:
            async with asyncio.timeout(patience):
                response = await self.head
        except TimeoutError:
            raise BrokenError(f"no answer within {patience:g} s") from None
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in response.headers}
        if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            # Packed bytes could grow without bound when they are unpacked, and were not asked for.
            raise BrokenError("the server packed its answer though asked not to", again=False)
        whole = await self.end
        return Reply(response.status_code, headers, b"".join(self.pieces), whole)

    def rest(self) -> bool:
        """Whether the exchange ended in order, with nothing after its answer, so that another can follow."""
        over = self.state.our_state is h11.DONE and self.state.their_state is h11.DONE
        if self.closed or not over or self.state.trailing_data != (b"", False):
            return False
        self.state.start_next_cycle()
        self.head = self.end = None
        return True

    def abort(self) -> None:
        """Close without a word."""
        self.closed = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop. A server that speaks before it was asked, or after its answer, is not listened to again."""
        if self.head is None or self.end is None or self.end.done():
            self.abort()
        elif not self.head.cancelled():  # nobody waits any more
            self._feed(data)

    def eof_received(self) -> None:
        """Called by the loop: the end of an answer whose length nobody told, or a broken one."""
        if self.head is None or self.head.cancelled() or self.end is None or self.end.done():
            return
        if self.state.their_state is h11.SEND_RESPONSE:
            self._fail("the server closed the connection without an answer")
        else:
            self._feed(b"")

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self.closed = True
        self._fail(f"the connection broke ({error or 'closed by the server'})")

    def _feed(self, data: bytes) -> None:
        """Hand bytes to h11, and what they mean to whoever waits."""
        assert self.head is not None and self.end is not None
        try:
            self.state.receive_data(data)
            while not self.end.done():
                event = self.state.next_event()
                if isinstance(event, h11.Data):
                    self._add(bytes(event.data))
                elif isinstance(event, h11.Response):
                    self.head.set_result(event)
                elif isinstance(event, h11.EndOfMessage):
                    self.end.set_result(True)
                elif not isinstance(event, h11.InformationalResponse):
                    return  # more bytes are needed, or none will come
        except h11.RemoteProtocolError as error:
            self._fail(f"the answer is no HTTP ({error})")

    def _add(self, piece: bytes) -> None:
        assert self.end is not None
        self.pieces.append(piece[: self.limit - self.size])
        self.size += len(self.pieces[-1])
        if self.size == self.limit or len(self.pieces) == MAX_PIECES:
            self.end.set_result(False)

    def _fail(self, reason: str) -> None:
        for waiting in (self.head, self.end):
            if waiting is not None and not waiting.done():
                waiting.set_exception(BrokenError(reason))
                waiting.exception()  # one of the two is never awaited, and that is no news
