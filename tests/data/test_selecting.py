"""Which records of a source are taken: by value, up to an end, and never in silence where a name is nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hala.data import sources
from hala.data.rows import Collected, open_rows
from hala.data.selecting import equals
from hala.data.sources import BadRow, SourceSpec, open_source
from hala.errors import InputError
from hala.recipe import Data

OWN: dict[str, Any] = {"id": "a", "messages": [{"role": "text", "content": "a"}], "lang": "en", "source": "s", "licence": "mit"}
OWN |= {"original": None, "notes": {}}


def write(path: Path, *records: Any) -> str:
    """A file with one record a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("value", "fitting", "others"),
    [
        (True, [True, "true", "True"], [False, "yes", 1, None, ""]),
        (1.0, [1, 1.0, "1", "1.0"], ["01x", True, None, ""]),
        (3, [3, 3.0, "3"], [4, "three"]),
        (None, [None, "None", "null"], ["", 0, False]),
        ("true", [True, "true"], ["True", False]),
        ("2.50", [2.5, "2.50"], ["2.5"]),
        ("HT", ["HT"], ["ht", None]),
        ("", [""], [None, 0]),
    ],
)
def test_values_are_compared_by_what_they_are(value: Any, fitting: list[Any], others: list[Any]) -> None:
    """Numbers, truth and null of JSON and of YAML are the same; text is compared letter by letter."""
    assert [equals(value, each) for each in fitting] == [True] * len(fitting)
    assert [equals(value, each) for each in others] == [False] * len(others)


def test_a_recipe_names_values_of_any_kind(tmp_path: Path) -> None:
    """Truth, numbers and null stand in `where` as YAML writes them, alone or in a list."""
    path = write(
        tmp_path / "x.jsonl", *({"text": f"t{n}", "good": n % 2 == 0, "level": float(n)} for n in range(6)), {"text": "t6"}
    )
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"good": True}, ["t0", "t2", "t4"]),
        ({"good": True, "level": [2, 4, 5]}, ["t2", "t4"]),
        ({"level": None}, ["t6"]),
    ]
    for where, found in cases:
        assert [row.text for row in open_rows(Data(path=path, where=where), Collected())] == found


def test_names_that_are_nowhere_are_errors(tmp_path: Path) -> None:
    """A column of `where` or `keep` that no record has is named, with those that there are."""
    path = write(tmp_path / "x.jsonl", {"text": "a", "kind": "b"}, {"text": "c"})
    for spec in (SourceSpec(path=path, where={"knid": "b"}), SourceSpec(path=path, keep=("kind", "knid"))):
        with pytest.raises(InputError, match=r"knid.*Columns found: kind, text"):
            list(open_source(spec, print))


def test_reading_ends_with_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `where` and `take` nothing is read behind the last record that is wanted: the rest may be a whole data set."""
    read = []

    def records(*_: object) -> Any:
        for number in range(1000):
            read.append(number)
            yield {"text": f"t{number}", "kind": "odd" if number % 2 else "even"}

    monkeypatch.setattr(sources, "hub_records", records)
    spec = SourceSpec(hub="a/b", revision="0" * 40, where={"kind": "odd"}, skip=1, take=2)
    assert [row.text for row in open_source(spec, print)] == ["t3", "t5"] and len(read) == 6


def test_places_are_those_in_the_file(tmp_path: Path) -> None:
    """A bad record of a folder is listed with its place in its own file, whoever finds it; ids count through the folder."""
    write(tmp_path / "1.jsonl", {"text": "a"}, {"text": "b"}, {"text": ""})
    (tmp_path / "2.jsonl").write_text('{"text": ""}\n{\n{"text": "c"}\n')
    bad: list[BadRow] = []
    rows = list(open_source(SourceSpec(path=str(tmp_path), name="set"), bad.append))
    assert [(Path(each.file).name, each.position, each.reason) for each in bad] == [
        ("1.jsonl", 2, "empty_field"),
        ("2.jsonl", 0, "empty_field"),
        ("2.jsonl", 1, "bad_json"),
    ]
    assert [row.id.partition("-")[0] for row in rows] == ["set/0", "set/1", "set/5"]


def test_the_odd_file_of_a_folder_is_named(tmp_path: Path) -> None:
    """Whoever is told that too much is bad is told in which file, and what the first one looks like."""
    write(tmp_path / "1.jsonl", *[{"text": "a"}] * 600)
    write(tmp_path / "2.jsonl", *[{"foo": "a"}] * 900)
    with pytest.raises(InputError, match=r"601 of them are in .*2\.jsonl.*record 0 \(unknown_shape\).*foo"):
        list(open_source(SourceSpec(path=str(tmp_path), stop_above=0.5), lambda bad: None))


@pytest.mark.parametrize("key", [{"licence": "mit"}, {"lang": "ar"}, {"keep": ["source"]}, {"columns": {"text": "id"}}])
def test_settings_do_nothing_for_rows_that_hala_wrote(key: dict[str, Any], tmp_path: Path) -> None:
    """Each of them says its own language, licence and notes; another word for it is refused, not dropped."""
    path = write(tmp_path / "x.jsonl", OWN)
    with pytest.raises(InputError, match=f"{next(iter(key))} does nothing for .*x.jsonl"):
        list(open_rows(Data(path=path, **key), Collected()))
