"""What this machine's hardware can do, asked in one place.

>>> from hala.hardware import native_bfloat16
>>> native_bfloat16("cpu")   # doctest: +SKIP
False
"""

from __future__ import annotations


def native_bfloat16(device: str) -> bool:
    """Whether `device` (`cpu`, `cuda`, `cuda:1`) multiplies bfloat16 itself; emulated, float32 is faster and exacter."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if kind == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capable.get("amx_bf16") or capable.get("avx512_bf16"))
