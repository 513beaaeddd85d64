"""Tiny real models and a byte-level BPE tokenizer with a ChatML template, made on the spot."""

import pytest

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ["السؤال التالي هو سؤال متعدد الإختيارات", "اختر الإجابة الصحيحة", "الإجابة: أ ب ج د", "What is the capital of Egypt?"]


@pytest.fixture(scope="session")
def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|startoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=360, special_tokens=special, initial_alphabet=alphabet))
    start = core.token_to_id("<|startoftext|>")
    core.post_processor = processors.TemplateProcessing("<|startoftext|> $A", special_tokens=[("<|startoftext|>", start)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        bos_token="<|startoftext|>",
        eos_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
    )


def _lfm2(vocab):
    from transformers import Lfm2Config, Lfm2ForCausalLM

    return Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=vocab, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=1024, layer_types=["conv", "full_attention", "conv"],
        )
    )  # fmt: skip


def _llama(vocab):
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=1024,
        )
    )  # fmt: skip


@pytest.fixture(scope="session", params=["lfm2", "llama"])
def loaded(request, tokenizer):
    """A random float32 model and the tokenizer; weights are widened so that options differ clearly."""
    import torch

    torch.manual_seed(7)
    model = {"lfm2": _lfm2, "llama": _llama}[request.param](len(tokenizer)).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    return model, tokenizer
