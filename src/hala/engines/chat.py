"""Requests to token ids by the tokenizer's own chat template, for the engines that run a model in this process."""

from __future__ import annotations

from typing import Any

from hala.errors import EngineError
from hala.records import Request


def tokenise(tokenizer: Any, requests: list[Request]) -> list[tuple[list[int], str]]:
    """For each request its token ids and why there are none: one of the two is empty.

    A chat template writes the beginning-of-text token itself, so the tokenizer adds special tokens to running text only.
    """
    rendered = [render(tokenizer, request) for request in requests]
    results: list[tuple[list[int], str]] = [([], error) for _, error in rendered]
    for special in (True, False):
        places = [i for i, (_, error) in enumerate(rendered) if not error and is_plain(requests[i]) is special]
        if not places:
            continue
        texts = [rendered[place][0] for place in places]
        encoded = tokenizer(texts, add_special_tokens=special, padding=False, truncation=False, verbose=False)
        for place, ids in zip(places, encoded["input_ids"], strict=True):
            results[place] = (list(ids), "" if ids else "the prompt is empty")
    return results


def render(tokenizer: Any, request: Request) -> tuple[str, str]:
    """The prompt as text, and why there is none. Raises EngineError when a chat meets a tokenizer without a template."""
    from jinja2 import TemplateError

    if not any(message.content.strip() for message in request.messages):
        return "", "the prompt is empty"
    if any(0xD800 <= ord(char) < 0xE000 for message in request.messages for char in message.content):
        return "", "the prompt holds half a surrogate pair, which is no character"
    if is_plain(request):
        return "\n".join(message.content for message in request.messages), ""
    if not tokenizer.chat_template:
        raise EngineError(
            "the tokenizer has no chat template, so a chat cannot be put to this model.",
            "Use a chat or instruct model, or add chat_template.jinja to the checkpoint.",
        )
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)), ""
    except (TemplateError, TypeError, ValueError) as error:
        return "", f"the chat template refused the messages: {error}"


def is_plain(request: Request) -> bool:
    """Whether the request is running text, which gets no chat template."""
    return all(message.role == "text" for message in request.messages)
