"""Shared small things: tiny real checkpoints made once per session, tiny data files, a tiny recipe, and the command line."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests share no translation memory with the user, nor with an earlier run of the tests.
os.environ["HALA_HOME"] = tempfile.mkdtemp(prefix="hala-tests-")

PAIRS = [
    ("The cat is in the house.", "القطة في البيت."),
    ("The book is on the table.", "الكتاب على الطاولة."),
    ("She drinks water in the morning.", "هي تشرب الماء في الصباح."),
    ("We travel to Cairo by train.", "نسافر إلى القاهرة بالقطار."),
    ("My father works in the city.", "أبي يعمل في المدينة."),
    ("The children read a long story.", "الأطفال يقرؤون قصة طويلة."),
    ("He bought bread and cheese.", "اشترى خبزا وجبنا."),
    ("The weather is warm today.", "الجو دافئ اليوم."),
]


def write_jsonl(path: Path, records: list[Any]) -> Path:
    """The file, one JSON value a line."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def save_tiny(path: Path, seed: int, task: str = "translation") -> Path:
    """A checkpoint of some ten thousand random weights with a real tokenizer and a hala.json."""
    from hala.training.tokenizer import train_tokenizer
    from hala.weights.loading import new_lfm2, save_model

    tokenizer = train_tokenizer([text for pair in PAIRS for text in pair], 320, max_length=256)
    model = new_lfm2(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_layers=2,
        ff_size=64,
        num_heads=2,
        kv_heads=1,
        max_positions=256,
        seed=seed,
        bos=tokenizer.bos_token_id,
        eos=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
    )
    about = {"task": task, "prompt": "{text}", "source": "en", "target": "ar", "licence": "CC0-1.0"}
    save_model(model, tokenizer, path, "float32", about)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LFM2 checkpoint."""
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model", 0)


@pytest.fixture(scope="session")
def tiny_child(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another checkpoint of the same shape, as if tuned."""
    return save_tiny(tmp_path_factory.mktemp("tiny") / "child", 1)


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """Sentence pairs as JSON lines with the columns en and ar."""
    return write_jsonl(tmp_path / "pairs.jsonl", [{"en": en, "ar": ar} for en, ar in PAIRS])


@pytest.fixture
def chats_file(tmp_path: Path) -> Path:
    """English chats as JSON lines."""
    chats = [
        {"messages": [{"role": "user", "content": f"{en} Why?"}, {"role": "assistant", "content": f"Because. {en}"}]}
        for en, _ in PAIRS
    ]
    return write_jsonl(tmp_path / "chats.jsonl", chats)


@pytest.fixture
def recipe_file(tmp_path: Path, pairs_file: Path, chats_file: Path) -> Path:
    """A recipe of two quick data steps without any model."""
    text = f"""name: small
languages: {{source: en, target: ar}}
steps:
  pairs:
    filter: {{data: {{path: "{pairs_file}"}}, shard_rows: 3, gates: none}}
  echoed:
    translate:
      data: {{path: "{chats_file}"}}
      engine: echo
      shard_rows: 3
"""
    path = tmp_path / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def hala(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs the command line in this process: the exit code and what it printed."""

    def call(*words: object) -> Answer:
        from hala.cli import main

        monkeypatch.setattr(sys, "argv", ["hala", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return Answer(int(code), captured.out, captured.err)

    return call
