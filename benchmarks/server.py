"""What the server engine costs, and whether it keeps a server's queue full.

    .venv/bin/python benchmarks/server.py                                            # clients, against a server that only answers
    HALA_VLLM_PYTHON=/path/to/vllm/bin/python .venv/bin/python benchmarks/server.py  # and against `vllm bench serve`

`clients`: hala's engine beside httpx's own clients (benchmarks/server_clients.py).

`vllm`: a vLLM server with a small model (made on the spot); hala's engine and vLLM's own benchmark client take turns with the
same prompts, answers of the same lengths and as many in flight, each in a process of its own, the server on its own cores. Tokens
a second count from the first request to the last answer, without start and warm-up; the server's own metrics must say that it
read and wrote as many tokens for each. vLLM's client streams, and a server spends time on every event of a stream; `fewer events`
is the same client with all tokens of an answer but the first in one event (`stream_interval`), so that what is left between it
and hala is only how full each kept the queue. `steps` counts the batches that the server computed: a queue with gaps needs more,
while what else runs on the machine changes the seconds of a batch and not their number.
Writes benchmarks/results/server.json; last line JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from record import RESULTS, machine
from server_clients import ANSWER, PROMPT, Row, clients, free_port, running

SEQS = 32  # requests that the vLLM server computes at once
LENGTHS = range(16, 49)  # tokens of an answer
EVENTS = {"stream_interval": 4096}  # longer than any answer: one event for the first token, one for the rest
TURN = "turn: "  # how a client begins the line that ends its turn
BENCH = f"""
import json, sys
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
for line in sys.stdin:
    found = main(parser.parse_args(json.loads(line)))
    row = dict(seconds=found["duration"], tokens=found["total_output_tokens"], requests=found["completed"])
    print({TURN!r} + json.dumps(row), flush=True)
"""
STRICT = "vllm bench serve, fewer events"
SIDES = ("hala", "vllm bench serve", STRICT)
QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}


def make_model(folder: Path) -> None:
    """A small random Llama with a tokenizer and a chat template, which never ends an answer by itself."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from hala.training.tokenizer import train_tokenizer
    from hala.weights.loading import save_model

    torch.manual_seed(0)
    tokenizer = train_tokenizer([PROMPT, ANSWER], 384)
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_key_value_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=4, max_position_embeddings=512, **sizes, **ids)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] = 0  # some other token is always likelier
    save_model(model, tokenizer, folder, "float32", {})


def make_prompts(file: Path, count: int) -> int:
    """Write prompts of several lengths with how many tokens to answer; the sum of those."""
    chance = random.Random(0)
    rows = [
        {"prompt": f"Text {number}: {PROMPT[: 80 + number * 7 % 90]}", "output_tokens": chance.choice(LENGTHS)}
        for number in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sum(int(row["output_tokens"]) for row in rows)


def ask(url: str, window: int, file: Path) -> Row:
    """One turn of hala's engine in this process: seconds and tokens."""
    from hala.engines.server import ServerEngine
    from hala.records import Message, Request, Sampling

    rows = [json.loads(line) for line in file.read_text().splitlines()]
    turns = [(Message("user", row["prompt"]),) for row in rows]
    requests = [
        Request(str(n), turn, max_tokens=row["output_tokens"]) for n, (turn, row) in enumerate(zip(turns, rows, strict=True))
    ]
    began = time.perf_counter()
    found = list(ServerEngine(f"{url}/v1", "tiny", in_flight=window).complete(requests, Sampling()))
    seconds = time.perf_counter() - began
    assert sorted(map(int, (each.id for each in found))) == list(range(len(rows))), "not one answer for each request"
    assert all(each.finish == "length" for each in found), next(each for each in found if each.finish != "length")
    return {"seconds": seconds, "tokens": sum(each.tokens for each in found), "requests": len(found)}


def bench_words(url: str, window: int, file: Path, model: Path, extra: Row) -> list[str]:
    """What `vllm bench serve` is told for one turn."""
    words = ["--backend", "openai-chat", "--base-url", url, "--endpoint", "/v1/chat/completions", "--model", "tiny"]
    words += ["--tokenizer", str(model), "--dataset-name", "custom", "--dataset-path", str(file), "--skip-chat-template"]
    words += ["--disable-shuffle", "--num-prompts", str(len(file.read_text().splitlines())), "--custom-output-len", "-1"]
    words += ["--temperature", "0", "--max-concurrency", str(window), "--disable-tqdm"]
    return words + (["--extra-body", json.dumps(extra)] if extra else [])


class Client:
    """A process that takes turns at asking: words go in as a line of JSON, what it measured comes back as another."""

    def __init__(self, name: str, command: list[str], work: Path) -> None:
        self.name, self.log = name, (work / f"{name}.log").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **QUIET}
        )

    def turn(self, words: list[str]) -> Row:
        """Seconds, tokens and requests. Raises SystemExit when the process ends instead, or takes more than ten minutes."""
        assert self.process.stdin and self.process.stdout
        timer, said = threading.Timer(600, self.process.kill), []
        timer.daemon = True  # an interrupted turn must not wait for it
        timer.start()
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(TURN):
                timer.cancel()
                row: Row = json.loads(line.removeprefix(TURN))
                return row
            said.append(line)
        timer.cancel()
        self.log.seek(0)
        raise SystemExit(f"{self.name} ended in its turn:\n{''.join(said)[-3000:]}{self.log.read()[-3000:]}")


def counters(url: str) -> Row:
    """What a vLLM server has done since it was started: batches, tokens read and written."""
    import httpx

    names = {"vllm:iteration_tokens_total_count": "steps", "vllm:prompt_tokens_total": "read"}
    names |= {"vllm:generation_tokens_total": "written"}
    lines = httpx.get(f"{url}/metrics", timeout=30, trust_env=False).text.splitlines()
    return {names[line.split("{")[0]]: float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0] in names}


def against_vllm(python: str, work: Path, rounds: int, windows: list[int], count: int) -> Iterator[Row]:
    """hala's engine and vLLM's client on one server, taking turns."""
    model, file, port = work / "tiny", work / "prompts.jsonl", free_port()
    make_model(model)
    tokens = make_prompts(file, count)
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-model-len", "512"]
    command += ["--max-num-seqs", str(SEQS), "--no-enable-prefix-caching", "--no-enable-chunked-prefill"]
    command += ["--disable-uvicorn-access-log"]
    url, cores = f"http://127.0.0.1:{port}", sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[1:]) or set(cores))  # inherited by the server
    with running(command, f"{url}/health", work / "vllm.log", VLLM_CPU_KVCACHE_SPACE="1", **QUIET):
        os.sched_setaffinity(0, {cores[0]})  # inherited by the clients
        ours = Client("hala", [sys.executable, __file__, "--ask"], work)
        theirs = Client("vllm bench serve", [python, "-c", BENCH], work)

        def turn(side: str, window: int) -> Row:
            before = counters(url)
            if side == "hala":
                row = ours.turn([url, str(window), str(file)])
            else:
                row = theirs.turn(bench_words(url, window, file, model, EVENTS if side == STRICT else {}))
            done = {key: value - before[key] for key, value in counters(url).items()}
            assert (row["requests"], row["tokens"], done["written"]) == (count, tokens, tokens), (side, row, done)
            return {"tokens_per_s": round(tokens / row["seconds"], 1), "steps": done["steps"], "read": done["read"]}

        try:
            for side in SIDES:
                turn(side, SEQS)  # imports, and the server's first steps
            for window in windows:
                found: dict[str, list[Row]] = {side: [] for side in SIDES}
                for number in range(rounds):
                    for side in SIDES[:: 1 if number % 2 == 0 else -1]:  # a b c c b a ...
                        found[side].append(turn(side, window))
                assert len({row["read"] for rows in found.values() for row in rows}) == 1, "not the same prompts"
                yield compare(window, count, tokens, found)
        finally:
            for client in (ours, theirs):
                client.process.kill()
                client.process.wait()
            os.sched_setaffinity(0, set(cores))


def compare(window: int, count: int, tokens: int, found: dict[str, list[Row]]) -> Row:
    """Medians of the sides, hala against the others round by round, and every round."""
    row: Row = {"window": window, "requests": count, "tokens": tokens, "max_num_seqs": SEQS, "fewest_steps": -(-tokens // SEQS)}
    row["median"] = {
        side: {key: statistics.median(each[key] for each in rows) for key in rows[0]} for side, rows in found.items()
    }
    row["against"] = {}
    for side in SIDES[1:]:
        pairs = zip(found["hala"], found[side], strict=True)
        ratios = [ours["tokens_per_s"] / theirs["tokens_per_s"] for ours, theirs in pairs]
        chance = random.Random(0)
        again = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(10_000))
        interval = [round(again[250], 3), round(again[9749], 3)]
        steps = row["median"]["hala"]["steps"] / row["median"][side]["steps"]
        row["against"][side] = {"times": round(statistics.median(ratios), 3), "times_95": interval, "steps": round(steps, 4)}
    return {**row, "rounds": found}


def say(result: Row) -> str:
    """The paragraph of docs/translate.md."""
    rows = result.get("vllm")
    if not rows:
        return ""
    first, where = rows[0], result["machines"]["vllm"]
    turns = [turn["tokens_per_s"] for row in rows for turn in row["rounds"]["hala"]]
    low = min(against["times_95"][0] for row in rows for against in row["against"].values())
    doubt = ", too wide here to tell three percent" if low < 0.97 else ""
    lines = [
        f"**`server` against `vllm bench serve`** (`benchmarks/server.py`, vLLM {result['versions']['vllm']} on {where['cpu']},"
        f" one core for the server and one for the clients, a random Llama, {first['requests']:,} requests of {LENGTHS[0]} to"
        f" {LENGTHS[-1]} tokens, batches of {SEQS}, {len(first['rounds']['hala'])} rounds in turns). vLLM's client streams and"
        " hala does not; every event of a stream costs the server time, so the same client also ran with all tokens of an answer"
        " but the first in one event. Tokens a second are those of the whole job, by the clock, medians; steps are the batches"
        " that the server computed for it: a queue with gaps needs more. What else runs on the machine changes its speed"
        f" (hala's turns ran at {min(turns):,.0f} to {max(turns):,.0f} tokens/s): the ratios are medians over the rounds with"
        f" their 95% intervals by bootstrap{doubt}; the number of steps does not depend on it.",
        "",
        "| in flight | client | tokens/s | steps | hala is, by the clock | hala's steps |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        for side in SIDES:
            median, against = row["median"][side], row["against"].get(side)
            name = {"hala": "hala", STRICT: "`vllm bench serve`, fewer events"}.get(side, f"`{side}`")
            cells = [f"{row['window']}", name, f"{median['tokens_per_s']:,.0f}", f"{median['steps']:,.1f}", "", ""]
            if against:
                low, high = against["times_95"]
                cells[4:] = [f"{against['times']:.2f} times ({low:.2f} to {high:.2f})", f"{against['steps']:.3f} times"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Both parts, or the one that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["clients", "vllm"], choices=["clients", "vllm"])
    parser.add_argument("--python", default=os.environ.get("HALA_VLLM_PYTHON"), help="an interpreter that has vllm")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=512, help="of one turn against vLLM: ten seconds on two cores")
    parser.add_argument("--out", type=Path, default=RESULTS / "server.json")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        for line in sys.stdin:
            url, window, file = json.loads(line)
            print(TURN + json.dumps(ask(url, int(window), Path(file))), flush=True)
        return
    result: Row = json.loads(args.out.read_text()) if args.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts: dict[str, Iterator[Row]] = {}
        if "clients" in args.parts:
            parts["clients"] = clients(work, 3, [128], [0.0, 0.25], 1536)
        if "vllm" in args.parts and args.python:
            words = [args.python, "-c", "import vllm; print(vllm.__version__)"]
            version = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]
            result["versions"] = {"vllm": version}
            parts["vllm"] = against_vllm(args.python, work, args.rounds, [SEQS, 2 * SEQS], args.requests)
        for part, rows in parts.items():
            result[part] = []
            result["machine"] = machine()
            result.setdefault("machines", {})[part] = result["machine"]  # each part may be measured on its own
            for row in rows:
                result[part].append(row)
                print(json.dumps(row), flush=True)
                result["said"] = say(result)
                args.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
