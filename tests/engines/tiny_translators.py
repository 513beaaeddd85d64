"""Tiny random translators of three families with real tokenizers, as checkpoints of transformers."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ENGLISH = [
    "The cat is in the house.",
    "The book is on the table.",
    "She drinks water in the morning.",
    "We travel to Cairo by train.",
    "He bought bread and cheese; I did not.",
]
ARABIC = ["القطة في البيت.", "الكتاب على الطاولة.", "هي تشرب الماء في الصباح.", "نسافر إلى القاهرة بالقطار.", "اشترى خبزا وجبنا."]
SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}


def train_sentencepiece(file: Path, texts: Sequence[str], size: int) -> list[str]:
    """Writes a SentencePiece model; its pieces but the control tokens."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(texts) * 20), model_writer=out, vocab_size=size, hard_vocab_limit=False, minloglevel=2
    )
    file.write_bytes(out.getvalue())
    model = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return [piece for piece in map(model.id_to_piece, range(model.get_piece_size())) if piece not in ("<unk>", "<s>", "</s>")]


def sharpened(model: Any) -> Any:
    """Larger weights, so that answers vary and have no near ties."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(10.0 if "embed" in name or "shared" in name else 30.0)
    return model.eval()


def make_marian(folder: Path, tags: Sequence[str] = (">>ara<<", ">>fra<<"), sentinels: bool = False) -> Any:
    """An OPUS-MT model with several target languages, whose answers never end. With `sentinels` its vocabulary has ⟦1⟧."""
    from transformers import MarianConfig, MarianMTModel

    folder.mkdir(parents=True)
    more = ["A ⟦1⟧ b ⟦2⟧. See ⟦1⟧ and ⟦2⟧ or ⟦3⟧"] * sentinels
    pieces = train_sentencepiece(folder / "source.spm", ENGLISH + more, 120)
    pieces += train_sentencepiece(folder / "target.spm", ARABIC + more, 120)
    tokens = [*dict.fromkeys(["</s>", "<unk>", *tags, *pieces]), "<pad>"]
    pad = len(tokens) - 1
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    about = {"source_lang": "eng", "target_lang": "ara", "tokenizer_class": "MarianTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    torch.manual_seed(1)
    config = MarianConfig(
        **SIZES,
        vocab_size=len(tokens),
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        bos_token_id=None,
        forced_eos_token_id=None,
        scale_embedding=True,
    )
    model = MarianMTModel(config).eval()
    model.final_logits_bias[0, 0] = -100.0
    model.save_pretrained(folder)
    return model


def make_talker(folder: Path, steps: int = 60) -> Any:
    """An OPUS-MT model that learnt a little: its answers differ, and end."""
    from transformers import MarianTokenizer

    model = make_marian(folder).train()
    model.final_logits_bias.zero_()
    tokenizer = MarianTokenizer.from_pretrained(folder)
    rng, latin, arabic = random.Random(0), " ".join(ENGLISH).split(), " ".join(ARABIC).split()
    sizes = [rng.randint(1, 12) for _ in range(24)]
    source = [">>ara<< " + " ".join(rng.choices(latin, k=size)) for size in sizes]
    target = [" ".join(rng.choices(arabic, k=max(1, size // 2))) for size in sizes]
    batch = tokenizer(source, text_target=target, return_tensors="pt", padding=True)
    batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        model.model.shared.weight[tokenizer.pad_token_id] = 0.0  # as in all of them: it is what a translation starts from
    model.eval().save_pretrained(folder)
    return model


def make_m2m(folder: Path) -> Any:
    """An M2M-100 model: SentencePiece, and languages as tokens that follow the vocabulary."""
    from transformers import M2M100Tokenizer

    folder.mkdir(parents=True)
    pieces = train_sentencepiece(folder / "spm.model", ENGLISH + ARABIC, 200)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
    (folder / "words.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    tokenizer = M2M100Tokenizer(vocab_file=str(folder / "words.json"), spm_file=str(folder / "spm.model"))
    tokenizer.save_pretrained(folder)
    (folder / "words.json").unlink()
    (folder / "spm.model").unlink()
    return _m2m(folder, len(tokens) + len(tokenizer.lang_token_to_id) + tokenizer.num_madeup_words)


def make_nllb(folder: Path) -> Any:
    """An NLLB model: a tokenizer.json, and languages with their scripts as tokens of the vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import NllbTokenizer

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False)
    inner.train_from_iterator(ENGLISH + ARABIC, trainer)
    model = json.loads(inner.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    tokenizer.save_pretrained(folder)
    return _m2m(folder, len(tokenizer) + 3)


def _m2m(folder: Path, vocabulary: int) -> Any:
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(1)
    model = sharpened(M2M100ForConditionalGeneration(M2M100Config(**SIZES, vocab_size=vocabulary)))
    model.save_pretrained(folder)
    return model


FAMILIES = {"marian": make_talker, "m2m": make_m2m, "nllb": make_nllb}
