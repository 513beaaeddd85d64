"""tune in several processes of this machine: a job in a folder, torchrun's workers on it, and what they report.

The one idea: this process alone knows of runs, locks and manifests. The workers get a folder with examples and settings, train
one model together, and the first of them writes the checkpoint. They end when the pipe from here is closed, so none of them works
on in a folder whose run was killed.

>>> from hala.verbs.workers import run
>>> facts = run(folder, 8, progress.say, show)   # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala import errors
from hala.artifacts import write_json
from hala.errors import EngineError, HalaError, InputError
from hala.hardware import cpu_count

if TYPE_CHECKING:
    from hala.recipe import Tune
    from hala.training.examples import Example

PROCESSES = "HALA_PROCESSES"
"""A variable that overrides `processes` of every recipe: set where torchrun itself started hala."""
JOB, FACTS, LOG = "job.json", "facts.json", "workers.log"
Show = Callable[[int, int, float, float, float], None]


def check_devices(processes: int) -> None:
    """Nothing, or InputError when this machine has fewer GPUs than that; without any, the processes share the CPU."""
    import torch

    there = torch.cuda.device_count()
    if torch.cuda.is_available() and processes > there:
        raise InputError(f"{processes} processes need {processes} GPUs; {there} are visible.", "Lower `processes`.")


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """`.ids`, and raw int32: `.lengths`, and `.tokens` as (2, tokens) ids and labels. All workers map the same file."""
    import numpy as np

    lengths = np.array([len(example) for example in examples], dtype=np.int32)
    tokens = np.empty((2, int(lengths.sum(dtype=np.int64))), dtype=np.int32)
    end = 0
    for example in examples:
        start, end = end, end + len(example)
        tokens[0, start:end], tokens[1, start:end] = example.input_ids, example.labels
    lengths.tofile(path.with_suffix(".lengths"))
    path.with_suffix(".ids").write_text("\0".join(example.id for example in examples), encoding="utf-8")
    tokens.tofile(path.with_suffix(".tokens"))


def read_examples(path: Path) -> list[Example]:
    """What `write_examples` wrote, its tokens without a copy."""
    import numpy as np

    from hala.training.examples import Example

    ends = np.fromfile(path.with_suffix(".lengths"), dtype=np.int32).cumsum(dtype=np.int64).tolist()
    if not ends:  # an empty file cannot be mapped
        return []
    ids, labels = np.memmap(path.with_suffix(".tokens"), dtype=np.int32, mode="c", shape=(2, ends[-1]))
    spans = zip([0, *ends[:-1]], ends, strict=True)
    names = path.with_suffix(".ids").read_text(encoding="utf-8").split("\0")
    return [Example(name, ids[start:end], labels[start:end]) for name, (start, end) in zip(names, spans, strict=True)]


def write_job(
    settings: Tune,
    start: tuple[str, Any, Any],
    data: tuple[Sequence[Example], Sequence[Example]],
    places: tuple[Path, Path],
    about: dict[str, Any],
) -> Path:
    """A fresh folder with all that workers need: `start` is (base, model, tokenizer), the model None where the base has it.

    `places` are the folder of the checkpoint to write and that of what a resume needs, in which the job lies too.
    """
    from hala.verbs.tune import base_dtype
    from hala.weights.hub import fetch
    from hala.weights.loading import save_model

    (base, model, tokenizer), (out, scratch) = start, places
    folder = scratch / "job"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, examples in zip(("examples", "checks"), data, strict=True):
        write_examples(folder / name, examples)
    if model is not None:
        base = str(folder / "base")
        save_model(model, tokenizer, base, "float32")
    else:
        base = str(fetch(base, settings.revision))
    # Only what was set: a section may refuse keys that do nothing, even at their defaults.
    said = settings.model_dump(mode="json", exclude_unset=True)
    job = {"settings": said, "base": base, "dtype": base_dtype(settings), "about": about}
    write_json(folder / JOB, job | {"out": str(out.resolve()), "scratch": str(scratch.resolve())})
    return folder


def run(folder: Path, processes: int, say: Callable[[str], None], show: Show) -> dict[str, Any]:
    """The facts that the workers found; `show` gets their progress, `say` their warnings.

    Raises what a worker raised, or EngineError when one died.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    threads = str(max(1, cpu_count() // processes))
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads), "PYTHONUNBUFFERED": "1"}
    with (folder / LOG).open("w", encoding="utf-8") as log:
        workers = subprocess.Popen(
            [*command, "-m", "hala.verbs.workers", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip
        try:
            assert workers.stdout is not None
            for line in workers.stdout:
                _report(line, say, show)
            code = workers.wait()
        except BaseException:
            workers.terminate()
            raise
        finally:
            assert workers.stdin is not None
            workers.stdin.close()  # whoever still works ends now
            workers.wait()
            if workers.stdout is not None:
                workers.stdout.close()
    if code != 0:
        raise told_error(folder) or EngineError(
            f"A training process ended without a result (exit code {code}); {folder / LOG} has its last words.",
            "Mend what it says there, memory as a rule; the same command continues from the last checkpoint.",
        )
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return facts


def _report(line: str, say: Callable[[str], None], show: Show) -> None:
    try:
        content = json.loads(line)
    except ValueError:
        return  # some library printed it
    if isinstance(content, list) and len(content) == 5:
        show(*content)
    elif isinstance(content, str):
        say(content)


def tell_error(folder: Path, number: int, error: HalaError) -> None:
    """Leaves what ended worker `number` for whoever started it."""
    write_json(folder / f"error-{number}.json", [type(error).__name__, error.message, error.fix])


def told_error(folder: Path) -> HalaError | None:
    """What the first worker that could say why it failed said; None where none could."""
    for file in sorted(folder.glob("error-*.json")):
        kind, message, fix = json.loads(file.read_text(encoding="utf-8"))
        found: HalaError = getattr(errors, kind)(message, fix)
        return found
    return None


def main(folder: Path) -> None:
    """One worker: trains, and as the first one writes the checkpoint, the facts and the progress."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    number = int(os.environ["RANK"])
    try:
        facts = _work(json.loads((folder / JOB).read_text(encoding="utf-8")), folder, number == 0)
    except HalaError as error:
        tell_error(folder, number, error)
        raise SystemExit(1) from None
    if number == 0:
        write_json(folder / FACTS, facts)


def _work(job: dict[str, Any], folder: Path, first: bool) -> dict[str, Any]:
    from hala.recipe import Tune
    from hala.verbs.tune import learn
    from hala.weights.loading import load_model

    def tell(*content: Any) -> None:
        if first:
            print(json.dumps(content[0] if len(content) == 1 else content), flush=True)

    warnings.showwarning = lambda message, *_, **__: tell(str(message))
    settings = Tune.model_validate(job["settings"])
    start = load_model(job["base"], job["dtype"], revision=settings.revision if settings.new is None else None)
    data = (read_examples(folder / "examples"), read_examples(folder / "checks"))
    return learn(settings, start, data, (Path(job["out"]), Path(job["scratch"])), job["about"], tell)


def end_with_parent() -> None:
    """Waits for the end of the standard input, which is that of whoever started this process, and ends it too."""
    while os.read(0, 4096):  # not sys.stdin, whose lock this thread would hold when the interpreter ends
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
