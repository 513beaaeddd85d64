"""Texts in, translated texts out: what a translation is asked with, and how an answer becomes a text or a rejection.

A text is translated whole or not at all: one segment that fails rejects its text, with the reason. The flow of many texts
through engines is in `stream.py`.

>>> from hala.data.translating import Plan, translate_texts
>>> from hala.engines.scripted import EchoEngine   # doctest: +SKIP
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import xxhash

from hala.data.gates import GATES, Gate, check
from hala.data.masks import Masked, fill, misplaced, unmask
from hala.data.payloads import thinking_span
from hala.data.prompts import Prompt, for_languages, get_prompt, render, unwrap
from hala.data.routing_keeps import protect
from hala.data.segments import Document, Part, split
from hala.errors import RecipeError, nearest
from hala.languages import Language
from hala.records import Completion, Engine, Message, Sampling, Verdict, record, rejected

# Part of every key of the translation memory: raise it when requests of the same settings come to mean something else.
PROTOCOL = 1
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to translate, and what happens to a segment that fails: it is tried again, split, given to another model, rejected.

    `model` identifies the translator to the translation memory. `retries` further tries are sampled at `retry_temperature`,
    each with its own seed. `split` tries a failed segment sentence by sentence. `context` shows the segment before to short
    ones and to those that begin with a pronoun. `values` names keys of JSON objects whose strings are translated too.
    """

    prompt: str
    source: Language
    target: Language
    sampling: Sampling
    gates: Mapping[str, Gate]
    whole: bool = False
    max_chars: int = 1200
    retries: int = 1
    retry_temperature: float = 0.3
    min_confidence: float = 0.0
    split: bool = False
    context: bool = False
    values: tuple[str, ...] = ()
    model: str = ""
    as_written: bool = False
    """Take every answer as it is, cut off or without its spans: to measure a translator, which is not to be flattered."""


@record
class Text:
    """A text to translate; the character ranges of `keep` (sorted, apart) stay as they are."""

    text: str
    keep: tuple[tuple[int, int], ...] = ()


@record
class Translated:
    """A translated text, or the text "" with the verdict that says why there is none.

    `tries` is the most that any segment took, `rung` the last step of the ladder (`first`, `again`, `split`,
    `other`) that any took, `failed` the distinct segments that no step could translate, each with its verdict.
    """

    text: str
    verdict: Verdict
    tokens: int = 0
    tries: int = 1
    rung: str = "first"
    failed: tuple[tuple[str, Verdict], ...] = ()


Progress = Callable[[int, int], None]
"""progress(completions so far, requests so far): the second grows when segments are tried again."""


def no_progress(done: int, total: int) -> None:
    """Says nothing."""


def select_gates(names: Sequence[str]) -> dict[str, Gate]:
    """Gates by name in their own order; `default` is all of them, `none` is none. Raises RecipeError for an unknown name."""
    for name in names:
        if name not in GATES and name not in ("default", "none"):
            raise RecipeError(f"unknown gate '{name}'.{nearest(name, GATES)}", f"Known: default, none, {', '.join(GATES)}.")
    return {name: gate for name, gate in GATES.items() if name in names or "default" in names}


def translate_texts(texts: Sequence[str], engine: Engine, plan: Plan, progress: Progress = no_progress) -> list[Translated]:
    """One result per text, in order. Equal segments are translated once; what an engine drops or repeats is noticed."""
    from hala.data.stream import Translator

    [(_, results)] = Translator(engine, plan, progress=progress).translate([[Text(text) for text in texts]])
    return results


def document_of(text: Text, plan: Plan) -> Document:
    """The parts of a text: structure is skeleton, the rest is segments, in which marks stand for kept ranges.

    In `whole` mode all is one segment but for the kept ranges, and kept thinking before an answer is skeleton in any mode.
    """
    if plan.whole:
        return _undivided(text)
    if not text.keep:
        return split(text.text, plan.max_chars, plan.values, plan.source.code)
    thoughts = thinking_span(text.text)
    start = thoughts[1] if thoughts and text.keep[0][0] == 0 and text.keep[0][1] >= thoughts[1] else 0
    marked, kept = protect(text.text, [(max(low, start), high) for low, high in text.keep if high > start])
    document = split(marked[start:], plan.max_chars, plan.values, plan.source.code)
    head = (Part(text.text[:start], False),) if start else ()
    return Document((*head, *document.parts), document.open_block, kept)


def _undivided(text: Text) -> Document:
    parts: list[Part] = []
    position = 0
    for start, end in (*text.keep, (len(text.text), len(text.text))):
        piece = text.text[position:start]
        parts += [Part(piece, bool(piece.strip())), Part(text.text[start:end], False)]
        position = end
    return Document(tuple(part for part in parts if part.text))


class Asker:
    """Requests of one plan: their messages, and the keys by which the translation memory knows them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.prompt: Prompt = get_prompt(plan.prompt)
        template = for_languages(plan.prompt, plan.target, plan.source)
        self.before, _, self.after = template.partition("{text}")
        self.simple = template.count("{text}") == 1
        system = render(plan.prompt, "", plan.target, plan.source)[:-1]
        self.system: tuple[Message, ...] = tuple(system)
        shared = plan.sampling
        what = [PROTOCOL, plan.model, [[m.role, m.content] for m in system], template, shared.top_p, shared.stop]
        what += [shared.min_p, shared.repetition_penalty] if shared.min_p or shared.repetition_penalty != 1 else []
        told = json.dumps([*what, plan.source.code, plan.target.code], ensure_ascii=False)
        self.identity = told.encode("utf-8", "surrogatepass")
        self.beginnings: dict[tuple[float, int], bytes] = {}  # first part of what is hashed into a key, by temperature and seed

    def messages(self, text: str, context: Pair | None) -> tuple[Message, ...]:
        """The chat that asks for `text`; the pair before it, if any, stands there as an earlier turn."""
        if context is None:
            return (*self.system, Message("user", self._fill(text)))
        before, translation = context
        answer = f"{self.prompt.opening}{translation}{self.prompt.closing}"
        earlier = (Message("user", self._fill(before)), Message("assistant", answer))
        return (*self.system, *earlier, Message("user", self._fill(text)))

    def key(self, text: str, context: Pair | None, temperature: float, seed: int) -> bytes:
        """16 bytes that stand for the request: the text as the engine sees it, languages, model, prompt and sampling.

        A greedy answer does not depend on the seed, so that its key does not either.
        """
        beginning = self.beginnings.get((temperature, seed))
        if beginning is None:
            beginning = self.identity + f"\0{float(temperature)}\0{seed if temperature > 0 else 0}\0".encode()
            self.beginnings[temperature, seed] = beginning
        rest = text if context is None else "\0".join((text, *context))
        return xxhash.xxh3_128_digest(b"%b%b\0" % (beginning, rest.encode("utf-8", "surrogatepass")))

    def _fill(self, text: str) -> str:
        if self.simple:
            return f"{self.before}{text}{self.after}"
        return render(self.plan.prompt, text, self.plan.target, self.plan.source)[-1].content


def judge(source: str, masked: Masked, completion: Completion, plan: Plan) -> str | Verdict:
    """The translation of a segment that a completion holds, with its spans and edges back, or why it is none.

    Whatever the gates, an answer that was cut off or is empty is none, nor is one without the segment's spans in their places.
    """
    if completion.finish == "error":
        return rejected("refused" if completion.refused else "engine_error", completion.error)
    if plan.as_written:
        said = unwrap(plan.prompt, completion.text)
        return edges(source, fill(completion.text.strip() if isinstance(said, Verdict) else said, masked.spans))
    if completion.finish != "stop":
        return rejected("truncated", f"finish is {completion.finish}")
    if plan.min_confidence and (completion.confidence or 0.0) < plan.min_confidence:
        return rejected("low_confidence", f"{completion.confidence or 0.0:.2f}: {completion.text[:120]}")
    answer = unwrap(plan.prompt, completion.text)
    if isinstance(answer, Verdict):
        return answer
    if not answer:
        return rejected("empty", "nothing came back")
    verdict = check(masked.text, answer, completion.finish, plan.target, plan.gates, plan.source)
    if not verdict.kept:
        return verdict
    if not masked.spans and ("⟦" not in answer or "⟦" in masked.text):  # a whole message is asked unmasked
        return edges(source, answer)
    text = unmask(answer, masked.spans)
    if isinstance(text, Verdict):
        return text
    wrong = misplaced(answer, masked)
    return rejected("placeholders", wrong) if wrong else edges(source, text)


def edges(source: str, target: str) -> str:
    """The translation with the source's own edges: whitespace around a segment is the document's, never the engine's."""
    body = source.strip()
    if not body:
        return source
    if len(body) == len(source):
        return target.strip()
    start = source.find(body)
    return f"{source[:start]}{target.strip()}{source[start + len(body) :]}"
