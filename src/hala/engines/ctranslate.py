"""Translation by an encoder-decoder (OPUS-MT, NLLB, M2M-100) in CTranslate2: a laptop's engine, fast on a CPU with int8.

    engine = CTranslateEngine(prepare("runs/opus"), languages=(language("en"), language("ar")))
    for completion in engine.complete([Request("1", (Message("user", "Hello."),))], Sampling()): ...

Such a model takes a sentence, no chat: a request holds one message, which is the bare text. It is cut into sentences, and where
the model's vocabulary has no sentinels, or it lost one, into the stretches between them; what has no letters stays as it is.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from hala.engines.batches import plan_batches
from hala.engines.pieces import Pieces, find_pieces, find_tags
from hala.errors import EngineError
from hala.hardware import cpu_count
from hala.languages import Language
from hala.records import Completion, Finish, Request, Sampling

SENTINEL = re.compile(r"(⟦\d{1,6}⟧)")
END = "</s>"
GROWTH, MORE = 4, 32  # a translation with more than so many tokens for each of its source, and so many more, is a loop
N_BEST = 6  # translations among which a request with a temperature draws


@dataclass(slots=True)
class Piece:
    """A sentence, or a stretch of one, on its way through the model."""

    draft: Draft
    number: int
    prompt: list[str]
    limit: int
    text: str = ""
    tokens: int = 0
    logprob: float = 0.0
    finish: Finish = "stop"
    error: str = ""


@dataclass(slots=True)
class Draft:
    """A request whose pieces are being translated; other parts stand between them."""

    request: Request
    sampling: Sampling
    around: bool
    """Whether its text was cut at sentinels."""
    parts: list[str | Piece] = field(default_factory=list)
    missing: int = 0
    error: str = ""

    @property
    def pieces(self) -> list[Piece]:
        return [part for part in self.parts if isinstance(part, Piece)]

    @property
    def text(self) -> str:
        return "".join(part.text if isinstance(part, Piece) else part for part in self.parts)

    def lost_a_sentinel(self) -> bool:
        """Whether cutting at sentinels would help: not all of them are there just once."""
        wanted = sorted(SENTINEL.findall(self.request.messages[-1].content)) if self.request.messages else []
        return not self.around and not self.error and bool(wanted) and sorted(SENTINEL.findall(self.text)) != wanted


class Model(Protocol):
    """What is known of a translator before it is loaded: `hala.weights.ctranslate.prepare` says what each is."""

    @property
    def folder(self) -> Path: ...
    @property
    def tokenizer(self) -> Path: ...
    @property
    def positions(self) -> int: ...
    @property
    def source(self) -> Sequence[str]: ...
    @property
    def target(self) -> Sequence[str]: ...


class CTranslateEngine:
    """An `Engine` over a translator in CTranslate2's format.

    `languages` are source and target; `split` cuts a text into sentences whose concatenation is the text. `batch_tokens` bounds
    rows x (text + expected translation) of one batch. `keeps_sentinels` says whether the vocabulary has what ⟦1⟧ is made of.
    Raises: EngineError when CTranslate2 is missing or cannot load the model, RecipeError when the model lacks a language.
    """

    def __init__(
        self,
        model: Model,
        *,
        languages: tuple[Language, Language],
        compute_type: str = "auto",
        beam_size: int = 1,
        batch_tokens: int = 16_384,
        window: int = 4096,
        split: Callable[[str], list[str]] = lambda text: [text],
    ) -> None:
        folder = model.folder
        self.pieces: Pieces = find_pieces(model.tokenizer, model.source)
        self.tags = find_tags(model.source, *languages)
        self.ending = [END] if closes_itself(folder) else []
        self.keeps_sentinels = keeps_sentinels(self.pieces, model)
        self.positions = model.positions
        self.beam_size, self.split = beam_size, split
        self.batch_tokens, self.window = batch_tokens, window
        self.most_rows = 1 << 30
        library, device = import_ctranslate2(), pick_device()
        # On a CPU batches side by side are faster than threads within one, and share the weights.
        self.workers = threads() if device == "cpu" else 1
        try:
            self.translator: Any = library.Translator(
                str(folder),
                device=device,
                compute_type=pick_compute_type(compute_type),
                inter_threads=self.workers,
                intra_threads=1 if device == "cpu" else 0,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"CTranslate2 cannot load {folder} as {compute_type}: {error}",
                "Try compute_type: float32, which every machine knows, or convert the model again.",
            ) from error

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """One completion per request, longest pieces of a window first."""
        source = iter(requests)
        while window := list(islice(source, self.window)):
            drafts = [self._draft(request, sampling, not self.keeps_sentinels) for request in window]
            while drafts:
                again = []
                for draft in self._translated(drafts):
                    if draft.lost_a_sentinel():
                        again.append(self._draft(draft.request, sampling, True))
                    else:
                        yield to_completion(draft)
                drafts = again

    def close(self) -> None:
        """Free the model; the engine cannot be used afterwards."""
        self.translator = None

    def _draft(self, request: Request, shared: Sampling, around: bool) -> Draft:
        """The request cut into pieces, or with the reason why it cannot be."""
        draft = Draft(request, request.sampling(shared), around)
        draft.error = refusal(draft)
        if draft.error:
            return draft
        for sentence in self.split(request.messages[0].content):
            for stretch in SENTINEL.split(sentence) if around else [sentence]:
                for text in self.pieces.cut(stretch):
                    self._add(draft, text)
        longest = max((len(piece.prompt) for piece in draft.pieces), default=0)
        if longest > self.positions:
            draft.error = f"a sentence has {longest} tokens, the model holds {self.positions}"
        draft.missing = 0 if draft.error else len(draft.pieces)
        return draft

    def _add(self, draft: Draft, text: str) -> None:
        """A stretch of text as a piece between the space around it, or as it is."""
        body = text.strip()
        tokens = self.pieces.encode(body) if self.pieces.takes(body) else []
        if not tokens:
            draft.parts.append(text)
            return
        prompt = [*self.tags.before, *tokens, *self.ending]
        limit = min(draft.sampling.max_tokens, GROWTH * len(tokens) + MORE, self.positions - len(self.tags.prefix))
        start = text.find(body)
        piece = Piece(draft, len(draft.parts), prompt, limit)
        draft.parts += [text[:start], piece, text[start + len(body) :]]

    def _translated(self, drafts: list[Draft]) -> Iterator[Draft]:
        """Each draft, once all of its pieces are translated."""
        yield from (draft for draft in drafts if not draft.missing)
        pieces = [piece for draft in drafts if draft.missing for piece in draft.pieces]
        batches = []
        for drawn in (False, True):  # a search for several translations is another one
            group = [piece for piece in pieces if (piece.draft.sampling.temperature > 0) is drawn]
            batches += plan_batches(group, self.batch_tokens, self.most_rows)
        for batch in self._run(batches):
            for piece in batch:
                piece.draft.missing -= 1
                if not piece.draft.missing:
                    yield piece.draft

    def _run(self, batches: list[list[Piece]]) -> Iterator[list[Piece]]:
        """The batches as they are done, some of them at once; one that fails comes as two halves, down to single pieces."""
        waiting, running = deque(batches), deque[tuple[list[Piece], Any]]()
        while waiting or running:
            while waiting and len(running) < 2 * self.workers:
                batch = waiting.popleft()
                if len(batch) > self.most_rows:
                    waiting.extendleft([batch[self.most_rows :], batch[: self.most_rows]])
                else:
                    running.append((batch, self._submit(batch)))
            batch, futures = running.popleft()
            try:
                results = [future.result() for future in futures]
            except (RuntimeError, ValueError, MemoryError) as error:
                half = (len(batch) + 1) // 2
                if len(batch) > 1:
                    waiting.extendleft([batch[half:], batch[:half]])
                    if "out of memory" in str(error) or isinstance(error, MemoryError):
                        self.most_rows = half
                    continue
                batch[0].finish, batch[0].error = "error", f"CTranslate2 failed: {error or type(error).__name__}"
            else:
                for piece, result in zip(batch, results, strict=True):
                    self._take(piece, result)
            yield batch

    def _submit(self, batch: list[Piece]) -> Any:
        drawn = batch[0].draft.sampling.temperature > 0
        beam = max(N_BEST, self.beam_size) if drawn else self.beam_size
        prefix = list(self.tags.prefix)
        return self.translator.translate_batch(
            [piece.prompt for piece in batch],
            target_prefix=[prefix] * len(batch) if prefix else None,
            beam_size=beam,
            num_hypotheses=beam if drawn else 1,
            max_input_length=0,  # it would cut texts without a word
            max_decoding_length=max(piece.limit for piece in batch) + len(prefix),
            min_decoding_length=0,  # an empty translation is one that somebody can reject
            return_scores=True,
            disable_unk=True,
            repetition_penalty=batch[0].draft.sampling.repetition_penalty if drawn else 1.0,
            asynchronous=True,
        )

    def _take(self, piece: Piece, result: Any) -> None:
        """Writes a translation into its piece; one that a batch let grow beyond the piece's own limit is cut there."""
        skip = len(self.tags.prefix)
        found = [tokens[skip:] for tokens in result.hypotheses]
        # Scores are means over the tokens with their end.
        logprobs = [score * (len(tokens) + 1) for score, tokens in zip(result.scores, found, strict=True)]
        chosen = draw(logprobs, piece) if piece.draft.sampling.temperature > 0 else 0
        tokens = found[chosen][: piece.limit]
        piece.text, piece.tokens, piece.logprob = self.pieces.decode(tokens), len(tokens), logprobs[chosen]
        piece.finish = "length" if len(found[chosen]) >= piece.limit else "stop"


def draw(logprobs: list[float], piece: Piece) -> int:
    """The place of one of the n best translations, with probabilities sharpened by the temperature and cut at top_p.

    CTranslate2's own sampling takes its numbers from one generator for each thread, so that an answer would depend on its
    batch; here it depends on the seed and the request alone.
    """
    sampling, name = piece.draft.sampling, f"{piece.draft.sampling.seed}\0{piece.draft.request.id}\0{piece.number}"
    best = max(logprobs)
    weights = [math.exp((logprob - best) / sampling.temperature) for logprob in logprobs]
    order = sorted(range(len(weights)), key=lambda place: -weights[place])
    total, kept = 0.0, []
    for place in order:
        if weights[place] < sampling.min_p:  # the best one weighs 1
            break
        kept.append(place)
        total += weights[place]
        if total >= sampling.top_p * sum(weights):
            break
    number = random.Random(name.encode("utf-8", "surrogatepass"))
    return number.choices(kept, [weights[place] for place in kept])[0]


def refusal(draft: Draft) -> str:
    """Why a request cannot be translated, or an empty string."""
    messages = draft.request.messages
    if len(messages) != 1:
        return (
            f"a translator of sentences takes one message, the bare text, not {len(messages)}; it knows no context and no system"
        )
    if not messages[0].content.strip():
        return "the text is empty"
    if any(0xD800 <= ord(char) < 0xE000 for char in messages[0].content):
        return "the text holds half a surrogate pair, which is no character"
    return f"max_tokens must be at least 1, not {draft.sampling.max_tokens}" if draft.sampling.max_tokens < 1 else ""


def to_completion(draft: Draft) -> Completion:
    """What became of a request: an error of any piece is its own, and so is a cut."""
    pieces, sampling = draft.pieces, draft.sampling
    tokens = sum(piece.tokens for piece in pieces)
    error = draft.error or next((piece.error for piece in pieces if piece.error), "")
    if error:
        return Completion(draft.request.id, "", "error", tokens, error, refused=bool(draft.error))
    text = draft.text
    for stop in filter(None, sampling.stop):
        text = text.split(stop, 1)[0]
    if tokens > sampling.max_tokens or any(piece.finish == "length" for piece in pieces):
        return Completion(draft.request.id, text, "length", tokens)
    mean = sum(piece.logprob for piece in pieces) / max(1, sum(piece.tokens + 1 for piece in pieces))
    return Completion(draft.request.id, text, "stop", tokens, confidence=math.exp(mean) if sampling.confidence else None)


def keeps_sentinels(pieces: Pieces, model: Model) -> bool:
    """Whether ⟦1⟧ survives the tokenizer and both vocabularies: small ones lack its brackets."""
    text = "A ⟦1⟧ b ⟦2⟧."
    tokens = pieces.encode(text)
    known = all(token in model.source and token in model.target for token in tokens)
    return known and SENTINEL.findall(pieces.decode(tokens)) == ["⟦1⟧", "⟦2⟧"]


def closes_itself(folder: Path) -> bool:
    """Whether texts must end in `</s>`: models that came from transformers want it and CTranslate2 does not add it."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return (
        bool(config) and not config.get("add_source_eos") and config.get("decoder_start_token") == config.get("eos_token") == END
    )


def import_ctranslate2() -> Any:
    """The ctranslate2 module. Raises EngineError when it is not installed or does not import."""
    try:
        return importlib.import_module("ctranslate2")
    except ImportError as error:
        raise EngineError(
            f"the ctranslate engine needs the package ctranslate2 ({error}).", 'Install it: pip install "hala[ctranslate]"'
        ) from error


def pick_device() -> str:
    """`cuda` when CTranslate2 sees a GPU, else `cpu`."""
    return "cuda" if import_ctranslate2().get_cuda_device_count() else "cpu"


def pick_compute_type(compute_type: str) -> str:
    """The arithmetic of a setting: `auto` is int8 on a CPU; on a GPU it stays, and CTranslate2 takes what is fastest there."""
    return "int8" if compute_type == "auto" and pick_device() == "cpu" else compute_type


def threads() -> int:
    """Batches at once on a CPU: OMP_NUM_THREADS, else one for each core that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else cpu_count()
