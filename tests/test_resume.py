"""A real SIGKILL at many random moments: the continued run ends with the digests of a run that was never disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hala

KILLS = {"pairs": 4, "echoed": 4, "model": 4, "machine": 4, "fp8": 4, "child": 0, "merged": 4}

RECIPE = """\
name: resume
steps:
  pairs:
    filter: {{data: {{path: "{pairs}"}}, shard_rows: 2, gates: none}}
  echoed:
    translate: {{data: {{path: "{chats}"}}, engine: echo, shard_rows: 2}}
  model:
    tune:
      new: {{hidden_size: 32, layers: 2, ff_size: 64, heads: 2, kv_heads: 1, vocab_size: 320, max_positions: 128}}
      data: $pairs
      task: translation
      prompt: "{{text}}"
      batch_tokens: 128
      max_length: 64
      max_steps: 6
      save_steps: 2
      precision: float32
  machine:
    translate: {{data: {{path: "{chats}"}}, model: $model, gates: none, max_tokens: 6, retries: 0, shard_rows: 4, dtype: float32}}
  fp8:
    compress: {{model: $model, shard_bytes: 6000}}
  child:
    tune: {{base: $model, data: $echoed, task: chat, batch_tokens: 128, max_length: 64, max_steps: 2, precision: float32}}
  merged:
    merge: {{base: $model, tuned: $child, t: [0.25, 0.75], shard_bytes: 6000}}
"""

# Imports once, then forks a process for every attempt: a kill costs no start-up, and is a real SIGKILL to a process group.
DRIVER = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import torch, transformers, accelerate, pyarrow.parquet, safetensors.torch
import hala.engines.local, hala.training.trainer, hala.weights.loading, hala.weights.merge, hala.weights.compress
from hala import pipeline
from hala.progress import Progress
from hala.recipe_file import load

torch.set_num_threads(1)
recipe, calm, wild, plan = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])


def start(root, only):
    process = os.fork()
    if process:
        return process
    os.setsid()
    code = 1
    try:
        pipeline.run_recipe(load(recipe), root, pipeline.Choice(only=only), Progress(open(os.devnull, "w")))
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ends(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if ends(start(calm, None)):
    raise SystemExit("the undisturbed run failed")
chance, hits, resumes = random.Random(2025), {}, 0
for step, kills in plan.items():
    seconds = json.loads((calm / step / "manifest.json").read_text())["timings"]["seconds"]
    hits[step] = 0
    for _ in range(12 * kills):
        if hits[step] == kills:
            break
        resumes += (wild / step / "started.json").exists()
        process = start(wild, step)
        while not (wild / step / "started.json").exists():
            time.sleep(0.0005)
            if (wild / step / "manifest.json").exists():
                break
        time.sleep(chance.uniform(0, 0.8 * seconds))
        try:
            os.killpg(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        code = ends(process)
        if code == -signal.SIGKILL:
            hits[step] += not (wild / step / "manifest.json").exists()
        elif code:
            raise SystemExit(f"step {step} failed after {hits}")
        if (wild / step / "manifest.json").exists():
            shutil.rmtree(wild / step)  # too late: the step was finished, begin again
    if ends(start(wild, step)):
        raise SystemExit(f"step {step} failed in the end")
print(json.dumps({"hits": hits, "resumes": resumes}))
"""


def manifests(root: Path) -> dict[str, Any]:
    """Digest, files and counts of every step."""
    found = {}
    for step in KILLS:
        content = json.loads((root / step / "manifest.json").read_text(encoding="utf-8"))
        found[step] = {key: content[key] for key in ("digest", "files", "counts", "inputs", "fingerprint")}
    return found


@pytest.mark.timeout(900)  # half a minute on two free cores
def test_killed_at_random_moments_the_bytes_are_the_same(tmp_path: Path, pairs_file: Path, chats_file: Path) -> None:
    """Translate, filter, tune, compress and merge are killed at least 20 times, also while resuming; no byte differs."""
    recipe = tmp_path / "resume.yaml"
    recipe.write_text(RECIPE.format(pairs=pairs_file, chats=chats_file), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(hala.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    environment["TOKENIZERS_PARALLELISM"] = "false"
    words = [sys.executable, "-c", DRIVER, recipe, tmp_path / "calm", tmp_path / "wild", json.dumps(KILLS)]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, timeout=880)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    assert sum(result["hits"].values()) >= 20 and result["resumes"] >= 10, result
    assert all(result["hits"][step] >= 2 for step, kills in KILLS.items() if kills), result
    assert manifests(tmp_path / "wild") == manifests(tmp_path / "calm")
    left = [path.name for path in (tmp_path / "wild").rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".tmp")]
    assert not left and not list((tmp_path / "wild").rglob("started.json"))
