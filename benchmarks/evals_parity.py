"""Whether hala, lighteval and lm-eval find the same log-probabilities: tiny float32 models, rows of every benchmark and subset.

    OMP_NUM_THREADS=1 PYTHONPATH=src LIGHTEVAL_PYTHON benchmarks/evals_parity.py --data FOLDER --lm-eval PYTHON

LIGHTEVAL_PYTHON has lighteval 0.13 and what hala needs, PYTHON lm-eval 0.4.13. The rows are those of lighteval_check.py here
in every subset of their benchmark, and of the translated MMLU every fortieth; asked plain and as chats. Adds `parity` to
benchmarks/results/evals.json: the largest difference of a log-probability, and how often another option is the best.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from lighteval_check import rows_of, theirs
from record import RESULTS

from evals import difference
from hala.evals.benchmarks import BENCHMARKS, read
from hala.evals.profiles import PROFILES, render
from hala.evals.scoring import score
from hala.training.tokenizer import train_tokenizer
from hala.weights.loading import load_model, new_lfm2, save_model


def asked(data: Path) -> dict[str, list[tuple[Any, Any]]]:
    """(item, lighteval's document) by benchmark."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for name, rows in rows_of(data).items():
        benchmark = BENCHMARKS[name]
        rows = rows[:: 40 if len(rows) > 1000 else 1]
        real = len(rows) > 10  # real rows are of one subset, written ones are put into each
        subsets = benchmark.subsets[:1] if real else benchmark.subsets
        reading = read(benchmark, lambda _, subset, rows=rows, subsets=subsets: rows if subset in subsets else [])  # type: ignore[misc]
        kept = [rows[int(item.question.id.rpartition("/")[2])] for item in reading.items]
        found[name] = [(item, theirs(name, row)) for item, row in zip(reading.items, kept, strict=True)]
    return found


def tiny(kind: str, tokenizer: Any, folder: Path) -> Path:
    """A random float32 checkpoint whose weights are wide enough for options to differ."""
    torch.manual_seed(5)
    ids = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    if kind == "lfm2":
        model = new_lfm2(
            vocab_size=len(tokenizer),
            hidden_size=64,
            num_layers=4,
            ff_size=128,
            num_heads=4,
            kv_heads=2,
            max_positions=4096,
            **ids,
        )
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=4096, **{f"{name}_token_id": number for name, number in ids.items()},
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3)
    save_model(model.float(), tokenizer, folder / kind, "float32")
    return folder / kind


def by_lighteval(checkpoint: Path, docs: list[Any], chat: bool) -> list[list[float]]:
    """lighteval's log-probabilities of each document's choices."""
    from lighteval.models.transformers.transformers_model import TransformersModel, TransformersModelConfig

    config = TransformersModelConfig(
        model_name=str(checkpoint),
        dtype="float32",
        batch_size=32,
        device="cpu",
        override_chat_template=chat,
        model_parallel=False,
    )
    return [[float(value) for value in each.logprobs] for each in TransformersModel(config)._loglikelihood_tokens(docs)]


def by_lm_eval(python: str, checkpoint: Path, items: list[Any], folder: Path) -> list[list[float]]:
    """lm-eval's log-probabilities of the labels after the same plain prompts."""
    prompts = [render(PROFILES["lighteval-0.11"], item) for item in items]
    file = folder / "prompts.json"
    file.write_text(json.dumps([{"text": each.text, "continuations": each.continuations} for each in prompts]), encoding="utf-8")
    command = [python, "-W", "ignore", str(Path(__file__).with_name("evals_turn.py")), "lm-eval", str(checkpoint), str(file)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*command, "float32", "16"], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])["logprobs"]
    return found


def main() -> None:
    """Compare, print and store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lm-eval", required=True)
    parser.add_argument("--out", type=Path, default=RESULTS / "evals.json")
    args = parser.parse_args()
    sets = asked(args.data)
    tokenizer = train_tokenizer((render(PROFILES["oall-v2"], item).text for each in sets.values() for item, _ in each), 2000)
    parity: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for kind in ("lfm2", "llama"):
            checkpoint = tiny(kind, tokenizer, Path(place))
            loaded = load_model(checkpoint, "float32", "cpu")
            for chat in (False, True):
                for name, pairs in sets.items():
                    items = [item for item, _ in pairs]
                    profile = PROFILES["lighteval-0.11-chat" if chat else "lighteval-0.11"]
                    mine = [list(answer.logprobs) for answer in score(loaded, items, profile)]
                    others = {"lighteval": by_lighteval(checkpoint, [doc for _, doc in pairs], chat)}
                    if not chat:
                        others["lm-eval"] = by_lm_eval(args.lm_eval, checkpoint, items, Path(place))
                    for tool, values in others.items():
                        about = {"rows": len(items), "subsets": len({item.subset for item in items})} | difference(mine, values)
                        parity.setdefault(tool, {})[f"{kind} {name}{' chat' if chat else ''}"] = about
                        print(tool, kind, name, "chat" if chat else "plain", about, flush=True)
    result = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    args.out.write_text(json.dumps(result | {"parity": parity}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
