"""A second look at a compressed checkpoint: every byte on disk is read again and held against the original.

Nothing is taken from the run that wrote it but its settings, so that a bad disk, a bad copy and a bad program are found alike.

    print(verify("LFM2-350M", "LFM2-350M-FP8").worst)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from hala.errors import CorruptError
from hala.hardware import cpu_count, free_memory
from hala.weights.checkpoint import Array, Checkpoint, numpy_dtype, open_checkpoint, read_into
from hala.weights.compress import choose, find_scheme, plan_unit
from hala.weights.headers import TensorInfo, read_json
from hala.weights.numerics import BLOCK, Scratch, widen
from hala.weights.schemes import Mode, Scheme, decode, expand, rows_at_once, scale_dtype

AGAIN = "Remove the folder and compress again; if it happens twice, check the disk and the memory."


@dataclass(frozen=True, slots=True)
class Checked:
    """One tensor: its relative error over all weights (0 when kept), and rows that are all zero now and were not before."""

    name: str
    rel_error: float = 0.0
    lost_rows: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """All tensors in name order."""

    tensors: tuple[Checked, ...]

    @property
    def worst(self) -> Checked:
        """The tensor with the largest relative error."""
        return max(self.tensors, key=lambda tensor: tensor.rel_error)

    @property
    def lost_rows(self) -> int:
        """Rows that became all zero."""
        return sum(tensor.lost_rows for tensor in self.tensors)

    def as_json(self) -> dict[str, Any]:
        """Plain data for a report."""
        return {"tensors": [asdict(tensor) for tensor in self.tensors], "worst": self.worst.name, "lost_rows": self.lost_rows}


def verify(
    src: str | Path, dst: str | Path, progress: Callable[[int, int], None] | None = None, threads: int | None = None
) -> Verification:
    """What every tensor of `dst` is worth against `src`, after reading all of both.

    Raises: CorruptError for a tensor that is missing or of another shape, a kept one with another byte, a scale or code that is
    no finite number, and a weight that is further from its original than rounding to 8 bits can bring it.
    """
    source, made = open_checkpoint(src), open_checkpoint(dst)
    settings = read_json(Path(dst) / "compress.json")["settings"]
    scheme = find_scheme(settings["scheme"], settings["mode"])
    why = choose(source, settings["ignore"], settings["keep"])
    check_layout(source, made, why, scheme, settings["mode"])
    done, total, lock = 0, sum(info.size for info in source.tensors.values()), threading.Lock()

    def check(name: str) -> Checked:
        nonlocal done
        before = source.tensors[name]
        found = check_kept(before, made) if why[name] else check_quantised(before, made, scheme, settings["mode"])
        with lock:
            done += before.size
            if progress:
                progress(done, total)
        return found

    with ThreadPoolExecutor(threads or min(8, cpu_count())) as pool:
        return Verification(tuple(pool.map(check, source.tensors)))


def check_layout(source: Checkpoint, made: Checkpoint, why: dict[str, str], scheme: Scheme, mode: Mode) -> None:
    """Nothing, or CorruptError for a tensor that is missing, too many, or of another dtype or shape than planned."""
    units = [plan_unit(info, None if why[name] else scheme, mode) for name, info in source.tensors.items()]
    planned = {output.name: (output.dtype, output.shape) for unit in units for output in unit.outputs}
    found = {name: (info.dtype, info.shape) for name, info in made.tensors.items()}
    for name in sorted(planned.keys() | found.keys()):
        if planned.get(name) != found.get(name):
            raise CorruptError(f"tensor {name} of {made.path} is {found.get(name)}, not {planned.get(name)}.", AGAIN)


def check_kept(before: TensorInfo, made: Checkpoint) -> Checked:
    """The tensor, whose bytes are those of the original. Raises: CorruptError when one differs."""
    dtype = numpy_dtype(before.dtype)
    for first in range(0, before.count, BLOCK):
        count = min(BLOCK, before.count - first)
        one, two = np.empty(count, dtype), np.empty(count, dtype)
        read_into(before, first, one)
        read_into(made.tensors[before.name], first, two)
        if not np.array_equal(one.view(np.uint8), two.view(np.uint8)):
            raise CorruptError(f"tensor {before.name} of {made.path} is not the original's, though it was to be kept.", AGAIN)
    return Checked(before.name)


def check_quantised(before: TensorInfo, made: Checkpoint, scheme: Scheme, mode: Mode) -> Checked:
    """The error of a matrix over all its rows. Raises: CorruptError when it is more than rounding explains."""
    rows, columns = before.shape
    step = rows_at_once(scheme, columns)
    scales = made.read(f"{before.name}_scale")
    scratch = Scratch()
    error = norm = 0.0
    lost = 0
    for first in range(0, rows, step):
        shape = (min(step, rows - first), columns)
        weight = scratch.take("weight", shape, numpy_dtype(before.dtype))
        codes = scratch.take("codes", shape, numpy_dtype(scheme.dtype))
        read_into(before, first * columns, weight)
        read_into(made.tensors[before.name], first * columns, codes)
        part = scales[first // scheme.side :][: -(-shape[0] // scheme.side)] if scheme.side else scales[first:][: shape[0]]
        values = scratch.take("values", shape, np.dtype(np.float32))
        widen(weight, values)
        difference = decode(codes, part, scheme)
        lost += int((~difference.any(axis=1) & values.any(axis=1)).sum())
        difference -= values
        if not within_rounding(
            difference, values, expand(part.astype(np.float32), scheme.side, shape), scheme, mode, weight.dtype
        ):
            where = f"rows {first} to {first + shape[0]} of tensor {before.name} of {made.path}"
            raise CorruptError(f"{where} are further from the original than rounding to 8 bits can bring them.", AGAIN)
        error += float(np.vecdot(difference, difference).sum(dtype=np.float64))
        norm += float(np.vecdot(values, values).sum(dtype=np.float64))
    return Checked(before.name, (error / norm) ** 0.5 if norm else 0.0, lost)


def within_rounding(error: Array, values: Array, scales: Array, scheme: Scheme, mode: Mode, dtype: np.dtype[Any]) -> bool:
    """Whether every weight is at most half a step of its code away, and the roundings of mode `exact`; NaN is not.

    A step of FP8 E4M3 is an eighth of the power of two below the weight, at least 2**-9 of the scale; one of int8 is the scale.
    """
    slack = 2 * float(ml_dtypes.finfo(scale_dtype(dtype, mode)).eps)  # type: ignore[no-untyped-call]
    size = np.abs(values)
    allowed = scales * 0.5 if scheme.dtype == "I8" else np.maximum(size / 16, scales / 1024)
    return bool((np.abs(error) <= allowed + slack * size).all())


def reload(dst: str | Path) -> str:
    """How a compressed checkpoint was loaded with transformers and run for a few tokens, in words.

    It is not tried without a tokenizer, or where the unpacked weights would fill more than half of the free memory. Raises:
    InputError when it cannot be loaded, CorruptError when its output is no finite number.
    """
    made = open_checkpoint(dst)
    need, free = 4 * sum(info.count for info in made.tensors.values()), free_memory()
    if not any((Path(dst) / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        return "not loaded: it has no tokenizer"
    if need > free / 2:
        return f"not loaded: it needs {need / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free"
    import torch

    from hala.weights.loading import load_model

    model, _ = load_model(dst, "float32", "cpu")
    with torch.no_grad():
        logits = model(torch.arange(8)[None] % model.get_input_embeddings().num_embeddings).logits
    if not bool(torch.isfinite(logits).all()):
        raise CorruptError(f"{dst} was loaded, but what it says is no finite number.", AGAIN)
    return "loaded with transformers"
