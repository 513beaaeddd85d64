"""Texts through an engine: whole or not at all, tried again when they fail, and never an answer that belongs elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.masks import mask
from hala.data.prompts import extract
from hala.data.routing_keeps import Keep, merged
from hala.data.segments import join
from hala.data.translating import Asker, Plan, Text, document_of, select_gates, translate_texts
from hala.engines.scripted import EchoEngine, Faults, ScriptedEngine
from hala.errors import EngineError, RecipeError
from hala.languages import language
from hala.records import Completion, Finish, Request, Sampling

PLAN = Plan("default", language("en"), language("ar"), Sampling(64), {})
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


class Noted:
    """An engine that remembers what it was asked."""

    def __init__(self, answer: str = "") -> None:
        self.requests: list[Request] = []
        self.samplings: list[Sampling] = []
        self.answer = answer

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """The same answer for all, or the source back."""
        for request in requests:
            self.requests.append(request)
            self.samplings.append(request.sampling(sampling))
            yield Completion(request.id, self.answer or extract(request), "stop", 3)

    def close(self) -> None:
        """Nothing to close."""


class Fixed:
    """An engine with one answer."""

    def __init__(self, answer: str, finish: Finish = "stop", refused: bool = False) -> None:
        self.answer, self.finish, self.refused = answer, finish, refused

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """The answer, whatever was asked."""
        for request in requests:
            error = "the prompt is too long" if self.refused else ""
            yield Completion(request.id, self.answer, self.finish, 3, error, refused=self.refused)

    def close(self) -> None:
        """Nothing to close."""


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT, max_size=4), st.booleans())
def test_identity_translator_gives_every_byte_back(texts: list[str], whole: bool) -> None:
    """Split, masked, translated by nothing, unmasked and joined, a text is what it was."""
    results = translate_texts(texts, EchoEngine(extract), replace(PLAN, whole=whole))
    assert [result.text for result in results] == texts
    assert all(result.verdict.kept for result in results)


@pytest.mark.parametrize("text", ["⟦1⟧", "See ⟦7⟧ there.", "a ⟦ b `code` ⟧"])
def test_whole_messages_may_hold_brackets_of_sentinels(text: str) -> None:
    """What looks like a sentinel in a message that is asked whole is text like any other."""
    [result] = translate_texts([text], EchoEngine(extract), replace(PLAN, whole=True))
    assert (result.text, result.verdict.detail) == (text, "")


@pytest.mark.parametrize("gates", ["none", "copy", "default"])
@pytest.mark.parametrize(
    ("answer", "finish", "reason"), [("", "stop", "empty"), (" \n", "stop", "empty"), ("مرحبا", "length", "truncated")]
)
def test_empty_and_cut_answers_are_never_accepted(gates: str, answer: str, finish: Finish, reason: str) -> None:
    """Without any gate too, nothing is written as an empty text, and half an answer is none."""
    engine = Fixed(answer, finish)
    for whole in (False, True):
        plan = replace(PLAN, gates=select_gates([gates]), whole=whole)
        [result] = translate_texts(["Hello there, my friend."], engine, plan)
        assert (result.text, result.verdict.reason) == ("", reason)


def test_refused_requests_are_no_failure_of_the_engine() -> None:
    """A prompt that is too long would be too long again: its row is rejected for good, and no run stops for it."""
    [result] = translate_texts(["Hello there."], Fixed("", "error", refused=True), PLAN)
    assert result.verdict.reason == "refused" and "too long" in result.verdict.detail


def test_rejections_show_what_was_answered() -> None:
    """A gate can be judged by what it rejected: the detail holds the segment and the answer."""
    [result] = translate_texts(["Hello there."], Fixed("Hello there."), replace(PLAN, gates=select_gates(["copy"])))
    assert "| answer: Hello there." in result.verdict.detail and "| segment: Hello there." in result.verdict.detail


def test_keys_of_the_memory_stay_what_they_were() -> None:
    """What earlier runs remembered is found again; a greedy answer does not depend on the seed."""
    asker = Asker(replace(PLAN, model="m"))
    assert asker.key("Hello", None, 0.0, 1) == asker.key("Hello", None, 0, 2)
    found = asker.key("Hello é\udc80", None, 0.0, 3), asker.key("Hello", ("before", "after"), 0.3, 3)
    assert [key.hex() for key in found] == ["f7debcd19fb4a804edf39e4645c58b33", "16efb77c27aa2430676ed018460e1d98"]
    assert asker.key("Hello", ("before", "after"), 0.3, 4) not in found


def test_equal_segments_are_asked_once() -> None:
    """A sentence that occurs in a hundred rows costs one request."""
    engine = Noted()
    translate_texts(["Hello there.", "Hello there.\n\nHello there."], engine, PLAN)
    assert len(engine.requests) == 1


def test_code_never_reaches_the_engine() -> None:
    """The engine sees sentinels for spans and nothing of blocks."""
    engine = Noted()
    text = "Run `rm -rf /` now.\n\n```sh\nrm -rf /\n```\n"
    [result] = translate_texts([text], engine, PLAN)
    assert all("rm -rf" not in message.content for request in engine.requests for message in request.messages)
    assert result.text == text


def test_failed_segment_is_tried_again_with_another_seed() -> None:
    """Retries are sampled, each with its own seed, and only what failed is sent."""
    engine = Noted("wrong")  # loses the sentinel
    [bad, good] = translate_texts(["Use `x` here.", "Plain words."], engine, replace(PLAN, retries=2))
    assert not bad.verdict.kept and bad.tries == 3 and good.verdict.kept and good.tries == 1
    assert [(each.temperature, each.seed) for each in engine.samplings] == [(0.0, 0), (0.0, 0), (0.3, 1), (0.3, 2)]
    assert len(engine.requests) == 4 and len({request.id for request in engine.requests}) == 4


def test_one_failed_segment_fails_its_text_alone() -> None:
    """Never half a translation: the text is empty, the reason is there, and the neighbour is kept."""
    engine = ScriptedEngine(lambda request: None if "Bad" in extract(request) else extract(request))  # type: ignore[arg-type,return-value]
    [bad, good] = translate_texts(["Fine.\n\nBad.", "Fine."], engine, PLAN)
    assert bad.text == "" and bad.verdict.reason == "engine_error" and "Bad." in bad.verdict.detail
    assert good.text == "Fine." and good.verdict.kept


def test_whitespace_around_a_segment_is_the_documents() -> None:
    """An engine that adds or drops white space changes nothing outside its words."""
    [result] = translate_texts(["  Hello.  \n\nThere.\n"], Noted("  مرحبا \n"), PLAN)
    assert result.text == "  مرحبا  \n\nمرحبا\n"


class Unruly:
    """Answers twice, answers what nobody asked, and leaves one request without an answer."""

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """Wrong in every way that the protocol forbids."""
        waiting = list(requests)
        yield Completion("nobody asked", "intruder", "stop")
        for request in waiting[1:]:
            yield Completion(request.id, extract(request), "stop")
            yield Completion(request.id, "second answer", "stop")

    def close(self) -> None:
        """Nothing to close."""


def test_engine_that_breaks_the_protocol_does_no_harm() -> None:
    """Foreign and second answers are ignored; a request without answer is an engine error of that text alone."""
    [silent, kept] = translate_texts(["One.", "Two."], Unruly(), replace(PLAN, retries=0))
    assert silent.verdict.reason == "engine_error" and "no answer" in silent.verdict.detail
    assert (kept.text, kept.verdict.kept) == ("Two.", True)


def test_dead_engine_is_raised() -> None:
    """That an engine is dead is no rejection of rows."""
    with pytest.raises(EngineError):
        translate_texts(["One.", "Two."], ScriptedEngine(extract, Faults(dies_after=1)), PLAN)


def test_gates_by_name() -> None:
    """`default` is all, `none` is none, a name is that one, an unknown name is answered."""
    assert select_gates(["none"]) == {} and "truncated" in select_gates(["default"])
    assert list(select_gates(["truncated"])) == ["truncated"]
    with pytest.raises(RecipeError, match="Did you mean 'truncated'"):
        select_gates(["trunkated"])


class Unsure:
    """Gives every segment the same answer with the confidence that it was made with, when it is asked for one."""

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        for request in requests:
            yield Completion(request.id, "نص", "stop", 1, confidence=self.confidence if sampling.confidence else None)

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("confidence", "kept"), [(0.44, False), (0.45, True)])
def test_what_the_model_doubts_is_rejected(confidence: float, kept: bool) -> None:
    """Protects against fluent nonsense: a translation that its model gives a low probability is rejected with the number."""
    plan = Plan("default", language("en"), language("ar"), Sampling(), {}, retries=0, min_confidence=0.45)
    [result] = translate_texts(["A text."], Unsure(confidence), plan)
    assert result.verdict.kept is kept
    assert kept or (result.verdict.reason == "low_confidence" and "0.44" in result.verdict.detail)


def test_kept_words_inside_a_line_leave_one_segment() -> None:
    """What is kept inside a line is a sentinel of its segment; kept lines, and thinking before an answer, are no segment."""
    text = "What does the word 'terse' mean?\n\nHe go home.\nShe go too. Thanks a lot."
    spans = [text.index("terse"), text.index("He go"), text.index(" Thanks")]
    document = document_of(Text(text, ((spans[0], spans[0] + 5), (spans[1], spans[2]))), PLAN)
    assert document.segments == ("What does the word '⟦k1⟧' mean?", "⟦k3⟧ Thanks a lot.")
    assert mask(document.segments[0]).text == "What does the word '⟦1⟧' mean?"
    assert join(document, document.segments) == text
    assert join(document, ("ما معنى '⟦k1⟧'؟", "⟦k3⟧ شكرا")) == "ما معنى 'terse'؟\n\nHe go home.\nShe go too. شكرا"
    thought = "<think>So ⟦k1⟧.</think>The word terse."
    document = document_of(Text(thought, ((0, 23), (32, 37))), PLAN)
    assert document.segments == ("The word ⟦kk1⟧.",) and join(document, document.segments) == thought


@given(
    st.text(alphabet="ab ⟦k1⟧\n<think>/`|-.é", max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=5),
    st.booleans(),
)
def test_any_kept_ranges_leave_the_text_as_it_is(text: str, drawn: list[tuple[int, int]], whole: bool) -> None:
    """The law of identity holds whatever is kept, in marks and in whole mode."""
    keeps = merged(Keep(0, min(pair), max(pair)) for pair in drawn if min(pair) < max(pair) <= len(text))
    document = document_of(Text(text, tuple((each.start, each.end) for each in keeps)), replace(PLAN, whole=whole))
    assert join(document, document.segments) == text
