"""Quantising on a GPU with the very bytes of `schemes.quantise`, so that a checkpoint does not show where it was made.

A GPU divides and rounds as IEEE 754 says, like a CPU. Only where the divisor is a Python number does torch multiply with its
reciprocal there, which can be off by a bit: every divisor here is a tensor.

    quantise_block = on_device(pick_device("auto", size))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.errors import InputError, RecipeError, nearest
from hala.weights.checkpoint import Array, numpy_dtype
from hala.weights.numerics import Scratch
from hala.weights.schemes import Mode, Quantised, Scheme, scale_dtype
from hala.weights.tables import look_up

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
ENOUGH = 4_000_000_000  # bytes of weights from which a GPU saves more time than importing torch takes
QuantiseBlock = Callable[[Array, Scheme, Mode, Scratch], Quantised | None]


def pick_device(device: str, size: int) -> str:
    """Where to quantise `size` bytes of weights. Torch is imported only when there is an NVIDIA GPU and use for it.

    Raises: RecipeError for an unknown device, InputError for `cuda` where torch finds none.
    """
    if device not in DEVICES:
        raise RecipeError(f"unknown device {device!r}.{nearest(device, DEVICES)}", f"Choose one of: {', '.join(DEVICES)}.")
    if device == "cpu" or (device == "auto" and (size < ENOUGH or not has_driver())):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise InputError("torch finds no CUDA device here.", "Leave the device at auto: the CPU gives the same bytes.")
    return "cpu"


def has_driver() -> bool:
    """Whether an NVIDIA GPU is visible, asked of the system and not of torch."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/proc/driver/nvidia/version").exists()


def on_device(device: str) -> QuantiseBlock:
    """The fastest way there to quantise some rows without measuring their error; it gives None for rows it cannot do."""
    return look_up if device == "cpu" else partial(quantise_on, device)


def quantise_on(device: str, weight: Array, scheme: Scheme, mode: Mode, _: Scratch) -> Quantised | None:
    """Some rows `[rows, in]` in 8 bits, computed by torch on `device`; None when its memory is full.

    The same codes, scales, zero rows and finiteness as `schemes.quantise`; error and norm are not measured.
    """
    import torch

    from hala.weights.unpacking import to_torch

    try:
        codes, scales, largest = arithmetic(to_torch(weight).to(device), scheme, mode)
        finite, zero_rows = bool(torch.isfinite(largest).all()), int((largest == 0).sum())
        stored = to_numpy(codes, numpy_dtype(scheme.dtype)), to_numpy(scales, scale_dtype(weight.dtype, mode))
    except torch.OutOfMemoryError:
        return None
    return Quantised(*stored, 0.0, 0.0, zero_rows, finite)


def arithmetic(weight: torch.Tensor, scheme: Scheme, mode: Mode) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes, scales and the largest magnitude of each row; step by step what `schemes.quantise` does."""
    import torch

    work = torch.float32 if mode == "float32-scale" else weight.dtype
    values = weight.to(torch.float64 if work == torch.float64 else torch.float32)
    largest = values.abs().amax(1)
    groups = blockwise(values.abs(), scheme.side) if scheme.side else largest[:, None]
    scales = (groups / groups.new_full((), scheme.limit)).to(work)
    scales = torch.where(scales == 0, scales.new_full((), torch.finfo(work).eps), scales)
    quotients = (values / expand(scales.to(values.dtype), scheme.side, weight.shape)).to(work)
    if scheme.dtype == "I8":
        return quotients.clamp(-128, 127).round().to(torch.int8), scales, largest
    return quotients.clamp(-scheme.limit, scheme.limit).to(torch.float8_e4m3fn), scales, largest


def blockwise(magnitudes: torch.Tensor, side: int) -> torch.Tensor:
    """The largest value of each block of `side` x `side`; the last ones may be smaller."""
    from torch.nn.functional import pad

    rows, columns = magnitudes.shape
    whole = pad(magnitudes, (0, -columns % side, 0, -rows % side))
    return whole.reshape(-(-rows // side), side, -1, side).amax((1, 3))


def expand(scales: torch.Tensor, side: int, shape: torch.Size) -> torch.Tensor:
    """The scales, repeated for each weight of a block; one a row broadcasts by itself."""
    if not side:
        return scales
    return scales.repeat_interleave(side, 0)[: shape[0]].repeat_interleave(side, 1)[:, : shape[1]]


def to_numpy(values: torch.Tensor, dtype: Any) -> Array:
    """The same bytes in memory of the CPU; numpy takes BF16 and FP8 only as bytes."""
    import torch

    array: Array = values.contiguous().cpu().view(torch.uint8).numpy()
    return array.view(dtype)
