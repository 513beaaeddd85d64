"""hala's server engine beside httpx's own clients, against a local server that only answers: requests a second and their cost.

Called by benchmarks/server.py. The server answers at once, or after a fixed delay like a model; each client runs over the same
window in a process of its own, taking turns. `ideal` is what a client without any cost would reach: window / delay. `busy` runs
the same while the caller's thread computes, as a step does that cuts and checks text.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]
PROMPT = "Translate the following text into Arabic: the weather is warm today and we travel to Cairo by train. " * 3
ANSWER = "الطقس دافئ اليوم ونسافر إلى القاهرة بالقطار. " * 5


class Instant(asyncio.Protocol):
    """A server that answers every request after `delay` seconds, with vLLM's kind of answer, and sends its id back."""

    delay = 0.0
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        """Called by the loop; clients send one request at a time."""
        self.buffer += data
        head, _, body = self.buffer.partition(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self.buffer = b""
            return
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if length is None or len(body) < int(length[1]):
            return
        self.buffer = b""
        name = re.search(rb"x-request-id: (\S+)", head, re.I)
        asyncio.get_running_loop().call_later(self.delay, self.answer, name[1].decode() if name else "", b"close" in head)

    def answer(self, name: str, close: bool) -> None:
        """One whole response."""
        choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 60, "completion_tokens": 60, "total_tokens": 120}
        content = json.dumps(
            {"id": f"chatcmpl-{name}", "object": "chat.completion", "choices": [choice], "usage": usage}
        ).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content) + content
        )
        if close:
            self.transport.close()


async def serve(port: int, delay: float) -> None:
    """Answer until killed."""
    Instant.delay = delay
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def ask_hala(url: str, model: str, window: int, prompts: list[str], tokens: int) -> int:
    """Tokens that hala's engine got."""
    from hala.engines.server import ServerEngine
    from hala.records import Message, Request, Sampling

    engine = ServerEngine(url, model, in_flight=window)
    requests = (Request(str(number), (Message("user", prompt),)) for number, prompt in enumerate(prompts))
    found = list(engine.complete(requests, Sampling(max_tokens=tokens)))
    assert all(completion.finish != "error" for completion in found), found[0]
    return sum(completion.tokens for completion in found)


def make_body(model: str, prompt: str, tokens: int) -> Row:
    """What the bare clients post."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0.0}


def ask_httpx(url: str, model: str, window: int, prompts: list[str], tokens: int) -> int:
    """The same with one httpx.AsyncClient: `window` tasks that share its pool."""
    import httpx

    async def run() -> int:
        todo, total = iter(prompts), 0
        limits = httpx.Limits(max_connections=window, max_keepalive_connections=window)

        async def work() -> None:
            nonlocal total
            for prompt in todo:
                response = await client.post(f"{url}/chat/completions", json=make_body(model, prompt, tokens))
                total += response.json()["usage"]["completion_tokens"]

        async with httpx.AsyncClient(limits=limits, timeout=120, trust_env=False) as client:
            await asyncio.gather(*(work() for _ in range(window)))
        return total

    return asyncio.run(run())


def ask_threads(url: str, model: str, window: int, prompts: list[str], tokens: int) -> int:
    """The same with one httpx.Client and `window` threads."""
    import httpx

    todo, lock, found = iter(prompts), threading.Lock(), []

    def work() -> None:
        while True:
            with lock:
                prompt = next(todo, None)
            if prompt is None:
                return
            response = client.post(f"{url}/chat/completions", json=make_body(model, prompt, tokens))
            found.append(response.json()["usage"]["completion_tokens"])

    limits = httpx.Limits(max_connections=window, max_keepalive_connections=window)
    with httpx.Client(limits=limits, timeout=120, trust_env=False) as client:
        threads = [threading.Thread(target=work) for _ in range(window)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(found)


CLIENTS: dict[str, Callable[[str, str, int, list[str], int], int]] = {
    "hala": ask_hala,
    "httpx.AsyncClient": ask_httpx,
    "httpx.Client in threads": ask_threads,
}


def burn(stop: threading.Event) -> None:
    """What the caller of an engine does meanwhile: Python."""
    while not stop.is_set():
        sum(range(1000))


def measure(name: str, url: str, window: int, count: int, busy: bool) -> Row:
    """One client in this process: requests a second, processor microseconds of a request."""
    prompts = [PROMPT] * count
    CLIENTS[name](url, "m", window, prompts[:16], 64)  # imports and first connections
    stop = threading.Event()
    if busy:
        threading.Thread(target=burn, args=(stop,), daemon=True).start()
    began, used = time.perf_counter(), time.process_time()
    CLIENTS[name](url, "m", window, prompts, 64)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    stop.set()
    return {"requests_per_s": count / seconds, "cpu_us": None if busy else processor / count * 1e6}


def child(*words: object) -> Row:
    """What this script prints as its last line when it runs with these words."""
    done = subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], url: str, log: Path, **environment: str) -> Iterator[None]:
    """A server that answers at `url`, ended afterwards. Raises SystemExit with its output when it does not start."""
    import httpx

    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment}, start_new_session=True)
    try:
        for _ in range(600):
            if process.poll() is not None:
                break
            try:
                httpx.get(url, timeout=1.0, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.3)
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
        yield
    finally:
        for way in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, way)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    continue


def median(rows: list[Row]) -> Row:
    """Median of each number of the rounds, and how many there were."""
    keys = [key for key, value in rows[0].items() if isinstance(value, int | float)]
    return {**{key: round(statistics.median(row[key] for row in rows), 2) for key in keys}, "rounds": len(rows)}


def clients(work: Path, rounds: int, windows: list[int], delays: list[float], count: int) -> Iterator[Row]:
    """Every client under every window and delay, taking turns."""
    for delay in delays:
        port = free_port()
        url = f"http://127.0.0.1:{port}/v1"
        with running([sys.executable, __file__, "--serve", str(port), str(delay)], url, work / "instant.log"):
            for window in windows:
                for busy in (False, True):
                    found: dict[str, list[Row]] = {name: [] for name in CLIENTS}
                    for _ in range(rounds):
                        for name in CLIENTS:
                            few = count if name == "hala" else count // 3  # the others take ten times as long
                            found[name].append(child("--client", name, url, window, few, int(busy)))
                    for name, rows in found.items():
                        ideal = window / delay if delay else None
                        yield {"client": name, "window": window, "delay_s": delay, "busy": busy, **median(rows), "ideal": ideal}


def main() -> None:
    """One of the processes that `clients` starts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "DELAY"))
    parser.add_argument("--client", nargs=5, metavar=("NAME", "URL", "WINDOW", "COUNT", "BUSY"))
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(int(args.serve[0]), float(args.serve[1])))
    elif args.client:
        name, url, window, count, busy = args.client
        print(json.dumps(measure(name, url, int(window), int(count), bool(int(busy)))))


if __name__ == "__main__":
    main()
