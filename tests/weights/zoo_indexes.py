"""Hostile indexes: mappings that point elsewhere, contradict the shards or are absurd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_tools import FEW_VERBS, INDEX, SHARDS, WEIGHT_VERBS, Attack, entry, framed, many_keys, nested, outside, put, twice_wide


def index(name: str, about: str, value: Any, verbs: tuple[str, ...] = WEIGHT_VERBS) -> Attack:
    """An attack that is an index file of any JSON value or raw bytes."""
    return Attack(
        f"index: {name}", about, lambda folder: put(folder / INDEX, value() if callable(value) else value), INDEX, verbs, True
    )


def elsewhere(label: str, about: str, target: str) -> Attack:
    """An attack by the name of a shard; `outside.safetensors`, a sound file, lies beside the folder."""

    def spoil(folder: Path) -> None:
        outside(folder)
        mapping = json.loads((folder / INDEX).read_text())["weight_map"]
        put(folder / INDEX, {"weight_map": {name: target if shard == SHARDS[1] else shard for name, shard in mapping.items()}})

    return Attack(f"shard name: {label}", about, spoil, INDEX, sharded=True)


def remapped(name: str, about: str, change: Callable[[dict[str, str]], dict[str, str]]) -> Attack:
    """An attack on the mapping of the real index."""

    def spoil(folder: Path) -> None:
        put(folder / INDEX, {"weight_map": change(json.loads((folder / INDEX).read_text())["weight_map"])})

    return Attack(f"index: {name}", about, spoil, "", sharded=True)


def twice(folder: Path) -> None:
    """A tensor of the first shard in the second too."""
    raw = (folder / SHARDS[1]).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    end = len(raw) - 8 - length
    entries = json.loads(raw[8 : 8 + length]) | {"model.embed_tokens.weight": entry([1], end, end + 4)}
    put(folder / SHARDS[1], framed(entries, raw[8 + length :] + b"\0" * 4))


def unlisted(mapping: dict[str, str]) -> dict[str, str]:
    """The mapping without its last tensor."""
    return dict(list(mapping.items())[:-1])


INDEXES = [
    index("list", "a list in place of the object", ["a"]),
    index("empty object", "no weight_map", {}),
    index("weight_map null", "a weight_map that is null", {"weight_map": None}),
    index("weight_map empty", "a weight_map of nothing, so no shard is looked at", {"weight_map": {}}),
    index("weight_map list", "pairs in place of a mapping", {"weight_map": [["w", SHARDS[0]]]}),
    index("weight_map text", "the name of one shard in place of a mapping", {"weight_map": SHARDS[0]}),
    index("shard number", "a file descriptor for a name", {"weight_map": {"w": 0}}),
    index("shard null", "a tensor in no file", {"weight_map": {"w": None}}),
    index("shard list", "a tensor in two files", {"weight_map": {"w": list(SHARDS)}}),
    index("shard object", "a name that cannot be looked up", {"weight_map": {"w": {"file": SHARDS[0]}}}),
    index("empty file", "an index of no bytes", b""),
    index("not UTF-8", "an index that is no text", b"\xff\xfe\x00"),
    index(
        "weight_map twice", "two mappings: readers disagree which counts", b'{"weight_map":{"w":"a.safetensors"},"weight_map":{}}'
    ),
    index("deep", "brackets that overflow the stack of a parser", b'{"weight_map":' + nested(100_000) + b"}"),
    index(
        "a million tensors",
        "memory: a mapping longer than any",
        lambda: b'{"weight_map":{' + b'"w":"model-00001-of-00002.safetensors",' * 1_000_000 + b'"v":""}}',
    ),
    index(
        "a million small ones",
        "the same in a file of a permitted size",
        lambda: b'{"weight_map":' + many_keys(1_000_000) + b"}",
    ),
    index(
        "within limits: letters",
        "memory: as long a text as is allowed, of letters of four bytes",
        lambda: twice_wide(35_900_000),
        verbs=FEW_VERBS,
    ),
    index(
        "within limits: keys", "time: as many keys as are allowed, one of them twice", lambda: many_keys(595_000), verbs=FEW_VERBS
    ),
    index(
        "100000 shards",
        "a mapping to as many missing files",
        lambda: {"weight_map": {f"t{i}": f"{i}.safetensors" for i in range(100_000)}},
    ),
    index("total_size negative", "a size below nothing", {"metadata": {"total_size": -1}, "weight_map": {"w": SHARDS[0]}}),
    index("total_size 2^80", "a size beyond every disk", {"metadata": {"total_size": 2**80}, "weight_map": {"w": SHARDS[0]}}),
    index("metadata list", "metadata that is no object", {"metadata": [], "weight_map": {"w": SHARDS[0]}}),
    index("name colours the terminal", "an escape sequence for the error message", {"weight_map": {"\x1b[31mw": "../x"}}),
    index("name of a megabyte", "an error message of a megabyte", {"weight_map": {"w" * 1_000_000: "../x"}}),
    remapped(
        "tensor in the wrong shard",
        "a tensor promised in the shard that lacks it",
        lambda m: m | {"model.embed_tokens.weight": SHARDS[1]},
    ),
    remapped("tensor that is nowhere", "a tensor promised that no shard has", lambda m: m | {"ghost": SHARDS[0]}),
    remapped("tensor unlisted", "a tensor that only some readers would see", unlisted),
    remapped(
        "shard unlisted",
        "half of the model kept from readers of the index",
        lambda m: {k: v for k, v in m.items() if v == SHARDS[0]},
    ),
    Attack("tensor in two shards", "a second embedding: readers disagree which counts", twice, SHARDS[1], sharded=True),
]
ELSEWHERE = [
    elsewhere("parent folder", "a file of the user's beside the folder", "../outside.safetensors"),
    elsewhere("far up", "a path past the root", "../" * 64 + "etc/passwd"),
    elsewhere("absolute", "a path from the root", "/dev/zero"),
    elsewhere("subfolder", "a path down and up again", "x/../../outside.safetensors"),
    elsewhere("backslash", "a path upwards on Windows", "..\\outside.safetensors"),
    elsewhere("drive", "a file of another disk on Windows", "C:outside.safetensors"),
    elsewhere("home", "a path that a shell would expand", "~/outside.safetensors"),
    elsewhere("address", "a file to fetch", "https://example.org/outside.safetensors"),
    elsewhere("percent", "a path in the spelling of addresses", "..%2foutside.safetensors"),
    elsewhere("empty", "the folder itself", ""),
    elsewhere("dot", "the folder itself", "."),
    elsewhere("pattern", "a pattern that matches every shard", "*.safetensors"),
    elsewhere("blank at the end", "a name that Windows cuts", "outside.safetensors "),
    elsewhere("newline", "a second line for logs", "outside.safetensors\n"),
    elsewhere("NUL", "a name that ends early in C", "outside\0.safetensors"),
    elsewhere("escape sequence", "colour for the error message", "\x1b[31m.safetensors"),
    elsewhere("pickle", "a shard that is a pickle", "pytorch_model-00002-of-00002.bin"),
    elsewhere("code", "a shard that is a module", "shard.py"),
    elsewhere("stream", "a second stream of a file on Windows", f"{SHARDS[1]}:hidden.safetensors"),
    elsewhere("a megabyte", "a name longer than any file's", "w" * 1_000_000 + ".safetensors"),
    elsewhere("missing", "a shard that is not there", "model-00009-of-00002.safetensors"),
]
ATTACKS = [*INDEXES, *ELSEWHERE]
