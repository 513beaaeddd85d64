"""A real SIGKILL at every act on the disk: the folder of a command is absent or complete, and its bytes are always the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hala

# Imports once, then forks a process for every attempt: a kill costs no start-up. `acts` counts what the process does to the disk;
# before number `fatal` it kills itself.
DRIVER = """
import gc, json, os, shutil, signal, sys, threading
from pathlib import Path
from hala import artifacts, pipeline
from hala.progress import Progress
from hala.staging import unfinished

verb, settings, root, most = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])


def attempt(out, fatal):
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        code, acts, lock = 1, 0, threading.Lock()

        def deadly(real):
            def act(*arguments, **named):
                nonlocal acts
                with lock:
                    acts += 1
                    if acts == fatal:
                        os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)
            return act

        for name in ("replace", "rename", "fsync", "pwrite", "unlink", "rmdir", "mkdir"):
            setattr(os, name, deadly(getattr(os, name)))
        try:
            pipeline.run_verb(verb, settings, out, Progress(quiet=True))
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os.write(writer, str(acts).encode())
            os._exit(code)
    os.close(writer)
    with open(reader) as stream:
        acts = int(stream.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), acts


def content(out):
    manifest = artifacts.read_manifest(out)
    assert manifest is not None and artifacts.check_files(out, manifest, full=True) == [], out
    left = [path.name for path in out.rglob("*") if path.name.startswith(".") or path.name == "started.json"]
    assert set(left) <= {".lock"}, left  # the file of a lock that died with its holder
    return {**artifacts.list_files(out), "digest": manifest.digest}


pipeline.run_verb(verb, settings, root / "calm", Progress(quiet=True))  # imports all that the forks need
gc.freeze()  # so that a fork looks through its own objects alone
calm, out, absent, whole = content(root / "calm"), root / "wild", 0, 0
code, total = attempt(out, 0)
assert code == 0 and content(out) == calm, "the command counted through"
shutil.rmtree(out)
step = max(1, total // most)
for fatal in sorted({*range(1, total, step), *range(max(1, total - 12), total + 1)}):
    code, _ = attempt(out, fatal)
    if code not in (-signal.SIGKILL, 0):  # threads write a little differently each time, so the last number may not come
        raise SystemExit(f"act {fatal} of {total}: exit {code}")
    if out.exists():
        assert not unfinished(out).exists()
        whole += content(out) == calm and code == -signal.SIGKILL
    else:
        absent += 1
        assert code == -signal.SIGKILL
    code, _ = attempt(out, 0)
    assert code == 0 and content(out) == calm and not unfinished(out).exists(), fatal
    shutil.rmtree(out)
assert sorted(os.listdir(root)) == ["calm"], os.listdir(root)
print(json.dumps({"acts": total, "absent": absent, "whole": whole}))
"""
COMMANDS = {
    "compress": ("compress", {"model": "TINY", "shard_bytes": 6000}),
    "merge": ("merge", {"base": "TINY", "tuned": "CHILD", "shard_bytes": 60_000}),
    "merge of several t": ("merge", {"base": "TINY", "tuned": "CHILD", "t": [0.25, 0.75], "shard_bytes": 60_000}),
    "export hf": ("export", {"model": "TINY", "format": "hf", "dtype": "bfloat16", "shard_bytes": 60_000}),
    "export gguf": ("export", {"model": "TINY", "quant": "q8_0"}),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_any_act_the_folder_is_absent_or_complete(tmp_path: Path, tiny: Path, tiny_child: Path, name: str) -> None:
    """Killed at some 24 moments, among them each of the last twelve acts, `out` never holds a half; then the command ends."""
    verb, settings = COMMANDS[name]
    places = {"TINY": str(tiny), "CHILD": str(tiny_child)}
    given = {key: places.get(value, value) if isinstance(value, str) else value for key, value in settings.items()}
    environment = {**os.environ, "PYTHONPATH": str(Path(hala.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", DRIVER, verb, json.dumps(given), str(tmp_path / "made"), "12"]
    (tmp_path / "made").mkdir()
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["absent"] >= 12 and result["whole"] >= 1, result
