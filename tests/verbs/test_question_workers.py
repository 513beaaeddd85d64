"""Several processes answer what one does, to the last bit, and say why they could not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hala.errors import HalaError
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.verbs import Context
from hala.verbs.evaluate import run
from hala.verbs.question_workers import FOLDER


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Questions of several lengths, so that there are several batches."""
    path = tmp_path / "questions.jsonl"
    lines = [
        {"question": f"What is {n} plus {'one and ' * (n % 7)}one?", "options": [str(n + k) for k in range(4)], "answer": 1}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def evaluate(out: Path, models: dict[str, Path], **settings: Any) -> tuple[dict[str, Any], str]:
    """The facts and the records of an evaluation."""
    section = Evaluate(models=[f"${name}" for name in models], dtype="float32", resamples=100, **settings)
    facts = run(section, Context("step", out, out.parent, Languages(), models, Progress(quiet=True))).facts
    return facts, (out / "records.jsonl").read_text(encoding="utf-8")


def test_two_processes_answer_as_one(tmp_path: Path, tiny: Path, tiny_child: Path, questions: Path) -> None:
    """Scores, log-probabilities and answers to moved options are the same bytes, and both workers did a part of them."""
    words: dict[str, Any] = {"questions": str(questions), "batch_tokens": 256, "shuffle_options": 1}
    models = {"base": tiny, "child": tiny_child}
    alone = evaluate(tmp_path / "alone", models, **words)
    shared = evaluate(tmp_path / "shared", models, processes=2, **words)
    assert alone == shared
    journals = {file.name: file.read_text() for file in tmp_path.rglob("answers/*.jsonl")}
    for rank in (0, 1):  # two models, two orders of the options
        assert sum(f".worker{rank}." in name and bool(text) for name, text in journals.items()) == 4


def test_a_worker_that_fails_says_why(tmp_path: Path, tiny: Path, questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker cannot do is the step's own error, in its words."""
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    monkeypatch.setattr("hala.verbs.evaluate.model_digest", lambda where: "none")
    with pytest.raises(HalaError, match="broken") as caught:
        evaluate(tmp_path / "out", {"broken": broken}, questions=str(questions), processes=2)
    assert "log has its last words" not in str(caught.value)
    assert [*tmp_path.rglob(f"{FOLDER}/error-*.json")]
