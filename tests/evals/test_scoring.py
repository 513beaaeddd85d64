"""The batched scorer against a naive one, and its independence of how the work is cut."""

import copy
import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.errors import EngineError, InputError
from hala.evals.benchmarks import ARABIC_MMLU, LATIN_LETTERS, Benchmark, Item
from hala.evals.profiles import PROFILES, render
from hala.evals.scoring import Answer, score, summarise, summarise_suite
from hala.records import Question

OPTIONS = [("القاهرة", "دمشق", "بغداد", "تونس"), ("3", "4 and a half", "five", "a much longer answer, indeed"), ("نعم", "لا")]
LABELS = ("أ", "ب", "ج", "د", "هـ")


def _items():
    items = []
    for number in range(9):
        options = OPTIONS[number % 3]
        text = "ما هي عاصمة مصر؟ " * (1 + number) if number % 2 else "How many? " * (1 + number)
        question = Question(f"q{number}", text.strip(), options, number % len(options), "ar")
        items.append(Item(question, "demo", f"s{number % 2}", "jsonl", LABELS[: len(options)]))
    five = Question("five", "اختر", ("واحد", "اثنان", "ثلاثة", "أربعة", "خمسة"), 4, "ar")
    return (*items, Item(five, "demo", "s1", "jsonl", LABELS))


def _naive(model, tokenizer, item, profile):
    """One forward over one unpadded sequence per option, full logits, nothing shared."""
    prompt = render(profile, item)
    if prompt.messages:
        turns = [{"role": "user", "content": prompt.messages[0].content}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        end = "<|im_end|>" if prompt.ends_turn else ""
        context = text if prompt.ends_turn else text.rstrip()
        pairs = [(context, text + option + end) for option in prompt.continuations]
    else:
        pairs = [(prompt.text, prompt.text + option) for option in prompt.continuations]
    sums = []
    for context, whole in pairs:
        start = len(tokenizer(context, add_special_tokens=not prompt.messages)["input_ids"])
        ids = tokenizer(whole, add_special_tokens=not prompt.messages)["input_ids"]
        if prompt.pairwise:
            ids = tokenizer(context.rstrip(), add_special_tokens=True)["input_ids"]
            start = len(ids)
            ids = ids + tokenizer(whole[len(context.rstrip()) :], add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), dim=-1)
        sums.append(sum(logprobs[place - 1, ids[place]].item() for place in range(start, len(ids))))
    return sums


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_equals_the_naive_scorer(loaded, name):
    """Shared rows, padding, batching and the hook on the output layer change no log-probability (float32, 1e-5)."""
    model, tokenizer = loaded
    for item, answer in zip(_items(), score(loaded, _items(), PROFILES[name]), strict=True):
        expected = _naive(model, tokenizer, item, PROFILES[name])
        assert answer.logprobs == pytest.approx(expected, abs=1e-5 * max(1, *map(abs, expected)))
        assert answer.id == item.question.id


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(10)), batch_tokens=st.sampled_from([1, 64, 300, 1000, 20_000]))
def test_batch_size_and_order_do_not_matter(loaded, order, batch_tokens):
    """The same items in any order and any batching give the same answers within float32 rounding."""
    items = _items()
    for name in ("oall-v2", "cloze"):
        base = {answer.id: answer for answer in score(loaded, items, PROFILES[name])}
        for answer in score(loaded, [items[place] for place in order], PROFILES[name], batch_tokens=batch_tokens):
            assert answer.logprobs == pytest.approx(base[answer.id].logprobs, rel=1e-5, abs=1e-5)
            assert answer.prediction == base[answer.id].prediction


@pytest.fixture(params=["trees", "rows"])
def way(request, monkeypatch):
    """Both layouts of a batch: trees, and the padded rows that unknown models get."""
    if request.param == "rows":
        monkeypatch.setattr("hala.evals.likelihood.takes_trees", lambda model: False)
    return request.param


def test_padded_rows_give_the_same(loaded, monkeypatch):
    """A model that takes no trees gets a row for each text, and the same log-probabilities."""
    expected = {name: score(loaded, _items(), PROFILES[name]) for name in PROFILES}
    monkeypatch.setattr("hala.evals.likelihood.takes_trees", lambda model: False)
    for name, answers in expected.items():
        for answer, other in zip(answers, score(loaded, _items(), PROFILES[name], batch_tokens=500), strict=True):
            assert other.logprobs == pytest.approx(answer.logprobs, rel=1e-5, abs=1e-5)
            assert (other.prediction, other.tokens) == (answer.prediction, answer.tokens)


def _places_computed(model, work):
    """How many places of how many rows the model computes meanwhile."""
    seen = []
    watch = model.get_input_embeddings().register_forward_hook(lambda _module, _args, out: seen.append(tuple(out.shape[:2])))
    work()
    watch.remove()
    return seen


def test_what_texts_share_is_computed_once(loaded):
    """Letters that differ in their last token cost one forward over the question; longer options add their own tokens only."""
    model, tokenizer = loaded
    item = _items()[1]
    digits = dataclasses.replace(item, labels=("1", "2", "3", "4"))
    prompt = len(tokenizer(render(PROFILES["oall-v2"], digits).text)["input_ids"])
    assert _places_computed(model, lambda: score(loaded, [digits], PROFILES["oall-v2"])) == [(1, prompt)]
    twin = dataclasses.replace(digits, question=dataclasses.replace(digits.question, id="twin", options=("3", "4", "5", "6")))
    ((_, both),) = _places_computed(model, lambda: score(loaded, [digits, twin], PROFILES["oall-v2"]))
    assert prompt < both < 2 * prompt
    answer = score(loaded, [item], PROFILES["cloze"])[0]
    ((rows, places),) = _places_computed(model, lambda: score(loaded, [item], PROFILES["cloze"]))
    alone = len(tokenizer(render(PROFILES["cloze"], item).messages[0].content)["input_ids"])
    assert rows == 1 and places < alone + 20 + sum(answer.tokens)


def test_norms(loaded):
    """char divides by the label's code points (two for هـ), token by the scored tokens, none by nothing."""
    item = _items()[-1]
    char = score(loaded, [item], PROFILES["oall-v2"])[0]
    assert char.scores[4] == pytest.approx(char.logprobs[4] / 2)
    assert char.scores[:4] == char.logprobs[:4]
    plain = score(loaded, [item], PROFILES["strict"])[0]
    assert plain.scores == plain.logprobs == char.logprobs
    cloze = score(loaded, [item], PROFILES["cloze"])[0]
    assert cloze.scores == pytest.approx([a / b for a, b in zip(cloze.logprobs, cloze.tokens, strict=True)])


def test_cloze_scores_the_end_of_turn_token(loaded):
    """An answer is the option and then silence: its tokens plus the end-of-turn token are scored."""
    _, tokenizer = loaded
    item = _items()[2]
    answer = score(loaded, [item], PROFILES["cloze"])[0]
    assert answer.tokens == tuple(len(tokenizer(one, add_special_tokens=False)["input_ids"]) + 1 for one in item.question.options)


def test_equal_options_tie_and_the_first_wins(loaded):
    """A tie is reported and decided as numpy's argmax would."""
    question = Question("tie", "Which?", ("same", "same"), 1)
    answer = score(loaded, [Item(question, "demo", "", "jsonl", ("A", "B"))], PROFILES["cloze"])[0]
    assert (answer.tied, answer.prediction, answer.correct) == (True, 0, False)


def test_long_prompts_lose_tokens_on_the_left_and_say_so(loaded, monkeypatch):
    """Truncation is counted, alike for all options, and equals scoring the shorter sequence."""
    model, tokenizer = loaded
    item = _items()[8]
    whole = len(tokenizer(render(PROFILES["strict"], item).text + "أ")["input_ids"])
    monkeypatch.setattr(model.config, "max_position_embeddings", 40)
    answer = score(loaded, [item], PROFILES["strict"])[0]
    assert answer.truncated >= whole - 40 > 0
    ids = tokenizer(render(PROFILES["strict"], item).text + "أ")["input_ids"][answer.truncated :]
    with torch.no_grad():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    tail = range(len(ids) - answer.tokens[0], len(ids))
    assert answer.logprobs[0] == pytest.approx(sum(logprobs[at - 1, ids[at]].item() for at in tail), abs=1e-4)
    monkeypatch.setattr(model.config, "max_position_embeddings", 3)
    with pytest.raises(InputError, match="does not fit"):
        score(loaded, [item], PROFILES["cloze"])


class _SmallDevice:
    """A model that refuses batches of more than `places`, as a full device would."""

    def __init__(self, model, places):
        self.model, self.places, self.refused = model, places, 0

    def eval(self):
        return self

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, input_ids, **rest):
        if input_ids.numel() > self.places:
            self.refused += 1
            raise torch.OutOfMemoryError("full")
        return self.model(input_ids=input_ids, **rest)


def test_out_of_memory_halves_and_continues(loaded, way):
    """A full device makes batches smaller, not answers different; a device too small for one prompt is an error."""
    model, tokenizer = loaded
    shapes = _places_computed(model, lambda: [score(loaded, [item], PROFILES["cloze"]) for item in _items()])
    largest = max(rows * places for rows, places in shapes)
    small = _SmallDevice(model, largest)
    answers = score((small, tokenizer), _items(), PROFILES["cloze"])
    assert small.refused > 0
    for answer, expected in zip(answers, score(loaded, _items(), PROFILES["cloze"]), strict=True):
        assert answer.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    with pytest.raises(EngineError, match="no memory for one prompt"):
        score((_SmallDevice(model, 0), tokenizer), _items()[:1], PROFILES["cloze"])


def test_output_layer_sees_only_what_is_needed(loaded):
    """Memory must not grow with prompt length times vocabulary, and the hook must be gone afterwards."""
    model, _ = loaded
    shapes = []
    watch = model.get_output_embeddings().register_forward_hook(lambda _module, _args, out: shapes.append(tuple(out.shape)))
    score(loaded, _items()[:4], PROFILES["strict"])
    watch.remove()
    assert sum(shape[1] for shape in shapes) <= 4 * 4
    assert model(torch.tensor([[1, 2, 3]])).logits.shape[:2] == (1, 3)


def test_a_model_built_to_prefer_an_option_scores_as_computed_by_hand(loaded, way):
    """With all hidden states alike, logits are what we put into the output layer, so every log-probability is known."""
    model, tokenizer = loaded
    model = copy.deepcopy(model)
    letters = [tokenizer(label, add_special_tokens=False)["input_ids"] for label in ("B", "A", "D", "C")]
    assert all(len(ids) == 1 for ids in letters)
    logits = torch.zeros(len(tokenizer))
    for ids, logit in zip(letters, (3.0, 2.0, 1.0, 0.0), strict=True):
        logits[ids[0]] = logit
    head = torch.nn.Linear(model.config.hidden_size, len(tokenizer))
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(logits)
    model.set_output_embeddings(head)
    questions = [Question(f"q{n}", f"What is {n}? " * (n + 1), ("w", "x", "y", "z"), n % 4) for n in range(8)]
    items = [Item(question, "demo", "", "jsonl", ("A", "B", "C", "D")) for question in questions]
    normaliser = math.log(len(tokenizer) - 4 + math.exp(3) + math.exp(2) + math.exp(1) + 1)
    for answer in score((model, tokenizer), items, PROFILES["strict"]):
        assert answer.logprobs == pytest.approx([2 - normaliser, 3 - normaliser, -normaliser, 1 - normaliser], abs=1e-5)
        assert answer.prediction == 1 and answer.correct == (answer.gold == 1)


def test_padding_side_does_not_matter(loaded, way):
    """A tokenizer that pads on the other side changes nothing."""
    model, tokenizer = loaded
    other = copy.deepcopy(tokenizer)
    other.padding_side = "left" if tokenizer.padding_side == "right" else "right"
    for name in ("oall-v2", "cloze", "lighteval-0.11"):
        assert score((model, other), _items(), PROFILES[name]) == score(loaded, _items(), PROFILES[name])


def test_what_is_known_is_not_computed_again(loaded):
    """Finished batches are told one by one; with them given, the rest alone is computed, to the same bits."""
    kept = {}
    limits = {"batch_tokens": 100}
    expected = score(loaded, _items(), PROFILES["cloze"], keep=kept.__setitem__, **limits)
    assert len(kept) > 2
    half = dict(list(kept.items())[: len(kept) // 2])
    more = {}
    assert score(loaded, _items(), PROFILES["cloze"], known=half, keep=more.__setitem__, **limits) == expected
    assert half | more == kept and not half.keys() & more.keys()


def test_missing_chat_template_says_what_to_do(loaded, monkeypatch):
    """A base model's tokenizer often has none; the way out is a plain profile."""
    monkeypatch.setattr(loaded[1], "chat_template", None)
    with pytest.raises(InputError, match="no chat template") as caught:
        score(loaded, _items()[:1], PROFILES["cloze"])
    assert "oall-v2" in caught.value.fix


def test_broken_models_do_not_get_a_score(loaded):
    """NaN compares as neither better nor worse and would silently predict the first option."""
    model, tokenizer = loaded
    weight = model.get_output_embeddings().weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    try:
        with pytest.raises(EngineError, match="NaN"):
            score((model, tokenizer), _items()[:1], PROFILES["strict"])
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def _own(name, average):
    return Benchmark(name, f"{name}.jsonl", ("",), "test", "jsonl", LATIN_LETTERS, average, "", "")


def _answers(*subsets):
    """(right, wrong) counts per subset as answers."""
    made = []
    for name, (right, wrong) in zip("ab", subsets, strict=False):
        for number in range(right + wrong):
            gold = 0 if number < right else 1
            made.append(Answer(f"{name}{number}", "own", name, gold, 0, (0.0, -1.0), (0.0, -1.0), (1, 1), False, 0))
    return made


def test_summary_has_macro_micro_and_subsets_in_points():
    """Both averages are always there, in points, and the headline follows the benchmark."""
    own = _own("own", "macro")
    scores = {one.name: one for one in summarise(own, PROFILES["cloze"], _answers((1, 1), (10, 0)))}
    assert list(scores) == ["own", "own.macro", "own.micro", "own/a", "own/b"]
    assert scores["own"].value == scores["own.macro"].value == pytest.approx(75)
    assert scores["own.micro"].value == pytest.approx(100 * 11 / 12)
    assert (scores["own/a"].value, scores["own/a"].n) == (50, 2)
    assert all(one.low <= one.value <= one.high for one in scores.values())
    assert "profile:cloze|style:cloze|chat:yes|norm:token|quirks:no" in scores["own"].signature
    hub = summarise(ARABIC_MMLU, PROFILES["oall-v2"], _answers((1, 1)))[0]
    assert "data:MBZUAI/ArabicMMLU@main|split:test" in hub.signature


def test_suite_is_the_mean_of_headlines():
    """The overall number weighs each benchmark once, whatever its size."""
    micro, macro = _own("one", "micro"), _own("two", "macro")
    overall = summarise_suite(
        "both", PROFILES["strict"], [(micro, _answers((1, 1), (10, 0))), (macro, _answers((1, 1), (10, 0)))]
    )
    assert overall.value == pytest.approx((100 * 11 / 12 + 75) / 2)
    assert "members:one@+two@|profile:strict" in overall.signature
