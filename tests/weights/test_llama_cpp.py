"""llama.cpp itself reads our files: the same tokens, the same greedy answers and close logits as transformers.

Needs llama-cpp-python, here or in the interpreter that HALA_LLAMA_CPP_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast

from hala.training.tokenizer import train_tokenizer
from hala.weights.gguf import export
from hala.weights.loading import save_model

from .conftest import SMALL, make_model, make_tokenizer  # the tiny models of all tests in this folder

NEW = 12
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


class Case(NamedTuple):
    """A saved model, and its prompts: texts, and whether the tokenizer adds its start token to them."""

    folder: Path
    model: Any
    tokenizer: Any
    texts: list[tuple[str, bool]]


def interpreter() -> str:
    """The Python that has llama-cpp-python; skips the test where there is none."""
    found = os.environ.get("HALA_LLAMA_CPP_PYTHON") or (sys.executable if importlib.util.find_spec("llama_cpp") else "")
    return found or pytest.skip("llama-cpp-python is not installed and HALA_LLAMA_CPP_PYTHON names no interpreter that has it")


def ask(file: Path, texts: list[tuple[str, bool]], new: int = 0) -> list[dict[str, Any]]:
    """What llama.cpp makes of the texts."""
    job = json.dumps({"model": str(file), "texts": texts, "new": new})
    runner = str(Path(__file__).with_name("llama_cpp_runner.py"))
    done = subprocess.run([interpreter(), runner], input=job, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def make_spaced_tokenizer(prefix: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer as converted from SentencePiece: spaces are characters, bytes the fallback, every way to a token is a merge."""
    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.train_from_iterator(
        [*(text for text in PROMPTS if "你" not in text), *(" " * count for count in range(2, 9))] * 3,
        trainers.BpeTrainer(vocab_size=700, special_tokens=special + byte_tokens, show_progress=False),
    )
    vocab = learner.get_vocab()
    learned = sorted((index, text) for text, index in vocab.items() if index >= len(special) + 256)
    halves = [(text[:cut], text[cut:]) for _, text in learned for cut in range(1, len(text))]
    merges = [(left, right) for left, right in halves if left in vocab and right in vocab]
    spaced = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    replace = normalizers.Replace(" ", "▁")
    spaced.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
    spaced.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    spaced.add_special_tokens(special)
    spaced.add_tokens([AddedToken(text, normalized=False) for text in ("▁▁", "\n\n")])
    spaced.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    template = (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
        "<start_of_turn>model\n"
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=spaced, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", chat_template=template
    )


def make_gemma(rows: int) -> Any:
    """A Gemma 2 whose sliding window is shorter than the prompts and whose norms are not the initial zeros."""
    torch.manual_seed(0)
    small = {**SMALL, "vocab_size": rows, "eos_token_id": 2}
    model = Gemma2ForCausalLM(Gemma2Config(**small, head_dim=16, query_pre_attn_scalar=16, sliding_window=8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    return model


def learn(model: Any, tokenizer: Any, texts: list[tuple[str, bool]]) -> None:
    """The model knows the texts, each said twice, by heart: its greedy choices have no near ties."""
    twice = [tokenizer(f"{text} {text}", add_special_tokens=add).input_ids[:96] for text, add in texts]
    longest = max(map(len, twice))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in twice])
    labels = torch.where(torch.arange(longest) < torch.tensor([[len(row)] for row in twice]), ids, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    model.train()
    for _ in range(60):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.fixture(scope="module", params=["lfm2", "llama", "gemma2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A tiny model that knows the prompts by heart; each architecture with another kind of tokenizer."""
    interpreter()
    kind = request.param
    if kind == "lfm2":
        tokenizer, model = train_tokenizer(PROMPTS * 3, 384), make_model("lfm2")
    elif kind == "llama":
        tokenizer, model = make_tokenizer(), make_model("llama")
    else:
        tokenizer = make_spaced_tokenizer()
        model = make_gemma(len(tokenizer) + 4)
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Say مرحبا!"}], tokenize=False, add_generation_prompt=True)
    texts = [*((text, True) for text in PROMPTS), (chat, False)]
    learn(model, tokenizer, texts)
    folder = tmp_path_factory.mktemp("learned") / kind
    save_model(model, tokenizer, folder, "float32")
    return Case(folder, model, tokenizer, texts)


@pytest.mark.parametrize(("quant", "tolerance"), [("f32", 1e-5), ("f16", 0.01), ("q8_0", 0.1)])
def test_llama_cpp_answers_like_transformers(case: Case, quant: str, tolerance: float, tmp_path: Path) -> None:
    """Twenty prompts get the same ids, the same greedy answers and logits within the rounding of the weights."""
    export(case.folder, tmp_path / "model.gguf", quant)  # type: ignore[arg-type]
    answers = ask(tmp_path / "model.gguf", case.texts, NEW)
    assert len(answers) == 20
    for (text, add), answer in zip(case.texts, answers, strict=True):
        ids = case.tokenizer(text, add_special_tokens=add).input_ids
        assert answer["ids"] == ids, text
        with torch.no_grad():
            expected = case.model(torch.tensor([ids])).logits[0].double()
            settings = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
            greedy = case.model.generate(torch.tensor([ids]), **settings)[0, len(ids) :].tolist()
        error = (torch.tensor(answer["logits"]).double() - expected).norm() / expected.norm()
        # llama.cpp looks Gemma's activation up in a table of f16.
        assert error <= tolerance + 0.005 * (case.folder.name == "gemma2"), text
        if quant != "q8_0":
            assert answer["greedy"] == greedy, text
