"""Questions as token ids: the prompt with each of its options, and where an option begins.

>>> from hala.evals.encoding import encode
>>> encode(tokenizer, [render(profile, item) for item in items], max_length(model))   # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hala.errors import InputError
from hala.evals.profiles import Prompt

ENCODE_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Encoded:
    """An item as token ids: option k is `ids[k]`, of which everything from `starts[k]` on is scored.

    `truncated` counts the prompt tokens cut from the left.
    """

    ids: list[list[int]]
    starts: list[int]
    truncated: int

    @property
    def tokens(self) -> tuple[int, ...]:
        """How many tokens of each option are scored."""
        return tuple(len(ids) - start for ids, start in zip(self.ids, self.starts, strict=True))


def max_length(model: Any) -> int:
    """How many tokens the model has positions for."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    return int(getattr(config, "max_position_embeddings", None) or 1 << 30)


def encode(tokenizer: Any, prompts: list[Prompt], longest: int) -> list[Encoded]:
    """Token ids of every prompt with every continuation; chunks keep the tokenizer fast and memory small."""
    encoded: list[Encoded] = []
    for begin in range(0, len(prompts), ENCODE_CHUNK):
        chunk = prompts[begin : begin + ENCODE_CHUNK]
        if chunk[0].pairwise:  # a profile is, or is not
            encoded += _encode_apart(tokenizer, chunk, longest)
            continue
        texts = [_texts(tokenizer, prompt) for prompt in chunk]
        plain = [text for prompt, pair in zip(chunk, texts, strict=True) if not prompt.messages for text in pair]
        chat = [text for prompt, pair in zip(chunk, texts, strict=True) if prompt.messages for text in pair]
        # A chat template writes its own beginning-of-text token; adding another would be a second one.
        ids = {False: iter(_tokenize(tokenizer, plain, special=True)), True: iter(_tokenize(tokenizer, chat, special=False))}
        for prompt, pair in zip(chunk, texts, strict=True):
            mine = [next(ids[bool(prompt.messages)]) for _ in pair]
            encoded.append(_split(mine[0], mine[1:], longest))
    return encoded


def _encode_apart(tokenizer: Any, prompts: list[Prompt], longest: int) -> list[Encoded]:
    """Prompt and options tokenised on their own; white space at the end of the prompt is the options'."""
    texts = [_texts(tokenizer, prompt) for prompt in prompts]
    starts = [text.rstrip() for text, *_ in texts]
    heads = _tokenize(tokenizer, starts, special=True)
    tails = [whole[len(start) :] for start, (_, *options) in zip(starts, texts, strict=True) for whole in options]
    encoded = iter(_tokenize(tokenizer, tails, special=False))
    return [
        _split(head, [head + next(encoded) for _ in prompt.continuations], longest)
        for prompt, head in zip(prompts, heads, strict=True)
    ]


def _tokenize(tokenizer: Any, texts: list[str], special: bool) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=special, truncation=False)["input_ids"]
    end = tokenizer.eos_token_id
    # Some tokenizers close every text with an end token, which would come between prompt and option.
    return [one[:-1] if special and len(one) > 1 and one[-1] == end else one for one in ids]


def _texts(tokenizer: Any, prompt: Prompt) -> list[str]:
    """The prompt alone, then the prompt with each continuation."""
    if not prompt.messages:
        return [prompt.text, *(prompt.text + text for text in prompt.continuations)]
    if not tokenizer.chat_template:
        raise InputError(
            "this profile asks in chat form, but the tokenizer has no chat template.",
            "Choose a plain profile such as oall-v2, or give the checkpoint a chat template.",
        )
    turns = [{"role": message.role, "content": message.content} for message in prompt.messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    if not prompt.ends_turn:
        # The harness moves white space at the end of the prompt to the option; starting the option there does the same.
        return [text.rstrip(), *(text + label for label in prompt.continuations)]
    full = [
        tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": option}], tokenize=False).rstrip()
        for option in prompt.continuations
    ]
    if not all(one.startswith(text) for one in full):
        raise InputError(
            "the chat template does not render an answer right after its own generation prompt.",
            "Use a template whose add_generation_prompt text is how an assistant turn begins.",
        )
    return [text, *full]


def _split(context: list[int], full: list[list[int]], longest: int) -> Encoded:
    """Joint encoding: text and option are tokenised together and the option owns what follows the prompt's length.

    If an option merged into the last prompt token, that token is scored. All options of an item are cut alike, so they
    keep sharing their prompt.
    """
    starts = [max(1, min(len(context), len(ids) - 1)) for ids in full]
    over = max(0, max(len(ids) for ids in full) - longest)
    if over >= min(starts):
        raise InputError(
            f"an option of {max(len(ids) for ids in full)} tokens does not fit into the model's {longest} positions.",
            "Leave this question out or use a model with a longer context.",
        )
    return Encoded([ids[over:] for ids in full], [start - over for start in starts], over)
