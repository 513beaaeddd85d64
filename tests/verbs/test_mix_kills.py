"""A real SIGKILL at random moments of a mix, in each of its passes: the same bytes as those of one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hala
from hala.artifacts import list_files

KILLS = int(os.environ.get("HALA_KILLS", "9"))

# Imports once, then forks a process for every attempt; prints which passes were hit, and how many attempts found work done.
DRIVER = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import transformers, pyarrow.parquet, rocksdict
import hala.verbs.mix, hala.weights.loading
from hala import pipeline
from hala.data import counting
from hala.progress import Progress

tokenizer, source, root, kills = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
counting.BLOCK = 500
parts = [{"data": source, "share": 0.4, "repeat": 2, "end": 0.7}, {"data": {"path": source, "skip": 1500}, "start": 0.2}]
settings = {"parts": parts, "tokenizer": tokenizer, "short_share": 0.3, "short_words": 9, "shard_rows": 200}


def start(out):
    process = os.fork()
    if process:
        return process
    os.setsid()
    code = 1
    try:
        pipeline.run_verb("mix", settings, out, Progress(open(os.devnull, "w")))
        code = 0
    finally:
        os._exit(code)


def ends(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def reached(out):
    if any((out / "rejected").glob("*.parquet")):
        return "writing"
    return "ordering" if (out / ".work/counted.json").exists() else "counting"


calm, wild, passes = root / "calm", root / "wild", ["counting", "ordering", "writing"]
began = time.monotonic()
if ends(start(calm)):
    raise SystemExit("the undisturbed mix failed")
seconds, chance, hits, resumes = time.monotonic() - began, random.Random(2), {}, 0
for number in range(2 * kills):
    if number % 6 == 0:
        shutil.rmtree(wild, ignore_errors=True)  # else nearly every attempt would find all of it done
    wanted = passes[number // 2 % 3]  # each twice, so that a continued pass is continued again
    resumes += (wild / ".work").exists()
    process = start(wild)
    while passes.index(reached(wild)) < passes.index(wanted) and not (wild / "manifest.json").exists():
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.15 * seconds))
    os.kill(process, signal.SIGKILL)
    if ends(process) == -signal.SIGKILL and not (wild / "manifest.json").exists():
        hits[reached(wild)] = hits.get(reached(wild), 0) + 1
    elif (wild / "manifest.json").exists():
        shutil.rmtree(wild)  # too late
    if sum(hits.values()) >= kills:
        break
if ends(start(wild)):
    raise SystemExit("the last attempt failed")
print(json.dumps({"hits": hits, "resumes": resumes}))
"""


@pytest.mark.timeout(600)
def test_killed_anywhere_the_mix_is_the_same(tmp_path: Path, tiny: Path) -> None:
    """Counting, ordering and writing are all hit; files and counts at the end are those of an undisturbed mix."""
    source = tmp_path / "rows.jsonl"
    with source.open("w", encoding="utf-8") as stream:
        for i in range(3000):
            stream.write(json.dumps({"id": str(i), "text": " ".join(f"word{i * k % 97}" for k in range(1, 6 + i % 60))}) + "\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(hala.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", DRIVER, str(tiny), str(source), str(tmp_path), str(KILLS)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    assert sum(result["hits"].values()) >= KILLS // 2 and len(result["hits"]) == 3 and result["resumes"] >= KILLS // 3, result
    assert list_files(tmp_path / "wild") == list_files(tmp_path / "calm")
    content = [json.loads((tmp_path / name / "manifest.json").read_text(encoding="utf-8")) for name in ("calm", "wild")]
    assert all(content[0][key] == content[1][key] for key in ("digest", "counts", "facts", "fingerprint"))
    assert not list((tmp_path / "wild").rglob("*.tmp")) and not (tmp_path / "wild/.work").exists()
