"""Bad updates are told from good ones before they are made, and what happens then survives a kill."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import TrainingError
from hala.training.guard import FEWEST, Guard
from hala.training.settings import TrainSettings
from hala.training.trainer import train

SMALL = TrainSettings(
    row_length=32,
    batch_tokens=64,
    micro_tokens=32,
    max_steps=20,
    save_steps=5,
    log_steps=4,
    learning_rate=1e-2,
    precision="float32",
    order="given",
)
MARK = 3


def documents(tiny, bad):
    """Forty documents of one row each, two an update; those at the places `bad` hold the mark."""
    docs = tiny.documents([32] * 40)
    for place, doc in enumerate(docs):
        doc.input_ids[doc.input_ids == MARK] = MARK + 1
        if place in bad:
            doc.input_ids[5] = MARK
    return docs


def model(tiny, factor):
    """A model that multiplies its last hidden states by `factor` when it has read the mark."""
    made, marked = tiny.model(), []
    made.model.embed_tokens.register_forward_pre_hook(lambda _, ids: marked.append(bool((ids[0] == MARK).any())))
    made.model.embedding_norm.register_forward_hook(lambda _, __, out: out * factor if marked[-1] else out)
    return made


def bits(result):
    """All weights in one piece."""
    return torch.cat([p.detach().flatten() for p in result.model.parameters()])


def records(folder):
    """The learning curve."""
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


@given(st.lists(st.floats(0.1, 5, allow_nan=False), min_size=FEWEST, max_size=80), st.sampled_from(["loss", "gradient norm"]))
def test_only_what_is_far_above_is_a_spike(values, name):
    """Protects the limit: for any past, the largest value allowed is no spike, anything above is, and falling never is."""
    guard = Guard(limit=6)
    for value in values:
        guard.past["loss"].append(value)
        guard.past["gradient norm"].append(value)
    most = guard.most(name)
    calm = min(values)
    pair = (lambda value: (value, calm)) if name == "loss" else (lambda value: (calm, value))
    assert f"{name} is" in guard.wrong(*pair(math.nextafter(most, math.inf)))
    assert guard.wrong(*pair(most)) is None and guard.wrong(0.0, 0.0) is None


def test_numbers_that_are_not_finite_are_always_wrong():
    """Protects the weights without any setting: NaN and both infinities are named, in the loss and in the norm."""
    guard = Guard()
    assert guard.wrong(float("nan"), 1.0) == "loss is nan" and guard.wrong(1.0, float("inf")) == "gradient norm is inf"
    assert guard.wrong(-float("inf"), 1.0) == "loss is -inf" and guard.wrong(1e30, 1e30) is None


def test_few_updates_make_no_spike():
    """Protects the start of a training: nothing is a spike before enough updates are known, and flat noise is none after."""
    guard = Guard(limit=10)
    assert [guard.wrong(value, 1.0) for value in (1.0, 50.0, 2.0)] == [None] * 3
    guard = Guard(limit=10)
    assert all(guard.wrong(2.0, 1.0) is None for _ in range(FEWEST))
    assert guard.wrong(2.3, 1.1) is None and guard.wrong(2.5, 1.0) is not None


def test_skipping_leaves_exactly_the_bad_update_out(tiny, tmp_path):
    """Protects `skip`: neither weights nor moments change at the bad update, the count is told, and no NaN is in the curve."""
    snapshots = {}

    def look(step, *_):
        snapshots[step] = torch.cat([p.detach().flatten() for p in made.parameters()])

    made = model(tiny, float("nan"))
    settings = replace(SMALL, on_bad_step="skip")
    result = train(made, tiny.tokenizer, documents(tiny, {13}), settings, tmp_path, look)  # update 7 of two rows each
    assert torch.equal(snapshots[7], snapshots[6]) and not torch.equal(snapshots[8], snapshots[7])
    assert (result.left_out, result.bad_steps) == (1, ({"step": 7, "why": "loss is nan"},)) and result.steps == 20
    curve = records(tmp_path)
    assert [record.get("left_out") for record in curve] == [None, 1, None, None, None]
    assert all(math.isfinite(value) for record in curve for value in record.values()) and bits(result).isfinite().all()


def test_a_record_without_a_good_update_has_no_loss(tiny, tmp_path):
    """Protects the curve: where every update since the last record was left out, no number stands in for the loss."""
    settings = replace(SMALL, on_bad_step="skip", log_steps=1)
    train(model(tiny, float("inf")), tiny.tokenizer, documents(tiny, {0, 13}), settings, tmp_path)
    curve = records(tmp_path)
    assert [record["step"] for record in curve if "loss" not in record] == [1, 7]
    assert [record["step"] for record in curve if "left_out" in record] == [1, 7] and "grad_norm" not in curve[0]


def test_rolling_back_undoes_what_came_since_the_checkpoint(tiny, tmp_path):
    """Protects `rollback`: the weights are those of the checkpoint again, the data goes on behind the bad batch."""
    snapshots = {}
    made = model(tiny, float("nan"))

    def look(step, *_):
        snapshots[step] = torch.cat([p.detach().flatten() for p in made.parameters()])

    settings = replace(SMALL, on_bad_step="rollback", save_steps=3)  # of 20 steps: saved after every third
    result = train(made, tiny.tokenizer, documents(tiny, {15, 2}), settings, tmp_path, look)
    assert result.bad_steps == (
        {"step": 2, "why": "loss is nan", "back_to": 0},
        {"step": 8, "why": "loss is nan", "back_to": 6},
    )
    assert result.left_out == 4 and torch.equal(snapshots[8], snapshots[6]) and not torch.equal(snapshots[7], snapshots[6])
    assert not torch.equal(snapshots[9], snapshots[8]) and sum(record.get("left_out", 0) for record in records(tmp_path)) == 4


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_stopped_training_leaves_out_the_same(tiny, tmp_path, policy):
    """Protects resume: stopped right after a bad update and before the next checkpoint, it ends in the same bits and curve."""
    settings, docs = replace(SMALL, on_bad_step=policy, save_steps=3, spike=10), documents(tiny, {15})

    def stop(step, *_):
        if step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model(tiny, float("nan")), tiny.tokenizer, docs, settings, tmp_path / "stopped", stop)
    resumed = train(model(tiny, float("nan")), tiny.tokenizer, docs, settings, tmp_path / "stopped")
    calm = train(model(tiny, float("nan")), tiny.tokenizer, docs, settings, tmp_path / "calm")
    assert resumed.resumed_from == 6 and resumed.left_out == calm.left_out == (1 if policy == "skip" else 2)
    assert torch.equal(bits(resumed), bits(calm)) and resumed.bad_steps == calm.bad_steps
    assert (tmp_path / "stopped/curve.jsonl").read_bytes() == (tmp_path / "calm/curve.jsonl").read_bytes()
    third = train(model(tiny, float("nan")), tiny.tokenizer, docs, settings, tmp_path / "calm")  # finished: told again
    assert third.left_out == calm.left_out and third.bad_steps == calm.bad_steps


def test_a_spike_is_left_out(tiny, tmp_path):
    """Protects against finite harm: a batch whose gradient is far beyond those before is skipped, and only it."""
    settings = replace(SMALL, on_bad_step="skip", spike=10)
    result = train(model(tiny, 500.0), tiny.tokenizer, documents(tiny, {37}), settings, tmp_path)
    (event,) = result.bad_steps
    assert event["step"] == 19 and "a spike above" in event["why"]
    plain = train(model(tiny, 500.0), tiny.tokenizer, documents(tiny, {37}), replace(settings, spike=0.0), tmp_path / "off")
    assert plain.left_out == 0


def test_what_is_undone_twice_is_counted_once(tiny, tmp_path):
    """Protects the count: two bad updates in a row go back to the same checkpoint, and no update is left out twice."""
    settings = replace(SMALL, on_bad_step="rollback", save_steps=3)
    result = train(model(tiny, float("nan")), tiny.tokenizer, documents(tiny, {15, 17}), settings, tmp_path)
    assert [(event["step"], event["back_to"]) for event in result.bad_steps] == [(8, 6), (9, 6)] and result.left_out == 3


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_too_many_bad_updates_stop(tiny, tmp_path, policy):
    """Protects against a training that only leaves out: the stated number in a row is an error with its step."""
    settings = replace(SMALL, on_bad_step=policy, max_bad_steps=3)
    with pytest.raises(TrainingError, match=r"loss is nan at step 9, the last of 3 bad updates in a row"):
        train(model(tiny, float("nan")), tiny.tokenizer, documents(tiny, {12, 14, 16}), settings, tmp_path)
