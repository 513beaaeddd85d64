"""Several processes train the model that one would: with copies of it (DDP) or parts (FSDP2), whole again after any kill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ATOL = 1e-5
"""Of weights after ten updates at a learning rate of 1e-2: sums over rows in another order; measured 2.2e-6."""
SCRIPT = str(Path(__file__).with_name("several.py"))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(folder, processes=2, **knobs):
    """(exit code, what it printed) of a training in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(TORCHRUN if processes > 1 else ()), SCRIPT, str(folder), json.dumps(knobs)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
    return done.returncode, done.stderr


def finish(folder, processes=2, **knobs):
    """(weights, facts, learning curve) of a training that ends well."""
    code, said = start(folder, processes, **knobs)
    assert code == 0, said[-3000:]
    curve = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return load_file(folder / "final.safetensors"), json.loads((folder / "facts.json").read_text()), curve


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("alone"), processes=1)


@pytest.mark.parametrize("knobs", [{}, {"shard": True, "split": True}], ids=["DDP", "FSDP2"])
def test_two_processes_train_what_one_does(tmp_path, alone, knobs):
    """Protects training on many devices: the same global batches give the same weights, losses and held-out loss up to
    rounding, and a training whose processes were killed ends in the bits of one that was left alone."""
    weights, facts, curve = finish(tmp_path / "calm", **knobs)
    expected, expected_facts, expected_curve = alone
    assert facts["processes"] == 2 and expected_facts["processes"] == 1
    assert facts["steps"] == expected_facts["steps"] == 10
    assert weights.keys() == expected.keys()
    assert all(torch.allclose(weights[name], expected[name], atol=ATOL, rtol=0) for name in weights)
    for key in ("loss", "grad_norm", "eval_loss"):
        got, wanted = ([record[key] for record in records if key in record] for records in (curve, expected_curve))
        assert got == pytest.approx(wanted, rel=1e-4) and wanted
    code, _ = start(tmp_path / "killed", die_at=7, **knobs)
    assert code != 0
    _, facts, _ = finish(tmp_path / "killed", **knobs)
    assert facts["resumed_from"] == 6
    for name in ("final.safetensors", "curve.jsonl", "samples.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    newest = [
        load_file(tmp_path / name / "checkpoints" / "step-00000010" / "optimizer.safetensors") for name in ("calm", "killed")
    ]
    assert all(torch.equal(newest[0][key], newest[1][key]) for key in newest[0])
    assert len(newest[0]) == 3 * len(weights)  # whole moments of every parameter, whoever held them


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"batch_tokens": 96}, "3 rows of 32 tokens cannot be shared by 2 processes"),
        ({"shard": True}, "`shard` splits a model over GPUs, and none is visible"),
        ({"shard": True, "split": True, "optimizer": "muon"}, "Only AdamW over all weights can be split"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="these are the errors of a machine without GPUs")
def test_what_cannot_be_shared_is_refused(tmp_path, knobs, says):
    """Protects against another batch than was asked for, and against a model that is quietly copied in place of split."""
    code, said = start(tmp_path, **knobs)
    assert code != 0 and says in said
