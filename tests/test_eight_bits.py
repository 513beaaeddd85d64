"""What docs/eight-bits.md claims comes from committed results."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def test_the_table_is_made_from_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is typed by hand; else run benchmarks/int8.py --page."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location("benchmarks_int8", ROOT / "benchmarks" / "int8.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in {"record", "stand_ins", "weights"} - before:
        sys.modules.pop(name, None)
    result = json.loads((RESULTS / "int8.json").read_text(encoding="utf-8"))
    assert module.PAGE.read_text(encoding="utf-8") == module.page(result)


def test_int8_was_faster_on_the_recorded_machine() -> None:
    """The page says that int8 pays on a CPU: never slower than BF16 or float32, and well faster at writing one text."""
    rows = json.loads((RESULTS / "int8.json").read_text(encoding="utf-8"))["results"]
    assert all(ratio > 1 for row in rows.values() for ratio in row["int8_against"].values())
    assert rows["write 1"]["int8_against"]["bfloat16"] > 1.2


def test_vllm_reads_what_is_written() -> None:
    """The page says which schemes vLLM loaded, and that its greedy tokens were ours."""
    rows = json.loads((RESULTS / "vllm.json").read_text(encoding="utf-8"))["results"]
    assert len(rows) == 8
    for name, row in rows.items():
        if name.endswith("fp8-block"):
            assert row["loads"] or "AMX" in row["error"]
        else:
            assert row["loads"]
            assert row.get("equal_answers") == row.get("answers")
