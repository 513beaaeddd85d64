"""Texts that begin alike as one row: a trie of tokens laid flat, each of which sees its ancestors only.

The one idea: a token's hidden state depends on the tokens before it in its own text and on nothing else. So a beginning that
many texts share (an instruction, a question before its options) is computed once, and no place in a row is padding. Tokens stand
in depth-first order, so that those below a token are the places from its own to its `ends`: token t sees s when s <= t < ends[s].
Positions are depths, and a short convolution reads its taps along the ancestors. A token's ancestors are few beside what a long
row holds, so on a CPU attention takes a stretch of places at a time and shows it the keys that any of them may see.

>>> tree = Tree()
>>> tree.add([1, 2, 3]), tree.add([1, 2, 4, 5])
([0, 1, 2], [0, 1, 3, 4])
>>> tree.ids, tree.depths
([1, 2, 3, 4, 5], [0, 1, 2, 2, 3])
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

# Models whose every layer takes a mask for each pair of tokens and positions for each token; tests/evals/test_trees.py has each.
KNOWN = ("gemma2", "gemma3_text", "lfm2", "lfm2_moe", "llama", "mistral", "qwen2", "qwen3", "smollm3")
SHORT_CONVS = ("Lfm2ShortConv", "Lfm2MoeShortConv")
KINDS = {"full_attention", "sliding_attention", "conv"}
STRETCH = 64  # places whose attention is computed together on a CPU: of 64, 96 and 128 none is faster
PART = 256  # places that pass a feed-forward layer together on a CPU: what is wide there stays in the cache
BY_STRETCHES = "hala_stretches"  # the name under which transformers finds `_by_stretches`


class Tree:
    """The row that holds these texts: `ids`, `depths`, `parents` (-1 for a first token) and `ends` of each place."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.depths: list[int] = []
        self.parents: list[int] = []
        self.ends: list[int] = []
        self.path: list[int] = []  # the places of the last text
        self.last: list[int] = []

    def add(self, ids: list[int]) -> list[int]:
        """The place of each token of one more text; what it shares with the text before it is not there twice."""
        shared, first = common(self.last, ids), len(self.ids)
        for place in self.path[shared:]:
            self.ends[place] = first
        new = range(first, first + len(ids) - shared)
        self.parents += [self.path[shared - 1] if shared else -1, *new[:-1]] if new else []
        self.ids += ids[shared:]
        self.depths += range(shared, len(ids))
        self.ends += [0] * len(new)
        self.path = self.path[:shared] + list(new)
        self.last = ids
        return self.path

    def growth(self, texts: Sequence[list[int]]) -> int:
        """How many places more these texts, in this order, would need."""
        before = [self.last, *texts[:-1]]
        return sum(len(text) - common(last, text) for last, text in zip(before, texts, strict=True))


def common(a: list[int], b: list[int]) -> int:
    """The length of the longest common beginning, by bisection, since comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high - 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


@dataclass(frozen=True, slots=True)
class Rows:
    """Trees as tensors, each (batch, length): what is unused at the end of a row sees itself alone."""

    ids: torch.Tensor
    depths: torch.Tensor
    parents: torch.Tensor
    ends: torch.Tensor


def as_rows(trees: Sequence[Tree], device: torch.device) -> Rows:
    """The trees side by side, as long as the longest."""
    length = max(len(tree.ids) for tree in trees)
    ids, depths = torch.zeros(2, len(trees), length, dtype=torch.long).unbind()
    parents = torch.full((len(trees), length), -1)
    ends = torch.arange(1, length + 1).repeat(len(trees), 1)
    for row, tree in enumerate(trees):
        size = len(tree.ids)
        ids[row, :size], depths[row, :size] = torch.tensor(tree.ids), torch.tensor(tree.depths)
        parents[row, :size] = torch.tensor(tree.parents)
        ends[row, :size] = torch.tensor([end or size for end in tree.ends])  # the last text's tokens are still open
    return Rows(ids.to(device), depths.to(device), parents.to(device), ends.to(device))


def takes_trees(model: Any) -> bool:
    """Whether the model computes a tree's texts as it would each alone; any other model gets a row for each text."""
    config = model.config
    attention = getattr(config, "_attn_implementation", "")
    return config.model_type in KNOWN and attention in ("sdpa", "eager") and _kinds(config) <= KINDS


def _kinds(config: Any) -> set[str]:
    return set(getattr(config, "layer_types", None) or ())


@contextmanager
def reading(model: Any, rows: Rows, wanted: torch.Tensor) -> Iterator[dict[str, Any]]:
    """What to call the model with, for hidden states that are right at the `wanted` (row, place) pairs, (n, 2).

    Within the context short convolutions read along the ancestors, and what mixes no places in the last layers works only where
    something wanted depends on it.
    """
    with ExitStack() as stack:
        convs = [module for module in model.modules() if type(module).__name__ in SHORT_CONVS]
        taps = max((module.conv.kernel_size[0] for module in convs), default=1)
        above = ancestors(rows.parents, taps - 1)
        for module in convs:
            stack.enter_context(_instead(module, partial(_convolve, module, above)))
        for layer in model.get_decoder().layers if rows.ids.device.type == "cpu" else ():
            if not hasattr(feed_forward := _feed_forward(layer), "experts"):
                stack.enter_context(_instead(feed_forward, partial(_by_parts, feed_forward.forward)))
        for module, needed in _last(model, wanted[:, 0] * rows.ids.shape[1] + wanted[:, 1], above):
            stack.enter_context(_instead(module, partial(_only_at, needed, module.forward)))
        if len(rows.ids) == 1 and rows.ids.device.type == "cpu" and model.config._attn_implementation == "sdpa":
            stack.enter_context(_attending_by_stretches(model.config))
        yield {"input_ids": rows.ids, "position_ids": rows.depths, "attention_mask": masks(model, rows), "use_cache": False}


def masks(model: Any, rows: Rows) -> Any:
    """What the model's decoder takes as `attention_mask`: (batch, 1, length, length), True where a token (dim 2) may look.

    A model with several kinds of layers takes one for each; a sliding window also bounds the distance. Eager attention adds its
    mask, so it gets 0 and the lowest number of its dtype instead.
    """
    config = model.config
    place = torch.arange(rows.ids.shape[1], device=rows.ids.device)
    seen = (place[:, None] >= place) & (place[:, None] < rows.ends[:, None, :])  # (batch, length, length)

    def finish(mask: torch.Tensor) -> torch.Tensor:
        if config._attn_implementation != "eager":
            return mask[:, None]
        dtype = next(model.parameters()).dtype
        return torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]

    def near() -> torch.Tensor:
        distance = rows.depths[:, :, None] - rows.depths[:, None, :]
        return seen & (distance < int(config.sliding_window))

    kinds = _kinds(config)
    if not kinds:
        return finish(near() if getattr(config, "sliding_window", None) else seen)
    made: dict[str, torch.Tensor | None] = {}
    for kind in sorted(kinds):
        made[kind] = None if kind == "conv" else finish(near() if kind == "sliding_attention" else seen)
    return made


def ancestors(parents: torch.Tensor, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each lag 1 to `count`: the ancestor's place in the flattened batch, and 1.0 where there is one, as (places, 1)."""
    batch, length = parents.shape
    offset = torch.arange(batch, device=parents.device)[:, None] * length
    found, current = [], parents
    for _ in range(count):
        there = current >= 0
        found.append(((current.clamp(min=0) + offset).flatten(), there.flatten()[:, None]))
        current = torch.where(there, parents.gather(1, current.clamp(min=0)), -1)
    return found


@contextmanager
def _attending_by_stretches(config: Any) -> Iterator[None]:
    """Within it the model of this configuration computes its attention by `_by_stretches`."""
    from transformers import AttentionInterface

    AttentionInterface.register(BY_STRETCHES, _by_stretches)
    before = config._attn_implementation
    config._attn_implementation = BY_STRETCHES
    try:
        yield
    finally:
        config._attn_implementation = before


def _by_stretches(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor, **settings: Any
) -> tuple[torch.Tensor, None]:
    """transformers' SDPA of one row, (1, heads, length, head_dim) each, over the keys alone that a stretch of places may see.

    Keys left out have weight 0, so that this is the same attention up to rounding.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    made = []
    for begin in range(0, query.shape[2], STRETCH):
        mask = attention_mask[:, :, begin : begin + STRETCH]
        seen = mask[0, 0].any(0).nonzero().squeeze(1)
        states = (query[:, :, begin : begin + STRETCH], key[:, :, seen], value[:, :, seen])
        made.append(sdpa_attention_forward(module, *states, mask[..., seen], **settings)[0])  # (1, places, heads, head_dim)
    return torch.cat(made, dim=1), None


def _convolve(conv: Any, above: list[tuple[torch.Tensor, torch.Tensor]], hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
    """An LFM2 short convolution: `out[t] = c[t] * sum_j w[k-1-j] * (b * x)[ancestor j of t]`."""
    b, c, x = conv.in_proj(hidden_states).chunk(3, dim=-1)
    u = (b * x).flatten(0, 1)  # (places, hidden)
    taps = conv.conv.weight.squeeze(1).float()  # (hidden, k)
    y = u * taps[:, -1]
    for lag, (place, there) in enumerate(above[: taps.shape[1] - 1], start=1):
        y.addcmul_(u[place] * there, taps[:, -1 - lag])
    if conv.conv.bias is not None:
        y += conv.conv.bias
    out: torch.Tensor = conv.out_proj(c * y.to(c.dtype).view_as(c))
    return out


def _last(model: Any, needed: torch.Tensor, above: list[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[Any, torch.Tensor]]:
    """Modules of the last layers with the places of the flattened batch at which they are needed, from the end back to attention.

    Attention looks everywhere, so of all that comes before it everything is needed.
    """
    for layer in reversed(model.get_decoder().layers):
        yield _feed_forward(layer), needed
        if not hasattr(layer, "conv"):
            attention = layer.self_attn
            yield attention.q_proj, needed
            yield attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj, needed
            return
        yield layer.conv.out_proj, needed
        marks = torch.zeros(above[0][0].numel(), dtype=torch.bool, device=needed.device)
        marks[torch.cat([needed, *(place[needed] for place, _ in above)])] = True
        needed = marks.nonzero().squeeze(1)
        yield layer.conv.in_proj, needed


def _feed_forward(layer: Any) -> Any:
    return layer.feed_forward if hasattr(layer, "feed_forward") else layer.mlp


def _by_parts(stock: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    """What a module that mixes no places gives, some places at a time."""
    out = torch.empty_like(hidden_states)
    for begin in range(0, hidden_states.shape[1], PART):
        out[:, begin : begin + PART] = stock(hidden_states[:, begin : begin + PART])
    return out


def _only_at(needed: torch.Tensor, stock: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    """What a module that mixes no places gives at the places `needed` of the flattened batch, 0 elsewhere."""
    batch, length, _ = hidden_states.shape
    made: torch.Tensor = stock(hidden_states.flatten(0, 1)[needed].unsqueeze(0))
    out = made.new_zeros(batch * length, made.shape[-1])
    out[needed] = made[0]
    return out.view(batch, length, -1)


@contextmanager
def _instead(module: nn.Module, forward: Any) -> Iterator[None]:
    """Within it this instance computes `forward`."""
    own: Any = module
    before = module.__dict__.get("forward")
    own.forward = forward
    try:
        yield
    finally:
        del own.forward  # the class's own method shows again
        if before is not None:
            own.forward = before
