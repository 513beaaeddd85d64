"""preview: what would be learned is marked, what would be lost is said, and nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Languages, Tune
from hala.verbs import Context
from hala.verbs.preview import preview


def shown(tmp_path: Path, base: Path, rows: list[dict[str, Any]], count: int = 9, **settings: Any) -> list[str]:
    """What preview says of chats."""
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    section = Tune(base="$base", data=str(file), **settings)
    context = Context("tune", tmp_path / "out", tmp_path, Languages(), {"base": base}, Progress(quiet=True))
    return list(preview(section, context, count, 1000, colour=False))


def chat(answer: str, question: str = "Where is the river?") -> dict[str, Any]:
    """A conversation of one exchange."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def test_learned_tokens_are_marked(tmp_path: Path, tiny: Path) -> None:
    """The answer and its end stand between the marks, the question before them, and the counts are those of the example."""
    text, summary = shown(tmp_path, tiny, [chat("Behind the old bridge.")], max_length=256)
    assert "⟪Behind the old bridge.<|im_end|>⟫" in text and "Where is the river?" in text.partition("⟪")[0]
    assert "1 rows read, 1 examples" in summary and "nothing would be lost or cut" in summary
    assert not (tmp_path / "out").exists()


def test_what_would_be_lost_is_said(tmp_path: Path, tiny: Path) -> None:
    """Too long, without an answer and malformed: each with its number, the first of them by name, the longest that stays too."""
    rows: list[dict[str, Any]] = [chat("Yes."), chat("No. " * 200), {"messages": "Hi."}, chat("It is here.")]
    *examples, summary = shown(tmp_path, tiny, rows, max_length=64)
    assert len(examples) == 2 and "3 rows read, 2 examples" in summary
    assert "lost: 1 too_long, first chats/1-" in summary and "tokens, more than 64)" in summary
    assert "lost: 1 malformed: wrong_type" in summary and "longest" in summary and "of at most 64" in summary


def test_examples_are_spread_over_the_rows(tmp_path: Path, tiny: Path) -> None:
    """Not only the first rows are shown, and no more than asked."""
    rows = [chat(f"Answer {n}.") for n in range(10)]
    first, last, _ = shown(tmp_path, tiny, rows, count=2, max_length=256)
    assert "example 1 of 10" in first and "example 6 of 10" in last
    assert len(shown(tmp_path, tiny, rows, count=0, max_length=256)) == 1
    assert "tune would refuse this" in shown(tmp_path, tiny, rows, count=0)[-1]  # 4,096 tokens are more than its positions


def test_split_rows_are_counted(tmp_path: Path, tiny: Path) -> None:
    """What `too_long: split` makes of a long chat can be seen."""
    turns = [turn for n in range(12) for turn in chat(f"Answer {n}.")["messages"]]
    summary = shown(tmp_path, tiny, [{"messages": turns}], max_length=128, too_long="split")[-1]
    assert "1 rows split" in summary and "nothing would be lost" in summary


def test_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    """Where the tokenizer would be trained first there is nothing to show, and the way out is named."""
    section = Tune(new={"hidden_size": 64}, data="x.jsonl")
    context = Context("tune", tmp_path, tmp_path, Languages(), {}, Progress(quiet=True))
    with pytest.raises(InputError, match=r"new\.tokenizer"):
        list(preview(section, context, 1, 1, colour=False))
