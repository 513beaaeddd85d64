"""The server engine against a local HTTP server that misbehaves by script."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hala.engines.exchange import largest_answer
from hala.engines.server import FEWEST_FAILED, ServerEngine
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
            self.server.connections.add(self.client_address)
            self.server.ids.append(self.headers["X-Request-Id"])
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
    request_queue_size = 512

    def __init__(self, script: Script, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.script = script
        self.lock = threading.Lock()
        self.tries: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.connections: set[Any] = set()
        self.ids: list[str] = []
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
    engine.policy = replace(engine.policy, pause=0.002, rest=0.01, patience=0.0)
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
    """The server is asked in OpenAI's words, with the request's own sampling and the key of the named variable."""
    monkeypatch.setenv("HALA_TEST_KEY", "sk-test")
    server = serve(echo)
    request = Request("a", (Message("system", "s"), Message("text", "سلام")), max_tokens=7, temperature=0.5, seed=4)
    sampling = Sampling(temperature=0.0, top_p=0.9, seed=1, stop=("END", ""))
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


def test_every_try_has_an_id_of_its_own(serve: Callable[[Script], Server]) -> None:
    """Ids tell tries apart, and have the form of a UUID: llama-cpp-python's server refuses any other."""
    server = serve(lambda h, body, n: echo(h, body, n) if n > 1 else bad_status(h, 500))
    ask(connect(server.url), make_requests(10))
    assert len(set(server.ids)) == 20
    assert all(str(uuid.UUID(each)) == each and uuid.UUID(each).version == 4 for each in server.ids)


def test_pull_is_lazy(serve: Callable[[Script], Server]) -> None:
    """No more requests are pulled than may be in flight, and as many again that lie ready."""
    pulled: list[str] = []

    def source() -> Iterator[Request]:
        for request in make_requests(20):
            pulled.append(request.id)
            yield request

    engine = connect(serve(echo).url, in_flight=4)
    stream = engine.complete(source(), Sampling())
    next(stream)
    assert len(pulled) == 8
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
    "too large": (lambda h: h.send(200, b" " * (largest_answer(256) + 1)), 1),
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
    engine.deadlines = replace(engine.deadlines, total=0.3)
    began = time.monotonic()
    found = ask(engine, make_requests(2))
    assert time.monotonic() - began < 1.0
    assert "no answer within" in found["r0"].error
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
        port = closed_port()
        engine = connect(f"http://127.0.0.1:{port}/v1")
        with pytest.raises(EngineError, match=rf"(20 times in a row|after 6 tries).*vllm serve m --port {port}"):
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
    with pytest.raises(EngineError, match=r"20 times in a row.*[Ll]ook at its log.*same command continues"):
        for completion in engine.complete(iter(make_requests(100)), Sampling()):
            found.append(completion)
    engine.close()
    assert sum(c.finish == "stop" for c in found) == 5


def test_restarting_server_is_waited_for(serve: Callable[[Script], Server]) -> None:
    """A server that answered before gets its time to come back: many failures at once cost neither run nor rows, and are told."""
    down = threading.Event()

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        if down.is_set():
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            echo(handler, body, number)

    server = serve(script)
    said: list[str] = []
    engine = connect(server.url, in_flight=40, say=said.append)
    engine.policy = replace(engine.policy, patience=60.0)
    stream = engine.complete(iter(make_requests(200)), Sampling())
    found = [next(stream)]
    down.set()
    threading.Timer(0.4, down.clear).start()
    found += list(stream)
    assert Counter(c.finish for c in found) == {"stop": 200}
    assert len(server.bodies) < 200 + 3 * 40  # hardly more than the window once, then a probe at a time
    assert len(said) == 2 and "has stopped answering" in said[0] and "asking it again for up to 1:00" in said[0]
    assert "answers again, after 0:0" in said[1]


def test_server_that_comes_and_goes_is_reported_once(serve: Callable[[Script], Server]) -> None:
    """An answer after each 23 failures: one line on going and one on coming back, in one line each."""
    turns = itertools.count()

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        if next(turns) % 24 == 0:
            echo(handler, body, number)
        else:
            handler.send(503, b"\x1b[2J\nerror: nobody home" + 400 * b"!")

    said: list[str] = []
    engine = connect(serve(script).url, in_flight=8, retries=90, say=said.append)
    engine.policy = replace(engine.policy, patience=60.0, longest_pause=0.02)
    found = ask(engine, make_requests(8))
    assert Counter(c.finish for c in found.values()) == {"stop": 8}
    assert len(said) == 2 and "has stopped answering" in said[0] and "answers again" in said[1]
    assert "\n" not in said[0] and len(said[0]) < 260


def test_server_that_is_started_anew_on_its_port(serve: Callable[[Script], Server]) -> None:
    """While nothing listens, no row pays with its tries, however small the window is."""
    server = serve(echo)
    engine = connect(server.url, in_flight=1, retries=1)
    engine.policy = replace(engine.policy, patience=60.0)
    stream = engine.complete(iter(make_requests(20)), Sampling())
    found = [next(stream)]
    server.shutdown()
    server.server_close()

    def start() -> None:
        again = Server(echo, server.server_address[1])
        threading.Thread(target=again.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    threading.Timer(0.4, start).start()
    found += list(stream)
    assert Counter(c.finish for c in found) == {"stop": 20}


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


@pytest.mark.parametrize("status", [401, 404])
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


def test_forbidden_text_costs_its_row_and_a_forbidden_client_the_run(serve: Callable[[Script], Server]) -> None:
    """A firewall that dislikes one prompt must not stop every run at that row; one that shuts out this client must."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        place = int(body["messages"][-1]["content"].split()[1])
        bad_status(handler, 403) if place == 3 or place > 50 else echo(handler, body, number)

    server = serve(script)
    found = ask(connect(server.url, in_flight=2), make_requests(10))  # so that an answer comes before the fourth request
    assert [c.id for c in found.values() if c.finish == "error"] == ["r3"]
    with pytest.raises(EngineError, match="status 403"):
        ask(connect(server.url, in_flight=1), make_requests(200))
    assert sum(server.tries.values()) < 100


def test_rate_limit_costs_time_and_no_row(serve: Callable[[Script], Server]) -> None:
    """A server that takes two requests every ten milliseconds and turns the others away answers every row in the end."""
    taken: Counter[int] = Counter()
    lock = threading.Lock()

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        moment = int(time.monotonic() * 100)
        with lock:
            taken[moment] += 1
            late = taken[moment] > 2
        bad_status(handler, 429) if late else echo(handler, body, number)

    engine = connect(serve(script).url, in_flight=16, retries=0)
    engine.policy = replace(engine.policy, longest_pause=0.1, patience=30.0)
    engine.reached = True
    assert Counter(c.finish for c in ask(engine, make_requests(60)).values()) == {"stop": 60}


def test_quota_that_is_used_up_stops_the_run(serve: Callable[[Script], Server]) -> None:
    """A server that turns everything away is not asked forever."""
    server = serve(lambda h, body, n: bad_status(h, 429))
    with pytest.raises(EngineError, match="status 429") as caught:
        ask(connect(server.url, in_flight=8, retries=1), make_requests(200))
    assert "Ask for less at once than in_flight 8" in caught.value.fix
    assert len(server.bodies) <= 2 * (FEWEST_FAILED + 8)


def test_server_that_takes_no_request_stops_the_run(serve: Callable[[Script], Server]) -> None:
    """Settings that a server refuses are one error after twenty refusals, not a data set of rejected rows."""
    server = serve(lambda h, body, n: bad_status(h, 400))
    with pytest.raises(EngineError, match="status 400") as caught:
        ask(connect(server.url, in_flight=4), make_requests(200))
    assert "settings" in caught.value.fix
    assert len(server.bodies) < 30


def test_error_budget_stops_the_run(serve: Callable[[Script], Server]) -> None:
    """More failed requests than the budget's share end the run with what to do; refusals do not count."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        place = int(body["messages"][-1]["content"].split()[1])
        if place % 5 == 1:
            handler.answer("x", "content_filter")
        elif place % 5 == 2:
            handler.answer("x", "unheard-of")
        else:
            echo(handler, body, number)

    server = serve(script)
    with pytest.raises(EngineError, match=r"error_budget 10\.0%; last: .*unheard-of") as caught:
        ask(connect(server.url, error_budget=0.1, in_flight=1), make_requests(1000))
    assert caught.value.fix
    assert len(server.bodies) <= FEWEST_FAILED * 5
    found = ask(connect(server.url, error_budget=0.25), make_requests(300))
    assert sum(c.finish == "error" for c in found.values()) == 120


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
    with pytest.raises(EngineError, match="names no variable that holds a key") as caught:
        ServerEngine("http://h", "m", api_key_env="hf_Ab12345")
    assert "hf_Ab12345" not in f"{caught.value} {caught.value.fix}"
    with pytest.raises(EngineError, match="in_flight 0"):
        ServerEngine("http://h", "m", in_flight=0)


def test_connections_are_kept_only_where_ids_come_back(serve: Callable[[Script], Server]) -> None:
    """Where nothing tells a late answer from the right one, each request has a connection of its own."""

    def with_id(handler: Handler, body: dict[str, Any], number: int) -> None:
        choice = {"message": {"content": body["messages"][-1]["content"].upper()}, "finish_reason": "stop"}
        handler.send(200, {"id": f"chatcmpl-{handler.headers['X-Request-Id']}", "choices": [choice]})

    plain, echoing = serve(echo), serve(with_id)
    for server in (plain, echoing):
        assert {c.text for c in ask(connect(server.url, in_flight=2), make_requests(20)).values()} == {
            f"TEXT {number}" for number in range(20)
        }
    assert len(plain.connections) == 20
    assert len(echoing.connections) <= 4


@pytest.mark.parametrize("twice", ["glued", "late"])
def test_doubled_answers_do_not_reach_the_next_row(serve: Callable[[Script], Server], twice: str) -> None:
    """An answer that a server sends a second time on the same connection is never the next request's."""

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        choice = {"message": {"content": body["messages"][-1]["content"].upper()}, "finish_reason": "stop"}
        content = json.dumps({"id": f"chatcmpl-{handler.headers['X-Request-Id']}", "choices": [choice]}).encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
        handler.wfile.write(answer * 2 if twice == "glued" else answer)
        if twice == "late":
            time.sleep(0.002)
            handler.wfile.write(answer)

    found = ask(connect(serve(script).url, in_flight=2, error_budget=1.0), make_requests(60))
    assert all(c.finish == "error" or c.text == f"TEXT {c.id[1:]}" for c in found.values())
    assert sum(c.finish == "stop" for c in found.values()) > 50


@pytest.mark.parametrize("where", ["body", "header"])
def test_swapped_answers_are_told_by_their_id(serve: Callable[[Script], Server], where: str) -> None:
    """A server that sends ids back and mixes two answers up is asked again, for a wrong answer looks like a right one."""
    waiting: list[tuple[Handler, str, str]] = []
    lock = threading.Lock()

    def script(handler: Handler, body: dict[str, Any], number: int) -> None:
        name, text = handler.headers["X-Request-Id"], body["messages"][-1]["content"].upper()
        if number > 1:
            reply(handler, name, text)
            return
        with lock:  # the first tries of two requests get each other's answers
            waiting.append((handler, name, text))
            if len(waiting) == 2:
                (first, *_), (second, *_) = waiting
                reply(first, *waiting[1][1:])
                reply(second, *waiting[0][1:])
                waiting.clear()
                return
        time.sleep(0.2)

    def reply(handler: Handler, name: str, text: str) -> None:
        content = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
        if where == "body":
            handler.send(200, {"id": f"chatcmpl-{name}", **content})
        else:
            handler.send(200, content, X_Request_Id=name)

    server = serve(script)
    found = ask(connect(server.url, in_flight=2), make_requests(2))
    assert {c.id: c.text for c in found.values()} == {"r0": "TEXT 0", "r1": "TEXT 1"}
    assert set(server.tries.values()) == {2}


def test_caller_that_is_busy_starves_no_server(serve: Callable[[Script], Server]) -> None:
    """While the caller does something else, the window is answered and the next one is sent."""
    server = serve(echo)
    engine = connect(server.url, in_flight=4)
    stream = engine.complete(iter(make_requests(50)), Sampling())
    next(stream)
    for _ in range(200):
        if len(server.bodies) == 8:
            break
        time.sleep(0.01)
    assert len(server.bodies) == 8
    stream.close()  # type: ignore[attr-defined]
    engine.close()


def test_more_is_asked_a_few_at_once_and_in_time(serve: Callable[[Script], Server]) -> None:
    """Requests are taken by a quarter of `in_flight`, never beyond twice it, and while three quarters of it still lie ready."""
    taken: list[int] = []
    answered = 0

    def source() -> Iterator[Request]:
        for request in make_requests(100):
            taken.append(answered)
            yield request

    for _ in connect(serve(echo).url, in_flight=8).complete(source(), Sampling()):
        answered += 1
    assert answered == 100 and taken == [0] * 16 + [2 * (i // 2 + 1) for i in range(84)]


def test_caller_that_leaves_ends_the_thread(serve: Callable[[Script], Server]) -> None:
    """A run that stops in the middle cuts its exchanges at once, and nothing goes on behind its back."""
    before = threading.active_count()
    server = serve(lambda handler, body, number: time.sleep(0.3) if number else None)
    engine = connect(server.url, in_flight=4, timeout=30.0)

    def source() -> Iterator[Request]:
        yield from make_requests(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(engine.complete(source(), Sampling()))
    assert [thread for thread in threading.enumerate() if thread.name == "hala-server"] == []
    assert threading.active_count() <= before + 4  # the server's own


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, known to nobody."""
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    file = tmp_path / "server.pem"
    words = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(words, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def test_https_trusts_only_known_authorities(
    serve: Callable[[Script], Server], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over https a server whose certificate nobody vouches for gets neither data nor key; SSL_CERT_FILE vouches for one's own."""
    server = serve(echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    with pytest.raises(EngineError, match="certificate"):
        ask(connect(url, retries=1), make_requests(1))
    assert server.bodies == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert {c.text for c in ask(connect(url, in_flight=2), make_requests(6)).values()} == {f"TEXT {n}" for n in range(6)}


def test_interrupt_ends_a_run_at_once(serve: Callable[[Script], Server]) -> None:
    """Ctrl-C while a server keeps every request open ends the program in a moment, not after the deadline."""
    server = serve(lambda handler, body, number: time.sleep(5))
    program = (
        "import sys; from hala.engines.server import ServerEngine; from hala.records import *\n"
        "requests = (Request(str(n), (Message('user', 'x'),)) for n in range(9))\n"
        f"list(ServerEngine({server.url!r}, 'm', in_flight=4).complete(requests, Sampling()))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while len(server.bodies) < 4:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
