"""A new language: its stub is valid as it is, and what a text shows comes from the text."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hala import languages
from hala.cli import app
from hala.data import world
from hala.data.lexicon import lexicon
from hala.data.new_language import observed, stub, write
from hala.errors import InputError
from hala.languages import Language, language, read_language
from hala.recipe import Languages

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Languages that a test adds are gone after it."""
    monkeypatch.setattr(languages, "LANGUAGES", dict(languages.LANGUAGES))
    monkeypatch.setattr(languages, "FILES", {})


@pytest.mark.parametrize("code", ["fa", "bn", "ru", "he", "th", "xh", "de", "zh", "yue", "zzz"])
def test_stub_is_valid_as_it_is(code: str, tmp_path: Path) -> None:
    """Whatever is known of a code, the file that is written can be used at once."""
    made = read_language(write(code, None, tmp_path)[0])
    assert made.code == code and not made.generic
    assert (made.direction == "rtl") == (code in ("fa", "he"))
    assert made.script == {"fa": "Arabic", "bn": "Bengali", "ru": "Cyrillic", "he": "Hebrew", "th": "Thai"}.get(code, made.script)


def test_text_gives_what_it_shows(tmp_path: Path) -> None:
    """Frequent words, script and Latin share of Arabic text are those that hala knows of Arabic."""
    lines = [row.messages[0].content for row in world.pairs("train", 2000, 0)]
    found = observed(lines)
    assert found["script"] == "Arabic" and 0.1 <= found["latin_share"] <= 0.6
    assert len(set(found["frequent"]) & language("ar").frequent) >= 5
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    made = read_language(write("ckb", tmp_path / "text.txt", tmp_path)[0])
    assert made.frequent == frozenset(found["frequent"]) and made.script == "Arabic"


def test_nothing_is_overwritten_and_codes_are_checked(tmp_path: Path) -> None:
    """Somebody's work on a language is never lost, and a name is no code."""
    write("fa", None, tmp_path)
    with pytest.raises(InputError, match="exists already"):
        write("fa", None, tmp_path)
    with pytest.raises(InputError, match="no code"):
        stub("Persian")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('digits = "0123"', "not the ten digits"),
        ('script = "Klingon"', "no script"),
        ('script = "Arabic"\nnative = "Farsi"', "not written in Arabic"),
        ('script = "Arabic"\nforeign = "xyz"', "no Arabic letter"),
        ("latin_share = 3.0", "out of range"),
        ('direction = "up"', "neither"),
        ('frequent = "a b"\nstrangers = "b c"', "'b' is among"),
        ('scirpt = "Arabic"', "Did you mean 'script'"),
        ("name = 5", "wrong kind"),
        ('code = "Persian"', "primary tag"),
        ("[", "cannot be read"),
    ],
)
def test_mistakes_are_named(line: str, said: str, tmp_path: Path) -> None:
    """A slip of the pen in a language's file is found when it is read, not by a gate that never fires."""
    keys = {part.split(" = ")[0] for part in line.split("\n")}
    plain = {"code": '"fa"', "name": '"Persian"', "native": '"Persian"'}
    rest = "\n".join(f"{key} = {value}" for key, value in plain.items() if key not in keys)
    (tmp_path / "fa.toml").write_text(f"{rest}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_language(tmp_path / "fa.toml")


def test_a_file_stands_for_its_language(tmp_path: Path) -> None:
    """`--to fa.toml` and `target: fa.toml` make the language known, and what it holds part of a step's identity."""
    write("fa", None, tmp_path)
    file = tmp_path / "fa.toml"
    before = Languages(target=str(file))
    assert before.target == "fa" and language("fa").name == "Persian" and not language("fa").generic
    file.write_text(file.read_text(encoding="utf-8").replace("0.4", "0.3"), encoding="utf-8")
    assert Languages(target=str(file)).files != before.files
    said = CliRunner().invoke(app, ["translate", "Run `ls` now.", "--to", str(file), "--engine", "echo"])
    assert said.exit_code == 0 and said.stdout == "Run `ls` now.\n", said.output


def test_lexicon_beside_the_file_is_used(tmp_path: Path) -> None:
    """Words that are filled in work at once; an untouched stub says nothing."""
    file, words = write("fa", None, tmp_path)
    Languages(target=str(file))
    empty = lexicon("fa")
    assert empty is not None and not empty.concepts
    words.write_text(words.read_text(encoding="utf-8").replace("# water:", "water: آب"), encoding="utf-8")
    lexicon.cache_clear()
    found = lexicon("fa")
    assert found is not None and found.concepts["water"].stems == ("آب",)
    lexicon.cache_clear()


def test_every_key_is_explained() -> None:
    """The page on languages and the stub name every key that a file may have."""
    page, made = (DOCS / "languages.md").read_text(encoding="utf-8"), stub("fa")
    for field in fields(Language):
        if field.name != "generic":
            assert f"`{field.name}`" in page and f"\n{field.name} = " in made


def test_a_text_that_is_not_there(tmp_path: Path) -> None:
    """A missing file of text is an error in words, and nothing is written."""
    with pytest.raises(InputError, match="no file"):
        write("fa", tmp_path / "missing.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
