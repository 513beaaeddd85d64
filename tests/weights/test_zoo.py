"""Some 380 hostile checkpoints: every verb that reads one refuses it at once, with a clear message and nothing written.

`zoo.py` makes and tries them all in one subprocess; here each is judged. Seconds are those of the processor, so that a busy
machine is no failure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hala.errors import HalaError, InputError
from hala.weights.planning import read_shapes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from zoo import ATTACKS, CONTROLS  # noqa: E402
from zoo_tools import EVERY_VERB, Attack  # noqa: E402

SECONDS, MEGABYTES, LETTERS = 1.0, 300, 1000
CLASSES = ("InputError", "CorruptError", "RecipeError")

Lines = dict[str, dict[str, dict[str, Any]]]  # attack -> verb -> what became of it


@pytest.fixture(scope="module")
def lines() -> Iterator[Lines]:
    """What the zoo wrote down, in homes of its own so that anything written is seen."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)  # some attacks are tried as a user without rights
        (root / "home").mkdir()
        (root / "tmp").mkdir()
        homes = {"HF_HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
        quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, str(HERE / "zoo.py"), place]
        run = subprocess.run(command, env=os.environ | homes | quiet, cwd=root, capture_output=True, text=True, timeout=280)
        assert run.returncode == 0, run.stderr[-2000:]
        found: Lines = {}
        for line in map(json.loads, run.stdout.splitlines()):
            found.setdefault(line["attack"], {})[line["verb"]] = line
        yield found


@pytest.mark.parametrize("verb", EVERY_VERB)
@pytest.mark.parametrize("control", CONTROLS)
def test_benign_checkpoints_pass(control: str, verb: str, lines: Lines) -> None:
    """What the hostile ones are made from passes, as do links within a folder and the hub's cache, so refusing is no accident."""
    line = lines[f"control: {control}"][verb]
    assert line["error"] is None, line
    assert bool(line["left"]) == ("load" not in verb)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: ascii(attack.name)[1:-1])
def test_hostile_checkpoints_are_refused(attack: Attack, lines: Lines) -> None:
    """A hostile checkpoint is one clear error of every verb, in under a second and 300 MB, with nothing written."""
    found = lines[attack.name]
    if skipped := found.get("", {}).get("skipped"):
        pytest.skip(skipped)
    for verb in attack.verbs:
        line = found[verb]
        assert line["error"] in CLASSES, f"{verb}: {line}"
        assert attack.names in line["message"] + line["fix"], f"{verb} names another place: {line['message']}"
        assert line["fix"], f"{verb} leaves no way out: {line['message']}"
        assert (line["message"] + line["fix"]).isprintable() and len(line["message"]) < LETTERS
    for verb, line in ((verb, found[verb]) for verb in EVERY_VERB if verb in found):
        assert line["error"] is None or line["expected"], f"{verb}: {line}"
        assert line["cpu"] < SECONDS and line["rise"] < MEGABYTES, f"{verb}: {line}"
        assert not line["left"], f"{verb} wrote {line['left']}"


def test_no_two_attacks_are_the_same(lines: Lines) -> None:
    """The number of attacks is honest: each has a name of its own, and no two make the same files."""
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 120
    made = {name: found["made"]["digest"] for name, found in lines.items() if "made" in found}
    first = {digest: name for name, digest in reversed(made.items())}
    assert not [f"{name} = {first[digest]}" for name, digest in made.items() if first[digest] != name]


@pytest.mark.parametrize("name", ["10^12 layers", "auto_map", "deep objects", "pipe", "a terabyte", "link to zeros"])
def test_plans_refuse_hostile_configs(name: str, tmp_path: Path) -> None:
    """A plan needs no weights, and a config alone is looked at as closely as one with weights."""
    attack = next(attack for attack in ATTACKS if attack.name == f"config.json: {name}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").touch()  # some attacks lay it elsewhere
    attack.spoil(tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        read_shapes(tmp_path / "model")


@pytest.mark.parametrize("text", ["\x1b]0;owned\x07", "a\rb", "\x9b31m", "a\u202eb", "\ud800"])
def test_errors_escape_what_moves_the_cursor(text: str) -> None:
    """Names from a checkpoint cannot rewrite what the terminal shows."""
    error = HalaError(f"{text}.", text)
    assert error.message == f"{ascii(text)[1:-1]}." and str(error).isprintable()
    assert str(HalaError("اللغة العربية")) == "اللغة العربية"
