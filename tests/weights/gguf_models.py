"""What the GGUF tests share: texts of every kind, a tokenizer as converted from SentencePiece, and a Gemma 2."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast

from .conftest import SMALL

PROMPTS = (
    "The cat sat on the mat.",
    "What is the capital of Egypt?",
    "It's 3.14159, isn't it? We've paid 2,026 dollars!",
    "قرأت الكتاب في البيت",
    "ما هي عاصمة مصر؟ القاهرة، نعم.",
    "كَتَبَ الطَّالِبُ دَرْسَهُ فِي المَدْرَسَةِ",
    "وَلَقَدْ يَسَّرْنَا الْقُرْآنَ لِلذِّكْرِ",
    "العدد ١٢٣٤٥ أكبر من ٩٨٧",
    "12345 67890 3,000,000",
    "def f(x):\n    return x ** 2\n\n\nprint(f(3))\n",
    'if (a != b) { c["k"] = a + b; }  // note',
    "  two spaces,\ttabs\t\tand   three   ",
    "line one\r\nline two\n\n",
    "👍🏽 👩‍🚀 🇪🇬 ❤️ emoji",
    "नमस्ते दुनिया, Tiếng Việt, 你好世界",
    "⟦1⟧ copies ⟦2⟧",
    "https://example.org/a?b=c&d=%20",
    "The word مرحبا means hello",
    "a",
)
SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "<start_of_turn>model\n"
)


def make_spaced_tokenizer(prefix: str = "", closed: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer of characters with a fallback to bytes; `prefix` is how a space comes before the text: `always` or `first`.

    When `closed`, every way to make a token is a merge, as in files converted from SentencePiece; else those that were learned.
    """
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    texts = [*(text for text in PROMPTS if "你" not in text), *(" " * count for count in range(2, 9))]
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    learner.train_from_iterator(
        texts * 3, trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL + bytes_, show_progress=False)
    )
    vocab = learner.get_vocab()
    learned = [text for text in sorted(vocab, key=lambda text: vocab[text]) if vocab[text] >= len(SPECIAL) + 256]
    halves = [(text[:cut], text[cut:]) for text in learned for cut in range(1, len(text))]
    merges = [(left, right) for left, right in halves if left in vocab and right in vocab]
    if not closed:
        merges = list({left + right: (left, right) for left, right in merges}.values())
    spaced = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    replace = normalizers.Replace(" ", "▁")
    if prefix == "first":
        spaced.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        spaced.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
    spaced.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    spaced.add_special_tokens(SPECIAL)
    spaced.add_tokens([AddedToken(text, normalized=False) for text in ("▁▁", "\n\n")])
    spaced.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=spaced, chat_template=TEMPLATE, **names)


def make_gemma(rows: int, **changes: Any) -> Any:
    """A Gemma 2 whose sliding window is shorter than most prompts, and whose norms are not the initial zeros."""
    torch.manual_seed(0)
    settings = {**SMALL, "vocab_size": rows, "eos_token_id": 2, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8}
    model = Gemma2ForCausalLM(Gemma2Config(**settings | changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    return model
