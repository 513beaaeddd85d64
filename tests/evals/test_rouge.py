"""ROUGE-L against the package that defined the name, and on the scripts that the package cannot see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.evals.rouge import latin_words, lcs, rouge_l, unicode_words

TOKENS = st.lists(st.sampled_from("abcد"), max_size=12)
TEXT = st.text(alphabet="ab1 cD-_كتاب.،é", max_size=40)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "f1"),
    [
        ("القاهرة عاصمة مصر", "القاهرة عاصمة مصر", 0),
        ("The GPU has 16 GB.", "the gpu had 16gb", 4 / 9),
        ("نسخة 3 من Windows 11 الآن", "الإصدار 3 من Windows 10", 2 / 3),
        ("", "abc", 0),
        ("a b c a d e", "a c b d e a", 2 / 3),
        ("don't re-enter x_1", "do not reenter x 1", 4 / 11),
        ("Ünïcode test", "unicode test", 0.4),
    ],
)
def test_latin_words_give_what_rouge_score_prints(hypothesis, reference, f1):
    """These are the numbers of rouge_score 0.1.2: the Latin-only variant stands for published ROUGE-L of Arabic text."""
    assert rouge_l(latin_words(hypothesis), latin_words(reference)) == pytest.approx(f1)


@given(TEXT, TEXT)
def test_latin_words_give_what_rouge_score_gives_on_any_text(hypothesis, reference):
    """Where the package is installed, it agrees on everything."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    official = scorer.score(reference, hypothesis)["rougeL"].fmeasure
    assert rouge_l(latin_words(hypothesis), latin_words(reference)) == pytest.approx(official)


@given(TOKENS, TOKENS)
def test_lcs_is_that_of_the_textbook(first, second):
    """The bit-parallel form must give the length of the quadratic table."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, left in enumerate(first, 1):
        for j, right in enumerate(second, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if left == right else max(table[i - 1][j], table[i][j - 1])
    assert lcs(first, second) == table[-1][-1] == lcs(second, first)


def test_lcs_of_more_words_than_a_machine_word_has_bits():
    """Long documents must not wrap around at 64."""
    words = [str(number) for number in range(300)]
    assert lcs(words, words) == 300 and lcs(words, words[::3]) == 100 and lcs(words, words[::-1]) == 1


def test_identical_text_is_perfect_in_every_script():
    """Equal Arabic, Hindi or Thai text scores 1, never 0."""
    for text in ("ذهب الولد إلى المدرسة.", "यह एक वाक्य है।", "ประโยค", "Ελληνικά", "3 من 5"):
        assert rouge_l(unicode_words(text), unicode_words(text)) == 1


def test_unicode_words_keep_marks_and_drop_punctuation():
    """Vowel signs do not cut words in two, Arabic punctuation is no part of one, and both normal forms are one."""
    assert unicode_words("كَتَبَ، الوَلَدُ؟") == ["كَتَبَ", "الوَلَدُ"]
    assert unicode_words("हिन्दी भाषा।") == ["हिन्दी", "भाषा"]
    assert unicode_words("Cafe\u0301") == unicode_words("CAF\u00c9")
    assert unicode_words("می\u200cخواهم \u200fx_1") == ["میخواهم", "x", "1"]


@given(st.text(alphabet="ab19 -.,!", max_size=40))
def test_both_tokenisers_agree_on_plain_latin(text):
    """The two names differ only where there is something else than a-z and 0-9."""
    assert unicode_words(text) == latin_words(text)
