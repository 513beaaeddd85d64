"""What people see while a step runs: numbers that are right, nothing when quiet, and no control codes from data."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala import progress
from hala.progress import Progress, clean, duration


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is set: `clock[0] = seconds`."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (59.6, "1:00"), (725, "12:05"), (11_230, "3:07:10")])
def test_duration(seconds: float, text: str) -> None:
    """Times are read at a glance."""
    assert duration(seconds) == text


@given(st.text())
def test_clean_text_has_no_control_characters(text: str) -> None:
    """Data can never move the cursor, change colours or ring the bell."""
    cleaned = clean(text)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in cleaned)
    assert cleaned == "".join(letter for letter in text if letter.isprintable() or letter in cleaned)


def test_line_says_step_share_rate_and_time_left(clock: list[float]) -> None:
    """After 10 of 40 rows in 5 seconds: 2 rows/s, 15 seconds left."""
    stream = io.StringIO()
    shown = Progress(stream)
    shown.step("student")
    clock[0] += 5
    shown.shown = 0.0
    shown.update(10, 40, "rows", "9 kept")
    assert stream.getvalue().split("  ")[0] == "student" and "10/40 rows  2 rows/s  9 kept  0:15 left" in stream.getvalue()


def test_rate_counts_only_what_this_run_did(clock: list[float]) -> None:
    """A continued step starts at 100 of 200; the rate is of the rows since then."""
    stream = io.StringIO()
    shown = Progress(stream)
    shown.step("student")
    clock[0] += 3
    shown.skip(100)
    clock[0] += 10
    shown.update(150, 200, "rows")
    assert "5 rows/s" in stream.getvalue() and "0:10 left" in stream.getvalue()


def test_plain_stream_gets_a_line_now_and_then(clock: list[float]) -> None:
    """A log file is not flooded: one line in ten seconds, and the last one always."""
    stream = io.StringIO()
    shown = Progress(stream)
    for done in range(1, 1001):
        clock[0] += 0.01
        shown.update(done, 1000, "rows")
    lines = stream.getvalue().splitlines()
    assert 1 <= len(lines) <= 3 and "1,000/1,000 rows" in lines[-1]


def test_log_begins_when_there_is_something_to_say(clock: list[float]) -> None:
    """A log gets no line about nothing at the start; a terminal shows at once that something happens."""
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        shown = Progress(stream)
        shown.step("corpus")
        clock[0] += 0.5
        shown.update(0, None, "rows")
    assert log.getvalue() == "" and "0 rows" in terminal.getvalue()


def test_terminal_line_is_rewritten_and_wiped(clock: list[float]) -> None:
    """A longer line leaves no rest behind a shorter one, and a line that stays begins on a clean row."""
    stream = Terminal()
    shown = Progress(stream)
    shown.update(1, 10, "rows", "a long note")
    clock[0] += 1
    shown.update(2, 10, "rows")
    shown.say("done")
    first, second = stream.getvalue().split("\r")[1:3]
    assert len(second) >= len(first) and stream.getvalue().endswith("\rdone\n")


def test_what_is_said_drives_no_terminal() -> None:
    """A line that quotes a server or a file holds no escape sequence when it reaches the terminal."""
    stream = io.StringIO()
    Progress(stream).say("away (\x1b[2Jgone)\nand back")
    assert stream.getvalue() == "away ([2Jgone)\nand back\n"


def test_quiet_says_nothing(clock: list[float]) -> None:
    """--quiet and --json leave the stream alone."""
    stream = io.StringIO()
    shown = Progress(stream, quiet=True)
    shown.say("x")
    shown.update(1, 1, "rows")
    assert stream.getvalue() == ""


def test_unknown_total_and_no_time(clock: list[float]) -> None:
    """Neither a missing total nor a clock that stands still is a problem."""
    stream = Terminal()
    Progress(stream).update(5, None, "rows")
    assert "5 rows" in stream.getvalue() and "left" not in stream.getvalue()
