"""The server engine against a local HTTP server that misbehaves by script."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from hala.engines import exchange
from hala.engines.exchange import Policy, make_url, retry_after
from hala.engines.server import ServerEngine
from hala.errors import EngineError
from hala.records import Completion, Message, Request, Sampling

Script = Callable[["Handler", dict[str, Any], int], None]


class Handler(BaseHTTPRequestHandler):
    """Runs the server's script with the body of the request and the number of its try."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Read the request, note it, run the script."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.tries[key] += 1
            number = self.server.tries[key]
            self.server.bodies.append(body)
            self.server.paths.append(self.path)
            self.server.keys.append(self.headers.get("Authorization"))
        self.server.script(self, body, number)

    def send(self, status: int, content: bytes | dict[str, Any], **headers: str) -> None:
        """A whole response."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def answer(self, text: Any, reason: Any = "stop") -> None:
        """A chat completion."""
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        self.send(200, {"choices": [choice], "usage": {"completion_tokens": 3}})

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output quiet."""


class Server(ThreadingHTTPServer):
    """A server on a free port of this machine that notes what it was asked."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.lock = threading.Lock()
        self.tries: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that the script broke is no news."""


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    """Starts scripted servers and stops them after the test."""
    running: list[Server] = []

    def start(script: Script) -> Server:
        server = Server(script)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def echo(handler: Handler, body: dict[str, Any], number: int) -> None:
    """A server that works: the last message in capitals."""
    handler.answer(body["messages"][-1]["content"].upper())


def make_requests(count: int) -> list[Request]:
    """Numbered user turns."""
    return [Request(f"r{number}", (Message("user", f"text {number}"),)) for number in range(count)]


def connect(url: str, **settings: Any) -> ServerEngine:
    """An engine that waits milliseconds where it would wait seconds."""
    engine = ServerEngine(url, "m", **{"timeout": 5.0, **settings})
    engine.policy = replace(engine.policy, pause=0.002, grace=0.0)
    return engine


def ask(engine: ServerEngine, requests: list[Request], sampling: Sampling | None = None) -> dict[str, Completion]:
    """Completions by id, each exactly once; the engine is closed."""
    found = list(engine.complete(iter(requests), sampling or Sampling()))
    engine.close()
    assert Counter(c.id for c in found) == Counter(r.id for r in requests)
    return {c.id: c for c in found}


def test_answers_reach_their_requests_out_of_order(serve: Callable[[Script], Server]) -> None:
    """Answers come as they are ready, and each one belongs to its request."""

    def uneven(handler: Handler, body: dict[str, Any], number: int) -> None:
        time.sleep(0.05 if body["messages"][-1]["content"] == "text 0" else 0)
        echo(handler, body, number)

    engine = connect(serve(uneven).url, in_flight=8)
    order = list(engine.complete(iter(make_requests(30)), Sampling()))
    engine.close()
    assert {c.id: c.text for c in order} == {f"r{n}": f"TEXT {n}" for n in range(30)}
    assert order[0].id != "r0"
    assert all((c.finish, c.tokens) == ("stop", 3) for c in order)


def test_body_of_a_request(serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is asked in OpenAI's words, with the request's own bound and the key of the named variable."""
    monkeypatch.setenv("HALA_TEST_KEY", "sk-test")
    server = serve(echo)
    request = Request("a", (Message("system", "s"), Message("text", "سلام")), max_tokens=7)
    sampling = Sampling(temperature=0.5, top_p=0.9, seed=4, stop=("END", ""))
    ask(connect(server.url, api_key_env="HALA_TEST_KEY"), [request], sampling)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "سلام"}],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 4,
            "stream": False,
            "stop": ["END"],
        }
    ]
    assert (server.paths, server.keys) == (["/v1/chat/completions"], ["Bearer sk-test"])


def test_pull_is_lazy(serve: Callable[[Script], Server]) -> None:
    """No more requests are pulled than may be in flight."""
    pulled: list[str] = []

    def source() -> Iterator[Request]:
        for request in make_requests(20):
            pulled.append(request.id)
            yield request

    engine = connect(serve(echo).url, in_flight=4)
    stream = engine.complete(source(), Sampling())
    next(stream)
    assert len(pulled) == 4
    assert len(list(stream)) == 19
    engine.close()


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", None])
def test_finish_reasons(serve: Callable[[Script], Server], reason: str | None) -> None:
    """Only `stop` is a finished answer; a filtered or unexplained end is an error."""
    engine = connect(serve(lambda handler, body, number: handler.answer("x", reason)).url)
    found = ask(engine, make_requests(1))["r0"]
    assert found.finish == {"stop": "stop", "length": "length"}.get(reason or "", "error")


def bad_status(handler: Handler, status: int, **headers: str) -> None:
    """An error page."""
    handler.send(status, b"<html>no</html>", **headers)


def cut(handler: Handler) -> None:
    """A body that breaks off."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


PASSING: dict[str, Callable[[Handler], None]] = {
    "429": lambda h: bad_status(h, 429, Retry_After="0"),
    "500": lambda h: bad_status(h, 500),
    "503": lambda h: bad_status(h, 503, Retry_After="soon"),
    "cut": cut,
    "page": lambda h: h.send(200, b"<html>hello</html>"),
    "bytes": lambda h: h.send(200, b"\xff\xfe\x00"),
    "deep": lambda h: h.send(200, b"[" * 100_000),
    "no choices": lambda h: h.send(200, {"choices": []}),
    "list": lambda h: h.send(200, b"[1]"),
    "choice": lambda h: h.send(200, {"choices": ["x"]}),
}


@pytest.mark.parametrize("fault", PASSING)
def test_passing_faults_are_tried_again(serve: Callable[[Script], Server], fault: str) -> None:
    """A fault that passes costs a try, not a row."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        echo(handler, body, number) if number > 2 else PASSING[fault](handler)

    server = serve(script)
    found = ask(connect(server.url), make_requests(2))
    assert {c.text for c in found.values()} == {"TEXT 0", "TEXT 1"}
    assert set(server.tries.values()) == {3}


LASTING: dict[str, tuple[Callable[[Handler], None], int]] = {
    "always 500": (lambda h: bad_status(h, 500), 3),
    "400": (lambda h: bad_status(h, 400), 1),
    "too large": (lambda h: h.send(200, b" " * (exchange.MAX_BODY + 1)), 1),
    "packed": (lambda h: h.send(200, b"x", Content_Encoding="gzip"), 1),
    "no text": (lambda h: h.answer(None), 1),
    "half a character": (lambda h: h.answer("\ud800"), 1),
    "redirect": (lambda h: bad_status(h, 302, Location="http://127.0.0.1:1/"), 1),
}


@pytest.mark.parametrize("fault", LASTING)
def test_lasting_faults_fail_their_row_alone(serve: Callable[[Script], Server], fault: str) -> None:
    """A fault that stays becomes an error completion after bounded tries; the other rows are answered."""
    send, tries = LASTING[fault]

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        send(handler) if body["messages"][-1]["content"] == "text 1" else echo(handler, body, number)

    server = serve(script)
    found = ask(connect(server.url, retries=2, in_flight=1), make_requests(3))
    assert [found[f"r{n}"].finish for n in range(3)] == ["stop", "error", "stop"]
    assert found["r1"].error
    assert server.tries["text 1"] == tries


def test_silent_and_endless_servers_are_left(serve: Callable[[Script], Server]) -> None:
    """A server that says nothing, or never stops talking, is left after the bounded time."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        if body["messages"][-1]["content"] == "text 0":
            time.sleep(1.0)
            return
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.01)

    engine = connect(serve(script).url, retries=0, timeout=0.2)
    engine.policy = replace(engine.policy, seconds=0.3)
    began = time.monotonic()
    found = ask(engine, make_requests(2))
    assert time.monotonic() - began < 1.0
    assert "Timeout" in found["r0"].error
    assert "longer than" in found["r1"].error


def test_many_random_schedules(serve: Callable[[Script], Server]) -> None:
    """Under 200 seeded mixtures of faults every request ends, answered rightly or with its reason."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        rng = random.Random(f"{body['messages'][-1]['content']}/{number}")
        fault = rng.choice([*PASSING, *["none"] * len(PASSING)])
        echo(handler, body, number) if fault == "none" else PASSING[fault](handler)

    found = ask(connect(serve(script).url, retries=4, in_flight=16), make_requests(200))
    for name, completion in found.items():
        assert completion.finish in ("stop", "error")
        assert completion.text == (f"TEXT {name[1:]}" if completion.finish == "stop" else "")
        assert bool(completion.error) == (completion.finish == "error")
    assert sum(c.finish == "stop" for c in found.values()) > 150


def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_missing_server_is_a_dead_engine_with_advice() -> None:
    """Nothing is burnt on an address where nothing answers, be it many requests or one."""
    for count in (50, 1):
        engine = connect(f"http://127.0.0.1:{closed_port()}/v1")
        with pytest.raises(EngineError, match=r"(20 times in a row|after 6 tries).*vllm serve m"):
            list(engine.complete(iter(make_requests(count)), Sampling()))
        engine.close()


def test_server_that_dies_midway_stops_the_run(serve: Callable[[Script], Server]) -> None:
    """After 20 straight connection failures the engine is dead; answers given before stay valid."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        if int(body["messages"][-1]["content"].split()[1]) < 5:
            echo(handler, body, number)
            return
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    engine = connect(serve(script).url, in_flight=2)
    found: list[Completion] = []
    with pytest.raises(EngineError, match="20 times in a row"):
        for completion in engine.complete(iter(make_requests(100)), Sampling()):
            found.append(completion)
    engine.close()
    assert sum(c.finish == "stop" for c in found) == 5


def test_restarting_server_is_waited_for(serve: Callable[[Script], Server]) -> None:
    """A server that answered before gets its time to come back: many failures at once do not kill the run."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        if body["messages"][-1]["content"] == "text 0" or number > 2:
            echo(handler, body, number)
            return
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    engine = connect(serve(script).url, in_flight=40)
    engine.policy = replace(engine.policy, grace=60.0)
    engine.reached = True
    assert all(c.finish == "stop" for c in ask(engine, make_requests(40)).values())


@pytest.mark.parametrize("status", [401, 403, 404, 301])
def test_refusal_before_any_answer_stops_at_once(
    serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """A wrong key, model or address is one error with its remedy, and the key that the server sent back is hidden."""
    monkeypatch.setenv("HALA_TEST_KEY", "sk-secret")
    other = serve(echo)
    server = serve(lambda h, body, n: h.send(status, b"bad sk-secret", Location=other.url + "/chat/completions"))
    engine = connect(server.url + "?api-version=hidden", api_key_env="HALA_TEST_KEY")
    with pytest.raises(EngineError, match=f"status {status}") as caught:
        list(engine.complete(iter(make_requests(3)), Sampling()))
    engine.close()
    assert caught.value.fix
    assert "sk-secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert other.bodies == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusal_in_the_middle_stops_too(serve: Callable[[Script], Server], status: int) -> None:
    """A key that was revoked or a model that was unloaded burns no further row; answers given before stay valid."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        bad_status(handler, status) if body["messages"][-1]["content"] == "text 3" else echo(handler, body, number)

    engine, found = connect(serve(script).url, in_flight=1), []
    with pytest.raises(EngineError, match=f"status {status}"):
        for completion in engine.complete(iter(make_requests(9)), Sampling()):
            found.append(completion.finish)
    engine.close()
    assert found == ["stop"] * 3


def test_requests_that_cannot_be_sent_are_errors(serve: Callable[[Script], Server]) -> None:
    """An empty or broken prompt and a bound below one fail before the server is asked."""
    server = serve(echo)
    requests = [
        Request("empty", ()),
        Request("half", (Message("user", "\ud800"),)),
        Request("zero", (Message("user", "x"),), max_tokens=0),
    ]
    assert all(c.finish == "error" and c.error for c in ask(connect(server.url), requests).values())
    assert server.bodies == []


def test_proxies_of_the_environment_are_not_used(serve: Callable[[Script], Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Data and key go to the given address, whatever proxy the environment names."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(connect(serve(echo).url), make_requests(1))["r0"].finish == "stop"


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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:8000",
        "ftp://h/v1",
        "file:///etc/passwd",
        "http://",
        "http://u:p@h/v1",
        "http://a\\@b/v1",
        "http://h/\n",
        "http://h:99999999/",
    ],
)
def test_wrong_addresses_are_refused(url: str) -> None:
    """Only plain http and https addresses without a password are taken, each other one with advice."""
    with pytest.raises(EngineError) as caught:
        ServerEngine(url, "m")
    assert caught.value.fix
    assert "u:p" not in str(caught.value)


def test_wrong_keys_and_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or broken key and impossible settings stop before anything is sent, and no key is shown."""
    monkeypatch.delenv("HALA_TEST_KEY", raising=False)
    with pytest.raises(EngineError, match="HALA_TEST_KEY"):
        ServerEngine("http://h", "m", api_key_env="HALA_TEST_KEY")
    monkeypatch.setenv("HALA_TEST_KEY", "sk bad")
    with pytest.raises(EngineError) as caught:
        ServerEngine("http://h", "m", api_key_env="HALA_TEST_KEY")
    assert "sk bad" not in str(caught.value)
    with pytest.raises(EngineError, match="in_flight 0"):
        ServerEngine("http://h", "m", in_flight=0)


def test_waits_are_jittered_bounded_and_repeat() -> None:
    """Waits grow, never exceed a minute unless the server asks, and are the same in every run."""
    policy = Policy(tries=6, seconds=600)
    waits = [policy.wait("a", number, 0.0) for number in range(1, 20)]
    assert waits == [policy.wait("a", number, 0.0) for number in range(1, 20)]
    assert all(0 <= wait <= min(60.0, 0.5 * 2**number) for number, wait in enumerate(waits, 1))
    assert len({policy.wait(f"r{n}", 5, 0.0) for n in range(50)}) == 50
    assert policy.wait("a", 1, 300.0) >= 300.0


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("7", 7, 7), ("99999999999", 600, 600), ("-5", 0, 0), ("soon", 0, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("", 0, 0)],
)
def test_retry_after(value: str, low: float, high: float) -> None:
    """Seconds and dates are understood, nonsense means no wait, and ten minutes is the most."""
    assert low <= retry_after(httpx.Response(429, headers={"Retry-After": value})) <= high
