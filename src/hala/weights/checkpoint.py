"""Reading checkpoints: a Hugging Face folder seen as named tensors, checked before a byte of it is believed.

Tensors come as numpy arrays (`ml_dtypes` has BF16 and FP8), whole or in parts, read into buffers of their own: memory stays at
what was asked for, and no torch is needed.

    checkpoint = open_checkpoint(Path("LFM2-350M"))
    for name in checkpoint.tensors:      # sorted by name
        weight = checkpoint.read(name)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from hala.artifacts import STARTED, read_manifest
from hala.errors import InputError
from hala.weights.headers import AGAIN, DTYPES, MAX_JSON, SMALL_WORK, TensorInfo, read_header, read_json, regular_size, shown
from hala.weights.safety import PICKLED, check_config, check_entries, check_folder, check_settings, refuse_pickled

Array = np.ndarray[Any, Any]
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\.safetensors")
INDEX_NAME = "model.safetensors.index.json"
MAX_SHARDS = 10_000
MAX_SETTINGS = 16_000_000  # bytes of all settings files together
SIDE_FILES = (
    "[Cc][Oo][Pp][Yy][Ii][Nn][Gg]*",
    "[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]*",
    "[Nn][Oo][Tt][Ii][Cc][Ee]*",
    "[Uu][Ss][Ee]_[Pp][Oo][Ll][Ii][Cc][Yy]*",
    "added_tokens.json",
    "additional_chat_templates/*.jinja",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "hala.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
# No settings: keys that are tokens or tensors, reports that grow with the model, a log that grows with the run.
OTHER_JSON = (
    "tokenizer.json",
    "vocab.json",
    "added_tokens.json",
    INDEX_NAME,
    "compress.json",
    "merge.json",
    "trainer_state.json",
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose headers were checked: its config and its tensors, sorted by name."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]

    def read(self, name: str) -> Array:
        """The tensor in its shape and stored dtype."""
        info = self.tensors[name]
        return read_part(info, 0, info.count).reshape(info.shape)

    def read_part(self, name: str, start: int, count: int) -> Array:
        """Elements `start` to `start + count` of the tensor seen as one row, in its stored dtype."""
        return read_part(self.tensors[name], start, count)


def open_checkpoint(path: str | Path) -> Checkpoint:
    """The checkpoint in folder `path`, after every check that needs no tensor data.

    Raises: InputError when the folder, its config, a shard or a tensor is missing, cut off, malformed, pickled or runs code.
    """
    path = Path(path)
    settings = check_safe(path)
    if "config.json" not in settings:
        raise InputError(f"{path} has no config.json.", instead_of_config(path))
    tensors: dict[str, TensorInfo] = {}
    mapping = read_index(path)
    for file in list_shards(path, mapping):
        for name, info in read_header(file).items():
            if name in tensors:
                raise InputError(f"tensor {name} is in {tensors[name].file.name} and in {file.name} of {path}.", AGAIN)
            tensors[name] = info
    if mapping:
        check_index(path, mapping, tensors)
    check_config(path / "config.json", settings["config.json"], tensors)
    return Checkpoint(path, settings["config.json"], dict(sorted(tensors.items())))


def instead_of_config(path: Path) -> str:
    """What to do about a folder without config.json: it may be a step that is unfinished, damaged or of another kind."""
    if (path / STARTED).exists():
        return "This step is not finished; run its recipe again."
    if inner := [str(each.parent) for each in sorted(path.glob("[!.]*/config.json"))]:
        return f"It holds several; choose one: {', '.join(inner[:9])}{', ...' if len(inner) > 9 else ''}."
    manifest = read_manifest(path)
    if manifest is None:
        return "Without it nobody can know the architecture; download the model again."
    if manifest.kind == "checkpoint":
        return f"It is a finished step, but damaged; run `hala repair {path.parent}`, then its recipe again."
    return f"It is a step that made {manifest.kind}; give one that made a checkpoint."


def check_safe(path: Path) -> dict[str, dict[str, Any]]:
    """The settings files of a folder by name, read and checked before any third-party loader sees the folder.

    Raises: InputError when the folder carries code or a key that makes libraries run code, or would hang or flood a reader.
    """
    check_folder(path)
    check_entries(path)
    for file in side_files(path):
        if (size := regular_size(file)) > MAX_JSON:
            raise InputError(f"{file} has {size} bytes, too many for what it is.", AGAIN)
    files = [file for file in sorted(path.glob("*.json")) if file.name not in OTHER_JSON]
    if sum(regular_size(file) for file in files) > MAX_SETTINGS:
        raise InputError(f"{path} has more than {MAX_SETTINGS} bytes of settings in *.json.", "Move out what is not needed.")
    found = {file.name: read_json(file, SMALL_WORK) for file in files}
    for name, settings in found.items():
        check_settings(path / name, settings)
    return found


def find_shards(path: Path) -> list[Path]:
    """The weight files of a folder, sorted. Like transformers, `model.safetensors` wins over an index."""
    return list_shards(path, read_index(path))


def list_shards(path: Path, mapping: dict[str, str]) -> list[Path]:
    """The weight files of a folder with this index, sorted."""
    if mapping:
        listed = sorted(set(mapping.values()))
        if extra := next((file for file in sorted(path.glob("*-of-*.safetensors")) if file.name not in listed), None):
            raise InputError(f"{extra} is a shard of which {INDEX_NAME} lists no tensor.", AGAIN)
        return [path / name for name in listed]
    if (path / "model.safetensors").exists():
        return [path / "model.safetensors"]
    if any(path.glob("*.safetensors")):
        raise InputError(f"{path} has shards but neither model.safetensors nor {INDEX_NAME}.", "Download the index too.")
    if any(file.suffix in PICKLED for file in path.iterdir()):
        refuse_pickled(path)
    raise InputError(f"{path} holds no *.safetensors file.", "Give a finished checkpoint in safetensors format.")


def read_index(path: Path) -> dict[str, str]:
    """The file name of each tensor by the folder's index, empty when there is none or `model.safetensors` makes it idle.

    Raises: InputError when the index is malformed or names anything but plain files beside it.
    """
    index = path / INDEX_NAME
    if (path / "model.safetensors").exists() or not index.exists():
        return {}
    content = read_json(index)
    mapping, metadata = content.get("weight_map"), content.get("metadata", {})
    if not isinstance(mapping, dict) or not mapping:
        raise InputError(f"{index} has no weight_map.", "Download the index again.")
    total = metadata.get("total_size", 0) if isinstance(metadata, dict) else "?"
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 <= total < 2**60:
        raise InputError(f"{index} has an absurd total_size ({shown(total)}).", "Download the index again.")
    for name, file in mapping.items():
        if not isinstance(file, str) or not SHARD_NAME.fullmatch(file):
            what = f"{index} puts tensor {shown(name)} into {shown(file)}, which is not a plain *.safetensors name."
            raise InputError(what, "Download the index again.")
    shards = sorted(set(mapping.values()))
    if len(shards) > MAX_SHARDS:
        raise InputError(f"{index} lists {len(shards)} shards, more than {MAX_SHARDS}.", "Download the index again.")
    if missing := next((file for file in shards if not (path / file).exists()), None):
        raise InputError(f"{index} lists {missing}, which is missing.", "Download the missing shard.")
    return mapping


def check_index(path: Path, mapping: dict[str, str], tensors: dict[str, TensorInfo]) -> None:
    """Nothing, or InputError for a tensor that the index promises and its shard lacks, or the other way round."""
    for name, file in mapping.items():
        if name not in tensors or tensors[name].file.name != file:
            raise InputError(f"{path / INDEX_NAME} promises tensor {name[:100]} in {file}, which does not have it.", AGAIN)
    if extra := next((name for name in tensors if name not in mapping), None):
        raise InputError(f"tensor {extra} of {tensors[extra].file} is not in {INDEX_NAME}.", AGAIN)


def read_part(info: TensorInfo, start: int, count: int) -> Array:
    """`count` elements of a tensor from element `start`, in a new array."""
    values = np.empty(count, dtype=numpy_dtype(info.dtype))
    read_into(info, start, values)
    return values


def read_into(info: TensorInfo, start: int, values: Array) -> None:
    """Fills a contiguous array with elements of a tensor, from `start` on. Raises: InputError when the file ends early."""
    if not values.size:
        return
    view, position = values.reshape(-1).view(np.uint8).data, info.start + start * values.itemsize
    descriptor = os.open(info.file, os.O_RDONLY)
    try:
        while view:  # one call reads at most 2 GB
            got = os.preadv(descriptor, [view], position)
            if not got:
                raise InputError(f"{info.file} is cut off inside tensor {info.name}.", AGAIN)
            view, position = view[got:], position + got
    finally:
        os.close(descriptor)


def numpy_dtype(code: str) -> np.dtype[Any]:
    """The numpy dtype of a safetensors code; those that numpy lacks come from `ml_dtypes`."""
    name = DTYPES[code][0]
    return np.dtype("bool" if code == "BOOL" else getattr(ml_dtypes, name, None) or name)


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256 over the config, all names, dtypes, shapes and a kilobyte of every tensor: cheap, and another fine-tune differs.

    It keeps two jobs apart, not two bytes: a step of a recipe is told apart by every byte of its inputs.
    """
    digest = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode())
    for info in checkpoint.tensors.values():
        digest.update(f"{info.name}|{info.dtype}|{info.shape}|".encode())
        with info.file.open("rb") as handle:
            handle.seek(info.start + max(0, info.size // 2 - 512))
            digest.update(handle.read(min(1024, info.size)))
    return digest.hexdigest()


def side_files(path: Path) -> list[Path]:
    """What travels with the weights of a folder, by the fixed list; a folder of licences does not."""
    found = [(pattern, file) for pattern in SIDE_FILES for file in sorted(path.glob(pattern))]
    names = {file.relative_to(path).as_posix(): file for pattern, file in found if pattern == file.name or not file.is_dir()}
    return [names[name] for name in sorted(names)]


def copy_side_files(src: Path, dst: Path, skip: tuple[str, ...] = ()) -> list[str]:
    """The names copied: tokenizer, config, template and licence files by a fixed list, so nothing unknown travels along."""
    files = [file for file in side_files(src) if file.name not in skip]
    names = [file.relative_to(src).as_posix() for file in files]
    for name in names:
        (dst / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(src / name, dst / name)
    return names


def complete_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the keys that other readers of LFM2 need and transformers does not write.

    vLLM reads `conv_dim` and `block_dim`, GGUF converters `block_ff_dim`, `full_attn_idxs` and `rope_theta`. Others come back
    unchanged.
    """
    if config.get("model_type") != "lfm2":
        return dict(config)
    extra: dict[str, Any] = dict.fromkeys(("conv_dim", "block_dim"), config["hidden_size"]) if "hidden_size" in config else {}
    if "intermediate_size" in config:
        extra["block_ff_dim"] = config["intermediate_size"]
    if "layer_types" in config:
        extra["full_attn_idxs"] = [i for i, kind in enumerate(config["layer_types"]) if kind == "full_attention"]
    if theta := (config.get("rope_parameters") or {}).get("rope_theta"):
        extra["rope_theta"] = theta
    return {**config, **{key: value for key, value in extra.items() if config.get(key) is None}}
