"""Tiny random models of four architectures and a byte-level tokenizer, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from hala.weights.loading import new_lfm2, save_model

# A busy machine is no failure: examples are not timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TEXTS = ["the cat sat on the mat", "قرأت الكتاب في البيت", "a tale of two cities", "مرحبا بالعالم"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SMALL = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL |= {"num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 300 tokens with a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|startoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=special[0], bos_token=special[1], eos_token=special[3])
    fast.chat_template = TEMPLATE
    return fast


def make_model(kind: str, seed: int = 0) -> Any:
    """A tiny model with weights of usual size, in float32."""
    if kind == "lfm2":
        shape = {"vocab_size": 384, "hidden_size": 64, "num_layers": 4, "ff_size": 96, "num_heads": 4, "kv_heads": 2}
        model = new_lfm2(**shape, seed=seed, max_positions=128, eos=3)
    else:
        torch.manual_seed(seed)
        model = {
            "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=False)),
            "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=16, sliding_window=32)),
            "cohere2": lambda: Cohere2ForCausalLM(Cohere2Config(**SMALL, sliding_window=32)),
        }[kind]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.1, generator=generator)
    return model


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved BF16 checkpoints by architecture, and `tuned`: the lfm2 one moved a lot in its odd layers and a little elsewhere."""
    root, tokenizer, made = tmp_path_factory.mktemp("models"), make_tokenizer(), {}
    for kind in ("lfm2", "llama", "gemma2", "cohere2"):
        made[kind] = root / kind
        save_model(make_model(kind), tokenizer, made[kind], dtype="bfloat16", extra={"task": "chat", "licence": "apache-2.0"})
    tuned = make_model("lfm2")
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            size = 0.05 if ".1." in name or ".3." in name else 0.0005
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    made["tuned"] = root / "tuned"
    save_model(tuned, tokenizer, made["tuned"], dtype="bfloat16", extra={"task": "translation", "licence": "apache-2.0"})
    return made


def read_all(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name: two equal dictionaries are byte-identical folders."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def ids() -> torch.Tensor:
    """A batch of two token sequences `(2, 24)`."""
    return torch.randint(4, 300, (2, 24), generator=torch.Generator().manual_seed(3))
