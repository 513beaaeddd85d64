"""MetricX-24 of translations, run by any Python that has transformers, torch and sentencepiece.

    PYTHON metricx_scores.py --model google/metricx-24-hybrid-large-v2p6 --tokenizer google/mt5-xl --batch-size 8 INPUT OUTPUT

INPUT holds JSON lines with `source`, `translation` and `reference`; OUTPUT gets one number a line, from 0, the best, to 25.

MetricX is an mT5 that reads source, candidate and reference in one text, without the end token; the score is the logit of one
reserved token at the decoder's first position, cut to [0, 25]. Source: Juraska et al. 2024, "MetricX-24"; its released code.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

MAX_LENGTH = 1536
SCORE_TOKEN = 250_089  # <extra_id_10> of mT5


def inputs(tokenizer: Any, rows: list[dict[str, str]]) -> list[list[int]]:
    """Token ids of each row, cut to what the model was trained with; the tokenizer's end token is left out."""
    texts = [f"source: {row['source']} candidate: {row['translation']} reference: {row['reference']}" for row in rows]
    ids: list[list[int]] = tokenizer(texts, max_length=MAX_LENGTH, truncation=True)["input_ids"]
    return [each[:-1] for each in ids]


def scores(model: Any, ids: list[list[int]], batch_size: int) -> list[float]:
    """The error score of each row, in the order given: 0 is the best, 25 the worst."""
    import torch

    found = [0.0] * len(ids)
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        width = len(ids[places[0]])
        padded = torch.tensor([ids[place] + [0] * (width - len(ids[place])) for place in places], device=model.device)
        mask = torch.tensor([[1] * len(ids[place]) + [0] * (width - len(ids[place])) for place in places], device=model.device)
        begin = torch.zeros(len(places), 1, dtype=torch.long, device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=padded, attention_mask=mask, decoder_input_ids=begin).logits
        for place, score in zip(places, logits[:, 0, SCORE_TOKEN].float().clamp(0, 25).tolist(), strict=True):
            found[place] = score
    return found


def main() -> None:
    """Scores INPUT into OUTPUT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="hub id or folder")
    parser.add_argument("--tokenizer", help="hub id or folder; none means the model's own")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    import torch
    from transformers import AutoTokenizer, MT5ForConditionalGeneration

    rows = [json.loads(line) for line in args.input.read_text(encoding="utf-8").splitlines()]
    model: Any = MT5ForConditionalGeneration.from_pretrained(args.model)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").train(False)
    ids = inputs(AutoTokenizer.from_pretrained(args.tokenizer or args.model), rows)
    found = scores(model, ids, args.batch_size)
    args.output.write_text("".join(f"{score}\n" for score in found), encoding="utf-8")


if __name__ == "__main__":
    main()
