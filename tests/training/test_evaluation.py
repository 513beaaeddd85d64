"""Held-out examples decide when to stop and which weights stay, and show what the model says, alike after a kill."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hala.training.evaluation import TEXT_PROMPT, Best, answers, eval_loss, prompts
from hala.training.settings import TrainSettings
from hala.training.trainer import train

SMALL = TrainSettings(
    row_length=32,
    batch_tokens=128,
    micro_tokens=64,
    max_steps=40,
    save_steps=4,
    log_steps=5,
    eval_steps=3,
    learning_rate=3e-2,
    precision="float32",
)


class Tokenizer:
    """Tokens are their own names."""

    pad_token_id, eos_token_id = 0, 2

    def decode(self, ids):
        return " ".join(map(str, ids))


def bits(model):
    """All weights in one piece."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def lines(path):
    """A file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def stop_at(*steps):
    """A progress that interrupts the training once at each of the steps."""
    left = list(steps)

    def stop(step, *_):
        if left and step == left[0]:
            left.pop(0)
            raise KeyboardInterrupt

    return stop


@given(st.lists(st.one_of(st.floats(0, 9), st.just(float("nan"))), min_size=1, max_size=30), st.integers(1, 4))
def test_the_best_is_the_first_lowest_and_patience_counts(losses, patience):
    """Protects early stop for any losses: the first lowest one is kept, and `patience` that were no lower stop."""
    best, model, lowest, since = Best(patience), torch.nn.Linear(1, 1), float("inf"), 0
    for step, loss in enumerate(losses):
        since = 0 if loss < lowest else since + 1
        lowest = loss if loss < lowest else lowest
        assert best.saw(model, step, loss) == (since >= patience)
        assert best.loss == (None if lowest == float("inf") else lowest)
        assert best.loss is None or losses.index(lowest) == best.step


def test_training_stops_early_and_keeps_the_best(tiny, tmp_path):
    """Protects `patience`: held-out loss rises where a training learns by heart; the weights with the lowest one are kept."""
    docs, checks, seen = tiny.documents([12] * 8), tiny.documents([12] * 8, seed=1), {}
    model = tiny.model()

    def look(step, *_):
        seen[step] = bits(model).clone()

    result = train(model, tiny.tokenizer, docs, replace(SMALL, patience=2), tmp_path, look, checks)
    losses = {record["step"]: record["eval_loss"] for record in lines(tmp_path / "curve.jsonl") if "eval_loss" in record}
    best = min(losses, key=losses.__getitem__)
    assert result.steps < 40 and result.steps == max(losses) == best + 2 * 3 and result.best_step == best
    assert result.eval_loss == losses[best] == pytest.approx(eval_loss(model, checks, SMALL, 0), abs=1e-6)
    assert torch.equal(bits(model), seen[best])


def test_a_stopped_early_stop_continues(tiny, tmp_path):
    """Protects resume: stopped before and after the best evaluation, it stops at the same step with the same weights and curve;
    a training that has stopped early is not trained on."""
    docs, checks, limits = tiny.documents([12] * 8), tiny.documents([12] * 8, seed=1), replace(SMALL, patience=2, average="ema")
    calm = train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "calm", None, checks)
    assert 6 < calm.steps < 40
    stop = stop_at(calm.best_step - 1, calm.best_step + 1, calm.steps - 1)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "stopped", stop, checks)
    resumed = train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "stopped", stop, checks)
    again = train(tiny.model(), tiny.tokenizer, docs, limits, tmp_path / "stopped", None, checks)
    for other in (resumed, again):
        assert torch.equal(bits(other.model), bits(calm.model)) and other.eval_loss == calm.eval_loss
        assert (other.steps, other.best_step, other.tokens) == (calm.steps, calm.best_step, calm.tokens)
    assert (tmp_path / "stopped/curve.jsonl").read_bytes() == (tmp_path / "calm/curve.jsonl").read_bytes()


def test_prompts_end_where_learning_begins(tiny):
    """Protects samples: a prompt is what stands before the first learned token; running text is begun; examples are spread."""
    docs = tiny.documents([12, 9, 30, 15])
    found = prompts(docs, 2)
    assert [name for name, _, _ in found] == ["d0", "d2"]
    assert found[0][1] == docs[0].input_ids[:4].tolist() and found[0][2] == docs[0].input_ids[4:].tolist()
    docs[2].labels[:] = docs[2].input_ids
    docs[2].labels[0] = -100
    ((_, prompt, rest),) = prompts(docs[2:3], 5)
    assert len(prompt) == min(TEXT_PROMPT, 15) and prompt + rest == docs[2].input_ids.tolist()


@pytest.mark.parametrize("kind", ["lfm2", "llama"])
def test_answers_are_greedy(tiny, kind):
    """Protects samples: each token is the most likely one after all before it, and training's patches answer nothing."""
    model, docs = tiny.model(kind, spread=0.3), tiny.documents([12, 9, 15])
    model.train()
    from hala.training.loss import loss_as_forward
    from hala.training.short_conv import leak_free

    with leak_free(model), loss_as_forward(model, "float32"):
        found = answers(model, Tokenizer(), docs, replace(SMALL, samples=3, sample_tokens=6))
        assert "forward" in model.__dict__ and model.training
    model.eval()
    for each, doc in zip(found, docs, strict=True):
        ids = [int(token) for token in each["prompt"].split()]
        assert each["id"] == doc.id and ids + [int(token) for token in each["reference"].split()] == doc.input_ids.tolist()
        for token in map(int, each["answer"].split()):
            with torch.no_grad():
                assert int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()) == token
            ids.append(token)


def test_samples_are_kept_and_survive_a_stop(tiny, tmp_path):
    """Protects samples.jsonl: as many lines as asked at every evaluation, the same after a stop; the training is not changed."""
    docs, checks = tiny.documents([12] * 8), tiny.documents([12] * 8, seed=1)
    limits = replace(SMALL, max_steps=9, samples=2, sample_tokens=4)
    stop = stop_at(7)
    with pytest.raises(KeyboardInterrupt):
        train(tiny.model(), Tokenizer(), docs, limits, tmp_path / "stopped", stop, checks)
    train(tiny.model(), Tokenizer(), docs, limits, tmp_path / "stopped", stop, checks)
    calm = train(tiny.model(), Tokenizer(), docs, limits, tmp_path / "calm", None, checks)
    plain = train(tiny.model(), Tokenizer(), docs, replace(limits, samples=0), tmp_path / "plain", None, checks)
    assert (tmp_path / "stopped/samples.jsonl").read_bytes() == (tmp_path / "calm/samples.jsonl").read_bytes()
    assert [(each["step"], each["id"]) for each in lines(tmp_path / "calm/samples.jsonl")] == [
        (step, name) for step in (3, 6, 9) for name in ("d0", "d4")
    ]
    assert torch.equal(bits(calm.model), bits(plain.model)) and not (tmp_path / "plain/samples.jsonl").exists()
