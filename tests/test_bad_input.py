"""Bad input through the command line: the documented exit code, one clear line, no traceback, and nothing finished is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hala import staging

Hala = Callable[..., Any]


def one_line(answer: Any, code: int, *parts: str) -> None:
    """The exit code, and every part in a message of a line or two."""
    assert answer.code == code, answer
    message = answer.err.partition("hala: ")[2]
    assert all(part in message for part in parts), answer.err
    assert "our bug" not in message and len(message.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("empty.jsonl", b"", ["empty.jsonl is empty"]),
        ("blank.jsonl", b"\n\n\n", ["blank.jsonl", "no records"]),
        ("utf16.jsonl", '{"text": "x"}\n'.encode("utf-16"), ["utf16.jsonl", "UTF-16", "iconv"]),
        ("old.jsonl", b'{"text": "\xe3\xd1\xcd\xc8\xc7"}\n' * 30, ["old.jsonl is not UTF-8", "iconv"]),
        ("broken.jsonl", b"{broken\n" * 5, ["no usable row", "5 bad_json"]),
        ("columns.jsonl", b'{"foo": "x", "bar": "y"}\n' * 3, ["3 unknown_shape", "Columns found: bar, foo"]),
        ("torn.parquet", b"PAR1 and then nothing", ["no readable Parquet file"]),
        ("torn.jsonl.gz", b"\x1f\x8b\x08\x00broken", ["torn.jsonl.gz"]),
        ("odd.xyz", b"text", ["cannot tell the format", ".jsonl"]),
    ],
)
@pytest.mark.parametrize("verb", ["translate", "filter"])
def test_unusable_file(hala: Hala, tmp_path: Path, verb: str, name: str, content: bytes, parts: list[str]) -> None:
    """A file with nothing to read in it is named, with what is wrong and what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    engine = ("--engine", "echo") if verb == "translate" else ()
    one_line(hala(verb, path, *engine, "--out", tmp_path / "out"), 4, *parts)


def test_missing_column_names_the_columns_that_are_there(hala: Hala, tmp_path: Path, pairs_file: Path) -> None:
    """A column map that does not fit is answered with the columns of the file."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f'steps: {{a: {{filter: {{data: {{path: "{pairs_file}", columns: {{source: english, target: ar}}}}}}}}}}\n')
    one_line(hala("run", recipe, "--out", tmp_path / "run", "--quiet"), 4, "pairs.jsonl", "Columns found: ar, en")


def test_malformed_rows_are_stored_and_the_rest_goes_on(hala: Hala, tmp_path: Path, chats_file: Path) -> None:
    """Three broken lines cost three rows, no more, and can be looked at."""
    good = chats_file.read_bytes().splitlines()
    chats_file.write_bytes(b"\n".join([*good[:4], b"{", b'{"messages": 5}', b'{"text": "\xff\xfe"}', *good[4:]]) + b"\n")
    answer = hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "out", "--json")
    assert answer.code == 0
    counts = json.loads(answer.out)["counts"]
    assert (counts["rows"], counts["kept"], counts["malformed"]) == (8, 8, 3)
    stored = [json.loads(line) for line in (tmp_path / "out/malformed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [each["position"] for each in stored] == [4, 5, 6] and all(each["file"] and each["reason"] for each in stored)


# Checkpoints ----------------------------------------------------------------------------------------------------------


def damaged(tiny: Path, folder: Path, kind: str) -> Path:
    """A copy of the checkpoint with one thing wrong."""
    shutil.copytree(tiny, folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif kind == "header":
        weights.write_bytes(b"\xff" * 8 + weights.read_bytes()[8:])
    elif kind == "empty":
        weights.write_bytes(b"")
    elif kind == "no weights":
        weights.unlink()
    elif kind == "no config":
        config.unlink()
    elif kind == "torn config":
        config.write_text(config.read_text()[:40])
    return folder


@pytest.mark.parametrize("kind", ["truncated", "header", "empty", "no weights", "no config", "torn config"])
def test_damaged_checkpoint(hala: Hala, tmp_path: Path, tiny: Path, kind: str) -> None:
    """A checkpoint that is not whole is named by every verb that reads one, and nothing is called finished."""
    bad = damaged(tiny, tmp_path / "bad", kind)
    one_line(hala("compress", bad, "--out", tmp_path / "c"), 4, str(bad))
    one_line(hala("merge", tiny, bad, "--out", tmp_path / "m"), 4, str(bad))
    one_line(hala("translate", "Hello there.", "--model", bad), 4, str(bad))
    assert not list(tmp_path.glob("[cm]/manifest.json"))


@pytest.mark.parametrize(
    "words", [("compress", "NO"), ("merge", "NO", "NO"), ("export", "NO"), ("tune", "--base", "NO", "--data", "CHATS")]
)
def test_unknown_model_folder(hala: Hala, tmp_path: Path, chats_file: Path, words: tuple[str, ...]) -> None:
    """A folder that is not there is named; the same command works once it is."""
    names = {"NO": str(tmp_path / "nothing/here"), "CHATS": str(chats_file)}
    one_line(hala(*(names.get(word, word) for word in words), "--out", tmp_path / "out"), 4, "nothing/here")


# The disk -------------------------------------------------------------------------------------------------------------


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """The kernel refuses every byte beyond `size` of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "words", [("compress", "TINY"), ("merge", "TINY", "TINY"), ("tune", "--base", "TINY", "--data", "CHATS")]
)
def test_disk_that_takes_no_more_bytes(hala: Hala, tmp_path: Path, tiny: Path, chats_file: Path, words: tuple[str, ...]) -> None:
    """A real refusal of the kernel while weights are written is exit code 5, and with room the same command finishes."""
    names = {"TINY": str(tiny), "CHATS": str(chats_file)}
    quick = [f"--set={pair}" for pair in ("max_steps=1", "batch_tokens=128", "max_length=64", "precision=float32")]
    settings = {"tune": quick}
    command = [*(names.get(word, word) for word in words), "--out", tmp_path / "out", *settings.get(words[0], [])]
    with file_limit(20_000):
        answer = hala(*command)
    one_line(answer, 5, "again")
    assert not (tmp_path / "out/manifest.json").exists()
    assert hala(*command).code == 0


def test_full_disk_keeps_finished_shards(hala: Hala, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up in the second shard, the first one stays, and the same command continues behind it."""
    import pyarrow.parquet as pq

    real, written = pq.write_table, []

    def full(table: Any, path: Path, **options: Any) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        real(table, path, **options)

    monkeypatch.setattr(pq, "write_table", full)
    out = tmp_path / "run"
    answer = hala("run", recipe_file, "--out", out)
    one_line(answer, 5, "No space left on device", "same command again")
    assert [path.name for path in (out / "pairs/rows").iterdir()] == ["000000.parquet"]
    before = (out / "pairs/rows/000000.parquet").stat().st_mtime_ns
    monkeypatch.setattr(pq, "write_table", real)
    assert hala("run", recipe_file, "--out", out, "--quiet").code == 0
    assert (out / "pairs/rows/000000.parquet").stat().st_mtime_ns == before


def test_real_limit_while_rows_are_written(hala: Hala, tmp_path: Path, chats_file: Path) -> None:
    """The kernel's own refusal while a shard is written is exit code 5 as well."""
    with file_limit(2500):
        answer = hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "out")
    one_line(answer, 5, "again")
    assert hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "out").code == 0


def test_folder_that_cannot_be_written(hala: Hala, tmp_path: Path, chats_file: Path, recipe_file: Path) -> None:
    """--out below a file is exit code 5 with the place."""
    for command in (("translate", chats_file, "--engine", "echo"), ("run", recipe_file)):
        one_line(hala(*command, "--out", chats_file / "out"), 5, "chats.jsonl")


def test_locked_run(hala: Hala, recipe_file: Path, tmp_path: Path) -> None:
    """A second command on the same run is exit code 3 and names the process."""
    with staging.lock(tmp_path / "run"):
        one_line(hala("run", recipe_file, "--out", tmp_path / "run"), 3, f"process {os.getpid()}")
