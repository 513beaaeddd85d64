"""Figures in README and docs come from committed results and from nowhere else."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _record():
    spec = importlib.util.spec_from_file_location("record", ROOT / "benchmarks" / "record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_show_the_committed_results():
    """Protects README and docs from figures that no committed run has measured."""
    for page, text in _record().pages().items():
        assert page.read_text(encoding="utf-8") == text, f"run benchmarks/record.py --pages ({page.name})"


def test_the_page_of_ablations_shows_the_committed_results(monkeypatch):
    """Protects docs/ablations.md: its tables are those of the committed JSON."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    ablations_page = importlib.import_module("ablations_page")
    assert ablations_page.page() == ablations_page.PAGE.read_text(encoding="utf-8")


def test_results_name_no_host_or_user():
    """Protects privacy: a committed result says what the machine is like, not whose it is."""
    for file in (ROOT / "benchmarks/results").glob("*.json"):
        machine = json.loads(file.read_text(encoding="utf-8"))["machine"]
        assert set(machine) - {"python_of"} == {"cpu", "cores", "memory_gb", "system", "python"}


def test_the_recorded_weights_meet_their_promises():
    """Protects the claims on speed and memory: against llm-compressor, against mergekit, and against the disk alone."""
    results = json.loads((ROOT / "benchmarks/results/weights.json").read_text(encoding="utf-8"))["results"]
    for size in ("350m", "1.2b"):
        peer, kit = results[f"compress {size}"]["ratio"]["llm-compressor"], results[f"merge {size}"]["ratio"]["mergekit"]
        assert peer["seconds"] >= 5 and peer["mb"] >= 3 and min(results[f"compress {size}"]["rounds"].values()) >= 3
        assert kit["seconds"] >= 4 and kit["mb"] >= 4 and min(results[f"merge {size}"]["rounds"].values()) >= 3
    large, pair = results["compress 8gb"], results["merge 8gb"]
    assert large["limit_bytes"] <= 2e9 and large["ratio"]["cp"]["seconds"] >= 0.5
    # Not four times as fast as mergekit: the disk alone takes half of mergekit's time.
    assert pair["ratio"]["mergekit"]["seconds"] >= 1.5 and pair["ratio"]["mergekit"]["mb"] >= 4
    assert min(pair["ratio"]["cp"]["seconds"], pair["ratio"]["disk"]["seconds"]) >= 0.5


def test_the_recorded_quickstart_meets_its_promises():
    """Protects the claims of the README: the gain of the student, the loss in FP8, the Arabic gained by tuning."""
    facts = json.loads((ROOT / "benchmarks/results/quickstart.json").read_text(encoding="utf-8"))["steps"]
    translators, scores = (facts[name]["facts"]["scores"] for name in ("translators", "scores"))
    chrf = {(s["set"], s["model"]): s["value"] for s in translators if s["metric"] == "chrf++"}
    for name in {name for name, _ in chrf}:
        assert chrf[name, "student"] - chrf[name, "base"] >= 40
        assert abs(chrf[name, "fp8"] - chrf[name, "teacher"]) <= 0.5
    arabic = {s["model"]: s for s in scores if s["metric"] == "accuracy" and s["lang"] == "ar"}
    assert arabic["sft"]["delta"] >= 25
    assert arabic["sft"]["delta_low"] > 0
