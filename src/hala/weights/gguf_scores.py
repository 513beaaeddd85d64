"""Scores for the tokens of a BPE over characters with a fallback to bytes, as converted from SentencePiece (Gemma 2, Llama 2).

llama.cpp's `llama` kind has no merges: it joins the two neighbours whose union has the highest score, so a token scores higher
the earlier tokenizer.json merges it. That gives the same tokens when every way to make a token is a merge, as in files converted
from SentencePiece. Whether it does is tried out, on the vocabulary itself, before anything is written.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hala.errors import InputError

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # stands for a space in these tokens
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
SAMPLES = (
    "The cat sat on the mat, didn't it? 3.14159 and 2026.",
    "مرحبا بالعالم! كَتَبَ الطَّالِبُ دَرْسَهُ ١٢٣",
    "नमस्ते दुनिया, Việt Nam, 你好 👩‍🚀",
    "def f(x):\n\treturn  x ** 2\n\n\n    # end   ",
)
TRIED = 4000  # pairs of tokens that are cut by both rules


@dataclass(frozen=True, slots=True)
class Scores:
    """A score for each token, whether llama.cpp puts a space before a text, and what it does differently."""

    values: tuple[float, ...]
    space_prefix: bool
    warnings: tuple[str, ...] = ()


def find_scores(
    content: Mapping[str, Any], tokens: Sequence[str], merges: Sequence[tuple[str, str]], backend: Any, file: Path
) -> Scores:
    """The scores for a tokenizer.json; `backend` is the tokenizer itself.

    Raises: InputError when llama.cpp would cut text differently, with a text that shows it.
    """
    if missing := [value for value in range(256) if f"<0x{value:02X}>" not in content["model"]["vocab"]]:
        raise InputError(f"{file} has no token <0x{missing[0]:02X}> for that byte.", "llama.cpp needs all 256 to fall back on.")
    prefix, warnings = space_prefix(content, file)
    first: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        first.setdefault(left + right, rank)
    scores = Scores(tuple(-float(first.get(text, len(merges))) for text in tokens), prefix, warnings)
    ids = {text: index for index, text in enumerate(tokens)}
    for text in samples(content):
        if backend.encode(text, add_special_tokens=False).ids != cut(scores, ids, text):
            fix = "Its merges lack ways to make some tokens; it was not converted from SentencePiece."
            raise InputError(f"{file} cuts {text!r} in a way that llama.cpp's scores cannot express.", fix)
    return scores


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


def samples(content: Mapping[str, Any]) -> Iterator[str]:
    """Texts to try: sentences, runs of spaces, and tokens beside each other from all over the vocabulary.

    Each begins with a letter, for what a space at the beginning becomes is told by `space_prefix`; none has an added token, for
    those are cut out first on both sides.
    """
    added = sorted((added["content"] for added in content.get("added_tokens") or []), key=len, reverse=True)
    apart = re.compile("|".join(map(re.escape, added)) or r"\Z\A")  # without added tokens nothing matches
    normal = [text for text in sorted(content["model"]["vocab"]) if text not in added and not BYTE.fullmatch(text)]
    texts = [*SAMPLES, *(" " * count + "y" for count in range(2, 40))]
    for index in range(0, len(normal), max(1, len(normal) // TRIED)):
        texts.append((normal[index] + normal[(index * 7919) % len(normal)]).replace(SPACE, " "))
    yield from ("x" + part for text in texts for part in apart.split(text) if part)


def cut(scores: Scores, ids: Mapping[str, int], text: str) -> list[int]:
    """Token ids as llama.cpp's `llama` kind makes them: the neighbours with the highest score are joined, the first of equals."""
    pieces = list((SPACE * scores.space_prefix + text).replace(" ", SPACE))
    left, right = [i - 1 for i in range(len(pieces))], [i + 1 for i in range(len(pieces))]
    queue: list[tuple[float, int, int, str]] = []

    def offer(i: int, j: int) -> None:
        if i >= 0 and j < len(pieces) and (index := ids.get(pieces[i] + pieces[j])) is not None:
            heapq.heappush(queue, (-scores.values[index], i, j, pieces[i] + pieces[j]))

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
