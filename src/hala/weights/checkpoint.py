"""Reading checkpoints: a Hugging Face folder seen as named tensors, checked before a byte of it is believed.

A safetensors header is parsed here and not by a library, so that a hostile or cut-off file is refused, with the names of the file
and the tensor, before anything is allocated. Tensors are read one at a time: memory stays at the largest tensor.

    checkpoint = open_checkpoint(Path("LFM2-350M"))
    for name in checkpoint.tensors:      # sorted by name
        weight = checkpoint.read(name)   # a torch tensor on the CPU
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.errors import InputError

if TYPE_CHECKING:
    import torch

# In the order of the reference writer, which sorts tensors by it. code -> (torch name, bytes per item)
DTYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
    "I16": ("int16", 2),
    "U16": ("uint16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I32": ("int32", 4),
    "U32": ("uint32", 4),
    "F32": ("float32", 4),
    "C64": ("complex64", 8),
    "F64": ("float64", 8),
    "I64": ("int64", 8),
    "U64": ("uint64", 8),
}
MAX_HEADER = 100_000_000  # bytes, the limit of the reference reader
MAX_JSON = 64_000_000  # bytes; the largest tokenizer.json in the wild is about 35 MB
MAX_TENSORS = 200_000
SHARD_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\.safetensors")
INDEX_NAME = "model.safetensors.index.json"
AGAIN = "Download or write it again."
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
class TensorInfo:
    """Where one tensor lies: `start` is the offset in bytes from the beginning of `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return math.prod(self.shape) * DTYPES[self.dtype][1]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose headers were checked: its config and its tensors, sorted by name."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]

    def read(self, name: str) -> torch.Tensor:
        """The tensor on the CPU, in its stored dtype."""
        return read_tensor(self.tensors[name])


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


def read_header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of one safetensors file, by name. Sizes are Python integers, so no product can wrap around.

    Raises: InputError naming the file and the tensor. Source: the safetensors format, https://github.com/huggingface/safetensors.
    """
    total = regular_size(file)
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if total < 8 or length > min(MAX_HEADER, total - 8):
            raise InputError(f"{file} is not a safetensors file or is cut off inside its header.", AGAIN)
        raw = handle.read(length)
    if raw.count(b'"data_offsets"') > MAX_TENSORS:
        raise InputError(f"{file} claims more than {MAX_TENSORS} tensors.")
    entries = parse_json(raw, file)
    entries.pop("__metadata__", None)
    spans = [parse_entry(file, name, entry) for name, entry in entries.items()]
    check_spans(file, spans, total - 8 - length)
    return {name: TensorInfo(name, dtype, shape, file, 8 + length + begin) for name, dtype, shape, begin, _ in spans}


Span = tuple[str, str, tuple[int, ...], int, int]  # name, dtype, shape, begin, end


def parse_entry(file: Path, name: str, entry: Any) -> Span:
    """One checked header entry; offsets count from the end of the header."""
    where = f"tensor {name[:512]!r} in {file}"
    if not name or len(name) > 512 or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise InputError(f"{where}: not a usable tensor name.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where}: its header entry is malformed.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{where}: unknown dtype {dtype!r}.", f"Known: {', '.join(DTYPES)}.")
    if not is_counts(shape) or not is_counts(offsets) or len(offsets) != 2 or len(shape) > 16:
        raise InputError(f"{where}: shape or offsets are not lists of non-negative integers.")
    size = math.prod(shape) * DTYPES[dtype][1]
    if offsets[1] - offsets[0] != size:
        raise InputError(f"{where}: shape and dtype need {size} bytes, its offsets span {offsets[1] - offsets[0]}.")
    return name, dtype, tuple(shape), offsets[0], offsets[1]


def is_counts(value: Any) -> bool:
    """Whether `value` is a list of non-negative integers that fit a file; bool is not an integer here."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)


def check_spans(file: Path, spans: list[Span], available: int) -> None:
    """Nothing, or InputError for the first hole, overlap, cut-off tensor or trailing bytes."""
    cursor = 0
    for name, _, _, begin, end in sorted(spans, key=lambda span: span[3:]):
        if end > available:
            raise InputError(f"{file} is cut off: tensor {name} ends at byte {end} of {available}.", AGAIN)
        if begin != cursor:
            raise InputError(f"{file}: tensor {name} begins at byte {begin}, not at {cursor}: a hole or an overlap.")
        cursor = end
    if cursor != available:
        raise InputError(f"{file} has {available - cursor} bytes that belong to no tensor.", AGAIN)


def read_tensor(info: TensorInfo) -> torch.Tensor:
    """The tensor on the CPU, read with one pass over its own bytes."""
    import torch

    dtype = getattr(torch, DTYPES[info.dtype][0])
    if info.size == 0:
        return torch.empty(info.shape, dtype=dtype)
    buffer = bytearray(info.size)
    with info.file.open("rb") as handle:
        handle.seek(info.start)
        if handle.readinto(buffer) != info.size:
            raise InputError(f"{info.file} is cut off inside tensor {info.name}.", AGAIN)
    return torch.frombuffer(buffer, dtype=torch.uint8).view(dtype).reshape(info.shape)


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


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises: InputError when it is missing, too large, malformed or has a key twice."""
    if regular_size(file) > MAX_JSON:
        raise InputError(f"{file} is larger than {MAX_JSON} bytes, too large for a settings file.")
    return parse_json(file.read_bytes(), file)


def parse_json(raw: bytes, file: Path) -> dict[str, Any]:
    """The JSON object in `raw`; `file` is named in errors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ValueError("a key is there twice")
        return result

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON: {str(error)[:200]}.", AGAIN) from error
    if not isinstance(value, dict):
        raise InputError(f"{file} is not a JSON object.", AGAIN)
    return value


def regular_size(file: Path) -> int:
    """Bytes of a regular file; pipes and devices, which would hang a reader, are refused."""
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{file} is not a regular file.")
    return status.st_size


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
