"""Any common form of data becomes rows with stable ids, and malformed data never ends the process or goes uncounted."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hala.data.sources import BadRow, SourceSpec, fingerprint, hub_records, open_source, resolve_revision
from hala.errors import InputError
from hala.recipe import Data
from hala.records import Message, Row

GOOD = '{"instruction": "Say hi.", "response": "Hi."}'


def read(spec: SourceSpec) -> tuple[list[Row], list[BadRow]]:
    bad: list[BadRow] = []
    return list(open_source(spec, bad.append)), bad


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def lines(*records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


@pytest.mark.parametrize(
    ("record", "turns"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, ["user:a", "assistant:b"]),
        (
            {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            ["system:s", "user:a", "assistant:b"],
        ),
        ({"conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, ["user:a", "assistant:b"]),
        ({"prompt": "a", "response": "b"}, ["user:a", "assistant:b"]),
        ({"prompt": "a", "completion": "b"}, ["user:a", "assistant:b"]),
        ({"instruction": "a", "input": "", "output": "b"}, ["user:a", "assistant:b"]),
        ({"instruction": "a", "input": "c", "output": "b"}, ["user:a\n\nc", "assistant:b"]),
        ({"instruction": "a", "input": None, "response": "b"}, ["user:a", "assistant:b"]),
        ({"id": 1, "system_prompt": "s", "question": "a", "response": "b"}, ["system:s", "user:a", "assistant:b"]),
        ({"question": "a", "answer": "b"}, ["user:a", "assistant:b"]),
        ({"text": "a"}, ["text:a"]),
        ({"en": "a", "ar": "b", "doc": "c"}, ["text:b", "<text:a"]),
        ({"source": "a", "target": "b"}, ["text:b", "<text:a"]),
        ({"translation": {"ar": "b", "en": "a"}}, ["text:b", "<text:a"]),
    ],
)
def test_shapes(tmp_path: Path, record: dict[str, Any], turns: list[str]) -> None:
    """Every common shape is recognised by its field names."""
    [row], bad = read(SourceSpec(path=write(tmp_path / "x.jsonl", lines(record)), lang="ar"))
    got = [f"{m.role}:{m.content}" for m in row.messages] + [f"<{m.role}:{m.content}" for m in row.original or ()]
    assert got == turns and not bad


@pytest.mark.parametrize(
    ("tools", "noted"),
    [
        ([{"name": "f", "text": "é"}], '[{"name":"f","text":"é"}]'),
        ('[ {"name": "f"} ]', '[{"name":"f"}]'),
        ("no JSON", '"no JSON"'),
        (None, None), ([], None), ("[]", None), ("", None),
    ],
)  # fmt: skip
def test_tools_beside_the_turns_are_kept(tmp_path: Path, tools: Any, noted: str | None) -> None:
    """The tools that a conversation may call do not vanish; they are noted as compact JSON."""
    record = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": tools}
    [row], bad = read(SourceSpec(path=write(tmp_path / "x.jsonl", lines(record))))
    assert row.notes.get("tools") == noted and not bad


BAD_LINES: list[tuple[str | bytes, str]] = [
    ("{", "bad_json"), ("[1, 2", "bad_json"), ("nonsense", "bad_json"), (GOOD + GOOD, "bad_json"), (GOOD[:-1], "bad_json"),
    (GOOD + ",", "bad_json"), ("{'instruction': 'a'}", "bad_json"), ('{"a": 1, "a": 2}', "bad_json"),
    ('{"a": undefined}', "bad_json"), ('{"instruction": "a\nb"}'.replace("\n", "\x01"), "bad_json"),
    ("[" * 100_000, "bad_json"), ('{"a":' * 20_000 + "1" + "}" * 20_000, "bad_json"),
    ('{"n": ' + "9" * 5000 + "}", "bad_json"), ('{"instruction": "\\x"}', "bad_json"),
    ('{"instruction": "\\ud8"}', "bad_json"), ("[]", "not_an_object"), ("3", "not_an_object"), ("null", "not_an_object"),
    ('"text"', "not_an_object"), ("NaN", "not_an_object"), ("true", "not_an_object"), ('[{"text": "a"}]', "not_an_object"),
    ("{}", "unknown_shape"), ('{"foo": "a"}', "unknown_shape"), ('{"instruction": "a"}', "unknown_shape"),
    ('{"": "a"}', "unknown_shape"), ('{"output": "a", "input": "b"}', "unknown_shape"),
    ('{"en": "only one side"}', "unknown_shape"), ('{"instruction": "", "response": "b"}', "empty_field"),
    ('{"instruction": " \\n", "response": "b"}', "empty_field"), ('{"instruction": "a", "response": ""}', "empty_field"),
    ('{"text": "\\u00a0"}', "empty_field"), ('{"messages": []}', "empty_field"), ('{"en": "", "ar": "b"}', "empty_field"),
    ('{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "b"}]}', "empty_field"),
    ('{"instruction": null, "response": "b"}', "missing_field"), ('{"text": null}', "missing_field"),
    ('{"messages": [{"content": "a"}]}', "missing_field"), ('{"messages": [{"role": "user"}]}', "missing_field"),
    ('{"translation": {"en": "a"}}', "missing_field"), ('{"translation": {}}', "missing_field"),
    ('{"instruction": 5, "response": "b"}', "wrong_type"), ('{"instruction": ["a"], "response": "b"}', "wrong_type"),
    ('{"instruction": "a", "response": {"b": 1}}', "wrong_type"), ('{"text": NaN}', "wrong_type"),
    ('{"text": true}', "wrong_type"), ('{"messages": "a"}', "wrong_type"), ('{"messages": ["a"]}', "wrong_type"),
    ('{"messages": {"role": "user"}}', "wrong_type"), ('{"conversations": null}', "wrong_type"),
    ('{"instruction": "a", "input": 3, "output": "b"}', "wrong_type"),
    ('{"messages": [{"role": "user", "content": [{"type": "text"}]}]}', "wrong_type"),
    ('{"messages": [{"role": "narrator", "content": "a"}]}', "unknown_role"),
    ('{"messages": [{"role": "user", "content": "a"}]}', "incomplete_conversation"),
    ('{"messages": [{"role": "assistant", "content": "a"}]}', "incomplete_conversation"), ('{"text": "a\\u0000b"}', "nul"),
    ('{"instruction": "a", "response": "\\u0000"}', "nul"), ('{"text": "\\ud800"}', "lone_surrogate"),
    ('{"text": "a\\udfff"}', "lone_surrogate"),
    ('{"text": "\\udc80"}', "invalid_utf8"),
    (b'{"text": "\xff\xfe"}', "invalid_utf8"), (b'{"text": "caf\xe9"}', "invalid_utf8"),
    (b'{"text": "\xed\xa0\x80"}', "invalid_utf8"),
    (b"\x80\x81\x82", "invalid_utf8"), (b'{"text": "\xf5"}', "invalid_utf8"), (b"\x00\x00\x00", "bad_json"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_bad_line_is_reported_once(tmp_path: Path, line: str | bytes, reason: str) -> None:
    """A malformed line is reported with its place and reason, and the good lines around it come through with their own places."""
    raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
    rows, bad = read(SourceSpec(path=write(tmp_path / "x.jsonl", GOOD.encode() + b"\n" + raw + b"\n" + GOOD.encode())))
    assert [(each.position, each.reason) for each in bad] == [(1, reason)]
    assert [row.id.split("-")[0] for row in rows] == ["x/0", "x/2"]


def test_all_bad_lines_together(tmp_path: Path) -> None:
    """Rows in are rows out plus reported rows, whatever is in the file."""
    raw = [line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass") for line, _ in BAD_LINES]
    rows, bad = read(SourceSpec(path=write(tmp_path / "x.jsonl", b"\n".join([GOOD.encode(), *raw, GOOD.encode()]))))
    assert len(rows) == 2 and Counter(each.reason for each in bad) == Counter(reason for _, reason in BAD_LINES)


def test_overlong_line(tmp_path: Path) -> None:
    """A line beyond the limit is reported without being held in memory, and the next one is read."""
    long = b'{"text": "' + b"a" * (17 * 2**20) + b'"}\n'
    rows, bad = read(SourceSpec(path=write(tmp_path / "x.jsonl", long + b'{"text": "next"}\n')))
    assert [each.reason for each in bad] == ["line_too_long"] and rows[0].text == "next" and rows[0].id.startswith("x/1-")


def test_mark_and_line_ends(tmp_path: Path) -> None:
    """A byte order mark, CRLF and blank lines are no errors."""
    rows, bad = read(
        SourceSpec(path=write(tmp_path / "x.jsonl", b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\r\n  \r\n" + GOOD.encode()))
    )
    assert len(rows) == 2 and not bad


@pytest.mark.parametrize("cut", [5, 40])
def test_torn_archive(tmp_path: Path, cut: int) -> None:
    """What a cut-off archive holds is read and then its end is an error; in a folder it is one bad record among good files."""
    packed = gzip.compress("".join(json.dumps({"text": f"number {n}"}) + "\n" for n in range(5_000)).encode())
    rows: list[Row] = []
    with pytest.raises(InputError, match=r"x\.jsonl\.gz is not whole.*what follows record"):
        rows += open_source(SourceSpec(path=write(tmp_path / "x.jsonl.gz", packed[:-cut])), print)
    write(tmp_path / "y.jsonl", lines({"text": "last"}))
    rows, bad = read(SourceSpec(path=str(tmp_path)))
    assert len(rows) > 1000 and rows[-1].text == "last" and [each.reason for each in bad] == ["torn_file"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.jsonl", b"", "empty"),
        ("x.jsonl", GOOD.encode("utf-16"), "UTF-16"),
        ("x.jsonl", GOOD.encode("utf-16-le"), "UTF-16"),
        ("x.txt", "نص عربي\n".encode("windows-1256") * 50, "not UTF-8"),
        ("x.json", b"[", "not JSON"),
        ("x.json", b"[]", "no list"),
        ("x.json", b"\xff", "not UTF-8"),
        ("x.jsonl", b"\n\n", "no records"),
        ("x.jsonl", b'{"foo": 1}\n', "Columns found: foo"),
        ("x.jsonl", b"plain words\n", "bad_json"),
        ("x.parquet", b"PAR1 and then nothing", "Parquet"),
        ("x.jsonl.gz", b"this is no archive", "torn_file"),
        ("x.bin", b"x", "format"),
        ("x.csv", b"\xff\xfea\x00,\x00", "UTF-16"),
    ],
)
def test_unusable_file_says_what_to_do(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """A file without one usable row is an error with a way out."""
    with pytest.raises(InputError, match=says) as error:
        read(SourceSpec(path=write(tmp_path / name, content)))
    assert error.value.fix


def test_missing_things_say_what_to_do(tmp_path: Path) -> None:
    """Missing files, empty folders, unknown shapes and columns that are nowhere name the problem."""
    path = write(tmp_path / "x.jsonl", lines({"en": "a", "ar": "b"}))
    (tmp_path / "empty").mkdir()
    for spec, says in [
        (SourceSpec(path=str(tmp_path / "nope.jsonl")), "no file"),
        (SourceSpec(path=str(tmp_path / "empty")), "no data files"),
        (SourceSpec(path=path, shape="pairs"), "Did you mean 'pair'"),
        (SourceSpec(path=path, columns={"source": "en", "target": "fr"}), "missing_field"),
        (SourceSpec(path=path, columns={"colour": "en"}), "no shape"),
        (SourceSpec(path=path, where={"ar": "z"}), "no record"),
        (SourceSpec(), "either"),
    ]:
        with pytest.raises(InputError, match=says):
            read(spec)


def test_json_list_and_wrapped_list(tmp_path: Path) -> None:
    """A JSON list, a list inside an object and one object a line under the name .json are all read."""
    record = json.loads(GOOD)
    for content in (
        json.dumps([record, 3, record]),
        json.dumps({"version": 1, "data": [record, None, record]}),
        f"{GOOD}\n3\n{GOOD}\n",
    ):
        rows, bad = read(SourceSpec(path=write(tmp_path / "x.json", content)))
        assert [row.id.split("-")[0] for row in rows] == ["x/0", "x/2"] and [each.reason for each in bad] == ["not_an_object"]


def test_csv(tmp_path: Path) -> None:
    """Tables with header go by name, without one by number; ragged rows and bad bytes are reported; quotes span lines."""
    path = write(tmp_path / "x.csv", b'question,answer\n"two\nlines",b\nshort\na,b,c\n\xff,b\nq,"a ""b"" c"\n')
    rows, bad = read(SourceSpec(path=path))
    assert [row.messages[0].content for row in rows] == ["two\nlines", "q"] and rows[1].messages[1].content == 'a "b" c'
    assert [(each.position, each.reason) for each in bad] == [(1, "column_count"), (2, "column_count"), (3, "invalid_utf8")]
    path = write(tmp_path / "y.csv", "what is it,1,2,A\nwho is it,1,2,B\n")
    rows, _ = read(SourceSpec(path=path, columns={"question": "0", "answer": "3"}))
    assert [row.messages[1].content for row in rows] == ["A", "B"]


@pytest.mark.parametrize(("name", "mark"), [("x.csv", ","), ("x.tsv", "\t")])
def test_columns_find_the_header(tmp_path: Path, name: str, mark: str) -> None:
    """A first line that holds every name under `columns` is the header, whatever its words; numbers are never names."""
    path = write(tmp_path / name, f"doc{mark}english {mark}arabic\n1{mark}a{mark}ا\n2{mark}b{mark}ب\n")
    columns = {"source": "english", "target": "arabic"}
    rows, bad = read(SourceSpec(path=path, columns=columns))
    assert [row.text for row in rows] == ["ا", "ب"] and rows[0].id.startswith("x/0-") and not bad
    rows, _ = read(SourceSpec(path=path, columns={"source": "1", "target": "2"}))
    assert [row.text for row in rows] == ["arabic", "ا", "ب"]
    path = write(tmp_path / name, f"0{mark}1\n2{mark}3\n")
    assert len(read(SourceSpec(path=path, columns={"source": "0", "target": "1"}))[0]) == 2


def test_table_without_a_known_header_says_so(tmp_path: Path) -> None:
    """When no row is usable and the first line was taken for data, the error says it; never for numbers or a real header."""
    path = write(tmp_path / "x.csv", "engels,arabisch\na,b\n")
    hint = r"first line was read as data; set header: true"
    for spec in (
        SourceSpec(path=path),
        SourceSpec(path=path, columns={"source": "en", "target": "ar"}),
        SourceSpec(path=path, columns={"source": "engels", "target": "arabisch"}, header=False),
        SourceSpec(path=path, where={"arabisch": "b"}),
        SourceSpec(path=str(tmp_path), shape="text"),
    ):
        with pytest.raises(InputError, match=hint):
            read(spec)
    for spec in (
        SourceSpec(path=path, columns={"source": "7", "target": "8"}),
        SourceSpec(path=path, shape="text", header=True),
        SourceSpec(path=write(tmp_path / "y.jsonl", '{"0": "a"}\n')),
    ):
        with pytest.raises(InputError) as error:
            read(spec)
        assert "first line" not in str(error.value)


def test_tab_separated_text(tmp_path: Path) -> None:
    """Pairs between tabs are read by column number from a .txt file, and quotes in them mean nothing."""
    path = write(tmp_path / "x.txt", 'He said "hi.\tقال "أهلا.\tby A\nRun!\tاركض!\tby B\n')
    rows, bad = read(SourceSpec(path=path, columns={"source": "0", "target": "1"}, lang="ar"))
    assert [row.original[0].content for row in rows if row.original] == ['He said "hi.', "Run!"] and not bad


def test_parquet_and_folder(tmp_path: Path) -> None:
    """A folder is its files in the order of their names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", None, "c"]}), tmp_path / "2.parquet")
    write(tmp_path / "1.jsonl", lines({"text": "first"}))
    rows, bad = read(SourceSpec(path=str(tmp_path), name="set"))
    assert [row.text for row in rows] == ["first", "a", "c"] and [each.reason for each in bad] == ["missing_field"]
    assert [row.id.split("-")[0] for row in rows] == ["set/0", "set/1", "set/3"]


def test_card_beside_the_data_is_no_data(tmp_path: Path) -> None:
    """A folder's README.md is neither read nor fingerprinted; named itself, a document is data."""
    write(tmp_path / "1.jsonl", lines({"text": "first"}))
    alone = fingerprint(SourceSpec(path=str(tmp_path)))
    card = write(tmp_path / "README.md", "# About\n\nWords.\n")
    assert [row.text for row in read(SourceSpec(path=str(tmp_path)))[0]] == ["first"]
    assert fingerprint(SourceSpec(path=str(tmp_path))) == alone
    assert "Words." in read(SourceSpec(path=card))[0][0].text


def test_being_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub's client raises without a network is no bug of ours, for the commit as for the records."""
    import sys
    from types import SimpleNamespace

    import httpx
    import huggingface_hub

    def offline(*_: object, **__: object) -> None:
        raise httpx.ConnectError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", offline)
    tried: list[object] = []  # it would try six times, with a line on the terminal for each
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *words, **_: tried.append(words)))
    with pytest.raises(InputError, match=r"owner/name.*no route.*path:"):
        resolve_revision(SourceSpec(hub="owner/name"))
    with pytest.raises(InputError, match=r"owner/name.*no route.*path:"):
        next(hub_records("owner/name", None, "train", None))
    assert not tried


def test_parallel_text(tmp_path: Path) -> None:
    """Two aligned files give pairs; files of different length are refused rather than shifted."""
    spec = SourceSpec(path=write(tmp_path / "x.en", "a\nb\n"), target=write(tmp_path / "x.ar", "ا\nب\n"), lang="ar")
    rows, _ = read(spec)
    assert [(row.original[0].content, row.text) for row in rows if row.original] == [("a", "ا"), ("b", "ب")]
    write(tmp_path / "x.ar", "ا\n")
    with pytest.raises(InputError, match="2 lines"):
        read(spec)


def test_own_rows_come_back_unchanged(tmp_path: Path) -> None:
    """Rows that hala wrote keep their ids, originals and notes; rejected rows beside them are not read."""
    from hala.records import KEPT, rejected
    from hala.shards import write_rows

    row = Row("a/7", (Message("user", "x"),), "ar", "a", "CC0-1.0", (Message("user", "y"),), {"k": "v"})
    (tmp_path / "rows").mkdir()
    (tmp_path / "rejected").mkdir()
    write_rows(tmp_path / "rows" / "00000.parquet", [(row, KEPT)])
    write_rows(tmp_path / "rejected" / "00000.parquet", [(row, rejected("copy"))])
    assert read(SourceSpec(path=str(tmp_path))) == ([row], [])


def test_selection_keeps_ids(tmp_path: Path) -> None:
    """where, skip, take and sample choose records without changing the id of any."""
    path = write(tmp_path / "x.jsonl", lines(*({"text": f"t{n}", "kind": "ab"[n % 2]} for n in range(100))))
    everything = [row.id for row in read(SourceSpec(path=path))[0]]
    assert [row.id for row in read(SourceSpec(path=path, skip=10, take=5))[0]] == everything[10:15]
    assert [row.id for row in read(SourceSpec(path=path, where={"kind": "b"}, take=3))[0]] == everything[1:6:2]
    assert [row.id for row in read(SourceSpec(path=path, where={"kind": ["a", "b"]}))[0]] == everything
    sampled = [row.id for row in read(SourceSpec(path=path, sample=0.3))[0]]
    assert 15 < len(sampled) < 45 and set(sampled) <= set(everything)
    other = [row.id for row in read(SourceSpec(path=path, sample=0.3, seed=1))[0]]
    assert 15 < len(other) < 45 and set(other) <= set(everything) and other != sampled


def test_take_counts_broken_records(tmp_path: Path) -> None:
    """The first N records are the first N of the file, so that a broken one never shifts the range."""
    path = write(tmp_path / "x.jsonl", f"{GOOD}\nbroken\n{GOOD}\n{GOOD}\n")
    rows, bad = read(SourceSpec(path=path, take=3))
    assert len(rows) == 2 and len(bad) == 1
    rows, bad = read(SourceSpec(path=path, skip=2))
    assert len(rows) == 2 and not bad


def test_held_out_groups_never_overlap(tmp_path: Path) -> None:
    """Records of one document are all held out or all not, and together they are everything."""
    path = write(tmp_path / "x.jsonl", lines(*({"text": f"t{n}", "doc": f"d{n // 5}"} for n in range(500))))
    train, held = (
        read(SourceSpec(path=path, holdout="doc", holdout_share=0.2, split=split))[0] for split in ("train", "heldout")
    )
    groups = [{int(row.text[1:]) // 5 for row in rows} for rows in (train, held)]
    assert len(train) + len(held) == 500 and not groups[0] & groups[1] and 5 < len(groups[1]) < 40


@pytest.mark.parametrize(
    ("record", "spec", "says"),
    [
        ({"en": "a", "ar": "b"}, {"holdout": "doc"}, r"5 missing_field: holdout: doc\)\. Columns found: ar, en\..*leave holdout"),
        ({"en": "a", "ar": "b"}, {"columns": {"source": "en", "target": "fr"}}, r"5 missing_field: no fr\).*columns:"),
        ({"text": None}, {}, r"5 missing_field: text is NoneType\)"),
    ],
)
def test_missing_field_is_named(tmp_path: Path, record: Any, spec: dict[str, Any], says: str) -> None:
    """Whoever has no usable row is told which field is missing, and what to do about a held-out group."""
    with pytest.raises(InputError, match=says):
        read(SourceSpec(path=write(tmp_path / "x.jsonl", lines(*[record] * 5)), **spec))


def test_language_of_pairs(tmp_path: Path) -> None:
    """The target's language is told from its column's name when it is not given."""
    path = write(tmp_path / "x.jsonl", lines({"en": "a", "hi": "b"}))
    assert read(SourceSpec(path=path))[0][0].lang == "hi"
    assert read(SourceSpec(path=path, columns={"source": "hi", "target": "en"}))[0][0].lang == "en"


def test_fingerprint_follows_content(tmp_path: Path) -> None:
    """The fingerprint changes with the bytes and not with the place; a hub dataset's is its commit."""
    one, two = (write(tmp_path / name, GOOD) for name in ("a.jsonl", "b.jsonl"))
    assert fingerprint(SourceSpec(path=one)) == fingerprint(SourceSpec(path=two))
    write(tmp_path / "b.jsonl", GOOD + "\n")
    assert fingerprint(SourceSpec(path=one)) != fingerprint(SourceSpec(path=two))
    commit = "0" * 40
    assert fingerprint(SourceSpec(hub="owner/name", revision=commit)) == f"owner/name@{commit}"
    assert resolve_revision(SourceSpec(hub="owner/name", revision=commit)) == commit


def test_columns_that_are_kept_go_along(tmp_path: Path) -> None:
    """A dialect stays with its row as a note; a record without it has none, and a value that is no text becomes one."""
    records = [
        {"prompt": "a", "response": "b", "dialect": "Egyptian", "level": 3},
        {"prompt": "c", "response": "d", "dialect": None},
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    rows = list(open_source(SourceSpec(path=str(tmp_path / "x.jsonl"), keep=("dialect", "level")), lambda bad: None))
    assert [row.notes for row in rows] == [{"dialect": "Egyptian", "level": "3"}, {}]
    with pytest.raises(ValueError, match="hala's own"):
        Data(path="x.jsonl", keep=("route",))


def test_too_many_unusable_records_stop_the_reading(tmp_path: Path) -> None:
    """Above the set share of bad records it ends with their reasons, not after hours with a small rest; a few are no reason."""
    good, bad = {"text": "t"}, {"text": ""}
    path = write(tmp_path / "x.jsonl", lines(*([good, bad, bad] * 500)))
    with pytest.raises(InputError, match=r"667 of the first 1,001 records .* cannot be used \(667 empty_field\).*stop_above"):
        read(SourceSpec(path=path, stop_above=0.5))
    assert len(read(SourceSpec(path=path, stop_above=0.7))[1]) == 1000
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "t"}\n{"text"\n{\n' * 500, encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be used \(667 bad_json\)"):
        read(SourceSpec(path=str(broken), stop_above=0.5))
    few = write(tmp_path / "few.jsonl", lines(*([good, bad, bad] * 50)))
    assert len(read(SourceSpec(path=few, stop_above=0.5))[1]) == 100
