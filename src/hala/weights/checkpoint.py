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
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from hala.errors import InputError
from hala.weights.headers import AGAIN, DTYPES, MAX_JSON, TensorInfo, read_header, read_json, regular_size

Array = np.ndarray[Any, Any]
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\.safetensors")
INDEX_NAME = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
CODE_KEYS = frozenset({"auto_map", "trust_remote_code", "custom_pipelines"})
SIDE_FILES = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "hala.json",
    "LICENSE*",
    "merges.txt",
    "NOTICE*",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
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
    if not path.is_dir():
        raise InputError(f"no checkpoint folder at {path}.", "Give a folder with config.json and *.safetensors.")
    check_safe(path)
    if not (path / "config.json").is_file():
        raise InputError(f"{path} has no config.json.", "Without it nobody can know the architecture; download the model again.")
    config = read_json(path / "config.json")
    tensors: dict[str, TensorInfo] = {}
    for file in find_shards(path):
        for name, info in read_header(file).items():
            if name in tensors:
                raise InputError(f"tensor {name} is in {tensors[name].file.name} and in {file.name} of {path}.")
            tensors[name] = info
    if (path / INDEX_NAME).is_file() and not (path / "model.safetensors").is_file():
        check_index(path, tensors)
    return Checkpoint(path, config, dict(sorted(tensors.items())))


def find_shards(path: Path) -> list[Path]:
    """The weight files of a folder, sorted. Like transformers, `model.safetensors` wins over an index."""
    single, index = path / "model.safetensors", path / INDEX_NAME
    if single.is_file():
        return [single]
    if index.is_file():
        return [path / name for name in sorted(set(weight_map(index).values()))]
    if any(path.glob("*.safetensors")):
        raise InputError(f"{path} has shards but neither model.safetensors nor {INDEX_NAME}.", "Download the index too.")
    if any(file.suffix in PICKLED for file in path.iterdir()):
        raise InputError(
            f"{path} holds only pickled weights ({', '.join(PICKLED)}), which can run code when read.",
            "Convert it elsewhere to safetensors; it is never opened here.",
        )
    raise InputError(f"{path} holds no *.safetensors file.", "Give a finished checkpoint in safetensors format.")


def weight_map(index: Path) -> dict[str, str]:
    """The tensor name to file name mapping of an index; every name must be a plain file name beside it."""
    mapping = read_json(index).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise InputError(f"{index} has no weight_map.", "Download the index again.")
    for name, file in mapping.items():
        if not isinstance(file, str) or not SHARD_NAME.fullmatch(file):
            raise InputError(f"{index} puts tensor {name!r} into {file!r}, which is not a plain *.safetensors name.")
        if not (index.parent / file).is_file():
            raise InputError(f"{index} lists {file}, which is missing.", "Download the missing shard.")
    return mapping


def check_index(path: Path, tensors: dict[str, TensorInfo]) -> None:
    """Nothing, or InputError for a tensor that the index promises and its shard lacks."""
    for name, file in weight_map(path / INDEX_NAME).items():
        if name not in tensors or tensors[name].file.name != file:
            raise InputError(f"{path / INDEX_NAME} promises tensor {name} in {file}, which does not have it.")


def read_part(info: TensorInfo, start: int, count: int) -> Array:
    """`count` elements of a tensor from element `start`, in a new array."""
    values = np.empty(count, dtype=numpy_dtype(info.dtype))
    read_into(info, start, values)
    return values


def read_into(info: TensorInfo, start: int, values: Array) -> None:
    """Fills a contiguous array with elements of a tensor, from `start` on. Raises: InputError when the file ends early."""
    if not values.size:
        return
    with info.file.open("rb", buffering=0) as handle:
        handle.seek(info.start + start * values.itemsize)
        view = values.reshape(-1).view(np.uint8).data
        while view:  # one call reads at most 2 GB
            got = handle.readinto(view)
            if not got:
                raise InputError(f"{info.file} is cut off inside tensor {info.name}.", AGAIN)
            view = view[got:]


def numpy_dtype(code: str) -> np.dtype[Any]:
    """The numpy dtype of a safetensors code; those that numpy lacks come from `ml_dtypes`."""
    name = DTYPES[code][0]
    return np.dtype("bool" if code == "BOOL" else getattr(ml_dtypes, name, None) or name)


def fingerprint(checkpoint: Checkpoint) -> str:
    """SHA-256 over the config, all names, dtypes, shapes and a kilobyte of every tensor: cheap, and another fine-tune differs."""
    digest = hashlib.sha256(json.dumps(checkpoint.config, sort_keys=True).encode())
    for info in checkpoint.tensors.values():
        digest.update(f"{info.name}|{info.dtype}|{info.shape}|".encode())
        with info.file.open("rb") as handle:
            handle.seek(info.start + max(0, info.size // 2 - 512))
            digest.update(handle.read(min(1024, info.size)))
    return digest.hexdigest()


def check_safe(path: Path) -> None:
    """Nothing, or InputError when the folder carries code or a JSON key that makes libraries run code.

    Runs before any third-party loader sees the folder. Vocabulary files are skipped: their keys are tokens, not settings.
    """
    if scripts := sorted(file.name for file in path.glob("*.py")):
        raise InputError(f"{path} carries Python code ({scripts[0]}).", "Move it out; no code of a checkpoint is ever run.")
    for file in sorted(path.glob("*.json")):
        if file.name in ("tokenizer.json", "vocab.json", INDEX_NAME):
            continue
        if key := find_key(read_json(file), CODE_KEYS):
            raise InputError(
                f"{file} asks to run code of its own ({key}).", "Such models are not loaded; see whether it is needed."
            )


def find_key(value: Any, keys: frozenset[str]) -> str | None:
    """The first of `keys` found at any depth."""
    if isinstance(value, dict):
        hit = next((key for key in value if key in keys), None)
        return hit or next((found for item in value.values() if (found := find_key(item, keys))), None)
    if isinstance(value, list):
        return next((found for item in value if (found := find_key(item, keys))), None)
    return None


def copy_side_files(src: Path, dst: Path, skip: tuple[str, ...] = ()) -> list[str]:
    """The names copied: tokenizer, config, template and licence files by a fixed list, so nothing unknown travels along."""
    copied = []
    for pattern in SIDE_FILES:
        for file in sorted(src.glob(pattern)):
            if file.name not in skip and regular_size(file) <= MAX_JSON:
                shutil.copyfile(file, dst / file.name)
                copied.append(file.name)
    return copied


def complete_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the keys that other readers of LFM2 need and transformers does not write.

    vLLM reads `conv_dim`; GGUF converters read `block_ff_dim`, `full_attn_idxs` and `rope_theta`. Others come back unchanged.
    """
    if config.get("model_type") != "lfm2":
        return dict(config)
    extra: dict[str, Any] = {"conv_dim": config["hidden_size"]}
    if "intermediate_size" in config:
        extra["block_ff_dim"] = config["intermediate_size"]
    if "layer_types" in config:
        extra["full_attn_idxs"] = [i for i, kind in enumerate(config["layer_types"]) if kind == "full_attention"]
    if theta := (config.get("rope_parameters") or {}).get("rope_theta"):
        extra["rope_theta"] = theta
    return {**config, **{key: value for key, value in extra.items() if config.get(key) is None}}
