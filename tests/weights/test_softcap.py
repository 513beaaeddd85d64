"""Attention scores that a model caps are capped after loading too."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from hala.training.tokenizer import train_tokenizer
from hala.weights.loading import load_model, save_model


def test_gemma2_keeps_its_cap(tmp_path: Path) -> None:
    """Training and scoring of Gemma 2 compute what it was trained with; transformers' default leaves the cap out silently."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["some text"], 300)
    config = Gemma2Config(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=8, attn_logit_softcapping=2.0, attn_implementation="eager",
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    save_model(model, tokenizer, tmp_path, "float32")
    ids = torch.randint(3, 300, (1, 16))
    with torch.no_grad():
        capped = model(ids).logits
        assert torch.equal(load_model(tmp_path, "float32")[0](ids).logits, capped)
        model.set_attn_implementation("sdpa")
        assert (model(ids).logits - capped).abs().max() > 0.1  # else the choice above is not needed any more
