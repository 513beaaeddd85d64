"""Whether hala asks what lighteval asks: prompts and token ids of both for the same rows, compared one by one.

    python benchmarks/lighteval_check.py --data FOLDER --tokenizer CHECKPOINT [CHECKPOINT ...]

Runs where lighteval 0.11 to 0.13 is installed (PYTHONPATH=src) and writes benchmarks/results/lighteval.json. The rows are EXAMS
and the translated MMLU of the data folder, and rows written here in the form of the other benchmarks.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from record import RESULTS, machine
from transformers import AutoTokenizer

from hala.evals.benchmarks import BENCHMARKS, Item, read
from hala.evals.encoding import encode
from hala.evals.profiles import PROFILES, render

NUMBERED = {"Question": "أي مما يلي طائر؟", "Option 1": "القط", "Option 2": None, "Option 3": "الصقر", "Option 4": "الحوت",
            "Option 5": "النمر", "Answer Key": "C", "Context": "نص عن الحيوان.\nسطر ثان ", "Subject": "Biology"}  # fmt: skip
WRITTEN: dict[str, list[dict[str, Any]]] = {
    "arabic_mmlu": [NUMBERED, NUMBERED | {"Context": None, "Question": " ما لون السماء؟ "}],
    "madinah_qa": [NUMBERED, NUMBERED | {"Context": None}, NUMBERED | {"Option 2": "البطة", "Answer Key": "B"}],
    "aratrust": [{"Question": "هل تشارك كلمة السر؟", "A": "أ) نعم", "B": "ب) لا", "C": "ج) أحيانا", "Answer": "ب"}],
    "alghafa": [
        {"query": "الخدمة ممتازة", "sol1": "سلبي", "sol2": "إيجابي", "label": "1"},
        {"query": "أين يقع النيل؟\n", "sol1": "آسيا", "sol2": "أفريقيا", "sol3": "أوروبا", "sol4": "لا أعرف", "label": "1"},
    ],
    "arbmmlu_ht": [{"question": "كم يساوي 2 + 2؟", "choices": ["2", "3", "4", "5"], "answer": 2}],
}


def rows_of(data: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by benchmark, in its own columns."""
    rows = {name: list(each) for name, each in WRITTEN.items()}
    text = (data / "exams_ar" / "exam_test.jsonl").read_text(encoding="utf-8")
    rows["exams"] = [json.loads(line) | {"subject": "Social_Studies"} for line in text.splitlines()]
    for path in sorted((data / "arabic_mmlu_translated").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for cells in csv.reader(file):
                if len(cells) == 6 and cells[5] in "ABCD" and all(cell.strip() for cell in cells[:5]):
                    rows["arbmmlu_ht"].append({"question": cells[0], "choices": cells[1:5], "answer": "ABCD".index(cells[5])})
    return rows


def theirs(name: str, row: dict[str, Any]) -> Any:
    """lighteval's own document for a row."""
    from lighteval.tasks.multilingual.tasks import arabic

    function = {
        "arabic_mmlu": arabic.arabic_mmlu_pfn,
        "madinah_qa": arabic.madinah_qa_pfn,
        "aratrust": arabic.aratrust_pfn,
        "alghafa": arabic.alghafa_pfn,
        "arbmmlu_ht": arabic.arabic_mmlu_ht_pfn,
        "exams": arabic.arabic_exams_pfn,
    }[name]
    return function(dict(row), name)


def encoded(tokenizer: Any, text: str, choices: list[str]) -> list[list[int]]:
    """lighteval's token ids of the prompt with each choice."""
    from lighteval.models.abstract_model import LightevalModel

    model = SimpleNamespace(tokenizer=tokenizer, add_special_tokens=True)
    model.tok_encode = lambda *args, **kwargs: LightevalModel.tok_encode(model, *args, **kwargs)
    contexts, options = LightevalModel.tok_encode_pair(model, text, choices, pairwise=True)
    return [list(context) + list(option) for context, option in zip(contexts, options, strict=True)]


def compare(tokenizer: Any, items: list[tuple[Item, Any]], chat: bool) -> dict[str, Any]:
    """How many prompts, golds and token ids are equal, and the first that is not."""
    from lighteval.tasks.prompt_manager import PromptManager

    manager = PromptManager(use_chat_template=chat, tokenizer=tokenizer)
    profile = PROFILES["lighteval-0.11-chat" if chat else "lighteval-0.11"]
    prompts = [render(profile, item) for item, _ in items]
    found: dict[str, Any] = {"rows": len(items), "prompts": 0, "gold": 0, "token_ids": 0, "first_difference": ""}
    digest = hashlib.sha256()
    for (item, doc), prompt, ours in zip(items, prompts, encode(tokenizer, prompts, 1 << 30), strict=True):
        text = manager.prepare_prompt(doc)
        mine = prompt.text
        if prompt.messages:
            turns = [{"role": each.role, "content": each.content} for each in prompt.messages]
            mine = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        same_ids = encoded(tokenizer, text, doc.choices) == ours.ids
        gold = doc.gold_index if isinstance(doc.gold_index, int) else doc.gold_index[0]
        found["prompts"] += mine == text
        found["gold"] += gold == item.question.answer
        found["token_ids"] += same_ids
        digest.update(mine.encode())
        if not found["first_difference"] and not (mine == text and same_ids):
            found["first_difference"] = f"{item.question.id}: {text!r} | {mine!r}"
    return found | {"prompts_sha256": digest.hexdigest()}


def main() -> None:
    """Compare every benchmark under every tokenizer and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokenizer", nargs="+", required=True)
    settings = parser.parse_args()
    result: dict[str, Any] = {"lighteval": version("lighteval"), "transformers": version("transformers"), "machine": machine()}
    rows = rows_of(settings.data)
    for place in settings.tokenizer:
        tokenizer = AutoTokenizer.from_pretrained(place)
        for name, each in rows.items():
            benchmark = BENCHMARKS[name]
            subset = benchmark.subsets[0]
            reading = read(benchmark, lambda _, asked, each=each, subset=subset: each if asked == subset else [])  # type: ignore[misc]
            kept = [each[int(item.question.id.rpartition("/")[2])] for item in reading.items]
            items = [(item, theirs(name, row)) for item, row in zip(reading.items, kept, strict=True)]
            for chat in (False, True):
                found = compare(tokenizer, items, chat)
                result.setdefault(Path(place).name, {})[f"{name}{' chat' if chat else ''}"] = found
                print(
                    Path(place).name, name, "chat" if chat else "plain", {k: v for k, v in found.items() if k != "prompts_sha256"}
                )
    (RESULTS / "lighteval.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
