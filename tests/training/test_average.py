"""Averages of weights are what their names say, are what is evaluated and kept, and survive a kill bit by bit."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.recipe_models import Lora
from hala.training.average import Average
from hala.training.evaluation import eval_loss
from hala.training.settings import TrainSettings
from hala.training.trainer import train

SMALL = TrainSettings(
    row_length=32,
    batch_tokens=128,
    micro_tokens=64,
    max_steps=12,
    save_steps=4,
    log_steps=2,
    eval_steps=5,
    learning_rate=1e-2,
    precision="float32",
)


def bits(result):
    """All weights in one piece."""
    return torch.cat([p.detach().flatten() for p in result.model.parameters()])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=30), st.floats(0.5, 0.999), st.integers(1, 12))
def test_averages_are_what_they_say(values, decay, last):
    """Protects the arithmetic: `last` is the plain mean of the last updates, `ema` the recursion with its fast start."""
    model = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    ema, tail = Average("ema", decay, 0), Average("last", 0, last)
    ema.begin(model)
    expected = 1.0
    for number, value in enumerate(values, 1):
        with torch.no_grad():
            model.weight.fill_(value)
        ema.update(model, len(values) - number)
        tail.update(model, len(values) - number)
        kept = min(decay, (1 + number) / (10 + number))
        expected = kept * expected + (1 - kept) * value
    assert ema.tensors["weight"].item() == pytest.approx(expected, abs=1e-4)
    window = values[-last:]
    assert tail.tensors["weight"].item() == pytest.approx(sum(window) / len(window), abs=1e-4)
    with ema.in_place(model):
        assert model.weight.item() == pytest.approx(expected, abs=1e-4)
    assert model.weight.item() == values[-1]


@pytest.mark.parametrize("kind", ["ema", "last"])
def test_the_average_is_evaluated_and_kept(tiny, tmp_path, kind):
    """Protects what `average` promises: the final weights are the average of the weights seen, and eval_loss is theirs."""
    model, docs, seen = tiny.model(), tiny.documents([12] * 20), []
    first = torch.cat([p.detach().flatten() for p in model.parameters()])

    def look(*_):
        seen.append(torch.cat([p.detach().flatten() for p in model.parameters()]))

    limits = replace(SMALL, average=kind, average_last=4)
    result = train(model, tiny.tokenizer, docs, limits, tmp_path, look, docs[:4])
    expected = first.double()
    for number, weights in enumerate(seen, 1):
        kept = (1 + number) / (10 + number)
        expected = kept * expected + (1 - kept) * weights.double()
    expected = expected if kind == "ema" else torch.stack(seen[-4:]).double().mean(0)
    assert torch.allclose(bits(result).double(), expected, atol=1e-5) and not torch.allclose(bits(result), seen[-1], atol=1e-4)
    records = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert records[-1]["eval_loss"] == result.eval_loss == pytest.approx(eval_loss(result.model, docs[:4], SMALL, 0), abs=1e-6)


@pytest.mark.parametrize("kind", ["ema", "last"])
@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_a_stopped_average_continues(tiny, tmp_path, kind, lora):
    """Protects resume: stopped before and after an evaluation, weights and curve are those of a training that was not."""
    docs, limits = tiny.documents([12] * 20), replace(SMALL, average=kind, average_last=5, lora=lora)

    def stop(step, *_):
        if step in (7, 11) and step not in stopped:
            stopped.append(step)
            raise KeyboardInterrupt

    stopped = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "stopped", stop, docs[:4])
    resumed = train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "stopped", stop, docs[:4])
    calm = train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "calm", None, docs[:4])
    again = train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "calm", None, docs[:4])  # finished
    assert torch.equal(bits(resumed), bits(calm)) and torch.equal(bits(again), bits(calm)) and again.eval_loss == calm.eval_loss
    assert (tmp_path / "stopped/curve.jsonl").read_bytes() == (tmp_path / "calm/curve.jsonl").read_bytes()


def test_a_rollback_takes_the_average_back(tiny, tmp_path, monkeypatch):
    """Protects the average from what a rollback undoes: it is that of the checkpoint again."""
    from hala.training.guard import Guard

    real, calls = Guard.wrong, []

    def wrong(self, loss, norm):
        calls.append(loss)
        return real(self, float("nan") if len(calls) == 8 else loss, norm)

    monkeypatch.setattr(Guard, "wrong", wrong)
    model, docs, seen = tiny.model(), tiny.documents([12] * 20), []
    expected = torch.cat([p.detach().flatten() for p in model.parameters()]).double()

    def look(*_):
        seen.append(torch.cat([p.detach().flatten() for p in model.parameters()]).double())

    limits = replace(SMALL, average="ema", on_bad_step="rollback", max_steps=20, save_steps=3)
    result = train(model, tiny.tokenizer, docs, limits, tmp_path, look)
    assert result.bad_steps[0]["back_to"] == 6
    for number, weights in enumerate(seen[:6] + seen[8:], 1):  # updates 7 and 8 are no part of it
        kept = (1 + number) / (10 + number)
        expected = kept * expected + (1 - kept) * weights
    assert torch.allclose(bits(result).double(), expected, atol=1e-5)
