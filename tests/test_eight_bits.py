"""What docs/eight-bits.md claims comes from committed results."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark as a module; what it imports from its folder does not stay."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for name in {"record", "stand_ins", "weights"} - before:
        sys.modules.pop(name, None)
    return module


def test_the_table_is_made_from_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is typed by hand; else run the benchmark with --page."""
    module = load("vllm_check", monkeypatch)
    result = json.loads((RESULTS / "vllm.json").read_text(encoding="utf-8"))
    assert module.PAGE.read_text(encoding="utf-8") == module.page(result)


def test_int8_was_faster_on_the_recorded_machine() -> None:
    """The page says that int8 pays on a CPU: never slower than BF16 or float32, and well faster at writing one text."""
    rows = json.loads((RESULTS / "weights.json").read_text(encoding="utf-8"))["results"]["int8 350m"]["results"]
    assert all(ratio > 1 for row in rows.values() for ratio in row["int8_against"].values())
    assert rows["write 1"]["int8_against"]["bfloat16"] > 1.2


def test_vllm_computes_what_hala_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says which schemes vLLM loaded, that its logits are ours but for rounding, and where they are not."""
    rows = json.loads((RESULTS / "vllm.json").read_text(encoding="utf-8"))["results"]
    assert len(rows) == 8
    for name, row in rows.items():
        if name.endswith("fp8-block"):
            assert row["loads"] or "AMX" in row["error"]
        else:
            assert row["loads"]
            assert "random float32" in row["cases"]
    assert load("vllm_check", monkeypatch).failures(rows) == []
    # The page warns of one mode; when a new vLLM computes that right, the warning goes.
    broken = rows["lfm2 bf16"]["cases"]["random float32 eager"]
    assert broken["difference"] > 1000 * broken["rounding"]
