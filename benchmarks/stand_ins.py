"""Stand-ins for what benchmarks may not download: a tokenizer of bytes, and prompts of a given length in it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "<|im_start|>", "<|im_end|>"]
LETTERS = "abcdefghijklmnopqrstuvwxyz "


def byte_tokenizer() -> Any:
    """A chat tokenizer of 260 tokens: one for each byte, and the usual special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="<|im_end|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def add_tokenizer(folder: Path) -> None:
    """Puts the tokenizer into a checkpoint folder that has none."""
    if not (folder / "tokenizer.json").exists():
        byte_tokenizer().save_pretrained(folder)


def texts(count: int, length: int, seed: int = 0) -> list[str]:
    """Random texts of `length` bytes, the same for the same seed."""
    rng = random.Random(seed)
    return ["".join(rng.choices(LETTERS, k=length)) for _ in range(count)]
