"""Live progress on the terminal, and a plain line now and then where there is no terminal.

>>> progress = Progress()
>>> progress.update(5, 10, "rows")   # doctest: +SKIP
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

CONTROL = {number: None for number in [*range(32), *range(127, 160)]}


def clean(text: str) -> str:
    """The text without control characters, so that data can never drive a terminal."""
    return text.translate(CONTROL)


def duration(seconds: float) -> str:
    """`0:42`, `12:05` or `3:07:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Says which step runs, how far it is, how fast, and how long it will take. Writes to `stream` only."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.live = self.stream.isatty()
        self.interval = 0.2 if self.live else 10.0
        self.label = ""
        self._start(0)

    def _start(self, done: float) -> None:
        self.began, self.first, self.width = time.monotonic(), done, 0
        self.shown = 0.0 if self.live else self.began  # a log has no use for a line about nothing

    def step(self, label: str) -> None:
        """A new step begins; its clock starts."""
        self.label = label
        self._start(0)

    def skip(self, done: float) -> None:
        """So much was done before this session: the rate and the time left count from here."""
        self.began, self.first = time.monotonic(), done

    def update(self, done: float, total: float | None, unit: str, note: str = "", rate: float | None = None) -> None:
        """Show `done` of `total`; the rate in `unit`/s is measured unless given. Cheap to call often."""
        now = time.monotonic()
        if done < self.first or self.began == 0:
            self._start(done)
        if self.quiet or (now - self.shown < self.interval and done != total):
            return
        self.shown = now
        speed = rate if rate is not None else (done - self.first) / max(now - self.began, 1e-9)
        share = f"{done:,.0f}/{total:,.0f} {unit}" if total else f"{done:,.0f} {unit}"
        left = ""
        if total and done > self.first:
            left = f"{duration((now - self.began) * (total - done) / (done - self.first))} left"
        self._show("  ".join(part for part in (f"{self.label:<24}", share, f"{speed:,.0f} {unit}/s", note, left) if part))

    def say(self, text: str) -> None:
        """A line that stays, or several."""
        if not self.quiet:
            self.clear()
            print("\n".join(map(clean, text.split("\n"))), file=self.stream, flush=True)

    def _show(self, line: str) -> None:
        if self.live:
            self.stream.write("\r" + line.ljust(self.width))
            self.width = len(line)
            self.stream.flush()
        else:
            print(line, file=self.stream, flush=True)

    def clear(self) -> None:
        """Takes the live line away, before something else is printed."""
        if self.live and self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.width = 0
