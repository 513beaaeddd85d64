"""A lean forward pass for LFM2 with its key, value and convolution states.

transformers spends most of an LFM2 decode step outside the matrix products: it repeats keys and values for grouped
heads, grows the cache by concatenation, and runs the three-tap convolution through a general convolution call. Here
query heads of one group are rows of one attention call, keys and values are written into room that was made before,
and the convolution is three shifted products. The linear layers stay the model's own modules, so a quantised or
adapted layer keeps working. `can_run` says for which models this holds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

ROOM = 64  # columns by which keys and values grow


def can_run(model: Any) -> bool:
    """Whether `model` is a plain LFM2 on one device, with ordinary rotary positions."""
    if type(model).__name__ != "Lfm2ForCausalLM" or hasattr(model, "hf_device_map"):
        return False
    return bool(model.config.rope_parameters["rope_type"] == "default")


class Lfm2State:
    """The decoding state of one left-padded batch: `prefill` once, then `step` for each token.

    Keys and values: `(batch, kv_heads, columns, head_dim)`; convolution: the last kernel - 1 inputs, `(batch, lags, hidden)`.
    Source: https://arxiv.org/abs/2511.23404 (short convolution block) and the layout of transformers' Lfm2ForCausalLM.
    """

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        self.model, self.ids, self.valid = model, ids, mask.bool()
        self.layers = list(model.model.layers)
        self.columns = 0
        self.positions = mask.long().sum(1)  # (batch,): the position of the token to come
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}
        self.lags: dict[int, Tensor] = {}

    def prefill(self) -> Tensor:
        """Logits `(batch, vocabulary)` after each row's last prompt token."""
        width = self.ids.shape[1]
        causal = torch.ones(width, width, dtype=torch.bool, device=self.ids.device).tril()
        # A padded position sees itself, so that no row of the softmax is empty; nothing else ever sees it.
        itself = torch.eye(width, dtype=torch.bool, device=self.ids.device)
        visible = (causal & self.valid[:, None, None, :]) | itself  # (batch, 1, query, key)
        positions = (self.valid.long().cumsum(1) - 1).clamp(min=0)
        padding = None if bool(self.valid.all()) else self.valid
        return self._forward(self.ids, positions, visible, padding)

    def step(self, tokens: Tensor) -> Tensor:
        """Logits `(batch, vocabulary)` after one more token per row; `tokens` is `(batch,)`."""
        self.valid = functional.pad(self.valid, (0, 1), value=True)
        logits = self._forward(tokens[:, None], self.positions[:, None], self.valid[:, None, None, :], None)
        self.positions = self.positions + 1
        return logits

    def keep(self, index: Tensor) -> None:
        """Drop all rows but those of `index`."""
        self.valid, self.positions = self.valid[index], self.positions[index]
        for states in (self.keys, self.values, self.lags):
            for layer, state in states.items():
                states[layer] = state[index]

    def _forward(self, ids: Tensor, positions: Tensor, visible: Tensor, padding: Tensor | None) -> Tensor:
        body = self.model.model
        hidden = body.embed_tokens(ids)
        cos, sin = (table[:, None] for table in body.rotary_emb(hidden, position_ids=positions))  # (batch, 1, tokens, head_dim)
        for number, layer in enumerate(self.layers):
            normed = _normalise(hidden, layer.operator_norm)
            if layer.is_attention_layer:
                mixed = self._attend(number, layer.self_attn, normed, (cos, sin, visible))
            else:
                mixed = self._convolve(number, layer.conv, normed, padding)
            hidden = hidden + mixed
            feed = layer.feed_forward
            normed = _normalise(hidden, layer.ffn_norm)
            hidden = hidden + feed.w2(functional.silu(feed.w1(normed)).mul_(feed.w3(normed)))
        self.columns += ids.shape[1]
        logits: Tensor = self.model.lm_head(_normalise(hidden[:, -1], body.embedding_norm))
        return logits

    def _attend(self, number: int, attention: Any, hidden: Tensor, place: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        cos, sin, visible = place
        batch, tokens, _ = hidden.shape
        shape = (batch, tokens, -1, attention.head_dim)
        query = _rotate(_normalise(attention.q_proj(hidden).view(shape), attention.q_layernorm).transpose(1, 2), cos, sin)
        key = _rotate(_normalise(attention.k_proj(hidden).view(shape), attention.k_layernorm).transpose(1, 2), cos, sin)
        value = attention.v_proj(hidden).view(shape).transpose(1, 2)
        keys, values = self._remember(number, key, value)
        if tokens == 1:  # the heads that share a key become the query rows of one call: (batch, kv_heads, group, head_dim)
            query = query.view(batch, keys.shape[1], -1, attention.head_dim)
            out = functional.scaled_dot_product_attention(query, keys, values, attn_mask=visible, scale=attention.scaling)
            out = out.reshape(batch, 1, -1)
        else:
            out = functional.scaled_dot_product_attention(query, keys, values, visible, scale=attention.scaling, enable_gqa=True)
            out = out.transpose(1, 2).reshape(batch, tokens, -1)
        result: Tensor = attention.out_proj(out)
        return result

    def _remember(self, number: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        end = self.columns + key.shape[2]
        if number not in self.keys or self.keys[number].shape[2] < end:
            for states, new in ((self.keys, key), (self.values, value)):
                batch, heads, _, size = new.shape
                grown = new.new_empty(batch, heads, end + ROOM, size)
                if number in states:
                    grown[:, :, : self.columns] = states[number][:, :, : self.columns]
                states[number] = grown
        self.keys[number][:, :, self.columns : end] = key
        self.values[number][:, :, self.columns : end] = value
        return self.keys[number][:, :, :end], self.values[number][:, :, :end]

    def _convolve(self, number: int, conv: Any, hidden: Tensor, padding: Tensor | None) -> Tensor:
        gate, out_gate, inner = conv.in_proj(hidden).chunk(3, dim=-1)
        inner = gate * inner
        if padding is not None:
            inner = inner * padding[:, :, None]  # what stands left of a prompt is nothing, not a pad token
        taps = conv.conv.weight[:, 0].t()  # (kernel, hidden); the last tap meets the newest token
        kernel, tokens = taps.shape[0], hidden.shape[1]
        past = self.lags.get(number)
        window = functional.pad(inner, (0, 0, kernel - 1, 0)) if past is None else torch.cat([past, inner], dim=1)
        self.lags[number] = window[:, tokens:]
        mixed = window[:, :tokens] * taps[0]
        for lag in range(1, kernel):
            mixed = torch.addcmul(mixed, window[:, lag : lag + tokens], taps[lag])
        if conv.conv.bias is not None:
            mixed = mixed + conv.conv.bias
        result: Tensor = conv.out_proj(out_gate * mixed)
        return result


def _normalise(hidden: Tensor, norm: Any) -> Tensor:
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat((-second, first), dim=-1) * sin
