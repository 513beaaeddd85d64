"""The translation test of a compressed checkpoint: the loss is that of the metrics, and what was translated is remembered."""

from __future__ import annotations

from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from hala.recipe import Recovery
from hala.verbs.recovery import losses, remembered, sentence

REFERENCES = ["القطة في البيت الكبير اليوم", "الكتاب على الطاولة القديمة هنا", "هي تشرب الماء في الصباح"]
WORSE = ["القطة في البيت", None, "هي تشرب الماء في الصباح"]
SETTINGS = Recovery(pairs="unused.jsonl", tolerance=5.0, resamples=200)


def test_the_loss_is_the_difference_of_sacrebleus_scores() -> None:
    """Values and loss are sacrebleu's own, a lost translation counts as an empty one, and the interval holds the loss."""
    entries = {entry["metric"]: entry for entry in losses(REFERENCES, WORSE, REFERENCES, SETTINGS, "Arab")}
    texts = [text or "" for text in WORSE]
    oracles = {"bleu-13a": BLEU().corpus_score, "chrf++": CHRF(word_order=2).corpus_score}
    for name, score in oracles.items():
        entry = entries[name]
        assert abs(entry["compressed"] - score(texts, [REFERENCES]).score) < 1e-6
        assert abs(entry["loss"] - (entry["original"] - entry["compressed"])) < 1e-6 and not entry["passed"]
        assert entry["loss_low"] <= entry["loss"] <= entry["loss_high"]


def test_equal_translations_lose_nothing() -> None:
    """A copy that says the same passes any tolerance, with an interval of nothing."""
    for entry in losses(WORSE, WORSE, REFERENCES, SETTINGS.model_copy(update={"tolerance": 0.0}), "Arab"):
        assert entry["passed"] and entry["loss"] == entry["loss_low"] == entry["loss_high"] == 0.0


def test_an_interval_beyond_the_tolerance_is_said() -> None:
    """A loss that passes but might be larger than allowed is told as such."""
    entry = {"metric": "chrf++", "original": 80.0, "compressed": 79.5, "loss": 0.5, "loss_low": -1.0, "loss_high": 2.0}
    assert sentence(entry | {"tolerance": 1.0, "passed": True}).endswith("the interval reaches beyond it")
    assert sentence(entry | {"tolerance": 3.0, "passed": True}).endswith("tolerance 3")


def test_what_was_translated_is_not_translated_again(tmp_path: Path) -> None:
    """Answers of an earlier try are read back, lost ones included."""
    first = remembered(tmp_path / "side.json", lambda: {"set": ["نص", None]})
    assert remembered(tmp_path / "side.json", lambda: {}) == first == {"set": ["نص", None]}
