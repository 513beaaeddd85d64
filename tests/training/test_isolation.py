"""Packed documents cannot see each other: in every model family that hala tunes, with or without a convolution kernel."""

from __future__ import annotations

import functools
import importlib.util

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    Lfm2MoeConfig,
    Lfm2MoeForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.lfm2 import modeling_lfm2

from hala.training.examples import IGNORED
from hala.training.loss import hidden_states, packed_loss
from hala.training.packing import collate
from hala.training.short_conv import leak_free

ATOL = 1e-4  # of logits whose standard deviation is about 1, and of gradients, in float32
TOKENS = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
SMALL = TOKENS | HEADS | {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4}
SPLITS = st.lists(st.integers(2, 12), min_size=1, max_size=5)


def kinds(layers: int, attention: list[int]) -> list[str]:
    return ["full_attention" if layer in attention else "conv" for layer in range(layers)]


def published(width: int, heads: int, ff: int, attention: list[int], layers: int = 16) -> dict:
    """The keys of an LFM2 config.json on the hub, every width a sixteenth."""
    return TOKENS | {
        "hidden_size": width // 16, "block_dim": width // 16, "conv_dim": width // 16, "num_hidden_layers": layers,
        "num_attention_heads": heads // 4, "num_key_value_heads": 2, "block_ff_dim": ff // 16, "block_multiple_of": 16,
        "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": 1.0, "block_use_swiglu": True, "conv_L_cache": 3,
        "conv_bias": False, "full_attn_idxs": attention, "norm_eps": 1e-5, "rope_theta": 1e6, "use_pos_enc": True,
    }  # fmt: skip


def newer(layer_types: list[str], theta: float, tied: bool = True, **changes: object) -> dict:
    """The keys of an LFM2.5 config.json: kinds of layers and rope in full, the feed-forward width as it is."""
    return TOKENS | HEADS | {
        "hidden_size": 64, "num_hidden_layers": len(layer_types), "intermediate_size": 160, "block_auto_adjust_ff_dim": False,
        "layer_types": layer_types, "rope_parameters": {"rope_theta": theta, "rope_type": "default"}, "tie_embedding": tied,
    } | changes  # fmt: skip


SIX = [2, 5, 8, 10, 12, 14]
LFM2 = {
    "LFM2-350M": published(1024, 16, 6656, SIX),
    "LFM2-700M": published(1536, 24, 10240, SIX),
    "LFM2-1.2B": published(2048, 32, 12288, SIX),
    "LFM2-2.6B": newer(kinds(30, [2, 5, 9, 12, 15, 18, 21, 24]), 1e6, hidden_size=128, intermediate_size=672),
    "LFM2.5-230M": newer(kinds(14, [2, 4, 6, 8, 10, 12]), 1e6),
    "LFM2.5-2.6B": newer(kinds(30, [2, 5, 9, 12, 15, 18, 21, 24]), 1e7),
    "LFM2 untied": newer(kinds(4, [1, 3]), 1e6, tied=False),
    "LFM2 of four taps with bias": newer(kinds(4, [1, 3]), 1e6, conv_L_cache=4, conv_bias=True),
}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 5, "use_sliding_window": True}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "num_dense_layers": 2}
OTHERS = {
    "LFM2-8B-A1B": lambda: Lfm2MoeForCausalLM(Lfm2MoeConfig(**SMALL, **MOE, layer_types=kinds(4, [1, 3]))),
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "Llama tied": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=True)),
    "Qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=True)),
    "Qwen2 sliding": lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL, **SLIDING)),
    "Qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=8)),
    "Gemma2": lambda: Gemma2ForCausalLM(gemma2("sdpa")),
    "Gemma2 eager": lambda: Gemma2ForCausalLM(gemma2("eager")),
    "Gemma2 capped low": lambda: Gemma2ForCausalLM(gemma2("eager", attn_logit_softcapping=2.0, final_logit_softcapping=2.0)),
}


def gemma2(attention: str, **changes: float) -> Gemma2Config:
    config = Gemma2Config(**SMALL, head_dim=8, sliding_window=5, **changes)
    config._attn_implementation = attention
    return config


@functools.cache
def model(family: str) -> PreTrainedModel:
    """A random model whose matrices are wide enough for a leak to show."""
    torch.manual_seed(0)
    made = OTHERS[family]() if family in OTHERS else Lfm2ForCausalLM(Lfm2Config(**LFM2[family]))
    for p in made.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5 if p.shape[-1] > 4 else 0.5)
    return made


def separate(net, docs):
    """(logits of all documents, each alone; gradients of their summed loss), by transformers' own path."""
    net.zero_grad()
    logits, losses = [], []
    for doc in docs:
        logits.append(net(input_ids=torch.from_numpy(doc.input_ids).long()[None], use_cache=False).logits[0])
        goals = torch.from_numpy(doc.labels).long()[1:]
        losses.append(torch.nn.functional.cross_entropy(logits[-1][:-1], goals, ignore_index=IGNORED, reduction="sum"))
    torch.stack(losses).sum().backward()
    return torch.cat(logits).detach(), gradients(net)


def packed(net, docs, row_length):
    """The same two of one packed row, by hala's path."""
    net.zero_grad()
    batch = collate([docs], row_length, pad_id=0)
    with leak_free(net):
        logits = net.get_output_embeddings()(hidden_states(net, batch))[0, : sum(map(len, docs))]
        packed_loss(net, batch)[0].backward()
    cap = getattr(net.config, "final_logit_softcapping", None)
    return (torch.tanh(logits / cap) * cap if cap else logits).detach(), gradients(net)


def gradients(net):
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def worst(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).detach().abs().max())


def assert_isolated(family, docs, row_length=64):
    """Logits and gradients of the packed documents are those of the documents alone."""
    net = model(family)
    expected, expected_gradients = separate(net, docs)
    got, got_gradients = packed(net, docs, row_length)
    assert got_gradients.keys() == expected_gradients.keys()
    assert worst(got, expected) < ATOL
    for name, gradient in got_gradients.items():
        scale = max(1.0, float(expected_gradients[name].abs().max()))
        assert worst(gradient, expected_gradients[name]) < ATOL * scale, name


@pytest.mark.parametrize("family", [*LFM2, *OTHERS])
@settings(max_examples=4, deadline=None)
@given(lengths=SPLITS, seed=st.integers(0, 9))
def test_packed_is_separate(tiny, family, lengths, seed):
    """Protects the heart of packing: any split of a row gives the logits and the gradients of its documents alone."""
    assert_isolated(family, tiny.documents(lengths, seed))


@pytest.mark.parametrize("family", LFM2)
def test_the_comparison_sees_a_leak(tiny, family):
    """Protects the test above from passing for nothing: by transformers' own path, with positions and `seq_idx`, it fails."""
    net, docs = model(family), tiny.documents([9, 11])
    expected, _ = separate(net, docs)
    batch = collate([docs], 20, pad_id=0)
    del batch["labels"]
    plain = net(**batch, use_cache=False).logits[0]
    assert worst(plain[9:], expected[9:]) > 0.05
    assert worst(plain[:9], expected[:9]) < ATOL  # the first document has no neighbour before it


@pytest.mark.parametrize("kernel", ["absent", "honours seq_idx", "broken"])
def test_no_kernel_is_needed_or_used(tiny, monkeypatch, kernel):
    """Protects sameness across machines: causal-conv1d may be absent, work or fail, and hala's numbers are the same bits."""
    docs = tiny.documents([3, 9, 11, 2])
    without = packed(model("LFM2-350M"), docs, 32)
    if kernel != "absent":
        monkeypatch.setattr(modeling_lfm2, "causal_conv1d_fn", by_document if kernel == "honours seq_idx" else fails)
    logits, slopes = packed(model("LFM2-350M"), docs, 32)
    assert torch.equal(logits, without[0])
    assert all(torch.equal(slopes[name], without[1][name]) for name in slopes)
    if kernel == "honours seq_idx":  # a true kernel: then transformers' own path is isolated too, and agrees with hala's
        assert_isolated("LFM2-350M", docs)
        batch = collate([docs], 25, pad_id=0)
        del batch["labels"]
        with torch.no_grad():
            assert worst(model("LFM2-350M")(**batch, use_cache=False).logits[0], logits) < ATOL


def by_document(hidden_states, weight, bias=None, activation=None, seq_idx=None):
    """What causal-conv1d computes from `seq_idx`: each document of a row by itself."""
    stock = torch.nn.functional.conv1d
    if seq_idx is None:
        seq_idx = torch.zeros(hidden_states.shape[0], hidden_states.shape[2], dtype=torch.int32)
    rows = []
    for row, numbers in zip(hidden_states, seq_idx, strict=True):
        parts = torch.split(row, torch.unique_consecutive(numbers, return_counts=True)[1].tolist(), dim=1)
        taps = weight.shape[-1]
        alone = [stock(part[None], weight.unsqueeze(1), bias, padding=taps - 1, groups=len(weight))[0] for part in parts]
        rows.append(torch.cat([each[:, : part.shape[1]] for each, part in zip(alone, parts, strict=True)], dim=1))
    return torch.stack(rows)


def fails(*args, **kwargs):
    raise AssertionError("hala's training called the convolution kernel")


UPSTREAM = (
    "TRL's packed batch no longer leaks through transformers' LFM2 without the causal-conv1d kernel: upstream has mended it. "
    "Say so in docs/tune.md and in the comparison of benchmarks/tune.py, with the versions, and let this test assert equality."
)


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed (pip install --no-deps trl==1.16.0)")
@pytest.mark.filterwarnings("ignore")
def test_trl_leaks_without_the_kernel(tiny, monkeypatch):
    """Protects the reason why hala packs by itself: the batch that TRL's own collator makes leaks; with a kernel it does not."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    docs = tiny.documents([9, 11])
    row = {"input_ids": [t for doc in docs for t in doc.input_ids.tolist()], "seq_lengths": [9, 11]}
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([row])
    assert batch["position_ids"].tolist() == [[*range(9), *range(11)]] and "attention_mask" not in batch
    assert batch["seq_idx"].tolist() == [[0] * 9 + [1] * 11]  # handed over, and dropped by transformers' fallback
    del batch["labels"]
    net = model("LFM2-350M")
    expected, _ = separate(net, docs)
    with torch.no_grad():
        monkeypatch.setattr(modeling_lfm2, "causal_conv1d_fn", by_document)
        assert worst(net(**batch, use_cache=False).logits[0], expected) < ATOL
        monkeypatch.undo()
        leaking = net(**batch, use_cache=False).logits[0]
    assert worst(leaking[:9], expected[:9]) < ATOL
    assert worst(leaking[9:], expected[9:]) > 0.5, UPSTREAM
    assert_isolated("LFM2-350M", docs)
