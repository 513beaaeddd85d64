"""What a model has answered already, so that an evaluation that was killed goes on: a JSON line for each finished batch.

The file is named after everything that the numbers depend on: the model's bytes, the questions as they are put, and how they are
computed. So what it holds may be taken as it is, and the scores are those of an undisturbed run to the last bit.

>>> answered = Answered(scratch / "answers", {"model": "c3b1", "questions": "09fe"})   # doctest: +SKIP
>>> answered.keep("0", [[-1.5, -2.0]])   # doctest: +SKIP
>>> answered.known   # doctest: +SKIP
{'0': [[-1.5, -2.0]]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hala.artifacts import atomic_file, digest_of, disk_errors
from hala.digests import digest_files
from hala.weights.journal import read_lines


class Answered:
    """The finished batches of one set by one model: `known` from earlier calls, `keep` for more."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._open(folder / f"{digest_of(about)[-32:]}.jsonl")
        for file in sorted(folder.glob(f"{self.file.stem}.worker*.jsonl")):  # the same batches, whoever computed them
            self.known |= {line["batch"]: line["sums"] for line in read_lines(file)}

    def _open(self, file: Path) -> None:
        lines = read_lines(file)
        self.file = file
        self.known: dict[str, Any] = {line["batch"]: line["sums"] for line in lines}
        with atomic_file(file) as temporary:  # without a line that a kill cut off
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def of_worker(self, rank: int) -> Answered:
        """The same for one of several processes, which writes into a file of its own and knows what all have computed."""
        known = self.known
        self._open(self.file.with_name(f"{self.file.stem}.worker{rank}.jsonl"))
        self.known |= known
        return self

    def keep(self, batch: str, sums: Any) -> None:
        """Says what a batch gave."""
        with disk_errors(self.file.parent), self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"batch": batch, "sums": sums}) + "\n")


def model_digest(where: str) -> str:
    """A digest of all that is loaded from a checkpoint, whatever it is called; of the downloaded files for one of the hub."""
    from hala.weights.hub import fetch

    folder = fetch(where)
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".jinja", ".model"))
    return digest_of([[path.name, digest] for path, digest in zip(files, digest_files(files), strict=True)])


def computed_by(loaded: tuple[Any, Any], batch_tokens: int) -> dict[str, Any]:
    """What else the bits of a log-probability hang on: number format, device and batches, and whose arithmetic it is."""
    import torch

    from hala.evals.likelihood import BATCH_POSITIONS, ROW_TOKENS
    from hala.evals.trees import PART, STRETCH

    weight = loaded[0].get_input_embeddings().weight
    about = {"dtype": str(weight.dtype), "device": weight.device.type, "threads": torch.get_num_threads()}
    return (
        about
        | {"batch_tokens": batch_tokens, "plan": [ROW_TOKENS, BATCH_POSITIONS, STRETCH, PART]}
        | {name: version(name) for name in ("hala", "torch", "transformers")}
    )
