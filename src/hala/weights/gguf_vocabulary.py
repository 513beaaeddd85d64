"""The tokenizer of a GGUF file: what tokenizer.json says, in the two forms that llama.cpp knows.

Byte-level BPE (`gpt2`) keeps its merges; the rule that cuts text into words goes by a name, because llama.cpp has the rules built
in. BPE over characters with a fallback to bytes (`llama`: Gemma 2, Llama 2) becomes scores: llama.cpp joins the two neighbours
whose union has the highest score, so a token scores higher the earlier it is merged. Whether that cuts text in the same way is
tried out on the vocabulary itself before anything is written.

    vocabulary = read_vocabulary(Path("gemma-2-2b"), rows=256_000)
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hala.errors import InputError
from hala.weights.headers import MAX_JSON, read_json, regular_size
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
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # stands for a space in the tokens of the `llama` kind
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
ENDS = {"<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eom_id|>"}
"""Ends of an answer that llama.cpp knows by their text."""
SAMPLES = (
    "The cat sat on the mat, didn't it? 3.14159 and 2026.",
    "مرحبا بالعالم! كَتَبَ الطَّالِبُ دَرْسَهُ ١٢٣",
    "नमस्ते दुनिया, Việt Nam, 你好 👩‍🚀",
    "def f(x):\n\treturn  x ** 2\n\n\n    # end   ",
)
TRIED = 4000  # tokens whose text is cut by both rules


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
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{folder} has no tokenizer.json.", "GGUF export needs a BPE tokenizer in that format.")
    content, settings = read_tokenizer(file), read_optional(folder / "tokenizer_config.json")
    model = content["model"]
    affixes = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model.get("type") != "BPE" or affixes:
        raise InputError(
            f"{file} is a {model.get('type')} tokenizer{' with affixes' * bool(affixes)}.", "Only plain BPE is exported."
        )
    tokens, types = list_tokens(content, rows, file)
    ids = {text: index for index, text in enumerate(tokens)}
    special = special_ids(folder, settings, ids)
    backend = Tokenizer.from_file(str(file))
    cut = [special.get("bos"), *backend.encode("a", add_special_tokens=False).ids, special.get("eos")]
    whole = backend.encode("a").ids
    adds = {"bos": whole[:1] == cut[:1], "eos": whole[-1:] == cut[-1:]}
    base = Vocabulary("gpt2", "", tokens, types, special, adds, template=read_template(folder, settings))
    merges = tuple(split_merge(merge) for merge in model["merges"])
    if model.get("byte_fallback"):
        return with_scores(base, content, merges, file)
    warnings = byte_level_warnings(content, file)
    splitter = splitter or find_splitter(content, file)
    splitter = (
        "lfm2" if (splitter, kind) == ("llama-bpe", "lfm2") else splitter
    )  # the same rule under the name of LFM2's own files
    return replace(base, splitter=splitter, merges=merges, warnings=warnings)


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
        entries.append((added["id"], added["content"], TokenType.CONTROL if added["special"] else kind))
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
        if text in ids:
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
    if stripping := [
        added["content"] for added in content.get("added_tokens") or [] if added.get("lstrip") or added.get("rstrip")
    ]:
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
    bpe = BPE(vocab=model["vocab"], merges=[split_merge(merge) for merge in model["merges"]])
    return all(len(bpe.tokenize(text)) == 1 for text in model["vocab"] if text not in apart)


# Scores ---------------------------------------------------------------------------------------------------------------


def with_scores(base: Vocabulary, content: Mapping[str, Any], merges: Sequence[tuple[str, str]], file: Path) -> Vocabulary:
    """The `llama` kind: a score for each token, tried out. Raises: InputError when llama.cpp would cut text differently."""
    from tokenizers import Tokenizer

    if missing := [value for value in range(256) if f"<0x{value:02X}>" not in content["model"]["vocab"]]:
        raise InputError(f"{file} has no token <0x{missing[0]:02X}> for that byte.", "llama.cpp needs all 256 to fall back on.")
    prefix, warnings = space_prefix(content, file)
    first: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        first.setdefault(left + right, rank)
    last = len(merges) + 1
    vocabulary = replace(
        base,
        model="llama",
        splitter="default",
        scores=tuple(-float(first.get(text, last)) for text in base.tokens),
        space_prefix=prefix,
        warnings=warnings,
    )
    ids = {text: index for index, text in enumerate(base.tokens)}
    bpe = Tokenizer.from_str(json.dumps({**content, "added_tokens": [], "post_processor": None}))
    for text in samples(vocabulary, content):
        if bpe.encode(text).ids != cut(vocabulary, ids, text):
            raise InputError(
                f"{file} cuts {text!r} in a way that llama.cpp's scores cannot express.",
                "Its merges lack ways to make some tokens.",
            )
    return vocabulary


def space_prefix(content: Mapping[str, Any], file: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether a space is put before the text, and what llama.cpp does differently with it."""
    outer = content.get("normalizer") or {}
    kinds = [part.get("type") for part in outer.get("normalizers") or [outer]]
    before = content.get("pre_tokenizer") or {}
    if kinds in (["Prepend", "Replace"], ["Replace"]) and before.get("type") in (None, "Split"):
        return kinds[0] == "Prepend", ()
    if kinds == [None] and before.get("type") == "Metaspace" and before.get("replacement") == SPACE:
        scheme = before.get("prepend_scheme", "always")
        told = "llama.cpp puts a space before text that begins with one, and after each special token; the tokenizer does not"
        return scheme != "never", (told,) if scheme != "never" else ()
    raise InputError(f"{file} changes text before cutting it ({kinds}, {before.get('type')}).", "llama.cpp has no such rule.")


def samples(vocabulary: Vocabulary, content: Mapping[str, Any]) -> Iterator[str]:
    """Texts to try: sentences, runs of spaces, and tokens beside each other from all over the vocabulary.

    Each begins with a letter, for what a space at the beginning becomes is told by `space_prefix`; none has an added token, for
    those are cut out first on both sides.
    """
    from gguf import TokenType

    normal = [text for text, kind in zip(vocabulary.tokens, vocabulary.types, strict=True) if kind == TokenType.NORMAL]
    added = sorted((added["content"] for added in content.get("added_tokens") or []), key=len, reverse=True)
    apart = re.compile("|".join(map(re.escape, added)) or r"\Z\A")  # without added tokens nothing matches
    texts = [*SAMPLES, *(" " * count + "y" for count in range(2, 40))]
    for index in range(0, len(normal), max(1, len(normal) // TRIED)):
        texts.append((normal[index] + normal[(index * 7919) % len(normal)]).replace(SPACE, " "))
    yield from ("x" + part for text in texts for part in apart.split(text) if part)


def cut(vocabulary: Vocabulary, ids: Mapping[str, int], text: str) -> list[int]:
    """Token ids as llama.cpp's `llama` kind makes them: the neighbours with the highest score are joined, the first of equals."""
    pieces = list((SPACE * vocabulary.space_prefix + text).replace(" ", SPACE))
    left, right = [i - 1 for i in range(len(pieces))], [i + 1 for i in range(len(pieces))]
    queue: list[tuple[float, int, int, str]] = []

    def offer(i: int, j: int) -> None:
        if i >= 0 and j < len(pieces) and (index := ids.get(pieces[i] + pieces[j])) is not None:
            heapq.heappush(queue, (-vocabulary.scores[index], i, j, pieces[i] + pieces[j]))

    for i in range(1, len(pieces)):
        offer(i - 1, i)
    while queue:
        _, i, j, union = heapq.heappop(queue)
        if not pieces[i] or not pieces[j] or pieces[i] + pieces[j] != union:
            continue  # one of them has been joined to something else
        pieces[i], pieces[j], right[i] = union, "", right[j]
        if right[i] < len(pieces):
            left[right[i]] = i
        offer(left[i], i)
        offer(i, right[i])
    found: list[int] = []
    for piece in filter(None, pieces):
        found += [ids[piece]] if piece in ids else [ids[f"<0x{value:02X}>"] for value in piece.encode()]
    return found
