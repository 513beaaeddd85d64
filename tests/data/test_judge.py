"""The judge asks one strict question and accepts one word."""

from __future__ import annotations

import pytest

from hala.data.judge import requests, verdict
from hala.records import Completion, Message, Row

PAIR = Row("p/1", (Message("text", "نص {source}"),), lang="ar", original=(Message("text", "A text {target}"),))


def test_one_request_a_message() -> None:
    """Both texts stand in the question as they are, braces included, with the names of their languages."""
    [request] = requests(PAIR)
    question = request.messages[-1].content
    assert request.id == "p/1#0" and "A text {target}" in question and "نص {source}" in question
    assert "Arabic" in question and "English" in question and request.max_tokens


def test_equal_ids_can_be_told_apart() -> None:
    """A prefix keeps the requests of two rows with one id apart."""
    assert [requests(PAIR, "en", f"{place}/")[0].id for place in range(2)] == ["0/p/1#0", "1/p/1#0"]


def test_rows_without_original_are_not_asked() -> None:
    """Only pairs can be judged; a row whose sides differ in length is an error."""
    assert requests(Row("a", (Message("text", "x"),))) == ()
    with pytest.raises(ValueError, match="2 originals"):
        requests(Row("a", (Message("text", "x"),), original=(Message("text", "y"), Message("text", "z"))))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("yes", ""), (" Yes.\n", ""), ("**YES**", ""), ("no", "judge_no"), ("No!", "judge_no"), ("", "judge_unclear"),
        ("yes, but", "judge_unclear"), ("yes no", "judge_unclear"), ("نعم", "judge_unclear"), ("It is yes", "judge_unclear"),
    ],
)  # fmt: skip
def test_strict_answers(answer: str, reason: str) -> None:
    """Only a bare yes accepts; anything unclear rejects with its own reason."""
    assert verdict(Completion("1", answer, "stop")).reason == reason


def test_failed_call() -> None:
    """An engine error is no opinion about the pair."""
    assert verdict(Completion("1", "yes", "error", error="timeout")).reason == "judge_error"


@pytest.mark.parametrize(
    ("text", "confidence", "threshold", "kept"),
    [("yes", 0.9, 0.8, True), ("yes", 0.7, 0.8, False), ("no", 0.9, 0.2, False), ("no", 0.6, 0.3, True), ("yes", 0.1, 0.0, True)],
)
def test_probability_decides_where_a_threshold_is_given(text: str, confidence: float, threshold: float, kept: bool) -> None:
    """A hesitant yes can be too little and a hesitant no enough; the probability stands in the detail."""
    found = verdict(Completion("1", text, "stop", probability=confidence), threshold)
    assert found.kept == kept and (kept or "probability" in found.detail)


def test_threshold_needs_an_engine_that_tells() -> None:
    """Without probabilities a threshold cannot be kept, and the row says so instead of passing."""
    assert verdict(Completion("1", "yes", "stop"), 0.5).reason == "judge_error"
