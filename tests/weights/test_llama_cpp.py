"""llama.cpp itself reads our files: the same tokens, the same greedy answers and close logits as transformers.

Needs llama-cpp-python, here or in the interpreter that HALA_LLAMA_CPP_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from hala.training.tokenizer import train_tokenizer
from hala.weights.gguf import export
from hala.weights.loading import new_lfm2, save_model

from .conftest import make_model, make_tokenizer
from .gguf_models import PROMPTS, make_gemma, make_spaced_tokenizer

NEW = 8


class Case(NamedTuple):
    """A saved model, its prompts (texts, and whether the tokenizer adds its start token), and what transformers makes of them."""

    folder: Path
    texts: list[tuple[str, bool]]
    ids: list[list[int]]
    logits: list[torch.Tensor]
    greedy: list[list[int]]


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
    ids = [tokenizer(text, add_special_tokens=add).input_ids for text, add in texts]
    settings = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        logits = [model(torch.tensor([each])).logits[0].double() for each in ids]
        greedy = [model.generate(torch.tensor([each]), **settings)[0, len(each) :].tolist() for each in ids]
    return Case(folder, texts, ids, logits, greedy)


@pytest.mark.parametrize(("quant", "tolerance"), [("f32", 1e-5), ("f16", 0.01), ("q8_0", 0.1)])
def test_llama_cpp_answers_like_transformers(case: Case, quant: str, tolerance: float, tmp_path: Path) -> None:
    """Twenty prompts get the same ids, the same greedy answers and logits within the rounding of the weights."""
    export(case.folder, tmp_path / "model.gguf", quant)  # type: ignore[arg-type]
    answers = ask(tmp_path / "model.gguf", case.texts, NEW)
    assert len(answers) == 20
    for (text, _), answer, *expected in zip(case.texts, answers, case.ids, case.logits, case.greedy, strict=True):
        ids, logits, greedy = expected
        assert answer["ids"] == ids, text
        error = (torch.tensor(answer["logits"]).double() - logits).norm() / logits.norm()
        # llama.cpp looks Gemma's activation up in a table of f16.
        assert error <= tolerance + 0.005 * (case.folder.name == "gemma2"), text
        if quant != "q8_0":
            assert answer["greedy"] == greedy, text


@pytest.mark.parametrize("prefix", ["", "always"])
def test_scores_cut_text_as_the_merges_do(prefix: str, tmp_path: Path) -> None:
    """Scores derived from the order of merges give transformers' tokens for any mixture of texts, spaces and special tokens."""
    tokenizer = make_spaced_tokenizer(prefix)
    save_model(make_gemma(len(tokenizer), num_hidden_layers=1), tokenizer, tmp_path / "model", "float32")
    export(tmp_path / "model", tmp_path / "model.gguf")
    chance = random.Random(0)
    parts = [*PROMPTS, *"ab يكَّ١3🚀é漢", " ", "  ", " " * 7, " " * 20, "\n", "\n\n", "\t", "a▁b", "<bos>", "<end_of_turn>"]
    texts = [("".join(chance.choices(parts, k=6)), True) for _ in range(300)]
    for (text, _), answer in zip(texts, ask(tmp_path / "model.gguf", texts), strict=True):
        assert answer["ids"] == tokenizer(text).input_ids, repr(text)


def test_a_byte_level_tokenizer_cuts_text_as_its_named_rule_does(tmp_path: Path) -> None:
    """Our own tokenizers give the same tokens in llama.cpp: diacritics, marks, digits, line ends, masks, special tokens."""
    tokenizer = train_tokenizer(PROMPTS * 3, 384)
    save_model(make_model("llama"), tokenizer, tmp_path / "model", "float32")
    export(tmp_path / "model", tmp_path / "model.gguf")
    chance = random.Random(0)
    parts = [*PROMPTS, *"ab'sيكَّ١3🚀é漢هِـ", " ", "  ", "\n", "\r\n", "\t", "⟦3⟧", "<|im_end|>", "\u0301", "'ll", "\u00a0"]
    texts = [("".join(chance.choices(parts, k=6)), True) for _ in range(300)]
    for (text, _), answer in zip(texts, ask(tmp_path / "model.gguf", texts), strict=True):
        assert answer["ids"] == tokenizer(text).input_ids, repr(text)


def test_llama_cpp_makes_four_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """q4_k_m comes from llama.cpp's own quantiser, the same bytes each time, and the model still answers nearly the same."""
    monkeypatch.setenv("HALA_LLAMA_CPP_PYTHON", interpreter())
    tokenizer = train_tokenizer(PROMPTS * 3, 384)
    shape = {"vocab_size": 384, "hidden_size": 256, "num_layers": 2, "ff_size": 256, "num_heads": 4, "kv_heads": 2}
    model = new_lfm2(**shape, max_positions=128, bos=1, eos=7)
    save_model(model, tokenizer, tmp_path / "model", "bfloat16")
    report = export(tmp_path / "model", tmp_path / "a.gguf", "q4_k_m")
    export(tmp_path / "model", tmp_path / "b.gguf", "q4_k_m")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert {tensor.type for tensor in report.tensors} == {"F32", "Q4_K", "Q6_K"}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.gguf", "b.gguf", "model"]
    ids = tokenizer(PROMPTS[5]).input_ids
    (answer,) = ask(tmp_path / "a.gguf", [(PROMPTS[5], True)], 1)
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].double()
    assert answer["ids"] == ids
    assert (torch.tensor(answer["logits"]).double() - expected).norm() <= 0.2 * expected.norm()
