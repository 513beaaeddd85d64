"""The rows behind `data`: earlier steps, files and the world, cut by skip and take, with every malformed row kept for people."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from hala import shards
from hala.data.readers import FORMATS, BadRow
from hala.data.rows import Collected, fingerprint, open_all, open_questions, open_rows
from hala.data.shapes import SHAPES
from hala.errors import InputError
from hala.recipe import Data
from hala.records import KEPT, Message, Row


def ids(data: Data, **inputs: Path) -> list[str]:
    """The ids of a source's rows."""
    return [row.id for row in open_rows(data, Collected(), inputs)]


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """A data step of ten rows in two shards."""
    rows = [(Row(f"r/{number}", (Message("user", str(number)),)), KEPT) for number in range(10)]
    shards.write_rows(tmp_path / "step/rows/000000.parquet", rows[:6])
    shards.write_rows(tmp_path / "step/rows/000001.parquet", rows[6:])
    return tmp_path / "step"


@pytest.mark.parametrize(
    ("skip", "take", "wanted"), [(0, None, range(10)), (4, 3, range(4, 7)), (8, 9, range(8, 10)), (20, 5, [])]
)
def test_part_of_a_step(step: Path, skip: int, take: int | None, wanted: range) -> None:
    """skip and take count rows over all shards."""
    assert ids(Data(ref="$s", skip=skip, take=take), s=step) == [f"r/{number}" for number in wanted]


def test_sources_come_one_after_the_other(step: Path, pairs_file: Path) -> None:
    """A list of sources is read in its order."""
    rows = list(open_all((Data(path=str(pairs_file), take=2), Data(ref="$s", take=1)), {"s": step}, Collected()))
    assert [row.id.partition("/")[0] for row in rows] == ["pairs", "pairs", "r"]


def test_weights_mix_sources(tmp_path: Path) -> None:
    """A weight says how often each row comes, the same rows every time; malformed rows count once however often they are met."""
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(f'{{"prompt": "a {n}", "response": "b {n}"}}\n' for n in range(400)) + '{"prompt": 5, "response": ""}\n'
    )
    counts = {}
    for weight in (0.25, 1.0, 2.0, 2.25):
        bad = Collected()
        found = [row.id for row in open_all([Data(path=str(file), weight=weight)], {}, bad)]
        assert found == [row.id for row in open_all([Data(path=str(file), weight=weight)], {}, Collected())]
        assert bad.count == 1
        counts[weight] = Counter(found)
    assert counts[1.0].total() == 400 and set(counts[2.0].values()) == {2} and counts[2.0].total() == 800
    assert 70 < counts[0.25].total() < 130 and set(counts[0.25].values()) == {1}
    assert counts[2.25] == counts[2.0] + counts[0.25]
    assert len(list(open_all([Data(world="pairs", take=5, weight=2)], {}, Collected()))) == 10


def test_steps_have_weights_too(step: Path) -> None:
    """A mix is mostly of earlier steps."""
    found = [row.id for row in open_all([Data(ref="$s", weight=3, take=2)], {"s": step}, Collected())]
    assert found == ["r/0", "r/1"] * 3


@pytest.mark.parametrize("world", ["pairs", "texts", "conversations"])
def test_parts_of_the_world_do_not_overlap(world: str) -> None:
    """`take: 5` and `skip: 5, take: 5` are the first ten, so two steps can share the world without sharing rows."""
    both = ids(Data(world=world, take=5)) + ids(Data(world=world, skip=5, take=5))  # type: ignore[arg-type]
    assert both == ids(Data(world=world, take=10)) and len(set(both)) == 10  # type: ignore[arg-type]


def test_questions_of_the_world_are_no_rows() -> None:
    """Questions named as rows are refused with the right place; under questions they are read."""
    with pytest.raises(InputError, match="questions:"):
        ids(Data(world="questions"))
    found = list(open_questions(Data(world="questions", split="heldout", lang="ar", take=3), Collected()))
    assert len(found) == 3 and all(0 <= question.answer < len(question.options) for question in found)


def test_fingerprint_follows_the_content(pairs_file: Path, tmp_path: Path) -> None:
    """A file's fingerprint is that of its bytes, not of its name; the world has its own."""
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(pairs_file.read_bytes())
    before = fingerprint(Data(path=str(pairs_file)))
    assert fingerprint(Data(path=str(copy))) == before
    copy.write_bytes(pairs_file.read_bytes() + b"\n")
    assert fingerprint(Data(path=str(copy))) != before
    assert fingerprint(Data(world="pairs")).startswith("world:")


def test_no_malformed_rows_no_file(tmp_path: Path) -> None:
    """A clean source leaves no empty file behind."""
    Collected().write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_keys_that_errors_advise_can_be_written(tmp_path: Path) -> None:
    """shape, format and header reach the reader: a nameless file of pairs whose first line is text."""
    (tmp_path / "pairs").write_text("source\ttarget\nHello\tمرحبا\n", encoding="utf-8")
    columns = {"source": "0", "target": "1"}
    data = Data(path=str(tmp_path / "pairs"), format="tsv", header=False, shape="pair", columns=columns)
    assert [row.messages[0].content for row in open_rows(data, Collected())] == ["target", "مرحبا"]
    with pytest.raises(InputError, match="format:"):
        ids(Data(path=str(tmp_path / "pairs")))


def test_recipes_know_every_shape_and_format() -> None:
    """What a recipe may name is what the readers can read."""
    for key, known in (("shape", SHAPES), ("format", set(FORMATS.values()))):
        choices = get_args(get_args(Data.model_fields[key].annotation)[0])
        assert set(choices) == set(known)


def test_records_without_their_group_are_malformed(tmp_path: Path) -> None:
    """A record that lacks the `holdout` column is in neither part: it could be in both."""
    path = tmp_path / "x.jsonl"
    records = [{"text": f"t{n}", "doc": f"d{n}"} for n in range(40)] + [{"text": "none"}, {"text": "null", "doc": None}]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    texts = []
    for split in ("train", "heldout"):
        bad = Collected()
        texts += [row.text for row in open_rows(Data(path=str(path), holdout="doc", holdout_share=0.3, split=split), bad)]
        assert [(each.reason, each.position) for each in bad.rows] == [("missing_field", 40), ("missing_field", 41)]
    assert sorted(texts) == sorted(f"t{n}" for n in range(40))


def test_questions_of_the_world_can_be_skipped() -> None:
    """`skip` and `take` cut the world's questions as they cut its rows."""
    first, rest = (
        [question.id for question in open_questions(Data(world="questions", **cut), Collected())]
        for cut in ({"take": 5}, {"skip": 3, "take": 2})
    )
    assert rest == first[3:]


def test_every_malformed_record_is_stored(tmp_path: Path) -> None:
    """Those beyond what memory keeps are in the file as well, in order; whoever goes through the list sees them all."""
    bad = Collected(keep=2)
    for number in range(5):
        bad(BadRow("a.jsonl", number, "nul", "x\ud800" if number > 3 else "x"))
    bad.store(BadRow("b.jsonl", 0, "nul"))
    bad.write(tmp_path)
    found = [json.loads(line) for line in (tmp_path / "malformed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert bad.count == 5 and len(bad.rows) == 2
    assert [(each["file"], each["position"]) for each in found] == [*(("a.jsonl", n) for n in range(5)), ("b.jsonl", 0)]
    assert [each.position for each in bad] == [0, 1, 2, 3, 4, 0]
    again = Collected(keep=1)
    again.read(tmp_path)
    assert again.count == 6 and [each.position for each in again] == [0, 1, 2, 3, 4, 0]
    Collected().write(tmp_path / "none")
    assert not (tmp_path / "none").exists()
