"""Which columns of a pair are read, in which direction: those of the work's languages, whatever else the records hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hala import pipeline, shards
from hala.data.rows import Collected, open_all, open_rows
from hala.data.sources import SourceSpec, open_source
from hala.errors import InputError
from hala.recipe import Data, Languages


def found(path: Path, record: dict[str, Any], *languages: str) -> tuple[str, str, str]:
    """Source, target and language that a record is read as."""
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    wanted = Languages(source=languages[0], target=languages[1]) if languages else None
    [row] = open_rows(Data(path=str(path)), Collected(), {}, wanted)
    assert row.original is not None
    return row.original[0].content, row.text, row.lang


@pytest.mark.parametrize(
    ("names", "languages", "read"),
    [
        (("en", "ar"), (), ("en", "ar")),
        (("en", "ar"), ("en", "ar"), ("en", "ar")),
        (("en", "ar"), ("ar", "en"), ("ar", "en")),
        (("ar", "hi"), ("hi", "ar"), ("hi", "ar")),
        (("ar", "hi"), ("ar", "hi"), ("ar", "hi")),
        (("en", "fr"), ("en", "fr"), ("en", "fr")),
        (("en", "fa"), ("fa", "en"), ("fa", "en")),
        (("en", "fr"), (), ("en", "fr")),
        (("de", "fr"), (), ("de", "fr")),
        (("en", "hi"), ("en", "ar"), ("en", "hi")),
        (("ar", "en", "fr"), ("en", "fr"), ("en", "fr")),
        (("en", "ar", "fr"), (), ("en", "ar")),
        (("id", "en"), ("en", "id"), ("en", "id")),
        (("English", "Arabic"), (), ("English", "Arabic")),
        (("Arabic", "English"), ("ar", "en"), ("Arabic", "English")),
    ],
)
def test_languages_choose_columns_and_direction(
    names: tuple[str, ...], languages: tuple[str, ...], read: tuple[str, str], tmp_path: Path
) -> None:
    """The step's languages decide; without them English, else the first, is the source; in `translation` as well."""
    record = {name: f"text in {name}" for name in names}
    code = {"Arabic": "ar", "English": "en"}.get(read[1], read[1])
    wanted = (f"text in {read[0]}", f"text in {read[1]}", code)
    assert found(tmp_path / "x.jsonl", record, *languages) == wanted
    if "English" not in names:
        assert found(tmp_path / "y.jsonl", {"translation": record}, *languages) == wanted


def test_a_stated_language_is_the_target(tmp_path: Path) -> None:
    """`lang` of the data stands above the languages of the step."""
    (tmp_path / "x.jsonl").write_text('{"en": "a", "ar": "b"}\n')
    [row] = open_rows(Data(path=str(tmp_path / "x.jsonl"), lang="en"), Collected(), {}, Languages())
    assert row.text == "a" and row.lang == "en"


def test_an_id_is_no_indonesian(tmp_path: Path) -> None:
    """Names that are codes as well are languages only for those who ask for them."""
    (tmp_path / "x.jsonl").write_text('{"id": "1", "en": "a"}\n{"id": "1", "it": "no Italian", "text": "b"}\n')
    assert [row.text for row in open_rows(Data(path=str(tmp_path / "x.jsonl")), Collected())] == ["b"]


def test_verbs_hand_their_languages_on(tmp_path: Path) -> None:
    """A step with `--from ar --to en` keeps pairs of that direction."""
    (tmp_path / "x.jsonl").write_text('{"en": "A house.", "ar": "بيت."}\n', encoding="utf-8")
    languages: dict[str, Any] = {"source": "ar", "target": "en"}
    data = str(tmp_path / "x.jsonl")
    pipeline.run_verb("filter", {"data": data, "gates": "none", "near": 0.8}, tmp_path / "out", None, languages)
    [row] = shards.read_rows(tmp_path / "out")
    assert row.text == "A house." and row.lang == "en"
    assert [row.lang for row in open_all((Data(path=data, weight=2),), {}, Collected(), Languages(**languages))] == ["en"] * 2


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        ({"Instruction": "a", "Output": "b"}, ["a", "b"]),
        ({"Question": "a", "ANSWER": "b"}, ["a", "b"]),
        ({"Text": "a"}, ["a"]),
    ],
)
def test_case_of_names_does_not_matter(record: dict[str, str], turns: list[str], tmp_path: Path) -> None:
    """Capital letters in names are no other shape, in records as in the header of a table."""
    (tmp_path / "x.jsonl").write_text(json.dumps(record) + "\n")
    (tmp_path / "x.csv").write_text(",".join(record) + "\n" + ",".join(record.values()) + "\n")
    for name in ("x.jsonl", "x.csv"):
        [row] = open_source(SourceSpec(path=str(tmp_path / name)), print)
        assert [message.content for message in row.messages] == turns


def test_fields_go_by_their_other_names_in_a_map(tmp_path: Path) -> None:
    """`columns` knows a field by every name that records may use; a name that is none is answered with those that are."""
    (tmp_path / "x.jsonl").write_text('{"q": "a", "r": "b"}\n')
    path = str(tmp_path / "x.jsonl")
    for columns in ({"instruction": "q", "response": "r"}, {"query": "q", "output": "r"}):
        [row] = open_source(SourceSpec(path=path, columns=columns), print)
        assert [message.content for message in row.messages] == ["a", "b"]
    for spec in (SourceSpec(path=path, columns={"ask": "q"}), SourceSpec(path=path, shape="prompt", columns={"ask": "q"})):
        with pytest.raises(InputError, match=r"columns \['ask'\] belong to no .*prompt: prompt, response"):
            list(open_source(spec, print))
