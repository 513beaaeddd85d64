"""What each normaliser overlooks, and what it must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import RecipeError
from hala.evals.spelling import NORMALISERS, respell


def test_light_takes_style_only():
    """Vowel marks, tatweel and presentation forms go; letters that another spelling confuses stay."""
    assert respell("الوَلَدُ كـتـب \ufefb", "arabic-light") == "الولد كتب لا"
    assert respell("أحمد ذهب إلى المدرسة ٣", "arabic-light") == "أحمد ذهب إلى المدرسة ٣"


def test_fold_takes_confused_letters_and_digits():
    """One alef, one ya, one ha, ASCII digits."""
    assert respell("أحمد إلى آدم مدرسة ٣٫٥", "arabic-fold") == "احمد الي ادم مدرسه 3٫5"


@given(st.text(alphabet="أإآاىيةه\u064b\u0640\ufefbab 1٣"))
def test_normalising_twice_changes_nothing(text):
    """A normal form is one."""
    for name in NORMALISERS:
        assert respell(respell(text, name), name) == respell(text, name)


def test_unknown_name_is_refused():
    """A misspelt normaliser must not be none."""
    with pytest.raises(RecipeError, match="Did you mean 'arabic-light'"):
        respell("x", "arabic-lite")
