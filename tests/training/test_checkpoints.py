"""A checkpoint is whole or passed over, and gives back every bit."""

import json
import random

import numpy as np
import pytest
import torch

from hala.errors import CorruptError
from hala.training import checkpoints


def make(root, step, value=0.0):
    return checkpoints.save(root, step, {"model": {"w": torch.full((4,), value)}}, {"run": {"step": step}})


def test_what_is_saved_is_read(tmp_path):
    """Protects resume: tensors and documents come back equal, from the newest checkpoint."""
    make(tmp_path, 5)
    make(tmp_path, 10, 2.5)
    folder = checkpoints.newest(tmp_path)
    assert folder is not None and folder.name == "step-00000010"
    assert torch.equal(checkpoints.read_tensors(folder, "model")["w"], torch.full((4,), 2.5))
    assert checkpoints.read_document(folder, "run") == {"step": 10}


def remove_marker(folder):
    (folder / checkpoints.MARKER).unlink()


def flip_a_bit(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def cut_a_byte(folder):
    path = folder / "run.json"
    path.write_bytes(path.read_bytes()[:-1])


def lose_a_file(folder):
    (folder / "model.safetensors").unlink()


def spoil_the_marker(folder):
    (folder / checkpoints.MARKER).write_text("[1]")


@pytest.mark.parametrize("damage", [remove_marker, flip_a_bit, cut_a_byte, lose_a_file, spoil_the_marker])
def test_a_broken_newest_checkpoint_is_passed_over(tmp_path, damage):
    """Protects a run whose last save was hit: the one before it is used, and a warning says so."""
    make(tmp_path, 5)
    damage(make(tmp_path, 10))
    with pytest.warns(UserWarning, match="step-00000010.*Falling back"):
        folder = checkpoints.newest(tmp_path)
    assert folder is not None and folder.name == "step-00000005"


def test_an_unfinished_save_is_not_a_checkpoint(tmp_path):
    """Protects against a kill inside a save: the draft is ignored, and swept at the next prune."""
    make(tmp_path, 5)
    (tmp_path / "step-00000010.tmp").mkdir()
    assert checkpoints.newest(tmp_path).name == "step-00000005"
    checkpoints.prune(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_only_the_newest_are_kept(tmp_path):
    """Protects the disk: old checkpoints go, the newest two stay."""
    for step in (5, 10, 15):
        make(tmp_path, step)
    checkpoints.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]


def test_generators_continue_where_they_were():
    """Protects resume of anything random: all three generators repeat what they would have drawn, through JSON."""
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    tensors, document = checkpoints.random_state()
    document = json.loads(json.dumps(document))

    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    first = draw()
    checkpoints.restore_random_state(tensors, document)
    assert draw() == first


def test_another_model_is_refused(tiny):
    """Protects against loading the weights of another architecture."""
    with pytest.raises(CorruptError, match="another model"):
        checkpoints.load_model_tensors(tiny.model("lfm2"), checkpoints.model_tensors(tiny.model("llama")))


def test_tied_weights_are_saved_once(tiny):
    """Protects the size of checkpoints and the tie itself."""
    names = checkpoints.model_tensors(tiny.model("lfm2"))
    assert "model.embed_tokens.weight" in names and "lm_head.weight" not in names
