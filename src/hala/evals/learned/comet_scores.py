"""COMET of translations, run by a Python that has the package unbabel-comet, which need not have hala.

    PYTHON comet_scores.py --model Unbabel/wmt22-comet-da --batch-size 16 INPUT OUTPUT

INPUT holds JSON lines with `source`, `translation` and `reference`; OUTPUT gets one number a line, 1 for the best as a rule.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path


def main() -> None:
    """Scores INPUT into OUTPUT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="hub id, or the path of a .ckpt file")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    comet, torch = importlib.import_module("comet"), importlib.import_module("torch")
    checkpoint = args.model if Path(args.model).exists() else comet.download_model(args.model)
    rows = [json.loads(line) for line in args.input.read_text(encoding="utf-8").splitlines()]
    samples = [{"src": row["source"], "mt": row["translation"], "ref": row["reference"]} for row in rows]
    model = comet.load_from_checkpoint(checkpoint)
    found = model.predict(samples, batch_size=args.batch_size, gpus=int(torch.cuda.is_available()), progress_bar=False)
    args.output.write_text("".join(f"{score}\n" for score in found.scores), encoding="utf-8")


if __name__ == "__main__":
    main()
