"""What an evaluation keeps to go on with: a real SIGKILL, a torn line, another model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hala.artifacts import SCRATCH, list_files
from hala.staging import unfinished
from hala.verbs.answered import Answered, model_digest

QUESTIONS, KILLS = 600, 2


def start(model: Path, questions: Path, out: Path) -> subprocess.Popen[bytes]:
    """An evaluation of many small batches, in a process group of its own."""
    words = [sys.executable, "-m", "hala", "evaluate", str(model), "--questions", str(questions), "--out", str(out)]
    settings = ["--set", "batch_tokens=64", "--set", "dtype=float32", "--set", "resamples=100", "--set", "profile=strict"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HALA_HOME": str(out.parent / "home")}
    return subprocess.Popen(
        [*words, *settings], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Waits for the end, which must be a good one."""
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said.decode()


def kept(out: Path) -> bytes:
    """All that is kept so far."""
    return b"".join(file.read_bytes() for file in sorted((unfinished(out) / SCRATCH / "answers").glob("*.jsonl")))


def test_killed_it_goes_on_with_what_it_has(tmp_path: Path, tiny: Path) -> None:
    """No finished batch is computed again, and the files are those of an undisturbed run to the byte."""
    source = tmp_path / "questions.jsonl"
    rows = [
        {"question": f"{n}: is {n} more than {7 * n % 11}, or {n * n}?", "options": ["yes", "no", str(n)], "answer": n % 3}
        for n in range(QUESTIONS)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    finish(start(tiny, source, tmp_path / "calm"))
    out, before = tmp_path / "killed", b""
    for _ in range(KILLS):
        process = start(tiny, source, out)
        while kept(out).count(b"\n") < before.count(b"\n") + 5 and process.poll() is None:
            time.sleep(0.001)
        assert process.poll() is None, "it was done before the shot"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        after = kept(out)
        whole = before[: before.rfind(b"\n") + 1]  # but for a line that the kill cut off
        assert after.startswith(whole)
        batches = [json.loads(line)["batch"] for line in after.split(b"\n")[:-1]]
        assert len(set(batches)) == len(batches)
        before = after
    finish(start(tiny, source, out))
    calm, disturbed = (
        {name: entry["xxh128"] for name, entry in list_files(tmp_path / each).items()} for each in ("calm", "killed")
    )
    assert calm == disturbed and "records.jsonl" in calm


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    """What a kill cut off is neither believed nor in the way of what comes after it."""
    first = Answered(tmp_path, {"model": "a"})
    first.keep("0", [[-0.1, -2.5]])
    with first.file.open("a", encoding="utf-8") as stream:
        stream.write('{"batch": "1", "su')
    second = Answered(tmp_path, {"model": "a"})
    assert second.known == {"0": [[-0.1, -2.5]]}
    second.keep("1", [[-1.0]])
    assert Answered(tmp_path, {"model": "a"}).known == {"0": [[-0.1, -2.5]], "1": [[-1.0]]}


def test_another_model_starts_anew(tmp_path: Path, tiny: Path, tiny_child: Path) -> None:
    """Answers of a model are no other's, whatever the two are called."""
    assert model_digest(str(tiny)) == model_digest(str(tiny)) != model_digest(str(tiny_child))
    Answered(tmp_path, {"model": "a"}).keep("0", [[-0.1]])
    assert Answered(tmp_path, {"model": "b"}).known == {}
