"""Values of t: what is wrong with one is said before any model is open."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.schedules import schedule_error, spelling_error

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
KNOTS = NUMBERS | st.lists(NUMBERS, min_size=1, max_size=4)
KEYS = st.sampled_from(["attention", "default", "gradient", r"re:.*\.w1\."])


@given(KNOTS | st.dictionaries(KEYS, KNOTS))
def test_finite_numbers_are_taken(t: object) -> None:
    """Numbers, lists of them, and groups or patterns with such values have nothing wrong with them."""
    assert schedule_error(t) == ""  # type: ignore[arg-type]


@given(st.dictionaries(KEYS, KNOTS), st.sampled_from([math.nan, math.inf, -math.inf, "0.5", None]), st.booleans())
def test_one_that_is_none_is_found_anywhere(t: dict[str, object], wrong: object, listed: bool) -> None:
    """NaN, Inf or a text in any place is named with its key."""
    assert schedule_error(t | {"conv": [0.5, wrong] if listed else wrong}) == f"'conv' is {wrong!r}, which is no finite number"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("t", "says"),
    [
        ([], "the list of 't' is empty"),
        ({"atention": 0.3}, "unknown group 'atention' (Did you mean 'attention'?"),
        ({"loud": 0.3, "default": 0.5}, "unknown group 'loud' (The groups are embeddings, attention, conv, feed_forward,"),
        ({"gradient": ()}, "the list of 'gradient' is empty"),
        ({"re:[": 0.5}, "'re:[' is no regular expression: unterminated character set at position 0"),
        ({"re:a{9999999999999}": 0.5}, "is no regular expression: the repetition number is too large"),
    ],
)
def test_what_is_wrong_is_said(t: object, says: str) -> None:
    """An empty list has no value to take, and a pattern must be one."""
    assert says in schedule_error(t)  # type: ignore[arg-type]


@pytest.mark.parametrize("t", [0.5, 1, "0.5", "search", {"gradient": [0, 1]}, {"attention": ["0.3", 1], "default": "0.5"}])
def test_what_is_spelt_as_a_value_passes(t: object) -> None:
    """Numbers also come as text from the command line."""
    assert spelling_error(t) == ""


@pytest.mark.parametrize("t", ["half", None, [0.5], b"1"])
def test_what_is_no_value_is_told_the_choices(t: object) -> None:
    """Nothing of Python or pydantic is in the message."""
    assert spelling_error(t) == f"t wants a number from 0 to 1, `search`, a gradient or values by group, found {t!r}"


@pytest.mark.parametrize("knots", ["half", None, [0.2, None], {"a": 1}])
def test_what_is_no_value_of_a_group_is_named_with_it(knots: object) -> None:
    """A group takes a number or a list of numbers."""
    wrong = None if isinstance(knots, list) else knots
    assert spelling_error({"attention": knots}) == f"'attention' wants a number or a list of numbers, found {wrong!r}"
