"""The zoo: every hostile checkpoint is made, handed to every verb that reads checkpoints, and what became of it is written down.

    python tests/weights/zoo.py FOLDER      # one JSON line for each attack and verb

Attacks are tried in a process forked when everything is imported, with little room, so that one that hangs, crashes or eats
memory takes nothing with it but that process; the next one gets another. `test_zoo.py` runs this and judges the lines.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zoo_folders
import zoo_headers
import zoo_indexes
import zoo_settings
from zoo_tools import INDEX, SHARDS, Attack, benign

ATTACKS = [*zoo_headers.ATTACKS, *zoo_indexes.ATTACKS, *zoo_folders.ATTACKS, *zoo_settings.ATTACKS]
PATIENCE = 60  # seconds of silence after which an attack counts as hanging
SLOW, TRIES = 0.4, 4  # processor seconds after which an attack is tried again: on a busy machine the least is the truest
ROOM = 2**30  # bytes of address space that attacks may ask for; none gets a machine to swap
NOBODY = 65534

Verb = Callable[[Path, Path, Path], Any]  # the checkpoint, a benign one, a path to write to


def verbs() -> dict[str, Verb]:
    """The verbs that read checkpoints."""
    from hala.weights.compress import compress
    from hala.weights.gguf import export
    from hala.weights.loading import load_model, load_tokenizer
    from hala.weights.merge import merge

    return {
        "compress": lambda model, _, out: compress(model, out),
        "merge base": lambda model, other, out: merge(model, other, out),
        "merge tuned": lambda model, other, out: merge(other, model, out),
        "export": lambda model, _, out: export(model, out),
        "load_model": lambda model, *_: load_model(model, "float32", "cpu"),
        "load_tokenizer": lambda model, *_: load_tokenizer(model),
    }


def cached(folder: Path) -> Path:
    """A benign checkpoint as the hub's cache keeps it: links to files named by their content."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / ("0" * 40)
    benign(blobs)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(blobs.iterdir())):
        blob = file.rename(blobs / f"{number:064x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
    return snapshot


def linked(folder: Path) -> Path:
    """A benign checkpoint with links that stay within it, reached through a link."""
    benign(folder / "real", sharded=True)
    (folder / "real/old").mkdir()
    for file in (SHARDS[1], "config.json"):
        (folder / "real" / file).rename(folder / "real/old" / file)
        (folder / "real" / file).symlink_to(f"old/{file}")
    (folder / "link").symlink_to("real")
    return folder / "link"


def both(folder: Path) -> Path:
    """A benign checkpoint with what often lies beside the weights: pickles, a lying total, a pipe-free crowd of other files."""
    benign(folder, sharded=True)
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | {"metadata": {"total_size": 2 * index["metadata"]["total_size"]}}))
    for name in ("training_args.bin", "optimizer.pt", "README.md", ".gitattributes"):
        (folder / name).write_bytes(b"x")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": None, "time_step_limit": [0.0, float("inf")]}))
    return folder


CONTROLS: dict[str, Callable[[Path], Path]] = {
    "one file": benign,
    "two shards": lambda folder: benign(folder, sharded=True),
    "hub cache": cached,
    "links within": linked,
    "odds and ends": both,
}


def main(root: Path) -> None:
    """Tries the controls, which also imports everything, then every attack."""
    readers = verbs()
    other = benign(root / "other", seed=1)
    for name, make in CONTROLS.items():
        cage = root / "control"
        model = make(cage / "model")
        (cage / "out").mkdir()
        for verb, call in readers.items():
            report(attempt(f"control: {name}", verb, call, model, other, cage))
        shutil.rmtree(cage)
    waiting = list(ATTACKS)
    while waiting:
        waiting = waiting[watch(waiting, readers, other, root) :]


def watch(attacks: Sequence[Attack], readers: dict[str, Verb], other: Path, root: Path) -> int:
    """Tries attacks in a process of their own until one silences or kills it, which is reported: how many were tried."""
    mine, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(mine)
            os.dup2(theirs, 1)
            confine()
            gc.freeze()  # what is imported is not looked at again
            for attack in attacks:
                attack_all(attack, readers, other, root)
        finally:
            os._exit(0)
    os.close(theirs)
    told = b""
    while select.select([mine], [], [], PATIENCE)[0] and (more := os.read(mine, 1 << 20)):
        told += more
        sys.stdout.write(more.decode())
        sys.stdout.flush()
    os.close(mine)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines = [json.loads(line) for line in told.splitlines()]
    done = sum(line["verb"] == "done" for line in lines)
    if not lines or lines[-1]["verb"] != "done":
        report({"attack": attacks[done].name, "verb": lines[-1]["verb"] if lines else "", "error": "the process hung or crashed"})
        done += 1
    return done


def confine() -> None:
    """Gives this process little memory to ask for."""
    if os.path.exists("/proc/self/statm"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)


def attack_all(attack: Attack, readers: dict[str, Verb], other: Path, root: Path) -> None:
    """Makes the checkpoint and tries every verb that it is meant for, and `load_tokenizer`, which may pass but not hang."""
    cage = root / "cage"
    shutil.rmtree(cage, ignore_errors=True)
    model = benign(cage / "model", attack.sharded)
    (cage / "out").mkdir()
    try:
        model = attack.spoil(model) or model
    except PermissionError as error:  # only root makes devices
        report({"attack": attack.name, "verb": "", "skipped": str(error)})
        readers = {}
    report({"attack": attack.name, "verb": "made", "digest": digest(cage, model)})
    if attack.unprivileged and (root_user := not os.geteuid()):
        os.seteuid(NOBODY)
    for verb in [verb for verb in readers if verb in attack.verbs or verb == "load_tokenizer"]:
        report({"attack": attack.name, "verb": f"begin {verb}"})
        lines = [attempt(attack.name, verb, readers[verb], model, other, cage)]
        while lines[-1]["cpu"] > SLOW and len(lines) < TRIES:
            lines.append(attempt(attack.name, verb, readers[verb], model, other, cage))
        report(lines[0] | {"cpu": min(line["cpu"] for line in lines)})
    if attack.unprivileged and root_user:
        os.seteuid(0)
    report({"attack": attack.name, "verb": "done"})


def attempt(name: str, verb: str, call: Verb, model: Path, other: Path, cage: Path) -> dict[str, Any]:
    """What became of one attack on one verb: the error, CPU seconds, MB of memory, and what it left behind."""
    from hala.errors import HalaError

    gc.collect()
    before, memory, start = listed(cage), forget_peak(), time.process_time()
    error: BaseException | None = None
    try:
        call(model, other, cage / "out" / verb.replace(" ", "-"))
    except BaseException as caught:
        error = caught
    seconds, rise = time.process_time() - start, peak() - memory
    left = sorted(listed(cage) - before)
    for path in left if name.startswith("control") else []:
        if path.count("/") == 1 and path.startswith("out/"):
            shutil.rmtree(cage / path) if (cage / path).is_dir() else (cage / path).unlink()
    message, fix = (error.message, error.fix) if isinstance(error, HalaError) else (repr(error)[:2000], "")
    return {
        "attack": name,
        "verb": verb,
        "error": type(error).__name__ if error else None,
        "expected": isinstance(error, HalaError),
        "message": message,
        "fix": fix,
        "cpu": seconds,
        "rise": rise,
        "left": left[:5],
    }


def listed(cage: Path) -> set[str]:
    """Everything below the cage and the homes that libraries write to."""
    found = set()
    for root in (cage, Path(os.environ["HF_HOME"]), Path(os.environ["TMPDIR"])):
        for folder, folders, files in os.walk(root):
            found |= {os.path.relpath(os.path.join(folder, name), root) for name in (*folders, *files)}
    return found


def peak() -> float:
    """The most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def digest(cage: Path, model: Path) -> str:
    """What tells two hostile checkpoints apart: the path given, and every name, kind, link, right, size and first megabyte."""
    found = hashlib.sha256(str(model.relative_to(cage) if model.is_relative_to(cage) else model).encode())
    for path in sorted(listed(cage)):
        file = cage / path
        status = file.lstat() if os.path.lexists(file) else os.stat_result(range(10))
        link = os.readlink(file) if file.is_symlink() else ""
        content = file.open("rb").read(1 << 20) if not link and file.is_file() else b""
        found.update(f"{path!r} {status.st_mode} {status.st_size if content else 0} {link!r} ".encode() + content)
    return found.hexdigest()


def forget_peak() -> float:
    """The memory that this process holds now, in MB, which becomes its peak where the system can do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def report(line: dict[str, Any]) -> None:
    """One JSON line, at once."""
    os.write(1, (json.dumps(line) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
