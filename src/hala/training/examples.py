"""Rows become token sequences that know which of their tokens are learned.

The one idea: a chat is cut where generation would start and where it would stop, and every piece is tokenized on its own,
so the learned tokens are exactly those that the model must produce after the prompt it will see at inference: the answer and
its end-of-turn token, never the line break that follows. Nothing is cut to fit: a row that is too long is split (running
text) or rejected with a reason, and counted.

>>> from hala.training.examples import Form, make_examples
>>> made = make_examples(rows, tokenizer, Form(task="translation", max_length=512))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
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
    too_long: Literal["reject", "split"] = "reject"
    """A conversation that is too long: rejected, or split between its exchanges, each part with the system turn."""
    newline: bool = False
    """Learn what the template writes after the token that ends a turn, a line break as a rule."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The user turn of translations into other languages, by the language of the row."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What became of the rows: the examples in row order, and a verdict for each row that gave none."""

    examples: list[Example] = field(default_factory=list)
    rejected: list[tuple[str, Verdict]] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    """Ids of rows that gave more than one example."""

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

    Of a row that is split, each exchange that is lost has a verdict of its own (`exchange_...`) beside the parts.

    Raises: InputError when the task needs a chat template and the tokenizer has none, or the prompt lacks `{text}`.
    """
    if form.task == "translation" and (bad := [each for each in (form.prompt, *form.prompts.values()) if "{text}" not in each]):
        raise InputError(f"The prompt {bad[0]!r} has no place for the text.", "Write {text} where the segment goes.")
    if form.task != "text" and not tokenizer.chat_template:
        raise InputError("The tokenizer has no chat template.", "Use a base with one, or task: text.")
    made = Examples()
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        rendered = [_render_or_reject(row, tokenizer, form) for row in chunk]
        found = [pieces for each in rendered if not isinstance(each, Verdict) for pieces in each]
        encoded = iter(_encode([text for pieces in found for text, _ in pieces], tokenizer))
        for row, documents in zip(chunk, rendered, strict=True):
            if isinstance(documents, Verdict):
                made.rejected.append((row.id, documents))
                continue
            ids = [row.id] if len(documents) == 1 else [f"{row.id}#{number}" for number in range(len(documents))]
            examples = [
                _join(name, [(next(encoded), learned) for _, learned in pieces])
                for name, pieces in zip(ids, documents, strict=True)
            ]
            _admit(row, examples, tokenizer, form, made)
    return made


def _encode(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    # The template writes the start token itself: adding special tokens here would double it.
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return ids


def _render_or_reject(row: Row, tokenizer: PreTrainedTokenizerBase, form: Form) -> list[Pieces] | Verdict:
    try:
        return render(row, tokenizer, form)
    except TemplateError as error:  # templates refuse roles and orders that they do not know
        return rejected("template", str(error))


def render(row: Row, tokenizer: PreTrainedTokenizerBase, form: Form) -> list[Pieces] | Verdict:
    """The row as text pieces, or why it cannot be one; several documents where the template rewrites earlier turns.

    Among chats a sentence pair is a chat too: the prompt with the source asks, the translation answers.
    """
    as_pair = form.task == "translation" or (form.task == "chat" and _is_pair(row) and "{text}" in form.prompt)
    read = (row.original or ()) if as_pair else ()  # nothing else shows the model the original
    contents = [message.content for message in (*row.messages, *read)]
    if any(token in content for content in contents for token in special_tokens(tokenizer)):
        return rejected("special_token", "a message holds the text of a special token")
    if not any(message.content.strip() for message in row.messages):
        return rejected("empty")
    if as_pair:
        if len(row.messages) != 1 or not row.original:
            return rejected("not_a_pair", "a translation example needs one message and its original")
        prompt = form.prompts.get(row.lang or "", form.prompt)
        user = Message("user", prompt.replace("{text}", row.original[0].content))
        return _chat_pieces((user, Message("assistant", row.messages[0].content)), tokenizer, form)
    if form.task == "text":
        return _text_pieces(row, tokenizer)
    roles = [message.role for message in row.messages]
    if "assistant" not in roles:
        return rejected("no_assistant", "nothing to learn: no assistant turn")
    if roles[0] == "assistant":
        return rejected("no_prompt", "the conversation opens with an answer")
    return _chat_pieces(row.messages, tokenizer, form)


@lru_cache(maxsize=4)
def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Every token that the tokenizer takes for a mark and not for text, whether it has a name (`eos_token`) or not."""
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    return tuple(sorted({*added, *tokenizer.all_special_tokens}))


def _is_pair(row: Row) -> bool:
    return len(row.messages) == 1 and row.messages[0].role == "text" and row.original is not None and len(row.original) == 1


def _text_pieces(row: Row, tokenizer: PreTrainedTokenizerBase) -> list[Pieces] | Verdict:
    if len(row.messages) == 1 and row.messages[0].role == "text":
        start, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
        return [[(start + row.messages[0].content + end, True)]]
    if not tokenizer.chat_template:
        return rejected("no_template", "a conversation needs a chat template")
    return [[(_template(row.messages, tokenizer, prompt=False), True)]]


def _chat_pieces(messages: tuple[Message, ...], tokenizer: PreTrainedTokenizerBase, form: Form) -> list[Pieces] | Verdict:
    """Cut at the start of every assistant turn and after its end-of-turn token.

    Some templates write a turn otherwise once others follow it (they drop its thinking). Then each answer is a document of its
    own, behind the history as the model will see it.
    """
    pieces: Pieces = []
    done = 0
    whole = _template(messages, tokenizer, prompt=False)
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    for index in answers:
        before = _template(messages[:index], tokenizer, prompt=True)
        after = whole if index == len(messages) - 1 else _template(messages[: index + 1], tokenizer, prompt=False)
        if not after.startswith(before):
            return rejected("template", f"the chat template does not go on from its own prompt at message {index}")
        if not (whole.startswith(after) and before.startswith(whole[:done])):
            return _each_alone(messages, answers, tokenizer, form)
        end = _end_of_turn(after, len(before), tokenizer, form)
        pieces += [(whole[done : len(before)], False), (whole[len(before) : end], True)]
        done = end
    # What follows the last answer (a line break) is neither learned nor seen: generation has stopped.
    return [pieces]


def _each_alone(
    messages: tuple[Message, ...], answers: list[int], tokenizer: PreTrainedTokenizerBase, form: Form
) -> list[Pieces] | Verdict:
    found: list[Pieces] = []
    for index in answers:
        before = _template(messages[:index], tokenizer, prompt=True)
        after = _template(messages[: index + 1], tokenizer, prompt=False)
        if not after.startswith(before):
            return rejected("template", f"the chat template does not go on from its own prompt at message {index}")
        found.append([(before, False), (after[len(before) : _end_of_turn(after, len(before), tokenizer, form)], True)])
    return found


def _end_of_turn(text: str, start: int, tokenizer: PreTrainedTokenizerBase, form: Form) -> int:
    """Where the turn that opens at `start` ends: after its closing special token, or at the end of the text."""
    closed = text.rstrip()
    if not form.newline and closed.endswith(special_tokens(tokenizer)) and len(closed) > start:
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


def _admit(row: Row, examples: list[Example], tokenizer: PreTrainedTokenizerBase, form: Form, made: Examples) -> None:
    """Keep, split or reject by length; a split part starts a document of its own."""
    kept: list[Example] = []
    alone = len(examples) == 1  # else the template rewrites history, and each answer is a document
    for example in examples:
        if len(example) <= form.max_length:
            kept.append(example)
        elif form.task == "text":
            kept.extend(_split(example, form.max_length))
        elif form.task == "chat" and form.too_long == "split" and alone:
            parts, lost = _by_exchanges(row, tokenizer, form)
            kept.extend(parts)
            made.rejected.extend(lost if parts else [(row.id, _too_long(len(example), form))])
        elif alone:
            made.rejected.append((row.id, _too_long(len(example), form)))
    if not alone:
        longer = [(example.id, _too_long(len(example), form)) for example in examples if len(example) > form.max_length]
        lost = [(name, replace(verdict, reason=f"exchange_{verdict.reason}")) for name, verdict in longer]
        made.rejected.extend(lost if kept else [(row.id, longer[0][1])])
    made.examples.extend(kept)
    if len(kept) > 1:
        made.split.append(row.id)


def _too_long(length: int, form: Form) -> Verdict:
    return rejected("too_long", f"{length} tokens, more than {form.max_length}")


def _by_exchanges(row: Row, tokenizer: PreTrainedTokenizerBase, form: Form) -> tuple[list[Example], list[tuple[str, Verdict]]]:
    """The conversation in as few parts as fit, cut before user turns, and the exchanges that are lost with the reason.

    What follows a cut no longer sees what was before it, but for the system turn.
    """
    parts: list[Example] = []
    lost: list[tuple[str, Verdict]] = []
    open_: tuple[Message, ...] = ()  # the exchanges of the last part, which may grow
    system = tuple(message for message in row.messages if message.role == "system")
    for number, exchange in enumerate(_exchanges(row)):
        longer = _example(row.id, (*system, *open_, *exchange), tokenizer, form) if open_ else None
        if isinstance(longer, Example) and len(longer) <= form.max_length:
            open_, parts[-1] = (*open_, *exchange), longer
            continue
        alone = _example(row.id, (*system, *exchange), tokenizer, form)
        if isinstance(alone, Example) and len(alone) <= form.max_length:
            open_ = exchange
            parts.append(alone)
        else:
            verdict = alone if isinstance(alone, Verdict) else _too_long(len(alone), form)
            lost.append((f"{row.id}#{number}", replace(verdict, reason=f"exchange_{verdict.reason}")))
            open_ = ()
    return [replace(part, id=f"{row.id}#{number}") for number, part in enumerate(parts)], lost


def _exchanges(row: Row) -> list[tuple[Message, ...]]:
    """The turns without the system's, cut before each user turn."""
    found: list[tuple[Message, ...]] = []
    for message in row.messages:
        if message.role == "user" or (message.role != "system" and not found):
            found.append((message,))
        elif message.role != "system":
            found[-1] = (*found[-1], message)
    return found


def _example(name: str, messages: tuple[Message, ...], tokenizer: PreTrainedTokenizerBase, form: Form) -> Example | Verdict:
    """One conversation on its own."""
    documents = _render_or_reject(Row(name, messages), tokenizer, form)
    if isinstance(documents, Verdict):
        return documents
    encoded = _encode([text for text, _ in documents[0]], tokenizer)
    return _join(name, [(ids, learned) for ids, (_, learned) in zip(encoded, documents[0], strict=True)])


def _split(example: Example, length: int) -> Iterator[Example]:
    for part, start in enumerate(range(0, len(example), length)):
        labels = example.labels[start : start + length].copy()
        labels[:1] = IGNORED
        yield Example(f"{example.id}#{part}", example.input_ids[start : start + length], labels)
