"""Does vLLM read what hala writes, and compute the same? Small models in every scheme are loaded there, and logits are compared.

    HALA_VLLM_PYTHON=/path/to/vllm/bin/python .venv/bin/python benchmarks/vllm_check.py
    .venv/bin/python benchmarks/vllm_check.py --page       # only write the table of the committed result again

vLLM lives in an environment of its own, so it is asked in a process of its own, once for each checkpoint and dtype. It writes
greedy answers and shows every logit of prompts and answers; hala's model reads the same tokens. How far the two may be apart is
measured on hala's side alone: as far as its own logits move when nothing but rounding changes. A model that learned its texts by
heart must also give the same answers; but it finds them with wrong logits too, so random weights are what shows a mistake.
Writes benchmarks/results/vllm.json and the table in docs/eight-bits.md; ends with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, machine

PAGE = Path(__file__).parents[1] / "docs" / "eight-bits.md"
BEGIN, END = "<!-- vllm:begin -->", "<!-- vllm:end -->"
KINDS = ("lfm2", "llama")
SCHEMES = ("bf16", "fp8-dynamic", "fp8-block", "int8-dynamic")
SIZES = {"vocab_size": 384, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZES |= {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0, "max_position_embeddings": 512}
NO_KERNEL = "requires AMX tile support"  # what vLLM says of fp8-block on other processors, after it understood the config
PROMPTS, ANSWER = 12, 24
NUDGES = (1e-7, 2e-7, 3e-7, 4e-7)  # what all embeddings are made larger by, to see how far rounding alone moves the logits
ALLOWED = 4.0  # times that movement: two implementations round in more places than a nudge does
CHILD = """
import json, sys
import numpy as np
from vllm import LLM, SamplingParams, __version__
folder, dtype, eager, prompts, answer, batch, out = json.loads(sys.argv[1])
llm = LLM(model=folder, dtype=dtype, enforce_eager=eager, max_model_len=256, max_num_seqs=16, max_num_batched_tokens=batch,
          max_logprobs=-1, logprobs_mode="raw_logits", trust_remote_code=False)
params = SamplingParams(max_tokens=answer, temperature=0.0, ignore_eos=True, logprobs=-1, prompt_logprobs=-1)
outputs = llm.generate([{"prompt_token_ids": p} for p in prompts], params, use_tqdm=False) if answer else []
def rows(o):
    found = [*o.prompt_logprobs[1:], *o.outputs[0].logprobs]
    return np.array([[row[token].logprob for token in range(len(row))] for row in found], dtype=np.float32)
np.savez(out, *map(rows, outputs))
print("ANSWER", json.dumps({"version": __version__, "tokens": [list(o.outputs[0].token_ids) for o in outputs]}))
"""


@dataclass(frozen=True)
class Case:
    """One comparison: which weights, what both compute in, and whether vLLM compiles the model (its default) or not."""

    weights: str
    dtype: str
    eager: bool = False
    answers: int = PROMPTS
    """Prompts that are asked; 0 asks nothing, and loading is all."""
    written: int = ANSWER
    batch: int = 64
    """Tokens that vLLM reads at once, fewer than some prompts have: their state is carried from part to part."""

    @property
    def name(self) -> str:
        """As it stands in the result."""
        return f"{self.weights} {self.dtype}{' eager' if self.eager else ''}"


def cases(kind: str, scheme: str) -> list[Case]:
    """What is compared of a checkpoint."""
    if scheme == "fp8-block":
        return [Case("random", "float32", answers=0)]
    if scheme == "fp8-dynamic":  # its products are emulated on a CPU: minutes for a few tokens
        return [Case("random", "float32", answers=3, written=4)]
    found = [Case(weights, dtype) for weights in ("random", "learned") for dtype in ("float32", "bfloat16")]
    return [*found, Case("random", "float32", eager=True)] if scheme == "bf16" else found


def make_texts() -> list[list[int]]:
    """Random token sequences of one length, which the models learn by heart."""
    rng = random.Random(0)
    return [[1, *rng.choices(range(4, 256), k=PROMPTS + ANSWER)] for _ in range(PROMPTS)]


def make_prompts(case: Case) -> list[list[int]]:
    """Beginnings of the texts for a model that learned them, prompts of 3 to 190 tokens for others."""
    texts = make_texts()
    if case.weights == "learned":
        return [text[: 2 + row] for row, text in enumerate(texts)][: case.answers]
    return [(text * 6)[: 3 + 17 * row] for row, text in enumerate(texts)][: case.answers]


def make_model(kind: str, weights: str) -> Any:
    """A small model in float32 with random weights, or one that knows the texts by heart."""
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    if kind == "lfm2":
        kinds = ["conv", "full_attention", "conv", "full_attention"]
        config = Lfm2Config(**SIZES, num_hidden_layers=4, layer_types=kinds, block_auto_adjust_ff_dim=False)
        model: Any = Lfm2ForCausalLM(config)
    else:
        model = LlamaForCausalLM(LlamaConfig(**SIZES, num_hidden_layers=3, tie_word_embeddings=False))
    if weights == "random":
        return model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    texts = torch.tensor(make_texts())
    for _ in range(100):
        loss = model(texts, labels=texts).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(kind, "knows its texts with a loss of", round(loss.item(), 4), flush=True)
    return model.eval()


def make_checkpoint(work: Path, kind: str, weights: str, scheme: str) -> Path:
    """The folder of a model in a scheme, written when it is first asked for."""
    from stand_ins import byte_tokenizer

    from hala.weights.compress import compress
    from hala.weights.loading import save_model

    original, folder = (work / kind / weights / name for name in ("bf16", scheme))
    if not original.exists():
        save_model(make_model(kind, weights), byte_tokenizer(), original, dtype="bfloat16")
    if not folder.exists():
        compress(original, folder, scheme)
    return folder


def local_answers(folder: Path, dtype: str, prompts: list[list[int]], written: int) -> list[list[int]]:
    """Greedy tokens of hala's local engine, without an end."""
    from hala.engines.decoding import Job, Rules, decode
    from hala.records import Sampling
    from hala.weights.loading import load_model

    model, _ = load_model(folder, dtype, "cpu", native=True)
    jobs = [Job(str(number), prompt, written) for number, prompt in enumerate(prompts)]
    decode(model, jobs, Sampling(), Rules(frozenset()), 0)
    return [job.tokens for job in jobs]


def local_logits(folder: Path, dtype: str, texts: list[list[int]], nudge: float = 0.0) -> list[Any]:
    """Logits `(tokens - 1, vocabulary)` in float32 of each text, after every token but the last."""
    import torch

    from hala.weights.loading import load_model

    model, _ = load_model(folder, dtype, "cpu", native=True)
    with torch.inference_mode():
        model.get_input_embeddings().register_forward_hook(lambda _module, _inputs, out: out * (1 + nudge) if nudge else out)
        return [model(torch.tensor([text])).logits[0, :-1].float().numpy() for text in texts]


def apart(ours: list[Any], theirs: list[Any]) -> float:
    """The largest difference of any two logits."""
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def ask_vllm(python: str, folder: Path, case: Case, seconds: int) -> dict[str, Any]:
    """Version, tokens and logits of vLLM, or `error` with the end of what it printed."""
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    out = folder.parent / f"{folder.name}.npz"
    asked = [str(folder), case.dtype, case.eager, make_prompts(case), case.written if case.answers else 0, case.batch, str(out)]
    command = [python, "-c", CHILD, json.dumps(asked)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env, cwd=folder.parent, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {seconds} s"}
    found = next((line[7:] for line in done.stdout.splitlines() if line.startswith("ANSWER ")), None)
    if not found:
        return {"error": (done.stdout + done.stderr)[-40000:]}
    with np.load(out) as arrays:
        return {**json.loads(found), "logits": [arrays[f"arr_{row}"] for row in range(len(arrays.files))]}


def compare(folder: Path, case: Case, theirs: dict[str, Any]) -> dict[str, Any]:
    """How far vLLM is from hala: `difference` to our float32, and `rounding`, as far as rounding moves ours."""
    prompts = make_prompts(case)
    texts = [prompt + tokens for prompt, tokens in zip(prompts, theirs["tokens"], strict=True)]
    exact = local_logits(folder, "float32", texts)
    if case.dtype == "float32":
        rounding = max(apart(exact, local_logits(folder, "float32", texts, nudge)) for nudge in NUDGES)
    else:
        rounding = apart(exact, local_logits(folder, case.dtype, texts))
    answers = local_answers(folder, case.dtype, prompts, case.written)
    equal = [ours == tokens for ours, tokens in zip(answers, theirs["tokens"], strict=True)]
    return {
        "difference": float(f"{apart(exact, theirs['logits']):.3g}"),
        "rounding": float(f"{rounding:.3g}"),
        "largest_logit": round(max(float(np.abs(row).max()) for row in exact), 1),
        "equal_answers": sum(equal),
        "answers": len(equal),
    }


def check(python: str, work: Path, kind: str, scheme: str, seconds: int) -> dict[str, Any]:
    """What happened to one scheme: `loads` (None: no kernel for this processor), and a comparison for each case."""
    row: dict[str, Any] = {"loads": True, "cases": {}}
    for case in cases(kind, scheme):
        folder = make_checkpoint(work, kind, case.weights, scheme)
        theirs = ask_vllm(python, folder, case, seconds)
        if "error" in theirs:
            kernel = next((line for line in theirs["error"].splitlines() if NO_KERNEL in line), None)
            why = kernel.rpartition("] ")[2] if kernel else theirs["error"][-3000:]
            return {"loads": None if kernel else False, "error": why}
        row["vllm"] = theirs["version"]
        if case.answers:
            row["cases"][case.name] = compare(folder, case, theirs)
            print(kind, scheme, case.name, json.dumps(row["cases"][case.name]), flush=True)
    return row


def failures(results: dict[str, Any]) -> list[str]:
    """The checkpoints that vLLM did not load, and the cases in which it computes something else."""
    bad = [name for name, row in results.items() if row["loads"] is False]
    for name, row in results.items():
        for case, found in row.get("cases", {}).items():
            # vLLM 0.32's CPU kernel for rotary positions, which only eager mode uses, takes LFM2's heads for tokens.
            if name.startswith("lfm2") and case.endswith("eager"):
                continue
            recalled = not case.startswith("learned") or found["equal_answers"] == found["answers"]
            if found["difference"] > ALLOWED * found["rounding"] or not recalled:
                bad.append(f"{name}, {case}")
    return bad


def page(result: dict[str, Any]) -> str:
    """docs/eight-bits.md with the table of this result."""
    text, rows = PAGE.read_text(encoding="utf-8"), result["results"]
    found = {(name, case): each for name, row in rows.items() for case, each in row.get("cases", {}).items()}
    learned = [each for (_, case), each in found.items() if case.startswith("learned")]
    equal, answers = (sum(each[key] for each in learned) for key in ("equal_answers", "answers"))
    version = next(row["vllm"] for row in rows.values() if "vllm" in row)
    where = result["machine"]["cpu"]
    lines = [
        f"Largest difference of two logits, random weights: vLLM {version} on a CPU ({where}) against hala in float32.",
        f"`rounding` is how far hala's own logits move: in float32 when all embeddings grow by {NUDGES[0]:.0e} to",
        f"{NUDGES[-1]:.0e} of themselves, in BF16 against float32. Models that know {PROMPTS} texts by heart gave equal answers",
        f"in {equal} of {answers} cases.",
        "",
        "| model | float32 | rounding | BF16 | rounding |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(rows, key=lambda name: (name.split()[0], SCHEMES.index(name.split()[1]))):
        for eager in ("", " eager"):
            pair = [found.get((name, f"random {dtype}{eager}")) for dtype in ("float32", "bfloat16")]
            cells = [f"{each[key]:.2g}" if each else "" for each in pair for key in ("difference", "rounding")]
            if any(pair):
                lines.append(f"| {name}{', `enforce_eager`' if eager else ''} | {' | '.join(cells)} |")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Checks every checkpoint, prints a line each and writes the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", default=os.environ.get("HALA_VLLM_PYTHON"), help="an interpreter that has vllm")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--seconds", type=int, default=600, help="for one case")
    parser.add_argument("--out", type=Path, default=RESULTS / "vllm.json")
    parser.add_argument("--page", action="store_true", help="only write the table of the committed result again")
    args = parser.parse_args()
    if args.page:
        PAGE.write_text(page(json.loads(args.out.read_text(encoding="utf-8"))), encoding="utf-8")
        return
    if not args.python:
        raise SystemExit("Name an interpreter that has vllm: --python, or the environment variable HALA_VLLM_PYTHON.")
    result: dict[str, Any] = {"machine": machine(), "results": {}}
    if args.out.exists() and (set(args.kinds), set(args.schemes)) != (set(KINDS), set(SCHEMES)):
        result["results"] = json.loads(args.out.read_text(encoding="utf-8"))["results"]  # only some rows are measured again
    with tempfile.TemporaryDirectory() as work:
        for kind in args.kinds:
            for scheme in args.schemes:
                found = check(args.python, Path(work), kind, scheme, args.seconds)
                result["results"][f"{kind} {scheme}"] = found
                print(kind, scheme, "loads:", found["loads"], flush=True)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    if args.out == RESULTS / "vllm.json":
        PAGE.write_text(page(result), encoding="utf-8")
    bad = failures(result["results"])
    raise SystemExit(f"not as it should be: {'; '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
