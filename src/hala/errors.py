"""Errors that say what, where and what to do next; each class carries its exit code.

An expected failure is always one of these and is shown without a traceback. Anything else is our bug (exit code 9).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HalaError(Exception):
    """An expected failure. The message says what happened and where; `fix` says what to do next."""

    exit_code = 9

    def __init__(self, message: str, fix: str = "") -> None:
        message, fix = printable(message), printable(fix)
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class RecipeError(HalaError, ValueError):
    """A recipe, a setting or a command line that cannot be meant (exit code 2)."""

    exit_code = 2


class DriftError(RecipeError):
    """A finished or half-finished step was made with other settings or inputs (exit code 2)."""


class LockedError(HalaError):
    """Another process works on the same run (exit code 3)."""

    exit_code = 3


class InputError(HalaError, ValueError):
    """Data or a checkpoint that cannot be used: missing, empty, malformed (exit code 4)."""

    exit_code = 4


class DiskError(HalaError, OSError):
    """The disk is full, read-only or failing (exit code 5)."""

    exit_code = 5


class CorruptError(HalaError):
    """A finished artefact whose bytes no longer match its manifest (exit code 6)."""

    exit_code = 6


class EngineError(HalaError, RuntimeError):
    """A model engine or endpoint is dead or unreachable (exit code 7)."""

    exit_code = 7


class TrainingError(HalaError):
    """A training diverged: its loss or gradient is no finite number any more (exit code 10)."""

    exit_code = 10


class QualityError(HalaError):
    """A model that is worse than the stated tolerance allows (exit code 11)."""

    exit_code = 11


def printable(text: str) -> str:
    """The text with whatever moves a cursor, colours, hides or reverses written as an escape; names in it may be hostile."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` with the closest of `known`, or an empty string when nothing is near."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""
