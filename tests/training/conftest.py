"""Tiny real models and documents for the training tests."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from hala.training.examples import IGNORED, Example

VOCABULARY = 64
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def model(kind: str = "lfm2", seed: int = 0, spread: float = 0.0) -> PreTrainedModel:
    """A random model; `spread` widens its matrices until leaks and errors show."""
    torch.manual_seed(seed)
    if kind == "lfm2":
        layers = ["conv", "full_attention"] * 2
        made = Lfm2ForCausalLM(Lfm2Config(**SHAPE, block_auto_adjust_ff_dim=False, layer_types=layers))
    elif kind == "llama":
        made = LlamaForCausalLM(LlamaConfig(**SHAPE))
    else:
        config = Gemma2Config(**SHAPE, head_dim=8, sliding_window=5)
        config._attn_implementation = "eager" if kind == "gemma2-eager" else "sdpa"
        made = Gemma2ForCausalLM(config)
    if spread:
        for p in made.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, std=spread)
    return made


def documents(lengths: list[int], seed: int = 0) -> list[Example]:
    """Random documents; about a third of each is prompt."""
    rng = np.random.default_rng(seed)
    made = []
    for number, length in enumerate(lengths):
        ids = rng.integers(3, VOCABULARY, length).astype(np.int32)
        labels = ids.copy()
        labels[: max(1, length // 3)] = IGNORED
        made.append(Example(f"d{number}", ids, labels))
    return made


class Tokenizer:
    """All that training asks of a tokenizer."""

    pad_token_id = 0


@pytest.fixture(scope="session")
def tiny():
    """The makers above, for tests that need them with arguments of their own."""
    return SimpleNamespace(model=model, documents=documents, tokenizer=Tokenizer())
