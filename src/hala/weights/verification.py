"""A second look at a compressed checkpoint: every byte on disk is read again and held against the original.

Nothing is taken from the run that wrote it but its settings. Codes and scales are made again, so that one bit changed by a disk
or a copy is found; and every weight must be as near to its original as rounding allows, so that a fault of the arithmetic is too.

    print(verify("LFM2-350M", "LFM2-350M-FP8").worst)
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from hala.errors import CorruptError
from hala.hardware import free_memory, workers
from hala.weights.checkpoint import Array, Checkpoint, numpy_dtype, open_checkpoint, read_into
from hala.weights.compress import choose, find_scheme, outputs_of
from hala.weights.headers import TensorInfo, read_json
from hala.weights.numerics import BLOCK, Scratch, widen
from hala.weights.schemes import FP8_VALUES, Mode, Scheme, decode, expand, quantise, rows_at_once, scale_dtype
from hala.weights.tables import look_up

AGAIN = "Remove the folder and compress again; if it happens twice, check the disk and the memory."
# Half of the way from each FP8 code's magnitude to the next, in scales: no weight that was rounded to it is further away.
HALF_STEPS = np.tile(np.append(np.diff(FP8_VALUES[:127]), [32, 0]) / 2, 2).astype(np.float32)


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

    Raises: CorruptError for a tensor that is missing or of another shape, a kept one with another byte, a code or scale that is
    not what the settings give, and a weight that is further from its original than rounding to 8 bits can bring it.
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

    with ThreadPoolExecutor(threads or workers()) as pool:
        return Verification(tuple(pool.map(check, source.tensors)))


def check_layout(source: Checkpoint, made: Checkpoint, why: dict[str, str], scheme: Scheme, mode: Mode) -> None:
    """Nothing, or CorruptError for a tensor that is missing, too many, or of another dtype or shape than planned."""
    outputs = [outputs_of(info, None if why[name] else scheme, mode) for name, info in source.tensors.items()]
    planned = {output.name: (output.dtype, output.shape) for each in outputs for output in each}
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
        if not same_bytes(one, two):
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
        codes = scratch.take("stored", shape, numpy_dtype(scheme.dtype))
        read_into(before, first * columns, weight)
        read_into(made.tensors[before.name], first * columns, codes)
        part = scales[first // scheme.side :][: -(-shape[0] // scheme.side)] if scheme.side else scales[first:][: shape[0]]
        where = f"rows {first} to {first + shape[0]} of tensor {before.name} of {made.path}"
        again = look_up(weight, scheme, mode, scratch) or quantise(weight, scheme, mode, scratch, measure=False)
        if not same_bytes(again.codes, codes) or not same_bytes(again.scales, part):
            raise CorruptError(f"{where} are not what compressing the original gives.", AGAIN)
        values = scratch.take("original", shape, np.dtype(np.float32))
        widen(weight, values)
        difference = decode(codes, part, scheme)
        lost += int((~difference.any(axis=1) & values.any(axis=1)).sum())
        difference -= values
        if not within_rounding(difference, values, codes, part, scheme, scale_dtype(weight.dtype, mode)):
            raise CorruptError(f"{where} are further from the original than rounding to 8 bits can bring them.", AGAIN)
        error += float(np.vecdot(difference, difference).sum(dtype=np.float64))
        norm += float(np.vecdot(values, values).sum(dtype=np.float64))
    return Checked(before.name, (error / norm) ** 0.5 if norm else 0.0, lost)


def same_bytes(one: Array, two: Array) -> bool:
    """Whether two contiguous arrays have the same bytes; NaN and minus zero count as what they are."""
    return one.shape == two.shape and np.array_equal(one.view(np.uint8), two.view(np.uint8))


def within_rounding(error: Array, values: Array, codes: Array, scales: Array, scheme: Scheme, work: np.dtype[Any]) -> bool:
    """Whether every weight is at most half a step from its code, and what the dtype of the scales rounds; NaN is not.

    `error` and `values` are float32. The quotient was rounded to `work`, and a subnormal scale may be off by half the smallest.
    """
    kind = ml_dtypes.finfo(work)  # type: ignore[no-untyped-call]
    slack = max(float(kind.eps), 4 * float(np.finfo(np.float32).eps))
    steps = HALF_STEPS[codes.view(np.uint8)] if scheme.dtype == "F8_E4M3" else np.full(codes.shape, 0.5, np.float32)
    steps *= expand(scales.astype(np.float32), scheme.side, codes.shape)
    steps += np.abs(values) * np.float32(slack)
    steps += np.float32(scheme.limit * float(kind.smallest_subnormal) / 2)
    return bool((np.abs(error) <= steps).all())


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

    model, how = load_as_others_do(Path(dst))
    with torch.no_grad():
        logits = model(torch.arange(8)[None] % model.get_input_embeddings().num_embeddings).logits
    if not bool(torch.isfinite(logits).all()):
        raise CorruptError(f"{dst} was loaded, but what it says is no finite number.", AGAIN)
    return f"loaded with {how}"


def load_as_others_do(dst: Path) -> tuple[Any, str]:
    """The unpacked model, loaded by transformers and compressed-tensors alone where both are there, else by hala."""
    from importlib.util import find_spec

    from hala.weights.loading import causal_class, load_model, third_party

    if find_spec("compressed_tensors") is None:
        return load_model(dst, "float32", "cpu")[0], "hala; compressed-tensors is not installed"
    import torch
    from transformers import AutoConfig
    from transformers.utils.quantization_config import CompressedTensorsConfig

    with third_party(dst), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers says that both config.json and the call name the scheme
        config = AutoConfig.from_pretrained(dst, trust_remote_code=False, local_files_only=True)
        how = CompressedTensorsConfig(dequantize=True)
        options = {"dtype": torch.float32, "quantization_config": how, "local_files_only": True}
        model = causal_class(config, dst).from_pretrained(dst, **options)
        return model.eval(), "transformers and compressed-tensors"
