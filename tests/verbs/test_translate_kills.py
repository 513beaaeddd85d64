"""A real SIGKILL in the middle of a translation, many times: the same rows in the end, and next to nothing asked twice.

HALA_KILLS sets how often the process is killed: 20 by default, 100 in the nightly target.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hala.artifacts import list_files

KILLS = int(os.environ.get("HALA_KILLS", "20"))
ROWS, IN_FLIGHT = 25 * max(KILLS, 10), 8
ARABIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ابجدهوزحطيكلمنسعفصقرشتثخذض")


class Model(ThreadingHTTPServer):
    """A chat server that writes other letters, fails some requests the first time, and counts what it is asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.served = 0


class Handler(BaseHTTPRequestHandler):
    """One chat completion."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with the last message's text in other letters."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: Any = self.server
        with server.lock:
            server.asked[json.dumps([body["messages"], body["temperature"], body.get("seed")])] += 1
            server.served += 1
        time.sleep(0.002)
        text = body["messages"][-1]["content"].partition("\n\n")[2]
        answer = "" if "(7)" in text and body["temperature"] == 0 else text.lower().translate(ARABIC)
        content = {"choices": [{"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}], "usage": {}}
        data = json.dumps(content).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client was killed

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def model() -> Iterator[Model]:
    """A running server."""
    server = Model()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def write(path: Path) -> Path:
    """Rows of three segments, some shared by many rows."""
    rows = [
        {"instruction": f"Please look at item {i}.", "response": f"It is item ({i % 10}).\n\nThat is all about {i}."}
        for i in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def start(source: Path, out: Path, home: Path, model: Model) -> subprocess.Popen[bytes]:
    """The command in a process group of its own."""
    url = f"http://127.0.0.1:{model.server_address[1]}/v1"
    words = [sys.executable, "-m", "hala", "translate", str(source), "--model", "m", "--url", url, "--out", str(out)]
    settings = ["--set", "shard_rows=25", "--set", "router=none", "--set", f"in_flight={IN_FLIGHT}"]
    environment = {**os.environ, "HALA_HOME": str(home)}
    return subprocess.Popen(
        [*words, *settings], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Waits for the end, which must be a good one."""
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said.decode()


@pytest.mark.timeout(900)
def test_killed_anywhere_the_rows_are_the_same_and_little_is_asked_twice(tmp_path: Path, model: Model) -> None:
    """Killed at random moments, a run ends with the bytes of an undisturbed one; a kill costs at most one window of requests,
    which are those under way and as many that lie ready."""
    source = write(tmp_path / "rows.jsonl")
    finish(start(source, tmp_path / "calm", tmp_path / "home1", model))
    distinct, total = len(model.asked), model.served
    assert total == distinct
    model.asked.clear()
    model.served = 0
    rng, killed = random.Random(7), 0
    while killed < KILLS:
        process = start(source, tmp_path / "killed", tmp_path / "home2", model)
        goal = model.served + rng.randrange(total // KILLS)
        while model.served < goal and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)
        if process.poll() is not None:
            break  # it was done before the shot
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        killed += 1
    finish(start(source, tmp_path / "killed", tmp_path / "home2", model))
    assert killed == KILLS
    calm, disturbed = (
        {name: entry["xxh128"] for name, entry in list_files(tmp_path / each).items()} for each in ("calm", "killed")
    )
    assert calm == disturbed and any(name.startswith("rejected/") for name in calm)
    assert len(model.asked) == distinct
    assert model.served <= distinct + killed * 2 * IN_FLIGHT
