"""Errors carry what, where and what to do next, an exit code, and survive a process boundary."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala import errors
from hala.errors import HalaError, nearest

CODES = {
    "RecipeError": 2,
    "DriftError": 2,
    "LockedError": 3,
    "InputError": 4,
    "DiskError": 5,
    "CorruptError": 6,
    "EngineError": 7,
    "TrainingError": 10,
    "QualityError": 11,
}
CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HalaError)]


def test_exit_codes_are_those_of_the_documentation() -> None:
    """Scripts rely on the exit code of each class."""
    assert {each.__name__: each.exit_code for each in CLASSES if each is not HalaError} == CODES


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_survive_pickling(kind: type[HalaError]) -> None:
    """An error of a worker process arrives whole, also where OSError has its own idea of two arguments."""
    error = pickle.loads(pickle.dumps(kind("the disk is full.", "Make room.")))
    assert type(error) is kind and (error.message, error.fix) == ("the disk is full.", "Make room.")
    assert str(error) == "the disk is full. Make room."


@pytest.mark.parametrize("kind", CLASSES)
def test_message_without_fix_has_no_trailing_space(kind: type[HalaError]) -> None:
    """A message stands alone when there is nothing to do."""
    assert str(kind("gone.")) == "gone."


def test_nearest() -> None:
    """A near name is offered, a far one is not."""
    assert nearest("learning_rte", ["learning_rate", "epochs"]) == " Did you mean 'learning_rate'?"
    assert nearest("zzz", ["learning_rate"]) == ""


@given(st.text(), st.lists(st.text(), max_size=5))
def test_nearest_only_offers_what_is_known(word: str, known: list[str]) -> None:
    """No suggestion is ever invented."""
    hint = nearest(word, known)
    assert not hint or any(repr(each)[1:-1] in hint or each in hint for each in known)
