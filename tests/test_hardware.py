"""One answer to what the hardware can do, whoever asks."""

from __future__ import annotations

import pytest
import torch

from hala.hardware import native_bfloat16
from hala.training.settings import choose_precision
from hala.weights.loading import pick_dtype


@pytest.mark.parametrize(
    ("capabilities", "native"), [({"avx512_f": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)]
)
def test_loading_and_training_agree(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool) -> None:
    """`auto` means the same format for the weights that are loaded and for the arithmetic of training."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_bfloat16("cpu") is native
    assert pick_dtype("auto", "cpu") is (torch.bfloat16 if native else torch.float32)
    assert choose_precision("auto", torch.device("cpu")) == ("bfloat16" if native else "float32")


def test_unknown_devices_get_float32() -> None:
    """A device that nobody asked about is not trusted with bfloat16."""
    assert native_bfloat16("mps") is False
