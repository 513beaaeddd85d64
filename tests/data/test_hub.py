"""Data sets of the hub, against a stand-in that speaks its protocol: rows, revisions, configurations, and a hub that is busy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("datasets", reason="hub data sets need the package datasets")

from ..hub_server import commit_of, hub

# One process for all questions, since the client takes its address when it is imported.
ASK = """
import json, sys
from hala.data.rows import Collected, fingerprint, open_all
from hala.errors import InputError
from hala.recipe import Data

for given in json.loads(sys.argv[1]):
    bad = Collected()
    try:
        data = Data(**given)
        rows = [[row.id, row.licence, [m.content for m in row.messages], [m.content for m in row.original or ()]]
                for row in open_all((data,), {}, bad)]
        print(json.dumps({"rows": rows, "bad": [each.reason for each in bad.rows], "fingerprint": fingerprint(data)}))
    except InputError as error:
        print(json.dumps({"error": str(error)}))
"""


def ask(env: Mapping[str, str], *datas: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What comes of each data, in a process of its own that knows the stand-in as the hub."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(datas)], env=dict(env), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def lines(records: list[dict[str, Any]]) -> str:
    """The records as JSONL."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A hub with two data sets in the form of the real ones."""
    root = tmp_path_factory.mktemp("hub") / "sets"
    orca, opus = root / "Open-Orca/OpenOrca", root / "Helsinki-NLP/opus-100"
    (orca / "data").mkdir(parents=True)
    (orca / "README.md").write_text("---\nlicense: mit\n---\n")
    questions = [
        {"id": f"flan.{n}", "system_prompt": "", "question": f"What is {n} and {n}?", "response": str(2 * n)} for n in range(9)
    ]
    (orca / "data/train-0.jsonl").write_text(
        lines([*questions, {"id": "flan.9", "system_prompt": "", "question": "", "response": "x"}])
    )
    (opus / "ar-en").mkdir(parents=True)
    files = "\n".join(f"  - split: {split}\n    path: ar-en/{split}-0.parquet" for split in ("train", "test"))
    (opus / "README.md").write_text(f"---\nconfigs:\n- config_name: ar-en\n  data_files:\n{files}\n---\n")
    for split, text in (("train", "A house."), ("test", "A river.")):
        table = pa.table({"translation": [{"ar": "بيت." if split == "train" else "نهر.", "en": text}] * 2})
        pq.write_table(table, opus / f"ar-en/{split}-0.parquet")
    yield root


def test_rows_of_the_hub_are_those_of_a_local_copy(root: Path) -> None:
    """A known data set needs no columns, its commit is in the ids, and a copy on disk that is `like` it gives the same rows."""
    commit = commit_of(root / "Open-Orca/OpenOrca")
    copy = {"path": str(root / "Open-Orca/OpenOrca/data/train-0.jsonl"), "like": "openorca"}
    with hub(root) as (env, asked):
        streamed, pinned, local = ask(env, {"hub": "Open-Orca/OpenOrca"}, {"hub": "Open-Orca/OpenOrca", "revision": commit}, copy)
    assert len(streamed["rows"]) == 9 and streamed["bad"] == ["empty_field"] and streamed["fingerprint"].endswith(commit)
    assert streamed == pinned and any("resolve/" + commit in each for each in asked)
    assert [row[1:] for row in streamed["rows"]] == [row[1:] for row in local["rows"]] and local["bad"] == streamed["bad"]
    assert streamed["rows"][3][0].startswith(f"Open-Orca/OpenOrca@{commit[:8]}/3-") and streamed["rows"][3][1] == "mit"


def test_configurations_splits_and_parts(root: Path) -> None:
    """A configuration and a split are read alone; `skip` and `take` choose among the records."""
    opus = {"hub": "Helsinki-NLP/opus-100", "config": "ar-en"}
    with hub(root) as (env, _):
        train, test, part = ask(
            env, opus, opus | {"split": "test", "take": 1}, {"hub": "Open-Orca/OpenOrca", "skip": 2, "take": 3}
        )
    assert [row[2:] for row in train["rows"]] == [[["بيت."], ["A house."]]] * 2
    assert [row[2:] for row in test["rows"]] == [[["نهر."], ["A river."]]]
    assert [row[2][1] for row in part["rows"]] == ["4", "6", "8"]


def test_a_busy_hub_is_asked_again(root: Path, tmp_path: Path) -> None:
    """Answers that come late change no row."""
    with hub(root, fails=2) as (env, _):
        (found,) = ask({**env, "HF_HOME": str(tmp_path)}, {"hub": "Open-Orca/OpenOrca"})
    assert len(found["rows"]) == 9


def test_what_the_hub_lacks_is_said(root: Path) -> None:
    """An unknown data set, revision or split is an error in words, never a traceback."""
    missing: list[dict[str, Any]] = [
        {"hub": "nobody/nothing"},
        {"hub": "Open-Orca/OpenOrca", "revision": "f" * 40},
        {"hub": "Helsinki-NLP/opus-100", "config": "ar-en", "split": "validation"},
        {"hub": "Helsinki-NLP/opus-100", "config": "ar-fr"},
    ]
    with hub(root) as (env, _):
        found = ask(env, *missing)
    assert [list(each) for each in found] == [["error"]] * 4
    assert "nobody/nothing" in found[0]["error"] and "Check" in found[1]["error"] and "opus-100" in found[2]["error"]
