"""The learning rate follows its schedule, and the precision the hardware."""

import pytest
import torch

from hala.training.settings import TrainSettings, choose_precision, lr_scale


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "constant"])
def test_schedules_rise_then_fall_to_the_floor(schedule):
    """Protects the learning rate: it starts above zero, peaks at one, never rises again, and ends at its floor."""
    settings = TrainSettings(schedule=schedule, warmup=0.1, min_lr=0.05)
    scales = [lr_scale(step, 100, settings) for step in range(101)]
    assert scales[0] == 0.1 and scales[9] == 1.0 and max(scales) == 1.0
    assert scales[9:] == sorted(scales[9:], reverse=True)
    assert scales[-1] == pytest.approx(1.0 if schedule == "constant" else 0.05)


def test_bfloat16_is_chosen_only_where_it_is_native(monkeypatch):
    """Protects speed and precision on plain CPUs: emulated bfloat16 is never picked, a wish is obeyed."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    assert choose_precision("auto", cpu) == "float32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_precision("auto", cpu) == "bfloat16"
    assert choose_precision("float32", cpu) == "float32"
