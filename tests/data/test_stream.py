"""The flow of many texts: one stream of requests, a finite ladder, nothing asked twice, results that depend on texts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data import stream
from hala.data.gates import GATES
from hala.data.memory import Memory
from hala.data.prompts import extract
from hala.data.stream import Translator
from hala.data.translating import Plan, Text, Translated
from hala.engines.scripted import EchoEngine, Faults, ScriptedEngine
from hala.languages import language
from hala.records import Completion, Request, Sampling

PLAN = Plan("default", language("en"), language("ar"), Sampling(64), {}, model="m")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["It works. See `x`. Then go.", "Yes.", "1. One\n2. Two\n\n| a | b |\n|---|---|\n| it | x |\n", "It is {a}. It was {b}."]
)
GROUPS = st.lists(st.lists(TEXT, max_size=3), max_size=5)


class Noted:
    """An engine whose answers come from a function; it remembers its requests with how they were to be decoded."""

    def __init__(
        self, answer: Callable[[str], str | None] = lambda text: text, cut: Callable[[str], bool] = lambda text: False
    ) -> None:
        self.answer, self.cut = answer, cut
        self.texts: list[str] = []
        self.requests: list[Request] = []
        self.samplings: list[Sampling] = []

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        for request in requests:
            text = extract(request)
            self.texts.append(text)
            self.requests.append(request)
            self.samplings.append(request.sampling(sampling))
            answer = self.answer(text)
            finish = "error" if answer is None else "length" if self.cut(text) else "stop"
            yield Completion(request.id, answer or "", finish, 2)  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing to close."""


def results(translator: Translator, groups: list[list[str]]) -> list[list[Translated]]:
    """The results of all groups in the order in which the groups came."""
    found = dict(translator.translate([Text(text) for text in group] for group in groups))
    return [found[place] for place in range(len(groups))]


@settings(max_examples=150, deadline=None)
@given(GROUPS, st.booleans(), st.booleans())
def test_identity_gives_every_text_back(groups: list[list[str]], whole: bool, context: bool) -> None:
    """Through context, whole mode, groups and shared segments, an engine that changes nothing changes nothing."""
    plan = replace(PLAN, whole=whole, context=context)
    found = results(Translator(EchoEngine(extract), plan), groups)
    assert [[result.text for result in group] for group in found] == groups
    assert all(result.verdict.kept for group in found for result in group)


@settings(max_examples=80, deadline=None)
@given(
    GROUPS,
    st.builds(Faults, seed=st.integers(0, 9), error=st.floats(0, 0.5), empty=st.floats(0, 0.3), shuffled=st.integers(1, 9)),
    st.booleans(),
)
def test_results_depend_on_texts_alone(groups: list[list[str]], faults: Faults, context: bool) -> None:
    """In one group, in many, in any order of answers: every text has the same fate, by the same rungs."""
    plan = replace(PLAN, split=True, context=context, gates=GATES if not faults.error else {})
    together = results(Translator(ScriptedEngine(extract, faults), plan), groups)
    calm = replace(faults, shuffled=1)
    alone = [results(Translator(ScriptedEngine(extract, calm), plan), [[text]])[0][0] for group in groups for text in group]
    assert [result for group in together for result in group] == alone


def test_ladder_goes_down_rung_by_rung_and_ends() -> None:
    """First, again with other seeds, sentence by sentence, the other model, then rejection: each once, in this order."""
    engine = Noted(lambda text: None if "bad" in text else text)
    other = Noted(lambda text: "good" if "one bad" in text else None)
    plan = replace(PLAN, retries=2, split=True)
    translator = Translator(engine, plan, other=(other, plan))
    [[helped, lost]] = results(translator, [["This is fine here. This one bad.", "It is all bad."]])
    assert (helped.text, helped.rung) == ("good", "other") and helped.verdict.kept
    assert not lost.verdict.kept and lost.verdict.reason == "engine_error" and lost.rung == "other"
    assert engine.texts.count("It is all bad.") == 3 and other.texts.count("It is all bad.") == 1
    assert engine.texts.count("This is fine here.") == 1, "the sentence alone, once"
    again = [s for text, s in zip(engine.texts, engine.samplings, strict=True) if text == "It is all bad."]
    assert [(s.temperature, s.seed) for s in again] == [(0.0, 0), (0.3, 1), (0.3, 2)]
    assert translator.stats["passed/other"] == 1 and translator.stats["asked/other"] == 2


def test_split_rescues_a_segment_and_is_checked_as_a_whole() -> None:
    """Sentences translated apart make the segment, when each passes and the whole passes the gates."""
    engine = Noted(lambda text: text if text.count(".") == 1 else "")
    plan = replace(PLAN, retries=0, split=True, gates={"empty": GATES["empty"]})
    [[result]] = results(Translator(engine, plan), [["One thing happened there. Another thing happened here."]])
    assert (result.text, result.rung) == ("One thing happened there. Another thing happened here.", "split")
    assert engine.texts[1:] == ["One thing happened there.", "Another thing happened here."]


def test_whole_mode_falls_back_to_segments() -> None:
    """A message that fails in one piece is tried in its paragraphs, with spans protected again."""
    engine = Noted(lambda text: text if "\n" not in text else "")
    plan = replace(PLAN, retries=0, split=True, whole=True, gates={"empty": GATES["empty"]})
    [[result]] = results(Translator(engine, plan), [["First `x` part.\n\nSecond part."]])
    assert (result.text, result.rung) == ("First `x` part.\n\nSecond part.", "split")
    assert engine.texts[1:] == ["First ⟦1⟧ part.", "Second part."]


def test_segments_that_differ_in_spans_only_share_a_request() -> None:
    """What the engine sees is the same, so it is asked once, and each keeps its own spans."""
    engine = Noted(lambda text: text.replace("Run", "نفّذ"))
    [[one, two]] = results(Translator(engine, PLAN), [["Run `a` now", "Run `b` now"]])
    assert (one.text, two.text, len(engine.texts)) == ("نفّذ `a` now", "نفّذ `b` now", 1)


def test_memory_serves_later_runs_and_other_gates(tmp_path: Path) -> None:
    """A second run asks nothing; other gates look at the same answers; only what was cut off is asked again with more tokens."""
    texts = [["A whole sentence.", "A long one.", "A whole sentence."]]
    with_memory: Callable[[Noted, Plan], Translator] = lambda engine, plan: Translator(engine, plan, memory)  # noqa: E731
    memory = Memory(tmp_path / "m")
    first = Noted(cut=lambda text: "long" in text)
    plan = replace(PLAN, retries=0, gates={"truncated": GATES["truncated"]})
    [[kept, cut, same]] = results(with_memory(first, plan), texts)
    assert (kept.verdict.kept, cut.verdict.reason, same.text, len(first.texts)) == (True, "truncated", kept.text, 2)
    other_gates = Noted()
    translator = with_memory(other_gates, replace(plan, gates={"copy": GATES["copy"]}))
    [[copied, _, _]] = results(translator, texts)
    assert copied.verdict.reason == "copy" and not other_gates.texts and translator.stats["remembered"] == 2
    more = Noted()
    [[_, mended, _]] = results(with_memory(more, replace(plan, sampling=Sampling(128))), texts)
    assert mended.verdict.kept and more.texts == ["A long one."]
    memory.close()


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"prompt": "plain"},
        {"target": language("hi")},
        {"sampling": Sampling(64, temperature=0.5)},
        {"sampling": Sampling(64, top_p=0.5)},
    ],
)
def test_another_question_is_asked_anew(tmp_path: Path, change: dict[str, object]) -> None:
    """Model, prompt, languages and sampling are part of the key: no answer serves another question."""
    memory = Memory(tmp_path / "m")
    results(Translator(Noted(), PLAN, memory), [["A sentence."]])
    engine = Noted()
    results(Translator(engine, replace(PLAN, **change), memory), [["A sentence."]])  # type: ignore[arg-type]
    assert engine.texts == ["A sentence."]
    memory.close()


def test_settled_segments_are_asked_once_without_a_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a memory more outcomes are held than beside one, which answers for the rest: nothing is asked twice in either."""
    monkeypatch.setattr(stream, "SETTLED", 50)
    monkeypatch.setattr(stream, "SETTLED_BESIDE", 5)
    texts = [[f"This is sentence {i}." for i in range(40)]] * 3
    alone, beside = Noted(), Noted()
    results(Translator(alone, PLAN), texts)
    memory = Memory(tmp_path / "m")
    translator = Translator(beside, PLAN, memory)
    results(translator, texts)
    assert len(alone.texts) == len(beside.texts) == 40 and len(translator.settled) == 5
    memory.close()


def test_answers_are_written_before_more_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill costs no more than what an engine holds: when it takes a request, none of its answers is in RAM alone."""
    monkeypatch.setattr("hala.data.memory.WRITES", 0)
    memory = Memory(tmp_path / "m")

    class Windows(Noted):
        """Takes seven requests, and then answers them."""

        def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
            window: list[Request] = []
            for request in requests:
                assert not memory.pending
                window.append(request)
                if len(window) == 7:
                    yield from super().complete(window, sampling)
                    assert len(memory.pending) == 7
                    window = []
            yield from super().complete(window, sampling)

    engine = Windows()
    results(Translator(engine, PLAN, memory), [[f"This is sentence {i}." for i in range(j, j + 10)] for j in range(0, 50, 10)])
    memory.flush()
    assert len(engine.texts) == len(memory) == 50
    memory.close()


def test_context_is_the_pair_before() -> None:
    """A short segment is asked with the one before it and its translation as an earlier turn; equal ones elsewhere are apart."""
    engine = Noted(lambda text: f"<{text}>")
    plan = replace(PLAN, context=True)
    document = "The cat sat on the mat all day long.\n\nIt slept.\n"
    [[result], [alone]] = results(Translator(engine, plan), [[document], ["It slept.\n"]])
    assert result.text == "<The cat sat on the mat all day long.>\n\n<It slept.>\n" and alone.text == "<It slept.>\n"
    asked = [request.messages for request in engine.requests if "It slept." in request.messages[-1].content]
    assert sorted(len(messages) for messages in asked) == [1, 3]
    with_context = next(messages for messages in asked if len(messages) == 3)
    assert [m.role for m in with_context] == ["user", "assistant", "user"]
    assert with_context[1].content == "<The cat sat on the mat all day long.>"


def test_kept_ranges_stay_and_are_not_asked() -> None:
    """A range that stays in the source language never reaches the engine."""
    engine = Noted(str.upper)
    text = "Correct this: he go home. Thanks a lot."
    [(_, [result])] = Translator(engine, PLAN).translate([[Text(text, ((14, 25),))]])
    assert result.text == "CORRECT THIS: he go home. THANKS A LOT." and not any("he go" in each for each in engine.texts)


@pytest.mark.parametrize(("size", "most"), [(0, stream.MOST_FINISHED), (1, 18), (4, 12), (30, stream.FEWEST_GROUPS + 1)])
def test_groups_are_read_as_they_are_needed(monkeypatch: pytest.MonkeyPatch, size: int, most: int) -> None:
    """Memory stays flat: of a long input about ten texts, or three large groups, are held, and each group is given back once."""
    monkeypatch.setattr(stream, "OPEN_TEXTS", 10)
    pulled = 0

    def groups() -> Iterator[list[Text]]:
        nonlocal pulled
        for number in range(200):
            pulled += 1
            yield [Text(f"Sentence number {number} of {each}.") for each in range(size)]

    seen: list[int] = []
    for place, _ in Translator(EchoEngine(extract), PLAN).translate(groups()):
        seen.append(place)
        assert pulled - len(seen) <= most
    assert sorted(seen) == list(range(200))


def test_engine_that_takes_nothing_is_no_endless_loop() -> None:
    """An engine that neither takes nor answers fails its rows."""

    class Deaf(Noted):
        def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
            return iter(())

    [[result]] = results(Translator(Deaf(), replace(PLAN, retries=1)), [["One."]])
    assert result.verdict.reason == "engine_error" and "no answer" in result.verdict.detail


def test_tokens_saved_are_counted() -> None:
    """Repeated segments and remembered answers are counted as tokens that nobody had to make."""
    translator = Translator(Noted(), PLAN)
    results(translator, [["Same.", "Same."], ["Same."], ["Else."]])
    assert (translator.stats["tokens"], translator.stats["tokens/saved"]) == (4, 4)
    assert (translator.stats["segments"], translator.stats["distinct"]) == (4, 2)
