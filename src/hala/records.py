"""The nouns that flow between the rooms: slotted, plain data that nobody changes.

>>> from hala.records import Message, Row
>>> Row(id="demo/0", messages=(Message("user", "Hello"),), lang="en").text
'Hello'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(kind: type[T]) -> type[T]:
    """A slotted data class that is frozen for the type checker alone: at run time that would double the time to make one.

    For what is made for each row or segment; whatever else nobody changes is `dataclass(frozen=True, slots=True)`.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)


Finish = Literal["stop", "length", "error"]


@record
class Message:
    """One turn. `role` is `system`, `user`, `assistant` or `tool`; a running text or one side of a pair is `text`."""

    role: str
    content: str


@record
class Row:
    """One training example.

    `id` is stable (source / index / content hash) and never renumbered. A translated row keeps the source
    conversation in `original` (same roles, same length); a sentence pair is a one-message row with `original`.
    """

    id: str
    messages: tuple[Message, ...]
    lang: str = ""
    source: str = ""
    licence: str = ""
    original: tuple[Message, ...] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All contents, one message a line: what length, language and duplicate checks look at."""
        return "\n".join(message.content for message in self.messages)


@record
class Verdict:
    """What became of one input row: kept, or rejected with a `reason` (a short slug that is counted) and a `detail`."""

    kept: bool
    reason: str = ""
    detail: str = ""


KEPT = Verdict(True)


def rejected(reason: str, detail: str = "") -> Verdict:
    """A rejection; `detail` is shown beside the stored row, never counted."""
    return Verdict(False, reason, detail)


@record
class Sampling:
    """How to decode: `temperature` 0 is greedy; `max_tokens` bounds the answer, not the prompt."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    min_p: float = 0.0
    """Tokens less likely than this share of the likeliest are left out; like the penalty, only where temperature is above 0."""
    repetition_penalty: float = 1.0
    """What the logits of tokens that prompt or answer hold already are divided by, or multiplied with where negative."""
    confidence: bool = False
    """Ask for `Completion.confidence`; engines that cannot tell leave it out."""


@record
class Request:
    """One call to a model. `id` is unique within one `complete`; what is not None overrides the sampling."""

    id: str
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None

    def sampling(self, shared: Sampling) -> Sampling:
        """How to decode this request: the shared sampling with what the request overrides."""
        if self.max_tokens is None and self.temperature is None and self.seed is None:
            return shared
        return replace(
            shared,
            max_tokens=shared.max_tokens if self.max_tokens is None else self.max_tokens,
            temperature=shared.temperature if self.temperature is None else self.temperature,
            seed=shared.seed if self.seed is None else self.seed,
        )


@record
class Completion:
    """The answer to the request of the same `id`. `tokens` counts generated tokens; `error` explains `finish="error"`."""

    id: str
    text: str
    finish: Finish
    tokens: int = 0
    error: str = ""
    confidence: float | None = None
    """Geometric mean of the probabilities that the model gave to its own tokens, 0 to 1; None when not asked or not known."""
    probability: float | None = None
    """The product of the same probabilities: how likely this very answer was, 0 to 1."""
    refused: bool = False
    """Whether an error is the request's own, such as a prompt longer than the model holds: asking again gives the same."""


@record
class Score:
    """A measured value with its 95% interval over `n` items; `signature` is enough to compute it again."""

    name: str
    value: float
    n: int
    low: float
    high: float
    signature: str


@record
class Question:
    """A multiple-choice question: `answer` is the 0-based index of the right one of `options`."""

    id: str
    question: str
    options: tuple[str, ...]
    answer: int
    lang: str = ""
    topic: str = ""


class Engine(Protocol):
    """Anything that completes chats.

    Pulls requests lazily, keeps a bounded window in flight, answers in any order and exactly once per request.
    A failed request is a completion with `finish="error"`; raising `EngineError` means that the engine is dead.
    """

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]: ...

    def close(self) -> None: ...
