"""How a question is put to a model: each profile is data, and its parameters stand in every score's signature.

`oall-v2` repeats the prompt texts of the Open Arabic LLM Leaderboard v2 (lighteval 0.9 and 0.10, after lighteval#556),
quirks included; `strict` repairs the quirks; `cloze` shows no letters and scores each option's full text as an answer.

>>> from hala.evals.benchmarks import Item
>>> from hala.evals.profiles import PROFILES, render
>>> from hala.records import Question
>>> item = Item(Question("q", "2 + 2?", ("3", "4"), 1), "sums", "", "jsonl", ("A", "B"))
>>> render(PROFILES["cloze"], item).continuations
('3', '4')
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hala.errors import RecipeError, nearest
from hala.evals.benchmarks import Item, Schema
from hala.records import Message

Norm = Literal["char", "token", "none"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to ask. `style` letters scores the labels, cloze the options' texts; `chat` uses the chat template.

    `norm` divides an option's log-probability by its code points (char), its scored tokens (token) or nothing (none).
    `quirks` repeats what the leaderboard did: ArabicMMLU without its context, `None` for MadinahQA's missing one.
    """

    name: str
    style: Literal["letters", "cloze"]
    chat: bool
    norm: Norm
    quirks: bool

    @property
    def signature(self) -> str:
        """All parameters, in the `key:value|...` form of sacrebleu's signatures."""
        return f"profile:{self.name}|style:{self.style}|chat:{_yes(self.chat)}|norm:{self.norm}|quirks:{_yes(self.quirks)}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question ready to score: `text` for a plain prompt or else `messages` for the chat template.

    Each of `continuations` is what the model could say next; `ends_turn` adds the end-of-turn token to it.
    """

    text: str
    messages: tuple[Message, ...]
    continuations: tuple[str, ...]
    norm: Norm
    ends_turn: bool


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("oall-v2", "letters", chat=False, norm="char", quirks=True),
        Profile("oall-v2-chat", "letters", chat=True, norm="char", quirks=True),
        Profile("strict", "letters", chat=False, norm="none", quirks=False),
        Profile("strict-chat", "letters", chat=True, norm="none", quirks=False),
        Profile("cloze", "cloze", chat=True, norm="token", quirks=False),
    )
}


def find_profile(name: str) -> Profile:
    """The profile of that name. Raises RecipeError with the nearest known name."""
    if name not in PROFILES:
        raise RecipeError(f"unknown profile '{name}'.{nearest(name, PROFILES)}", f"Known: {', '.join(PROFILES)}.")
    return PROFILES[name]


def render(profile: Profile, item: Item) -> Prompt:
    """The prompt of one item. In chat form the instruction opens the user turn; no system turn is added."""
    if profile.style == "cloze":
        parts = [item.context, item.question.question] if item.context else [item.question.question]
        turn = (Message("user", "\n\n".join(part for part in parts if part)),)
        return Prompt("", turn, tuple(_plain_option(item, option) for option in item.question.options), profile.norm, True)
    text = _lay_out(profile, item)
    if profile.chat:
        return Prompt("", (Message("user", text),), item.labels, profile.norm, False)
    return Prompt(text, (), item.labels, profile.norm, False)


def _lay_out(profile: Profile, item: Item) -> str:
    if not profile.quirks and item.schema in ("arabic_mmlu", "madinah_qa"):
        return _with_context(item) if item.context else _without_context(item)
    return _LAYOUTS[item.schema](item)


def _choices(item: Item, mark: str = ". ", before: str = "") -> list[str]:
    pairs = zip(item.labels, item.question.options, strict=True)
    return [f"{before}{label}{mark}{option}\n" for label, option in pairs]


def _without_context(item: Item) -> str:
    instruction = "السؤال التالي هو سؤال متعدد الإختيارات. اختر الإجابة الصحيحة:\n\n"
    return f"{instruction}{item.question.question}\n{''.join(_choices(item))}الإجابة:"


def _with_context(item: Item) -> str:
    """A context of `None` prints that very word, which is what the leaderboard's models were shown."""
    instruction = "بناءً على السياق أدناه، اختر الإجابة الصحيحة للسؤال التالي من قائمة الأجوبة:\n\n"
    body = f"\nالسياق:\n{item.context}\nالسؤال:\n{item.question.question}\n"
    return f"{instruction}{body}{''.join(_choices(item))}الإجابة:"


def _exams(item: Item) -> str:
    """Each choice ends its own line and is then joined by another newline, hence the blank lines."""
    subject = item.question.topic.replace("_", " ")
    instruction = f"الأسئلة التالية هي أسئلة متعددة الإختيارات مع الجواب الصحيح حول {subject}. \n\n"
    choices = "\n".join(_choices(item, mark=") ", before=" "))
    return f"{instruction}السؤال: {item.question.question}\n{choices}\nالإجابة:"


def _alghafa(item: Item) -> str:
    instruction = "الأسئلة التالية هي أسئلة متعددة الإختيارات مع الجواب الصحيح\n\n"
    return f"{instruction}السؤال: {item.question.question}\n{''.join(_choices(item, mark=') '))}الإجابة:"


def _aratrust(item: Item) -> str:
    """The data's choices carry their own letters, so none is added."""
    instruction = "السؤال التالي هو سؤال متعدد الإختيارات. اختر الإجابة الصحيحة: أ، ب أو ج. \n\n"
    choices = "".join(f"{option}\n" for option in item.question.options)
    return f"{instruction}{item.question.question}\n{choices}الإجابة:"


def _jsonl(item: Item) -> str:
    """Own questions: the leaderboard's Arabic frame for Arabic, a bare lettered list otherwise."""
    if item.question.lang == "ar":
        return _with_context(item) if item.context else _without_context(item)
    context = f"{item.context}\n\n" if item.context else ""
    return f"{context}{item.question.question}\n{''.join(_choices(item))}Answer:"


_LAYOUTS: dict[Schema, Callable[[Item], str]] = {
    "alghafa": _alghafa,
    "arabic_mmlu": _without_context,
    "exams": _exams,
    "madinah_qa": _with_context,
    "aratrust": _aratrust,
    "arbmmlu_ht": _without_context,
    "jsonl": _jsonl,
}


def _plain_option(item: Item, option: str) -> str:
    """AraTrust's letters are not part of the answers that they mark."""
    return re.sub(r"^\s*[أبج]\s*[).:\-–]\s*", "", option) if item.schema == "aratrust" else option


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
