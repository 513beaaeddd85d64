"""Translation metrics against sacrebleu, and failures that are counted rather than averaged away."""

import logging
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from hala.errors import InputError, RecipeError
from hala.evals.translation import Metrics, compare_translations, score_translations, script_share

REFERENCES = [
    "ذهب الولد إلى المدرسة في الصباح الباكر.",
    "القاهرة هي عاصمة جمهورية مصر العربية.",
    "هل قرأت الكتاب الجديد؟",
    "يشرب الناس الشاي في المساء، ثم يتحدثون.",
    "The river runs through 3 towns, and then to the sea.",
    "أغلق الباب من فضلك.",
]
GOOD = [
    "ذهب الولد إلى المدرسة في الصباح.",
    "القاهرة هي عاصمة مصر العربية.",
    "هل قرأت هذا الكتاب الجديد؟",
    "يشرب الناس الشاي في المساء ثم يتحدثون معا.",
    "The river runs through 3 towns and to the sea.",
    "أغلق الباب من فضلك.",
]
BAD = ["ولد مدرسة صباح", "القاهرة مدينة كبيرة في مصر.", "", "الناس في المساء.", "A river and towns.", "افتح النافذة من فضلك."]
TEXT = st.text(alphabet="ab كتاب.،؟ ", max_size=30)


def _official(hypotheses, references):
    return {
        "bleu-13a": BLEU(tokenize="13a").corpus_score(hypotheses, [references]).score,
        "bleu-intl": BLEU(tokenize="intl").corpus_score(hypotheses, [references]).score,
        "chrf++": CHRF(word_order=2).corpus_score(hypotheses, [references]).score,
    }


@pytest.mark.parametrize("hypotheses", [GOOD, BAD, REFERENCES, [""] * 6, ["x"] * 6])
def test_values_are_those_of_sacrebleu(hypotheses):
    """Good, bad, perfect, empty and unrelated output all give sacrebleu's number to the last digit."""
    scores = score_translations(hypotheses, REFERENCES).scores
    assert {score.name: score.value for score in scores} == pytest.approx(_official(hypotheses, REFERENCES), abs=1e-9)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_values_are_those_of_sacrebleu_on_any_text(pairs):
    """Short and odd texts hit the smoothing and missing-order branches; the interval always holds the value."""
    hypotheses, references = (list(side) for side in zip(*pairs, strict=True))
    scores = score_translations(hypotheses, references, metrics=Metrics(samples=20)).scores
    assert {score.name: score.value for score in scores} == pytest.approx(_official(hypotheses, references), abs=1e-9)
    assert all(score.low <= score.value <= score.high for score in scores)


@pytest.mark.parametrize("metric", ["bleu-13a", "chrf++"])
def test_bootstrap_spread_agrees_with_sacrebleu(metric):
    """Half the width of our interval is the plus-minus that sacrebleu prints for the same data."""
    hypotheses, references = (GOOD + BAD) * 10, REFERENCES * 20
    official = BLEU() if metric == "bleu-13a" else CHRF(word_order=2)
    theirs = official.corpus_score(hypotheses, [references], n_bootstrap=1000)
    ours = next(score for score in score_translations(hypotheses, references).scores if score.name == metric)
    assert (ours.high - ours.low) / 2 == pytest.approx(theirs._ci, rel=0.12)
    assert (ours.high + ours.low) / 2 == pytest.approx(theirs._mean, abs=0.2 * float(theirs._ci))


def test_bootstrap_is_seeded():
    """The same input gives the same interval, another seed another one."""
    first, again = (score_translations(BAD, REFERENCES) for _ in range(2))
    other = score_translations(BAD, REFERENCES, metrics=Metrics(seed=1))
    assert first == again
    assert first.scores[2].low != other.scores[2].low


def test_signature_begins_with_that_of_sacrebleu():
    """A reader can compute the number again: sacrebleu's own signature, then ours for the interval."""
    score = score_translations(GOOD, REFERENCES).scores[2]
    official = CHRF(word_order=2)
    official.corpus_score(GOOD, [REFERENCES])
    assert score.signature == f"{official.get_signature()}|normalise:none|ci:percentile|bs:1000|seed:12345"


def test_paired_comparison_agrees_with_sacrebleu():
    """Differences are those of sacrebleu's own paired test, and a clear one is as clear to both."""
    from sacrebleu.significance import PairedTest

    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    references, base, system = REFERENCES * 8, (BAD[:3] + GOOD[3:]) * 8, GOOD * 8
    _, results = PairedTest([("base", base), ("system", system)], {"bleu": BLEU()}, [references], "bs", 1000)()
    theirs = results["BLEU"]
    ours = compare_translations(base, system, references)[0]
    assert ours.value == pytest.approx(theirs[1].score - theirs[0].score, abs=1e-9)
    assert ours.p == pytest.approx(theirs[1].p_value) == pytest.approx(1 / 1001)
    assert (ours.wins, ours.losses, ours.ties) == (24, 0, 24)


ALL = ("bleu-13a", "chrf++", "ter", "rouge-l", "rouge-l-latin")


def test_every_metric_has_an_interval_and_a_paired_test():
    """TER and ROUGE-L come with the same intervals as BLEU, and the better system has less TER and more ROUGE-L."""
    references, base, system = REFERENCES * 4, (BAD[:3] + GOOD[3:]) * 4, GOOD * 4
    result = score_translations(system, references, metrics=Metrics(names=ALL, samples=200))
    assert [score.name for score in result.scores] == list(ALL)
    assert all(score.low < score.value < score.high for score in result.scores[:4])
    gains = {one.name: one for one in compare_translations(base, system, references, Metrics(names=ALL, samples=200))}
    assert gains["ter"].high < 0 < gains["rouge-l"].low and gains["ter"].p < 0.01 > gains["rouge-l"].p


@pytest.mark.parametrize("name", ["bleu-13a", "chrf++"])
def test_randomisation_gives_the_p_of_sacrebleu(name):
    """With its seed and trials, and no draw that equals the observed difference, p is that of `sacrebleu --paired-ar`."""
    from random import Random

    from sacrebleu.significance import PairedTest

    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    rng = Random(5)
    references = [f"{rng.choice(REFERENCES)} {' '.join(rng.choices('abcdefg', k=6))}" for _ in range(60)]
    base, system = ([" ".join(rng.sample(words := text.split(), len(words) - cut)) for text in references] for cut in (2, 1))
    official = {"bleu-13a": BLEU(), "chrf++": CHRF(word_order=2)}[name]
    _, results = PairedTest([("base", base), ("system", system)], {name: official}, [references], "ar", 2000)()
    [[theirs_base, theirs]] = [scores for key, scores in results.items() if key != "System"]
    [ours] = compare_translations(base, system, references, Metrics(names=(name,), paired="randomisation", trials=2000))
    assert ours.value == pytest.approx(theirs.score - theirs_base.score, abs=1e-9)
    assert ours.p == pytest.approx(theirs.p_value, abs=1e-12) and ours.signature.endswith("|p:ar|ar:2000")


def test_randomisation_of_few_sentences_is_exact_in_the_limit():
    """Of 2^4 swaps of four sentences that all gained, two differ as much as what was seen: p is 1/8, ties included."""
    references = ["a b c d e", "f g h i j", "k l m n o", "p q r s t"]
    base = [text.replace(" ", "") for text in references]
    [gain] = compare_translations(base, references, references, Metrics(names=("rouge-l",), paired="randomisation"))
    assert gain.p == pytest.approx(1 / 8, abs=0.012)


def test_sentences_of_one_document_are_drawn_together():
    """Twenty copies of each sentence say nothing more: drawn by document the interval is that of the sentences alone."""
    documents = [str(at) for at in range(6)] * 20
    alone = score_translations(GOOD, REFERENCES).scores[2]
    copied = score_translations(GOOD * 20, REFERENCES * 20).scores[2]
    grouped = score_translations(GOOD * 20, REFERENCES * 20, documents=documents).scores[2]
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
    assert copied.high - copied.low < 0.4 * (grouped.high - grouped.low)
    assert grouped.signature.endswith("|documents:6") and grouped.n == 120
    base = BAD[:2] + GOOD[2:]
    for paired in ("bootstrap", "randomisation"):
        kind = Metrics(names=("chrf++",), paired=paired)
        once = compare_translations(base, GOOD, REFERENCES, kind)[0]
        many = compare_translations(base * 20, GOOD * 20, REFERENCES * 20, kind, documents)[0]
        assert (many.p, many.low, many.high) == pytest.approx((once.p, once.low, once.high))


def test_paired_p_is_two_sided():
    """An unclear difference gets the p that the normal law gives its spread: both tails, whichever system is first."""
    references, base = REFERENCES * 8, (GOOD[:3] + BAD[3:]) * 8
    system = (BAD[:1] + GOOD[1:3] + BAD[3:4] + GOOD[4:5] + BAD[5:]) * 8
    for first, second in ((base, system), (system, base)):
        found = compare_translations(first, second, references)[2]
        spread = (found.high - found.low) / (2 * 1.96)
        assert found.p == pytest.approx(2 * NormalDist().cdf(-abs(found.value) / spread), abs=0.05)
        assert found.low < found.value < found.high


def test_same_system_never_differs():
    """A system compared with itself has no difference, no wins and p = 1."""
    for one in compare_translations(GOOD, GOOD, REFERENCES):
        assert (one.value, one.low, one.high, one.p, one.ties) == (0, 0, 0, 1, 6)


def test_failures_are_counted_by_kind_and_stay_in_the_score():
    """A failed translation lowers the score as an empty line and shows up in its rate; a rightly kept copy does not."""
    sources = ["A boy went to school.", "Cairo is the capital.", "https://example.org", "Tea.", "River.", "Close the door."]
    hypotheses = [None, "Cairo  is the capital.", "https://example.org", "شاي tea and more", " ", GOOD[5]]
    references = [REFERENCES[0], REFERENCES[1], "https://example.org", *REFERENCES[3:]]
    result = score_translations(hypotheses, references, sources, Metrics(script="Arab"))
    assert [segment.failure for segment in result.segments] == ["empty", "copy", "", "wrong_script", "empty", ""]
    assert {rate.name: round(rate.value, 1) for rate in result.failures} == {"empty": 33.3, "copy": 16.7, "wrong_script": 16.7}
    assert result.segments[0].chrf == 0
    assert result.segments[5].chrf == pytest.approx(100)
    assert result.scores[2].value == pytest.approx(_official([text or "" for text in hypotheses], references)["chrf++"], abs=1e-9)


def test_only_checked_failures_are_reported():
    """A rate of 0 % must mean that somebody looked."""
    assert [rate.name for rate in score_translations(GOOD, REFERENCES).failures] == ["empty"]


def test_normaliser_is_opt_in_and_signed():
    """Vowel marks on one side cost points raw, and cost none after a normalisation that the signature names."""
    marked, bare = ["كَتَبَ الوَلَدُ الدَّرْسَ في البيتِ"], ["كتب الولد الدرس في البيـت"]
    raw = score_translations(marked, bare).scores[2]
    both = score_translations(marked, bare, metrics=Metrics(normalise=("none", "arabic-light"))).scores
    assert [score.name for score in both[:2]] == ["bleu-13a", "bleu-13a (arabic-light)"]
    assert raw.value < 60 and both[4] == raw
    assert both[5].value == pytest.approx(100)
    assert "normalise:arabic-light" in both[5].signature and "normalise:none" in raw.signature
    gains = compare_translations(marked, bare, bare, Metrics(normalise=("none", "arabic-light")))
    assert [gain.name for gain in gains] == [score.name for score in both]
    assert gains[4].value > 40 and gains[5].value == 0 and gains[5].p == 1


def test_script_share():
    """Digits and punctuation belong to no script; a text without letters is in any script."""
    assert script_share("abc كتب", "Arab") == 0.5
    assert script_share("123, 4.", "Arab") == 1.0
    assert script_share("नमस्ते", "Deva") == 1.0


def test_unusable_input_says_what_to_do():
    """Unequal or missing lines and unknown names are refused with a way out."""
    with pytest.raises(InputError, match="2 translations for 1 references"):
        score_translations(["a", "b"], ["a"])
    with pytest.raises(InputError):
        score_translations([], [])
    with pytest.raises(InputError, match="sources"):
        score_translations(["a"], ["a"], [])
    with pytest.raises(InputError, match="document"):
        score_translations(["a"], ["a"], documents=[])
    with pytest.raises(RecipeError, match="Did you mean 'bleu-13a'"):
        score_translations(["a"], ["a"], metrics=Metrics(names=("bleu-v13a",)))
    with pytest.raises(RecipeError, match="Did you mean 'arabic-light'"):
        score_translations(["a"], ["a"], metrics=Metrics(normalise=("arabic-lite",)))
    with pytest.raises(RecipeError, match="Did you mean 'Arab'"):
        score_translations(["a"], ["a"], metrics=Metrics(script="Arabic"))
