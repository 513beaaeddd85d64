"""The command line: light to start, every command explained, text in gives text out, and one clear line for each failure."""

from __future__ import annotations

import functools
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hala as package

Hala = Callable[..., Any]
COMMANDS = ("run", "plan", "status", "report", "verify", "repair", "compress", "translate", "filter", "mix", "tune", "merge")
COMMANDS += ("evaluate", "export", "release", "show", "stats", "preview", "new-language")
HEAVY = ("torch", "transformers", "pydantic", "pyarrow", "numpy", "datasets", "sacrebleu", "markdown_it", "httpx", "ruamel")

DOCUMENT = """# Setting up

Install the package, then run `pip install hala` twice.

```python
def f(x: int) -> str:
    return "a  b"   # trailing spaces stay

```

| a | b |
|---|---|
| 1 | ![alt](img.png) |

The formula $a^2 + b^2 = c^2$ is old, and so is

$$
\\int_0^1 x\\,dx = \\frac{1}{2}
$$

```json
{"key": "value", "list": [1, 2, 3]}
```

1. First {name}, see https://example.org/a?b=c#d.
2. Second <b>bold</b> &amp; %s ⟦1⟧ done.

{"answer": 42, "text": "hello"}

   Indented.\tTab. \u00a0 Odd spaces.  \n\n\nEnd without newline"""


def python(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with hala on its path."""
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, timeout=120, **options)


@pytest.mark.parametrize(
    "code", ["import hala", "import hala.cli", "import sys; sys.argv = ['hala', '--help']; from hala.cli import main; main()"]
)
def test_import_and_help_load_nothing_heavy(code: str) -> None:
    """`import hala` and `hala --help` answer at once, because nothing heavy loads before a command runs."""
    body = f"""import atexit, sys
atexit.register(lambda: print("LOADED", [name for name in {HEAVY} if name in sys.modules]))
{code}"""
    done = python("-c", body)
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


def test_every_command_is_explained(hala: Hala) -> None:
    """The help names every command, and every command says in a sentence what it does."""
    answer = hala("--help")
    assert answer.code == 0
    listed = {
        line.split()[0]: line.split(maxsplit=1)[1]
        for line in answer.out.partition("Commands:")[2].splitlines()
        if len(line.split()) > 1
    }
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(hala: Hala, command: str) -> None:
    """`hala COMMAND --help` explains every option."""
    answer = hala(command, "--help")
    assert answer.code == 0 and "Usage" in answer.out
    options = answer.out.partition("Options:")[2]
    assert all(len(line.split()) > 1 for line in options.splitlines() if line.strip().startswith("--"))


def test_unknown_command_and_option_are_usage_errors(hala: Hala) -> None:
    """Exit code 2 for words that cannot be meant."""
    assert hala("translat").code == 2
    assert hala("run").code == 2
    assert hala("run", "x.yaml", "--nope").code == 2


# Text in, text out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n\n"])
def test_echo_gives_a_document_back_byte_for_byte(hala: Hala, tmp_path: Path, ending: str) -> None:
    """Code, formulas, JSON, links, tables, placeholders and every space survive segmenting and masking."""
    source, target = tmp_path / "doc.md", tmp_path / "out.md"
    data = (DOCUMENT + ending).replace("\n", "\r\n" if ending == "\r\n" else "\n").encode()
    source.write_bytes(data)
    assert hala("translate", source, "--engine", "echo", "--out", target).code == 0
    assert target.read_bytes() == data
    assert hala("translate", source, "--engine", "echo").out.encode() == data


def test_text_to_a_folder_is_refused_with_a_file_name(hala: Hala, tmp_path: Path) -> None:
    """A folder under --out is no bug of ours: the message gives a file in it that is not the source."""
    source = tmp_path / "doc.md"
    source.write_text("Hello.\n", encoding="utf-8")
    answer = hala("translate", source, "--engine", "echo", "--out", tmp_path)
    assert answer.code == 4 and "is a folder" in answer.err and f"--out {tmp_path / 'doc.ar.md'}" in answer.err
    assert hala("translate", "Hello there", "--engine", "echo", "--out", tmp_path).code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["doc.md"]


def test_text_never_takes_the_place_of_a_device(hala: Hala, tmp_path: Path) -> None:
    """`--out /dev/null`, or a pipe, is refused: what stands there is no file to be replaced."""
    os.mkfifo(tmp_path / "pipe")
    answer = hala("translate", "Hello there", "--engine", "echo", "--out", tmp_path / "pipe")
    assert answer.code == 4 and "no ordinary file" in answer.err and (tmp_path / "pipe").is_fifo()


def test_text_to_a_file_is_said_and_never_replaces_its_source(hala: Hala, tmp_path: Path) -> None:
    """A written or replaced file is named on stderr; the source, by whatever name, is refused and stays as it was."""
    source, target, link = (tmp_path / name for name in ("doc.md", "out.md", "link.md"))
    source.write_text("Hello.\n", encoding="utf-8")
    link.symlink_to(source)
    for said in ("wrote", "replaced"):
        answer = hala("translate", source, "--engine", "echo", "--out", target)
        assert (answer.code, answer.out, answer.err) == (0, "", f"{said} {target}\n1 segment, 1 distinct, 0 remembered\n")
    for same in (source, link):
        answer = hala("translate", source, "--engine", "echo", "--out", same)
        assert answer.code == 2 and "the source itself" in answer.err and str(tmp_path / "doc.ar.md") in answer.err
    assert link.is_symlink() and source.read_text(encoding="utf-8") == "Hello.\n"


@pytest.mark.parametrize("out", [[], ["--out", "there"]])
def test_no_words_are_not_the_folder_that_one_is_in(
    hala: Hala, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: list[str]
) -> None:
    """An empty text, an unset variable of the shell for one, is refused: it names no folder whose documents are translated."""
    (tmp_path / "doc.md").write_text("Hello.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    answer = hala("translate", "", "--engine", "echo", *out)
    assert answer.code == 2 and "nothing to translate" in answer.err and not (tmp_path / "there").exists()


def test_text_from_a_pipe(hala: Hala, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input and writes it back unchanged."""

    class Pipe:
        buffer = io.BytesIO(DOCUMENT.encode())

    monkeypatch.setattr(sys, "stdin", Pipe())
    assert hala("translate", "-", "--engine", "echo").out == DOCUMENT


def give(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    """Standard input for the next command."""

    class Pipe:
        buffer = io.BytesIO(data.encode())

    monkeypatch.setattr(sys, "stdin", Pipe())


@pytest.mark.parametrize("data", ["", " \n\n"])
def test_nothing_in_a_pipe_is_an_error(hala: Hala, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    """Empty standard input is refused as an empty argument is: an earlier command of the pipe has failed."""
    give(monkeypatch, data)
    answer = hala("translate", "-", "--engine", "echo")
    assert answer.code == 2 and "standard input is empty" in answer.err and not answer.out


def test_json_lines_in_a_pipe_are_no_text(hala: Hala, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are never handed back untranslated; one JSON document with `values`, and Markdown with JSON in it, are texts."""
    rows, mixed = '{"instruction": "Say hello."}\n{"instruction": "Say bye."}\n', '{"a": 1}\n\nThis is what it says.\n'
    give(monkeypatch, rows)
    answer = hala("translate", "-", "--engine", "echo")
    assert answer.code == 2 and "JSON lines" in answer.err and "rows.jsonl --out DIR" in answer.err and not answer.out
    give(monkeypatch, rows)
    assert hala("translate", "-", "--engine", "echo", "--set", "values=[instruction]").out == rows
    give(monkeypatch, mixed)
    assert hala("translate", "-", "--engine", "echo").out == mixed


@pytest.mark.parametrize("source", ["nofolder/", "p.nowhere", "x.unknown", "a/b", "./here", "rows.jsonl.zst", "مستند.md"])
def test_mistyped_path_is_no_text(hala: Hala, source: str) -> None:
    """A word with a slash or an ending that names no file is refused with the way to translate it all the same."""
    answer = hala("translate", source, "--engine", "echo")
    assert answer.code == 4 and f"no file at {source}" in answer.err and "| hala translate -" in answer.err and not answer.out


def test_text_as_json(hala: Hala, tmp_path: Path) -> None:
    """--json gives a text, and a file, with what was done, and nothing else on standard output."""
    answer = hala("translate", "Hello there", "--engine", "echo", "--json")
    assert json.loads(answer.out) == {"text": "Hello there", "segments": 1, "distinct": 1, "remembered": 0} and not answer.err
    (tmp_path / "a.md").write_text("One.\n\nTwo.\n")
    said = json.loads(hala("translate", tmp_path / "a.md", "--engine", "echo", "--json", "--out", tmp_path / "b.md").out)
    assert (said["text"], said["out"], said["segments"]) == ("One.\n\nTwo.\n", str(tmp_path / "b.md"), 2)


def test_version_and_short_help(hala: Hala) -> None:
    """`--version` says it; `-h` is `--help`, also of a command."""
    from hala import __version__

    assert hala("--version").out == f"hala {__version__}\n" and hala("--version").code == 0
    assert "Usage" in hala("-h").out and "--engine" in hala("translate", "-h").out


@pytest.mark.parametrize(
    "text",
    [
        "Hello world",
        "Hello.",
        "e.g.",
        "3.14",
        "你好/世界",
        "これは2.5倍です",
        "one\ntwo `code` three",
        "مرحبا {name}",
        "x" * 5000,
        "word " * 400,
        "../a b",
        "100%",
        "{}",
    ],
)
def test_text_from_the_command_line(hala: Hala, text: str) -> None:
    """Any words are a text, also thousands of them; the terminal gets a line end."""
    answer = hala("translate", text, "--engine", "echo")
    assert (answer.code, answer.out) == (0, text + "\n"), answer.err


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("translate", ""), 2, "nothing to translate"),
        (("translate", "Hello"), 2, "--model"),
        (("translate", "Hello", "--engine", "ecoh"), 2, "Did you mean 'echo'"),
        (("translate", "Hello", "--engine", "server", "--model", "m"), 2, "url"),
        (("translate", "Hello", "--engine", "echo", "--set", "max_char=9"), 2, "Did you mean 'max_chars'"),
        (("translate", "Hello", "--engine", "echo", "--set", "max_chars"), 2, "key=value"),
        (("translate", "Hello", "--engine", "echo", "--set", "max_chars=["), 2, "max_chars"),
        (("translate", "Hello", "--engine", "echo", "--set", "gates=trunkated"), 2, "Did you mean 'truncated'"),
        (("translate", "none.jsonl", "--engine", "echo"), 4, "no file at none.jsonl"),
        (("translate", "none.md", "--engine", "echo"), 4, "no file at none.md"),
        (("translate", "Hello", "--model", "/no/such/folder"), 4, "/no/such/folder"),
        (("compress", "/no/such/folder", "--out", "OUT"), 4, "/no/such/folder"),
        (("merge", "/no/a", "/no/b", "--out", "OUT", "--t", "2"), 2, "between 0 and 1"),
        (("merge", "/no/a", "/no/b", "--out", "OUT"), 4, "/no/a"),
        (("filter", "none.jsonl", "--out", "OUT"), 4, "none.jsonl"),
        (("filter", "none.jsonl", "--out", "OUT", "--set", "data.tkae=3"), 2, "take"),
        (("evaluate", "/no/such", "--out", "OUT"), 4, "nothing to evaluate"),
        (("run", "none.yaml"), 2, "none.yaml"),
        (("plan", "none.yaml"), 2, "none.yaml"),
        (("status", "none"), 4, "not a run"),
        (("verify", "none"), 4, "not a run"),
        (("repair", "none"), 4, "not a run"),
        (("show", "none"), 4, "none"),
        (("show", "none", "-n", "-1"), 2, "'-n'"),
    ],
)
def test_what_goes_wrong_is_one_clear_message(
    hala: Hala, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, part: str
) -> None:
    """The documented exit code, a sentence that names the thing, and no traceback."""
    monkeypatch.chdir(tmp_path)
    answer = hala(*(str(tmp_path / "out") if word == "OUT" else word for word in words))
    assert answer.code == code and part in answer.err, answer
    assert "our bug" not in answer.err


def test_messages_never_drive_the_terminal(hala: Hala) -> None:
    """Control codes in a name are not printed."""
    answer = hala("translate", "evil\x1b[2J.md", "--engine", "echo")
    assert answer.code == 4 and "\x1b" not in answer.err


def test_a_bug_of_ours_is_called_that(hala: Hala, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception has exit code 9 and asks for --debug; with --debug it is raised."""
    from hala import recipe_file

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(recipe_file, "load", broken)
    answer = hala("plan", "x.yaml")
    assert answer.code == 9 and "our bug: ZeroDivisionError: oops" in answer.err and "--debug" in answer.err
    with pytest.raises(ZeroDivisionError):
        hala("plan", "x.yaml", "--debug")


# A run ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(hala: Hala, recipe_file: Path, tmp_path: Path) -> Path:
    """A finished run of the small recipe."""
    assert hala("run", recipe_file, "--out", tmp_path / "run", "--quiet").code == 0
    return tmp_path / "run"


def test_plan_lists_the_steps(hala: Hala, recipe_file: Path) -> None:
    """`plan` checks a recipe and runs nothing."""
    answer = hala("plan", recipe_file, "--set", "pairs.dedup=false")
    assert answer.code == 0 and "small: en -> ar, 2 steps" in answer.out and "echoed" in answer.out
    assert not (recipe_file.parent / "runs").exists()


def test_run_status_report_verify(hala: Hala, finished: Path) -> None:
    """A finished run can be looked at, reported again and verified."""
    assert (finished / "report.html").exists() and (finished / "pairs/manifest.json").exists()
    status = hala("status", finished)
    assert status.code == 0 and status.out.index("pairs") < status.out.index("echoed")
    assert json.loads(hala("status", finished, "--json").out)
    (finished / "report.html").unlink()
    assert hala("report", finished).code == 0 and (finished / "report.html").exists()
    assert hala("verify", finished).out == "2 finished steps are whole.\n"


def test_verify_and_repair_a_damaged_run(hala: Hala, finished: Path, recipe_file: Path) -> None:
    """A changed byte is found (code 6), repair removes that step alone, and the next run makes it again, equal."""
    shard = finished / "pairs/rows/000000.parquet"
    manifest = json.loads((finished / "pairs/manifest.json").read_text())
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    answer = hala("verify", finished)
    assert answer.code == 6 and "rows/000000.parquet has changed" in answer.err and "hala repair" in answer.err
    assert hala("repair", finished).out == "removed pairs; run it again.\n"
    assert (finished / "echoed/manifest.json").exists() and not (finished / "pairs").exists()
    assert hala("run", recipe_file, "--out", finished, "--quiet").code == 0
    assert json.loads((finished / "pairs/manifest.json").read_text())["digest"] == manifest["digest"]
    assert hala("repair", finished).out == "nothing is damaged.\n"


def test_repair_of_an_unreadable_manifest(hala: Hala, finished: Path) -> None:
    """A torn manifest is damage like any other."""
    (finished / "pairs/manifest.json").write_text('{"step": ')
    assert hala("verify", finished).code == 6
    assert hala("repair", finished).out == "removed pairs; run it again.\n"


def test_show_rows_and_rejected(hala: Hala, finished: Path) -> None:
    """`show` prints rows beside their originals, as many as asked."""
    answer = hala("show", finished / "echoed", "-n", 2)
    assert answer.code == 0 and answer.out.count("The cat is in the house.") >= 2 and "The weather" not in answer.out
    answer = hala("show", finished / "echoed", "--rejected")
    assert (answer.code, answer.out, answer.err) == (0, "", "nothing was rejected.\n")


def test_show_reads_any_data(hala: Hala, chats_file: Path, tmp_path: Path) -> None:
    """A user's own file is shown as rows, its bad records said; nobody is told to repair it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"instruction": ["Say hi."], "output": ["Hi."]}), tmp_path / "plain.parquet")
    assert "assistant: Hi." in hala("show", tmp_path / "plain.parquet").out
    (tmp_path / "rows.jsonl").write_text('nonsense\n{"instruction": "Say hi.", "output": "Hi."}\n')
    answer = hala("show", tmp_path / "rows.jsonl")
    assert "user: Say hi." in answer.out and "1 record before that could not be read" in answer.out
    for words in (("rows.jsonl", "--rejected"), ("empty",), ("none.jsonl",)):
        (tmp_path / "empty").mkdir(exist_ok=True)
        answer = hala("show", tmp_path / words[0], *words[1:])
        assert answer.code == 4 and not answer.out and "repair" not in answer.err, answer


def test_show_of_a_run_or_a_model_names_what_has_rows(hala: Hala, finished: Path) -> None:
    """A run is no step, and a step may hold no rows: both are said."""
    answer = hala("show", finished)
    assert answer.code == 4 and "is a run" in answer.err and str(finished / "echoed") in answer.err
    (finished / "echoed/manifest.json").rename(finished / "manifest.json")
    (finished / "recipe.json").unlink()
    answer = hala("show", finished)
    assert answer.code == 4 and "holds no rows" in answer.err


def test_plain_parquet_is_not_called_damaged(tmp_path: Path) -> None:
    """A table of the user's is no damaged shard of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hala import read_rows
    from hala.errors import InputError

    pq.write_table(pa.table({"instruction": ["Say hi."]}), tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="no rows made by hala"):
        list(read_rows(tmp_path / "plain.parquet"))


def test_step_that_is_half_done(hala: Hala, tmp_path: Path) -> None:
    """Before its first shard a step is half done, and every command says that in its own way and how to go on."""
    out = tmp_path / "rows"
    out.mkdir()
    (out / "started.json").write_text('{"verb": "translate"}')
    assert "no shard of rows is finished yet" in hala("status", out).out
    for words, part in ((("verify",), "half done"), (("repair",), "half done"), (("show",), "no finished shard yet")):
        answer = hala(*words, out)
        assert answer.code == 4 and part in answer.err and "same command again" in answer.err, answer


def test_dataset_needs_a_folder(hala: Hala, chats_file: Path, tmp_path: Path) -> None:
    """A dataset cannot be printed; with --out it becomes rows, and --json tells the counts."""
    assert hala("translate", chats_file, "--engine", "echo").code == 2
    answer = hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "rows", "--json")
    assert answer.code == 0 and json.loads(answer.out)["counts"]["kept"] == 8


@pytest.mark.parametrize("given", ["data.take=3", "data={take: 3}"])
def test_settings_of_the_data_join_the_input(hala: Hala, chats_file: Path, tmp_path: Path, given: str) -> None:
    """`--set data.KEY` describes INPUT, so a table's header or columns can be told without a recipe."""
    words = ("translate", chats_file, "--engine", "echo", "--out", tmp_path / "rows", "--json", "--set", given)
    assert json.loads(hala(*words).out)["counts"]["kept"] == 3


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("odd.jsonl", '{"foo": "x"}', "--set 'data.columns={FIELD: COLUMN}'"),
        ("what.dat", "hello", "--set data.format=FORMAT"),
        ("t.csv", "a b,c\nx,y", "--set data.header=true"),
    ],
)
def test_advice_about_data_can_be_typed(hala: Hala, tmp_path: Path, name: str, content: str, advice: str) -> None:
    """What a recipe calls `columns:` is a --set on the command line, and the advice says that."""
    (tmp_path / name).write_text(content)
    answer = hala("translate", tmp_path / name, "--engine", "echo", "--out", tmp_path / "out")
    assert answer.code == 4 and advice in answer.err and "columns:" not in answer.err and "format:" not in answer.err, answer


@pytest.mark.parametrize("given", ["data={path: other.jsonl}", "data.world=pairs", "data=other.jsonl", "data=[a, b]", "data="])
def test_settings_never_take_the_place_of_the_input(hala: Hala, chats_file: Path, tmp_path: Path, given: str) -> None:
    """INPUT is never silently ignored for data that `--set` names, and a text has no settings of data."""
    answer = hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "rows", "--set", given)
    assert answer.code == 2 and "other data than" in answer.err and str(chats_file) in answer.err, answer
    assert not (tmp_path / "rows").exists()
    assert hala("translate", "Hello there", "--engine", "echo", "--set", given).code == 2


def test_single_verb_again_is_kept_and_changed_is_refused(hala: Hala, chats_file: Path, tmp_path: Path) -> None:
    """The same command again does nothing; another setting is refused with both ways out, which exist for single verbs."""
    words = ("translate", chats_file, "--engine", "echo", "--out", tmp_path / "rows")
    assert hala(*words).code == 0 and hala(*words).code == 0
    answer = hala(*words, "--set", "shard_rows=3")
    assert answer.code == 2 and "config.shard_rows: 1000 -> 3" in answer.err
    assert "--out DIR" in answer.err and "removing" in answer.err and "--replace" not in answer.err


def test_two_single_verbs_share_a_parent_folder(chats_file: Path, tmp_path: Path, hala: Hala) -> None:
    """Only the folder of the result is locked, so two commands can work side by side."""
    from hala import staging

    with staging.lock(tmp_path / "one"):
        assert hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "two").code == 0
        answer = hala("translate", chats_file, "--engine", "echo", "--out", tmp_path / "one")
        assert answer.code == 3 and f"process {os.getpid()}" in answer.err


def test_interrupt_says_how_to_continue(recipe_file: Path, tmp_path: Path) -> None:
    """Ctrl-C has exit code 130 and one line that says the work is not lost."""
    text = recipe_file.read_text().replace("shard_rows: 3", "shard_rows: 1")
    recipe_file.write_text(text)
    code = "import time; from hala import shards; real = shards.write_rows\n"
    code += "def slow(*a): time.sleep(3); real(*a)\n"
    code += "shards.write_rows = slow\nfrom hala.cli import main\nmain()"
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    words = [sys.executable, "-c", code, "run", str(recipe_file), "--out", str(tmp_path / "run")]
    # A shell that runs the tests in the background has switched Ctrl-C off for its children.
    unmute = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, preexec_fn=unmute, **pipes) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run/pairs/started.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped. Run the same command again" in errors and "Traceback" not in errors


def test_preview_says_which_step_is_missing(hala: Hala, tmp_path: Path) -> None:
    """Before its data is made, a recipe's training cannot be looked at, and the command that makes it is named."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: r\nsteps:\n  mixed: {filter: {data: x.jsonl}}\n  sft: {tune: {base: some/model, data: $mixed}}\n", encoding="utf-8"
    )
    answer = hala("preview", recipe)
    assert answer.code != 0 and "needs $mixed, which is not finished" in answer.err
    assert f"hala run {recipe} --only mixed" in answer.err


def test_a_second_suite_is_refused(hala: Hala, tmp_path: Path) -> None:
    """An option that holds one value never drops the first of two without a word."""
    done = hala("evaluate", str(tmp_path), "--suite", "exams", "--suite", "aratrust", "--out", str(tmp_path / "out"))
    assert done.code == 2 and "--suite is given 2 times (exams, aratrust)" in done.err


def test_an_evaluation_is_shown_again(hala: Hala, tmp_path: Path, tiny: Path) -> None:
    """`show` prints the tables of a finished evaluation, and a named file of questions takes more keys by its place."""
    file, out = tmp_path / "q.jsonl", tmp_path / "scores"
    file.write_text('{"question": "1 + 1?", "options": ["1", "2"], "answer": "B"}\n', encoding="utf-8")
    options = ("--questions", str(file), "--set", "questions.0.lang=en", "--set", "profile=strict", "--set", "resamples=100")
    made = hala("evaluate", str(tiny), *options, "--out", str(out))
    assert made.code == 0, made.err
    shown = hala("show", str(out))
    assert shown.code == 0 and shown.out == made.out and "accuracy in percent" in shown.out
    config = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["config"]
    assert config["questions"][0]["lang"] == "en" and config["questions"][0]["path"] == str(file)
