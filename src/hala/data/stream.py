"""Many texts through one engine at full speed: every segment of the open groups is one long stream of requests.

Tries that failed go back into the same stream, so that an engine's queue is full until the last group. Equal segments are
asked once, and what the translation memory knows is not asked at all. A group (the texts of a shard of rows) is done when all its
texts are; the order in which groups are done says nothing, their results do not depend on it.

The ladder of a segment: `first` try, `again` with other seeds, `split` into sentences, `other` model, then its text is rejected.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from hala.data.drafts import SHOWN, Draft, Group, Segment, assembled
from hala.data.gates import check
from hala.data.masks import Masked, mask
from hala.data.memory import Memory
from hala.data.segments import Document, pieces
from hala.data.sentences import is_short_or_pronominal
from hala.data.translating import Asker, Pair, Plan, Progress, Text, Translated, document_of, judge, no_progress
from hala.records import KEPT, Completion, Engine, Request, Verdict, rejected

OPEN_TEXTS = 16_000  # texts under way at once, and so held in memory; of large groups FEWEST_GROUPS are open in any case
FEWEST_GROUPS = 3  # one that waits for its last answers, one that is being answered, one whose turn comes next
MOST_FINISHED = 8  # groups that wait to be taken away
SPLIT_AT_ONCE = 250  # texts split one after the other: the same code stays in the processor's cache, and their masks in ours
SETTLED = 20_000  # distinct segments whose outcome is known without a translation memory; older ones are asked again
SETTLED_BESIDE = 5_000  # the same beside a memory, which knows the answers to older ones
CONTEXT_CHARS = 400  # longer neighbours are no context


class Translator:
    """Translates groups of texts with an engine and, for what that fails, another one; closes neither.

    `stats` counts requests by rung (`asked/again`), segments settled by rung (`passed/split`), segments in all and distinct
    ones, answers from the memory, tokens made (`tokens`), used (`tokens/passed`) and not made again (`tokens/saved`).
    """

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        memory: Memory | None = None,
        other: tuple[Engine, Plan] | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.engines = [engine] + ([other[0]] if other else [])
        self.plans = [plan] + ([other[1]] if other else [])
        self.askers = [Asker(each) for each in self.plans]
        self.plan, self.progress = plan, progress
        self.memory = memory
        self.queues: list[deque[Request]] = [deque() for _ in self.engines]
        self.todo: list[Segment] = []  # a try of theirs comes next
        self.waiting: dict[str, list[Segment]] = {}  # by request id, from being queued to being answered
        self.known: dict[tuple[str, Pair | None, bool], Segment] = {}  # on their way
        self.settled: OrderedDict[tuple[str, Pair | None, bool], Segment] = OrderedDict()
        self.finished: deque[tuple[int, list[Translated]]] = deque()
        self.ladder = ["first"] + ["again"] * plan.retries + ["split"] * plan.split + ["other"] * (other is not None)
        self.stats: Counter[str] = Counter()
        self.open = self.held = self.answered = self.sent = 0  # groups and texts under way, answers, requests

    def translate(self, groups: Iterable[list[Text]]) -> Iterator[tuple[int, list[Translated]]]:
        """(place of the group, one result per text), group by group as they are done. Raises EngineError for a dead engine."""
        self.source = enumerate(groups)
        self.exhausted = False
        while True:
            while not self.queues[0] and self._open_next():
                yield from self._done()
            yield from self._done()
            number = next((number for number, queue in enumerate(self.queues) if queue), None)
            if number is None:
                if self.exhausted:
                    return
                continue
            before = self.sent
            sampling = replace(self.plans[number].sampling, confidence=self.plans[number].min_confidence > 0)
            for completion in self.engines[number].complete(self._feed(number), sampling):
                self._take(completion, number)
                if self.finished:
                    yield from self._done()
            self._silence(number, before)

    def _done(self) -> Iterator[tuple[int, list[Translated]]]:
        while self.finished:
            yield self.finished.popleft()

    def _feed(self, number: int) -> Iterator[Request]:
        """Requests for an engine, as long as there are any without waiting for its answers.

        What it has answered is written before it gets another: what a kill can cost is what it holds, and no more.
        """
        queue = self.queues[number]
        while queue or (number == 0 and self._open_next()):
            while queue:
                if self.memory is not None:
                    self.memory.flush()
                self.sent += 1
                yield queue.popleft()

    # Groups ------------------------------------------------------------------------------------------------------------

    def _open_next(self) -> bool:
        """Takes in one more group, unless all are read or enough are open; its segments are asked for or known."""
        enough = self.held >= OPEN_TEXTS and self.open >= FEWEST_GROUPS
        if self.exhausted or enough or len(self.finished) >= MOST_FINISHED:
            return False
        item = next(self.source, None)
        if item is None:
            self.exhausted = True
            return False
        number, texts = item
        group = Group(number, [None] * len(texts), len(texts))
        self.open += 1
        self.held += len(texts)
        if not texts:
            self._close(group)
            return True
        for start in range(0, len(texts), SPLIT_AT_ONCE):
            documents = [document_of(text, self.plan) for text in texts[start : start + SPLIT_AT_ONCE]]
            for place, document in enumerate(documents, start):
                self._draft(document, self._placed(group, place), False)
        self._pump()
        return True

    def _placed(self, group: Group, place: int) -> Callable[[Draft], None]:
        def done(draft: Draft) -> None:
            group.results[place] = assembled(draft)
            group.missing -= 1
            if not group.missing:
                self._close(group)

        return done

    def _close(self, group: Group) -> None:
        self.open -= 1
        self.held -= len(group.results)
        self.finished.append((group.number, [result for result in group.results if result is not None]))

    # Documents -----------------------------------------------------------------------------------------------------------

    def _draft(self, document: Document, done: Callable[[Draft], None], pieces: bool) -> None:
        """Opens a document; its segments are on their way, or wait for the one that is their context."""
        texts = document.segments
        self.stats["segments"] += len(texts)
        draft = Draft(document, texts, [None] * len(texts), len(texts), pieces, self._anchors(texts), done)
        if not texts:
            done(draft)
            return
        held = {place for places in draft.anchors.values() for place in places} if draft.anchors else ()
        for place in range(len(texts)):
            if place not in held:
                self._place(draft, place, None)

    def _anchors(self, texts: Sequence[str]) -> dict[int, list[int]]:
        """For each segment that is context to others, the places of those: the nearest that needs none itself, not too long."""
        if not self.plan.context:
            return {}
        found: dict[int, list[int]] = {}
        anchor: int | None = None
        for place, text in enumerate(texts):
            if anchor is not None and is_short_or_pronominal(text, self.plan.source.code):
                found.setdefault(anchor, []).append(place)
            else:
                anchor = place if len(text) <= CONTEXT_CHARS else None
        return found

    def _place(self, draft: Draft, place: int, context: Pair | None) -> None:
        """Puts a segment of a document on its way, or takes what is known of it."""
        text = draft.texts[place]
        identity = (text, context, draft.pieces)
        if settled := self.settled.get(identity):
            self.settled.move_to_end(identity)
            self.stats["tokens/saved"] += settled.tokens
            self._fill(draft, place, settled)
            return
        segment = self.known.get(identity)
        if segment is None:
            self.stats["distinct"] += 1
            masked = Masked(text, ()) if self.plan.whole and not draft.pieces else mask(text)
            segment = self.known[identity] = Segment(text, context, masked, draft.pieces)
            self.todo.append(segment)
        segment.users.append((draft, place))

    def _fill(self, draft: Draft, place: int, segment: Segment) -> None:
        """A segment of a document is settled; others may have waited for it."""
        draft.segments[place] = segment
        draft.missing -= 1
        context = None if segment.result is None else (segment.source, segment.result)
        for following in draft.anchors.get(place, ()):
            self._place(draft, following, context)
        if not draft.missing:
            draft.missing = -1  # one that waited may have been the last
            draft.done(draft)

    # Segments ------------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Asks for everything that waits for its next try: what the memory knows is judged at once, the rest is queued."""
        while self.todo:
            now, self.todo = self.todo, []
            for number in range(len(self.engines)):
                self._request([each for each in now if (self.ladder[each.attempt] == "other") == bool(number)], number)

    def _request(self, segments: list[Segment], number: int) -> None:
        asker, plan = self.askers[number], self.plans[number]
        for segment in segments:
            segment.key = asker.key(segment.masked.text, segment.context, *self._decoding(segment, plan))
        found: dict[bytes, Completion] = {}
        if self.memory is not None and segments:
            keys = [segment.key for segment in segments]
            found = self.memory.find(keys, plan.sampling.max_tokens, plan.min_confidence > 0)
        for segment in segments:
            if remembered := found.get(segment.key):
                self.stats["remembered"] += 1
                self.stats["tokens/saved"] += remembered.tokens
                self._judge(segment, remembered, number)
            elif same := self.waiting.get(name := segment.key.hex()):
                same.append(segment)
            else:
                self._send(segment, name, number)

    def _send(self, segment: Segment, name: str, number: int) -> None:
        rung = self.ladder[segment.attempt]
        messages = self.askers[number].messages(segment.masked.text, segment.context)
        temperature, seed = self._decoding(segment, self.plans[number]) if rung == "again" else (None, None)
        self.waiting[name] = [segment]
        self.stats[f"asked/{rung}"] += 1
        self.queues[number].append(Request(name, messages, None, temperature, seed))

    def _decoding(self, segment: Segment, plan: Plan) -> tuple[float, int]:
        """Temperature and seed of the try that comes now."""
        if self.ladder[segment.attempt] == "again":
            return plan.retry_temperature, plan.sampling.seed + segment.attempt
        return plan.sampling.temperature, plan.sampling.seed

    def _take(self, completion: Completion, number: int) -> None:
        """An answer of an engine; one that nobody waits for is ignored."""
        segments = self.waiting.pop(completion.id, None)
        if segments is None:
            return
        self.answered += 1
        self.stats["tokens"] += completion.tokens
        if self.memory is not None:
            self.memory.add(segments[0].key, completion, self.plans[number].sampling.max_tokens)
        for segment in segments:
            self._judge(segment, completion, number)
        if self.todo:
            self._pump()
        self.progress(self.answered, self.answered + len(self.waiting))

    def _silence(self, number: int, before: int) -> None:
        """What the engine was asked and never answered counts as failed, and so does what it did not even take."""
        if self.sent == before:
            self.queues[number].clear()
        queued = {request.id for queue in self.queues for request in queue}
        for name in [name for name in self.waiting if name not in queued]:
            self._take(Completion(name, "", "error", 0, "the engine gave no answer"), number)

    def _judge(self, segment: Segment, completion: Completion, number: int) -> None:
        segment.tries += 1
        segment.tokens += completion.tokens
        outcome = judge(segment.source, segment.masked, completion, self.plans[number])
        if isinstance(outcome, str):
            self.stats["tokens/passed"] += completion.tokens
            self._settle(segment, outcome, KEPT)
        else:
            said = f" | answer: {completion.text[:SHOWN]}" if completion.text else ""
            segment.verdict = rejected(outcome.reason, outcome.detail + said)
            self._advance(segment)

    def _advance(self, segment: Segment) -> None:
        """The next rung that can be tried, or the end."""
        while segment.attempt + 1 < len(self.ladder):
            segment.attempt += 1
            rung = self.ladder[segment.attempt]
            if segment.pieces and rung in ("split", "other"):
                break
            if rung == "split":
                if self._split(segment):
                    return
                continue
            segment.rung = rung
            self.todo.append(segment)
            return
        self._settle(segment, None, segment.verdict)

    def _split(self, segment: Segment) -> bool:
        """Tries a segment sentence by sentence; False when it has but one."""
        document = document_of(Text(segment.source), replace(self.plan, whole=False)) if self.plan.whole else None
        if document is None or len(document.segments) < 2:
            parts = pieces(segment.source, self.plan.source.code)
            document = Document(tuple(parts)) if sum(part.translate for part in parts) > 1 else None
        if document is None:
            return False
        segment.rung = "split"

        def done(draft: Draft) -> None:
            whole = assembled(draft)
            segment.tries += whole.tries
            segment.tokens += whole.tokens
            verdict = whole.verdict
            if verdict.kept:
                plan = self.plan
                verdict = check(segment.source, whole.text, "stop", plan.target, plan.gates, plan.source)
            if verdict.kept:
                self._settle(segment, whole.text, KEPT)
            else:
                segment.verdict = verdict
                self._advance(segment)

        self._draft(document, done, True)
        return True

    def _settle(self, segment: Segment, result: str | None, verdict: Verdict) -> None:
        segment.result, segment.verdict = result, verdict
        if verdict.kept:
            self.stats[f"passed/{segment.rung}"] += 1
        identity = (segment.source, segment.context, segment.pieces)
        self.known.pop(identity, None)
        if verdict.reason != "engine_error":
            self.settled[identity] = segment
            if len(self.settled) > (SETTLED if self.memory is None else SETTLED_BESIDE):
                self.settled.popitem(last=False)
        users, segment.users = segment.users, []
        if len(users) > 1:
            self.stats["tokens/saved"] += segment.tokens * (len(users) - 1)
        for draft, place in users:
            self._fill(draft, place, segment)
