"""Rows become token sequences that know which of their tokens are learned.

The one idea: a chat is cut where generation would start and where it would stop, and every piece is tokenized on its own,
so the learned tokens are exactly those that the model must produce after the prompt it will see at inference: the answer and
its end-of-turn token, never the line break that follows. Nothing is cut to fit: a row that is too long is split (running
text) or rejected with a reason, and counted.

>>> from hala.training.examples import Form, make_examples
>>> made = make_examples(rows, tokenizer, Form(task="translation", max_length=512))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from hala.errors import InputError
from hala.records import Message, Row, Verdict, rejected

Task = Literal["chat", "translation", "text"]
Ids = npt.NDArray[np.int32]
IGNORED = -100
"""The label of a token that is read but not learned, as everywhere in this field."""

CHUNK = 2048  # rows tokenized together: large enough for the fast batch path, small enough to stay off the memory bill


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One document in tokens: `input_ids` (length,) and `labels` (length,), -100 where nothing is learned.

    The first label is always -100: no token predicts the first one of a document.
    """

    id: str
    input_ids: Ids
    labels: Ids

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are written for the model: the task, the user turn of a translation (`{text}`), the longest example in tokens."""

    task: Task = "chat"
    prompt: str = "{text}"
    max_length: int = 512


@dataclass(frozen=True, slots=True)
class Examples:
    """What became of the rows: the examples in row order, and a verdict for each row that gave none."""

    examples: list[Example] = field(default_factory=list)
    rejected: list[tuple[str, Verdict]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Rejected rows by reason, sorted."""
        reasons = [verdict.reason for _, verdict in self.rejected]
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}

    @property
    def tokens(self) -> tuple[int, int]:
        """(all tokens, learned tokens)."""
        return sum(map(len, self.examples)), sum(int((e.labels != IGNORED).sum()) for e in self.examples)


Pieces = list[tuple[str, bool]]
"""A rendered document as (text, learned) pieces, in order."""


def make_examples(rows: Iterable[Row], tokenizer: PreTrainedTokenizerBase, form: Form) -> Examples:
    """Examples of all rows; every row gives at least one example or exactly one verdict.

    Raises: InputError when the task needs a chat template and the tokenizer has none, or the prompt lacks `{text}`.
    """
    if form.task == "translation" and "{text}" not in form.prompt:
        raise InputError(f"The prompt {form.prompt!r} has no place for the text.", "Write {text} where the segment goes.")
    if form.task != "text" and not tokenizer.chat_template:
        raise InputError("The tokenizer has no chat template.", "Use a base with one, or task: text.")
    made = Examples()
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        rendered = [_render_or_reject(row, tokenizer, form) for row in chunk]
        texts = [text for pieces in rendered if not isinstance(pieces, Verdict) for text, _ in pieces]
        encoded = iter(_encode(texts, tokenizer))
        for row, pieces in zip(chunk, rendered, strict=True):
            if isinstance(pieces, Verdict):
                made.rejected.append((row.id, pieces))
                continue
            example = _join(row.id, [(next(encoded), learned) for _, learned in pieces])
            _admit(example, form, made)
    return made


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    # The template writes the start token itself: adding special tokens here would double it.
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return ids


def _render_or_reject(row: Row, tokenizer: PreTrainedTokenizerBase, form: Form) -> Pieces | Verdict:
    try:
        return render(row, tokenizer, form)
    except TemplateError as error:  # templates refuse roles and orders that they do not know
        return rejected("template", str(error))


def render(row: Row, tokenizer: PreTrainedTokenizerBase, form: Form) -> Pieces | Verdict:
    """The row as text pieces, or why it cannot be one."""
    read = (row.original or ()) if form.task == "translation" else ()  # no other task shows the model the original
    contents = [message.content for message in (*row.messages, *read)]
    if any(token in content for content in contents for token in tokenizer.all_special_tokens):
        return rejected("special_token", "a message holds the text of a special token")
    if not any(message.content.strip() for message in row.messages):
        return rejected("empty")
    if form.task == "translation":
        if len(row.messages) != 1 or not row.original:
            return rejected("not_a_pair", "a translation example needs one message and its original")
        user = Message("user", form.prompt.replace("{text}", row.original[0].content))
        return _chat_pieces((user, Message("assistant", row.messages[0].content)), tokenizer)
    if form.task == "text":
        return _text_pieces(row, tokenizer)
    roles = [message.role for message in row.messages]
    if "assistant" not in roles:
        return rejected("no_assistant", "nothing to learn: no assistant turn")
    if roles[0] == "assistant":
        return rejected("no_prompt", "the conversation opens with an answer")
    return _chat_pieces(row.messages, tokenizer)


def _text_pieces(row: Row, tokenizer: PreTrainedTokenizerBase) -> Pieces | Verdict:
    if len(row.messages) == 1 and row.messages[0].role == "text":
        start, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
        return [(start + row.messages[0].content + end, True)]
    if not tokenizer.chat_template:
        return rejected("no_template", "a conversation needs a chat template")
    return [(_template(row.messages, tokenizer, prompt=False), True)]


def _chat_pieces(messages: tuple[Message, ...], tokenizer: PreTrainedTokenizerBase) -> Pieces | Verdict:
    """Cut at the start of every assistant turn and after its end-of-turn token."""
    whole = _template(messages, tokenizer, prompt=False)
    pieces: Pieces = []
    done = 0
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        before = _template(messages[:index], tokenizer, prompt=True)
        after = whole if index == len(messages) - 1 else _template(messages[: index + 1], tokenizer, prompt=False)
        if not (after.startswith(before) and whole.startswith(after)):
            return rejected("template", f"the chat template rewrites earlier turns at message {index}")
        end = _end_of_turn(after, len(before), tokenizer)
        pieces += [(whole[done : len(before)], False), (whole[len(before) : end], True)]
        done = end
    # What follows the last answer (a line break) is neither learned nor seen: generation has stopped.
    return pieces


def _end_of_turn(text: str, start: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where the turn that opens at `start` ends: after its closing special token, or at the end of the text."""
    closed = text.rstrip()
    if any(closed.endswith(token) for token in tokenizer.all_special_tokens) and len(closed) > start:
        return len(closed)
    return len(text)


def _template(messages: tuple[Message, ...], tokenizer: PreTrainedTokenizerBase, prompt: bool) -> str:
    chat = [{"role": message.role, "content": message.content} for message in messages]
    text: str = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
    return text


def _join(row_id: str, encoded: list[tuple[list[int], bool]]) -> Example:
    ids = np.fromiter((i for piece, _ in encoded for i in piece), dtype=np.int32)
    learned = np.fromiter((learned for piece, learned in encoded for _ in piece), dtype=bool)
    labels = np.where(learned, ids, np.int32(IGNORED)).astype(np.int32)
    labels[:1] = IGNORED
    return Example(row_id, ids, labels)


def _admit(example: Example, form: Form, made: Examples) -> None:
    """Keep, split or reject by length; a split part starts a document of its own."""
    if len(example) <= form.max_length:
        made.examples.append(example)
    elif form.task == "text":
        made.examples.extend(_split(example, form.max_length))
    else:
        detail = f"{len(example)} tokens, more than {form.max_length}"
        made.rejected.append((example.id, rejected("too_long", detail)))


def _split(example: Example, length: int) -> Iterator[Example]:
    for part, start in enumerate(range(0, len(example), length)):
        labels = example.labels[start : start + length].copy()
        labels[:1] = IGNORED
        yield Example(f"{example.id}#{part}", example.input_ids[start : start + length], labels)
