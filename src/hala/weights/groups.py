"""Parts of a network by tensor name, the same words for every architecture, and values that differ from part to part.

| group | LFM2 | Llama, Qwen, Gemma 2, Cohere 2 |
|---|---|---|
| embeddings | model.embed_tokens | model.embed_tokens |
| attention | self_attn.{q,k,v,out}_proj | self_attn.{q,k,v,o}_proj |
| conv | conv.{in_proj,conv,out_proj} | |
| feed_forward | feed_forward.{w1,w2,w3} | mlp.{gate,up,down}_proj |
| norms | operator_norm, ffn_norm, embedding_norm, {q,k}_layernorm | every *norm |
| head | | lm_head, where it is not tied |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hala.errors import RecipeError, nearest
from hala.schedules import DEFAULT, GRADIENT, schedule_error

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
PATTERNS = (
    ("norms", re.compile(r"norm\w*\.(weight|bias)$|\.ln_\w+\.")),
    ("embeddings", re.compile(r"(^|\.)(\w*embed\w*|wte|wpe)\.")),
    ("head", re.compile(r"^lm_head\.")),
    ("attention", re.compile(r"\.(self_attn|attn|attention)\.")),
    ("conv", re.compile(r"\.conv\.")),
    ("feed_forward", re.compile(r"\.(feed_forward|mlp|ffn|block_sparse_moe|experts)\.")),
)

Knots = float | Sequence[float]  # one value, or values spread evenly over the layers with straight lines between
Schedule = Knots | Mapping[str, Knots]


def group_of(name: str) -> str | None:
    """The group of a tensor; None for one that is in none, which takes the default."""
    return next((group for group, pattern in PATTERNS if pattern.search(name)), None)


def values_for(names: Iterable[str], schedule: Schedule) -> dict[str, float]:
    """The value of each tensor. `schedule` is a number, a gradient over the layers, or a mapping from groups (or `re:` patterns
    of tensor names, which go first) to these, with `default` for the rest.

    Embeddings take a gradient's first knot, a head and a final norm its last. Raises: RecipeError for a group or pattern that
    matches nothing or no regular expression, for what is no number, and for tensors that nothing matches without a default.
    """
    names = list(names)
    if problem := schedule_error(schedule):
        raise RecipeError(f"{problem}.", "Give numbers, lists of numbers, or groups and `re:` patterns with such values.")
    if not isinstance(schedule, Mapping):
        schedule = {DEFAULT: schedule}
    if GRADIENT in schedule:
        if len(schedule) > 1:
            raise RecipeError("a gradient stands alone.", "Give a list as the value of a group: {attention: [0, 0.5, 1]}.")
        schedule = {DEFAULT: schedule[GRADIENT]}
    layers = {name: int(found[1]) for name in names if (found := LAYER.search(name))}
    last = max(layers.values(), default=0)
    used: set[str] = set()
    values = {}
    for name in names:
        key = choose(name, schedule)
        used.add(key)
        values[name] = at(schedule[key], layers.get(name), last, name)
    if unused := [key for key in schedule if key not in used and key != DEFAULT]:
        raise unused_key(unused[0], names, schedule)
    return values


def unused_key(key: str, names: Iterable[str], schedule: Mapping[str, Knots]) -> RecipeError:
    """The error for a key that no tensor falls under: other keys take all of its tensors, or there are none."""
    takers = {repr(choose(name, schedule)): None for name in names if matches(key, name)}
    if takers:
        what = f"{key!r} has no tensor left: {', '.join(takers)} {'takes' if len(takers) == 1 else 'take'} all that it matches."
        return RecipeError(
            what, "Patterns go before groups, and earlier patterns before later ones; drop one or narrow the other."
        )
    known = sorted({group for name in names if (group := group_of(name))})
    return RecipeError(f"{key!r} matches no tensor of this model.{nearest(key, known)}", f"Its groups are: {', '.join(known)}.")


def matches(key: str, name: str) -> bool:
    """Whether a tensor belongs to a group or fits a pattern."""
    return re.match(key[3:], name) is not None if key.startswith("re:") else group_of(name) == key


def choose(name: str, schedule: Mapping[str, Knots]) -> str:
    """The key of the schedule that a tensor falls under."""
    pattern = next((key for key in schedule if key.startswith("re:") and matches(key, name)), None)
    key = pattern or next((key for key in (group_of(name), DEFAULT) if key in schedule), None)
    if key is None:
        what = f"nothing is said for tensor {name} (group {group_of(name)})."
        raise RecipeError(what, "Add `default`, the value of all others: {attention: 0.3, default: 0.5}.")
    return key


def at(knots: Knots, layer: int | None, last: int, name: str) -> float:
    """The value at a layer, between the knots next to it."""
    if isinstance(knots, int | float):
        return float(knots)
    if layer is None:
        return float(knots[0 if group_of(name) == "embeddings" else -1])
    place = (layer / last if last else 1.0) * (len(knots) - 1)
    low = min(int(place), len(knots) - 2) if len(knots) > 1 else 0
    high = min(low + 1, len(knots) - 1)
    return float(knots[low]) + (float(knots[high]) - float(knots[low])) * (place - low)
