"""Benchmark questions are found in training data, in any spelling, and ordinary text is left alone."""

from __future__ import annotations

import unicodedata

import pytest

from hala.data.contamination import Index, words

LONG = "A farmer has seven fields and plants wheat in three of them, then sells one field to a neighbour; how many are left?"
ARABIC = "إذا كان لدى المزارع سبعة حقول وزرع القمح في ثلاثة منها ثم باع حقلا واحدا لجاره الذي يزرع الشعير فكم حقلا بقي له؟"
INDEX = Index({"long": LONG, "arabic": ARABIC, "short": "Which planet is closest to the sun?", "tiny": "Who won?"})


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (LONG.upper(), "long"),
        ("Solve: " + LONG.replace(",", " ").replace(";", " -"), "long"),
        ("Once a farmer has seven fields and plants wheat in three of them, then sells one to me.", "long"),
        ("إِذا كانَ لَدى المزارعِ سَبعةُ حُقول وزرع القَمح فى ثلاثه منها ثم باع حقلاً واحداً لجاره", "arabic"),
        ("Tell me: which planet is closest to the Sun? Explain.", "short"),
    ],
)
def test_leaks_are_found(text: str, question: str) -> None:
    """Case, punctuation, vowel marks and letter variants do not hide a question, whole or in part."""
    verdict = INDEX.check(["an innocent turn", text])
    assert verdict.reason == "contaminated" and verdict.detail.startswith(question)


@pytest.mark.parametrize(
    "text",
    [
        "A farmer has seven fields.",
        "The planet closest to the sun is hot.",
        "Who won? Nobody knows who won the game.",
        "",
        "plants wheat",
    ],
)
def test_ordinary_text_passes(text: str) -> None:
    """A few shared words are no leak."""
    assert INDEX.check(text).kept


def test_very_short_question_must_be_the_whole_message() -> None:
    """Two or three words occur by chance; as a whole message they are the question."""
    index = Index({"q": "Why is the sky blue?"})
    assert index.check("Ask a child why is the sky blue and wait.").kept
    assert not index.check("why is the sky blue").kept


def test_short_question_leaks_with_its_options() -> None:
    """A question of few words is found inside a chat by its options, in whatever order; without them it proves nothing."""
    index = Index({"q": "Who wrote this poem?"}, {"q": ("Al-Mutanabbi", "Abu Nuwas", "Ahmed Shawqi", "Hafez Ibrahim")})
    chat = "Answer: who wrote this poem? A) {} B) {} C) {} D) {}"
    assert index.check(chat.format("Hafez Ibrahim", "Abu Nuwas", "Al-Mutanabbi", "Ahmed Shawqi")).reason == "contaminated"
    assert index.check(chat.format("my aunt", "a friend", "the king", "nobody")).kept
    assert index.check("Tell me who wrote this poem and why.").kept
    assert index.check("Abu Nuwas and Ahmed Shawqi: who wrote this poem?").kept


def test_common_instructions_are_no_leak() -> None:
    """Words that many questions share do not convict a text."""
    start = "Read the following passage with great care and then choose the one best answer about the topic of"
    index = Index(
        {
            f"q{n}": f"{start} item{n} alpha{n} beta{n} gamma{n} delta{n} epsilon{n} zeta{n} eta{n} theta{n} iota{n}"
            for n in range(20)
        }
    )
    assert index.check(f"{start} cooking").kept
    assert not index.check(f"{start} item3 alpha3 beta3 gamma3 delta3 epsilon3 zeta3 eta3 theta3 iota3").kept


def test_words() -> None:
    """What is compared: letters and digits in one spelling."""
    assert words("الأُمّة، ٢٠٢٥!") == ["الامه", "2025"]


@pytest.mark.parametrize(
    ("question", "other"),
    [
        (
            "भारत के संविधान के अनुसार राष्ट्रपति का चुनाव कौन करता है और उनका कार्यकाल कितने वर्ष का होता है?",
            "उसने बताया कि यहाँ भारत के संविधान के अनुसार राष्ट्रपति ही सब काम करते हैं",
        ),
        (
            "বাংলাদেশের সংবিধান অনুযায়ী রাষ্ট্রপতি কে নির্বাচন করেন এবং তাঁর মেয়াদ কত বছরের হয়ে থাকে বলুন?",
            "তিনি বলেছেন বাংলাদেশের সংবিধান অনুযায়ী রাষ্ট্রপতি সব কাজ করেন",
        ),
    ],
)
def test_words_of_scripts_with_vowel_signs(question: str, other: str) -> None:
    """Hindi and Bengali questions are found, and neither six of their words nor the same consonants with other vowels are."""
    index = Index({"q": question})
    assert index.check(f"बताइए: {question}").reason == "contaminated"
    assert index.check(other).kept
    assert index.check("".join("ु" if unicodedata.category(c) == "Mc" else c for c in question)).kept


def test_all_questions_of_a_text_are_found() -> None:
    """Several questions in one text, and several with the same words, are each found once, by whatever rule."""
    rings, moons = "How many planets of the outer system have visible rings?", LONG.replace("?", " and why is that so?")
    index = Index({"a": LONG, "b": rings, "b2": rings, "c": moons, "d": "Which planet is closest to the sun?", "e": "What?"})
    text = f"{LONG} Then: {rings} And: {rings}"
    assert {leak.question: leak.rule for leak in index.find_all(text)} == {
        "a": "coverage", "c": "coverage", "b": "whole", "b2": "whole"
    }  # fmt: skip
    assert [leak.question for leak in index.find_all("Plainly nothing of the kind is in here")] == []


def test_thirteen_words_convict_every_question_that_has_them() -> None:
    """A run that two questions share is a leak of both, and twelve words of a long one are none."""
    rest = "which of these four numbers would be nearest to what he earned in the whole year before taxes were paid by him?"
    index = Index({"a": f"{LONG} And {rest}", "b": f"{rest} And {LONG.lower()} Give one number and say why."})
    thirteen = "has seven fields and plants wheat in three of them, then sells one"
    assert [(leak.question, leak.rule) for leak in index.find_all(thirteen)] == [("a", "13-gram"), ("b", "13-gram")]
    assert index.find_all(thirteen.removeprefix("has ")) == []


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (
            "What is the name of the longest river in the whole world?",
            "What is the name of the longest river in the entire world?",
        ),
        ("Which gas makes up most of the air we breathe?", "Tell me: what gas makes up most of the air we breathe, and why?"),
        ("Which gas makes up most of the air we breathe?", "Which gas makes up most of the air we inhale? Explain."),
        ("Who was the U.S. president during the civil war years?", "who was the US president during the civil war years"),
        ("Who's the well-known author of the book about it?", "So: whos the wellknown author of the book about it?"),
        ("ما هو الكوكب الأقرب إلى الشمس من بين هذه الكواكب؟", "ما هو الكوكب الأبعد إلى الشمس من بين هذه الكواكب؟"),
        ("भारत के संविधान के अनुसार राष्ट्रपति का चुनाव कौन करता है?", "भारत के संविधान के अनुसार राष्ट्रपति को चुनाव कौन करता है?"),
        ("می‌خواهم بدانم پایتخت ایران در قرن دهم کدام شهر بوده است", "می خواهم بدانم پایتخت ایران در قرن دهم کدام شهر بوده است"),
    ],
)
def test_short_questions_are_found_almost_whole(question: str, text: str) -> None:
    """One word of eight to twelve may be another, and dots, hyphens and spaces within words may come and go."""
    assert Index({"q": question}).check(text).reason == "contaminated"


def test_another_word_may_be_another_question() -> None:
    """Of few words one is what is asked for, and two words of many; only the options tell that the question is the same."""
    index = Index({"six": "Who is the founder of Sikhism?", "ten": "What is the name of the largest lake in Africa?"},
                  {"six": ("Guru Nanak", "Kabir", "Tukaram", "Ramdas")})  # fmt: skip
    assert index.check("Who is the founder of Apple? Nobody knows.").kept
    assert index.check("What is the name of the longest river in Africa?").kept
    assert not index.check("Who is the creator of Sikhism? A) Kabir B) Guru Nanak C) Tukaram D) Ramdas").kept
    assert {leak.rule for leak in index.find_all("What is the name of the deepest lake in Africa?")} == {"near"}
    assert {leak.rule for leak in index.find_all("What is the name of the largest lake in Africa?")} == {"whole"}


def test_a_sibling_is_not_found_with_its_brother() -> None:
    """Of questions that differ in a word, the one that a text holds is found and the others are not."""
    index = Index(
        {name: f"Which river runs through the {name} valley of the old kingdom?" for name in ("green", "white", "long")}
    )
    assert [leak.question for leak in index.find_all("Now: which river runs through the white valley of the old kingdom?")] == [
        "white"
    ]
    assert len(index.find_all("Now: which river runs through the red valley of the old kingdom?")) == 3
