"""Questions shared by several processes, one a GPU: each computes its batches of one fixed plan, so their number changes no bit.

The questions go to the workers in a file, their answers come back in journals beside the step's own (`answered`), from which the
step then takes them as it would after a kill.

    python -m hala.verbs.question_workers JOB 0      # one worker, started by the step
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hala.artifacts import digest_of, write_json
from hala.errors import EngineError, HalaError
from hala.recipe import Evaluate
from hala.verbs import Context
from hala.verbs.answered import Answered, computed_by
from hala.verbs.sheet import Contestant
from hala.verbs.workers import check_devices, end_with_parent, tell_error, told_error

FOLDER = "questions"  # below the step's scratch folder
Sets = Sequence[tuple[str, Sequence[Any]]]
"""(name, rendered prompts) of each set."""


def answer_all(settings: Evaluate, context: Context, model: Contestant, digest: str, sets: Sets) -> None:
    """Has `settings.processes` workers answer every set by this model, into the journals of `context.scratch`.

    Raises what a worker raised, or EngineError when one died.
    """
    import torch

    from hala.weights.hub import fetch

    check_devices(settings.processes)
    folder = context.scratch / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("error-*.json"):
        old.unlink()
    job = folder / "job.json"
    content = {"model": str(fetch(model.where)), "digest": digest, "dtype": settings.dtype, "batch_tokens": settings.batch_tokens}
    content |= {"processes": settings.processes, "answers": str((context.scratch / "answers").resolve())}
    write_json(job, content | {"sets": [[name, [asdict(prompt) for prompt in prompts]] for name, prompts in sets]})
    # As many threads as here, for the order of sums hangs on them.
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONUNBUFFERED": "1"}
    with (folder / "workers.log").open("w", encoding="utf-8") as log:
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "hala.verbs.question_workers", str(job), str(rank)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL, stderr=log, text=True,
                encoding="utf-8", env=environment,
            )
            for rank in range(settings.processes)
        ]  # fmt: skip
        try:
            _watch(workers, context)
        finally:
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.close()  # whoever still works ends now
                worker.wait()
                if worker.stdout is not None:
                    worker.stdout.close()
    if any(worker.returncode for worker in workers):
        codes = ", ".join(str(worker.returncode) for worker in workers)
        raise told_error(folder) or EngineError(
            f"A process that answers questions ended without a result (exit codes {codes}).",
            f"{folder / 'workers.log'} has its last words; the same command goes on.",
        )


def _watch(workers: Sequence[subprocess.Popen[str]], context: Context) -> None:
    """Shows the first one's progress until all are done, or one has failed."""
    assert workers[0].stdout is not None
    for line in workers[0].stdout:
        try:
            done, total, name = json.loads(line)
        except ValueError:
            continue  # some library printed it
        context.progress.update(done, total, "questions", name)
        if any(worker.poll() for worker in workers):
            return
    for worker in workers:
        worker.wait()


def answers_of(folder: Path, loaded: tuple[Any, Any], digest: str, prompts: Sequence[Any], batch_tokens: int) -> Answered:
    """The journal of one set by one model, whoever wrote it."""
    about = computed_by(loaded, batch_tokens) | {"model": digest, "prompts": digest_of([asdict(prompt) for prompt in prompts])}
    return Answered(folder, about)


def main(job: Mapping[str, Any], rank: int) -> None:
    """One worker: its share of the batches of every set."""
    import torch

    from hala.evals.likelihood import log_probabilities
    from hala.weights.loading import load_model

    device = f"cuda:{rank}" if torch.cuda.is_available() else "cpu"
    loaded = load_model(job["model"], job["dtype"], device, native=True)
    for name, told in job["sets"]:
        prompts = [_prompt(each) for each in told]
        mine = answers_of(Path(job["answers"]), loaded, job["digest"], prompts, job["batch_tokens"]).of_worker(rank)
        share = (rank, job["processes"])
        show = functools.partial(_tell, name)
        log_probabilities(
            loaded, prompts, batch_tokens=job["batch_tokens"], known=mine.known, keep=mine.keep, share=share, progress=show
        )


def _prompt(told: Mapping[str, Any]) -> Any:
    """A rendered prompt as it was before it was written into the job."""
    from hala.evals.profiles import Prompt
    from hala.records import Message

    turns = tuple(Message(**turn) for turn in told["messages"])
    return Prompt(**{**told, "messages": turns, "continuations": tuple(told["continuations"])})


def _tell(name: str, done: int, total: int) -> None:
    print(json.dumps([done, total, name]), flush=True)


def _start(file: Path, rank: int) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        main(json.loads(file.read_text(encoding="utf-8")), rank)
    except HalaError as error:
        tell_error(file.parent, rank, error)
        raise SystemExit(1) from None


if __name__ == "__main__":
    _start(Path(sys.argv[1]), int(sys.argv[2]))
