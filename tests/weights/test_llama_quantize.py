"""Finding and running llama.cpp's quantiser: every failure names the way out. (The real one: test_llama_cpp.py.)"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hala.errors import DiskError, EngineError
from hala.weights.gguf import export
from hala.weights.llama_quantize import INTERPRETER, find_quantiser, run


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program on the PATH but those of the test, and no interpreter named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(INTERPRETER, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


def install(tmp_path: Path, script: str) -> Path:
    """A program called llama-quantize."""
    file = tmp_path / "llama-quantize"
    file.write_text(f"#!{sys.executable}\nimport pathlib, sys\nsource, target, kind = sys.argv[1:]\n{script}\n")
    file.chmod(0o755)
    return file


def test_none_is_told_before_anything_is_written(folders: dict[str, Path], tmp_path: Path) -> None:
    """Without the quantiser, q4_k_m says how to get it, at once."""
    with pytest.raises(EngineError, match=r"pip install llama-cpp-python.*llama-quantize on the PATH.*f16 and q8_0"):
        export(folders["lfm2"], tmp_path / "x.gguf", "q4_k_m")
    assert not list(tmp_path.iterdir())


def test_the_program_gets_source_target_and_type(tmp_path: Path) -> None:
    """llama-quantize is called as its help says, with whole paths."""
    program = install(tmp_path, "pathlib.Path(target).write_text(source + ' ' + kind)")
    assert find_quantiser() == [str(program)]
    run(find_quantiser(), tmp_path / "a.gguf", tmp_path / "b.gguf", "q4_k_m")
    assert (tmp_path / "b.gguf").read_text() == f"{tmp_path / 'a.gguf'} Q4_K_M"


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("print('unknown architecture', file=sys.stderr); sys.exit(1)", EngineError, "could not make q6_k: unknown architecture"),
        ("print('basic_ios::clear: iostream error', file=sys.stderr); sys.exit(1)", DiskError, "disk is full"),
        ("import os; os.abort()", EngineError, "could not make q6_k: exit code -6"),
        ("", EngineError, "wrote no q6_k file"),
    ],
)
def test_its_failures_are_ours_to_explain(script: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    """What it says, a full disk, a crash and a missing file each become one clear error."""
    install(tmp_path, script)
    with pytest.raises(error, match=message):
        run(find_quantiser(), tmp_path / "a.gguf", tmp_path / "b.gguf", "q6_k")


def test_a_failure_leaves_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    """Neither the result nor the file that the quantiser read stays."""
    install(tmp_path, "pathlib.Path(target).write_text('half'); sys.exit(1)")
    with pytest.raises(EngineError):
        export(folders["lfm2"], tmp_path / "out" / "x.gguf", "q4_k_m")
    assert not list((tmp_path / "out").iterdir())


def test_a_named_interpreter_is_tried_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that is missing or has no llama-cpp-python is named, before hours are spent."""
    monkeypatch.setenv(INTERPRETER, str(tmp_path / "nope"))
    with pytest.raises(EngineError, match="nope cannot be started"):
        find_quantiser()
    bare = install(tmp_path, "")
    os.rename(bare, tmp_path / "python")
    (tmp_path / "python").write_text("#!/bin/sh\necho 'no module llama_cpp' >&2\nexit 1\n")
    monkeypatch.setenv(INTERPRETER, str(tmp_path / "python"))
    with pytest.raises(EngineError, match=f"named in {INTERPRETER}, has no llama-cpp-python"):
        find_quantiser()
