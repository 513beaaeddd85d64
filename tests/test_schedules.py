"""Values of t: what is wrong with one is said before any model is open."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.schedules import schedule_error

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
        ({"gradient": ()}, "the list of 'gradient' is empty"),
        ({"re:[": 0.5}, "'re:[' is no regular expression: unterminated character set at position 0"),
        ({"re:a{9999999999999}": 0.5}, "is no regular expression: the repetition number is too large"),
    ],
)
def test_what_is_wrong_is_said(t: object, says: str) -> None:
    """An empty list has no value to take, and a pattern must be one."""
    assert says in schedule_error(t)  # type: ignore[arg-type]
