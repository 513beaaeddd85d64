"""What the hostile checkpoints are bred from: two benign ones, one file and two shards, and ways to spoil a copy of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WEIGHT_VERBS = ("compress", "merge base", "merge tuned", "export", "load_model")
TOKENIZER_VERBS = ("merge base", "merge tuned", "export", "load_model", "load_tokenizer")  # all that read tokenizer.json
FEW_VERBS = ("compress", "load_model")  # for attacks that take longer to make than to refuse
EVERY_VERB = (*WEIGHT_VERBS, "load_tokenizer")
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
HUGE = 2**40  # bytes of a file that is all holes and takes no room
CONFIG: dict[str, Any] = {
    "architectures": ["Lfm2ForCausalLM"],
    "block_auto_adjust_ff_dim": False,
    "bos_token_id": 1,
    "conv_L_cache": 3,
    "dtype": "bfloat16",
    "eos_token_id": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_types": ["conv", "full_attention"],
    "max_position_embeddings": 128,
    "model_type": "lfm2",
    "norm_eps": 1e-05,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "vocab_size": 288,
}
SPECIAL = ("<pad>", "<bos>", "<eos>")


@dataclass(frozen=True, slots=True)
class Attack:
    """A way to spoil a benign checkpoint: `spoil(folder)` does it and may return another path to hand to the verbs.

    Every one of `verbs` must refuse it with a message that has `names` in it. `sharded` says which benign one it starts from.
    """

    name: str
    about: str
    spoil: Callable[[Path], Path | None]
    names: str = SINGLE
    verbs: tuple[str, ...] = WEIGHT_VERBS
    sharded: bool = False
    unprivileged: bool = False


def benign(folder: Path, sharded: bool = False, seed: int = 0) -> Path:
    """A whole LFM2 checkpoint of two layers with a byte-level tokenizer, written with numpy alone."""
    folder.mkdir(parents=True)
    tensors = make_tensors(seed)
    if sharded:
        names = sorted(tensors)
        parts = [{name: tensors[name] for name in part} for part in (names[:9], names[9:])]
        for shard, part in zip(SHARDS, parts, strict=True):
            (folder / shard).write_bytes(safetensors(part))
        mapping = {name: shard for shard, part in zip(SHARDS, parts, strict=True) for name in part}
        put(folder / INDEX, {"metadata": {"total_size": sum(each.nbytes for each in tensors.values())}, "weight_map": mapping})
    else:
        (folder / SINGLE).write_bytes(safetensors(tensors))
    put(folder / "config.json", CONFIG)
    put(folder / "generation_config.json", {"eos_token_id": 2})
    put(folder / "tokenizer.json", make_tokenizer())
    put(folder / "tokenizer_config.json", {"eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast"})
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (folder / "LICENSE").write_text("Do what you like.\n")
    return folder


def make_tensors(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """The float32 weights that CONFIG promises."""
    hidden, width, head, rows = 32, 64, 16, CONFIG["vocab_size"]
    layers = "model.layers"
    shapes = {"model.embed_tokens.weight": (rows, hidden), "model.embedding_norm.weight": (hidden,)}
    for layer in range(2):
        at = f"{layers}.{layer}"
        shapes |= {f"{at}.feed_forward.{w}.weight": (width, hidden) for w in ("w1", "w3")}
        shapes |= {f"{at}.feed_forward.w2.weight": (hidden, width)}
        shapes |= {f"{at}.{norm}.weight": (hidden,) for norm in ("ffn_norm", "operator_norm")}
    shapes |= {f"{layers}.0.conv.conv.weight": (hidden, 1, 3), f"{layers}.0.conv.out_proj.weight": (hidden, hidden)}
    shapes |= {f"{layers}.0.conv.in_proj.weight": (3 * hidden, hidden)}
    shapes |= {f"{layers}.1.self_attn.{p}_proj.weight": (hidden, hidden) for p in ("q", "out")}
    shapes |= {f"{layers}.1.self_attn.{p}_proj.weight": (head, hidden) for p in ("k", "v")}
    shapes |= {f"{layers}.1.self_attn.{p}_layernorm.weight": (head,) for p in ("q", "k")}
    draw = np.random.default_rng(seed)
    return {name: draw.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def make_tokenizer() -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE without merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": token, **flags} for i, token in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {token: i for i, token in enumerate([*SPECIAL, *letters])}, "merges": []},
    }


def safetensors(tensors: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The bytes of a file that holds these float32 tensors."""
    header, cursor = {}, 0
    for name, values in tensors.items():
        header[name] = entry(list(values.shape), cursor, cursor + values.nbytes)
        cursor += values.nbytes
    return framed(header, b"".join(values.tobytes() for values in tensors.values()))


def entry(shape: Any, *offsets: Any, dtype: Any = "F32") -> dict[str, Any]:
    """A header entry, sound or not."""
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


def framed(header: Any, data: bytes = b"") -> bytes:
    """A header, of any JSON value or raw bytes, with its length before and data behind it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def put(file: Path, value: Any) -> None:
    """Writes bytes as they are, text as UTF-8 and anything else as JSON, in place of what was there."""
    if file.is_symlink() or file.exists():
        file.unlink()
    if not isinstance(value, bytes):
        value = (value if isinstance(value, str) else json.dumps(value)).encode()
    file.write_bytes(value)


def edit(file: Path, **changes: Any) -> None:
    """Writes a JSON file again with other values for some keys."""
    put(file, (json.loads(file.read_text("utf-8")) if file.exists() else {}) | changes)


def outside(folder: Path) -> Path:
    """A sound second shard beside the folder, under the user's own files."""
    place = folder.parent / "outside.safetensors"
    shutil.copyfile(folder / SHARDS[1] if (folder / SHARDS[1]).exists() else folder / SINGLE, place)
    return place


def holes(file: Path, size: int = HUGE, start: bytes = b"") -> None:
    """A file of `size` bytes, zeros after `start`, that takes next to no room."""
    put(file, start)
    with file.open("r+b") as handle:
        handle.truncate(size)


def nested(depth: int, kind: str = "list") -> bytes:
    """JSON that many levels deep."""
    return b"[" * depth + b"]" * depth if kind == "list" else b'{"a":' * depth + b"1" + b"}" * depth


def twice_wide(size: int) -> bytes:
    """A JSON object of that many bytes, its text in letters that Python keeps in four bytes each, refused only at its end."""
    return b'{"a":"\xf0\x9f\x98\x80' + b"a" * (size - 30) + b'","b":0,"b":0}'


def many_keys(count: int) -> bytes:
    """A JSON object of that many keys, refused only at its end."""
    return b"{" + b"".join(b'"%d":0,' % i for i in range(count)) + b'"0":0}'
