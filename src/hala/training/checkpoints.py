"""Checkpoints inside a training: safetensors and JSON, complete or absent.

The one idea: a checkpoint is written under a temporary name, flushed, sealed with a marker that holds the digest of every
file, and renamed; so whatever a kill leaves behind is either whole or visibly not one. The newest whole one is resumed.

>>> from hala.training.checkpoints import newest, save
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hala.artifacts import sync
from hala.digests import digest_file
from hala.errors import CorruptError
from hala.training import devices

MARKER = "complete.json"
NAME = re.compile(r"step-(\d{8})")
Tensors = dict[str, torch.Tensor]


def save(root: Path, step: int, tensors: dict[str, Tensors], documents: dict[str, Any]) -> Path:
    """The folder `root/step-00000042`, with one safetensors file per entry of `tensors` and one JSON per entry of `documents`."""
    root.mkdir(parents=True, exist_ok=True)
    final = root / f"step-{step:08d}"
    draft = root / f"{final.name}.tmp"
    for old in (draft, final):
        shutil.rmtree(old, ignore_errors=True)
    draft.mkdir()
    for name, entries in tensors.items():
        save_file({key: value.detach().contiguous().cpu() for key, value in entries.items()}, draft / f"{name}.safetensors")
    for name, document in documents.items():
        (draft / f"{name}.json").write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    digests = {path.name: digest_file(path) for path in sorted(draft.iterdir())}
    (draft / MARKER).write_text(json.dumps({"step": step, "xxh128": digests}, sort_keys=True), encoding="utf-8")
    for path in draft.iterdir():
        sync(path)
    sync(draft)
    os.replace(draft, final)
    sync(root)
    return final


def newest(root: Path) -> Path | None:
    """The newest whole checkpoint, or None; a broken one is passed over with a warning that names it."""
    if not root.is_dir():
        return None
    for folder in sorted((path for path in root.iterdir() if NAME.fullmatch(path.name)), reverse=True):
        try:
            verify(folder)
        except CorruptError as error:
            warnings.warn(f"{error} Falling back to the checkpoint before it.", stacklevel=2)
            continue
        return folder
    return None


def verify(folder: Path) -> None:
    """Nothing, or CorruptError when the marker is missing or a file does not match its digest."""
    try:
        digests = json.loads((folder / MARKER).read_text(encoding="utf-8"))["xxh128"]
        wrong = sorted(name for name, digest in digests.items() if digest_file(folder / name) != digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"The checkpoint {folder} is incomplete ({error}).", "Delete it and run again.") from error
    if wrong:
        raise CorruptError(f"The checkpoint {folder} is damaged: {', '.join(wrong)}.", "Delete it and run again.")


def prune(root: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what unfinished saves left."""
    for draft in root.glob("step-*.tmp"):
        shutil.rmtree(draft, ignore_errors=True)
    for old in sorted(path for path in root.iterdir() if NAME.fullmatch(path.name))[:-keep]:
        (old / MARKER).unlink(missing_ok=True)  # first, so that a half-deleted one is never taken for whole
        shutil.rmtree(old, ignore_errors=True)


def read_tensors(folder: Path, name: str) -> Tensors:
    """The tensors of one file of a checkpoint."""
    try:
        tensors: Tensors = load_file(folder / f"{name}.safetensors")
    except (OSError, SafetensorError) as error:
        raise CorruptError(f"Cannot read {name} of {folder} ({error}).", "Delete the checkpoint and run again.") from error
    return tensors


def tensor_names(folder: Path) -> set[str]:
    """Which files of tensors a checkpoint has."""
    return {path.stem for path in folder.glob("*.safetensors")}


def read_document(folder: Path, name: str) -> dict[str, Any]:
    """One JSON document of a checkpoint."""
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return document


def model_tensors(model: nn.Module, frozen: bool = False) -> Tensors:
    """Every tensor of the model once, tied ones under their first name; parameters that are not trained only if `frozen`."""
    seen: set[int] = set()
    tensors = {}
    still = set() if frozen else {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, tensor in model.state_dict().items():
        part = devices.local(tensor)
        if part.data_ptr() in seen and part.numel():
            continue
        seen.add(part.data_ptr())
        if name not in still:
            tensors[name] = tensor
    return tensors


def load_model_tensors(model: nn.Module, tensors: Tensors) -> None:
    """Copy saved values into the model, name by name."""
    own = model_tensors(model)
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())[:3]
        raise CorruptError(f"The checkpoint belongs to another model (differs in {', '.join(odd)}).", "Use a new output folder.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(devices.like(tensors[name], tensor))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's state as `parameter|key` tensors."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{name}|{key}"] = value
    return tensors


def load_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put saved state back, on each parameter's device (step counters stay where the optimizer keeps them)."""
    parameters = dict(model.named_parameters())
    for full, value in tensors.items():
        name, _, key = full.rpartition("|")
        parameter = parameters[name]
        optimizer.state[parameter][key] = devices.like(value, parameter) if value.ndim else value.to(parameter.device)


def random_state() -> tuple[Tensors, dict[str, Any]]:
    """The state of every generator, as tensors and JSON; several processes start alike and draw alike, so one speaks for all."""
    tensors = {"cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    numpy_state = [kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)]
    return tensors, {"numpy": numpy_state, "python": [version, list(internal), gauss_next]}


def restore_random_state(tensors: Tensors, document: dict[str, Any]) -> None:
    """Set every generator back, that of this process's GPU too."""
    torch.random.set_rng_state(tensors["cpu"])
    if torch.cuda.is_available() and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"])
    kind, keys, *rest = document["numpy"]
    np.random.set_state((kind, np.asarray(keys, dtype=np.uint32), *rest))
    version, internal, gauss_next = document["python"]
    random.setstate((version, tuple(internal), gauss_next))
