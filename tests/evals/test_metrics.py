"""Counts and values of every metric against sacrebleu's public scores, spBLEU with a model made on the spot."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, TER
from sacrebleu.tokenizers import tokenizer_spm

from hala.errors import InputError, RecipeError
from hala.evals.metrics import check_metric, count, value

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
    "ثم يتحدثون معا، يشرب الناس الشاي في المساء.",
    "The river runs through 3 towns and to the sea.",
    "أغلق الباب من فضلك.",
]
BAD = ["ولد مدرسة صباح", "القاهرة مدينة كبيرة في مصر.", "", "الناس في المساء.", "A river and towns.", "افتح النافذة من فضلك."]
TEXT = st.text(alphabet="ab كتاب.،؟ ", max_size=30)


def total(name, hypotheses, references, **more):
    return float(value(name, count(name, tuple(hypotheses), tuple(references), **more).stats.sum(0, keepdims=True))[0])


@pytest.mark.parametrize("hypotheses", [GOOD, BAD, REFERENCES, REFERENCES[::-1], [""] * 6, ["x y z " * 9] * 6])
def test_ter_is_that_of_sacrebleu(hypotheses):
    """Good, bad, perfect, shuffled, empty and far too long output: sacrebleu's TER to the last digit, above 100 included."""
    official = TER().corpus_score(hypotheses, [REFERENCES])
    assert total("ter", hypotheses, REFERENCES) == pytest.approx(official.score, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_ter_is_that_of_sacrebleu_on_any_text(pairs):
    """Empty references are where divisions go wrong."""
    hypotheses, references = zip(*pairs, strict=True)
    official = TER().corpus_score(list(hypotheses), [list(references)]).score
    assert total("ter", hypotheses, references) == pytest.approx(official, abs=1e-9)


def test_ter_counts_a_moved_phrase_as_one_edit():
    """By hand: a block of two words that moved is one shift over six reference words."""
    assert total("ter", ["c d a b e f"], ["a b c d e f"]) == pytest.approx(100 / 6)


def test_rouge_is_the_mean_of_sentences():
    """By hand: F1 of 1, 2/3 and 0 is 55.6 on average; the Latin-only variant sees nothing of it."""
    hypotheses, references = ["ذهب الولد", "ذهب", "قال"], ["ذهب الولد", "ذهب الولد", "كتب"]
    assert total("rouge-l", hypotheses, references) == pytest.approx(100 * (1 + 2 / 3) / 3)
    assert total("rouge-l-latin", hypotheses, references) == 0


@pytest.fixture
def model(tmp_path):
    """A tiny SentencePiece model of the tests' own sentences."""
    spm = pytest.importorskip("sentencepiece")
    small = {"vocab_size": 80, "hard_vocab_limit": False, "minloglevel": 5}
    spm.SentencePieceTrainer.Train(sentence_iterator=iter(REFERENCES * 5), model_prefix=str(tmp_path / "tiny"), **small)
    return tmp_path / "tiny.model"


def test_spbleu_is_that_of_sacrebleu(model, tmp_path, monkeypatch):
    """With the same model file, given or in sacrebleu's folder, spBLEU is sacrebleu's, and the signature tells the file."""
    folder = tmp_path / "sacrebleu/models"
    folder.mkdir(parents=True)
    given_file = total("bleu-flores200", GOOD, REFERENCES, flores200=str(model))
    model.rename(folder / "flores200sacrebleuspm")
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(folder.parent))
    official = BLEU(tokenize="flores200")
    assert given_file == pytest.approx(official.corpus_score(GOOD, [REFERENCES]).score, abs=1e-9)
    assert total("bleu-flores200", GOOD, REFERENCES) == given_file != total("bleu-13a", GOOD, REFERENCES)
    signature = count("bleu-flores200", tuple(GOOD), tuple(REFERENCES)).signature
    assert signature.startswith(f"{official.get_signature()}|spm:")


def test_spbleu_never_downloads(tmp_path, monkeypatch):
    """Without its model file spBLEU is refused with the address, not fetched in silence."""
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "download_file", lambda *_: pytest.fail("a download"))
    with pytest.raises(InputError, match="flores200sacrebleuspm") as refused:
        count("bleu-flores200", ("a",), ("a",))
    assert "https://" in refused.value.fix and "flores200" in refused.value.fix
    with pytest.raises(InputError, match="nowhere"):
        count("bleu-flores200", ("a",), ("a",), flores200=str(tmp_path / "nowhere"))
    with pytest.raises(InputError):
        count("bleu-flores101", ("a",), ("a",))


def test_a_file_that_is_no_model_is_refused(tmp_path):
    """Any other file in its place is an error with a name, not a traceback."""
    pytest.importorskip("sentencepiece")
    (tmp_path / "text.model").write_text("no model")
    with pytest.raises(InputError, match="no SentencePiece model"):
        count("bleu-flores200", ("a",), ("a",), flores200=str(tmp_path / "text.model"))


def test_unknown_metrics_are_refused():
    """A misspelt metric gets the nearest name."""
    for name, near in (("bleu-v13a", "bleu-13a"), ("chrf", "chrf++"), ("rougel", "rouge-l")):
        with pytest.raises(RecipeError, match=f"Did you mean '{near.replace('+', '.')}'"):
            check_metric(name)


def test_counts_are_kept_and_cannot_be_changed():
    """The second comparison on the same texts does not count again, and nobody can spoil what is kept."""
    first = count("chrf++", tuple(GOOD), tuple(REFERENCES))
    assert count("chrf++", tuple(GOOD), tuple(REFERENCES)) is first
    with pytest.raises(ValueError, match="read-only"):
        first.stats[0, 0] = 1
