"""Prompts are exact, and segments and answers come out of them unharmed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.prompts import PROMPTS, echo, extract, for_languages, get_prompt, render, unwrap
from hala.errors import RecipeError
from hala.languages import language
from hala.records import Message, Request, Verdict


def test_default_is_the_released_translators_prompt() -> None:
    """The default is, to the letter, what released translators were trained on."""
    assert render("default", "Hi {text}", language("ar")) == (
        Message("user", "Translate everything that follows into Arabic:\n\nHi {text}"),
    )


@settings(max_examples=150, deadline=None)
@given(st.text(), st.sampled_from(sorted(PROMPTS)), st.sampled_from(["ar", "vi", "xx"]))
def test_extract_undoes_render(text: str, name: str, target: str) -> None:
    """The echo engine finds the segment in every prompt, whatever the segment holds."""
    assert extract(Request("1", render(name, text, target))) == text


def test_extract_of_another_chat_is_its_last_user_turn() -> None:
    """A chat that is no translation request is answered with the user's words."""
    request = Request("1", (Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")))
    assert extract(request) == "c"


def test_custom_template() -> None:
    """A template with {text} works as a prompt; a misspelt name says which was meant."""
    assert render("Into {language}: {text}", "x{y}", "ar")[0].content == "Into Arabic: x{y}"
    assert extract(Request("1", render("Now: {text}!", "x", "ar")), ["Now: {text}!"]) == "x"
    with pytest.raises(RecipeError, match="default"):
        get_prompt("defualt")


def test_for_languages_leaves_the_text_open() -> None:
    """What a trained checkpoint stores is its prompt with only the text missing."""
    assert for_languages("default", "ar") == "Translate everything that follows into Arabic:\n\n{text}"


def test_missing_wrapper_is_a_rejection() -> None:
    """A prompt that asks for a wrapper never accepts a raw answer."""
    assert unwrap("wrapped", "Sure! <target>\nنص\n</target> Hope it helps") == "نص"
    verdict = unwrap("wrapped", "Sure, here is: نص")
    assert isinstance(verdict, Verdict) and verdict.reason == "wrapper"
    assert unwrap("default", " نص ") == "نص"


@pytest.mark.parametrize("prompt", list(PROMPTS))
def test_echo_answers_in_the_form_that_the_prompt_wants(prompt: str) -> None:
    """Structure can be looked at under every prompt: the echo's answer is unwrapped to the segment itself."""
    request = Request("r", render(prompt, "Hello ⟦1⟧.", "ar"))
    assert unwrap(prompt, echo(request)) == "Hello ⟦1⟧." == extract(request)
