"""Texts laid flat as a tree against each text alone, in every architecture that is said to take trees."""

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from hala.evals import trees
from hala.evals.likelihood import log_probabilities
from hala.evals.profiles import Prompt

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=8)


@given(TEXTS)
def test_each_text_is_a_path(texts):
    """Tokens, depths, parents and ends of a tree say what its texts are, however they were put in."""
    tree = trees.Tree()
    grown = tree.growth(texts)
    paths = [list(tree.add(text)) for text in texts]
    assert len(tree.ids) == grown <= sum(map(len, texts))
    ends = [end or len(tree.ids) for end in tree.ends]
    for text, path in zip(texts, paths, strict=True):
        assert [tree.ids[place] for place in path] == text
        assert [tree.depths[place] for place in path] == list(range(len(text)))
        assert [tree.parents[place] for place in path] == [-1, *path[:-1]]
        for depth, place in enumerate(path):
            assert [seen for seen in range(place + 1) if place < ends[seen]] == path[: depth + 1]


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_beginning(a, b):
    """Bisection finds what comparing one by one does."""
    expected = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert trees.common(a, b) == expected


def _tiny(kind):
    """A random float32 model of two layers; a window of 5 where there are windows."""
    shape = {
        "vocab_size": 400, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    more = {
        "gemma2": {"sliding_window": 5, "final_logit_softcapping": 0.5, "attn_logit_softcapping": 5.0},
        "gemma3_text": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
        "lfm2": {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "conv_bias": True},
        "lfm2_moe": {
            "num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "moe_intermediate_size": 16,
            "num_experts": 4, "num_experts_per_tok": 2, "num_dense_layers": 1,
        },
        "mistral": {"sliding_window": 5},
        "qwen2": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    }  # fmt: skip
    if kind == "lfm2_moe":
        del shape["head_dim"]
    config = transformers.AutoConfig.for_model(kind, **(shape | more.get(kind, {})))
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager" if kind == "gemma2" else "sdpa")
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3) if weight.dim() > 1 else weight.add_(torch.randn_like(weight) * 0.1)
    return model.float().eval()


PROMPTS = [
    Prompt(text, (), options, "none", False)
    for text, options in (
        ("What is the capital of Egypt? Answer:", (" Cairo is it", " Cairo", " Amman", " a town by the Nile")),
        ("What is the capital of Yemen? Answer:", (" A", " B", " C", " D")),
        ("What is it", ("?", " then")),
    )
]


@pytest.mark.parametrize("stretch", [5, 64])
@pytest.mark.parametrize("kind", trees.KNOWN)
def test_a_tree_equals_each_text_alone(kind, stretch, tokenizer, monkeypatch):
    """Masks, positions and convolutions of a tree give what padded rows give, with windows and capped scores too, wherever
    attention cuts the row."""
    monkeypatch.setattr("hala.evals.trees.STRETCH", stretch)
    monkeypatch.setattr("hala.evals.trees.PART", stretch)
    model = _tiny(kind)
    assert trees.takes_trees(model)
    found = log_probabilities((model, tokenizer), PROMPTS)
    monkeypatch.setattr("hala.evals.likelihood.takes_trees", lambda model: False)
    for each, prompt in zip(found, PROMPTS, strict=True):
        (alone,) = log_probabilities((model, tokenizer), [prompt], batch_tokens=1)
        assert each.logprobs == pytest.approx(alone.logprobs, rel=1e-5, abs=1e-4)
        assert each.tokens == alone.tokens


def test_stretches_leave_out_what_nobody_sees(tokenizer, monkeypatch):
    """Attention of a long row is shown fewer keys than the row has."""
    monkeypatch.setattr("hala.evals.trees.STRETCH", 5)
    shown = []
    stock = torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, *args, **settings):
        shown.append((query.shape[2], key.shape[2]))
        return stock(query, key, *args, **settings)

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", spy)
    log_probabilities((_tiny("lfm2"), tokenizer), PROMPTS)
    length = sum(queries for queries, _ in shown)
    assert {queries for queries, _ in shown[:-1]} == {5}
    assert sum(queries * keys for queries, keys in shown) < 0.7 * length**2


def test_padding_beside_a_tree_changes_nothing(tokenizer, monkeypatch):
    """Rows of a batch need not be equally long."""
    model = _tiny("lfm2")
    expected = log_probabilities((model, tokenizer), PROMPTS)
    monkeypatch.setattr("hala.evals.likelihood._limits", lambda model, tokens: (10_000, 60))
    shapes = []
    model.get_input_embeddings().register_forward_hook(lambda _module, _args, out: shapes.append(tuple(out.shape[:2])))
    for each, other in zip(log_probabilities((model, tokenizer), PROMPTS), expected, strict=True):
        assert each.logprobs == pytest.approx(other.logprobs, rel=1e-5, abs=1e-5)
    assert len(shapes) == 1 and shapes[0][0] > 1


def test_the_model_is_left_as_it_was(tokenizer):
    """Afterwards the convolutions are the class's own, and the output layer sees everything again."""
    model = _tiny("lfm2")
    log_probabilities((model, tokenizer), PROMPTS)
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert model.config._attn_implementation == "sdpa"
    assert model(torch.tensor([[1, 2, 3]])).logits.shape[:2] == (1, 3)


def test_unknown_models_take_no_trees():
    """A model whose masks or layers nobody has looked at is asked in padded rows."""
    model = _tiny("llama")
    model.config._attn_implementation = "flash_attention_2"
    assert not trees.takes_trees(model)
    other = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2))
    assert not trees.takes_trees(other)
