"""How far tuning turns each tensor, on real trainings of the small world, what rounding costs, and what a search for t finds.

    .venv/bin/python benchmarks/angles.py runs/angles

One base is tuned twice on Arabic questions: as large models usually are (AdamW at 2e-5) and as small ones are (Muon at 0.02).
Both are merged with the base; of the second a search picks t. Of the first, and of a tenth of its change, halfway merges in BF16
are compared with the one in float32. benchmarks/results/angles.json keeps all of it; docs/pictures.py draws from it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, machine

from hala import artifacts, pipeline
from hala.recipe_file import from_content
from hala.weights.checkpoint import Array, open_checkpoint
from hala.weights.merge import Mix, merge
from hala.weights.writer import to_json

FACTS = ["body", "capitals", "colors", "continents", "currencies", "days", "diets", "habitats", "legs", "months"]
BATCHES = {"batch_tokens": 1536, "max_length": 128}
MUON = {"optimizer": "muon", "learning_rate": 3e-3, "muon_learning_rate": 0.02}
CHATS = {"world": "conversations", "lang": "ar", "topics": FACTS}
ASKED = [{"world": "questions", "split": "heldout", "topics": FACTS, "lang": lang} for lang in ("ar", "en")]


def content() -> dict[str, Any]:
    """The recipe."""
    new = {"hidden_size": 160, "layers": 4, "ff_size": 448, "vocab_size": 4000}
    texts = {"world": "texts", "topics": FACTS, "arabic_share": 0.1}
    search = {"questions": ASKED, "t": [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]}
    search |= {"best": "world questions 10 topics ar", "keep": {"world questions 10 topics en": 10.0}}
    steps = {
        "base": {"tune": {"new": new, "data": texts, "task": "text", "epochs": 3, **MUON, "learning_rate": 4e-3, **BATCHES}},
        "gentle": {"tune": {"base": "$base", "data": CHATS, "learning_rate": 2e-5, "epochs": 3, **BATCHES}},
        "strong": {"tune": {"base": "$base", "data": CHATS, "epochs": 3, **MUON, **BATCHES}},
        "merged-gentle": {"merge": {"base": "$base", "tuned": "$gentle"}},
        "merged-strong": {"merge": {"base": "$base", "tuned": "$strong"}},
        "found": {"merge": {"base": "$base", "tuned": "$strong", "t": "search", "search": search}},
    }
    return {"name": "angles", "steps": steps}


def matrices(folder: Path) -> Array:
    """All matrices of a checkpoint in one row, in float64."""
    checkpoint = open_checkpoint(folder)
    parts = (checkpoint.read(name) for name, info in checkpoint.tensors.items() if len(info.shape) > 1)
    return np.concatenate([part.astype(np.float64).ravel() for part in parts])


def rounding(base: Path, tuned: Path, work: Path) -> dict[str, float]:
    """How far halfway merges in BF16 are from the one in float32, as shares of the change that the merge wanted.

    `files`: both ends rounded to BF16 first. `once`: float32 ends, the result rounded. `stochastic`: the same, rounded at random.
    """
    work.mkdir()
    for name, end in (("base", base), ("tuned", tuned)):
        merge(end, end, work / name, Mix(dtype="bfloat16"))
    merge(base, tuned, work / "exact", Mix(dtype="float32"))
    merge(base, tuned, work / "once", Mix(dtype="bfloat16"))
    merge(base, tuned, work / "stochastic", Mix(dtype="bfloat16", rounding="stochastic", seed=1))
    merge(work / "base", work / "tuned", work / "files")
    start, exact = matrices(base), matrices(work / "exact")
    change = float(np.linalg.norm(matrices(tuned) - start) / np.linalg.norm(start))
    wanted = np.linalg.norm(exact - start)
    ways = ("files", "once", "stochastic")
    return {"change": change} | {way: float(np.linalg.norm(matrices(work / way) - exact) / wanted) for way in ways}


def main() -> None:
    """Runs the recipe (or continues it) and writes benchmarks/results/angles.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    root = parser.parse_args().run
    pipeline.run_recipe(from_content(content()), root, pipeline.Choice(), pipeline.Progress())
    manifest = artifacts.read_manifest(root / "found")
    assert manifest is not None
    tensors = {
        name: json.loads((root / f"merged-{name}" / "merge.json").read_text(encoding="utf-8"))["tensors"]
        for name in ("gentle", "strong")
    }
    with tempfile.TemporaryDirectory() as folder:
        work, base, tuned = Path(folder), root / "base", root / "gentle"
        merge(base, tuned, work / "tenth", Mix("linear", 0.1, dtype="float32"))
        rounded = [rounding(base, end, work / f"of-{end.name}") for end in (tuned, work / "tenth")]
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "versions": manifest.versions, "tensors": tensors, "rounding": rounded}
    result["search"] = manifest.facts["search"]
    (RESULTS / "angles.json").write_bytes(to_json(result))


if __name__ == "__main__":
    main()
