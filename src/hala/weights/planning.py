"""What compressing a checkpoint would take on this machine: nothing of the model is loaded and nothing is left on disk.

Shapes come from the headers of a checkpoint, or, where there is only a config.json, from transformers' own model built without
memory. Rates are measured just now: reading and writing a sample where the result would lie, and quantising on every core.

    print(plan("CohereLabs/command-a-translate-08-2025", Path("."), "fp8-dynamic").text)
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hala.artifacts import disk_errors
from hala.errors import InputError
from hala.hardware import workers
from hala.progress import duration
from hala.weights.checkpoint import check_safe, instead_of_config, open_checkpoint
from hala.weights.compress import find_scheme, planned_size
from hala.weights.headers import TensorInfo, read_json
from hala.weights.numerics import BF16, Scratch
from hala.weights.schemes import Mode, Scheme, rows_at_once
from hala.weights.selection import IGNORE, reasons
from hala.weights.tables import look_up

SAMPLE_BYTES = 256 << 20  # written, forgotten by the page cache, and read again
GPUS = (24, 48, 80, 96, 141, 180)  # GB of memory of the usual ones
COMMON_GPUS = (80, 24)  # those that most people have several of
ROOM = 0.85  # the share of a GPU's memory that weights may take; the rest is for the cache
DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured on this machine: bytes a second read and written on the disk, weights a second quantised by all `threads`."""

    read: float
    write: float
    weights: float
    threads: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the result would be and cost; sizes, memory and free disk in bytes. `kept` gives (tensors, bytes) by reason."""

    model: str
    shapes_from: str
    scheme: str
    parameters: int
    matrices: int
    kept: dict[str, tuple[int, int]]
    bytes_before: int
    bytes_after: int
    largest: int
    memory: int
    free: int
    rates: Rates
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def text(self) -> str:
        """For people, one fact a line."""
        kept = ", ".join(f"{why} {count} ({_size(size)})" for why, (count, size) in self.kept.items())
        rates = self.rates
        return "\n".join(
            (
                f"{self.model}: {_count(self.parameters)} parameters, shapes from {self.shapes_from}",
                f"  result     {_size(self.bytes_before)} -> {_size(self.bytes_after)} ({self.scheme})",
                f"  quantised  {self.matrices} matrices, the largest {_size(self.largest)}",
                f"  kept       {kept or 'nothing'}",
                f"  disk       needs {_size(self.bytes_after)} where the result goes ({_size(self.free)} are free)",
                f"  memory     about {_size(self.memory)} with {rates.threads} threads",
                f"  time       about {duration(self.seconds)}, from rates measured just now: read {_size(rates.read)}/s, "
                f"write {_size(rates.write)}/s, {rates.weights / 1e6:,.0f}M weights/s on {rates.threads} threads",
                f"  to serve   {self._serving()}",
            )
        )

    def _serving(self) -> str:
        """The smallest usual GPU that holds the weights, and how many of two that many have where it takes several."""
        counts = {memory: -(-self.bytes_after // int(ROOM * memory * 1e9)) for memory in GPUS}
        one = next((memory for memory, count in counts.items() if count == 1), None)
        sizes = [one] if one else []
        sizes += [memory for memory in COMMON_GPUS if 1 < counts[memory] <= 8]
        if not sizes:
            return "more than 8 GPUs of the usual sizes"
        *most, last = (f"{counts[memory]} x {memory} GB" for memory in sizes)
        words = f"{', '.join(most)} or {last}" if most else last
        return f"{words} GPU{'' if sizes == [one] else 's'}, with {1 - ROOM:.0%} left for the cache"


def plan(
    folder: Path,
    out: Path,
    scheme: str = "fp8-dynamic",
    mode: Mode = "float32-scale",
    *,
    ignore: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    name: str = "",
    rates: Rates | None = None,
) -> Plan:
    """The plan for the checkpoint, or the config.json alone, in `folder`, written somewhere below `out`.

    Raises: InputError when there is neither, or the config is of no known architecture; RecipeError as `compress` does.
    """
    how = find_scheme(scheme, mode)
    memory = _resident()  # before torch, which compress never loads
    tensors, shapes_from = read_shapes(folder)
    why = reasons(tensors, IGNORE if ignore is None else ignore, keep)
    chosen = [info for info in tensors.values() if not why[info.name]]
    kept: dict[str, tuple[int, int]] = {}
    for info in tensors.values():
        if reason := why[info.name]:
            count, size = kept.get(reason, (0, 0))
            kept[reason] = (count + 1, size + info.size)
    columns = max((info.shape[1] for info in chosen), default=1)
    rates = rates or measure(nearest_folder(out), how, mode, columns)
    before = sum(info.size for info in tensors.values())
    after = sum(planned_size(info, None if why[info.name] else how, mode) for info in tensors.values())
    quantising = sum(info.count for info in chosen) / rates.weights
    return Plan(
        model=name or str(folder),
        shapes_from=shapes_from,
        scheme=scheme,
        parameters=sum(info.count for info in tensors.values()),
        matrices=len(chosen),
        kept=dict(sorted(kept.items())),
        bytes_before=before,
        bytes_after=after,
        largest=max((info.size for info in chosen), default=0),
        memory=memory + rates.threads * scratch_bytes(how, mode, columns),
        free=shutil.disk_usage(nearest_folder(out)).free,
        rates=rates,
        # Reading and writing share a disk; quantising goes on beside them. Both ends are read once more for their digests.
        seconds=max(before / rates.read + after / rates.write, quantising) + (before + after) / rates.read,
    )


def read_shapes(folder: Path) -> tuple[Mapping[str, TensorInfo], str]:
    """Every tensor by name, and where its shape was found."""
    check_safe(folder)  # where there are no weights, transformers is the first to read the config
    if any(folder.glob("*.safetensors")):
        return open_checkpoint(folder).tensors, "the headers"
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has neither weights nor a config.json.", instead_of_config(folder))
    return shapes_of_config(folder), "config.json"


def shapes_of_config(folder: Path) -> dict[str, TensorInfo]:
    """The tensors that a checkpoint of this config holds, a tied head left out, as transformers names them."""
    import torch
    from transformers import AutoConfig

    from hala.weights.loading import causal_class, third_party

    with third_party(folder), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = causal_class(config, folder)(config)
    given = read_json(folder / "config.json")
    dtype = DTYPES.get(str(given.get("dtype") or given.get("torch_dtype")), "BF16")
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}
    return {name: TensorInfo(name, dtype, shape, folder / "config.json", 0) for name, shape in sorted(shapes.items())}


def measure(folder: Path, scheme: Scheme, mode: Mode, columns: int) -> Rates:
    """The rates of this machine, in about a second; a sample file in `folder` is removed again."""
    read, write = disk_rates(folder)
    threads = workers()
    return Rates(read, write, quantising_rate(scheme, mode, columns, threads), threads)


def disk_rates(folder: Path) -> tuple[float, float]:
    """Bytes a second read and written, the page cache left out where the system allows it."""
    data = np.random.default_rng(0).bytes(1 << 24)
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        descriptor = file.fileno()

        def put() -> None:
            for start in range(0, SAMPLE_BYTES, len(data)):
                os.pwrite(descriptor, data, start)
            os.fsync(descriptor)

        def take() -> None:
            for start in range(0, SAMPLE_BYTES, len(data)):
                os.pread(descriptor, len(data), start)

        write = SAMPLE_BYTES / _seconds(put)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return SAMPLE_BYTES / _seconds(take), write


def quantising_rate(scheme: Scheme, mode: Mode, columns: int, threads: int) -> float:
    """Weights a second over all threads, from BF16 blocks of that width."""
    rows = rows_at_once(scheme, columns)
    block = np.random.default_rng(0).standard_normal((rows, columns), np.float32).astype(BF16)

    def work(_: int) -> None:
        scratch = Scratch()
        for _ in range(8):
            look_up(block, scheme, mode, scratch) or quantise_block(block, scheme, mode, scratch)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))  # the tables are made and the buffers touched
        return threads * 8 * block.size / _seconds(lambda: list(pool.map(work, range(threads))))


def quantise_block(block: np.ndarray[Any, Any], scheme: Scheme, mode: Mode, scratch: Scratch) -> Any:
    """What compress does where no table serves."""
    from hala.weights.schemes import quantise

    return quantise(block, scheme, mode, scratch, measure=False)


def scratch_bytes(scheme: Scheme, mode: Mode, columns: int) -> int:
    """Memory that one thread of compress works in."""
    scratch = Scratch()
    block = scratch.take("weight", (rows_at_once(scheme, columns), columns), BF16)
    block[:] = 1
    quantise_block(block, scheme, mode, scratch)
    look_up(block, scheme, mode, scratch)
    return sum(array.nbytes for array in scratch.arrays.values())


def nearest_folder(path: Path) -> Path:
    """The folder itself or the nearest above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return max(1e-9, time.perf_counter() - start)


def _resident() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _size(number: float) -> str:
    """`1.20 GB`, `62 MB`, `9 kB` (powers of ten)."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"


def _count(number: int) -> str:
    """`111.06B`, `2.47M`, `9.51k`."""
    return next(
        (f"{number / unit:.2f}{name}" for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if number >= unit), str(number)
    )
