"""The tokenizer gives back what it was given, and is the same every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.errors import InputError
from hala.training.tokenizer import SENTINELS, SPECIALS, train_tokenizer

TEXTS = [
    "The river is wide and the bridge is old.",
    "النهر واسع والجسر قديم.",
    "The bridge is 125 years old: count <|im_end|> and ⟦1⟧.",
    "عمر الجسر ١٢٥ سنة",
] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocab_size=400)


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_two_trainings_agree(tokenizer):
    """Protects reproducible checkpoints: the same texts give the same vocabulary and merges."""
    assert train_tokenizer(iter(TEXTS), vocab_size=400).backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_comes_back(tokenizer, text):
    """Protects every byte of a translation: decoding is the inverse of encoding for any text, special-looking or not."""
    assert tokenizer.decode(ids(tokenizer, text), clean_up_tokenization_spaces=False) == text


def test_special_tokens_have_their_ids(tokenizer):
    """Protects compatibility with LFM2: the first eight ids are its special tokens in its order."""
    assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == list(range(len(SPECIALS)))
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 7)


def test_a_sentinel_is_one_token_that_decoding_keeps(tokenizer):
    """Protects masked spans: they cost one token and survive skip_special_tokens, as special tokens must not."""
    for sentinel in SENTINELS:
        assert len(ids(tokenizer, sentinel)) == 1
    assert tokenizer.decode(ids(tokenizer, f"a{SENTINELS[0]}b<|im_end|>"), skip_special_tokens=True) == f"a{SENTINELS[0]}b"


def test_every_digit_is_a_token(tokenizer):
    """Protects numbers in translations: they are copied digit by digit, in both scripts."""
    assert len(ids(tokenizer, "125")) == 3
    assert [tokenizer.decode([token]) for token in ids(tokenizer, "١٢٥")] == ["١", "٢", "٥"]


def test_the_template_writes_the_start_once(tokenizer):
    """Protects against a doubled start token and against another wording of the turns."""
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text == "<|startoftext|><|user|>a<|assistant|>b<|im_end|>"
    prompt = tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|startoftext|><|user|>a<|assistant|>"


def test_roles_are_single_tokens(tokenizer):
    """Protects short examples: a turn costs one token to open, and only an answer one to close."""
    chat = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    assert len(tokenizer.apply_chat_template(chat)["input_ids"]) == 4


def test_size_and_reload(tokenizer, tmp_path):
    """Protects saving: the vocabulary is bounded as asked and a reloaded folder encodes alike."""
    from transformers import AutoTokenizer

    assert len(tokenizer) <= 400
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert ids(again, TEXTS[2]) == ids(tokenizer, TEXTS[2])
    assert again.chat_template == tokenizer.chat_template


def test_a_vocabulary_without_room_is_refused():
    """Protects users from a tokenizer that cannot hold the bytes: the error names the smallest size."""
    with pytest.raises(InputError, match="277"):
        train_tokenizer(TEXTS, vocab_size=200)
