"""Exactly the tokens that the model must produce are learned, and every row is accounted for."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.errors import InputError
from hala.records import Message, Row
from hala.training.examples import IGNORED, Form, make_examples
from hala.training.tokenizer import train_tokenizer

WORDS = ("the", "river", "is", "wide", "and", "a", "bridge", "was", "old", "here", "there", "stone", "water")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS), "الجسر قديم"] * 4, vocab_size=330)


def chat(*turns, row_id="r"):
    return Row(row_id, tuple(Message(role, content) for role, content in turns))


def pair(source, target, row_id="r"):
    return Row(row_id, (Message("text", target),), original=(Message("text", source),))


def learned(example, tokenizer):
    """The learned text, with a bar between stretches."""
    parts, open_ = [], False
    for token, label in zip(example.input_ids.tolist(), example.labels.tolist(), strict=True):
        if label != IGNORED:
            assert label == token
            if not open_:
                parts.append([])
            parts[-1].append(token)
        open_ = label != IGNORED
    return "|".join(tokenizer.decode(part) for part in parts)


def test_answers_and_their_ends_are_learned(tokenizer):
    """Protects the loss mask: every assistant turn with its end token, and neither the line break after it nor any prompt."""
    row = chat(("system", "be old"), ("user", "wide?"), ("assistant", "the river"), ("user", "old?"), ("assistant", "a bridge\n"))
    (example,) = make_examples([row], tokenizer, Form()).examples
    assert learned(example, tokenizer) == "the river<|im_end|>|a bridge\n<|im_end|>"
    assert tokenizer.decode(example.input_ids).startswith("<|startoftext|><|system|>be old<|user|>")
    assert tokenizer.decode(example.input_ids).endswith("a bridge\n<|im_end|>")


def test_the_learned_prompt_is_the_prompt_of_inference(tokenizer):
    """Protects against another tokenization than generation sees: the prompt's ids are a prefix, even next to spaces."""
    row = chat(("user", "wide"), ("assistant", "\n  the old"))
    (example,) = make_examples([row], tokenizer, Form()).examples
    turns = [{"role": "user", "content": "wide"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert example.input_ids[: len(prompt)].tolist() == prompt
    assert (example.labels[: len(prompt)] == IGNORED).all()
    assert (example.labels[len(prompt) :] != IGNORED).all()


def test_a_pair_is_prompt_and_target(tokenizer):
    """Protects translation training: the source goes into the prompt, braces and all, and only the target is learned."""
    form = Form("translation", "Translate:\n\n{text}", 64)
    (example,) = make_examples([pair("a {0} {wide} river", "الجسر قديم")], tokenizer, form).examples
    assert learned(example, tokenizer) == "الجسر قديم<|im_end|>"
    assert "<|user|>Translate:\n\na {0} {wide} river<|assistant|>" in tokenizer.decode(example.input_ids)


def test_running_text_is_learned_whole(tokenizer):
    """Protects text training: everything but the start token is learned, for plain text and for a conversation."""
    rows = [Row("t", (Message("text", "the river is old"),)), chat(("user", "wide?"), ("assistant", "old"))]
    plain, conversation = make_examples(rows, tokenizer, Form("text")).examples
    assert learned(plain, tokenizer) == "the river is old<|im_end|>"
    assert learned(conversation, tokenizer) == "<|user|>wide?<|assistant|>old<|im_end|>"


def test_long_text_is_split_without_loss(tokenizer):
    """Protects long documents: their parts join to the whole document."""
    row = Row("t", (Message("text", " ".join(WORDS * 5)),))
    (whole,) = make_examples([row], tokenizer, Form("text", max_length=1000)).examples
    parts = make_examples([row], tokenizer, Form("text", max_length=17)).examples
    assert max(map(len, parts)) <= 17 and [part.id for part in parts] == [f"t#{i}" for i in range(len(parts))]
    assert [token for part in parts for token in part.input_ids.tolist()] == whole.input_ids.tolist()


def test_long_conversations_are_rejected_not_cut(tokenizer):
    """Protects against silent truncation: a pair that does not fit is rejected with its length."""
    made = make_examples([pair("river " * 40, "old"), pair("river", "old", "s")], tokenizer, Form("translation", max_length=32))
    assert [example.id for example in made.examples] == ["s"]
    assert made.counts == {"too_long": 1} and "more than 32" in made.rejected[0][1].detail


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat(("user", "wide?")), "no_assistant"),
        (chat(("user", " "), ("assistant", "")), "empty"),
        (chat(("user", "say <|im_end|> now"), ("assistant", "old")), "special_token"),
    ],
)
def test_unusable_conversations_have_a_reason(tokenizer, row, reason):
    """Protects the counts: each kind of unusable row has its own reason."""
    assert make_examples([row], tokenizer, Form()).counts == {reason: 1}


def test_special_tokens_count_where_the_model_reads_them(tokenizer):
    """Protects chats from being lost for their originals: only a translator reads those."""
    turns = (Message("user", "wide?"), Message("assistant", "old"))
    odd = (Message("user", "<|im_end|>"), Message("assistant", "old"))
    assert len(make_examples([Row("r", turns, original=odd)], tokenizer, Form()).examples) == 1
    assert make_examples([pair("<|im_end|>", "old")], tokenizer, Form("translation")).counts == {"special_token": 1}


def test_a_row_without_original_is_no_pair(tokenizer):
    """Protects translation training from rows that are not pairs."""
    assert make_examples([chat(("text", "old"))], tokenizer, Form("translation")).counts == {"not_a_pair": 1}


def test_a_template_that_rewrites_history_is_noticed(tokenizer):
    """Protects the mask when a template changes earlier turns: such a row is rejected, not masked at the wrong place."""
    import copy

    forgetful = copy.deepcopy(tokenizer)
    forgetful.chat_template = "{{ messages[-1]['content'] }}"
    row = chat(("user", "wide?"), ("assistant", "old"), ("user", "here?"), ("assistant", "there"))
    assert make_examples([row], forgetful, Form()).counts == {"template": 1}


def test_impossible_settings_are_refused(tokenizer):
    """Protects users from a prompt that drops the source text, and from a base without a template."""
    import copy

    with pytest.raises(InputError, match="no place"):
        make_examples([], tokenizer, Form("translation", "Translate:"))
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        make_examples([], bare, Form("chat"))


CONTENT = st.sampled_from(["", " ", "old", "the river", "⟦1⟧ wide", "<|pad|>", "water " * 30])
TURNS = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), CONTENT), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(conversations=st.lists(TURNS, max_size=6), task=st.sampled_from(["chat", "translation", "text"]))
def test_rows_in_are_examples_plus_verdicts(tokenizer, conversations, task):
    """Protects the balance: every row gives an example or exactly one verdict, for any content and task."""
    rows = [chat(*turns, row_id=f"r{i}") for i, turns in enumerate(conversations)]
    made = make_examples(rows, tokenizer, Form(task, max_length=40))
    kept = {example.id.split("#")[0] for example in made.examples}
    lost = [row_id for row_id, _ in made.rejected]
    assert sorted(lost) == sorted({row.id for row in rows} - kept)
    assert sum(made.counts.values()) == len(lost)
    assert all(len(example) <= 40 for example in made.examples)


TURNS = [("user", "wide river?"), ("assistant", "old bridge"), ("user", "stone?"), ("assistant", "the water is here")]


def test_long_conversations_are_split_between_exchanges_when_asked(tokenizer):
    """Protects a long chat's answers: each part opens with the system turn, fits, and together they hold every answer once."""
    row = chat(("system", "and"), *TURNS, *TURNS, row_id="c")
    (whole,) = make_examples([row], tokenizer, Form(max_length=1000)).examples
    (one,) = make_examples([chat(("system", "and"), *TURNS)], tokenizer, Form(max_length=1000)).examples
    made = make_examples([row], tokenizer, Form(max_length=len(one) + 1, too_long="split"))
    assert [part.id for part in made.examples] == ["c#0", "c#1"] and made.split == ["c"] and not made.rejected
    assert "|".join(learned(part, tokenizer) for part in made.examples) == learned(whole, tokenizer)
    assert all(tokenizer.decode(part.input_ids).count("and") == 1 for part in made.examples)


def test_an_exchange_that_fits_nowhere_is_counted_apart(tokenizer):
    """Protects the counts: a lost exchange has its reason beside the parts that stay; when nothing stays the row is rejected."""
    long = [("user", "river " * 60), ("assistant", "old")]
    row = chat(*TURNS, *long, *TURNS, row_id="c")
    made = make_examples([row], tokenizer, Form(max_length=40, too_long="split"))
    assert made.counts == {"exchange_too_long": 1} and made.rejected[0][0] == "c#2" and len(made.examples) >= 2
    made = make_examples([chat(*long, row_id="d")], tokenizer, Form(max_length=20, too_long="split"))
    assert made.counts == {"too_long": 1} and not made.examples and not made.split


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(16, 80))
def test_splitting_loses_no_answer_in_silence(tokenizer, sizes, length):
    """Protects the law: each answer of a split conversation is learned once, or its exchange is listed."""
    turns = [
        turn for number, size in enumerate(sizes) for turn in (("user", "river"), ("assistant", f"{number} " + "old " * size))
    ]
    made = make_examples([chat(*turns, row_id="c")], tokenizer, Form(max_length=length, too_long="split"))
    answers = sum(learned(part, tokenizer).count("<|im_end|>") for part in made.examples)
    lost = sum(reason.startswith("exchange") for reason in (verdict.reason for _, verdict in made.rejected))
    assert answers + lost == len(sizes) or (made.counts == {"too_long": 1} and not answers)
    assert all(len(part) <= length for part in made.examples)


def test_the_line_break_is_learned_when_asked(tokenizer):
    """Protects the default: what follows the end of a turn is learned only with `newline`."""
    row = chat(*TURNS)
    chatml = copy.deepcopy(tokenizer)
    chatml.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    plain, more = (make_examples([row], chatml, Form(newline=newline)).examples[0] for newline in (False, True))
    assert learned(plain, chatml) == "old bridge<|im_end|>|the water is here<|im_end|>"
    assert learned(more, chatml) == "old bridge<|im_end|>\n|the water is here<|im_end|>\n"


def test_a_template_that_drops_earlier_thinking_gives_a_document_for_each_answer(tokenizer):
    """Protects reasoning chats: each answer is learned behind the history that the model will see, thinking and all."""
    copied = copy.deepcopy(tokenizer)
    copied.chat_template = (
        "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content.split('</think>')[-1] if not loop.last else m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    turns = [("user", "wide?"), ("assistant", "<think>a</think>old"), ("user", "stone?"), ("assistant", "<think>b</think>here")]
    made = make_examples([chat(*turns, row_id="c")], copied, Form())
    assert [learned(part, copied) for part in made.examples] == [
        f"<think>{x}</think>{y}<|im_end|>" for x, y in (("a", "old"), ("b", "here"))
    ]
    assert [part.id for part in made.examples] == ["c#0", "c#1"] and made.split == ["c"]
    assert "<think>a" not in copied.decode(made.examples[1].input_ids)
    longer = len(made.examples[1])
    assert len(made.examples[0]) < longer
    part = make_examples([chat(*turns, row_id="c")], copied, Form(max_length=longer - 1))
    assert [each.id for each in part.examples] == ["c#0"] and part.counts == {"exchange_too_long": 1}
    none = make_examples([chat(*turns, row_id="c")], copied, Form(max_length=4))
    assert [(name, verdict.reason) for name, verdict in none.rejected] == [("c", "too_long")] and not none.examples


def test_marks_without_a_name_are_special_too(tokenizer):
    """Protects against control tokens that a tokenizer has but does not name: they end a turn, and no message may hold one."""
    from tokenizers import AddedToken

    odd = copy.deepcopy(tokenizer)
    odd.add_tokens([AddedToken("<|end|>", special=True)])
    odd.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    assert "<|end|>" not in odd.all_special_tokens
    made = make_examples([chat(*TURNS), chat(("user", "a<|end|>b"), ("assistant", "old"), row_id="bad")], odd, Form())
    assert learned(made.examples[0], odd) == "old bridge<|end|>|the water is here<|end|>"
    assert [(name, verdict.reason) for name, verdict in made.rejected] == [("bad", "special_token")]


def test_pairs_among_chats_are_asked_with_the_prompt(tokenizer):
    """Protects mixes of bitext and instructions: no pair is lost to the task, and it reads as a translator's training does."""
    rows = [chat(*TURNS, row_id="c"), pair("river", "old", "p")]
    made = make_examples(rows, tokenizer, Form("chat", "translate: {text}"))
    (alone,) = make_examples(rows[1:], tokenizer, Form("translation", "translate: {text}")).examples
    assert [example.id for example in made.examples] == ["c", "p"] and not made.rejected
    assert made.examples[1].input_ids.tolist() == alone.input_ids.tolist() and learned(alone, tokenizer) == "old<|im_end|>"
    alone_text = Row("t", (Message("text", "old"),))
    assert make_examples([alone_text], tokenizer, Form("chat", "translate: {text}")).counts == {"no_assistant": 1}
