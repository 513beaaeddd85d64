"""A base is trained only where its packed loss is the loss of its own forward pass."""

import pytest
import torch
import transformers as t

from hala.errors import InputError
from hala.training import lora
from hala.training.loss import check_known, packed_loss
from hala.training.packing import collate
from hala.training.short_conv import leak_free
from hala.training.trainer import TrainSettings, train

PLAIN = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
GROUPED = PLAIN | {"num_key_value_heads": 2}
GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}


def spread(model):
    """Matrices and biases so large that every part of the network shows in the loss."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: t.Phi3ForCausalLM(t.Phi3Config(**GROUPED, sliding_window=5)),
        lambda: t.MistralForCausalLM(t.MistralConfig(**GROUPED, sliding_window=5)),
        lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**GROUPED)),
        lambda: t.Gemma3ForCausalLM(t.Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=5)),
        lambda: t.Cohere2ForCausalLM(t.Cohere2Config(**GROUPED, sliding_window=5)),
        lambda: t.GPT2LMHeadModel(t.GPT2Config(**GPT2)),
    ],
    ids=["phi3", "mistral", "qwen2", "gemma3", "cohere2", "gpt2"],
)
def test_windows_and_heads_of_other_families_are_kept(make, tiny):
    """Protects against losses of another network: packed equals alone, sliding windows without `layer_types` included."""
    model = spread(make()).eval()
    check_known(model)
    docs, own = tiny.documents([9, 11, 7]), 0.0
    with torch.no_grad(), leak_free(model):
        for doc in docs:
            logits = model(input_ids=torch.from_numpy(doc.input_ids).long()[None], use_cache=False).logits[0]
            labels = torch.from_numpy(doc.labels).long()
            own += float(torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="sum"))
        packed = float(packed_loss(model, collate([docs], 32, 0))[0])
    assert packed == pytest.approx(own, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: t.PhiForCausalLM(t.PhiConfig(**PLAIN)), "PhiForCausalLM makes its loss in a way that is not known"),
        (lambda: t.GraniteForCausalLM(t.GraniteConfig(**GROUPED, logits_scaling=8.0)), "GraniteForCausalLM makes its loss"),
        (
            lambda: t.BloomForCausalLM(t.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4)),
            "BloomForCausalLM cannot be",
        ),
    ],
    ids=["head with a bias", "scaled logits", "its own masks"],
)
def test_networks_that_packing_does_not_know_are_refused(make, said, tiny, tmp_path):
    """Protects against a silent wrong loss: a head's bias, scaled logits, or masks that the network makes itself."""
    with pytest.raises(InputError, match=said):
        train(
            spread(make()),
            tiny.tokenizer,
            tiny.documents([9, 11, 7] * 9),
            TrainSettings(row_length=32, batch_tokens=64),
            tmp_path,
        )


def test_a_network_without_a_list_of_layers_says_so(tiny, tmp_path):
    """Protects against an AttributeError: adapters and the compiler want `layers`, which GPT-2 calls otherwise."""
    model = t.GPT2LMHeadModel(t.GPT2Config(**GPT2))
    with pytest.raises(InputError, match="no list of layers to adapt"):
        lora.linears(model)
    settings = TrainSettings(row_length=32, batch_tokens=64, compile=True, precision="float32")
    with pytest.raises(InputError, match="no list of layers to compile"):
        train(model, tiny.tokenizer, tiny.documents([9, 11, 7] * 9), settings, tmp_path)
