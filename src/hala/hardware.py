"""What this machine's hardware can do, asked in one place.

>>> from hala.hardware import native_bfloat16
>>> native_bfloat16("cpu")   # doctest: +SKIP
False
"""

from __future__ import annotations

import os


def cpu_count() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def native_bfloat16(device: str) -> bool:
    """Whether `device` (`cpu`, `cuda`, `cuda:1`) multiplies bfloat16 itself; emulated, float32 is faster and exacter."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capable.get("amx_bf16") or capable.get("avx512_bf16"))
