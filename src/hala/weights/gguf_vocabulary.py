"""The tokenizer of a GGUF file: what tokenizer.json says, in the two forms that llama.cpp knows.

Byte-level BPE (`gpt2`) keeps its merges; the rule that cuts text into words goes by a name, because llama.cpp has the rules built
in. BPE over characters with a fallback to bytes (`llama`) becomes scores, see `gguf_scores`. What llama.cpp would cut differently
is refused, or told when few texts are concerned.

    vocabulary = read_vocabulary(Path("gemma-2-2b"), rows=256_000)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hala.errors import InputError
from hala.weights.gguf_scores import BYTE, SPACE, find_scores
from hala.weights.headers import MAX_JSON, read_json, regular_size
from hala.weights.hub import first_line
from hala.weights.safety import read_tokenizer

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"
LINES = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+" + LINES
# Expression in tokenizer.json, whether whole words skip the merges, llama.cpp's name for both
SPLITTERS = (
    (LLAMA3, True, "llama-bpe"),
    (LLAMA3, False, "dbrx"),
    (CONTRACTIONS + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+" + LINES, False, "qwen2"),
    (CONTRACTIONS + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+" + LINES, False, "qwen35"),
)
ENDS = {"<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eom_id|>"}
"""Ends of an answer that llama.cpp knows by their text."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as GGUF stores it: token texts and types by id, ids by role, and `merges` or `scores`, as `model` wants it."""

    model: str
    splitter: str
    tokens: list[str]
    types: list[int]
    special: dict[str, int]
    adds: dict[str, bool]
    merges: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()
    space_prefix: bool = False
    template: str = ""
    warnings: tuple[str, ...] = ()


def read_vocabulary(folder: Path, rows: int, splitter: str | None = None, kind: str = "") -> Vocabulary:
    """The tokenizer of a checkpoint folder with `rows` embeddings; `kind` is the model type.

    `splitter` is llama.cpp's name for the rule that cuts text into words, by default what tokenizer.json says.
    Raises: InputError for a tokenizer that llama.cpp would read differently, naming what is different.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{folder} has no tokenizer.json.", "GGUF export needs a BPE tokenizer in that format.")
    content, settings, backend = read_tokenizer(file), read_optional(folder / "tokenizer_config.json"), load_backend(file)
    model = content["model"]
    if model.get("type") != "BPE" or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise InputError(f"{file} is a {model.get('type')} tokenizer.", "Only BPE without prefixes and suffixes is exported.")
    tokens, types = list_tokens(content, rows, file)
    special = special_ids(folder, settings, {text: index for index, text in enumerate(tokens)})
    whole = backend.encode("a").ids
    adds = {"bos": whole[:1] == [special.get("bos")], "eos": whole[-1:] == [special.get("eos")]}
    base = Vocabulary("gpt2", "default", tokens, types, special, adds, template=read_template(folder, settings))
    merges = tuple(split_merge(merge) for merge in model.get("merges", []))
    if model.get("byte_fallback"):
        found = find_scores(content, tokens, merges, backend, file)
        scored = replace(base, model="llama", scores=found.values, space_prefix=found.space_prefix)
        return replace(scored, warnings=found.warnings)
    splitter = splitter or find_splitter(content, file)
    if (splitter, kind) == ("llama-bpe", "lfm2"):
        splitter = "lfm2"  # the same rule, under the name in LFM2's own files
    return replace(base, splitter=splitter, merges=merges, warnings=byte_level_warnings(content, file))


def load_backend(file: Path) -> Any:
    """The tokenizer itself."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:
        raise InputError(f"{file} cannot be loaded: {first_line(error)}", "Download or write it again.") from error


def read_optional(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; empty when there is none."""
    return read_json(file) if file.is_file() else {}


def split_merge(merge: Any) -> tuple[str, str]:
    """The two sides of a merge, whichever of the two ways tokenizer.json spells it."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def list_tokens(content: Mapping[str, Any], rows: int, file: Path) -> tuple[list[str], list[int]]:
    """Token texts and GGUF token types by id; ids that the tokenizer leaves out become unused tokens."""
    from gguf import TokenType

    tokens, types = [f"[PAD{i}]" for i in range(rows)], [int(TokenType.UNUSED)] * rows
    model, entries = content["model"], []
    spaced = bool(model.get("byte_fallback"))  # tokens of characters, with one for each byte
    for text, index in model["vocab"].items():
        entries.append((index, text, TokenType.BYTE if spaced and BYTE.fullmatch(text) else TokenType.NORMAL))
    for added in content.get("added_tokens") or []:
        # llama.cpp prints user-defined tokens as they are; those of spaces must come out as spaces.
        kind = TokenType.NORMAL if spaced and SPACE in added["content"] else TokenType.USER_DEFINED
        entries.append((added["id"], added["content"], TokenType.CONTROL if added.get("special") else kind))
    if spaced and (unknown := model.get("unk_token")) in model["vocab"]:
        entries.append((model["vocab"][unknown], unknown, TokenType.UNKNOWN))
    for index, text, kind in entries:
        if not 0 <= index < rows:
            raise InputError(f"{file} has token {index}, the model only {rows} embeddings.", "The tokenizer is another model's.")
        tokens[index], types[index] = text, int(kind)
    if len(set(tokens)) < rows:
        twice = next(text for index, text in enumerate(tokens) if text in tokens[:index])
        raise InputError(f"{file} has the token {twice!r} twice.", "llama.cpp needs different texts; correct the tokenizer.")
    return tokens, types


def special_ids(folder: Path, settings: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, int]:
    """Token ids by role: bos, eos, unk, pad, ...; eot and eom are further ends of an answer that llama.cpp cannot guess."""
    found: dict[str, int] = {}
    for role in ("bos", "eos", "unk", "sep", "pad", "mask"):
        text = settings.get(f"{role}_token")
        text = text["content"] if isinstance(text, dict) else text
        if isinstance(text, str) and text in ids:
            found[role] = ids[text]
    ends: list[int] = []
    for name in ("generation_config.json", "config.json"):
        known = read_optional(folder / name)
        for role in ("bos", "pad"):
            if role not in found and isinstance(known.get(f"{role}_token_id"), int):
                found[role] = known[f"{role}_token_id"]
        end = known.get("eos_token_id")
        ends += end if isinstance(end, list) else [end] if isinstance(end, int) else []
    if "eos" not in found and ends:
        found["eos"] = ends[0]
    texts = {index: text for text, index in ids.items()}
    others = [end for end in dict.fromkeys(ends) if end != found.get("eos") and texts.get(end, "") not in ENDS]
    found |= dict(zip(("eot", "eom"), others, strict=False))
    return {role: index for role, index in found.items() if 0 <= index < len(ids)}


def read_template(folder: Path, settings: Mapping[str, Any]) -> str:
    """The chat template, from its own file or from tokenizer_config.json; of several with names the one called default."""
    file = folder / "chat_template.jinja"
    if file.is_file() and regular_size(file) <= MAX_JSON:
        return file.read_text("utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = {each["name"]: each["template"] for each in template}.get("default")
    return template if isinstance(template, str) else ""


def byte_level_warnings(content: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """What llama.cpp does differently with some texts. Raises: InputError when it would with nearly all."""
    normalizer = (content.get("normalizer") or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise InputError(f"{file} changes text before cutting it ({normalizer}).", "llama.cpp does not; it cannot be exported.")
    warnings = []
    if normalizer:
        warnings.append("the tokenizer puts text into normal form NFC first, llama.cpp does not: give it text in that form")
    added = content.get("added_tokens") or []
    if stripping := [token["content"] for token in added if token.get("lstrip") or token.get("rstrip")]:
        warnings.append(f"the tokenizer drops spaces around {stripping[0]} (and {len(stripping) - 1} more), llama.cpp does not")
    return tuple(warnings)


def find_splitter(content: Mapping[str, Any], file: Path) -> str:
    """llama.cpp's name for how this tokenizer cuts text before merging."""
    outer = content.get("pre_tokenizer") or {}
    parts = outer.get("pretokenizers") or [outer]
    patterns = [part["pattern"].get("Regex", "") for part in parts if part.get("type") == "Split"]
    whole_words = bool(content["model"].get("ignore_merges"))
    prefix = any(part.get("add_prefix_space") for part in parts)  # llama.cpp never adds one
    own_rule = any(part.get("type") == "ByteLevel" and part.get("use_regex", True) for part in parts)
    if own_rule and not patterns and not prefix and not whole_words:
        digits = [part for part in parts if part["type"] != "ByteLevel"]
        if all(part["type"] == "Digits" and part.get("individual_digits") for part in digits):
            return "smollm" if digits else "gpt-2"
    if len(patterns) == 1 and len(parts) == 2 and not own_rule and not prefix:
        for pattern, skips, name in SPLITTERS:
            if pattern == patterns[0] and (skips == whole_words or merges_reach_all(content)):
                return name
    raise InputError(f"{file} splits text by a rule that has no known name in llama.cpp.", "Name it with `splitter`.")


def merges_reach_all(content: Mapping[str, Any]) -> bool:
    """Whether merging makes every token out of its own bytes, so that skipping the merges of whole words changes nothing."""
    from tokenizers.models import BPE

    model = content["model"]
    apart = {added["content"] for added in content.get("added_tokens") or []}
    bpe = BPE(vocab=model["vocab"], merges=[split_merge(merge) for merge in model.get("merges", [])])
    return all(len(bpe.tokenize(text)) == 1 for text in model["vocab"] if text not in apart)
