"""Scores reproduce merges, or are refused with a text that shows where they do not. (llama.cpp itself: test_llama_cpp.py.)"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hala.errors import InputError
from hala.weights.gguf_scores import cut, find_scores, space_prefix

from .gguf_models import make_spaced_tokenizer

TOKENIZER = make_spaced_tokenizer().backend_tokenizer
CONTENT = json.loads(TOKENIZER.to_str())
TOKENS = [TOKENIZER.id_to_token(index) for index in range(TOKENIZER.get_vocab_size())]
MERGES = [tuple(merge) for merge in CONTENT["model"]["merges"]]


@given(st.text(alphabet="abcethr قأالبتيَّ 12\t漢🚀", max_size=40))
def test_scores_cut_as_merges_do(text: str) -> None:
    """For any text without added tokens, joining by score gives the tokens that merging by rank gives."""
    scores = find_scores(CONTENT, TOKENS, MERGES, TOKENIZER, Path("tokenizer.json"))
    ids = {token: index for index, token in enumerate(TOKENS)}
    assert cut(scores, ids, text) == TOKENIZER.encode(text, add_special_tokens=False).ids


def test_missing_ways_are_found() -> None:
    """A tokenizer whose tokens are made in one way each, as our trainer would learn it, is refused with a text."""
    learned = make_spaced_tokenizer(closed=False).backend_tokenizer
    content = json.loads(learned.to_str())
    tokens = [learned.id_to_token(index) for index in range(learned.get_vocab_size())]
    with pytest.raises(InputError, match=r"cuts .* not converted from SentencePiece"):
        find_scores(content, tokens, [tuple(merge) for merge in content["model"]["merges"]], learned, Path("t"))


def test_a_missing_byte_is_told() -> None:
    """llama.cpp stops when a byte has no token; the export says which."""
    vocab = {text: index for text, index in CONTENT["model"]["vocab"].items() if text != "<0x7F>"}
    content = {**CONTENT, "model": {**CONTENT["model"], "vocab": vocab}}
    with pytest.raises(InputError, match="<0x7F>"):
        find_scores(content, TOKENS, MERGES, TOKENIZER, Path("t"))


@pytest.mark.parametrize(("prefix", "space", "warned"), [("", False, False), ("always", True, False), ("first", True, True)])
def test_the_space_before_a_text(prefix: str, space: bool, warned: bool) -> None:
    """The three usual ways are told apart, and the one that llama.cpp only nearly has is said."""
    found, warnings = space_prefix(json.loads(make_spaced_tokenizer(prefix).backend_tokenizer.to_str()), Path("t"))
    assert (found, bool(warnings)) == (space, warned)


def test_other_changes_of_text_are_refused() -> None:
    """Lower case has no place in a GGUF file."""
    content = {**CONTENT, "normalizer": {"type": "Lowercase"}}
    assert Tokenizer.from_str(json.dumps(content)).encode("A").tokens  # a real tokenizer
    with pytest.raises(InputError, match="Lowercase"):
        space_prefix(content, Path("t"))
