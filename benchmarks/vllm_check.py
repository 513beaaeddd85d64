"""Does vLLM read what hala writes? Every scheme of two small random models is loaded there, and greedy answers are compared.

    HALA_VLLM_PYTHON=/path/to/vllm/bin/python .venv/bin/python benchmarks/vllm_check.py

vLLM lives in an environment of its own, so it is asked in a process of its own, once for each checkpoint. FP8 has to load; on a
CPU its products are too slow to write with, and blocks need AMX. BF16 and int8 have to write what hala's local engine writes,
token by token, both in float32. Writes benchmarks/results/vllm.json; ends with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from record import RESULTS, machine

SCHEMES = ("bf16", "fp8-dynamic", "fp8-block", "int8-dynamic")
SIZES = {"vocab_size": 384, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZES |= {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0, "max_position_embeddings": 512}
NO_KERNEL = "requires AMX tile support"  # what vLLM says of fp8-block on other processors, after it understood the config
PROMPTS = 12
ANSWER = 24
CHILD = """
import json, sys
from vllm import LLM, SamplingParams, __version__
folder, prompts, answer = json.loads(sys.argv[1])
llm = LLM(model=folder, dtype="float32", enforce_eager=True, max_model_len=256, max_num_seqs=16, trust_remote_code=False)
outputs = []
if answer:
    params = SamplingParams(max_tokens=answer, temperature=0.0, ignore_eos=True)
    outputs = llm.generate([{"prompt_token_ids": p} for p in prompts], params, use_tqdm=False)
print("ANSWER", json.dumps({"version": __version__, "tokens": [list(o.outputs[0].token_ids) for o in outputs]}))
"""


def make_texts() -> list[list[int]]:
    """Random token sequences of one length, which the models learn by heart."""
    rng = random.Random(0)
    return [[1, *rng.choices(range(4, 256), k=PROMPTS + ANSWER)] for _ in range(PROMPTS)]


def make_model(kind: str) -> Any:
    """A small model in float32 that knows the texts by heart, so that no rounding makes it choose another token."""
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    if kind == "lfm2":
        kinds = ["conv", "full_attention", "conv", "full_attention"]
        config = Lfm2Config(**SIZES, num_hidden_layers=4, layer_types=kinds, block_auto_adjust_ff_dim=False)
        model: Any = Lfm2ForCausalLM(config)
    else:
        model = LlamaForCausalLM(LlamaConfig(**SIZES, num_hidden_layers=3, tie_word_embeddings=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    texts = torch.tensor(make_texts())
    for _ in range(100):
        loss = model(texts, labels=texts).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(kind, "knows its texts with a loss of", round(loss.item(), 4), flush=True)
    return model.eval()


def make_checkpoints(work: Path, kind: str) -> dict[str, Path]:
    """A model in BF16 and in every scheme."""
    from stand_ins import byte_tokenizer

    from hala.weights.compress import compress
    from hala.weights.loading import save_model

    folders = {scheme: work / kind / scheme for scheme in SCHEMES}
    save_model(make_model(kind), byte_tokenizer(), folders["bf16"], dtype="bfloat16")
    for scheme in SCHEMES[1:]:
        compress(folders["bf16"], folders[scheme], scheme)
    return folders


def local_answers(folder: Path, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy tokens of hala's local engine, without an end."""
    from hala.engines.decoding import Job, Rules, decode
    from hala.records import Sampling
    from hala.weights.loading import load_model

    model, _ = load_model(folder, "float32", "cpu", native=True)
    jobs = [Job(str(number), prompt, ANSWER) for number, prompt in enumerate(prompts)]
    decode(model, jobs, Sampling(), Rules(frozenset()), 0)
    return [job.tokens for job in jobs]


def ask_vllm(python: str, folder: Path, prompts: list[list[int]], answer: int, seconds: int) -> dict[str, Any]:
    """Version and tokens of vLLM, or `error` with the end of what it printed."""
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    command = [python, "-c", CHILD, json.dumps([str(folder), prompts, answer])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env, cwd=folder.parent, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {seconds} s"}
    found = next((line[7:] for line in done.stdout.splitlines() if line.startswith("ANSWER ")), None)
    return json.loads(found) if found else {"error": (done.stdout + done.stderr)[-40000:]}


def check(python: str, folder: Path, scheme: str, seconds: int) -> dict[str, Any]:
    """What happened to one checkpoint: `loads` (None: no kernel for this processor), and how many answers are equal."""
    prompts = [text[: 2 + row] for row, text in enumerate(make_texts())]
    writes = not scheme.startswith("fp8")
    theirs = ask_vllm(python, folder, prompts, ANSWER if writes else 0, seconds)
    if "error" in theirs:
        kernel = next((line for line in theirs["error"].splitlines() if NO_KERNEL in line), None)
        why = kernel.rpartition("] ")[2] if kernel else theirs["error"][-3000:]
        return {"loads": None if kernel else False, "error": why}
    if not writes:
        return {"loads": True, "vllm": theirs["version"]}
    ours = local_answers(folder, prompts)
    equal = sum(a == b for a, b in zip(ours, theirs["tokens"], strict=True))
    first = [
        next((n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), None)
        for a, b in zip(ours, theirs["tokens"], strict=True)
    ]
    return {"loads": True, "vllm": theirs["version"], "equal_answers": equal, "answers": len(prompts), "first_difference": first}


def main() -> None:
    """Checks every checkpoint, prints a line each and writes the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", default=os.environ.get("HALA_VLLM_PYTHON"), help="an interpreter that has vllm")
    parser.add_argument("--kinds", nargs="+", default=["lfm2", "llama"], choices=["lfm2", "llama"])
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--seconds", type=int, default=400, help="for one checkpoint")
    parser.add_argument("--out", type=Path, default=RESULTS / "vllm.json")
    args = parser.parse_args()
    if not args.python:
        raise SystemExit("Name an interpreter that has vllm: --python, or the environment variable HALA_VLLM_PYTHON.")
    result: dict[str, Any] = {"machine": machine(), "results": {}}
    with tempfile.TemporaryDirectory() as work:
        for kind in args.kinds:
            folders = make_checkpoints(Path(work), kind)
            for scheme in args.schemes:
                found = check(args.python, folders[scheme], scheme, args.seconds)
                result["results"][f"{kind} {scheme}"] = found
                print(kind, scheme, json.dumps(found), flush=True)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    bad = [
        name for name, row in result["results"].items() if row["loads"] is False or row.get("equal_answers") != row.get("answers")
    ]
    raise SystemExit(f"not as it should be: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
