"""Adapters train alone, see no neighbour in a packed row, resume in the same bits, and end as one plain checkpoint."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from hala.errors import RecipeError
from hala.recipe_models import Lora
from hala.training import checkpoints, lora
from hala.training.loss import hidden_states, packed_loss
from hala.training.packing import collate
from hala.training.settings import TrainSettings
from hala.training.short_conv import leak_free
from hala.training.trainer import train

SMALL = TrainSettings(
    row_length=32,
    batch_tokens=128,
    micro_tokens=64,
    max_steps=12,
    save_steps=4,
    log_steps=2,
    learning_rate=2e-2,
    precision="float32",
    lora=Lora(rank=4, alpha=8, dropout=0.1),
)


def made(tiny, kind):
    """A tiny model whose random weights are large enough for differences to show."""
    if kind != "qwen3":
        return tiny.model(kind, spread=0.2)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=64, num_hidden_layers=2, **shape))


def wake(model):
    """Adapters that say something: B is zero at first."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)


@pytest.mark.parametrize(
    ("kind", "each"),
    [
        ("lfm2", {"in_proj", "out_proj", "q_proj", "k_proj", "v_proj", "w1", "w2", "w3"}),
        ("llama", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("qwen3", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("gemma2", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_all_linear_layers_of_the_blocks_are_adapted(tiny, kind, each):
    """Protects the default targets: every linear layer of every block has an adapter, head and embedding none."""
    model = made(tiny, kind)
    wanted = lora.linears(model)
    lora.attach(model, Lora(rank=4), seed=0)
    assert sorted(lora.adapted(model)) == sorted(wanted) and set(model.peft_config["default"].target_modules) == each
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * len(wanted) and all("lora_" in name for name in trained)


def test_targets_are_ends_of_names(tiny):
    """Protects a choice of layers: `conv.in_proj` means the convolutions', and a name without a layer lists what there is."""
    model = tiny.model()
    assert lora.targets(model, ("conv.in_proj", "q_proj")) == ["in_proj", "q_proj"]
    assert lora.targets(model, ("conv.out_proj",)) == ["model.layers.0.conv.out_proj", "model.layers.2.conv.out_proj"]
    assert lora.targets(model, ("layers.1.feed_forward.w1",)) == ["model.layers.1.feed_forward.w1"]
    for wrong in ("lm_head", "o_proj", "proj", "embed_tokens"):
        with pytest.raises(RecipeError, match=rf"called '{wrong}'.*in_proj, out_proj, w1, w3, w2, q_proj, k_proj, v_proj\."):
            lora.targets(model, ("q_proj", wrong))


@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2"])
def test_packed_documents_stay_apart(tiny, kind):
    """Protects packing under adapters: packed hidden states and gradients of adapters are those of documents alone."""
    model, docs = made(tiny, kind), tiny.documents([7, 11, 5])
    lora.attach(model, Lora(rank=4), seed=0)
    wake(model)
    model.eval()

    def gradients(batches):
        model.zero_grad()
        with leak_free(model):
            for batch in batches:
                packed_loss(model, batch)[0].backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])

    packed = collate([docs], 32, 0)
    alone = [collate([[doc]], len(doc), 0) for doc in docs]
    with leak_free(model), torch.no_grad():
        together = hidden_states(model, packed)[0, :23]
        apart = torch.cat([hidden_states(model, batch)[0] for batch in alone])
    assert (together - apart).abs().max() < 1e-4
    expected = gradients(alone)
    assert (gradients([packed]) - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)


def test_training_moves_the_adapters_alone(tiny, tmp_path):
    """Protects the frozen base and the memory: the loss falls, no base weight changes, AdamW holds adapters only."""
    model, docs = tiny.model(), tiny.documents([12] * 20)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = train(model, tiny.tokenizer, docs, replace(SMALL, max_steps=30), tmp_path)
    records = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert records[-1]["loss"] < records[0]["loss"] - 0.2
    for name, module in lora.adapted(model).items():
        assert torch.equal(module.base_layer.weight, before[f"{name}.weight"])
    assert torch.equal(model.model.embed_tokens.weight, before["model.embed_tokens.weight"])
    kept = checkpoints.newest(tmp_path / "checkpoints")
    weights, moments = load_file(kept / "model.safetensors"), load_file(kept / "optimizer.safetensors")
    assert all("lora_" in name for name in [*weights, *moments]) and len(weights) == 2 * len(lora.adapted(model))
    assert sum(tensor.numel() for tensor in weights.values()) == result.trained < 0.5 * sum(t.numel() for t in before.values())


@pytest.mark.parametrize("kind", ["lfm2", "llama", "gemma2"])
def test_adapter_on_the_base_is_the_merged_model(tiny, tmp_path, kind):
    """Protects both artefacts: peft itself loads the adapter onto the base and gives the logits of the merged checkpoint."""
    from peft import PeftModel

    model = made(tiny, kind)
    lora.attach(model, Lora(rank=4, alpha=8), seed=0)
    wake(model)
    model.eval()
    ids = torch.randint(3, 64, (2, 9))
    with torch.no_grad():
        adapted = model(input_ids=ids).logits
        lora.save_adapter(model, tmp_path / "adapter", "owner/base")
        lora.merge(model)
        merged = model(input_ids=ids).logits
        plain = made(tiny, kind).eval()
        loaded = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()(input_ids=ids).logits
    assert (loaded - merged).abs().max() < 2e-5 and (adapted - merged).abs().max() < 2e-5
    assert (merged - made(tiny, kind).eval()(input_ids=ids).logits).abs().max() > 0.1
    assert not lora.is_adapted(model) and all(parameter.requires_grad for parameter in model.parameters())
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "owner/base" and config["target_modules"] == sorted(config["target_modules"])


def test_stopped_and_resumed_ends_in_the_same_bits(tiny, tmp_path):
    """Protects resume with dropout: stopped in the middle, adapters and curve are those of a training that was not."""
    docs = tiny.documents([12] * 20)

    def stop(step, *_):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path / "stopped", stop)
    resumed = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path / "stopped")
    calm = train(tiny.model(), tiny.tokenizer, docs, SMALL, tmp_path / "calm")
    assert (resumed.resumed_from, calm.resumed_from) == (6, 0)
    assert all(torch.equal(a, b) for a, b in zip(resumed.model.parameters(), calm.model.parameters(), strict=True))
    assert (tmp_path / "stopped/curve.jsonl").read_bytes() == (tmp_path / "calm/curve.jsonl").read_bytes()
    for name in ("stopped", "calm"):
        model = resumed.model if name == "stopped" else calm.model
        lora.save_adapter(model, tmp_path / name / "adapter")
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "stopped/adapter" / file).read_bytes() == (tmp_path / "calm/adapter" / file).read_bytes()


def test_a_bfloat16_base_takes_half_the_memory(tiny, tmp_path):
    """Protects `base_dtype`: the frozen weights are bfloat16, the adapters float32, it learns, and the merge is in float32."""
    settings = replace(SMALL, max_steps=30, lora=Lora(rank=4, alpha=8, base_dtype="bfloat16"))
    result = train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), settings, tmp_path)
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in result.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    records = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert records[-1]["loss"] < records[0]["loss"] - 0.2
    rotary = tiny.model().model.rotary_emb.inv_freq
    assert torch.equal(result.model.model.rotary_emb.inv_freq, rotary)  # positions keep float32
    lora.merge(result.model)
    weight = result.model.model.layers[0].conv.in_proj.weight
    assert weight.dtype == torch.float32 and not torch.equal(weight, weight.bfloat16().float())


def test_checkpointed_activations_train_the_same(tiny, tmp_path):
    """Protects `gradient_checkpointing` under a frozen embedding: gradients reach every adapter, the losses stay the same."""
    ends = []
    for wanted in (False, True):
        settings = replace(SMALL, max_steps=4, gradient_checkpointing=wanted, lora=Lora(rank=4))
        result = train(tiny.model(), tiny.tokenizer, tiny.documents([12] * 20), settings, tmp_path / str(wanted))
        ends.append({name: p.detach() for name, p in result.model.named_parameters() if p.requires_grad})
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-5) for name in ends[0])
    assert all(tensor.abs().sum() > 0 for tensor in ends[1].values())
