"""A zoo of malformed data: nothing crashes or is lost in silence; a record is a row or is listed with file, place and reason."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hala.data.readers import BadRow
from hala.data.sources import SourceSpec, open_source
from hala.errors import InputError
from hala.records import Row

GOOD = {"instruction": "Add one and two.", "output": "Three."}
FINE = json.dumps(GOOD)


def jsonl(*lines: str | bytes) -> bytes:
    """A good line, the given ones, and another good line."""
    raw = [line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass") for line in (FINE, *lines, FINE)]
    return b"\n".join(raw) + b"\n"


def record(**changes: Any) -> str:
    """The good record with changes."""
    return json.dumps(GOOD | changes)


def without(*names: str) -> str:
    """The good record without some fields."""
    return json.dumps({name: value for name, value in GOOD.items() if name not in names})


def chat(*turns: Any, **more: Any) -> str:
    """A conversation."""
    return json.dumps({"messages": list(turns), **more})


USER, ANSWER = {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}


def parquet(table: pa.Table) -> bytes:
    """The table as a file."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    """Packed by zstd."""
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


def own(**changes: Any) -> str:
    """A row that hala wrote, with changes."""
    row: dict[str, Any] = {
        "id": "a",
        "messages": [USER, ANSWER],
        "lang": "en",
        "source": "",
        "licence": "",
        "original": None,
        "notes": {},
    }
    return json.dumps(row | changes)


MANY = "\n".join([FINE] * 2000).encode() + b"\n"
TABLE = pa.table({"instruction": ["Add one and two."] * 3, "output": ["Three.", None, ""]})
NO_UTF8 = pa.table(
    {name: pa.array([b"a", b"b", b"c" if name == "output" else b"\xff"]).cast(pa.binary()).view(pa.string()) for name in GOOD}
)
OPTIONS = json.dumps({"question": "Which?", "choices": ["a", "b"], "answer": "B"})
OPTIONS_BY_LETTER = json.dumps({"Question": "Which?", "A": "a", "B": "b", "Answer": "(A)"})

# Name of the file, its bytes, usable rows, and the reasons of the others in order. One bad record between two good ones, mostly.
CASES: dict[str, tuple[str, bytes, int, list[str]]] = {
    # Lines
    "no JSON": ("a.jsonl", jsonl("instruction: Add."), 2, ["bad_json"]),
    "half a line": ("a.jsonl", jsonl(FINE[:30]), 2, ["bad_json"]),
    "two records on a line": ("a.jsonl", jsonl(FINE + FINE), 2, ["bad_json"]),
    "comma at the end": ("a.jsonl", jsonl(FINE + ","), 2, ["bad_json"]),
    "single quotes": ("a.jsonl", jsonl(str(GOOD)), 2, ["bad_json"]),
    "NaN": ("a.jsonl", jsonl('{"instruction": NaN, "output": "x"}'), 2, ["wrong_type"]),
    "a list": ("a.jsonl", jsonl("[1, 2]"), 2, ["not_an_object"]),
    "a string": ("a.jsonl", jsonl('"text"'), 2, ["not_an_object"]),
    "null": ("a.jsonl", jsonl("null"), 2, ["not_an_object"]),
    "a number": ("a.jsonl", jsonl("12"), 2, ["not_an_object"]),
    "blank lines": ("a.jsonl", jsonl("", "   ", "\t"), 2, []),
    "no last line break": ("a.jsonl", jsonl()[:-1], 2, []),
    "byte order mark": ("a.jsonl", b"\xef\xbb\xbf" + jsonl(), 2, []),
    "a mark in every file that was joined": ("a.jsonl", jsonl(b"\xef\xbb\xbf" + FINE.encode()), 3, []),
    "CRLF": ("a.jsonl", jsonl().replace(b"\n", b"\r\n"), 2, []),
    "CR inside": ("a.jsonl", jsonl(record(output="one\rtwo")), 3, []),
    "U+2028 inside": ("a.jsonl", jsonl(json.dumps(GOOD | {"output": "a\u2028b"}, ensure_ascii=False)), 3, []),
    "invalid UTF-8": ("a.jsonl", jsonl(FINE.encode().replace(b"Three", b"Thr\xe9e")), 2, ["invalid_utf8"]),
    "cut inside a character": ("a.jsonl", jsonl(b'{"instruction": "\xd9'), 2, ["invalid_utf8"]),
    "overlong UTF-8": ("a.jsonl", jsonl(FINE.encode().replace(b"Three", b"\xc0\xaf")), 2, ["invalid_utf8"]),
    "encoded surrogate": ("a.jsonl", jsonl(FINE.encode().replace(b"Three", b"\xed\xa0\x80")), 2, ["invalid_utf8"]),
    "lone surrogate": ("a.jsonl", jsonl(r'{"instruction": "x", "output": "\ud800"}'), 2, ["lone_surrogate"]),
    "surrogates the wrong way round": (
        "a.jsonl",
        jsonl(r'{"instruction": "x", "output": "\udc00\ud800"}'),
        2,
        ["lone_surrogate"],
    ),
    "a pair of surrogates": ("a.jsonl", jsonl(r'{"instruction": "x", "output": "\ud83d\ude00"}'), 3, []),
    "escaped NUL": ("a.jsonl", jsonl(record(output="a\0b")), 2, ["nul"]),
    "raw NUL": ("a.jsonl", jsonl(FINE.encode().replace(b"Three", b"Thr\0e")), 2, ["bad_json"]),
    "control characters": ("a.jsonl", jsonl(FINE.encode().replace(b"Three", b"Thr\x01e")), 2, ["bad_json"]),
    "deep nesting": ("a.jsonl", jsonl("[" * 100_000 + "]" * 100_000), 2, ["bad_json"]),
    "deep objects": ("a.jsonl", jsonl('{"a":' * 50_000 + "1" + "}" * 50_000), 2, ["bad_json"]),
    "a huge number": ("a.jsonl", jsonl('{"instruction": "x", "output": ' + "9" * 10_000 + "}"), 2, ["bad_json"]),
    "a float beyond range": ("a.jsonl", jsonl('{"instruction": "x", "output": 1e999}'), 2, ["wrong_type"]),
    "a key twice": ("a.jsonl", jsonl('{"instruction": "x", "output": "first", "output": "last"}'), 2, ["bad_json"]),
    # Fields
    "field missing": ("a.jsonl", jsonl(without("output")), 2, ["unknown_shape"]),
    "all fields missing": ("a.jsonl", jsonl("{}"), 2, ["unknown_shape"]),
    "field empty": ("a.jsonl", jsonl(record(output="")), 2, ["empty_field"]),
    "field blank": ("a.jsonl", jsonl(record(output=" \n\u00a0")), 2, ["empty_field"]),
    "field null": ("a.jsonl", jsonl(record(output=None)), 2, ["missing_field"]),
    "field a number": ("a.jsonl", jsonl(record(output=3)), 2, ["wrong_type"]),
    "field a list": ("a.jsonl", jsonl(record(output=["Three."])), 2, ["wrong_type"]),
    "field an object": ("a.jsonl", jsonl(record(output={"text": "Three."})), 2, ["wrong_type"]),
    "field a truth value": ("a.jsonl", jsonl(record(output=True)), 2, ["wrong_type"]),
    "optional field of a wrong type": ("a.jsonl", jsonl(record(input=7)), 2, ["wrong_type"]),
    "optional field null": ("a.jsonl", jsonl(record(input=None)), 3, []),
    "other schema": ("a.jsonl", jsonl('{"pregunta": "x", "respuesta": "y"}'), 2, ["unknown_shape"]),
    "known schemas mixed": ("a.jsonl", jsonl('{"question": "x", "answer": "y"}', chat(USER, ANSWER), '{"text": "z"}'), 5, []),
    "the same record twice": ("a.jsonl", jsonl(FINE), 3, []),
    "the same id twice": ("a.jsonl", jsonl(record(id=1), record(id=1, output="3")), 4, []),
    # Conversations
    "no turns": ("a.jsonl", jsonl(chat()), 2, ["empty_field"]),
    "turns as text": ("a.jsonl", jsonl('{"messages": "Hi."}'), 2, ["wrong_type"]),
    "a turn as text": ("a.jsonl", jsonl(chat("Hi.", ANSWER)), 2, ["wrong_type"]),
    "no role": ("a.jsonl", jsonl(chat({"content": "Hi."}, ANSWER)), 2, ["missing_field"]),
    "unknown role": ("a.jsonl", jsonl(chat({"role": "narrator", "content": "Hi."}, ANSWER)), 2, ["unknown_role"]),
    "no answer": ("a.jsonl", jsonl(chat(USER)), 2, ["incomplete_conversation"]),
    "empty answer": ("a.jsonl", jsonl(chat(USER, {"role": "assistant", "content": ""})), 2, ["empty_field"]),
    "content a number": ("a.jsonl", jsonl(chat(USER, {"role": "assistant", "content": 5})), 2, ["wrong_type"]),
    "content null without calls": ("a.jsonl", jsonl(chat(USER, {"role": "assistant", "content": None})), 2, ["missing_field"]),
    "an image": ("a.jsonl", jsonl(chat({"role": "user", "content": [{"type": "image_url"}]}, ANSWER)), 2, ["not_text"]),
    "a call without a name": ("a.jsonl", jsonl(chat(USER, ANSWER | {"tool_calls": [{"function": {}}]})), 2, ["wrong_type"]),
    "calls as text": ("a.jsonl", jsonl(chat(USER, ANSWER | {"tool_calls": "f()"})), 2, ["wrong_type"]),
    # Archives
    "gz cut off": ("a.jsonl.gz", gzip.compress(MANY)[:-40], 0, ["torn_file"]),
    "gz with a wrong sum": ("a.jsonl.gz", gzip.compress(MANY)[:-8] + b"\0" * 8, 2000, ["torn_file"]),
    "rubbish behind gz": ("a.jsonl.gz", gzip.compress(jsonl()) + b"rubbish", 2, ["torn_file"]),
    "gz in two members": ("a.jsonl.gz", gzip.compress(jsonl()) + gzip.compress(jsonl()), 4, []),
    "no gz at all": ("a.jsonl.gz", jsonl(), 0, ["torn_file"]),
    "zst cut off": ("a.jsonl.zst", zstd(MANY)[:-10], 0, ["torn_file"]),
    "no zst at all": ("a.jsonl.zst", jsonl(), 0, ["torn_file"]),
    # Tables
    "too few cells": ("a.tsv", b"en\tar\na\t\xd8\xa8\nb\n", 1, ["column_count"]),
    "too many cells": ("a.csv", b"en,ar\na,\xd8\xa8\nb,c,d\n", 1, ["column_count"]),
    "an open quote": ("a.csv", b'en,ar\na,\xd8\xa8\nb,"c\n' + b"d,e\n" * 3, 1, ["open_quote"] * 4),
    "text behind a quote": ("a.csv", b'en,ar\na,\xd8\xa8\n"b" c,d\ne,f\n', 2, ["bad_csv"]),
    "quotes with a line break": ("a.csv", b'en,ar\n"a\nb",\xd8\xa8\n', 1, []),
    "NUL in a table": ("a.csv", b"en,ar\na,\xd8\xa8\nb,c\0d\n", 1, ["nul"]),
    "null and empty cells of Parquet": ("a.parquet", parquet(TABLE), 1, ["missing_field", "empty_field"]),
    "an open quote in a row of several lines": ("a.csv", b'en,ar\na,\xd8\xa8\n"b\nb\nb" x,c\nd,\xd8\xa8\n', 2, ["bad_csv"] * 3),
    "an open quote above the largest cell": (
        "a.csv",
        b"en,ar\na,\xd8\xa8\n" + b'"b,c\n' + (b"x" * 2**20 + b",d\n") * 17 + b"e,f\n" * 3,
        5,
        ["open_quote"] * 17,
    ),
    "a row of Parquet that is no UTF-8": ("a.parquet", parquet(NO_UTF8), 2, ["invalid_utf8"]),
    # Rows that hala wrote
    "notes as text": ("a.jsonl", jsonl(own(notes="abc")), 2, ["wrong_type"]),
    "a note that is a number": ("a.jsonl", jsonl(own(notes={"a": 1})), 2, ["wrong_type"]),
    "a source that is a number": ("a.jsonl", jsonl(own(source=5)), 2, ["wrong_type"]),
    "a surrogate in a note": ("a.jsonl", jsonl(own(notes={"a": "\ud800"})), 2, ["lone_surrogate"]),
    "a row without notes": ("a.jsonl", jsonl(own(notes=None, id="a/1-0")), 3, []),
    # JSON
    "one conversation": ("a.json", ('{"id": 1, ' + chat(USER, ANSWER)[1:]).encode(), 1, []),
    "one list in an object": ("a.json", json.dumps({"version": [1], "data": [GOOD, 3]}).encode(), 1, ["not_an_object"]),
    "a list of conversations": ("a.json", f'{{"conversations": [{chat(USER, ANSWER)}]}}'.encode(), 1, []),
    # Questions
    "options apart from the question": ("a.jsonl", jsonl(OPTIONS, OPTIONS_BY_LETTER), 2, ["has_options"] * 2),
    # Exchange files
    "a unit of one language": (
        "a.tmx",
        b"<tmx><body><tu><tuv xml:lang='en'><seg>a</seg></tuv></tu></body></tmx>",
        0,
        ["missing_field"],
    ),
    "XML cut off": ("a.tmx", b"<tmx><body><tu><tuv xml:lang='en'><seg>a</seg></tuv>", 0, ["torn_file"]),
}
HOPELESS: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "is empty"),
    "UTF-16": ("a.jsonl", jsonl().decode().encode("utf-16"), "UTF-16"),
    "UTF-32": ("a.jsonl", jsonl().decode().encode("utf-32"), "UTF-16 or UTF-32"),
    "UTF-16 without a mark": ("a.jsonl", jsonl().decode().encode("utf-16-le"), "UTF-16"),
    "Parquet cut off": ("a.parquet", parquet(TABLE)[:-20], "Parquet|parquet"),
    "Parquet with a torn head": ("a.parquet", b"XXXX" + parquet(TABLE)[4:-4] + b"XXXX", "Parquet|parquet"),
    "JSON cut off": ("a.json", b'[{"instruction": "a", "output"', "JSON"),
    "JSON of a single value": ("a.json", b"12", "no list of objects"),
    "several lists in an object": ("a.json", json.dumps({"a": [GOOD], "b": [GOOD]}).encode(), "lists of objects: a, b"),
    "a table of another encoding": ("a.tsv", b"en\tar\n" + "a\tب\n".encode("cp1256") * 3, "not UTF-8"),
    "semicolons": ("a.csv", b"en;ar\na;b\n", "stand between ';'"),
    "unknown ending": ("a.docx", b"PK", "cannot tell the format"),
    "nothing but bad lines": ("a.jsonl", b"{\n" * 50, "no usable row"),
}


def read(path: Path) -> tuple[list[Row], list[BadRow]]:
    """Rows and rejected records of a file."""
    bad: list[BadRow] = []
    return list(open_source(SourceSpec(path=str(path), languages=("en", "ar")), bad.append)), bad


@pytest.mark.parametrize("name", CASES)
def test_every_record_is_a_row_or_is_listed(name: str, tmp_path: Path) -> None:
    """The good records come through with their ids, each other one is listed once with file, place and reason.

    A file that is torn ends in an error, since nobody knows how much is missing.
    """
    file, content, rows, reasons = CASES[name]
    (tmp_path / file).write_bytes(content)
    bad: list[BadRow] = []
    found: list[Row] = []
    try:
        found += open_source(SourceSpec(path=str(tmp_path / file), languages=("en", "ar")), bad.append)
    except InputError as error:
        assert reasons and reasons[-1] in str(error) and error.fix and (reasons[-1] == "torn_file" or not rows), error
        reasons = reasons[:-1] if reasons[-1] == "torn_file" else reasons
    else:
        assert "torn_file" not in reasons
    assert [each.reason for each in bad] == reasons
    assert len(found) == rows or (CASES[name][3] == ["torn_file"] and not rows)
    assert all(each.file.endswith(file) and each.position >= 0 for each in bad)
    places = [int(row.id.rpartition("/")[2].partition("-")[0]) for row in found]
    assert len(set(places)) == len(places) and not set(places) & {each.position for each in bad}


@pytest.mark.parametrize("name", HOPELESS)
def test_hopeless_files_are_refused_in_words(name: str, tmp_path: Path) -> None:
    """A file of which nothing can be read is an error that says what it is and what to do."""
    file, content, said = HOPELESS[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path / file)
    assert caught.value.fix


@pytest.mark.parametrize("pack", [None, gzip.open])
def test_a_line_of_200_megabytes_costs_no_memory(pack: Callable[..., Any] | None, tmp_path: Path) -> None:
    """It is skipped in pieces and listed; what follows it is read."""
    path = tmp_path / ("a.jsonl.gz" if pack else "a.jsonl")
    with pack(path, "wb", 1) if pack else path.open("wb") as file:
        file.write(FINE.encode() + b"\n")
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b"\n" + FINE.encode() + b"\n")
    tracemalloc.start()
    rows, bad = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 2 and [each.reason for each in bad] == ["line_too_long"] and peak < 64 * 2**20


def test_the_zoo_is_large() -> None:
    """At least sixty cases."""
    assert len(CASES) + len(HOPELESS) + 2 >= 60
