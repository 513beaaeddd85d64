"""How a question is put to a model: each profile is data, and its parameters stand in every score's signature.

`oall-v2` repeats the prompt texts of the Open Arabic LLM Leaderboard v2 (lighteval 0.9 and 0.10, after lighteval#556),
quirks included; `lighteval-0.11` asks as lighteval 0.11 to 0.13 do; `strict` repairs the quirks; `cloze` shows no letters and
scores each option's full text as an answer.

>>> from hala.evals.benchmarks import Item
>>> from hala.evals.profiles import PROFILES, render
>>> from hala.records import Question
>>> item = Item(Question("q", "2 + 2?", ("3", "4"), 1), "sums", "", "jsonl", ("A", "B"))
>>> render(PROFILES["cloze"], item).continuations
('3', '4')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hala.errors import RecipeError, nearest
from hala.evals.benchmarks import Item
from hala.evals.forms import FORMS
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
    pairwise: bool = False
    """As lighteval does since 0.11: instruction and question are parted by a blank line, prompt and option are tokenised apart,
    and the start token comes before a chat template's own."""

    @property
    def signature(self) -> str:
        """All parameters, in the `key:value|...` form of sacrebleu's signatures."""
        told = f"profile:{self.name}|style:{self.style}|chat:{_yes(self.chat)}|norm:{self.norm}|quirks:{_yes(self.quirks)}"
        return told + "|encoding:pairwise" * self.pairwise


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
    pairwise: bool = False


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("oall-v2", "letters", chat=False, norm="char", quirks=True),
        Profile("oall-v2-chat", "letters", chat=True, norm="char", quirks=True),
        Profile("lighteval-0.11", "letters", chat=False, norm="char", quirks=True, pairwise=True),
        Profile("lighteval-0.11-chat", "letters", chat=True, norm="char", quirks=True, pairwise=True),
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
    instruction, rest = _lay_out(profile, item)
    if profile.pairwise:
        rest = rest.strip() if profile.chat else f"\n\n{rest.strip()}"
    if profile.chat:
        return Prompt("", (Message("user", instruction + rest),), item.labels, profile.norm, False, profile.pairwise)
    return Prompt(instruction + rest, (), item.labels, profile.norm, False, profile.pairwise)


def _lay_out(profile: Profile, item: Item) -> tuple[str, str]:
    """(instruction, the rest)."""
    form = FORMS[item.schema if item.schema != "jsonl" else "own_ar" if item.question.lang == "ar" else "own"]
    rule = form.context.shown if form.context is not None and profile.quirks else "filled"
    # A context of `None` prints that very word where the leaderboard did.
    with_context = rule == "always" or (rule == "filled" and bool(item.context))
    layout = form.context if form.context is not None and with_context else form.prompt
    labelled = list(zip(item.labels, item.question.options, strict=True))
    return layout.parts(item.question.question, labelled, item.context, item.question.topic)


def _plain_option(item: Item, option: str) -> str:
    """Letters that options carry are not part of the answers that they mark."""
    columns = FORMS[item.schema].columns if item.schema in FORMS else None
    marks = "".join(columns.option_marks) if columns is not None else ""
    return re.sub(rf"^\s*[{re.escape(marks)}]\s*[).:\-–]\s*", "", option) if marks else option


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
