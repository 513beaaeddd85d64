"""A byte-level BPE tokenizer made from texts, with the special tokens of the LFM2 family and a short chat template.

The one idea: every byte has a token, so nothing is ever unknown and decoding gives back exactly what was encoded.
Digits stand alone, so numbers are copied digit by digit; the sentinels that mask protected spans are single tokens.

>>> from hala.training.tokenizer import train_tokenizer
>>> tokenizer = train_tokenizer(["one sentence", "another sentence"], vocab_size=300)
>>> tokenizer.decode(tokenizer.encode("sentence 42", add_special_tokens=False))
'sentence 42'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from hala.errors import InputError

PAD, BOS, EOS = "<|pad|>", "<|startoftext|>", "<|im_end|>"
ROLES = ("<|user|>", "<|assistant|>", "<|system|>", "<|tool|>")
"""What opens a turn: one token each. ChatML spends ten tokens around a pair, this form four, which short pairs feel."""

SPECIALS = (PAD, BOS, "<|endoftext|>", "<|fim_pre|>", "<|fim_mid|>", "<|fim_suf|>", "<|im_start|>", EOS, *ROLES)
"""Special tokens in id order from 0: the first eight are those of LFM2."""

SENTINELS = tuple(f"⟦{number}⟧" for number in range(1, 10))
"""Masks of protected spans: ordinary (not special) tokens, so that decoding keeps them."""

CHAT_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] -}}"
    "{%- if message['role'] == 'assistant' -%}{{- eos_token -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
"""The start token once, from the template itself; each turn opens with its role, and an answer ends with the end token."""

# An English ending, a word with its marks and one space or sign before it, a digit, a run of punctuation with its line ends, or
# white space: the rule that llama.cpp calls qwen35, so that these models export to GGUF; not every rule has a name there.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, specials: Sequence[str] = SPECIALS, max_length: int = 4096
) -> PreTrainedTokenizerFast:
    """A tokenizer with at most `vocab_size` entries (fewer when the texts hold fewer merges); same texts, same tokenizer.

    `specials` get the ids from 0 in their order and must hold the padding, start and end-of-turn tokens of this module.
    `max_length` becomes `model_max_length` (tokens). Raises: InputError when `vocab_size` cannot hold the 256 bytes.
    """
    smallest = 256 + len(specials) + len(SENTINELS)
    if vocab_size < smallest:
        raise InputError(
            f"A byte-level tokenizer of {vocab_size} entries is too small.", f"Use vocab_size of at least {smallest}."
        )
    missing = [token for token in (PAD, BOS, EOS, *ROLES) if token not in specials]
    if missing:
        raise InputError(f"The special tokens lack {', '.join(missing)}.", "Add them: the chat template writes them.")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SENTINELS),
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    backend.train_from_iterator(_plain(texts, specials), trainer)
    backend.add_tokens([AddedToken(sentinel, normalized=False, special=False) for sentinel in SENTINELS])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, backend.token_to_id(BOS))]
    )
    return _wrap(backend, specials, max_length)


def _plain(texts: Iterable[str], specials: Sequence[str]) -> Iterator[str]:
    """The texts without special tokens and sentinels: merges learned from their letters would never be used."""
    atomic = re.compile("|".join(re.escape(token) for token in (*specials, *SENTINELS)))
    for text in texts:
        yield from (piece for piece in atomic.split(text) if piece)


def _wrap(backend: Tokenizer, specials: Sequence[str], max_length: int) -> PreTrainedTokenizerFast:
    named = (PAD, BOS, EOS)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[token for token in specials if token not in named],
        clean_up_tokenization_spaces=False,
        model_max_length=max_length,
        chat_template=CHAT_TEMPLATE,
    )
