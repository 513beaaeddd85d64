"""What this machine's hardware can do, asked in one place.

>>> from hala.hardware import native_bfloat16
>>> native_bfloat16("cpu")   # doctest: +SKIP
False
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cpu_count() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers() -> int:
    """Threads for work on weights: one a core, at most 16, for beyond that the interpreter itself is in the way."""
    return min(16, cpu_count())


def free_memory() -> int:
    """Bytes of memory that a new program can have without swapping, within the limit of this process's control group."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        pages = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # no Linux: free pages alone, a lower bound
        return pages
    return min([pages, *_group_limits()])


def _group_limits() -> list[int]:
    """What is left under the memory limit of the control group, when there is one."""
    try:
        group = Path("/sys/fs/cgroup")
        return [int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())]
    except (OSError, ValueError):  # no limit reads "max"
        return []


def native_bfloat16(device: str) -> bool:
    """Whether `device` (`cpu`, `cuda`, `cuda:1`) multiplies bfloat16 itself; emulated, float32 is faster and exacter."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_any(device, "amx_bf16", "avx512_bf16")


def trains_in_bfloat16(device: str) -> bool:
    """Whether training gains from bfloat16 on `device`. A CPU needs AMX for that.

    With AVX-512 alone, casting the weights at every step costs more than the products gain: the quickstart's teacher took half as
    long again.
    """
    return native_bfloat16(device) if device.startswith("cuda") else has_any(device, "amx_bf16")


def native_int8(device: str) -> bool:
    """Whether `device` is a CPU that multiplies bytes and adds them up as integers (VNNI or AMX), faster than any float.

    Without these instructions sums of two products can overflow, and nothing is gained.
    """
    return has_any(device, "avx512_vnni", "avx_vnni", "amx_int8")


def native_fp8(device: str) -> bool:
    """Whether `device` is a GPU that multiplies FP8 E4M3 (compute capability 8.9 and more: Ada, Hopper, Blackwell)."""
    import torch

    return device.startswith("cuda") and torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 9)


def has_any(device: str, *features: str) -> bool:
    """Whether `device` is a CPU with one of these instruction sets; never, where torch cannot tell."""
    import torch

    if device.partition(":")[0] != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capable = torch.cpu.get_capabilities()
    return any(capable.get(feature) for feature in features)


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Meanwhile the cycle collector looks at what is new every 200,000 objects, and never at what was there before.

    Rows by the million are small objects in no cycle: looking for one in them takes a tenth of the time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, 50, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
