"""What a checkpoint folder may hold, checked before any other reader sees it: no code, nothing that leaves the folder or hangs a
reader, and settings whose values are of the kind and size that real ones have.

    check_folder(path)                     # it is one
    check_entries(path)                    # of plain files
    check_settings(file, read_json(file))  # that ask for nothing but to be read
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hala.errors import InputError
from hala.weights.headers import AGAIN, MAX_JSON, READABLE, TensorInfo, read_json, shown

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
CODE_FILES = (".py", ".pyc", ".pyd", ".so", ".dylib", ".dll")
ADAPTER = "adapter_config.json"
TEXTS = (".json", ".jinja", ".txt", ".model")  # what libraries read whole
CODE_KEYS = frozenset({"auto_map", "trust_remote_code", "custom_pipelines"})
KERNEL_KEY = re.compile(r"_?(attn|experts)_implementation\w*")  # with a slash, a repository of compiled code
TOKENIZER_CLASS = re.compile(r"(?!Auto)\w+(Tokenizer|TokenizerFast|Backend)")
MAX_FILES, MAX_DEPTH = 10_000, 16  # of a folder and what is below
MAX_GROWTH = 10_000  # of a text that a normalizer replaces letters in
MAX_NESTING = 64  # of settings
EMBEDDING = "model.embed_tokens.weight"

SIZES = {  # the most that a config may say; real ones stay below a tenth of it
    "conv_L_cache": 10**4,
    "head_dim": 10**5,
    "hidden_size": 10**6,
    "intermediate_size": 10**7,
    "max_position_embeddings": 10**10,
    "num_attention_heads": 10**5,
    "num_experts": 10**5,
    "num_hidden_layers": 10**4,
    "num_key_value_heads": 10**5,
    "num_local_experts": 10**5,
    "vocab_size": 10**8,
}
PER_LAYER = ("head_dim", "intermediate_size", "num_attention_heads", "num_key_value_heads", "num_experts")  # may be lists
WORD = re.compile(r"[\w.+ -]{0,100}", re.ASCII)
DTYPE = re.compile(r"auto|(torch\.)?(bfloat16|u?int\d+|float\d+\w*|half|float|double)", re.ASCII)
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def check_folder(path: Path) -> None:
    """Nothing, or InputError saying what is there in place of a checkpoint folder."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        why = "" if isinstance(error, FileNotFoundError | ValueError) else f" ({error.strerror})"
        fix = "Give a folder with config.json and *.safetensors, or a hub name like LiquidAI/LFM2-350M."
        raise InputError(f"no checkpoint folder at {path}{why}.", fix) from error
    if not stat.S_ISDIR(mode):
        if path.suffix in PICKLED:
            refuse_pickled(path)
        raise InputError(f"{path} is no checkpoint folder.", "Give the folder that holds config.json and *.safetensors.")


def refuse_pickled(path: Path) -> None:
    """Raises the InputError for weights that are pickled."""
    raise InputError(
        f"{path} holds pickled weights ({', '.join(PICKLED)}), which can run code when read.",
        "Convert it elsewhere to safetensors; it is never opened here.",
    )


def check_entries(path: Path) -> None:
    """Nothing, or InputError for code, pipes, devices, links that leave the folder and absurd numbers of files, at any depth.

    Links of the hub's cache lead from `snapshots/<commit>` to `blobs`, so these two belong together.
    """
    if os.path.lexists(path / ADAPTER):
        fix = "Merge it into its base model first (merge_and_unload of peft)."
        raise InputError(f"{path / ADAPTER}: this is an adapter, which would load another model.", fix)
    root = os.path.realpath(path)
    homes = [root]
    if os.path.basename(os.path.dirname(root)) == "snapshots":
        homes.append(os.path.realpath(os.path.join(root, "../../blobs")))
    for number, file in enumerate(walk(path)):
        if number >= MAX_FILES:
            raise InputError(f"{path} has more than {MAX_FILES} files.", "Give a folder with a checkpoint and little else.")
        if file.suffix in CODE_FILES:
            fix = "Move it out; no code of a checkpoint is ever run."
            raise InputError(f"{path} carries Python code or a library ({shown(file.name)}).", fix)
        mode = file.lstat().st_mode
        if stat.S_ISLNK(mode):
            check_link(file, homes)
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{file} is not a regular file.", "Move it out; a reader would wait on it for ever.")
        if ((file.suffix in TEXTS and file.parent == path) or file.suffix == ".jinja") and file.stat().st_size > MAX_JSON:
            raise InputError(f"{file} has {file.stat().st_size} bytes, too many for what it is.", AGAIN)


def walk(path: Path) -> Iterator[Path]:
    """Everything in a folder and below, links not followed. Raises: InputError for what cannot be read and for deep folders."""

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}.", READABLE) from error

    for place, folders, files in os.walk(path, onerror=fail):
        here = Path(place)
        if len(here.parts) - len(path.parts) > MAX_DEPTH:
            raise InputError(f"{path} has folders more than {MAX_DEPTH} deep.", "Move them out.")
        yield from (here / name for name in sorted([*folders, *files]))


def check_link(file: Path, homes: list[str]) -> None:
    """Nothing, or InputError for a link that leaves the folder, where the user's own files are, or leads nowhere."""
    target = os.path.realpath(file)
    if not any(Path(target).is_relative_to(home) for home in homes):
        raise InputError(f"{file} is a link to {target}, outside of the checkpoint.", "Put the file itself in its place.")
    if not os.path.exists(target):
        raise InputError(f"{file} is a link to nothing.", AGAIN)


def check_settings(file: Path, settings: dict[str, Any]) -> None:
    """Nothing, or InputError for a key that makes libraries run code, at any depth, or a value that no real model has."""
    for node in nodes(settings, file):
        for key, value in node.items():
            if key in CODE_KEYS or names_code(key, value):
                fix = "Such models are not loaded; see whether it is needed."
                raise InputError(f"{file} asks to run code of its own ({key}: {shown(value)}).", fix)
            if key in VALUES and value is not None and not VALUES[key][0](value):
                raise InputError(f"{file} has {shown(value)} as {key}, not {VALUES[key][1]}.", AGAIN)
    try:
        json.dumps(settings, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{file} has half a letter (a lone surrogate).", AGAIN) from error


def names_code(key: str, value: Any) -> bool:
    """Whether a value names something to run: a kernel of the hub, or what is no tokenizer for a tokenizer."""
    if KERNEL_KEY.fullmatch(key):
        return any("/" in str(each) for each in (value.values() if isinstance(value, dict) else [value]))
    return key == "tokenizer_class" and value is not None and not matches(TOKENIZER_CLASS)(value)


def nodes(settings: dict[str, Any], file: Path) -> Iterator[dict[str, Any]]:
    """All objects in a JSON value, level by level. Raises: InputError when it is nested too deep."""
    level: list[Any] = [settings]
    for _ in range(MAX_NESTING):
        yield from (value for value in level if isinstance(value, dict))
        inner = [value.values() if isinstance(value, dict) else value for value in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return
    raise InputError(f"{file} is nested more than {MAX_NESTING} deep.", AGAIN)


def read_tokenizer(file: Path) -> dict[str, Any]:
    """The content of tokenizer.json. Raises: InputError when its parts are not of the kind that libraries take them for."""
    content = read_json(file)
    model, added = content.get("model"), content.get("added_tokens")
    if not isinstance(model, dict):
        raise InputError(f"{file} cannot be loaded: it has no model.", AGAIN)
    vocabulary, merges = model.get("vocab"), model.get("merges", [])
    sound = {
        "vocab": is_vocabulary(vocabulary),
        "merges": isinstance(merges, list) and all(map(is_merge, merges)),
        "added_tokens": added is None or (isinstance(added, list) and all(map(is_added, added))),
    }
    sound |= {key: content.get(key) is None or is_object(content[key]) for key in ("normalizer", "pre_tokenizer", "decoder")}
    if wrong := next((part for part, good in sound.items() if not good), None):
        raise InputError(f"{file} cannot be loaded: no tokenizer has such {wrong}.", AGAIN)
    growth = 1
    for node in nodes(content.get("normalizer") or {}, file):
        growth *= 1 + len(str(node.get("content", "")))
        if growth > MAX_GROWTH:
            raise InputError(f"{file} would make a text more than {MAX_GROWTH} times as long.", AGAIN)
    return content


def is_vocabulary(value: Any) -> bool:
    """Ids by token, or tokens with scores in the order of ids."""
    if isinstance(value, dict):
        return all(map(is_row, value.values()))
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) and type(each[1]) in (int, float) for each in value
    )


def is_merge(value: Any) -> bool:
    """Two tokens, or both in one text."""
    return isinstance(value, str) or (
        isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)
    )


def is_added(value: Any) -> bool:
    """A token with its id and text."""
    return is_object(value) and isinstance(value.get("content"), str) and is_row(value.get("id"))


def is_row(value: Any) -> bool:
    """A row of an embedding."""
    return type(value) is int and 0 <= value < SIZES["vocab_size"]


def check_config(file: Path, config: dict[str, Any], tensors: dict[str, TensorInfo]) -> None:
    """Nothing, or InputError for a config that cannot belong to these tensors."""
    layers = config.get("num_hidden_layers") or 0
    if layers > len(tensors):
        raise InputError(f"{file} has {layers} layers, the weights only {len(tensors)} tensors.", AGAIN)
    info, told = tensors.get(EMBEDDING), [config.get(key) for key in ("vocab_size", "hidden_size")]
    if info and None not in told and list(info.shape) != told:
        raise InputError(f"tensor {EMBEDDING} in {info.file} is {list(info.shape)}, and {file} promises {told}.", AGAIN)


def matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    """A rule: text that this pattern matches from end to end."""
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def is_object(value: Any) -> bool:
    """A JSON object."""
    return isinstance(value, dict)


def is_number(value: Any) -> bool:
    """A positive, finite number."""
    return type(value) in (int, float) and math.isfinite(value) and value > 0


def is_size(key: str) -> Callable[[Any], bool]:
    """A rule: a whole number up to the most of this key, or where layers may differ one for each."""
    least = 0 if "experts" in key or key == "head_dim" else 1

    def check(value: Any) -> bool:
        many = value if key in PER_LAYER and isinstance(value, list) and len(value) <= SIZES["num_hidden_layers"] else [value]
        return all(type(each) is int and least <= each <= SIZES[key] for each in many)

    return check


def is_words(value: Any) -> bool:
    """A list of words, one for each layer."""
    return isinstance(value, list) and len(value) <= SIZES["num_hidden_layers"] and all(map(matches(WORD), value))


def is_ids(value: Any) -> bool:
    """A token id or several; -1 means none in some configs."""
    many = value if isinstance(value, list) and len(value) <= 1000 else [value]
    return all(type(each) is int and -1 <= each < SIZES["vocab_size"] for each in many)


def is_token(value: Any) -> bool:
    """A special token: its text, or an object with it."""
    return isinstance(value["content"] if isinstance(value, dict) and "content" in value else value, str)


def is_template(value: Any) -> bool:
    """A chat template, or several with names."""
    if isinstance(value, list):
        return all(isinstance(each, dict) and isinstance(each.get("template"), str) and "name" in each for each in value)
    return isinstance(value, str) or (isinstance(value, dict) and all(isinstance(each, str) for each in value.values()))


VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {  # what the value of a key must be unless it is null, and in words
    **{key: (is_size(key), f"a whole number up to {most}") for key, most in SIZES.items()},
    **{key: (matches(WORD), "a word") for key in ("model_type", "rope_type", "quant_method")},
    **{key: (matches(DTYPE), "the name of a dtype") for key in ("dtype", "torch_dtype")},
    **{key: (is_number, "a positive number") for key in ("rope_theta", "norm_eps", "block_norm_eps", "rms_norm_eps")},
    **{key: (is_object, "an object") for key in ("rope_parameters", "rope_scaling", "quantization_config", "text_config")},
    **{f"{role}_token_id": (is_ids, "a token id") for role in ROLES},
    **{f"{role}_token": (is_token, "a token") for role in ROLES},
    "chat_template": (is_template, "a template"),
    "layer_types": (is_words, "a list of words, one for each layer"),
}
