"""What 8 bits cost each matrix of a trained model: every scheme and mode, on the quickstart's teacher or any checkpoint.

    .venv/bin/python benchmarks/errors.py runs/quickstart/teacher

benchmarks/results/errors.json keeps the relative error of every matrix, and its harm as `keep: auto` weighs it; docs/pictures.py
draws from it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from record import RESULTS, machine

from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.schemes import MODES, SCHEMES
from hala.weights.sensitivity import weigh
from hala.weights.writer import to_json


def main() -> None:
    """Compresses the checkpoint in every way and writes benchmarks/results/errors.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    source = parser.parse_args().model
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for scheme in SCHEMES:
            for mode in MODES:
                report = compress(source, Path(folder) / f"{scheme}-{mode}", scheme, mode)
                found[f"{scheme} {mode}"] = [{"name": each.name, "rel_error": each.rel_error} for each in report.quantised]
    layers = weigh(open_checkpoint(source), "fp8-dynamic")
    harm = [{"name": layer.name, "harm": layer.harm, "cost": layer.cost} for layer in layers]
    result = {"machine": machine(), "model": source.name, "tensors": found, "layers": harm}
    (RESULTS / "errors.json").write_bytes(to_json(result))


if __name__ == "__main__":
    main()
