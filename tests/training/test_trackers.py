"""Trackers get the curve and the knobs, nothing by default, and no training ends because of one."""

import json
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch

from hala.errors import InputError
from hala.training.settings import TrainSettings, knobs
from hala.training.trackers import KNOWN, open_trackers, require
from hala.training.trainer import train

SMALL = TrainSettings(row_length=32, batch_tokens=128, micro_tokens=64, max_steps=8, log_steps=2, precision="float32")


def fake(monkeypatch, name, fail_at=None):
    """A module with the functions of wandb and trackio that notes its calls, and fails at one step."""
    module, calls = ModuleType(name), []

    def log(values, step):
        if step == fail_at:
            raise ConnectionError("server gone")
        calls.append(("log", step, values))

    module.init = lambda **words: calls.append(("init", words))
    module.log, module.finish = log, lambda: calls.append(("finish",))
    monkeypatch.setitem(sys.modules, name, module)
    return calls


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_gets_the_curve(tiny, tmp_path, monkeypatch, name):
    """Protects what is sent: the knobs once, every record with its step, and a run that a resumed training finds again."""
    monkeypatch.delenv(f"{name.upper()}_PROJECT", raising=False)
    calls, docs = fake(monkeypatch, name), tiny.documents([12] * 20)
    report, close = open_trackers((name,), "sft", knobs(SMALL), tmp_path)
    train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path / "a", None, docs[:4], report)
    close()
    curve = [json.loads(line) for line in (tmp_path / "a/curve.jsonl").read_text().splitlines()]
    (_, words), *logs, last = calls
    assert words["project"] == "hala" and words["config"] == knobs(SMALL) and words["resume"] == "allow" and last == ("finish",)
    assert [(step, values) for _, step, values in logs] == [(r.pop("step"), r) for r in curve] and "eval_loss" in logs[-1][2]
    assert str(tmp_path) not in json.dumps(words["config"])
    open_trackers((name,), "sft", knobs(SMALL), tmp_path)
    open_trackers((name,), "sft", knobs(replace(SMALL, seed=1)), tmp_path)
    names = [call[1]["name"] for call in calls if call[0] == "init"]
    assert names[0] == names[1] != names[2] and names[0].startswith("sft-")


def test_tensorboard_writes_beside_the_step(tmp_path, monkeypatch):
    """Protects the artefact: event files, which hold clocks, lie in a folder of their own and not in the step."""
    scalars, folders = [], []
    writer = SimpleNamespace(add_scalar=lambda *values: scalars.append(values), close=lambda: scalars.append("closed"))
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = lambda folder: folders.append(folder) or writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard"))
    report, close = open_trackers(("tensorboard",), "sft", {}, tmp_path)
    report({"step": 4, "loss": 2.5, "tokens": 512})
    close()
    assert folders == [str(tmp_path / "tensorboard/sft")]
    assert scalars == [("loss", 2.5, 4), ("tokens", 512.0, 4), "closed"]


def test_a_tracker_that_fails_is_left_behind(tiny, tmp_path, monkeypatch):
    """Protects the training: when a server goes away there is one warning, other trackers go on, and the weights are the same."""
    bad, good, docs = fake(monkeypatch, "wandb", fail_at=4), fake(monkeypatch, "trackio"), tiny.documents([12] * 20)
    report, close = open_trackers(("wandb", "trackio"), "sft", knobs(SMALL), tmp_path)
    with pytest.warns(UserWarning, match="wandb failed and gets no more records: server gone") as seen:
        tracked = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path / "a", None, None, report)
    close()
    assert len(seen) == 1 and [call[1] for call in bad if call[0] == "log"] == [2] and ("finish",) not in bad
    assert [call[1] for call in good if call[0] == "log"] == [2, 4, 6, 8]
    plain = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(tracked.model.parameters(), plain.model.parameters(), strict=True))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_missing_package_is_an_error_in_words(monkeypatch, name):
    """Protects the first minute: what is not installed is said before anything is read, with the command that installs it."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"tracker {name} is not installed.*pip install {name}"):
        require((name,))


def test_a_tracker_that_does_not_start_is_an_error(tmp_path, monkeypatch):
    """Protects the user's wish: a tracker that was asked for and refuses (no login) stops before the training, in words."""
    fake(monkeypatch, "wandb")

    def refuse(**_):
        raise RuntimeError("no API key configured")

    sys.modules["wandb"].init = refuse
    with pytest.raises(InputError, match="wandb did not start: no API key"):
        open_trackers(("wandb",), "sft", {}, tmp_path)


def test_nothing_is_sent_unless_asked(tiny, tmp_path, monkeypatch):
    """Protects privacy: with all three installed and their variables set, a training without `trackers` calls none of them."""
    calls = [fake(monkeypatch, name) for name in ("wandb", "trackio", "tensorboard")]
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    report, close = open_trackers((), "sft", {}, tmp_path)
    train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), SMALL, tmp_path / "a", None, None, report)
    close()
    assert calls == [[], [], []]
