"""MetricX's arithmetic on a tiny random mT5: the form of its input, the place of its score, and batches that change nothing."""

from __future__ import annotations

import pytest
import torch
from transformers import MT5Config, MT5ForConditionalGeneration

from hala.evals.learned.metricx_scores import MAX_LENGTH, SCORE_TOKEN, inputs, scores


class Tokenizer:
    """Letters as numbers, and an end token, as mT5's tokenizer has."""

    def __call__(self, texts: list[str], max_length: int, truncation: bool) -> dict[str, list[list[int]]]:
        assert truncation
        self.seen = texts
        return {"input_ids": [[*(ord(letter) % 200 + 3 for letter in text[: max_length - 1]), 1] for text in texts]}


@pytest.fixture(scope="module")
def model() -> MT5ForConditionalGeneration:
    """Random weights, wide enough that inputs make a difference."""
    torch.manual_seed(0)
    config = MT5Config(
        vocab_size=SCORE_TOKEN + 3, d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    made = MT5ForConditionalGeneration(config).eval()
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    torch.nn.init.normal_(made.lm_head.weight, std=4.0)
    return made


def test_the_input_is_one_text_without_its_end() -> None:
    """Protects the form that MetricX was trained on: labelled parts in one line, no end token, at most 1,536 tokens."""
    tokenizer = Tokenizer()
    ids = inputs(
        tokenizer,
        [{"source": "s", "translation": "t", "reference": "r"}, {"source": "s" * 2000, "translation": "", "reference": ""}],
    )
    assert tokenizer.seen[0] == "source: s candidate: t reference: r"
    assert 1 not in ids[0] and len(ids[0]) == len(tokenizer.seen[0]) and len(ids[1]) == MAX_LENGTH - 1


def logits(model: MT5ForConditionalGeneration, ids: list[list[int]]) -> list[float]:
    """The raw logit of the score's token, row by row."""
    start = torch.zeros(1, 1, dtype=torch.long)
    with torch.inference_mode():
        return [float(model(input_ids=torch.tensor([each]), decoder_input_ids=start).logits[0, 0, SCORE_TOKEN]) for each in ids]


def test_the_score_is_one_logit_within_bounds(model: MT5ForConditionalGeneration) -> None:
    """Protects against another token, another position or a missing cut; and batching changes nothing but rounding."""
    ids = [list(range(3, 3 + length)) for length in (4, 9, 2, 7, 5, 30)]
    raw = logits(model, ids)
    with torch.no_grad():
        model.lm_head.weight[SCORE_TOKEN] *= 24.9 / max(raw, key=abs)
    raw = logits(model, ids)
    alone = [scores(model, [each], 1)[0] for each in ids]
    assert alone == pytest.approx(raw, abs=1e-4) and len({round(each, 3) for each in alone}) > 2
    assert scores(model, ids, 4) == pytest.approx(alone, abs=1e-3)
    with torch.no_grad():
        model.lm_head.weight[SCORE_TOKEN] *= 2
    assert scores(model, ids, 2) == pytest.approx([min(25.0, 2 * each) for each in raw], abs=1e-3)
    with torch.no_grad():
        model.lm_head.weight[SCORE_TOKEN] *= -1
    assert scores(model, ids, 2) == [0.0] * len(ids)
