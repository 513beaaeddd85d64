"""Training learns, stops at the first bad number, and ends in the same bits however often it is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hala.errors import DriftError, InputError, TrainingError
from hala.training.evaluation import eval_loss
from hala.training.rows import PackedRows
from hala.training.settings import TrainSettings
from hala.training.trainer import train

SMALL = TrainSettings(
    row_length=32,
    batch_tokens=128,
    micro_tokens=64,
    max_steps=8,
    save_steps=4,
    log_steps=2,
    learning_rate=1e-2,
    precision="float32",  # tolerances are those of float32 wherever the tests run
)


def changed(**knobs):
    from dataclasses import replace

    return replace(SMALL, **knobs)


def curve(folder):
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_learns_and_reports(tiny, tmp_path, optimizer):
    """Protects the whole loop: the loss falls, and result, curve and progress say the same."""
    seen = []
    docs = tiny.documents([12] * 20)
    settings = changed(optimizer=optimizer, max_steps=30)
    result = train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path, lambda *values: seen.append(values), docs[:4])
    records = curve(tmp_path)
    assert records[-1]["loss"] < records[0]["loss"] - 0.5
    assert [record["step"] for record in records] == list(range(2, 31, 2))
    assert (result.steps, result.tokens, records[-1]["tokens"]) == (30, 30 * 96, 30 * 96)  # two examples of 12 in a row of 32
    assert result.loss == records[-1]["loss"] and result.eval_loss == records[-1]["eval_loss"]
    assert [step for step, *_ in seen] == list(range(1, 31)) and seen[-1][1] == 30 and seen[-1][4] == 0
    assert all(set(record) <= {"step", "tokens", "loss", "learning_rate", "grad_norm", "eval_loss"} for record in records)


def test_the_model_is_left_as_it_came(tiny, tmp_path):
    """Protects generation after training: no patch stays, weights are float32, logits come out of forward again."""
    model = tiny.model().bfloat16()
    result = train(model, tiny.tokenizer, tiny.documents([9] * 8), changed(max_steps=2), tmp_path)
    assert result.model is model and model.dtype == torch.float32
    assert model(input_ids=torch.ones(1, 3, dtype=torch.long)).logits.shape == (1, 3, 64)
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_micro_batches_do_not_change_the_update(tiny, tmp_path):
    """Protects memory as a free choice: the same rows in smaller passes give the same weights up to rounding."""
    docs, ends = tiny.documents([5, 12, 20, 31, 7, 16] * 5), []
    for micro in (32, 128):
        result = train(tiny.model(), tiny.tokenizer, docs, changed(micro_tokens=micro, max_steps=4), tmp_path / str(micro))
        ends.append(torch.cat([p.detach().flatten() for p in result.model.parameters()]))
    assert torch.allclose(*ends, atol=2e-4)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_bad_number_stops_before_the_update(tiny, tmp_path, where):
    """Protects the weights: NaN in the loss or the gradient ends the training at its step, before anything is updated."""
    model = tiny.model()
    weight = model.model.layers[1].self_attn.q_proj.weight
    state = {"steps": 0}

    def poison(step, *_):
        state["steps"] = step
        state["before"] = {name: p.detach().clone() for name, p in model.named_parameters()}
        if step == 3 and where == "loss":
            model.model.embedding_norm.register_forward_hook(lambda *_: torch.full((2, 32, 32), float("nan")))
        elif step == 3:
            weight.register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(TrainingError, match=r"step 4; the update was not made"):
        train(model, tiny.tokenizer, tiny.documents([12] * 20), SMALL, tmp_path, poison)
    assert state["steps"] == 3
    assert all(torch.equal(p, state["before"][name]) for name, p in model.named_parameters())


def test_a_broken_newest_checkpoint_falls_back(tiny, tmp_path):
    """Protects resume after a damaged save: the run continues from the one before and ends in the same bits."""
    docs = tiny.documents([12] * 20)
    first = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path)
    expected, expected_curve = [p.detach().clone() for p in first.model.parameters()], curve(tmp_path)
    (tmp_path / "checkpoints" / "step-00000008" / "optimizer.safetensors").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="step-00000008"):
        second = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path)
    assert second.resumed_from == 7
    assert all(torch.equal(a, b) for a, b in zip(expected, second.model.parameters(), strict=True))
    assert curve(tmp_path) == expected_curve


def test_a_finished_training_is_not_repeated(tiny, tmp_path):
    """Protects against a kill between the last step and the caller's save: the next call returns the same weights at once."""
    docs = tiny.documents([12] * 20)
    first = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path)
    steps = []
    second = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path, lambda *values: steps.append(values))
    assert second.resumed_from == 8 and steps == []
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


def test_a_short_training_that_is_stopped_continues(tiny, tmp_path):
    """Protects Ctrl-C in a training shorter than save_steps: an eighth of it is lost at most, and it ends in the same bits."""
    docs, settings = tiny.documents([12] * 20), changed(max_steps=17, save_steps=500)

    def stop(step, *_):
        if step == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / "stopped", stop)
    resumed = train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / "stopped")
    calm = train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / "calm")
    assert (resumed.resumed_from, calm.resumed_from) == (9, 0)
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), calm.model.parameters(), strict=True))
    assert curve(tmp_path / "stopped") == curve(tmp_path / "calm")


def test_checkpoints_hold_no_pickle(tiny, tmp_path):
    """Protects against code in checkpoints: only safetensors and JSON are ever written."""
    train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), SMALL, tmp_path)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".jsonl"}


def test_checkpoints_of_another_training_are_refused(tiny, tmp_path):
    """Protects against mixing trainings: other examples, settings or first weights are an error, not a silent resume."""
    train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), SMALL, tmp_path)
    with pytest.raises(DriftError, match="other examples"):
        train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20, seed=1), SMALL, tmp_path)
    with pytest.raises(DriftError, match="other examples"):
        train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), changed(learning_rate=1e-3), tmp_path)
    other = tiny.model()
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    with pytest.raises(DriftError, match="other examples"):
        train(other, tiny.tokenizer, tiny.documents([12] * 20), SMALL, tmp_path)


@pytest.mark.parametrize(("kind", "kills"), [("all weights", 20), ("lora", 6), ("given order", 20)])
def test_killed_trainings_end_in_the_same_bits(tmp_path, kind, kills):
    """Protects bit-exact resume: SIGKILL at random moments and inside saves, then weights and curve equal byte by byte; with bad
    updates rolled back (skipped), averaged and best weights, and dropout in adapters."""
    script = Path(__file__).with_name("kill_and_resume.py")
    kills = int(os.environ.get("HALA_KILLS", kills))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path), str(kills), kind]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280 + 5 * kills, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["identical"] and result["kills"] == kills and result["in a save"] >= kills // 4, result


def test_every_epoch_sees_every_example(tiny):
    """Protects the data order: each epoch holds each example once, in an order of its own that depends on the seed alone."""
    docs = tiny.documents([5, 12, 20, 31, 7, 16] * 5)
    rows, again = PackedRows(docs, changed(max_steps=0, epochs=2)), PackedRows(docs, changed(max_steps=0, epochs=2))
    per_epoch = len(rows) // 2
    epochs = [[doc.id for i in range(start, start + per_epoch) for doc in rows[i]] for start in (0, per_epoch)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(doc.id for doc in docs)
    assert epochs[0] != epochs[1]
    assert [doc.id for doc in again[per_epoch]] == [doc.id for doc in rows[per_epoch]]  # random access gives the same rows


def test_without_packing_the_update_is_the_same(tiny, tmp_path):
    """Protects `packing: false` as a check on packing: one update over the same examples has the same loss and the same norm."""
    docs, records = tiny.documents([5, 12, 20, 31, 7, 16, 30, 7]), []
    for packing in (True, False):
        whole = changed(batch_tokens=160, micro_tokens=64, max_steps=1, log_steps=1, packing=packing)
        result = train(tiny.model(spread=0.1), tiny.tokenizer, docs, whole, tmp_path / str(packing))
        records.append(curve(tmp_path / str(packing))[0])
    assert records[0]["loss"] == pytest.approx(records[1]["loss"], rel=1e-5)
    assert records[0]["grad_norm"] == pytest.approx(records[1]["grad_norm"], rel=1e-4)
    assert result.packing.rows == len(docs) and result.packing.fill < 0.9


def test_without_packing_a_row_is_one_example(tiny):
    """Protects `packing: false`: each epoch holds each example once, alone, and an update about as many tokens as when packed."""
    docs = tiny.documents([5, 12, 20, 31, 7, 16] * 40)
    settings = changed(max_steps=0, epochs=2, batch_tokens=512, packing=False)
    rows = PackedRows(docs, settings)
    epochs = [[doc.id for i in range(start, start + len(docs)) for doc in rows[i]] for start in (0, len(docs))]
    assert len(rows) == 2 * len(docs) and sorted(epochs[0]) == sorted(epochs[1]) == sorted(doc.id for doc in docs)
    assert epochs[0] != epochs[1]
    assert rows.rows_per_step == 32 and rows.rows_in_pass(1) == 2  # 512 / 15.2 = 34 examples, shared evenly
    given = PackedRows(docs, changed(max_steps=0, packing=False, order="given"))
    assert [given[i][0].id for i in range(8)] == [doc.id for doc in docs[:8]]


def test_the_given_order_reaches_the_updates(tiny):
    """Protects a curriculum: with `order: given` the mean place of an update's examples rises from update to update, every epoch
    alike; shuffled it does not."""
    lengths = [5, 12, 20, 31, 7, 16] * 400
    docs, steps = tiny.documents(lengths), {}
    for order in ("given", "shuffled"):
        rows = PackedRows(docs, changed(max_steps=0, epochs=2, batch_tokens=64 * 32, order=order))
        place = {doc.id: number for number, doc in enumerate(docs)}
        per_epoch = len(rows) // 2
        epochs = [[[place[doc.id] for doc in rows[i]] for i in range(start, start + per_epoch)] for start in (0, per_epoch)]
        assert (epochs[0] == epochs[1]) == (order == "given")
        updates = [[n for row in epochs[0][i : i + 64] for n in row] for i in range(0, per_epoch, 64)]
        steps[order] = [sum(update) / len(update) for update in updates]
        assert len(updates) > 15 and sorted(n for update in updates for n in update) == list(range(len(docs)))
        assert order == "shuffled" or rows.packing.fill > 0.95
    assert steps["given"] == sorted(steps["given"]) and steps["shuffled"] != sorted(steps["shuffled"])


def test_a_stopped_training_in_order_continues(tiny, tmp_path):
    """Protects resume of a curriculum: stopped in its second epoch, it ends in the bits of one that was not."""
    docs, settings = tiny.documents([5, 12, 20, 31, 7, 16] * 5), changed(max_steps=12, order="given")

    def stop(step, *_):
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / "stopped", stop)
    resumed = train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / "stopped")
    calm = train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / "calm")
    assert resumed.resumed_from == 8 and calm.resumed_from == 0
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), calm.model.parameters(), strict=True))
    with pytest.raises(DriftError, match="other examples"):
        train(tiny.model(), tiny.tokenizer, docs, changed(max_steps=12), tmp_path / "calm")


def test_evaluation_is_the_mean_over_learned_tokens(tiny):
    """Protects the reported loss: packing and batching do not change it, and the model's mode is kept."""
    model, docs = tiny.model(spread=0.1), tiny.documents([5, 12, 20, 31, 7])
    model.train()
    whole = eval_loss(model, docs, changed(row_length=128, micro_tokens=128), 0)
    alone = eval_loss(model, docs, changed(row_length=32, micro_tokens=32), 0)
    assert whole == pytest.approx(alone, rel=1e-5) and model.training


def test_tokens_are_those_of_examples(tiny, tmp_path):
    """Protects the count of tokens: padding is none, and each example counts as often as it was seen, packed or not."""
    docs = tiny.documents([5, 12, 20, 31, 7, 16] * 5)
    for packing in (True, False):
        result = train(
            tiny.model(), tiny.tokenizer, docs, changed(max_steps=0, epochs=3, packing=packing), tmp_path / str(packing)
        )
        assert result.tokens == 3 * sum(map(len, docs)) == curve(tmp_path / str(packing))[-1]["tokens"]
    rows = PackedRows(docs, changed(max_steps=0, epochs=3))
    seen = [sum(len(doc) for place in range(step * rows.rows_per_step) for doc in rows[place]) for step in range(8)]
    assert [rows.tokens_after(step) for step in range(8)] == seen


def test_a_held_out_loss_that_is_no_number_stops(tiny, tmp_path, monkeypatch):
    """Protects the curve: NaN is no loss, is never written as one, and nobody trains on past it."""
    monkeypatch.setattr("hala.training.watch.eval_loss", lambda *_: float("nan"))
    with pytest.raises(TrainingError, match="held-out loss is nan at step 8"):
        train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), SMALL, tmp_path, None, tiny.documents([12]))
    assert "NaN" not in (tmp_path / "curve.jsonl").read_text()


def test_other_memory_settings_continue_a_training(tiny, tmp_path):
    """Protects what is done after a run out of memory: smaller passes and checkpointed activations take up where it stopped."""
    docs = tiny.documents([5, 12, 20, 31, 7, 16] * 5)

    def stop(step, *_):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path, stop)
    smaller = changed(micro_tokens=32, gradient_checkpointing=True)
    assert train(tiny.model(), tiny.tokenizer, docs, smaller, tmp_path).resumed_from == 4


def test_bfloat16_training_keeps_float32_masters(tiny, tmp_path):
    """Protects mixed precision: it learns, and weights and optimizer stay float32."""
    result = train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), changed(precision="bfloat16"), tmp_path)
    records = curve(tmp_path)
    assert result.precision == "bfloat16" and records[-1]["loss"] < records[0]["loss"]
    assert result.model.dtype == torch.float32


def test_examples_without_anything_to_learn_are_refused(tiny):
    """Protects against a training that does nothing, and against a batch that cannot hold a row."""
    docs = tiny.documents([8])
    docs[0].labels[:] = -100
    with pytest.raises(InputError, match="No token"):
        PackedRows(docs, SMALL)
    with pytest.raises(InputError, match="cannot hold a row"):
        PackedRows(tiny.documents([8]), changed(batch_tokens=16))


@pytest.mark.slow
def test_compiled_layers_compute_the_same(tiny, tmp_path):
    """Protects the compiled mode: same curve as the plain one up to rounding, held-out rows included; no patch stays."""
    docs = tiny.documents([5, 12, 20, 31, 7, 16] * 5)
    for name, wanted in (("plain", False), ("compiled", True)):
        settings = changed(compile=wanted, max_steps=6, eval_steps=3)
        result = train(tiny.model(), tiny.tokenizer, docs, settings, tmp_path / name, None, docs[:2])
        assert not any("forward" in module.__dict__ for module in result.model.modules())
    plain, compiled = ([record["loss"] for record in curve(tmp_path / name)] for name in ("plain", "compiled"))
    assert plain == pytest.approx(compiled, rel=1e-4)
    checks = [[r["eval_loss"] for r in curve(tmp_path / name) if "eval_loss" in r] for name in ("plain", "compiled")]
    assert checks[0] == pytest.approx(checks[1], rel=1e-4) and len(checks[0]) == 2
