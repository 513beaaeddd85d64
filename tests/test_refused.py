"""A command that is refused leaves nothing behind: no folder, no lock, no mark, and what was there before is as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Hala = Callable[..., Any]


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes and every folder, hidden ones too."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@contextmanager
def nothing_changes(folder: Path) -> Iterator[None]:
    """What the block does to the folder is nothing."""
    before = everything(folder)
    yield
    assert everything(folder) == before


@pytest.fixture
def named(tmp_path: Path, tiny: Path, chats_file: Path, pairs_file: Path) -> dict[str, str]:
    """Words of commands and what they stand for: good things and bad ones."""
    for name in ("pickled", "coded", "torn", "wide"):
        shutil.copytree(tiny, tmp_path / name)
    (tmp_path / "pickled/model.safetensors").rename(tmp_path / "pickled/pytorch_model.bin")
    config = json.loads((tiny / "config.json").read_text())
    (tmp_path / "coded/config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    (tmp_path / "torn/model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes()[:-1000])
    (tmp_path / "wide/config.json").write_text(json.dumps({**config, "vocab_size": 999}))
    (tmp_path / "broken.jsonl").write_text("{broken\n" * 5)
    (tmp_path / "first.yaml").write_text(f"steps: {{a: {{compress: {{model: {tmp_path}/coded}}}}}}\n")
    names = {name.upper(): str(tmp_path / name) for name in ("pickled", "coded", "torn", "wide")}
    names |= {"TINY": str(tiny), "CHATS": str(chats_file), "PAIRS": str(pairs_file), "BROKEN": str(tmp_path / "broken.jsonl")}
    return names | {"NONE": str(tmp_path / "none"), "RECIPE": str(tmp_path / "first.yaml")}


COMMANDS = [
    "compress NONE",
    "compress no-such/model/name",
    "compress PICKLED",
    "compress CODED",
    "compress TORN",
    "compress TINY --scheme fp9",
    "compress TINY --keep re:nothing_like_it",
    "compress TINY --set ignore=re:.*",
    "compress TINY --set recovery.pairs=NONE",
    "merge TINY NONE",
    "merge TINY CODED",
    "merge TINY TORN --t search --questions NONE",
    "merge TINY TINY --t 2",
    "merge TINY TINY --t search --pairs BROKEN",
    "export NONE",
    "export PICKLED --format hf",
    "export TINY --quant q9",
    "export TINY --format hf --quant q4_0",
    "tune --base NONE --data CHATS",
    "tune --base CODED --data CHATS",
    "tune --base TINY --data BROKEN",
    "evaluate TINY",
    "evaluate NONE --pairs PAIRS",
    "translate CHATS --model NONE",
    "translate CHATS --model CODED",
    "translate BROKEN --engine echo",
    "filter NONE",
    "filter BROKEN",
    "release CODED",
    "run RECIPE",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_refused_command_leaves_nothing(hala: Hala, tmp_path: Path, named: dict[str, str], command: str) -> None:
    """Whatever is wrong with model, data or settings, the disk is as it was: for a new --out, a deep one, an empty folder."""
    verb, *rest = command.split()
    words = [verb, *(("=".join(named.get(part, part) for part in word.split("="))) for word in rest)]
    (tmp_path / "mine").mkdir()
    for out in ("out", "deep/er/out", "mine"):
        with nothing_changes(tmp_path):
            answer = hala(*words, "--out", tmp_path / out)
        assert answer.code in (2, 4) and "our bug" not in answer.err, answer


def test_refused_beside_finished_work_touches_nothing(hala: Hala, tmp_path: Path, named: dict[str, str]) -> None:
    """A finished folder survives a drift, another verb and a foreign folder survives everything, byte for byte."""
    assert hala("compress", named["TINY"], "--out", tmp_path / "small").code == 0
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/text").write_text("years of work")
    for words in (
        ("compress", named["TINY"], "--scheme", "int8-dynamic"),
        ("export", named["TINY"]),
        ("compress", named["CODED"]),
    ):
        for out in ("small", "thesis"):
            with nothing_changes(tmp_path):
                assert hala(*words, "--out", tmp_path / out).code in (2, 4)
