"""Seconds and peak memory of scoring real questions, against lighteval and lm-eval, taking turns; and whether all agree.

    OMP_NUM_THREADS=2 .venv/bin/python benchmarks/evals.py --data FOLDER --lighteval PYTHON --lm-eval PYTHON

PYTHON is the interpreter of an environment with lighteval 0.13 or lm-eval 0.4.13, torch and transformers as here. The questions
are 1,000 of EXAMS and the translated MMLU, evenly spaced, put as lighteval 0.13 puts them; the model has the shape of LFM2-350M
and random weights, its tokenizer is trained on the questions. Two jobs:

- `letters`: the options are letters or digits of one token, as the leaderboard asks; lm-eval's cache then runs one forward a
  question;
- `texts`: the options are their full texts, of several tokens.

Each turn is a whole process (benchmarks/evals_turn.py) that loads the model and then scores its part of the questions on the
clock; a round is one part for every contestant. First each peer tries its batch sizes on a few questions and keeps the fastest.
The log-probabilities of each turn are compared with hala's. Seconds are counted on the wall and, since other work on the machine
makes that noisy, on the processor. The result is stored after each round, and the
same command goes on with the rounds that are missing. Writes benchmarks/results/evals.json and, with `--page`, docs/evaluate.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import RESULTS, ROOT, between, machine
from tune import make_model

BATCH_SIZES = {"hala": [0], "lm-eval": [1, 4, 16], "lighteval": [4, 32]}  # lighteval's 4 is a question a step, 32 eight of them
TRIED = 12
BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"


def items_of(data: Path) -> list[Any]:
    """Every usable row of EXAMS and the translated MMLU."""
    from lighteval_check import rows_of

    from hala.evals.benchmarks import BENCHMARKS, read

    rows, items = rows_of(data), []
    for name in ("exams", "arbmmlu_ht"):
        benchmark = BENCHMARKS[name]
        items += read(benchmark, lambda _, asked, name=name: rows[name] if asked == BENCHMARKS[name].subsets[0] else []).items  # type: ignore[misc]
    return items


def prepare(args: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The checkpoint below `folder`, and the prompts of each job."""
    from hala.evals.profiles import PROFILES, render
    from hala.training.tokenizer import train_tokenizer
    from hala.weights.loading import save_model

    items = items_of(args.data)
    tokenizer = train_tokenizer((render(PROFILES["lighteval-0.11"], item).text for item in items), 65_536)
    save_model(make_model(args.size, tokenizer), tokenizer, folder / "model", args.dtype)
    chosen = [items[number * len(items) // args.questions] for number in range(args.questions)]
    texts = [render(PROFILES["lighteval-0.11"], item).text for item in chosen]
    return {
        "letters": [{"text": text, "continuations": list(item.labels)} for text, item in zip(texts, chosen, strict=True)],
        "texts": [
            {"text": text, "continuations": [f" {option}" for option in item.question.options]}
            for text, item in zip(texts, chosen, strict=True)
        ],
    }


def turn(args: argparse.Namespace, name: str, folder: Path, prompts: list[dict[str, Any]], batch_size: int) -> dict[str, Any]:
    """What a contestant's process of its own prints last."""
    file = folder / "prompts.json"
    file.write_text(json.dumps(prompts, ensure_ascii=False), encoding="utf-8")
    python = {"hala": sys.executable, "lighteval": args.lighteval, "lm-eval": args.lm_eval}[name]
    command = [python, "-W", "ignore", str(Path(__file__).with_name("evals_turn.py"))]
    command += [name, str(folder / "model"), str(file), args.dtype, str(batch_size)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def contest(args: argparse.Namespace, folder: Path, prompts: list[dict[str, Any]], result: dict[str, Any]) -> None:
    """The rounds of one job, added to `result` as they end."""
    names = ["hala", *args.contestants]
    tried = prompts[:: max(1, len(prompts) // TRIED)]
    for name in names:
        if name not in result["batch_sizes"]:
            sizes = BATCH_SIZES[name]
            trials = {size: turn(args, name, folder, tried, size)["processor"] if sizes[1:] else 0.0 for size in sizes}
            result["batch_sizes"][name] = {"tried": trials, "chosen": min(trials, key=trials.__getitem__)}
            print(name, trials, flush=True)
            store(args, {})
    begun = len(result["rounds"])
    for number in range(begun, min(args.rounds, begun + args.most)):
        part = prompts[number :: args.rounds]
        made = {}
        for name in names[number % len(names) :] + names[: number % len(names)]:
            made[name] = turn(args, name, folder, part, result["batch_sizes"][name]["chosen"])
        mine = made["hala"]["logprobs"]
        for each in made.values():
            each["against_hala"] = difference(mine, each.pop("logprobs")) | {"questions": len(part)}
        result["rounds"].append(made)
        result["summary"] = summary(result["rounds"])
        store(args, {})
        print(
            json.dumps({name: {key: each[key] for key in ("wall", "processor", "mb")} for name, each in made.items()}), flush=True
        )


def difference(mine: list[list[float]], others: list[list[float]]) -> dict[str, Any]:
    """The largest difference of a log-probability, and how many questions prefer another option."""
    pairs = list(zip(mine, others, strict=True))
    largest = max(abs(a - b) for x, y in pairs for a, b in zip(x, y, strict=True))
    return {"largest": largest, "other_choice": sum(x.index(max(x)) != y.index(max(y)) for x, y in pairs)}


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each contestant's seconds over all rounds, most memory, and how many times hala's; ratios by round beside their median."""
    found: dict[str, Any] = {}
    for name in rounds[0]:
        mine = [each[name] for each in rounds]
        found[name] = {
            "questions": sum(each["against_hala"]["questions"] for each in mine),
            "ready": round(statistics.median(each["ready"] for each in mine), 2),
            "mb": max(each["mb"] for each in mine),
            "mb_over_ready": max(each["mb"] - each["mb_ready"] for each in mine),
            "largest_difference": max(each["against_hala"]["largest"] for each in mine),
            "other_choice": sum(each["against_hala"]["other_choice"] for each in mine),
        }
        for clock in ("wall", "processor"):
            ratios = [round(each[name][clock] / each["hala"][clock], 2) for each in rounds]
            found[name][clock] = round(sum(each[clock] for each in mine), 1)
            found[name][f"{clock}_times_hala"] = {"median": statistics.median(ratios), "rounds": ratios}
    return found


def store(args: argparse.Namespace, more: dict[str, Any]) -> None:
    """The result so far."""
    args.result |= more
    args.out.write_text(json.dumps(args.result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def versions(python: str, *names: str) -> dict[str, str]:
    """Versions of packages in another environment."""
    code = f"import json;from importlib.metadata import version;print(json.dumps({{n: version(n) for n in {names!r}}}))"
    found: dict[str, str] = json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
    return found


def table(result: dict[str, Any]) -> str:
    """The jobs side by side, as they stand in docs/evaluate.md."""
    lines = ["| options | program | batch size | questions | seconds | times hala | of the processor | peak memory |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for job, found in result["jobs"].items():
        for name, each in found["summary"].items():
            size = found["batch_sizes"][name]["chosen"] or "by itself"
            times = [f"{each[f'{clock}_times_hala']['median']:.2f}" for clock in ("wall", "processor")]
            cells = [job, name, size, each["questions"], f"{each['wall']:,.0f}", *times]
            lines.append(f"| {' | '.join(map(str, cells))} | {each['mb']:,.0f} MB |")
    where, known = result["machine"], result["versions"]
    threads = f"{result['threads']} thread{'s' * (result['threads'] > 1)} on {where['cores']} cores ({where['cpu']})"
    tools = f"lighteval {known['lighteval']['lighteval']}, lm-eval {known['lm-eval']['lm_eval']}, torch {known['hala']['torch']}"
    note = f"Scoring alone, {result['dtype']}, {threads}, taking turns; ratios are medians over the rounds; {tools}."
    return "\n".join([*lines, "", note])


def main() -> None:
    """Measures, writes the result and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with exams_ar and arabic_mmlu_translated")
    parser.add_argument("--lighteval", help="interpreter that has lighteval")
    parser.add_argument("--lm-eval", help="interpreter that has lm-eval")
    parser.add_argument("--contestants", nargs="+", default=["lm-eval", "lighteval"])
    parser.add_argument("--jobs", nargs="+", default=["letters", "texts"])
    parser.add_argument("--size", default="350m")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--most", type=int, default=1000, help="end after so many rounds; the same command goes on")
    parser.add_argument("--out", type=Path, default=RESULTS / "evals.json")
    parser.add_argument("--page", action="store_true", help="only write the table of docs/evaluate.md from the committed result")
    args = parser.parse_args()
    page = ROOT / "docs" / "evaluate.md"
    if args.page:
        result = json.loads(args.out.read_text(encoding="utf-8"))
        page.write_text(between(page.read_text(encoding="utf-8"), BEGIN, END, table(result)), encoding="utf-8")
        return
    import torch

    same = ("torch", "transformers")
    known = {"lm-eval": versions(args.lm_eval, "lm_eval", *same), "lighteval": versions(args.lighteval, "lighteval", *same)}
    args.result = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    store(args, {"machine": machine(), "versions": known | {"hala": versions(sys.executable, *same)}, "size": args.size})
    store(args, {"dtype": args.dtype, "threads": torch.get_num_threads()})
    with tempfile.TemporaryDirectory() as place:
        # In a process of its own: what this one has had of memory, its children would have had too.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            prompts = pool.apply(prepare, (args, Path(place)))
        for job in args.jobs:
            jobs = args.result.setdefault("jobs", {})
            made = jobs.setdefault(job, {"batch_sizes": {}, "rounds": [], "summary": {}})
            contest(args, Path(place), prompts[job], made)


if __name__ == "__main__":
    main()
