"""Real servers answer what the model itself says: vLLM, llama.cpp's server and `transformers serve`, each where it is installed.

They live in environments of their own: HALA_VLLM_PYTHON, HALA_LLAMA_CPP_PYTHON (llama-cpp-python[server]) and HALA_SERVE_PYTHON
(transformers[serving]) name interpreters. The model is made on the spot and knows its answers by heart, so that all must agree.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hala.engines.local import LocalEngine
from hala.engines.server import ServerEngine
from hala.records import Completion, Message, Request, Sampling
from hala.training.tokenizer import train_tokenizer
from hala.weights.gguf import export
from hala.weights.loading import load_model, save_model

pytestmark = pytest.mark.timeout(600)

START = 240  # seconds that a server may take to load
WORDS = ["red", "blue", "green", "river", "stone", "cloud", "market", "paper", "garden", "winter", "lamp", "honey", "silver"]
TALKS = [
    (f"question {n} about {WORDS[n % 13]}", " ".join(WORDS[(n * k + k) % 13] for k in range(1, 3 + n % 5)) + f" {n}. نعم")
    for n in range(20)
]
SHORT = 4  # tokens that one answer is bounded to: it must say that it was cut


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows its twenty answers by heart."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer([text for talk in TALKS for text in talk], 384)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    network = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=2, max_position_embeddings=512, **sizes, **ids)
    )
    chats = [[{"role": "user", "content": ask}, {"role": "assistant", "content": answer}] for ask, answer in TALKS]
    batch = tokenizer(
        [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats],
        add_special_tokens=False,
        padding=True,
        padding_side="right",
        return_tensors="pt",
    )
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.0)
    network.train()
    for _ in range(200):
        loss = network(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("real") / "tiny"
    save_model(network.eval(), tokenizer, folder, "float32", {})
    return folder


def make_requests() -> list[Request]:
    """The questions; the last one is bounded."""
    requests = [Request(f"r{n}", (Message("user", ask),)) for n, (ask, _) in enumerate(TALKS)]
    return [*requests, Request("cut", (Message("user", TALKS[0][0]),), max_tokens=SHORT)]


@pytest.fixture(scope="module")
def truth(model: Path) -> dict[str, Completion]:
    """What transformers makes of the questions, greedily."""
    engine = LocalEngine(*load_model(str(model), "float32", native=True))
    found = {completion.id: completion for completion in engine.complete(make_requests(), Sampling(max_tokens=60))}
    assert [found[f"r{n}"].text for n in range(20)] == [answer for _, answer in TALKS]
    assert found["cut"].finish == "length"
    return found


def interpreter(variable: str, *modules: str) -> str:
    """The Python of a server; skips where there is none."""
    here = sys.executable if all(importlib.util.find_spec(module) for module in modules) else ""
    return os.environ.get(variable) or here or pytest.skip(f"{modules[0]} is not installed and {variable} names no interpreter")


Run = Callable[..., tuple[str, subprocess.Popen[bytes]]]


def free_port() -> str:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts a server on a port; its address and its process once it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: object, port: str, **environment: str) -> tuple[str, subprocess.Popen[bytes]]:
        words = [*map(str, command), "--host", "127.0.0.1", "--port", port]
        offline = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", **environment}
        log = tmp_path / "server.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                words, stdout=out, stderr=out, env={**os.environ, **offline}, cwd=tmp_path, start_new_session=True
            )
        started.append(process)
        end = time.monotonic() + START
        while time.monotonic() < end and process.poll() is None:
            if is_up(f"http://127.0.0.1:{port}/health"):
                return f"http://127.0.0.1:{port}/v1", process
            time.sleep(0.3)
        raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")

    yield start
    for process in started:
        for way in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, way)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)


def is_up(url: str) -> bool:
    """Whether something answers there, and be it that it knows no such page."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code in (200, 404)
    except httpx.TransportError:
        return False


def ask(url: str, name: str) -> tuple[ServerEngine, dict[str, Completion]]:
    """The engine, and what the server said, each row once, eight at a time."""
    engine = ServerEngine(url, name, in_flight=8)
    found = list(engine.complete(iter(make_requests()), Sampling(max_tokens=60)))
    assert sorted(completion.id for completion in found) == sorted(request.id for request in make_requests())
    return engine, {completion.id: completion for completion in found}


def compare(found: dict[str, Completion], truth: dict[str, Completion]) -> None:
    """The same text and end for every row."""
    assert {key: (c.text, c.finish, c.error) for key, c in found.items()} == {
        key: (c.text, c.finish, c.error) for key, c in truth.items()
    }


def test_vllm(model: Path, truth: dict[str, Completion], run: Run) -> None:
    """vLLM's server gives every row its own answer, sends ids back, and so keeps its connections."""
    python = interpreter("HALA_VLLM_PYTHON", "vllm")
    words: list[Any] = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", "tiny"]
    words += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256", "--max-num-seqs", "8"]
    url, _ = run(*words, port=free_port(), VLLM_CPU_KVCACHE_SPACE="1", VLLM_NO_USAGE_STATS="1")
    engine, found = ask(url, "tiny")
    compare(found, truth)
    assert engine.echoes


@pytest.fixture
def llama(model: Path, tmp_path: Path) -> list[Any]:
    """The command of llama.cpp's server, over our GGUF of the model."""
    python = interpreter("HALA_LLAMA_CPP_PYTHON", "llama_cpp", "starlette_context")
    export(model, tmp_path / "tiny.gguf", "f32")
    return [python, "-m", "llama_cpp.server", "--model", tmp_path / "tiny.gguf", "--model_alias", "tiny", "--n_ctx", "256"]


def test_llama_cpp(llama: list[Any], truth: dict[str, Completion], run: Run) -> None:
    """llama.cpp's server reads our GGUF, gives every row its own answer and sends ids back."""
    engine, found = ask(run(*llama, port=free_port())[0], "tiny")
    compare(found, truth)
    assert engine.echoes


def test_llama_cpp_killed_and_started_again(llama: list[Any], truth: dict[str, Completion], run: Run) -> None:
    """A server that is killed in the middle of a run and started again on its port costs no row."""
    port = free_port()
    url, process = run(*llama, port=port)
    engine = ServerEngine(url, "tiny", in_flight=4, retries=2)
    stream = engine.complete(iter(make_requests()), Sampling(max_tokens=60))
    found = [next(stream) for _ in range(5)]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = threading.Thread(target=run, args=llama, kwargs={"port": port})
    again.start()
    found += list(stream)
    again.join()
    compare({completion.id: completion for completion in found}, truth)


def test_transformers(model: Path, truth: dict[str, Completion], run: Run) -> None:
    """`transformers serve` gives every row its own answer, and sends ids back in a header."""
    python = interpreter("HALA_SERVE_PYTHON", "fastapi", "uvicorn", "openai")
    url, _ = run(Path(python).with_name("transformers"), "serve", model, "--device", "cpu", port=free_port())
    engine, found = ask(url, str(model))
    compare(found, truth)
    assert engine.echoes
