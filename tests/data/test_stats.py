"""What is said of a set of rows agrees with the rows."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hala import artifacts, shards
from hala.artifacts import Manifest
from hala.cli import app
from hala.data.readers import BadRow
from hala.data.rows import Collected
from hala.data.stats import MOST_NAMES, describe
from hala.records import KEPT, Message, Row, Verdict, rejected

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
ROWS = st.builds(
    lambda asked, answer, lang, source: Row("r", (Message("user", asked), Message("assistant", answer)), lang, source),
    TEXT, TEXT, st.sampled_from(["ar", "en", ""]), st.sampled_from("abc"),
)  # fmt: skip
VERDICTS = st.sampled_from([KEPT, KEPT, rejected("copy"), rejected("empty", "x")])


@given(st.lists(st.tuples(ROWS, VERDICTS), max_size=20))
def test_every_row_is_counted_once(judged: list[tuple[Row, Verdict]]) -> None:
    """Kept and rejected rows add up, and so do languages, sources, turns and characters of the kept ones."""
    found = describe(judged)
    kept = [row for row, verdict in judged if verdict.kept]
    assert found["rows"] == len(kept) == len(judged) - sum(found["rejected"].values())
    for name in ("languages", "sources", "licences", "turns"):
        assert sum(found[name].values()) == len(kept)
    assert sum(each["characters"] for each in found["lengths"].values()) == sum(
        len(m.content) for row in kept for m in row.messages
    )
    for each in found["lengths"].values():
        assert each["least"] <= each["10%"] <= each["median"] <= each["90%"] <= each["most"]


def test_quantiles_and_the_tail_of_names() -> None:
    """The median is a length that is there, and rare sources are added up instead of cut."""
    rows = [Row(str(i), (Message("user", "x" * i),), "en", f"s{i:03}") for i in range(1, 100)]
    found = describe((row, KEPT) for row in rows)
    assert (found["lengths"]["user"]["median"], found["lengths"]["user"]["most"]) == (50, 99)
    assert len(found["sources"]) == MOST_NAMES + 1 and found["sources"][f"{99 - MOST_NAMES} others"] == 99 - MOST_NAMES


def test_command_describes_steps_and_files(tmp_path: Path) -> None:
    """`hala stats` reads a step with what it rejected and what it cost, or a plain file with its broken rows."""
    row = Row("a", (Message("text", "مرحبا"),), "ar", "demo", "cc0-1.0", (Message("text", "Hello"),), {"ladder": "again"})
    shards.write_rows(tmp_path / "step/rows/000000.parquet", [(row, KEPT), (row, KEPT)])
    shards.write_rows(tmp_path / "step/rejected/000000.parquet", [(row, rejected("copy"))])
    timings = {"seconds": 1.5, "tokens_per_s": 70.0}
    artifacts.finish(tmp_path / "step", Manifest("step", "translate", "rows", {}, {}, "f", timings=timings))
    said = CliRunner().invoke(app, ["stats", str(tmp_path / "step")]).stdout
    assert "2 rows, 1 of them duplicates; 1 rejected" in said and "ar, with original" in said and "original text" in said
    assert "again" in said and "70.00" in said
    (tmp_path / "data.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt": 5, "response": "b"}\n')
    found = json.loads(CliRunner().invoke(app, ["stats", str(tmp_path / "data.jsonl"), "--json"]).stdout)
    assert found["rows"] == 1 and found["malformed"] == {"wrong_type": 1}


def test_notes_of_one_row_are_counted_together() -> None:
    """What was kept, which tools there are and which questions leaked is another thing in each row, and is no list of values."""
    rows = [
        Row(str(n), (Message("user", "a"),), notes={"kept": f"{n}", "tools": f"[{n}]", "leak": f"q{n}", "route": "x"})
        for n in range(3)
    ]
    assert describe((row, KEPT) for row in rows)["notes"] == {
        "kept": {"rows": 3}, "leak": {"rows": 3}, "route": {"x": 3}, "tools": {"rows": 3}
    }  # fmt: skip


def test_every_malformed_row_of_a_file_is_counted(tmp_path: Path) -> None:
    """However many rows of a file are broken, their number is told; only examples are limited."""
    (tmp_path / "data.jsonl").write_text('{"prompt": "a", "response": "b"}\n' + '{"prompt": 5, "response": "b"}\n' * 10_050)
    found = json.loads(CliRunner().invoke(app, ["stats", str(tmp_path / "data.jsonl"), "--json"]).stdout)
    assert found["rows"] == 1 and found["malformed"] == {"wrong_type": 10_050}


def test_malformed_records_of_a_step_are_counted(tmp_path: Path) -> None:
    """What a step could not read is told by reason, as for a file."""
    shards.write_rows(tmp_path / "step/rows/000000.parquet", [(Row("a", (Message("text", "x"),)), KEPT)])
    bad = Collected(keep=2)
    for reason in ("wrong_type", "wrong_type", "empty"):
        bad(BadRow("f.jsonl", 1, reason, "\udcff"))
    bad.write(tmp_path / "step")
    result = CliRunner().invoke(app, ["stats", str(tmp_path / "step"), "--json"])
    assert json.loads(result.stdout)["malformed"] == {"empty": 1, "wrong_type": 2}


def test_a_note_that_differs_in_each_row_takes_a_line() -> None:
    """Of a note the most frequent values are listed, of one with nearly as many values as rows only how many there are."""
    rows = [Row(str(n), (Message("user", "a"),), notes={"url": f"u{max(n, 3)}", "kind": f"k{n % 8}"}) for n in range(100)]
    notes = describe((row, KEPT) for row in rows)["notes"]
    assert notes["url"] == {"97 distinct values": 100}
    assert notes["kind"] == {"k0": 13, "k1": 13, "k2": 13, "k3": 13, "k4": 12, "3 others": 36}
