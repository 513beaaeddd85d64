"""What the server engine costs, and whether it keeps a server's queue full.

    .venv/bin/python benchmarks/server.py                                            # clients, against a server that only answers
    HALA_VLLM_PYTHON=/path/to/vllm/bin/python .venv/bin/python benchmarks/server.py  # and against `vllm bench serve`

`clients`: requests a second and processor time of a request, against a local server that answers at once, or after a fixed
delay like a model; `hala` beside httpx's own clients over the same window, each in a process of its own, taking turns. `ideal`
is what a client without any cost would reach: window / delay. `busy` runs the same while the caller's thread computes, as a step
does that cuts and checks text.

`vllm`: a vLLM server with a small model (made on the spot), the same prompts, tokens and window for hala's engine and for vLLM's
own benchmark client, taking turns, request throughput as each measures it. `steps` counts the batches that the server computed,
by its own metrics: what else runs on the machine changes the seconds of a batch, a queue that is not full their number.
Writes benchmarks/results/server.json; last line JSON.
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
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from record import RESULTS, machine

Row = dict[str, Any]
PROMPT = "Translate the following text into Arabic: the weather is warm today and we travel to Cairo by train. " * 3
ANSWER = "الطقس دافئ اليوم ونسافر إلى القاهرة بالقطار. " * 5
SEQS = 32  # requests that the vLLM server computes at once
BENCH = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


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


def make_model(folder: Path) -> None:
    """A small random Llama with a tokenizer and a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from hala.training.tokenizer import train_tokenizer
    from hala.weights.loading import save_model

    torch.manual_seed(0)
    tokenizer = train_tokenizer([PROMPT, ANSWER], 384)
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_key_value_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=4, max_position_embeddings=512, **sizes, **ids)
    save_model(LlamaForCausalLM(config).eval(), tokenizer, folder, "float32", {})


def bench_serve(python: str, url: str, model: Path, prompts: Path, work: Path, window: int, count: int, tokens: int) -> Row:
    """One run of vLLM's own client: requests a second and tokens, as it says."""
    words = ["--backend", "openai-chat", "--base-url", url, "--endpoint", "/v1/chat/completions", "--model", "tiny"]
    words += ["--tokenizer", str(model), "--dataset-name", "custom", "--dataset-path", str(prompts), "--skip-chat-template"]
    words += ["--disable-shuffle", "--num-prompts", str(count), "--custom-output-len", str(tokens), "--temperature", "0"]
    words += ["--max-concurrency", str(window), "--disable-tqdm", "--save-result", "--result-dir", str(work)]
    words += ["--result-filename", "bench.json"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    done = subprocess.run([python, "-c", BENCH, *words], capture_output=True, text=True, env=env, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"vllm bench serve ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    result = json.loads((work / "bench.json").read_text())
    assert result["completed"] == count, result
    return {"requests_per_s": result["request_throughput"], "tokens": result["total_output_tokens"]}


def steps(url: str) -> float:
    """Batches that a vLLM server has computed since it was started."""
    import httpx

    text = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("vllm:iteration_tokens_total_count")
    )


def against_vllm(python: str, work: Path, rounds: int, windows: list[int], count: int, tokens: int) -> Iterator[Row]:
    """hala's engine and vLLM's client on one server, taking turns."""
    model, file, port = work / "tiny", work / "prompts.jsonl", free_port()
    make_model(model)
    prompts = [f"Text {number}: {PROMPT[: 80 + number * 7 % 90]}" for number in range(count)]
    file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-model-len", "512"]
    command += ["--max-num-seqs", str(SEQS), "--no-enable-prefix-caching", "--disable-uvicorn-access-log"]
    url = f"http://127.0.0.1:{port}"
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    with running(command, f"{url}/health", work / "vllm.log", OMP_NUM_THREADS="1", **quiet):
        for window in windows:
            ask_hala(f"{url}/v1", "tiny", window, prompts[:64], tokens)  # warm
            found: dict[str, list[Row]] = {"hala": [], "vllm bench serve": []}
            for number in range(2 * rounds):
                name = list(found)[(number + number // 2) % 2]  # a b b a a b ...
                before, began = steps(url), time.perf_counter()
                if name == "hala":
                    made = ask_hala(f"{url}/v1", "tiny", window, prompts, tokens)
                    row = {"requests_per_s": count / (time.perf_counter() - began), "tokens": made}
                else:
                    row = bench_serve(python, url, model, file, work, window, count, tokens)
                found[name].append({**row, "steps": steps(url) - before})
            pairs = list(zip(found["hala"], found["vllm bench serve"], strict=True))
            ratios = [ours["requests_per_s"] / theirs["requests_per_s"] for ours, theirs in pairs]
            yield {
                "window": window,
                "requests": count,
                "max_num_seqs": SEQS,
                "fewest_steps": -(-count // SEQS) * tokens,
                **{name: median(rows) for name, rows in found.items()},
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(ratio, 3) for ratio in ratios],
            }


def main() -> None:
    """Both parts, or the one that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["clients", "vllm"], choices=["clients", "vllm"])
    parser.add_argument("--python", default=os.environ.get("HALA_VLLM_PYTHON"), help="an interpreter that has vllm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "server.json")
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "DELAY"), help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=5, metavar=("NAME", "URL", "WINDOW", "COUNT", "BUSY"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(int(args.serve[0]), float(args.serve[1])))
    if args.client:
        name, url, window, count, busy = args.client
        print(json.dumps(measure(name, url, int(window), int(count), bool(int(busy)))))
        return
    result: Row = json.loads(args.out.read_text()) if args.out.exists() else {}
    result["machine"] = machine()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts: dict[str, Iterator[Row]] = {}
        if "clients" in args.parts:
            parts["clients"] = clients(work, args.rounds, [128], [0.0, 0.25], 1536)
        if "vllm" in args.parts and args.python:
            parts["vllm"] = against_vllm(args.python, work, args.rounds, [32, 64], 160, 32)
        for part, rows in parts.items():
            result[part] = []
            for row in rows:
                result[part].append(row)
                print(json.dumps(row), flush=True)
                args.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
