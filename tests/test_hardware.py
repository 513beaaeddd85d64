"""One answer to what the hardware can do, whoever asks."""

from __future__ import annotations

import pytest
import torch

from hala.hardware import native_bfloat16, native_fp8, native_int8
from hala.training.settings import choose_precision
from hala.weights.loading import pick_dtype


@pytest.mark.parametrize(
    ("capabilities", "native", "trains"),
    [({"avx512_f": True}, False, False), ({"avx512_bf16": True}, True, False), ({"amx_bf16": True}, True, True)],
)
def test_auto_is_what_the_processor_gains_from(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool, trains: bool
) -> None:
    """Weights are loaded in bfloat16 where it is native; training, which casts them at every step, needs matrix units too."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_bfloat16("cpu") is native
    assert pick_dtype("auto", "cpu") is (torch.bfloat16 if native else torch.float32)
    assert choose_precision("auto", torch.device("cpu")) == ("bfloat16" if trains else "float32")


def test_unknown_devices_get_float32() -> None:
    """A device that nobody asked about is not trusted with bfloat16 or 8 bits."""
    assert [ask("mps") for ask in (native_bfloat16, native_int8, native_fp8)] == [False, False, False]


@pytest.mark.parametrize(
    ("feature", "native"), [("avx512_bf16", False), ("avx512_vnni", True), ("avx_vnni", True), ("amx_int8", True)]
)
def test_bytes_are_multiplied_by_vnni_and_amx(monkeypatch: pytest.MonkeyPatch, feature: str, native: bool) -> None:
    """Other processors add products of bytes in 16 bits, where they overflow; graphics cards are asked elsewhere."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    assert native_int8("cpu") is native
    assert native_int8("cuda") is False


@pytest.mark.parametrize(
    ("capability", "native"), [((8, 0), False), ((8, 6), False), ((8, 9), True), ((9, 0), True), ((10, 0), True)]
)
def test_fp8_needs_ada_or_later(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool) -> None:
    """An A100 has no FP8 product; a CPU and a machine without a driver are never asked for their capability."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert native_fp8("cuda:0") is native
    assert native_fp8("cpu") is False
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert native_fp8("cuda") is False
